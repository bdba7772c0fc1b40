"""Cutting, putting together, sending back: sizes to the byte, any order, what contradicts itself, bounds."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.codecs import icmp
from emulator.codecs.icmp import ICMP_FRAME
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.errors import FrameError, UsageError
from emulator.kernel.time import SECOND
from emulator.link.encap import KEEPALIVE, Keepalives, carried, datagram
from emulator.link.esp_spec import inner_mtu
from emulator.link.fragments import Reassembly, fragment, too_big

HERE, THERE, ROUTER = 0x0A000001, 0x0A800005, 0xC6120000


def packet(size: int, *, flags: int = 0, offset: int = 0, identification: int = 7, protocol: int = 17) -> bytes:
    """An IPv4 packet of `size` bytes in all, every byte of which tells where it stands."""
    payload = b"".join(n.to_bytes(4, "big") for n in range(size // 4 + 1))[: size - 20]
    return IPV4_FRAME.build(IPv4(HERE, THERE, protocol, identification, 63, payload, 0xB8, flags, offset))


@given(size=st.integers(20, 9000), mtu=st.integers(68, 3000), seed=st.integers(0, 1 << 30))
def test_pieces_make_the_packet_again_in_any_order(size: int, mtu: int, seed: int) -> None:
    """Each fits, all but the last are full multiples of eight, and any order with repeats gives the packet once."""
    whole = packet(size)
    pieces = fragment(whole, mtu)
    assert all(len(piece) <= mtu for piece in pieces)
    assert all(not (len(piece) - 20) % 8 for piece in pieces[:-1])
    assert len(pieces) == (1 if size <= mtu else -(-(size - 20) // ((mtu - 20) & ~7)))
    reassembly = Reassembly()
    chance = Random(seed)
    order = [*pieces]
    chance.shuffle(order)
    answers = [reassembly.take(piece, 0) for piece in order[:-1]]
    assert answers == [None] * len(answers)
    for piece in order[:-1]:
        assert reassembly.take(piece, 0) is None
    assert reassembly.take(order[-1], 0) == whole
    assert len(reassembly) == 0


def test_a_piece_is_cut_again() -> None:
    """A smaller link on the way: pieces of pieces still make the packet."""
    whole = packet(4000)
    reassembly = Reassembly()
    pieces = [small for piece in fragment(whole, 1500) for small in fragment(piece, 600)]
    answers = [reassembly.take(piece, 0) for piece in pieces]
    assert answers[-1] == whole
    assert answers[:-1] == [None] * (len(pieces) - 1)


def test_packets_do_not_mix() -> None:
    """Two with different identifications, and two protocols with the same."""
    packets = [packet(3000), packet(3000, identification=8), packet(3000, protocol=50)]
    reassembly = Reassembly()
    rows = [fragment(one, 1500) for one in packets]
    answers = [reassembly.take(piece, 0) for column in zip(*rows, strict=True) for piece in column]
    assert [one for one in answers if one is not None] == packets


def test_what_contradicts_itself_is_dropped() -> None:
    """An overlap, another end, a middle piece of an odd length, one over the largest packet: nothing is left of it."""
    first, second, third = fragment(packet(3000), 1200)
    overlap = IPV4_FRAME.parse(second)
    bad = [
        packet(620, flags=1, offset=overlap.fragment_offset - 10),
        packet(100, offset=(3000 - 20) // 8 + 40),
        packet(27, flags=1, offset=500),
        packet(1500, offset=8191),
        packet(20, flags=1, offset=500),
    ]
    for piece in bad:
        reassembly = Reassembly()
        for good in (first, third):
            assert reassembly.take(good, 0) is None
        assert reassembly.take(piece, 0) is None
        assert len(reassembly) == 0
        assert reassembly.take(second, 0) is None  # the others are gone with it


def test_what_waits_is_bounded_in_number_and_time() -> None:
    reassembly = Reassembly(lifetime=30 * SECOND, limit=4)
    starts = [fragment(packet(2000, identification=n), 1500) for n in range(6)]
    for first, _ in starts:
        reassembly.take(first, 0)
    assert len(reassembly) == 4
    assert reassembly.take(starts[0][1], 0) is None  # the oldest gave way
    assert reassembly.take(starts[5][1], 30 * SECOND) == packet(2000, identification=5)
    assert reassembly.take(starts[4][1], 30 * SECOND + 1) is None  # too late
    assert len(reassembly) == 1


@given(st.binary(max_size=120))
def test_noise_is_a_frame_error_or_whole(noise: bytes) -> None:
    reassembly = Reassembly()
    try:
        assert reassembly.take(noise, 0) in (None, noise)
    except FrameError:
        assert len(reassembly) == 0


def test_no_link_is_that_small() -> None:
    with pytest.raises(UsageError):
        fragment(packet(100), 67)


def test_too_big_is_answered_to_the_sender() -> None:
    """ICMP 3/4 with the MTU and the packet's head, from the router, its checksum holding."""
    whole = packet(1500, flags=2)
    answer = too_big(whole, 1446, ROUTER)
    assert answer is not None
    outer = IPV4_FRAME.parse(answer)
    assert (outer.source, outer.destination, outer.protocol) == (ROUTER, HERE, icmp.PROTOCOL)
    message = ICMP_FRAME.parse(outer.payload)
    assert (message.kind, message.code, message.rest, message.payload) == (3, 4, 1446, whole[:28])
    assert int.from_bytes(outer.payload, "big") % 65_535 == 0


