"""One IKE SA: what both roles share (RFC 7296 2.1 to 2.4, 2.23). Messages sealed and opened, one request at a time each
way, answers kept for a repeated request, children, timers.

Nothing but a message whose check value holds moves anything here. An old request gets its old answer; a message id
that is neither the next nor the last, an answer nobody waits for, a wrong role bit: dropped and noted.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from emulator.codecs.ike import IKE, IKE_FRAME, IKE_PAYLOADS, Payloads
from emulator.codecs.ike_payloads import Encrypted, EncryptedFragment, Notify, Unknown
from emulator.errors import FrameError, TagError
from emulator.kernel.effects import Instant, Note
from emulator.link.ike import notices
from emulator.link.ike.effects import (
    Address,
    ChildDown,
    ChildUp,
    Effect,
    IkeDown,
    IkeUp,
    PathChanged,
    Transmit,
)
from emulator.link.ike.fragments import Pieces, cut
from emulator.link.ike.held import ChildSa, Outstanding, State, nat_hash
from emulator.link.ike.settings import Connection, Identity
from emulator.link.ike.tasks import DeleteChild, DeleteIke, MoveAddress, Probe, Task

if TYPE_CHECKING:
    from emulator.crypto.ike_cipher import IkeCipher
    from emulator.link.ike.handshake import Handshake
    from emulator.link.ike.keys import IkeKeys
    from emulator.link.ike.peer import IkePeer
    from emulator.link.ike.suites import Suite

MARKER: Final = bytes(4)
KEEPALIVE: Final = b"\xff"
NEVER: Final = 1 << 62
_HEADERS: Final = 28 + 4 + 28 + 8
"""IPv4, UDP, marker, IKE header and an SKF header: what a fragment's text comes on top of."""


@dataclass(slots=True, eq=False)
class IkeSa:
    """Made by `handshake`, `responder` or `rekey`; everybody else goes through `IkePeer`."""

    peer: "IkePeer"
    connection: Connection
    initiator: bool
    """Whether we are the original initiator of this very SA; a rekey may turn that round."""
    spi_i: int
    spi_r: int
    local: Address
    remote: Address
    state: State
    heard: Instant
    handshake: "Handshake | None" = None
    suite: "Suite | None" = None
    keys: "IkeKeys | None" = field(default=None, repr=False)
    ciphers: "tuple[IkeCipher, IkeCipher] | None" = field(default=None, repr=False)
    peer_id: Identity | None = None
    next_id: int = 0
    expected: int = 0
    reply: list[bytes] = field(default_factory=list, repr=False)
    outstanding: Outstanding | None = None
    queue: deque[Task] = field(default_factory=deque)
    pieces: dict[bool, Pieces] = field(default_factory=dict)
    children: dict[int, ChildSa] = field(default_factory=dict)
    nat_here: bool = False
    nat_there: bool = False
    mobike: bool = False
    fragmentation: bool = False
    peer_hashes: tuple[int, ...] = ()
    rekey_at: Instant = NEVER
    expire_at: Instant = NEVER
    sent_at: Instant = 0
    rekeyed: "IkeSa | None" = None
    """The successor the peer made while our own rekey is on its way (RFC 7296 2.8.2)."""
    rekeyed_nonce: bytes = b""
    arrived: tuple[Address, Address] = (Address(0, 0), Address(0, 0))
    """(source, destination) of the message in hand."""
    later: list[Callable[[], None]] = field(default_factory=list)
    """What is to be done once the answer in the making is out."""

    # who and where

    @property
    def spi(self) -> int:
        """Our own SPI."""
        return self.spi_i if self.initiator else self.spi_r

    @property
    def encap(self) -> bool:
        """Whether ESP goes in UDP."""
        return self.nat_here or self.nat_there or self.connection.force_encap

    def tell(self, effect: Effect) -> None:
        self.peer.tell(effect)

    def nat_hashes(self, responder: int | None = None) -> tuple[Notify, Notify]:
        """NAT detection (RFC 7296 2.23): hashes of the addresses as we see them, our own falsified to force UDP."""
        spis = self.spi_i.to_bytes(8, "big") + (self.spi_r if responder is None else responder).to_bytes(8, "big")
        source = nat_hash(spis, self.local)
        if self.connection.force_encap:
            source = bytes(20)
        return (
            notices.status(notices.NAT_SOURCE, source),
            notices.status(notices.NAT_DESTINATION, nat_hash(spis, self.remote)),
        )

    def see_nat(self, payloads: Sequence[Any], spis: bytes | None = None) -> None:
        """What the peer's hashes say about translators between us; nothing when it sent none."""
        spis = spis or self.spi_i.to_bytes(8, "big") + self.spi_r.to_bytes(8, "big")
        sources = [one.about for one in payloads if type(one) is Notify and one.kind == notices.NAT_SOURCE]
        target = notices.notified(payloads, notices.NAT_DESTINATION)
        source, destination = self.arrived
        if sources:
            self.nat_there = nat_hash(spis, source) not in sources
        if target is not None:
            self.nat_here = nat_hash(spis, destination) != target.about

    def path_changed(self) -> None:
        """Tell where the children's packets go now."""
        self.tell(PathChanged(tuple(self.children), self.local, self.remote, self.encap))

    # sending

    def ask(self, task: Task, now: Instant) -> None:
        """Queue an exchange; it is sent when the window is free. Past the bound it is dropped and noted."""
        if len(self.queue) >= self.peer.limits.tasks:
            self.tell(Note("ike.busy", (self.connection.name,)))
            return
        self.queue.append(task)
        self.pump(now)

    def pump(self, now: Instant) -> None:
        """Send the next request if none is on its way."""
        while self.outstanding is None and self.queue and self.state in ("auth", "up", "replaced"):
            task = self.queue.popleft()
            payloads = task.request(self, now)
            if payloads is None:
                continue
            datagrams = self.sealed(task.exchange, 0, self.next_id, payloads)
            self.outstanding = Outstanding(
                task, task.exchange, self.next_id, datagrams, now + self.connection.timers.wait(1)
            )
            self.send(datagrams, now)

    def send(self, datagrams: list[bytes], now: Instant, way: tuple[Address, Address] | None = None) -> None:
        """Transmit; `way` is (source, destination) of the message that is answered, whose way back may be another."""
        destination, source = way or (self.remote, self.local)
        marker = MARKER if source.port == self.peer.natt_port else b""
        for datagram in datagrams:
            self.tell(Transmit(marker + datagram, source, destination))
        if destination == self.remote:  # what goes elsewhere keeps no translator's mapping open
            self.sent_at = now

    def sealed(self, exchange: int, response: int, message_id: int, payloads: Sequence[Any]) -> list[bytes]:
        """A protected message: one datagram, or several fragments. `response` is the flag or 0."""
        assert self.ciphers is not None
        inner = IKE_PAYLOADS.build(Payloads(tuple(payloads)))
        first, plain = inner[0], inner[1:]
        cipher = self.ciphers[0 if self.initiator else 1]
        flags = (notices.INITIATOR if self.initiator else 0) | response
        largest = self.connection.fragment
        if not (self.fragmentation and largest and _HEADERS + cipher.size(len(plain)) > largest):
            return [self._seal_one(cipher, exchange, flags, message_id, Encrypted(first, b""), plain)]
        room = largest - _HEADERS - cipher.size(0) - 16
        parts = cut(plain, room)
        return [
            self._seal_one(
                cipher, exchange, flags, message_id, EncryptedFragment(0 if n else first, n + 1, len(parts), b""), part
            )
            for n, part in enumerate(parts)
        ]

    def _seal_one(
        self,
        cipher: "IkeCipher",
        exchange: int,
        flags: int,
        message_id: int,
        envelope: Encrypted | EncryptedFragment,
        plain: bytes,
    ) -> bytes:
        size = cipher.size(len(plain))
        envelope.text = bytes(size)
        message = IKE(self.spi_i, self.spi_r, notices.VERSION, exchange, flags, message_id, (envelope,))
        aad = IKE_FRAME.build(message)[:-size]
        return aad + cipher.seal(aad, plain)

    # receiving

    def receive(self, message: IKE, datagram: bytes, source: Address, local: Address, now: Instant) -> None:
        """A message for this SA that is not IKE_SA_INIT."""
        response = bool(message.flags & notices.RESPONSE)
        why = self._unwanted(message, response)
        if why:
            return self._drop(why, source)
        assert self.ciphers is not None
        envelope = message.payloads[-1]
        try:
            plain = self.ciphers[1 if self.initiator else 0].open(
                datagram[: len(datagram) - len(envelope.text)], envelope.text
            )
        except TagError:
            return self._drop("integrity", source)
        except FrameError:
            plain = b"?"  # authentic, and nonsense: found out below, where the peer is told
        repeated = not response and message.message_id != self.expected
        if repeated:
            if type(envelope) is Encrypted or envelope.number == 1:
                self.send(self.reply, now, (source, local))
            return None
        first = envelope.first
        if type(envelope) is EncryptedFragment:
            whole = self._piece(response, message.message_id, envelope, plain)
            if whole is None:
                return None
            first, plain = whole
        self.heard = now
        self.arrived = (source, local)
        if self.state == "half-open":
            self.remote, self.local = source, local  # a NAT was seen: the peer goes on from port 4500
        elif source != self.remote and self.nat_there and not self.mobike and self.state == "up":
            self.remote, self.local = source, local
            self.path_changed()
        try:
            payloads: Sequence[Any] = IKE_PAYLOADS.parse(bytes((first,)) + plain).payloads
        except FrameError as error:
            self.tell(Note("ike.malformed", (self.connection.name, error.reason)))
            if not response:
                told = (notices.status(notices.INVALID_SYNTAX),)
                self.send(self.sealed(message.exchange, notices.RESPONSE, message.message_id, told), now)
            return self.down(now, "the peer sent a malformed message")
        if response:
            self._answered(payloads, now)
        else:
            self._asked(message, payloads, now)
        return None

    def _unwanted(self, message: IKE, response: bool) -> str:
        """Why a message cannot be for us, before any key is used; or nothing."""
        if bool(message.flags & notices.INITIATOR) == self.initiator or self.ciphers is None or self.state == "down":
            return "role"
        if len(message.payloads) != 1 or type(message.payloads[0]) not in (Encrypted, EncryptedFragment):
            return "not protected"
        if not message.payloads[0].text:
            return "integrity"
        if response:
            waiting = self.outstanding
            if waiting is None or (message.message_id, message.exchange) != (waiting.message_id, waiting.exchange):
                return "no such request"
            return ""
        if self.state in ("init", "auth") or (self.state == "half-open" and message.exchange != notices.IKE_AUTH):
            return "state"
        if message.message_id != self.expected and not (self.reply and message.message_id == self.expected - 1):
            return "message id"
        return ""

    def _drop(self, why: str, source: Address) -> None:
        self.tell(Note("ike.refused", (why, str(source))))

    def _piece(
        self, response: bool, message_id: int, piece: EncryptedFragment, plain: bytes
    ) -> tuple[int, bytes] | None:
        pieces = self.pieces.get(response)
        if pieces is None or pieces.message_id != message_id:
            pieces = self.pieces[response] = Pieces(message_id, self.peer.limits.fragments)
        whole = pieces.add(piece, plain)
        if whole is not None:
            del self.pieces[response]
        return whole

    def _answered(self, payloads: Sequence[Any], now: Instant) -> None:
        assert self.outstanding is not None
        task = self.outstanding.task
        self.outstanding = None
        self.next_id += 1
        task.response(self, payloads, now)
        self.pump(now)

    def _asked(self, message: IKE, payloads: Sequence[Any], now: Instant) -> None:
        self.expected += 1
        try:
            answer = self._answer(message.exchange, payloads, now)
        except notices.Refuse as refusal:
            self.tell(Note("ike.refusal", (self.connection.name, notices.name(refusal.kind))))
            answer = (refusal.notify,)
        self.reply = self.sealed(message.exchange, notices.RESPONSE, message.message_id, answer)
        self.send(self.reply, now, self.arrived)
        later, self.later = self.later, []
        for act in later:
            act()
        self.pump(now)

    def _answer(self, exchange: int, payloads: Sequence[Any], now: Instant) -> Sequence[Any]:
        for one in payloads:
            if type(one) is Unknown and one.critical:
                raise notices.Refuse(notices.UNSUPPORTED_CRITICAL_PAYLOAD, bytes((one.kind,)))
        return self.peer.answers[exchange if exchange in self.peer.answers else 0](self, payloads, now)

    # children

    def add_child(self, child: ChildSa, replaces: int | None, send: bool) -> None:
        self.children[child.spi_in] = child
        self.peer.keep_child(child, self)
        self.tell(ChildUp(child.negotiated, replaces, send))

    def drop_child(self, child: ChildSa, reason: str) -> None:
        if self.children.pop(child.spi_in, None) is not None:
            self.peer.forget_child(child)
            self.tell(ChildDown(child.spi_in, child.spi_out, reason))

    def child_out(self, spi_out: int) -> ChildSa | None:
        """The child whose packets we seal under this SPI: what a peer names when it speaks of its own inbound one."""
        return next((one for one in self.children.values() if one.spi_out == spi_out), None)

    def adopt(self, other: "IkeSa") -> None:
        """Take over every child of an SA that this one replaces."""
        for child in other.children.values():
            self.children[child.spi_in] = child
            self.peer.keep_child(child, self)
        other.children.clear()
        waiting = [task for task in other.queue if not isinstance(task, Probe | DeleteIke)]
        other.queue.clear()
        self.queue.extend(waiting)

    # life

    def up(self, now: Instant, replaces: int | None = None) -> None:
        """Authenticated: set the clocks, say so."""
        self.state = "up"
        self.heard = now
        timers = self.connection.timers
        self.rekey_at, self.expire_at = self.peer.ages(timers.rekey_ike, timers, now)
        self.tell(IkeUp(self.spi, self.connection.name, self.initiator, self.local, self.remote, replaces))

    def down(self, now: Instant, reason: str) -> None:
        """The end, from whatever state."""
        if self.state == "down":
            return
        began = self.state in ("init", "auth", "half-open")
        replaced = self.state == "replaced"
        self.state = "down"
        self.outstanding = None
        self.queue.clear()
        for child in list(self.children.values()):
            self.drop_child(child, reason)
        self.peer.forget(self, now, failed=began, replaced=replaced)
        self.tell(IkeDown(self.spi, self.connection.name, reason))

    def next_timer(self) -> Instant:
        """When `tick` next has something to do."""
        due = NEVER if self.outstanding is None else self.outstanding.due
        timers = self.connection.timers
        if self.state == "half-open":
            return min(due, self.expire_at)
        if self.state in ("up", "replaced"):
            due = min(due, self.rekey_at, self.expire_at)
            if timers.dpd_delay and self.outstanding is None:
                due = min(due, self.heard + timers.dpd_delay)
            if timers.keepalive and self.nat_here:
                due = min(due, self.sent_at + timers.keepalive)
            for child in self.children.values():
                due = min(due, child.rekey_at, child.expire_at)
        return due

    def tick(self, now: Instant) -> None:
        """Do what is due."""
        waiting = self.outstanding
        if waiting is not None and waiting.due <= now:
            timers = self.connection.timers
            if waiting.sent > timers.tries:
                return self.lost(now)
            waiting.sent += 1
            waiting.due = now + timers.wait(waiting.sent)
            self.send(waiting.datagrams, now)
        if self.state == "half-open" and self.expire_at <= now:
            return self.down(now, "the peer never proved itself")
        if self.state not in ("up", "replaced"):
            return None
        timers = self.connection.timers
        if self.expire_at <= now:
            self.expire_at = NEVER
            self.queue.clear()
            self.ask(DeleteIke("its life is over"), now)
        if self.state == "up":
            self._renew(now)
        if timers.dpd_delay and self.outstanding is None and self.heard + timers.dpd_delay <= now:
            self.ask(Probe(), now)
        if timers.keepalive and self.nat_here and self.sent_at + timers.keepalive <= now:
            self.tell(Transmit(KEEPALIVE, self.local, self.remote))
            self.sent_at = now
        return None

    def _renew(self, now: Instant) -> None:
        if self.rekey_at <= now:
            self.rekey_at = NEVER
            self.ask(self.peer.rekey_task(), now)
        for child in list(self.children.values()):
            if child.expire_at <= now:
                child.expire_at = NEVER
                self.ask(DeleteChild(child, "its life is over"), now)
            elif child.rekey_at <= now:
                child.rekey_at = NEVER
                if child.state == "up":
                    self.ask(self.peer.rekey_child_task(child), now)

    def lost(self, now: Instant) -> None:
        """A request stayed without an answer to the last repetition."""
        reason = "no answer to the first message" if self.state == "init" else "the peer is dead"
        if self.handshake is not None and self.handshake.refused:
            reason = f"refused: {self.handshake.refused}"
        elif self.outstanding is not None and isinstance(self.outstanding.task, DeleteIke):
            reason = self.outstanding.task.reason
        self.down(now, reason)

    def move(self, local: Address, now: Instant) -> None:
        """Our address is another. A request on its way is repeated from there at once."""
        self.local = local
        if self.outstanding is not None:
            self.send(self.outstanding.datagrams, now)
        self.ask(MoveAddress(), now)
