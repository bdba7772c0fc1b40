"""Faults of the tunnel and of the labelled path, as far as they show in packets (rows 26 and 27).

The gateways stay as they are; what is on the way between them is replayed, bent or loses its labels, and the gateway at
the other end has to say what it says. Other packets pass. What an ESP packet was made with stays: changing its SPI or
number breaks its integrity check, which a gateway may or may not come to look at. What befalls labels is said in
`mpls.faults`, where routers suffer the same; here it comes to a share of the packets.

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
from emulator.link.mpls.faults import LabelFault, on_wire

_WORD: Final = Struct(">I")
_ALL: Final = 0xFFFF_FFFF
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


def esp_in(packet: bytes) -> tuple[IPv4, bytes] | None:
    """(the outer packet, the ESP in it), where a packet carries ESP, bare or in UDP 4500."""
    try:
        outside = IPV4_FRAME.parse(packet)
        if outside.protocol == PROTOCOL_ESP:
            return (outside, outside.payload) if len(outside.payload) >= _LEAST else None
        if outside.protocol == PROTOCOL_UDP:
            inside = UDP_FRAME.parse(outside.payload)
            if encap.PORT in (inside.source_port, inside.destination_port):
                held = inside.payload
                return (outside, held) if encap.carried(held) == "esp" and len(held) >= _LEAST else None
    except FrameError:
        pass
    return None


def _around(outside: IPv4, sealed: bytes) -> bytes:
    """A packet like `outside` with other ESP in it; a UDP checksum of 0 stays."""
    if outside.protocol == PROTOCOL_UDP:
        inside = UDP_FRAME.parse(outside.payload)
        ports = inside.source_port, inside.destination_port
        checksum = inside.checksum and udp.checksum(outside.source, outside.destination, *ports, sealed)
        sealed = UDP_FRAME.build(UDP(*ports, checksum, sealed))
    outside.payload = sealed
    return IPV4_FRAME.build(outside)


class Labels(Impairment):
    """A fault of labels (`mpls.faults`) that comes to a share of the packets."""

    __slots__ = ("_fault", "_luck", "_probability")

    def __init__(self, luck: Luck, *, action: str, probability: float, label: int | None, by: int) -> None:
        self._luck = luck
        self._probability = probability
        self._fault = LabelFault(action, label, by=by)

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        if self._luck.draw(number) >= self._probability:
            return [(0, packet)]
        struck = on_wire(self._fault, packet)
        return [] if struck is None else [(0, struck)]
