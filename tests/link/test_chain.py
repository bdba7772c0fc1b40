"""The core link: everything here holds for every kind unless it says which."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from emulator.codecs import codec
from emulator.crypto.esp_sa import Sa, SaState
from emulator.errors import FrameError, InputError
from emulator.kernel.time import DAY, SECOND
from emulator.link.carrier import Gateways
from emulator.link.chain import Chain, Delivered, Refusal
from emulator.link.esp import Tunnel
from emulator.link.kinds import DEFAULT, KINDS
from emulator.link.profile import Direction, LinkProfile
from emulator.link.sad import pair
from emulator.link.stage import Leg

NOON = 18_300 * DAY + DAY // 2
HEAD_END = 0x0A000001
QUIET = LinkProfile(outages_per_day=0.0)
STATIC = replace(QUIET, keying="static")
FRAME = bytes.fromhex("0001000100010005") + b"hello"

every_kind = pytest.mark.parametrize("kind", list(KINDS))


def down(chain: Chain, frame: bytes = FRAME, installation: int = 5, now: int = NOON, number: int = 0) -> bytes:
    """A packet as the link carries it down."""
    ((_delay, packet),) = chain.offer_down(installation, 4059, 4059, frame, now, number)
    return packet


def up(chain: Chain, frame: bytes = FRAME, installation: int = 5, now: int = NOON, number: int = 0) -> bytes:
    """A packet as the link carries it up."""
    ((_delay, packet),) = chain.offer_up(installation, HEAD_END, 4059, 4059, frame, now, number)
    return packet


@given(
    kind=st.sampled_from(list(KINDS)),
    cell=st.integers(0, 4000),
    frames=st.lists(
        st.tuples(st.integers(0, 2**23 - 1), st.integers(0, 65_535), st.integers(0, 65_535), st.binary(max_size=600)),
        max_size=8,
    ),
)
def test_round_trip(kind: str, cell: int, frames: list[tuple[int, int, int, bytes]]) -> None:
    """What is offered is delivered: frame, ports, addresses and installation, each way, from any cell."""
    chain = Chain(kind, cell, 7, QUIET)
    for number, (home, source, destination, frame) in enumerate(frames):
        ((delay, packet),) = chain.offer_down(home, source, destination, frame, NOON, number)
        hub = 0x0A800000 + home
        assert chain.deliver_down(packet, NOON + delay) == Delivered(home, HEAD_END, source, destination, frame, hub)
        ((delay, packet),) = chain.offer_up(home, 0x0A000063, source, destination, frame, NOON, number)
        assert chain.deliver_up(packet, NOON + delay) == Delivered(home, hub, source, destination, frame, 0x0A000063)
    for way in chain.log.ways:
        assert (way.offered, way.delivered, way.lost, way.refused) == (len(frames), len(frames), 0, 0)


@every_kind
def test_the_largest_packet_fills_the_mtu_and_a_larger_one_is_lost(kind: str) -> None:
    """Every byte of the MTU can be used and none more; nothing is fragmented. IPsec leaves 1446 for the inside."""
    chain = Chain(kind, 0, 1, QUIET)
    inner = {"plain": 1500, "mpls": 1464, "mpls-l3vpn": 1464}.get(kind, 1446)  # with a standby: what fits both
    largest = bytes(inner - 28)
    packet = down(chain, largest)
    assert 1496 < len(packet) <= 1500 or (kind, len(packet)) == ("mpls-standby", 1482)
    assert chain.deliver_down(packet, NOON) == Delivered(5, HEAD_END, 4059, 4059, largest, 0x0A800005)
    assert chain.offer_down(5, 4059, 4059, largest + b"!", NOON, 1) == []
    assert chain.log.ways[0].lost_by == {"too big": 1}


def test_ipsec_is_the_default_and_unknown_kinds_are_named() -> None:
    """A wrong name says which there are."""
    assert DEFAULT == "ipsec"
    with pytest.raises(InputError, match="plain, ipsec, mpls"):
        Chain("carrier pigeon", 0, 1)


def test_an_esp_packet_opens_with_the_agreed_key_alone() -> None:
    """Taken apart by hand: outer IPv4, SPI, sequence 1, IV, and AES-GCM by an independent library gives the inner
    packet, padded 1, 2, 3 and marked as IPv4 (RFC 4303, RFC 4106)."""
    inner = down(Chain("plain", 9, 21, QUIET))
    packet = down(Chain("ipsec", 9, 21, QUIET))
    agreed, _ = pair(21, 9, QUIET)
    assert packet[9] == 50
    assert packet[12:20] == agreed.source.to_bytes(4, "big") + agreed.destination.to_bytes(4, "big")
    assert packet[20:28] == agreed.spi.to_bytes(4, "big") + b"\0\0\0\x01"
    text = AESGCM(agreed.key).decrypt(agreed.salt + packet[28:36], packet[36:], packet[20:28])
    assert text[: len(inner)] == inner
    pads = text[-2]
    assert text[len(inner) :] == bytes(range(1, pads + 1)) + bytes((pads, 4))


def test_an_mpls_packet_is_a_stack_of_two_in_udp() -> None:
    """Taken apart by hand: UDP to 6635 without checksum, two labels, S on the second alone, the inner packet's TTL."""
    inner = down(Chain("plain", 9, 21, QUIET))
    packet = down(Chain("mpls", 9, 21, QUIET))
    assert packet[9] == 17
    assert packet[22:24] == (6635).to_bytes(2, "big")
    assert packet[26:28] == b"\0\0"
    outer, bottom = (int.from_bytes(packet[at : at + 4], "big") for at in (28, 32))
    assert (outer >> 12, outer >> 8 & 1, outer & 0xFF) == (0x40000 + 18, 0, inner[8])
    assert (bottom >> 12, bottom >> 8 & 1, bottom & 0xFF) == (0x80000 + 18, 1, inner[8])
    assert packet[36:] == inner


