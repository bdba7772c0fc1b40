"""LDP between our own routers: neighbours, sessions, labels, and what is done about a neighbour that misbehaves."""

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.ldp import (
    ADDRESS,
    FATAL,
    HELLO,
    INITIALIZATION,
    KEEPALIVE,
    LABEL_MAPPING,
    LABEL_RELEASE,
    LABEL_REQUEST,
    LABEL_WITHDRAW,
    LDP,
    LDP_FRAME,
    NOTIFICATION,
    Message,
)
from emulator.codecs.ldp_tlvs import (
    FEC,
    AddressList,
    GenericLabel,
    HelloParameters,
    OtherElement,
    Prefix,
    RequestId,
    SessionParameters,
    Status,
    TransportAddress,
    UnknownTLV,
    Wildcard,
)
from emulator.errors import InputError, UsageError
from emulator.kernel.effects import Note, Wake
from emulator.kernel.time import SECOND
from emulator.link.mpls.encapsulation import InUdp, Plain
from emulator.link.mpls.ldp.effects import Dial, HangUp, LdpEffect, Multicast, Say
from emulator.link.mpls.ldp.session import Session
from emulator.link.mpls.ldp.settings import Settings
from emulator.link.mpls.ldp.speaker import Speaker
from emulator.link.mpls.lsr import Interface, Lsr
from emulator.link.mpls.network import Network
from emulator.link.mpls.tables import Inside, Towards

A, B, C = 0x0A000001, 0x0A000002, 0x0A000003
"""Three routers in a row; their identifiers are their loopback addresses."""
AB, BA, BC, CB = 0xC6120001, 0xC6120002, 0xC6130001, 0xC6130002
NEAR, FAR = (0x0A0A0000, 16), (0x0AC80000, 16)


class World:
    """Speakers, their wires and their TCP connections, in virtual time."""

    def __init__(self) -> None:
        self.now = 0
        self.speakers: dict[int, Speaker] = {}
        self.wires: dict[tuple[int, str], tuple[int, str]] = {}
        self.connections: set[frozenset[int]] = set()
        self.broken: set[frozenset[int]] = set()
        self.notes: list[tuple[int, int, str, tuple[Any, ...]]] = []
        self.said: list[tuple[int, int, bytes]] = []
        self._under_way: deque[Callable[[], tuple[int, list[LdpEffect]]]] = deque()

    def add(self, speaker: Speaker) -> None:
        self.speakers[speaker.settings.address] = speaker

    def do(self, who: int, effects: list[LdpEffect]) -> None:
        """Carry out effects, and whatever follows from them at once."""
        self._carry(who, effects)
        while self._under_way:
            self._carry(*self._under_way.popleft()())

    def _carry(self, who: int, effects: list[LdpEffect]) -> None:
        for effect in effects:
            match effect:
                case Multicast(interface, datagram):
                    far = self.wires.get((who, interface))
                    if far is not None and frozenset((who, far[0])) not in self.broken:
                        self._later(far[0], lambda s, d=datagram, f=far: s.hello(d, who, f[1], self.now))
                case Dial(address):
                    pair = frozenset((who, address))
                    if pair in self.broken or address not in self.speakers:
                        self._later(who, lambda s, a=address: s.closed(a, self.now))
                    else:
                        self.connections.add(pair)
                        for one, other in ((who, address), (address, who)):
                            self._later(one, lambda s, o=other: s.connected(o, self.now))
                case Say(address, data):
                    self.said.append((who, address, data))
                    if frozenset((who, address)) in self.connections:
                        self._later(address, lambda s, d=data: s.received(who, d, self.now))
                case HangUp(address):
                    pair = frozenset((who, address))
                    if pair in self.connections:
                        self.connections.discard(pair)
                        self._later(address, lambda s: s.closed(who, self.now))
                case Note(kind, detail):
                    self.notes.append((self.now, who, kind, detail))
                case Wake():
                    pass

    def _later(self, who: int, call: Callable[[Speaker], list[LdpEffect]]) -> None:
        self._under_way.append(lambda: (who, call(self.speakers[who])))

    def cut(self, one: int, other: int) -> None:
        """The wire is dead; nobody is told."""
        pair = frozenset((one, other))
        self.broken.add(pair)
        self.connections.discard(pair)

    def run(self, seconds: float) -> None:
        """Let time pass: every speaker is called when it asked to be, and not before."""
        end = self.now + round(seconds * SECOND)
        while True:
            at = min(speaker.next_timer() for speaker in self.speakers.values())
            if at > end:
                break
            self.now = max(self.now, at)
            for who, speaker in self.speakers.items():
                if speaker.next_timer() <= self.now:
                    self.do(who, speaker.tick(self.now))
        self.now = end

    def kinds(self, who: int) -> list[str]:
        return [kind for _, name, kind, _ in self.notes if name == who]


