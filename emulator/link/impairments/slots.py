"""Slotted delivery (row 17): what comes waits for the next slot, as on a radio that lends its channel in turns.

A slot opens between `slot_min_ms` and `slot_max_ms` after the one before was used up (or, on a link that was idle,
after the packet came), and lets `slot_packets` packets or `slot_bytes` bytes through, whichever is spent first; 0: no
such limit.
"""

from typing import ClassVar

from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND
from emulator.link.impairments.base import Carried, Impairment, Luck


class Slots(Impairment):
    """Packets come out in bursts."""

    __slots__ = ("_bytes", "_luck", "_max", "_min", "_packets", "left_bytes", "left_packets", "opens", "turn")
    STATE: ClassVar[tuple[str, ...]] = ("left_bytes", "left_packets", "opens", "turn")

    def __init__(
        self, luck: Luck, *, slot_min_ms: float, slot_max_ms: float, slot_packets: int, slot_bytes: int
    ) -> None:
        self._luck = luck
        self._min = round(slot_min_ms * MILLISECOND)
        self._max = round(slot_max_ms * MILLISECOND)
        self._packets = slot_packets
        self._bytes = slot_bytes
        self.turn = 0
        self.opens: Instant = -1
        self.left_packets = 0
        self.left_bytes = 0

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        if self.opens < now:  # idle: the slot that was open is over
            self._next(now)
        elif (self._packets and not self.left_packets) or (self._bytes and self.left_bytes <= 0):
            self._next(self.opens)
        self.left_packets -= 1
        self.left_bytes -= len(packet)
        return [(self.opens - now, packet)]

    def _next(self, after: Instant) -> None:
        """Slots are numbered by themselves: how many there are depends on what waits for them."""
        self.turn += 1
        self.opens = after + self._min + self._luck.bits(self.turn) % (self._max - self._min + 1)
        self.left_packets = self._packets
        self.left_bytes = self._bytes
