"""A label switching router, case by case: the kernel's facts, the standards where it is not the model, refusals."""

from dataclasses import replace
from typing import Any

import pytest

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.errors import UsageError
from emulator.kernel.effects import Send
from emulator.link.mpls.drops import Dropped
from emulator.link.mpls.encapsulation import Ethernet, InIp, InUdp, Plain
from emulator.link.mpls.faults import DOWN, NO_BOTTOM, PHP_OFF, TTL, WITHDRAWN, WRONG, LsrFault
from emulator.link.mpls.habits import LINUX, STANDARD, Habits
from emulator.link.mpls.ip import head
from emulator.link.mpls.lsr import Interface, Lsr
from emulator.link.mpls.tables import Inside, Towards, Vrf

OURS, THEIRS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
US, PEER = 0xC6120001, 0xC6120002
CUSTOMER, FAR = 0x0A000001, 0x0A800005
HERE = 0x0A0000FE
PIPE = replace(STANDARD, ttl="pipe")
LINUX_PIPE = replace(LINUX, ttl="pipe")


def ip(ttl: int = 64, service: int = 0, size: int = 40, flags: int = 2, source: int = CUSTOMER) -> bytes:
    return IPV4_FRAME.build(IPv4(source, FAR, udp.PROTOCOL, 7, ttl, bytes(size - 20), service, flags))


def router(habits: Habits = STANDARD, mtu: int = 1500) -> Lsr:
    """Ethernet in the core, so that packets under test are short of nothing; a customer's VRF, and the global table."""
    lsr = Lsr(
        "P",
        [
            Interface("core", Ethernet(OURS, THEIRS), mtu),
            Interface("ip", Plain(), mtu, "", HERE),
            Interface("customer", Plain(), 1500, "v", HERE),
        ],
        habits,
    )
    lsr.labels = {
        100: Towards("core", (200,)),
        101: Towards("core", (200, 201)),
        102: Towards("core"),
        103: Towards("ip"),
        104: Inside("v"),
        105: Inside(),
        106: Towards("core", (0,)),
    }
    lsr.vrfs[""].add(0x0A000000, 8, Towards("ip"))
    lsr.vrfs["v"].add(FAR & ~0xFFFF, 16, Towards("core", (300, 400)))
    lsr.vrfs["v"].add(CUSTOMER & ~0xFF, 24, Towards("customer"))
    return lsr


def stack(*labels: tuple[int, int, int], inside: bytes | None = None) -> bytes:
    """(label, traffic class, TTL), outermost first, over an IP packet with TTL 50."""
    return MPLS_FRAME.build(MPLS(tuple(Label(*each) for each in labels), ip(50) if inside is None else inside))


def labelled(lsr: Lsr, packet: bytes) -> Any:
    """What leaves for a labelled packet from the core: (interface, labels or None, the IP packet's TTL), or why not."""
    outcome = lsr.forward(OURS + THEIRS + b"\x88\x47" + packet, "core", 0)
    if isinstance(outcome, Dropped):
        return outcome.reason
    (sent,) = outcome
    if sent.port != "core":
        return sent.port, None, IPV4_FRAME.parse(sent.frame).ttl
    assert sent.frame[:12] == THEIRS + OURS
    if sent.frame[12:14] == b"\x08\x00":
        return sent.port, None, IPV4_FRAME.parse(sent.frame[14:]).ttl
    value = MPLS_FRAME.parse(sent.frame[14:])
    shown = [(each.label, each.traffic_class, each.ttl) for each in value.labels]
    return sent.port, shown, IPV4_FRAME.parse(value.payload).ttl


