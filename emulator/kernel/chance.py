"""Keyed chance: a draw is a function of (seed, place, installation, event number) and of nothing else.

No generator is carried along, so there is no generator to store with a sleeping installation; a new fault asks at a
new place and does not change a neighbour's luck; and every shard agrees without talking. The mixer is
SplitMix64's finaliser over a folded key: chance here must be even and repeatable, not secret. Keys and challenges
come from `emulator.crypto.derive`, which is keyed by a secret.

The mixer is also in the compiled core, as five draws an exchange in Python were 4 % of a campaign; without the core
it is the same function in Python.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

_MASK: Final = (1 << 64) - 1
_SCALE: Final = 2.0**-53


@lru_cache(maxsize=4096)
def place_key(seed: int, place: str) -> int:
    """The 64-bit key of one place of chance under one seed."""
    return int.from_bytes(blake2b(f"{seed}|{place}".encode(), digest_size=8).digest(), "big")


def bits(seed: int, place: str, installation: int, number: int = 0) -> int:
    """64 even bits for one question. Numbers below 0 (what is no home's) are as good as others."""
    return mix(place_key(seed, place), installation & _MASK, number & _MASK)


def mix_slowly(key: int, installation: int, number: int) -> int:
    """`mix`, in Python."""
    x = (key + installation * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


try:
    from emulator._native import lib
except ImportError:
    _mix: Callable[[int, int, int], int] = mix_slowly
else:
    _mix = lib.sm_mix

mix: Final = _mix
"""`bits`, for those who ask often at one place and keep its key. All three numbers from 0 to 2**64 - 1."""


def draw(seed: int, place: str, installation: int, number: int = 0) -> float:
    """A number in [0, 1)."""
    return (bits(seed, place, installation, number) >> 11) * _SCALE


def between(low: int, high: int, seed: int, place: str, installation: int, number: int = 0) -> int:
    """A whole number in [low, high], both included."""
    return low + bits(seed, place, installation, number) % (high - low + 1)
