"""Faults of the way to a home as a whole: the core link black, and the network's cells that do not reach a hub."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from emulator.faults.fault import Fault, Point, Seconds
from emulator.faults.mischief import FOREVER
from emulator.faults.wire import Bent, Crossing, WireFault
from emulator.kernel.time import DAY

_AIR: Final = frozenset({Point.WAN_DOWN, Point.WAN_UP, Point.SMS})

SMS_VALIDITY_US: Final = DAY
"""How long the network keeps a short message for a hub it does not reach. ASSUMED, as `AirProfile.sms_validity_us`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOutage(Fault):
    """The core link is black, both ways: what is put on it is lost. Of all cells, or of one installation's whole cell,
    which shares its tunnel. FACT: an outage lasts six seconds, if nobody says otherwise; short messages do not cross
    this link."""

    name: ClassVar[str] = "link-outage"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = frozenset({Point.CORE})
    example: ClassVar[dict[str, Any]] = {"after_s": 3600, "seconds": 6}

    seconds: Seconds = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfCoverage(WireFault):
    """The cellular network does not reach a hub: frames are lost, short messages wait in the network for the end of it
    (where that is more than a day off they are given up)."""

    name: ClassVar[str] = "out-of-coverage"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = _AIR
    example: ClassVar[dict[str, Any]] = {"installation": 3, "seconds": 7200}

    def bend(self, frame: bytes, crossing: Crossing) -> Bent:
        waits = crossing.until - crossing.now
        if crossing.point is Point.SMS and crossing.until < FOREVER and waits <= SMS_VALIDITY_US:
            return [(waits, frame)]
        return []


FAULTS: tuple[type[Fault], ...] = (LinkOutage, OutOfCoverage)
