"""How a switch stood over time: stretches without gaps, in true time, exact to the second.

A ledger keeps laws by the meter's own clock. Told in true time they show what a home lived through: between two
settings the clock is taken to run true (drift makes less than a second a day), and where it was set the laws before it
are shifted by what it was wrong.
"""

from collections.abc import Iterator

from devices.common.circuits import Span, state_at
from devices.common.ledger import Ledger, Regime
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, SECOND


def spans(ledger: Ledger, switch: int, now: Instant, shown: Instant, since: Instant, until: Instant) -> Iterator[Span]:
    """How a switch stood in [since, until) of true time, as far back as laws are kept. `shown` is what the clock shows
    at `now`; what lies after is told as it will be if nothing more happens."""
    place = ledger.place(switch)
    if place is None:
        return
    for number, (regime, ahead) in enumerate(zip(ledger.regimes, _ahead(ledger, shown, shown - now), strict=True)):
        begin = max(regime.since, since + ahead)
        end = min(regime.until, until + ahead)
        if begin < end:
            for begun, to, wished, held in _pieces(ledger, regime, place, begin, end):
                closed = ledger.stands(regime, place, wished, regime.dark)
                yield Span(begun - ahead, to - ahead, wished, closed, held, regime.dark, number)


def _ahead(ledger: Ledger, shown: Instant, by: Instant) -> list[Instant]:
    """How much the clock showed more than true time under each regime; `by` under the one that `shown` belongs to."""
    regimes = ledger.regimes
    found = [by] * len(regimes)
    for number in range(ledger.place_of(shown) - 1, -1, -1):
        found[number] = regimes[number].until - (regimes[number + 1].since - found[number + 1])
    return found


def _pieces(
    ledger: Ledger, regime: Regime, place: int, begin: Instant, end: Instant
) -> Iterator[tuple[Instant, Instant, bool, bool]]:
    """(from, until, wished, held) under one regime, in the meter's time."""
    if regime.dark:
        yield begin, end, False, False
        return
    switch = ledger.circuits[place].switch
    for hold in regime.holds:
        if hold.switch == switch and begin < hold.until:
            to = min(hold.until, end)
            yield begin, to, hold.on, True
            begin = to
    while begin < end:
        day, second = begin // DAY, begin % DAY // SECOND
        states = ledger.scheduled(regime, place, day)
        edge = next((start for start, _ in states if start > second), 86_400)
        to = min(day * DAY + edge * SECOND, end)
        yield begin, to, state_at(states, second), False
        begin = to
