"""The responder's IKE_SA_INIT and IKE_AUTH (RFC 7296 1.2, 2.6, 2.7).

Until the peer has proved itself nothing is believed and little is kept: refusals and cookies leave no trace, half-open
SAs are bounded, and from a number of them on a set-up must first show that its address is real.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from emulator.codecs.ike import IKE, IKE_FRAME
from emulator.codecs.ike_payloads import KE, SA, Auth, IDi, IDr, Nonce
from emulator.crypto.dh import PUBLIC_BYTES, SEED_BYTES, Half
from emulator.crypto.prf import prf, same
from emulator.errors import CryptoError
from emulator.kernel.effects import Instant, Note
from emulator.kernel.time import MINUTE
from emulator.link.ike import notices, proof
from emulator.link.ike.children import grant
from emulator.link.ike.effects import Address
from emulator.link.ike.handshake import (
    Handshake,
    abilities,
    certificate_request,
    certificates,
    chain,
    install,
    understood,
)
from emulator.link.ike.keys import digest, skeyseed
from emulator.link.ike.sa import IkeSa
from emulator.link.ike.settings import Connection, Identity
from emulator.link.ike.suites import Suite, choose

if TYPE_CHECKING:
    from emulator.codecs.ike_payloads import Proposal
    from emulator.link.ike.peer import IkePeer

_COOKIE_LIFE: Final = MINUTE
"""A cookie holds for this minute and the next."""


def answer_init(peer: "IkePeer", message: IKE, datagram: bytes, source: Address, local: Address, now: Instant) -> None:
    """A request to set up an IKE SA."""
    held = peer.half_open.get((source, message.initiator))
    if held is not None:
        if held.handshake is not None and held.handshake.request == datagram and held.reply:
            held.send(held.reply, now)
        return
    try:
        _answer_init(peer, message, datagram, source, local, now)
    except notices.Refuse as refusal:
        peer.tell(Note("ike.refusal", (str(source), notices.name(refusal.kind))))
        peer.answer_open(message, (refusal.notify,), source, local)


def _answer_init(peer: "IkePeer", message: IKE, datagram: bytes, source: Address, local: Address, now: Instant) -> None:
    proposals, ke, nonce = (notices.of_kind(message.payloads, kind) for kind in (SA, KE, Nonce))
    if proposals is None or ke is None or nonce is None or not 16 <= len(nonce.nonce) <= 256 or not message.initiator:
        raise notices.Refuse(notices.INVALID_SYNTAX)
    if len(peer.half_open) >= peer.limits.cookies_from and not _cookie_holds(peer, message, nonce.nonce, source, now):
        cookie = _cookie(peer, message.initiator, nonce.nonce, source, now // _COOKIE_LIFE)
        peer.answer_open(message, (notices.status(notices.COOKIE, cookie),), source, local)
        return
    connection, suite, proposal = _choose(peer, proposals, ke.group, source)
    assert suite.group is not None
    if suite.group.number != ke.group or len(ke.public) != PUBLIC_BYTES[ke.group]:
        raise notices.Refuse(notices.INVALID_KE_PAYLOAD, suite.group.number.to_bytes(2, "big"))
    if len(peer.half_open) >= peer.limits.half_open or peer.half_open_of(source.ip) >= peer.limits.per_address:
        peer.tell(Note("ike.refused", ("too many half-open", str(source))))
        return
    half = Half(ke.group, peer.chance.take(SEED_BYTES))
    try:
        secret = half.shared(ke.public)
    except CryptoError as error:
        raise notices.Refuse(notices.INVALID_SYNTAX) from error
    handshake = Handshake(None, nonce.nonce, peer.chance.take(32), request=datagram, came_from=source)
    sa = IkeSa(peer, connection, False, message.initiator, peer.new_spi(), local, source, "half-open", now, handshake)
    sa.expire_at = now + connection.timers.half_open
    nonces = nonce.nonce + handshake.nonce_r
    install(sa, suite, skeyseed(digest(suite), nonces, secret), nonces)
    understood(sa, message.payloads)
    sa.arrived = (source, local)
    sa.see_nat(message.payloads, message.initiator.to_bytes(8, "big") + bytes(8))
    answer = (
        SA((proposal,)),
        KE(half.group, half.public),
        Nonce(handshake.nonce_r),
        *sa.nat_hashes(),
        *abilities(sa),
        *certificate_request(connection),
    )
    flags = notices.RESPONSE
    handshake.response = IKE_FRAME.build(
        IKE(sa.spi_i, sa.spi_r, notices.VERSION, notices.IKE_SA_INIT, flags, 0, answer)
    )
    sa.reply = [handshake.response]
    sa.expected = 1
    peer.hold(sa, source)
    sa.send(sa.reply, now)


def _choose(peer: "IkePeer", proposals: SA, group: int, source: Address) -> "tuple[Connection, Suite, Proposal]":
    """The first connection for that address with a proposal in common."""
    for connection in peer.connections.values():
        if connection.remote is not None and connection.remote.ip != source.ip:
            continue
        found = choose(connection.offers, proposals, only=group)
        if found is not None:
            return connection, *found
    raise notices.Refuse(notices.NO_PROPOSAL_CHOSEN)


def _cookie(peer: "IkePeer", initiator: int, nonce: bytes, source: Address, minute: int) -> bytes:
    """A word only we can make, out of what the request says and where it comes from (RFC 7296 2.6)."""
    words = nonce + initiator.to_bytes(8, "big") + source.ip.to_bytes(4, "big") + source.port.to_bytes(2, "big")
    return prf("sha256", peer.cookie_key, minute.to_bytes(8, "big") + words)


def _cookie_holds(peer: "IkePeer", message: IKE, nonce: bytes, source: Address, now: Instant) -> bool:
    given = notices.notified(message.payloads, notices.COOKIE)
    if given is None:
        return False
    minute = now // _COOKIE_LIFE
    made = [_cookie(peer, message.initiator, nonce, source, one) for one in (minute, max(0, minute - 1))]
    return any(same(given.about, one) for one in made)


def answer_auth(sa: IkeSa, payloads: Sequence[Any], now: Instant) -> Sequence[Any]:
    """IKE_AUTH: the peer proves itself, we do, and the first child is made."""
    held = sa.handshake
    if sa.state != "half-open" or held is None:
        raise notices.Refuse(notices.INVALID_SYNTAX)
    assert sa.suite is not None
    assert sa.keys is not None
    try:
        connection, identity = _proved(sa, payloads, now)
        signed = proof.octets(digest(sa.suite), held.response, held.nonce_i, sa.keys.pr, connection.local_id)
        auth = proof.make(connection, digest(sa.suite), signed, sa.peer_hashes)
    except CryptoError as error:
        sa.tell(Note("ike.unproved", (sa.connection.name, str(error))))
        reason = f"the peer did not prove itself: {error}"
        sa.later.append(lambda: sa.down(now, reason))
        raise notices.Refuse(notices.AUTHENTICATION_FAILED) from error
    sa.connection, sa.peer_id = connection, identity
    sa.mobike = connection.mobike and notices.notified(payloads, notices.MOBIKE_SUPPORTED) is not None
    sa.handshake = None
    sa.peer.proven(sa, held.came_from or sa.remote)
    sa.up(now)
    if notices.notified(payloads, notices.INITIAL_CONTACT) is not None:
        sa.peer.began_anew(sa, now)
    answer: list[Any] = [IDr(*connection.local_id), *certificates(connection), auth]
    if notices.of_kind(payloads, SA) is not None:
        try:
            answer += grant(sa, payloads, held.nonce_i + held.nonce_r, now, first=True)
        except notices.Refuse as refusal:  # the IKE SA stands without it (RFC 7296 1.2)
            sa.tell(Note("ike.child.refused", (connection.name, "", notices.name(refusal.kind))))
            answer.append(refusal.notify)
    if sa.mobike:
        answer.append(notices.status(notices.MOBIKE_SUPPORTED))
    return answer


def _proved(sa: IkeSa, payloads: Sequence[Any], now: Instant) -> tuple[Connection, Identity]:
    """Which connection this is, and who the peer proved to be. CryptoError."""
    held = sa.handshake
    assert held is not None
    assert sa.suite is not None
    assert sa.keys is not None
    who, wished, auth = (notices.of_kind(payloads, kind) for kind in (IDi, IDr, Auth))
    if who is None or auth is None:
        raise CryptoError("no identity and proof came")
    identity = Identity(who.kind, who.name)
    connection = sa.peer.connection_for(
        sa, identity, Identity(wished.kind, wished.name) if wished is not None else None
    )
    if connection is None:
        raise CryptoError(f"there is no connection for {identity}")
    signed = proof.octets(digest(sa.suite), held.request, held.nonce_r, sa.keys.pi, identity)
    proof.check(connection, digest(sa.suite), signed, auth, identity, chain(payloads), now)
    return connection, identity