def routers(**settings: Any) -> tuple[World, dict[int, Lsr]]:
    """A - B - C with routes to each other's loopbacks, started; A and C have a customer each."""
    lsrs = {
        A: Lsr("A", [Interface("b", InUdp(AB, BA)), Interface("customer", Plain(), vrf="v")]),
        B: Lsr("B", [Interface("a", InUdp(BA, AB)), Interface("c", InUdp(BC, CB))]),
        C: Lsr("C", [Interface("b", InUdp(CB, BC)), Interface("customer", Plain(), vrf="v")]),
    }
    world = World()
    world.add(Speaker(lsrs[A], Settings(A, **settings), {"b": AB}))
    world.add(Speaker(lsrs[B], Settings(B, **settings), {"a": BA, "c": BC}))
    world.add(Speaker(lsrs[C], Settings(C, **settings), {"b": CB}))
    for one, other in (((A, "b"), (B, "a")), ((B, "c"), (C, "b"))):
        world.wires[one], world.wires[other] = other, one
    known = {
        A: {A: None, B: ("b", BA), C: ("b", BA)},
        B: {A: ("a", AB), B: None, C: ("c", CB)},
        C: {A: ("b", BC), B: ("b", BC), C: None},
    }
    for who, routes in known.items():
        for prefix, route in routes.items():
            world.do(who, world.speakers[who].route((prefix, 32), route, 0))
    for who, speaker in world.speakers.items():
        world.do(who, speaker.start(0))
    return world, lsrs


def test_sessions_come_up_and_labels_are_installed() -> None:
    """Neighbours find each other, the higher address calls, and every router knows every loopback by label; the last
    router but one pops."""
    world, lsrs = routers()
    world.run(20)
    assert {who: sorted(speaker.sessions) for who, speaker in world.speakers.items()} == {A: [B], B: [A, C], C: [B]}
    assert all(s.state == "operational" for speaker in world.speakers.values() for s in speaker.sessions.values())
    assert [speaker.bindings.local[(C, 32)] for speaker in world.speakers.values()] == [17, 17, 3]
    assert lsrs[A].vrfs[""].find(C) == Towards("b", (17,), BA)
    assert lsrs[A].vrfs[""].find(B) == Towards("b", (), BA), "its next hop is its end: nothing to put on"
    assert lsrs[B].labels == {16: Towards("a", (), AB), 17: Towards("c", (), CB)}, "PHP towards both ends"
    assert world.speakers[B].bindings.addresses[A] == {A, AB}


def test_explicit_null_keeps_a_label_on_the_last_wire() -> None:
    world, lsrs = routers(explicit_null=True)
    world.run(20)
    assert lsrs[B].labels[17] == Towards("c", (0,), CB)


def test_a_vpn_rides_on_what_ldp_brought() -> None:
    """Two labels in, one wire on one, at the end the customer's packet; and none when the transport label is gone."""
    world, lsrs = routers()
    world.speakers[A].bindings.vpn("v", FAR, C, 500)
    lsrs[C].labels[500] = Inside("v")
    lsrs[C].vrfs["v"].add(*FAR, Towards("customer"))
    assert lsrs[A].vrfs["v"].find(FAR[0] + 1) is None
    world.run(20)
    assert lsrs[A].vrfs["v"].find(FAR[0] + 1) == Towards("b", (17, 500), BA)
    network = Network(lsrs.values(), [(("A", "b"), ("B", "a")), (("B", "c"), ("C", "b"))])
    packet = IPV4_FRAME.build(IPv4(NEAR[0] + 1, FAR[0] + 1, 17, 1, 64, b"meter"))
    ((router, interface, what),) = network.cross("A", "customer", packet, 0)
    assert (router, interface) == ("C", "customer")
    assert isinstance(what, bytes)
    assert IPV4_FRAME.parse(what) == IPv4(NEAR[0] + 1, FAR[0] + 1, 17, 1, 61, b"meter")
    world.do(C, world.speakers[C].unroute((C, 32), world.now))
    assert 17 not in lsrs[B].labels
    assert [type(one.what).__name__ for one in network.cross("A", "customer", packet, 0)] == ["Dropped"]
    world.do(C, world.speakers[C].route((C, 32), None, world.now))
    assert isinstance(network.cross("A", "customer", packet, 0)[0].what, bytes)


