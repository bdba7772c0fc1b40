"""ACSE: opening and closing an association (ISO/IEC 8650-1 as used by DLMS UA 1000-2 9.4, BER)."""

from dataclasses import dataclass
from enum import IntEnum


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


@dataclass(slots=True)
class AARQ:
    """Association request. `user_information` is the inner APDU (InitiateRequest, plain or ciphered)."""

    context: int
    calling_title: bytes | None = None
    mechanism: int | None = None
    authentication: bytes | None = None
    user_information: bytes | None = None


@dataclass(slots=True)
class AARE:
    """Association response. `diagnostic_source` is 1 (user) or 2 (provider)."""

    context: int
    result: int
    diagnostic_source: int
    diagnostic: int
    responding_title: bytes | None = None
    mechanism: int | None = None
    authentication: bytes | None = None
    user_information: bytes | None = None


@dataclass(slots=True)
class RLRQ:
    """Release request; `reason` 0 normal, 1 urgent, 30 user-defined."""

    reason: int | None = None
    user_information: bytes | None = None


@dataclass(slots=True)
class RLRE:
    """Release response; `reason` 0 normal, 1 not finished, 30 user-defined."""

    reason: int | None = None
    user_information: bytes | None = None
