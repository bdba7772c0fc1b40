"""UDP (RFC 768)."""

from typing import Final

from construct import Int16ub

from emulator.codecs.codec import Codec
from emulator.codecs.layout import Lowered
from emulator.codecs.parts import Record, Rest, WholeLength
from emulator.codecs.value import Value

HEADER: Final = 8
PROTOCOL: Final = 17
"""UDP's number in an IP header."""


class UDP(Value):
    """`checksum` is carried as it stands: it covers addresses that only the IP layer knows (see `checksum`)."""

    source_port: int
    destination_port: int
    checksum: int
    payload: bytes


DEFINITION: Final = Record(
    UDP,
    "source_port" / Int16ub,
    "destination_port" / Int16ub,
    WholeLength(Int16ub, "payload", header=HEADER),
    "checksum" / Int16ub,
    "payload" / Rest(),
)

UDP_FRAME: Final[Codec[UDP]] = Codec("udp", DEFINITION, limit=65_535, fast=Lowered(DEFINITION))


def checksum(source: int, destination: int, source_port: int, destination_port: int, payload: bytes) -> int:
    """The checksum over pseudo-header, header and payload; 1 to 65,535, because 0 means there is none (RFC 768).

    Ones'-complement addition of 16-bit words is arithmetic modulo 65,535, where 2^16 is 1: the payload is one big
    integer and its sum is one remainder, which Python takes in C.
    """
    length = len(payload)
    total = (
        (
            int.from_bytes(payload, "big") << (8 if length & 1 else 0)  # an odd payload is padded with a zero byte
        )
        + source
        + destination
        + source_port
        + destination_port
        + PROTOCOL
        + 2 * (length + HEADER)
    )
    return 65_535 - total % 65_535
