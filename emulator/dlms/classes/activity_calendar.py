"""Activity calendar, class 20 (DLMS UA 1000-1 4.5.5): seasons, weeks and days that say which script holds when.

The tariff, and on SMETS1 the auxiliary switch behind the fifth terminal, follow this calendar. Nothing has to run for
that: `rate_at` says which (script table, script) is in force at an instant and `next_switch` when that changes, so
physics can integrate over a month without an event. A model that wants scripts executed at the switching times says
`runs_scripts`.

The passive calendar takes over at the time in attribute 10, or at once by method 1. The take-over is looked for
whenever the calendar is used, so a device that slept through it wakes with the right one. Times are of the device's
clock.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final, TypeAlias

from mypy_extensions import mypyc_attr

from emulator.codecs.axdr import Data, Tag, array, long_unsigned, octet_string, structure, unsigned
from emulator.codecs.get import DataAccessResult, SelectiveAccess
from emulator.dlms import moment
from emulator.dlms.classes.clock import Clock
from emulator.dlms.classes.script_table import execute_script
from emulator.dlms.classes.special_days import SpecialDays
from emulator.dlms.cosem import AccessRefused, CosemObject, Device, require_integer, stored
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, utc

Rate: TypeAlias = tuple[bytes, int]
"""(logical name of the script table, script number)."""

_DAYS_AHEAD: Final = 400


@dataclass(frozen=True, slots=True)
class Calendar:
    """One calendar. `seasons` are (name, 12-byte start that may leave the year open, week name); `weeks` (name, seven
    day ids from Monday); `days` (day id, ((4-byte start, script table, script number), ...))."""

    name: bytes
    seasons: tuple[tuple[bytes, bytes, bytes], ...]
    weeks: tuple[tuple[bytes, tuple[int, ...]], ...]
    days: tuple[tuple[int, tuple[tuple[bytes, bytes, int], ...]], ...]

    def data(self) -> tuple[Data, Data, Data, Data]:
        """Calendar name, season profile, week profile table, day profile table."""
        return (
            octet_string(self.name),
            array(structure(octet_string(part) for part in season) for season in self.seasons),
            array(structure((octet_string(name), *(unsigned(day) for day in days))) for name, days in self.weeks),
            array(
                structure(
                    (
                        unsigned(day),
                        array(
                            structure((octet_string(start), octet_string(table), long_unsigned(script)))
                            for start, table, script in actions
                        ),
                    )
                )
                for day, actions in self.days
            ),
        )


EMPTY: Final = Calendar(b"", (), (), ())


def _is_seasons(data: Data) -> bool:
    return data.tag == Tag.ARRAY and all(
        item.tag == Tag.STRUCTURE
        and len(item.value) == 3
        and item.value[0].tag == item.value[2].tag == Tag.OCTET_STRING
        and item.value[1].tag in (Tag.OCTET_STRING, Tag.DATE_TIME)
        and moment.valid_date_time(item.value[1].value)
        for item in data.value
    )


def _is_weeks(data: Data) -> bool:
    return data.tag == Tag.ARRAY and all(
        item.tag == Tag.STRUCTURE and [part.tag for part in item.value] == [Tag.OCTET_STRING] + [Tag.UNSIGNED] * 7
        for item in data.value
    )


def _is_days(data: Data) -> bool:
    if data.tag != Tag.ARRAY:
        return False
    for item in data.value:
        if item.tag != Tag.STRUCTURE or [part.tag for part in item.value] != [Tag.UNSIGNED, Tag.ARRAY]:
            return False
        for action in item.value[1].value:
            if action.tag != Tag.STRUCTURE or len(action.value) != 3:
                return False
            start, table, script = action.value
            if start.tag not in (Tag.OCTET_STRING, Tag.TIME) or not moment.valid_time(start.value):
                return False
            if table.tag != Tag.OCTET_STRING or len(table.value) != 6 or script.tag != Tag.LONG_UNSIGNED:
                return False
    numbers = [item.value[0].value for item in data.value]
    return len(set(numbers)) == len(numbers)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A calendar made ready: day id -> (starts, rates), week name -> day ids, seasons as written."""

    seasons: tuple[tuple[bytes, bytes], ...]
    weeks: dict[bytes, tuple[int, ...]]
    days: dict[int, tuple[list[int], list[Rate]]]

    def day_id(self, day: int) -> int | None:
        """The day profile of a day by season and week."""
        week = self._week(day)
        return None if week is None else week[moment.day_of_week(day) - 1]

    def _week(self, day: int) -> tuple[int, ...] | None:
        if not self.weeks:
            return None
        if not self.seasons:
            return next(iter(self.weeks.values()))
        year = utc(day * DAY).year
        best: tuple[int, bytes] | None = None
        for start, week in self.seasons:
            stated = start[0] << 8 | start[1]
            for candidate in (stated,) if stated != 0xFFFF else (year - 1, year):
                begin = _season_start(start[:5], candidate)
                if begin is not None and begin <= day and (best is None or begin > best[0]):
                    best = begin, week
        return self.weeks.get(self.seasons[-1][1] if best is None else best[1])


