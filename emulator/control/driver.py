"""Waiting for tasks, in the engine's own event loop: the one part of this room that knows asyncio.

Every door that must not block comes in here. A task that needs driving is driven between everything else that the loop
does, a stride at a time, whether its asker waits or has long gone.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from emulator.control import dispatch
from emulator.control.desk import Desk
from emulator.control.dispatch import Order
from emulator.control.errors import NotNowError
from emulator.control.tasks import Task
from emulator.errors import EmulatorError

WAIT_MOST_S: Final = 600.0


class Driver:
    """Carries out orders on a desk. `fault` is told of an exception that nobody foresaw, as its type and text."""

    def __init__(self, desk: Desk, fault: Callable[[str], None] = lambda text: None) -> None:
        self.desk = desk
        self._fault = fault
        self._drives: dict[int, asyncio.Task[None]] = {}
        desk.on_drive.append(self._start)

    async def carry_out(self, order: Order, wait_s: float) -> Any | Task[Any]:
        """The answer; or the task, when it has not ended within `wait_s` real seconds (0: do not wait).

        Raises WishError, also when the task failed."""
        answer = dispatch.carry_out(self.desk, order)
        if not isinstance(answer, Task):
            return answer
        self._start(answer)
        if not answer.ended and wait_s > 0:
            over = asyncio.Event()
            answer.on_end.append(over.set)
            try:
                async with asyncio.timeout(min(wait_s, WAIT_MOST_S)):
                    await over.wait()
            except TimeoutError:
                if over.set in answer.on_end:
                    answer.on_end.remove(over.set)
        if answer.error is not None:
            raise answer.error
        return answer.answer if answer.ended else answer

    async def stop(self) -> None:
        """Drive nothing any more."""
        drives = list(self._drives.values())
        for each in drives:
            each.cancel()
        await asyncio.gather(*drives, return_exceptions=True)

    def _start(self, task: Task[Any]) -> None:
        if task.drive is not None and not task.ended and task.number not in self._drives:
            self._drives[task.number] = asyncio.create_task(self._drive(task), name=f"task {task.number}")

    async def _drive(self, task: Task[Any]) -> None:
        try:
            drive = task.drive
            for _ in drive if drive is not None else ():
                await asyncio.sleep(0)
        except EmulatorError as error:
            task.fail(NotNowError(str(error), task.command, "cure that, and ask again"))
        except Exception as error:
            self._fault(f"{type(error).__name__}: {error}")
            task.fail(NotNowError("a fault of ours", task.command, "look at the server's log"))
        finally:
            self._drives.pop(task.number, None)
