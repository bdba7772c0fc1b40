"""AES key wrap, RFC 3394, over given keys.

`wrap(kek, key) -> bytes` and `unwrap(kek, wrapped) -> bytearray` (wipe it after use). KEKs of 16 or 32 bytes, keys of
16 to 64 in steps of 8. Wrong sizes we make are a UsageError; wrapped bytes that do not hold, of whatever length, are a
TagError.
"""

from typing import TYPE_CHECKING

from emulator.crypto.choice import backend

if not TYPE_CHECKING and backend() == "native":
    from emulator.crypto.native.keywrap import unwrap, wrap
else:  # also what is compiled goes by, so that it counts on neither
    from emulator.crypto.fallback.keywrap import unwrap, wrap

__all__ = ["unwrap", "wrap"]
