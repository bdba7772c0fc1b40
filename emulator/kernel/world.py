"""The world of one cell: pops what is due, calls one machine, carries out what it answered.

It knows no protocol. A frame put on a port goes onto the wire behind that port; a wire is a row of stages, each of
which says when the payload reaches the next (never, twice, changed: that is the wire's business and where mischief
lives), and at its end the wire names the machine and port that hear it.

An installation nobody has business with is asleep: the world counts what is under way for each one, and when the count
falls to nothing tells the roster, which turns the objects back into a row. A wake further off than `DOZE` does
not keep anything awake; when it is due the roster builds the machine again.
"""

from collections.abc import Iterable
from typing import Any, Final, Protocol

from emulator.commands import Command
from emulator.kernel.effects import Effects, Instant, Note, Port, Send, Wake
from emulator.kernel.journal import Journal
from emulator.kernel.machine import Machine
from emulator.kernel.queue import Queue
from emulator.kernel.time import HOUR

DOZE: Final = HOUR


class Wire(Protocol):
    """What lies behind a port. `stages` is how many legs a payload travels."""

    stages: int

    def carry(
        self, stage: int, installation: int, payload: Any, now: Instant, number: int
    ) -> Iterable[tuple[int, Any]]:
        """The payload enters leg `stage` at `now`: when (delay in µs, not negative) and as what it leaves it.

        Nothing is loss, two items a duplicate."""
        ...

    def arrive(self, installation: int, payload: Any, now: Instant) -> tuple[int, Port, bytes] | None:
        """The far end: (party, port, frame) that hear it, or None when the far end refuses it."""
        ...


class Roster(Protocol):
    """Who is who. Builds a machine from its row when it is called for, and takes it back."""

    def machine(self, installation: int, party: int) -> Machine: ...

    def sleep(self, installation: int) -> None: ...


class Wiring(Protocol):
    """Which wire lies behind a party's port, in one installation."""

    def wire(self, installation: int, party: int, port: Port) -> Wire: ...


class World:
    """One cell: a queue, a roster, its wires and its journal. `now` moves only in `run_until`."""

    __slots__ = ("_pending", "_queue", "_roster", "_wiring", "events", "journal", "now")

    def __init__(self, roster: Roster, wiring: Wiring, journal: Journal, now: Instant) -> None:
        self._roster = roster
        self._wiring = wiring
        self._queue = Queue()
        self._pending: dict[int, int] = {}
        self.journal = journal
        self.now = now
        self.events = 0

    def wake(self, installation: int, party: int, at: Instant) -> None:
        """Have a machine woken at `at` (an instant in the past means now)."""
        self._carry_out(installation, party, (Wake(at),))

    def command(self, installation: int, party: int, command: Command) -> None:
        """Give a machine a person's wish, now."""
        effects = self._roster.machine(installation, party).command(command, self.now)
        self._carry_out(installation, party, effects)
        if not self._pending.get(installation):
            self._roster.sleep(installation)

    def send(self, installation: int, party: int, port: Port, frame: bytes) -> None:
        """Put a frame on a party's port as if that party had sent it."""
        self._carry_out(installation, party, (Send(port, frame),))

    @property
    def due(self) -> Instant | None:
        """When the next event is due, or None."""
        return self._queue.heap[0][0] if self._queue.heap else None

    def awake(self) -> int:
        """How many installations have something under way."""
        return len(self._pending)

    def run_until(self, end: Instant) -> None:
        """Carry out everything due up to and including `end`; then it is `end`."""
        queue, roster, pending = self._queue, self._roster, self._pending
        heap = queue.heap
        while heap and heap[0][0] <= end:
            due, installation, _number, wire, stage, payload = queue.pop()
            self.now = due
            self.events += 1
            if wire is None:
                self._carry_out(installation, stage, roster.machine(installation, stage).wake(due))
                near = payload
            else:
                near = True
                if stage < wire.stages:
                    self._travel(wire, stage, installation, payload)
                else:
                    arrival = wire.arrive(installation, payload, due)
                    if arrival is not None:
                        party, port, frame = arrival
                        effects = roster.machine(installation, party).receive(port, frame, due)
                        self._carry_out(installation, party, effects)
            if near:
                left = pending[installation] - 1
                if left:
                    pending[installation] = left
                    continue
                del pending[installation]
                roster.sleep(installation)
            elif installation not in pending:
                roster.sleep(installation)
        self.now = max(self.now, end)

    def _carry_out(self, installation: int, party: int, effects: Effects) -> None:
        now = self.now
        for effect in effects:
            kind = type(effect)
            if kind is Send:
                self._travel(self._wiring.wire(installation, party, effect.port), 0, installation, effect.frame)  # type: ignore[union-attr]
            elif kind is Note:
                self.journal.note(now, installation, party, effect)  # type: ignore[arg-type]
            else:
                at: Instant = effect.at  # type: ignore[union-attr]
                at = max(at, now)
                near = at - now <= DOZE
                if near:
                    self._pending[installation] = self._pending.get(installation, 0) + 1
                self._queue.push(at, installation, self._queue.number(installation), None, party, near)

    def _travel(self, wire: Wire, stage: int, installation: int, payload: Any) -> None:
        queue, now = self._queue, self.now
        number = queue.number(installation)
        for delay, carried in wire.carry(stage, installation, payload, now, number):
            self._pending[installation] = self._pending.get(installation, 0) + 1
            queue.push(now + delay, installation, queue.number(installation), wire, stage + 1, carried)
