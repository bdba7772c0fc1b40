"""What a scenario has done to a home, besides campaigns: a service request's equivalent steps, new keys, or something a
person does to the device itself.

Each becomes a `Job` for one visit, or a command for the device. A service request goes through the front, which checks
it and gives it exactly one verdict.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from emulator.commands import Command, PowerCut, PressBoost, PressReconnect, RaiseAlert
from emulator.errors import InputError
from emulator.fleet.recipe import DEVICE_NAMES
from emulator.headend.keyring import Target
from emulator.headend.rotation import rotate
from emulator.headend.session import Steps
from emulator.headend.steps import service
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.scenario.scenario import Wish

ROTATE: Final = "rotate-keys"
"""Not a service, but asked for like one."""
HEAL: Final = "heal"
"""What the oracle proposes for a device; asked for by the healing."""


def _verb(kind: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


COMMANDS: Final[dict[str, type[Command]]] = {
    _verb(each): each for each in (PowerCut, PressBoost, PressReconnect, RaiseAlert)
}
"""What a person may do to a device."""


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to be done over the air: a service request with its arguments, or new keys (`request` ROTATE). `serial`
    is its place among the jobs of its campaign. Picklable."""

    serial: int
    installation: int
    party: Party
    at: Instant
    request: str
    arguments: dict[str, Any] = field(default_factory=dict)


def check_wish(wish: Wish) -> str | None:
    """What is wrong with a wish, or None."""
    if (wish.request is None) == (wish.command is None):
        return f"{'both a request and a command' if wish.request else 'nothing is wished'}; give one of the two"
    try:
        if wish.command is not None:
            command_of(wish)
        elif wish.request == ROTATE:
            if wish.arguments:
                return f"arguments: {ROTATE} takes none; remove them"
        else:
            _check_request(wish)
    except InputError as error:
        return str(error)
    return None


def command_of(wish: Wish) -> Command:
    """The command a wish is. Raises InputError."""
    kind = COMMANDS.get(wish.command or "")
    if kind is None:
        raise InputError(f"command: there is no {wish.command!r}; one of {', '.join(COMMANDS)}")
    made = _made(kind, wish.arguments)
    assert isinstance(made, Command)
    return made


def new_keys(target: Target) -> Steps[Any]:
    """Change KEK, EK and AK, proven under the new ones."""
    yield from rotate(target.session, target.custody)


def _check_request(wish: Wish) -> None:
    row = service(wish.request or "")
    if row.steps is not None and DEVICE_NAMES[wish.device] not in row.devices:
        able = ", ".join(party.name.lower() for party in row.devices)
        raise InputError(f"device: {row.number} ({row.name}) goes to {able}; name one of those")
    _made(row.parameters, wish.arguments)


def _made(kind: type[Any], arguments: dict[str, Any]) -> Any:
    known = msgspec.json.schema_components([kind])[1][kind.__name__].get("properties", {})
    for name in arguments:
        if name not in known:
            raise InputError(f"arguments.{name}: no such argument; {', '.join(known) or 'there are none'}")
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"arguments: {error}; correct them") from error