CASES = [
    ("swap takes one from the TTL", STANDARD, [(100, 0, 64)], ("core", [(200, 0, 63)], 50)),
    ("swap and push: the same TTL in both", STANDARD, [(101, 0, 64)], ("core", [(200, 0, 63), (201, 0, 63)], 50)),
    ("traffic class kept on swap", STANDARD, [(100, 5, 64)], ("core", [(200, 5, 63)], 50)),
    ("and on push", STANDARD, [(101, 3, 64)], ("core", [(200, 3, 63), (201, 3, 63)], 50)),
    ("Linux writes 0", LINUX, [(100, 5, 64)], ("core", [(200, 0, 63)], 50)),
    ("what is below is not touched", STANDARD, [(100, 1, 9), (77, 2, 33)], ("core", [(200, 1, 8), (77, 2, 33)], 50)),
    ("TTL 2 goes on as 1", STANDARD, [(100, 0, 2)], ("core", [(200, 0, 1)], 50)),
    ("TTL 1 is dropped", STANDARD, [(100, 0, 1)], "ttl"),
    ("TTL 0 is dropped", STANDARD, [(100, 0, 0)], "ttl"),
    ("an unknown label", STANDARD, [(999, 0, 64)], "label"),
    ("an unknown label comes before its TTL", STANDARD, [(999, 0, 1)], "label"),
    ("a reserved label", STANDARD, [(13, 0, 64)], "reserved"),
    ("router alert on top", STANDARD, [(1, 0, 64), (100, 0, 64)], "reserved"),
    ("implicit null on the wire", STANDARD, [(3, 0, 64)], "reserved"),
    ("IPv6 explicit null", STANDARD, [(2, 0, 64)], "reserved"),
    ("explicit null is popped and routed", STANDARD, [(0, 0, 64)], ("ip", None, 63)),
    ("with TTL 1 it is not", STANDARD, [(0, 0, 1)], "ttl"),
    ("explicit null over a label (RFC 4182)", STANDARD, [(0, 0, 64), (100, 0, 9)], ("core", [(200, 0, 63)], 50)),
    ("swap to the explicit null", STANDARD, [(106, 4, 64)], ("core", [(0, 4, 63)], 50)),
    ("penultimate pop: the label's TTL, upward too", STANDARD, [(103, 0, 64)], ("ip", None, 63)),
    ("and downward", STANDARD, [(103, 0, 10)], ("ip", None, 9)),
    ("pipe keeps the packet's", PIPE, [(103, 0, 64)], ("ip", None, 50)),
    ("Linux the same, uniform", LINUX, [(103, 0, 64)], ("ip", None, 63)),
    ("Linux: the pop is a hop", LINUX_PIPE, [(103, 0, 64)], ("ip", None, 49)),
    ("and the lookup another", LINUX_PIPE, [(105, 0, 64)], ("ip", None, 48)),
    ("pop over a label copies the TTL (RFC 3443)", STANDARD, [(102, 0, 64), (77, 2, 33)], ("core", [(77, 2, 63)], 50)),
    ("pipe does not", PIPE, [(102, 0, 64), (77, 2, 33)], ("core", [(77, 2, 33)], 50)),
    ("nor does Linux", LINUX, [(102, 0, 64), (77, 2, 33)], ("core", [(77, 2, 33)], 50)),
    ("pop for a lookup here takes one hop in all", STANDARD, [(105, 0, 64)], ("ip", None, 63)),
    ("two pops too", STANDARD, [(105, 0, 64), (105, 0, 20)], ("ip", None, 63)),
    ("Linux: each label for itself, and the lookup", LINUX, [(105, 0, 64), (105, 0, 20)], ("ip", None, 18)),
    ("pipe: the packet's own, and this is its hop", PIPE, [(105, 0, 64)], ("ip", None, 49)),
    ("a VPN label above the bottom", STANDARD, [(104, 0, 64), (100, 0, 64)], "label"),
    ("sixteen pops", STANDARD, [(105, 0, 64)] * 16, ("ip", None, 63)),
]


