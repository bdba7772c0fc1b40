"""One door for every wish: an order comes in, plain data or a task comes out, or a `WishError` that says what to do.

Handlers are found by the command's class (`registry`); their modules are imported here, and nothing else has to know of
a new one. What the engine below says no to in its own words is turned into the same three parts.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from emulator.commands import Command
from emulator.control import (
    alarm_wishes,
    errands,
    glance,
    heating,
    link,
    migration,
    oracle,
    service_requests,
    watch,
    wishes,
)
from emulator.control.desk import Desk
from emulator.control.errors import NotNowError, WishError
from emulator.control.registry import HANDLERS
from emulator.control.tasks import Task
from emulator.errors import InputError, UsageError
from emulator.kernel.machine import Party

__all__ = [
    "Order",
    "alarm_wishes",
    "carry_out",
    "errands",
    "glance",
    "heating",
    "link",
    "migration",
    "oracle",
    "plain",
    "service_requests",
    "watch",
    "wishes",
]


@dataclass(frozen=True, slots=True)
class Order:
    """A command and what it is addressed to, as far as its scope says."""

    command: Command
    installation: int | None = None
    party: Party | None = None


def carry_out(desk: Desk, order: Order) -> Any | Task[Any]:
    """What the command answers, or the task that will; what changed is durable when this returns.

    Raises WishError; InputError when what was done could not be made durable."""
    command = order.command
    live, target = desk.live, desk.pace.target()
    if live.due is None or live.due > target:
        live.advance(target)  # nothing fell due, so nobody has moved the clock: a wish acts now and not then
    address: list[Any] = []
    if command.scope != "estate":
        assert order.installation is not None, "the door gives an installation"
        desk.home(order.installation)
        address.append(order.installation)
    if command.scope == "device":
        assert order.party is not None, "the door gives a device"
        desk.spec(order.installation or 0, order.party)
        address.append(order.party)
    try:
        answer = HANDLERS[type(command)](desk, command, *address)
    except WishError:
        raise
    except (InputError, UsageError) as error:
        raise NotNowError(str(error), type(command).__name__, "look at the estate's state and ask again") from error
    if not command.reads and desk.live.uncommitted:
        desk.live.commit()
    return answer


def plain(answer: Any) -> Any:
    """An answer as dicts, lists, numbers and texts."""
    return msgspec.to_builtins(answer)
