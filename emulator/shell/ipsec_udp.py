"""A VPN gateway on two UDP ports: IKEv2 and ESP in UDP, so that a real gateway brings up a tunnel to the estate.

What IKE and ESP are is `emulator.link`'s affair (`ike.peer`, `esp_end`), as in the emulated link; here are the sockets,
the real clock and the system's own randomness, for a live tunnel's keys are nobody's to foresee. ESP always travels in
UDP (RFC 3948), whether or not there is a NAT: this needs no privilege. Behind the gateway are the installations
(`inner`), each at its inner address; in front of it whoever proves itself (`proofs`): by the pre-shared key, or by a
certificate of an authority that we were told of.

Many gateways may come, each with its own tunnel. An answer takes the tunnel that its user was last heard on, else the
newest that serves the user's address. Secrets are in no log and in no status.
"""

import asyncio
import secrets
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Final

from emulator.kernel.effects import Note
from emulator.link.encap import HEADER_BYTES
from emulator.link.esp_end import EspEnd, EspSettings
from emulator.link.ike.effects import Address, ChildDown, ChildUp, Effects, IkeDown, IkeUp, PathChanged, Transmit
from emulator.link.ike.peer import IKE_PORT, NATT_PORT, IkePeer
from emulator.link.ike.settings import Child, Connection, Identity, Secret, Timers, Trust, network
from emulator.link.profile import STANDARD, LinkProfile
from emulator.shell.gate import Gate
from emulator.shell.inner import InnerHosts
from emulator.shell.live import LiveEstate
from emulator.shell.outer import BURST, LONGEST, bound

CONNECTION: Final = "users"
CHILD: Final = "hubs"
USERS: Final = "10.0.0.0/9"
"""Where users of the tunnel are: everything below the hubs' network. ASSUMED, as the head end's address in it is."""

_IPV4: Final = 20
_USERS_MOST: Final = 65_536
_SLEEP_MOST_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class IpsecSettings:
    """A gateway. `address`: where it listens, one IPv4 address; ports 0 mean any that is free. `remote_id`: whom it
    lets in; "": whoever proves an identity. `users`: the network whose traffic it takes. `secret`, `trust`: either or
    both, as a `Connection` has them."""

    secret: Secret | None = field(default=None, repr=False)
    address: str = "127.0.0.1"
    ike_port: int = IKE_PORT
    natt_port: int = NATT_PORT
    local_id: str = "hubs.operator.example"
    remote_id: str = ""
    users: str = USERS
    timers: Timers = Timers()
    trust: Trust | None = None


