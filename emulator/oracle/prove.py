"""Holding the rules against the machines: every sequence of commands, driven, and each step compared.

`explore` takes a bench and the abstract state it stands in, carries out every command of `transitions.commands`, then
every command after each of them, and so on; after each it compares the result and the state that the rules promise with
what the device did and now holds. A point that was reached before, with the device's memory, its keys and the
association byte for byte the same, is not driven again from there: what follows is the same as it was. The sequences
through it are counted all the same (`Tally.sequences`), and `Tally.driven` says how many commands were really sent.

`heals` asks the machines without the rules: is there any sequence within a depth after which device and keepers agree?
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from emulator.oracle import look
from emulator.oracle.bench import Bench, Mark
from emulator.oracle.look import Known
from emulator.oracle.state import PLENTY, Habits, State
from emulator.oracle.transitions import OPENINGS, Command, Result, commands, learned, recorded, sendable, step

Alphabet = Callable[[State], Iterable[Command]]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Where the rules and a machine part: after `way`, at its last command."""

    way: tuple[Command, ...]
    promised: tuple[Result, State]
    found: tuple[Result, State]

    def __str__(self) -> str:
        told, seen = self.promised, self.found
        differing = [
            f"{name}: {one!r} promised, {other!r} found"
            for name, one, other in zip(State._fields, told[1], seen[1], strict=True)
            if one != other
        ]
        way = " > ".join(str(each.verb) + str(tuple(each[1:])) for each in self.way)
        return f"{way}: {told[0]} promised, {seen[0]} found; {'; '.join(differing) or 'the same state'}"


@dataclass(slots=True)
class Tally:
    """What an exploration has seen. `sequences`: how many sequences of commands were answered for, of every length up
    to the depth; `driven`: commands sent to a machine; `healed`: the shortest sequences that ended in agreement."""

    sequences: int = 0
    driven: int = 0
    points: int = 0
    healed: tuple[Command, ...] | None = None
    disagreements: list[Disagreement] = field(default_factory=list)


DISAGREEMENTS_MOST = 20


class Machine:
    """A bench as something that goes from state to state by itself: the device's part is looked up in the device, the
    keepers' part follows from how commands really came out. The rules for devices are not asked."""

    def __init__(self, bench: Bench, known: Known) -> None:
        self.bench = bench
        self.known = known

    def step(self, state: State, command: Command) -> tuple[Result, State]:
        """Carry a command out: how it came out, and the state that is true then."""
        if not sendable(state, command):
            return Result.UNSENT, state
        state = recorded(state, command)
        result = self.bench.do(command)
        if result is Result.ACCEPTED:
            state = learned(state, command)
        return result, self.truth(state)

    def truth(self, state: State) -> State:
        """`state` with what is the device's, and our session's, as it is."""
        bench = self.bench
        _, _, ours = bench.counters()
        seen = look.placed(state, look.line(bench.line()), ours, self.known, bench.machine, bench.now)
        keys = bench.session.keys
        under = state.under if keys is None else look.pair(keys, self.known)
        return seen._replace(associated=bench.associated, under=under)

    def key(self, state: State) -> tuple[object, ...]:
        """Equal where what follows must be equal: the device's memory and keys byte for byte, and the state."""
        line = look.line(self.bench.line())
        return (line.ek, line.ak, line.kek, self.bench.machine.snapshot(), state)


class Prover:
    """Compares, from one bench onwards. `share` False drives every sequence, however often the machine stood so."""

    def __init__(
        self,
        machine: Machine,
        habits: Habits,
        *,
        alphabet: Alphabet = commands,
        share: bool = True,
    ) -> None:
        self._machine = machine
        self._habits = habits
        self._alphabet = alphabet
        self._share = share
        self._seen: dict[tuple[object, ...], int] = {}
        self.tally = Tally()

    def explore(self, state: State, depth: int) -> Tally:
        """Every sequence of up to `depth` commands from where the bench stands, which `state` must tell truly."""
        self.tally.sequences += self._explore(state, depth, ())
        return self.tally

    def _explore(self, state: State, depth: int, way: tuple[Command, ...]) -> int:
        key = (*self._machine.key(state), depth)
        if self._share and key in self._seen:
            return self._seen[key]
        tally, bench = self.tally, self._machine.bench
        tally.points += 1
        mark = bench.mark()
        count = 0
        for command in self._alphabet(state):
            count += 1
            there = self.check(state, command, (*way, command))
            if depth > 1 and len(tally.disagreements) < DISAGREEMENTS_MOST:
                count += self._explore(there, depth - 1, (*way, command))
            bench.back_to(mark)
        self._seen[key] = count
        return count

    def check(self, state: State, command: Command, way: tuple[Command, ...]) -> State:
        """Carry one command out, compare, and give the state that is true now."""
        promised, there = step(state, command, self._habits)
        found, truth = self._machine.step(state, command)
        tally = self.tally
        tally.driven += 1
        if not _same(promised, there, found, truth):
            tally.disagreements.append(Disagreement(way, (promised, there), (found, truth)))
        if truth.agrees() and (tally.healed is None or len(way) < len(tally.healed)):
            tally.healed = way
        return truth


class Driven(NamedTuple):
    """What a search on the machine found: the shortest way to agreement, None when there is none within the depth.
    `closed`: nothing new could be reached, so none of any length exists. `reads`: whether any read was answered."""

    way: tuple[Command, ...] | None
    closed: bool
    reads: bool
    driven: int


def heals(machine: Machine, state: State, depth: int, alphabet: Alphabet = commands) -> Driven:
    """Look for a way back by driving the machine itself, shortest sequences first, and asking no rule what comes of
    any. Leaves the bench where it was."""
    bench = machine.bench
    begin = bench.mark()
    if state.agrees():
        return Driven((), True, True, 0)
    seen = {machine.key(state)}
    frontier: list[tuple[State, Mark, tuple[Command, ...]]] = [(state, begin, ())]
    driven, reads = 0, False
    for _ in range(depth):
        onward: list[tuple[State, Mark, tuple[Command, ...]]] = []
        for here, mark, way in frontier:
            for command in alphabet(here):
                bench.back_to(mark)
                result, there = machine.step(here, command)
                driven += 1
                reads = reads or (result is Result.ACCEPTED and command.verb in OPENINGS)
                if there.agrees():
                    bench.back_to(begin)
                    return Driven((*way, command), False, reads, driven)
                key = machine.key(there)
                if key not in seen:
                    seen.add(key)
                    onward.append((there, bench.mark(), (*way, command)))
        frontier = onward
        if not frontier:
            break
    bench.back_to(begin)
    return Driven(None, not frontier, reads, driven)


def _same(promised: Result, there: State, found: Result, truth: State) -> bool:
    """Whether both say the same. Where counters run out in the middle of a request it is told by silence or by refusal;
    both mean no."""
    if (promised is Result.ACCEPTED) != (found is Result.ACCEPTED):
        return False
    short = min(there.room_in, there.room_out) < PLENTY
    return there == truth and (promised is found or short)
