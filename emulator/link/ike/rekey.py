"""An IKE SA replaced by a new one (RFC 7296 1.3.2, 2.18), and the rules for two ends that do it at once (2.8.2).

The new SA inherits the children. When both ends asked, two new SAs come to be; the one whose exchange has the lowest
of the four nonces is closed by the end that asked for it, and the other inherits.
"""

from collections.abc import Sequence
from typing import Any

from emulator.codecs.ike_payloads import KE, SA, Nonce, Proposal
from emulator.crypto.dh import SEED_BYTES, Half
from emulator.errors import CryptoError
from emulator.kernel.effects import Instant, Note
from emulator.link.ike import notices
from emulator.link.ike.children import CreateChild, agree, answer_create_child
from emulator.link.ike.handshake import install
from emulator.link.ike.keys import skeyseed_of_rekey
from emulator.link.ike.sa import NEVER, IkeSa
from emulator.link.ike.suites import IKE, Suite, accepted, choose, offered
from emulator.link.ike.tasks import DeleteChild, DeleteIke, Task

_SPI_BYTES = 8


def _successor(
    sa: IkeSa, initiator: bool, spis: tuple[int, int], suite: Suite, secret: bytes, nonces: bytes, now: Instant
) -> IkeSa:
    """The new SA, ready to be used, without children yet."""
    assert sa.suite is not None
    assert sa.keys is not None
    new = IkeSa(sa.peer, sa.connection, initiator, *spis, sa.local, sa.remote, "up", now)
    new.peer_id, new.mobike, new.fragmentation, new.peer_hashes = (
        sa.peer_id,
        sa.mobike,
        sa.fragmentation,
        sa.peer_hashes,
    )
    new.nat_here, new.nat_there = sa.nat_here, sa.nat_there
    install(new, suite, skeyseed_of_rekey(sa.suite, sa.keys.d, secret, nonces), nonces)
    sa.peer.sas[new.spi] = new
    new.up(now, replaces=sa.spi)
    return new


def _replace(old: IkeSa, new: IkeSa, now: Instant) -> None:
    """`new` inherits; `old` lives until it is closed, by us or by the peer, or until patience ends."""
    new.adopt(old)
    old.state = "replaced"
    old.rekeyed = None
    old.rekey_at = NEVER
    old.expire_at = now + 2 * old.connection.timers.patience
    new.pump(now)


class RekeyIke(Task):
    """Our request for a new IKE SA in the place of this one."""

    exchange = notices.CREATE_CHILD_SA

    def __init__(self, group: int | None = None) -> None:
        self.group = group
        self.spi = 0
        self.nonce = b""
        self.half: Half | None = None

    def request(self, sa: IkeSa, now: Instant) -> Sequence[Any] | None:
        if sa.state != "up" or sa.suite is None or sa.suite.group is None:
            return None
        chance = sa.peer.chance
        self.half = Half(self.group or sa.suite.group.number, chance.take(SEED_BYTES))
        self.spi, self.nonce = sa.peer.new_spi(), chance.take(32)
        proposals = offered(sa.connection.offers, self.spi.to_bytes(_SPI_BYTES, "big"))
        return (proposals, Nonce(self.nonce), KE(self.half.group, self.half.public))

    def response(self, sa: IkeSa, payloads: Sequence[Any], now: Instant) -> None:
        failed = notices.error(payloads)
        if failed is not None:
            return self._refused(sa, failed.kind, failed.about, now)
        proposals, nonce, ke = (notices.of_kind(payloads, kind) for kind in (SA, Nonce, KE))
        chosen = accepted(sa.connection.offers, proposals) if proposals is not None else None
        half = self.half
        assert half is not None
        try:
            if chosen is None or nonce is None or ke is None or ke.group != half.group:
                raise CryptoError("an answer without a new SA")
            if len(chosen[1].spi) != _SPI_BYTES or not 16 <= len(nonce.nonce) <= 256:
                raise CryptoError("an SPI or a nonce of the wrong size")
            secret = half.shared(ke.public)
        except CryptoError:
            return self._refused(sa, notices.INVALID_SYNTAX, b"", now)
        spis = (self.spi, int.from_bytes(chosen[1].spi, "big"))
        new = _successor(sa, True, spis, chosen[0], secret, self.nonce + nonce.nonce, now)
        rival = sa.rekeyed
        if rival is not None and rival.state == "up" and min(self.nonce, nonce.nonce) < sa.rekeyed_nonce:
            _replace(sa, rival, now)
            new.ask(DeleteIke("lost to the peer's own rekeying"), now)
            return None
        _replace(sa, new, now)
        sa.ask(DeleteIke("rekeyed"), now)
        return None

    def _refused(self, sa: IkeSa, kind: int, about: bytes, now: Instant) -> None:
        if kind == notices.INVALID_KE_PAYLOAD and len(about) == 2 and self.group is None:
            group = int.from_bytes(about, "big")
            if any(group in offer.groups for offer in sa.connection.offers):
                sa.queue.appendleft(RekeyIke(group))
                return
        sa.tell(Note("ike.rekey.refused", (sa.connection.name, notices.name(kind))))
        if sa.rekeyed is not None:
            _replace(sa, sa.rekeyed, now)
        else:
            sa.rekey_at = sa.peer.retry_at(sa.connection.timers, now)