def test_a_vpn_of_the_next_router_needs_its_own_label_alone() -> None:
    """B is A's neighbour and pops for itself; and a VPN route that moves to another edge router leaves the first."""
    world, lsrs = routers()
    world.speakers[A].bindings.vpn("v", FAR, B, 700)
    world.run(20)
    assert lsrs[A].vrfs["v"].find(FAR[0]) == Towards("b", (700,), BA)
    world.speakers[A].bindings.vpn("v", FAR, C, 500)
    assert lsrs[A].vrfs["v"].find(FAR[0]) == Towards("b", (17, 500), BA)
    world.do(B, world.speakers[B].unroute((B, 32), world.now))
    assert lsrs[A].vrfs["v"].find(FAR[0]) == Towards("b", (17, 500), BA)
    with pytest.raises(UsageError, match="no VRF 'w'"):
        world.speakers[A].bindings.vpn("w", FAR, C, 500)


def test_a_withdrawn_label_is_released_and_used_no_more() -> None:
    """The path ends where the label is missing, while IP goes on without labels."""
    world, lsrs = routers()
    world.run(20)
    world.said.clear()
    world.do(B, world.speakers[B].unroute((C, 32), world.now))
    told = [(who, LDP_FRAME.parse(data).messages[0].kind) for who, to, data in world.said if B in (who, to)]
    assert told[:2] == [(B, LABEL_WITHDRAW), (B, LABEL_WITHDRAW)]
    assert sorted(told[2:]) == [(A, LABEL_RELEASE), (C, LABEL_RELEASE)]
    assert lsrs[A].vrfs[""].find(C) == Towards("b", (), BA)
    assert 17 not in lsrs[A].labels


def test_sessions_live_for_hours_on_keepalives() -> None:
    world, _ = routers()
    world.run(2 * 3600)
    assert world.kinds(B).count("ldp.up") == 2
    assert "ldp.down" not in world.kinds(B)


def test_a_dead_wire_is_noticed_and_a_healed_one_used_again() -> None:
    """Within the hello hold time of 15 s the labels of the neighbour are gone; when it answers again, they are back."""
    world, lsrs = routers()
    world.run(20)
    world.cut(B, C)
    world.run(16)
    assert lsrs[A].vrfs[""].find(C) == Towards("b", (17,), BA), "A does not know, and sends what B must drop"
    assert 17 not in lsrs[B].labels
    assert C not in world.speakers[B].bindings.remote
    world.broken.clear()
    world.run(20)
    assert lsrs[B].labels[17] == Towards("c", (), CB)


def test_the_active_side_calls_again_and_waits_longer_each_time() -> None:
    """15, 30, 60, 120, 120 seconds (RFC 5036 2.5.3), as long as hellos are heard and nobody answers the call."""
    lsr = Lsr("C", [Interface("b", InUdp(CB, BC))])
    speaker = Speaker(lsr, Settings(C, hello_hold=65_535), {"b": CB})
    speaker.start(0)
    hello = pdu(B, HELLO, HelloParameters(65_535, 0), TransportAddress(B))
    dials = []
    now = 0
    effects = speaker.hello(hello, BC, "b", now)
    while len(dials) < 6:
        for effect in effects:
            if isinstance(effect, Dial):
                dials.append(now)
        if dials and dials[-1] == now:
            effects = speaker.closed(B, now)
            now += 1
        else:
            now = speaker.next_timer()
            effects = speaker.tick(now)
    assert [round((b - a) / SECOND) for a, b in pairwise(dials)] == [15, 30, 60, 120, 120]


def test_a_restarted_neighbour_replaces_its_old_session() -> None:
    world, lsrs = routers()
    world.run(20)
    fresh = Lsr("C", [Interface("b", InUdp(CB, BC))])
    world.speakers[C] = Speaker(fresh, Settings(C), {"b": CB})
    world.do(C, world.speakers[C].route((C, 32), None, world.now))
    world.do(C, world.speakers[C].start(world.now))
    world.run(20)
    assert world.speakers[B].sessions[C].state == "operational"
    assert lsrs[B].labels[17] == Towards("c", (), CB)


