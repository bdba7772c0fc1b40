"""How much flows between two moments, by rate: sums over runs of days that are cut alike.

A load's use up to a moment is a closed function (`consumption`), so what flowed between two moments is a difference per
run of equal days, and no day is walked through.
"""

from collections.abc import Sequence

from devices.common.consumption import DayPlan, Load
from devices.common.tariff import Calendar


def between(load: Load, calendar: Calendar, start_s: int, end_s: int, rates: frozenset[int] | None) -> dict[int, int]:
    """Grains by rate between two moments in seconds since 1970; only in `rates` when given."""
    found: dict[int, int] = {}
    if end_s <= start_s:
        return found
    first, last = start_s // 86_400, end_s // 86_400
    for begun, end, plan in calendar.runs(first, last + 1):
        low = load.used_before(plan, begun, start_s % 86_400 if begun == first else 0)
        high = load.used(plan, end, 0) if end <= last else load.used(plan, last, end_s % 86_400)
        for rate, grains in high.items():
            if rates is None or rate in rates:
                found[rate] = found.get(rate, 0) + grains - low[rate]
    return found


def closed_between(load: Load, runs: Sequence[tuple[int, int, DayPlan]], start_s: int, end_s: int) -> dict[int, int]:
    """As `between`, over days cut into `circuits.lanes`: grains by rate while the contact is closed."""
    found: dict[int, int] = {}
    first, last = start_s // 86_400, end_s // 86_400
    for begun, end, plan in runs:
        low = load.used_before(plan, begun, start_s % 86_400 if begun == first else 0)
        high = load.used(plan, end, 0) if end <= last else load.used(plan, last, end_s % 86_400)
        for lane, grains in high.items():
            if lane & 1:
                found[lane >> 1] = found.get(lane >> 1, 0) + grains - low[lane]
    return found
