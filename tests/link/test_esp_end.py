"""Two gateways' ends against each other: both modes, every suite, rekeying, NAT, fitting the MTU, refusals."""

from random import Random

import pytest

from emulator.codecs import udp
from emulator.codecs.ike_payloads import Selector
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.crypto.esp_sa import SaState
from emulator.crypto.esp_suites import SUITES, suite
from emulator.errors import UsageError
from emulator.kernel.time import SECOND
from emulator.link.encap import KEEPALIVE, datagram
from emulator.link.esp_end import EspEnd, EspSettings, Received
from emulator.link.esp_spec import SaSpec, inner_mtu
from emulator.link.ike.effects import Address, ChildDown, PathChanged
from emulator.link.nat import Nat, NatSettings

LEFT, RIGHT, PUBLIC = 0xC6120000, 0xC6130000, 0xC0000201
HEAD, HUB = 0x0A000001, 0x0A800005


def spec(spi: int, name: str = "aes128gcm16", esn: bool = False) -> SaSpec:
    sizes = suite(name)
    return SaSpec(spi, name, bytes([spi & 255]) * sizes.key, b"salt"[: sizes.salt], bytes(sizes.integrity), esn)


def selector(first: int, last: int, protocol: int = 0, ports: tuple[int, int] = (0, 65_535)) -> tuple[Selector, ...]:
    return (Selector(7, protocol, *ports, first.to_bytes(4, "big"), last.to_bytes(4, "big")),)


def pair(name="aes128gcm16", settings=None, other=None, *, esn=False, **options) -> tuple[EspEnd, EspEnd]:
    left, right = EspEnd(LEFT, RIGHT, settings), EspEnd(RIGHT, LEFT, other or settings)
    down, up = spec(0x1001, name, esn), spec(0x2002, name, esn)
    left.up(down, up, **options)
    right.up(up, down, **options)
    return left, right


def packet(size: int = 120, *, source=HEAD, destination=HUB, flags=2, service=0, port=4059) -> bytes:
    payload = bytes(n * 31 & 255 for n in range(size - 28))
    total = udp.checksum(source, destination, port, port, payload)
    return IPV4_FRAME.build(
        IPv4(source, destination, 17, 9, 63, UDP_FRAME.build(UDP(port, port, total, payload)), service, flags)
    )


def carry(sender: EspEnd, receiver: EspEnd, inner: bytes, now: int = 0) -> list[Received]:
    sent = sender.send(inner, now)
    assert sent.reason == ""
    return [receiver.receive(one, now) for one in sent.packets]


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("esn", [False, True], ids=["short", "extended"])
@pytest.mark.parametrize("encap", [False, True], ids=["bare", "udp"])
def test_every_suite_to_the_last_byte_of_the_mtu(name: str, esn: bool, encap: bool) -> None:
    """Both ways; the largest inner packet fits the MTU as well as it says and the next larger one does not."""
    left, right = pair(name, esn=esn, encap=encap)
    room = inner_mtu(name, 1500, encap=encap)
    for size in (28, 29, 30, 31, 45, 500, room):
        for sender, receiver, inner in (
            (left, right, packet(size)),
            (right, left, packet(size, source=HUB, destination=HEAD)),
        ):
            (outer,) = sender.send(inner, 0).packets
            assert len(outer) <= 1500
            assert receiver.receive(outer, 0)[:2] == ("packet", inner)
    assert 1500 - len(left.send(packet(room), 0).packets[0]) < suite(name).grain
    refused = left.send(packet(room + 1), 0)
    assert refused.reason == "too big"
    assert not refused.packets


def test_too_big_with_df_is_answered_with_what_fits() -> None:
    left, _ = pair(encap=True)
    sent = left.send(packet(1439), 0)
    assert sent.back is not None
    back = IPV4_FRAME.parse(sent.back)
    assert (back.source, back.destination, back.protocol) == (LEFT, HEAD, 1)
    assert int.from_bytes(back.payload[6:8], "big") == 1438
    assert left.send(packet(1438), 0).back is None