@every_kind
def test_a_repeated_packet(kind: str) -> None:
    """ESP refuses it as a replay, each way, however late; the others have no memory and deliver it twice."""
    chain = Chain(kind, 0, 1, QUIET)
    for packet, deliver in ((down(chain), chain.deliver_down), (up(chain), chain.deliver_up)):
        first = deliver(packet, NOON)
        assert isinstance(first, Delivered)
        for later in (NOON, NOON + DAY):
            again = deliver(packet, later)
            if kind.startswith("ipsec"):
                assert isinstance(again, Refusal)
                assert again.reason == "replay"
            else:
                assert again == first


@every_kind
def test_reordering_within_the_window_is_accepted(kind: str) -> None:
    """64 packets delivered backwards all pass."""
    chain = Chain(kind, 0, 1, QUIET)
    packets = [down(chain, bytes([number])) for number in range(64)]
    frames = [chain.deliver_down(packet, NOON).frame for packet in reversed(packets)]  # type: ignore[union-attr]
    assert frames == [bytes([number]) for number in reversed(range(64))]


def test_a_packet_older_than_the_window_is_refused() -> None:
    """Top less 63 is inside the window, top less 64 is not (ipsec)."""
    chain = Chain("ipsec", 0, 1, QUIET)
    packets = [down(chain) for _ in range(65)]
    assert isinstance(chain.deliver_down(packets[64], NOON), Delivered)
    outside = chain.deliver_down(packets[0], NOON)
    assert isinstance(outside, Refusal)
    assert outside.reason == "replay"
    assert isinstance(chain.deliver_down(packets[1], NOON), Delivered)


@every_kind
def test_a_cut_packet_is_refused_wherever_it_is_cut(kind: str) -> None:
    """At every length, each way; and the whole packet is accepted afterwards."""
    chain = Chain(kind, 0, 1, QUIET)
    for packet, deliver in ((down(chain), chain.deliver_down), (up(chain), chain.deliver_up)):
        for length in range(len(packet)):
            assert isinstance(deliver(packet[:length], NOON), Refusal), length
        assert isinstance(deliver(packet + b"\0", NOON), Refusal)
        assert isinstance(deliver(packet, NOON), Delivered)


