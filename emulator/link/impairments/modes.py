"""A link with named states and timed passages between them (row 22): each mode has impairments of its own.

Which mode it is in is a function of time and not of the traffic: a stay lasts `seconds` (with `spread` 1 exponentially
distributed around it, with 0 exactly, in between a part of each), then the next mode is drawn from the weights of this
one. Stays are keyed by their number, so a link that carried nothing for a day is in the mode it would be in anyhow.
Impairments of a mode keep their memory while another mode is on, and count only what was offered in theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, ClassVar, Final

from emulator.errors import UsageError
from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND, SECOND
from emulator.link.impairments.base import Carried, Impairment, Luck, numbered
from emulator.link.impairments.pipeline import Member, through

_STAY: Final = 1
_NEXT: Final = 2


@dataclass(frozen=True, slots=True)
class Mode:
    """One state. `following`: mode -> weight; empty: it never ends."""

    name: str
    seconds: float
    spread: float
    following: Mapping[str, float]
    impairments: Sequence[Impairment]


class Modes(Impairment):
    """The modes in turn; the first is the one it begins in."""

    __slots__ = ("_luck", "_members", "_modes", "_names", "stay", "until", "which")
    STATE: ClassVar[tuple[str, ...]] = ("stay", "until", "which")

    def __init__(self, luck: Luck, *, modes: Sequence[Mode], since: Instant | None = None) -> None:
        """`since`: when the first stay begins; None: with the first packet. Raises UsageError for weights of a mode
        that is not there."""
        self._luck = luck
        self._modes = tuple(modes)
        self._names = {mode.name: number for number, mode in enumerate(self._modes)}
        for mode in self._modes:
            if not set(mode.following) <= set(self._names):
                raise UsageError(f"mode {mode.name}: there is no mode {sorted(set(mode.following) - set(self._names))}")
        self._members = [[Member(model) for model in mode.impairments] for mode in self._modes]
        self.which = 0
        self.stay = 0
        self.until: Instant | None = since
        """When the present stay ends; while `stay` is 0, when the first begins."""

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        self._move_on(now)
        return through(self._members[self.which], packet, now)

    def missed(self, now: Instant, number: int) -> None:
        self._move_on(now)
        for member in self._members[self.which]:
            member.offered += 1
            member.model.missed(now, numbered(member.offered))

    def returned(self) -> list[bytes]:
        return [packet for members in self._members for member in members for packet in member.model.returned()]

    def at(self, now: Instant) -> str:
        """The mode's name."""
        self._move_on(now)
        return self._modes[self.which].name

    def snapshot(self) -> dict[str, Any]:
        return {**super().snapshot(), "members": [[each.snapshot() for each in members] for members in self._members]}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        for members, states in zip(self._members, state["members"], strict=True):
            for member, each in zip(members, states, strict=True):
                member.restore(each)

    def _move_on(self, now: Instant) -> None:
        if self.until is None:
            self.until = now
        while now >= self.until:
            mode = self._modes[self.which]
            if self.stay:
                if not mode.following:
                    return
                mode = self._enter(self._chosen(mode))
            self.stay += 1
            drawn = -log(self._luck.draw(self.stay, _STAY)) * mode.spread + 1.0 - mode.spread
            self.until += max(MILLISECOND, round(mode.seconds * SECOND * drawn))

    def _enter(self, name: str) -> Mode:
        self.which = self._names[name]
        return self._modes[self.which]

    def _chosen(self, mode: Mode) -> str:
        left = self._luck.draw(self.stay, _NEXT) * sum(mode.following.values())
        for name, weight in mode.following.items():
            left -= weight
            if left < 0:
                return name
        return tuple(mode.following)[-1]
