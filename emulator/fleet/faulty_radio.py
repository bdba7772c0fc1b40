"""A home's radio link while faults may be on it: the sound link, set anew before every question.

The conditions of the home network (`emulator.faults.home_network`) are asked for and put upon the link: whether the
device is gone, how often it polls, how good its radio is. What they stood at before is kept and comes back with the end
of the last of them. Looking at a link (`look`) is no use of it and counts for nothing.
"""

from emulator.faults.fault import Point
from emulator.faults.home_network import GasAsleep, HanLost, LowLqi
from emulator.faults.mischief import Mischief
from emulator.han.join import JoinState
from emulator.han.link_state import HanLink
from emulator.han.sleepy import Sleepy
from emulator.kernel.effects import Instant
from emulator.kernel.journal import Journal


class FaultyLink:
    """A `HanLink` under mischief, for whoever uses one."""

    __slots__ = ("_inner", "_journal", "_mischief", "_usual")

    def __init__(self, inner: HanLink, mischief: Mischief, journal: Journal) -> None:
        self._inner = inner
        self._mischief = mischief
        self._journal = journal
        self._usual = inner.rhythm, inner.level

    def look(self, now: Instant) -> HanLink:
        """The link as it stands now, to be looked at and not used."""
        return self._stand(now, counts=False)

    def state(self, now: Instant) -> JoinState:
        return self._stand(now).state(now)

    def lqi(self, now: Instant) -> int:
        return self._stand(now).lqi(now)

    def error(self, now: Instant) -> str | None:
        return self._stand(now).error(now)

    def down(self, now: Instant, number: int) -> list[int]:
        return self._stand(now).down(now, number)

    def up(self, now: Instant, number: int) -> list[int]:
        return self._stand(now).up(now, number)

    def _stand(self, now: Instant, *, counts: bool = True) -> HanLink:
        link = self._inner
        rhythm, level = self._usual
        lost = False
        for strike in self._mischief.stands(Point.HAN, link.installation, link.party, now, counts=counts):
            if strike.fresh and counts:
                self._journal.note(now, link.installation, link.party, strike.note)
            fault = strike.fault
            if isinstance(fault, HanLost):
                lost = True
            elif isinstance(fault, GasAsleep):
                rhythm = Sleepy.keyed(link.seed, link.installation, int(link.party), fault.poll_s, fault.awake_s)
            elif isinstance(fault, LowLqi):
                level = fault.lqi
        link.stand(lost=lost, rhythm=rhythm, level=level)
        return link