@pytest.mark.parametrize("encap", [False, True])
def test_cut_before_it_is_sealed(encap: bool) -> None:
    """Each piece is a packet of the tunnel; the far host puts them together."""
    left, right = pair(encap=encap)
    whole = packet(4000, flags=0)
    answers = carry(left, right, whole)
    assert [one.what for one in answers] == ["packet"] * 3
    pieces = [IPV4_FRAME.parse(one.data) for one in answers]
    assert b"".join(piece.payload for piece in pieces) == IPV4_FRAME.parse(whole).payload
    assert [piece.flags for piece in pieces] == [1, 1, 0]


@pytest.mark.parametrize("encap", [False, True])
@pytest.mark.parametrize("df", ["copy", "clear"])
def test_cut_after_it_is_sealed(encap: bool, df) -> None:
    """ESP's own packet travels in pieces, in any order, and is whole before it is opened. With DF never set outside
    even what must not be cut gets through."""
    settings = EspSettings(fragment="after", df=df)
    left, right = pair(settings=settings, encap=encap)
    for flags in (0, 2) if df == "clear" else (0,):
        whole = packet(4000, flags=flags)
        sent = left.send(whole, 0)
        assert len(sent.packets) == 3
        assert max(map(len, sent.packets)) <= 1500
        answers = [right.receive(one, 0) for one in reversed(sent.packets)]
        assert [one.what for one in answers] == ["waiting", "waiting", "packet"]
        assert answers[-1].data == whole
    assert left.send(packet(4000, flags=2), 0).reason == ("" if df == "clear" else "too big")


@pytest.mark.parametrize("fragment", ["before", "after"])
@pytest.mark.parametrize("df", ["copy", "set", "clear"])
@pytest.mark.parametrize("tunnel", [True, False], ids=["tunnel", "transport"])
@pytest.mark.parametrize("flags", [0, 2])
def test_nothing_over_the_mtu_leaves(fragment, df, tunnel: bool, flags: int) -> None:
    """Whatever the settings: all that leaves fits, DF is as it is set, and what cannot be is answered."""
    left, right = pair(settings=EspSettings(fragment=fragment, df=df), tunnel=tunnel)
    source, destination = (HEAD, HUB) if tunnel else (LEFT, RIGHT)
    sent = left.send(packet(2500, source=source, destination=destination, flags=flags), 0)
    outers = [IPV4_FRAME.parse(one) for one in sent.packets]
    assert all(len(one) <= 1500 for one in sent.packets)
    assert {one.flags & 2 for one in outers} <= {{"copy": flags, "set": 2, "clear": 0}[df]}
    refused = flags == 2 if df == "copy" else df == "set" and (flags == 2 or not tunnel)
    assert (sent.reason, sent.back is not None, len(sent.packets)) == (
        ("too big", True, 0) if refused else ("", False, 2)
    )
    assert [right.receive(one, 0).what for one in sent.packets][-1:] == ([] if refused else ["packet"])


@pytest.mark.parametrize("fragment", ["before", "after"])
def test_payloads_for_a_socket(fragment) -> None:
    """On a UDP socket the headers are the system's: the same ESP packets, marked by nothing but their SPI."""
    left, right = pair(settings=EspSettings(fragment=fragment), encap=True)
    for flags, size in ((2, 1438), (0, 3000)):
        sent = left.send_udp(packet(size, flags=flags), 0)
        assert len(sent.packets) == (3 if size > 1438 and fragment == "before" else 1)
        answers = [right.receive_udp(one, LEFT, 4500) for one in sent.packets]
        assert [one.what for one in answers] == ["packet"] * len(answers)
    assert left.send_udp(packet(1439), 0).back is not None


def test_the_outer_header() -> None:
    """DF as the inner one has it or as it is set, DSCP copied and ECN not, the TTL of the settings."""
    for df, flags, wanted in (("copy", 2, 2), ("copy", 0, 0), ("set", 0, 2), ("clear", 2, 0)):
        left, _ = pair(settings=EspSettings(df=df, outer_ttl=99))
        outer = IPV4_FRAME.parse(left.send(packet(flags=flags, service=0xBB), 0).packets[0])
        assert (outer.flags, outer.ttl, outer.service, outer.protocol) == (wanted, 99, 0xB8, 50)
        assert (outer.source, outer.destination) == (LEFT, RIGHT)


