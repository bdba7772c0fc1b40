"""The Migration Control Centre: how many installations may start today, and whether any may.

Decided at the virtual-day barrier, from what all cells reported, in cell order; so it is the only place where one
cell's luck touches another's, and it is the same on one worker or four. Thresholds are settings: the real gate's
criteria are not public.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pacing:
    """`first_per_day` starts a day for `first_days` days, then `per_day`."""

    first_per_day: int = 2_000
    first_days: int = 5
    per_day: int = 10_000

    def allowance(self, day: int) -> int:
        """Starts allowed on day `day`, counted from 0."""
        return self.first_per_day if day < self.first_days else self.per_day


@dataclass(frozen=True, slots=True)
class Gate:
    """The daily go/no-go. Shares of yesterday's finished homes; ASSUMED thresholds.

    A day above `failed_share` goes on at half the pace; above `stop_share`, or with more than `unrecoverable_most`
    homes lost for good, the next day is a no-go. A no-go day is followed by a day at half the pace, so that a campaign
    always ends.

    A day with more than `alerts_most` alerts for each home that reports here (and 20 besides, as few homes say little)
    is followed by a no-go; 0: alerts are not looked at.
    """

    failed_share: float = 0.08
    stop_share: float = 0.25
    unrecoverable_most: int = 0
    alerts_most: float = 0.0


@dataclass(slots=True)
class Day:
    """What one virtual day brought, all cells together."""

    day: int
    decision: str
    allowance: int
    started: int = 0
    migrated: int = 0
    failed: int = 0
    unrecoverable: int = 0
    alerts: int = 0


@dataclass(slots=True)
class ControlCentre:
    """Keeps the days and decides the next one."""

    pacing: Pacing
    gate: Gate
    days: list[Day] = field(default_factory=list)

    def plan(self) -> Day:
        """The next day: GO, SLOW (half the pace) or NO GO, with its allowance."""
        number = len(self.days)
        allowance = self.pacing.allowance(number)
        decision = self._decide()
        if decision == "SLOW":
            allowance = max(1, allowance // 2)
        elif decision == "NO GO":
            allowance = 0
        day = Day(number, decision, allowance)
        self.days.append(day)
        return day

    def _decide(self) -> str:
        if not self.days:
            return "GO"
        last = self.days[-1]
        if last.decision == "NO GO":
            return "SLOW"
        finished = last.migrated + last.failed + last.unrecoverable
        share = last.failed / finished if finished else 0.0
        if last.unrecoverable > self.gate.unrecoverable_most or share > self.gate.stop_share:
            return "NO GO"
        most = self.gate.alerts_most
        if most and last.alerts > most * sum(day.migrated for day in self.days) + 20:
            return "NO GO"
        return "SLOW" if share > self.gate.failed_share else "GO"


def apportion(allowance: int, waiting: Mapping[int, int]) -> dict[int, int]:
    """Share a day's allowance among cells by how many homes each has waiting.

    Largest remainder, ties to the lower cell. Every cell gets at most what it has waiting, and the shares add up to
    min(allowance, all waiting)."""
    total = sum(waiting.values())
    allowance = min(allowance, total)
    if not allowance:
        return dict.fromkeys(waiting, 0)
    shares = {cell: allowance * count // total for cell, count in sorted(waiting.items())}
    rest = allowance - sum(shares.values())
    by_remainder = sorted(shares, key=lambda cell: (-(allowance * waiting[cell] % total), cell))
    for cell in by_remainder[:rest]:
        shares[cell] += 1
    return shares
