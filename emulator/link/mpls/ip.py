"""What a label switching router must know of IPv4: TTL, route lookup's address, fragments, and two ICMP errors.

Unlike the link's codec it lets options pass: a provider carries what its customers send.
"""

from typing import Final

from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.value import Value
from emulator.link.mpls.drops import Drop

ICMP: Final = 1
UNREACHABLE: Final = 3
FRAGMENTATION_NEEDED: Final = 4
TIME_EXCEEDED: Final = 11
_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
_LARGEST_ERROR: Final = 576
"""RFC 1812 section 4.3.2.3: as much of the packet as fits."""
_DF: Final = 0x4000
_MORE: Final = 0x2000
_OFFSET: Final = 0x1FFF


class Head(Value):
    """What of a header decides. `length` of the header in bytes; `fragment` the 16 bits with the flags."""

    length: int
    service: int
    fragment: int
    ttl: int
    source: int
    destination: int

    @property
    def may_fragment(self) -> bool:
        return not self.fragment & _DF


def head(packet: bytes) -> Head:
    """The header of a whole packet. Drop: version, lengths or checksum are wrong."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        raise Drop("protocol" if packet and packet[0] >> 4 != 4 else "malformed", "not an IPv4 packet")
    length = (packet[0] & 15) * 4
    if not 20 <= length <= len(packet) or int.from_bytes(packet[2:4], "big") != len(packet):
        raise Drop("malformed", "an IPv4 packet whose lengths are wrong")
    if int.from_bytes(packet[:length], "big") % 65_535:
        raise Drop("malformed", "the IPv4 header checksum does not hold")
    return Head(
        length,
        packet[1],
        int.from_bytes(packet[6:8], "big"),
        packet[8],
        int.from_bytes(packet[12:16], "big"),
        int.from_bytes(packet[16:20], "big"),
    )


def with_ttl(packet: bytes, ttl: int) -> bytes:
    """The packet with another TTL; the checksum follows by the difference (RFC 1624, equation 3), so that a wrong one
    stays wrong. The packet has 20 bytes at least."""
    old = packet[8]
    if old == ttl:
        return packet
    total = 65_535 - int.from_bytes(packet[10:12], "big") + (65_535 - (old << 8)) + (ttl << 8)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[:8] + bytes((ttl, packet[9])) + (65_535 - total).to_bytes(2, "big") + packet[12:]


def fragments(packet: bytes, about: Head, room: int) -> list[bytes]:
    """Pieces of at most `room` bytes (RFC 791 section 3.2). Options stand in every piece: ASSUMED, few are sent.

    Drop: not even eight bytes of payload find room.
    """
    step = (room - about.length) // 8 * 8
    if step <= 0:
        raise Drop("too-big", f"{room} bytes hold no fragment")
    body = packet[about.length :]
    pieces = []
    for at in range(0, len(body), step):
        piece = body[at : at + step]
        more = _MORE if at + step < len(body) else about.fragment & _MORE
        offset = (about.fragment & _OFFSET) + at // 8
        header = bytearray(packet[: about.length])
        header[2:4] = (about.length + len(piece)).to_bytes(2, "big")
        header[6:8] = (about.fragment & ~(_MORE | _OFFSET) | more | offset).to_bytes(2, "big")
        header[10:12] = bytes(2)
        header[10:12] = (65_535 - (int.from_bytes(header, "big") % 65_535 or 65_535)).to_bytes(2, "big")
        pieces.append(bytes(header) + piece)
    return pieces


def icmp_error(packet: bytes, about: Head, source: int, kind: int, code: int, mtu: int = 0) -> bytes | None:
    """The ICMP error about a packet, from `source`; None where none may be sent (RFC 1122 3.2.2): about an error,
    about any fragment but the first, about what was not sent to one host."""
    if about.fragment & _OFFSET or about.destination >> 28 >= 14 or about.source == 0:
        return None
    if packet[9] == ICMP and packet[about.length : about.length + 1] and packet[about.length] in _ERRORS:
        return None
    quoted = packet[: _LARGEST_ERROR - 28]
    body = bytearray((kind, code, 0, 0, 0, 0)) + mtu.to_bytes(2, "big") + quoted
    padded = int.from_bytes(body, "big") << (8 if len(body) & 1 else 0)
    body[2:4] = (65_535 - (padded % 65_535 or 65_535)).to_bytes(2, "big")
    # Network control (RFC 1812 4.3.2.5), DF off: an error must get through.
    return IPV4_FRAME.build(IPv4(source, about.source, ICMP, 0, 64, bytes(body), 0xC0, 0))