@pytest.mark.parametrize("encap", [False, True])
@pytest.mark.parametrize("name", ["aes128gcm16", "aes256gcm8", "aes128-sha256", "chacha20poly1305"])
def test_transport_mode(name: str, encap: bool) -> None:
    """The packet's own header goes outside; hosts are their own gateways. A fragment, or another host's packet, does
    not belong there."""
    left, right = pair(name, tunnel=False, encap=encap)
    for size in (28, 45, 1000, inner_mtu(name, 1500, encap=encap, tunnel=False)):
        inner = packet(size, source=LEFT, destination=RIGHT)
        (answer,) = carry(left, right, inner)
        assert answer.what == "packet"
        got, was = IPV4_FRAME.parse(answer.data), IPV4_FRAME.parse(inner)
        assert (got.source, got.destination, got.protocol, got.payload) == (LEFT, RIGHT, 17, was.payload)
    assert left.send(packet(), 0).reason == "selector"
    piece = IPV4_FRAME.build(IPv4(LEFT, RIGHT, 17, 0, 64, bytes(64), flags=1))
    assert left.send(piece, 0).reason == "malformed"


def test_transport_mode_through_a_nat_has_good_checksums() -> None:
    """What the inner checksum covered is not what arrives (RFC 3948 3.1.2): UDP and TCP are made good, no checksum
    stays none."""
    nat = Nat(1, 0, PUBLIC)
    left, right = pair(tunnel=False, encap=True)
    right.peer = (PUBLIC, 4500)
    for protocol, at in ((17, 6), (6, 16)):
        total = bytes(20)
        payload = b"\x0f\xdb\x0f\xdb" + (28).to_bytes(2, "big") + b"\1\2" + total[:20] if protocol == 17 else bytes(33)
        inner = IPV4_FRAME.build(IPv4(LEFT, RIGHT, protocol, 0, 64, payload))
        outward = nat.outward(left.send(inner, 0).packets[0], 0)
        assert outward is not None
        answer = right.receive(outward, 0)
        got = IPV4_FRAME.parse(answer.data)
        assert (got.source, got.destination) == (PUBLIC, RIGHT)
        odd = got.payload + b"\0" * (len(got.payload) & 1)
        assert (int.from_bytes(odd, "big") + PUBLIC + RIGHT + protocol + len(got.payload)) % 65_535 == 0
        assert got.payload[:at] == payload[:at]
    none = UDP_FRAME.build(UDP(1, 2, 0, b"data"))
    outward = nat.outward(left.send(IPV4_FRAME.build(IPv4(LEFT, RIGHT, 17, 0, 64, none)), 0).packets[0], 0)
    assert outward is not None
    assert IPV4_FRAME.parse(right.receive(outward, 0).data).payload == none


def test_a_nat_rebinds_and_the_peer_follows() -> None:
    """New port and address: the next authentic packet moves the peer, answers reach it again. Neither a forged packet,
    nor a replayed one, nor an old one that was long on its way moves anything."""
    nat = Nat(1, 0, PUBLIC)
    inside, server = EspEnd(LEFT, RIGHT), EspEnd(RIGHT, PUBLIC)
    inside.up(spec(1001), spec(2002), encap=True)
    server.up(spec(2002), spec(1001), encap=True)

    def through(inner: bytes = packet()) -> bytes:
        out = nat.outward(inside.send(inner, 0).packets[0], 0)
        assert out is not None
        return out

    old = through()
    first = server.receive(through(), 0)
    assert first.moved
    assert server.peer == nat.mapped(LEFT, 4500)
    assert not server.receive(through(), 0).moved
    for turn in range(3):
        nat.rebind(PUBLIC + turn)
        lost = server.send(packet(source=HUB, destination=HEAD), 0).packets[0]
        assert nat.inward(lost, 0) is None
        fresh = through()
        forged = fresh[:-1] + bytes([fresh[-1] ^ 1])
        assert server.receive(forged, 0).reason == "integrity"
        before = server.peer
        assert server.receive(fresh, 0).moved
        assert server.peer == nat.mapped(LEFT, 4500) != before
        assert server.receive(fresh, 0).reason == "replay"
        back = nat.inward(server.send(packet(source=HUB, destination=HEAD), 0).packets[0], 0)
        assert back is not None
        assert inside.receive(back, 0).what == "packet"
    here = server.peer
    assert server.receive(old, 0)[:1] == ("packet",)  # inside the window, but it is no news
    assert server.peer == here
    still = EspEnd(RIGHT, PUBLIC, EspSettings(follow=False))
    still.up(spec(2002), spec(1001), encap=True)
    assert not still.receive(through(), 0).moved


