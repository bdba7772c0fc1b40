"""Real time becomes virtual time: with a clock that the test turns itself."""

import asyncio
from collections.abc import Callable

import pytest

from emulator.errors import InputError
from emulator.kernel.time import SECOND
from emulator.shell.pace import Pace


class Clock:
    """Seconds, when told."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


class Estate:
    """Something to pace: remembers what it was told, falls due when asked to, and cannot always commit."""

    def __init__(self, now: int = 1_000 * SECOND) -> None:
        self.now = now
        self.waiting: list[int] = []
        self.done: list[int] = []
        self.commits = 0
        self.uncommitted = False
        self.broken = False

    @property
    def due(self) -> int | None:
        return min(self.waiting, default=None)

    def advance(self, to: int) -> None:
        self.done += sorted(at for at in self.waiting if at <= to)
        self.waiting = [at for at in self.waiting if at > to]
        self.now = max(self.now, to)

    def commit(self) -> None:
        if self.broken:
            raise InputError("the disk is full")
        self.commits += 1
        self.uncommitted = False


def run(body: Callable[[Estate, Clock, Pace], None], **settings: float) -> tuple[Estate, Pace]:
    estate, clock = Estate(), Clock()

    async def inside() -> Pace:
        pace = Pace(estate, clock=clock, **settings)  # type: ignore[arg-type]
        pace.start()
        body(estate, clock, pace)
        for _ in range(5):
            await asyncio.sleep(0)
        pace.stop()
        return pace

    return estate, asyncio.run(asyncio.wait_for(inside(), 5))


@pytest.mark.parametrize(("speed", "virtual"), [(1.0, 2), (60.0, 120), (0.5, 1), (0.0, 0)])
def test_virtual_time_follows_at_its_speed(speed: float, virtual: int) -> None:
    """Two real seconds are so many virtual ones."""

    def body(estate: Estate, clock: Clock, pace: Pace) -> None:
        clock.at += 2
        pace.poke()

    estate, _ = run(body, speed=speed)
    assert estate.now == 1_000 * SECOND + virtual * SECOND


def test_a_change_of_speed_counts_from_now_on() -> None:
    """Ten seconds at speed 1, then ten at speed 100."""

    def body(estate: Estate, clock: Clock, pace: Pace) -> None:
        clock.at += 10
        pace.set_speed(100)
        clock.at += 10

    estate, pace = run(body)
    assert estate.now == (1_000 + 10 + 1_000) * SECOND
    assert pace.speed == 100


def test_a_step_happens_at_once_and_time_goes_on_from_there() -> None:
    """An hour in no time, everything in it done and committed; a step back is none."""

    def body(estate: Estate, clock: Clock, pace: Pace) -> None:
        estate.waiting = [1_500 * SECOND, 9_999_999 * SECOND]
        pace.step_to(4_600 * SECOND)
        assert (estate.now, estate.done, estate.commits) == (4_600 * SECOND, [1_500 * SECOND], 1)
        pace.step_to(0)
        clock.at += 1

    estate, _ = run(body)
    assert estate.now == 4_601 * SECOND


def test_what_falls_due_wakes_the_clock() -> None:
    """Nobody pokes: a timer is set for the instant something falls due."""
    estate = Estate()
    estate.waiting = [estate.now + SECOND // 20]

    async def inside() -> None:
        pace = Pace(estate)
        pace.start()
        for _ in range(200):
            await asyncio.sleep(0.01)
            if estate.done:
                break
        pace.stop()

    asyncio.run(asyncio.wait_for(inside(), 5))
    assert estate.done


def test_while_nothing_can_be_kept_nobody_is_let_in() -> None:
    """The first failing commit is told once, feeding stops, time goes on; the first that works is told too."""
    told: list[str | None] = []
    fed: list[int] = []

    async def inside() -> None:
        estate, clock = Estate(), Clock()
        pace = Pace(estate, clock=clock, trouble=told.append)
        pace.feed = lambda most: bool(fed.append(most))
        estate.broken = estate.uncommitted = True
        pace.start()
        for _ in range(3):
            pace.poke()
            await asyncio.sleep(0.01)
        clock.at += 3
        pace.poke()
        await asyncio.sleep(0.01)
        assert (told, len(fed), pace.stalled) == (["the disk is full"], 1, True)
        assert estate.now == 1_003 * SECOND
        estate.broken = False
        pace.poke()
        await asyncio.sleep(0.01)
        assert (told[-1], pace.stalled, len(fed) > 1) == (None, False, True)
        pace.stop()

    asyncio.run(asyncio.wait_for(inside(), 5))


@pytest.mark.parametrize("speed", [-1.0, 1e9, float("nan")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    """Negative, absurd, or no number."""
    with pytest.raises(InputError, match="speed"):
        Pace(Estate(), speed=speed)


def test_a_long_stretch_is_cut_into_slices() -> None:
    """Much that is due at once does not keep the loop from others: they get turns in between."""
    turns = 0

    class Slow(Estate):
        def advance(self, to: int) -> None:
            super().advance(to)
            clock.at += 0.005

    clock = Clock()
    estate = Slow()
    estate.waiting = [estate.now + number * SECOND for number in range(50)]

    async def inside() -> None:
        nonlocal turns
        pace = Pace(estate, clock=clock)
        pace.start()
        clock.at += 60
        while len(estate.done) < 50:
            turns += 1
            await asyncio.sleep(0)
        pace.stop()

    asyncio.run(asyncio.wait_for(inside(), 5))
    assert turns > 3
