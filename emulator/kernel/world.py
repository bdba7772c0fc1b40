"""The world of one cell: pops what is due, calls one machine, carries out what it answered.

It knows no protocol. A frame put on a port goes onto the wire behind that port; a wire is a row of stages, each of
which says when the payload reaches the next (never, twice, changed: that is the wire's business and where mischief
lives), and at its end the wire names the machine and port that hear it.

An installation nobody has business with is asleep: the world counts what is under way for each one, and when the count
falls to nothing tells the roster, which turns the objects back into a row. A wake further off than `DOZE` does
not keep anything awake; when it is due the roster builds the machine again.

The loop below is the hottest code outside the codecs: five or six turns for one exchange, thirty-four million for the
whole cohort. It is written flat for that reason, and its queue has two tiers: a heap of what is due within seconds,
and behind it unsorted shelves, one for each span of time that anything is due in. A cell holds a thousand events and
more (every home that waits for its turn of the day), of which three or four are under way just now; comparing only
those is a tenth of the comparisons.
"""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Any, Final, Protocol, TypeAlias

from emulator.commands import Command
from emulator.kernel.effects import Effects, Instant, Note, Port, Send, Wake
from emulator.kernel.journal import Journal
from emulator.kernel.machine import Machine
from emulator.kernel.time import HOUR

DOZE: Final = HOUR
"""A wake further off than this keeps nobody awake."""

# On the compiled engine (native/compile.py) what another module holds is looked for by name at each use, a `Final` not.
_push: Final = heappush
_pop: Final = heappop
_Send: Final = Send
_Note: Final = Note

NEAR: Final = True
FAR: Final = False

_SPAN_BITS: Final = 23
"""A shelf holds what is due within 2**23 µs, eight seconds: then the heap in front of it holds two to six events."""


class _Slot:
    """What an installation has in the queue: how many events are `pending`, and the `number` of its last one."""

    __slots__ = ("number", "pending")

    def __init__(self, number: int) -> None:
        self.number = number
        self.pending = 0


Event: TypeAlias = tuple[Instant, int, int, Any, int, Any, _Slot | None]
"""(due, installation, number, wire or None, stage or party, payload, slot): what the heap holds. No two are equal in
their first three fields, so the rest is never compared, and ties at one instant break the same way on every machine.
The slot is None for a far wake, which may find another one; all else keeps its slot alive."""


class Wire(Protocol):
    """What lies behind a port. `stages` is how many legs a payload travels; `hears` is the party and port at its end,
    where that is always the same and every payload is a frame, else None: then `arrive` is asked."""

    @property
    def stages(self) -> int: ...

    @property
    def hears(self) -> tuple[int, Port] | None: ...

    def carry(
        self, stage: int, installation: int, payload: Any, now: Instant, number: int
    ) -> Iterable[tuple[int, Any]]:
        """The payload enters leg `stage` at `now`: when (delay in µs, not negative) and as what it leaves it.

        Nothing is loss, two items a duplicate."""
        ...

    def arrive(self, installation: int, payload: Any, now: Instant) -> tuple[int, Port, bytes] | None:
        """The far end of a wire without `hears`: (party, port, frame) that hear it, or None when it refuses it."""
        ...


class Roster(Protocol):
    """Who is who. Builds a machine from its row when it is called for, and takes it back."""

    @property
    def up(self) -> Mapping[int, Mapping[int, Machine]]:
        """Machines by installation and party that frames may be given to without asking `machine` first: three calls
        an exchange less. Empty for a roster that wants to know of every call."""
        ...

    def machine(self, installation: int, party: int) -> Machine: ...

    def sleep(self, installation: int) -> None: ...


class Wiring(Protocol):
    """Which wire lies behind a party's port; the same in every installation."""

    @property
    def wires(self) -> Mapping[tuple[int, Port], Wire]: ...


class Agenda(Protocol):
    """What happens in a cell without any machine having asked for it. It holds no event in the queue: only what comes
    next is asked for, so homes that are asleep cost nothing."""

    @property
    def due(self) -> Instant | None:
        """When something is to be done next, later than anything done; None: never."""
        ...

    def act(self, world: "World") -> None:
        """Do what is due; it is `due`, and everything in the queue up to then has been carried out."""
        ...


