"""The due-ordered queue of one cell.

An entry is a plain tuple that begins (due, installation, number). Numbers count up per installation, so no two entries
are equal in their first three fields, the rest is never compared, and ties at one instant break the same way on every
machine: by installation, then by the order in which that installation's events were made.
"""

from heapq import heappop, heappush
from typing import Any, TypeAlias

from emulator.kernel.effects import Instant

Event: TypeAlias = tuple[Instant, int, int, Any, int, Any]
"""(due, installation, number, wire or None, stage or party, payload)."""


class Queue:
    """A heap of events and the per-installation event numbers."""

    __slots__ = ("_numbers", "heap")

    def __init__(self) -> None:
        self.heap: list[Event] = []
        self._numbers: dict[int, int] = {}

    def number(self, installation: int) -> int:
        """The next event number of an installation; also the key of its next chance."""
        numbers = self._numbers
        number = numbers.get(installation, 0)
        numbers[installation] = number + 1
        return number

    def push(self, due: Instant, installation: int, number: int, wire: Any, stage: int, payload: Any) -> None:
        heappush(self.heap, (due, installation, number, wire, stage, payload))

    def pop(self) -> Event:
        return heappop(self.heap)

    def __len__(self) -> int:
        return len(self.heap)