@lru_cache(maxsize=256)
def _season_start(pattern: bytes, year: int) -> int | None:
    if pattern[2:4] == b"\xff\xff":  # only a year, or nothing at all: from its first day
        pattern = pattern[:2] + b"\x01\x01\xff"
    elif pattern[2] == 0xFF:
        return None
    try:
        return moment.in_year(pattern, year)
    except ValueError:
        return None


@lru_cache(maxsize=512)
def _compiled(seasons: Data, weeks: Data, days: Data) -> _Compiled:
    table: dict[int, tuple[list[int], list[Rate]]] = {}
    for item in days.value:
        actions = sorted(
            (moment.time_of_day(start.value), (at.value, script.value))
            for start, at, script in (action.value for action in item.value[1].value)
        )
        table[item.value[0].value] = [start for start, _ in actions], [rate for _, rate in actions]
    return _Compiled(
        tuple((item.value[1].value, item.value[2].value) for item in seasons.value),
        {item.value[0].value: tuple(day.value for day in item.value[1:]) for item in weeks.value},
        table,
    )


@mypyc_attr(allow_interpreted_subclasses=True)
class ActivityCalendar(CosemObject):
    """Attributes: 2 calendar name, 3 season profile, 4 week profile table, 5 day profile table, all active; 6 to 9
    the same, passive; 10 activation time of the passive calendar. Method 1 activate passive calendar, with
    integer(0)."""

    __slots__ = ("_activated", "_active", "_clock", "_compiled", "_runs_scripts", "_special_days")
    class_id: ClassVar[int] = 20
    methods: ClassVar[Mapping[int, str]] = {1: "activate_passive_calendar"}

    def __init__(
        self,
        logical_name: bytes | str = "0-0:13.0.0.255",
        active: Calendar = EMPTY,
        passive: Calendar = EMPTY,
        *,
        clock: Clock | None = None,
        special_days: SpecialDays | None = None,
        activated: Callable[[Device, Instant], None] | None = None,
        runs_scripts: bool = False,
        name: str = "",
    ) -> None:
        """Without a `clock` true time counts. `activated(device, at)` is told when the passive calendar took over;
        `runs_scripts` makes the object execute the script of each switching time (`tree.Timed`)."""
        checks = (None, _is_seasons, _is_weeks, _is_days)
        attributes = [stored(data, check) for data, check in zip(active.data(), checks, strict=True)]
        attributes += [stored(data, check) for data, check in zip(passive.data(), checks, strict=True)]
        attributes.append(
            stored(
                octet_string(moment.ANY_DATE_TIME),
                lambda data: data.tag in (Tag.OCTET_STRING, Tag.DATE_TIME) and len(data.value) == 12,
                before=self._plannable,
                changed=self._planned,
            )
        )
        self._active = active.data()
        super().__init__(logical_name, attributes, name=name)
        self._compiled = _compiled(*self._active[1:])
        self._clock = clock
        self._special_days = special_days
        self._activated = activated
        self._runs_scripts = runs_scripts

    # What is in force

    def rate_at(self, device: Device, now: Instant) -> Rate | None:
        """The (script table, script) in force at `now`; None where the calendar says nothing."""
        if device.deviations:
            self._settle(device, now)
        local = now if self._clock is None else self._clock.local(device, now)
        return self._rate(device, self._calendar(device, now), local, now)

    def next_switch(self, device: Device, now: Instant) -> Instant | None:
        """The first instant later than `now` at which `rate_at` says something else, or the passive calendar takes
        over."""
        if device.deviations:
            self._settle(device, now)
        planned = self._plan(device, now)
        clock = self._clock
        calendar = self._calendar(device, now)
        local = now if clock is None else clock.local(device, now)
        held = self._rate(device, calendar, local, now)
        first = local // DAY
        for day in range(first, first + _DAYS_AHEAD):
            starts, rates = self._day(device, calendar, day, now)
            for start, rate in zip(starts, rates, strict=True):
                at = day * DAY + start
                if at <= local or rate == held:
                    continue
                true = at if clock is None else clock.from_local(device, at, now)
                return true if planned is None else min(true, planned)
            if planned is not None and day * DAY > planned + DAY:
                break
        return planned

    def _day(self, device: Device, calendar: _Compiled, day: int, now: Instant) -> tuple[list[int], list[Rate]]:
        """Starting times and rates of one local day."""
        day_id = None if self._special_days is None else self._special_days.day_id(device, day, now)
        if day_id is None:
            day_id = calendar.day_id(day)
        return calendar.days.get(-1 if day_id is None else day_id, _NOTHING)

    def _rate(self, device: Device, calendar: _Compiled, local: Instant, now: Instant) -> Rate | None:
        day, time = divmod(local, DAY)
        for back in range(8):  # before the first start of a day, what held yesterday goes on
            starts, rates = self._day(device, calendar, day - back, now)
            place = len(starts) if back else bisect_right(starts, time)
            if place:
                return rates[place - 1]
        return None

    def _calendar(self, device: Device, now: Instant) -> _Compiled:
        if not device.deviations:
            return self._compiled
        parts = [super(ActivityCalendar, self).get(device, number, None, now) for number in (3, 4, 5)]
        if all(part is default for part, default in zip(parts, self._active[1:], strict=True)):
            return self._compiled
        return _compiled(*parts)

    # The passive calendar

    def get(self, device: Device, attribute: int, access: SelectiveAccess | None, now: Instant) -> Data:
        if device.deviations:
            self._settle(device, now)
        return super().get(device, attribute, access, now)

    def set(self, device: Device, attribute: int, data: Data, now: Instant) -> None:
        if device.deviations:
            self._settle(device, now)
        super().set(device, attribute, data, now)

    def _plan(self, device: Device, now: Instant) -> Instant | None:
        """The true instant at which the passive calendar is to take over, or None."""
        value = super().get(device, 10, None, now).value
        if moment.never(value):
            return None
        local = moment.decode(value[:9] + b"\x80\x00\x00")
        return local if self._clock is None else self._clock.from_local(device, local, now)

    def _plannable(self, device: Device, data: Data, now: Instant) -> None:
        if not moment.never(data.value):
            try:
                moment.decode(data.value[:9] + b"\x80\x00\x00")
            except ValueError as error:
                raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, str(error)) from error

    def _planned(self, device: Device, data: Data, now: Instant) -> None:
        planned = self._plan(device, now)
        if planned is not None:
            device.wake_at(max(planned, now))

    def _settle(self, device: Device, now: Instant) -> None:
        if (20, self.logical_name, 10) in device.deviations:
            planned = self._plan(device, now)
            if planned is not None and planned <= now:
                self._activate(device, planned)

    def _activate(self, device: Device, at: Instant) -> None:
        for number in range(2, 6):
            super().set(device, number, super().get(device, number + 4, None, at), at)
        device.deviations.pop((20, self.logical_name, 10), None)
        device.note("calendar.activated", self.name or self.logical_name)
        if self._activated is not None:
            self._activated(device, at)

    def act_activate_passive_calendar(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        self._activate(device, now)

    # By itself

    def next_due(self, device: Device, after: Instant) -> Instant | None:
        if self._runs_scripts:
            return self.next_switch(device, after)
        if not device.deviations:
            return None
        planned = self._plan(device, after)
        return planned if planned is not None and planned > after else None

    def run(self, device: Device, at: Instant, now: Instant) -> None:
        self._settle(device, at)
        if self._runs_scripts:
            rate = self.rate_at(device, at)
            if rate is not None:
                execute_script(device, *rate, now)


_NOTHING: Final[tuple[list[int], list[Rate]]] = ([], [])
