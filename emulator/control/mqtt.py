"""The estate on a broker: commands in, answers, alerts and the journal out.

    <prefix>/<estate>/status                  online | offline, retained; offline is also the last will
    <prefix>/<estate>/about                   what is served and where, retained
    <prefix>/<estate>/command/...             see `mqtt_orders`
    <prefix>/<estate>/answer/<request>
    <prefix>/<estate>/alarm/<installation>/<device>/<cause>     what devices noticed; repeats told once
    <prefix>/<estate>/alert/<installation>/<device>             every alert as it came, with its frame
    <prefix>/<estate>/journal/<installation>/<device>/<kind>
    <prefix>/<estate>/batch/journal, .../batch/alert, .../batch/alarm
    <prefix>/<estate>/missed                  how many entries of a stream were dropped

`online` is said after the command topics are subscribed to, so who has seen it is heard. The clock runs and the other
doors are open whether or not a broker is there: it is looked for again and again, at growing intervals.

What is promised is kept over a broker's death. An order that was heard is answered (`mqtt_clerk`). Alerts and journal
go on from the last entry acknowledged (`mqtt_streams`). A session outlives a short absence where the broker speaks
MQTT 5, so that it keeps for us what is sent meanwhile. Everything is sent with QoS 1 and may therefore come twice;
numbers and request names say so.

As at every door, what a wish changed is durable before its answer leaves.
"""

import asyncio
import secrets
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import msgspec
from aiomqtt import Client, MqttError, ProtocolVersion, Will
from aiomqtt.exceptions import MqttConnectError
from aiomqtt.message import Message
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from emulator.control.driver import Driver
from emulator.control.mqtt_address import Address, BusOptions, Mode, root_of
from emulator.control.mqtt_clerk import Clerk
from emulator.control.mqtt_orders import Asker
from emulator.control.mqtt_streams import Source, Stream, alarm_place, alert_place, journal_place
from emulator.errors import InputError
from emulator.shell.gate import Log

ORDERS_MOST: Final = 4_096
"""Orders that came and are not begun yet."""

_PACKET_MOST: Final = 4 * 1024 * 1024
_WINDOW: Final = 200
"""Messages on their way at once, where the broker does not say less."""
_KEEPALIVE_S: Final = 10
_GREETING_S: Final = 2.5
"""A broker of the older version may not answer the newer one's greeting at all."""
_REPLY_S: Final = 5.0
_SESSION_S: Final = 300
_FIRST_S: Final = 0.1
_LAST_S: Final = 30.0
_HELD_S: Final = 5.0
"""A connection that held so long starts the intervals anew."""
_START_S: Final = 4.0
_FAREWELL_S: Final = 2.0
_AGAIN_S: Final = 0.02
_SETTLE_S: Final = 1.0
"""So often repeats are looked for whose time has come to be told."""
_USER: Final = "smets1"
_MODES: Final[dict[Mode, tuple[bool, bool]]] = {
    "off": (False, False),
    "one": (True, False),
    "batch": (False, True),
    "both": (True, True),
}
"""(one by one, in batches)"""


