"""Loss (rows 4 to 8): independent or correlated, in bursts of two or four states, every so many packets, by a list.

**Gilbert-Elliott** (row 5): in the good state a packet is lost with `loss_good`, in the bad one with `loss_bad`; behind
each packet the state changes, to bad with `p`, back with `r`. The share lost is (r loss_good + p loss_bad) / (p + r),
the mean burst of a plain Gilbert model (0 and 1) is 1/r packets.

**Four states** (row 6, as netem's `loss state`): 1 received in a gap, 2 received within a burst, 3 lost within a burst,
4 lost alone. Each packet first changes the state, from 1 to 3 with `p13` or to 4 with `p14`, from 2 to 3 with `p23`,
from 3 to 2 with `p32` or to 1 with `p31`, from 4 always to 1; then it is lost in 3 and 4. With pi(1) = 1 the
shares are pi(3) = p13/p31, pi(2) = pi(3) p32/p23, pi(4) = p14, all over their sum.
"""

from collections.abc import Set
from typing import ClassVar, Final

from emulator.kernel.effects import Instant
from emulator.link.impairments.base import Carried, Correlated, Impairment, Luck, ordinal

_LOST: Final = 1
_MOVES: Final = 2


class Loss(Correlated):
    """A packet is lost with a probability; with a correlation losses come in clusters, and as many."""

    __slots__ = ("_probability",)

    def __init__(self, luck: Luck, *, probability: float, correlation: float) -> None:
        super().__init__(luck, correlation)
        self._probability = probability

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        return [] if self.even(number) < self._probability else [(0, packet)]


class BurstLoss(Impairment):
    """The Gilbert-Elliott model. Copies of a packet meet the same state and have luck of their own in it."""

    __slots__ = ("_loss_bad", "_loss_good", "_luck", "_p", "_r", "at", "bad")
    STATE: ClassVar[tuple[str, ...]] = ("at", "bad")

    def __init__(self, luck: Luck, *, p: float, r: float, loss_bad: float, loss_good: float) -> None:
        self._luck = luck
        self._p = p
        self._r = r
        self._loss_bad = loss_bad
        self._loss_good = loss_good
        self.at = 0
        self.bad = False

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        self._move_on(number)
        share = self._loss_bad if self.bad else self._loss_good
        return [] if self._luck.draw(number, _LOST) < share else [(0, packet)]

    def missed(self, now: Instant, number: int) -> None:
        self._move_on(number)

    def _move_on(self, number: int) -> None:
        """Let the packets up to this one change the state."""
        packet = ordinal(number)
        while self.at < packet:
            if self.at:  # behind a packet, not before the first
                self.bad ^= self._luck.draw(self.at, _MOVES) < (self._r if self.bad else self._p)
            self.at += 1


class MarkovLoss(Impairment):
    """The model of four states. Copies share the fate of their packet."""

    __slots__ = ("_luck", "_p13", "_p14", "_p23", "_p31", "_p32", "at", "state")
    STATE: ClassVar[tuple[str, ...]] = ("at", "state")

    def __init__(self, luck: Luck, *, p13: float, p31: float, p32: float, p23: float, p14: float) -> None:
        self._luck = luck
        self._p13 = p13
        self._p31 = p31
        self._p32 = p32
        self._p23 = p23
        self._p14 = p14
        self.at = 0
        self.state = 1

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        self._move_on(number)
        return [] if self.state > 2 else [(0, packet)]

    def missed(self, now: Instant, number: int) -> None:
        self._move_on(number)

    def _move_on(self, number: int) -> None:
        packet = ordinal(number)
        while self.at < packet:
            self.at += 1
            luck, state = self._luck.draw(self.at, _MOVES), self.state
            if state == 1:
                if luck < self._p14:
                    self.state = 4
                elif luck < self._p14 + self._p13:
                    self.state = 3
            elif state == 2:
                if luck < self._p23:
                    self.state = 3
            elif state == 3:
                if luck < self._p32:
                    self.state = 2
                elif luck < self._p32 + self._p31:
                    self.state = 1
            else:
                self.state = 1


class EveryNth(Impairment):
    """Every n-th packet of the link is lost; 1: all of them."""

    __slots__ = ("_every",)

    def __init__(self, luck: Luck, *, every: int) -> None:
        self._every = every

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        return [(0, packet)] if ordinal(number) % self._every else []


class Listed(Impairment):
    """Exactly these are lost: by ordinal, from 1, or for the bytes they hold."""

    __slots__ = ("_contents", "_ordinals")

    def __init__(self, luck: Luck, *, ordinals: Set[int], contents: tuple[bytes, ...]) -> None:
        self._ordinals = ordinals
        self._contents = contents

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        if ordinal(number) in self._ordinals or any(each in packet for each in self._contents):
            return []
        return [(0, packet)]
