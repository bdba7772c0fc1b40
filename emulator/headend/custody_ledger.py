"""The custody ledger: who knew which key of which device, and when.

It is read off the journal. Every step of custody is a note of kind `custody.<what>` with (party, hierarchy, generation,
keeper), put there by the scripts that take the step, so the ledger is append-only and part of a run's hash; no key
stands in it. Reading follows the same rules by which keepers forget (`keeper.py`: the last two generations that were
replaced or given up are kept), so at any point of it one can ask who could still give his part of what.

    what            who                 means
    handed-over     s1sp, rival         the old operator's record was taken over; a rival's keys were told to both
    recorded        s1sp or dco         the builder of messages wrote a candidate down
    acknowledged    the other           and so did the other keeper
    sent            both                it left for the device
    confirmed       both                the device has shown that it holds it
    promoted        both, or one        it is believed live; by one only: the other did not hear of it
    given-up        both                the device has shown that it does not hold it
    lost            one, both, rival    nothing is left of it there
    closed          smso                the old operator hands nothing over any more

A note that is acknowledged stands for recorded and acknowledged, one that is promoted for confirmed and promoted: they
are read as two lines, and five million notes are not made.

Small estates and tests read all of it; a large run keeps no entries, only their hash and counts.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from emulator.errors import InputError
from emulator.headend.keeper import SHARERS, Hierarchy
from emulator.kernel.effects import Instant
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party

PREFIX: Final = "custody."
WHAT: Final = (
    "handed-over",
    "recorded",
    "acknowledged",
    "sent",
    "confirmed",
    "promoted",
    "given-up",
    "lost",
    "closed",
)

Place: TypeAlias = tuple[int, Party, Hierarchy]


@dataclass(frozen=True, slots=True)
class Line:
    """One step: when, of which device and hierarchy, which generation, who ("s1sp", "dco", "smso", "both", "rival"),
    and what (see the module)."""

    at: Instant
    installation: int
    party: Party
    hierarchy: Hierarchy
    generation: int
    keeper: str
    what: str


@dataclass(slots=True)
class _Record:
    """What one keeper has of one device and hierarchy."""

    live: int = 0
    candidate: int = 0
    kept: tuple[int, ...] = ()

    def keep(self, generation: int) -> None:
        if generation:
            self.kept = (generation, *(each for each in self.kept if each != generation))[:2]

    def take(self, generation: int) -> None:
        """Believe a generation live, when anything of it is there."""
        if generation and generation not in (self.live, self.candidate, *self.kept):
            self.candidate = 0
            return
        before, candidate = self.live, self.candidate
        self.live, self.candidate = generation, 0
        self.kept = tuple(each for each in self.kept if each != generation)
        if before != generation:
            self.keep(before)
        if candidate != generation:
            self.keep(candidate)

    def lose(self, generation: int) -> None:
        left = [each for each in self.kept if each != generation]
        if self.candidate == generation:
            self.candidate = 0
        if self.live == generation:
            self.live = left.pop(0) if left else 0
        self.kept = tuple(left)

    @property
    def all(self) -> set[int]:
        return {each for each in (self.live, self.candidate, *self.kept) if each}


class _Estate:
    """Everybody's records, as far as the ledger has been read."""

    def __init__(self) -> None:
        self.records: dict[tuple[Place, str], _Record] = defaultdict(_Record)
        self.origin: dict[tuple[int, Party], set[str]] = defaultdict(lambda: {"smso"})

    def apply(self, line: Line) -> None:
        place = (line.installation, line.party, line.hierarchy)
        what, generation = line.what, line.generation
        origin = self.origin[line.installation, line.party]
        records = [self.records[place, each] for each in SHARERS if line.keeper in (each, "both", "rival")]
        if what == "closed":
            origin.discard("smso")
        elif what == "handed-over" and line.keeper != "rival":
            origin |= set(SHARERS)
        elif what == "lost" and line.keeper == "rival":
            return  # nobody else ever had it
        elif what == "lost" and not generation:
            origin -= set(SHARERS) if line.keeper == "both" else {line.keeper}
        else:
            for record in records:
                if what in ("recorded", "acknowledged"):
                    if record.candidate != generation:
                        record.keep(record.candidate)
                    record.candidate = generation
                elif what == "promoted":
                    record.take(generation)
                elif what == "given-up":
                    if record.candidate:
                        record.keep(record.candidate)
                        record.candidate = 0
                elif what == "handed-over":
                    record.keep(generation)
                elif what == "lost":
                    record.lose(generation)
            if what == "promoted" and line.keeper in SHARERS:
                missed = self.records[place, SHARERS[1 - SHARERS.index(line.keeper)]]
                if missed.candidate == generation:
                    missed.keep(generation)
                    missed.candidate = 0


