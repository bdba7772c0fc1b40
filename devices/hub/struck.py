"""What mischief does to a hub, between the question at its point and the hub's own room.

The faults are those of `emulator.faults.hub` and, where the hub speaks for a device of the home, of
`emulator.faults.home_network`. A hub that nobody may strike asks nothing.
"""

from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

from devices.common.device import CosemDevice
from devices.common.profile import Hub
from emulator.codecs.get import DataAccessResult
from emulator.codecs.wrapper import Wrapper
from emulator.dlms.cosem import CosemObject
from emulator.dlms.tree import ObjectTree
from emulator.faults import hub as mishaps
from emulator.faults.fault import Point
from emulator.faults.mischief import Strike
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND

_ASSOCIATION: Final = frozenset({15, 17, 64})
"""Classes that a logical device is talked to with: association, SAP assignment, security setup."""


@mypyc_attr(native_class=False)
class Withholding(ObjectTree):
    """A logical device some of whose objects are there and cannot be had: data-access-result object-unavailable (11).
    `asked` is asked for each object that somebody wants, but for those that one talks to the device with."""

    __slots__ = ("_asked", "_kept")

    def __init__(self, objects: ObjectTree, asked: Callable[[], bool]) -> None:
        super().__init__(objects.values())
        self.find = self._find
        self._asked = asked
        self._kept = False

    def _find(self, key: tuple[int, bytes]) -> CosemObject | None:
        found = self.get(key)
        self._kept = found is not None and found.class_id not in _ASSOCIATION and self._asked()
        return None if self._kept else found

    def missing(self, logical_name: bytes) -> DataAccessResult:
        return DataAccessResult.OBJECT_UNAVAILABLE if self._kept else super().missing(logical_name)


class StruckHub(CosemDevice):
    """The part of a hub that faults are about."""

    __slots__ = ("habits",)

    habits: Hub
    """The hub's section of the profile."""

    def lose_attachment(self) -> None:
        """Lose the cellular network, and what waited for it."""
        raise NotImplementedError

    def refuse(self, wrapper: Wrapper) -> None:
        """Answer with an exception under the logical device that was called."""
        raise NotImplementedError

    def strikes(self, word: str, figure: int, now: Instant, party: Party = Party.HUB) -> list[Strike]:
        """What strikes the hub on an occasion; noted."""
        if self.mischief is None:
            return []
        found = self.mischief.strikes(Point.HUB, self.installation, party, now, (word, figure))
        for strike in found:
            self.tell(strike)
        return found

    def tell(self, strike: Strike) -> None:
        if strike.fresh:
            self._effects.append(strike.note)

    def mishap(self, frame: bytes, now: Instant) -> bool:
        """Whether a frame from the WAN gets lost in the hub."""
        lost = False
        for strike in self.strikes(mishaps.FRAME, len(frame), now):
            lost = True
            if isinstance(strike.fault, mishaps.HubReboot):
                self.reboot(strike.fault.dark_s, now)
            else:
                self.note("hub.overrun", len(frame))
        return lost

    def reboot(self, seconds: int, now: Instant) -> None:
        """Restart: what is volatile is lost, and nothing is heard for so long. No loss of power: nothing is logged."""
        self.drop()
        self._power_back = now + seconds * SECOND
        self.lose_attachment()
        self.note("hub.reboot", seconds)

    def refuses_for(self, party: Party, wrapper: Wrapper, now: Instant) -> bool:
        """Whether the hub refuses in the place of a device that is there."""
        found = self.strikes(mishaps.FORWARD, int(party), now, party)
        if found:
            self.note("hub.object-unavailable", int(party))
            self.refuse(wrapper)
        return bool(found)

    def withholds(self) -> bool:
        """Whether the hub says object-unavailable to somebody who wants an object of its mirror of the gas meter."""
        found = self.strikes(mishaps.FORWARD, int(Party.GAS), self.now, Party.GAS)
        if found:
            self.note("hub.object-unavailable", int(Party.GAS))
        return bool(found)

    def mirror_stands(self, now: Instant, heard: Instant) -> Instant | None:
        """Of when the values are that the mirror goes on showing; None: it is kept up to date. `heard`: when the gas
        meter was last heard, if this is the first question."""
        since: Instant | None = None
        if self.mischief is not None:
            for strike in self.mischief.stands(Point.HUB, self.installation, Party.HUB, now, (mishaps.MIRROR, 0)):
                self.tell(strike)
                memory = strike.armed.recall(self.installation)
                stood = memory.setdefault("since", heard - round(strike.fault.age_s * SECOND))
                since = stood if since is None else min(since, stood)
        return since

    def texts_needed(self, now: Instant) -> int:
        """How many short messages wake it."""
        needed = self.habits.sms_count
        if self.mischief is not None:
            for strike in self.mischief.stands(Point.HUB, self.installation, Party.HUB, now, (mishaps.SMS, 0)):
                self.tell(strike)
                needed = max(needed, strike.fault.needed)
        return needed
