"""Keys and challenges by derivation: keyed BLAKE2b over labelled words.

An estate of 141,372 homes has over a million keys; they are computed from one secret and who asks, and stored only
when they change. Words are tagged with their kind and length, so ("1", 2), (1, "2") and ("12",) part ways; keys and
challenges come from different purposes (the hash's personalisation). Keyed BLAKE2b (RFC 7693) is a pseudorandom
function in one pass, a third of the price of an HMAC, and its 64 bytes are up to four keys at once: a home that wakes
asks for three keys a device.
"""

from hashlib import blake2b
from struct import Struct
from typing import Final

from emulator.errors import UsageError

_KEY: Final = b"smets1 key"
_CHALLENGE: Final = b"smets1 challenge"
_SECRET_MOST: Final = 64
KEY_BYTES: Final = 16
KEYS_MOST: Final = 4
_SPLIT: Final = tuple(Struct(f"{KEY_BYTES}s" * count) for count in range(KEYS_MOST + 1))
"""Derived bytes -> that many keys."""


def _derive(secret: bytes, purpose: bytes, labels: tuple[str | int, ...], length: int) -> bytes:
    if len(secret) > _SECRET_MOST:
        secret = blake2b(secret).digest()
    words = b""
    for label in labels:
        if isinstance(label, str):
            text = label.encode()
            words += b"s%d:%b" % (len(text), text)
        else:
            words += b"i%d:" % label
    return blake2b(words, key=secret, person=purpose, digest_size=length).digest()


def key(secret: bytes, *labels: str | int) -> bytes:
    """A key of 16 bytes for these words (for example an installation's number, a device, "ek")."""
    return _derive(secret, _KEY, labels, KEY_BYTES)


def keys(secret: bytes, count: int, *labels: str | int) -> tuple[bytes, ...]:
    """1 to 4 keys of 16 bytes for these words, in one derivation. Another count gives other keys."""
    if not 1 <= count <= KEYS_MOST:
        raise UsageError(f"{count} keys in one derivation; 1 to {KEYS_MOST}")
    found = _derive(secret, _KEY, labels, KEY_BYTES * count)
    return _SPLIT[count].unpack(found)


def challenge(secret: bytes, *labels: str | int, length: int = 16) -> bytes:
    """A challenge of 8 to 32 bytes for these words; the caller's words must not come twice. Green Book 9.2.7.4."""
    if not 8 <= length <= 32:
        raise UsageError("a challenge has 8 to 32 bytes")
    return _derive(secret, _CHALLENGE, labels, length)
