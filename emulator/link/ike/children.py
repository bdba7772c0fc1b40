"""Child SAs: made in IKE_AUTH or CREATE_CHILD_SA, replaced, and the rules for two ends that do it at once.

Both ends rekeying one child (RFC 7296 2.8.1): both exchanges are carried out, and of the two new children the one
whose exchange has the lowest of the four nonces is closed by the end that asked for it; the other end closes the old
one. Refusals while something is under way: RFC 7296 2.25.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from emulator.codecs.ike_payloads import KE, SA, Nonce, Notify, Proposal, TSi, TSr
from emulator.crypto.dh import SEED_BYTES, Half
from emulator.errors import CryptoError
from emulator.kernel.effects import Instant, Note
from emulator.link.ike import notices
from emulator.link.ike.effects import Negotiated
from emulator.link.ike.held import ChildSa
from emulator.link.ike.keys import child_keys
from emulator.link.ike.sa import IkeSa
from emulator.link.ike.selectors import narrowed, within
from emulator.link.ike.settings import Child
from emulator.link.ike.suites import ESP, Suite, accepted, choose, offered
from emulator.link.ike.tasks import DeleteChild, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.codecs.ike_payloads import Selector

_SPI_BYTES: Final = 4


def installed(
    sa: IkeSa,
    config: Child,
    suite: Suite,
    spis: tuple[int, int],
    selectors: "tuple[tuple[Selector, ...], tuple[Selector, ...]]",
    secret: bytes,
    nonces: bytes,
    initiator: bool,
    now: Instant,
) -> ChildSa:
    """A child with its keys. `spis`: in, out; `selectors`: local, remote; `initiator` of this exchange."""
    assert sa.suite is not None
    assert sa.keys is not None
    there, back = child_keys(sa.suite, sa.keys.d, secret, nonces, suite)
    negotiated = Negotiated(
        *spis,
        suite,
        *((back, there) if initiator else (there, back)),
        *selectors,
        sa.encap,
        config.tunnel,
        sa.local,
        sa.remote,
        sa.connection.name,
        config.name,
        initiator,
    )
    if sa.peer.keylog is not None:
        sa.peer.keylog.child(negotiated)
    timers = sa.connection.timers
    return ChildSa(config, negotiated, *sa.peer.ages(timers.rekey_child, timers, now))


class ChildOffer:
    """A child as we ask for it. `first`: in IKE_AUTH, where there is no key exchange of its own."""

    def __init__(self, sa: IkeSa, config: Child, *, first: bool = False, replaces: ChildSa | None = None) -> None:
        self.sa = sa
        self.config = config
        self.first = first
        self.replaces = replaces
        self.spi = sa.peer.new_child_spi()
        self.made: ChildSa | None = None

    def payloads(self) -> list[Any]:
        found: list[Any] = [offered(self.config.offers, self.spi.to_bytes(4, "big"), group=not self.first)]
        if not self.config.tunnel:
            found.append(notices.status(notices.TRANSPORT_MODE))
        return [*found, TSi(self.config.local), TSr(self.config.remote)]

    def take(
        self, payloads: Sequence[Any], nonce_i: bytes, nonce_r: bytes, secret: bytes, now: Instant, lost: bool = False
    ) -> bool:
        """Install what the answer grants; whether it did. An answer that grants what was not asked is closed again.
        `lost`: the peer's own rekeying has the better nonce, so nothing is ever sent by this one."""
        sa = self.sa
        failed = notices.error(payloads)
        proposals, tsi, tsr = (notices.of_kind(payloads, kind) for kind in (SA, TSi, TSr))
        if proposals is None or tsi is None or tsr is None:
            why = notices.name(failed.kind) if failed else "an answer without a child"
            sa.tell(Note("ike.child.refused", (sa.connection.name, self.config.name, why)))
            return False
        chosen = accepted(self.config.offers, proposals, group=not self.first)
        transport = notices.notified(payloads, notices.TRANSPORT_MODE) is not None
        if (
            chosen is None
            or len(chosen[1].spi) != _SPI_BYTES
            or not within(tsi.selectors, self.config.local)
            or not within(tsr.selectors, self.config.remote)
            or not tsi.selectors
            or not tsr.selectors
            or transport is self.config.tunnel
        ):
            sa.tell(Note("ike.child.refused", (sa.connection.name, self.config.name, "not what was offered")))
            return False
        spis = (self.spi, int.from_bytes(chosen[1].spi, "big"))
        selectors = (tsi.selectors, tsr.selectors)
        self.made = installed(sa, self.config, chosen[0], spis, selectors, secret, nonce_i + nonce_r, True, now)
        sa.add_child(self.made, self.replaces.spi_in if self.replaces and not lost else None, send=not lost)
        return True


