"""Who is let in, and in what turn.

Everybody who speaks to the estate is a `Visitor`: a TCP connection, a UDP peer, a link on an optical head. A visitor
keeps what it has received within its own bounds and asks for a turn; turns go round, one frame each, so a visitor that
floods waits for its own sake alone. How many may be there at once is bounded for each home and in total.
"""

import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TextIO

_LINES_A_SECOND: Final = 20


class Visitor(Protocol):
    """Somebody at the gate."""

    def step(self) -> bool:
        """Let one frame in; whether another is ready."""
        ...


class Guest(Protocol):
    """A connection, as far as the gate has to end it."""

    def part(self) -> None:
        """Close, once what was written has left."""
        ...

    def cut(self) -> None:
        """Close at once."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a client may ask of the shell. Times in real seconds, sizes in bytes.

    `frame`: of one wrapper frame with its header; far above what the modelled link carries. `idle_s`: a connection on
    which nothing comes is closed; `frame_s`: and so is one that began a frame and does not end it, or that does not
    take its answers; `hdlc_idle_s`: a link on an optical head ends after so long without a frame. `udp_peers`: peers
    remembered, and with them their associations."""

    frame: int = 4_096
    connections: int = 4_096
    connections_each: int = 64
    idle_s: float = 600.0
    frame_s: float = 30.0
    hdlc_idle_s: float = 120.0
    udp_peers: int = 4_096
    udp_idle_s: float = 300.0
    udp_queue: int = 16


STANDARD: Final = Limits()


class Log:
    """JSON lines on stderr, one an event: `{"at", "event", ...}`. Never a key and never what a frame holds.

    Of one kind of event at most twenty lines a second are written; the next one says how many were left out."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._clock = clock
        self._second: dict[str, tuple[int, int]] = {}

    def write(self, event: str, **detail: Any) -> None:
        """One line."""
        now = self._clock()
        second, count = self._second.get(event, (0, 0))
        if second == int(now):
            self._second[event] = (second, count + 1)
            if count >= _LINES_A_SECOND:
                return
        else:
            if count > _LINES_A_SECOND:
                detail["left_out"] = count - _LINES_A_SECOND
            self._second[event] = (int(now), 1)
        line = json.dumps({"at": round(now, 3), "event": event, **detail})
        print(line, file=self._stream or sys.stderr, flush=True)


class Gate:
    """The visitors of one estate. `poke` asks for a tick; `counts` says what came and what was turned away."""

    def __init__(self, limits: Limits, log: Log, poke: Callable[[], None]) -> None:
        self.limits = limits
        self.log = log
        self.poke = poke
        self.counts: Counter[str] = Counter()
        self.guests: set[Guest] = set()
        """Connections now."""
        self._each: dict[int, int] = {}
        self._empty = asyncio.Event()
        self._turns: deque[Visitor] = deque()
        self._waiting: set[int] = set()

    def enter(self, installation: int, guest: Guest) -> bool:
        """A connection to a home; False when there are too many. Every True is followed by one `leave`."""
        each = self._each.get(installation, 0)
        if len(self.guests) >= self.limits.connections or each >= self.limits.connections_each:
            self.turn_away("too-many", installation=installation)
            return False
        self.guests.add(guest)
        self._each[installation] = each + 1
        self.counts["connections"] += 1
        return True

    def leave(self, installation: int, guest: Guest) -> None:
        """A connection is gone."""
        self.guests.discard(guest)
        left = self._each[installation] - 1
        if left:
            self._each[installation] = left
        else:
            del self._each[installation]
        if not self.guests:
            self._empty.set()

    async def farewell(self, patience_s: float) -> None:
        """End all connections: in peace first, and those that will not go after a while at once."""
        if not self.guests:
            return
        self._empty.clear()
        for guest in tuple(self.guests):
            guest.part()
        try:
            await asyncio.wait_for(self._empty.wait(), patience_s)
        except TimeoutError:
            for guest in tuple(self.guests):
                guest.cut()

    def turn_away(self, why: str, **detail: Any) -> None:
        """Count and note somebody or something that is not let in."""
        self.counts[why] += 1
        self.log.write(f"shell.{why}", **detail)

    def ready(self, visitor: Visitor) -> None:
        """A visitor has something to let in."""
        if id(visitor) not in self._waiting:
            self._waiting.add(id(visitor))
            self._turns.append(visitor)
            self.poke()

    def feed(self, most: int) -> bool:
        """Let in at most so many frames, a visitor a turn; whether more wait."""
        turns = self._turns
        for _ in range(most):
            if not turns:
                return False
            visitor = turns.popleft()
            if visitor.step():
                turns.append(visitor)
            else:
                self._waiting.discard(id(visitor))
        return bool(turns)
