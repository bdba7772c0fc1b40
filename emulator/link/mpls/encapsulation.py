"""What a labelled packet travels in between two routers: Ethernet, UDP, or IP.

An interface is a wire to one neighbour. Labelled packets cross it inside the encapsulation; IP packets without labels
(routing and LDP among them) cross it as they are, which is how an LSP can be down while IP is up. UDP is RFC 7510 with
port 6635: checksum 0 is sent and any right one accepted. IP is RFC 4023, protocol 137. Neither sets the outer TTL from
the labels' (their path is one hop to the stack). The UDP source port would spread flows over parallel paths; there is
one path, so it is constant.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.link.mpls.drops import Drop

UDP_PORT: Final = 6635
IP_PROTOCOL: Final = 137
SOURCE_PORT: Final = 49_152
"""First of the range that RFC 7510 section 3.1 names."""
ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_MPLS: Final = 0x8847


class Encapsulation(Protocol):
    """`overhead`: bytes that count against the interface's MTU."""

    overhead: ClassVar[int]

    def close(self, labelled: bool, packet: bytes) -> bytes:
        """The frame of a packet. Drop: this wire does not carry labels. FrameError: too large for any frame."""
        ...

    def open(self, frame: bytes) -> tuple[bool, bytes]:
        """(labelled, packet). Drop or FrameError: not a frame for us."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """A customer's wire: IP and nothing else."""

    overhead: ClassVar[int] = 0

    def close(self, labelled: bool, packet: bytes) -> bytes:
        if labelled:
            raise Drop("interface", "the interface carries no labels")
        return packet

    def open(self, frame: bytes) -> tuple[bool, bytes]:
        return False, frame


@dataclass(frozen=True, slots=True)
class Ethernet:
    """Addresses are six bytes; the neighbour's is fixed."""

    ours: bytes
    theirs: bytes
    overhead: ClassVar[int] = 0  # an Ethernet MTU is what stands behind the header

    def close(self, labelled: bool, packet: bytes) -> bytes:
        kind = ETHERTYPE_MPLS if labelled else ETHERTYPE_IPV4
        return self.theirs + self.ours + kind.to_bytes(2, "big") + packet

    def open(self, frame: bytes) -> tuple[bool, bytes]:
        if len(frame) < 14:
            raise Drop("malformed", f"{len(frame)} bytes are no Ethernet frame")
        if frame[:6] != self.ours:
            raise Drop("not-ours", f"for {frame[:6].hex(':')}")
        kind = int.from_bytes(frame[12:14], "big")
        if kind == ETHERTYPE_MPLS:
            return True, frame[14:]
        if kind != ETHERTYPE_IPV4:
            raise Drop("protocol", f"Ethernet type {kind:04X}")
        # Short frames are padded; an IP packet says how long it is, and IP has to find out when that is a lie.
        return False, frame[14 : 14 + max(20, int.from_bytes(frame[16:18], "big"))]


@dataclass(frozen=True, slots=True)
class _Tunnel:
    """Between two routers. Addresses are 32-bit ints.

    Both headers repeat: only their lengths differ, so what was built or accepted once is kept by length.
    """

    local: int
    remote: int
    ttl: int = 64
    overhead: ClassVar[int] = 20
    _sent: dict[int, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
    _taken: dict[int, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def close(self, labelled: bool, packet: bytes) -> bytes:
        if not labelled:
            return packet
        header = self._sent.get(len(packet))
        if header is None:
            header = self._sent[len(packet)] = self._built(packet)[: self.overhead]
        return header + packet

    def open(self, frame: bytes) -> tuple[bool, bytes]:
        header = self._taken.get(len(frame))
        if header is not None and frame.startswith(header):
            return True, frame[self.overhead :]
        packet, constant = self._read(frame)
        if packet is None:
            return False, frame
        if constant:
            self._taken.setdefault(len(frame), frame[: self.overhead])
        return True, packet

    def _built(self, packet: bytes) -> bytes:
        raise NotImplementedError

    def _read(self, frame: bytes) -> tuple[bytes | None, bool]:
        """(the labelled packet or None, whether another with this header needs no other look)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class InUdp(_Tunnel):
    """RFC 7510."""

    overhead: ClassVar[int] = 28

    def _built(self, packet: bytes) -> bytes:
        datagram = UDP_FRAME.build(UDP(SOURCE_PORT, UDP_PORT, 0, packet))
        return IPV4_FRAME.build(IPv4(self.local, self.remote, udp.PROTOCOL, 0, self.ttl, datagram))

    def _read(self, frame: bytes) -> tuple[bytes | None, bool]:
        outside = _whole(frame)
        if outside is None or outside.destination != self.local or outside.protocol != udp.PROTOCOL:
            return None, False
        inside = UDP_FRAME.parse(outside.payload)
        if inside.destination_port != UDP_PORT:
            return None, False
        if inside.checksum and inside.checksum != udp.checksum(
            outside.source, outside.destination, inside.source_port, UDP_PORT, inside.payload
        ):
            raise Drop("malformed", "the outer UDP checksum does not hold")
        _from(outside, self.remote)
        return inside.payload, not inside.checksum


@dataclass(frozen=True, slots=True)
class InIp(_Tunnel):
    """RFC 4023."""

    def _built(self, packet: bytes) -> bytes:
        return IPV4_FRAME.build(IPv4(self.local, self.remote, IP_PROTOCOL, 0, self.ttl, packet))

    def _read(self, frame: bytes) -> tuple[bytes | None, bool]:
        outside = _whole(frame)
        if outside is None or outside.destination != self.local or outside.protocol != IP_PROTOCOL:
            return None, False
        _from(outside, self.remote)
        return outside.payload, True


def _whole(frame: bytes) -> IPv4 | None:
    """The outer packet; None for one that a tunnel between two routers never looks like: options, or a fragment.

    FrameError: no IPv4 packet at all.
    """
    if frame[:1] != b"\x45" and frame[:1].hex()[:1] == "4":
        return None
    outside = IPV4_FRAME.parse(frame)
    return None if outside.flags & 1 or outside.fragment_offset else outside


def _from(outside: IPv4, remote: int) -> None:
    # Labels are taken from the neighbour alone: whoever could send them from elsewhere could choose a VPN.
    if outside.source != remote:
        raise Drop("not-ours", f"labels from {outside.source:#010x} instead of {remote:#010x}")
