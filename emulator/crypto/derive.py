"""Keys and challenges by derivation: HMAC-SHA-256 over labelled words.

An estate of 141,372 homes has over a million keys; they are computed from one secret and who asks, and stored only
when they change. Words are tagged with their kind and length, so ("1", 2), (1, "2") and ("12",) part ways; keys and
challenges come from different purposes. RFC 2104; the first bytes of the 32 are the answer.
"""

from hmac import digest
from typing import Final

from emulator.errors import UsageError

_KEY: Final = b"smets1 key\0"
_CHALLENGE: Final = b"smets1 challenge\0"


def _words(labels: tuple[str | int, ...]) -> bytes:
    parts = []
    for label in labels:
        if isinstance(label, str):
            text = label.encode()
            parts.append(b"s%d:%b" % (len(text), text))
        else:
            parts.append(b"i%d:" % label)
    return b"".join(parts)


def key(secret: bytes, *labels: str | int) -> bytes:
    """A key of 16 bytes for these words (for example an installation's number, a device, "ek")."""
    return digest(secret, _KEY + _words(labels), "sha256")[:16]


def challenge(secret: bytes, *labels: str | int, length: int = 16) -> bytes:
    """A challenge of 8 to 32 bytes for these words; the caller's words must not come twice. Green Book 9.2.7.4."""
    if not 8 <= length <= 32:
        raise UsageError("a challenge has 8 to 32 bytes")
    return digest(secret, _CHALLENGE + _words(labels), "sha256")[:length]
