"""What can happen to frames on the mobile network between the operator's gateway and a hub (row F14), and to messages.

A fault on a wire is algebra: `bend` turns a frame into `[(delay, frame), ...]` in µs, over what the air did with it
anyhow. None is loss, two a duplicate, a changed frame is damage. Some faults outlast the frame they struck (a bearer
that is down, a way that is dead); those say so with `dead`, from what they remember of the home.

**Datagrams and streams.** The emulated link carries UDP, one COSEM wrapper PDU in a datagram (IEC 62056-4-7), and a
datagram is never split or joined. Real hubs are also spoken to over TCP, where a PDU may come in pieces or two may come
at once. `transport` chooses what the receiver is. "stream": it reads by the wrapper's length field, so it sees whole
PDUs, but late ones (a split PDU is there with its last piece) or two at one instant; a client of a served estate that
asked over TCP is that reader itself, and gets the pieces of its answers on its own socket. "datagram": it takes what
comes for a PDU; pieces and pairs do not parse and are refused, which is noted. ASSUMED: "stream", because nothing else
than a stream splits.

All of it is ASSUMED field knowledge of GPRS: nothing is published on this network's losses.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta

from emulator.faults.fault import Fault, Point, Seconds
from emulator.faults.mischief import UNTIL_ATTACHED
from emulator.kernel import chance
from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND, SECOND

Bent: TypeAlias = list[tuple[int, bytes]]
"""(further delay in µs, frame) for each that comes out; empty: lost."""

Way: TypeAlias = Literal["down", "up", "both"]
Transport: TypeAlias = Literal["stream", "datagram"]
Milliseconds: TypeAlias = Annotated[int, Meta(ge=0, le=86_400_000, description="milliseconds of virtual time")]

_WAYS = {"down": Point.WAN_DOWN, "up": Point.WAN_UP}
_AIR = frozenset({Point.WAN_DOWN, Point.WAN_UP})


@dataclass(frozen=True, slots=True)
class Crossing:
    """A frame on its way: where, when, until when the fault is in force, 64 bits of luck, and what the fault remembers
    of the home (its own to change)."""

    point: Point
    now: Instant
    until: Instant
    luck: int
    memory: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFault(Fault):
    """Root of the faults on wires. `way`: towards the hub ("down"), from it ("up"), or both."""

    lingers: ClassVar[bool] = False
    """Whether it outlasts the frame it struck, so that `dead` has to be asked."""

    way: Way = "both"

    def wants(self, point: Point, occasion: Any) -> bool:
        """Its way only; the occasion is the frame."""
        return self.way == "both" or point not in _AIR or _WAYS[self.way] is point

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        """What becomes of a frame that it struck."""
        raise NotImplementedError

    def dead(self, crossing: Crossing) -> bool:
        """Whether a frame is lost to what struck an earlier one."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class GprsLoss(WireFault):
    """A frame is lost in the air, as nothing below UDP repeats it. With `chance` it is the loss rate."""

    name: ClassVar[str] = "gprs-loss"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"chance": 0.05}

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class GprsFlap(WireFault):
    """The bearer drops: the frame that is struck is lost, and everything either way for `down_s` after it, while the
    hub believes itself attached."""

    name: ClassVar[str] = "gprs-flap"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"down_s": 20, "chance": 0.02}
    lingers: ClassVar[bool] = True

    down_s: Seconds = 20

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        crossing.memory["down-until"] = crossing.now + round(self.down_s * SECOND)
        return []

    def dead(self, crossing: Crossing) -> bool:
        return bool(crossing.now < crossing.memory.get("down-until", 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class GprsDuplicate(WireFault):
    """A frame arrives more than once: `copies` further ones, `lag_ms` apart."""

    name: ClassVar[str] = "gprs-duplicate"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"chance": 0.1, "copies": 1}

    copies: Annotated[int, Meta(ge=1, le=16, description="further copies")] = 1
    lag_ms: Milliseconds = 50

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        return [(turn * self.lag_ms * MILLISECOND, frame) for turn in range(self.copies + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GprsReorder(WireFault):
    """A frame is held back for `hold_ms` and overtaken by what comes after it. One that nothing follows is only late;
    one held longer than the head end's patience comes after its own repetition."""

    name: ClassVar[str] = "gprs-reorder"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"hold_ms": 20_000, "times": 1}

    hold_ms: Milliseconds = 3_000

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        return [(self.hold_ms * MILLISECOND, frame)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GprsTruncate(WireFault):
    """A frame is cut: its first `keep` bytes arrive; without a figure at a place by luck. The receiver refuses it."""

    name: ClassVar[str] = "gprs-truncate"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"keep": 12, "times": 2}

    keep: Annotated[int, Meta(ge=0, le=65_535, description="bytes that arrive; none: by luck")] | None = None

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        keep = crossing.luck % max(1, len(frame)) if self.keep is None else self.keep
        return [(0, frame[:keep])]


@dataclass(frozen=True, slots=True, kw_only=True)
class GprsSplit(WireFault):
    """A wrapper PDU comes in two pieces, cut after byte `at` (without a figure by luck), the second `gap_ms` later.
    A receiver that reads a stream has it with the second piece; one that takes datagrams refuses both."""

    name: ClassVar[str] = "gprs-split"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"at": 5, "gap_ms": 800, "chance": 0.2}

    at: Annotated[int, Meta(ge=1, le=65_535, description="byte after which it is cut; none: by luck")] | None = None
    gap_ms: Milliseconds = 200
    transport: Transport = "stream"

    def cut(self, frame: bytes, luck: int) -> int:
        """After which byte a frame of two bytes or more is cut."""
        return 1 + luck % (len(frame) - 1) if self.at is None else min(self.at, len(frame) - 1)

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        if len(frame) < 2:
            return [(0, frame)]
        at = self.cut(frame, crossing.luck)
        pieces = [(0, frame[:at]), (self.gap_ms * MILLISECOND, frame[at:])]
        return read_stream(pieces) if self.transport == "stream" else pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class GprsCoalesce(WireFault):
    """A wrapper PDU waits for the next one the same way, at most `hold_ms`, and both come at once: to a receiver that
    reads a stream as two PDUs at one instant, to one that takes datagrams as one that does not parse."""

    name: ClassVar[str] = "gprs-coalesce"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"hold_ms": 40_000, "chance": 0.1}

    hold_ms: Milliseconds = 2_000
    transport: Transport = "stream"

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        """A PDU that nothing follows: late. The wire holds it back and, when another comes in time, asks `join`."""
        return [(self.hold_ms * MILLISECOND, frame)]

    def join(self, first: bytes, second: bytes) -> Bent:
        """What the receiver has of two PDUs that came at once."""
        both = [(0, first + second)]
        return read_stream(both) if self.transport == "stream" else both


