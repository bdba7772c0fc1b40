"""When installations alert: drawn, not ticked.

No timer runs for a home. The alerts of a day are drawn for a whole cell at once when the day begins (or the cell is
made), as a few columns of numbers; the world is told of the next one only, and what a sleeping home costs is nothing.

Each home's instants are a function of (seed, installation, day): how many alerts a day brings is a Poisson draw, each
lies at an even instant, and what follows an alert (power restored, say) lies within the same day. So it does not matter
who else is there, how cells are spread or when one is first touched: a cell made at noon knows nothing of the morning
and agrees on the afternoon. A storm is a second stream of the same kind, in shorter windows, with one code.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from math import ceil
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from emulator.fleet.alert_causes import PER_DAY, Causes, Occurrence
from emulator.kernel.chance import place_key
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, MINUTE, SECOND
from emulator.kernel.world import World

Words: TypeAlias = NDArray[np.uint64]
Happen: TypeAlias = Callable[[int, Occurrence, int], None]
"""(installation, what, luck): let it happen now; `luck` has 11 even bits for whoever must choose another device."""

FOREVER: Final[Instant] = 1 << 62
_MEAN_MOST: Final = 64.0
_PER_WINDOW: Final = 4_096
_CALM_MEAN: Final = 4.0
_EVENT: Final = 0xD1B54A32D192ED03
_MASK: Final = (1 << 64) - 1


def mix_many(key: int, installations: Words, numbers: Words | int) -> Words:
    """`chance.mix` for arrays."""
    with np.errstate(over="ignore"):
        if isinstance(numbers, int):
            events: Any = np.uint64(numbers * _EVENT & _MASK)
        else:
            events = numbers * np.uint64(_EVENT)
        x = np.uint64(key) + installations * np.uint64(0x9E3779B97F4A7C15) + events
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def poisson(mean: float) -> Words:
    """Running chances of 0, 1, 2, ... in 2^-53ths. Computed in decimal, so that every machine has the same."""
    if not 0 <= mean <= _MEAN_MOST:
        raise ValueError(f"a mean of {mean}; windows are made shorter than that")
    rate = Decimal(mean)
    term = total = (-rate).exp()
    sums = []
    count = 0
    while total < 1 - Decimal(2) ** -54 and count < 1_000:
        sums.append(int(total * (1 << 53)))
        count += 1
        term = term * rate / count
        total += term
    return np.array(sums, np.uint64)


class Stream:
    """Occurrences of a kind, window by window. `numbers` are the installations, `mean` how many incidents each has in a
    window of `length_us`; windows are counted from 1970. Nothing lies before `begin` or after `end` (not included)."""

    def __init__(
        self,
        seed: int,
        place: str,
        numbers: Sequence[int] | range,
        mean: float,
        length_us: Instant,
        occurrences: Sequence[Occurrence],
        shares: Sequence[int],
        begin: Instant,
        end: Instant = FOREVER,
    ) -> None:
        self.begin = begin
        self.end = end
        self._count_key = place_key(seed, f"{place}.count")
        self._when_key = place_key(seed, f"{place}.when")
        self._what_key = place_key(seed, f"{place}.what")
        self._after_key = place_key(seed, f"{place}.after")
        self._numbers = np.array(numbers, np.uint64)
        self._chances = poisson(mean)
        self._length = length_us
        self.occurrences = tuple(occurrences)
        self._shares = np.array(shares, np.uint64)
        self._then = np.array([each.then for each in occurrences], np.int64)
        self._after = np.array([each.after for each in occurrences], np.int64)
        self._window = begin // length_us - 1
        self._at: NDArray[np.int64] = np.empty(0, np.int64)
        self._who: NDArray[np.int64] = self._at
        self._what: NDArray[np.int64] = self._at
        self._luck: NDArray[np.int64] = self._at
        self._next = 0
        self.due: Instant = begin
        """When the next alert lies, or the next window begins."""
        self._turn()

    def take(self) -> tuple[int, Occurrence, int] | None:
        """What is due: (installation, occurrence, luck), and on to the next; None when only a window began."""
        at = self._next
        if at == len(self._at):
            self._turn()
            return None
        self._next = at + 1
        taken = int(self._who[at]), self.occurrences[self._what[at]], int(self._luck[at])
        self._look()
        return taken

    def _look(self) -> None:
        if self._next < len(self._at):
            self.due = int(self._at[self._next])
        else:
            self.due = (self._window + 1) * self._length
        if self.due >= self.end:
            self.due = FOREVER

    def _turn(self) -> None:
        """Draw the next window."""
        self._window += 1
        at, self._who, self._what, self._luck = self.drawn(self._window)
        self._at = at
        self._next = int(np.searchsorted(at, self.begin, side="left")) if len(at) and at[0] < self.begin else 0
        self._look()

    def drawn(self, window: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """A whole window: instants (rising), installations, indices of occurrences, luck."""
        numbers = self._numbers
        odds = mix_many(self._count_key, numbers, window) >> np.uint64(11)
        counts = np.searchsorted(self._chances, odds, side="right")
        who = np.repeat(numbers, counts)
        turn = np.arange(len(who)) - np.repeat(np.cumsum(counts) - counts, counts)
        event = (turn + window * _PER_WINDOW).astype(np.uint64)
        luck = mix_many(self._what_key, who, event)
        what = np.searchsorted(self._shares, luck >> np.uint64(11), side="right")
        low, high = self._after[what, 0], self._after[what, 1]
        later = low + (mix_many(self._after_key, who, event) % (high - low + 1).astype(np.uint64)).astype(np.int64)
        room = (self._length - later).astype(np.uint64)
        at = window * self._length + (mix_many(self._when_key, who, event) % room).astype(np.int64)
        spare = (luck & np.uint64(0x7FF)).astype(np.int64)
        homes = who.astype(np.int64)
        then = self._then[what]
        pair = then >= 0
        ats = np.concatenate((at, at[pair] + later[pair]))
        homes = np.concatenate((homes, homes[pair]))
        whats = np.concatenate((what.astype(np.int64), then[pair]))
        spares = np.concatenate((spare, spare[pair]))
        turns = np.concatenate((turn, turn[pair]))
        order = np.lexsort((whats, turns, homes, ats))
        return ats[order], homes[order], whats[order], spares[order]


class AlertSource:
    """The agenda of one cell's world. `happen` is called with what is due, once it is due.

    `per_day` 0: nothing but storms."""

    def __init__(self, seed: int, members: range, causes: Causes, per_day: float, happen: Happen, now: Instant) -> None:
        self._seed = seed
        self._members = members
        self._happen = happen
        self._base: list[Stream] = []
        self._storms: list[Stream] = []
        self.causes = causes
        self.per_day = 0.0
        self.raised: dict[int, int] = {}
        """Alerts that devices were let notice, by code."""
        self.set_rate(per_day, now)

    def set_rate(self, per_day: float, now: Instant) -> None:
        """So many alerts a day an installation from now on; what lies at `now` itself is past."""
        self.per_day = per_day
        self._base.clear()
        if not per_day > 0:
            return
        mean = per_day / self.causes.incident
        occurrences, shares, length = self.causes.occurrences, self.causes.shares, DAY
        if mean > _MEAN_MOST:
            # Pairs must fit into a window, so a day is cut only where nobody could tell them any more.
            parts = ceil(per_day / _MEAN_MOST)
            mean, length = per_day / parts, DAY // parts + 1
            occurrences = tuple(Occurrence(each.name, each.party, each.notice) for each in occurrences[: len(shares)])
        self._base.append(Stream(self._seed, "alerts", self._members, mean, length, occurrences, shares, now + 1))

    def storm(
        self,
        code: int,
        factor: float,
        until: Instant,
        now: Instant,
        *,
        installations: Sequence[int] | None = None,
        share: float = 1.0,
        device: str | None = None,
    ) -> int:
        """`factor` times the usual rate, all with one code, from now until an instant; how many homes are in it."""
        place = f"alerts.storm|{now}|{code}|{device or ''}"
        cohort: Sequence[int] = self._members
        if installations is not None:
            cohort = sorted({number for number in installations if number in self._members})
        if share < 1:
            numbers = np.array(cohort, np.uint64)
            luck = mix_many(place_key(self._seed, place), numbers, 0) >> np.uint64(11)
            cohort = [int(number) for number in numbers[luck < np.uint64(round(share * (1 << 53)))]]
        if not cohort:
            return 0
        occurrences, shares = self.causes.of_code(code, device)
        a_minute = factor * (self.per_day or PER_DAY) * MINUTE / DAY
        length = MINUTE if a_minute <= _CALM_MEAN else SECOND
        mean = min(a_minute * length / MINUTE, _MEAN_MOST)  # no device says more than that in a second
        stream = Stream(self._seed, place, cohort, mean, length, occurrences, shares, now + 1, until)
        self._storms.append(stream)
        return len(cohort)

    def end_storms(self) -> int:
        """No storm any more; how many there were."""
        ended = len(self.storms)
        self._storms.clear()
        return ended

    @property
    def storms(self) -> list[Stream]:
        """Those that are not over."""
        self._storms = [each for each in self._storms if each.due < FOREVER]
        return self._storms

    # The agenda

    @property
    def due(self) -> Instant | None:
        """When something is to be done next."""
        due = min((each.due for each in (*self._base, *self._storms)), default=FOREVER)
        return None if due == FOREVER else due

    def act(self, world: World) -> None:
        """Do what is due."""
        for streams in (self._base, self._storms):
            for stream in tuple(streams):
                if stream.due <= world.now:
                    self._act(stream)

    def _act(self, stream: Stream) -> None:
        taken = stream.take()
        if taken is not None:
            self._happen(*taken)

    def count(self, code: int) -> None:
        """A device was let notice something."""
        self.raised[code] = self.raised.get(code, 0) + 1
