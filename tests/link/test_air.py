"""The cellular leg."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND
from emulator.link.air import COVERED, UNCOVERED, Air, AirProfile, Coverage

NOON = 18_300 * DAY + DAY // 2
LOSSLESS = AirProfile(loss=0.0, sms_loss=0.0)


def test_latency_is_keyed_and_within_the_profile() -> None:
    """The same question has the same answer; directions and homes have their own; all within the bounds."""
    profile = AirProfile(loss=0.0)
    down = [Air(3, profile).down(5, NOON, n) for n in range(500)]
    up = [Air(3, profile).up(5, NOON, n) for n in range(500)]
    neighbour = [Air(3, profile).down(6, NOON, n) for n in range(500)]
    assert down == [Air(3, profile).down(5, NOON, n) for n in range(500)]
    assert down != up
    assert down != neighbour
    delays = [delay for (delay,) in down]
    assert profile.latency_us_min <= min(delays) < profile.latency_us_min + 10_000
    assert profile.latency_us_max - 10_000 < max(delays) <= profile.latency_us_max


@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400_000)), min_size=2, max_size=100),
)
def test_no_packet_overtakes_another(seed: int, offers: list[tuple[int, int]]) -> None:
    """Per home and direction what goes in first comes out first, also while the memory is being swept."""
    air = Air(seed, LOSSLESS)
    air._down._limit = 2
    now = NOON
    arrivals: dict[int, list[int]] = {}
    for number, (home, gap) in enumerate(offers):
        now += gap
        (delay,) = air.down(home, now, number)
        arrivals.setdefault(home, []).append(now + delay)
    for row in arrivals.values():
        assert all(a < b for a, b in pairwise(row))


def test_memory_is_the_size_of_the_traffic() -> None:
    """After 20,000 homes were called once each, only those whose packet is still in the air are remembered."""
    air = Air(1, LOSSLESS)
    for home in range(20_000):
        air.down(home, NOON + home * 10_000, home)
    assert len(air._down) <= 1024


def test_loss_is_the_setting() -> None:
    """A loss of 5 % loses 5 % of 20,000 packets (3 sigma), each way by its own luck."""
    air = Air(4, AirProfile(loss=0.05))
    down = [not air.down(1, NOON + n * SECOND, n) for n in range(20_000)]
    up = [not air.up(1, NOON + n * SECOND, n) for n in range(20_000)]
    for lost in (down, up):
        assert abs(sum(lost) - 1000) < 3 * 950**0.5
    assert down != up
    assert air.lost == sum(down) + sum(up)


def test_out_of_coverage_nothing_passes_but_a_short_message_waits() -> None:
    """Packets in the air in a gap are lost; a message sent in the gap is delivered once the hub is back."""
    gap = Coverage(gaps=((NOON, NOON + HOUR),))
    air = Air(1, LOSSLESS)
    number = iter(range(100))
    assert air.down(1, NOON - SECOND, next(number), gap)
    assert air.down(1, NOON - 1, next(number), gap) == []
    assert air.up(1, NOON + MINUTE, next(number), gap) == []
    assert air.up(1, NOON + HOUR - 1, next(number), gap) == []
    assert air.up(1, NOON + HOUR, next(number), gap)
    assert air.sms(1, NOON + MINUTE, next(number), gap) == [HOUR - MINUTE]


def test_a_message_outlives_a_gap_only_as_long_as_it_is_valid() -> None:
    """Back after the validity is too late; a message to a home that is never reached is lost."""
    profile = AirProfile(sms_loss=0.0, sms_validity_us=HOUR)
    for hours, arrives in ((1, True), (2, False)):
        gap = Coverage(gaps=((NOON, NOON + hours * HOUR),))
        assert bool(Air(1, profile).sms(1, NOON, 0, gap)) == arrives
    assert Air(1, profile).sms(1, NOON, 0, UNCOVERED) == []


def test_without_coverage_nothing_ever_arrives() -> None:
    """A home the network never reaches hears and says nothing."""
    air = Air(1, LOSSLESS)
    assert air.down(1, NOON, 0, UNCOVERED) == air.up(1, NOON, 1, UNCOVERED) == air.sms(1, NOON, 2, UNCOVERED) == []
    assert air.lost == 3


def test_messages_take_seconds_and_get_lost() -> None:
    """2 to 30 seconds, in order, one in fifty lost (3 sigma of 10,000)."""
    profile = AirProfile()
    air = Air(6, profile)
    answers = [air.sms(1, NOON + n * MINUTE, n) for n in range(10_000)]
    lost = sum(not answer for answer in answers)
    assert abs(lost - 200) < 3 * 196**0.5
    delays = [answer[0] for answer in answers if answer]
    assert profile.sms_delay_us_min <= min(delays)
    assert max(delays) <= profile.sms_delay_us_max


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 200)), max_size=6), st.integers(0, 1200))
def test_back_at_is_the_first_covered_instant(gaps: list[tuple[int, int]], now: int) -> None:
    """Over gaps that touch or overlap: the instant found is covered, and none between now and it is."""
    coverage = Coverage(gaps=tuple((start, start + length) for start, length in gaps))
    back = coverage.back_at(now)
    assert back is not None
    assert coverage.reaches(back, back)
    assert not any(coverage.reaches(at, at) for at in range(now, back))
    assert COVERED.back_at(now) == now
