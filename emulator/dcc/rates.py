"""How often something happened, and how sure that is: Wilson's score interval for a share.

For x of n and a confidence level with two-sided quantile z the interval is

    (x + z^2/2 -+ z * sqrt(x (n - x) / n + z^2/4)) / (n + z^2)

(E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927) 209-212; advised
for small counts by L. D. Brown, T. T. Cai and A. DasGupta, "Interval estimation for a binomial proportion", Statistical
Science 16 (2001) 101-133.) Unlike p -+ z * sqrt(p (1 - p) / n) it does not shrink to nothing at 0 of n, which is where
one in a thousand lies in a cohort of a thousand.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any, Final

from emulator.dcc.ledger import Totals
from emulator.errors import UsageError

LEVEL: Final = 0.95
"""Confidence of an interval unless somebody asks for another."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `of`, its `share`, and the interval `low` to `high` (all within 0 to 1) at confidence `level`."""

    count: int
    of: int
    share: float
    low: float
    high: float
    level: float = LEVEL

    def holds(self, true: float) -> bool:
        """Whether a share lies in the interval."""
        return self.low <= true <= self.high

    def told(self) -> str:
        """For people: "0.10% (0.04% to 0.23%)"."""
        return f"{_percent(self.share)} ({_percent(self.low)} to {_percent(self.high)})"


def wilson(count: int, of: int, level: float = LEVEL) -> Rate:
    """The share of `count` in `of` with its interval; of nothing nothing is known: 0 to 1.

    Raises UsageError for a count outside 0 to `of` and a level outside (0, 1)."""
    if not 0 <= count <= of or not 0 < level < 1:
        raise UsageError(f"{count} of {of} at level {level} is no share")
    if not of:
        return Rate(0, 0, 0.0, 0.0, 1.0, level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = count + z * z / 2
    reach = z * sqrt(count * (of - count) / of + z * z / 4)
    low = (middle - reach) / (of + z * z) if count else 0.0
    high = (middle + reach) / (of + z * z) if count < of else 1.0
    return Rate(count, of, count / of, low, high, level)


def coverage(true: float, of: int, level: float = LEVEL) -> float:
    """With which probability the interval of a binomial sample of `of` holds `true`: summed exactly over all counts."""
    found, probability = 0.0, (1 - true) ** of
    for count in range(of + 1):
        if count:
            probability = probability * (of - count + 1) / count * true / (1 - true)
        if wilson(count, of, level).holds(true):
            found += probability
    return found


@dataclass(frozen=True, slots=True)
class CampaignRates:
    """The rates of a campaign over the installations that ended: not migrated, lost for ever, and by cause."""

    failure: Rate
    unrecoverable: Rate
    by_cause: dict[str, Rate]

    def object(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "failure": _object(self.failure),
            "unrecoverable": _object(self.unrecoverable),
            "by_cause": {cause: _object(rate) for cause, rate in self.by_cause.items()},
        }

    def told(self) -> str:
        """One line: both rates with their intervals."""
        level = f"Wilson, {self.failure.level:.0%}"
        return f"failed {self.failure.told()}, unrecoverable {self.unrecoverable.told()} ({level})"


def rates(totals: Totals, level: float = LEVEL) -> CampaignRates:
    """The rates of a campaign. A failure is whatever is not migrated, the unrecoverable included."""
    ended = totals.migrated + totals.failed + totals.unrecoverable
    causes = {cause: wilson(min(count, ended), ended, level) for cause, count in totals.by_cause.items()}
    return CampaignRates(
        wilson(totals.failed + totals.unrecoverable, ended, level), wilson(totals.unrecoverable, ended, level), causes
    )


def _object(rate: Rate) -> dict[str, Any]:
    return {
        "count": rate.count,
        "of": rate.of,
        "share": rate.share,
        "low": rate.low,
        "high": rate.high,
        "level": rate.level,
    }


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 or not share else f"{share:.4%}"
