"""What an end asks of the other: one task is one exchange, from the request's payloads to what its answer means.

Tasks wait in their IKE SA for the window of one. A request is made only when its turn has come, because what
it is about may be gone by then; then there is none to send.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emulator.codecs.ike_payloads import Delete
from emulator.kernel.effects import Instant, Note
from emulator.link.ike import notices
from emulator.link.ike.suites import ESP, IKE

if TYPE_CHECKING:
    from emulator.link.ike.held import ChildSa
    from emulator.link.ike.sa import IkeSa


class Task:
    """One exchange of ours."""

    exchange = notices.INFORMATIONAL

    def request(self, sa: "IkeSa", now: Instant) -> Sequence[Any] | None:
        """The payloads to send, or None when there is nothing to ask any more."""
        raise NotImplementedError

    def response(self, sa: "IkeSa", payloads: Sequence[Any], now: Instant) -> None:
        """What the answer does."""
        raise NotImplementedError


class Probe(Task):
    """Dead-peer detection: an empty request (RFC 7296 2.4). Any answer will do."""

    def request(self, sa: "IkeSa", now: Instant) -> Sequence[Any] | None:
        return ()

    def response(self, sa: "IkeSa", payloads: Sequence[Any], now: Instant) -> None:
        return


class DeleteChild(Task):
    """Close one child."""

    def __init__(self, child: "ChildSa", reason: str) -> None:
        self.child = child
        self.reason = reason

    def request(self, sa: "IkeSa", now: Instant) -> Sequence[Any] | None:
        if self.child.spi_in not in sa.children:
            return None
        self.child.state = "closing"
        return (Delete(ESP, 4, (self.child.spi_in.to_bytes(4, "big"),)),)

    def response(self, sa: "IkeSa", payloads: Sequence[Any], now: Instant) -> None:
        sa.drop_child(self.child, self.reason)


class DeleteIke(Task):
    """Close the IKE SA, and with it whatever children it has left."""

    def __init__(self, reason: str, error: int | None = None) -> None:
        self.reason = reason
        self.error = error

    def request(self, sa: "IkeSa", now: Instant) -> Sequence[Any] | None:
        sa.state = "closing"
        told = () if self.error is None else (notices.status(self.error),)
        return (*told, Delete(IKE, 0, ()))

    def response(self, sa: "IkeSa", payloads: Sequence[Any], now: Instant) -> None:
        sa.down(now, self.reason)


class MoveAddress(Task):
    """Our outer address is another (RFC 4555 3.5): the new one speaks for itself, being the datagram's source."""

    def request(self, sa: "IkeSa", now: Instant) -> Sequence[Any] | None:
        return (notices.status(notices.UPDATE_SA_ADDRESSES), *sa.nat_hashes())

    def response(self, sa: "IkeSa", payloads: Sequence[Any], now: Instant) -> None:
        failed = notices.error(payloads)
        if failed is not None:
            sa.tell(Note("ike.move.refused", (sa.connection.name, notices.name(failed.kind))))
            return
        sa.see_nat(payloads)
        sa.path_changed()


class ProveAddress(Task):
    """Return routability (RFC 4555 3.7): who answers our random words at the new address is really there."""

    def __init__(self, words: bytes) -> None:
        self.words = words

    def request(self, sa: "IkeSa", now: Instant) -> Sequence[Any] | None:
        return (notices.status(notices.COOKIE2, self.words),)

    def response(self, sa: "IkeSa", payloads: Sequence[Any], now: Instant) -> None:
        echoed = notices.notified(payloads, notices.COOKIE2)
        if echoed is None or echoed.about != self.words:
            sa.down(now, "the new address did not give our words back")
