"""Impairments one after another, in the order in which they were put there.

Each packet goes through all of them before the next packet goes through any: what comes out of one, at the time it
comes out, goes into the next. Every impairment counts the packets of the link by itself from when it was put there, so
one that came earlier, or leaves, moves nobody's luck.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from emulator.kernel.effects import Instant
from emulator.link.impairments.base import Carried, Impairment, numbered

MOST_COPIES: Final = 1_024
"""So many packets may become of one; a chain of duplicators cannot run away."""


class Member:
    """An impairment in its place, and how many packets the link was offered since."""

    __slots__ = ("model", "offered")

    def __init__(self, model: Impairment) -> None:
        self.model = model
        self.offered = 0

    def snapshot(self) -> dict[str, Any]:
        return {"offered": self.offered, "model": self.model.snapshot()}

    def restore(self, state: dict[str, Any]) -> None:
        self.offered = state["offered"]
        self.model.restore(state["model"])


Struck: TypeAlias = Callable[[Member, Carried, bytes], None]
"""Who is told of every packet that an impairment took hold of: which one, what came of it, and the packet."""


def through(members: Iterable[Member], packet: bytes, now: Instant, struck: Struck | None = None) -> Carried:
    """What comes out of `members` for a packet put on the link at `now`; delays in µs from `now`, in no order."""
    under_way: list[tuple[int, int, bytes]] = [(0, 0, packet)]
    copies = 0
    for member in members:
        member.offered += 1
        carry = member.model.carry
        if not under_way:
            member.model.missed(now, numbered(member.offered))
            continue
        onwards: list[tuple[int, int, bytes]] = []
        for delay, copy, each in under_way:
            first = True
            carried = carry(each, now + delay, numbered(member.offered, copy))
            if struck is not None:
                struck(member, carried, each)
            for more, out in carried:
                if first:
                    onwards.append((delay + more, copy, out))
                    first = False
                elif copies < MOST_COPIES:
                    copies += 1
                    onwards.append((delay + more, copies, out))
        under_way = onwards
    return [(delay, each) for delay, _, each in under_way]


class Pipeline:
    """One direction of one link with its impairments. `now` is the caller's and never goes back."""

    __slots__ = ("members",)

    def __init__(self, models: Sequence[Impairment]) -> None:
        self.members = [Member(model) for model in models]

    def carry(self, packet: bytes, now: Instant) -> Carried:
        """[(delay in µs, packet)] for each that comes out at the other end; empty: lost."""
        return through(self.members, packet, now)

    def snapshot(self) -> list[dict[str, Any]]:
        """Everything its impairments remember."""
        return [member.snapshot() for member in self.members]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Go on from a snapshot of a pipeline of the same impairments."""
        for member, each in zip(self.members, state, strict=True):
            member.restore(each)
