"""When the core link is black.

A function of time: planned windows from the profile, and per virtual day a keyed number of further ones at keyed
instants. Nothing is stored and nothing is scheduled, so a cell that sleeps through an outage pays nothing for it, and
the question may be asked for any instant in any order. The nearest clear stretch is remembered, because on the hot path
the answer is nearly always the same: no.

An outage takes every packet that is on the link at any moment of it: offered inside the window, or in flight at its
start. Which of the two gateways failed is not modelled; the link is one thing.
"""

from bisect import bisect_left
from math import exp
from typing import Final

from emulator.kernel.chance import between, draw
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY
from emulator.link.profile import Outage

_DAILY_MAX: Final = 64


class Outages:
    """The windows of one cell's link. `rate` is the expected number a day (0 to 64 are drawn, Poisson)."""

    __slots__ = (
        "_cell", "_day", "_forced", "_planned", "_rate", "_seconds", "_seed", "_windows", "clear_from", "clear_to",
    )  # fmt: skip

    def __init__(self, seed: int, cell: int, planned: tuple[Outage, ...], rate: float, seconds: int) -> None:
        self._seed = seed
        self._cell = cell
        self._planned = planned
        self._rate = rate
        self._seconds = seconds
        self._forced: list[tuple[Instant, Instant]] = []
        self._day: int | None = None
        self._windows: list[tuple[Instant, Instant]] = []
        self.clear_from: Instant = 0
        self.clear_to: Instant = -1
        """No window touches [clear_from, clear_to]: a packet offered and arriving within, both ends included, needs no
        further question."""

    def fail(self, start: Instant, end: Instant) -> tuple[Instant, Instant]:
        """One more window, [start, end), by somebody's hand; what is returned ends it in `heal`. Packets that were
        offered before this call are not taken."""
        window = (start, end)
        self._forced.append(window)
        self._look_again()
        return window

    def heal(self, window: tuple[Instant, Instant]) -> None:
        """End a window that `fail` made; harmless when it is gone."""
        if window in self._forced:
            self._forced.remove(window)
        self._look_again()

    def _look_again(self) -> None:
        self._day = None
        self.clear_from, self.clear_to = 0, -1

    def drawn(self, day: int) -> list[Outage]:
        """The unplanned outages that begin on a day (days since 1970), in order."""
        if self._rate <= 0:
            return []
        luck = draw(self._seed, "link.outages", self._cell, day)
        count, chance = 0, exp(-self._rate)
        while luck >= chance and count < _DAILY_MAX:  # inversion of the Poisson distribution
            luck -= chance
            count += 1
            chance *= self._rate / count
        places = range(day * _DAILY_MAX, day * _DAILY_MAX + count)
        starts = [between(0, DAY - 1, self._seed, "link.outage.at", self._cell, place) for place in places]
        return [Outage(day * DAY + start, self._seconds) for start in sorted(starts)]

    def strikes(self, offered: Instant, arrival: Instant) -> bool:
        """Does an outage take a packet that is on the link from `offered` until `arrival`?"""
        day = offered // DAY
        if day != self._day:
            reach = self._seconds // 86_400 + 1
            drawn = [outage for near in range(day - reach, day + 2) for outage in self.drawn(near)]
            windows = [(outage.start, outage.end) for outage in (*self._planned, *drawn)]
            self._windows = sorted(windows + self._forced)
            self._day = day
        clear_from, clear_to = day * DAY, (day + 1) * DAY
        for start, end in self._windows:
            if offered < end and (start < arrival or start <= offered):
                return True
            if end <= offered:
                clear_from = max(clear_from, end)
            else:
                clear_to = min(clear_to, start - 1)
        self.clear_from, self.clear_to = clear_from, clear_to
        return False

    def clear_after(self, at: Instant, span: int) -> Instant:
        """The first instant from `at` on from which the link is clear for `span` µs."""
        while self.strikes(at, at + span):
            at = min(end for start, end in self._windows if at < end and (start < at + span or start <= at))
        return at

    def between(self, start: Instant, end: Instant) -> list[Outage]:
        """All outages that begin in [start, end), planned and drawn, in order."""
        drawn = [outage for day in range(start // DAY, -(-end // DAY)) for outage in self.drawn(day)]
        ordered = sorted((*self._planned, *drawn), key=lambda outage: (outage.start, outage.seconds))
        starts = [outage.start for outage in ordered]
        return ordered[bisect_left(starts, start) : bisect_left(starts, end)]
