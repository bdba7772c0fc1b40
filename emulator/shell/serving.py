"""A served estate: its sockets, its pace, and its end.

One wildcard socket a transport hears for every home. It is bound to the loopback device, so nothing outside this
machine reaches it, and what was called is looked at again for every connection and every datagram: an address outside
the network is refused even when this machine calls itself by the address of its network card.

The end is orderly: nobody new is let in, what was let in is answered, what changed is committed, and only then are the
connections closed.
"""

import asyncio
import errno
import json
import os
import resource
import socket
import traceback
from dataclasses import dataclass
from typing import Any, Final

from emulator.dcc.auxiliary_release import AuxiliarySettings
from emulator.errors import InputError
from emulator.fleet.estate import Estate
from emulator.fleet.store import open_state
from emulator.headend.dual_control import Approvals
from emulator.shell.addresses import LOOPBACK, Addresses, network
from emulator.shell.gate import STANDARD, Gate, Limits, Log
from emulator.shell.hdlc_tcp import optical
from emulator.shell.live import LiveEstate
from emulator.shell.live_cell import Timing
from emulator.shell.pace import Pace
from emulator.shell.tcp import wrapper
from emulator.shell.udp import Datagrams
from emulator.watch.estate import EstateWatch

FACT: Final = "served"
"""The runner's fact in a state that says where it was last served, as JSON."""

_BACKLOG: Final = 1_024
_TRIES: Final = 32
_FAREWELL_S: Final = 2.0
_FILES: Final = 8_192


@dataclass(frozen=True, slots=True)
class Options:
    """How an estate is served. `host` is the network that the homes' addresses are of; ports 0 mean any that is free;
    `state` names a folder or a database, None: what happens is forgotten at the end; `source` is what the estate was
    opened by, for those who come to the state later; `alerts_per_day` is how often an installation alerts by itself,
    `overhear` whether alerts to other operators' addresses are heard too: as found, all of them are; `watch` whether
    what clients do wrong is written down; `auxiliary` what the core release can do with auxiliary load."""

    host: str = str(LOOPBACK)
    beyond_loopback: bool = False
    port: int = 4059
    hdlc_port: int = 0
    timing: Timing = "instant"
    speed: float = 1.0
    link: str = ""
    state: str | None = None
    source: str = ""
    alerts_per_day: float = 0.0
    overhear: bool = True
    watch: bool = True
    auxiliary: AuxiliarySettings = AuxiliarySettings()
    limits: Limits = STANDARD


