"""Faults over MQTT: put in force, seen to strike, cleared, by the names they have in scenarios and over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("amqtt")

from aiomqtt import Client

from emulator.control.desk import Desk
from emulator.control.driver import Driver
from emulator.control.mqtt import Bus
from emulator.control.mqtt_address import BusOptions, address_of
from emulator.faults import catalogue
from emulator.fleet.estate import open_estate
from emulator.shell.gate import Log
from emulator.shell.serving import Options, Serving

PATIENCE_S = 30.0
NAME = "dco-refuses"
SETTINGS = {"installation": 1, "device": "electricity", "service": "keys"}
METER = "installations/1/electricity"


class Orders:
    """One client's orders, each to its last answer."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    async def ask(self, path: str, **body: Any) -> Any:
        """The answer: what came of it, or the error."""
        await self._client.publish(f"{self._prefix}/command/{path}", json.dumps(body), qos=1)
        async for message in self._client.messages:
            answer = json.loads(message.payload)
            if "task" not in answer or "answer" in answer or "error" in answer:
                return answer
        raise AssertionError("the messages end with the client")


@asynccontextmanager
async def orders() -> AsyncIterator[Orders]:
    """A served street, the broker inside it, and a client that is in."""
    serving = Serving(open_estate("demo-street"), Options(port=0), Log())
    await serving.start()
    try:
        driver = Driver(Desk(serving.live, serving.pace))
        options = BusOptions(broker="embedded")
        bus = Bus(driver, options, address_of(options, {}), Log(), {"host": "127.1.0.1"})
        try:
            await bus.start()
            facts = bus.facts()
            port = int(facts["broker"].rpartition(":")[2])
            async with Client("127.0.0.1", port, username="smets1", password=facts["password"], timeout=5) as client:
                await client.subscribe(f"{facts['prefix']}/answer/#", qos=1)
                yield Orders(client, facts["prefix"])
        finally:
            await bus.stop()
            await driver.stop()
    finally:
        await serving.stop()


def test_a_fault_is_injected_strikes_and_is_cleared() -> None:
    """No change of keys is countersigned, as often as it is asked for, until the fault is cleared: then it is."""

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), orders() as here:
            await here.ask("set-speed", speed=0)  # time passes only as far as a visit needs
            injected = (await here.ask("inject-fault", fault=NAME, settings=SETTINGS))["answer"]
            assert (injected["fault"], injected["fired"]) == (NAME, 0)
            for fired in (1, 2):
                refused = await here.ask(f"{METER}/rotate-keys")
                assert "dual-control" in refused["error"]
                (shown,) = (await here.ask("faults"))["answer"]["faults"]
                assert (shown["number"], shown["fired"]) == (injected["number"], fired)
            cleared = (await here.ask("clear-fault", number=injected["number"]))["answer"]
            assert cleared["fired"] == 2
            told = (await here.ask("faults"))["answer"]
            assert told == {"faults": [], "ended": [cleared]}
            changed = (await here.ask(f"{METER}/rotate-keys"))["answer"]
            assert changed["data"] == 1
            assert "no fault 1 is in force" in (await here.ask("clear-fault", number=injected["number"]))["error"]

    asyncio.run(body())


def test_the_names_are_those_of_the_catalogue() -> None:
    """Every fault that a scenario may name is told here; another name is refused with those there are."""

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), orders() as here:
            kinds = (await here.ask("fault-kinds"))["answer"]["faults"]
            assert [each["fault"] for each in kinds] == list(catalogue.KINDS)
            refused = await here.ask("inject-fault", fault="dco-declines", settings={})
            assert "there is no fault 'dco-declines'" in refused["error"]
            assert NAME in refused["cure"]
            assert (await here.ask("faults"))["answer"]["faults"] == []

    asyncio.run(body())
