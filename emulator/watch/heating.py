"""When auxiliary loads are switched, as far as tables and clock decide: before and after a write.

On SMETS1 a switch is on while a rate it follows applies, so a tariff write, what a switch follows, its own calendar or
a clock set wrong move the heating of a home. Ad-hoc holds are commands and no such move. Times are worked out for the
coming week, in the meter's time, and compared span by span; a clock counts when it is set to a worse time than it had.

The meter's own ledger says how each circuit is scheduled on a day, by the tariff or by a calendar of its own, its
randomised offset included.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

from emulator.dlms.cosem import Device, obis
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, SECOND
from emulator.watch.requests import Target

Spans: TypeAlias = tuple[tuple[int, bool], ...]
"""(second of the day, on) from 0 on, each different from the one before."""

DAYS: Final = 7
_CALENDARS: Final = frozenset({20, 11, 10, 21})
_CLOCK: Final = 8
_OWN: Final = 94
_ACTIVATION: Final = 10
_DAYS_ACTIVE, _DAYS_PASSIVE = 5, 9
_AD_HOC: Final = frozenset({117, 119, 121})
_CALENDAR: Final = (20, obis("0-0:13.0.0"))


@dataclass(frozen=True, slots=True)
class Times:
    """Switching times of a meter: `days[switch]` for a week from its today on; its clock's error in µs."""

    days: dict[int, tuple[Spans, ...]]
    error: Instant


def concerns(target: Target) -> bool:
    """Whether a write may move switching times."""
    if target.class_id in _CALENDARS or target.class_id == _CLOCK:
        return True
    name = target.logical_name
    return name[2] == _OWN and not (target.class_id == 1 and name[3] == 44 and name[4] in _AD_HOC)


def times(device: Device, now: Instant) -> Times | None:
    """The switching times of a meter that has auxiliary switches wired; None for any other device."""
    meter: Any = device
    home = getattr(meter, "home", None)
    if getattr(home, "wiring", None) is None or not hasattr(meter, "ledger"):
        return None
    shown = meter.shown(now)
    today = shown // DAY
    ledger = meter.ledger
    regime = ledger.regimes[-1]
    found = {
        circuit.switch: tuple(ledger.scheduled(regime, place, day) for day in range(today, today + DAYS))
        for place, circuit in enumerate(ledger.circuits)
    }
    return Times(found, shown - now)


def moved(before: Times, after: Times, least_s: int, clock_s: int) -> list[str]:
    """What moved, from when to when, in words; empty when nothing did by more than the limits."""
    found = []
    if before.days != after.days:
        for switch, week in before.days.items():
            for day, (old, new) in enumerate(zip(week, after.days.get(switch, week), strict=False)):
                if _apart(old, new, least_s):
                    when = (
                        "every day" if len(set(week)) == 1 and len(set(after.days[switch])) == 1 else f"in {day} days"
                    )
                    found.append(f"switch {switch} {when}: on {told(old)} before, on {told(new)} now")
                    break
    worse = abs(after.error) - abs(before.error)
    if worse > clock_s * SECOND:
        found.append(
            f"the clock was {before.error // SECOND} s ahead and is {after.error // SECOND} s ahead now: "
            "every switching time moves with it"
        )
    return found


def planned(device: Device, target: Target, now: Instant) -> str | None:
    """For a write that plans the passive calendar: what it will move; None when it says the same as the active one."""
    if (target.class_id, target.logical_name) != _CALENDAR or target.acts or target.number != _ACTIVATION:
        return None
    calendar = device.objects[_CALENDAR]
    active = calendar.read(device, _DAYS_ACTIVE, now)
    passive = calendar.read(device, _DAYS_PASSIVE, now)
    return None if active == passive else "a passive calendar with other day profiles takes over at a time that was set"


def _apart(old: Spans, new: Spans, least_s: int) -> bool:
    """Whether two days differ for more than `least_s` seconds in sum."""
    if old == new:
        return False
    marks = sorted({start for start, _ in (*old, *new)} | {86_400})
    differs = 0
    for begin, end in pairwise(marks):
        if _at(old, begin) != _at(new, begin):
            differs += end - begin
    return differs > least_s


def _at(spans: Spans, second: int) -> bool:
    found = spans[0][1] if spans else False
    for start, on in spans:
        if start > second:
            break
        found = on
    return found


def told(spans: Spans) -> str:
    """The on-times of a day: "00:30-07:30, 13:00-16:00", "never" or "all day"."""
    ends = [*(start for start, _ in spans[1:]), 86_400]
    on = [(start, end) for (start, live), end in zip(spans, ends, strict=False) if live]
    if not on:
        return "never"
    if on == [(0, 86_400)]:
        return "all day"
    return ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in on)


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}"
