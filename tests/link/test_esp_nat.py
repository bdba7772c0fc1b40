"""A NAT: addresses and ports out and back, forgetting, rebinding, filtering, checksums, what it drops."""

from typing import Any

import pytest

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.errors import InputError
from emulator.kernel.time import DAY, HOUR, SECOND
from emulator.link.chain import Chain, Delivered
from emulator.link.ike.settings import Timers
from emulator.link.impairments.translated import Translated
from emulator.link.nat import Nat, NatSettings
from emulator.link.profile import Direction, LinkProfile

INSIDE, OTHER, OUTSIDE, ELSEWHERE, PUBLIC = 0x0A000001, 0x0A000002, 0xC6130000, 0xC6130001, 0xC0000201


def packet(source, source_port, destination, destination_port, data=b"data", *, checksum=True, ttl=64, flags=2):
    total = udp.checksum(source, destination, source_port, destination_port, data) if checksum else 0
    return IPV4_FRAME.build(
        IPv4(
            source, destination, 17, 3, ttl, UDP_FRAME.build(UDP(source_port, destination_port, total, data)),
            flags=flags,
        )
    )  # fmt: skip


def ends(made: bytes | None) -> tuple[int, int, int, int] | None:
    """(source, port, destination, port), with both checksums looked at."""
    if made is None:
        return None
    outer = IPV4_FRAME.parse(made)
    inner = UDP_FRAME.parse(outer.payload)
    wanted = udp.checksum(outer.source, outer.destination, inner.source_port, inner.destination_port, inner.payload)
    assert inner.checksum in (0, wanted)
    assert outer.ttl == 63
    return outer.source, inner.source_port, outer.destination, inner.destination_port


def test_out_and_back() -> None:
    """One mapping for an inside end, whatever it speaks to; answers find their way; each end has a port of its own."""
    nat = Nat(1, 0, PUBLIC)
    out = ends(nat.outward(packet(INSIDE, 4500, OUTSIDE, 4500), 0))
    assert out is not None
    port = out[1]
    assert out == (PUBLIC, port, OUTSIDE, 4500)
    assert nat.mapped(INSIDE, 4500) == (PUBLIC, port)
    assert ends(nat.outward(packet(INSIDE, 4500, ELSEWHERE, 500), 0)) == (PUBLIC, port, ELSEWHERE, 500)
    back = packet(OUTSIDE, 4500, PUBLIC, port, b"answer")
    assert ends(nat.inward(back, 1)) == (OUTSIDE, 4500, INSIDE, 4500)
    other = ends(nat.outward(packet(OTHER, 4500, OUTSIDE, 4500), 0))
    assert other is not None
    assert other[1] != port
    assert nat.inward(packet(OUTSIDE, 4500, ELSEWHERE, port), 1) is None


def test_a_checksum_of_none_stays_none() -> None:
    made = Nat(1, 0, PUBLIC).outward(packet(INSIDE, 4500, OUTSIDE, 4500, checksum=False), 0)
    assert made is not None
    assert made[26:28] == b"\0\0"
    made = Nat(1, 0, PUBLIC).outward(packet(INSIDE, 4500, OUTSIDE, 4500), 0)
    assert ends(made) is not None
    assert made is not None
    assert made[26:28] != b"\0\0"


def test_a_resting_mapping_is_forgotten() -> None:
    """To the microsecond; what leaves refreshes it, what comes does not; afterwards there is another port."""
    nat = Nat(1, 0, PUBLIC, NatSettings(mapping_us=30 * SECOND))
    first = ends(nat.outward(packet(INSIDE, 4500, OUTSIDE, 4500), 0))
    nat.outward(packet(INSIDE, 4500, OUTSIDE, 4500, b"\xff"), 20 * SECOND)
    assert first is not None
    back = packet(OUTSIDE, 4500, PUBLIC, first[1])
    assert nat.inward(back, 49 * SECOND) is not None
    assert nat.inward(back, 50 * SECOND) is not None
    assert nat.inward(back, 50 * SECOND + 1) is None
    second = ends(nat.outward(packet(INSIDE, 4500, OUTSIDE, 4500), 51 * SECOND))
    assert second is not None
    assert second[1] != first[1]
    assert nat.inward(back, 51 * SECOND) is None


def test_rebinding_gives_another_port_and_address() -> None:
    """The old mapping lets nothing in any more; the same seed gives the same ports, another NAT others."""
    runs = []
    for number in (0, 0, 1):
        nat = Nat(7, number, PUBLIC)
        seen = []
        for turn in range(5):
            out = ends(nat.outward(packet(INSIDE, 4500, OUTSIDE, 4500), turn))
            assert out is not None
            seen.append(out[:2])
            nat.rebind(PUBLIC + turn + 1)
            assert nat.inward(packet(OUTSIDE, 4500, out[0], out[1]), turn) is None
            assert nat.mapped(INSIDE, 4500) is None
        assert len(set(seen)) == 5
        assert [address for address, _ in seen] == [PUBLIC + turn for turn in range(5)]
        runs.append(seen)
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(
    ("filtering", "let_in"),
    [("any", (True, True, True)), ("address", (True, True, False)), ("address-and-port", (True, False, False))],
)
def test_filtering(filtering, let_in) -> None:
    """Who may answer: the very end spoken to, another port of it, another host."""
    nat = Nat(1, 0, PUBLIC, NatSettings(filtering=filtering))
    out = ends(nat.outward(packet(INSIDE, 4500, OUTSIDE, 4500), 0))
    assert out is not None
    for (address, port), wanted in zip(((OUTSIDE, 4500), (OUTSIDE, 9), (ELSEWHERE, 4500)), let_in, strict=True):
        assert (nat.inward(packet(address, port, PUBLIC, out[1]), 1) is not None) is wanted


