"""How wrong a device's clock is: an offset at one instant and a drift from there, and nothing that ticks.

This is the crystal's part alone. What settings add is kept by the clock object (class 8), so setting a clock does not
cure its drift. The error is a function of time; times shown never repeat or run back between two settings.

The house lives by its electricity meter's clock: consumption, tariff and switching are functions of the time the meter
shows, so a clock ten seconds fast switches ten seconds early and its half-hours still add up. Seconds of drift move
a kettle by seconds; that is the price, and nobody can measure it.
"""

from dataclasses import dataclass
from typing import Final

from emulator.kernel import chance
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND

_BILLION: Final = 1_000_000_000


@dataclass(slots=True, frozen=True)
class Crystal:
    """`since` is a true instant; `offset_us` what was shown more than true time then; `drift_ppb` parts in 10^9."""

    since: Instant
    offset_us: int
    drift_ppb: int

    def error(self, now: Instant) -> int:
        """Microseconds that the clock shows more than true time, before any setting."""
        return self.offset_us + (now - self.since) * self.drift_ppb // _BILLION


def keyed(seed: int, device: int, last_set: Instant, offset_ms_most: int, drift_ppm_most: int) -> Crystal:
    """The clock a device is found with: set by its old operator within the week after `last_set`, a little wrong.

    `device` is a number of this device's own in the estate.
    """
    luck = chance.bits(seed, "clock", device)
    since = last_set + (luck >> 42) % (7 * 86_400) * SECOND
    offset = ((luck & 0x1F_FFFF) % (2 * offset_ms_most + 1) - offset_ms_most) * 1_000
    drift = (luck >> 21 & 0x1F_FFFF) % (2_000 * drift_ppm_most + 1) - 1_000 * drift_ppm_most
    return Crystal(since, offset, drift)
