"""Protection of APDUs: which security a message must carry, what opens it, and what is said when it does not open.

Both ends use this module, the server and the client, because both do the same thing in mirror image. The arithmetic and
the counters are the context store's: it makes the nonces, checks the received counter and moves it only after the
tag was good. What is decided here is the *form*: service-specific global ciphering (glo-), dedicated (ded-), or
general-glo-ciphering, and that an answer takes the form and the strength of its request.

Only security suite 0 exists here. A security control byte that names another suite, the broadcast key or compression
cannot be opened and is answered like any other that cannot.
"""

from enum import Enum
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from emulator.codecs.exception import EXCEPTION_RESPONSE, ExceptionResponse, ServiceError, StateError
from emulator.errors import EmulatorError

AUTHENTICATED: Final = 0x10
ENCRYPTED: Final = 0x20
PROTECTED: Final = AUTHENTICATED | ENCRYPTED

PLAIN: Final = 0
GLO: Final = 1
DED: Final = 2
GENERAL: Final = 3
"""Forms of protection."""

OVERHEAD: Final = (0, 24, 24, 33)
"""Bytes that each form may add to an APDU: tag, length (3), security control, counter, authentication tag, and for the
general form the system title with its length; rounded up so that a length field may grow."""

CHALLENGE_LENGTHS: Final = range(8, 65)
"""DLMS UA 1000-2 9.2.7.4: a challenge has 8 to 64 bytes."""


class Reaction(Enum):
    """What a device does with a request whose counter or tag is not good (seen in the field; a profile's choice)."""

    EXCEPTION = "exception"
    """An exception response that says which error it was, with the expected counter where that is the error."""
    SILENCE = "silence"
    CLOSE = "close"
    """No answer, and the association is gone."""
    PLAIN_EXCEPTION = "plain-exception"
    """An exception response that says no more than "operation not possible"."""


class ServiceRefused(EmulatorError):
    """A whole request is refused; the server answers with an exception response."""

    def __init__(self, state: StateError, service: ServiceError, reason: str = "", expected: int | None = None) -> None:
        super().__init__(state, service, reason)
        self.state = state
        self.service = service
        self.reason = reason
        self.expected = expected

    def apdu(self) -> bytes:
        """The exception response. DLMS UA 1000-2 9.5."""
        return EXCEPTION_RESPONSE.build(ExceptionResponse(self.state, self.service, self.expected))


def not_allowed(reason: str, service: ServiceError = ServiceError.OPERATION_NOT_POSSIBLE) -> ServiceRefused:
    """The service exists, but not here and now."""
    return ServiceRefused(StateError.SERVICE_NOT_ALLOWED, service, reason)


ACCEPTABLE: Final = frozenset((AUTHENTICATED, ENCRYPTED, PROTECTED))
"""Security control bytes that ask for what suite 0 with the unicast key can do."""


def gmac_reply(counter: int, tag: bytes) -> bytes:
    """f(challenge) of mechanism 5 as it travels: security control 10h, counter, tag; 17 bytes."""
    return b"\x10" + counter.to_bytes(4, "big") + tag


def parse_gmac_reply(reply: bytes) -> tuple[int, bytes] | None:
    """(counter, tag) of a reply, or None when it is not one."""
    if len(reply) != 17 or reply[0] != AUTHENTICATED:
        return None
    return int.from_bytes(reply[1:5], "big"), reply[5:]


def sha256_reply(secret: bytes, own: bytes, other: bytes, answered: bytes, sent: bytes) -> bytes:
    """f(challenge) of mechanism 6: secret, title of who replies, title of who asked, the challenge being answered, the
    replier's own challenge (DLMS UA 1000-2 9.2.7.4)."""
    return sha256(secret + own + other + answered + sent).digest()


def same(one: bytes, other: bytes) -> bool:
    """Compare secrets in constant time."""
    return compare_digest(one, other)
