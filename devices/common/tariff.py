"""Which rate applies: the switching table that is loaded in the meter, as a function of the meter's time.

A meter is loaded with an activity calendar (class 20: seasons, weeks, day types) and special days (class 11). This
module compiles those attributes, as they stand in the meter, into a `Calendar`, and turns the named tables of
`fixtures/estates/tariffs.toml`, which say what a home was found with, into the same attributes. There is no third form:
what a head end writes and what a home was found with go through the same compiler, so a bad write is refused by the
rules that read it. Times are GMT the year round, as the trade keeps them.

A day action's script selector *is* the rate: script n of table 0-0:10.0.100 activates rate n. Before the first action
of a day its own last one applies (the standard lets yesterday's run on; with every day alike that is the same).

Compiled calendars and day plans are shared: a hundred thousand homes on Economy 7 hold one.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from devices.common.consumption import DAY_S, DayPlan
from emulator import resources
from emulator.codecs.axdr import Data, Tag, array, long_unsigned, octet_string, structure, unsigned
from emulator.dlms import moment
from emulator.dlms.cosem import obis
from emulator.errors import InputError
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, SECOND

SCRIPTS: Final = obis("0-0:10.0.100.255")
"""The tariff script table a day action names."""

RATES_MOST: Final = 48
DAY_TYPES_MOST: Final = 17
ACTIONS_MOST: Final = 12
SEASONS_MOST: Final = 4
WEEKS_MOST: Final = 4
SPECIAL_DAYS_MOST: Final = 50
"""How much a calendar may hold. FACT for the Secure Liberty 100 (manual p. 39), ASSUMED for every other meter."""

_FOREVER: Final[Instant] = 1 << 62


class BadTableError(Exception):
    """The attributes do not make a calendar; the text says why. A writer is refused with it."""


@lru_cache(maxsize=1024)
def _plan(spans: tuple[tuple[int, int], ...]) -> DayPlan:
    return DayPlan(spans)


class Calendar:
    """A compiled calendar. Days count from 1970-01-01; all times are the meter's. `source` is what it was made from:
    seasons, weeks, day types, special days."""

    __slots__ = ("_by_day", "_days", "_seasons", "_special", "_uniform", "_weeks", "source")

    def __init__(
        self,
        seasons: tuple[tuple[bytes, bytes], ...],
        weeks: Mapping[bytes, tuple[int, ...]],
        days: Mapping[int, DayPlan],
        special: tuple[tuple[bytes, int], ...],
        source: tuple[Data, Data, Data, Data],
    ) -> None:
        self.source = source
        self._seasons = seasons
        self._weeks = weeks
        self._days = days
        self._special = special
        self._by_day: dict[int, DayPlan] = {}
        used = {days[day] for _, week in seasons for day in weeks[week]} | {days[day] for _, day in special}
        self._uniform: DayPlan | None = used.pop() if len(used) == 1 else None

    def plan(self, day: int) -> DayPlan:
        """How a day is cut into rates."""
        if self._uniform is not None:
            return self._uniform
        found = self._by_day.get(day)
        if found is None:
            if len(self._by_day) > 4_000:
                self._by_day.clear()
            found = self._by_day[day] = self._days[self._day_type(day)]
        return found

    @property
    def uniform(self) -> DayPlan | None:
        """How a day is cut, where every day is alike."""
        return self._uniform

    def runs(self, first: int, end: int) -> list[tuple[int, int, DayPlan]]:
        """The days from `first` up to, not including, `end`, as runs (first, end, plan) of equal days."""
        if self._uniform is not None:
            return [(first, end, self._uniform)]
        found: list[tuple[int, int, DayPlan]] = []
        begun, plan = first, self.plan(first)
        for day in range(first + 1, end):
            here = self.plan(day)
            if here is not plan:
                found.append((begun, day, plan))
                begun, plan = day, here
        found.append((begun, end, plan))
        return found

    def rate(self, at: Instant) -> int:
        """The rate in force at an instant of the meter's time."""
        return self.plan(at // DAY).lane(at % DAY // SECOND)

    def next_change(self, at: Instant, rates: frozenset[int]) -> Instant:
        """When, after `at`, the rate next moves into or out of `rates`; 2**62 if it does not within nine days."""
        inside = self.rate(at) in rates
        day = at // DAY
        for ahead in range(day, day + 9):
            for start, rate in self.plan(ahead).spans:
                then = ahead * DAY + start * SECOND
                if then > at and (rate in rates) != inside:
                    return then
        return _FOREVER

    def _day_type(self, day: int) -> int:
        for pattern, day_type in self._special:
            if moment.same_day(pattern, day):
                return day_type
        return self._weeks[self._season_week(day)][(day + 3) % 7]

    def _season_week(self, day: int) -> bytes:
        """The week of the season whose start is the latest one not after `day`."""
        at = moment.encode_date(day * DAY)
        year = at[0] << 8 | at[1]
        best, week = -1, self._seasons[0][1]
        for pattern, name in self._seasons:
            fixed = pattern[0] << 8 | pattern[1]
            for of in (year, year - 1) if fixed == 0xFFFF else (fixed,):
                try:
                    start = moment.in_year(pattern, of)
                except ValueError:
                    continue
                if best < start <= day:
                    best, week = start, name
        return week


def _fields(data: Data, tags: tuple[int, ...], what: str) -> tuple[Any, ...]:
    if data.tag != Tag.STRUCTURE or tuple(item.tag for item in data.value) != tags:
        raise BadTableError(f"{what} is not of the type the standard gives it")
    return tuple(item.value for item in data.value)


def _items(data: Data, most: int, what: str) -> tuple[Data, ...]:
    if data.tag != Tag.ARRAY:
        raise BadTableError(f"the {what} are not an array")
    if len(data.value) > most:
        raise BadTableError(f"{len(data.value)} {what}; this meter holds {most}")
    items: tuple[Data, ...] = data.value
    return items


_OCTETS: Final = int(Tag.OCTET_STRING)
_DAY_TAGS: Final = (int(Tag.UNSIGNED), int(Tag.ARRAY))
_ACTION_TAGS: Final = (_OCTETS, _OCTETS, int(Tag.LONG_UNSIGNED))
_WEEK_TAGS: Final = (_OCTETS, *(int(Tag.UNSIGNED),) * 7)
_SEASON_TAGS: Final = (_OCTETS, _OCTETS, _OCTETS)
_SPECIAL_TAGS: Final = (int(Tag.LONG_UNSIGNED), _OCTETS, int(Tag.UNSIGNED))


def compile_days(days: Data) -> dict[int, DayPlan]:
    """Attribute 5 (or 9) of class 20 as plans by day id. Raises BadTableError."""
    found: dict[int, DayPlan] = {}
    for item in _items(days, DAY_TYPES_MOST, "day types"):
        day_id, actions = _fields(item, _DAY_TAGS, "a day type")
        spans: list[tuple[int, int]] = []
        for action in _items(Data(int(Tag.ARRAY), actions), ACTIONS_MOST, "switching times in a day"):
            start, script, selector = _fields(action, _ACTION_TAGS, "a day action")
            if script != SCRIPTS:
                raise BadTableError("a day action names another script table than the tariff's")
            if not moment.valid_time(start):
                raise BadTableError("a day action's start is not a time")
            if not 1 <= selector <= RATES_MOST:
                raise BadTableError(f"rate {selector} does not exist")
            spans.append((moment.time_of_day(start) // SECOND, selector))
        if not spans:
            raise BadTableError("a day type without an action")
        spans.sort()
        if len({start for start, _ in spans}) != len(spans):
            raise BadTableError("two actions at one time")
        if spans[0][0]:
            spans.insert(0, (0, spans[-1][1]))
        if day_id in found:
            raise BadTableError(f"day type {day_id} twice")
        found[day_id] = _plan(tuple(_merged(spans)))
    return found


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Without the actions that change nothing."""
    return [span for at, span in enumerate(spans) if at == 0 or spans[at - 1][1] != span[1]]


def compile_weeks(weeks: Data) -> dict[bytes, tuple[int, ...]]:
    """Attribute 4 (or 8) of class 20 as seven day ids, Monday first, by week name. Raises BadTableError."""
    found: dict[bytes, tuple[int, ...]] = {}
    for item in _items(weeks, WEEKS_MOST, "weeks"):
        name, *ids = _fields(item, _WEEK_TAGS, "a week")
        if name in found:
            raise BadTableError("two weeks of one name")
        found[name] = tuple(ids)
    return found


def compile_seasons(seasons: Data) -> tuple[tuple[bytes, bytes], ...]:
    """Attribute 3 (or 7) of class 20 as (start date pattern, week name). Raises BadTableError."""
    found = []
    for item in _items(seasons, SEASONS_MOST, "seasons"):
        _, start, week = _fields(item, _SEASON_TAGS, "a season")
        if not moment.valid_date_time(start):
            raise BadTableError("a season's start is not a date")
        found.append((start[:5], week))
    return tuple(found)


def compile_special(special: Data) -> tuple[tuple[bytes, int], ...]:
    """Attribute 2 of class 11 as (date pattern, day id). Raises BadTableError."""
    found = []
    for item in _items(special, SPECIAL_DAYS_MOST, "special days"):
        _, pattern, day_id = _fields(item, _SPECIAL_TAGS, "a special day")
        if not moment.valid_date(pattern):
            raise BadTableError("a special day is not a date")
        found.append((pattern, day_id))
    return tuple(found)


@lru_cache(maxsize=256)
def calendar(seasons: Data, weeks: Data, days: Data, special: Data) -> Calendar:
    """The calendar these attributes make together. Raises BadTableError: something named is not there."""
    by_week, by_day, of_season = compile_weeks(weeks), compile_days(days), compile_seasons(seasons)
    of_special = compile_special(special)
    if not of_season:
        raise BadTableError("a calendar without a season")
    for _, week in of_season:
        if week not in by_week:
            raise BadTableError("a season names a week that is not there")
    named = {day for week in by_week.values() for day in week} | {day for _, day in of_special}
    if not named <= by_day.keys():
        raise BadTableError("a week or a special day names a day type that is not there")
    return Calendar(of_season, by_week, by_day, of_special, (seasons, weeks, days, special))


@dataclass(frozen=True, slots=True, eq=False)
class SwitchingTable:
    """A table a home can be found with, as the attributes a meter holds.

    `switched` are the rates during which its auxiliary circuits are live; `spans` (second of the day, rate).
    """

    name: str
    rates: int
    switched: frozenset[int]
    spans: tuple[tuple[int, int], ...]
    seasons: Data
    weeks: Data
    days: Data
    special: Data
    calendar: Calendar


_SEASON: Final = b"\x01"
_WEEK: Final = b"\x01"
_ALL_YEAR: Final = b"\xff\xff\x01\x01\xff" + b"\x00" * 4 + b"\x80\x00\xff"


def day_type(day_id: int, spans: tuple[tuple[int, int], ...]) -> Data:
    """A day type for class 20: `spans` are (second of the day, rate)."""
    actions = (
        structure(
            (
                octet_string(bytes((start // 3600, start // 60 % 60, start % 60, 0))),
                octet_string(SCRIPTS),
                long_unsigned(rate),
            )
        )
        for start, rate in spans
    )
    return structure((unsigned(day_id), array(actions)))


def attributes(spans: tuple[tuple[int, int], ...]) -> tuple[Data, Data, Data]:
    """Seasons, weeks and day types of a table in which every day is alike: one season, one week, day type 1."""
    return (
        array((structure((octet_string(_SEASON), octet_string(_ALL_YEAR), octet_string(_WEEK))),)),
        array((structure((octet_string(_WEEK), *(unsigned(1),) * 7)),)),
        array((day_type(1, spans),)),
    )


NO_SPECIAL_DAYS: Final = array(())


def switching_table(
    name: str, rates: int, switched: frozenset[int], spans: tuple[tuple[int, int], ...]
) -> SwitchingTable:
    """A table from its spans. Raises InputError."""
    seasons, weeks, days = attributes(spans)
    try:
        compiled = calendar(seasons, weeks, days, NO_SPECIAL_DAYS)
    except (BadTableError, AssertionError) as error:
        raise InputError(f"switching table {name!r}: {error}; let a day begin at 00:00 and its times rise") from error
    return SwitchingTable(name, rates, switched, spans, seasons, weeks, days, NO_SPECIAL_DAYS, compiled)


@lru_cache(maxsize=1)
def tables() -> Mapping[str, SwitchingTable]:
    """The named tables of `fixtures/estates/tariffs.toml`. Raises InputError naming the file and the table."""
    file = resources.fixture("estates/tariffs.toml")
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{file}: {error}; put readable TOML there") from error
    found = {}
    for name, body in document.items():
        try:
            spans = tuple((_second(str(start)), int(rate)) for start, rate in body["day"])
            rates, switched = int(body["rates"]), frozenset(map(int, body["switched"]))
        except (KeyError, TypeError, ValueError) as wrong:
            raise InputError(
                f'{file}: {name}: {wrong!r}; a table has rates, switched and day = [["00:00", rate], ...]'
            ) from wrong
        found[name] = switching_table(name, rates, switched, spans)
    return found


FLAT: Final = switching_table("flat", 1, frozenset(), ((0, 1),))
"""One rate all day: what a gas meter counts by."""


def named(name: str) -> SwitchingTable:
    """A table by name. Raises InputError naming those there are."""
    try:
        return tables()[name]
    except KeyError:
        raise InputError(f"no switching table {name!r}; there are {', '.join(sorted(tables()))}") from None


def _second(text: str) -> int:
    hour, minute = text.split(":")
    second = int(hour) * 3600 + int(minute) * 60
    if not 0 <= second < DAY_S:
        raise ValueError(f"{text} is not a time of day")
    return second
