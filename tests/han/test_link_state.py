"""The HAN link: order, loss, quality, sleep."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.han.join import JoinState
from emulator.han.link_state import FOREVER, HanLink, HanProfile
from emulator.han.sleepy import Sleepy
from emulator.kernel.machine import Party
from emulator.kernel.time import HOUR, SECOND

NOON = 1_580_000_000 * SECOND


def test_latency_is_keyed_and_within_the_profile() -> None:
    """The same question has the same answer; other numbers and installations have others; all within bounds."""
    profile = HanProfile()
    one = [HanLink(7, 5, Party.ELECTRICITY).down(NOON, n) for n in range(200)]
    assert one == [HanLink(7, 5, Party.ELECTRICITY).down(NOON, n) for n in range(200)]
    assert one != [HanLink(7, 6, Party.ELECTRICITY).down(NOON, n) for n in range(200)]
    delays = [delay for (delay,) in one]
    assert profile.latency_us_min <= min(delays) < max(delays) <= profile.latency_us_max


@given(st.lists(st.integers(0, 400_000), min_size=2, max_size=60), st.integers(0, 2**32))
def test_no_frame_overtakes_another(gaps: list[int], seed: int) -> None:
    """Frames come out in the order they went in, each way, also behind a sleepy device's poll."""
    for sleepy in (None, Sleepy.keyed(seed, 3, Party.GAS, 30, 5)):
        link = HanLink(seed, 3, Party.GAS, sleepy=sleepy)
        now = NOON
        down, up = [], []
        for number, gap in enumerate(gaps):
            now += gap
            down += [now + delay for delay in link.down(now, number)]
            up += [now + delay for delay in link.up(now, number)]
        assert len(down) == len(gaps)
        assert all(a < b for a, b in pairwise(down))
        assert all(a < b for a, b in pairwise(up))


def test_loss_by_plan_has_a_beginning_an_end_and_an_error() -> None:
    """Within its window a link is lost, carries nothing either way and names GT01; before and after it is joined."""
    link = HanLink(1, 2, Party.GAS, lost=[(NOON, NOON + HOUR)])
    assert (link.state(NOON - 1), link.error(NOON - 1)) == (JoinState.JOINED, None)
    assert (link.state(NOON), link.error(NOON), link.lqi(NOON)) == (JoinState.LOST, "GT01", 0)
    assert link.down(NOON, 1) == []
    assert link.up(NOON, 1) == []
    assert (link.state(NOON + HOUR), link.error(NOON + HOUR)) == (JoinState.JOINED, None)
    assert link.down(NOON + HOUR, 2)


def test_a_link_lost_for_ever_stays_lost() -> None:
    """A window without an end is a gas leg nobody repairs."""
    link = HanLink(1, 2, Party.GAS, lost=[(0, FOREVER)])
    assert link.state(NOON * 10) is JoinState.LOST


def test_lose_and_rejoin() -> None:
    """A device that drops out carries nothing until it is back."""
    link = HanLink(1, 2, Party.ELECTRICITY)
    link.lose()
    assert link.down(NOON, 0) == link.up(NOON, 0) == []
    link.rejoin()
    assert link.down(NOON, 1)
    assert link.up(NOON, 1)


