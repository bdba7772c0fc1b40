"""RFC 3394 from `cryptography`."""

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from emulator.crypto.store import Key
from emulator.errors import TagError, UsageError


def wrap(kek: Key, key: Key) -> bytes:
    """`key` under `kek`, 8 bytes longer."""
    if len(kek) not in (16, 32) or len(key) not in range(16, 65, 8):
        raise UsageError("key wrap takes a KEK of 16 or 32 bytes and a key of 16 to 64 bytes in steps of 8")
    return aes_key_wrap(bytes(kek), bytes(key))


def unwrap(kek: Key, wrapped: bytes) -> bytearray:
    """The key out of `wrapped`. Raises TagError."""
    if len(kek) not in (16, 32):
        raise UsageError("key wrap takes a KEK of 16 or 32 bytes")
    if len(wrapped) not in range(24, 73, 8):
        raise TagError("a wrapped key has 24 to 72 bytes in steps of 8")
    try:
        return bytearray(aes_key_unwrap(bytes(kek), wrapped))
    except InvalidUnwrap:
        raise TagError("the wrapped key does not hold: wrong KEK or changed bytes") from None
