"""When the core link is black."""

from hypothesis import example, given
from hypothesis import strategies as st

from emulator.kernel.time import DAY, HOUR, SECOND
from emulator.link.chain import Chain, Delivered
from emulator.link.kinds import KINDS
from emulator.link.outages import Outages
from emulator.link.profile import LinkProfile, Outage

NOON = 18_300 * DAY + DAY // 2
PROPAGATION = LinkProfile().propagation_us
ALONE = [kind.name for kind in KINDS.values() if kind.standby is None]
"""The kinds whose outages are the service's."""


def test_an_outage_lasts_six_seconds() -> None:
    """The published figure is the default, planned or drawn."""
    assert Outage(NOON).end - NOON == 6 * SECOND
    drawn = Outages(1, 0, (), 3.0, LinkProfile().outage_seconds).between(NOON, NOON + 30 * DAY)
    assert drawn
    assert {outage.seconds for outage in drawn} == {6}


def test_what_is_on_the_link_during_an_outage_is_lost_both_ways_and_nothing_else() -> None:
    """Offered inside, or in flight at the start: lost. Arrived by the start, or offered at the end: through."""
    start, end = NOON, NOON + 6 * SECOND
    for kind in ALONE:
        chain = Chain(kind, 0, 1, LinkProfile(outages=(Outage(NOON),), outages_per_day=0.0))
        cases = [
            (start - PROPAGATION - 1, True),
            (start - PROPAGATION, True),
            (start - PROPAGATION + 1, False),
            (start - 1, False),
            (start, False),
            (end - 1, False),
            (end, True),
        ]
        for number, (at, through) in enumerate(cases):
            assert bool(chain.offer_down(3, 4059, 4059, b"down", at, number)) == through, (kind, at)
            assert bool(chain.offer_up(3, 0x0A000001, 4059, 4059, b"up", at, number)) == through, (kind, at)
        assert chain.log.ways[0].lost_by == chain.log.ways[1].lost_by == {"outage": 4}


def test_a_tunnel_survives_an_outage() -> None:
    """Sequence numbers lost in an outage are a gap, not a fault: what comes after is accepted."""
    chain = Chain("ipsec", 0, 1, LinkProfile(outages=(Outage(NOON),), outages_per_day=0.0))
    for number in range(100):
        assert chain.offer_down(3, 4059, 4059, b"lost", NOON + number, number) == []
    ((delay, packet),) = chain.offer_down(3, 4059, 4059, b"back", NOON + 6 * SECOND, 100)
    delivered = chain.deliver_down(packet, NOON + 6 * SECOND + delay)
    assert isinstance(delivered, Delivered)
    assert packet[24:28] == (101).to_bytes(4, "big")


@example(0, [(0, 1)], [(-1, 0), (0, 0)])  # no time in flight, at the very start of a window
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(-DAY, 2 * DAY), st.integers(1, 90_000)), max_size=4),
    st.lists(st.tuples(st.integers(-DAY, 2 * DAY), st.integers(0, 10 * SECOND)), min_size=1, max_size=30),
)
def test_the_answer_is_a_function_of_time(
    seed: int, planned: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    """Asked in any order, with the remembered clear stretch in use, every answer equals one from the bare windows."""
    windows = tuple(Outage(NOON + start, seconds) for start, seconds in planned)
    outages = Outages(seed, 4, windows, 2.0, 6)
    bare = Outages(seed, 4, windows, 2.0, 6).between(NOON - 5 * DAY, NOON + 5 * DAY)
    for offset, flight in asked:
        offered, arrival = NOON + offset, NOON + offset + flight
        known_clear = outages.clear_from <= offered and arrival <= outages.clear_to
        answer = not known_clear and outages.strikes(offered, arrival)
        expected = any(offered <= o.start < arrival or o.start <= offered < o.end for o in bare)
        assert answer == expected


def test_the_rate_is_the_mean_and_cells_have_their_own_luck() -> None:
    """Over 1,000 days a rate of 1.5 gives 1,500 outages (3 sigma), spread over the day, not the same in every cell."""
    first = Outages(8, 0, (), 1.5, 6).between(0, 1000 * DAY)
    second = Outages(8, 1, (), 1.5, 6).between(0, 1000 * DAY)
    for drawn in (first, second):
        assert abs(len(drawn) - 1500) < 3 * 1500**0.5
        assert {outage.start % DAY * 24 // DAY for outage in drawn} == set(range(24))
    assert first != second
    assert first == Outages(8, 0, (), 1.5, 6).between(0, 1000 * DAY)


def test_by_default_ipsec_has_outages_and_mpls_has_none() -> None:
    """The fixed link is there to be rid of them: a packet an hour for twenty days, outages stretched to an hour."""
    for kind in ALONE:
        chain = Chain(kind, 0, 1, LinkProfile(outage_seconds=3600))
        for number in range(20 * 24):
            chain.offer_down(1, 4059, 4059, b"", NOON + number * HOUR, number)
        lost = chain.log.ways[0].lost
        assert lost == chain.log.ways[0].lost_by.get("outage", 0)
        assert (5 < lost < 50) if kind == "ipsec" else lost == 0, kind