def test_ports_are_kept_if_asked_and_may_run_out() -> None:
    nat = Nat(1, 0, PUBLIC, NatSettings(keep_port=True, ports=(5000, 5001), mapping_us=SECOND))
    given = [ends(nat.outward(packet(INSIDE + n, 4500, OUTSIDE, 4500), 0)) for n in range(4)]
    assert [one and one[1] for one in given[:1]] == [4500]
    assert {one and one[1] for one in given[1:3]} == {5000, 5001}
    assert given[3] is None
    assert nat.outward(packet(INSIDE + 3, 4500, OUTSIDE, 4500), 2 * SECOND) is not None


def test_bare_esp() -> None:
    """Dropped; or passed, both ways, for one inside host and one outside at a time."""
    esp = IPV4_FRAME.build(IPv4(INSIDE, OUTSIDE, 50, 0, 64, b"\0\0\1\0" + bytes(40)))
    other = IPV4_FRAME.build(IPv4(OTHER, OUTSIDE, 50, 0, 64, b"\0\0\1\1" + bytes(40)))
    back = IPV4_FRAME.build(IPv4(OUTSIDE, PUBLIC, 50, 0, 64, b"\0\0\2\0" + bytes(40)))
    assert Nat(1, 0, PUBLIC).outward(esp, 0) is None
    assert Nat(1, 0, PUBLIC).inward(back, 0) is None
    nat = Nat(1, 0, PUBLIC, NatSettings(esp=True))
    assert nat.inward(back, 0) is None
    passed = nat.outward(esp, 0)
    assert passed is not None
    assert IPV4_FRAME.parse(passed).source == PUBLIC
    assert nat.outward(other, 1) is None
    inside = nat.inward(back, 2)
    assert inside is not None
    assert IPV4_FRAME.parse(inside).destination == INSIDE
    assert nat.outward(other, 121 * SECOND) is not None


def test_what_no_nat_passes() -> None:
    """Noise, fragments, other protocols, a TTL used up."""
    nat = Nat(1, 0, PUBLIC, NatSettings(esp=True))
    tcp = IPV4_FRAME.build(IPv4(INSIDE, OUTSIDE, 6, 0, 64, bytes(20)))
    for bad in (
        b"", b"noise" * 9, tcp, packet(INSIDE, 1, OUTSIDE, 2, ttl=1), packet(INSIDE, 1, OUTSIDE, 2, flags=1),
        packet(INSIDE, 1, OUTSIDE, 2)[:-1],
    ):  # fmt: skip
        assert nat.outward(bad, 0) is None
        assert nat.inward(bad, 0) is None


@pytest.mark.parametrize("wrong", [{"mapping_us": 0}, {"ports": (0, 5)}, {"ports": (9, 5)}, {"ports": (1, 65_536)}])
def test_settings_that_are_none(wrong) -> None:
    with pytest.raises(InputError, match="NAT"):
        NatSettings(**wrong)


class Between:
    """A NAT on a chain's way, with the operator's gateway behind it."""

    def __init__(self, nat: Nat) -> None:
        self._ways = tuple(Translated(nat, outward=outward, rebind_s=0) for outward in (False, True))

    def core(
        self, direction: Direction, installation: int, packet: bytes, now: int, usual: int
    ) -> tuple[list[tuple[int, bytes]], list[bytes]]:
        return [(usual + more, each) for more, each in self._ways[direction].carry(packet, now, 0)], []


@pytest.mark.parametrize(
    ("settings", "reaches"),
    [({}, True), ({"ike": Timers(keepalive=0, dpd_delay=0)}, False), ({"keying": "static"}, False)],
    ids=["talking", "silent", "static"],
)
def test_a_mapping_lasts_as_long_as_the_gateways_talk(settings: dict[str, Any], reaches: bool) -> None:
    """The data centre follows the first authentic packet to the NAT; an hour later, with nothing carried meanwhile, its
    own packet finds the way in when keepalives or dead-peer detection held the mapping open, and else does not."""
    profile = LinkProfile(outages_per_day=0.0, encap=True, **settings)
    chain = Chain("ipsec", 0, 1, profile)
    public = 0xC613FF01
    nat = Nat(1, 0, public, NatSettings(30 * SECOND, kept_us=profile.kept_us))
    chain.impaired = Between(nat)
    now = 18_300 * DAY
    assert chain.offer_down(3, 4059, 4059, b"ask", now, 0) == [], "nobody is known at the NAT yet"
    ((delay, packet),) = chain.offer_up(3, profile.head_end, 4059, 4059, b"here I am", now, 1)
    assert isinstance(chain.deliver_up(packet, now + delay), Delivered)
    for number, silence in enumerate((SECOND, HOUR), start=2):
        now += silence
        offered = chain.offer_down(3, 4059, 4059, b"ask", now, number)
        assert bool(offered) is (reaches or silence == SECOND)
        for delay, packet in offered:
            assert isinstance(chain.deliver_down(packet, now + delay), Delivered)
