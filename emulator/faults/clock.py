"""Faults of a device's clock (row F11): it runs wrong, and it does not let itself be corrected.

The AS302P manual allows one setting a day and no correction of drift beyond ten seconds; that manual is of the next
generation, so for these meters the figures are ASSUMED.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from emulator.faults.fault import DeviceName, Fault, Point
from emulator.faults.occasions import DeviceFault, Setting, Victim
from emulator.kernel.time import SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockDrift(DeviceFault):
    """The clock jumps once by `step_s` and drifts by `ppm` more from then on; tariffs, schedules and half-hours go with
    it. Settings are refused when the clock was set `sets_per_day` times already on that UTC day, or when they would
    move it by more than `limit_s`: a drift that has grown beyond that is never corrected. 0: no such limit."""

    name: ClassVar[str] = "clock-drift"
    row: ClassVar[str] = "F11"
    points: ClassVar[frozenset[Point]] = frozenset({Point.TOUCH, Point.CLOCK})
    example: ClassVar[dict[str, Any]] = {"ppm": 50, "step_s": 12}

    device: DeviceName | None = "electricity"
    ppm: Annotated[int, Meta(ge=-10_000, le=10_000, description="parts per million, positive: fast")] = 100
    step_s: Annotated[float, Meta(ge=-86_400, le=86_400, description="seconds, positive: forwards")] = 0.0
    sets_per_day: Annotated[int, Meta(ge=0, le=1_000, description="settings a day; 0: no limit")] = 1
    limit_s: Annotated[float, Meta(ge=0, le=86_400, description="seconds; 0: no limit")] = 10.0

    def wants(self, point: Point, occasion: Any) -> bool:
        """A clock that no fault has touched yet, and settings that it refuses."""
        if isinstance(occasion, Setting):
            too_far = bool(self.limit_s) and abs(occasion.step_us) > self.limit_s * SECOND
            return too_far or (bool(self.sets_per_day) and occasion.before >= self.sets_per_day)
        return point is Point.TOUCH and occasion is not None and not occasion.clock_disturbed

    def touch(self, victim: Victim, luck: int) -> None:
        victim.disturb_clock(round(self.step_s * SECOND), self.ppm * 1_000)


FAULTS: tuple[type[Fault], ...] = (ClockDrift,)
