"""Faults of auxiliary load switches (F18): what makes a home cold while every read looks right.

A meter believes its wish; these faults part the wish from the contact, or the hold from its time. They strike at
`Point.SWITCH` in a meter with a fifth terminal, which tells the `Moment` and how its relays stand. A relay that was
struck stays struck when the fault is cleared: metal does not mend itself.

That such faults occur is INFERENCE from the published residual risk about auxiliary load; how each behaves is ASSUMED.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta

from emulator.faults.fault import Fault, Point

Which = Annotated[int, Meta(ge=0, le=5, description="auxiliary switch; 0: every one")]

OBEYS: Final = 0
INVERTED: Final = 1
STUCK_OPEN: Final = 2
STUCK_CLOSED: Final = 3
"""How a relay stands: the values of `devices.common.circuits.Contact`."""


class Moment(StrEnum):
    """What happens to a meter's switches when these faults are asked."""

    USED = "used"
    """The meter is used, or somebody looks at a relay."""
    MIGRATED = "migrated"
    """A new encryption key has been taken."""
    HELD = "held"
    """A command holds a switch on or off for a time."""
    POWER_UP = "power-up"
    """The mains are back."""
    TARIFF = "tariff"
    """Another tariff was loaded."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """`switch` is the one concerned (0: all); `relays` how each stands, switch 1 first."""

    moment: Moment
    switch: int
    relays: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchFault(Fault):
    """Root of the faults of auxiliary switches. `switch`: which one; 0: every one of the meter."""

    row: ClassVar[str] = "F18"
    points: ClassVar[frozenset[Point]] = frozenset({Point.SWITCH})
    moment: ClassVar[Moment] = Moment.USED

    switch: Which = 0

    def wants(self, point: Point, occasion: Any) -> bool:
        if not isinstance(occasion, Occasion) or occasion.moment is not self._moment():
            return False
        return not self.switch or not occasion.switch or self.switch == occasion.switch

    def concerned(self, switches: int) -> range:
        """The switches it is about, of a meter that has so many."""
        if not self.switch:
            return range(1, switches + 1)
        return range(self.switch, self.switch + 1) if self.switch <= switches else range(0)

    def _moment(self) -> Moment:
        return self.moment


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayFault(SwitchFault):
    """A relay that does not do as it is told. `from_migration`: from the first new encryption key on, else from the
    moment the fault comes into force."""

    from_migration: bool = False

    def _moment(self) -> Moment:
        return Moment.MIGRATED if self.from_migration else Moment.USED

    def wants(self, point: Point, occasion: Any) -> bool:
        if not SwitchFault.wants(self, point, occasion):
            return False
        return any(not self.done(occasion.relays[switch - 1]) for switch in self.concerned(len(occasion.relays)))

    def done(self, relay: int) -> bool:
        """Whether a relay stands as this fault would have it."""
        raise NotImplementedError

    def becomes(self, closed: bool) -> int:
        """How a relay stands from now on that is closed, or open."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStuck(RelayFault):
    """An auxiliary relay is stuck: commands are acknowledged, the state read over the air follows them and the
    schedule, and the contact does not move. `state`: stuck open (a cold home), closed (heated at every hour), or as it
    stands at that moment."""

    name: ClassVar[str] = "relay-stuck"
    example: ClassVar[dict[str, Any]] = {"switch": 1, "state": "open"}

    state: Literal["open", "closed", "as-is"] = "as-is"

    def done(self, relay: int) -> bool:
        if self.state == "as-is":
            return relay in (STUCK_OPEN, STUCK_CLOSED)
        return relay == (STUCK_OPEN if self.state == "open" else STUCK_CLOSED)

    def becomes(self, closed: bool) -> int:
        if self.state == "as-is":
            return STUCK_CLOSED if closed else STUCK_OPEN
        return STUCK_OPEN if self.state == "open" else STUCK_CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayInverted(RelayFault):
    """An auxiliary relay works the wrong way round: its contact is closed whenever the meter says off, and open
    whenever it says on, so that heaters run by day and not by night."""

    name: ClassVar[str] = "relay-inverted"
    example: ClassVar[dict[str, Any]] = {"from_migration": True}

    def done(self, relay: int) -> bool:
        return relay != OBEYS

    def becomes(self, closed: bool) -> int:
        return INVERTED


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongStateAfterPowerUp(SwitchFault):
    """When the mains come back a switch is on, off, or the inverse of what hold and schedule ask for, until its next
    switching time or until it is reset; the meter believes so too."""

    name: ClassVar[str] = "wrong-state-after-power-up"
    moment: ClassVar[Moment] = Moment.POWER_UP
    example: ClassVar[dict[str, Any]] = {"state": "off", "until": "reset"}

    state: Literal["on", "off", "inverse"] = "inverse"
    until: Literal["next-switch", "reset"] = "next-switch"

    def comes_back(self, on: bool) -> bool:
        """How a switch comes back that should be on, or off."""
        return not on if self.state == "inverse" else self.state == "on"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerNotRestored(SwitchFault):
    """The timer of an ad-hoc activation does not survive a power cut: the hold is lost and the schedule has the switch
    at once, or it has lost its end and lasts for ever."""

    name: ClassVar[str] = "timer-not-restored"
    moment: ClassVar[Moment] = Moment.POWER_UP
    example: ClassVar[dict[str, Any]] = {"hold": "for-ever"}

    hold: Literal["lost", "for-ever"] = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarAgainstAdHoc(SwitchFault):
    """Calendar and ad-hoc command are in conflict and the wrong one wins: the calendar ends a hold at its next
    switching time, however long it was to last; or the ad-hoc command wins for good, and its duration is ignored."""

    name: ClassVar[str] = "calendar-against-ad-hoc"
    moment: ClassVar[Moment] = Moment.HELD
    example: ClassVar[dict[str, Any]] = {"wins": "calendar"}

    wins: Literal["calendar", "ad-hoc"] = "calendar"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchMappingDropped(SwitchFault):
    """Loading another tariff drops what the switches follow: from then on they follow no rate and stay off, while
    every register and the tariff read right."""

    name: ClassVar[str] = "switch-mapping-dropped"
    moment: ClassVar[Moment] = Moment.TARIFF
    example: ClassVar[dict[str, Any]] = {}


FAULTS: Final[tuple[type[Fault], ...]] = (
    RelayStuck,
    RelayInverted,
    WrongStateAfterPowerUp,
    TimerNotRestored,
    CalendarAgainstAdHoc,
    SwitchMappingDropped,
)
