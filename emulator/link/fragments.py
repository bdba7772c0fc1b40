"""Packets that do not fit: cut in pieces, put together again, or sent back (RFC 791, RFC 1191).

A gateway may cut a packet before it seals it, so that each piece is a packet of the tunnel, or after, so that ESP's own
packet travels in pieces and is whole again before it is opened (RFC 4303 3.4.1). What must not be cut (DF) is answered
with ICMP "fragmentation needed", which tells the sender what would fit.

What a receiver keeps of unfinished packets is bounded in number and in time, and pieces that contradict each other undo
their packet: an overlap is nothing a router makes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from emulator.codecs import icmp
from emulator.codecs.icmp import ICMP, ICMP_FRAME
from emulator.codecs.ipv4 import HEADER, IPV4_FRAME, IPv4
from emulator.errors import UsageError
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND

MORE: Final = 1
DONT: Final = 2
LEAST_MTU: Final = 68
"""Every link carries as much (RFC 791)."""

_TOTAL_MAX: Final = 65_535
LARGEST_FRAME: Final = _TOTAL_MAX - 256
"""No frame above this crosses in pieces either: an IPv4 packet has room for it and every tunnel around it."""
_TTL: Final = 64
_UNREACHABLE, _TOO_BIG = 3, 4
_ERRORS: Final = frozenset({3, 4, 5, 11, 12})


def fragment(packet: bytes, mtu: int) -> list[bytes]:
    """The packet in pieces of at most `mtu` bytes, in order; alone when it fits. DF is the caller's affair.

    Raises FrameError: not an IPv4 packet without options. UsageError: an MTU below 68.
    """
    if len(packet) <= mtu:
        return [packet]
    if mtu < LEAST_MTU:
        raise UsageError(f"an MTU of {mtu}; no link's is below {LEAST_MTU}")
    whole = IPV4_FRAME.parse(packet)
    step = (mtu - HEADER) & ~7
    pieces = []
    for at in range(0, len(whole.payload), step):
        part = whole.payload[at : at + step]
        more = at + step < len(whole.payload) or whole.flags & MORE
        flags = whole.flags & ~MORE | (MORE if more else 0)
        pieces.append(IPV4_FRAME.build(_with(whole, part, flags, whole.fragment_offset + at // 8)))
    return pieces


def pieces_of(
    inner: bytes, wrap: Callable[[bytes], bytes], room: int, mtu: int, how: Literal["before", "after"]
) -> list[bytes]:
    """The packets in which a gateway sends an inner packet that is over `room` bytes, DF or not (it is the hubs' own
    operator who cuts): cut before `wrap`, or what `wrap` makes of it cut to `mtu`. Raises what `wrap` raises."""
    if how == "before":
        return [wrap(piece) for piece in fragment(_free(inner, None), room)]
    identification = IPV4_FRAME.parse(inner).identification
    return fragment(_free(wrap(_free(inner, None)), identification), mtu)


def _free(packet: bytes, identification: int | None) -> bytes:
    """The packet with DF cleared, and an identification that tells its pieces from another's."""
    whole = IPV4_FRAME.parse(packet)
    return IPV4_FRAME.build(
        IPv4(
            whole.source, whole.destination, whole.protocol,
            whole.identification if identification is None else identification,
            whole.ttl, whole.payload, whole.service, whole.flags & ~DONT,
        )
    )  # fmt: skip


def _with(whole: IPv4, payload: bytes, flags: int, offset: int) -> IPv4:
    return IPv4(
        whole.source, whole.destination, whole.protocol, whole.identification, whole.ttl, payload, whole.service, flags,
        offset,
    )  # fmt: skip


@dataclass(slots=True)
class _Unfinished:
    """Pieces of one packet by offset in bytes; `end` is known once the last one is there."""

    since: Instant
    pieces: dict[int, bytes] = field(default_factory=dict)
    first: IPv4 | None = None
    end: int | None = None


class Reassembly:
    """Pieces in, whole packets out. At most `limit` packets wait, the oldest giving way, none longer than `lifetime`.

    ASSUMED: 30 s, as Linux has it (RFC 1122 says 60 to 120), and 64 packets for one tunnel.
    """

    __slots__ = ("_waiting", "lifetime", "limit")

    def __init__(self, lifetime: int = 30 * SECOND, limit: int = 64) -> None:
        self.lifetime = lifetime
        self.limit = limit
        self._waiting: dict[tuple[int, int, int, int], _Unfinished] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, packet: bytes, now: Instant) -> bytes | None:
        """The packet if it is whole, or becomes whole with this piece of it; else None. Raises FrameError."""
        piece = IPV4_FRAME.parse(packet)
        if not piece.flags & MORE and not piece.fragment_offset:
            return packet
        for key in [key for key, waits in self._waiting.items() if now - waits.since > self.lifetime]:
            del self._waiting[key]
        key = (piece.source, piece.destination, piece.protocol, piece.identification)
        waits = self._waiting.get(key)
        if waits is None:
            if len(self._waiting) >= self.limit:
                del self._waiting[next(iter(self._waiting))]
            waits = self._waiting[key] = _Unfinished(now)
        if not _add(waits, piece):
            del self._waiting[key]
            return None
        payload = _joined(waits)
        if payload is None or waits.first is None:
            return None
        del self._waiting[key]
        return IPV4_FRAME.build(_with(waits.first, payload, waits.first.flags & ~MORE, 0))


def _add(waits: _Unfinished, piece: IPv4) -> bool:
    """False when the piece contradicts the others, or can be none."""
    at, data = 8 * piece.fragment_offset, piece.payload
    end = at + len(data)
    last = not piece.flags & MORE
    if not data or end > _TOTAL_MAX - HEADER or (not last and len(data) % 8):
        return False
    if waits.pieces.get(at) == data and (not last or waits.end == end):
        return True
    if any(at < other + len(held) and other < end for other, held in waits.pieces.items()):
        return False
    if waits.end is not None and (last or end > waits.end):
        return False
    if last:
        if any(other >= end for other in waits.pieces):
            return False
        waits.end = end
    if at == 0:
        waits.first = piece
    waits.pieces[at] = data
    return True


def _joined(waits: _Unfinished) -> bytes | None:
    """The whole payload, once there is no gap."""
    if waits.end is None or sum(map(len, waits.pieces.values())) != waits.end:
        return None
    return b"".join(waits.pieces[at] for at in sorted(waits.pieces))


def too_big(packet: bytes, mtu: int, router: int) -> bytes | None:
    """The ICMP answer of `router` (an address as an int) to a packet with DF that is over `mtu` bytes.

    None where no answer is given (RFC 1122 3.2.2): to an ICMP error, a later fragment, or what does not come from or
    go to one host. Raises FrameError.
    """
    whole = IPV4_FRAME.parse(packet)
    error = whole.protocol == icmp.PROTOCOL and whole.payload[:1] and whole.payload[0] in _ERRORS
    if error or whole.fragment_offset or whole.destination >> 28 >= 0xE or not 0 < whole.source >> 24 < 0xE0:
        return None
    quoted = packet[: HEADER + 8]
    checksum = icmp.checksum(_UNREACHABLE, _TOO_BIG, mtu, quoted)
    answer = ICMP_FRAME.build(ICMP(_UNREACHABLE, _TOO_BIG, checksum, mtu, quoted))
    return IPV4_FRAME.build(IPv4(router, whole.source, icmp.PROTOCOL, 0, _TTL, answer, flags=0))
