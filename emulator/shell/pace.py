"""Real time becomes virtual time here, and nowhere else.

A tick does one round: do what is due, let in what clients sent (`feed`), commit, and let the answers go. Ticks come
when somebody pokes and when something falls due, never on a beat, so an idle estate costs nothing. Everything happens
in the event loop's thread; a round that would take long is cut into slices, between which sockets are heard.

When a commit fails (a full disk, say) the clock goes on but nobody is let in and no answer leaves; the commit is tried
again every second, and the first time it succeeds everything goes on where it stood.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from emulator.errors import InputError
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND

SPEED_MOST: Final = 1_000_000.0

_SLICE_S: Final = 0.02
_RETRY_S: Final = 1.0
_SLEEP_MOST_S: Final = 3_600.0
_FEED_MOST: Final = 128
"""Frames let in between two commits: as many answers share one."""


class Paced(Protocol):
    """What is paced: a `LiveEstate`."""

    @property
    def now(self) -> Instant: ...

    @property
    def due(self) -> Instant | None: ...

    @property
    def uncommitted(self) -> bool: ...

    def advance(self, to: Instant) -> None: ...

    def commit(self) -> None: ...


class Pace:
    """The clock of one live estate. `speed` is virtual seconds a real second; 0: the clock stands.

    `feed(most)` lets in at most so many frames and says whether more wait; `trouble(text)` is told when a commit begins
    to fail, and None when it works again. Use it in the thread of the running event loop."""

    def __init__(
        self,
        live: Paced,
        *,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        trouble: Callable[[str | None], None] | None = None,
    ) -> None:
        self.live = live
        self.feed: Callable[[int], bool] = lambda most: False
        self.stalled = False
        """Whether commits fail just now."""
        self._trouble = trouble
        self._clock = clock
        self._speed = _checked(speed)
        self._virtual = live.now
        self._real = clock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._soon: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None

    # The clock

    @property
    def speed(self) -> float:
        return self._speed

    def set_speed(self, speed: float) -> None:
        """From now on at this speed, 0 to 1,000,000. Raises InputError."""
        checked = _checked(speed)
        self._rebase(self.target())
        self._speed = checked
        self.poke()

    def target(self) -> Instant:
        """What virtual time it should be."""
        passed = (self._clock() - self._real) * self._speed
        return max(self._virtual + int(passed * SECOND), self.live.now)

    def step_to(self, until: Instant) -> None:
        """It is `until` at once (never earlier than now): do what falls due until then, commit, go on from there.

        Raises InputError when the commit fails; the time has passed all the same."""
        live = self.live
        live.advance(max(until, live.now))
        self._rebase(live.now)
        self.poke()
        live.commit()

    def _rebase(self, virtual: Instant) -> None:
        self._virtual, self._real = virtual, self._clock()

    # Ticks

    def start(self) -> None:
        """Let time pass, from the estate's own now on."""
        self._loop = asyncio.get_running_loop()
        self._rebase(self.live.now)
        self.poke()

    def stop(self) -> None:
        """Let no more time pass."""
        for handle in (self._soon, self._later):
            if handle is not None:
                handle.cancel()
        self._loop = self._soon = self._later = None

    def poke(self) -> None:
        """Something new may be due, perhaps at once: have a tick soon."""
        if self._soon is None and self._loop is not None:
            self._soon = self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._soon = None
        if self._later is not None:
            self._later.cancel()
            self._later = None
        live = self.live
        more = self._catch_up()
        if not self.stalled and self.feed(_FEED_MOST):
            more = True
        live.advance(live.now)  # see through what was let in
        self._commit()
        if self._loop is None:
            return
        if more:
            self.poke()
            return
        wait = _RETRY_S if self.stalled else None
        due = live.due
        if due is not None and self._speed > 0:
            until = max(0.0, (due - self.target()) / SECOND / self._speed)
            wait = until if wait is None else min(wait, until)
        if wait is not None and self._later is None:
            self._later = self._loop.call_later(min(wait, _SLEEP_MOST_S), self._tick)

    def _catch_up(self) -> bool:
        """Do what is due, for a slice of real time at most; whether some of it is left."""
        live, target = self.live, self.target()
        end = self._clock() + _SLICE_S
        grain = max(SECOND // 1000, (target - live.now) // 64)
        while (due := live.due) is not None and due <= target:
            live.advance(min(target, due + grain))
            if self._clock() > end:
                return live.now < target
        live.advance(target)
        return False

    def _commit(self) -> None:
        if not self.live.uncommitted:
            return
        try:
            self.live.commit()
        except InputError as error:
            if not self.stalled and self._trouble is not None:
                self._trouble(str(error))
            self.stalled = True
            return
        if self.stalled:
            self.stalled = False
            if self._trouble is not None:
                self._trouble(None)
            self.poke()


def _checked(speed: float) -> float:
    if not 0 <= speed <= SPEED_MOST:
        raise InputError(f"speed {speed}; give 0 (the clock stands) to {SPEED_MOST:,.0f} virtual seconds a second")
    return float(speed)
