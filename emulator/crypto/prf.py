"""Pseudorandom functions of IKEv2 (RFC 7296 2.13): HMAC, and prf+ that stretches it.

prf+ is HKDF-Expand (RFC 5869) by another name: T1 = prf(K, S | 01), Tn = prf(K, Tn-1 | S | n), at most 255 blocks.
"""

import hmac
from typing import Final

from emulator.errors import UsageError

SIZES: Final = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
"""Hash -> bytes of an output, which is also the preferred size of a key."""


def prf(digest: str, key: bytes, data: bytes) -> bytes:
    """HMAC with `digest` ("sha256", "sha384" or "sha512"; "sha1" for the NIST vectors)."""
    if digest not in SIZES:
        raise UsageError(f"no pseudorandom function with {digest!r}; choose from {', '.join(SIZES)}")
    return hmac.digest(key, data, digest)


def prf_plus(digest: str, key: bytes, seed: bytes, length: int) -> bytes:
    """`length` bytes of key material. UsageError for more than 255 blocks."""
    if length > 255 * SIZES.get(digest, 0):
        raise UsageError(f"{length} bytes are more than prf+ with {digest!r} gives")
    block = made = b""
    number = 0
    while len(made) < length:
        number += 1
        block = prf(digest, key, block + seed + bytes((number,)))
        made += block
    return made[:length]


def same(one: bytes, other: bytes) -> bool:
    """Whether two secrets are equal, in a time that does not tell how many bytes are."""
    return hmac.compare_digest(one, other)
