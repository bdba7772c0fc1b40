"""uvicorn, kept on a short lead: on loopback only, in a loop that is somebody else's, without signal handlers, and with
logs as JSON lines like everyone's.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from emulator.errors import InputError
from emulator.shell.gate import Log

_HEADERS_MOST: Final = 32 * 1024
_AT_ONCE_MOST: Final = 512
_FAREWELL_S: Final = 3


class _Quiet(uvicorn.Server):
    """Leaves signals to whoever runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Lines(logging.Handler):
    """uvicorn's own words as JSON lines. Only what it says, never an exception's text: that may hold anything."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write("http.server", level=record.levelname.lower(), message=str(record.msg).partition("\n")[0])


class Served:
    """An application that listens at `host`:`port`."""

    def __init__(
        self, server: uvicorn.Server, task: "asyncio.Task[None]", ending: Callable[[], Awaitable[None]]
    ) -> None:
        self._server = server
        self._task = task
        self._ending = ending
        name = server.servers[0].sockets[0].getsockname()
        self.host: str = name[0]
        self.port: int = name[1]

    @property
    def url(self) -> str:
        """Where it is, for people and programs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def stop(self) -> None:
        """Streams end, requests under way are answered within three seconds, and nobody is heard any more."""
        await self._ending()
        self._server.should_exit = True
        await self._task


async def listen(app: ASGIApp, host: str, port: int, log: Log, ending: Callable[[], Awaitable[None]]) -> Served:
    """Listen at once. `ending` is awaited when it is to stop. Raises InputError."""
    sock = _bound(host, port)
    logger = logging.getLogger("uvicorn.error")
    logger.handlers = [_Lines(log)]
    logger.propagate = False
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=_AT_ONCE_MOST,
        h11_max_incomplete_event_size=_HEADERS_MOST,
        http="h11",
        ws="none",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_FAREWELL_S,
    )
    server = _Quiet(config)
    task = asyncio.create_task(server.serve(sockets=[sock]), name="http")
    while not server.started:
        if task.done():
            sock.close()
            raise InputError(f"{host}:{port}: the server did not start; see its log")
        await asyncio.sleep(0.001)
    return Served(server, task, ending)


def _bound(host: str, port: int) -> socket.socket:
    try:
        address = ip_address(host)
    except ValueError:
        raise InputError(f"{host!r} is no IP address; give 127.0.0.1 or ::1") from None
    if not address.is_loopback:
        raise InputError(f"{host} can be reached from outside this machine; HTTP is served on loopback, give 127.0.0.1")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # Named as TCP, so that asyncio turns Nagle's delay off: it looks at the number.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise InputError(f"port {port} on {host} {why}; name another one (0: any that is free)") from error
    sock.setblocking(False)
    return sock
