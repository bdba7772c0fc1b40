"""Initiate: what the two ends agree on when they associate (DLMS UA 1000-2 9.4, 9.5)."""

from enum import IntFlag
from typing import Final

from construct import Const, Int8sb, Int8ub, Int16ub, Int24ub

from emulator.codecs.codec import MAX_APDU, Codec, Twin
from emulator.codecs.parts import Boolean, Presence, Record, Tagged, counted
from emulator.codecs.value import SharedValue


class Conformance(IntFlag):
    """The 24 conformance bits, the first bit of the standard being the most significant (DLMS UA 1000-2 9.4.6.1)."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    DELTA_VALUE_ENCODING = 1 << 17
    ATTRIBUTE_0_WITH_SET = 1 << 15
    PRIORITY = 1 << 14
    ATTRIBUTE_0_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET = 1 << 12
    BLOCK_TRANSFER_WITH_SET = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERIZED_ACCESS = 1 << 5
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0


class InitiateRequest(SharedValue, frozen=True):
    """`conformance` 24 bits (see `Conformance`), `max_pdu` 16 bits, `quality` a signed byte or None."""

    dedicated_key: bytes | None
    response_allowed: bool
    quality: int | None
    version: int
    conformance: int
    max_pdu: int


class InitiateResponse(SharedValue, frozen=True):
    """`vaa` is the VAA name: 0x0007 for logical-name referencing."""

    quality: int | None
    version: int
    conformance: int
    max_pdu: int
    vaa: int


_CONFORMANCE_TAG: Final = bytes.fromhex("5F1F0400")
"""[APPLICATION 31] BIT STRING: tag in two bytes, four bytes of contents, no unused bits."""

_QUALITY: Final = "quality" / Presence(Int8sb)

REQUEST: Final = Tagged(
    0x01,
    Record(
        InitiateRequest,
        "dedicated_key" / Presence(counted()),
        "response_allowed" / Presence(Boolean(), absent=True),
        _QUALITY,
        "version" / Int8ub,
        Const(_CONFORMANCE_TAG),
        "conformance" / Int24ub,
        "max_pdu" / Int16ub,
    ),
)
RESPONSE: Final = Tagged(
    0x08,
    Record(
        InitiateResponse,
        _QUALITY,
        "version" / Int8ub,
        Const(_CONFORMANCE_TAG),
        "conformance" / Int24ub,
        "max_pdu" / Int16ub,
        "vaa" / Int16ub,
    ),
)

INITIATE_REQUEST: Final[Codec[InitiateRequest]] = Codec(
    "initiate-request", REQUEST, limit=MAX_APDU, fast=Twin("initiate", "request")
)
INITIATE_RESPONSE: Final[Codec[InitiateResponse]] = Codec(
    "initiate-response", RESPONSE, limit=MAX_APDU, fast=Twin("initiate", "response")
)
