"""The ledger: how each installation ended, summed up and told.

The entries themselves are columns of the cells' rows (`fleet/rows.py`), nine of whose bytes are the ledger; they come
from the workers whole and are summed here. What verdict and cause *mean* is in `verdict.py`.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from emulator.dcc.verdict import CAUSE_NAMES, Verdict
from emulator.kernel.effects import Instant

AGREES = 1


@dataclass(slots=True)
class Line:
    """One installation's entry. Instants are 0 where nothing happened."""

    installation: int
    verdict: Verdict
    cause: str
    attempts: int
    exchanges: int
    started: Instant
    finished: Instant
    audited: bool


@dataclass(slots=True)
class Totals:
    """A ledger's sums. `by_cause` holds causes that occurred; "" (as planned) is left out.

    `auxiliary`: migrated homes whose auxiliary switches were seen to follow their times across a switching time.
    `audited`: migrated homes in which the audit found what the ledger says; `astray`: in which it did not.
    """

    installations: int
    migrated: int
    failed: int
    unrecoverable: int
    pending: int
    by_cause: dict[str, int]
    audited: int
    astray: int
    retried: int
    auxiliary: int


def totals(columns: NDArray[Any]) -> Totals:
    """Sums over one cell's columns (`rows.ROW`), or several cells' put end to end."""
    verdicts = Counter(columns["verdict"].tolist())
    causes = Counter(columns["cause"][columns["verdict"] != Verdict.PENDING].tolist())
    audits = Counter(columns["audited"].tolist())
    return Totals(
        installations=len(columns),
        migrated=verdicts[Verdict.MIGRATED],
        failed=verdicts[Verdict.FAILED],
        unrecoverable=verdicts[Verdict.UNRECOVERABLE],
        pending=verdicts[Verdict.PENDING],
        by_cause={name: causes[code] for code, name in enumerate(CAUSE_NAMES) if name and causes[code]},
        audited=audits[AGREES],
        astray=sum(count for value, count in audits.items() if value not in (0, AGREES)),
        retried=int((columns["attempts"] > 1).sum()),
        auxiliary=int((columns["switches"] > 0).sum()),
    )


def line(columns: NDArray[Any], first: int, installation: int) -> Line:
    """One entry out of columns that begin with installation `first`."""
    row = columns[installation - first]
    return Line(
        installation,
        Verdict(int(row["verdict"])),
        CAUSE_NAMES[int(row["cause"])],
        int(row["attempts"]),
        int(row["exchanges"]),
        int(row["started"]),
        int(row["finished"]),
        int(row["audited"]) == AGREES,
    )
