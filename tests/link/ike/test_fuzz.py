"""Damage: nothing escapes the core, and what is not authentic moves nothing.

Datagrams of a whole life of a tunnel (set-up, fragments, rekeys, probes) are cut, bent, joined and re-addressed, and
thrown at both ends, while they set up and when they stand.
"""

import random
from typing import Any

import pytest
from ike_kit import HEAD, LEFT, RIGHT, Ends, connection, states

from emulator.codecs.ike import IKE_FRAME, IKE_PAYLOADS, Payloads
from emulator.codecs.ike_payloads import (
    KE,
    SA,
    Auth,
    Certificate,
    CertificateRequest,
    Delete,
    Encrypted,
    IDi,
    IDr,
    Nonce,
    Notify,
    Proposal,
    TSi,
    TSr,
    Unknown,
    VendorID,
)
from emulator.errors import FrameError
from emulator.kernel.effects import Instant, Note
from emulator.link.ike import notices
from emulator.link.ike.effects import Address, Transmit
from emulator.link.ike.peer import IkePeer
from emulator.link.ike.settings import Child, Limits, network
from emulator.link.ike.tasks import Probe


def life() -> tuple[Ends, list[Transmit]]:
    """A tunnel that stands, and everything that was ever sent for it."""
    sent: list[Transmit] = []
    many = tuple(network(f"10.128.{n}.0/25") for n in range(40))
    child = {"children": (Child("hubs", (HEAD,), many, ("aes128gcm16-x25519",)),)}
    other = {"children": (Child("hubs", many, (HEAD,), ("aes128gcm16-x25519",)),)}
    ends = Ends({**child, "fragment": 576}, other, path=lambda one, now: sent.append(one) or [(1_000, one.payload)])
    ends.up()
    for peer in (ends.left, ends.right):
        ends.do(peer, "rekey_child", ends.children(peer)[0].spi_in)
        ends.do(peer, "rekey_ike", "core")
    sa = next(iter(ends.left.sas.values()))
    sa.ask(Probe(), ends.memory.now)
    ends.memory.do(ends.left, ends.left._told())
    ends.wait(1)
    assert ends.agree() == 1
    return ends, sent


