"""The anti-replay window (RFC 4303 3.4.3) and the half of an extended sequence number that is not sent (appendix A2).

The window is one big integer: bit k says that number `top` - k has come. Its width is the receiver's own affair and
nothing the sender knows of; numbers below it are refused because nobody remembers whether they came.
"""

from typing import Final

_HALF: Final = 1 << 32
_LOW: Final = _HALF - 1


class ReplayWindow:
    """`size` numbers wide; 0: everything is new (RFC 4303 3.4.3 lets a receiver go without)."""

    __slots__ = ("_bits", "_esn", "_mask", "size", "top")

    def __init__(self, size: int, esn: bool, top: int = 0, bits: int = 0) -> None:
        self.size = size
        self.top = top
        self._bits = bits
        self._mask = (1 << size) - 1
        self._esn = esn

    @property
    def bits(self) -> int:
        return self._bits

    @property
    def lowest(self) -> int:
        """Lowest number inside."""
        return max(1, self.top - self.size + 1)

    def number(self, low: int) -> int | None:
        """The whole number of a packet that says `low`, or None when it is old or has come. Nothing moves.

        With ESN the upper half is the one that brings the number nearest to the window: `low` below the window's lower
        edge means that it has wrapped; with the window itself lying across the wrap, `low` at the far end means before.
        """
        top = self.top
        number = low
        if self._esn:
            bottom = top - self.size + 1
            number |= top & ~_LOW
            if top & _LOW >= self.size - 1:
                if low < bottom & _LOW:
                    number += _HALF
            elif low >= bottom & _LOW:
                number -= _HALF
            if number >= _HALF * _HALF:
                return None
        if number <= 0:
            return None
        behind = top - number
        if behind >= 0 and self.size and (behind >= self.size or self._bits >> behind & 1):
            return None
        return number

    def move(self, number: int) -> None:
        """A packet of this number is authentic."""
        behind = self.top - number
        if behind >= 0:
            self._bits |= 1 << behind & self._mask
        else:
            self._bits = (self._bits << -behind | 1) & self._mask if -behind < self.size else 1 & self._mask
            self.top = number
