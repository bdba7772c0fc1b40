"""Services 8.7.1, 8.7.2 and 8.11: which devices are in the home network. The hub is asked, whichever device is meant.

A SMETS1 hub keeps a log of the devices that may be in its network (S1SR: "SMETS1 CHF Device Log"; FACT that it exists).
8.11 changes it, 8.7.x lets a listed device in. What comes of it is read from the log: a device that the radio does not
hear stays out, however politely the hub answers.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta

from emulator.codecs.axdr import Data, array, octet_string
from emulator.codecs.get import AttributeRef
from emulator.dlms.cosem import obis
from emulator.headend.session import RefusedError, Steps
from emulator.headend.steps.course import NOT_EFFECTED, Course, Payload, not_offered
from emulator.kernel.machine import Party

_LOG: Final = AttributeRef(1, obis("0-0:94.44.40"), 2)
_ALLOWED: Final = AttributeRef(1, obis("0-0:94.44.43"), 2)
_JOIN: Final = AttributeRef(1, obis("0-0:94.44.44"), 2)

_PARTIES: Final = {"electricity": Party.ELECTRICITY, "gas": Party.GAS, "ihd": Party.IHD}
_STATES: Final = {0: "lost", 1: "joined", 2: "asleep"}


@dataclass(frozen=True, slots=True)
class Member:
    """A meter of the home."""

    member: Literal["electricity", "gas"]


@dataclass(frozen=True, slots=True)
class Display:
    """A display of the home."""

    member: Literal["ihd"] = "ihd"


@dataclass(frozen=True, slots=True)
class Listing:
    """A device to be listed or struck off: one of the home, or any other by its EUI-64."""

    change: Literal["add", "remove"]
    member: Literal["electricity", "gas", "ihd"] | None = None
    eui64: Annotated[str, Meta(pattern="^[0-9a-fA-F]{16}$", description="16 hex digits")] | None = None


def join(course: Course, asked: Member | Display) -> Steps[Payload]:
    """8.7.1 for a meter, 8.7.2 for a display: let it in, and see that the hub's log shows it."""
    eui64 = _eui64(course, asked.member, None)
    if eui64 not in _names((yield from course.get(_ALLOWED))):
        raise RefusedError("not-listed", f"the hub's log of devices does not list {eui64.hex()}; list it first (8.11)")
    yield from course.set(_JOIN, octet_string(eui64))
    state = _state((yield from course.get(_LOG)), eui64)
    if state not in ("joined", "asleep"):
        raise RefusedError(NOT_EFFECTED, f"the hub shows {eui64.hex()} as {state}")
    return {"eui64": eui64.hex(), "state": state}


def change(course: Course, asked: Listing) -> Steps[Payload]:
    """8.11: list a device or strike it off, and see that the list is so."""
    eui64 = _eui64(course, asked.member, asked.eui64)
    listed = _names((yield from course.get(_ALLOWED)))
    wanted = [each for each in listed if each != eui64]
    if asked.change == "add":
        wanted.append(eui64)
    if sorted(wanted) != sorted(listed):
        data = array(octet_string(each) for each in wanted)
        yield from course.written(_ALLOWED, data, "the hub's list of devices is not the one written")
    return {"eui64": eui64.hex(), "listed": [each.hex() for each in wanted]}


def _eui64(course: Course, member: str | None, named: str | None) -> bytes:
    if named is not None:
        return bytes.fromhex(named)
    found = course.members.get(_PARTIES[member]) if member is not None else None
    if found is None:
        raise not_offered(f"this home has no {member}" if member else "neither a member nor an EUI-64 is named")
    return found


def _names(data: Data) -> list[bytes]:
    return [bytes(each.value) for each in data.value]


def _state(log: Data, eui64: bytes) -> str:
    for entry in log.value:
        if bytes(entry.value[0].value) == eui64:
            return _STATES.get(int(entry.value[2].value), "in a state without a name")
    return "absent"
