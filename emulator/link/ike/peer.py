"""A gateway: connections, the IKE SAs that stand or come to be, and what arrives for which of them.

Datagrams and the time in, effects out. The driver calls `handle` for every datagram on its two ports, `tick` when
`next_timer` has come, and the other methods when somebody wishes something; each answers with what is to be done. On
the port for NAT traversal (4500) IKE stands behind four zero bytes and anything else is ESP, which is not for here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from emulator.codecs.ike import HEADER, IKE, IKE_FRAME
from emulator.errors import FrameError, InputError
from emulator.kernel.effects import Instant, Note
from emulator.link.ike import handshake, notices, responder
from emulator.link.ike.chance import Chance
from emulator.link.ike.children import CreateChild
from emulator.link.ike.effects import Address, Effect, Effects, Transmit
from emulator.link.ike.held import ChildSa
from emulator.link.ike.informational import answer_informational
from emulator.link.ike.keylog import KeyLog
from emulator.link.ike.rekey import RekeyIke, answer_create
from emulator.link.ike.sa import MARKER, NEVER, IkeSa
from emulator.link.ike.settings import Connection, Identity, Limits, Timers
from emulator.link.ike.tasks import DeleteChild, DeleteIke, Task

IKE_PORT: Final = 500
NATT_PORT: Final = 4500
_LEAST_SPI: Final = 256


def _no_such_exchange(sa: IkeSa, payloads: Sequence[Any], now: Instant) -> Sequence[Any]:
    raise notices.Refuse(notices.INVALID_SYNTAX)


class IkePeer:
    """One end. `address`: where it is, with its IKE port; `seed`: secret bytes all its keys come from."""

    answers: Final[Mapping[int, Callable[[IkeSa, Sequence[Any], Instant], Sequence[Any]]]] = MappingProxyType(
        {
            0: _no_such_exchange,
            notices.IKE_AUTH: responder.answer_auth,
            notices.CREATE_CHILD_SA: answer_create,
            notices.INFORMATIONAL: answer_informational,
        }
    )
    """Exchange -> how a protected request of it is answered; 0 for the others."""

    def __init__(
        self,
        name: str,
        connections: Iterable[Connection],
        seed: bytes,
        address: Address,
        *,
        natt_port: int = NATT_PORT,
        limits: Limits | None = None,
        keylog: KeyLog | None = None,
    ) -> None:
        """InputError: two connections of one name."""
        self.name = name
        self.connections: dict[str, Connection] = {}
        for one in connections:
            if one.name in self.connections:
                raise InputError(f"two connections are named {one.name!r}; give each a name of its own")
            self.connections[one.name] = one
        self.chance = Chance(seed, name)
        self.cookie_key = Chance(seed, f"{name}|cookie").take(32)
        self.ike_port = address.port
        self.natt_port = natt_port
        self.address = address
        self.limits = limits or Limits()
        self.keylog = keylog
        self.sas: dict[int, IkeSa] = {}
        """By our own SPI."""
        self.half_open: dict[tuple[Address, int], IkeSa] = {}
        """By where IKE_SA_INIT came from and the initiator's SPI."""
        self._per_address: dict[int, int] = {}
        self._owner: dict[int, IkeSa] = {}
        self._again: dict[str, Instant] = {}
        self._kept = {one.name for one in self.connections.values() if one.keep}
        self._said: Effects = []

    # what a driver calls

    def handle(self, datagram: bytes, source: Address, now: Instant, local: Address | None = None) -> Effects:
        """A datagram's UDP payload from `source` to our `local` address (None: the IKE port). No bytes raise."""
        local = local or self.address
        if local.port == self.natt_port:
            if not datagram.startswith(MARKER):
                return []  # ESP, or a keepalive
            datagram = datagram[4:]
        try:
            message = IKE_FRAME.parse(datagram)
        except FrameError as error:
            self.tell(Note("ike.refused", (error.reason, str(source))))
            self._other_version(datagram, source, local)
            return self._told()
        self._sort(message, datagram, source, local, now)
        return self._told()

    def tick(self, now: Instant) -> Effects:
        """Do what is due."""
        for sa in [one for one in self.sas.values() if one.next_timer() <= now]:
            sa.tick(now)
        for name in [name for name, at in self._again.items() if at <= now]:
            del self._again[name]
            self._start(self.connections[name], None, now)
        return self._told()

    def next_timer(self) -> Instant:
        """When `tick` is wanted; far in the future when nothing is."""
        due = min(self._again.values(), default=NEVER)
        for sa in self.sas.values():
            due = min(due, sa.next_timer())
        return due

    def heard(self, spi_in: int, now: Instant) -> None:
        """An authentic ESP packet came for a child: its peer lives."""
        owner = self._owner.get(spi_in)
        if owner is not None:
            owner.heard = now

    # what somebody wishes

    def initiate(self, connection: str, now: Instant, child: str | None = None) -> Effects:
        """Set up a connection, or where it stands one more child; one that is being set up is left to it.

        InputError: no such name, or nowhere to go.
        """
        found = self._connection(connection)
        if child is not None:
            found.child(child)
        standing = next((sa for sa in self.sas.values() if sa.connection.name == connection and sa.state == "up"), None)
        if standing is not None:
            name = child or (found.children[0].name if found.children else "")
            standing.ask(CreateChild(found.child(name)), now)
        elif not any(sa.connection.name == connection and sa.state in ("init", "auth") for sa in self.sas.values()):
            self._start(found, child, now)
        if found.keep:
            self._kept.add(connection)
        return self._told()

    def terminate(self, connection: str, now: Instant) -> Effects:
        """Close every IKE SA of a connection, and do not bring it up again. InputError."""
        self._connection(connection)
        self._kept.discard(connection)
        self._again.pop(connection, None)
        for sa in [one for one in self.sas.values() if one.connection.name == connection]:
            if sa.state == "up":
                sa.queue.clear()
                sa.ask(DeleteIke("closed on request"), now)
            elif sa.state in ("init", "auth", "half-open"):
                sa.down(now, "closed on request")
        return self._told()

    def close_child(self, spi_in: int, now: Instant) -> Effects:
        """Close one child. InputError: there is none of that SPI."""
        sa, child = self._child(spi_in)
        sa.ask(DeleteChild(child, "closed on request"), now)
        return self._told()

    def rekey_child(self, spi_in: int, now: Instant) -> Effects:
        """Replace a child now. InputError."""
        sa, child = self._child(spi_in)
        sa.ask(CreateChild(child.config, child), now)
        return self._told()

    def rekey_ike(self, connection: str, now: Instant) -> Effects:
        """Replace the IKE SAs of a connection now. InputError."""
        self._connection(connection)
        for sa in [one for one in self.sas.values() if one.connection.name == connection and one.state == "up"]:
            sa.ask(RekeyIke(), now)
        return self._told()

    def move(self, address: Address, now: Instant) -> Effects:
        """We are at another address from now on (`address.port` is the IKE port): tell every peer that knows MOBIKE.

        Only the end that set an IKE SA up may move it (RFC 4555 3.1); for the others nothing happens.
        """
        self.address = address
        self.ike_port = address.port
        for sa in list(self.sas.values()):
            if sa.initiator and sa.mobike and sa.state == "up":
                port = self.natt_port if sa.local.port == self.natt_port else address.port
                sa.move(Address(address.ip, port), now)
        return self._told()

    def status(self) -> list[dict[str, Any]]:
        """One plain dict per IKE SA, without secrets."""
        return [
            {
                "connection": sa.connection.name,
                "state": sa.state,
                "initiator": sa.initiator,
                "spis": (f"{sa.spi_i:016x}", f"{sa.spi_r:016x}"),
                "local": str(sa.local),
                "remote": str(sa.remote),
                "remote_id": str(sa.peer_id) if sa.peer_id else "",
                "suite": sa.suite.name if sa.suite else "",
                "encap": sa.encap,
                "children": [
                    {
                        "child": child.config.name,
                        "state": child.state,
                        "spi_in": f"{child.spi_in:08x}",
                        "spi_out": f"{child.spi_out:08x}",
                        "suite": child.negotiated.suite.name,
                    }
                    for child in sa.children.values()
                ],
            }
            for sa in self.sas.values()
        ]

    # what the IKE SAs of this package call

    def tell(self, effect: Effect) -> None:
        self._said.append(effect)

    def answer_open(self, message: IKE, payloads: tuple[Any, ...], source: Address, local: Address) -> None:
        """An unprotected answer to an IKE_SA_INIT, of which nothing is remembered."""
        answer = IKE(message.initiator, 0, notices.VERSION, message.exchange, notices.RESPONSE, 0, payloads)
        marker = MARKER if local.port == self.natt_port else b""
        self.tell(Transmit(marker + IKE_FRAME.build(answer), local, source))

    def new_spi(self) -> int:
        while True:
            spi = self.chance.number(8)
            if spi and spi not in self.sas:
                return spi

    def new_child_spi(self) -> int:
        while True:
            spi = self.chance.number(4)
            if spi >= _LEAST_SPI and spi not in self._owner:
                return spi

    def ages(self, age: int, timers: Timers, now: Instant) -> tuple[Instant, Instant]:
        """(when to rekey, when to close) something made now that lives for `age`; 0: never."""
        if not age:
            return NEVER, NEVER
        return now + int(age * (1 - timers.rekey_spread * self.chance.share())), now + int(
            age * (1 + timers.life_margin)
        )

    def retry_at(self, timers: Timers, now: Instant) -> Instant:
        """When to try again: drawn, or two ends that stood in each other's way would do so for ever."""
        return now + int(timers.retry * (0.5 + self.chance.share()))

    def hold(self, sa: IkeSa, source: Address) -> None:
        """A half-open SA."""
        self.sas[sa.spi] = sa
        self.half_open[source, sa.spi_i] = sa
        self._per_address[source.ip] = self.half_open_of(source.ip) + 1

    def half_open_of(self, ip: int) -> int:
        """How many half-open SAs an address has."""
        return self._per_address.get(ip, 0)

    def proven(self, sa: IkeSa, source: Address) -> None:
        """It is half-open no more."""
        if self.half_open.pop((source, sa.spi_i), None) is not None:
            left = self._per_address[source.ip] - 1
            if left:
                self._per_address[source.ip] = left
            else:
                del self._per_address[source.ip]

    def established(self, sa: IkeSa, now: Instant) -> None:
        """We set it up: what there was of the same connection and came to nothing is not needed."""
        self._again.pop(sa.connection.name, None)

    def first_contact(self, sa: IkeSa) -> bool:
        """Whether we have no other SA with that peer (RFC 7296 2.4, INITIAL_CONTACT)."""
        return not any(
            other is not sa and other.connection.name == sa.connection.name and other.state in ("up", "replaced")
            for other in self.sas.values()
        )

    def began_anew(self, sa: IkeSa, now: Instant) -> None:
        """The peer says it knows of no older SA: neither do we any more."""
        for other in list(self.sas.values()):
            if other is not sa and other.peer_id == sa.peer_id and other.connection.name == sa.connection.name:
                other.down(now, "the peer began anew")

    def connection_for(self, sa: IkeSa, who: Identity, wished: Identity | None) -> Connection | None:
        """The connection that a peer of this identity may have, over this SA's suite and from its address."""
        assert sa.suite is not None
        suite = sa.suite
        wanted = {one.name for one in (suite.encryption, suite.prf, suite.integrity, suite.group) if one}
        for one in self.connections.values():
            if one.remote is not None and one.remote.ip != sa.remote.ip:
                continue
            if one.remote_id not in (None, who) or wished not in (None, one.local_id):
                continue
            known = {algorithm.name for offer in one.offers for kind in offer.kinds.values() for algorithm in kind}
            if wanted <= known:
                return one
        return None

    def keep_child(self, child: ChildSa, owner: IkeSa) -> None:
        self._owner[child.spi_in] = owner

    def forget_child(self, child: ChildSa) -> None:
        self._owner.pop(child.spi_in, None)

    def forget(self, sa: IkeSa, now: Instant, *, failed: bool, replaced: bool) -> None:
        """An SA is gone. A connection to be kept is begun anew: at once, or after a refusal in a while."""
        self.sas.pop(sa.spi, None)
        if sa.handshake is not None:
            self.proven(sa, sa.handshake.came_from or sa.remote)
        name = sa.connection.name
        if replaced or name not in self._kept or sa.connection.remote is None:
            return
        if any(other.connection.name == name and other.state in ("init", "auth", "up") for other in self.sas.values()):
            return
        refused = failed and sa.handshake is not None and (sa.handshake.refused or sa.keys is not None)
        self._again[name] = self.retry_at(sa.connection.timers, now) if refused else now

    def rekey_task(self) -> Task:
        return RekeyIke()

    def rekey_child_task(self, child: ChildSa) -> Task:
        return CreateChild(child.config, child)

    def rekeying_ike(self, sa: IkeSa) -> bool:
        return sa.outstanding is not None and isinstance(sa.outstanding.task, RekeyIke)

    # inside

    def _told(self) -> Effects:
        said, self._said = self._said, []
        return said

    def _sort(self, message: IKE, datagram: bytes, source: Address, local: Address, now: Instant) -> None:
        """To the SA it is for, or to the responder that makes one."""
        from_initiator = bool(message.flags & notices.INITIATOR)
        response = bool(message.flags & notices.RESPONSE)
        if message.exchange == notices.IKE_SA_INIT:
            if from_initiator and not response and message.responder == 0 and message.message_id == 0:
                responder.answer_init(self, message, datagram, source, local, now)
                return
            sa = self.sas.get(message.initiator)
            if sa is not None and sa.initiator and response and not from_initiator and message.message_id == 0:
                handshake.answered(sa, message, datagram, source, local, now)
                return
        else:
            sa = self.sas.get(message.responder if from_initiator else message.initiator)
            if sa is not None and (sa.spi_i, sa.spi_r) == (message.initiator, message.responder):
                sa.receive(message, datagram, source, local, now)
                return
        self.tell(Note("ike.refused", ("no such SA", str(source))))

    def _other_version(self, datagram: bytes, source: Address, local: Address) -> None:
        """Tell a newer peer that begins which version is spoken here (RFC 7296 2.5); noise gets no answer."""
        size = int.from_bytes(datagram[24:28], "big")
        if len(datagram) < HEADER or datagram[17] >> 4 <= 2 or datagram[19] & notices.RESPONSE or size != len(datagram):
            return
        initiator = int.from_bytes(datagram[:8], "big")
        if not initiator or any(datagram[8:16]):
            return
        about = IKE(initiator, 0, notices.VERSION, datagram[18], 0, 0, ())
        self.answer_open(about, (notices.status(notices.INVALID_MAJOR_VERSION),), source, local)

    def _start(self, connection: Connection, child: str | None, now: Instant) -> None:
        if connection.remote is None:
            raise InputError(f"connection {connection.name!r} has no remote address to go to; only the peer can begin")
        natt = connection.remote.port == connection.remote_natt_port
        local = Address(self.address.ip, self.natt_port if natt else self.ike_port)
        sa = IkeSa(self, connection, True, self.new_spi(), 0, local, connection.remote, "init", now)
        self.sas[sa.spi] = sa
        handshake.start(sa, child, now)

    def _connection(self, name: str) -> Connection:
        found = self.connections.get(name)
        if found is None:
            raise InputError(f"no connection {name!r}; there are {', '.join(self.connections) or 'none'}")
        return found

    def _child(self, spi_in: int) -> tuple[IkeSa, ChildSa]:
        owner = self._owner.get(spi_in)
        if owner is None:
            raise InputError(f"no child SA has the inbound SPI {spi_in:08x}")
        return owner, owner.children[spi_in]
