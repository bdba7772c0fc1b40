"""IPv4 without options (RFC 791)."""

from typing import Final

from construct import Const, Int8ub, Int16ub, Int32ub

from emulator.codecs.codec import Codec
from emulator.codecs.layout import Lowered
from emulator.codecs.parts import InternetChecksum, Placeholder, Record, Rest, WholeLength, bits
from emulator.codecs.value import Value

HEADER: Final = 20


class IPv4(Value):
    """Addresses are 32-bit ints. `service` is the DSCP/ECN byte, `flags` three bits (2 don't fragment, 1 more
    fragments), `fragment_offset` 13 bits in units of 8 bytes. The header checksum is computed and checked, never
    carried."""

    source: int
    destination: int
    protocol: int
    identification: int
    ttl: int
    payload: bytes
    service: int = 0
    flags: int = 2
    fragment_offset: int = 0


DEFINITION: Final = Record(
    IPv4,
    Const(0x45, Int8ub),  # version 4, five words of header: none of our links sends options
    "service" / Int8ub,
    WholeLength(Int16ub, "payload", header=HEADER),
    "identification" / Int16ub,
    bits(flags=3, fragment_offset=13),
    "ttl" / Int8ub,
    "protocol" / Int8ub,
    Placeholder(2),
    "source" / Int32ub,
    "destination" / Int32ub,
    InternetChecksum(header=HEADER, at=10),
    "payload" / Rest(),
)

IPV4_FRAME: Final[Codec[IPv4]] = Codec("ipv4", DEFINITION, limit=65_535, fast=Lowered(DEFINITION))
