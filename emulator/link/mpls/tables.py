"""A router's tables: what becomes of a label (the ILM of RFC 3031), and of an address (a VRF's routes).

A VRF is a routing table of its own, so two customers may use the same addresses; the label at the bottom of the stack
says which table is meant (RFC 4364). The global table is the VRF with the empty name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from emulator.errors import UsageError
from emulator.link.mpls.habits import FIRST_FREE, HIGHEST, IPV4_EXPLICIT_NULL


@dataclass(frozen=True, slots=True)
class Towards:
    """Out of an interface, under `labels` (outermost first). In the label table these replace the label: none is a
    pop, one a swap, more a swap and a push. `via` is the neighbour's address, where somebody has to know it."""

    interface: str
    labels: tuple[int, ...] = ()
    via: int | None = None

    def __post_init__(self) -> None:
        for label in self.labels:
            # The explicit null is the one reserved label that may be sent as if it were another.
            if not FIRST_FREE <= label <= HIGHEST and label != IPV4_EXPLICIT_NULL:
                raise UsageError(f"label {label} cannot be put on a packet; use {FIRST_FREE} to {HIGHEST}, or 0")


@dataclass(frozen=True, slots=True)
class Inside:
    """Pop, and look up what is below: a label in the same table, or an address in this VRF."""

    vrf: str = ""


Action: TypeAlias = Towards | Inside


class Vrf:
    """Routes by prefix; the longest that fits is taken."""

    __slots__ = ("_by_length", "_lengths")

    def __init__(self) -> None:
        self._by_length: dict[int, dict[int, Towards]] = {}
        self._lengths: tuple[int, ...] = ()

    def add(self, prefix: int, length: int, route: Towards) -> None:
        """Set the route of a prefix (a 32-bit int and 0 to 32 bits). UsageError: bits behind the prefix, or no such
        length."""
        if not 0 <= length <= 32 or not 0 <= prefix < 1 << 32 or prefix & ((1 << (32 - length)) - 1):
            raise UsageError(f"no prefix: {prefix:#010x}/{length}")
        self._by_length.setdefault(length, {})[prefix >> (32 - length)] = route
        self._lengths = tuple(sorted(self._by_length, reverse=True))

    def remove(self, prefix: int, length: int) -> None:
        """Forget a prefix; nothing happens when there is none."""
        self._by_length.get(length, {}).pop(prefix >> (32 - length), None)

    def find(self, address: int) -> Towards | None:
        """The route of an address."""
        for length in self._lengths:
            found = self._by_length[length].get(address >> (32 - length))
            if found is not None:
                return found
        return None

    def routes(self) -> Iterator[tuple[int, int, Towards]]:
        """(prefix, length, route), by length and prefix."""
        for length in sorted(self._by_length):
            for prefix, route in sorted(self._by_length[length].items()):
                yield prefix << (32 - length), length, route