def answer_create(sa: IkeSa, payloads: Sequence[Any], now: Instant) -> Sequence[Any]:
    """CREATE_CHILD_SA answered: by its proposals it is for a child or for the IKE SA itself."""
    proposals = notices.of_kind(payloads, SA)
    if proposals is not None and proposals.proposals[0].protocol == IKE:
        return _answer_rekey(sa, payloads, proposals, now)
    return answer_create_child(sa, payloads, now)


def _answer_rekey(sa: IkeSa, payloads: Sequence[Any], proposals: SA, now: Instant) -> Sequence[Any]:
    task = sa.outstanding.task if sa.outstanding else None
    if sa.state != "up" or isinstance(task, CreateChild | DeleteChild) or sa.rekeyed is not None:
        raise notices.Refuse(notices.TEMPORARY_FAILURE)
    nonce, ke = notices.of_kind(payloads, Nonce), notices.of_kind(payloads, KE)
    if nonce is None or not 16 <= len(nonce.nonce) <= 256:
        raise notices.Refuse(notices.INVALID_SYNTAX)
    found = choose(sa.connection.offers, proposals, only=ke.group if ke is not None else None)
    if found is None:
        raise notices.Refuse(notices.NO_PROPOSAL_CHOSEN)
    suite, proposal = found
    theirs = next(one.spi for one in proposals.proposals if one.number == proposal.number)
    if len(theirs) != _SPI_BYTES or theirs == bytes(_SPI_BYTES):
        raise notices.Refuse(notices.INVALID_SYNTAX)
    secret, answer_ke = agree(sa, suite, ke)
    ours, spi = sa.peer.chance.take(32), sa.peer.new_spi()
    spis = (int.from_bytes(theirs, "big"), spi)
    new = _successor(sa, False, spis, suite, secret, nonce.nonce + ours, now)
    if isinstance(task, RekeyIke):
        sa.rekeyed, sa.rekeyed_nonce = new, min(nonce.nonce, ours)
    else:
        sa.later.append(lambda: _replace(sa, new, now))
    answer = Proposal(proposal.number, IKE, spi.to_bytes(_SPI_BYTES, "big"), proposal.transforms)
    return (SA((answer,)), Nonce(ours), *answer_ke)


def inherit(sa: IkeSa, now: Instant) -> None:
    """The peer closes this SA while our own rekeying of it is on its way: what the peer made takes over."""
    if sa.rekeyed is not None and sa.rekeyed.state == "up":
        _replace(sa, sa.rekeyed, now)
