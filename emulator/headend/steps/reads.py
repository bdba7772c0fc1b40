"""Services 4.8.1, 6.13 and 11.2: half-hours, logs, the firmware that runs.

Profiles are read by range (class 7, selector 1): only the rows between two times of the meter's own clock cross the
link. Event codes are the model's own numbering (ASSUMED; see the log's object); they are passed on as numbers.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta

from emulator.codecs.axdr import Data, array, integer, long_unsigned, octet_string, structure
from emulator.codecs.get import AttributeRef, SelectiveAccess
from emulator.dlms import moment
from emulator.dlms.cosem import obis
from emulator.headend import services
from emulator.headend.session import RefusedError, Steps
from emulator.headend.steps.course import Course, Nothing, Payload, not_offered
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, utc

LOGS: Final = {
    "event": obis("0-0:99.98.0"),
    "security": obis("0-0:99.98.1"),
    "auxiliary": obis("0-17:99.98.2"),
    "power": obis("0-0:99.98.4"),
}

_HALF_HOURS: Final = {Party.ELECTRICITY: obis("1-0:99.1.0"), Party.GAS: obis("7-0:99.1.0")}
_UNITS: Final = {Party.ELECTRICITY: "Wh", Party.GAS: "dm3"}


@dataclass(frozen=True, slots=True)
class Span:
    """Whole days of the meter's clock, ending with the half-hour or entry that is newest."""

    days: Annotated[int, Meta(ge=1, le=400, description="days")] = 1


@dataclass(frozen=True, slots=True)
class OfLog:
    """Which log, and how many days back."""

    log: Literal["event", "security", "auxiliary", "power"] = "event"
    days: Annotated[int, Meta(ge=1, le=4_000, description="days")] = 365


def _between(profile: bytes, begin: Instant, end: Instant) -> AttributeRef:
    """The rows of a profile whose clock lies within two instants, both included."""
    clock = structure((long_unsigned(8), octet_string(services.CLOCK.logical_name), integer(2), long_unsigned(0)))
    bounds = (octet_string(moment.encode(begin)), octet_string(moment.encode(end)))
    return AttributeRef(7, profile, 2, SelectiveAccess(1, structure((clock, *bounds, array(())))))


def _time(data: Data) -> str:
    """The time of a row, as the meter shows it."""
    try:
        return utc(moment.decode(bytes(data.value))).isoformat(timespec="seconds")
    except (TypeError, ValueError) as error:
        raise RefusedError("malformed", str(error)) from error


def half_hours(course: Course, asked: Span) -> Steps[Payload]:
    """4.8.1: active import, or gas, by the half-hour."""
    party = course.target.party
    if party not in _HALF_HOURS:
        raise not_offered("this device measures nothing")
    now = course.now
    found = yield from course.get(_between(_HALF_HOURS[party], now - asked.days * DAY, now + DAY))
    rows = [[_time(row.value[0]), int(row.value[1].value)] for row in found.value]
    return {"unit": _UNITS[party], "half_hours": rows, "sum": sum(value for _, value in rows)}


def log(course: Course, asked: OfLog) -> Steps[Payload]:
    """6.13: the entries of a log, oldest first, as [time, code]."""
    if asked.log == "auxiliary" and not course.profile.auxiliary.switches:
        raise not_offered("this device has no auxiliary switches, and no log of them")
    now = course.now
    found = yield from course.get(_between(LOGS[asked.log], now - asked.days * DAY, now + DAY))
    return {"log": asked.log, "entries": [[_time(row.value[0]), int(row.value[1].value)] for row in found.value]}


def firmware(course: Course, asked: Nothing) -> Steps[Payload]:
    """11.2: the version that runs."""
    found = yield from course.get(services.FIRMWARE)
    return {"version": bytes(found.value).decode("ascii", "replace")}
