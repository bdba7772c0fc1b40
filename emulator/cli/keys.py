"""`smets1 keys`: what a client needs to talk to an installation's devices, true at this moment.

Of a state that is being served it reads what is durable, and that is what the devices go by: no answer leaves before.
These are test keys, and they go to whoever asks for them; nothing else prints them.
"""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from emulator.errors import InputError

_PORT = 4059


@click.command(short_help="print the keys and addresses of an installation's devices")
@click.option("--installation", required=True, help="Number, or what its owner calls it.")
@click.option("--estate", "source", help="Name or file of an estate.  [default: the state's, else demo-street]")
@click.option("--installations", type=click.IntRange(1), help="As served: so many homes of it.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="As served.  [default: the estate's]")
@click.option("--state", help="Folder (or postgresql:// address) of a state, served just now or not.")
@click.option("--host", help="Network that the homes' addresses are of.  [default: as served, else 127.0.0.0/8]")
@click.option("--port", type=click.IntRange(0, 65_535), help=f"Port to print.  [default: as served, else {_PORT}]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    installation: str,
    source: str | None,
    installations: int | None,
    seed: int | None,
    state: str | None,
    host: str | None,
    port: int | None,
    as_json: bool,
) -> None:
    """Print addresses, titles, keys and counters of one installation's devices."""
    number, devices = told(
        installation, source, installations=installations, seed=seed, state=state, host=host, port=port
    )
    if as_json:
        click.echo(json.dumps({"installation": number, "devices": devices}, indent=2))
    else:
        _show(number, devices)


def told(
    installation: str,
    source: str | None = None,
    *,
    installations: int | None = None,
    seed: int | None = None,
    state: str | None = None,
    host: str | None = None,
    port: int | None = None,
) -> tuple[int, list[dict[str, Any]]]:
    """(the installation's number, one object a device), for `smets1 keys` and for tests. Raises InputError."""
    from emulator.fleet.estate import open_estate
    from emulator.fleet.store import Identity, look
    from emulator.shell.addresses import LOOPBACK, Addresses, network
    from emulator.shell.live import LiveEstate
    from emulator.shell.serving import FACT

    store = look(state) if state is not None else None
    try:
        served: dict[str, Any] = {}
        if store is not None:
            kept = store.identity
            served = json.loads(store.get(FACT) or b"{}")
            source = source or served.get("estate") or kept.estate
            seed = kept.seed if seed is None else seed
            installations = installations or kept.installations
        estate = open_estate(source or "demo-street", seed, installations)
        if store is not None:
            Identity.of(estate).check(store.identity, store.where)
        number = int(installation) if installation.isdecimal() else estate.find(installation)
        if number >= estate.installations:
            raise InputError(
                f"estate {estate.name} has no installation {number}; "
                f"it has {estate.installations}, numbered from 0"
            )
        addresses = Addresses(network(host or served.get("host", str(LOOPBACK))), estate.installations)
        live = LiveEstate(estate, store=store)
        chosen = served.get("port", _PORT) if port is None else port
        devices = live.keys(number, host=addresses.of(number), port=chosen)
    finally:
        if store is not None:
            store.close()
    return number, devices


def _show(number: int, devices: list[dict[str, Any]]) -> None:
    table = Table(title=f"Installation {number}", title_justify="left", box=None, pad_edge=False)
    table.add_column("", style="bold")
    for device in devices:
        table.add_column(device["kind"], overflow="fold")
    for name in (name for name in devices[0] if name != "kind"):
        table.add_row(name.replace("_", " "), *(_cell(device, name) for device in devices))
    Console(soft_wrap=True).print(table)


def _cell(device: dict[str, Any], name: str) -> str:
    if name == "ek" and "keys" in device:
        return "no keys"
    value = device.get(name)
    if isinstance(value, dict):
        return f"{value['value']} at {value['logical_name']}"
    return "" if value is None else str(value)
