"""The registers of a home, as the moments at which a law changed.

Between two such moments what a register holds is a closed function of time (`consumption`): so much under the loaded
calendar, plus what hangs on the auxiliary circuits while they are live. What ends a *regime* is an event: another
table, the clock set, the supply cut or restored, a circuit switched by hand. Then the ledger writes down what
every register holds and begins the next regime there. So registers stand in no place and nobody advances them, yet a
register never runs back over any of these events, and a home that had none of them has no ledger to store.

The obvious other way is to add up intervals as time passes, which wakes every meter every half hour: 6.8 million
events a day for one cohort, to compute numbers that mostly nobody reads.

What is shown is whole units (Wh, dm3), truncated per rate as a meter does; the total is the sum of the rates shown, so
it always agrees with them, and half-hours are differences of the total, so they always agree with it.

All times here are the *meter's* (see `clock`), read in whole seconds. Old regimes are kept so that the load profile can
still be read across them: at most `REGIMES_MOST`, the oldest go first and take their half-hours with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devices.common.consumption import GRAINS, SLOT_S, DayPlan, Load
from devices.common.tariff import Calendar
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, SECOND

REGIMES_MOST: Final = 24
FOREVER: Final[Instant] = 1 << 62
SLOT: Final = SLOT_S * SECOND


@dataclass(slots=True, frozen=True)
class Circuit:
    """An auxiliary switch and what hangs on it (None: nothing is wired). Live while a rate in `follows` applies, unless
    held otherwise."""

    switch: int
    follows: frozenset[int]
    load: Load | None


@dataclass(slots=True, frozen=True)
class Hold:
    """A switch held on or off, whatever the calendar says, until an instant."""

    switch: int
    on: bool
    until: Instant


@dataclass(slots=True)
class Regime:
    """The laws in force from `since` to `until`, and what the registers held at `since` (grains by rate).

    `flowing` is False while nothing can flow (supply open, power off, valve shut); `table` names a calendar to the
    owner.
    """

    since: Instant
    until: Instant
    register: dict[int, int]
    calendar: Calendar
    flowing: bool = True
    holds: tuple[Hold, ...] = ()
    follows: tuple[frozenset[int], ...] = ()


def _between(load: Load, calendar: Calendar, start_s: int, end_s: int, rates: frozenset[int] | None) -> dict[int, int]:
    """Grains by rate between two moments in seconds since 1970; only in `rates` when given."""
    found: dict[int, int] = {}
    if end_s <= start_s:
        return found
    first, last = start_s // 86_400, end_s // 86_400
    for begun, end, plan in calendar.runs(first, last + 1):
        low = load.used_before(plan, begun, start_s % 86_400 if begun == first else 0)
        high = load.used(plan, end, 0) if end <= last else load.used(plan, last, end_s % 86_400)
        for rate, grains in high.items():
            if rates is None or rate in rates:
                found[rate] = found.get(rate, 0) + grains - low[rate]
    return found


class Ledger:
    """The registers of one meter. `loads` always flow; `circuits` while their switch is on."""

    __slots__ = ("_cursor", "_cursor_at", "_cursor_of", "_memo", "_memo_at", "circuits", "loads", "regimes")

    def __init__(self, loads: Sequence[Load], circuits: Sequence[Circuit], regimes: list[Regime]) -> None:
        assert regimes
        self.loads = tuple(loads)
        self.circuits = tuple(circuits)
        self.regimes = regimes
        self._memo: dict[int, int] = {}
        self._memo_at = -1
        self._cursor: dict[int, int] = {}
        self._cursor_at: Instant = -1
        self._cursor_of: Regime | None = None

    @property
    def natural(self) -> bool:
        """Whether nothing has happened yet: then there is nothing to store."""
        return len(self.regimes) == 1

    def change(
        self,
        ended: Instant,
        begins: Instant,
        *,
        calendar: Calendar | None = None,
        flowing: bool | None = None,
        holds: tuple[Hold, ...] | None = None,
        follows: tuple[frozenset[int], ...] | None = None,
    ) -> None:
        """End the regime in force at `ended` and begin another at `begins` (they differ when the clock was set).

        What is not given stays; holds that are over are dropped.
        """
        last = self.regimes[-1]
        ended = max(ended, last.since)
        register = self._held(last, ended)
        last.until = ended
        standing = last.holds if holds is None else holds
        self.regimes.append(
            Regime(
                begins,
                FOREVER,
                register,
                last.calendar if calendar is None else calendar,
                last.flowing if flowing is None else flowing,
                tuple(hold for hold in standing if hold.until > begins),
                last.follows if follows is None else follows,
            )
        )
        del self.regimes[:-REGIMES_MOST]
        self._memo_at = -1
        self._cursor_of = None

    def follows(self, regime: Regime, place: int) -> frozenset[int]:
        """The rates during which the circuit at `place` is live under a regime."""
        return regime.follows[place] if regime.follows else self.circuits[place].follows

    def grains(self, at: Instant) -> dict[int, int]:
        """What each rate's register holds at a time, or held at one of the past.

        After the clock was set back some times came twice: the later one counts. A time the clock jumped over reads as
        the moment of the jump, one before the oldest kept regime as the beginning of that one.
        """
        if at != self._memo_at:
            regime = self._regime(at)
            self._memo = self._held(regime, max(regime.since, min(at, regime.until)))
            self._memo_at = at
        return self._memo

    def _regime(self, at: Instant) -> Regime:
        for regime in reversed(self.regimes):
            if at >= regime.since:
                return regime
        return self.regimes[0]

    def rates(self, at: Instant) -> dict[int, int]:
        """Whole units by rate, as shown."""
        return {rate: grains // GRAINS for rate, grains in self.grains(at).items()}

    def rate(self, rate: int, at: Instant) -> int:
        """Whole units of one rate, as shown; 0 for a rate that never applied."""
        return self.grains(at).get(rate, 0) // GRAINS

    def total(self, at: Instant) -> int:
        """The sum of the rates shown."""
        return sum(grains // GRAINS for grains in self.grains(at).values())

    def switch_on(self, switch: int, at: Instant) -> bool:
        """Whether an auxiliary switch is on: held until an instant, else as its rates say. Off while the mains are
        gone."""
        regime = self.regimes[-1]
        if at < regime.since:
            return False
        for hold in regime.holds:
            if hold.switch == switch and at < hold.until:
                return hold.on
        for place, circuit in enumerate(self.circuits):
            if circuit.switch == switch:
                return regime.calendar.rate(at) in self.follows(regime, place)
        return False

    def flow(self, at: Instant) -> int:
        """Grains per second at an instant."""
        regime = self.regimes[-1]
        if not regime.flowing or at < regime.since:
            return 0
        day, second = at // DAY, at % DAY // SECOND
        return sum(load.rate(day, second) for load in self.loads) + sum(
            circuit.load.rate(day, second)
            for circuit in self.circuits
            if circuit.load is not None and self.switch_on(circuit.switch, at)
        )

    def total_at(self, at: Instant) -> int:
        """The sum of `rates_at`."""
        return sum(self.rates_at(at).values())

    def rates_at(self, at: Instant) -> dict[int, int]:
        """The same as `rates`, quicker for profiles, which ask one half-hour after another."""
        regime = self._regime(at)
        at = max(regime.since, min(at, regime.until))
        if regime is self._cursor_of and at == self._cursor_at + SLOT and not self._cursor_at % SLOT:
            self._advance(regime, self._cursor, self._cursor_at)
        elif regime is not self._cursor_of or at != self._cursor_at:
            self._cursor = self._held(regime, at)
        self._cursor_of, self._cursor_at = regime, at
        return {rate: grains // GRAINS for rate, grains in self._cursor.items()}

    def _held(self, regime: Regime, at: Instant) -> dict[int, int]:
        """Grains by rate at a time inside a regime."""
        found = dict(regime.register)
        start, end = regime.since // SECOND, at // SECOND
        if not regime.flowing or end <= start:
            return found
        for load in self.loads:
            _add(found, _between(load, regime.calendar, start, end, None))
        for place, circuit in enumerate(self.circuits):
            if circuit.load is None:
                continue
            begun = start
            for hold in regime.holds:
                if hold.switch == circuit.switch:
                    begun = max(start, min(hold.until // SECOND, end))
                    if hold.on:
                        _add(found, _between(circuit.load, regime.calendar, start, begun, None))
            _add(found, _between(circuit.load, regime.calendar, begun, end, self.follows(regime, place)))
        return found

    def _advance(self, regime: Regime, running: dict[int, int], boundary: Instant) -> None:
        """Move `running` from one boundary to the next: a slot at a time, without the closed form's sums."""
        if not regime.flowing:
            return
        day, second = boundary // DAY, boundary % DAY // SECOND
        plan: DayPlan = regime.calendar.plan(day)
        pieces = plan.pieces[second // SLOT_S]
        for load in self.loads:
            flow = load.rate(day, second)
            for begun, to, rate in pieces:
                running[rate] = running.get(rate, 0) + flow * (to - begun)
        start_s = boundary // SECOND
        for place, circuit in enumerate(self.circuits):
            if circuit.load is None:
                continue
            flow = circuit.load.rate(day, second)
            follows = self.follows(regime, place)
            held, on = start_s, False
            for hold in regime.holds:
                if hold.switch == circuit.switch:
                    held, on = hold.until // SECOND, hold.on
            for begun, to, rate in pieces:
                under_hold = max(0, min(held - start_s, to) - begun)
                live = (under_hold if on else 0) + (to - begun - under_hold if rate in follows else 0)
                if live:
                    running[rate] = running.get(rate, 0) + flow * live


def _add(into: dict[int, int], more: dict[int, int]) -> None:
    for rate, grains in more.items():
        into[rate] = into.get(rate, 0) + grains
