"""Nonces, SPIs and private keys out of one seed: each the next word of a keyed stream, so that a run repeats itself.

The seed is a secret. In virtual time it comes from the run's seed; a live gateway hands in bytes of the operating
system.
"""

from hashlib import blake2b


class Chance:
    """A stream of secret bytes. `name` parts streams of one seed."""

    __slots__ = ("_count", "_key", "_name")

    def __init__(self, seed: bytes, name: str) -> None:
        self._key = seed if len(seed) <= 64 else blake2b(seed).digest()
        self._name = name.encode()
        self._count = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes, 1 to 64."""
        self._count += 1
        words = self._count.to_bytes(8, "big") + self._name
        return blake2b(words, key=self._key, person=b"smets1 ike", digest_size=size).digest()

    def number(self, size: int) -> int:
        """The next number of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def share(self) -> float:
        """A number in [0, 1)."""
        return self.number(7) / (1 << 56)
