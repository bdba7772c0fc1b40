"""The tunnel's keys over time: negotiated, renewed when they are needed, the same however late they are asked for."""

from dataclasses import replace

import pytest

from emulator.codecs import codec
from emulator.kernel.time import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from emulator.link.chain import Chain, Delivered, Refusal
from emulator.link.ike.effects import ChildDown, ChildUp
from emulator.link.ike.settings import Timers
from emulator.link.profile import LinkProfile, Outage, PeerDeath
from emulator.link.tunnel_control import TunnelControl

NOON = 18_300 * DAY + 12 * HOUR
QUIET = LinkProfile(outages_per_day=0.0)


def spi_of(packet: bytes) -> int:
    """Of an ESP packet in IPv4."""
    return int.from_bytes(packet[20:24], "big")


def carry(chain: Chain, now: int, number: int = 0) -> tuple[int, int]:
    """A packet down and one up at an instant: their SPIs. They arrive."""
    spis = []
    for deliver, offered in (
        (chain.deliver_down, chain.offer_down(3, 4059, 4059, b"down", now, number)),
        (chain.deliver_up, chain.offer_up(3, 0x0A000001, 4059, 4059, b"up", now, number)),
    ):
        ((delay, packet),) = offered
        assert isinstance(deliver(packet, now + delay), Delivered)
        spis.append(spi_of(packet))
    return spis[0], spis[1]


def test_keys_are_renewed_every_hour_less_a_keyed_part() -> None:
    """A packet a minute for six hours: seven generations, each used for 54 to 66 minutes."""
    chain = Chain("ipsec", 0, 1, QUIET)
    seen: dict[tuple[int, int], int] = {}
    for minute in range(6 * 60):
        spis = carry(chain, NOON + minute * MINUTE, minute)
        seen[spis] = seen.get(spis, 0) + 1
    assert 6 <= len(seen) <= 7
    assert all(54 <= minutes <= 66 for minutes in list(seen.values())[1:-1])
    assert len({spi for pair in seen for spi in pair}) == 2 * len(seen)


def test_a_renewal_switches_each_direction_when_its_exchange_has_come_there() -> None:
    """The data centre seals with the new keys after one exchange, the operator when the old ones are deleted."""
    control = TunnelControl(1, 0, QUIET)
    generation = control.generation(NOON)
    due = control.due(generation + 1)
    chain = Chain("ipsec", 0, 1, QUIET)
    trip = QUIET.propagation_us
    carry(chain, due - MINUTE)
    at = [due - 1, due + 2 * trip - 1, due + 2 * trip, due + 3 * trip - 1, due + 3 * trip]
    spis = [carry(chain, now, number) for number, now in enumerate(at)]
    down, up = zip(*spis, strict=True)
    assert [one == down[0] for one in down] == [True, True, False, False, False]
    assert [one == up[0] for one in up] == [True, True, True, True, False]


