"""Bandwidth, the queue in front of it, and a sender that is held back (rows 14 to 16).

A packet of s bytes takes (s + overhead) * 8 / rate seconds, in whole cells where there are cells. The bucket is kept as
one instant, when all that was let through would be out at the bare rate (GCRA, ITU-T I.371): with a bucket of b bytes a
packet may be out as much earlier as b bytes take, so an idle link lets a burst of b bytes through at once, and an empty
bucket (0) serialises everything. Time is kept in ns, so that a fast link does not round.

What waits is the queue. Over `limit_packets` or `limit_bytes` the tail is dropped. Between the two thresholds packets
are marked with a probability that rises to `mark_most`, and all are behind the second (RED on the queue as it is,
without an average): congestion is told by ECN to who takes part (RFC 3168), others lose the packet.
"""

from collections import deque
from typing import ClassVar, Final

from msgspec.structs import replace

from emulator.codecs.ipv4 import IPV4_FRAME
from emulator.errors import FrameError
from emulator.kernel.effects import Instant
from emulator.link.impairments.base import Carried, Impairment, Luck

_NS: Final = 1_000
_CONGESTED: Final = 3


class Rate(Impairment):
    """A link of so many bits a second with its queue."""

    __slots__ = (
        "_bits", "_burst", "_cell", "_cell_overhead", "_ecn", "_limit_bytes", "_limit_packets", "_luck", "_mark_from",
        "_mark_full", "_mark_most", "_overhead", "_price", "busy_ns", "queued", "waiting",
    )  # fmt: skip
    STATE: ClassVar[tuple[str, ...]] = ("busy_ns", "queued", "waiting")

    def __init__(
        self,
        luck: Luck,
        *,
        bits_per_second: float,
        burst_bytes: int,
        overhead_bytes: int,
        cell_bytes: int,
        cell_overhead_bytes: int,
        limit_packets: int,
        limit_bytes: int,
        mark_from_bytes: int,
        mark_full_bytes: int,
        mark_most: float,
        ecn: bool,
    ) -> None:
        """A limit, a cell or a threshold of 0 is none."""
        self._luck = luck
        self._bits = bits_per_second
        self._overhead = overhead_bytes
        self._cell = cell_bytes
        self._cell_overhead = cell_overhead_bytes
        self._burst = round(burst_bytes * 8e9 / bits_per_second)
        self._limit_packets = limit_packets
        self._limit_bytes = limit_bytes
        self._mark_from = mark_from_bytes
        self._mark_full = mark_full_bytes
        self._mark_most = mark_most
        self._ecn = ecn
        self._price = 8e9 / bits_per_second
        self.busy_ns = 0
        self.queued = 0
        """Bytes of what is waiting."""
        self.waiting: deque[tuple[Instant, int]] = deque()
        """(when it is out, bytes) of what has not come out yet, oldest first."""

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        waiting = self.waiting
        while waiting and waiting[0][0] <= now:
            self.queued -= waiting.popleft()[1]
        size = len(packet)
        if self._limit_packets and len(waiting) >= self._limit_packets:
            return []
        if self._limit_bytes and self.queued + size > self._limit_bytes:
            return []
        if self._mark_full and self._congested(self.queued, number):
            marked = congestion_marked(packet) if self._ecn else None
            if marked is None:
                return []
            packet = marked
        start = now * _NS
        if start < self.busy_ns:
            start = self.busy_ns
        cost = self.wire_bytes(size) if self._cell else size + self._overhead
        self.busy_ns = start + round(cost * self._price)
        out = -((self._burst - self.busy_ns) // _NS)
        if out < now:
            out = now
        waiting.append((out, size))
        self.queued += size
        return [(out - now, packet)]

    def wire_bytes(self, size: int) -> int:
        """What a packet of so many bytes takes on the wire."""
        size += self._overhead
        if self._cell:
            size = -(-size // self._cell) * (self._cell + self._cell_overhead)
        return size

    def _congested(self, queued: int, number: int) -> bool:
        if queued >= self._mark_full:
            return True
        if queued < self._mark_from:
            return False
        share = (queued - self._mark_from) / max(1, self._mark_full - self._mark_from)
        return self._luck.draw(number) < share * self._mark_most


class SenderRate(Impairment):
    """The sender's own interface takes so many bits a second and makes the sender wait, whatever the link behind it
    would carry: nothing is lost by it, and the queue in front of it is the sender's and has no limit."""

    __slots__ = ("_bits", "_overhead", "busy_ns")
    STATE: ClassVar[tuple[str, ...]] = ("busy_ns",)

    def __init__(self, luck: Luck, *, bits_per_second: float, overhead_bytes: int) -> None:
        self._bits = bits_per_second
        self._overhead = overhead_bytes
        self.busy_ns = 0

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        self.busy_ns = max(self.busy_ns, now * _NS) + round((len(packet) + self._overhead) * 8e9 / self._bits)
        return [(-(-self.busy_ns // _NS) - now, packet)]


def congestion_marked(packet: bytes) -> bytes | None:
    """The packet with "congestion experienced" in its outer IPv4 header; None when its sender does not take part."""
    try:
        outside = IPV4_FRAME.parse(packet)
    except FrameError:
        return None
    if not outside.service & _CONGESTED:
        return None
    return IPV4_FRAME.build(replace(outside, service=outside.service | _CONGESTED))
