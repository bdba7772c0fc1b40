"""A stage of the core link: what one layer does to a packet at the sending gateway and undoes at the receiving one.

A stage belongs to one cell and one direction. Its two halves share what was agreed beforehand (keys, labels, addresses)
and nothing that happens afterwards: everything the receiving half learns, it learns from the packet.

Outer headers repeat: between two gateways only the lengths and checksums change. `Envelope` therefore builds the outer
header once per packet length, with the codecs, and compares on the way in; whatever is not the expected header to the
byte is taken apart by the codecs, which find out whether it is merely different (another TTL) or wrong.
"""

from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.crypto.esp_sa import Whole
from emulator.errors import EmulatorError
from emulator.link.profile import Direction, LinkProfile

Reason: TypeAlias = Literal[
    "malformed", "checksum", "protocol", "not-ours", "association", "integrity", "replay", "label", "ttl", "selector"
]
"""Why a packet was refused. malformed: not the frame it should be. checksum: the UDP checksum does not hold. protocol:
a wrong next protocol. not-ours: for another gateway. association: no SA with this SPI. integrity: the ICV does not
hold. replay: seen before, or older than the window. label: not our label stack. ttl: used up. selector: the tunnel does
not serve this address."""


class Refused(EmulatorError):
    """A gateway will not have a packet. `reason` is one of `Reason`, `detail` one clause for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


class Piece(Refused):
    """A part of a packet, which no gateway takes for a whole one. `packet` is the part."""

    def __init__(self, packet: bytes) -> None:
        super().__init__("malformed", "a fragment")
        self.packet = packet


@dataclass(frozen=True, slots=True)
class Leg:
    """Where a stage stands: one cell's link, one direction."""

    seed: int
    cell: int
    direction: Direction
    profile: LinkProfile

    @property
    def gateways(self) -> tuple[int, int]:
        """The outer addresses: (sending gateway, receiving gateway)."""
        down = self.profile.gateway_down + self.cell
        up = self.profile.gateway_up + self.cell
        return (down, up) if self.direction is Direction.DOWN else (up, down)


class Stage(Protocol):
    """One layer. `overhead` is by how many bytes it can enlarge a packet at most, given the link's MTU."""

    @property
    def overhead(self) -> int: ...

    def wrap(self, packet: bytes) -> bytes:
        """At the sending gateway."""
        ...

    def unwrap(self, packet: bytes) -> bytes:
        """At the receiving gateway. Raises FrameError, CryptoError or Refused."""
        ...

    def whole(self) -> Whole | None:
        """This stage and the frame's datagram below it in one call, if there is one: the same packets and the same
        state as `wrap` and `unwrap`, which are still asked whenever that call gives None."""
        ...


_MOST: Final = 65_535


class Envelope:
    """The outer IPv4 header between two gateways, and constant bytes behind it (`shim`).

    DF is set and nothing is ever fragmented, so the identification may be constant (RFC 6864 section 4.1).
    """

    __slots__ = ("_destination", "_headers", "_protocol", "_source", "_ttl")

    def __init__(self, leg: Leg, protocol: int) -> None:
        self._source, self._destination = leg.gateways
        self._protocol = protocol
        self._ttl = leg.profile.outer_ttl
        self._headers: dict[int, bytes] = {}

    def header(self, length: int, destination: int | None = None) -> bytes:
        """The header in front of `length` bytes; `destination`: when the peer is elsewhere."""
        if destination is not None and destination != self._destination:
            return IPV4_FRAME.build(IPv4(self._source, destination, self._protocol, 0, self._ttl, bytes(length)))[:20]
        header = self._headers.get(length)
        if header is None:
            outside = IPv4(self._source, self._destination, self._protocol, 0, self._ttl, bytes(length))
            header = self._headers[length] = IPV4_FRAME.build(outside)[:20]
        return header

    def open(self, packet: bytes) -> bytes:
        """What the packet carries. Raises FrameError or Refused."""
        header = self._headers.get(len(packet) - 20)
        if header is not None and packet.startswith(header):
            return packet[20:]
        return self.arrived(packet).payload

    def arrived(self, packet: bytes, *, anybody: bool = False) -> IPv4:
        """The packet, taken apart; with `anybody` it may come from anywhere. Raises FrameError or Refused."""
        outside = IPV4_FRAME.parse(packet)
        if outside.flags & 1 or outside.fragment_offset:
            raise Piece(packet)
        if outside.destination != self._destination or (outside.source != self._source and not anybody):
            raise Refused("not-ours", f"from {outside.source:#010x} to {outside.destination:#010x}")
        if outside.protocol != self._protocol:
            raise Refused("protocol", f"IPv4 protocol {outside.protocol} instead of {self._protocol}")
        return outside