def test_stopping_tells_the_neighbours() -> None:
    world, lsrs = routers()
    world.run(20)
    world.do(C, world.speakers[C].stop(world.now))
    assert (world.now, B, "ldp.down", (C, 0x0A)) in world.notes
    assert 17 not in lsrs[B].labels


def test_unhappy_settings_are_named() -> None:
    with pytest.raises(InputError, match="keepalive is 0; use 1 to 65535"):
        Settings(A, keepalive=0)
    with pytest.raises(UsageError, match="no interface 'x'"):
        Speaker(Lsr("A", []), Settings(A), {"x": 1})
    with pytest.raises(UsageError, match="no prefix"):
        Speaker(Lsr("A", []), Settings(A), {}).route((A, 24), None, 0)


# One session against hand-made messages


def pdu(router: int, kind: int, *parts: Any, space: int = 0, number: int = 7, silent: bool = False) -> bytes:
    return LDP_FRAME.build(LDP(router, space, (Message(kind, number, parts, silent),)))


PARAMETERS = SessionParameters(1, 30, 0, 0, 4096, B, 0)


def facing(state: str = "operational", **settings: Any) -> tuple[Speaker, Lsr]:
    """B's speaker, with a neighbour A that is the test."""
    lsr = Lsr("B", [Interface("a", InUdp(BA, AB))])
    speaker = Speaker(lsr, Settings(B, **settings), {"a": BA})
    speaker.route((B, 32), None, 0)
    speaker.route((A, 32), ("a", AB), 0)
    speaker.start(0)
    speaker.hello(pdu(A, HELLO, HelloParameters(15, 0), TransportAddress(A)), AB, "a", 0)
    if state != "idle":
        speaker.connected(A, 0)
    if state == "operational":
        speaker.received(A, pdu(A, INITIALIZATION, PARAMETERS) + pdu(A, KEEPALIVE), 0)
        speaker.received(A, pdu(A, ADDRESS, AddressList(1, (AB,))), 0)
        assert speaker.sessions[A].state == "operational"
    return speaker, lsr


def answers(effects: list[LdpEffect]) -> list[Message]:
    return [LDP_FRAME.parse(one.data).messages[0] for one in effects if isinstance(one, Say)]


def statuses(effects: list[LdpEffect]) -> list[int]:
    return [part.code for one in answers(effects) for part in one.parts if isinstance(part, Status)]


def test_the_active_side_speaks_first_and_the_shorter_time_holds() -> None:
    speaker, _ = facing("connected")
    session = speaker.sessions[A]
    assert (session.active, session.state) == (True, "open-sent")
    effects = speaker.received(A, pdu(A, INITIALIZATION, PARAMETERS), 0)
    assert [one.kind for one in answers(effects)] == [KEEPALIVE]
    assert (session.state, session.keepalive) == ("open-received", 30)
    effects = speaker.received(A, pdu(A, KEEPALIVE), 0)
    assert [one.kind for one in answers(effects)] == [ADDRESS, LABEL_MAPPING, LABEL_MAPPING]
    assert session.state == "operational"


def test_the_passive_side_waits_and_answers_with_both() -> None:
    lsr = Lsr("A", [Interface("b", InUdp(AB, BA))])
    speaker = Speaker(lsr, Settings(A), {"b": AB})
    speaker.start(0)
    speaker.hello(pdu(B, HELLO, HelloParameters(15, 0), TransportAddress(B)), BA, "b", 0)
    assert not any(isinstance(one, Say | Dial) for one in speaker.connected(B, 0))
    about = SessionParameters(1, 180, 0x80, 0, 0, A, 0)  # on demand is proposed, a PDU of 0 means the default
    capability = UnknownTLV(0x0506, True, False, b"\x80")
    effects = speaker.received(B, pdu(B, INITIALIZATION, about, capability), 0)
    assert [one.kind for one in answers(effects)] == [INITIALIZATION, KEEPALIVE]
    assert answers(effects)[0].parts == (SessionParameters(1, 180, 0, 0, 4096, B, 0),)
    assert speaker.sessions[B].max_pdu == 4096