@pytest.mark.parametrize(
    ("habits", "labels", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_labels(habits: Habits, labels: list[tuple[int, int, int]], expected: Any) -> None:
    lsr = router(habits)
    assert labelled(lsr, stack(*labels)) == expected
    assert lsr.dropped == ({expected: 1} if isinstance(expected, str) else {})


@pytest.mark.parametrize(
    ("habits", "service", "labels"),
    [
        (STANDARD, 0xB8, [(300, 5, 63), (400, 5, 63)]),
        (STANDARD, 0, [(300, 0, 63), (400, 0, 63)]),
        (LINUX, 0xB8, [(300, 0, 63), (400, 0, 63)]),
        (PIPE, 0xB8, [(300, 5, 255), (400, 5, 255)]),
        (replace(PIPE, pipe_ttl=9), 0, [(300, 0, 9), (400, 0, 9)]),
    ],
    ids=["precedence becomes class", "none", "Linux writes 0", "pipe starts at 255", "or where it is told"],
)
def test_imposition(habits: Habits, service: int, labels: list[tuple[int, int, int]]) -> None:
    (sent,) = router(habits).forward(ip(64, service), "customer", 0)
    value = MPLS_FRAME.parse(sent.frame[14:])
    assert [(each.label, each.traffic_class, each.ttl) for each in value.labels] == labels
    assert value.payload == ip(63, service), "the ingress is a hop, and the checksum follows"


def test_a_path_of_three_routers_takes_three_hops() -> None:
    """RFC 3443 section 3: n in, n - 3 out in the uniform model, also with PHP; n - 2 in the pipe model."""
    for habits, out in ((STANDARD, 61), (PIPE, 62)):
        middle, last = router(habits), router(habits)
        middle.labels[300] = Towards("core")
        last.labels[400] = Inside("v")
        last.vrfs["v"].add(FAR, 32, Towards("customer"))
        (one,) = router(habits).forward(ip(64), "customer", 0)
        (two,) = middle.forward(OURS + THEIRS + one.frame[12:], "core", 0)
        (three,) = last.forward(OURS + THEIRS + two.frame[12:], "core", 0)
        assert three == Send("customer", ip(out))


# What is no stack


def test_a_stack_without_a_bottom() -> None:
    """Refused at once; Linux forwards it by its top label, and so does whoever is told to be Linux."""
    bare = (100 << 12 | 64).to_bytes(4, "big") + bytes(40)
    assert labelled(router(), bare) == "malformed"
    (sent,) = router(LINUX).forward(OURS + THEIRS + b"\x88\x47" + bare, "core", 0)
    assert sent.frame[14:] == (200 << 12 | 63).to_bytes(4, "big") + bytes(40)


@pytest.mark.parametrize("habits", [STANDARD, LINUX])
@pytest.mark.parametrize("length", range(4))
def test_less_than_a_label(habits: Habits, length: int) -> None:
    assert labelled(router(habits), bytes(length)) == "malformed"


def test_more_labels_than_a_stack_has() -> None:
    endless = (105 << 12 | 64).to_bytes(4, "big") * 20
    assert labelled(router(LINUX), endless + stack((100, 0, 64))) == "malformed"


@pytest.mark.parametrize("inside", [b"", b"\x60" + bytes(40), bytes(19), bytes(40)], ids=["none", "IPv6", "short", "0"])
@pytest.mark.parametrize("label", [103, 104, 105])
def test_no_ipv4_below_the_stack(inside: bytes, label: int) -> None:
    assert labelled(router(), stack((label, 0, 64), inside=inside)) == "protocol"


def test_a_wrong_ip_checksum_stays_wrong() -> None:
    """A pop towards a neighbour does not look; a lookup does, and the change of the TTL has not mended it."""
    bent = bytearray(ip(50))
    bent[10] ^= 0x40
    (sent,) = router().forward(OURS + THEIRS + b"\x88\x47" + stack((103, 0, 64), inside=bytes(bent)), "core", 0)
    assert sent.frame[8] == 63
    assert int.from_bytes(sent.frame[:20], "big") % 65_535
    assert labelled(router(), stack((105, 0, 64), inside=bytes(bent))) == "malformed"


def test_ethernet_for_others() -> None:
    lsr = router()
    swap = stack((100, 0, 64))
    for frame, reason in (
        (THEIRS + OURS + b"\x88\x47" + swap, "not-ours"),
        (OURS + THEIRS + b"\x88\x48" + swap, "protocol"),
        (OURS[:5], "malformed"),
    ):
        outcome = lsr.forward(frame, "core", 0)
        assert isinstance(outcome, Dropped)
        assert outcome.reason == reason


def test_ethernet_padding_is_cut_off() -> None:
    """An IP packet is as long as it says."""
    lsr = router()
    short = ip(size=21)
    (sent,) = lsr.forward(OURS + THEIRS + b"\x08\x00" + short + bytes(25), "core", 0)
    assert sent == Send("ip", ip(63, size=21))


def test_a_missing_interface_is_misuse_and_a_route_to_one_a_drop() -> None:
    lsr = router()
    with pytest.raises(UsageError, match="no interface 'x'"):
        lsr.forward(b"", "x", 0)
    lsr.labels[100] = Towards("gone", (16,))
    assert labelled(lsr, stack((100, 0, 64))) == "interface"
    lsr.labels[100] = Towards("ip", (16,))
    assert labelled(lsr, stack((100, 0, 64))) == "interface", "a plain wire carries no labels"


# Addresses


def test_vrfs_keep_the_same_addresses_apart() -> None:
    """Two customers, one address: each label and each wire finds its own."""
    lsr = Lsr("PE", [Interface("core", Ethernet(OURS, THEIRS)), *(Interface(n, Plain(), vrf=n) for n in ("a", "b"))])
    for number, name in enumerate(("a", "b")):
        lsr.labels[500 + number] = Inside(name)
        lsr.vrfs[name].add(FAR, 32, Towards(name))
        lsr.vrfs[name].add(CUSTOMER, 32, Towards("core", (600 + number,)))
        assert labelled(lsr, stack((500 + number, 0, 64))) == (name, None, 63)
        back = IPV4_FRAME.build(IPv4(FAR, CUSTOMER, 17, 0, 64, b""))
        (sent,) = lsr.forward(back, name, 0)
        assert MPLS_FRAME.parse(sent.frame[14:]).labels[0].label == 600 + number
    assert isinstance(lsr.forward(OURS + THEIRS + b"\x08\x00" + ip(), "core", 0), Dropped), "nothing leaks outside"


def test_the_longest_prefix_wins() -> None:
    table = Vrf()
    for length in (0, 8, 9, 24, 32):
        table.add(FAR & ~((1 << (32 - length)) - 1), length, Towards(str(length)))
    assert table.find(FAR) == Towards("32")
    assert table.find(FAR + 1) == Towards("24")
    assert table.find(FAR + 256) == Towards("9")
    assert table.find(0x0A000001) == Towards("8")
    assert table.find(0xFFFFFFFF) == Towards("0")
    table.remove(FAR, 32)
    assert table.find(FAR) == Towards("24")
    assert [length for _, length, _ in table.routes()] == [0, 8, 9, 24]
    for prefix, length in ((1, 24), (0, 33), (0, -1), (1 << 32, 32)):
        with pytest.raises(UsageError):
            table.add(prefix, length, Towards("x"))


@pytest.mark.parametrize("label", [1, 3, 15, -1, 1 << 20])
def test_labels_that_cannot_be_sent(label: int) -> None:
    with pytest.raises(UsageError, match="cannot be put on a packet"):
        Towards("core", (label,))


# Too big, too old


def test_over_the_mtu_with_df_is_told_less_four_bytes_a_label() -> None:
    """ICMP 3/4 with the room there is, quoting the packet; one byte less fits."""
    lsr = router(mtu=100)
    (sent,) = lsr.forward(ip(size=92), "customer", 0)
    assert len(sent.frame) == 14 + 100
    (told,) = lsr.forward(ip(size=93), "customer", 0)
    assert told.port == "customer"
    answer = IPV4_FRAME.parse(told.frame)
    assert (answer.source, answer.destination, answer.protocol) == (HERE, CUSTOMER, 1)
    assert (answer.payload[:2], answer.payload[4:8]) == (b"\3\4", b"\0\0\0\x5c")
    assert answer.payload[8:] == ip(size=93)
    assert int.from_bytes(answer.payload, "big") % 65_535 == 0
    assert lsr.dropped == {"too-big": 1}


def test_over_the_mtu_without_df_is_cut_before_the_labels_are_put_on() -> None:
    (one, two) = router(mtu=100).forward(ip(size=160, flags=0), "customer", 0)
    pieces = [IPV4_FRAME.parse(MPLS_FRAME.parse(sent.frame[14:]).payload) for sent in (one, two)]
    assert [(piece.flags, piece.fragment_offset, len(piece.payload)) for piece in pieces] == [(1, 0, 72), (0, 9, 68)]
    assert b"".join(piece.payload for piece in pieces) == bytes(140)
    assert {len(MPLS_FRAME.parse(sent.frame[14:]).labels) for sent in (one, two)} == {2}


def test_fragments_of_a_fragment_keep_its_place() -> None:
    middle = IPV4_FRAME.build(IPv4(CUSTOMER, FAR, 17, 7, 64, bytes(160), 0, 1, 100))
    sent = router(mtu=100).forward(middle, "customer", 0)
    assert not isinstance(sent, Dropped)
    pieces = [IPV4_FRAME.parse(MPLS_FRAME.parse(one.frame[14:]).payload) for one in sent]
    assert [(piece.flags, piece.fragment_offset) for piece in pieces] == [(1, 100), (1, 109), (1, 118)]


def test_a_labelled_packet_over_the_mtu_is_dropped_in_silence() -> None:
    assert labelled(router(mtu=100), stack((101, 0, 64), inside=ip(size=93))) == "too-big"
    assert labelled(router(mtu=101), stack((101, 0, 64), inside=ip(size=93)))[1] == [(200, 0, 63), (201, 0, 63)]


def test_a_ttl_that_ends_at_the_edge_is_told() -> None:
    (told,) = router().forward(ip(1), "customer", 0)
    answer = IPV4_FRAME.parse(told.frame)
    assert (answer.payload[:2], answer.destination, answer.payload[8:]) == (b"\x0b\0", CUSTOMER, ip(1))


@pytest.mark.parametrize(
    "packet",
    [
        ip(1, source=0x0B000001),
        IPV4_FRAME.build(IPv4(CUSTOMER, FAR, 17, 7, 1, bytes(9), 0, 0, 5)),
        IPV4_FRAME.build(IPv4(CUSTOMER, FAR, 1, 7, 1, b"\x0b" + bytes(30))),
    ],
    ids=["no way back", "a later fragment", "about an ICMP error"],
)
def test_where_no_error_may_be_sent(packet: bytes) -> None:
    outcome = router().forward(packet, "customer", 0)
    assert isinstance(outcome, Dropped)
    assert outcome.reason == "ttl"


def test_options_pass() -> None:
    """A customer's affair: carried, and kept in every piece."""
    plain = ip(size=60)
    optioned = bytearray(b"\x46" + plain[1:20] + b"\1\1\1\0" + plain[20:])
    optioned[2:4] = len(optioned).to_bytes(2, "big")
    optioned[10:12] = bytes(2)
    optioned[10:12] = (65_535 - int.from_bytes(optioned[:24], "big") % 65_535).to_bytes(2, "big")
    (sent,) = router().forward(bytes(optioned), "customer", 0)
    payload = MPLS_FRAME.parse(sent.frame[14:]).payload
    assert payload[20:] == optioned[20:]
    assert head(payload).ttl == 63


# Encapsulations


@pytest.mark.parametrize(("make", "overhead", "protocol"), [(InUdp, 28, 17), (InIp, 20, 137)])
def test_tunnels_between_neighbours(make: Any, overhead: int, protocol: int) -> None:
    """To the neighbour and from the neighbour alone; IP that is not the tunnel passes beside it."""
    lsr = Lsr("P", [Interface("core", make(US, PEER), 1500), Interface("ip", Plain())])
    lsr.labels[100] = Towards("core", (200,))
    lsr.vrfs[""].add(0, 0, Towards("ip"))
    there, back = make(PEER, US), stack((200, 0, 63))
    (sent,) = lsr.forward(there.close(True, stack((100, 0, 64))), "core", 0)
    outside = IPV4_FRAME.parse(sent.frame)
    assert (outside.source, outside.destination, outside.protocol, outside.ttl) == (US, PEER, protocol, 64)
    assert outside.payload[overhead - 20 :] == back
    assert there.open(sent.frame) == (True, back)
    stranger = lsr.forward(make(PEER + 1, US).close(True, stack((100, 0, 64))), "core", 0)
    assert isinstance(stranger, Dropped)
    assert stranger.reason == "not-ours"
    assert lsr.forward(ip(), "core", 0) == [Send("ip", ip(63))]


def test_mpls_in_udp_checks_a_checksum_that_is_there() -> None:
    lsr = Lsr("P", [Interface("core", InUdp(US, PEER))])
    lsr.labels[100] = Towards("core", (200,))
    packet = stack((100, 0, 64))
    right = udp.checksum(PEER, US, 50_000, 6635, packet)
    for checksum, taken in ((0, True), (right, True), (right ^ 1, False)):
        datagram = UDP_FRAME.build(UDP(50_000, 6635, checksum, packet))
        outcome = lsr.forward(IPV4_FRAME.build(IPv4(PEER, US, 17, 0, 64, datagram)), "core", 0)
        assert isinstance(outcome, list) is taken


# Faults


def test_faults_of_a_router_hold_for_their_time() -> None:
    lsr = router()
    lsr.faults = (LsrFault(WITHDRAWN, 100, start=10, end=20),)
    frame = OURS + THEIRS + b"\x88\x47" + stack((100, 0, 64))
    assert [isinstance(lsr.forward(frame, "core", now), list) for now in (9, 10, 19, 20)] == [True, False, False, True]


FAULTS = [
    (LsrFault(WITHDRAWN, 100), "label"),
    (LsrFault(WITHDRAWN, 101), ("core", [(200, 0, 63)], 50)),
    (LsrFault(WRONG, by=7), ("core", [(207, 0, 63)], 50)),
    (LsrFault(WRONG, 999), ("core", [(200, 0, 63)], 50)),
    (LsrFault(TTL), ("core", [(200, 0, 1)], 50)),
    (LsrFault(DOWN), "down"),
]


@pytest.mark.parametrize(("fault", "expected"), FAULTS)
def test_faults_strike_who_they_mean(fault: LsrFault, expected: Any) -> None:
    lsr = router()
    lsr.faults = (fault,)
    assert labelled(lsr, stack((100, 0, 64))) == expected


def test_a_lost_bottom_bit_is_the_next_routers_trouble() -> None:
    lsr = router()
    lsr.faults = (LsrFault(NO_BOTTOM),)
    (sent,) = lsr.forward(OURS + THEIRS + b"\x88\x47" + stack((100, 0, 64)), "core", 0)
    assert sent.frame[14:18] == (200 << 12 | 63).to_bytes(4, "big")


def test_php_off_leaves_the_label_on() -> None:
    """The last router, which never heard of it, drops it."""
    lsr = router()
    lsr.faults = (LsrFault(PHP_OFF, 102),)
    assert labelled(lsr, stack((102, 0, 64), (77, 0, 9))) == ("core", [(102, 0, 63), (77, 0, 9)], 50)
    assert labelled(Lsr("PE", [Interface("core", Ethernet(OURS, THEIRS))]), stack((102, 0, 64))) == "label"


def test_an_lsp_is_down_with_ip_up() -> None:
    """What would get labels is lost, what would not passes: as a ping does, which is why nobody believes it."""
    lsr = router()
    lsr.faults = (LsrFault(DOWN),)
    outcome = lsr.forward(ip(), "customer", 0)
    assert isinstance(outcome, Dropped)
    assert outcome.reason == "down"
    assert lsr.forward(ip(), "ip", 0) == [Send("ip", ip(63))]
