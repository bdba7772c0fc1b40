"""A frame's whole way in one call, against the stages: the same packets, values, refusals, state and record."""

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emulator.codecs import codec, ipv4, udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.value import field_names
from emulator.crypto.choice import backend, native_fault
from emulator.crypto.esp_sa import Sa, SaState
from emulator.errors import EmulatorError, FrameError
from emulator.kernel.time import DAY
from emulator.link.carrier import Gateways
from emulator.link.chain import Chain, Delivered, Refusal
from emulator.link.datagram import build_lean
from emulator.link.esp import Tunnel
from emulator.link.profile import Direction, LinkProfile
from emulator.link.sad import pair
from emulator.link.stage import Leg

NOON = 18_300 * DAY + DAY // 2
HEAD_END = 0x0A000001
HUB = 0x0A800005
QUIET = LinkProfile(outages_per_day=0.0, keying="static")
WIDE = LinkProfile(outages_per_day=0.0, keying="static", mtu=65_535)
SEED, CELL = 1, 3

in_bulk = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def fast_rung() -> Iterator[None]:
    """Only the fast rung of the compiled core has the call."""
    if backend() != "native":
        if os.environ.get("SMETS1_REQUIRE_NATIVE", "") not in ("", "0"):
            pytest.fail(str(native_fault()))
        pytest.skip("the compiled core is not in use")
    before = codec.current()
    codec.use("fast")
    yield
    codec.use(before)


def gateways(direction: Direction = Direction.DOWN, profile: LinkProfile = QUIET, cell: int = CELL) -> Gateways:
    """One direction's two ends."""
    both = Gateways([Tunnel(Leg(SEED, cell, direction, profile))], profile.ttl, True)
    assert both.seal is not both.seal_by_stages
    assert both.open is not both.open_by_stages
    return both


def by_stages(chain: Chain) -> Chain:
    """The same chain without its short way."""
    chain._seals = tuple(one.seal_by_stages for one in chain._gateways)
    chain._open_down, chain._open_up = (one.open_by_stages for one in chain._gateways)
    return chain


def sent(both: Gateways) -> SaState:
    (stage,) = both.stages
    state: SaState = stage._outbound.state()  # type: ignore[attr-defined]
    return state


def received(both: Gateways) -> SaState:
    (stage,) = both.stages
    state: SaState = stage._inbound.state()  # type: ignore[attr-defined]
    return state


def states(chain: Chain) -> list[SaState]:
    return [state(both) for both in chain._gateways for state in (sent, received)]


# Sealing

ADDRESS = st.integers(-1, 2**32) | st.sampled_from([HEAD_END, HUB, 0, 2**32 - 1])
SHORT = st.integers(-1, 2**16) | st.sampled_from([4059, 0, 2**16 - 1])
FRAMES = st.binary(max_size=300) | st.integers(1400, 66_000).map(bytes)


@in_bulk
@given(fields=st.lists(st.tuples(ADDRESS, ADDRESS, SHORT, SHORT, FRAMES, SHORT), min_size=1, max_size=6))
@example([(HEAD_END, HUB, 4059, 4059, bytes(size), 0) for size in range(65_446, 65_454)])
def test_sealed_packets_are_those_of_the_stages(fields: list[tuple[Any, ...]]) -> None:
    """Any fields: the same packet, byte for byte, or None where the stages decide; each packet has a number of its own,
    whichever way it went, and none is left out."""
    short, long = gateways(), gateways()
    for one in fields:
        before = sent(short)
        packet = short.seal(*one)
        if packet is None:
            assert sent(short) == before
            try:
                packet = short.seal_by_stages(*one)
            except EmulatorError:
                packet = None
        try:
            expected = long.seal_by_stages(*one)
        except EmulatorError:
            expected = None
        assert packet == expected
        assert sent(short) == sent(long)


def test_every_header_checksum_and_every_udp_checksum() -> None:
    """All 65,536 identifications and all 65,536 frames of two bytes: among them sums that come out as all ones and as
    nothing, which UDP writes as all ones (RFC 768)."""
    short, long = gateways(), gateways()
    seen = set()
    for number in range(65_536):
        fields = (HEAD_END, HUB, 4059, 4059, number.to_bytes(2, "big"), number)
        packet = short.seal(*fields)
        assert packet == long.seal_by_stages(*fields)
        assert packet is not None
        opened = short.open(packet)
        assert opened == fields[:5]
        seen.add(build_lean(*fields, 63)[26:28])
    assert b"\xff\xff" in seen
    assert b"\0\0" not in seen
    assert received(short).top == 65_536