REJECTED = [
    pytest.param(pdu(A, INITIALIZATION, SessionParameters(2, 30, 0, 0, 4096, B, 0)), 0x02, id="version"),
    pytest.param(pdu(A, INITIALIZATION, SessionParameters(1, 0, 0, 0, 4096, B, 0)), 0x18, id="keepalive 0"),
    pytest.param(pdu(A, INITIALIZATION, SessionParameters(1, 30, 0, 0, 4096, C, 0)), 0x10, id="for another"),
    pytest.param(pdu(C, INITIALIZATION, PARAMETERS), 0x10, id="from another"),
    pytest.param(pdu(A, INITIALIZATION, PARAMETERS, space=1), 0x10, id="another label space"),
    pytest.param(pdu(A, INITIALIZATION), 0x16, id="no parameters"),
    pytest.param(pdu(A, INITIALIZATION, PARAMETERS, UnknownTLV(9, False, False, b"")), 0x06, id="unknown TLV"),
    pytest.param(pdu(A, KEEPALIVE), 0x0A, id="keepalive too early"),
    pytest.param(pdu(A, LABEL_MAPPING), 0x0A, id="label too early"),
    pytest.param(b"\0\2\0\6" + bytes(6), 0x02, id="PDU version"),
    pytest.param(b"\0\1\0\5" + bytes(6), 0x03, id="PDU too short"),
    pytest.param(b"\0\1\xff\xff" + bytes(6), 0x03, id="PDU too long"),
    pytest.param(b"\0\1\0\x0a" + A.to_bytes(4, "big") + b"\0\0\2\0\0\xff", 0x05, id="message length"),
    pytest.param(b"\0\1\0\x12" + A.to_bytes(4, "big") + b"\0\0\2\0\0\x08\0\0\0\1\5\0\0\xff", 0x07, id="TLV length"),
    pytest.param(b"\0\1\0\x13" + A.to_bytes(4, "big") + b"\0\0\2\0\0\x09\0\0\0\1\5\0\0\1\0", 0x08, id="TLV value"),
]


@pytest.mark.parametrize(("said", "status"), REJECTED)
def test_what_must_not_be_said_ends_the_session(said: bytes, status: int) -> None:
    """A fatal notification with the reason, the connection closed, another try later."""
    speaker, _ = facing("connected")
    effects = speaker.received(A, said, SECOND)
    assert statuses(effects) == [FATAL | status]
    assert HangUp(A) in effects
    assert speaker.sessions[A].state == "idle"
    greeting = pdu(A, HELLO, HelloParameters(15, 0), TransportAddress(A))
    assert not any(isinstance(one, Dial) for one in speaker.hello(greeting, AB, "a", 10 * SECOND))
    assert any(isinstance(one, Dial) for one in speaker.tick(16 * SECOND))


def test_a_keepalive_that_fails_to_come_ends_the_session() -> None:
    speaker, lsr = facing()
    speaker.received(A, pdu(A, LABEL_MAPPING, FEC((Prefix(1, 32, A),)), GenericLabel(3)), SECOND)
    assert 16 in lsr.labels
    for second in range(1, 31):  # hellos go on: only the session is dead
        speaker.hello(pdu(A, HELLO, HelloParameters(15, 0), TransportAddress(A)), AB, "a", second * SECOND)
    assert speaker.sessions[A].state == "operational"
    effects = speaker.tick(31 * SECOND)
    assert statuses(effects) == [FATAL | 0x14]
    assert Note("ldp.down", (A, 0x14)) in effects
    assert lsr.labels == {}


def mapping(*elements: Any, label: int | None = 100) -> bytes:
    return pdu(A, LABEL_MAPPING, FEC(elements), *(() if label is None else (GenericLabel(label),)))


ADVISED = [
    pytest.param(pdu(A, LABEL_MAPPING, GenericLabel(5)), 0x16, id="no FEC"),
    pytest.param(mapping(Prefix(1, 32, A), label=None), 0x16, id="no label"),
    pytest.param(mapping(Wildcard()), 0x0C, id="a label for everything"),
    pytest.param(mapping(OtherElement(128, bytes(7))), 0x0C, id="a pseudowire"),
    pytest.param(mapping(Prefix(2, 64, 1 << 127)), 0x17, id="IPv6"),
    pytest.param(pdu(A, ADDRESS), 0x16, id="no addresses"),
    pytest.param(pdu(A, ADDRESS, AddressList(2, (1,))), 0x17, id="IPv6 addresses"),
    pytest.param(pdu(A, 0x3F00), 0x04, id="unknown message"),
    pytest.param(pdu(A, LABEL_REQUEST, FEC((Prefix(1, 32, C),))), 0x0D, id="no route"),
    pytest.param(
        pdu(A, LABEL_WITHDRAW, FEC((Prefix(1, 32, A),)), UnknownTLV(9, False, False, b"")), 0x06, id="unknown TLV"
    ),
]