def test_quality_wanders_by_the_hour_around_a_level_of_its_own() -> None:
    """LQI is a function of place and hour: equal within the hour, within its band over a month, not constant."""
    profile = HanProfile()
    link = HanLink(9, 4, Party.GAS, profile)
    assert link.lqi(NOON) == link.lqi(NOON // HOUR * HOUR)
    month = [link.lqi(NOON + hour * HOUR) for hour in range(720)]
    assert max(month) - min(month) == 2 * profile.lqi_wander
    assert len({HanLink(9, home, Party.GAS).lqi(NOON) for home in range(200)}) > 50


def test_a_poor_link_loses_in_proportion() -> None:
    """At a third of the poor level two frames in three are lost (3 sigma of 3,000); on a good link none is."""
    profile = HanProfile(lqi_wander=0)
    poor = HanLink(5, 1, Party.GAS, profile, lqi=20)
    lost = sum(not poor.down(NOON, n) for n in range(3000))
    assert abs(lost - 2000) < 3 * (3000 * 2 / 9) ** 0.5
    good = HanLink(5, 1, Party.GAS, profile, lqi=60)
    assert all(good.down(NOON, n) for n in range(3000))


def test_plain_loss_is_a_setting() -> None:
    """A profile may lose frames on a good link too, each way by its own luck."""
    link = HanLink(5, 1, Party.ELECTRICITY, HanProfile(loss=0.25))
    down = [not link.down(NOON, n) for n in range(4000)]
    up = [not link.up(NOON, n) for n in range(4000)]
    for lost in (down, up):
        assert abs(sum(lost) - 1000) < 3 * (4000 * 3 / 16) ** 0.5
    assert down != up


def test_a_frame_for_a_sleeping_device_waits_for_its_poll() -> None:
    """Handed over right after a poll, it is heard one poll later; the device is then awake for a while."""
    rhythm = Sleepy(poll_us=30 * SECOND, awake_us=5 * SECOND, phase_us=0)
    link = HanLink(1, 2, Party.GAS, sleepy=rhythm)
    poll = rhythm.next_poll(NOON)
    after = poll + 1
    assert link.state(after) is JoinState.ASLEEP
    (delay,) = link.down(after, 0)
    heard = after + delay
    radio = heard - (poll + 30 * SECOND)
    assert HanProfile().latency_us_min <= radio <= HanProfile().latency_us_max
    assert link.state(heard + 5 * SECOND) is JoinState.JOINED
    (next_delay,) = link.down(heard + 4 * SECOND, 1)
    assert next_delay <= HanProfile().latency_us_max
    assert link.state(heard + 4 * SECOND + next_delay + 5 * SECOND + 1) is JoinState.ASLEEP


def test_a_device_that_speaks_is_awake() -> None:
    """What it sends goes out at once, and for a while it listens."""
    rhythm = Sleepy(poll_us=1800 * SECOND, awake_us=5 * SECOND, phase_us=17)
    link = HanLink(1, 2, Party.GAS, sleepy=rhythm)
    (delay,) = link.up(NOON, 0)
    assert delay <= HanProfile().latency_us_max
    assert link.state(NOON + 5 * SECOND) is JoinState.JOINED
    assert link.down(NOON + 5 * SECOND, 1)[0] <= HanProfile().latency_us_max


def test_a_device_lost_before_its_poll_never_hears() -> None:
    """A frame that waits for a poll is lost with the link."""
    rhythm = Sleepy(poll_us=1800 * SECOND, awake_us=SECOND, phase_us=0)
    poll = rhythm.next_poll(NOON)
    link = HanLink(1, 2, Party.GAS, sleepy=rhythm, lost=[(poll - 1, FOREVER)])
    assert link.down(poll - 60 * SECOND, 0) == []


@given(st.integers(1, 3600), st.integers(0, 2**40), st.integers(0, 2**32))
def test_polls_are_evenly_spaced(poll_s: int, now: int, seed: int) -> None:
    """The next poll is not in the past, less than one period off, and the one after follows by one period."""
    rhythm = Sleepy.keyed(seed, 1, Party.GAS, poll_s, 1)
    poll = rhythm.next_poll(now)
    assert now <= poll < now + rhythm.poll_us
    assert rhythm.next_poll(poll) == poll
    assert rhythm.next_poll(poll + 1) == poll + rhythm.poll_us


def test_phases_spread_over_the_period() -> None:
    """Neighbours do not poll together: 1,000 phases fill every tenth of the period."""
    phases = [Sleepy.keyed(3, home, Party.GAS, 30, 1).phase_us for home in range(1000)]
    assert {phase * 10 // (30 * SECOND) for phase in phases} == set(range(10))


@pytest.mark.parametrize("party", [Party.GAS, Party.ELECTRICITY, Party.IHD])
def test_every_kind_of_device_has_an_error_of_its_own(party: Party) -> None:
    """The error of a lost link tells which leg it was."""
    link = HanLink(1, 1, party)
    assert link.error(NOON) is None
    link.lose()
    assert link.error(NOON) is not None
