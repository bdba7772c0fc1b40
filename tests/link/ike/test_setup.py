"""IKE_SA_INIT and IKE_AUTH: what is agreed on, what is refused, and what comes of loss, load and lies."""

from typing import Any

import pytest
from ike_kit import HEAD, HUBS, LEFT, RIGHT, Ends, connection

from emulator.codecs.ike import IKE, IKE_FRAME
from emulator.codecs.ike_payloads import KE, SA, Nonce, Notify, Unknown
from emulator.errors import InputError
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND
from emulator.link.ike import notices
from emulator.link.ike.effects import Address, ChildUp, IkeUp, Transmit
from emulator.link.ike.pair import virtual_pair
from emulator.link.ike.peer import IkePeer
from emulator.link.ike.settings import Child, Identity, Limits, Secret, Timers, network
from emulator.link.ike.tasks import Probe
from emulator.link.profile import STANDARD

IKE_SUITES = [
    f"{cipher}-{prf}-{group}"
    for cipher in ("aes128gcm16", "aes256gcm16", "aes128-sha256", "aes256-sha256", "chacha20poly1305")
    for prf, group in (("prfsha256", "x25519"), ("prfsha384", "ecp256"))
] + ["aes256-sha512-prfsha512-modp2048", "aes128-sha384-prfsha384-x25519"]
ESP_SUITES = ["aes128gcm16", "aes256gcm16-esn", "aes128gcm8", "aes256gcm8-noesn", "aes128-sha256", "aes256-sha256-esn",
              "chacha20poly1305", "chacha20poly1305-esn"]  # fmt: skip


@pytest.mark.parametrize("suite", IKE_SUITES)
def test_every_ike_suite_sets_up(suite: str) -> None:
    """Whatever seals IKE, both ends come to the same child, and a probe goes both ways."""
    ends = Ends(proposals=(suite,)).up()
    assert [len(ends.said(IkeUp, one)) for one in (ends.left, ends.right)] == [1, 1]
    ends.do(ends.right, "rekey_child", ends.children(ends.right)[0].spi_in)
    assert ends.agree() == 1


@pytest.mark.parametrize("suite", ESP_SUITES)
def test_every_esp_suite_has_its_keys(suite: str) -> None:
    """Key, salt and integrity key have the sizes the suite asks for."""
    children = [Child("hubs", *ways, (suite,)) for ways in (((HEAD,), (HUBS,)), ((HUBS,), (HEAD,)))]
    ends = Ends({"children": (children[0],)}, {"children": (children[1],)}).up()
    (child,) = ends.children(ends.left)
    aead = "gcm" in suite or "chacha" in suite
    bits = 256 if "256" in suite.split("-")[0] or "chacha" in suite else 128
    assert len(child.inbound.encryption) * 8 == bits
    assert len(child.inbound.salt) == (4 if aead else 0)
    assert len(child.inbound.integrity) == (0 if aead else 32)
    assert child.esn is ("esn" in suite.split("-"))
    assert child.suite.encryption.icv == (8 if "gcm8" in suite else 16 if aead else 0)


def test_the_responder_takes_the_first_offer_that_fits() -> None:
    """Alternatives are matched in full: cipher, PRF and group each from what both have."""
    ends = Ends(
        {"proposals": ("aes256gcm16-prfsha384-ecp256-x25519", "aes128-sha256-prfsha256-x25519")},
        {"proposals": ("aes128gcm16-aes256gcm16-prfsha384-x25519-modp2048",)},
    ).up()
    assert ends.left.status()[0]["suite"] == "aes256gcm16-prfsha384"


def test_another_group_is_asked_for_and_given() -> None:
    """INVALID_KE_PAYLOAD: one more round, then as usual."""
    ends = Ends(
        {"proposals": ("aes128gcm16-prfsha256-modp2048-ecp256",)}, {"proposals": ("aes128gcm16-prfsha256-ecp256",)}
    )
    ends.up()
    assert [note[-1] for note in ends.notes("ike.refusal", ends.right)] == ["INVALID_KE_PAYLOAD"]


