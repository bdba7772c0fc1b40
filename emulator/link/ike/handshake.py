"""The initiator's IKE_SA_INIT and IKE_AUTH (RFC 7296 1.2, 2.6, 2.7).

Answers to IKE_SA_INIT prove nothing. A cookie or another group makes the request anew, a few times at most; a refusal
is remembered and the request repeated as if nothing had come, since whoever can forge one refusal could end every
set-up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from emulator.codecs.ike import IKE, IKE_FRAME
from emulator.codecs.ike_payloads import KE, SA, Auth, Certificate, CertificateRequest, IDi, IDr, Nonce
from emulator.crypto.certificates import SHA2_256
from emulator.crypto.dh import SEED_BYTES, Half
from emulator.errors import CryptoError
from emulator.kernel.effects import Instant, Note
from emulator.link.ike import notices, proof
from emulator.link.ike.children import ChildOffer
from emulator.link.ike.effects import Address
from emulator.link.ike.held import Outstanding
from emulator.link.ike.keys import ciphers, digest, ike_keys, skeyseed
from emulator.link.ike.sa import IkeSa
from emulator.link.ike.settings import Connection, Identity
from emulator.link.ike.suites import Suite, accepted, offered
from emulator.link.ike.tasks import DeleteIke, Task

_ANEW_MOST: Final = 5
"""How often IKE_SA_INIT is made anew for a cookie or a group."""
HASHES: Final = b"".join(number.to_bytes(2, "big") for number in (2, 3, 4))
"""SIGNATURE_HASH_ALGORITHMS that we verify: SHA2-256, -384, -512."""
_CERTIFICATE_X509: Final = 4


@dataclass(slots=True)
class Handshake:
    """What is remembered until both ends have proved themselves, and no longer."""

    half: Half | None = field(repr=False)
    nonce_i: bytes
    nonce_r: bytes = b""
    request: bytes = field(default=b"", repr=False)
    response: bytes = field(default=b"", repr=False)
    cookie: bytes = b""
    anew: int = 0
    refused: str = ""
    child: str | None = None
    came_from: Address | None = None


def start(sa: IkeSa, child: str | None, now: Instant) -> None:
    """Send IKE_SA_INIT. `child`: the child that IKE_AUTH makes; None for an IKE SA alone is not offered by RFC 7296."""
    chance = sa.peer.chance
    group = sa.connection.offers[0].groups[0]
    sa.handshake = Handshake(Half(group, chance.take(SEED_BYTES)), chance.take(32), child=child)
    _send_init(sa, now)


def _send_init(sa: IkeSa, now: Instant) -> None:
    task = _Init()
    payloads = task.request(sa, now)
    message = IKE(sa.spi_i, 0, notices.VERSION, notices.IKE_SA_INIT, notices.INITIATOR, 0, tuple(payloads))
    assert sa.handshake is not None
    sa.handshake.request = IKE_FRAME.build(message)
    sa.outstanding = Outstanding(
        task, notices.IKE_SA_INIT, 0, [sa.handshake.request], now + sa.connection.timers.wait(1)
    )
    sa.send(sa.outstanding.datagrams, now)


def answered(sa: IkeSa, message: IKE, datagram: bytes, source: Address, local: Address, now: Instant) -> None:
    """An answer to our IKE_SA_INIT. Whatever is wrong with it, we go on waiting for a right one."""
    if sa.state != "init" or sa.outstanding is None or not isinstance(sa.outstanding.task, _Init):
        return
    sa.arrived = (source, local)
    try:
        _take_init(sa, message, datagram, now)
    except notices.Refuse as refusal:
        sa.tell(Note("ike.refused", (notices.name(refusal.kind), str(source))))


def _take_init(sa: IkeSa, message: IKE, datagram: bytes, now: Instant) -> None:
    held = sa.handshake
    assert held is not None
    assert held.half is not None
    failed = notices.error(message.payloads)
    cookie = notices.notified(message.payloads, notices.COOKIE)
    if failed is not None or cookie is not None:
        return _try_anew(sa, failed.kind if failed else 0, failed.about if failed else b"", cookie, now)
    proposals, ke, nonce = (notices.of_kind(message.payloads, kind) for kind in (SA, KE, Nonce))
    chosen = accepted(sa.connection.offers, proposals) if proposals else None
    if chosen is None or ke is None or nonce is None or not message.responder:
        raise notices.Refuse(notices.INVALID_SYNTAX)
    suite = chosen[0]
    if suite.group is None or suite.group.number != held.half.group or ke.group != held.half.group:
        raise notices.Refuse(notices.INVALID_KE_PAYLOAD)
    if not 16 <= len(nonce.nonce) <= 256:
        raise notices.Refuse(notices.INVALID_SYNTAX)
    try:
        secret = held.half.shared(ke.public)
    except CryptoError as error:
        raise notices.Refuse(notices.INVALID_SYNTAX) from error
    sa.spi_r = message.responder
    held.nonce_r, held.response, held.half = nonce.nonce, datagram, None
    held.refused = ""
    install(sa, suite, skeyseed(digest(suite), held.nonce_i + held.nonce_r, secret), held.nonce_i + held.nonce_r)
    understood(sa, message.payloads)
    sa.see_nat(message.payloads)
    if sa.encap and sa.local.port == sa.peer.ike_port:
        sa.local = Address(sa.local.ip, sa.peer.natt_port)
        sa.remote = Address(sa.remote.ip, sa.connection.remote_natt_port)
    sa.outstanding = None
    sa.next_id = 1
    sa.state = "auth"
    sa.ask(_Auth(notices.of_kind(message.payloads, CertificateRequest)), now)
    return None


def _try_anew(sa: IkeSa, kind: int, about: bytes, cookie: Any, now: Instant) -> None:
    held = sa.handshake
    assert held is not None
    if cookie is not None and 1 <= len(cookie.about) <= 64 and cookie.about != held.cookie and held.anew < _ANEW_MOST:
        held.cookie = cookie.about
    elif kind == notices.INVALID_KE_PAYLOAD and len(about) == 2 and held.anew < _ANEW_MOST:
        group = int.from_bytes(about, "big")
        if group == (held.half.group if held.half else 0) or all(group not in o.groups for o in sa.connection.offers):
            return
        held.half = Half(group, sa.peer.chance.take(SEED_BYTES))
    else:
        if kind:
            held.refused = notices.name(kind)
            sa.tell(Note("ike.refusal", (sa.connection.name, held.refused)))
        return
    held.anew += 1
    _send_init(sa, now)


def install(sa: IkeSa, suite: Suite, seed: bytes, nonces: bytes) -> None:
    """Keys for an IKE SA whose SPIs are both known."""
    spis = sa.spi_i.to_bytes(8, "big") + sa.spi_r.to_bytes(8, "big")
    sa.suite = suite
    sa.keys = ike_keys(suite, seed, nonces, spis)
    sa.ciphers = ciphers(suite, sa.keys)
    if sa.peer.keylog is not None:
        sa.peer.keylog.ike(sa.spi_i, sa.spi_r, suite, sa.keys)


def understood(sa: IkeSa, payloads: Sequence[Any]) -> None:
    """What the peer can do, as its IKE_SA_INIT says."""
    sa.fragmentation = bool(sa.connection.fragment) and (
        notices.notified(payloads, notices.FRAGMENTATION_SUPPORTED) is not None
    )
    hashes = notices.notified(payloads, notices.SIGNATURE_HASHES)
    if hashes is not None:
        numbers = [int.from_bytes(hashes.about[at : at + 2], "big") for at in range(0, len(hashes.about), 2)]
        sa.peer_hashes = tuple(number for number in numbers if number >= SHA2_256)


def abilities(sa: IkeSa) -> list[Any]:
    """What we can do, for IKE_SA_INIT."""
    found = []
    if sa.connection.fragment:
        found.append(notices.status(notices.FRAGMENTATION_SUPPORTED))
    if sa.connection.trust is not None:
        found.append(notices.status(notices.SIGNATURE_HASHES, HASHES))
    return found


def certificate_request(connection: Connection) -> list[CertificateRequest]:
    """Whom we trust, or nothing when the peer is to use a secret."""
    if connection.trust is None or not connection.trust.authorities:
        return []
    return [CertificateRequest(_CERTIFICATE_X509, connection.trust.hashes)]


def certificates(connection: Connection) -> list[Certificate]:
    """Our chain, leaf first."""
    own = connection.trust.own if connection.trust else None
    return [Certificate(_CERTIFICATE_X509, one) for one in own.encoded] if own else []


def chain(payloads: Sequence[Any]) -> list[bytes]:
    """The peer's certificates, leaf first."""
    return [one.certificate for one in payloads if type(one) is Certificate and one.encoding == _CERTIFICATE_X509]


