"""What a home draws, as a function of (seed, installation, time): read in O(1), with no history kept.

The trick is to draw chance on the *cumulative* curve and not on the load. For half-hour slot h of day d the energy used
in that slot on all days before d is

    K(h, d) = weight(h) * (Z(d) + m * noise(h, d))

with Z the running sum of the seasonal factor and noise one keyed byte. A day's half-hour is the difference
K(h, d+1) - K(h, d): it varies from day to day, stays positive because m * 255 is below the smallest seasonal factor,
and its sum over any run of days is two look-ups. So registers never run back, the half-hours add up to the register
to the last unit, and a window of the day (a tariff rate, a heating circuit) has a closed form of its own: the sum
over its slots. The obvious other way, drawing each half-hour and adding, costs a hundred thousand draws per read.

Energy is counted in whole *grains*, micro-watt-hours times 1,800 seconds, so that a part of a slot of any whole number
of seconds is exact. 1 Wh (or 1 dm3 of gas, whose loads use the same unit) is `GRAINS` of them. Noise comes from
BLAKE2b keyed with the seed: 48 bytes for 48 slots in one call. Annual shapes are ASSUMED, not taken from any household
survey.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from math import cos, pi
from operator import mul
from typing import Final, TypeAlias

from emulator.kernel import chance

SLOTS: Final = 48
SLOT_S: Final = 1_800
DAY_S: Final = SLOTS * SLOT_S
GRAINS: Final = 1_800 * 1_000_000
"""Grains in one Wh (electricity) or one dm3 (gas)."""

_CYCLE_DAYS: Final = 1_461  # four years with their leap day: the season repeats exactly
_SEASON_UNIT: Final = 1_000

Pieces: TypeAlias = tuple[tuple[tuple[int, int, int], ...], ...]
"""For each of the 48 slots: (from second, to second, lane), seconds within the slot, in order and without gaps."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A day and a year of use.

    `weights` are 48 relative loads (their sum is 480, 10 for a flat day); `amplitude` is how far the season swings
    about 1,000 (peak in mid January); `noise` is m above: noise * 255 must stay below 1,000 - amplitude.
    """

    name: str
    weights: tuple[int, ...]
    amplitude: int
    noise: int

    def __post_init__(self) -> None:
        assert len(self.weights) == SLOTS
        assert sum(self.weights) == 480
        assert min(self.weights) >= 0
        assert self.noise * 255 < _SEASON_UNIT - self.amplitude


def _hours(*loads: int) -> tuple[int, ...]:
    """48 slots from 24 hourly weights that sum to 240."""
    return tuple(load for load in loads for _ in range(2))


# fmt: off
FAMILY: Final = Shape("family",
    _hours(4, 3, 3, 3, 3, 5, 9, 14, 12, 8, 8, 9,
           10, 9, 8, 10, 14, 19, 22, 20, 17, 14, 10, 6), 250, 2)
OUT_ALL_DAY: Final = Shape("out all day",
    _hours(4, 3, 3, 3, 3, 7, 15, 15, 7, 4, 4, 4,
           4, 4, 5, 6, 12, 24, 29, 27, 22, 17, 11, 7), 220, 2)
AT_HOME: Final = Shape("at home",
    _hours(4, 3, 3, 3, 3, 4, 6, 10, 13, 14, 13, 13,
           15, 13, 12, 12, 14, 17, 18, 16, 13, 10, 7, 4), 200, 2)
NIGHT_SHIFT: Final = Shape("night shift",
    _hours(9, 8, 7, 6, 5, 6, 9, 12, 9, 5, 4, 4,
           4, 5, 7, 11, 16, 20, 20, 18, 16, 14, 13, 12), 200, 2)
GAS_HEATING: Final = Shape("gas heating",
    _hours(2, 2, 2, 2, 3, 10, 24, 26, 17, 9, 7, 6,
           7, 6, 6, 8, 14, 20, 21, 18, 14, 9, 5, 2), 700, 1)
STORAGE_HEATER: Final = Shape("storage heater", (10,) * SLOTS, 800, 0)

# fmt: on

ELECTRICITY_SHAPES: Final = (FAMILY, OUT_ALL_DAY, AT_HOME, NIGHT_SHIFT)


@lru_cache(maxsize=32)
def _season(amplitude: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The seasonal factor of each day of the four-year cycle, and its running sum (one longer)."""
    daily = tuple(_SEASON_UNIT + round(amplitude * cos(2 * pi * (day - 15) / 365.25)) for day in range(_CYCLE_DAYS))
    return daily, tuple(accumulate(daily, initial=0))