@pytest.mark.parametrize(("said", "status"), ADVISED)
def test_what_cannot_be_used_is_answered_and_the_session_stays(said: bytes, status: int) -> None:
    speaker, lsr = facing()
    tables = dict(lsr.labels), list(lsr.vrfs[""].routes())
    effects = speaker.received(A, said, SECOND)
    assert statuses(effects) == [status]
    assert answers(effects)[0].parts[0].message_id == 7
    assert speaker.sessions[A].state == "operational"
    assert (dict(lsr.labels), list(lsr.vrfs[""].routes())) == tables


def test_unknown_messages_and_tlvs_with_the_u_bit_pass_in_silence() -> None:
    speaker, lsr = facing()
    assert answers(speaker.received(A, pdu(A, 0x3F00, silent=True), SECOND)) == []
    fec = FEC((Prefix(1, 32, A),))
    said = pdu(A, LABEL_MAPPING, fec, GenericLabel(3), UnknownTLV(0x3FFF, True, True, b"x"))
    assert answers(speaker.received(A, said, SECOND)) == []
    assert lsr.labels[16] == Towards("a", (), AB)


def test_requests_are_answered_with_their_number() -> None:
    speaker, _ = facing()
    (answer,) = answers(speaker.received(A, pdu(A, LABEL_REQUEST, FEC((Prefix(1, 32, B),)), number=99), SECOND))
    assert (answer.kind, answer.parts[1:]) == (LABEL_MAPPING, (GenericLabel(3), RequestId(99)))


def test_a_changed_label_replaces_and_releases_the_old_one() -> None:
    speaker, lsr = facing()
    speaker.received(A, mapping(Prefix(1, 32, A)), SECOND)
    assert lsr.labels[16] == Towards("a", (100,), AB)
    (answer,) = answers(speaker.received(A, mapping(Prefix(1, 32, A), label=200), SECOND))
    assert (answer.kind, answer.parts[1]) == (LABEL_RELEASE, GenericLabel(100))
    assert lsr.labels[16] == Towards("a", (200,), AB)


def test_a_wildcard_withdraws_everything_and_a_wrong_label_nothing() -> None:
    speaker, lsr = facing()
    speaker.received(A, mapping(Prefix(1, 32, A), Prefix(1, 32, C)), SECOND)
    speaker.received(A, pdu(A, LABEL_WITHDRAW, FEC((Prefix(1, 32, A),)), GenericLabel(555)), SECOND)
    assert lsr.labels[16] == Towards("a", (100,), AB)
    effects = speaker.received(A, pdu(A, LABEL_WITHDRAW, FEC((Wildcard(),))), SECOND)
    assert [one.kind for one in answers(effects)] == [LABEL_RELEASE, LABEL_RELEASE]
    assert lsr.labels == {}
    assert speaker.bindings.remote[A] == {}


def test_labels_from_who_is_not_the_next_hop_are_kept_for_later() -> None:
    """Liberal retention: used as soon as the neighbour owns the next hop's address."""
    speaker, lsr = facing()
    speaker.received(A, pdu(A, LABEL_MAPPING, FEC((Prefix(1, 32, C),)), GenericLabel(77)), SECOND)
    speaker.route((C, 32), ("a", 0xC6120099), SECOND)
    assert lsr.vrfs[""].find(C) == Towards("a", (), 0xC6120099)
    speaker.received(A, pdu(A, ADDRESS, AddressList(1, (0xC6120099,))), SECOND)
    assert lsr.vrfs[""].find(C) == Towards("a", (77,), 0xC6120099)


def test_reserved_labels_are_no_labels() -> None:
    speaker, _ = facing()
    assert statuses(speaker.received(A, mapping(Prefix(1, 32, A), label=13), SECOND)) == [FATAL | 0x08]


