"""Wilson's interval: its values, its corners, and how often it holds the truth over 200 seeds."""

from math import comb

import pytest

from emulator.dcc.ledger import Totals
from emulator.dcc.rates import Rate, coverage, rates, wilson
from emulator.errors import UsageError
from emulator.kernel import chance

SEEDS = 200


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # The score interval without continuity correction, as prop.test(x, n, correct = FALSE) of R has it
        (0, 10, 0.0, 0.2775328),
        (1, 10, 0.0178762, 0.4041500),
        (5, 10, 0.2365931, 0.7634069),
        (10, 10, 0.7224672, 1.0),
        (1, 1000, 0.000176545, 0.005642527),
    ],
)
def test_known_values(count: int, of: int, low: float, high: float) -> None:
    found = wilson(count, of)
    assert found.low == pytest.approx(low, abs=2e-6)
    assert found.high == pytest.approx(high, abs=2e-6)
    assert found.share == count / of


def test_of_nothing_nothing_is_known() -> None:
    assert wilson(0, 0) == Rate(0, 0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(("count", "of", "level"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)])
def test_what_is_no_share_is_refused(count: int, of: int, level: float) -> None:
    with pytest.raises(UsageError, match="no share"):
        wilson(count, of, level)


def test_a_higher_level_is_wider_and_more_homes_are_narrower() -> None:
    assert wilson(3, 100, 0.99).high > wilson(3, 100, 0.9).high
    assert wilson(30, 1000).high < wilson(3, 100).high


def test_coverage_is_the_binomial_sum() -> None:
    true, of = 0.3, 7
    expected = sum(
        comb(of, count) * true**count * (1 - true) ** (of - count)
        for count in range(of + 1)
        if wilson(count, of).holds(true)
    )
    assert coverage(true, of) == pytest.approx(expected)


@pytest.mark.parametrize(("true", "homes"), [(0.001, 4000), (0.01, 1000), (0.05, 500), (0.3, 200)])
def test_two_hundred_seeds_hold_the_truth_as_often_as_they_should(true: float, homes: int) -> None:
    """Keyed draws, one run a seed: the count of intervals that hold the true share lies where a binomial of the exact
    coverage puts all but one in ten thousand runs."""
    held = 0
    for seed in range(SEEDS):
        lost = sum(chance.draw(seed, "lost", home) < true for home in range(homes))
        held += wilson(lost, homes).holds(true)
    exact = coverage(true, homes)
    assert 0.9 < exact < 0.99
    assert abs(held - SEEDS * exact) < 3.9 * (SEEDS * exact * (1 - exact)) ** 0.5


def _totals(migrated: int, failed: int, unrecoverable: int, pending: int, by_cause: dict[str, int]) -> Totals:
    sums = migrated + failed + unrecoverable + pending
    return Totals(sums, migrated, failed, unrecoverable, pending, by_cause, migrated, 0, 0, 0)


def test_a_campaigns_rates() -> None:
    found = rates(_totals(990, 8, 2, 5, {"MF13:keys-lost": 2, "MF3:wan-lost": 8}))
    assert (found.failure.count, found.failure.of) == (10, 1000)  # who is pending has not ended
    assert (found.unrecoverable.count, found.unrecoverable.of) == (2, 1000)
    assert found.by_cause["MF3:wan-lost"].share == 0.008
    assert found.object()["unrecoverable"]["count"] == 2
    assert "unrecoverable 0.20% (0.05% to 0.73%)" in found.told()


def test_a_campaign_nobody_ended_says_nothing() -> None:
    found = rates(_totals(0, 0, 0, 3, {}))
    assert (found.failure.low, found.failure.high) == (0.0, 1.0)