@lru_cache(maxsize=64)
def _noise_key(seed: int, place: str) -> bytes:
    return blake2b(f"{seed}|load|{place}".encode(), digest_size=32).digest()


class DayPlan:
    """How one day is cut into lanes (tariff rates, a circuit on or off): built once per table and shared.

    `spans` are (start second of the day, lane), in order, the first at 0; a lane is a small whole number.
    """

    __slots__ = ("lanes", "pieces", "seconds", "spans")

    def __init__(self, spans: tuple[tuple[int, int], ...]) -> None:
        assert spans
        assert spans[0][0] == 0, "a day plan begins at midnight"
        self.spans = spans
        self.lanes: tuple[int, ...] = tuple(sorted({lane for _, lane in spans}))
        ends = [start for start, _ in spans[1:]] + [DAY_S]
        pieces: list[list[tuple[int, int, int]]] = [[] for _ in range(SLOTS)]
        for (start, lane), end in zip(spans, ends, strict=True):
            assert start < end, "a day plan's spans are in order"
            while start < end:
                slot, begun = divmod(start, SLOT_S)
                stop = min(end, (slot + 1) * SLOT_S)
                pieces[slot].append((begun, stop - slot * SLOT_S, lane))
                start = stop
        self.pieces: Pieces = tuple(tuple(slot) for slot in pieces)
        self.seconds: dict[int, tuple[int, ...]] = {
            lane: tuple(sum(to - begun for begun, to, of in slot if of == lane) for slot in pieces)
            for lane in self.lanes
        }

    def lane(self, second: int) -> int:
        """The lane in force at a second of the day."""
        found = self.spans[0][1]
        for start, lane in self.spans:
            if start > second:
                break
            found = lane
        return found


class _Lane:
    """One lane of a plan under one shape: the weights of its seconds, their sum and their running sum."""

    __slots__ = ("prefix", "total", "weights")

    def __init__(self, shape: Shape, seconds: tuple[int, ...]) -> None:
        self.weights = tuple(map(mul, shape.weights, seconds))
        self.prefix = tuple(accumulate(self.weights, initial=0))
        self.total = self.prefix[-1]


@lru_cache(maxsize=512)
def _lanes(shape: Shape, plan: DayPlan) -> tuple[tuple[int, _Lane], ...]:
    return tuple((lane, _Lane(shape, plan.seconds[lane])) for lane in plan.lanes)


WHOLE_DAY: Final = DayPlan(((0, 1),))


