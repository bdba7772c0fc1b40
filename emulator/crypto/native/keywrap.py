"""RFC 3394 of the compiled core over given keys."""

from typing import Final

from emulator._native import ffi, lib
from emulator.crypto.layout import OK, TAG, refusal
from emulator.crypto.native.pointers import pointer
from emulator.crypto.store import Key

_MORE: Final = 8


def wrap(kek: Key, key: Key) -> bytes:
    """`key` under `kek`, 8 bytes longer."""
    out = ffi.new("uint8_t[]", len(key) + _MORE)
    status = lib.sm_key_wrap(pointer(kek), len(kek), pointer(key), len(key), out)
    if status != OK:
        raise refusal(-status)
    return bytes(ffi.buffer(out))


def unwrap(kek: Key, wrapped: bytes) -> bytearray:
    """The key out of `wrapped`. Raises TagError."""
    if len(wrapped) <= _MORE:
        raise refusal(TAG)
    key = bytearray(len(wrapped) - _MORE)
    status = lib.sm_key_unwrap(
        pointer(kek), len(kek), wrapped, len(wrapped), ffi.from_buffer("uint8_t[]", key, require_writable=True)
    )
    if status != OK:
        raise refusal(-status)
    return key
