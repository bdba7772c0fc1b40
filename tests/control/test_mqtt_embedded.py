"""The broker inside the process: who knows the password is in, and nobody else costs anything."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("amqtt")

from aiomqtt import Client, MqttError, ProtocolVersion

from emulator.control import mqtt_broker
from emulator.control.desk import Desk
from emulator.control.driver import Driver
from emulator.control.mqtt import Bus
from emulator.control.mqtt_address import BusOptions, address_of
from emulator.errors import InputError
from emulator.fleet.estate import open_estate
from emulator.shell.gate import Log
from emulator.shell.serving import Options, Serving

PATIENCE = 20.0


class Bench:
    """A served estate with its bus, in this loop."""

    def __init__(self, serving: Serving, bus: Bus, words: io.StringIO) -> None:
        self.serving = serving
        self.bus = bus
        self.words = words
        self.facts = bus.facts()
        self.port = int(self.facts["broker"].rpartition(":")[2])

    def client(self, password: str | None = None) -> Client:
        password = self.facts.get("password", "") if password is None else password
        return Client("127.0.0.1", self.port, username="smets1", password=password, timeout=5)

    async def ask(self, client: Client, path: str, body: dict[str, Any]) -> Any:
        """One order to its answer."""
        root = self.facts["prefix"]
        await client.subscribe(f"{root}/answer/#", qos=1)
        await client.publish(f"{root}/command/{path}", json.dumps(body), qos=1)
        async for message in client.messages:
            if str(message.topic).startswith(f"{root}/answer"):
                return json.loads(message.payload)


@asynccontextmanager
async def served(environ: dict[str, str] | None = None, **options: Any) -> AsyncIterator[Bench]:
    words = io.StringIO()
    log = Log(words)
    serving = Serving(open_estate("demo-street"), Options(port=0), log)
    await serving.start()
    try:
        driver = Driver(Desk(serving.live, serving.pace))
        chosen = BusOptions(**{"broker": "embedded", **options})
        bus = Bus(driver, chosen, address_of(chosen, environ or {}), log, {"host": "127.1.0.1"})
        try:
            await bus.start()
            yield Bench(serving, bus, words)
        finally:
            await bus.stop()
            await driver.stop()
    finally:
        await serving.stop()


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await body()

    asyncio.run(bounded())


def test_a_client_with_the_password_is_served() -> None:
    """Made at start, told once, in no log: with it a command is answered and a state is seen."""

    async def body() -> None:
        async with served() as bench, bench.client() as client:
            assert len(bench.facts["password"]) >= 24
            assert bench.facts["connected"]
            answer = await bench.ask(
                client, "installations/1/electricity/read-object", {"request": "r", "what": "clock"}
            )
            assert answer["answer"]["object"] == "0-0:1.0.0.255"
            await client.subscribe(f"{bench.facts['prefix']}/status", qos=1)
            message = await anext(aiter(client.messages))
            assert (message.payload, message.retain) == (b"online", True)
            words = bench.words
            password = bench.facts["password"]
        assert password not in words.getvalue()
        assert password not in repr(bench.bus._address)

    run(body)


def test_nobody_else_is() -> None:
    """A wrong password, none, and a stranger's user are refused; a password of one's own is not told again."""

    async def body() -> None:
        async with served({"SMETS1_MQTT_PASSWORD": "chosen by somebody"}) as bench:
            assert "password" not in bench.facts
            async with bench.client("chosen by somebody"):
                pass
            for client in (
                bench.client("wrong"),
                Client("127.0.0.1", bench.port, timeout=5),
                Client("127.0.0.1", bench.port, username="x", password="chosen by somebody", timeout=5),
            ):
                with pytest.raises(MqttError, match="authorized"):
                    await client.__aenter__()
        assert "chosen by" not in bench.words.getvalue()

    run(body)


def test_silence_garbage_and_giants_are_shown_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing, nonsense, or announces more than a packet holds is cut off, and the others go on."""
    monkeypatch.setattr(mqtt_broker, "INTRODUCTION_S", 0.3)

    async def ended(reader: asyncio.StreamReader) -> bool:
        try:
            async with asyncio.timeout(5):
                return await reader.read(1) == b""
        except ConnectionError:
            return True

    async def body() -> None:
        async with served() as bench, bench.client() as client:
            giant = b"\x10" + b"\xff\xff\xff\x7f"
            for said in (b"", b"GET / HTTP/1.1\r\n\r\n", giant, b"\x10\x0c\x00\x04MQTT"):
                reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
                writer.write(said)
                assert await ended(reader), said
                writer.close()
            assert (await bench.ask(client, "clock", {}))["answer"]["speed"] == 1.0
            await asyncio.sleep(0.4)
            assert (await bench.ask(client, "clock", {}))["answer"]["speed"] == 1.0

    run(body)


def test_it_can_be_named_by_url_like_any_broker() -> None:
    """A broker that knows only MQTT 3.1.1 is found without being told so."""

    async def body() -> None:
        async with served() as bench:
            environ = {"SMETS1_MQTT_USER": "smets1", "SMETS1_MQTT_PASSWORD": bench.facts["password"]}
            url = f"mqtt://127.0.0.1:{bench.port}"
            async with served(environ, broker=url, prefix="other") as second, bench.client() as client:
                assert second.facts["connected"]
                assert second.bus._version is ProtocolVersion.V311
                second.facts["prefix"] = "other/demo-street"
                assert (await second.ask(client, "clock", {}))["command"] == "clock"

    run(body)


def test_a_port_in_use_is_one_sentence() -> None:
    """InputError naming the port and the cure; what was opened before is closed again."""

    async def body() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(InputError, match=f"port {port} is in use; name another"):
                async with served(broker=f"embedded:{port}"):
                    pass

    run(body)


def test_without_the_package_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """amqtt is an extra: without it one sentence says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "emulator.control.mqtt_broker", None)

    async def body() -> None:
        with pytest.raises(InputError, match=r"smets1-emulator\[broker\]"):
            async with served():
                pass

    run(body)


def test_a_stop_answers_what_is_under_way() -> None:
    """A wish that takes hours (some homes are tried again) is answered when the server stops; last comes offline."""

    async def body() -> None:
        async with served() as bench:
            client = bench.client()
            await client.__aenter__()
            root = bench.facts["prefix"]
            await client.subscribe(f"{root}/#", qos=1)
            await client.publish(f"{root}/command/migrate", b'{"request": "long"}', qos=1)
            said: list[Any] = []
            async for message in client.messages:
                said.append((str(message.topic), message.payload))
                if said[-1][0] == f"{root}/answer/long":
                    answer = json.loads(message.payload)
                    if "task" in answer:
                        stopping = asyncio.create_task(bench.bus.stop())
                    else:
                        assert "server stopped" in answer["error"]
                if said[-1] == (f"{root}/status", b"offline"):
                    break
            await stopping

    run(body)
