"""What goes wrong on a labelled path, by name. A fault is one change to a labelled packet, or its end.

The same change serves two places: a router that suffers it (`Lsr.faults`), where it strikes what leaves, and a wire
whose packets somebody bends (`on_wire`), whatever they travel in. Packets without labels are never touched: that is
what makes a broken LSP hard to find, as everything that is tried with plain IP works.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.errors import FrameError, InputError
from emulator.kernel.effects import Instant
from emulator.link.mpls.encapsulation import IP_PROTOCOL, UDP_PORT
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
class LabelFault:
    """One fault from `start` on and before `end`. `label`: only packets with this label on top (None: all); for php-off
    on a wire, the label that is left on, which must be given there. `by`: 1 to 1,048,575, for wrong-label.

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
            raise InputError(f"MPLS fault {self.kind}: label {self.label} has more than 20 bits")
        if not 1 <= self.by <= HIGHEST:
            raise InputError(f"MPLS fault {self.kind}: by = {self.by}; use 1 to {HIGHEST}")

    def holds(self, now: Instant) -> bool:
        return self.start <= now < self.end

    def strikes(self, labelled: bytes) -> bool:
        """Whether a packet's top label is the one meant."""
        return self.label is None or (len(labelled) >= 4 and int.from_bytes(labelled[:4], "big") >> 12 == self.label)

    def struck(self, labelled: bytes) -> bytes | None:
        """What becomes of a labelled packet; None: its end. One that is not meant stays as it is."""
        if len(labelled) < 4:
            return labelled
        entry = int.from_bytes(labelled[:4], "big")
        if self.kind == PHP_OFF:
            # A packet of which one label more was popped than here shows that label again, at the same TTL.
            if self.label is None:
                raise InputError(f"MPLS fault {PHP_OFF} on a wire wants the label that is left on: set `label`")
            return (self.label << 12 | entry & 0xEFF).to_bytes(4, "big") + labelled
        if not self.strikes(labelled):
            return labelled
        if self.kind in (WITHDRAWN, DOWN):
            return None
        if self.kind == WRONG:
            entry = ((entry >> 12) + self.by & HIGHEST) << 12 | entry & 0xFFF
        elif self.kind == TTL:
            entry = entry & ~0xFF | 1
        else:
            return _without_bottom(labelled)
        return entry.to_bytes(4, "big") + labelled[4:]


def _without_bottom(labelled: bytes) -> bytes:
    at = 0
    while at + 4 <= len(labelled):
        if labelled[at + 2] & 1:
            return labelled[: at + 2] + bytes((labelled[at + 2] & 0xFE,)) + labelled[at + 3 :]
        at += 4
    return labelled


def on_wire(fault: LabelFault, packet: bytes) -> bytes | None:
    """What becomes of a packet of the link (outermost IPv4; labels in UDP 6635 or IP protocol 137); None: its end.

    Times are the caller's affair. What carries no labels, or cannot be read, stays as it is.
    """
    try:
        outside = IPV4_FRAME.parse(packet)
        if outside.fragment_offset or outside.flags & 1:
            return packet
        if outside.protocol == IP_PROTOCOL:
            struck = fault.struck(outside.payload)
            return None if struck is None else _again(outside, struck)
        if outside.protocol != udp.PROTOCOL:
            return packet
        inside = UDP_FRAME.parse(outside.payload)
    except FrameError:
        return packet
    if inside.destination_port != UDP_PORT:
        return packet
    struck = fault.struck(inside.payload)
    if struck is None:
        return None
    ends = outside.source, outside.destination, inside.source_port, UDP_PORT
    checksum = inside.checksum and udp.checksum(*ends, struck)
    return _again(outside, UDP_FRAME.build(UDP(inside.source_port, UDP_PORT, checksum, struck)))


def _again(outside: IPv4, payload: bytes) -> bytes:
    outside.payload = payload
    return IPV4_FRAME.build(outside)
