"""Repeats told once: what passes, what is held back, and that no alert is forgotten."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from emulator.headend.alert_desk import Tally
from emulator.headend.throttle import AlertRecord, Throttle
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND


def alert(at_s: int, code: int = 7, home: int = 1, party: Party = Party.GAS, *, vouched: bool = True) -> AlertRecord:
    return AlertRecord(at_s * SECOND, home, party, code, f"cause-{code}", "", vouched)


def test_repeats_within_a_window_are_told_once() -> None:
    """The first passes at once; the rest as one, with a number and a count, when the window has ended."""
    throttle = Throttle(60)
    assert [each.count for each in throttle.hear(alert(0))] == [1]
    assert throttle.hear(alert(10)) == []
    assert throttle.hear(alert(59)) == []
    assert throttle.settle(59 * SECOND) == []
    told = throttle.settle(60 * SECOND)
    assert [(each.sequence, each.count, each.at) for each in told] == [(1, 2, 59 * SECOND)]
    assert throttle.merged == 2


def test_a_run_goes_on_under_its_number_and_ends() -> None:
    """As long as every window brings a repeat; after a quiet one the next alert is a first one again."""
    throttle = Throttle(60)
    passed = [each for at in range(0, 200, 20) for each in throttle.hear(alert(at))]
    passed += throttle.settle(600 * SECOND)
    assert [(each.sequence, each.count) for each in passed] == [(0, 1), (1, 2), (1, 3), (1, 3), (1, 1)]
    assert throttle.open == 0
    again = throttle.hear(alert(700))
    assert [(each.sequence, each.count) for each in again] == [(0, 1)]
    throttle.hear(alert(701))
    assert [each.sequence for each in throttle.settle(1_000 * SECOND)] == [2]


def test_only_the_same_is_a_repeat() -> None:
    """Another code, home, device, or one that nobody vouches for, is another alert."""
    throttle = Throttle(60)
    for each in (
        alert(0), alert(1, code=8), alert(2, home=2), alert(3, party=Party.HUB), alert(4, vouched=False),
    ):  # fmt: skip
        assert throttle.hear(each) == [each]


def test_what_is_excluded_always_passes() -> None:
    """And without a window everything does."""
    throttle = Throttle(60, [7])
    assert all(throttle.hear(alert(at)) for at in range(10))
    assert throttle.open == 0
    free = Throttle(0)
    assert all(free.hear(alert(at)) for at in range(10))


alerts = st.tuples(st.integers(0, 90), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2]))


@given(st.lists(alerts, max_size=60), st.integers(1, 200), st.sets(st.sampled_from([1, 2, 3])))
def test_every_alert_is_counted_once(steps: list[tuple[int, int, int]], window: int, excluded: set[int]) -> None:
    """What was told adds up to what was heard, for each device and code; what is excluded is never held back."""
    throttle = Throttle(window, excluded)
    at, heard, told = 0, Counter[tuple[int, int]](), []
    for wait, code, home in steps:
        at += wait
        heard[home, code] += 1
        told += throttle.hear(alert(at, code, home))
    told += throttle.settle((at + 2 * window) * SECOND)
    sums = Counter[tuple[int, int]]()
    for each in told:
        sums[each.installation, each.code] += each.count
        assert each.sequence or each.count == 1
        assert not each.sequence or each.code not in excluded
    assert sums == heard
    assert throttle.open == 0
    assert throttle.merged == sum(each.count for each in told if each.sequence)


def test_a_tally_knows_the_last_hour_and_day() -> None:
    """To five minutes, and it forgets what is older than a day."""
    tally = Tally()
    for minute in range(0, 3 * 24 * 60, 10):
        tally.count(minute % 3, minute * MINUTE)
    now = (3 * 24 * 60 - 1) * MINUTE
    assert tally.last_hour(now) == 6
    assert tally.last_day(now) == 144
    assert tally.total == sum(tally.codes.values()) == 432
    assert tally.within(HOUR, now + 2 * DAY) == 0
    assert len(tally._lately) <= DAY // (5 * MINUTE)
