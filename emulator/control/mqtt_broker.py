"""A broker inside this process, for those who have none: amqtt, on loopback, behind a password.

It speaks MQTT 3.1.1 and is meant for a test suite and a page, not for load: what a subscriber does not take is kept in
this process's memory, and some thousand messages a second are its most. Mosquitto, named by URL, is for more.

The socket is ours and not amqtt's: so a free port is known as soon as it is bound, strangers who say nothing are shown
the door, and no packet is larger than a bound, before anybody has said who they are.
"""

import asyncio
import errno
import logging
import socket
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from emulator.errors import InputError
from emulator.shell.gate import Log

GUESTS_MOST: Final = 256
PACKET_MOST: Final = 4 * 1024 * 1024
INTRODUCTION_S: Final = 10.0
"""How long somebody may be there without having said who they are."""

_LISTENER: Final = "default"
_FAREWELL_S: Final = 6.0
_THEIR_LOGS: Final = ("amqtt", "transitions", "websockets")

_known: Final[set[tuple[str, int]]] = set()
"""Peers who gave the right password."""


class Doorman(BaseAuthPlugin):  # type: ignore[misc]
    """Lets in who knows the password; it is kept here as a digest only."""

    @dataclass
    class Config:
        """Both as SHA-256 in hex."""

        user: str = ""
        password: str = ""

    async def authenticate(self, *, session: Session) -> bool | None:
        """amqtt's question."""
        config: Any = self.config
        good = compare_digest(_digest(session.username or ""), config.user)
        good &= compare_digest(_digest(session.password or ""), config.password)
        if good and session.remote_address is not None and session.remote_port is not None:
            _known.add((session.remote_address, session.remote_port))
        return good


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class _Reader(StreamReaderAdapter):  # type: ignore[misc]
    """Ends where somebody announces more than a packet may hold."""

    async def read(self, n: int = -1) -> bytes:
        if n > PACKET_MOST:
            raise ConnectionResetError("a packet larger than this broker takes")
        return bytes(await super().read(n))


class _Lines(logging.Handler):
    """amqtt's own words as JSON lines. Only the text it was written with, never what was put into it."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        self._log.write("mqtt.broker", level=record.levelname.lower(), where=record.name, error=kind and kind.__name__)


class EmbeddedBroker:
    """See the module. Start it in the running loop."""

    def __init__(self, user: str, password: str, log: Log) -> None:
        self._log = log
        # amqtt lists its plugins by dotted path.
        doorman = f"{Doorman.__module__}.{Doorman.__qualname__}"
        self._config = BrokerConfig(
            listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL, bind="127.0.0.1")},
            plugins={doorman: {"user": _digest(user), "password": _digest(password)}},
        )
        self._broker: Broker | None = None
        self._server: asyncio.Server | None = None
        self._guests: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen on loopback. Raises InputError where the port is in use."""
        for name in _THEIR_LOGS:
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [_Lines(self._log)], False
            logger.setLevel(logging.ERROR)
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            sock.close()
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
            raise InputError(f"port {port} {why}; name another one for the broker (0: any that is free)") from error
        self._broker = Broker(self._config)
        await self._broker.start()
        self._server = await asyncio.start_server(self._greet, sock=sock)
        self.port = sock.getsockname()[1]

    async def stop(self) -> None:
        """Nobody is heard any more. Takes a few seconds at most; stopping twice is harmless."""
        broker, self._broker = self._broker, None
        if self._server is not None:
            self._server.close()
        try:
            if broker is not None:
                async with asyncio.timeout(_FAREWELL_S):
                    await broker.shutdown()
        except TimeoutError:
            self._log.write("mqtt.broker", level="error", error="it did not end in time")
        greetings = tuple(self._guests)
        for writer in self._guests.values():
            writer.transport.abort()
        if greetings:
            await asyncio.wait(greetings, timeout=_FAREWELL_S)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        if len(self._guests) >= GUESTS_MOST or peer is None or self._broker is None:
            self._log.write("mqtt.too-many", most=GUESTS_MOST)
            writer.transport.abort()
            return
        place = (peer[0], peer[1])
        _known.discard(place)
        myself = asyncio.current_task()
        assert myself is not None
        self._guests[myself] = writer
        late = asyncio.get_running_loop().call_later(INTRODUCTION_S, self._look, place, writer)
        try:
            await self._broker.external_connected(_Reader(reader), StreamWriterAdapter(writer), _LISTENER)
        except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
            self._log.write("mqtt.broken-off", error=type(error).__name__)
        finally:
            late.cancel()
            del self._guests[myself]
            _known.discard(place)
            writer.transport.abort()

    def _look(self, place: tuple[str, int], writer: asyncio.StreamWriter) -> None:
        if place not in _known:
            self._log.write("mqtt.said-nothing", after_s=INTRODUCTION_S)
            writer.transport.abort()
