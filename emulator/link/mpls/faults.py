"""What goes wrong in a router that reads labels, by name: `Lsr.faults`.

Faults of the wire between routers are the link's impairments; these are a router's own: a label that it does not know
any more, or what it makes of the packets that leave it. Packets without labels are never touched: that is what makes a
broken LSP hard to find, as everything that is tried with plain IP works.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from emulator.errors import InputError
from emulator.kernel.effects import Instant
from emulator.link.mpls.habits import HIGHEST

WITHDRAWN: Final = "label-withdrawn"
WRONG: Final = "wrong-label"
TTL: Final = "ttl-1"
NO_BOTTOM: Final = "missing-bottom"
DOWN: Final = "lsp-down"
PHP_OFF: Final = "php-off"

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        WITHDRAWN: "the label is no longer known: packets that carry it on top end here",
        WRONG: "the top label is another one (`by` higher)",
        TTL: "the top label's TTL is 1, so the next router drops the packet",
        NO_BOTTOM: "no entry of the stack says that it is the last",
        DOWN: "labelled packets end here while IP packets pass",
        PHP_OFF: "the last router but one leaves its label on",
    }
)
"""Name -> what it does, for people."""

FOREVER: Final[Instant] = 1 << 62


@dataclass(frozen=True, slots=True)
class LsrFault:
    """One fault from `start` on and before `end`. `label`: only packets that come (label-withdrawn, lsp-down, php-off)
    or leave with this label on top; None: all. `by`: 1 to 1,048,575, for wrong-label.

    InputError: no such kind, or a number out of range.
    """

    kind: str
    label: int | None = None
    start: Instant = 0
    end: Instant = FOREVER
    by: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"no MPLS fault {self.kind!r}; choose from {', '.join(KINDS)}")
        if self.label is not None and not 0 <= self.label <= HIGHEST:
            raise InputError(f"MPLS fault {self.kind}: label {self.label}; use 0 to {HIGHEST}")
        if not 1 <= self.by <= HIGHEST:
            raise InputError(f"MPLS fault {self.kind}: by = {self.by}; use 1 to {HIGHEST}")

    def holds(self, now: Instant) -> bool:
        return self.start <= now < self.end

    def means(self, label: int) -> bool:
        return self.label is None or self.label == label

    def struck(self, labelled: bytes) -> bytes:
        """What leaves instead of a packet with a label on top; one that is not meant leaves as it is."""
        entry = int.from_bytes(labelled[:4], "big")
        if len(labelled) < 4 or not self.means(entry >> 12):
            return labelled
        if self.kind == WRONG:
            entry = (((entry >> 12) + self.by) & HIGHEST) << 12 | entry & 0xFFF
        elif self.kind == TTL:
            entry = entry & ~0xFF | 1
        elif self.kind == NO_BOTTOM:
            return _without_bottom(labelled)
        return entry.to_bytes(4, "big") + labelled[4:]


def _without_bottom(labelled: bytes) -> bytes:
    at = 0
    while at + 4 <= len(labelled):
        if labelled[at + 2] & 1:
            return labelled[: at + 2] + bytes((labelled[at + 2] & 0xFE,)) + labelled[at + 3 :]
        at += 4
    return labelled
