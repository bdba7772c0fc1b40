"""Numbers of exchanges, flags and notifications (RFC 7296 3.1 and 3.10.1, RFC 4555, RFC 7383, RFC 7427)."""

from collections.abc import Iterable
from typing import Any, Final

from emulator.codecs.ike_payloads import Notify

IKE_SA_INIT: Final = 34
IKE_AUTH: Final = 35
CREATE_CHILD_SA: Final = 36
INFORMATIONAL: Final = 37

INITIATOR: Final = 0x08
RESPONSE: Final = 0x20
VERSION: Final = 0x20

UNSUPPORTED_CRITICAL_PAYLOAD: Final = 1
INVALID_MAJOR_VERSION: Final = 5
INVALID_SYNTAX: Final = 7
NO_PROPOSAL_CHOSEN: Final = 14
INVALID_KE_PAYLOAD: Final = 17
AUTHENTICATION_FAILED: Final = 24
TS_UNACCEPTABLE: Final = 38
TEMPORARY_FAILURE: Final = 43
CHILD_SA_NOT_FOUND: Final = 44
FIRST_STATUS: Final = 16384
INITIAL_CONTACT: Final = 16384
NAT_SOURCE: Final = 16388
NAT_DESTINATION: Final = 16389
COOKIE: Final = 16390
TRANSPORT_MODE: Final = 16391
REKEY_SA: Final = 16393
MOBIKE_SUPPORTED: Final = 16396
UPDATE_SA_ADDRESSES: Final = 16400
COOKIE2: Final = 16401
FRAGMENTATION_SUPPORTED: Final = 16430
SIGNATURE_HASHES: Final = 16431

NAMES: Final = {
    1: "UNSUPPORTED_CRITICAL_PAYLOAD",
    4: "INVALID_IKE_SPI",
    5: "INVALID_MAJOR_VERSION",
    7: "INVALID_SYNTAX",
    9: "INVALID_MESSAGE_ID",
    11: "INVALID_SPI",
    14: "NO_PROPOSAL_CHOSEN",
    17: "INVALID_KE_PAYLOAD",
    24: "AUTHENTICATION_FAILED",
    34: "SINGLE_PAIR_REQUIRED",
    35: "NO_ADDITIONAL_SAS",
    36: "INTERNAL_ADDRESS_FAILURE",
    37: "FAILED_CP_REQUIRED",
    38: "TS_UNACCEPTABLE",
    39: "INVALID_SELECTORS",
    40: "UNACCEPTABLE_ADDRESSES",
    41: "UNEXPECTED_NAT_DETECTED",
    43: "TEMPORARY_FAILURE",
    44: "CHILD_SA_NOT_FOUND",
}
"""Errors by name."""


def status(kind: int, about: bytes = b"") -> Notify:
    """A notification that speaks of no child SA."""
    return Notify(0, b"", kind, about)


def of_kind(payloads: Iterable[Any], kind: type[Any]) -> Any:
    """The first payload of a type, or None."""
    return next((one for one in payloads if type(one) is kind), None)


def notified(payloads: Iterable[Any], kind: int) -> Notify | None:
    """The first notification of a kind, or None."""
    return next((one for one in payloads if type(one) is Notify and one.kind == kind), None)


def error(payloads: Iterable[Any]) -> Notify | None:
    """The first error notification, or None."""
    return next((one for one in payloads if type(one) is Notify and one.kind < FIRST_STATUS), None)


def name(kind: int) -> str:
    return NAMES.get(kind, f"error {kind}")


class Refuse(Exception):
    """Inside an exchange: answer with this error notification and change nothing."""

    def __init__(self, kind: int, about: bytes = b"", spi: bytes = b"") -> None:
        """`spi`: of the ESP SA spoken of, if it is one (RFC 7296 2.25)."""
        super().__init__(name(kind))
        self.kind = kind
        self.notify = Notify(3 if spi else 0, spi, kind, about)