class Serving:
    """An estate on sockets, in the running event loop. Raises InputError where an option is wrong, the state cannot be
    opened or a port is in use."""

    def __init__(self, estate: Estate, options: Options, log: Log | None = None) -> None:
        self.options = options
        self.log = log or Log()
        self.addresses = Addresses(network(options.host), estate.installations)
        if not self.addresses.loopback and not options.beyond_loopback:
            raise InputError(
                f"{options.host} can be reached from outside this machine, and these devices have keys that anyone may "
                "ask for; name a network within 127.0.0.0/8, or say --listen-beyond-loopback"
            )
        store = open_state(options.state, estate) if options.state is not None else None
        try:
            self.live = LiveEstate(estate, link=options.link, timing=options.timing, store=store)
            self.live.overhear(options.overhear)
            self.live.release(options.auxiliary)
            if options.watch:
                self.live.overlook(EstateWatch(approvals=Approvals()))
            if options.alerts_per_day:
                self.live.set_alert_rate(options.alerts_per_day)
            self.pace = Pace(self.live, speed=options.speed, trouble=self._trouble)
        except BaseException:
            if store is not None:
                store.close()
            raise
        self.gate = Gate(options.limits, self.log, self.pace.poke)
        self.pace.feed = self.gate.feed
        self.port = self.hdlc_port = 0
        self._servers: list[asyncio.Server] = []
        self._datagrams: Datagrams | None = None

    async def start(self) -> None:
        """Open the sockets and let time pass."""
        options = self.options
        try:
            stream, datagram = self._pair(options.port)
            heads = self._listen(socket.SOCK_STREAM, options.hdlc_port)
        except BaseException:
            self.live.close()
            raise
        self.port, self.hdlc_port = stream.getsockname()[1], heads.getsockname()[1]
        _allow_files(options.limits.connections + 256)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._fault)
        shared = (self.live, self.gate, self.addresses)
        self._servers.append(await loop.create_server(wrapper(*shared), sock=stream, backlog=_BACKLOG))
        self._servers.append(await loop.create_server(optical(*shared), sock=heads, backlog=_BACKLOG))
        self._datagrams = Datagrams(*shared, datagram)
        if self.live.store is not None:
            served = {"estate": options.source, "host": options.host, "port": self.port, "hdlc_port": self.hdlc_port}
            self.live.store.set(FACT, json.dumps(served).encode())
        self.pace.start()
        self.log.write("shell.serving", **self.facts())

    def facts(self) -> dict[str, Any]:
        """What a client has to know; `host` is the address of installation 0."""
        estate = self.live.estate
        return {
            "host": self.addresses.of(0),
            "network": str(self.addresses.network),
            "port": self.port,
            "hdlc_port": self.hdlc_port,
            "pid": os.getpid(),
            "estate": estate.name,
            "installations": estate.installations,
            "seed": estate.seed,
            "timing": self.live.timing,
            "speed": self.pace.speed,
            "link": self.live.link.kind,
            "state": None if self.live.store is None else self.live.store.where,
            "now": self.live.now,
        }

    async def stop(self) -> None:
        """Answer what was let in, commit, and close everything. Raises InputError when the last commit fails."""
        for server in self._servers:
            server.close()
        self.pace.stop()
        try:
            while not self.pace.stalled and self.gate.feed(1 << 16):
                self.live.advance(self.live.now)
            self.live.advance(self.live.now)
            self.live.close()
        finally:
            if self._datagrams is not None:
                self._datagrams.close()
            await self.gate.farewell(_FAREWELL_S)
            self.log.write("shell.stopped", **dict(sorted(self.gate.counts.items())))

    def _trouble(self, text: str | None) -> None:
        if text is None:
            self.log.write("shell.saved-again")
        else:
            self.log.write("shell.not-saved", error=text, so="no answer leaves until it can be saved")

    def _fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault of ours must not go unseen, and must not end the service."""
        error = context.get("exception")
        frames = traceback.extract_tb(error.__traceback__) if error is not None else []
        self.log.write(
            "shell.fault",
            error=context.get("message", "") if error is None else f"{type(error).__name__}: {error}",
            frames=[f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames[-4:]],
        )

    # Sockets

    def _pair(self, port: int) -> tuple[socket.socket, socket.socket]:
        """A stream and a datagram socket on the same port."""
        for _ in range(_TRIES):
            stream = self._listen(socket.SOCK_STREAM, port)
            try:
                return stream, self._listen(socket.SOCK_DGRAM, stream.getsockname()[1])
            except InputError:
                stream.close()
                if port:
                    raise
        raise InputError("no port is free for TCP and UDP at once; name one with --port")

    def _listen(self, kind: socket.SocketKind, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, kind)
        try:
            sock.setblocking(False)
            if kind is socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
            if self.addresses.loopback:
                self._keep_inside(sock)
            sock.bind(("", port))
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                raise InputError(
                    f"port {port} is in use; stop what holds it, or name another one (0: any that is free)"
                ) from error
            raise InputError(f"port {port}: {error.strerror}; name another one (0: any that is free)") from error
        return sock

    def _keep_inside(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        except OSError as error:
            # Kernels before 5.7 ask for a privilege. Destinations are looked at all the same.
            self.log.write("shell.not-bound-to-loopback", error=error.strerror)


def _allow_files(count: int) -> None:
    """As many open files as the connections need, where the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(count, _FILES)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
