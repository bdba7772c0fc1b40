"""A frame as UDP in IPv4: what the two ends of the link exchange, below any tunnel.

The definitions are `codecs.ipv4` and `codecs.udp`. `..._through_codecs` is written with them and is what the construct
rung runs. The fast rung runs a twin of the pair: 28 bytes of header in one `struct.Struct`, and both checksums as
remainders modulo 65535 (a ones'-complement sum of 16-bit words is the number itself, modulo 2^16 - 1; RFC 1071). The
twin only ever says yes: anything but an ordinary, whole, correct datagram goes to the codecs, which give the refusal.
So there is one place that knows why a datagram is bad, and the agreement test has to hold the twin to its yes alone.
"""

from struct import Struct
from struct import error as StructError
from typing import Final, TypeAlias

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.link.stage import Piece, Refused

PROTOCOL_UDP: Final = 17
HEADER_BYTES: Final = 28
_FRAGMENT: Final = 0x3FFF  # more fragments, or an offset
_DF: Final = 0x4000

_HEADER: Final = Struct(">BBHHHBBHIIHHHH")
_ENDS: Final = Struct(">BxHxxHxBxxIIHHHH")


Datagram: TypeAlias = tuple[int, int, int, int, bytes]
"""(source address, destination address, source port, destination port, frame); addresses are 32-bit ints."""


def build_through_codecs(
    source: int, destination: int, source_port: int, destination_port: int, frame: bytes, identification: int, ttl: int
) -> bytes:
    """The packet of a frame, DF set. FrameError: a field or the frame is too large."""
    checksum = udp.checksum(source, destination, source_port, destination_port, frame)
    payload = UDP_FRAME.build(UDP(source_port, destination_port, checksum, frame))
    return IPV4_FRAME.build(IPv4(source, destination, PROTOCOL_UDP, identification, ttl, payload))


def parse_through_codecs(packet: bytes) -> Datagram:
    """The datagram in a packet. FrameError: not one. Piece: a fragment. Refused: another protocol, a wrong checksum."""
    outside = IPV4_FRAME.parse(packet)
    source, destination = outside.source, outside.destination
    if outside.flags & 1 or outside.fragment_offset:
        raise Piece(packet)
    if outside.protocol != PROTOCOL_UDP:
        raise Refused("protocol", f"IPv4 protocol {outside.protocol} instead of UDP")
    inside = UDP_FRAME.parse(outside.payload)
    source_port, destination_port, frame = inside.source_port, inside.destination_port, inside.payload
    # A checksum of zero says that the sender made none (RFC 768).
    if inside.checksum and inside.checksum != udp.checksum(source, destination, source_port, destination_port, frame):
        raise Refused("checksum", "the UDP checksum does not hold")
    return source, destination, source_port, destination_port, frame


def build_lean(
    source: int, destination: int, source_port: int, destination_port: int, frame: bytes, identification: int, ttl: int
) -> bytes:
    """The same packet, or the same refusal, in one step."""
    length = len(frame) + 8
    words = int.from_bytes(frame, "big") % 65535
    if length & 1:
        words <<= 8
    addresses = source + destination
    # 0x4511: version, header length and, in the other byte, UDP; each length stands in two places of the UDP sum.
    ip_sum = 0x4511 + length + 20 + identification + _DF + (ttl << 8) + addresses
    udp_sum = PROTOCOL_UDP + 2 * length + source_port + destination_port + addresses + words
    try:
        return (
            _HEADER.pack(
                0x45,
                0,
                length + 20,
                identification,
                _DF,
                ttl,
                PROTOCOL_UDP,
                -ip_sum % 65535,
                source,
                destination,
                source_port,
                destination_port,
                length,
                -udp_sum % 65535 or 65535,
            )
            + frame
        )
    except StructError:
        return build_through_codecs(source, destination, source_port, destination_port, frame, identification, ttl)


def parse_lean(packet: bytes) -> Datagram:
    """The same datagram, or the same refusal, in one step."""
    size = len(packet)
    if size < HEADER_BYTES:
        return parse_through_codecs(packet)
    version, total, fragment, protocol, source, destination, source_port, destination_port, length, checksum = (
        _ENDS.unpack_from(packet)
    )
    # The header alone must sum up to nothing, so the sum of the whole packet is the sum of the UDP part. An odd byte at
    # the end stands for the upper half of a word.
    words = int.from_bytes(packet, "big") % 65535
    if size & 1:
        words <<= 8
    if (
        version != 0x45
        or total != size
        or length != size - 20
        or protocol != PROTOCOL_UDP
        or fragment & _FRAGMENT
        or not checksum
        or int.from_bytes(packet[:20], "big") % 65535
        or (words + source + destination + PROTOCOL_UDP + length) % 65535
    ):
        return parse_through_codecs(packet)
    return source, destination, source_port, destination_port, packet[HEADER_BYTES:]
