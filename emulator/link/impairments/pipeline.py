"""Impairments one after another, in the order in which they were put there.

Each packet goes through all of them before the next packet goes through any: what comes out of one, at the time it
comes out, goes into the next. Every impairment counts the packets of the link by itself from when it was put there, so
one that came earlier, or leaves, moves nobody's luck.
"""

from collections.abc import Sequence
from typing import Any, Final

from emulator.kernel.effects import Instant
from emulator.link.impairments.base import COPY_BITS, Carried, Impairment, numbered

MOST_COPIES: Final = 1_024
"""So many packets may become of one; a chain of duplicators cannot run away."""


UNTOUCHED: Final = 0
LATE: Final = 1
CHANGED: Final = 2


class Member:
    """An impairment in its place: how many packets the link was offered since, and what it did to the last one."""

    __slots__ = ("did", "model", "offered")

    def __init__(self, model: Impairment) -> None:
        self.model = model
        self.offered = 0
        self.did = UNTOUCHED
        """To the last packet, or any copy of it: nothing, only a delay, or more."""

    def snapshot(self) -> dict[str, Any]:
        return {"offered": self.offered, "model": self.model.snapshot()}

    def restore(self, state: dict[str, Any]) -> None:
        self.offered = state["offered"]
        self.model.restore(state["model"])


def through(members: Sequence[Member], packet: bytes, now: Instant) -> Carried:
    """What comes out of `members` for a packet put on the link at `now`; delays in µs from `now`, in no order."""
    delay = 0
    for place, member in enumerate(members):
        member.offered += 1
        out = member.model.carry(packet, now + delay, member.offered << COPY_BITS)
        if len(out) != 1:
            member.did = CHANGED
            under_way = [(delay + more, copy, each) for copy, (more, each) in enumerate(out)]
            return _spread(members[place + 1 :], under_way, now)
        more, carried = out[0]
        if carried is not packet and carried != packet:
            member.did = CHANGED
            packet = carried
        else:
            member.did = LATE if more else UNTOUCHED
        delay += more
    return [(delay, packet)]


def _spread(members: Sequence[Member], under_way: list[tuple[int, int, bytes]], now: Instant) -> Carried:
    """The same for none or several, each with its delay so far and the number of its copy."""
    copies = len(under_way) - 1
    for member in members:
        member.offered += 1
        member.did = UNTOUCHED
        if not under_way:
            member.model.missed(now, numbered(member.offered))
            continue
        onwards: list[tuple[int, int, bytes]] = []
        for delay, copy, each in under_way:
            first = True
            out = member.model.carry(each, now + delay, numbered(member.offered, copy))
            if len(out) != 1 or out[0][1] != each:
                member.did = CHANGED
            elif out[0][0] and not member.did:
                member.did = LATE
            for more, carried in out:
                if first:
                    onwards.append((delay + more, copy, carried))
                    first = False
                elif copies < MOST_COPIES:
                    copies += 1
                    onwards.append((delay + more, copies, carried))
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