class World:
    """One cell: a queue, a roster, its wires and its journal. `now` moves only in `run_until`. It may have an `agenda`.

    Every installation with something under way has a slot: how much is under way, and its last event number. A new slot
    numbers from the instant it was made, so numbers rise over an installation's whole life and one asleep needs none.
    """

    __slots__ = (
        "_heap",
        "_horizon",
        "_roster",
        "_shelves",
        "_slots",
        "_spans",
        "_wiring",
        "agenda",
        "events",
        "journal",
        "now",
    )

    def __init__(self, roster: Roster, wiring: Wiring, journal: Journal, now: Instant) -> None:
        self._roster = roster
        self._wiring = wiring
        self._heap: list[Event] = []
        self._horizon: Instant = 0  # what is due earlier is in the heap, all else on a shelf
        self._shelves: dict[int, list[Event]] = {}
        self._spans: list[int] = []  # a heap of the spans that have a shelf
        self._slots: dict[int, _Slot] = {}
        self.journal = journal
        self.now = now
        self.events = 0
        self.agenda: Agenda | None = None

    def wake(self, installation: int, party: int, at: Instant) -> None:
        """Have a machine woken at `at` (an instant in the past means now)."""
        self._from_outside(installation, party, (Wake(at),))

    def command(self, installation: int, party: int, command: Command) -> None:
        """Give a machine a person's wish, now."""
        effects = self._roster.machine(installation, party).command(command, self.now)
        self._from_outside(installation, party, effects)
        if installation not in self._slots:
            self._roster.sleep(installation)

    def send(self, installation: int, party: int, port: Port, frame: bytes) -> None:
        """Put a frame on a party's port as if that party had sent it."""
        self._from_outside(installation, party, (Send(port, frame),))

    @property
    def due(self) -> Instant | None:
        """When the next event is due, or None."""
        due = self._heap[0][0] if self._heap or self._take_shelf() else None
        if self.agenda is None:
            return due
        planned = self.agenda.due
        return planned if due is None or (planned is not None and planned < due) else due

    def awake(self) -> int:
        """How many installations have something under way."""
        return len(self._slots)

    def is_up(self, installation: int) -> bool:
        """Whether an installation has something under way, or is at it now; if so, the roster will be told when not."""
        return installation in self._slots

    def under_way(self, installation: int) -> int:
        """How much is under way for an installation: frames on wires and near wakes."""
        slot = self._slots.get(installation)
        return 0 if slot is None else slot.pending

    def run_until(self, end: Instant) -> None:
        """Carry out everything due up to and including `end`; then it is `end`."""
        agenda = self.agenda
        if agenda is not None:
            while (planned := agenda.due) is not None and planned <= end:
                self._run_until(max(planned, self.now))
                agenda.act(self)
        self._run_until(end)

    def _run_until(self, end: Instant) -> None:
        heap, slots, machine, up = self._heap, self._slots, self._roster.machine, self._roster.up
        carry_out = self._carry_out
        events = 0
        while heap or self._take_shelf():
            event = _pop(heap)
            due, installation, _, wire, stage, payload, slot = event
            if due > end:
                _push(heap, event)
                break
            self.now = due
            events += 1
            if slot is None:
                slot = slots.get(installation)
                if slot is None:  # a far wake finds nobody up
                    slot = slots[installation] = _Slot(due)
            if wire is None:
                if payload is NEAR:
                    slot.pending -= 1
                effects = machine(installation, stage).wake(due)
                if effects:
                    carry_out(slot, installation, stage, effects)
            elif stage < wire.stages:
                number = slot.number + 1
                pending = slot.pending - 1
                for delay, carried in wire.carry(stage, installation, payload, due, number):
                    pending += 1
                    number += 1
                    at = due + delay
                    event = (at, installation, number, wire, stage + 1, carried, slot)
                    if at < self._horizon:
                        _push(heap, event)
                    else:
                        self._put_off(event)
                slot.number = number
                slot.pending = pending
            else:
                slot.pending -= 1
                hears = wire.hears
                if hears is not None:
                    party, port = hears
                    try:
                        heard_by = up[installation][party]
                    except KeyError:
                        heard_by = machine(installation, party)
                    effects = heard_by.receive(port, payload, due)
                    if effects:
                        carry_out(slot, installation, party, effects)
                elif (arrival := wire.arrive(installation, payload, due)) is not None:
                    party, port, frame = arrival
                    effects = machine(installation, party).receive(port, frame, due)
                    if effects:
                        carry_out(slot, installation, party, effects)
            if not slot.pending:
                del slots[installation]
                self._roster.sleep(installation)
        self.events += events
        self.now = max(self.now, end)

    def _put_off(self, event: Event) -> None:
        """Lay an event that is due beyond the horizon on its shelf."""
        span = event[0] >> _SPAN_BITS
        shelf = self._shelves.get(span)
        if shelf is None:
            self._shelves[span] = [event]
            _push(self._spans, span)
        else:
            shelf.append(event)

    def _take_shelf(self) -> bool:
        """Fill the empty heap from the next shelf; whether there was one."""
        if not self._spans:
            return False
        span = _pop(self._spans)
        self._horizon = (span + 1) << _SPAN_BITS
        self._heap.extend(self._shelves.pop(span))
        heapify(self._heap)
        return True

    def _from_outside(self, installation: int, party: int, effects: Effects) -> None:
        """Carry out what did not come of an event; it may be all that is under way for an installation."""
        slot = self._slots.get(installation) or _Slot(self.now)
        self._carry_out(slot, installation, party, effects)
        if slot.pending:
            self._slots[installation] = slot

    def _carry_out(self, slot: _Slot, installation: int, party: int, effects: Effects) -> None:
        now, heap = self.now, self._heap
        for effect in effects:
            kind = type(effect)
            if kind is _Send:
                number = slot.number + 1
                wire = self._wiring.wires[party, effect.port]  # type: ignore[union-attr]
                for delay, carried in wire.carry(0, installation, effect.frame, now, number):  # type: ignore[union-attr]
                    slot.pending += 1
                    number += 1
                    due = now + delay
                    event: Event = (due, installation, number, wire, 1, carried, slot)
                    if due < self._horizon:
                        _push(heap, event)
                    else:
                        self._put_off(event)
                slot.number = number
            elif kind is _Note:
                self.journal.note(now, installation, party, effect)  # type: ignore[arg-type]
            else:
                number = slot.number = slot.number + 1
                at: Instant = effect.at  # type: ignore[union-attr]
                if at < now:
                    at = now
                if at <= now + DOZE:
                    slot.pending += 1
                    event = (at, installation, number, None, party, NEAR, slot)
                else:
                    event = (at, installation, number, None, party, FAR, None)
                if at < self._horizon:
                    _push(heap, event)
                else:
                    self._put_off(event)
