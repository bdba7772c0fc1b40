"""The clerk keeps what was promised: answers once what they tell of is durable, none thrown away, bounds."""

import asyncio
import io
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.control import mqtt_clerk
from emulator.control.dispatch import Order
from emulator.control.errors import NotNowError
from emulator.control.mqtt_clerk import Clerk
from emulator.control.tasks import Task
from emulator.shell.gate import Log

ROOT = "smets1/street"
PRESS = "installations/1/electricity/press-boost"


class Office:
    """A clerk whose driver does what the test says: `outcomes` are given back or raised, in turn."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.orders: list[Order] = []
        self.live = SimpleNamespace(uncommitted=False)
        self.pokes = 0
        self.words = io.StringIO()
        self.counts: Counter[str] = Counter()
        self.desk = SimpleNamespace(live=self.live, pace=SimpleNamespace(poke=self._poke))
        self.clerk = Clerk(self, ROOT, Log(self.words), self.counts, lambda: None)  # type: ignore[arg-type]

    def _poke(self) -> None:
        self.pokes += 1

    async def carry_out(self, order: Order, wait_s: float) -> Any:
        self.orders.append(order)
        await asyncio.sleep(0)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def ask(self, path: str, **body: Any) -> None:
        self.clerk.hear(path, json.dumps(body).encode(), None, None)

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for _, payload in self.clerk.answers(1_000)]

    async def turns(self, count: int = 20) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await body()

    asyncio.run(bounded())


def test_an_answer_waits_until_it_is_durable() -> None:
    """While the state cannot be written a change is not told of; a question is answered all the same."""

    async def body() -> None:
        office = Office("changed", "seen")
        office.live.uncommitted = True
        office.ask(PRESS, request="w")
        office.ask("clock", request="q")
        await asyncio.sleep(0.1)
        assert [each["request"] for each in office.said] == ["q"]
        assert office.pokes
        office.live.uncommitted = False
        await asyncio.sleep(0.1)
        assert [each["request"] for each in office.said] == ["q", "w"]

    run(body)


def test_what_takes_longer_is_answered_twice() -> None:
    """First the task, then its end; and its failure with its three parts."""

    async def body() -> None:
        good: Task[str] = Task(7, "press-boost", 1, "electricity", 0)
        bad: Task[str] = Task(8, "press-boost", 1, "electricity", 0)
        office = Office(good, bad)
        office.ask(PRESS, request="good")
        office.ask(PRESS, request="bad")
        await office.turns()
        assert [each["task"]["task"] for each in office.said] == [7, 8]
        good.finish("done")
        bad.fail(NotNowError("it is dark", "device", "wait"))
        await office.turns()
        assert office.said[2] == {"request": "good", "command": PRESS, "answer": "done"}
        assert office.said[3] == {
            "request": "bad", "command": PRESS, "error": "it is dark", "where": "device", "cure": "wait"
        }  # fmt: skip

    run(body)


def test_the_same_wish_twice_is_carried_out_once() -> None:
    """Under way: one answer comes. Ended: the same again, marked. A question, or a wish without a name: done again."""

    async def body() -> None:
        office = Office(*range(6))
        for _ in range(2):
            office.ask(PRESS, request="r")
        await office.turns()
        assert [each["answer"] for each in office.said] == [0]
        office.ask(PRESS, request="r")
        assert office.said[1] == {"request": "r", "command": PRESS, "answer": 0, "repeated": True}
        office.ask(PRESS, request="r", minutes=5)
        assert office.said[2]["where"] == "request"
        for _ in range(2):
            office.ask("clock", request="q")
            office.ask(PRESS)
        await office.turns()
        assert [each["answer"] for each in office.said[3:]] == [1, 2, 3, 4]
        assert len(office.orders) == 5

    run(body)


def test_retained_commands_are_refused() -> None:
    """They would be carried out at every start."""

    async def body() -> None:
        office = Office()
        office.clerk.hear(PRESS, b'{"request": "r"}', None, None, retained=True)
        assert office.said[0]["where"] == "retain"
        assert not office.orders

    run(body)


def test_a_fault_of_ours_is_an_answer_too() -> None:
    """Nothing of it but the fact is told; the log has the rest."""

    async def body() -> None:
        office = Office(RuntimeError("inside"))
        office.ask(PRESS, request="r")
        await office.turns()
        assert office.said[0]["error"] == "a fault of ours"
        assert "inside" not in json.dumps(office.said)
        assert "inside" in office.words.getvalue()

    run(body)


def test_no_order_is_heard_while_answers_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With so many answers waiting there is no room, by number or by size, until some are delivered; none is lost."""

    async def blocked(office: Office) -> bool:
        try:
            async with asyncio.timeout(0.05):
                await office.clerk.room()
        except TimeoutError:
            return True
        return False

    async def body() -> None:
        monkeypatch.setattr(mqtt_clerk, "ANSWERS_MOST", 3)
        office = Office("a", "b", "c")
        for _ in range(3):
            assert not await blocked(office)
            office.ask("clock")
            await office.turns()
        assert await blocked(office)
        waiting = asyncio.create_task(office.clerk.room())
        await office.turns()
        office.clerk.delivered(1)
        await waiting
        assert [each["answer"] for each in office.said] == ["b", "c"]
        monkeypatch.setattr(mqtt_clerk, "ANSWERS_BYTES", 10)
        assert await blocked(office)

    run(body)


def test_stopping_answers_what_is_under_way() -> None:
    """Whoever waits is told that the server stopped."""

    async def body() -> None:
        office = Office(Task(1, "press-boost", 1, "electricity", 0))
        office.ask(PRESS, request="r")
        await office.turns()
        await office.clerk.stop()
        assert "server stopped" in office.said[-1]["error"]

    run(body)
