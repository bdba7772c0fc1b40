"""Auxiliary circuits: when a switch is wished on, and what its contact makes of the wish.

Two things are kept apart, because telling them apart is what this emulator is for. The *wish* is what the meter
believes and shows over the air: a hold while it lasts, else the schedule. The *contact* is metal: it obeys, is stuck,
or was wired the wrong way round. Energy follows the contact.

A schedule is one of two kinds. On SMETS1 a switch is on while a rate it follows applies in the loaded tariff (FACT:
domain notes on the fifth terminal); some meters have a calendar of their own instead, as every SMETS2 meter has, by
default 00:00 to 07:00. Either may be late by a *randomised offset*, which keeps a street from switching in one instant
(SMETS: at most 1,799 s; that it delays both edges alike is ASSUMED). Everything here is a function of the day, in whole
seconds, so that energy and hours of heating are exact sums and nobody samples.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, TypeAlias

from devices.common.consumption import DAY_S, DayPlan
from emulator.codecs.axdr import Data
from emulator.dlms import moment
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, SECOND

OFFSET_MOST_S: Final = 1_799
"""The longest randomised offset. FACT: SMETS, Randomised Offset Limit."""

States: TypeAlias = tuple[tuple[int, bool], ...]
"""A day of a switch: (second of the day, on), in order, the first at 0, no two neighbours alike."""

_LOOK_BACK_DAYS: Final = 8
"""A day without an action goes on as the last one before it ended; a switch idle for longer is off. ASSUMED."""


class Contact(IntEnum):
    """What a relay makes of a wish."""

    OBEYS = 0
    INVERTED = 1
    STUCK_OPEN = 2
    STUCK_CLOSED = 3

    def closed(self, wished: bool) -> bool:
        """Whether current can flow when the switch is wished on (or off)."""
        if self is Contact.OBEYS:
            return wished
        return not wished if self is Contact.INVERTED else self is Contact.STUCK_CLOSED


@dataclass(slots=True, frozen=True)
class Action:
    """A line of a switch's own calendar: at `second` of the day it goes on or off.

    `weekdays` are seven bits, Monday first; `special_days` one bit for each day id, the first bit day id 1; `begin` and
    `end` are 4-byte dates that bound it, inclusive.
    """

    second: int
    on: bool
    weekdays: str
    special_days: str
    begin: bytes
    end: bytes


class SwitchCalendar:
    """The calendar a meter keeps for its switches, compiled. `source` is what it was made from: (class 10 entries,
    class 11 entries). Days count from 1970-01-01; all times are the meter's."""

    __slots__ = ("_actions", "_days", "_special", "source")

    def __init__(
        self, actions: dict[int, tuple[Action, ...]], special: tuple[tuple[bytes, int], ...], source: tuple[Data, Data]
    ) -> None:
        """`actions` by switch; `special` are (5-byte date pattern, day id)."""
        self._actions = {switch: tuple(sorted(each, key=lambda a: a.second)) for switch, each in actions.items()}
        self._special = special
        self._days: dict[tuple[int, int], States] = {}
        self.source = source

    def uniform(self, switch: int) -> States | None:
        """The day of a switch, where every day is alike."""
        actions = self._actions.get(switch, ())
        if any(each.weekdays != "1111111" or (each.begin, each.end) != EVERY_DATE for each in actions):
            return None
        return None if self._special and actions else self.states(switch, 0)

    def states(self, switch: int, day: int) -> States:
        """How a switch stands through a day."""
        found = self._days.get((switch, day))
        if found is None:
            if len(self._days) > 4_000:
                self._days.clear()
            today = self._today(switch, day)
            spans = [(0, self._before(switch, day))]
            for each in today:
                if each.second == spans[-1][0]:
                    spans[-1] = (each.second, each.on)
                else:
                    spans.append((each.second, each.on))
            found = self._days[switch, day] = merged(tuple(spans))
        return found

    def _before(self, switch: int, day: int) -> bool:
        """How the days before ended."""
        for back in range(1, _LOOK_BACK_DAYS):
            past = self._today(switch, day - back)
            if past:
                return past[-1].on
        return False

    def _today(self, switch: int, day: int) -> list[Action]:
        special = next((day_id for pattern, day_id in self._special if moment.same_day(pattern, day)), None)
        place = moment.day_of_week(day) if special is None else special
        date = moment.encode_date(max(day, 0) * DAY)[:4]
        found = []
        for each in self._actions.get(switch, ()):
            bits = each.weekdays if special is None else each.special_days
            if 0 < place <= len(bits) and bits[place - 1] == "1" and each.begin <= date <= each.end:
                found.append(each)
        return found


EVERY_DATE: Final = (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff")
"""`begin` and `end` of an action without bounds."""


def merged(spans: tuple[tuple[int, bool], ...]) -> States:
    """Without the moments at which nothing changes."""
    return tuple(span for at, span in enumerate(spans) if not at or spans[at - 1][1] != span[1])


@lru_cache(maxsize=4096)
def following(plan: DayPlan, follows: frozenset[int]) -> States:
    """A day of a switch that is on while a rate in `follows` applies."""
    return merged(tuple((start, rate in follows) for start, rate in plan.spans))


@lru_cache(maxsize=4096)
def late(before: States, today: States, offset_s: int) -> States:
    """`today`, every edge later by `offset_s` (0 to 86,399): its beginning is the end of the day `before`."""
    if not offset_s:
        return today
    cut = DAY_S - offset_s
    return merged(
        (
            (0, state_at(before, cut)),
            *((start - cut, on) for start, on in before if start > cut),
            *((start + offset_s, on) for start, on in today if start + offset_s < DAY_S),
        )
    )


def state_at(states: States, second: int) -> bool:
    """How a switch stands at a second of the day."""
    found = states[0][1]
    for start, on in states:
        if start > second:
            break
        found = on
    return found


@lru_cache(maxsize=4096)
def lanes(plan: DayPlan, closed: States) -> DayPlan:
    """A tariff's day and a contact's day cut into one: lane 2 * rate + 1 while the contact is closed, else 2 * rate."""
    edges = sorted({start for start, _ in plan.spans} | {start for start, _ in closed})
    return _plan(tuple((at, 2 * plan.lane(at) + state_at(closed, at)) for at in edges))


@lru_cache(maxsize=4096)
def _plan(spans: tuple[tuple[int, int], ...]) -> DayPlan:
    """One plan for equal days: plans are compared by identity."""
    return DayPlan(spans)


@dataclass(slots=True, frozen=True)
class Span:
    """A stretch of true time in which a switch stood still. `held`: by a command, not by its schedule; `dark`: without
    mains; `regime` numbers the law it stood under, rising."""

    since: Instant
    until: Instant
    wished: bool
    closed: bool
    held: bool
    dark: bool
    regime: int

    @property
    def seconds(self) -> float:
        return (self.until - self.since) / SECOND
