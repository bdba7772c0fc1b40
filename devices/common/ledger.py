"""The registers of a home, as the moments at which a law changed.

Between two such moments what a register holds is a closed function of time (`consumption`): so much under the loaded
calendar, plus what hangs on the auxiliary circuits while they are live. What ends a *regime* is an event: another
table, the clock set, the supply cut or restored, a circuit switched by hand. The ledger writes down the moment and the
new law, and nothing else: what a register held then follows from the regimes before it, when somebody asks. So
registers stand in no place and nobody advances them, yet a register never runs back over any of these events, and a
home that had none of them has no ledger to store.

The obvious other way is to add up intervals as time passes, which wakes every meter every half hour: 6.8 million
events a day for one cohort, to compute numbers that mostly nobody reads.

What is shown is whole units (Wh, dm3), truncated per rate as a meter does; the total is the sum of the rates shown, so
it always agrees with them, and half-hours are differences of the total, so they always agree with it.

All times here are the *meter's* (see `clock`), read in whole seconds. Old regimes are kept so that the load profile can
still be read across them: at most `REGIMES_MOST`; the oldest go first and take their half-hours with them, and what
the registers held at the end of them is written down then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from devices.common.circuits import Contact, States, SwitchCalendar, following, lanes, late, state_at
from devices.common.consumption import GRAINS, SLOT_S, DayPlan, Load
from devices.common.flows import between, closed_between
from devices.common.tariff import Calendar
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, SECOND

REGIMES_MOST: Final = 24
FOREVER: Final[Instant] = 1 << 62
SLOT: Final = SLOT_S * SECOND


@dataclass(slots=True, frozen=True)
class Circuit:
    """An auxiliary switch as found. Live while a rate in `follows` applies, or as `own` says where the meter keeps a
    calendar for its switches; late by `offset_s` seconds; unless held otherwise."""

    switch: int
    follows: frozenset[int]
    own: SwitchCalendar | None = None
    offset_s: int = 0


@dataclass(slots=True, frozen=True)
class Hold:
    """A switch held on or off, whatever the calendar says, until an instant."""

    switch: int
    on: bool
    until: Instant


@dataclass(slots=True)
class Regime:
    """The laws in force from `since` to `until`.

    `register` is what the registers held at `since` (grains by rate), where that is written down: for the oldest regime
    only. `flowing` is False while nothing can flow (supply open, power off, valve shut), `dark` is True without mains.
    `follows`, `offsets` (seconds) and `contacts` stand in the order of the circuits, and are empty while they are as
    found; so is `own`. `opened` remembers what was computed.
    """

    since: Instant
    until: Instant
    register: dict[int, int] | None
    calendar: Calendar
    flowing: bool = True
    holds: tuple[Hold, ...] = ()
    follows: tuple[frozenset[int], ...] = ()
    own: SwitchCalendar | None = None
    offsets: tuple[int, ...] = ()
    contacts: tuple[Contact, ...] = ()
    dark: bool = False
    opened: dict[int, int] | None = field(default=None, compare=False, repr=False)


Loads: TypeAlias = tuple[Sequence[Load], Sequence[Load | None]]
"""What always flows, and what hangs on each circuit (None: nothing is wired)."""


class Ledger:
    """The registers of one meter. `make` gives the loads, when they are first needed."""

    __slots__ = (
        "_cursor",
        "_cursor_at",
        "_cursor_of",
        "_loads",
        "_make",
        "_memo",
        "_memo_at",
        "_plain",
        "circuits",
        "regimes",
    )

    def __init__(self, make: Callable[[], Loads], circuits: Sequence[Circuit], regimes: list[Regime]) -> None:
        assert regimes
        assert regimes[0].register is not None
        self.circuits = circuits
        self.regimes = regimes
        self._make = make
        self._loads: Loads | None = None
        self._memo: dict[int, int] = {}
        self._memo_at: Instant = -1
        self._cursor: dict[int, int] = {}
        self._cursor_at: Instant = -1
        self._cursor_of = -1
        self._plain = not any(circuit.own is not None or circuit.offset_s for circuit in circuits)

    @property
    def loads(self) -> Loads:
        """What draws here."""
        if self._loads is None:
            self._loads = self._make()
        return self._loads

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
        own: SwitchCalendar | None = None,
        offsets: tuple[int, ...] | None = None,
        contacts: tuple[Contact, ...] | None = None,
        dark: bool | None = None,
    ) -> None:
        """End the regime in force at `ended` and begin another at `begins` (they differ when the clock was set).

        What is not given stays; holds that are over are dropped.
        """
        regimes = self.regimes
        last = regimes[-1]
        last.until = max(ended, last.since)
        standing = last.holds if holds is None else holds
        regimes.append(
            Regime(
                begins,
                FOREVER,
                None,
                last.calendar if calendar is None else calendar,
                last.flowing if flowing is None else flowing,
                tuple(hold for hold in standing if hold.until > begins),
                last.follows if follows is None else follows,
                last.own if own is None else own,
                last.offsets if offsets is None else offsets,
                last.contacts if contacts is None else contacts,
                last.dark if dark is None else dark,
            )
        )
        if len(regimes) > REGIMES_MOST:
            regimes[1].register = self._opening(1)
            del regimes[0]
        self._memo_at = -1
        self._cursor_of = -1

    def follows(self, regime: Regime, place: int) -> frozenset[int]:
        """The rates during which the circuit at `place` is live under a regime."""
        return regime.follows[place] if regime.follows else self.circuits[place].follows

    def grains(self, at: Instant) -> dict[int, int]:
        """What each rate's register holds at a time, or held at one of the past.

        After the clock was set back some times came twice: the later one counts. A time the clock jumped over reads as
        the moment of the jump, one before the oldest kept regime as the beginning of that one.
        """
        if at != self._memo_at:
            self._memo = self._held(self.place_of(at), at)
            self._memo_at = at
        return self._memo

    def place_of(self, at: Instant) -> int:
        """Which regime a time belongs to."""
        for place in range(len(self.regimes) - 1, 0, -1):
            if at >= self.regimes[place].since:
                return place
        return 0

    def rates(self, at: Instant) -> dict[int, int]:
        """Whole units by rate, as shown."""
        return {rate: grains // GRAINS for rate, grains in self.grains(at).items()}

    def rate(self, rate: int, at: Instant) -> int:
        """Whole units of one rate, as shown; 0 for a rate that never applied."""
        return self.grains(at).get(rate, 0) // GRAINS

    def total(self, at: Instant) -> int:
        """The sum of the rates shown."""
        return sum(grains // GRAINS for grains in self.grains(at).values())

    def plain(self, regime: Regime) -> bool:
        """Whether every contact follows the rates to the second: what nearly every meter does."""
        return self._plain and regime.own is None and not regime.offsets and not regime.contacts

    def contact(self, regime: Regime, place: int) -> Contact:
        """What the relay at `place` makes of wishes under a regime."""
        return regime.contacts[place] if regime.contacts else Contact.OBEYS

    def offset_s(self, regime: Regime, place: int) -> int:
        """How many seconds the circuit at `place` switches late under a regime."""
        return regime.offsets[place] if regime.offsets else self.circuits[place].offset_s

    def place(self, switch: int) -> int | None:
        """Where a switch stands among the circuits; None for one that is not there."""
        for place, circuit in enumerate(self.circuits):
            if circuit.switch == switch:
                return place
        return None

    def scheduled(self, regime: Regime, place: int, day: int) -> States:
        """How the circuit at `place` stands through a day of the meter's time by its schedule alone."""
        offset = self.offset_s(regime, place)
        today = self._schedule(regime, place, day)
        return late(self._schedule(regime, place, day - 1), today, offset) if offset else today

    def _schedule(self, regime: Regime, place: int, day: int) -> States:
        circuit = self.circuits[place]
        own = regime.own or circuit.own
        if own is not None:
            return own.states(circuit.switch, day)
        return following(regime.calendar.plan(day), self.follows(regime, place))

    def wished(self, regime: Regime, place: int, at: Instant) -> bool:
        """Whether a switch is wished on under a regime: held until an instant, else as its schedule says. Off while
        the mains are gone."""
        if regime.dark or at < regime.since:
            return False
        circuit = self.circuits[place]
        for hold in regime.holds:
            if hold.switch == circuit.switch and at < hold.until:
                return hold.on
        if self.plain(regime):
            return regime.calendar.rate(at) in self.follows(regime, place)
        return state_at(self.scheduled(regime, place, at // DAY), at % DAY // SECOND)

    def switch_on(self, switch: int, at: Instant) -> bool:
        """Whether an auxiliary switch is on, as its meter believes."""
        place = self.place(switch)
        return place is not None and self.wished(self.regimes[-1], place, at)

    def closed(self, switch: int, at: Instant) -> bool:
        """Whether current can flow through a switch. Without mains a contact is open (ASSUMED), stuck ones excepted."""
        place = self.place(switch)
        if place is None:
            return False
        regime = self.regimes[-1]
        return self.stands(regime, place, self.wished(regime, place, at), regime.dark or at < regime.since)

    def stands(self, regime: Regime, place: int, wished: bool, dark: bool) -> bool:
        """Whether the contact at `place` is closed, so wished, under a regime; `dark`: without mains."""
        contact = self.contact(regime, place)
        return contact is Contact.STUCK_CLOSED if dark else contact.closed(wished)

    def follows_schedule(self, switch: int, at: Instant) -> bool:
        """Whether a switch's schedule alone has it on."""
        place = self.place(switch)
        if place is None:
            return False
        return state_at(self.scheduled(self.regimes[-1], place, at // DAY), at % DAY // SECOND)

    def next_edge(self, switch: int, at: Instant) -> Instant:
        """When, after `at`, a switch's schedule next turns it; FOREVER if it does not within nine days."""
        place, regime = self.place(switch), self.regimes[-1]
        if place is None:
            return FOREVER
        first = at // DAY
        before = state_at(self.scheduled(regime, place, first), at % DAY // SECOND)
        for day in range(first, first + 9):
            for start, on in self.scheduled(regime, place, day):
                then = day * DAY + start * SECOND
                if then > at and on != before:
                    return then
        return FOREVER

    def flow(self, at: Instant) -> int:
        """Grains per second at an instant."""
        regime = self.regimes[-1]
        if not regime.flowing or at < regime.since:
            return 0
        day, second = at // DAY, at % DAY // SECOND
        always, wired = self.loads
        return sum(load.rate(day, second) for load in always) + sum(
            load.rate(day, second)
            for circuit, load in zip(self.circuits, wired, strict=True)
            if load is not None and self.closed(circuit.switch, at)
        )

    def total_at(self, at: Instant) -> int:
        """The sum of `rates_at`."""
        return sum(self.rates_at(at).values())

    def rates_at(self, at: Instant) -> dict[int, int]:
        """The same as `rates`, quicker for profiles, which ask one half-hour after another."""
        place = self.place_of(at)
        if place != self._cursor_of or at != self._cursor_at:
            regime = self.regimes[place]
            begun = self._cursor_at
            next_one = place == self._cursor_of and at == begun + SLOT and not begun % SLOT
            if next_one and begun >= regime.since and at <= regime.until and self.plain(regime):
                self._advance(regime, self._cursor, begun)
            else:
                self._cursor = self._held(place, at)
            self._cursor_of, self._cursor_at = place, at
        return {rate: grains // GRAINS for rate, grains in self._cursor.items()}

    def _opening(self, place: int) -> dict[int, int]:
        """Grains by rate at the beginning of a regime: what the one before it ended with."""
        regime = self.regimes[place]
        found = regime.register if regime.register is not None else regime.opened
        if found is None:
            found = regime.opened = self._held(place - 1, self.regimes[place - 1].until)
        return found

    def _held(self, place: int, at: Instant) -> dict[int, int]:
        """Grains by rate at a time; one outside the regime reads as its nearer end."""
        regime = self.regimes[place]
        found = dict(self._opening(place))
        start, end = regime.since // SECOND, min(at, regime.until) // SECOND
        if not regime.flowing or end <= start:
            return found
        always, wired = self.loads
        for load in always:
            _add(found, between(load, regime.calendar, start, end, None))
        for number, circuit in enumerate(self.circuits):
            hanging = wired[number]
            if hanging is None:
                continue
            contact = self.contact(regime, number)
            begun = start
            for hold in regime.holds:
                if hold.switch == circuit.switch:
                    begun = max(start, min(hold.until // SECOND, end))
                    if contact.closed(hold.on):
                        _add(found, between(hanging, regime.calendar, start, begun, None))
            if self.plain(regime):
                _add(found, between(hanging, regime.calendar, begun, end, self.follows(regime, number)))
            elif contact is Contact.STUCK_CLOSED:
                _add(found, between(hanging, regime.calendar, begun, end, None))
            elif contact is not Contact.STUCK_OPEN and begun < end:
                runs = self._runs(regime, number, begun // 86_400, end // 86_400 + 1)
                _add(found, closed_between(hanging, runs, begun, end))
        return found

    def _runs(self, regime: Regime, place: int, first: int, end: int) -> list[tuple[int, int, DayPlan]]:
        """The days from `first` up to, not including, `end`, as runs of equal days cut into `circuits.lanes`."""
        circuit, calendar = self.circuits[place], regime.calendar
        own = regime.own or circuit.own
        contact = self.contact(regime, place)

        def cut(day: int) -> DayPlan:
            states = self.scheduled(regime, place, day)
            return lanes(calendar.plan(day), tuple((start, contact.closed(on)) for start, on in states))

        if calendar.uniform is not None and (own is None or own.uniform(circuit.switch) is not None):
            return [(first, end, cut(first))]
        found: list[tuple[int, int, DayPlan]] = []
        begun, plan = first, cut(first)
        for day in range(first + 1, end):
            here = cut(day)
            if here is not plan:
                found.append((begun, day, plan))
                begun, plan = day, here
        found.append((begun, end, plan))
        return found

    def _advance(self, regime: Regime, running: dict[int, int], boundary: Instant) -> None:
        """Move `running` from one boundary to the next: a slot at a time, without the closed form's sums."""
        if not regime.flowing:
            return
        day, second = boundary // DAY, boundary % DAY // SECOND
        plan: DayPlan = regime.calendar.plan(day)
        pieces = plan.pieces[second // SLOT_S]
        always, wired = self.loads
        for load in always:
            flow = load.rate(day, second)
            for begun, to, rate in pieces:
                running[rate] = running.get(rate, 0) + flow * (to - begun)
        start_s = boundary // SECOND
        for number, circuit in enumerate(self.circuits):
            hanging = wired[number]
            if hanging is None:
                continue
            flow = hanging.rate(day, second)
            follows = self.follows(regime, number)
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