class Load:
    """One home's use of one thing. `scale` is micro-watt-hours per unit of weight, so 480 * 1000 * scale is a mean day.

    Days are counted from 1970-01-01 and may be any whole number from 0 on.
    """

    __slots__ = ("_before", "_cumulative", "_daily", "_key", "_label", "_memo", "scale", "shape")

    def __init__(self, shape: Shape, scale: int, seed: int, place: str, installation: int) -> None:
        self.shape = shape
        self.scale = scale
        self._daily, self._cumulative = _season(shape.amplitude)
        self._key = _noise_key(seed, place)
        self._label = installation.to_bytes(8, "big")
        self._memo: dict[int, bytes] = {}
        self._before: dict[tuple[DayPlan, int, int], dict[int, int]] = {}

    def noise(self, day: int) -> bytes:
        """48 keyed bytes for a day."""
        memo = self._memo
        if day in memo:
            return memo[day]
        if len(memo) > 3:  # two days serve one reading, and a day's readings follow each other
            memo.clear()
        made = memo[day] = blake2b(self._label + day.to_bytes(4, "big"), digest_size=SLOTS, key=self._key).digest()
        return made

    def used(self, plan: DayPlan, day: int, second: int) -> dict[int, int]:
        """Grains per lane used from day 0 to `second` of `day` (0 to 86,399), had every day been cut like `plan`."""
        cycle, of_cycle = divmod(day, _CYCLE_DAYS)
        so_far = cycle * self._cumulative[-1] + self._cumulative[of_cycle]
        today = self._daily[of_cycle]
        slot, part = divmod(second, SLOT_S)
        m = self.shape.noise
        scale = self.scale
        lanes = _lanes(self.shape, plan)
        if not m:
            found = {lane: scale * (of.total * so_far + of.prefix[slot] * today) for lane, of in lanes}
            in_slot = self.shape.weights[slot] * today * scale
        else:
            after = self.noise(day + 1)
            before = self.noise(day)
            mixed = after[:slot] + before[slot:]
            found = {
                lane: scale * (of.total * so_far + of.prefix[slot] * today + m * sum(map(mul, of.weights, mixed)))
                for lane, of in lanes
            }
            in_slot = self.shape.weights[slot] * (today + m * (after[slot] - before[slot])) * scale
        if part:
            for begun, to, lane in plan.pieces[slot]:
                if begun >= part:
                    break
                found[lane] += in_slot * (min(to, part) - begun)
        return found

    def used_before(self, plan: DayPlan, day: int, second: int) -> dict[int, int]:
        """`used`, remembered: the moment a register began to count is asked for with every reading."""
        key = (plan, day, second)
        found = self._before.get(key)
        if found is None:
            if len(self._before) > 64:
                self._before.clear()
            found = self._before[key] = self.used(plan, day, second)
        return found

    def slots(self, day: int) -> list[int]:
        """Grains per second in each of the 48 slots of a day (multiply by 1,800 for the slot)."""
        today = self._daily[day % _CYCLE_DAYS]
        m, scale, weights = self.shape.noise, self.scale, self.shape.weights
        if not m:
            return [weight * today * scale for weight in weights]
        before, after = self.noise(day), self.noise(day + 1)
        return [w * (today + m * (a - b)) * scale for w, a, b in zip(weights, after, before, strict=True)]

    def rate(self, day: int, second: int) -> int:
        """Grains per second at a second of a day: times 3,600 / GRAINS it is the power in W (or dm3 per hour)."""
        slot = second // SLOT_S
        today = self._daily[day % _CYCLE_DAYS]
        swing = 0
        if self.shape.noise:
            swing = self.shape.noise * (self.noise(day + 1)[slot] - self.noise(day)[slot])
        return self.shape.weights[slot] * (today + swing) * self.scale


def power_w(rate: int) -> int:
    """Watts (or dm3 per hour) from grains per second."""
    return rate * 3_600 // GRAINS


def electricity(seed: int, installation: int, mean_day_wh: int) -> Load:
    """A home's plugs and lights: one of four shapes, between 0.5 and 1.7 times `mean_day_wh` on a mean day."""
    shape = ELECTRICITY_SHAPES[chance.bits(seed, "load.shape", installation) % len(ELECTRICITY_SHAPES)]
    percent = chance.between(50, 170, seed, "load.size", installation)
    return Load(shape, mean_day_wh * percent * 10_000 // 480_000, seed, "electricity", installation)


def heating(seed: int, installation: int, switch: int, rated_w: int) -> Load:
    """What hangs on auxiliary switch 1 to 5: draws its rating times the season while the switch is on.

    The rating is the mean over the year; between 0.7 and 1.3 of `rated_w` from home to home.
    """
    percent = chance.between(70, 130, seed, "load.heater", installation, switch)
    return Load(STORAGE_HEATER, rated_w * 24 * percent * 10_000 // 480_000, seed, "heating", installation)


def gas(seed: int, installation: int, mean_day_dm3: int) -> Load:
    """A boiler and a hob: between 0.4 and 1.9 times `mean_day_dm3` on a mean day."""
    percent = chance.between(40, 190, seed, "load.gas", installation)
    return Load(GAS_HEATING, mean_day_dm3 * percent * 10_000 // 480_000, seed, "gas", installation)