@dataclass(frozen=True, slots=True, kw_only=True)
class GprsCorrupt(WireFault):
    """`bits` bits of a frame are flipped, from byte `first` on: damage that no checksum below caught."""

    name: ClassVar[str] = "gprs-corrupt"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"bits": 3, "first": 8, "chance": 0.05}

    bits: Annotated[int, Meta(ge=1, le=1_024, description="bits flipped")] = 1
    first: Annotated[int, Meta(ge=0, le=65_535, description="first byte that may be hit; 8 spares the header")] = 0

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        if len(frame) <= self.first:
            return [(0, frame)]
        bent, room = bytearray(frame), 8 * (len(frame) - self.first)
        hit: set[int] = set()
        for turn in range(min(self.bits, room)):
            place = chance.mix(crossing.luck, turn, 0) % room
            while place in hit:
                place = (place + 1) % room
            hit.add(place)
            bent[self.first + place // 8] ^= 1 << place % 8
        return [(0, bytes(bent))]


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfOpen(WireFault):
    """One direction is dead and the other carries, until the hub attaches anew: a connection that one side has given
    up. By default nothing comes back from the hub, which hears every request and answers in vain."""

    name: ClassVar[str] = "half-open"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"way": "up", "times": 1}
    lingers: ClassVar[bool] = True

    way: Way = "up"

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        crossing.memory[UNTIL_ATTACHED] = True
        return []

    def dead(self, crossing: Crossing) -> bool:
        return UNTIL_ATTACHED in crossing.memory and self.wants(crossing.point, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsLost(WireFault):
    """A short message never arrives, and nobody is told."""

    name: ClassVar[str] = "sms-lost"
    row: ClassVar[str] = "F13"
    points: ClassVar[frozenset[Point]] = frozenset({Point.SMS})
    example: ClassVar[dict[str, Any]] = {"times": 2}

    way: Literal["down"] = "down"

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        return []


def read_stream(pieces: Bent) -> Bent:
    """What a reader of a TCP stream makes of pieces that come in this order: each wrapper PDU whole, at the time of its
    last byte. What is left over and incomplete is not returned: it waits for bytes that never come."""
    found: Bent = []
    buffer = b""
    for delay, piece in pieces:
        buffer += piece
        while len(buffer) >= _HEADER:
            end = _HEADER + int.from_bytes(buffer[6:_HEADER], "big")
            if len(buffer) < end:
                break
            found.append((delay, buffer[:end]))
            buffer = buffer[end:]
    return found


_HEADER = 8
"""Bytes of a wrapper header: version, source, destination, length, two each."""

FAULTS: tuple[type[Fault], ...] = (
    GprsLoss,
    GprsFlap,
    GprsDuplicate,
    GprsReorder,
    GprsTruncate,
    GprsSplit,
    GprsCoalesce,
    GprsCorrupt,
    HalfOpen,
    SmsLost,
)