def test_a_neighbour_cannot_fill_the_memory() -> None:
    speaker, _ = facing(most=2)
    elements = [Prefix(1, 32, 0x0B000000 + n) for n in range(4)]
    effects = speaker.received(A, mapping(*elements), SECOND)
    assert statuses(effects) == [0x0E, 0x0E]
    assert len(speaker.bindings.remote[A]) == 2
    assert statuses(speaker.received(A, pdu(A, ADDRESS, AddressList(1, (1, 2, 3))), SECOND)) == [0x0E]


def test_fatal_notifications_end_and_others_are_noted() -> None:
    speaker, _ = facing()
    assert Note("ldp.told", (A, 0x0D)) in speaker.received(A, pdu(A, NOTIFICATION, Status(0x0D, 1, 2)), SECOND)
    effects = speaker.received(A, pdu(A, NOTIFICATION, Status(FATAL | 0x0A, 0, 0)), SECOND)
    assert HangUp(A) in effects
    assert answers(effects) == [], "a notification is not answered"


def test_bytes_may_come_in_any_pieces() -> None:
    """One at a time, as a TCP stream may bring them."""
    speaker, lsr = facing("connected")
    stream = pdu(A, INITIALIZATION, PARAMETERS) + pdu(A, KEEPALIVE) + pdu(A, ADDRESS, AddressList(1, (AB,)))
    for byte in stream + mapping(Prefix(1, 32, A)):
        speaker.received(A, bytes([byte]), SECOND)
    assert lsr.labels[16] == Towards("a", (100,), AB)


def test_what_is_no_hello_changes_nothing() -> None:
    """Noise, our own hello, another label space, a targeted one, one without parameters; and nobody's connection."""
    lsr = Lsr("B", [Interface("a", InUdp(BA, AB))])
    speaker = Speaker(lsr, Settings(B), {"a": BA})
    speaker.start(0)
    about = HelloParameters(15, 0), TransportAddress(A)
    for datagram in (
        b"", b"\0\1", pdu(A, HELLO, *about)[:-1], pdu(B, HELLO, *about), pdu(A, HELLO, *about, space=1), pdu(A, HELLO),
        pdu(A, HELLO, HelloParameters(45, 0x8000)), pdu(A, KEEPALIVE), pdu(0, HELLO, *about),
        pdu(A, HELLO, HelloParameters(15, 0), TransportAddress(B)),
        pdu(A, HELLO, *about, UnknownTLV(1, False, False, b"")),
    ):  # fmt: skip
        assert any(
            note.kind == "ldp.hello-refused" for note in speaker.hello(datagram, AB, "a", 0) if type(note) is Note
        )
        assert speaker.sessions == {}
        assert speaker.adjacencies.until == {}
    assert HangUp(A) in speaker.connected(A, 0)


def test_a_forged_hello_does_not_move_a_session() -> None:
    speaker, _ = facing()
    speaker.hello(pdu(A, HELLO, HelloParameters(15, 0), TransportAddress(C)), AB, "a", SECOND)
    assert list(speaker.sessions) == [A]
    assert speaker.sessions[A].state == "operational"


def test_neighbours_are_bounded() -> None:
    lsr = Lsr("B", [Interface("a", InUdp(BA, AB))])
    speaker = Speaker(lsr, Settings(B), {"a": BA})
    speaker.start(0)
    for n in range(1_100):
        speaker.hello(pdu(0x0B000000 + n, HELLO, HelloParameters(15, 0)), 0x0B000000 + n, "a", 0)
    assert len(speaker.sessions) == len(speaker.adjacencies.until) == 1_024
    speaker.tick(16 * SECOND)
    assert speaker.sessions == {}


def test_the_session_is_quiet_until_its_timers_say() -> None:
    """An early tick does nothing, and a keepalive goes out after a third of the time agreed."""
    session = Session(Settings(B), A, A)
    session.connected(0)
    assert list(session.receive(pdu(A, INITIALIZATION, PARAMETERS) + pdu(A, KEEPALIVE), 0)) == []
    session.out.clear()
    assert session.next_timer() == 10 * SECOND
    session.tick(10 * SECOND - 1)
    assert session.out == []
    session.tick(10 * SECOND)
    assert [LDP_FRAME.parse(data).messages[0].kind for data in session.out] == [KEEPALIVE]
    assert session.next_timer() == 20 * SECOND
