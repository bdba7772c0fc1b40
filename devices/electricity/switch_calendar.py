"""A calendar of the meter's own for its auxiliary switches: class 10 at 0-0:12.0.2 with special days at 0-0:11.0.2.

What the configure-auxiliary-load request (DUIS 6.14.2) writes: lines that run a script of table 0-0:10.0.103 at a time
of day, by weekday, between two dates, on special days. Here a line is not *run*: the lines are compiled into a
`SwitchCalendar`, and the state of a switch follows from them as a function of time. So a hold lies over the calendar
and ends by itself, and an hour without mains loses no line. A meter is found with every switch on from `own_on` to
`own_off` (FACT for SMETS2: 00:00 to 07:00; ASSUMED for a SMETS1 meter that has such a calendar at all).

A line whose script neither activates nor deactivates a switch of this meter is refused: it would be silently dead.
"""

from functools import lru_cache
from typing import Final

from devices.common.circuits import Action, SwitchCalendar
from devices.common.profile import Auxiliary
from devices.electricity.meter import meter
from emulator.codecs.axdr import Data, array
from emulator.codecs.get import DataAccessResult
from emulator.dlms import moment
from emulator.dlms.classes import Schedule, SpecialDays
from emulator.dlms.classes.schedule import Entry
from emulator.dlms.cosem import AccessRefused, CosemObject, Device, obis
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND

SCRIPTS: Final = obis("0-0:10.0.103")
CALENDAR: Final = obis("0-0:12.0.2")
SPECIAL: Final = obis("0-0:11.0.2")
LINES_MOST: Final = 48
"""FACT: DUIS 6.14.2 carries at most 48 lines."""


@lru_cache(maxsize=64)
def as_found(habits: Auxiliary) -> tuple[Entry, ...]:
    """The lines a meter is found with: every switch on at `own_on`, off at `own_off`."""
    return tuple(
        Entry(2 * switch - 1 + late, True, SCRIPTS, script + switch * habits.step, _time(text))
        for switch in range(1, habits.switches + 1)
        for late, script, text in ((0, habits.activate, habits.own_on), (1, habits.deactivate, habits.own_off))
    )


def _time(text: str) -> bytes:
    return bytes((int(text[:2]), int(text[3:]), 0, 0))


def _meaning(habits: Auxiliary, selector: int) -> tuple[int, bool] | None:
    """(switch, on) of a script's number; None for one that moves no switch of this meter."""
    for switch in range(1, habits.switches + 1):
        if selector == habits.activate + switch * habits.step:
            return switch, True
        if selector == habits.deactivate + switch * habits.step:
            return switch, False
    return None


@lru_cache(maxsize=256)
def compiled(habits: Auxiliary, entries: Data, special: Data) -> SwitchCalendar:
    """The calendar that these lines and special days make."""
    actions: dict[int, tuple[Action, ...]] = {}
    for item in entries.value:
        entry = Entry.of(item)
        meaning = _meaning(habits, entry.selector)
        if not entry.enabled or meaning is None:
            continue
        switch, on = meaning
        second = moment.time_of_day(entry.time) // SECOND
        begin, end = _bound(entry.begin, last=False), _bound(entry.end, last=True)
        action = Action(second, on, entry.weekdays, entry.special_days, begin, end)
        actions[switch] = (*actions.get(switch, ()), action)
    days = tuple((bytes(item.value[1].value), int(item.value[2].value)) for item in special.value)
    return SwitchCalendar(actions, days, (entries, special))


def _bound(pattern: bytes, *, last: bool) -> bytes:
    """A date pattern as 4 bytes that sort among dates: an open part is the lowest, or highest, there is."""
    open_year, open_part = (b"\xff\xff", 0xFF) if last else (b"\x00\x00", 0x00)
    year = open_year if pattern[:2] == b"\xff\xff" else bytes(pattern[:2])
    return year + bytes(open_part if part >= 0xFD else part for part in pattern[2:4])


@lru_cache(maxsize=64)
def found(habits: Auxiliary) -> SwitchCalendar:
    """The calendar a meter is found with."""
    return compiled(habits, array(entry.data() for entry in as_found(habits)), array(()))


class OwnCalendar(Schedule):
    """Class 10 whose lines are obeyed as a function of time. Lines that move no switch are refused."""

    __slots__ = ("_habits",)

    def __init__(self, habits: Auxiliary) -> None:
        super().__init__(CALENDAR, as_found(habits), name="auxiliary.calendar")
        self._habits = habits

    def next_due(self, device: Device, after: Instant) -> Instant | None:
        """Never: no line is run."""
        return None

    def set(self, device: Device, attribute: int, data: Data, now: Instant) -> None:
        before = device.deviations.get((10, CALENDAR, 2))
        super().set(device, attribute, data, now)
        lines = self.entries(device, now)
        if len(lines) > LINES_MOST or any(
            each.script_table != SCRIPTS or _meaning(self._habits, each.selector) is None for each in lines
        ):
            if before is None:
                device.deviations.pop((10, CALENDAR, 2), None)
            else:
                device.deviations[10, CALENDAR, 2] = before
            raise AccessRefused(DataAccessResult.OTHER_REASON, "more than 48 lines, or one that moves no switch")
        meter(device).load_switch_calendar(now)


class OwnSpecialDays(SpecialDays):
    """The special days of the switches' calendar."""

    __slots__ = ()

    def set(self, device: Device, attribute: int, data: Data, now: Instant) -> None:
        super().set(device, attribute, data, now)
        meter(device).load_switch_calendar(now)


def objects(habits: Auxiliary) -> list[CosemObject]:
    """The calendar and its special days."""
    return [OwnCalendar(habits), OwnSpecialDays(SPECIAL, name="auxiliary.special-days")]