class CustodyLedger:
    """The lines read, in order, and what follows from them."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.lines: list[Line] = list(lines)

    def timeline(self, installation: int, party: Party | None = None, hierarchy: Hierarchy | None = None) -> list[Line]:
        """What was done about a home's keys, or one device's, or one hierarchy of it, oldest first."""
        return [
            line
            for line in self.lines
            if line.installation == installation and party in (None, line.party) and hierarchy in (None, line.hierarchy)
        ]

    def holders(
        self, installation: int, party: Party, hierarchy: Hierarchy, generation: int, at: Instant | None = None
    ) -> set[str]:
        """Who could give his part of a generation at an instant (none: now, at the end of the ledger). Generation 0 is
        whole at whoever has it; of any other both "s1sp" and "dco" are needed."""
        estate = self._until(at)
        if not generation:
            return set(estate.origin[installation, party])
        place = (installation, party, hierarchy)
        return {each for each in SHARERS if generation in estate.records[place, each].all}

    def known(self, installation: int, party: Party, hierarchy: Hierarchy, at: Instant | None = None) -> set[int]:
        """Generations after 0 whose key the two could make together at an instant (none: now)."""
        estate = self._until(at)
        place = (installation, party, hierarchy)
        return estate.records[place, "s1sp"].all & estate.records[place, "dco"].all

    def lost_after_acknowledgement(self) -> list[Line]:
        """Losses of a generation by a keeper that had recorded or acknowledged it: what must never happen without a
        fault."""
        had: set[tuple[Place, str, int]] = set()
        found = []
        for line in self.lines:
            place = (line.installation, line.party, line.hierarchy)
            if line.what in ("recorded", "acknowledged"):
                had.add((place, line.keeper, line.generation))
            elif line.what == "lost":
                keepers = SHARERS if line.keeper == "both" else (line.keeper,)
                if any((place, keeper, line.generation) in had for keeper in keepers):
                    found.append(line)
        return found

    def _until(self, at: Instant | None) -> _Estate:
        estate = _Estate()
        for line in self.lines:
            if at is not None and line.at > at:
                break
            estate.apply(line)
        return estate


def read(entries: Iterable[Entry]) -> CustodyLedger:
    """The ledger in a journal's entries; others are passed over. Entries of one cell are in order of time. Raises
    InputError for a custody note that no head end writes."""
    found: list[Line] = []
    recorded: dict[Place, int] = {}
    for entry in entries:
        if not entry.kind.startswith(PREFIX):
            continue
        line = _line(entry)
        place = (line.installation, line.party, line.hierarchy)
        if line.what == "recorded":
            recorded[place] = line.generation
        elif line.what == "acknowledged" and recorded.get(place) != line.generation:
            other = SHARERS[1 - SHARERS.index("dco" if line.keeper == "dco" else "s1sp")]
            found.append(replace(line, keeper=other, what="recorded"))
        elif line.what == "promoted":
            found.append(replace(line, keeper="both", what="confirmed"))
        found.append(line)
    return CustodyLedger(found)


def _line(entry: Entry) -> Line:
    what = entry.kind[len(PREFIX) :]
    try:
        party, hierarchy, generation, keeper = entry.detail
        if what not in WHAT:
            raise ValueError(what)
        return Line(
            entry.at, entry.installation, Party(party), Hierarchy(hierarchy), int(generation), str(keeper), what
        )
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the journal's note {entry.kind} of installation {entry.installation} is no line of a custody ledger: "
            f"{entry.detail!r}; was it written by another version?"
        ) from error
