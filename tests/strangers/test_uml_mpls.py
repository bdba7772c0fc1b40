"""MPLS in a kernel nobody here wrote, read and written by our codecs: push, swap, pop, TTL, and what is dropped."""

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from mpls_kit import BEFORE, ROUTER, KernelLsr, Out, labelled, stack
from uml_kit import Guest
from wire_kit import IPV4, MPLS

from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS_FRAME
from emulator.kernel.chance import between

pytestmark = pytest.mark.stranger

ICMP, UDP = 1, 17
DONT_FRAGMENT = 2


@pytest.fixture(scope="module")
def lsr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelLsr]:
    with Guest(tmp_path_factory.mktemp("uml"), devices=2) as guest:
        found = KernelLsr(guest)
        guest.ip("route add 10.1.0.0/24 via 192.0.2.1", "route add 10.2.0.0/24 via 198.51.100.1")
        found.route("100 as 200")
        found.route("101")
        found.route("102 as 300/301")
        found.route("103", "dev lo")
        found.impose("10.3.0.0/24", "400/401")
        yield found


def packet(ttl: int = 50, destination: str = "10.2.0.1", size: int = 40) -> bytes:
    ends = int(IPv4Address("10.1.0.1")), int(IPv4Address(destination))
    return IPV4_FRAME.build(IPv4(*ends, UDP, 7, ttl, bytes(size)))


def ttl_of(inner: bytes) -> int:
    return IPV4_FRAME.parse(inner).ttl


def one(found: list[Out]) -> tuple[list[tuple[int, int, int]], bytes]:
    """The only thing that left, through the second device."""
    assert [out.device for out in found] == [1]
    return stack(found[0])


def test_swap_takes_one_from_the_ttl_and_leaves_the_rest(lsr: KernelLsr) -> None:
    inner = packet()
    assert one(lsr.forward(labelled(100, inner=inner, ttl=64))) == ([(200, 0, 63)], inner)
    below = labelled((100, 0, 64), (777, 5, 33), inner=inner)
    assert one(lsr.forward(below)) == ([(200, 0, 63), (777, 5, 33)], inner)


def test_the_kernel_forgets_the_traffic_class_of_what_it_swaps(lsr: KernelLsr) -> None:
    """Here the kernel is not the model: RFC 5462 and RFC 3270 let a router keep or map it."""
    assert one(lsr.forward(labelled((100, 6, 64), inner=packet())))[0] == [(200, 0, 63)]


def test_swap_and_push(lsr: KernelLsr) -> None:
    """Both labels carry the TTL, only the lower one the S bit."""
    inner = packet()
    found = lsr.forward(labelled(102, inner=inner, ttl=20))
    assert one(found) == ([(300, 0, 19), (301, 0, 19)], inner)
    assert [found[0].body[at + 2] & 1 for at in (0, 4)] == [0, 1]


def test_the_last_label_popped_gives_its_ttl_to_the_packet(lsr: KernelLsr) -> None:
    """Penultimate hop popping, uniform model (RFC 3443): downwards, and upwards too."""
    for label_ttl in (10, 64):
        labels, inner = one(lsr.forward(labelled(101, inner=packet(ttl=50), ttl=label_ttl)))
        assert (labels, ttl_of(inner)) == ([], label_ttl - 1)


def test_in_the_pipe_model_the_packet_keeps_its_ttl(lsr: KernelLsr) -> None:
    """One less for the router itself, whatever the label says; and nothing of it is told to a label imposed."""
    lsr.setting("net.mpls.ip_ttl_propagate", 0)
    try:
        labels, inner = one(lsr.forward(labelled(101, inner=packet(ttl=50), ttl=10)))
        assert (labels, ttl_of(inner)) == ([], 49)
        assert one(lsr.forward(packet(ttl=50, destination="10.3.0.1"), IPV4))[0] == [(400, 0, 255), (401, 0, 255)]
    finally:
        lsr.setting("net.mpls.ip_ttl_propagate", 1)


