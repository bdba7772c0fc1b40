"""ICMP (RFC 792): what a router answers with when it cannot pass a packet on."""

from typing import Final

from construct import Int8ub, Int16ub, Int32ub

from emulator.codecs.codec import Codec
from emulator.codecs.layout import Lowered
from emulator.codecs.parts import Record, Rest
from emulator.codecs.value import Value

HEADER: Final = 8
PROTOCOL: Final = 1
"""ICMP's number in an IP header."""


class ICMP(Value):
    """`checksum` is carried as it stands (see `checksum`). `rest` is the second word of the header, of which the kind
    says what it is: the MTU of the next hop in its lower half, for kind 3 (unreachable) code 4 (RFC 1191)."""

    kind: int
    code: int
    checksum: int
    rest: int
    payload: bytes


DEFINITION: Final = Record(
    ICMP,
    "kind" / Int8ub,
    "code" / Int8ub,
    "checksum" / Int16ub,
    "rest" / Int32ub,
    "payload" / Rest(),
)

ICMP_FRAME: Final[Codec[ICMP]] = Codec("icmp", DEFINITION, limit=65_535, fast=Lowered(DEFINITION))


def checksum(kind: int, code: int, rest: int, payload: bytes) -> int:
    """The checksum over header and payload (RFC 1071), as in `udp.checksum` a remainder modulo 65,535."""
    whole = bytes((kind, code)) + rest.to_bytes(4, "big") + payload
    return -int.from_bytes(whole + b"\0" * (len(whole) & 1), "big") % 65_535 if any(whole) else 65_535
