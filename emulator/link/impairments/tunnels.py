"""Faults of the tunnel and of the labelled path, as far as they show in packets (rows 26 and 27).

The gateways stay as they are; what is on the way between them is replayed, bent or loses its labels, and the gateway at
the other end has to say what it says. Other packets pass. What an ESP packet was made with stays: changing its SPI or
number breaks its integrity check, which a gateway may or may not come to look at. What a router does wrong with labels
by itself is `mpls.faults`; here packets that left it are changed.

A lost answer to a rekeying is a filter on IKE (`match`); a sequence number near its end is a state of the sender.
"""

from struct import Struct
from typing import ClassVar, Final

from emulator.codecs import udp
from emulator.codecs.esp import PROTOCOL as PROTOCOL_ESP
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import PROTOCOL as PROTOCOL_UDP
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.errors import FrameError
from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND
from emulator.link import encap
from emulator.link.impairments.base import Carried, Impairment, Luck
from emulator.link.impairments.match import PORT_MPLS, PROTOCOL_MPLS

_WORD: Final = Struct(">I")
_ALL: Final = 0xFFFF_FFFF
_LABEL: Final = 0xFFFFF
_LEAST: Final = 9


class EspFault(Impairment):
    """What befalls ESP packets, bare or in UDP. `replay`: the one `back` packets earlier (0: this one) comes again,
    `lag_ms` behind this one. `wrong-spi` and `wrong-sequence`: that field is `by` more. `bad-tag`: the last bit is
    turned."""

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
        found = esp_in(packet)
        if found is None:
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
        return [(0, _around(outside, sealed))]


class Labels(Impairment):
    """What befalls labelled packets, all or those with `label` on top. `label-withdrawn`: they end here. `lsp-down`:
    all do, while plain IP passes. `wrong-label`: the top label is `by` more. `ttl-1`: so is the top TTL.
    `missing-bottom`: no entry says that it is the last. `php-off`: `label` was left on, on top of what is there."""

    __slots__ = ("_action", "_by", "_label", "_luck", "_probability")

    def __init__(self, luck: Luck, *, action: str, probability: float, label: int | None, by: int) -> None:
        self._luck = luck
        self._action = action
        self._probability = probability
        self._label = label
        self._by = by

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        found = labels_in(packet)
        if found is None or self._luck.draw(number) >= self._probability:
            return [(0, packet)]
        outside, stack = found
        (top,) = _WORD.unpack_from(stack)
        action, label = self._action, self._label
        if action == "php-off":
            return [(0, _around(outside, _WORD.pack((label or 0) << 12 | top & 0xEFF) + stack))]
        if action == "lsp-down":
            return []
        if label is not None and top >> 12 != label:
            return [(0, packet)]
        if action == "label-withdrawn":
            return []
        if action == "missing-bottom":
            return [(0, _around(outside, _bottomless(stack)))]
        entry = ((top >> 12) + self._by & _LABEL) << 12 | top & 0xFFF if action == "wrong-label" else top & ~0xFF | 1
        return [(0, _around(outside, _WORD.pack(entry) + stack[4:]))]


def _bottomless(stack: bytes) -> bytes:
    for at in range(0, len(stack) - 3, 4):
        if stack[at + 2] & 1:
            return stack[: at + 2] + bytes((stack[at + 2] ^ 1,)) + stack[at + 3 :]
    return stack


def labels_in(packet: bytes) -> tuple[IPv4, bytes] | None:
    """(the outer packet, its label stack and what is behind), where a packet has labels, in UDP 6635 or in IP."""
    return _carried(packet, PROTOCOL_MPLS, PORT_MPLS, 4)


def esp_in(packet: bytes) -> tuple[IPv4, bytes] | None:
    """(the outer packet, the ESP in it), where a packet carries ESP, bare or in UDP 4500."""
    found = _carried(packet, PROTOCOL_ESP, encap.PORT, _LEAST)
    if found is None or (found[0].protocol == PROTOCOL_UDP and encap.carried(found[1]) != "esp"):
        return None
    return found


def _carried(packet: bytes, protocol: int, port: int, least: int) -> tuple[IPv4, bytes] | None:
    """What is in an IP protocol or on a UDP port, if that is `least` bytes or more and no fragment."""
    try:
        outside = IPV4_FRAME.parse(packet)
        if outside.flags & 1 or outside.fragment_offset:
            return None
        held = outside.payload
        if outside.protocol == PROTOCOL_UDP:
            inside = UDP_FRAME.parse(held)
            if port not in (inside.source_port, inside.destination_port):
                return None
            held = inside.payload
        elif outside.protocol != protocol:
            return None
    except FrameError:
        return None
    return (outside, held) if len(held) >= least else None


def _around(outside: IPv4, held: bytes) -> bytes:
    """A packet like `outside` with something else in its protocol or its datagram; a UDP checksum of 0 stays."""
    if outside.protocol == PROTOCOL_UDP:
        inside = UDP_FRAME.parse(outside.payload)
        ports = inside.source_port, inside.destination_port
        checksum = inside.checksum and udp.checksum(outside.source, outside.destination, *ports, held)
        held = UDP_FRAME.build(UDP(*ports, checksum, held))
    outside.payload = held
    return IPV4_FRAME.build(outside)
