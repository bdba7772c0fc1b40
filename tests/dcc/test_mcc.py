"""The control centre: pace, gate, shares."""

from hypothesis import given
from hypothesis import strategies as st

from emulator.dcc.mcc import ControlCentre, Gate, Pacing, apportion


@given(st.integers(0, 20_000), st.dictionaries(st.integers(0, 40), st.integers(0, 4_096), max_size=40))
def test_shares_add_up_and_nobody_gets_more_than_waits(allowance: int, waiting: dict[int, int]) -> None:
    """The shares of a day add up to the allowance, or to all that wait."""
    shares = apportion(allowance, waiting)
    assert sum(shares.values()) == min(allowance, sum(waiting.values()))
    assert all(0 <= shares[cell] <= waiting[cell] for cell in waiting)


def test_the_pace_rises_after_the_first_days() -> None:
    """2,000 a day for the first days, then 10,000, while all goes well."""
    centre = ControlCentre(Pacing(2_000, 2, 10_000), Gate())
    allowances = []
    for _ in range(4):
        day = centre.plan()
        day.migrated = day.allowance
        allowances.append((day.decision, day.allowance))
    assert allowances == [("GO", 2_000), ("GO", 2_000), ("GO", 10_000), ("GO", 10_000)]


def test_failures_slow_the_pace_and_many_stop_it() -> None:
    """A bad day halves the next; a very bad one, or a home lost for good, stops it for a day, and no longer."""
    centre = ControlCentre(Pacing(100, 0, 100), Gate(failed_share=0.1, stop_share=0.3))
    decisions = []
    for migrated, failed, lost in ((80, 20, 0), (50, 50, 0), (0, 0, 0), (50, 0, 1), (0, 0, 0), (50, 0, 0), (99, 1, 0)):
        day = centre.plan()
        day.migrated, day.failed, day.unrecoverable = migrated, failed, lost
        decisions.append((day.decision, day.allowance))
    assert decisions == [
        ("GO", 100), ("SLOW", 50), ("NO GO", 0), ("SLOW", 50), ("NO GO", 0), ("SLOW", 50), ("GO", 100),
    ]  # fmt: skip
