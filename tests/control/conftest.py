"""A desk over a live estate whose clock stands: time passes only where a command needs it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from emulator.commands import Command
from emulator.control.desk import Desk
from emulator.control.dispatch import Order, carry_out
from emulator.control.tasks import Task
from emulator.fleet.estate import open_estate
from emulator.fleet.store import open_state
from emulator.kernel.machine import Party
from emulator.shell.live import LiveEstate


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
