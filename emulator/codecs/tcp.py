"""TCP (RFC 9293)."""

from typing import Final

from construct import Int16ub, Int32ub

from emulator.codecs.codec import Codec
from emulator.codecs.layout import Lowered
from emulator.codecs.parts import Record, Rest, bits
from emulator.codecs.value import Value

HEADER: Final = 20
PROTOCOL: Final = 6
"""TCP's number in an IP header."""


class TCP(Value):
    """`offset`: words of the header, 5 with no options; `flags` 12 bits, of which the upper ones are reserved.
    `checksum` is carried as it stands (see `checksum`). `payload`: options first, `offset` words less five, then the
    data."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    offset: int
    flags: int
    window: int
    checksum: int
    urgent: int
    payload: bytes


DEFINITION: Final = Record(
    TCP,
    "source_port" / Int16ub,
    "destination_port" / Int16ub,
    "sequence" / Int32ub,
    "acknowledgement" / Int32ub,
    bits(offset=4, flags=12),
    "window" / Int16ub,
    "checksum" / Int16ub,
    "urgent" / Int16ub,
    "payload" / Rest(),
)

TCP_FRAME: Final[Codec[TCP]] = Codec("tcp", DEFINITION, limit=65_535, fast=Lowered(DEFINITION))


def checksum(source: int, destination: int, segment: bytes) -> int:
    """The sum over pseudo-header and segment: of one whose checksum is 0 it is what belongs there, of one whose
    checksum holds it is 0 (RFC 9293 3.1, arithmetic as in `udp.checksum`)."""
    words = int.from_bytes(segment + b"\0" * (len(segment) & 1), "big")
    return -(words + source + destination + PROTOCOL + len(segment)) % 65_535
