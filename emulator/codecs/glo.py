"""Ciphered APDUs: service-specific glo- and ded-, and general-glo / general-ded (DLMS UA 1000-2 9.2.7, 9.5).

The codec knows where the bytes are and nothing of keys: `text` is what the crypto room seals and opens, its
authentication tag included when the security control byte says there is one.
"""

from typing import Final

from construct import Construct, Int8ub, Int32ub, OneOf, Struct

from emulator.codecs.codec import MAX_APDU, Codec, Twin
from emulator.codecs.parts import Enclosed, Record, Rest, Tagged, counted
from emulator.codecs.value import Value


class Ciphered(Value):
    """`tag` is the APDU tag (0xC8 glo-get-request...); `invocation_counter` 32 bits; `text` includes the tag bytes."""

    tag: int
    security_control: int
    invocation_counter: int
    text: bytes


class GeneralCiphered(Value):
    """general-glo-ciphering (0xDB): the sender names itself, so that a receiver who never met it can make the nonce."""

    system_title: bytes
    security_control: int
    invocation_counter: int
    text: bytes


PLAIN: Final[dict[int, int]] = {
    **{glo: glo & 0x1F for glo in (0x21, 0x25, 0x26, 0x28, 0x2C, 0x2D, 0x2E, 0x36, 0x38)},
    **{ded: ded & 0x1F for ded in (0x41, 0x45, 0x46, 0x48, 0x4C, 0x4D, 0x4E, 0x56, 0x58)},
    **{glo: glo - 8 for glo in (0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCF)},
    **{ded: ded - 16 for ded in (0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD7)},
}
"""Tag of every service-specific ciphered APDU -> tag of the APDU inside."""

DEDICATED: Final = frozenset(tag for tag in PLAIN if 0x40 <= tag < 0x60 or tag >= 0xD0)
"""The tags that use the dedicated key of the association."""

TAGS: Final = frozenset(PLAIN)

_BODY: Final[Construct] = "_body" / Enclosed(
    Struct("security_control" / Int8ub, "invocation_counter" / Int32ub, "text" / Rest())
)

DEFINITION: Final = Record(Ciphered, "tag" / OneOf(Int8ub, TAGS), _BODY)
GENERAL: Final = Record(GeneralCiphered, "system_title" / counted(), _BODY)

GLO: Final[Codec[Ciphered]] = Codec("glo", DEFINITION, limit=MAX_APDU, fast=Twin("glo"))
GENERAL_GLO: Final[Codec[GeneralCiphered]] = Codec(
    "general-glo", Tagged(0xDB, GENERAL), limit=MAX_APDU, fast=Twin("glo", "general_glo")
)
GENERAL_DED: Final[Codec[GeneralCiphered]] = Codec(
    "general-ded", Tagged(0xDC, GENERAL), limit=MAX_APDU, fast=Twin("glo", "general_ded")
)