class _Init(Task):
    exchange = notices.IKE_SA_INIT

    def request(self, sa: IkeSa, now: Instant) -> Sequence[Any]:
        held = sa.handshake
        assert held is not None
        assert held.half is not None
        cookie = [notices.status(notices.COOKIE, held.cookie)] if held.cookie else []
        return (
            *cookie,
            offered(sa.connection.offers, b""),
            KE(held.half.group, held.half.public),
            Nonce(held.nonce_i),
            *sa.nat_hashes(0),
            *abilities(sa),
        )

    def response(self, sa: IkeSa, payloads: Sequence[Any], now: Instant) -> None:
        raise AssertionError("IKE_SA_INIT is answered in the open")


class _Auth(Task):
    exchange = notices.IKE_AUTH

    def __init__(self, wanted: CertificateRequest | None) -> None:
        self.wanted = wanted
        self.child: ChildOffer | None = None

    def request(self, sa: IkeSa, now: Instant) -> Sequence[Any]:
        held, connection = sa.handshake, sa.connection
        assert held is not None
        assert sa.suite is not None
        assert sa.keys is not None
        signed = proof.octets(digest(sa.suite), held.request, held.nonce_r, sa.keys.pi, connection.local_id)
        payloads: list[Any] = [IDi(*connection.local_id)]
        payloads += certificates(connection)
        if sa.peer.first_contact(sa):
            payloads.append(notices.status(notices.INITIAL_CONTACT))
        payloads += certificate_request(connection)
        if connection.remote_id is not None:
            payloads.append(IDr(*connection.remote_id))
        payloads.append(proof.make(connection, digest(sa.suite), signed, sa.peer_hashes))
        name = held.child or (connection.children[0].name if connection.children else None)
        if name is not None:
            self.child = ChildOffer(sa, connection.child(name), first=True)
            payloads += self.child.payloads()
        if connection.mobike:
            payloads.append(notices.status(notices.MOBIKE_SUPPORTED))
        return payloads

    def response(self, sa: IkeSa, payloads: Sequence[Any], now: Instant) -> None:
        held, connection = sa.handshake, sa.connection
        assert held is not None
        assert sa.suite is not None
        assert sa.keys is not None
        who, auth = notices.of_kind(payloads, IDr), notices.of_kind(payloads, Auth)
        failed = notices.error(payloads)
        if who is None or auth is None:
            return sa.down(now, f"refused: {notices.name(failed.kind)}" if failed else "the peer did not prove itself")
        identity = Identity(who.kind, who.name)
        signed = proof.octets(digest(sa.suite), held.response, held.nonce_i, sa.keys.pr, identity)
        try:
            if connection.remote_id not in (None, identity):
                raise CryptoError(f"the peer is {identity}")
            proof.check(connection, digest(sa.suite), signed, auth, identity, chain(payloads), now)
        except CryptoError as error:
            sa.tell(Note("ike.unproved", (connection.name, str(error))))
            sa.state = "up"  # long enough to say why in an exchange of its own (RFC 7296 2.21.2)
            sa.ask(DeleteIke(f"the peer did not prove itself: {error}", notices.AUTHENTICATION_FAILED), now)
            return None
        sa.peer_id = identity
        sa.mobike = connection.mobike and notices.notified(payloads, notices.MOBIKE_SUPPORTED) is not None
        sa.handshake = None
        sa.up(now)
        sa.peer.established(sa, now)
        if self.child is not None:
            self.child.take(payloads, held.nonce_i, held.nonce_r, b"", now)
        return None