def test_every_length() -> None:
    """Frames of 0 to 600 bytes and those around the largest packet: each padding, odd ends, buffers that must grow."""
    short, long = gateways(profile=WIDE), gateways(profile=WIDE)
    chance = random.Random(5)
    for number, length in enumerate([*range(601), 1418, 3900, 3968, 3969, 4096, 9000, *range(65_400, 65_451)]):
        fields = (HEAD_END, HUB, 4059, 40_000, chance.randbytes(length), number)
        packet = long.seal_by_stages(*fields)
        assert (short.seal(*fields) or short.seal_by_stages(*fields)) == packet
        assert (short.open(packet) or short.open_by_stages(packet)) == long.open_by_stages(packet) == fields[:5]
        assert received(short) == received(long)


def test_an_ordinary_packet_needs_no_stage() -> None:
    """The short way is taken, both ways, by everything a head end and a hub send each other."""
    for direction, source, destination in ((Direction.DOWN, HEAD_END, HUB), (Direction.UP, HUB, HEAD_END)):
        both = gateways(direction)
        for number in range(200):
            packet = both.seal(source, destination, 4059, 4059, bytes(number * 7), number)
            assert packet is not None
            assert both.open(packet) == (source, destination, 4059, 4059, bytes(number * 7))


# Opening

Result = tuple[Any, ...]


def outcome(both: Gateways, packet: bytes, *, shortcut: bool) -> Result:
    """What became of a packet, and where the window stands then."""
    try:
        value: Any = both.open(packet) if shortcut else None
        if value is None:
            value = both.open_by_stages(packet)
    except EmulatorError as error:
        value = (type(error), str(error))
    return value, received(both)


def agree(packets: list[bytes], profile: LinkProfile = QUIET) -> list[Result]:
    """Both ways say the same of these packets in this order, and end in the same state."""
    short, long = gateways(profile=profile), gateways(profile=profile)
    results = []
    for packet in packets:
        result = outcome(short, packet, shortcut=True)
        assert result == outcome(long, packet, shortcut=False), packet.hex()
        results.append(result)
    return results


def refused(result: Result) -> bool:
    return isinstance(result[0][0], type)


