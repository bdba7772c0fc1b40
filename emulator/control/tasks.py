"""What takes virtual time: a visit, a step of the clock, a campaign.

A task is made by a handler and ended by the machinery it set going. It never waits; whoever asked looks at it, or is
called when it ends. `drive` is for tasks that nobody else brings to an end: as long as it yields, somebody has to come
back to it, and in between others get their turn.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from emulator.control.errors import NoSuchThingError, NotNowError, WishError
from emulator.kernel.effects import Instant

T = TypeVar("T")
State: TypeAlias = Literal["running", "done", "failed", "cancelled"]

RUNNING_MOST: Final = 2_000
KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something was not done: what is wrong, about what, and what to do about it."""

    error: str
    where: str
    cure: str


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as plain data. `answer` is what its command answers when `state` is done."""

    task: int
    command: str
    installation: int | None
    device: str | None
    state: State
    begun: int
    progress: Any
    answer: Any
    problem: Problem | None


class Task(Generic[T]):
    """One task. `progress` may be set to something that says how far it is, `give_up` to what cancelling does."""

    __slots__ = (
        "answer",
        "begun",
        "command",
        "device",
        "drive",
        "error",
        "give_up",
        "installation",
        "number",
        "on_end",
        "progress",
        "self_ending",
        "state",
    )

    def __init__(self, number: int, command: str, installation: int | None, device: str | None, begun: Instant) -> None:
        self.number = number
        self.command = command
        self.installation = installation
        self.device = device
        self.begun = begun
        self.state: State = "running"
        self.answer: T | None = None
        self.error: WishError | None = None
        self.progress: Callable[[], Any] | None = None
        self.drive: Iterator[None] | None = None
        self.give_up: Callable[[], None] | None = None
        self.self_ending = command != "step-clock"
        """Whether it ends by itself where time passes."""
        self.on_end: list[Callable[[], None]] = []

    @property
    def ended(self) -> bool:
        return self.state != "running"

    def finish(self, answer: T) -> None:
        """It is done. Ending twice changes nothing."""
        if not self.ended:
            self.answer = answer
            self._end("done")

    def fail(self, error: WishError) -> None:
        """It cannot be done."""
        if not self.ended:
            self.error = error
            self._end("failed")

    def cancel(self, why: str) -> None:
        """Nobody waits for it any more."""
        if self.ended:
            return
        if self.give_up is not None:
            self.give_up()
        self.error = NotNowError(f"task {self.number} was given up: {why}", "task", "ask again")
        self._end("cancelled")

    def _end(self, state: State) -> None:
        self.state = state
        for each in self.on_end:
            each()
        self.on_end.clear()
        self.drive = self.give_up = None

    def view(self) -> TaskView:
        """As plain data."""
        error = self.error
        return TaskView(
            self.number,
            self.command,
            self.installation,
            self.device,
            self.state,
            self.begun,
            self.progress() if self.progress is not None else None,
            self.answer,
            None if error is None else Problem(error.problem, error.where, error.cure),
        )


class TaskList:
    """All tasks that run, and the last thousand that ended."""

    def __init__(self) -> None:
        self._tasks: dict[int, Task[Any]] = {}
        self._ended: list[int] = []
        self.last = 0

    def new(self, command: str, installation: int | None, device: str | None, begun: Instant) -> Task[Any]:
        """A running task. Raises NotNowError when there are too many."""
        if len(self.running()) >= RUNNING_MOST:
            raise NotNowError(f"{RUNNING_MOST} tasks are running", "task", "wait for some to end, or cancel some")
        self.last += 1
        task: Task[Any] = Task(self.last, command, installation, device, begun)
        self._tasks[task.number] = task
        task.on_end.append(lambda: self._forget_oldest(task.number))
        return task

    def get(self, number: int) -> Task[Any]:
        """Raises NoSuchThingError."""
        found = self._tasks.get(number)
        if found is None:
            raise NoSuchThingError(f"there is no task {number}", "task", "ask for the tasks there are")
        return found

    def all(self) -> list[Task[Any]]:
        return list(self._tasks.values())

    def running(self) -> list[Task[Any]]:
        return [task for task in self._tasks.values() if not task.ended]

    def _forget_oldest(self, number: int) -> None:
        self._ended.append(number)
        if len(self._ended) > KEPT:
            self._tasks.pop(self._ended.pop(0), None)
