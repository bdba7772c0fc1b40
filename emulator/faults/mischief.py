"""The faults in force in one cell, and who is struck when.

Whoever may be struck asks `strikes` (or `strike`, for the first) at its point and carries out what comes back. A fault
is armed under a number that is the same in every cell of an estate, so the choice of homes (`share`) and all luck are
keyed by seed, number and installation: neither the cut into cells nor another fault changes whom it meets.

Some faults are conditions and not events: a device that has left the network is gone for every question. Such a fault
is asked for with `stands`; it counts once a home, at the first question, which decides for all of them.

A home that no fault concerns is never asked about: `concerns` is looked at once, when its machines are made. What is
remembered is a pair of counts for a fault and home it has met, and what the fault itself wants to remember of a home
(`Armed.recall`), which outlives the home's machines. A fault that never fired is told by `fired`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from emulator.faults.fault import PARTIES, Fault, Point
from emulator.kernel import chance
from emulator.kernel.effects import Instant, Note
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND

FOREVER: Final[Instant] = 1 << 62
UNTIL_ATTACHED: Final = "until-attached"
"""Under this name a fault remembers what ends when a home's hub attaches anew."""

_NONE: Final[list["Armed"]] = []


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that strikes now. `luck` is 64 bits for its own decisions; `note` goes into the journal."""

    fault: Any
    number: int
    luck: int
    note: Note
    armed: "Armed"
    fresh: bool = True
    """False for a condition that was noted before."""


class Armed:
    """A fault in force from `since` until `until`."""

    __slots__ = ("_memory", "fault", "fired", "met", "number", "party", "since", "until")

    def __init__(self, number: int, fault: Fault, now: Instant) -> None:
        self.number = number
        self.fault = fault
        self.party = PARTIES[fault.device] if fault.device is not None else None
        self.since = now + round(fault.after_s * SECOND)
        self.until = self.since + round(fault.seconds * SECOND) if fault.seconds else FOREVER
        self.fired = 0
        self.met: dict[int, list[int]] = {}
        """Installation -> [occasions, strikes]."""
        self._memory: dict[int, dict[str, Any]] = {}

    def recall(self, installation: int) -> dict[str, Any]:
        """What the fault remembers of a home: its own to change. May hold secrets: never shown."""
        return self._memory.setdefault(installation, {})

    def remembers(self, installation: int) -> dict[str, Any] | None:
        """As `recall`, but None for a home of which nothing is remembered."""
        return self._memory.get(installation)

    @property
    def remembered(self) -> dict[int, dict[str, Any]]:
        """All that is remembered, by installation."""
        return self._memory


class Mischief:
    """The faults of one cell."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._armed: dict[int, Armed] = {}
        self._points: dict[Point, list[Armed]] = {}
        self._ended: dict[int, int] = {}
        self._next = 1
        self.on_attach: Callable[[int, Instant], None] | None = None
        """Who else wants to know that a home's hub has attached: `on_attach(installation, now)`."""
        self.on_split: Callable[[int, bytes, int, int], None] | None = None
        """Who else wants to know that a frame of a hub's comes in two pieces on a stream:
        `on_split(installation, frame, at, gap in µs)`."""

    # In force, or no more

    def arm(self, fault: Fault, now: Instant, number: int | None = None) -> int:
        """Put a fault in force; its number, which rises unless given."""
        number = self._next if number is None else number
        self._next = max(self._next, number + 1)
        armed = self._armed[number] = Armed(number, fault, now)
        for point in fault.points:
            self._points.setdefault(point, []).append(armed)
        return number

    def disarm(self, number: int) -> Armed | None:
        """End a fault; None when it has ended. What it broke stays broken."""
        armed = self._armed.pop(number, None)
        if armed is not None:
            self._ended[number] = armed.fired
            for point in armed.fault.points:
                self._points[point].remove(armed)
                if not self._points[point]:
                    del self._points[point]
        return armed

    @property
    def armed(self) -> list[Armed]:
        """Those in force, or still to come or over but not ended, oldest first."""
        return list(self._armed.values())

    @property
    def fired(self) -> dict[int, int]:
        """How often each struck, those included that were ended."""
        return {**self._ended, **{number: armed.fired for number, armed in self._armed.items()}}

    # Whom they strike

    def watches(self, point: Point) -> bool:
        """Whether any fault may strike at a point."""
        return point in self._points

    def at(self, point: Point) -> list[Armed]:
        """The faults that may strike at a point, oldest first."""
        return self._points.get(point, _NONE)

    def concerns(self, installation: int) -> bool:
        """Whether any fault may ever strike an installation."""
        return any(self._chosen(armed, installation) for armed in self._armed.values())

    def strikes(
        self, point: Point, installation: int, party: Party | None, now: Instant, occasion: Any = None
    ) -> list[Strike]:
        """The faults that take this occasion, each counted. Without a fault at the point this is one look."""
        watching = self._points.get(point)
        if watching is None:
            return []
        found = []
        for armed in watching:
            strike = self._struck(armed, point, installation, party, now, occasion)
            if strike is not None:
                found.append(strike)
        return found

    def strike(
        self, point: Point, installation: int, party: Party | None, now: Instant, occasion: Any = None
    ) -> Strike | None:
        """The first fault that takes this occasion; the others are not asked."""
        for armed in self._points.get(point, ()):
            strike = self._struck(armed, point, installation, party, now, occasion)
            if strike is not None:
                return strike
        return None

    def stands(
        self,
        point: Point,
        installation: int,
        party: Party | None,
        now: Instant,
        occasion: Any = None,
        *,
        counts: bool = True,
    ) -> list[Strike]:
        """The conditions that hold for a home now, decided once a home and device by `chance`; a condition holds as
        long as its fault is in force. The first question counts, unless it is no more than a look (`counts` False).
        `skip` and `times` have no meaning for conditions."""
        found = []
        for armed in self._points.get(point, ()):
            if not self._concerns(armed, installation, party, now) or not armed.fault.wants(point, occasion):
                continue
            key = installation if party is None else installation << 3 | party
            met = armed.met.get(key)
            fresh = met is None
            if met is None:
                fault = armed.fault
                place = f"fault.{armed.number}.chance"
                holds = fault.chance >= 1.0 or chance.draw(self._seed, place, key) < fault.chance
                met = [1, int(holds)]
                if counts:
                    armed.met[key] = met
                    armed.fired += met[1]
            if met[1]:
                note = Note("fault.fired", (armed.number, armed.fault.name))
                found.append(Strike(armed.fault, armed.number, self.luck(armed.number, key, 1), note, armed, fresh))
        return found

    def in_force(self, kind: type[Fault], installation: int, party: Party | None, now: Instant) -> Armed | None:
        """A fault of a kind that may strike a home now, or None. Nothing is counted: for whoever shows how things
        stand."""
        for armed in self._armed.values():
            if isinstance(armed.fault, kind) and self._concerns(armed, installation, party, now):
                return armed
        return None

    def meets(self, armed: Armed, installation: int, now: Instant) -> bool:
        """Whether a packet of a home's comes to an impairment of a link at all. The occasion is counted, and not as a
        strike: that is told by `struck`, when something has come of it."""
        if not armed.since <= now < armed.until:
            return False
        met = armed.met.get(installation)
        if met is None:  # asked once a home: it is chosen, or it is not
            if not self._chosen(armed, installation):
                return False
            met = armed.met[installation] = [0, 0]
        met[0] += 1
        fault = armed.fault
        if met[0] <= fault.skip or (fault.times and met[1] >= fault.times):
            return False
        if fault.chance >= 1.0:
            return True
        return chance.draw(self._seed, f"fault.{armed.number}.chance", installation, met[0]) < fault.chance

    def struck(self, armed: Armed, installation: int) -> None:
        """Something came of an occasion."""
        armed.met[installation][1] += 1
        armed.fired += 1

    def attached(self, installation: int, now: Instant) -> None:
        """A home's hub has attached anew: what lasted until then is over."""
        for armed in self._armed.values():
            memory = armed.remembers(installation)
            if memory is not None:
                memory.pop(UNTIL_ATTACHED, None)
        if self.on_attach is not None:
            self.on_attach(installation, now)

    def luck(self, number: int, installation: int, turn: int) -> int:
        """64 bits of a fault's own luck."""
        return chance.bits(self._seed, f"fault.{number}", installation, turn)

    def _struck(
        self, armed: Armed, point: Point, installation: int, party: Party | None, now: Instant, occasion: Any
    ) -> Strike | None:
        fault = armed.fault
        if not self._concerns(armed, installation, party, now):
            return None
        if not fault.wants(point, occasion):
            return None
        met = armed.met.setdefault(installation, [0, 0])
        met[0] += 1
        if met[0] <= fault.skip or (fault.times and met[1] >= fault.times):
            return None
        if (
            fault.chance < 1.0
            and chance.draw(self._seed, f"fault.{armed.number}.chance", installation, met[0]) >= fault.chance
        ):
            return None
        met[1] += 1
        armed.fired += 1
        note = Note("fault.fired", (armed.number, fault.name))
        return Strike(fault, armed.number, self.luck(armed.number, installation, met[0]), note, armed)

    def _concerns(self, armed: Armed, installation: int, party: Party | None, now: Instant) -> bool:
        """Whether a fault is in force now, for this home and device."""
        if not armed.since <= now < armed.until or not self._chosen(armed, installation):
            return False
        return armed.party is None or party is None or armed.party == party

    def _chosen(self, armed: Armed, installation: int) -> bool:
        fault = armed.fault
        if fault.installation is not None:
            return fault.installation == installation
        if fault.share >= 1.0:
            return True
        return chance.draw(self._seed, f"fault.{armed.number}.share", installation) < fault.share
