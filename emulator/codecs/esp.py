"""ESP as AES-GCM with an 8-byte IV shapes it (RFC 4303, RFC 4106): the outside of the packet, nothing secret."""

from typing import Final

from construct import Int32ub

from emulator.codecs.codec import Codec
from emulator.codecs.layout import Lowered
from emulator.codecs.parts import Octets, Record, Rest
from emulator.codecs.value import Value

HEADER: Final = 16
PROTOCOL: Final = 50
"""ESP's number in an IP header."""


class ESP(Value):
    """`iv` is 8 bytes; `text` is the ciphertext with its integrity check value."""

    spi: int
    sequence: int
    iv: bytes
    text: bytes


DEFINITION: Final = Record(ESP, "spi" / Int32ub, "sequence" / Int32ub, "iv" / Octets(8), "text" / Rest())

ESP_FRAME: Final[Codec[ESP]] = Codec("esp", DEFINITION, limit=65_535, fast=Lowered(DEFINITION))
