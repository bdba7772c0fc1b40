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

from emulator.oracle import look
from emulator.oracle.bench import Bench
from emulator.oracle.look import Known
from emulator.oracle.state import PLENTY, Habits, State
from emulator.oracle.transitions import Command, Result, Verb, commands, step

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

    def add(self, other: "Tally") -> None:
        """Sum up with another exploration."""
        self.sequences += other.sequences
        self.driven += other.driven
        self.points += other.points
        self.disagreements += other.disagreements


DISAGREEMENTS_MOST = 20


class Prover:
    """Explores from one bench. `share` False drives every sequence, however often the machine has stood so."""

    def __init__(
        self,
        bench: Bench,
        known: Known,
        habits: Habits,
        *,
        alphabet: Alphabet = commands,
        share: bool = True,
    ) -> None:
        self._bench = bench
        self._known = known
        self._habits = habits
        self._alphabet = alphabet
        self._share = share
        self._seen: dict[tuple[object, ...], int] = {}
        self.tally = Tally()

    def explore(self, state: State, depth: int) -> Tally:
        """Every sequence of up to `depth` commands from where the bench stands."""
        self.tally.sequences += self._explore(state, depth, ())
        return self.tally

    def _explore(self, state: State, depth: int, way: tuple[Command, ...]) -> int:
        key = self._key(state, depth)
        if self._share and key in self._seen:
            return self._seen[key]
        tally, bench = self.tally, self._bench
        tally.points += 1
        mark = bench.mark()
        count = 0
        for command in self._alphabet(state):
            count += 1
            there = self.check(state, command, (*way, command))
            tally.driven += 1
            if depth > 1 and len(tally.disagreements) < DISAGREEMENTS_MOST:
                count += self._explore(there, depth - 1, (*way, command))
            bench.back_to(mark)
        self._seen[key] = count
        return count

    def check(self, state: State, command: Command, way: tuple[Command, ...]) -> State:
        """Carry one command out, compare, and give the state that is true now."""
        promised, there = step(state, command, self._habits)
        bench = self._bench
        if promised is Result.UNSENT or command.verb is Verb.WAIT:
            return there
        found = bench.do(command)
        truth = self.truth(there)
        if not _same(promised, there, found, truth):
            self.tally.disagreements.append(Disagreement(way, (promised, there), (found, truth)))
        healed = self.tally.healed
        if there.agrees() and truth.agrees() and (healed is None or len(way) < len(healed)):
            self.tally.healed = way
        return truth

    def truth(self, state: State) -> State:
        """`state` with what is the device's as the machine has it."""
        bench = self._bench
        _, _, ours = bench.counters()
        seen = look.placed(state, look.line(bench.line()), ours, self._known, bench.machine, bench.now)
        return seen._replace(associated=bench.associated)

    def _key(self, state: State, depth: int) -> tuple[object, ...]:
        line = look.line(self._bench.line())
        return (line.ek, line.ak, line.kek, self._bench.machine.snapshot(), state, depth)


def _same(promised: Result, there: State, found: Result, truth: State) -> bool:
    """Whether both say the same. Where counters run out in the middle of a request it is told by silence or by refusal;
    both mean no."""
    if (promised is Result.ACCEPTED) != (found is Result.ACCEPTED):
        return False
    short = min(there.room_in, there.room_out) < PLENTY
    return there == truth and (promised is found or short)
