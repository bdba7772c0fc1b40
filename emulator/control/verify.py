"""Was it so? Expectations held against the journal, answered with what differs.

Each expectation counts the entries that fit it; in an ordered question entries count only once the expectation before
has been fulfilled (behind the last entry that was needed for it), and fitting entries before that are named as coming
too early. An entry may fit several expectations: they are statements about the journal, not a division of it.

Entries that have fallen out of the ring cannot be judged, so a question that reaches back to them is answered with
`complete` false and is not fulfilled, whatever the rest says.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from emulator.commands import Expectation, Verify
from emulator.control.ring import JournalEntry, Ring

_SHOWN: Final = 20


@dataclass(slots=True)
class Difference:
    """One thing that is not as expected. `expectation` is its position in the question (None: an entry of `only` that
    none expects); `entries` the first entries it is about."""

    expectation: int | None
    problem: str
    found: int
    entries: list[JournalEntry] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """`fulfilled` is the answer. `judged` entries were looked at, up to number `until`."""

    fulfilled: bool
    complete: bool
    judged: int
    until: int
    counts: list[int]
    differences: list[Difference]


def verify(question: Verify, ring: Ring) -> Verdict:
    """The answer, as the journal stands now."""
    entries, _ = ring.after(question.since, ring.last + 1)
    differences: list[Difference] = []
    counts: list[int] = []
    expected: set[int] = set()
    behind = 0
    for position, each in enumerate(question.expect):
        fitting = [entry for entry in entries if _fits(entry, each)]
        expected.update(entry.number for entry in fitting)
        late = [entry for entry in fitting if entry.number > behind] if question.ordered else fitting
        early = [entry for entry in fitting if entry.number <= behind] if question.ordered else []
        counts.append(len(fitting))
        if len(fitting) < each.at_least or len(fitting) > each.at_most:
            problem = f"expected {_many(each)}, found {len(fitting)}"
            differences.append(Difference(position, problem, len(fitting), fitting[:_SHOWN]))
        elif early:
            problem = f"{len(early)} of them came before the expectation ahead of it was fulfilled"
            differences.append(Difference(position, problem, len(fitting), early[:_SHOWN]))
        if late:
            behind = late[max(each.at_least, 1) - 1 if len(late) >= each.at_least else -1].number
    for name in question.only:
        surplus = [entry for entry in entries if _kind_fits(entry.kind, name) and entry.number not in expected]
        if surplus:
            problem = f"{len(surplus)} entries of {name!r} that no expectation names"
            differences.append(Difference(None, problem, len(surplus), surplus[:_SHOWN]))
    complete = not ring.missed(question.since)
    return Verdict(complete and not differences, complete, len(entries), ring.last, counts, differences)


def _many(each: Expectation) -> str:
    if each.at_least == each.at_most:
        return f"exactly {each.at_least}"
    return f"{each.at_least} to {each.at_most}"


def _kind_fits(kind: str, wanted: str) -> bool:
    return kind == wanted or (wanted.endswith(".") and kind.startswith(wanted))


def _fits(entry: JournalEntry, each: Expectation) -> bool:
    if not _kind_fits(entry.kind, each.kind) or each.installation not in (None, entry.installation):
        return False
    if each.device not in (None, entry.device):
        return False
    return each.detail is None or _starts(entry.detail, each.detail)


def _starts(detail: list[Any], pattern: list[Any]) -> bool:
    """Does a detail begin with a pattern? None in it fits anything."""
    if len(detail) < len(pattern):
        return False
    return all(
        want is None or have == want or (isinstance(want, list) and isinstance(have, list) and _starts(have, want))
        for have, want in zip(detail, pattern, strict=False)
    )