def test_keepalives_hold_a_mapping() -> None:
    """With them what comes after a minute of silence still gets in; without, the NAT has forgotten."""
    for interval, reached in ((20 * SECOND, True), (0, False)):
        nat = Nat(1, 0, PUBLIC, NatSettings(mapping_us=30 * SECOND))
        settings = EspSettings(keepalive_us=interval)
        inside, server = EspEnd(LEFT, RIGHT, settings), EspEnd(RIGHT, PUBLIC)
        inside.up(spec(1001), spec(2002), encap=True)
        server.up(spec(2002), spec(1001), encap=True)
        out = nat.outward(inside.send(packet(), 0).packets[0], 0)
        assert out is not None
        server.receive(out, 0)
        sent = 0
        for now in range(0, 61 * SECOND, SECOND):
            made = inside.keepalive(now)
            if made is not None:
                sent += 1
                alive = nat.outward(made, now)
                assert alive is not None
                assert alive[28:] == KEEPALIVE
                assert server.receive(alive, now).what == "keepalive"
        assert sent == (3 if interval else 0)
        back = nat.inward(server.send(packet(source=HUB, destination=HEAD), 0).packets[0], 61 * SECOND)
        assert (back is not None) is reached
    bare, _ = pair()
    bare.send(packet(), 0)
    assert bare.keepalive(1 << 50) is None  # no NAT, no keepalive


def test_rekeying_loses_nothing() -> None:
    """New pair up at both ends, packets of both under way, the old one down: who is told to send sends."""
    left, right = pair()
    under_way = left.send(packet(100), 0).packets[0]
    right.up(spec(0x2003), spec(0x1004), send=False, replaces=0x1001)
    left.up(spec(0x1004), spec(0x2003), replaces=0x2002)
    late = right.send(packet(102, source=HUB, destination=HEAD), 0).packets[0]
    assert late[20:24] == (0x2002).to_bytes(4, "big")
    fresh = left.send(packet(101), 0).packets[0]
    assert fresh[20:24] == (0x1004).to_bytes(4, "big")
    assert [right.receive(one, 0).what for one in (fresh, under_way)] == ["packet", "packet"]
    assert left.receive(late, 0).what == "packet"
    for end, old in ((right, 0x1001), (left, 0x2002)):
        end.down(old)
        end.down(old)
    assert right.spis == (0x1004,)
    assert right.send(packet(source=HUB, destination=HEAD), 0).packets[0][20:24] == (0x2003).to_bytes(4, "big")
    assert right.receive(under_way, 0).reason == "association"
    with pytest.raises(UsageError):
        right.up(spec(1), spec(0x1004))


def test_what_lost_against_the_peers_rekeying_never_sends() -> None:
    """Both ends renewed at once: of two replacements one is only opened with, also when the old one has gone."""
    for winner_first in (True, False):
        left, _ = pair()
        order = [(0x1005, 0x2005, 0x2002), (0x1006, 0x2006, None)]
        for out, into, replaces in order if winner_first else reversed(order):
            left.up(spec(out), spec(into), send=False, replaces=replaces)
        assert left.send(packet(), 0).packets[0][20:24] == (0x1001).to_bytes(4, "big")
        left.down(0x2002)
        assert left.send(packet(), 0).packets[0][20:24] == (0x1005).to_bytes(4, "big")
        left.down(0x2006)
        assert left.spis == (0x2005,)
    late = EspEnd(LEFT, RIGHT)
    late.up(spec(0x1007), spec(0x2007), send=False, replaces=0x2002)  # what it was to replace has gone before
    assert late.send(packet(), 0).reason == ""


