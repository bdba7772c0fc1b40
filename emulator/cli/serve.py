"""`smets1 serve`: an estate on real sockets, until SIGTERM.

One JSON line on stdout says that it is ready and where; everything else goes to stderr, as JSON lines.
"""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from emulator.cli.control_options import ControlWish, control_options
from emulator.cli.core_release import auxiliary_settings, core_release_options
from emulator.cli.link_options import LinkWish, link_options
from emulator.cli.mqtt_options import BusWish, bus_options


@click.command(short_help="serve an estate on real sockets")
@click.option("--estate", "source", default="demo-street", show_default=True, help="Name or file of an estate.")
@click.option("--installations", type=click.IntRange(1), help="Take so many homes of it: the same mixture, scaled.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of everything.  [default: the estate's]")
@click.option("--host", default="127.0.0.0/8", show_default=True, help="Network that the homes' addresses are of.")
@click.option(
    "--listen-beyond-loopback",
    "beyond",
    is_flag=True,
    help="Hear other machines too. Whoever reaches this one can then talk to every device, and anyone can ask for its "
    "keys: these are test keys, and this is for closed networks. Route the network of --host to this machine.",
)
@click.option("--port", type=click.IntRange(0, 65_535), default=4059, show_default=True, help="TCP and UDP; 0: any.")
@click.option("--hdlc-port", type=click.IntRange(0, 65_535), default=0, help="Optical heads.  [default: any]")
@click.option(
    "--timing",
    type=click.Choice(["instant", "modelled"]),
    default="instant",
    show_default=True,
    help="instant: nothing takes time and hubs are up when called. modelled: hubs sleep, the air is slow and loses.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0, 1_000_000),
    default=1.0,
    show_default=True,
    help="Virtual seconds a second; 0: the clock stands.",
)
@click.option(
    "--link",
    type=click.Choice(["plain", "ipsec", "mpls", "mpls-l3vpn", "ipsec-standby", "mpls-standby"]),
    help="Kind of link.  [default: the estate's]",
)
@click.option("--state", help="Folder (or postgresql:// address) that keeps what happens.  [default: nothing is kept]")
@click.option(
    "--alerts",
    type=click.FloatRange(0, 10_000),
    help="Alerts a day that each installation makes by itself, on average; 0: none.  [default: the estate's, else 2.3]",
)
@click.option(
    "--alerts-heard",
    type=click.Choice(["all", "ours"]),
    default="all",
    show_default=True,
    help="ours: only alerts to this head end's address; devices as found still send theirs to the old operator.",
)
@click.option(
    "--watch/--no-watch",
    default=True,
    show_default=True,
    help="List what clients do wrong (`smets1 ask violations`).",
)
@link_options
@core_release_options
@control_options
@bus_options
def command(
    source: str,
    installations: int | None,
    seed: int | None,
    host: str,
    beyond: bool,
    port: int,
    hdlc_port: int,
    timing: str,
    speed: float,
    link: str | None,
    state: str | None,
    alerts: float | None,
    alerts_heard: str,
    watch: bool,
    core_release: str,
    hypothesis: str | None,
    reset_to: str,
    control: ControlWish,
    bus: BusWish | None,
    tunnels: LinkWish,
) -> None:
    """Serve an estate: COSEM wrapper over TCP and UDP, HDLC over TCP, one address for every installation;
    and HTTP to drive it (`smets1 ask`). With --ike-address real VPN gateways bring up tunnels to it; what they are to
    load, `smets1 link config` prints.

    Prints one JSON line when it is ready. SIGTERM and SIGINT end it cleanly: what was asked is answered and kept.
    """
    from emulator.fleet.alert_causes import PER_DAY
    from emulator.fleet.estate import open_estate
    from emulator.shell.serving import Options, Serving

    estate = open_estate(source, seed, installations)
    if alerts is None:
        alerts = PER_DAY if estate.recipe.alerts.per_day is None else estate.recipe.alerts.per_day
    options = Options(
        host=host,
        beyond_loopback=beyond,
        port=port,
        hdlc_port=hdlc_port,
        timing="instant" if timing == "instant" else "modelled",
        speed=speed,
        link=link or "",
        state=state,
        source=source,
        alerts_per_day=alerts,
        overhear=alerts_heard == "all",
        watch=watch,
        auxiliary=auxiliary_settings(core_release, hypothesis, reset_to),
    )

    async def run() -> None:
        serving = Serving(estate, options)
        await serving.start()
        facts = serving.facts()
        async with AsyncExitStack() as doors:  # the last one opened is closed first
            doors.push_async_callback(serving.stop)
            told, driver = await control.open(serving, doors)
            facts |= told
            facts |= await tunnels.open(serving, doors)
            if bus is not None:
                facts["mqtt"] = await bus.open(serving, driver, doors)
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, ended.set)
            click.echo(json.dumps({"ready": True, **facts}))
            await ended.wait()

    with asyncio.Runner(loop_factory=_loops()) as runner:
        runner.run(run())


def _loops() -> Any:
    """uvloop's, where it is installed."""
    return import_module("uvloop").new_event_loop if find_spec("uvloop") else None