def test_no_common_proposal_ends_when_patience_does() -> None:
    """A refusal anybody could have sent is remembered, and believed only when nothing better came for five seconds."""
    ends = Ends(right={"proposals": ("aes256gcm16-prfsha512-x25519",)})
    ends.do(ends.left, "initiate", "core", seconds=4.9)
    assert ends.reasons(ends.left) == []
    ends.wait(0.2)
    assert ends.reasons(ends.left) == ["refused: NO_PROPOSAL_CHOSEN"]
    assert not ends.right.sas
    assert not ends.said(IkeUp)


def test_a_forged_refusal_does_not_end_a_set_up() -> None:
    """NO_PROPOSAL_CHOSEN from a bystander comes first; the true answer still counts."""

    def path(sent: Transmit, now: Instant) -> list[tuple[int, bytes]]:
        message = IKE_FRAME.parse(sent.payload)
        if sent.source == RIGHT and message.exchange == notices.IKE_SA_INIT:
            forged = replace_payloads(message, (notices.status(notices.NO_PROPOSAL_CHOSEN),))
            return [(5_000, forged), (10_000, sent.payload)]
        return [(10_000, sent.payload)]

    ends = Ends(path=path).up()
    assert ends.notes("ike.refusal", ends.left) == [("core", "NO_PROPOSAL_CHOSEN")]


def replace_payloads(message: IKE, payloads: tuple[Any, ...]) -> bytes:
    return IKE_FRAME.build(
        IKE(message.initiator, 0, message.version, message.exchange, message.flags, message.message_id, payloads)
    )


@pytest.mark.parametrize("end", ["left", "right"])
def test_a_wrong_secret_proves_nothing(end: str) -> None:
    """Both ends end up with nothing, and say why; whichever has the wrong one."""
    ends = Ends(**{end: {"secret": Secret(b"another")}})
    ends.do(ends.left, "initiate", "core")
    assert ends.reasons(ends.left) == ["refused: AUTHENTICATION_FAILED"]
    assert ends.reasons(ends.right) == ["the peer did not prove itself: the pre-shared keys differ"]
    assert not ends.left.sas
    assert not ends.right.sas
    assert not ends.said(ChildUp)


def test_identities_must_fit() -> None:
    """A peer under another name has no connection here, secret or no secret."""
    ends = Ends({"local_id": Identity.of("stranger.example")})
    ends.do(ends.left, "initiate", "core")
    assert ends.reasons(ends.left) == ["refused: AUTHENTICATION_FAILED"]
    assert "no connection for stranger.example" in ends.reasons(ends.right)[0]


def test_traffic_is_narrowed_to_what_both_named() -> None:
    """The answer is the intersection; each end installs the same."""
    left = Child(
        "hubs", (network("10.0.0.0/8"),), (network("10.128.0.0/9"), network("172.16.0.0/12")), ("aes128gcm16",)
    )
    right = Child(
        "hubs", (network("10.200.0.0/16", 17, 4059),), (network("10.0.0.1"), network("10.0.0.2")), ("aes128gcm16",)
    )
    ends = Ends({"children": (left,)}, {"children": (right,)}).up()
    (child,) = ends.children(ends.left)
    assert child.remote_selectors == (network("10.200.0.0/16", 17, 4059),)
    assert child.local_selectors == (network("10.0.0.1"), network("10.0.0.2"))


def test_no_traffic_in_common_leaves_the_ike_sa() -> None:
    """TS_UNACCEPTABLE refuses the child and not the peer; so does a proposal for ESP that nobody else has."""
    for child, why in (
        (Child("hubs", (network("192.168.0.0/16"),), (HEAD,), ("aes128gcm16",)), "TS_UNACCEPTABLE"),
        (Child("hubs", (HUBS,), (HEAD,), ("chacha20poly1305",)), "NO_PROPOSAL_CHOSEN"),
    ):
        ends = Ends(right={"children": (child,)})
        ends.do(ends.left, "initiate", "core")
        assert ends.notes("ike.child.refused", ends.left) == [("core", "hubs", why)]
        assert [sa.state for sa in ends.left.sas.values()] == ["up"]
        assert not ends.said(ChildUp)


def test_transport_mode_is_agreed_on() -> None:
    """Both ends must want it."""
    children = [Child("hubs", *ways, tunnel=False) for ways in (((HEAD,), (HUBS,)), ((HUBS,), (HEAD,)))]
    ends = Ends({"children": (children[0],)}, {"children": (children[1],)}).up()
    assert not ends.children(ends.left)[0].tunnel
    ends = Ends({"children": (children[0],)})
    ends.do(ends.left, "initiate", "core")
    assert ends.notes("ike.child.refused", ends.left) == [("core", "hubs", "not what was offered")]


