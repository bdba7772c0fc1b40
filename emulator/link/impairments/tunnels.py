"""Faults of the tunnel and of the labelled path, as far as they show in packets (rows 26 and 27).

The gateways stay as they are; what is on the way between them is replayed, bent or loses its labels, and the gateway at
the other end has to say what it says. Other packets pass. What an ESP packet was made with stays: changing its SPI or
number breaks its integrity check, which a gateway may or may not come to look at.

A lost answer to a rekeying is a filter on IKE (`match`); a sequence number near its end is a state of the sender.
"""

from struct import Struct
from typing import ClassVar, Final

from msgspec.structs import replace

from emulator.codecs import udp
from emulator.codecs.esp import PROTOCOL as PROTOCOL_ESP
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import PROTOCOL as PROTOCOL_UDP
from emulator.codecs.udp import UDP_FRAME
from emulator.errors import FrameError
from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND
from emulator.link.impairments.base import Carried, Impairment, Luck
from emulator.link.impairments.match import PORT_MPLS, PORT_NATT, PROTOCOL_MPLS

_WORD: Final = Struct(">I")
_BOTTOM: Final = 0x100
_ALL: Final = 0xFFFF_FFFF


def rebuilt(outside: IPv4, payload: bytes) -> bytes:
    """An IPv4 packet with another UDP or other payload, and checksums that hold (a UDP checksum of 0 stays)."""
    if outside.protocol == PROTOCOL_UDP:
        inside = UDP_FRAME.parse(outside.payload)
        ends = inside.source_port, inside.destination_port
        checksum = inside.checksum and udp.checksum(outside.source, outside.destination, *ends, payload)
        payload = UDP_FRAME.build(replace(inside, checksum=checksum, payload=payload))
    return IPV4_FRAME.build(replace(outside, payload=payload))


def opened(packet: bytes, protocol: int, port: int) -> tuple[IPv4, bytes] | None:
    """(the outer header, what it carries) of a packet that carries `protocol`, bare or in UDP; None: of another."""
    try:
        outside = IPV4_FRAME.parse(packet)
        if outside.protocol == protocol:
            return outside, outside.payload
        if outside.protocol == PROTOCOL_UDP:
            inside = UDP_FRAME.parse(outside.payload)
            if port in (inside.source_port, inside.destination_port):
                return outside, inside.payload
    except FrameError:
        pass
    return None


class EspFault(Impairment):
    """What befalls ESP packets. `replay`: one of `back` packets earlier comes again, `lag_ms` behind this one (0 back:
    itself). `wrong-spi` and `wrong-sequence`: that field is `by` more. `bad-tag`: the last byte is turned."""

    __slots__ = ("_action", "_back", "_by", "_lag", "_luck", "_probability", "passed")
    STATE: ClassVar[tuple[str, ...]] = ("passed",)

    def __init__(self, luck: Luck, *, action: str, probability: float, by: int, back: int, lag_ms: float) -> None:
        self._luck = luck
        self._action = action
        self._probability = probability
        self._by = by
        self._back = back
        self._lag = round(lag_ms * MILLISECOND)
        self.passed: list[bytes] = []
        """The packets that a replay may take, oldest first; this one included."""

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        found = opened(packet, PROTOCOL_ESP, PORT_NATT)
        if found is None or len(found[1]) < 12 or not any(found[1][:4]):
            return [(0, packet)]
        strikes = self._luck.draw(number) < self._probability
        if self._action == "replay":
            self.passed = [*self.passed[-self._back :], packet] if self._back else [packet]
            if not strikes or len(self.passed) <= self._back:
                return [(0, packet)]
            return [(0, packet), (self._lag, self.passed[0])]
        if not strikes:
            return [(0, packet)]
        outside, sealed = found
        if self._action == "bad-tag":
            sealed = sealed[:-1] + bytes((sealed[-1] ^ 1,))
        else:
            at = 0 if self._action == "wrong-spi" else 4
            (value,) = _WORD.unpack_from(sealed, at)
            sealed = sealed[:at] + _WORD.pack(value + self._by & _ALL) + sealed[at + 4 :]
        return [(0, rebuilt(outside, sealed))]


class LabelFault(Impairment):
    """What befalls labelled packets, of any label on top or of `label`. `withdrawn`: the path is gone for it, they are
    lost; `lsp-down`: all labelled packets are, and plain IP passes. `wrong-label`: the label on top is `to`. `ttl`: the
    TTL on top is `ttl`. `no-bottom`: no entry says that it is the last. `popped`: the label on top is gone, as a hop
    leaves it that pops before the last (PHP off is the same on a path that pops; the last label is never taken)."""

    __slots__ = ("_action", "_label", "_luck", "_probability", "_to", "_ttl")

    def __init__(self, luck: Luck, *, action: str, probability: float, label: int | None, to: int, ttl: int) -> None:
        self._luck = luck
        self._action = action
        self._probability = probability
        self._label = label
        self._to = to
        self._ttl = ttl

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        found = opened(packet, PROTOCOL_MPLS, PORT_MPLS)
        if found is None or len(found[1]) < 4 or self._luck.draw(number) >= self._probability:
            return [(0, packet)]
        if self._action == "lsp-down":
            return []
        outside, stack = found
        (top,) = _WORD.unpack_from(stack)
        if self._label is not None and top >> 12 != self._label:
            return [(0, packet)]
        if self._action == "withdrawn":
            return []
        if self._action == "popped":
            return [(0, packet if top & _BOTTOM else rebuilt(outside, stack[4:]))]
        if self._action == "no-bottom":
            return [(0, rebuilt(outside, bottomless(stack)))]
        top = self._to << 12 | top & 0xFFF if self._action == "wrong-label" else top & ~0xFF | self._ttl
        return [(0, rebuilt(outside, _WORD.pack(top) + stack[4:]))]


def bottomless(stack: bytes) -> bytes:
    """A label stack whose last entry does not say so."""
    for at in range(0, len(stack) - 3, 4):
        (entry,) = _WORD.unpack_from(stack, at)
        if entry & _BOTTOM:
            return stack[:at] + _WORD.pack(entry & ~_BOTTOM) + stack[at + 4 :]
    return stack