def grant(
    sa: IkeSa,
    payloads: Sequence[Any],
    nonces: bytes,
    now: Instant,
    *,
    first: bool,
    replaces: ChildSa | None = None,
    chosen: tuple[Child, Suite, Proposal] | None = None,
    secret: bytes = b"",
) -> list[Any]:
    """The answer's payloads for a child the peer asks for. Refuse: no proposal, no traffic in common."""
    proposals, tsi, tsr = (notices.of_kind(payloads, kind) for kind in (SA, TSi, TSr))
    if proposals is None or tsi is None or tsr is None:
        raise notices.Refuse(notices.INVALID_SYNTAX)
    transport = notices.notified(payloads, notices.TRANSPORT_MODE) is not None
    config, suite, proposal = chosen or choose_child(sa, proposals, tsi.selectors, tsr.selectors, first, replaces)
    local, remote = narrowed(tsr.selectors, config.local), narrowed(tsi.selectors, config.remote)
    if not local or not remote or (not config.tunnel and not transport):
        raise notices.Refuse(notices.TS_UNACCEPTABLE)
    theirs = int.from_bytes(proposal_spi(proposals, proposal), "big")
    spi = sa.peer.new_child_spi()
    child = installed(sa, config, suite, (spi, theirs), (local, remote), secret, nonces, False, now)
    sa.add_child(child, replaces.spi_in if replaces else None, send=replaces is None)
    answer = Proposal(proposal.number, ESP, spi.to_bytes(4, "big"), proposal.transforms)
    mode = [] if config.tunnel else [notices.status(notices.TRANSPORT_MODE)]
    return [SA((answer,)), *mode, TSi(remote), TSr(local)]


def proposal_spi(theirs: SA, chosen: Proposal) -> bytes:
    """The SPI that came with the chosen proposal. Refuse when it is no ESP SPI."""
    for one in theirs.proposals:
        if one.number == chosen.number and one.protocol == chosen.protocol:
            if len(one.spi) != _SPI_BYTES or int.from_bytes(one.spi, "big") < 256:
                raise notices.Refuse(notices.INVALID_SYNTAX)
            return one.spi
    raise notices.Refuse(notices.NO_PROPOSAL_CHOSEN)


def choose_child(
    sa: IkeSa,
    proposals: SA,
    tsi: "Iterable[Selector]",
    tsr: "Iterable[Selector]",
    first: bool,
    replaces: ChildSa | None,
    only: int | None = None,
) -> tuple[Child, Suite, Proposal]:
    """Which of our children the peer means: the first that has traffic and a proposal in common with it."""
    candidates = (replaces.config,) if replaces else sa.connection.children
    wanted_i, wanted_r = tuple(tsi), tuple(tsr)
    fitting = [one for one in candidates if narrowed(wanted_r, one.local) and narrowed(wanted_i, one.remote)]
    for config in fitting:
        found = choose(config.offers, proposals, group=not first, only=only)
        if found is not None:
            return config, *found
    raise notices.Refuse(notices.NO_PROPOSAL_CHOSEN if fitting else notices.TS_UNACCEPTABLE)


class CreateChild(Task):
    """One more child, or with `replaces` a new one in the place of an old."""

    exchange = notices.CREATE_CHILD_SA

    def __init__(self, config: Child, replaces: ChildSa | None = None, group: int | None = None) -> None:
        self.config = config
        self.replaces = replaces
        self.group = group
        self.nonce = b""
        self.half: Half | None = None
        self.offer: ChildOffer | None = None
        self.rival: tuple[ChildSa, bytes] | None = None
        """What the peer made in the place of the same child meanwhile, and the lower nonce of that exchange."""

    def request(self, sa: IkeSa, now: Instant) -> Sequence[Any] | None:
        old = self.replaces
        if old is not None and (old.spi_in not in sa.children or old.state not in ("up", "rekeying")):
            return None
        rekey: list[Any] = []
        if old is not None:
            old.state = "rekeying"
            rekey = [Notify(ESP, old.spi_in.to_bytes(4, "big"), notices.REKEY_SA, b"")]
        groups = self.config.offers[0].groups
        if groups:
            self.half = Half(self.group or groups[0], sa.peer.chance.take(SEED_BYTES))
        self.nonce = sa.peer.chance.take(32)
        self.offer = ChildOffer(sa, self.config, replaces=old)
        made = self.offer.payloads()
        ke = [KE(self.half.group, self.half.public)] if self.half else []
        return [*rekey, made[0], Nonce(self.nonce), *ke, *made[1:]]

    def response(self, sa: IkeSa, payloads: Sequence[Any], now: Instant) -> None:
        assert self.offer is not None
        failed = notices.error(payloads)
        if failed is not None and notices.of_kind(payloads, SA) is None:
            return self._refused(sa, failed, now)
        nonce, ke = notices.of_kind(payloads, Nonce), notices.of_kind(payloads, KE)
        secret = b""
        good = nonce is not None and 16 <= len(nonce.nonce) <= 256
        if good and self.half is not None:
            try:
                good = ke is not None and ke.group == self.half.group
                secret = self.half.shared(ke.public) if good else b""
            except CryptoError:
                good = False
        lost = good and self.rival is not None and min(self.nonce, nonce.nonce) < self.rival[1]
        if not good or not self.offer.take(payloads, self.nonce, nonce.nonce, secret, now, lost):
            if self.replaces is not None:
                self.replaces.state = "up"
                self.replaces.rekey_at = sa.peer.retry_at(sa.connection.timers, now)
            return None
        if self.replaces is not None:
            self._settle(sa, min(self.nonce, nonce.nonce), now)
        return None

    def _settle(self, sa: IkeSa, lowest: bytes, now: Instant) -> None:
        """Who closes what."""
        old, made = self.replaces, self.offer.made if self.offer else None
        assert old is not None
        assert made is not None
        if self.rival is not None and lowest < self.rival[1]:
            made.state = "replaced"
            old.state = "replaced"
            sa.ask(DeleteChild(made, "lost to the peer's own rekeying"), now)
            return
        old.state = "replaced"
        if self.rival is not None:
            self.rival[0].state = "replaced"
        sa.ask(DeleteChild(old, "rekeyed"), now)

    def _refused(self, sa: IkeSa, failed: Notify, now: Instant) -> None:
        old = self.replaces
        if failed.kind == notices.INVALID_KE_PAYLOAD and len(failed.about) == 2 and self.group is None:
            group = int.from_bytes(failed.about, "big")
            if any(group in offer.groups for offer in self.config.offers):
                sa.queue.appendleft(CreateChild(self.config, old, group))
                return
        sa.tell(Note("ike.child.refused", (sa.connection.name, self.config.name, notices.name(failed.kind))))
        if old is None:
            return
        if self.rival is not None or old.state == "closing":
            return  # the peer's own rekeying or closing goes its way
        if failed.kind == notices.CHILD_SA_NOT_FOUND:
            sa.drop_child(old, "the peer does not know it")
            return
        old.state = "up"
        old.rekey_at = sa.peer.retry_at(sa.connection.timers, now)


