"""Who is struck when: windows, counts, chance, shares and conditions, the same in every cut of an estate."""

from dataclasses import replace

import pytest

from emulator.faults.fault import Point
from emulator.faults.home_network import HanLost
from emulator.faults.mischief import FOREVER, UNTIL_ATTACHED, Mischief
from emulator.faults.wire import GprsLoss
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND

UP, DOWN = Point.WAN_UP, Point.WAN_DOWN
LOSS = GprsLoss()


def struck(mischief: Mischief, home: int, occasions: int, now: int = 0) -> list[int]:
    """Which of so many occasions in a home were taken, from 0."""
    return [turn for turn in range(occasions) if mischief.strikes(UP, home, None, now, b"frame")]


def test_skip_and_times_count_for_each_home() -> None:
    mischief = Mischief(1)
    number = mischief.arm(replace(LOSS, skip=2, times=3), 0)
    assert struck(mischief, 7, 9) == struck(mischief, 8, 9) == [2, 3, 4]
    assert mischief.fired == {number: 6}


def test_a_window_begins_after_it_was_put_in_force_and_ends() -> None:
    """[since, until) in virtual time; without an end it lasts until it is ended."""
    mischief = Mischief(1)
    mischief.arm(replace(LOSS, after_s=10, seconds=5), 100 * SECOND)
    assert [second for second in range(100, 120) if struck(mischief, 0, 1, second * SECOND)] == list(range(110, 115))
    endless = mischief.arm(LOSS, 0)
    assert next(each for each in mischief.armed if each.number == endless).until == FOREVER
    mischief.disarm(endless)
    assert struck(mischief, 0, 1, 200 * SECOND) == []


def test_chance_is_keyed_by_fault_home_and_occasion() -> None:
    """About its share, the same again, another for another fault, and a neighbour's calls change nothing."""
    once, again, other = Mischief(5), Mischief(5), Mischief(5)
    for each in (once, again):
        each.arm(replace(LOSS, chance=0.3), 0, 4)
    other.arm(replace(LOSS, chance=0.3), 0, 5)
    struck(again, 1, 50)
    taken = struck(once, 0, 400)
    assert taken == struck(again, 0, 400) != struck(other, 0, 400)
    assert 80 < len(taken) < 160


def test_a_share_of_homes_is_chosen_alike_in_every_cell() -> None:
    """By seed and number of the fault only; and a home that no fault concerns is told at once."""
    mischief, other_cell = Mischief(9), Mischief(9)
    mischief.arm(LOSS, 0, 1)
    mischief.disarm(1)
    for each in (mischief, other_cell):
        each.arm(replace(LOSS, share=0.25), 0, 2)
    chosen = {home for home in range(2_000) if mischief.concerns(home)}
    assert chosen == {home for home in range(2_000) if other_cell.concerns(home)}
    assert 400 < len(chosen) < 600
    assert all(bool(struck(mischief, home, 1)) is (home in chosen) for home in range(50))


def test_a_home_and_a_device_may_be_named() -> None:
    mischief = Mischief(1)
    mischief.arm(replace(LOSS, installation=3, device="gas"), 0)
    assert mischief.strikes(UP, 3, Party.GAS, 0, b"")
    assert mischief.strikes(UP, 3, None, 0, b"")  # nobody knows whose frame it is
    assert not mischief.strikes(UP, 3, Party.ELECTRICITY, 0, b"")
    assert not mischief.strikes(UP, 4, Party.GAS, 0, b"")


def test_what_is_not_its_business_is_not_counted() -> None:
    """Frames the other way neither use up `skip` nor `times`."""
    mischief = Mischief(1)
    mischief.arm(replace(LOSS, way="up", skip=1, times=1), 0)
    for _ in range(5):
        assert not mischief.strikes(DOWN, 0, None, 0, b"")
    assert struck(mischief, 0, 4) == [1]


def test_the_first_fault_that_strikes_may_be_all_that_is_asked() -> None:
    mischief = Mischief(1)
    first, second = mischief.arm(replace(LOSS, times=1), 0), mischief.arm(LOSS, 0)
    assert [mischief.strike(UP, 0, None, 0, b"").number for _ in range(2)] == [first, second]  # type: ignore[union-attr]
    assert mischief.fired == {first: 1, second: 1}


def test_how_often_a_fault_struck_is_told_after_its_end() -> None:
    mischief = Mischief(1)
    number, quiet = mischief.arm(LOSS, 0), mischief.arm(LOSS, 0)
    struck(mischief, 0, 3)
    armed = mischief.disarm(number)
    assert armed is not None
    assert mischief.disarm(number) is None
    mischief.disarm(quiet)
    assert mischief.fired == {number: 3, quiet: 3}
    assert not mischief.watches(UP)
    assert mischief.arm(LOSS, 0) > quiet


def test_a_condition_counts_once_a_home_and_holds_for_every_question() -> None:
    """A look counts for nothing; with a chance the first question decides for good."""
    mischief = Mischief(1)
    number = mischief.arm(replace(HanLost(device="gas"), seconds=10), 0)
    ask = (Point.HAN, 0, Party.GAS, 0)
    assert mischief.stands(*ask, counts=False)
    assert mischief.fired == {number: 0}
    assert [strike.fresh for _ in range(3) for strike in mischief.stands(*ask)] == [True, False, False]
    assert mischief.fired == {number: 1}
    assert not mischief.stands(Point.HAN, 0, Party.ELECTRICITY, 0)
    assert not mischief.stands(Point.HAN, 0, Party.GAS, 10 * SECOND)
    mischief.arm(replace(HanLost(device="ihd"), chance=0.5), 0)
    held = [bool(mischief.stands(Point.HAN, home, Party.IHD, 0)) for home in range(200)]
    assert held == [bool(mischief.stands(Point.HAN, home, Party.IHD, 99)) for home in range(200)]
    assert 60 < sum(held) < 140


def test_what_lasts_until_the_hub_attaches_ends_then_and_there() -> None:
    mischief = Mischief(1)
    mischief.arm(LOSS, 0)
    told: list[tuple[int, int]] = []
    mischief.on_attach = lambda home, now: told.append((home, now))
    armed = mischief.armed[0]
    for home in (1, 2):
        armed.recall(home).update({UNTIL_ATTACHED: True, "other": 1})
    mischief.attached(1, 5)
    assert armed.remembers(1) == {"other": 1}
    assert armed.remembers(2) == {UNTIL_ATTACHED: True, "other": 1}
    assert armed.remembers(3) is None
    assert told == [(1, 5)]


def test_a_look_at_what_is_in_force_counts_for_nothing() -> None:
    mischief = Mischief(1)
    number = mischief.arm(replace(LOSS, installation=2, seconds=1), 0)
    assert mischief.in_force(GprsLoss, 2, None, 0) is not None
    assert mischief.in_force(GprsLoss, 3, None, 0) is None
    assert mischief.in_force(GprsLoss, 2, None, SECOND) is None
    assert mischief.in_force(HanLost, 2, None, 0) is None
    assert mischief.fired == {number: 0}


@pytest.mark.parametrize("point", list(Point))
def test_without_a_fault_nobody_is_struck(point: Point) -> None:
    mischief = Mischief(1)
    assert mischief.strikes(point, 0, None, 0) == mischief.stands(point, 0, None, 0) == []
    assert mischief.strike(point, 0, None, 0) is None
    assert not mischief.watches(point)
    assert not mischief.concerns(0)