def test_any_one_datagram_may_be_lost_or_doubled() -> None:
    """Each datagram of the set-up in turn, lost once and then doubled: the same child comes of it."""
    for lost in range(4):
        for copies in (0, 2):
            count = iter(range(100))

            def path(sent: Transmit, now: Instant, lost: int = lost, copies: int = copies, count: Any = count) -> Any:
                return [(10_000, sent.payload)] * (copies if next(count) == lost else 1)

            ends = Ends(path=path)
            ends.do(ends.left, "initiate", "core", seconds=3)
            assert ends.agree() == 1, (lost, copies)
            assert len(ends.left.sas) == len(ends.right.sas) == 1


def test_an_end_that_hears_nothing_gives_up() -> None:
    """Five sendings, one second apart, then one second more."""
    sent: list[Instant] = []
    ends = Ends(path=lambda transmit, now: sent.append(now) or [])
    ends.do(ends.left, "initiate", "core", seconds=5)
    assert sent == [0, *(n * SECOND for n in range(1, 5))]
    assert ends.reasons(ends.left) == ["no answer to the first message"]


def test_cookies_start_under_load() -> None:
    """From the bound on, a set-up must show its address first; it still succeeds, and costs nothing before it does."""
    flood = [request(n) for n in range(30)]
    ends = Ends(right={"remote": None}, limits=Limits(cookies_from=5, half_open=20))
    answers = [ends.right.handle(data, Address(0xC0000300 + n, 500), 0) for n, data in enumerate(flood)]
    replies = [IKE_FRAME.parse(one.payload) for said in answers for one in said if isinstance(one, Transmit)]
    assert sum(notices.notified(one.payloads, notices.COOKIE) is not None for one in replies) == 25
    assert len(ends.right.half_open) == len(ends.right.sas) == 5
    ends.up()
    assert len(ends.right.half_open) == 5
    ends.wait(31)
    assert not ends.right.half_open
    assert len(ends.right.sas) == 1


def request(n: int, **parts: Any) -> bytes:
    """An IKE_SA_INIT of its own."""
    offer = connection(0).offers[0].proposal(1, b"")
    payloads = (SA((offer,)), KE(31, bytes([9]) + bytes(31)), Nonce(n.to_bytes(16, "big")))
    return IKE_FRAME.build(
        IKE(n + 1, 0, 0x20, notices.IKE_SA_INIT, notices.INITIATOR, 0, parts.get("payloads", payloads))
    )