def answer_create_child(sa: IkeSa, payloads: Sequence[Any], now: Instant) -> Sequence[Any]:
    """CREATE_CHILD_SA for a child, answered."""
    if sa.state != "up" or sa.peer.rekeying_ike(sa):
        raise notices.Refuse(notices.TEMPORARY_FAILURE)
    nonce, proposals = notices.of_kind(payloads, Nonce), notices.of_kind(payloads, SA)
    tsi, tsr = notices.of_kind(payloads, TSi), notices.of_kind(payloads, TSr)
    if nonce is None or proposals is None or tsi is None or tsr is None or not 16 <= len(nonce.nonce) <= 256:
        raise notices.Refuse(notices.INVALID_SYNTAX)
    old = _rekeyed(sa, payloads)
    ke = notices.of_kind(payloads, KE)
    chosen = choose_child(sa, proposals, tsi.selectors, tsr.selectors, False, old, ke.group if ke is not None else None)
    secret, answer_ke = agree(sa, chosen[1], ke)
    ours = sa.peer.chance.take(32)
    made = grant(sa, payloads, nonce.nonce + ours, now, first=False, replaces=old, chosen=chosen, secret=secret)
    if old is not None:
        child = list(sa.children.values())[-1]
        task = sa.outstanding.task if sa.outstanding else None
        if isinstance(task, CreateChild) and task.replaces is old:
            task.rival = (child, min(nonce.nonce, ours))
        old.state = "rekeying" if isinstance(task, CreateChild) and task.replaces is old else "replaced"
        # The peer closes it; should it not, its own end comes as it was set.
    return [made[0], Nonce(ours), *answer_ke, *made[1:]]


def agree(sa: IkeSa, suite: Suite, ke: KE | None) -> tuple[bytes, list[KE]]:
    """(secret, our KE) for a suite with a group; nothing for one without. Refuse: the peer's KE is of another group."""
    if suite.group is None:
        return b"", []
    if ke is None or ke.group != suite.group.number:
        raise notices.Refuse(notices.INVALID_KE_PAYLOAD, suite.group.number.to_bytes(2, "big"))
    half = Half(suite.group.number, sa.peer.chance.take(SEED_BYTES))
    try:
        return half.shared(ke.public), [KE(half.group, half.public)]
    except CryptoError as error:
        raise notices.Refuse(notices.INVALID_SYNTAX) from error


def _rekeyed(sa: IkeSa, payloads: Sequence[Any]) -> ChildSa | None:
    """The child that a request is to replace, or None when it asks for one more."""
    notify = notices.notified(payloads, notices.REKEY_SA)
    if notify is None:
        return None
    old = sa.child_out(int.from_bytes(notify.spi, "big")) if notify.protocol == ESP else None
    if old is None or old.state == "replaced":
        raise notices.Refuse(notices.CHILD_SA_NOT_FOUND, spi=notify.spi)
    if old.state == "closing":
        raise notices.Refuse(notices.TEMPORARY_FAILURE)
    return old
