"""Our label switching router against the kernel's: the same tables, the same packets, the same frames out.

`LINUX` names what the kernel does in its own way, so with it there is nothing left to differ: every case and a random
mixture of them, labels, classes, TTLs and depths, are compared by what leaves, to the byte.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from mpls_kit import AFTER, BEFORE, ROUTER, KernelLsr, Out, labelled
from uml_kit import Guest
from wire_kit import IPV4, MPLS

from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME, checksum
from emulator.kernel.chance import between
from emulator.link.mpls.drops import Dropped
from emulator.link.mpls.encapsulation import Ethernet, InIp, InUdp
from emulator.link.mpls.habits import LINUX, STANDARD, Habits
from emulator.link.mpls.lsr import Interface, Lsr
from emulator.link.mpls.tables import Inside, Towards

pytestmark = pytest.mark.stranger

PIPE = replace(LINUX, ttl="pipe")


def number(address: str) -> int:
    return int(IPv4Address(address))


class Deep(KernelLsr):
    """The kernel queues a packet anew for every label that it pops for a lookup of the next: the packet that tells the
    end of waiting takes that way more often than any packet under test."""

    def forward(self, body: bytes, kind: int = MPLS, device: int = 0) -> list[Out]:
        near, far = self.guest.wires[device], self.guest.wires[1]
        near.send(body, kind)
        near.send(labelled(103, 103, 103, 103, 0, inner=self._mark), MPLS)
        found = []
        while (frame := far.receive_any()) is not None and not frame[1].endswith(b"mark"):
            found.append(Out(1, *frame))
        assert frame is not None, "the router is silent"
        while (frame := self.guest.wires[0].receive_any(0.0)) is not None:
            found.append(Out(0, *frame))
        return found


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelLsr]:
    with Guest(tmp_path_factory.mktemp("uml"), devices=2) as guest:
        found = Deep(guest)
        guest.load("vrf")
        guest.ip(
            f"route add 10.1.0.0/24 via {BEFORE}",
            f"route add 10.2.0.0/24 via {AFTER}",
            "link add red type vrf table 10",
            "link set red up",
            f"route add 10.2.0.0/24 table 10 via {BEFORE} dev vec0",
            f"route add 10.1.0.0/24 table 10 via {BEFORE} dev vec0",
        )
        found.setting("net.mpls.conf.lo.input", 1)
        found.route("100 as 200")
        found.route("101")
        found.route("102 as 300/301")
        found.route("103", "dev lo")
        found.route("104", "dev red")
        found.route("105 as 0")
        found.impose("10.3.0.0/24", "400/401")
        found.impose("10.4.0.0/24", "402")
        yield found


def router(kernel: KernelLsr, habits: Habits) -> Lsr:
    """The same tables here. Frames go to our own wire's end, so that they compare."""
    lsr = Lsr(
        "here",
        [
            Interface(f"vec{n}", Ethernet(wire.peer, wire.ours), 1500, "", number(ROUTER[n]))
            for n, wire in enumerate(kernel.guest.wires)
        ],
        habits,
    )
    lsr.vrfs["red"] = type(lsr.vrfs[""])()
    lsr.labels = {
        100: Towards("vec1", (200,)),
        101: Towards("vec1"),
        102: Towards("vec1", (300, 301)),
        103: Inside(),
        104: Inside("red"),
        105: Towards("vec1", (0,)),
    }
    for prefix, route in (
        ("10.1.0.0", Towards("vec0")),
        ("10.2.0.0", Towards("vec1")),
        ("10.3.0.0", Towards("vec1", (400, 401))),
        ("10.4.0.0", Towards("vec1", (402,))),
    ):
        lsr.vrfs[""].add(number(prefix), 24, route)
    for prefix in ("10.1.0.0", "10.2.0.0"):
        lsr.vrfs["red"].add(number(prefix), 24, Towards("vec0"))
    return lsr


def packet(ttl: int = 50, destination: str = "10.2.0.1", size: int = 60, flags: int = 2) -> bytes:
    ends = number("10.1.0.1"), number(destination)
    return IPV4_FRAME.build(IPv4(*ends, 17, 7, ttl, bytes(size - 20), 0, flags))


