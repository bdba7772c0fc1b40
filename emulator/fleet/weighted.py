"""A weighted choice that costs one bisection.

Totals are taken by `fsum`: what `sum` makes of floats differs between Python versions, and a run may not.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from math import fsum
from typing import Generic, TypeVar

from mypy_extensions import mypyc_attr

Item = TypeVar("Item")


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Weighted(Generic[Item]):
    """Items with weights; those of weight 0 are never chosen, unless all are 0: then all are equal."""

    __slots__ = ("_limits", "items")

    def __init__(self, pairs: Iterable[tuple[Item, float]]) -> None:
        every = list(pairs)
        chosen = [(item, weight) for item, weight in every if weight > 0] or [(item, 1.0) for item, _ in every]
        self.items = tuple(item for item, _ in chosen)
        total = fsum(weight for _, weight in chosen)
        self._limits = [limit / total for limit in accumulate(weight for _, weight in chosen)][:-1]

    def __call__(self, at: float) -> Item:
        """The item at `at`, a number in [0, 1). Needs at least one item."""
        return self.items[bisect_right(self._limits, at)]
