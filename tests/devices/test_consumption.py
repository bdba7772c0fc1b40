"""Loads: closed forms that agree with themselves whichever way they are read."""

from hypothesis import given, settings
from hypothesis import strategies as st

from devices.common import consumption
from devices.common.consumption import DAY_S, GRAINS, SLOT_S, WHOLE_DAY, DayPlan

DAYS = st.integers(min_value=15_000, max_value=20_000)
HOMES = st.integers(min_value=0, max_value=200_000)


@st.composite
def plans(draw: st.DrawFn) -> DayPlan:
    """Up to twelve spans that begin on whole minutes, with up to four lanes."""
    starts = sorted({0, *draw(st.lists(st.integers(1, 1_439), max_size=11))})
    return DayPlan(tuple((start * 60, draw(st.integers(1, 4))) for start in starts))


def loads(home: int) -> list[consumption.Load]:
    return [
        consumption.electricity(1, home, 8_500),
        consumption.heating(1, home, 1, 1_500),
        consumption.gas(1, home, 3_700),
    ]


@settings(max_examples=40, deadline=None)
@given(HOMES, DAYS)
def test_half_hours_add_up_to_the_cumulative_curve(home: int, day: int) -> None:
    """The 48 half-hours of a day sum to the difference of the cumulative curve, to the last grain, at every
    boundary."""
    for load in loads(home):
        start = load.used(WHOLE_DAY, day, 0)[1]
        running = 0
        for slot, flow in enumerate(load.slots(day)):
            assert load.used(WHOLE_DAY, day, slot * SLOT_S)[1] - start == running
            assert flow > 0
            running += flow * SLOT_S
        assert load.used(WHOLE_DAY, day + 1, 0)[1] - start == running


@settings(max_examples=60, deadline=None)
@given(HOMES, DAYS, plans(), st.integers(0, DAY_S - 1))
def test_lanes_of_any_plan_sum_to_the_whole(home: int, day: int, plan: DayPlan, second: int) -> None:
    """However a day is cut into rates, the rates together hold what the whole day holds, at any second."""
    for load in loads(home):
        assert sum(load.used(plan, day, second).values()) == load.used(WHOLE_DAY, day, second)[1]


@settings(max_examples=60, deadline=None)
@given(HOMES, DAYS, plans(), st.lists(st.integers(0, 3 * DAY_S), min_size=2, max_size=6))
def test_no_lane_ever_runs_back(home: int, day: int, plan: DayPlan, seconds: list[int]) -> None:
    """Every lane's curve rises or stands still with time, over midnight too."""
    for load in loads(home):
        before = None
        for second in sorted(seconds):
            now = load.used(plan, day + second // DAY_S, second % DAY_S)
            if before is not None:
                assert all(now[lane] >= before[lane] for lane in plan.lanes)
            before = now


@settings(max_examples=30, deadline=None)
@given(HOMES, DAYS, plans(), st.integers(0, DAY_S - 2))
def test_only_the_lane_in_force_moves(home: int, day: int, plan: DayPlan, second: int) -> None:
    """Within one second the lane that the plan names grows by the load's rate, and no other moves."""
    for load in loads(home):
        before, after = load.used(plan, day, second), load.used(plan, day, second + 1)
        moved = {lane: after[lane] - before[lane] for lane in plan.lanes if after[lane] != before[lane]}
        assert moved == {plan.lane(second): load.rate(day, second)}


def test_homes_use_what_their_profile_says_on_average() -> None:
    """Over 300 homes and a year the mean day lies within 10 % of what was asked for, and homes differ."""
    days = [
        (load.used(WHOLE_DAY, 18_365, 0)[1] - load.used(WHOLE_DAY, 18_000, 0)[1]) / 365 / GRAINS
        for load in (consumption.electricity(3, home, 8_500) for home in range(300))
    ]
    assert abs(sum(days) / len(days) / (8_500 * 1.1) - 1) < 0.1
    assert max(days) > 2 * min(days)


def test_winter_needs_more_than_summer() -> None:
    """A gas boiler burns at least three times as much in January as in July."""
    load = consumption.gas(1, 5, 3_700)
    january = sum(sum(load.slots(day)) for day in range(18_262, 18_293))
    july = sum(sum(load.slots(day)) for day in range(18_444, 18_475))
    assert january > 3 * july


def test_another_seed_is_another_home() -> None:
    """The same home under another seed uses other amounts; under the same seed exactly the same."""
    assert consumption.electricity(1, 9, 8_500).slots(18_300) == consumption.electricity(1, 9, 8_500).slots(18_300)
    assert consumption.electricity(1, 9, 8_500).slots(18_300) != consumption.electricity(2, 9, 8_500).slots(18_300)