def ours(lsr: Lsr, kernel: KernelLsr, body: bytes, kind: int = MPLS) -> list[Out]:
    wire = kernel.guest.wires[0]
    outcome = lsr.forward(wire.peer + wire.ours + kind.to_bytes(2, "big") + body, "vec0", 0)
    if isinstance(outcome, Dropped):
        return []
    return [Out(int(each.port[3:]), int.from_bytes(each.frame[12:14], "big"), each.frame[14:]) for each in outcome]


def comparable(found: list[Out]) -> list[Out]:
    """An error of the router has an identification that is its own affair, and the checksum over it."""
    return [
        out
        if out.kind != IPV4 or out.body[9] != 1
        else out._replace(body=out.body[:4] + out.body[6:10] + out.body[12:])
        for out in found
    ]


def test_random_stacks_leave_as_the_kernel_lets_them(kernel: KernelLsr) -> None:
    """600 stacks of one to four labels, known, unknown and reserved, with every TTL that decides something."""
    lsr = router(kernel, LINUX)
    known = (100, 101, 102, 103, 104, 105, 0, 1, 3, 13, 16, 1999, 0xFFFFF)
    ttls = (0, 1, 2, 3, 64, 255)
    left = 0
    for n in range(600):
        depth = between(1, 4, 8, "depth", n)
        labels = [
            (
                known[between(0, len(known) - 1 if at else 5, 8, f"label{at}", n)],
                between(0, 7, 8, f"class{at}", n),
                ttls[between(0 if at else 1, 5, 8, f"ttl{at}", n)],
            )
            for at in range(depth)
        ]
        if any(label == 104 for label, _, _ in labels[:-1]):
            continue  # a VPN's label above another: the kernel looks the lower one up, a router of ours does not
        sent = labelled(*labels, inner=packet(ttls[between(1, 5, 8, "inner", n)]))
        theirs = kernel.forward(sent)
        assert comparable(ours(lsr, kernel, sent)) == comparable(theirs), f"stack {n}: {labels}"
        left += len(theirs)
    assert left > 200


@pytest.mark.parametrize("ttl", [1, 2, 3, 64])
def test_the_pipe_model(kernel: KernelLsr, ttl: int) -> None:
    lsr = router(kernel, PIPE)
    kernel.setting("net.mpls.ip_ttl_propagate", 0)
    try:
        for sent, kind in (
            (labelled(101, inner=packet(ttl), ttl=10), MPLS),
            (labelled(103, inner=packet(ttl), ttl=10), MPLS),
            (labelled(104, inner=packet(ttl), ttl=10), MPLS),
            (labelled(101, inner=packet(50), ttl=ttl), MPLS),
            (packet(ttl, "10.3.0.1"), IPV4),
        ):
            assert comparable(ours(lsr, kernel, sent, kind)) == comparable(kernel.forward(sent, kind))
    finally:
        kernel.setting("net.mpls.ip_ttl_propagate", 1)


@pytest.mark.parametrize("size", [60, 1492, 1493, 1496, 1497, 1500])
@pytest.mark.parametrize("destination", ["10.3.0.1", "10.4.0.1", "10.2.0.1"])
@pytest.mark.parametrize("flags", [0, 2], ids=["may-fragment", "df"])
def test_imposition_and_what_is_too_long_for_it(kernel: KernelLsr, size: int, destination: str, flags: int) -> None:
    """Labels put on, the error with the room that is left, or pieces, cut where the kernel cuts them."""
    sent = packet(50, destination, size, flags)
    theirs = kernel.forward(sent, IPV4)
    assert comparable(ours(router(kernel, LINUX), kernel, sent, IPV4)) == comparable(theirs)
    assert theirs


def test_a_ttl_that_ends_at_the_edge(kernel: KernelLsr) -> None:
    for destination in ("10.2.0.1", "10.3.0.1"):
        sent = packet(1, destination)
        assert comparable(ours(router(kernel, LINUX), kernel, sent, IPV4)) == comparable(kernel.forward(sent, IPV4))


def test_without_a_bottom_the_kernel_forwards_and_we_do_not(kernel: KernelLsr) -> None:
    """The third place where it is not the model."""
    sent = (100 << 12 | 64).to_bytes(4, "big") + bytes(40)
    (out,) = kernel.forward(sent)
    assert ours(router(kernel, LINUX), kernel, sent) == [out]
    assert ours(router(kernel, STANDARD), kernel, sent) == []