def test_a_popped_label_gives_nothing_to_the_one_below(lsr: KernelLsr) -> None:
    """Here the kernel is not the model: in RFC 3443's uniform model the TTL of the popped label is copied."""
    inner = packet()
    assert one(lsr.forward(labelled((101, 0, 64), (777, 3, 9), inner=inner))) == ([(777, 3, 9)], inner)


def test_labels_are_imposed_on_what_a_route_says(lsr: KernelLsr) -> None:
    """Two labels with the packet's TTL, after it was routed: one less."""
    labels, inner = one(lsr.forward(packet(ttl=50, destination="10.3.0.1"), IPV4))
    assert labels == [(400, 0, 49), (401, 0, 49)]
    assert ttl_of(inner) == 49


@pytest.mark.parametrize(
    ("label", "ttl"),
    [(100, 1), (101, 1), (100, 0), (1_500, 64), (13, 64), (1, 64), (3, 64), (0xFFFFF, 64)],
    ids=["swap-ttl-1", "pop-ttl-1", "ttl-0", "unknown", "reserved", "router-alert", "implicit-null", "too-high"],
)
def test_dropped_without_a_word(lsr: KernelLsr, label: int, ttl: int) -> None:
    assert lsr.forward(labelled(label, inner=packet(), ttl=ttl)) == []


def test_explicit_null_is_popped_and_the_packet_routed(lsr: KernelLsr) -> None:
    labels, inner = one(lsr.forward(labelled(0, inner=packet(), ttl=64)))
    assert labels == []
    assert IPV4_FRAME.parse(inner).destination == int(IPv4Address("10.2.0.1"))


def test_too_long_to_be_labelled_says_so(lsr: KernelLsr) -> None:
    """ICMP 3/4 with what is left of the MTU: four bytes less for each label (RFC 3032 section 3)."""
    assert one(lsr.forward(packet(destination="10.3.0.1", size=1_472), IPV4))[0], "1,492 bytes fit"
    (told,) = lsr.forward(packet(destination="10.3.0.1", size=1_473), IPV4)
    assert (told.device, told.kind) == (0, IPV4)
    answer = IPV4_FRAME.parse(told.body)
    assert (str(IPv4Address(answer.source)), answer.protocol) == (ROUTER[0], ICMP)
    assert answer.payload[:2] == b"\x03\x04"
    assert int.from_bytes(answer.payload[6:8], "big") == 1_492


def test_a_label_leads_into_a_vpn(lsr: KernelLsr) -> None:
    """L3VPN (RFC 4364): the same address is somewhere else in the VRF that the label names."""
    guest = lsr.guest
    guest.load("vrf")
    guest.ip(
        "link add red type vrf table 10",
        "link set red up",
        f"route add 10.2.0.0/24 table 10 via {BEFORE} dev vec0",
    )
    lsr.route("500", "dev red")
    (out,) = lsr.forward(labelled(500, inner=packet()))
    assert (out.device, out.kind) == (0, IPV4)
    (out,) = lsr.forward(labelled(103, inner=packet()))
    assert (out.device, out.kind) == (1, IPV4)


def test_a_thousand_stacks_are_read_alike(lsr: KernelLsr) -> None:
    """Up to 16 random labels below one that is swapped: the kernel hands the rest on to the byte, and reads S where our
    codec writes it (what it would misread it would pop or drop)."""
    for number in range(1_000):
        deep = between(0, 15, 4, "deep", number)
        below = [
            (between(0, (1 << 20) - 1, 4, "label", number, at), between(0, 7, 4, "tc", number, at), at)
            for at in range(deep)
        ]
        sent = labelled((100, 0, between(2, 255, 4, "ttl", number)), *below, inner=packet())
        (out,) = lsr.forward(sent)
        assert out.kind == MPLS
        assert out.body[4:] == sent[4:]
        top = MPLS_FRAME.parse(sent).labels[0].ttl
        assert stack(out)[0] == [(200, 0, top - 1), *below]