def test_half_open_ones_are_bounded() -> None:
    """With cookies off, the bound holds alone: everywhere and for one address."""
    ends = Ends(right={"remote": None}, limits=Limits(cookies_from=1000, half_open=20, per_address=3))
    for n in range(100):
        ends.right.handle(request(n), Address(0xC0000300 + n // 10, 500), 0)
    assert len(ends.right.half_open) == 20
    assert max(ends.right.half_open_of(0xC0000300 + n) for n in range(10)) == 3


def test_a_foreign_cookie_is_no_cookie() -> None:
    """A cookie holds for its address, its nonce and two minutes."""
    peer = IkePeer("right", [connection(1, remote=None)], b"right", RIGHT, limits=Limits(cookies_from=0))
    here, there = Address(1, 500), Address(2, 500)

    def ask(source: Address, now: Instant, *extra: Notify) -> Notify | None:
        plain = IKE_FRAME.parse(request(7)).payloads
        said = [
            one for one in peer.handle(request(7, payloads=(*extra, *plain)), source, now) if isinstance(one, Transmit)
        ]
        return notices.notified(IKE_FRAME.parse(said[0].payload).payloads, notices.COOKIE) if said else None

    cookie = ask(here, 0)
    assert cookie is not None
    assert ask(there, 0, cookie) is not None
    assert ask(here, 200 * SECOND, cookie) is not None
    assert not peer.half_open
    assert ask(here, 60 * SECOND, cookie) is None
    assert len(peer.half_open) == 1


def test_a_higher_version_is_told_so() -> None:
    """RFC 7296 2.5: INVALID_MAJOR_VERSION to a request, silence to a response."""
    ends = Ends()
    data = bytearray(request(1))
    data[17] = 0x30
    told = [one for one in ends.right.handle(bytes(data), LEFT, 0) if isinstance(one, Transmit)]
    assert IKE_FRAME.parse(told[0].payload).payloads == (notices.status(notices.INVALID_MAJOR_VERSION),)
    data[19] = notices.RESPONSE
    assert not [one for one in ends.right.handle(bytes(data), LEFT, 0) if isinstance(one, Transmit)]


def test_forced_encapsulation_moves_to_4500() -> None:
    """With a false hash both ends believe in a NAT: IKE goes on behind the marker, ESP in UDP."""
    ports = set()

    def path(sent: Transmit, now: Instant) -> list[tuple[int, bytes]]:
        ports.add((sent.source.port, sent.destination.port, sent.payload[:4] == bytes(4)))
        return [(10_000, sent.payload)]

    ends = Ends({"force_encap": True}, path=path).up()
    assert ports == {(500, 500, False), (4500, 4500, True)}
    assert all(child.encap and child.local.port == child.remote.port == 4500 for child in ends.children(ends.left))


def test_the_peer_begins_anew() -> None:
    """A gateway that lost its memory sets up again; the other forgets the old SA by INITIAL_CONTACT."""
    ends = Ends().up()
    fresh = IkePeer("left", [connection(0)], b"left, later", LEFT)
    ends.memory.peers[0] = fresh
    ends.memory.moved(fresh)
    ends.memory.children["left"].clear()
    ends.do(fresh, "initiate", "core")
    assert ends.reasons(ends.right) == ["the peer began anew"]
    assert ends.agree() == 1


def test_a_gateway_that_begins_anew_is_not_begun_with_twice() -> None:
    """Both ends keep the connection: after one lost its memory there is one tunnel, and not one for each."""
    ends = Ends(keep=True).up()
    fresh = IkePeer("left", [connection(0, keep=True)], b"left, later", LEFT)
    ends.memory.peers[0] = fresh
    ends.memory.moved(fresh)
    ends.memory.children["left"].clear()
    ends.do(fresh, "initiate", "core", seconds=20)
    assert ends.agree() == 1
    assert len(fresh.sas) == len(ends.right.sas) == 1


def test_settings_are_refused_with_a_word_on_what_to_do() -> None:
    """Every refusal is an InputError that names the thing."""
    for make, word in (
        (lambda: connection(0, proposals=("aes128gcm16",)), "PRF and a group"),
        (lambda: connection(0, proposals=("aes128gcm16-aes128-sha256-x25519",)), "mixes"),
        (lambda: connection(0, proposals=("aes512-x25519",)), "aes512"),
        (lambda: connection(0, proposals=("aes128gcm8-prfsha256-x25519",)), "16 bytes"),
        (lambda: connection(0, proposals=("aes128-prfsha256-x25519",)), "integrity"),
        (lambda: connection(0, proposals=()), "at least one"),
        (lambda: connection(0, secret=None), "neither"),
        (lambda: connection(0, fragment=100), "fragments"),
        (lambda: Secret(b""), "pre-shared key"),
        (lambda: network("10.0.0.0/33"), "10.0.0.0/33"),
        (lambda: network("10.0.0.256"), "10.0.0.256"),
        (lambda: Identity.of(""), "identity"),
        (lambda: Timers(retransmit=0), "timer"),
        (lambda: Timers(base=0.5), "base"),
        (lambda: IkePeer("x", [connection(0), connection(0)], b"", LEFT), "named"),
        (lambda: Ends().left.initiate("nowhere", 0), "nowhere"),
        (lambda: Ends().left.initiate("core", 0, "nothing"), "nothing"),
        (lambda: Ends().left.rekey_child(7, 0), "00000007"),
        (lambda: Ends({"remote": None}).left.initiate("core", 0), "remote address"),
    ):
        with pytest.raises(InputError, match=word.replace(".", r"\.")):
            make()


def test_no_secret_is_ever_shown() -> None:
    """Neither repr nor status nor a note holds key bytes."""
    ends = Ends().up()
    shown = repr(
        [ends.said(), ends.left.status(), next(iter(ends.left.sas.values())).connection, ends.children(ends.left)]
    )
    child = ends.children(ends.left)[0]
    for secret in (b"a secret of both", child.inbound.encryption, child.outbound.salt):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_a_wish_during_a_set_up_makes_no_second_one() -> None:
    """Whoever is impatient gets one IKE SA all the same."""
    ends = Ends()
    for _ in range(3):
        ends.memory.do(ends.left, ends.left.initiate("core", ends.memory.now))
    ends.wait(1)
    assert ends.agree() == 1
    assert len(ends.right.sas) == 1


def test_one_address_with_two_connections() -> None:
    """Which of them a peer means is known when it says who it is, and only then."""
    ends = Ends()
    other = connection(1, name="other", remote_id=Identity.of("other.example"), secret=Secret(b"not this"))
    mine = ends.right.connections["core"]
    ends.right.connections = {"other": other, "core": mine}
    ends.up()
    assert ends.right.status()[0]["connection"] == "core"


def test_the_same_seed_gives_the_same_tunnel() -> None:
    """For each cell its own; whoever asks, and when."""
    one = virtual_pair(7, 3, STANDARD)
    assert one == virtual_pair(7, 3, STANDARD, now=10**15)
    assert one.down.outbound == one.up.inbound
    assert one.up.outbound == one.down.inbound
    keys = {virtual_pair(seed, cell, STANDARD).down.outbound for seed in (7, 8) for cell in (0, 1)}
    assert len(keys) == 4


def test_fragments_carry_what_one_datagram_would_not() -> None:
    """RFC 7383: every datagram within the limit, pieces in any order and doubled; without it one long one."""
    sizes: list[int] = []

    def path(sent: Transmit, now: Instant) -> list[tuple[int, bytes]]:
        sizes.append(len(sent.payload))
        after = 10_000 + 1_000 * (50 - len(sizes) % 50)
        return [(after, sent.payload), (after + 100, sent.payload)]

    many = tuple(network(f"10.128.{n}.0/25") for n in range(100))
    children = ({"children": (Child("hubs", (HEAD,), many, ("aes128gcm16",)),)}, {"fragment": 576})
    ends = Ends(children[0], children[1], path=path, limits=None)
    ends.up()
    assert max(sizes[2:]) <= 1280 - 28
    assert len(sizes) > 6
    assert ends.children(ends.right)[0].remote_selectors == (HEAD,)
    assert len(ends.children(ends.right)[0].local_selectors) == 100
    whole = Ends({**children[0], "fragment": 0})
    whole.up()


def test_two_children_of_one_connection() -> None:
    """Another child beside the first, in CREATE_CHILD_SA; then one is closed from each end."""

    def both(a: tuple[Any, ...], b: tuple[Any, ...]) -> dict[str, Any]:
        other = network("172.16.0.0/12")
        return {"children": (Child("hubs", a, b), Child("alerts", (other,), (other,), ("aes256gcm16-x25519",)))}

    ends = Ends(both((HEAD,), (HUBS,)), both((HUBS,), (HEAD,))).up()
    ends.do(ends.left, "initiate", "core")
    ends.memory.do(ends.left, ends.left.initiate("core", ends.memory.now, "alerts"))
    ends.wait(1)
    assert ends.agree() == 3
    for peer in (ends.left, ends.right):
        ends.do(peer, "close_child", ends.children(peer)[0].spi_in)
    assert ends.agree() == 1
    ends.do(ends.right, "terminate", "core")
    assert ends.agree() == 0
    assert (ends.standing(ends.left), ends.standing(ends.right)) == (0, 0)


def test_a_critical_payload_nobody_knows_is_refused() -> None:
    """The exchange fails by name, and the SA stays."""

    class Odd(Probe):
        def request(self, sa: Any, now: Instant) -> Any:
            return (Unknown(200, True, b"?"),)

        def response(self, sa: Any, payloads: Any, now: Instant) -> None:
            answers.extend(payloads)

    answers: list[Any] = []
    ends = Ends().up()
    sa = next(iter(ends.left.sas.values()))
    sa.ask(Odd(), ends.memory.now)
    ends.memory.do(ends.left, ends.left._told())
    ends.wait(1)
    assert answers == [notices.status(notices.UNSUPPORTED_CRITICAL_PAYLOAD, bytes((200,)))]
    assert ends.agree() == 1
