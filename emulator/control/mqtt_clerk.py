"""Who takes orders off the bus, has them carried out, and keeps the answers until a broker has acknowledged them.

Knows no broker: messages come in as bytes, answers are fetched in order and struck off when they are delivered. Both
sides are bounded: with so many answers waiting no further order is heard (`room`), so nothing that was promised has to
be thrown away.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from emulator.control import mqtt_orders as orders
from emulator.control.driver import Driver
from emulator.control.errors import NotNowError, WishError, WrongFieldError
from emulator.control.mqtt_orders import Asked, Asker
from emulator.control.tasks import Task
from emulator.errors import EmulatorError
from emulator.shell.gate import Log

ANSWERS_MOST: Final = 4_096
ANSWERS_BYTES: Final = 64 * 1024 * 1024
UNDER_WAY_MOST: Final = 4_096

_AGAIN_S: Final = 0.02


class Clerk:
    """`news` is called when there is an answer to fetch; `counts` says how many orders, answers and refusals."""

    def __init__(self, driver: Driver, root: str, log: Log, counts: "Counter[str]", news: Callable[[], None]) -> None:
        self._driver = driver
        self._root = root
        self._log = log
        self._counts = counts
        self._news = news
        self._memory = orders.Memory()
        self._answers: deque[tuple[Asker, bytes]] = deque()
        self._size = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()

    # Orders

    async def room(self) -> None:
        """Until another order may be heard."""
        while (
            len(self._answers) >= ANSWERS_MOST or self._size >= ANSWERS_BYTES or len(self._under_way) >= UNDER_WAY_MOST
        ):
            self._room.clear()
            await self._room.wait()

    def hear(
        self, path: str, payload: bytes, response: str | None, correlation: bytes | None, *, retained: bool = False
    ) -> None:
        """Begin what a message asks for. `path` is its topic behind `<root>/command/`; never raises."""
        who = orders.asker(self._root, payload, response, correlation)
        self._counts["orders"] += 1
        try:
            if retained:
                cure = "publish it without retain, and clear it with an empty retained message"
                raise WrongFieldError("a retained command would be carried out at every start", "retain", cure)
            wish = orders.asked(path, payload, response, self._root)
            if who.request is not None and not wish.reads:
                again, answer = self._memory.met(who.request, path, payload)
                if again:
                    self._counts["repeated"] += 1
                    if answer is not None:
                        self._say(who, path, {**answer, "repeated": True})
                    return
        except WishError as error:
            self._say(who, path, self._problem(error))
            return
        task = asyncio.create_task(self._handle(who, path, wish), name=f"mqtt {path[:64]}")
        self._under_way.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._room.set()

    async def _handle(self, who: Asker, path: str, wish: Asked) -> None:
        """Carry it out and answer; twice, when it takes longer than its asker waits."""
        try:
            answer = await self._driver.carry_out(wish.order, wish.wait_s)
            if isinstance(answer, Task):
                self._say(who, path, {"task": answer.view()})
                answer = await _end(answer)
            if not wish.reads:
                await self._durable()
            outcome: dict[str, Any] = {"answer": answer}
        except asyncio.CancelledError:
            outcome = self._problem(NotNowError("the server stopped before this ended", path, "ask when it is back"))
        except WishError as error:
            outcome = self._problem(error)
        except EmulatorError as error:
            outcome = self._problem(NotNowError(str(error), path, "cure that, and ask again"))
        except Exception as error:
            self._log.write("mqtt.fault", error=f"{type(error).__name__}: {error}")
            outcome = self._problem(NotNowError("a fault of ours", path, "look at the server's log"))
        size = self._say(who, path, outcome)
        if who.request is not None and not wish.reads:
            self._memory.answered(who.request, outcome, size)

    async def _durable(self) -> None:
        """Until what was changed is committed: at once, unless the state cannot be written just now."""
        desk = self._driver.desk
        while desk.live.uncommitted:
            desk.pace.poke()
            await asyncio.sleep(0)
            if desk.live.uncommitted:
                await asyncio.sleep(_AGAIN_S)

    async def stop(self) -> None:
        """What is under way is answered: the server stops."""
        for each in tuple(self._under_way):
            each.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    # Answers

    @property
    def waiting(self) -> int:
        """Answers not delivered yet."""
        return len(self._answers)

    def answers(self, most: int) -> list[tuple[Asker, bytes]]:
        """The oldest that are not delivered yet."""
        return list(islice(self._answers, most))

    def delivered(self, count: int) -> None:
        """A broker has acknowledged the oldest so many."""
        for _ in range(count):
            _, payload = self._answers.popleft()
            self._size -= len(payload)
        self._counts["answers"] += count
        self._room.set()

    def _problem(self, error: WishError) -> dict[str, Any]:
        self._counts["refused"] += 1
        return orders.problem(error)

    def _say(self, who: Asker, path: str, what: dict[str, Any]) -> int:
        payload = orders.said(who, path, what)
        self._answers.append((who, payload))
        self._size += len(payload)
        self._news()
        return len(payload)


async def _end(task: Task[Any]) -> Any:
    """What a task comes to. Raises WishError where it fails."""
    over = asyncio.Event()
    if not task.ended:
        task.on_end.append(over.set)
        await over.wait()
    if task.error is not None:
        raise task.error
    return task.answer
