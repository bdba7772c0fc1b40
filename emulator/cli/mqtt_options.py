"""The options of `smets1 serve` that put the estate on a broker, gathered into one value."""

import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emulator.control.mqtt_address import PASSWORD_VARIABLE, USER_VARIABLE, Address, BusOptions, address_of, root_of

if TYPE_CHECKING:
    from emulator.control.driver import Driver
    from emulator.shell.serving import Serving

_PATH = click.Path(path_type=Path, dir_okay=False)
_OURS = frozenset({"pid", "state", "now"})
"""What a client on a broker has no use for."""

_MODES = click.Choice(["off", "one", "batch", "both"])

_OPTIONS = (
    click.option(
        "--mqtt",
        metavar="URL",
        help="Take commands from a broker and publish there: mqtt://HOST[:PORT], mqtts://..., or 'embedded[:PORT]' for "
        "one inside this process, on loopback, whose password the ready line tells.",
    ),
    click.option("--mqtt-prefix", default="smets1", show_default=True, help="Topics begin so, then the estate's name."),
    click.option(
        "--mqtt-credentials",
        type=_PATH,
        help=f"File with user:password.  [default: {USER_VARIABLE} and {PASSWORD_VARIABLE} of the environment]",
    ),
    click.option("--mqtt-ca", type=_PATH, help="PEM file of whom to trust.  [default: the system's authorities]"),
    click.option("--mqtt-cert", "mqtt_certificate", type=_PATH, help="PEM file with a certificate to show."),
    click.option("--mqtt-key", type=_PATH, help="PEM file with its key, if it is not in the same file."),
    click.option("--mqtt-journal", type=_MODES, default="batch", show_default=True, help="How to publish the journal."),
    click.option(
        "--mqtt-alarms",
        type=_MODES,
        default="one",
        show_default=True,
        help="How to publish what devices noticed, repeats told once.",
    ),
    click.option(
        "--mqtt-alerts",
        type=_MODES,
        default="off",
        show_default=True,
        help="How to publish every single alert, with its frame.",
    ),
    click.option(
        "--mqtt-batch", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Entries to a batch."
    ),
    click.option(
        "--mqtt-batch-ms",
        type=click.IntRange(1, 60_000),
        default=200,
        show_default=True,
        help="How long a batch waits to be full, in real milliseconds.",
    ),
)


@dataclass(frozen=True, slots=True)
class BusWish:
    """What was asked for, checked."""

    options: BusOptions
    address: Address

    async def open(self, serving: "Serving", driver: "Driver", doors: AsyncExitStack) -> dict[str, Any]:
        """Put what is served on the broker until `doors` close, wishes carried out by `driver`, the estate's only one;
        what a client has to know. Raises InputError."""
        from emulator.control.mqtt import Bus

        log = serving.log
        about = {name: value for name, value in serving.facts().items() if name not in _OURS}
        bus = Bus(driver, self.options, self.address, log, about)
        doors.push_async_callback(bus.stop)
        await bus.start()
        return bus.facts()


def bus_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The decorated command gets them as `bus`: a BusWish, or None without --mqtt. Raises InputError."""

    @wraps(function)
    def gathered(*args: Any, **given: Any) -> Any:
        mine = {name.removeprefix("mqtt_"): given.pop(name) for name in tuple(given) if name.startswith("mqtt_")}
        broker = given.pop("mqtt")
        bus: BusWish | None = None
        if broker is not None:
            options = BusOptions(broker, **mine)
            root_of(options.prefix, "estate")
            bus = BusWish(options, address_of(options, os.environ))
        return function(*args, **given, bus=bus)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered
