"""One router's LDP: hellos out and in, a session with every neighbour, labels told and heard, tables written.

Six ways in: `start`, `hello` (a datagram), `connected`, `received` and `closed` (a TCP connection, known by the far
transport address), `tick`; and what the router's owner does: `route`, `unroute`, `stop`. Each returns effects, the last
of which is the `Wake` at which `tick` is wanted.

A neighbour's connection is taken only while its hellos are heard. A session that fails is tried again by its active
side after a wait that doubles (RFC 5036 2.5.3).
"""

from collections.abc import Mapping

from emulator.codecs.ldp import (
    ADDRESS,
    ADDRESS_WITHDRAW,
    LABEL_MAPPING,
    LABEL_RELEASE,
    LABEL_REQUEST,
    LABEL_WITHDRAW,
    NOTIFICATION,
    Message,
)
from emulator.codecs.ldp_tlvs import FEC, AddressList, GenericLabel, Prefix, RequestId, Status, Wildcard
from emulator.errors import UsageError
from emulator.kernel.effects import Instant, Note, Wake
from emulator.kernel.time import SECOND
from emulator.link.mpls.habits import FIRST_FREE, IMPLICIT_NULL, IPV4_EXPLICIT_NULL
from emulator.link.mpls.ldp.bindings import Bindings, Fec, Route
from emulator.link.mpls.ldp.discovery import NEVER, Adjacencies
from emulator.link.mpls.ldp.effects import Dial, HangUp, LdpEffect, Multicast, Say
from emulator.link.mpls.ldp.session import HOLD_EXPIRED, MALFORMED_TLV, MISSING_PARAMETERS, SHUTDOWN, Session
from emulator.link.mpls.ldp.settings import Settings
from emulator.link.mpls.lsr import Lsr

UNKNOWN_FEC = 0x0C
NO_ROUTE = 0x0D
NO_LABELS = 0x0E
UNSUPPORTED_FAMILY = 0x17
_ADDRESSES_IN_ONE = 512
"""In one message, so that it fits the smallest PDU usual (4,096)."""


class Speaker:
    """LDP on some interfaces of a router. `interfaces`: name -> our address there, a 32-bit int."""

    def __init__(self, lsr: Lsr, settings: Settings, interfaces: Mapping[str, int]) -> None:
        """UsageError: the router has no such interface."""
        for name in interfaces:
            if name not in lsr.interfaces:
                raise UsageError(f"router {lsr.name} has no interface {name!r}")
        self.settings = settings
        self.bindings = Bindings(lsr, settings)
        self.adjacencies = Adjacencies(settings)
        self.sessions: dict[int, Session] = {}
        """By transport address."""
        self._interfaces = dict(interfaces)
        self._up: set[int] = set()
        self._dial_at: dict[int, Instant] = {}
        self._waits: dict[int, int] = {}
        self._hello_at: Instant = NEVER
        self._hellos = 0
        self._effects: list[LdpEffect] = []

    # The owner

    def start(self, now: Instant) -> list[LdpEffect]:
        """Begin to say hello."""
        self._hello_at = now
        return self.tick(now)

    def stop(self, now: Instant) -> list[LdpEffect]:
        """End every session with a word (shutdown), and be silent."""
        for session in list(self.sessions.values()):
            if session.state != "idle":
                session.fail(SHUTDOWN, now)
            self._settle(session, now)
        self.sessions.clear()
        self.adjacencies.until.clear()
        self._dial_at.clear()
        self._hello_at = NEVER
        return self._done()

    def route(self, fec: Fec, route: Route, now: Instant) -> list[LdpEffect]:
        """A route appears or changes (None: the prefix is our own), and every neighbour hears of its label.

        InputError: no label is left. UsageError: not a prefix.
        """
        before = self.bindings.local.get(fec)
        label = self.bindings.route(fec, route)
        if label != before:
            if before is not None:
                self._tell_all(LABEL_WITHDRAW, fec, before, now)
            self._tell_all(LABEL_MAPPING, fec, label, now)
        return self._done()

    def unroute(self, fec: Fec, now: Instant) -> list[LdpEffect]:
        """A route is gone, and its label is withdrawn."""
        label = self.bindings.unroute(fec)
        if label is not None:
            self._tell_all(LABEL_WITHDRAW, fec, label, now)
        return self._done()

    # The wire

    def hello(self, datagram: bytes, source: int, interface: str, now: Instant) -> list[LdpEffect]:
        """A datagram to port 646 came in from `source` (an address). No bytes make this raise."""
        if interface not in self._interfaces or self._hello_at == NEVER:
            return self._done()
        heard = self.adjacencies.read(datagram, source, now)
        if isinstance(heard, str):
            return self._deaf(interface, source, heard)
        session = next((each for each in self.sessions.values() if each.router == heard.router), None)
        if session is not None and session.address != heard.transport:
            # Anybody can say hello: no session falls by it. A neighbour that did move is silent at the old place.
            return self._deaf(interface, source, "another transport address than before")
        known = interface in self.adjacencies.interfaces(heard.router)
        if not self.adjacencies.keep(heard, interface):
            return self._deaf(interface, source, "too many neighbours")
        if not known:
            self._effects.append(Note("ldp.neighbour", (heard.router, interface)))
        if session is None and heard.transport not in self.sessions:
            session = self.sessions[heard.transport] = Session(self.settings, heard.router, heard.transport)
            if session.active:
                self._dial_at[heard.transport] = now
        return self.tick(now)

    def _deaf(self, interface: str, source: int, why: str) -> list[LdpEffect]:
        self._effects.append(Note("ldp.hello-refused", (interface, source, why)))
        return self._done()

    def connected(self, address: int, now: Instant) -> list[LdpEffect]:
        """A TCP connection with a transport address is there, dialled by us or by them."""
        session = self.sessions.get(address)
        if session is None:
            self._effects.append(Note("ldp.refused", (address,)))
            self._effects.append(HangUp(address))
            return self._done()
        if session.state != "idle":  # the neighbour began anew without our hearing the end
            self._fall(session, SHUTDOWN)
        self._dial_at.pop(address, None)
        session.connected(now)
        self._settle(session, now)
        return self._done()

    def received(self, address: int, data: bytes, now: Instant) -> list[LdpEffect]:
        """Bytes of a connection. No bytes make this raise."""
        session = self.sessions.get(address)
        if session is not None and session.state != "idle":
            for message in session.receive(data, now):
                self._rise(session, now)
                self._act(session, message, now)
            self._settle(session, now)
        return self._done()

    def closed(self, address: int, now: Instant) -> list[LdpEffect]:
        """A connection is gone, or could not be made."""
        session = self.sessions.get(address)
        if session is not None:
            session.end(SHUTDOWN)
            self._fall(session, SHUTDOWN)
            self._later(session, now)
        return self._done()

    def tick(self, now: Instant) -> list[LdpEffect]:
        """Do what is due."""
        if now >= self._hello_at:
            for name in self._interfaces:
                self._hellos += 1
                self._effects.append(Multicast(name, self.adjacencies.hello(self._hellos)))
            self._hello_at = now + max(1, self.settings.hello_hold // 3) * SECOND
        for router, interface in self.adjacencies.expired(now):
            self._effects.append(Note("ldp.neighbour-lost", (router, interface)))
            if not self.adjacencies.interfaces(router):
                for session in [each for each in self.sessions.values() if each.router == router]:
                    self._drop(session, HOLD_EXPIRED, now)
        for address, at in list(self._dial_at.items()):
            if now >= at:
                del self._dial_at[address]
                self._effects.append(Dial(address))
        for session in list(self.sessions.values()):
            session.tick(now)
            self._settle(session, now)
        return self._done()

    def next_timer(self) -> Instant:
        """When `tick` has something to do."""
        due = [self._hello_at, *self._dial_at.values(), *self.adjacencies.until.values()]
        due += [at for session in self.sessions.values() if (at := session.next_timer()) is not None]
        return min(due)

    # Inside

    def _done(self) -> list[LdpEffect]:
        at = self.next_timer()
        effects, self._effects = self._effects, []
        return [*effects, Wake(at)] if at < NEVER else effects

    def _settle(self, session: Session, now: Instant) -> None:
        """Carry out what a session wants."""
        if session.state == "operational":
            self._rise(session, now)
        for data in session.out:
            self._effects.append(Say(session.address, data))
        session.out.clear()
        if session.ended is not None:
            self._effects.append(HangUp(session.address))
            self._fall(session, session.ended)
            self._later(session, now)

    def _rise(self, session: Session, now: Instant) -> None:
        """A session has become operational: tell it everything."""
        if session.router in self._up or session.state != "operational":
            return
        self._up.add(session.router)
        self._waits.pop(session.address, None)
        self.bindings.remote[session.router] = {}
        self.bindings.addresses[session.router] = set()
        self._effects.append(Note("ldp.up", (session.router,)))
        ours = sorted({self.settings.address, *self._interfaces.values()})
        for at in range(0, len(ours), _ADDRESSES_IN_ONE):
            session.say(ADDRESS, (AddressList(1, tuple(ours[at : at + _ADDRESSES_IN_ONE])),), now)
        for fec, label in sorted(self.bindings.local.items()):
            session.say(LABEL_MAPPING, (_fec(fec), GenericLabel(label)), now)

    def _fall(self, session: Session, status: int) -> None:
        """A session is over: its labels with it."""
        session.ended = None
        self.bindings.forget(session.router)
        if session.router in self._up:
            self._up.discard(session.router)
            self._effects.append(Note("ldp.down", (session.router, status)))

    def _later(self, session: Session, now: Instant) -> None:
        """Try again, if that is ours to do."""
        if session.active and session.address in self.sessions and session.address not in self._dial_at:
            first, last = self.settings.backoff
            wait = self._waits.get(session.address, first)
            self._waits[session.address] = min(last, wait * 2)
            self._dial_at[session.address] = now + wait * SECOND

    def _drop(self, session: Session, status: int, now: Instant) -> None:
        """End a session for good: the neighbour is gone."""
        del self.sessions[session.address]
        self._dial_at.pop(session.address, None)
        self._waits.pop(session.address, None)
        if session.state != "idle":
            session.fail(status, now)
            self._settle(session, now)

    def _tell_all(self, kind: int, fec: Fec, label: int, now: Instant) -> None:
        for session in self.sessions.values():
            if session.router in self._up:
                session.say(kind, (_fec(fec), GenericLabel(label)), now)
                self._settle(session, now)

    # Messages

    def _act(self, session: Session, message: Message, now: Instant) -> None:
        if message.kind == NOTIFICATION:
            status = next(part for part in message.parts if isinstance(part, Status))
            self._effects.append(Note("ldp.told", (session.router, status.code & 0x3FFF_FFFF)))
        elif message.kind in (ADDRESS, ADDRESS_WITHDRAW):
            self._addresses(session, message, now)
        else:
            self._labels(session, message, now)

    def _addresses(self, session: Session, message: Message, now: Instant) -> None:
        about = next((part for part in message.parts if isinstance(part, AddressList)), None)
        if about is None:
            session.advise(MISSING_PARAMETERS, message, now)
        elif about.family != 1:
            session.advise(UNSUPPORTED_FAMILY, message, now)
        else:
            known = self.bindings.addresses[session.router]
            if message.kind == ADDRESS_WITHDRAW:
                known.difference_update(about.addresses)
            elif len(known) + len(about.addresses) > self.settings.most:
                session.advise(NO_LABELS, message, now)
            else:
                known.update(about.addresses)
            self.bindings.install_all()

    def _labels(self, session: Session, message: Message, now: Instant) -> None:
        about = next((part for part in message.parts if isinstance(part, FEC)), None)
        given = next((part for part in message.parts if isinstance(part, GenericLabel)), None)
        if about is None or (message.kind == LABEL_MAPPING and given is None):
            return session.advise(MISSING_PARAMETERS, message, now)
        label = None if given is None else given.label
        nulls = None, IPV4_EXPLICIT_NULL, IMPLICIT_NULL
        if message.kind == LABEL_MAPPING and label not in nulls and label < FIRST_FREE:
            return session.fail(MALFORMED_TLV, now, message)
        for element in about.elements:
            if isinstance(element, Wildcard) and message.kind in (LABEL_WITHDRAW, LABEL_RELEASE):
                self._everything(session, message.kind, label, now)
            elif not isinstance(element, Prefix):
                session.advise(UNKNOWN_FEC, message, now)
            elif element.family != 1:
                session.advise(UNSUPPORTED_FAMILY, message, now)
            else:
                mask = (1 << (32 - element.length)) - 1
                self._label(session, message, (element.address & ~mask, element.length), label, now)
        return None

    def _everything(self, session: Session, kind: int, label: int | None, now: Instant) -> None:
        theirs = self.bindings.remote[session.router]
        for fec in sorted(fec for fec, known in theirs.items() if label in (None, known)):
            if kind == LABEL_WITHDRAW:
                self._withdrawn(session, fec, label, now)

    def _label(self, session: Session, message: Message, fec: Fec, label: int | None, now: Instant) -> None:
        """One prefix of a message."""
        if message.kind == LABEL_MAPPING:
            assert label is not None
            self._mapped(session, message, fec, label, now)
        elif message.kind == LABEL_REQUEST:
            ours = self.bindings.local.get(fec)
            if ours is None:
                session.advise(NO_ROUTE, message, now)
            else:
                session.say(LABEL_MAPPING, (_fec(fec), GenericLabel(ours), RequestId(message.message_id)), now)
        elif message.kind == LABEL_WITHDRAW:
            self._withdrawn(session, fec, label, now)
        # A release needs no answer, and neither does an abort: requests are answered at once.

    def _mapped(self, session: Session, message: Message, fec: Fec, label: int, now: Instant) -> None:
        theirs = self.bindings.remote[session.router]
        before = theirs.get(fec)
        if before is None and len(theirs) >= self.settings.most:
            return session.advise(NO_LABELS, message, now)
        theirs[fec] = label
        if before is not None and before != label:
            session.say(LABEL_RELEASE, (_fec(fec), GenericLabel(before)), now)
        self.bindings.install(fec)
        self._effects.append(Note("ldp.label", (session.router, *fec, label)))
        return None

    def _withdrawn(self, session: Session, fec: Fec, label: int | None, now: Instant) -> None:
        theirs = self.bindings.remote[session.router]
        known = theirs.get(fec)
        if known is not None and label in (None, known):
            del theirs[fec]
            self.bindings.install(fec)
            self._effects.append(Note("ldp.label-withdrawn", (session.router, *fec, known)))
        # Released in any case, so that the neighbour need not wait for an answer (section 3.5.10).
        given = label if label is not None else known
        session.say(LABEL_RELEASE, (_fec(fec), *(() if given is None else (GenericLabel(given),))), now)


def _fec(fec: Fec) -> FEC:
    return FEC((Prefix(1, fec[1], fec[0]),))
