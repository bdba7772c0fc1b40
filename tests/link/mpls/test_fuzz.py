"""Mutated labels and LDP: whatever comes in, nothing is raised, nothing grows without bound, and what is not understood
changes no table. 20,000 inputs each by default; a million of each in the slow run."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.codecs.catalogue import CATALOGUE
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.ldp import (
    ADDRESS,
    HELLO,
    INITIALIZATION,
    KEEPALIVE,
    LABEL_MAPPING,
    LABEL_REQUEST,
    LABEL_WITHDRAW,
    LDP,
    LDP_FRAME,
    Message,
)
from emulator.codecs.ldp_tlvs import (
    FEC,
    AddressList,
    GenericLabel,
    HelloParameters,
    Prefix,
    SessionParameters,
    TransportAddress,
)
from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.kernel.effects import Note, Wake
from emulator.kernel.time import SECOND
from emulator.link.mpls.drops import Dropped
from emulator.link.mpls.encapsulation import Encapsulation, Ethernet, InIp, InUdp, Plain
from emulator.link.mpls.faults import KINDS, LsrFault
from emulator.link.mpls.habits import LINUX, STANDARD
from emulator.link.mpls.ldp.effects import Dial, HangUp, Multicast, Say
from emulator.link.mpls.ldp.settings import Settings
from emulator.link.mpls.ldp.speaker import Speaker
from emulator.link.mpls.lsr import Interface, Lsr
from emulator.link.mpls.provider import Provider
from emulator.link.mpls.tables import Inside, Towards
from emulator.link.profile import Direction, LinkProfile
from emulator.link.stage import Leg, Refused

counts = pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])

US, PEER, CUSTOMER, FAR = 0xC6120001, 0xC6120002, 0x0A000001, 0x0A800005
OURS, THEIRS = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
ODD = (0, 1, 2, 3, 0x0F, 0x10, 0x3F, 0x45, 0x7F, 0x80, 0x81, 0xC0, 0xFE, 0xFF)


def mutated(pieces: list[bytes], count: int, seed: str) -> Iterator[bytes]:
    """Damaged pieces: bytes changed, cut, inserted, doubled, parts of another."""
    chance = random.Random(seed)
    for _ in range(count):
        body = bytearray(chance.choice(pieces))
        for _ in range(chance.randint(0, 4)):
            at = chance.randrange(len(body) + 1)
            kind = chance.randrange(6)
            if kind <= 1 and at < len(body):
                body[at] = chance.choice(ODD) if kind else body[at] ^ 1 << chance.randrange(8)
            elif kind == 2:
                del body[at : at + chance.randint(1, 8)]
            elif kind == 3:
                body[at:at] = chance.randbytes(chance.randint(1, 6))
            elif kind == 4:
                body[at:] = chance.choice(pieces)[at:]
            elif kind == 5:
                body += body[at : at + 40]
        yield bytes(body)


def inside(ttl: int = 64, size: int = 30, flags: int = 2) -> bytes:
    return IPV4_FRAME.build(IPv4(CUSTOMER, FAR, 17, 1, ttl, bytes(size), 0, flags))


STACKS = [
    MPLS_FRAME.build(MPLS(tuple(Label(label, 1, ttl) for label in labels), inside(ttl)))
    for ttl in (1, 2, 64)
    for labels in (
        (100,),
        (101, 104),
        (102, 100),
        (103,),
        (104,),
        (105, 105, 100),
        (0,),
        (0, 104),
        (1, 100),
        (3,),
        (13,),
    )
]


def routers() -> Iterator[tuple[Lsr, Encapsulation]]:
    """Every encapsulation with either habits, with and without faults; and the neighbour's end of the wire."""
    wires: tuple[tuple[Encapsulation, Encapsulation], ...] = (
        (Ethernet(OURS, THEIRS), Ethernet(THEIRS, OURS)),
        (InUdp(US, PEER), InUdp(PEER, US)),
        (InIp(US, PEER), InIp(PEER, US)),
    )
    for ours, theirs in wires:
        for habits in (STANDARD, LINUX):
            for faults in (
                (),
                tuple(LsrFault(kind, label) for kind, label in zip(KINDS, range(198, 204), strict=True)),
            ):
                customer = Interface("v", Plain(), 60, "v", CUSTOMER + 9)
                lsr = Lsr("P", [Interface("core", ours, 120, "", US), customer], habits)
                lsr.labels = {
                    100: Towards("core", (200,)), 101: Towards("core"), 102: Towards("core", (200, 201)),
                    103: Towards("v"), 104: Inside("v"), 105: Inside(),
                }  # fmt: skip
                lsr.vrfs["v"].add(0x0A800000, 9, Towards("core", (300, 400)))
                lsr.vrfs["v"].add(CUSTOMER & ~0xFF, 24, Towards("v"))
                lsr.vrfs[""].add(0, 0, Towards("v"))
                lsr.faults = faults
                yield lsr, theirs