def test_the_exceptions_are_the_only_differences(kernel: KernelLsr) -> None:
    """By the standard: the traffic class is kept, the TTL goes into the label below, one router is one hop."""
    lsr = router(kernel, STANDARD)
    swap = labelled((100, 5, 64), inner=packet())
    assert ours(lsr, kernel, swap)[0].body[2] ^ kernel.forward(swap)[0].body[2] == 5 << 1
    pop = labelled((101, 0, 64), (777, 0, 9), inner=packet())
    assert (ours(lsr, kernel, pop)[0].body[3], kernel.forward(pop)[0].body[3]) == (63, 9)
    lookup = labelled(103, inner=packet(), ttl=64)
    assert (ours(lsr, kernel, lookup)[0].body[8], kernel.forward(lookup)[0].body[8]) == (63, 62)


@pytest.fixture(scope="module")
def tunnel(kernel: KernelLsr) -> Lsr:
    """The kernel's own MPLS in IP (RFC 4023) towards us; what comes in UDP to port 6635 (RFC 7510) its FOU takes out
    and treats alike. Here, the neighbour at the other end."""
    guest = kernel.guest
    guest.load("ipip", "fou")
    guest.run("ip fou add port 6635 ipproto 137")
    guest.ip(
        f"link add mip type ipip local {ROUTER[0]} remote {BEFORE} mode mplsip ttl 64",
        "link set mip up",
        "addr add 10.99.0.2 peer 10.99.0.1 dev mip",
    )
    kernel.setting("net.mpls.conf.mip.input", 1)
    kernel.route("110 as 210", "via inet 10.99.0.1 dev mip")
    here, there = number(BEFORE), number(ROUTER[0])
    return Lsr("here", [Interface("udp", InUdp(here, there)), Interface("ip", InIp(here, there))])


@pytest.mark.parametrize("carrier", ["udp", "ip"])
@pytest.mark.parametrize("size", [20, 21, 1000, 1400])
def test_the_kernel_takes_labels_from_our_tunnels(kernel: KernelLsr, tunnel: Lsr, carrier: str, size: int) -> None:
    """Swapped, and out as Ethernet, or back to us in IP, which our router takes in turn."""
    wire, (near, far) = tunnel.interfaces[carrier].encapsulation, kernel.guest.wires
    inner = packet(size=size)
    # What leaves a tunnel is queued once more than what comes as it is: nothing sent later can tell when it is through.
    near.send(wire.close(True, labelled(100, inner=inner)))
    assert far.receive_any() == (MPLS, labelled(200, inner=inner, ttl=63))
    near.send(wire.close(True, labelled(110, inner=inner)))
    answer = near.receive()
    assert answer is not None
    assert IPV4_FRAME.parse(answer).protocol == 137
    tunnel.labels[210] = Towards("udp", (310,))
    (sent,) = tunnel.forward(answer, "ip", 0)
    assert sent.frame == tunnel.interfaces["udp"].encapsulation.close(True, labelled(310, inner=inner, ttl=62))


def test_a_tunnel_with_a_wrong_checksum_is_dropped_there_and_here(kernel: KernelLsr, tunnel: Lsr) -> None:
    """A UDP checksum of zero is none; any other has to hold."""
    here, there = number(BEFORE), number(ROUTER[0])
    stack = labelled(100, inner=packet())
    right = checksum(here, there, 49_152, 6_635, stack)
    near = InUdp(there, here)
    lsr = Lsr("kernel's twin", [Interface("udp", near), Interface("out", Ethernet(b"\2" * 6, b"\4" * 6))])
    lsr.labels[100] = Towards("out", (200,))
    for given, taken in ((right ^ 0x100, False), (0, True), (right, True)):
        datagram = UDP_FRAME.build(UDP(49_152, 6_635, given, stack))
        sent = IPV4_FRAME.build(IPv4(here, there, 17, 0, 64, datagram))
        kernel.guest.wires[0].send(sent)
        if taken:  # the refused one, which came before, was not among what left
            assert kernel.guest.wires[1].receive_any() == (MPLS, labelled(200, inner=packet(), ttl=63))
        assert isinstance(lsr.forward(sent, "udp", 0), list) is taken
    assert kernel.guest.wires[1].receive_any(0.5) is None