def test_the_path_changes() -> None:
    """Where IKE says so: other addresses and ports, and UDP from now on, which leaves less room."""
    left, right = pair()
    assert left.send(packet(1446), 0).reason == ""
    left.apply(PathChanged((0x2002, 0x7777), Address(LEFT + 9, 4500), Address(PUBLIC, 61_000), True))
    assert left.send(packet(1446), 0).reason == "too big"
    outer = IPV4_FRAME.parse(left.send(packet(1438), 0).packets[0])
    assert (outer.source, outer.destination, outer.protocol) == (LEFT + 9, PUBLIC, 17)
    assert UDP_FRAME.parse(outer.payload).destination_port == 61_000
    assert right.receive_udp(outer.payload[8:], PUBLIC, 61_000).what == "packet"
    left.apply(ChildDown(0x2002, 0x1001, "closed"))
    assert left.spis == ()


def test_children_have_their_own_traffic() -> None:
    """Each packet goes by the newest child that serves it, comes out only if it is that child's, and replacing one
    child leaves the others alone."""
    left, right = EspEnd(LEFT, RIGHT), EspEnd(RIGHT, LEFT)
    head, hubs, cosem = selector(HEAD, HEAD), selector(0x0A800000, 0x0AFFFFFF), (17, (4059, 4059))
    for number, (local, remote) in enumerate(
        ((head, hubs), (selector(HEAD, HEAD, *cosem), selector(0x0A800000, 0x0AFFFFFF, *cosem)))
    ):
        left.up(spec(0x1001 + number), spec(0x2001 + number), local=local, remote=remote)
        right.up(spec(0x2001 + number), spec(0x1001 + number), local=remote, remote=local)
    for port, spi in ((4059, 0x1002), (4061, 0x1001)):
        (answer,) = carry(left, right, packet(port=port))
        assert (answer.what, answer.spi) == ("packet", spi)
    for wrong in (packet(source=HEAD + 1), packet(destination=0x0B000000)):
        assert left.send(wrong, 0).reason == "selector"
    liar = EspEnd(LEFT, RIGHT)
    liar.up(spec(0x1002), spec(0x2002))
    for _ in range(3):
        liar.send(packet(), 0)
    assert right.receive(liar.send(packet(port=4061), 0).packets[0], 0).reason == "selector"
    left.up(spec(0x1009), spec(0x2009), local=head, remote=hubs, send=False, replaces=0x2001)
    left.down(0x2001)
    assert left.send(packet(port=4061), 0).packets[0][20:24] == (0x1009).to_bytes(4, "big")


def test_dummies_and_padding_for_confidentiality() -> None:
    """Next header 59 is dropped in silence (RFC 4303 2.6); what stands behind an inner packet is not part of it (2.7);
    another protocol than IPv4 does not come out of a tunnel. All of them count as received."""
    _, right = pair()
    sealing = spec(0x1001).associate()
    inner = packet()

    def outer(payload: bytes, next_header: int) -> bytes:
        return IPV4_FRAME.build(IPv4(LEFT, RIGHT, 50, 0, 64, sealing.seal(payload, next_header)))

    assert right.receive(outer(bytes(40), 59), 0) == Received("dummy", spi=0x1001)
    assert right.receive(outer(inner + bytes(300), 4), 0)[:2] == ("packet", inner)
    assert right.receive(outer(inner[:-1], 4), 0).reason == "malformed"
    assert right.receive(outer(bytes(40), 41), 0).reason == "protocol"
    assert right.receive(outer(b"", 4), 0).reason == "malformed"
    assert right.counts == {"dummy": 1, "packet": 1, "malformed": 2, "protocol": 1}


