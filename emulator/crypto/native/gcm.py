"""AES-GCM of the compiled core over given keys."""

from typing import Final

from emulator._native import ffi, lib
from emulator.crypto.layout import OK, USAGE, refusal
from emulator.crypto.native.pointers import pointer
from emulator.crypto.store import Key

_IV: Final = 12


def seal(key: Key, iv: bytes, aad: bytes, text: bytes, tag_length: int = 12) -> bytes:
    """Ciphertext and tag."""
    _check(iv)
    size = len(text) + max(tag_length, 0)
    out = ffi.new("uint8_t[]", size)
    status = lib.sm_gcm_seal(pointer(key), len(key), iv, aad, len(aad), text, len(text), out, max(tag_length, 0))
    if status != OK:
        raise refusal(-status)
    return bytes(ffi.buffer(out, size))


def open(key: Key, iv: bytes, aad: bytes, text: bytes, tag_length: int = 12) -> bytes:  # noqa: A001
    """Plaintext of ciphertext and tag. Raises TagError."""
    _check(iv)
    out = ffi.new("uint8_t[]", len(text))
    status = lib.sm_gcm_open(pointer(key), len(key), iv, aad, len(aad), text, len(text), out, max(tag_length, 0))
    if status != OK:
        raise refusal(-status)
    return bytes(ffi.buffer(out, len(text) - tag_length))


def _check(iv: bytes) -> None:
    if len(iv) != _IV:
        raise refusal(USAGE)
