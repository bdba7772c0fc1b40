"""AES-GCM from `cryptography`, with the 12-byte tags that DLMS uses.

`AESGCM` cannot open a truncated tag, and the `Cipher` interface that can costs three times as much. Counter mode is
its own inverse, so a text is opened by sealing it, and authentic when sealing the result gives its tag.
"""

from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.crypto.store import Key
from emulator.errors import TagError, UsageError

MESSAGE_MAX: Final = 1 << 24


def _check(key: Key, iv: bytes, aad: bytes, text: bytes, tag_length: int) -> None:
    if len(key) not in (16, 32) or len(iv) != 12 or tag_length not in (12, 16):
        raise UsageError("AES-GCM takes a key of 16 or 32 bytes, an IV of 12 and a tag of 12 or 16")
    if len(aad) > MESSAGE_MAX or len(text) > MESSAGE_MAX:
        raise UsageError("text longer than the core takes")


def seal(key: Key, iv: bytes, aad: bytes, text: bytes, tag_length: int = 12) -> bytes:
    """Ciphertext and tag."""
    _check(key, iv, aad, text, tag_length)
    return AESGCM(bytes(key)).encrypt(iv, text, aad)[: len(text) + tag_length]


def unseal(cipher: AESGCM, iv: bytes, aad: bytes, text: bytes, tag_length: int) -> bytes | None:
    """The plaintext, or None when the tag does not hold."""
    length = len(text) - tag_length
    if length < 0:
        return None
    plaintext = cipher.encrypt(iv, text[:length], None)[:length]
    again = cipher.encrypt(iv, plaintext, aad)
    return plaintext if compare_digest(again[length : length + tag_length], text[length:]) else None


def open(key: Key, iv: bytes, aad: bytes, text: bytes, tag_length: int = 12) -> bytes:  # noqa: A001
    """Plaintext of ciphertext and tag. Raises TagError."""
    _check(key, iv, aad, text, tag_length)
    plaintext = unseal(AESGCM(bytes(key)), iv, aad, text, tag_length)
    if plaintext is None:
        raise TagError("the tag does not hold: wrong key or changed bytes")
    return plaintext
