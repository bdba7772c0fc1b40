"""Damage on the way (rows 12 and 13): bits of a share of packets, or bits at an even rate over all that passes.

Below the link's own checks: a tunnel's integrity check refuses what is bent, a checksum may, MPLS does not look.
"""

from math import log, log1p
from typing import Final

from emulator.kernel.effects import Instant
from emulator.link.impairments.base import Carried, Impairment, Luck

MEGABYTE: Final = 1 << 20
"""ASSUMED: what wirefilter calls a megabyte when it counts damaged bits."""

_PLACES: Final = 1
_VALUES: Final = 1 << 20


class Corrupt(Impairment):
    """With a probability so many bits of a packet are flipped, from byte `first` on."""

    __slots__ = ("_bits", "_first", "_luck", "_probability")

    def __init__(self, luck: Luck, *, probability: float, bits: int, first: int) -> None:
        self._luck = luck
        self._probability = probability
        self._bits = bits
        self._first = first

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        room = 8 * (len(packet) - self._first)
        if room <= 0 or self._luck.draw(number) >= self._probability:
            return [(0, packet)]
        hit: set[int] = set()
        for turn in range(min(self._bits, room)):
            place = self._luck.bits(number, _PLACES + turn) % room
            while place in hit:
                place = (place + 1) % room
            hit.add(place)
        return [(0, flipped(packet, [8 * self._first + place for place in hit]))]


class BitErrors(Impairment):
    """Of every megabyte so many bits (or bytes) are damaged on average, wherever they are."""

    __slots__ = ("_bytes", "_luck", "_never", "_rate")

    def __init__(self, luck: Luck, *, per_megabyte: float, unit: str) -> None:
        self._luck = luck
        self._bytes = unit == "byte"
        self._rate = per_megabyte / (MEGABYTE if self._bytes else 8 * MEGABYTE)
        self._never = log1p(-self._rate) if self._rate < 1 else 0.0

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        if not self._rate:
            return [(0, packet)]
        size = len(packet) if self._bytes else 8 * len(packet)
        hit: list[int] = []
        place, turn = -1, 0
        while True:
            turn += 1
            # The way from one error to the next is geometric: one draw an error, and not one a bit.
            place += 1 + int(log(self._luck.draw(number, turn)) / self._never) if self._never else 1
            if place >= size:
                break
            hit.append(place)
        if not hit:
            return [(0, packet)]
        if not self._bytes:
            return [(0, flipped(packet, hit))]
        bent = bytearray(packet)
        for at in hit:
            bent[at] ^= 1 + self._luck.bits(number, _VALUES + at) % 255
        return [(0, bytes(bent))]


def flipped(packet: bytes, places: list[int]) -> bytes:
    """A packet with these bits turned; bit 0 is the lowest of the first byte."""
    bent = bytearray(packet)
    for place in places:
        bent[place // 8] ^= 1 << place % 8
    return bytes(bent)