class IpsecGateway:
    """The operator's gateway of a live estate, in the running event loop. `carries()` says whether the link does.

    Raises InputError where a setting is wrong or a port is taken."""

    def __init__(
        self,
        live: LiveEstate,
        gate: Gate,
        settings: IpsecSettings,
        address: IPv4Address,
        carries: Callable[[], bool],
        *,
        profile: LinkProfile = STANDARD,
    ) -> None:
        self.gate = gate
        self.settings = settings
        self.counts: Counter[str] = Counter()
        """Datagrams and packets, by what became of them."""
        self._carries = carries
        self._loop = asyncio.get_running_loop()
        self._epoch = time.time() - self._loop.time()
        length = 33 - profile.hub_span.bit_length()
        hubs = network(f"{IPv4Address(profile.hub_base)}/{length}")
        child = Child(CHILD, (hubs,), (network(settings.users),))
        connection = Connection(
            CONNECTION,
            Identity.of(settings.local_id),
            (child,),
            Identity.of(settings.remote_id) if settings.remote_id else None,
            secret=settings.secret,
            trust=settings.trust,
            timers=settings.timers,
            force_encap=True,
        )
        opened = [ike := bound(address, settings.ike_port, "IKE")]
        try:
            opened.append(natt := bound(address, settings.natt_port, "IKE and ESP in UDP"))
            self.ike_port, self.natt_port = ike.getsockname()[1], natt.getsockname()[1]
            self.address = str(address)
            self._here = Address(int(address), self.ike_port)
            self._connection = connection
            self.peer = self._born()
            self.hosts = InnerHosts(live, gate, self._out, profile=profile)
        except BaseException:
            for sock in opened:
                sock.close()
            raise
        self._sockets = {self.ike_port: ike, self.natt_port: natt}
        self._esp = EspSettings(port=self.natt_port)
        self._ends: dict[int, EspEnd] = {}
        """By the inbound SPI of a child; a child and what replaces it share one."""
        self._heard_on: OrderedDict[int, EspEnd] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._back_at = 0.0
        for port, sock in self._sockets.items():
            self._loop.add_reader(sock.fileno(), self._hear, sock, Address(int(address), port))

    def stop(self) -> None:
        """Tell the peers that it is over, and hear nobody any more."""
        self._do(self.peer.terminate(CONNECTION, self._now()))
        if self._timer is not None:
            self._timer.cancel()
        for sock in self._sockets.values():
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self.hosts.close()

    def end(self) -> None:
        """Close the tunnels there are: the link goes another way from now on."""
        self._do(self.peer.terminate(CONNECTION, self._now()))
        self._arm()

    def die(self, seconds: float) -> None:
        """Lose everything there is to know, without a word, and come back after so many real seconds."""
        self.peer = self._born()
        self._ends.clear()
        self._heard_on.clear()
        self._back_at = self._loop.time() + seconds
        self._log("link.gateway-died", back_in_s=seconds)

    def _born(self) -> IkePeer:
        return IkePeer("operator", (self._connection,), secrets.token_bytes(32), self._here, natt_port=self.natt_port)

    def _deaf(self) -> bool:
        return not self._carries() or self._loop.time() < self._back_at

    def facts(self) -> dict[str, Any]:
        """What a peer's administrator has to know."""
        return {
            "address": self.address,
            "ike_port": self.ike_port,
            "natt_port": self.natt_port,
            "local_id": self.settings.local_id,
            "hubs": str(self.hosts.addresses.network),
            "home_0": self.hosts.addresses.of(0),
            "port": self.hosts.port,
        }

    def status(self) -> dict[str, Any]:
        """How it stands: IKE SAs with their children, users, counts. Never a key."""
        esp: Counter[str] = Counter()
        for end in {id(one): one for one in self._ends.values()}.values():
            esp += end.counts
        return {
            **self.facts(),
            "carries": not self._deaf(),
            "tunnels": self.peer.status(),
            "half_open": len(self.peer.half_open),
            "users": len(self._heard_on),
            "streams": len(self.hosts.streams),
            "counts": dict(sorted(self.counts.items())),
            "esp": dict(sorted(esp.items())),
        }

    # In

    def _hear(self, sock: socket.socket, local: Address) -> None:
        for _ in range(BURST):
            try:
                payload, (host, port) = sock.recvfrom(LONGEST)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # somebody's port was unreachable; not our business
                continue
            if self._deaf():
                self.counts["black"] += 1
                continue
            source = Address(int(IPv4Address(host)), port)
            end = self._ends.get(int.from_bytes(payload[:4], "big")) if local.port == self.natt_port else None
            if end is not None:
                self._open(end, payload, source)
            elif local.port == self.natt_port and payload[:4].strip(b"\0") and len(payload) > 1:
                self.counts["association"] += 1
            else:
                self.counts["ike"] += len(payload) > 1
                self._do(self.peer.handle(payload, source, self._now(), local))
                self._arm()

    def _open(self, end: EspEnd, payload: bytes, source: Address) -> None:
        came = end.receive_udp(payload, source.ip, source.port)
        self.counts[came.reason or came.what] += 1
        if came.moved:
            self.gate.log.write("link.moved", remote=str(source))
        if came.what == "refused":
            self.gate.log.write("link.refused", remote=str(source), reason=came.reason, detail=came.detail)
        elif came.spi:
            self.peer.heard(came.spi, self._now())
        if came.what == "packet":
            user = int.from_bytes(came.data[12:16], "big")
            self._heard_on[user] = end
            self._heard_on.move_to_end(user)
            if len(self._heard_on) > _USERS_MOST:
                self._heard_on.popitem(last=False)
            self.hosts.receive(came.data)

    # Out

    def _out(self, packet: bytes) -> None:
        """A home's packet to a user."""
        user = int.from_bytes(packet[16:20], "big")
        last = self._heard_on.get(user)
        ways = [last] if last is not None and last.spis else []
        ways += [end for end in reversed(self._ends.values()) if end is not last]
        for end in ways:
            sent = end.send(packet, self._now())
            if sent.reason == "selector":
                continue
            for outer in sent.packets:
                remote = Address(*end.peer)
                self._transmit(self.natt_port, outer[_IPV4 + HEADER_BYTES :], remote)
            if sent.back is not None:
                self.hosts.receive(sent.back)
            return
        self.counts["no tunnel"] += 1

    def _transmit(self, port: int, payload: bytes, remote: Address) -> None:
        if self._deaf():
            self.counts["black"] += 1
            return
        try:
            self._sockets[port].sendto(payload, (str(IPv4Address(remote.ip)), remote.port))
            self.counts["sent"] += 1
        except OSError:
            self.counts["unsent"] += 1

    # What IKE wants

    def _do(self, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case Transmit(payload=payload, source=source, destination=destination):
                    self._transmit(source.port, payload, destination)
                case ChildUp(child=child, replaces=replaces):
                    end = self._ends.get(replaces) if replaces is not None else None
                    if end is None:
                        end = EspEnd(child.local.ip, child.remote.ip, self._esp, remote_port=child.remote.port)
                    end.apply(effect)
                    self._ends[child.spi_in] = end
                    self._log("link.child-up", remote=str(child.remote), suite=child.suite.name, replaces=replaces)
                case ChildDown(spi_in=spi, reason=reason):
                    gone = self._ends.pop(spi, None)
                    if gone is not None:
                        gone.apply(effect)
                    self._log("link.child-down", spi=f"{spi:08x}", reason=reason)
                case PathChanged(spis_in=spis, remote=remote):
                    for end in {id(self._ends[spi]): self._ends[spi] for spi in spis if spi in self._ends}.values():
                        end.apply(effect)
                    self._log("link.path", remote=str(remote))
                case IkeUp(remote=remote, replaces=replaces):
                    self._log("link.ike-up", remote=str(remote), replaced=replaces is not None)
                case IkeDown(reason=reason):
                    self._log("link.ike-down", reason=reason)
                case Note(kind=kind, detail=detail):
                    self._log(f"link.{kind}", detail=[str(each) for each in detail])

    def _log(self, event: str, **detail: Any) -> None:
        self.gate.log.write(event, **detail)

    def _arm(self) -> None:
        """Come back when IKE has something to do."""
        if self._timer is not None:
            self._timer.cancel()
        wait = (self.peer.next_timer() - self._now()) / 1_000_000
        self._timer = self._loop.call_later(min(max(wait, 0.0), _SLEEP_MOST_S), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._do(self.peer.tick(self._now()))
        self._arm()

    def _now(self) -> int:
        """Real time, µs since 1970, without the system clock's jumps: peers live by it, whatever speed the estate's
        clock has, and so do certificates."""
        return int((self._epoch + self._loop.time()) * 1_000_000)