def test_what_gets_no_answer() -> None:
    """RFC 1122 3.2.2: an ICMP error, a later fragment, a group, a sender that is no one host. An echo request does."""
    for payload, answered in ((b"\3\4", False), (b"\x0b\0", False), (b"\x08\0", True), (b"", True)):
        ping = IPV4_FRAME.build(IPv4(HERE, THERE, 1, 0, 64, payload + bytes(1400)[: 1400 if payload else 0]))
        assert (too_big(ping, 1000, ROUTER) is not None) is answered
    for source, destination in ((HERE, 0xE0000001), (0, THERE), (0xE0000001, THERE), (0xFFFFFFFF, THERE)):
        assert too_big(IPV4_FRAME.build(IPv4(source, destination, 17, 0, 64, bytes(1400))), 1000, ROUTER) is None
    assert too_big(packet(1400, offset=5), 1000, ROUTER) is None


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(57)), b"\xff" * 6, bytes(8)])
def test_icmp_checksum_is_the_textbooks(payload: bytes) -> None:
    """Against a sum word by word."""
    for kind, rest in ((0, 0), (3, 1446), (255, 0xFFFFFFFF)):
        words = bytes((kind, 0, 0, 0)) + rest.to_bytes(4, "big") + payload + b"\0" * (len(payload) & 1)
        total = sum(int.from_bytes(words[at : at + 2], "big") for at in range(0, len(words), 2))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        assert icmp.checksum(kind, 0, rest, payload) == 0xFFFF - total


def test_room_in_a_packet() -> None:
    """FACT: the kernel's figures for AES-GCM-16 and 1500, bare and in UDP. Each is the most that fits."""
    assert inner_mtu("aes128gcm16", 1500) == 1446
    assert inner_mtu("aes128gcm16", 1500, encap=True) == 1438
    assert inner_mtu("aes128-sha256", 1500) == 1438
    assert inner_mtu("aes256gcm8", 1500) == 1454
    assert inner_mtu("aes128gcm16", 1500, tunnel=False) == 1466


def test_what_port_4500_carries() -> None:
    esp = b"\0\0\1\0" + bytes(40)
    for payload, what in (
        (KEEPALIVE, "keepalive"),
        (bytes(4) + b"ike message", "ike"),
        (esp, "esp"),
        (b"", "noise"),
        (b"\0", "noise"),
        (b"\xff\xff", "noise"),
        (bytes(7), "noise"),
        (b"\xff" * 7, "noise"),
    ):
        assert carried(payload) == what
    assert datagram(4500, 61_000, esp) == b"\x11\x94\xee\x48" + (8 + len(esp)).to_bytes(2, "big") + b"\0\0" + esp


def test_keepalives_are_for_silence() -> None:
    """Nothing is due before anything was sent; each packet puts it off; an interval of 0 is never."""
    one = Keepalives(20 * SECOND)
    assert one.next_at is None
    assert not one.due(1 << 60)
    one.sent(5 * SECOND)
    one.sent(7 * SECOND)
    assert one.next_at == 27 * SECOND
    assert not one.due(27 * SECOND - 1)
    assert one.due(27 * SECOND)
    never = Keepalives(0)
    never.sent(0)
    assert not never.due(1 << 60)


@pytest.mark.stranger
@pytest.mark.parametrize("size", [69, 1000, 1501, 9000])
@pytest.mark.parametrize("mtu", [68, 576, 1500])
def test_scapy_cuts_and_mends_as_we_do(size: int, mtu: int) -> None:
    """Our pieces are scapy's, byte for byte; scapy makes our packet of them, and we make it of scapy's."""
    inet = pytest.importorskip("scapy.layers.inet")
    whole = packet(size)
    theirs = [bytes(piece) for piece in inet.fragment(inet.IP(whole), fragsize=(mtu - 20) & ~7)]
    ours = fragment(whole, mtu)
    assert ours == theirs
    reassembly = Reassembly()
    assert [reassembly.take(piece, 0) for piece in theirs][-1] == whole
    (mended,) = inet.defragment([inet.IP(piece) for piece in ours])
    assert bytes(mended.payload) == IPV4_FRAME.parse(whole).payload