@every_kind
def test_a_bent_packet_is_refused_or_says_the_same(kind: str) -> None:
    """Each bit of each byte flipped: a frame is never delivered changed or to another home. What may pass are fields
    that a network is free to change (MPLS TTL, traffic class, outer source port). Under ESP nothing from the SPI on
    passes, and nothing forged moves the window: the whole packet is accepted afterwards."""
    chain = Chain(kind, 3, 1, QUIET)
    whole = down(chain)
    said = Delivered(5, HEAD_END, 4059, 4059, FRAME, 0x0A800005)
    passed = set()
    for bit in range(8 * len(whole)):
        bent = bytearray(whole)
        bent[bit // 8] ^= 1 << bit % 8
        result = chain.deliver_down(bytes(bent), NOON)
        if isinstance(result, Delivered):
            passed.add(bit // 8)
            assert result == said, bit
    assert passed == ({20, 21, 30, 31, 34, 35} if kind.startswith("mpls") else set())
    assert chain.deliver_down(whole, NOON) == said


@every_kind
@given(noise=st.binary(max_size=200))
def test_noise_is_refused(kind: str, noise: bytes) -> None:
    """No bytes make a gateway fail; random ones make it refuse."""
    chain = Chain(kind, 0, 1, QUIET)
    assert isinstance(chain.deliver_down(noise, NOON), Refusal)
    assert isinstance(chain.deliver_up(noise, NOON), Refusal)
    assert chain.log.ways[0].refused == chain.log.ways[1].refused == 1


@pytest.mark.parametrize("kind", ["ipsec", "mpls"])
def test_a_packet_for_others_is_refused(kind: str) -> None:
    """A packet of another cell, or the other direction, is not for this gateway; of another seed, it is forged."""
    chain, other = Chain(kind, 3, 1, QUIET), Chain(kind, 4, 1, QUIET)
    for packet in (down(other), up(chain), b""):
        refusal = chain.deliver_down(packet, NOON)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == ("not-ours" if packet else "malformed")
    if kind == "ipsec":
        refusal = chain.deliver_down(down(Chain(kind, 3, 2, QUIET)), NOON)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "association"
        refusal = Chain(kind, 3, 1, STATIC).deliver_down(down(Chain(kind, 3, 2, STATIC)), NOON)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "integrity"


def test_an_unknown_association_is_refused_before_its_key_is_touched() -> None:
    """Another SPI in an otherwise whole packet."""
    chain = Chain("ipsec", 0, 1, QUIET)
    packet = bytearray(down(chain))
    packet[20:24] = (0x12345678).to_bytes(4, "big")
    refusal = chain.deliver_down(bytes(packet), NOON)
    assert refusal == Refusal("association", "no security association with SPI 0x12345678")


def test_only_ipv4_leaves_the_tunnel() -> None:
    """An authentic dummy packet (next header 59, RFC 4303 2.6) or another protocol carries no frame."""
    chain = Chain("ipsec", 0, 1, STATIC)
    agreed, _ = pair(1, 0, STATIC)
    stage = Tunnel(Leg(1, 0, Direction.DOWN, STATIC))
    sender = Sa(agreed.spi, agreed.key, agreed.salt)
    for next_header, detail in ((59, "a dummy packet"), (41, "next header 41 instead of IPv4")):
        sealed = sender.seal(bytes(40), next_header)
        packet = stage._envelope.header(len(sealed)) + sealed
        assert chain.deliver_down(packet, NOON) == Refusal("protocol", detail)


@every_kind
def test_only_hubs_are_at_the_far_end(kind: str) -> None:
    """A packet to, or from, an address outside the hubs' network is refused by the tunnel's selector."""
    chain = Chain(kind, 0, 1, QUIET)
    for home in (-1, 2**23):
        refusals = [chain.deliver_down(down(chain, FRAME, home), NOON), chain.deliver_up(up(chain, FRAME, home), NOON)]
        assert [type(refusal) is Refusal and refusal.reason for refusal in refusals] == ["selector", "selector"]


def test_labels_must_be_ours_and_alive() -> None:
    """A withdrawn label, a missing S bit and a TTL of 1 are refused (mpls)."""
    chain = Chain("mpls", 0, 1, QUIET)
    packet = down(chain)
    bent = {28: (b"\x40\x01\xf0\x3f", "label"), 32: (b"\x80\x00\x00\x3f", None), 31: (b"\x01", "ttl")}
    for at, (field, reason) in bent.items():
        refusal = chain.deliver_down(packet[:at] + field + packet[at + len(field) :], NOON)
        assert isinstance(refusal, Refusal)
        assert reason is None or refusal.reason == reason
    lower_ttl = packet[:31] + b"\x02" + packet[32:]
    assert isinstance(chain.deliver_down(lower_ttl, NOON), Delivered)


@every_kind
def test_another_outer_ttl_is_no_fault(kind: str) -> None:
    """Routers between the gateways take hops off the outer TTL and mend its checksum; the packet is still good."""
    if kind == "plain":
        return
    chain = Chain(kind, 0, 1, QUIET)
    packet = bytearray(down(chain))
    packet[8] -= 3
    checksum = int.from_bytes(packet[10:12], "big") + 0x300
    packet[10:12] = ((checksum & 0xFFFF) + (checksum >> 16)).to_bytes(2, "big")
    assert isinstance(chain.deliver_down(bytes(packet), NOON), Delivered)


@every_kind
def test_the_link_keeps_order_and_has_one_delay(kind: str) -> None:
    """Packets offered apart take the propagation time; offered at one instant they arrive one after the other."""
    chain = Chain(kind, 0, 1, QUIET)
    now, last = NOON, 0
    for number in range(300):
        now += 0 if number % 3 else 50
        ((delay, _packet),) = chain.offer_down(number % 7, 4059, 4059, b"", now, number)
        assert now + delay > last
        assert delay == QUIET.propagation_us + number % 3
        last = now + delay


def test_loss_is_the_setting() -> None:
    """A loss of 10 % loses 10 % of 5,000 (3 sigma), each way by its own luck, and the same packets in every run."""
    profile = replace(QUIET, loss=0.1)
    runs = []
    for _ in range(2):
        chain = Chain("plain", 0, 5, profile)
        lost_down = [not chain.offer_down(2, 1, 2, b"", NOON + n, n) for n in range(5000)]
        lost_up = [not chain.offer_up(2, HEAD_END, 1, 2, b"", NOON + n, n) for n in range(5000)]
        assert abs(sum(lost_down) - 500) < 3 * 450**0.5
        assert abs(sum(lost_up) - 500) < 3 * 450**0.5
        assert lost_down != lost_up
        assert chain.log.ways[0].lost_by == {"loss": sum(lost_down)}
        runs.append((lost_down, lost_up))
    assert runs[0] == runs[1]


def test_a_spent_association_sends_no_more() -> None:
    """After sequence number 2^32 - 1 the sender stops instead of beginning again (RFC 4303 3.3.3)."""
    chain = Chain("ipsec", 0, 1, STATIC)
    agreed, _ = pair(1, 0, STATIC)
    stage = Tunnel(Leg(1, 0, Direction.DOWN, STATIC))
    stage._outbound = Sa(agreed.spi, agreed.key, agreed.salt, state=SaState(2**32 - 1, 0, 0))
    spent = Gateways([stage], STATIC.ttl, codec.current() == "fast")
    chain._gateways = (spent, chain._gateways[1])
    chain._seals = (spent.seal, chain._seals[1])
    assert isinstance(chain.deliver_down(down(chain), NOON), Delivered)
    assert chain.offer_down(5, 4059, 4059, FRAME, NOON, 1) == []
    assert chain.log.ways[0].lost_by == {"exhausted": 1}


@pytest.mark.parametrize("profile", [QUIET, STATIC], ids=["negotiated", "static"])
def test_cells_and_seeds_share_no_keys(profile: LinkProfile) -> None:
    """Every association of 50 cells under two seeds has its own key and salt; SPIs part cells and directions."""
    all_of_them = [one for seed in (1, 2) for cell in range(50) for one in pair(seed, cell, profile)]
    assert len({one.key for one in all_of_them}) == 200
    assert len({one.salt for one in all_of_them}) == 200
    assert len({one.spi for one in all_of_them}) == (100 if profile is STATIC else 200)
    assert min(one.spi for one in all_of_them) > 255
    assert not any(one.key.hex() in repr(one) or repr(one.key) in repr(one) for one in all_of_them)


def converse(kind: str, seed: int = 1) -> Chain:
    """A short conversation with three homes: requests, answers, an alert, a replayed and a bent packet."""
    chain = Chain(kind, 2, seed, QUIET)
    now = NOON
    for number in range(300):
        home = number % 3
        now += SECOND
        packet = down(chain, FRAME + bytes([number & 0xFF]), home, now, number)
        chain.deliver_down(packet, now)
        answer = up(chain, b"answer" * (number % 5), home, now + 7, number)
        chain.deliver_up(answer, now + 9)
        if number % 10 == 0:
            chain.deliver_up(answer[:-1], now + 11)
            ((_, alert),) = chain.offer_up(home, HEAD_END, 4061, 4061, b"alert", now + 12, number)
            chain.deliver_up(alert, now + 13)
    return chain


@pytest.fixture
def construct_rung() -> Iterator[None]:
    """The definitions alone, for one test."""
    before = codec.current()
    codec.use("construct")
    yield
    codec.use(before)


@every_kind
def test_the_log_is_the_same_for_the_same_run(kind: str) -> None:
    """Same seed, same digest, also when it was read on the way; another byte or another instant, another digest."""
    digest = converse(kind).log.digest()
    assert digest == converse(kind).log.digest()
    if kind == "ipsec":
        assert digest != converse(kind, 2).log.digest()
    logs = []
    for frame, at in ((b"a", NOON), (b"a", NOON), (b"b", NOON), (b"a", NOON + 1)):
        chain = Chain(kind, 0, 1, QUIET)
        packet = down(chain, frame)
        chain.deliver_down(packet, at)
        if len(logs) == 1:
            chain.log.digest()
        chain.deliver_up(up(chain), at)
        logs.append(chain.log.digest())
    assert logs[0] == logs[1]
    assert len(set(logs)) == 3


@every_kind
def test_both_rungs_carry_the_same_bytes(kind: str, construct_rung: None) -> None:
    """On the definitions alone the same conversation has the same digest as on the fast rung."""
    slow = converse(kind).log.digest()
    codec.use("fast")
    assert converse(kind).log.digest() == slow


@every_kind
def test_exchanges_are_counted_by_the_link(kind: str) -> None:
    """One request and its answer are one exchange; alerts, refused packets and unanswered requests are none."""
    chain = converse(kind)
    assert chain.log.exchanges == 300
    assert chain.log.unanswered == 0
    assert chain.log.ways[1].delivered == 330
    assert chain.log.ways[1].refused == 30
    for _ in range(2):
        chain.deliver_down(down(chain, FRAME, 1), NOON)
    chain.deliver_up(up(chain, FRAME, 2), NOON)  # an answer nobody asked for
    assert (chain.log.exchanges, chain.log.unanswered) == (300, 2)
    chain.deliver_up(up(chain, FRAME, 1), NOON)
    chain.deliver_up(up(chain, FRAME, 1), NOON)
    chain.deliver_up(up(chain, FRAME, 1), NOON)
    assert (chain.log.exchanges, chain.log.unanswered) == (302, 0)


def test_a_caller_that_offers_nonsense_is_told() -> None:
    """A port that is none makes no packet."""
    with pytest.raises(FrameError):
        Chain("plain", 0, 1, QUIET).offer_down(1, 70_000, 1, b"", NOON, 0)
