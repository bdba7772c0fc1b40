"""A campaign over a whole estate: days, barriers, the audit, and the sums.

The parent holds no home. Each virtual day it asks the control centre how many may start, apportions them among the
cells, has every cell run the day, and decides the next from what they report. When nothing is waiting and nothing
open the audit runs the same way. In the end the ledger (rows), the audit and the link's delivery logs are three
testimonies by three witnesses, and `Result.objections` lists where they differ.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from emulator.dcc import auxiliary_harm
from emulator.dcc.auxiliary_harm import HarmReport
from emulator.dcc.host import CampaignHost, CellEnd, HostOptions
from emulator.dcc.ledger import Totals, totals
from emulator.dcc.mcc import ControlCentre, Day, Gate, Pacing, apportion
from emulator.errors import UsageError
from emulator.fleet.estate import Estate
from emulator.fleet.shards import Shards, peak_bytes, quiet_collector
from emulator.kernel.journal import combined_digest
from emulator.kernel.time import DAY, SECOND
from emulator.watch.checks import Finding
from emulator.watch.violation import Violation

DAYS_MOST: Final = 3_000

ALERTS_MULTIPLE: Final = 5.0
"""So many times the usual alerts stop a campaign for a day. ASSUMED."""

K = TypeVar("K", str, int)
Progress = Callable[["Snapshot"], None]


@dataclass(slots=True)
class Snapshot:
    """How far a campaign is, for a progress bar."""

    phase: str
    day: int
    decision: str
    ended: int
    audits_open: int


@dataclass(slots=True)
class Result:
    """All there is to say about a finished campaign."""

    seed: int
    digest: str
    link_digest: str
    totals: Totals
    exchanges: int
    logged_exchanges: int
    ways: dict[str, dict[str, int]]
    days: list[Day]
    virtual_s: int
    elapsed_s: float
    migration_s: float
    """How much of `elapsed_s` went by before the audit began."""
    peak_rss_bytes: int
    events: int
    counts: dict[str, int]
    row_bytes: float
    samples: dict[str, int]
    fired: dict[int, int]
    """Fault number (from 1, as `HostOptions.faults` lists them) to how often it struck."""
    columns: NDArray[Any] = field(repr=False)
    harm: HarmReport | None = None
    """What the days after their migration did to homes with auxiliary load, where it was asked for."""
    findings: list[Finding] = field(default_factory=list)
    """What the standing checks object to, where they were asked for, cell by cell."""
    violations: list[Violation] = field(default_factory=list)
    """What the head end did wrong, where it was watched, cell by cell; each cell numbers its own."""

    @property
    def migration_exchanges(self) -> int:
        """The exchanges without those of the audit."""
        return int(self.columns["exchanges"].sum(dtype=np.int64))

    @property
    def objections(self) -> list[str]:
        """Where ledger, audit and delivery log differ; empty when they agree."""
        found = []
        sums = self.totals
        if sums.pending:
            found.append(f"{sums.pending} installations ended in no verdict")
        if sums.migrated + sums.failed + sums.unrecoverable + sums.pending != sums.installations:
            found.append("the verdicts do not add up to the installations")
        if sums.audited != sums.migrated:
            found.append(f"the ledger says {sums.migrated} migrated, the audit confirms {sums.audited}")
        if sums.astray:
            found.append(f"the audit found {sums.astray} homes otherwise than the ledger says")
        if self.exchanges != self.logged_exchanges:
            found.append(
                f"the head end counts {self.exchanges} exchanges, the link's delivery log {self.logged_exchanges}"
            )
        return found


def run(
    estate: Estate,
    options: HostOptions,
    *,
    workers: int,
    gate: Gate | None = None,
    progress: Progress | None = None,
) -> Result:
    """Migrate an estate and audit it. Raises WorkerError when a worker fails."""
    began = monotonic()
    recipe = estate.recipe.pacing
    pacing = Pacing(recipe.first_per_day, recipe.first_days, recipe.per_day)
    per_day = options.settings.alerts_per_day
    if per_day is None:
        per_day = estate.recipe.alerts.per_day or 0.0
    centre = ControlCentre(pacing, gate or Gate(alerts_most=ALERTS_MULTIPLE * per_day))
    host = CampaignHost(estate, options)
    if workers == 1:
        quiet_collector()
    with Shards(host, estate.cells, workers) as shards:
        waiting = {cell: len(estate.members(cell)) for cell in range(estate.cells)}
        next_day = migrate_days(shards, waiting, centre, progress)
        migrated = monotonic()
        next_day = audit_days(shards, estate.cells, next_day, progress)
        ends: dict[int, CellEnd] = shards.ask("end", dict.fromkeys(range(estate.cells), ()))
    columns = np.concatenate([end.columns for end in ends.values()])
    counts: dict[str, int] = {}
    samples: dict[str, int] = {}
    fired: dict[int, int] = {}
    ways: dict[str, dict[str, int]] = {"down": {}, "up": {}}
    for end in ends.values():
        add_up(counts, end.counts)
        add_up(samples, end.samples)
        add_up(fired, end.fired)
        for way, numbers in end.ways.items():
            add_up(ways[way], numbers)
    return Result(
        seed=estate.seed,
        digest=combined_digest(end.digest for end in ends.values()),
        link_digest=combined_digest(end.link_digest for end in ends.values()),
        totals=totals(columns),
        exchanges=sum(end.exchanges for end in ends.values()),
        logged_exchanges=sum(end.logged_exchanges for end in ends.values()),
        ways=ways,
        days=centre.days,
        virtual_s=next_day * DAY // SECOND,
        elapsed_s=monotonic() - began,
        migration_s=migrated - began,
        peak_rss_bytes=peak_bytes({end.process: end.peak_rss_bytes for end in ends.values()}),
        events=sum(end.events for end in ends.values()),
        counts=dict(sorted(counts.items())),
        row_bytes=sum(end.row_bytes * len(end.columns) for end in ends.values()) / len(columns),
        samples=samples,
        fired=fired,
        columns=columns,
        harm=_harm(options, ends),
        findings=[finding for end in ends.values() for finding in end.findings],
        violations=[violation for end in ends.values() for violation in end.violations],
    )


def _harm(options: HostOptions, ends: dict[int, CellEnd]) -> HarmReport | None:
    if options.harm_days is None:
        return None
    return auxiliary_harm.report([harm for end in ends.values() for harm in end.harms])


def migrate_days(
    shards: Shards, waiting: dict[int, int], centre: ControlCentre, progress: Progress | None = None, first: int = 0
) -> int:
    """Days until every installation has ended; the number of the next day. `waiting`: cell to how many homes are yet to
    begin there; `first`: the number of the first day."""
    still_open = dict.fromkeys(waiting, 0)
    ended = 0
    while any(waiting.values()) or any(still_open.values()):
        day = centre.plan()
        if day.day >= DAYS_MOST:
            raise UsageError(f"the campaign has not come to an end after {DAYS_MOST} days; raise the pace")
        shares = apportion(day.allowance, waiting)
        asked = {cell: (first + day.day, share) for cell, share in shares.items() if waiting[cell] or still_open[cell]}

        def heard(_: int, report: Any, day: Day = day) -> None:
            nonlocal ended
            ended += report.migrated + report.failed + report.unrecoverable
            if progress:
                progress(Snapshot("migrating", day.day, day.decision, ended, 0))

        for cell, report in shards.ask("day", asked, heard).items():
            waiting[cell], still_open[cell] = report.waiting, report.open
            day.started += report.started
            day.migrated += report.migrated
            day.failed += report.failed
            day.unrecoverable += report.unrecoverable
            day.alerts += report.alerts
    return first + len(centre.days)


def audit_days(shards: Shards, cells: int, day: int, progress: Progress | None = None) -> int:
    """Days until every migrated installation has been audited; the number of the next day."""
    left = dict.fromkeys(range(cells), 1)
    while any(left.values()):
        asked = {cell: (day,) for cell, count in left.items() if count}

        def heard(_: int, count: Any, day: int = day) -> None:
            if progress:
                progress(Snapshot("auditing", day, "", 0, count))

        left.update(shards.ask("audit_day", asked, heard))
        day += 1
    return day


def add_up(sums: dict[K, int], more: dict[K, int]) -> None:
    """Add counts to the sums of their keys."""
    for key, value in more.items():
        sums[key] = sums.get(key, 0) + value
