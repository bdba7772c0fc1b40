"""Packets that come more than once, and packets that change places (rows 10 and 11).

Reordering has two forms. `back`: a packet that was chosen is held and overtaken by whatever follows it within that
time. `ahead` (netem's): every packet is held, and a chosen one is not, so it overtakes those before it, at most
`distance` of them. Of `gap` packets only every last one may be chosen. A link with jitter that does not keep order
reorders as well (`delay`).
"""

from typing import ClassVar, Final

from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND
from emulator.link.impairments.base import Carried, Impairment, Luck, ordinal

MOST_HELD: Final = 4_096
"""So many packets that were held are remembered, for `distance`."""


class Duplicate(Impairment):
    """With a probability a packet comes once and `copies` times more, `lag_ms` apart."""

    __slots__ = ("_copies", "_lag", "_luck", "_probability")

    def __init__(self, luck: Luck, *, probability: float, copies: int, lag_ms: float) -> None:
        self._luck = luck
        self._probability = probability
        self._copies = copies
        self._lag = lag_ms * MILLISECOND

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        if self._luck.draw(number) >= self._probability:
            return [(0, packet)]
        return [(round(turn * self._lag), packet) for turn in range(self._copies + 1)]


class Reorder(Impairment):
    """Packets change places; see above."""

    __slots__ = ("_ahead", "_distance", "_gap", "_hold", "_luck", "_probability", "held")
    STATE: ClassVar[tuple[str, ...]] = ("held",)

    def __init__(self, luck: Luck, *, probability: float, gap: int, hold_ms: float, move: str, distance: int) -> None:
        self._luck = luck
        self._probability = probability
        self._gap = gap
        self._hold = round(hold_ms * MILLISECOND)
        self._ahead = move == "ahead"
        self._distance = distance
        self.held: list[Instant] = []
        """When those come out that are still held, oldest first; kept for `distance` alone."""

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        chosen = ordinal(number) % self._gap == 0 and self._luck.draw(number) < self._probability
        if not self._ahead:
            return [(self._hold if chosen else 0, packet)]
        if not self._distance:
            return [(0 if chosen else self._hold, packet)]
        held = self.held = [at for at in self.held if at > now][-MOST_HELD:]
        if not chosen:
            held.append(now + self._hold)
            return [(self._hold, packet)]
        if len(held) < self._distance:
            return [(0, packet)]
        return [(max(0, held[-self._distance] - 1 - now), packet)]
