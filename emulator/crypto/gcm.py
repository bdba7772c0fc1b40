"""AES-GCM over given keys, for those who keep their own: tests, the dissector, key migration files.

`seal(key, iv, aad, text, tag_length=12)` gives ciphertext and tag, `open(...)` the plaintext or a TagError. Keys of 16
or 32 bytes, IVs of 12, tags of 12 or 16; any other size is a UsageError. Nothing here remembers a counter: who seals
twice under one IV gives the plaintext away. NIST SP 800-38D.
"""
# ruff: noqa: A004

from typing import TYPE_CHECKING

from emulator.crypto.choice import backend

if not TYPE_CHECKING and backend() == "native":
    from emulator.crypto.native.gcm import open, seal
else:  # also what is compiled goes by, so that it counts on neither
    from emulator.crypto.fallback.gcm import open, seal

__all__ = ["open", "seal"]
