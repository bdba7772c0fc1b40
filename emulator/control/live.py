"""What this room needs of the estate it commands and of the clock that paces it.

Two protocols, so that what runs the cells (a shell with sockets, a test that jumps from event to event) may be anyone.
Everything is called in one thread; nothing here blocks, and only `Pace.step_to` lets time pass.
"""

from collections.abc import Callable
from typing import Any, Protocol

from emulator.commands import Command
from emulator.fleet.cell import Cell
from emulator.fleet.estate import Estate
from emulator.kernel.effects import Instant
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party


class Live(Protocol):
    """An estate's cells on one virtual clock."""

    @property
    def estate(self) -> Estate: ...

    @property
    def now(self) -> Instant:
        """Virtual time, µs since 1970."""
        ...

    @property
    def due(self) -> Instant | None:
        """When something next happens by itself; None: nothing is under way."""
        ...

    def advance(self, to: Instant) -> None:
        """Carry out everything due up to and including `to`."""
        ...

    def commit(self) -> None:
        """Make durable what has changed, then let collected replies go."""
        ...

    def command(self, installation: int, party: Party, command: Command) -> list[Entry]:
        """Give a machine a person's wish, now; the notes it made."""
        ...

    def subscribe(self, sink: Callable[[Entry], None]) -> None:
        """Hand every later journal entry to `sink`."""
        ...

    def cell(self, installation: int) -> Cell:
        """The cell an installation lives in, made on first use and brought up to now."""
        ...

    def reset(self, installation: int | None) -> None:
        """An installation, or the whole estate, as it was found; the clock goes on."""
        ...

    def snapshot(self) -> Any:
        """Everything, to be kept in memory; opaque."""
        ...

    def restore(self, snapshot: Any) -> None:
        """Back to what `snapshot` gave. Virtual time does not go back."""
        ...


class Pace(Protocol):
    """Who lets virtual time pass. `speed` is virtual seconds a real second; 0: the clock stands."""

    @property
    def speed(self) -> float: ...

    def set_speed(self, speed: float) -> None:
        """From now on at this speed."""
        ...

    def step_to(self, until: Instant) -> None:
        """It is `until` at once (never earlier than now): advance, commit, and go on from there at `speed`."""
        ...

    def poke(self) -> None:
        """Something new may be due, perhaps at once: look at `Live.due` again."""
        ...
