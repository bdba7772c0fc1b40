"""INFORMATIONAL requests answered (RFC 7296 1.4, 2.25; addresses: RFC 4555)."""

from collections.abc import Sequence
from typing import Any

from emulator.codecs.ike_payloads import Delete
from emulator.kernel.effects import Instant, Note
from emulator.link.ike import notices
from emulator.link.ike.rekey import inherit
from emulator.link.ike.sa import IkeSa
from emulator.link.ike.suites import ESP, IKE
from emulator.link.ike.tasks import ProveAddress

_PROOF_BYTES = 16


def answer_informational(sa: IkeSa, payloads: Sequence[Any], now: Instant) -> Sequence[Any]:
    """Deletions, address changes, and the empty question whether we live."""
    answer: list[Any] = []
    deleted = [one for one in payloads if type(one) is Delete]
    failed = notices.error(payloads)
    if any(one.protocol == IKE for one in deleted):
        inherit(sa, now)
        reason = "rekeyed" if sa.state == "replaced" else "the peer closed it"
        if failed is not None:
            reason = f"the peer closed it: {notices.name(failed.kind)}"
        sa.later.append(lambda: sa.down(now, reason))
        return answer
    gone = [_deleted(sa, spi) for one in deleted if one.protocol == ESP and one.spi_size == 4 for spi in one.spis]
    ours = tuple(spi for spi in gone if spi is not None)
    if ours:
        answer.append(Delete(ESP, 4, ours))
    if notices.notified(payloads, notices.UPDATE_SA_ADDRESSES) is not None:
        _moved(sa, payloads, now)
    if notices.notified(payloads, notices.NAT_SOURCE) is not None:
        answer += sa.nat_hashes()
    words = notices.notified(payloads, notices.COOKIE2)
    if words is not None:
        answer.append(words)
    return answer


def _deleted(sa: IkeSa, spi: bytes) -> bytes | None:
    """Close the child whose outbound SPI this is; our own SPI of it, unless we are closing it ourselves."""
    child = sa.child_out(int.from_bytes(spi, "big"))
    if child is None:
        return None
    closing = child.state == "closing"
    sa.drop_child(child, "rekeyed" if child.state in ("replaced", "rekeying") else "the peer closed it")
    return None if closing else child.spi_in.to_bytes(4, "big")


def _moved(sa: IkeSa, payloads: Sequence[Any], now: Instant) -> None:
    """The peer is at another address: answer there, carry traffic there, and have it prove that it is there."""
    if not sa.mobike or sa.initiator:
        sa.tell(Note("ike.refused", ("address change", str(sa.arrived[0]))))
        return
    sa.remote, sa.local = sa.arrived
    sa.see_nat(payloads)
    sa.path_changed()
    sa.later.append(lambda: sa.ask(ProveAddress(sa.peer.chance.take(_PROOF_BYTES)), now))