def test_what_is_refused() -> None:
    """Another gateway's, no ESP, another port, an unknown SPI, cut; the IKE peer's share is handed on."""
    _, right = pair()
    sealed = spec(0x1001).associate().seal(packet(), 4)
    made = {
        "not-ours": IPv4(LEFT, RIGHT + 1, 50, 0, 64, sealed),
        "protocol": IPv4(LEFT, RIGHT, 6, 0, 64, sealed),
        "association": IPv4(LEFT, RIGHT, 50, 0, 64, b"\0\0\1\7" + sealed[4:]),
        "malformed": IPv4(LEFT, RIGHT, 50, 0, 64, sealed[:7]),
        "integrity": IPv4(LEFT, RIGHT, 50, 0, 64, sealed[:-1] + bytes([sealed[-1] ^ 1])),
    }
    for reason, outer in made.items():
        answer = right.receive(IPV4_FRAME.build(outer), 0)
        assert (answer.what, answer.reason) == ("refused", reason)
    for payload, wanted in (
        (datagram(4500, 4501, sealed), "protocol"),
        (datagram(4500, 4500, b"\0\0"), "malformed"),
        (datagram(4500, 4500, sealed)[:-1], "malformed"),
    ):
        assert right.receive(IPV4_FRAME.build(IPv4(LEFT, RIGHT, 17, 0, 64, payload)), 0).reason == wanted
    message = bytes(4) + b"an IKE message"
    assert right.receive_udp(message, LEFT, 4500) == Received("ike", message)
    assert right.receive(b"noise", 0).reason == "malformed"
    left, _ = pair()
    assert left.send(b"noise", 0).reason == "malformed"


def test_a_spent_association_says_so() -> None:
    """After 2^32 - 1 without ESN nothing leaves; with ESN it goes on."""
    for esn, reason in ((False, "exhausted"), (True, "")):
        left, right = pair(esn=esn)
        start = SaState(0xFFFF_FFFF, 0, 0)
        left._children[0x2002].sealing = spec(0x1001, esn=esn).associate(state=start)
        right._children[0x1001].opening = spec(0x1001, esn=esn).associate(state=SaState(1, 0xFFFF_FFF0, 1))
        assert carry(left, right, packet())[0].what == "packet"
        assert left.send(packet(), 0).reason == reason
        assert left.counts["exhausted"] == (0 if esn else 1)


def test_no_secret_is_shown() -> None:
    one = SaSpec(5, "aes128-sha256", b"K" * 16, b"", b"I" * 32)
    assert "KKKK" not in repr(one)
    assert "IIII" not in repr(one)


def mutations(count: int, seed: int) -> None:
    """Nothing but an answer comes of any bytes, and nothing moves that was not authentic."""
    chance = Random(seed)
    for encap in (False, True):
        left, right = pair(encap=encap, settings=EspSettings(fragment="after"))
        inside = [packet(28), packet(120), packet(700), packet(3000, flags=0)]
        good = [outer for inner in inside for outer in left.send(inner, 0).packets]
        before = right._children[0x1001].opening.state(), right.peer
        for _ in range(count // 2):
            bent = bytearray(chance.choice(good))
            for _ in range(chance.randrange(1, 4)):
                at = chance.randrange(len(bent) + 1)
                match chance.randrange(4):
                    case 0 if at < len(bent):
                        bent[at] ^= 1 << chance.randrange(8)
                    case 1:
                        del bent[at:]
                    case 2:
                        bent[at : at + 4] = chance.randbytes(chance.randrange(9))
                    case _ if len(bent) >= 20:  # a header that holds, around whatever stands there
                        total = len(bent) if chance.random() < 0.9 else chance.randrange(65_536)
                        bent[2:4] = total.to_bytes(2, "big")
                        bent[6:8] = chance.choice([b"\0\0", b"\x20\0", b"\x20\5", b"\0\5"])
                        bent[10:12] = b"\0\0"
                        bent[10:12] = (-int.from_bytes(bent[:20], "big") % 65_535).to_bytes(2, "big")
            answer = right.receive(bytes(bent), chance.randrange(100) * SECOND)
            if answer.what in ("packet", "dummy"):  # bent only where a network may change it, or back again
                assert answer.data in inside
                right.down(0x1001)
                right.up(spec(0x2002), spec(0x1001), encap=encap)
                right.peer = before[1]
            assert (right._children[0x1001].opening.state(), right.peer) == before
            assert len(right._pieces) <= right._pieces.limit


def test_mutated_packets_change_nothing() -> None:
    mutations(20_000, 1)


@pytest.mark.slow
def test_a_million_mutated_packets_change_nothing() -> None:
    mutations(1_000_000, 2)
