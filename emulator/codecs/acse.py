"""ACSE: opening and closing an association (ISO/IEC 8650-1 as used by DLMS UA 1000-2 9.4, BER).

Fields that other clients send and no SMETS1 association needs (called titles, invocation identifiers, implementation
information) are stepped over. `authentication` is the character-string form alone; `user_information` is the inner
APDU as bytes, because it may be ciphered and then only the association can open it.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from construct import Int8ub, Struct
from construct import Mapping as Mapped

from emulator.codecs.ber import INNER, Field, Fields, Said, object_name, octets, small_integer
from emulator.codecs.codec import MAX_APDU, Codec, Twin
from emulator.codecs.parts import Enclosed, Within
from emulator.codecs.value import Value


class Context(IntEnum):
    """Application context names 2.16.756.5.8.1.n."""

    LN = 1
    SN = 2
    LN_CIPHERED = 3
    SN_CIPHERED = 4


class Mechanism(IntEnum):
    """Authentication mechanism names 2.16.756.5.8.2.n."""

    NONE = 0
    LLS = 1
    HLS = 2
    HLS_MD5 = 3
    HLS_SHA1 = 4
    HLS_GMAC = 5
    HLS_SHA256 = 6
    HLS_ECDSA = 7


class AssociationResult(IntEnum):
    ACCEPTED = 0
    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class DiagnosticSource(IntEnum):
    """Who speaks in an AARE: the ACSE service user or the provider."""

    USER = 1
    PROVIDER = 2


class Diagnostic(IntEnum):
    """Diagnostics of the service user."""

    NULL = 0
    NO_REASON = 1
    APPLICATION_CONTEXT_NOT_SUPPORTED = 2
    CALLING_TITLE_NOT_RECOGNIZED = 3
    MECHANISM_NOT_RECOGNIZED = 11
    MECHANISM_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14


class AARQ(Value):
    """Association request. `user_information` is the inner APDU (InitiateRequest, plain or ciphered)."""

    context: int
    calling_title: bytes | None = None
    mechanism: int | None = None
    authentication: bytes | None = None
    user_information: bytes | None = None


class AARE(Value):
    """Association response. `diagnostic_source` is 1 (user) or 2 (provider)."""

    context: int
    result: int
    diagnostic_source: int
    diagnostic: int
    responding_title: bytes | None = None
    mechanism: int | None = None
    authentication: bytes | None = None
    user_information: bytes | None = None


class RLRQ(Value):
    """Release request; `reason` 0 normal, 1 urgent, 30 user-defined."""

    reason: int | None = None
    user_information: bytes | None = None


class RLRE(Value):
    """Release response; `reason` 0 normal, 1 not finished, 30 user-defined."""

    reason: int | None = None
    user_information: bytes | None = None


CONTEXT_ARC: Final = 1
MECHANISM_ARC: Final = 2
AUTHENTICATED: Final = b"\x07\x80"
"""ACSE requirements: the authentication functional unit, one bit of a bit string."""


def _authenticated(values: Mapping[str, Any]) -> bool:
    return values["mechanism"] is not None or values["authentication"] is not None


_CONTEXT: Final = Field(0xA1, "context", object_name("context", CONTEXT_ARC, tagged=True), required=True)
_USER_INFORMATION: Final = Field(0xBE, "user_information", octets("user_information", 0x04))
_REASON: Final = Field(0x80, "reason", Struct("reason" / Within(Int8ub, 0, 127)))

AARQ_IGNORED: Final = frozenset((0x80, 0xA2, 0xA3, 0xA4, 0xA5, 0xA7, 0xA8, 0xA9, 0xBD))
"""Protocol version, called title, qualifier and ids, calling qualifier and ids, implementation information."""
AARE_IGNORED: Final = frozenset((0x80, 0xA5, 0xA6, 0xA7, 0xBD))

AARQ_DEFINITION: Final = Fields(
    AARQ,
    0x60,
    (
        _CONTEXT,
        Field(0xA6, "calling_title", octets("calling_title", 0x04)),
        Said(0x8A, AUTHENTICATED, _authenticated),
        Field(0x8B, "mechanism", object_name("mechanism", MECHANISM_ARC, tagged=False)),
        Field(0xAC, "authentication", octets("authentication", 0x80)),
        _USER_INFORMATION,
    ),
    AARQ_IGNORED,
)
AARE_DEFINITION: Final = Fields(
    AARE,
    0x61,
    (
        _CONTEXT,
        Field(0xA2, "result", small_integer("result"), required=True),
        Field(
            0xA3,
            "diagnostic",
            Struct(
                "diagnostic_source" / Mapped(Int8ub, {1: 0xA1, 2: 0xA2}),
                INNER / Enclosed(small_integer("diagnostic")),
            ),
            required=True,
        ),
        Field(0xA4, "responding_title", octets("responding_title", 0x04)),
        Said(0x88, AUTHENTICATED, _authenticated),
        Field(0x89, "mechanism", object_name("mechanism", MECHANISM_ARC, tagged=False)),
        Field(0xAA, "authentication", octets("authentication", 0x80)),
        _USER_INFORMATION,
    ),
    AARE_IGNORED,
)

AARQ_FRAME: Final[Codec[AARQ]] = Codec("aarq", AARQ_DEFINITION, limit=MAX_APDU, fast=Twin("acse", "aarq"))
AARE_FRAME: Final[Codec[AARE]] = Codec("aare", AARE_DEFINITION, limit=MAX_APDU, fast=Twin("acse", "aare"))
RLRQ_FRAME: Final[Codec[RLRQ]] = Codec(
    "rlrq", Fields(RLRQ, 0x62, (_REASON, _USER_INFORMATION), frozenset()), limit=MAX_APDU, fast=Twin("acse", "rlrq")
)
RLRE_FRAME: Final[Codec[RLRE]] = Codec(
    "rlre", Fields(RLRE, 0x63, (_REASON, _USER_INFORMATION), frozenset()), limit=MAX_APDU, fast=Twin("acse", "rlre")
)