def test_every_bit_flipped() -> None:
    """A packet bent anywhere is refused alike, moves nothing, and passes when it comes whole."""
    whole = gateways().seal(HEAD_END, HUB, 4059, 4059, bytes(range(96)), 7)
    assert whole is not None
    packets = []
    for bit in range(8 * len(whole)):
        bent = bytearray(whole)
        bent[bit // 8] ^= 1 << bit % 8
        packets.append(bytes(bent))
    *results, last = agree([*packets, whole])
    assert all(refused(result) and result[1] == SaState(1, 0, 0) for result in results)
    assert last == ((HEAD_END, HUB, 4059, 4059, bytes(range(96))), SaState(1, 1, 1))


def test_cut_at_every_length_and_lengthened() -> None:
    """Not the whole packet, or more than it."""
    whole = gateways().seal(HEAD_END, HUB, 4059, 4059, b"frame", 7)
    assert whole is not None
    odd = [whole[:length] for length in range(len(whole))] + [whole + bytes(more) for more in range(1, 9)]
    assert all(refused(result) for result in agree([*odd, bytes(65_536), bytes(70_000)]))


def sealed(inner: bytes, sequence: int = 1, next_header: int = 4, cell: int = CELL) -> bytes:
    """An authentic packet around any bytes at all."""
    agreed, _ = pair(SEED, cell, QUIET)
    stage = Tunnel(Leg(SEED, cell, Direction.DOWN, QUIET))
    packet = Sa(agreed.spi, agreed.key, agreed.salt, state=SaState(sequence, 0, 0)).seal(inner, next_header)
    return stage._envelope.header(len(packet)) + packet


def rebuilt(packet: bytes, **changes: Any) -> bytes:
    """An inner packet with some fields changed and its header checksum right again."""
    value = IPV4_FRAME.parse(packet)
    fields = {name: getattr(value, name) for name in field_names(IPv4)}
    return IPV4_FRAME.build(IPv4(**(fields | changes)))


def summed(packet: bytes) -> bytes:
    """Any inner packet with both its checksums made right, whatever its length fields say."""
    head, datagram = packet[:10] + b"\0\0" + packet[12:20], packet[20:26] + b"\0\0" + packet[28:]
    head_sum = -int.from_bytes(head, "big") % 65_535
    words = int.from_bytes(datagram + bytes(len(datagram) % 2), "big")
    ends = int.from_bytes(head[12:16], "big") + int.from_bytes(head[16:20], "big")
    udp_sum = -(words + ends + 17 + len(datagram)) % 65_535 or 65_535
    outside = head[:10] + head_sum.to_bytes(2, "big") + head[12:]
    return outside + datagram[:6] + udp_sum.to_bytes(2, "big") + datagram[8:]


GOOD = build_lean(HEAD_END, HUB, 4059, 4059, b"a frame of 18 byte", 9, 63)
UNUSUAL = {
    "another ttl": rebuilt(GOOD, ttl=1),
    "a service class": rebuilt(GOOD, service=0xB8),
    "no DF": rebuilt(GOOD, flags=0),
    "the reserved flag": rebuilt(GOOD, flags=6),
    "more fragments": rebuilt(GOOD, flags=1),
    "a later fragment": rebuilt(GOOD, fragment_offset=1),
    "another protocol": rebuilt(GOOD, protocol=6),
    "options": b"\x46" + GOOD[1:],
    "version 6": b"\x65" + GOOD[1:],
    "a total length too long": GOOD[:2] + (len(GOOD) + 1).to_bytes(2, "big") + GOOD[4:],
    "bytes behind the packet": GOOD + b"\0\0",
    "a byte missing": GOOD[:-1],
    "a wrong header checksum": GOOD[:10] + b"\0\0" + GOOD[12:],
    "no UDP checksum": rebuilt(GOOD, payload=GOOD[20:26] + b"\0\0" + GOOD[28:]),
    "a wrong UDP checksum": rebuilt(GOOD, payload=GOOD[20:26] + b"\x12\x34" + GOOD[28:]),
    "a UDP length too long": rebuilt(GOOD, payload=GOOD[20:24] + b"\0\xff" + GOOD[26:]),
    "a UDP length too short": rebuilt(GOOD, payload=GOOD[20:24] + b"\0\x09" + GOOD[26:]),
    "another address under the checksum": rebuilt(GOOD, source=HEAD_END + 1),
    "a total length too long, checksums right": summed(GOOD[:3] + bytes([len(GOOD) + 1]) + GOOD[4:]),
    "a total length too short, checksums right": summed(GOOD[:3] + bytes([len(GOOD) - 1]) + GOOD[4:]),
    "a UDP length too long, checksums right": summed(GOOD[:25] + bytes([GOOD[25] + 1]) + GOOD[26:]),
    "a UDP length too short, checksums right": summed(GOOD[:25] + bytes([GOOD[25] - 1]) + GOOD[26:]),
    "options, checksums right": summed(b"\x46" + GOOD[1:]),
    "version 6, checksums right": summed(b"\x65" + GOOD[1:]),
    "a fragment, checksums right": summed(GOOD[:6] + b"\x20\0" + GOOD[8:]),
    "another protocol, checksums right": summed(GOOD[:9] + b"\x06" + GOOD[10:]),
    "a header that would be the sum of nothing": rebuilt(GOOD, destination=-(HEAD_END + 17) % 65_535, payload=b""),
    "no frame": build_lean(HEAD_END, HUB, 4059, 4059, b"", 9, 63),
    "no UDP header": rebuilt(GOOD, payload=b"1234567"),
    "an IPv4 header alone": rebuilt(GOOD, payload=b""),
    "nineteen bytes": GOOD[:19],
    "nothing": b"",
    "not a hub": build_lean(HEAD_END, 1, 4059, 4059, b"frame", 9, 63),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_authentic_but_unusual(name: str) -> None:
    """What an authentic packet carries may be anything; the same answer, and the sequence number is used up, once."""
    packet = sealed(UNUSUAL[name], 5)
    first, second = agree([packet, packet])
    assert first[1] == SaState(1, 5, 1)
    assert second[0] == (second[0][0], "replay") or refused(second)
    assert second[1] == first[1]


def test_the_packets_are_what_their_names_say() -> None:
    """Those with right checksums are refused for their lengths alone."""
    assert summed(GOOD) == GOOD
    for name, inner in UNUSUAL.items():
        if "checksums right" in name:
            assert int.from_bytes(inner[:20], "big") % 65_535 == 0, name
            assert inner != GOOD


def test_a_short_way_refused_has_moved_nothing() -> None:
    """The call itself, alone: for each packet it does not take, the window stands where it stood."""
    taken = set()
    for name, inner in UNUSUAL.items():
        both = gateways()
        opened = both.open(sealed(inner, 5))
        assert received(both) == (SaState(1, 5, 1) if opened else SaState(1, 0, 0)), name
        if opened:
            taken.add(name)
            assert opened == gateways().open_by_stages(sealed(inner, 5))
    assert taken == {"another ttl", "a service class", "no DF", "the reserved flag", "no frame", "not a hub"}


def test_other_protocols_in_the_tunnel_and_other_tunnels() -> None:
    """Dummies, IPv6, another cell's packet, another SPI: refused alike."""
    other_spi = sealed(GOOD)[:20] + b"\x12\x34\x56\x78" + sealed(GOOD)[24:]
    packets = [sealed(GOOD, 1, 59), sealed(GOOD, 2, 41), sealed(GOOD, 3, cell=CELL + 1), other_spi]
    results = agree([*packets, sealed(GOOD, 4)])
    assert [refused(result) for result in results] == [True, True, True, True, False]


def test_another_outer_header_is_left_to_the_stages() -> None:
    """An outer TTL that lost hops on the way is in order, and the stages say so."""
    packet = bytearray(sealed(GOOD))
    packet[8] -= 3
    packet[10:12] = ((int.from_bytes(packet[10:12], "big") + 0x300) % 65_535).to_bytes(2, "big")
    both = gateways()
    assert both.open(bytes(packet)) is None
    assert both.open_by_stages(bytes(packet))[4] == b"a frame of 18 byte"


STEP = st.tuples(
    st.integers(0, 149),  # which packet
    st.sampled_from(["whole", "whole", "whole", "bent", "bent twice", "cut", "longer"]),
    st.integers(0, 10_000),
    st.integers(1, 255),
)


@in_bulk
@given(history=st.lists(STEP, max_size=60), start=st.sampled_from([1, 60, 2**32 - 150]))
def test_any_history_ends_alike(history: list[tuple[int, str, int, int]], start: int) -> None:
    """Packets in any order, repeated, bent, cut, lengthened, some authentic but odd: same answers, same window after
    each, the same record and the same digest."""
    inners = [*UNUSUAL.values()]
    agreed, _ = pair(SEED, CELL, QUIET)
    sender = Sa(agreed.spi, agreed.key, agreed.salt, state=SaState(start, 0, 0))
    stage = Tunnel(Leg(SEED, CELL, Direction.DOWN, QUIET))
    packets = []
    for number in range(150):
        body = sender.seal(inners[number // 3 % len(inners)] if number % 3 == 0 else GOOD, 4)
        packets.append(stage._envelope.header(len(body)) + body)
    short, long = Chain("ipsec", CELL, SEED, QUIET), by_stages(Chain("ipsec", CELL, SEED, QUIET))
    for number, damage, at, change in history:
        packet = bytearray(packets[number])
        if damage.startswith("bent"):
            packet[at % len(packet)] ^= change
        if damage == "bent twice":
            packet[change % len(packet)] ^= 1 + at % 255
        elif damage == "cut":
            del packet[at % len(packet) :]
        elif damage == "longer":
            packet += bytes(change % 9)
        assert short.deliver_down(bytes(packet), NOON) == long.deliver_down(bytes(packet), NOON)
        assert states(short) == states(long)
    assert short.log.ways == long.log.ways
    assert short.log.digest() == long.log.digest()
    assert (short.log.exchanges, short.log.unanswered) == (long.log.exchanges, long.log.unanswered)


def test_a_conversation_is_recorded_alike() -> None:
    """Both ways, many homes, losses, replays and damage: offered, delivered, refused, digest, exchanges, states."""
    lossy = LinkProfile(outages_per_day=40.0, loss=0.05)
    chains = Chain("ipsec", CELL, SEED, lossy), by_stages(Chain("ipsec", CELL, SEED, lossy))
    for chain in chains:
        chance = random.Random(11)
        for number in range(3000):
            home, now = number % 40, NOON + number * 20_000_000
            for _delay, packet in chain.offer_down(home, 4059, 4059, chance.randbytes(number % 120), now, number):
                heard = chain.deliver_down(packet, now + 1)
                assert isinstance(heard, Delivered)
                if number % 50 == 0:
                    assert isinstance(chain.deliver_down(packet, now + 2), Refusal)
            for _delay, packet in chain.offer_up(home, HEAD_END, 4059, 4059, chance.randbytes(40), now + 3, number):
                if number % 70 == 0:
                    chain.deliver_up(packet[:-1] + bytes([packet[-1] ^ 1]), now + 4)
                chain.deliver_up(packet, now + 4)
    short, long = (chain.log for chain in chains)
    assert short.ways == long.ways
    assert short.ways[0].lost_by.keys() == {"loss", "outage"}
    assert short.ways[0].refused_by.keys() == {"replay"}
    assert short.ways[1].refused_by.keys() == {"integrity"}
    assert (short.exchanges, short.unanswered, short.digest()) == (long.exchanges, long.unanswered, long.digest())
    assert states(chains[0]) == states(chains[1])


# Where there is no short way


def test_a_spent_association_is_left_to_the_stages() -> None:
    """After sequence number 2^32 - 1 the short way makes no packet, and the stages say why."""
    agreed, _ = pair(SEED, CELL, QUIET)
    stage = Tunnel(Leg(SEED, CELL, Direction.DOWN, QUIET))
    stage._outbound = Sa(agreed.spi, agreed.key, agreed.salt, state=SaState(2**32 - 1, 0, 0))
    both = Gateways([stage], QUIET.ttl, True)
    fields = (HEAD_END, HUB, 4059, 4059, b"frame", 1)
    last = both.seal(*fields)
    assert last is not None
    assert both.open(last) == fields[:5]
    assert both.seal(*fields) is None
    with pytest.raises(EmulatorError, match="maximum"):
        both.seal_by_stages(*fields)


def test_an_association_closed_is_left_to_the_stages() -> None:
    """Nothing of a closed association is used."""
    both = gateways()
    packet = both.seal(HEAD_END, HUB, 4059, 4059, b"frame", 1)
    assert packet is not None
    (stage,) = both.stages
    stage._outbound.close()  # type: ignore[attr-defined]
    stage._inbound.close()  # type: ignore[attr-defined]
    assert both.seal(HEAD_END, HUB, 4059, 4059, b"frame", 1) is None
    assert both.open(packet) is None


def test_the_definitions_rung_and_other_kinds_have_no_short_way() -> None:
    """There the stages alone carry everything."""
    codec.use("construct")
    assert all(one.seal is one.seal_by_stages for one in Chain("ipsec", CELL, SEED)._gateways)
    codec.use("fast")
    for kind in ("plain", "mpls"):
        for one in Chain(kind, CELL, SEED)._gateways:
            assert one.seal is one.seal_by_stages
            assert one.open is one.open_by_stages


@pytest.mark.parametrize("number", [70_000, -1])
def test_a_caller_that_offers_nonsense_is_told_and_no_number_is_used(number: int) -> None:
    """A port that is none makes no packet on this link either."""
    chain = Chain("ipsec", CELL, SEED, QUIET)
    with pytest.raises(FrameError):
        chain.offer_down(1, number, 1, b"", NOON, 0)
    assert states(chain)[0].sequence == 1


def test_the_inner_headers_are_as_long_as_the_definitions_say() -> None:
    """What the typed wrapper reads of an inner packet is where IPv4 and UDP have it."""
    from emulator.crypto.native import esp_sa

    assert esp_sa.OUTER_BYTES == ipv4.HEADER
    assert esp_sa.INNER_BYTES == ipv4.HEADER + udp.HEADER
    value = IPV4_FRAME.parse(GOOD)
    inside = udp.UDP_FRAME.parse(value.payload)
    ends = (value.source, value.destination, inside.source_port, inside.destination_port)
    assert esp_sa.ENDS.unpack_from(GOOD) == ends
