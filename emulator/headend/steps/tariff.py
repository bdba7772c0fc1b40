"""Service 1.1.1: load a tariff into the calendar of the meter (class 20) and let it take over.

The passive calendar is written, then activated: at once, or at the time that the request names (the meter waits, not
the head end). What was written is read back from the active calendar, or from the activation time.

The request allows more than a SMETS1 meter holds: 48 switching times a day against twelve (`devices.md` §2: FACT for
one maker, ASSUMED for the rest), blocks and prices. What the model cannot hold is refused before anything is sent, with
the place that is too much; the emulated models count by time of use and keep neither blocks nor prices.

On SMETS1 the auxiliary switches follow the rates of this very table: a tariff that arrives intact can still move the
hours at which a home is heated. These steps do what they are asked, as the real ones did.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Final

from msgspec import Meta

from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data, array, integer, long_unsigned, octet_string, structure, unsigned
from emulator.codecs.get import AttributeRef
from emulator.dlms import moment
from emulator.dlms.classes.activity_calendar import Calendar
from emulator.dlms.cosem import obis
from emulator.fleet import tariffs
from emulator.headend import services
from emulator.headend.session import RefusedError, Steps
from emulator.headend.steps.course import NOT_EFFECTED, Course, Payload, not_offered, same
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, SECOND, utc

_CALENDAR: Final = obis("0-0:13.0.0")
_SCRIPTS: Final = obis("0-0:10.0.100")
_SPECIAL_DAYS: Final = AttributeRef(11, obis("0-0:11.0.0"), 2)
_ACTIVATE: Final = MethodRef(20, _CALENDAR, 1)
_ALL_YEAR: Final = b"\xff\xff\x01\x01\xff" + b"\x00" * 4 + b"\x80\x00\xff"
_PASSIVE: Final = 6
_ACTIVATION: Final = 10

DAY_TYPES_MOST: Final = 17
SPECIAL_DAYS_MOST: Final = 50

Start = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM, GMT")]
Rate = Annotated[int, Meta(ge=1, le=48, description="rate")]
DayType = Annotated[int, Meta(ge=1, le=17, description="number of a day type, from 1")]


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A date that goes by a day type of its own."""

    date: Annotated[str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="YYYY-MM-DD")]
    day: DayType


@dataclass(frozen=True, slots=True)
class Tariff:
    """What is to be loaded: a `table` by name, or day types as lists of [start, rate].

    `week` names the day type of Monday to Sunday (all the first, when left out); `in_minutes`: take over so many
    minutes from now, by the meter's own clock (0: at once). `thresholds` are those of block tariffs, in Wh."""

    table: Annotated[str, Meta(max_length=64)] | None = None
    day_types: Annotated[list[list[tuple[Start, Rate]]], Meta(max_length=48)] = field(default_factory=list)
    week: Annotated[list[DayType], Meta(max_length=7)] = field(default_factory=list)
    special_days: Annotated[list[SpecialDay], Meta(max_length=50)] = field(default_factory=list)
    thresholds: Annotated[list[int], Meta(max_length=24)] = field(default_factory=list)
    in_minutes: Annotated[int, Meta(ge=0, le=527_040, description="minutes")] = 0


def load(course: Course, asked: Tariff) -> Steps[Payload]:
    """1.1.1: write, activate, read back."""
    if course.target.party is not Party.ELECTRICITY:
        raise not_offered("this meter has no calendar of rates")
    name, seasons, weeks, days = _calendar(course, asked)
    special = _special(asked)
    for number, data in enumerate((name, seasons, weeks, days), _PASSIVE):
        yield from course.set(AttributeRef(20, _CALENDAR, number), data)
    if asked.in_minutes:
        if asked.special_days:
            yield from course.written(_SPECIAL_DAYS, special, "the special days read back are others")
        at = course.now + asked.in_minutes * 60 * SECOND
        when = octet_string(moment.encode(at))
        yield from course.written(AttributeRef(20, _CALENDAR, _ACTIVATION), when, "the activation time is another")
        return {"name": bytes(name.value).decode("ascii"), "activates": utc(at).isoformat(timespec="seconds")}
    doubt = yield from course.tried(_ACTIVATE, integer(0))
    found = yield from course.get(services.CALENDAR)
    if not same(found, days):
        raise doubt or RefusedError(NOT_EFFECTED, "the active day types are not those written")
    yield from course.written(_SPECIAL_DAYS, special, "the special days read back are others")
    return {"name": bytes(name.value).decode("ascii"), "day_types": len(days.value)}


def _calendar(course: Course, asked: Tariff) -> tuple[Data, Data, Data, Data]:
    """Name, seasons, weeks and day types. Raises RefusedError for what the model does not hold."""
    if asked.thresholds:
        raise not_offered("this model counts no blocks; give a tariff by time of use")
    name = asked.table or "own"
    day_types = _by_minute(asked)
    week = tuple(asked.week) or (1,) * 7
    rates = course.profile.electricity.rates
    if len(week) != 7 or max((*week, *(each.day for each in asked.special_days))) > len(day_types):
        raise not_offered(f"the week or a special day names a day type that is not given: there are {len(day_types)}")
    if len(day_types) > DAY_TYPES_MOST:
        raise not_offered(f"{len(day_types)} day types; this meter holds {DAY_TYPES_MOST}")
    for number, day in enumerate(day_types, 1):
        if len(day) > tariffs.SWITCHES_A_DAY_MOST:
            most = tariffs.SWITCHES_A_DAY_MOST
            raise not_offered(f"{len(day)} switching times in day type {number}; this meter holds {most}")
        if max(rate for _, rate in day) > rates:
            raise not_offered(f"day type {number} names a rate above {rates}, the last this meter has a register for")
    days = tuple(
        (
            number,
            tuple((bytes((minute // 60, minute % 60, 0, 0)), _SCRIPTS, rate) for minute, rate in day),
        )
        for number, day in enumerate(day_types, 1)
    )
    made = Calendar(name.encode("ascii", "replace")[:8], ((b"\x01", _ALL_YEAR, b"\x01"),), ((b"\x01", week),), days)
    return made.data()


def _by_minute(asked: Tariff) -> list[list[tuple[int, int]]]:
    """Day types as (minute of the day, rate)."""
    if asked.table is not None:
        table = tariffs.tables().get(asked.table)
        if table is None:
            raise not_offered(f"no table {asked.table!r}; there are {', '.join(sorted(tariffs.tables()))}")
        return [list(table.day)]
    if not asked.day_types or not all(asked.day_types):
        raise not_offered("a tariff without a day type, or a day type without a switching time")
    return [sorted((int(start[:2]) * 60 + int(start[3:]), rate) for start, rate in day) for day in asked.day_types]


def _special(asked: Tariff) -> Data:
    """The special days as class 11 takes them."""
    made = []
    for index, each in enumerate(asked.special_days, 1):
        date = octet_string(_date(each.date))
        made.append(structure((long_unsigned(index), date, unsigned(each.day))))
    return array(made)


def _date(text: str) -> bytes:
    """Five bytes of a date. Raises RefusedError for one that the calendar does not have."""
    try:
        return moment.encode_date((date.fromisoformat(text) - date(1970, 1, 1)).days * DAY)
    except ValueError:
        raise not_offered(f"{text} is no date") from None
