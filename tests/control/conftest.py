"""A desk over a live estate whose clock stands: time passes only where a command needs it."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from emulator.commands import Command
from emulator.control.desk import Desk
from emulator.control.dispatch import Order, carry_out
from emulator.control.driver import Driver
from emulator.control.mqtt import Bus
from emulator.control.mqtt_address import BusOptions, address_of
from emulator.control.tasks import Task
from emulator.fleet.estate import open_estate
from emulator.fleet.store import open_state
from emulator.kernel.machine import Party
from emulator.shell.gate import Log
from emulator.shell.live import LiveEstate
from emulator.shell.serving import Options, Serving


class StandingPace:
    """A clock that stands until somebody steps it."""

    def __init__(self, live: LiveEstate) -> None:
        self.live = live
        self.speed = 0.0

    def target(self) -> int:
        return self.live.now

    def set_speed(self, speed: float) -> None:
        self.speed = speed

    def step_to(self, until: int) -> None:
        self.live.advance(max(until, self.live.now))
        self.live.commit()

    def poke(self) -> None:
        pass


@dataclass
class Bench:
    """Asks, drives what needs driving, and gives the answer; a failed task raises its error."""

    live: LiveEstate
    desk: Desk

    def ask(self, command: Command, installation: int | None = None, device: Party | None = None) -> Any:
        answer = self.begin(command, installation, device)
        if not isinstance(answer, Task):
            return answer
        self.drive(answer)
        if answer.error is not None:
            raise answer.error
        return answer.answer

    def begin(self, command: Command, installation: int | None = None, device: Party | None = None) -> Any:
        return carry_out(self.desk, Order(command, installation, device))

    def drive(self, task: Task[Any]) -> int:
        """How many turns it took."""
        turns = 0
        for _ in task.drive or ():
            turns += 1
            assert turns < 100_000
        return turns


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Makes benches: bench("demo-street", timing="modelled")."""

    def make(
        estate: str = "demo-street", timing: Any = "instant", store: str | None = None, **options: Any
    ) -> Bench:
        homes = open_estate(estate, **options)
        live = LiveEstate(homes, timing=timing, store=open_state(store, homes) if store is not None else None)
        return Bench(live, Desk(live, StandingPace(live)))

    return make


class Orders:
    """One client's orders, each to its last answer."""

    def __init__(self, client: Any, prefix: str) -> None:
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
async def _orders(**options: Any) -> AsyncIterator[Orders]:
    """A served street, the broker inside it, and a client that is in."""
    import aiomqtt

    serving = Serving(open_estate("demo-street"), Options(port=0, **options), Log())
    await serving.start()
    try:
        driver = Driver(Desk(serving.live, serving.pace))
        chosen = BusOptions(broker="embedded")
        bus = Bus(driver, chosen, address_of(chosen, {}), Log(), {"host": "127.1.0.1"})
        try:
            await bus.start()
            facts = bus.facts()
            port = int(facts["broker"].rpartition(":")[2])
            password = facts["password"]
            async with aiomqtt.Client("127.0.0.1", port, username="smets1", password=password, timeout=5) as client:
                await client.subscribe(f"{facts['prefix']}/answer/#", qos=1)
                yield Orders(client, facts["prefix"])
        finally:
            await bus.stop()
            await driver.stop()
    finally:
        await serving.stop()


@pytest.fixture
def orders() -> Callable[..., Any]:
    """Serves a street with a broker in it: `async with orders(link="ipsec") as here: await here.ask("status")`."""
    return _orders
