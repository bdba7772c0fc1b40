"""Delay and jitter (rows 1 to 3): fixed, of a distribution, and like the packet's before it.

The distributions are given by their spread: for `uniform` the jitter is half the width (as netem's), for all others it
is the standard deviation around the delay. `pareto` has shape 3, `pareto-normal` is a quarter normal and three quarters
Pareto (the mixture of netem's table of that name); both are shifted and scaled to mean 0 and deviation 1, so that delay
and jitter mean the same for each. A `table` gives values in units of 1/8192 of the jitter, as netem's `.dist` files.
Where a draw comes out below zero the packet is not delayed.
"""

from math import sqrt
from typing import ClassVar, Final

from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND
from emulator.link.impairments.base import Carried, Correlated, Luck

TABLE_SCALE: Final = 8192
PARETO_SHAPE: Final = 3.0
_PARETO_MEAN: Final = PARETO_SHAPE / (PARETO_SHAPE - 1)
_PARETO_DEVIATION: Final = sqrt(PARETO_SHAPE / (PARETO_SHAPE - 2)) / (PARETO_SHAPE - 1)
_MIXED_DEVIATION: Final = sqrt(0.25**2 + 0.75**2)
_SECOND: Final = 7
"""The turn of a draw of its own, for the normal part of a mixture."""


def pareto(even: float) -> float:
    """The Pareto number at a place in (0, 1), scaled to mean 0 and deviation 1."""
    value: float = (1.0 - even) ** (-1.0 / PARETO_SHAPE)
    return (value - _PARETO_MEAN) / _PARETO_DEVIATION


class Delay(Correlated):
    """A packet is late. With `keep_order` none overtakes another, as in a queue; `table` is for that distribution."""

    __slots__ = ("_delay", "_distribution", "_jitter", "_keep_order", "_table", "latest")
    STATE: ClassVar[tuple[str, ...]] = (*Correlated.STATE, "latest")

    def __init__(
        self,
        luck: Luck,
        *,
        delay_ms: float,
        jitter_ms: float,
        distribution: str,
        correlation: float,
        keep_order: bool,
        table: tuple[float, ...],
    ) -> None:
        super().__init__(luck, correlation)
        self._delay = delay_ms * MILLISECOND
        self._jitter = jitter_ms * MILLISECOND
        self._distribution = distribution
        self._keep_order = keep_order
        self._table = table
        self.latest: Instant = -1

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        late = self._delay
        if self._jitter:
            late += self._jitter * self._spread(number)
        arrival = now + max(0, round(late))
        if self._keep_order:
            if arrival <= self.latest:
                arrival = self.latest + 1
            self.latest = arrival
        return [(arrival - now, packet)]

    def _spread(self, number: int) -> float:
        """How far from the middle, in units of the jitter."""
        kind = self._distribution
        if kind == "normal":
            return self.normal(number)
        even = self.even(number)
        if kind == "uniform":
            return 2.0 * even - 1.0
        if kind == "table":
            return self._table[min(int(even * len(self._table)), len(self._table) - 1)] / TABLE_SCALE
        if kind == "pareto":
            return pareto(even)
        return (0.25 * self._luck.normal(number, _SECOND) + 0.75 * pareto(even)) / _MIXED_DEVIATION