def bent(chance: random.Random, corpus: list[bytes]) -> bytes:
    """One datagram with a few things wrong with it."""
    body = bytearray(chance.choice(corpus))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(body) + 1)
        kind = chance.randrange(8)
        if kind == 0 and at < len(body):
            body[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and at < len(body):
            body[at] = chance.choice((0, 1, 0x20, 33, 34, 41, 46, 53, 0x80, 0xFF))
        elif kind == 2:
            del body[at:]
        elif kind == 3:
            del body[at : at + chance.randint(1, 9)]
        elif kind == 4:
            body[at:at] = chance.randbytes(chance.randint(1, 9))
        elif kind == 5:
            other = chance.choice(corpus)
            body[at:] = other[min(at, len(other)) :]
        elif kind == 6 and len(body) >= 28:
            body[chance.choice((16, 17, 18, 19, 23))] = chance.choice((0, 1, 8, 0x20, 0x28, 34, 35, 36, 37, 46, 53))
        if kind != 2 and len(body) >= 28 and chance.random() < 0.7:
            body[24:28] = len(body).to_bytes(4, "big")  # or nothing would get past the header
    return bytes(body)


def swept(ends: Ends) -> list[list[Any]]:
    """Both ends' states without the half-open SAs, which anybody may begin."""
    for peer in (ends.left, ends.right):
        for one in list(peer.half_open.values()):
            one.down(0, "swept up by the test")
        peer._told()
    return [states(peer) for peer in (ends.left, ends.right)]


def strike(count: int, seed: int) -> None:
    """Established SAs under fire: their state is the same afterwards, word for word."""
    ends, sent = life()
    corpus = [one.payload for one in sent]
    known = set(corpus)
    chance = random.Random(seed)
    before = swept(ends)
    now = ends.memory.now
    answered = 0
    for n in range(count):
        data = bent(chance, corpus)
        peer, source = ((ends.left, RIGHT), (ends.right, LEFT))[n & 1]
        if chance.random() < 0.2:
            source = Address(chance.getrandbits(32), chance.getrandbits(16))
        said = peer.handle(data, source, now)
        answered += any(isinstance(one, Transmit) for one in said)
        if data in known:
            continue
        assert {type(one) for one in said} <= {Transmit, Note}, data.hex()
        if n % 500 == 0:
            assert swept(ends) == before, data.hex()
    assert answered, "nothing got as far as an answer: the damage is too coarse"
    assert swept(ends) == before
    ends.do(ends.left, "rekey_child", ends.children(ends.left)[0].spi_in)
    assert ends.agree() == 1


def test_damage_moves_nothing() -> None:
    """Twenty thousand damaged datagrams."""
    strike(20_000, 1)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_a_million_damaged_datagrams(part: int) -> None:
    """A hundred thousand at a time."""
    strike(100_000, 100 + part)


def test_every_bit_of_a_protected_message() -> None:
    """A request in flight, with any one bit turned: dropped, and the true one is answered afterwards."""
    kept: list[Transmit] = []
    ends = Ends(path=lambda one, now: kept.append(one) or [(1_000, one.payload)]).up()
    ends.memory.path = lambda one, now: kept.append(one) or []
    ends.do(ends.left, "rekey_child", ends.children(ends.left)[0].spi_in, seconds=0)
    data, now = kept[-1].payload, ends.memory.now
    before = states(ends.right)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        for one in ends.right.handle(bytes(changed), LEFT, now):
            assert not isinstance(one, Transmit) or bit // 8 == 17  # a higher version is answered in the open
        assert states(ends.right) == before, bit
    answer = [one for one in ends.right.handle(data, LEFT, now) if isinstance(one, Transmit)]
    assert len(answer) == 1
    before = states(ends.left)
    for bit in range(len(answer[0].payload) * 8):
        changed = bytearray(answer[0].payload)
        changed[bit // 8] ^= 1 << bit % 8
        ends.left.handle(bytes(changed), RIGHT, now)
        assert states(ends.left) == before, bit


def test_a_set_up_under_fire_succeeds() -> None:
    """Among the true datagrams of a set-up come hundreds of bent ones, at both ends: it stands all the same."""
    chance = random.Random(5)
    seen: list[bytes] = []

    def path(sent: Transmit, now: Instant) -> list[tuple[int, bytes]]:
        # What is bent of the unprotected messages may be a message of its own and is answered; of the rest, nothing is.
        seen.append(sent.payload)
        protected = IKE_FRAME.parse(sent.payload).exchange != notices.IKE_SA_INIT
        many = 300 if protected and len(seen) < 8 else 0
        stray = [(chance.randrange(1_000), bent(chance, seen)) for _ in range(many)]
        return [*stray, (1_000, sent.payload)]

    ends = Ends(path=path, limits=Limits(cookies_from=1000))
    ends.do(ends.left, "initiate", "core", seconds=0.5)
    assert ends.agree() >= 1


def authentic(payloads: tuple[Any, ...], exchange: int) -> Ends:
    """The left end says this under its own seal; whatever it means, nothing escapes the right end."""
    ends = Ends().up()
    sa = next(iter(ends.left.sas.values()))
    for datagram in sa.sealed(exchange, 0, sa.next_id, payloads):
        ends.memory.do(ends.right, ends.right.handle(datagram, LEFT, ends.memory.now))
    return ends


def odd_payloads(chance: random.Random) -> list[Any]:
    """Payloads in wrong numbers, sizes and places, among a few right ones."""
    offer = connection(0).children[0].offers[0].proposal(1, bytes(4))
    spi = chance.randbytes(4)
    return [
        SA((offer,)), SA((Proposal(1, 1, bytes(8), offer.transforms),)), SA((Proposal(1, 3, spi, offer.transforms),)),
        SA((Proposal(9, 77, b"", offer.transforms),)), Nonce(b""), Nonce(bytes(16)), Nonce(bytes(257)),
        KE(31, b""), KE(31, bytes(32)), KE(31, bytes(31) + b"\x09"), KE(0, bytes(3)), TSi(()), TSi((HEAD,)),
        TSr((network("10.128.0.0/9"),)), TSr(()),
        Delete(1, 0, ()), Delete(3, 4, (spi,)), Delete(3, 8, (bytes(8),)), Delete(9, 1, (b"x",)),
        Auth(2, b""), IDi(2, b""), IDr(9, bytes(300)), Certificate(4, b"?"), CertificateRequest(4, b""), VendorID(b""),
        Unknown(200, False, b""),
        *(Notify(protocol, about, kind, words) for protocol in (0, 3) for about in (b"", spi)
          for words in (b"", bytes(2), bytes(64))
          for kind in (1, 7, 14, 17, 24, 38, 43, 44, 16384, 16388, 16389, 16390, 16393, 16400, 16401, 16430, 60000)),
    ]  # fmt: skip


def test_a_peer_gone_mad_is_survived() -> None:
    """Authentic nonsense: payloads of all kinds in all exchanges, in wrong numbers, sizes and order."""
    chance = random.Random(11)
    pool = odd_payloads(chance)
    for _ in range(600):
        chosen = tuple(chance.choice(pool) for _ in range(chance.randint(0, 7)))
        authentic(chosen, chance.choice((34, 35, 36, 36, 36, 37, 37, 38, 255)))


def test_mad_answers_are_survived() -> None:
    """The same pool in answers to every request an end makes; afterwards both ends still take a wish."""
    chance = random.Random(12)
    pool = odd_payloads(chance)
    for n in range(400):
        ends = Ends().up()
        ends.memory.path = lambda one, now: []
        spi = ends.children(ends.left)[0].spi_in
        wish, word = (("rekey_child", spi), ("rekey_ike", "core"), ("close_child", spi), ("terminate", "core"))[n % 4]
        ends.do(ends.left, wish, word, seconds=0)
        (sa,), (other,) = ends.left.sas.values(), ends.right.sas.values()
        assert sa.outstanding is not None
        chosen = tuple(chance.choice(pool) for _ in range(chance.randint(0, 6)))
        for datagram in other.sealed(sa.outstanding.exchange, notices.RESPONSE, sa.outstanding.message_id, chosen):
            ends.memory.do(ends.left, ends.left.handle(datagram, RIGHT, ends.memory.now))
        ends.do(ends.left, "rekey_ike", "core")


def test_authentic_garbage_inside_the_seal() -> None:
    """Bytes that are no payloads, under the right keys: the SA ends with INVALID_SYNTAX, as RFC 7296 2.21.3 says."""
    ends = Ends().up()
    sa = next(iter(ends.left.sas.values()))
    datagram = sa._seal_one(sa.ciphers[0], 37, notices.INITIATOR, sa.next_id, Encrypted(41, b""), b"\x00\x00\xff")
    ends.memory.do(ends.right, ends.right.handle(datagram, LEFT, ends.memory.now))
    assert ends.reasons(ends.right) == ["the peer sent a malformed message"]
    assert not ends.children(ends.right)


def test_noise_on_both_ports() -> None:
    """Short, long, empty, ESP-like and keepalive-like datagrams."""
    chance = random.Random(3)
    peer = IkePeer("right", [connection(1)], b"right", RIGHT)
    for n in range(3_000):
        data = chance.randbytes(chance.randrange(120))
        local = Address(RIGHT.ip, 4500 if n & 1 else 500)
        assert not [
            one
            for one in peer.handle((b"", bytes(4), b"\xff")[n % 3] + data, LEFT, n, local)
            if isinstance(one, Transmit)
        ]
    assert not peer.sas


def test_the_codec_refuses_with_one_error() -> None:
    """A chain of 200 payloads, a chain that ends nowhere, an SK inside an SK."""
    with pytest.raises(FrameError, match="128"):
        IKE_PAYLOADS.build(Payloads((VendorID(b""),) * 200))
    with pytest.raises(FrameError, match="128"):
        IKE_PAYLOADS.parse(b"\x2b" + b"\x2b\0\0\4" * 200)
    with pytest.raises(FrameError):
        IKE_PAYLOADS.parse(b"\x2e\0\0\0\4")