@pytest.mark.parametrize("rekey_ike", [0, 4 * HOUR, HOUR // 2])
def test_keys_do_not_depend_on_who_slept_when(rekey_ike: int) -> None:
    """A link used every minute and one that is asked again after half a day have the same keys, also over renewals of
    the IKE SA and a gateway's death."""
    profile = replace(QUIET, ike=Timers(rekey_ike=rekey_ike), peer_deaths=(PeerDeath(NOON + 5 * HOUR + 7 * MINUTE),))
    busy, idle = Chain("ipsec", 0, 1, profile), Chain("ipsec", 0, 1, profile)
    assert carry(busy, NOON) == carry(idle, NOON)
    last = 0
    for step in range(1, 4 * 13 + 1):
        last = NOON + step * 15 * MINUTE
        spis = carry(busy, last, step)
        if step == 20:
            carry(idle, last, step)  # what is heard before a death decides when it is noticed
    assert carry(idle, last, step) == spis


def test_an_old_packet_is_opened_until_the_next_renewal_and_then_not() -> None:
    """The generation before is kept for what is late; two before, it is an unknown association."""
    chain = Chain("ipsec", 0, 1, QUIET)
    carry(chain, NOON)
    packets = [chain.offer_down(3, 4059, 4059, b"late", NOON + SECOND, n)[0][1] for n in range(2)]
    carry(chain, NOON + HOUR, 1)
    assert isinstance(chain.deliver_down(packets[0], NOON + HOUR), Delivered)
    carry(chain, NOON + 2 * HOUR, 2)
    refusal = chain.deliver_down(packets[1], NOON + 2 * HOUR)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "association"


def test_a_renewal_that_falls_into_an_outage_waits_for_its_end() -> None:
    """Both gateways hold on to what they have, and renew when they can."""
    due = TunnelControl(1, 0, QUIET).due(TunnelControl(1, 0, QUIET).generation(NOON) + 1)
    chain = Chain("ipsec", 0, 1, replace(QUIET, outages=(Outage(due - SECOND),)))
    before = carry(chain, due - MINUTE)
    end = due + 5 * SECOND
    assert chain.offer_down(3, 4059, 4059, b"", due + SECOND, 1) == []
    assert carry(chain, end, 2) == before
    after = carry(chain, end + 4 * QUIET.propagation_us, 3)
    assert not set(before) & set(after)


def test_the_keys_are_those_that_the_exchange_would_make() -> None:
    """CREATE_CHILD_SA played out by both state machines, message by message, gives the same keys, SPIs and instants; so
    it does after the IKE SA itself was renewed."""
    for age in (0, 2 * HOUR):
        played, told = (TunnelControl(5, 2, replace(QUIET, ike=Timers(rekey_ike=age))) for _ in range(2))
        first = told.generation(NOON)
        for generation in range(first, first + 5):
            begin = told.due(generation)
            agreed = told.renew(generation, begin)
            played._renew_ike(begin)
            memory, down = played._quiet(begin, f"child {generation}")
            (old,) = memory.children["data-centre"]
            memory.said.clear()
            memory.do(down, down.rekey_child(old, begin))
            memory.run(begin + 4 * QUIET.propagation_us)
            assert played._specs() == agreed.specs
            said = [(at, name) for at, name, effect in memory.said if type(effect) in (ChildUp, ChildDown)]
            assert said[1] == (agreed.at[0], "data-centre")
            assert said[2] == (agreed.at[1], "operator")


def test_static_keys_are_never_renewed_and_no_gateway_speaks() -> None:
    """The setting of old."""
    chain = Chain("ipsec", 3, 1, replace(QUIET, keying="static"))
    assert carry(chain, NOON) == carry(chain, NOON + 10 * DAY, 1) == (0x5100_0006, 0x5100_0007)


def test_when_the_peer_was_last_heard_is_a_function_of_time() -> None:
    """A question after a second of silence and its answer: the machine itself says the same, played out."""
    control = TunnelControl(1, 0, QUIET)
    cycle = SECOND + 2 * QUIET.propagation_us
    for silence in (0, 1, cycle - 1, cycle, 5 * cycle + 17, 100 * cycle):
        heard = control.last_heard(NOON, NOON + silence)
        assert heard == NOON + silence // cycle * cycle
    assert control.last_heard(-1, NOON) <= NOON
    memory, _ = control._quiet(NOON, "test")
    memory.run(NOON + 100 * cycle)
    (sa,) = memory.peers[0].sas.values()
    assert sa.heard == NOON + 100 * cycle


def test_both_rungs_carry_the_same_bytes() -> None:
    """The definitions and their twins, over two renewals."""
    packets = []
    before = codec.current()
    for rung in ("fast", "construct"):
        codec.use(rung)
        chain = Chain("ipsec", 0, 1, QUIET)
        packets.append([chain.offer_down(3, 4059, 4059, b"x", NOON + n * 7 * MINUTE, n) for n in range(20)])
    codec.use(before)
    assert packets[0] == packets[1]


def test_the_timers_are_the_profiles() -> None:
    """Ten minutes, and never."""
    for age, least in ((10 * MINUTE, 6), (0, 1)):
        chain = Chain("ipsec", 0, 1, replace(QUIET, ike=Timers(rekey_child=age)))
        spis = {carry(chain, NOON + n * MINUTE, n) for n in range(60)}
        assert least <= len(spis) <= least + 1


def test_a_way_without_delay() -> None:
    """As a served estate has it: exchanges that take no time."""
    chain = Chain("ipsec", 0, 1, replace(QUIET, propagation_us=0, peer_deaths=(PeerDeath(NOON + 90 * MINUTE),)))
    spis = {carry(chain, NOON + n * 10 * MINUTE + MILLISECOND * 60_000, n) for n in range(30)}
    assert len(spis) >= 5