class Bus:
    """One estate on one broker. Make and use it in the running loop. `about` is what the retained message of that name
    says; keys have no place in it."""

    def __init__(self, driver: Driver, options: BusOptions, address: Address, log: Log, about: dict[str, Any]) -> None:
        self.driver = driver
        self.log = log
        self.root = root_of(options.prefix, driver.desk.live.estate.name)
        self.counts: Counter[str] = Counter()
        self.connected = False
        self._options = options
        self._address = address
        self._about = msgspec.json.encode(about)
        self._identifier = f"smets1-{secrets.token_hex(8)}"
        self._version = ProtocolVersion.V311 if address.embedded else ProtocolVersion.V5
        self._broker: Any = None
        self._told: str | None = None
        self._gate = asyncio.Semaphore(1)
        self._news = asyncio.Event()
        self.clerk = Clerk(driver, self.root, log, self.counts, self._news.set)
        self._looked = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.streams = [
            *self._streams("alarm", driver.desk.alarms, alarm_place, _MODES[options.alarms]),
            *self._streams("alert", driver.desk.alarms.alerts, alert_place, _MODES[options.alerts]),
            *self._streams("journal", driver.desk.ring, journal_place, _MODES[options.journal]),
        ]

    def _streams(
        self, name: str, source: Source, place: Callable[[Any], str], wanted: tuple[bool, bool]
    ) -> Iterable[Stream]:
        one, batches = wanted
        if one:
            yield Stream(name, source, self.root, place)
        if batches:
            wait_s = self._options.batch_ms / 1000
            yield Stream(name, source, self.root, place, batch=self._options.batch, wait_s=wait_s)

    # Beginning and end

    async def start(self) -> None:
        """Look for the broker, or start it. Returns when it is found, was looked for in vain, or is silent for long.

        Raises InputError where an embedded broker cannot be started."""
        if self._address.embedded:
            await self._start_broker()
        self.driver.desk.ring.watchers.add(self._news.set)
        self.driver.desk.alarms.alerts.watch.append(self._news.set)
        self._task = asyncio.create_task(self._run(), name="mqtt")
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                await self._looked.wait()

    async def _start_broker(self) -> None:
        try:
            from emulator.control.mqtt_broker import EmbeddedBroker
        except ImportError as error:
            raise InputError(
                f"an embedded broker needs the package amqtt ({error}); install smets1-emulator[broker], or name a "
                "broker by its URL"
            ) from None
        address = self._address
        user, password = address.user or _USER, address.password
        if password is None:
            password = secrets.token_urlsafe(24)
            self._told = password
        self._broker = EmbeddedBroker(user, password, self.log)
        await self._broker.start(address.port)
        self._address = replace(address, port=self._broker.port, user=user, password=password)

    def facts(self) -> dict[str, Any]:
        """What a client has to know; with the password only where one was made at start."""
        found: dict[str, Any] = {
            "broker": self._address.url,
            "prefix": self.root,
            "embedded": self._address.embedded,
            "user": self._address.user,
            "connected": self.connected,
        }
        return found if self._told is None else {**found, "password": self._told}

    async def stop(self) -> None:
        """Hear no more orders, say what there is to say, and go. Takes a few seconds at most."""
        self._closing.set()
        await self.clerk.stop()
        self.driver.desk.ring.watchers.discard(self._news.set)
        with suppress(ValueError):
            self.driver.desk.alarms.alerts.watch.remove(self._news.set)
        if self._task is not None:
            if not self.connected:
                self._task.cancel()
            with suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_FAREWELL_S + 2 * _REPLY_S):
                    await self._task
        if self.clerk.waiting:
            self.log.write("mqtt.not-answered", answers=self.clerk.waiting)
        if self._broker is not None:
            await self._broker.stop()

    # The connection

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_S
        while not self._closing.is_set():
            began = loop.time()
            try:
                await self._session()
            except (MqttError, OSError, ValueError) as error:
                self._away(error, pause)
            finally:
                self.connected = False
            if self._closing.is_set():
                return
            if loop.time() - began > _HELD_S:
                pause = _FIRST_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * (0.8 + secrets.randbelow(400) / 1000)):
                    await self._closing.wait()
            pause = min(_LAST_S, pause * 2)

    def _away(self, error: Exception, pause: float) -> None:
        reached, cause = self.connected, error.__context__ if isinstance(error, MqttError) else error
        silent = isinstance(cause, TimeoutError)
        if not silent:
            self._looked.set()
        if not reached and (silent or not isinstance(cause, OSError)):
            # It was there but did not say yes: perhaps it speaks the other version only.
            older = self._version is ProtocolVersion.V5
            self._version = ProtocolVersion.V311 if older else ProtocolVersion.V5
        self.counts["lost" if reached else "not-found"] += 1
        cure = "start the broker; it is looked for again and again"
        if isinstance(error, MqttConnectError):
            cure = "look at user and password (--mqtt-credentials), and at what the broker lets that user do"
        elif "certificate" in str(error).lower() or "ssl" in str(error).lower():
            cure = "look at the certificates (--mqtt-ca, --mqtt-cert, --mqtt-key) and at the broker's name in its own"
        self.log.write("mqtt.away", broker=self._address.url, error=str(error), cure=cure, again_in_s=round(pause, 1))

    def _client(self) -> Client:
        five = self._version is ProtocolVersion.V5
        properties: Properties | None = None
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_S
            properties.MaximumPacketSize = _PACKET_MOST
        client = Client(
            self._address.host,
            self._address.port,
            username=self._address.user,
            password=self._address.password,
            identifier=self._identifier,
            protocol=self._version,
            will=Will(f"{self.root}/status", b"offline", 1, True),
            clean_session=None if five else True,
            clean_start=False if five else 3,
            timeout=_GREETING_S,
            keepalive=_KEEPALIVE_S,
            properties=properties,
            max_inflight_messages=_WINDOW,
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            max_queued_incoming_messages=ORDERS_MOST,
            queue_type=self._waiting_line(),
            tls_context=self._address.tls,
        )
        client.pending_calls_threshold = 1 << 20
        inner = client._client
        heard = inner.on_connect

        def welcomed(*told: Any) -> None:
            """The broker's answer to our greeting: of MQTT 5, it says how much it takes at a time."""
            most = getattr(told[-1], "ReceiveMaximum", _WINDOW)
            self._gate = asyncio.Semaphore(min(most, _WINDOW))
            if heard is not None:
                heard(*told)

        inner.on_connect = welcomed
        return client

    def _waiting_line(self) -> type["asyncio.Queue[Message]"]:
        counts, log = self.counts, self.log

        class Line(asyncio.Queue[Message]):
            """Orders that came. What does not fit in is counted and said."""

            def put_nowait(self, item: Message) -> None:
                if self.full():
                    counts["orders-dropped"] += 1
                    log.write("mqtt.orders-dropped", most=ORDERS_MOST, so="send again what was not answered")
                else:
                    super().put_nowait(item)

        return Line

    async def _session(self) -> None:
        """One connection, from its beginning to its end."""
        async with _connected(self._client()) as client:
            client.timeout = _REPLY_S
            commands = f"{self.root}/command/#"
            if self._version is ProtocolVersion.V5:
                await client.subscribe(commands, options=SubscribeOptions(1, retainHandling=2))  # nothing retained
            else:
                await client.subscribe(commands, qos=1)
            await client.publish(f"{self.root}/about", self._about, qos=1, retain=True)
            await client.publish(f"{self.root}/status", b"online", qos=1, retain=True)
            self.connected = True
            self.counts["connected"] += 1
            self._looked.set()
            self.log.write("mqtt.connected", broker=self._address.url, prefix=self.root, version=self._version.name)
            reading = asyncio.create_task(self._read(client))
            writing = asyncio.create_task(self._write(client))
            closing: asyncio.Task[Any] = asyncio.create_task(self._closing.wait())
            try:
                await asyncio.wait((reading, writing, closing), return_when=asyncio.FIRST_COMPLETED)
                for each in (reading, writing):
                    if each.done():
                        each.result()
                for each in (reading, writing):
                    each.cancel()
                await self._farewell(client)
            finally:
                for each in (reading, writing, closing):
                    each.cancel()
                await asyncio.gather(reading, writing, closing, return_exceptions=True)

    async def _farewell(self, client: Client) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await self._answer(client)
                for stream in self.streams:
                    while stream.waiting and not self.driver.desk.live.uncommitted:
                        await self._publish(client, stream)
        await client.publish(f"{self.root}/status", b"offline", qos=1, retain=True)
        await client.unsubscribe(f"{self.root}/command/#")

    # In and out

    async def _read(self, client: Client) -> None:
        async for message in client.messages:
            await self.clerk.room()
            path = str(message.topic).removeprefix(f"{self.root}/command").removeprefix("/")
            self.clerk.hear(path, message.payload, *_properties(message), retained=message.retain)
            await asyncio.sleep(0)

    async def _write(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        live, pace, alarms = self.driver.desk.live, self.driver.desk.pace, self.driver.desk.alarms
        while True:
            self._news.clear()
            alarms.settle(live.now)
            await self._answer(client)
            now = loop.time()
            due = [wait for stream in self.streams if (wait := stream.due(now)) is not None]
            wait = min(due, default=None)
            if wait == 0.0 and live.uncommitted:
                pace.poke()
                wait = _AGAIN_S
            if wait == 0.0:
                for stream in self.streams:
                    if stream.due(now) == 0.0:
                        await self._publish(client, stream)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_S if wait is None else min(wait, _SETTLE_S)):
                    await self._news.wait()

    async def _put(self, client: Client, topic: str, payload: bytes, **more: Any) -> None:
        """Publish in turn; back when the broker has it."""
        async with self._gate:
            await client.publish(topic, payload, 1, **more)

    async def _answer(self, client: Client) -> None:
        """All answers there are. One that is not acknowledged stays."""
        while some := self.clerk.answers(_WINDOW):
            await asyncio.gather(
                *(self._put(client, who.topic, payload, properties=self._labelled(who)) for who, payload in some)
            )
            self.clerk.delivered(len(some))

    def _labelled(self, who: Asker) -> Properties | None:
        if who.correlation is None or self._version is not ProtocolVersion.V5:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = who.correlation
        return properties

    async def _publish(self, client: Client, stream: Stream) -> None:
        taken = stream.take()
        await asyncio.gather(*(self._put(client, topic, payload) for topic, payload in taken.messages))
        stream.done(taken)
        if taken.missed:
            self.counts[f"{stream.name}-dropped"] += taken.missed
            self.log.write("mqtt.dropped", stream=stream.name, missed=taken.missed, ever=stream.dropped)


@asynccontextmanager
async def _connected(client: Client) -> AsyncIterator[Client]:
    """As `async with client`, and leaves nothing of it in the loop: aiomqtt forgets a connection that never came about,
    but its socket goes on."""
    try:
        await client.__aenter__()
        try:
            yield client
        finally:
            await client.__aexit__(*sys.exc_info())
    finally:
        inner = client._client
        inner.on_connect = inner.on_disconnect = None
        if inner.socket() is not None:
            inner.disconnect()


def _properties(message: Message) -> tuple[str | None, bytes | None]:
    """(response topic, correlation data) where MQTT 5 gave them."""
    given = message.properties
    response = getattr(given, "ResponseTopic", None)
    correlation = getattr(given, "CorrelationData", None)
    return (
        response if isinstance(response, str) else None,
        correlation if isinstance(correlation, bytes) else None,
    )