@counts
def test_a_router_forwards_or_says_why(count: int) -> None:
    every = list(routers())
    drops = 0
    for n, (lsr, theirs) in enumerate(every):
        tables = dict(lsr.labels)
        pieces = [theirs.close(True, stack) for stack in STACKS]
        pieces += [
            theirs.close(False, inside(ttl, size, flags)) for ttl in (1, 9) for size in (0, 90) for flags in (0, 2)
        ]
        for frame in mutated(pieces, count // len(every), f"lsr {n}"):
            outcome = lsr.forward(frame, "core", 0)
            if isinstance(outcome, Dropped):
                drops += 1
                continue
            assert outcome, "a router that keeps a packet says so"
            for sent in outcome:
                # An Ethernet header is not part of the MTU.
                extra = 14 if isinstance(theirs, Ethernet) and sent.port == "core" else 0
                assert len(sent.frame) <= lsr.interfaces[sent.port].mtu + extra
        assert lsr.labels == tables
        assert sum(lsr.dropped.values()) > 0
    assert 0.1 < drops / count < 0.95, "both ways were taken"


@counts
def test_customers_send_anything(count: int) -> None:
    """What a customer sends cannot raise, and never leaves for another VPN."""
    pieces = [inside(ttl, size, flags) for ttl in (1, 2, 64) for size in (0, 8, 60, 300) for flags in (0, 1, 2)]
    lsr, theirs = next(routers())
    for packet in mutated(pieces, count, "customer"):
        outcome = lsr.forward(packet, "v", 0)
        for sent in outcome if isinstance(outcome, list) else ():
            if sent.port == "core":
                labelled, stack = theirs.open(sent.frame)
                assert labelled
                assert [each.label for each in MPLS_FRAME.parse(stack).labels] == [300, 400]


@counts
def test_the_link_refuses_or_delivers(count: int) -> None:
    stage = Provider(Leg(1, 3, Direction.DOWN, LinkProfile()))
    sent = [stage.wrap(inside(64, size)) for size in (0, 30, 200)]
    through = 0
    for packet in mutated(sent, count, "provider"):
        try:
            stage.unwrap(packet)
        except Refused:
            continue
        through += 1
    assert 0 < through < count


# LDP

A, B = 0x0A000001, 0x0A000002
NEIGHBOUR = Prefix(1, 32, A)


def pdu(*messages: Message, router: int = A) -> bytes:
    return LDP_FRAME.build(LDP(router, 0, messages))


HELLO_PDU = pdu(Message(HELLO, 1, (HelloParameters(15, 0), TransportAddress(A))))
OPENING = pdu(Message(INITIALIZATION, 1, (SessionParameters(1, 30, 0, 0, 4096, B, 0),))) + pdu(
    Message(KEEPALIVE, 2, ())
)
SESSION = [
    OPENING,
    pdu(Message(ADDRESS, 3, (AddressList(1, (A, PEER)),))),
    pdu(Message(LABEL_MAPPING, 4, (FEC((NEIGHBOUR,)), GenericLabel(100)))),
    pdu(
        Message(LABEL_MAPPING, 5, (FEC((NEIGHBOUR, Prefix(1, 8, 0x0B000000))), GenericLabel(3))),
        Message(KEEPALIVE, 6, ()),
    ),
    pdu(Message(LABEL_REQUEST, 7, (FEC((NEIGHBOUR,)),))),
    pdu(Message(LABEL_WITHDRAW, 8, (FEC((NEIGHBOUR,)), GenericLabel(100)))),
    *(sample.data for sample in CATALOGUE["ldp"].samples),
]


def speaker() -> Speaker:
    made = Speaker(Lsr("B", [Interface("a", InUdp(US, PEER))]), Settings(B, most=50, hello_hold=65_535), {"a": US})
    made.route((B, 32), None, 0)
    made.route((A, 32), ("a", PEER), 0)
    made.start(0)
    made.hello(HELLO_PDU.replace(b"\0\x0f", b"\xff\xff", 1), PEER, "a", 0)
    return made


def tables(one: Speaker) -> Any:
    lsr = one.bindings.lsr
    return dict(lsr.labels), list(lsr.vrfs[""].routes())


@counts
def test_a_neighbour_says_anything(count: int) -> None:
    """Through every state of a session. It may end, but then its labels are gone; or go on, but then within bounds."""
    one = speaker()
    bare = tables(one)
    ended = used = 0
    for n, data in enumerate(mutated(SESSION, count, "session")):
        session = one.sessions[A]
        now = n // 100 * SECOND
        if session.state == "idle":
            assert tables(one) == bare, "labels of a session that is over"
            one.connected(A, now)
            if n % 3:
                one.received(A, OPENING, now)
                one.received(A, SESSION[1], now)
        for effect in one.received(A, data, now):
            assert isinstance(effect, Say | HangUp | Note | Wake | Dial | Multicast)
            if isinstance(effect, Say) and n % 8 == 0:
                LDP_FRAME.parse(effect.data)
            ended += isinstance(effect, HangUp)
        used += tables(one) != bare
        assert len(one.sessions) == 1
        assert all(len(known) <= 50 for known in (*one.bindings.remote.values(), *one.bindings.addresses.values()))
        assert len(session._rest) <= 4_100
    assert ended > count // 20
    assert used > count // 50


@counts
def test_anybody_says_hello(count: int) -> None:
    """Datagrams from anywhere change no table and end no session; neighbours that they invent are bounded."""
    one = speaker()
    one.connected(A, 0)
    for data in (OPENING, SESSION[1], SESSION[2]):
        one.received(A, data, 0)
    before = tables(one)
    pieces = [HELLO_PDU, *(sample.data for sample in CATALOGUE["ldp"].samples)]
    for n, data in enumerate(mutated(pieces, count, "hello")):
        one.hello(data, n & 0xFFFFFFFF, "a", 0)
    assert tables(one) == before
    assert one.sessions[A].state == "operational"
    assert len(one.adjacencies.until) <= 1_024
