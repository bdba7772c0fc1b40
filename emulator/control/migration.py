"""A campaign over a live estate, begun by hand: so many homes abreast, each to its end, then audited.

The cases are the same as in a campaign in virtual days (`dcc/casework`); only who begins the next one differs. There a
control centre decides at midnight; here a home that ends makes room for the next, so a campaign needs no clock of its
own and goes exactly as fast as time does. Homes that were migrated before are left alone; those that failed are tried
anew.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from emulator.commands import Ledger, Migrate
from emulator.control.desk import Desk
from emulator.control.errors import NotNowError
from emulator.control.headend import HeadEnd
from emulator.control.registry import handles
from emulator.control.tasks import Task
from emulator.dcc import ledger
from emulator.dcc.casework import CampaignSettings, Casework
from emulator.dcc.takeover import TakeoverSettings
from emulator.dcc.verdict import CAUSE_NAMES, CAUSES, Verdict
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND

_GATE_FROM = 20
"""Homes that must have ended before a share of failures says anything."""


@dataclass(slots=True)
class MigrationProgress:
    """How far a migration is. `waiting` not begun, `open` under way or to be tried again, `auditing` migrated and not
    audited yet, `already` migrated before; `stopped` why nothing more is begun."""

    homes: int
    already: int
    waiting: int
    open: int
    auditing: int
    migrated: int
    failed: int
    unrecoverable: int
    audited: int
    astray: int
    by_cause: dict[str, int] = field(default_factory=dict)
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """How one installation's migration stands. `verdict` pending, migrated, failed or unrecoverable; `cause` as in the
    table of causes, `about` in words; instants in µs since 1970, 0 for never; `audited` yes, no (not yet) or astray."""

    installation: int
    verdict: str
    cause: str
    about: str
    attempts: int
    exchanges: int
    started: int
    finished: int
    audited: str


@dataclass(frozen=True, slots=True)
class LedgerView:
    """Lines, and how many installations of the cells touched so far ended how."""

    first: int
    lines: list[LedgerLine]
    verdicts: dict[str, int]
    by_cause: dict[str, int]


class LiveCases(Casework):
    """The cases of one live cell."""

    def __init__(
        self, head_end: HeadEnd, settings: CampaignSettings, closed: Callable[[int, Instant], None]
    ) -> None:
        super().__init__(head_end.cell, head_end.keyring, settings)
        self._head_end = head_end
        self._closed = closed
        head_end.casework = self

    def closed(self, installation: int, now: Instant) -> None:
        self._closed(installation, now)

    def parted(self, installation: int, now: Instant) -> None:
        self._head_end.look(installation)  # somebody may stand in line


class Migration:
    """One migration. `done` is called once, when nothing of it is open any more."""

    def __init__(self, desk: Desk, wish: Migrate, homes: Iterable[int], done: Callable[[], None]) -> None:
        self._desk = desk
        self._wish = wish
        self._done = done
        takeover = TakeoverSettings(auxiliary=desk.live.auxiliary)
        self._settings = CampaignSettings(attempts=wish.attempts, retry_us=wish.retry_s * SECOND, takeover=takeover)
        self._cases: dict[int, LiveCases] = {}
        self._auditing: set[int] = set()
        self._open: set[int] = set()
        self._waiting: deque[int] = deque()
        self.progress = MigrationProgress(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        for number in homes:
            rows = desk.head_end(number).cell.rows
            verdict = rows.get(number)["verdict"]
            self.progress.homes += 1
            if verdict == Verdict.MIGRATED:
                self.progress.already += 1
                continue
            rows.forget(number)
            self._waiting.append(number)

    def begin(self) -> None:
        """Open the first cases."""
        self._more()

    def stop(self, why: str) -> None:
        """Begin nothing more, and give up what waits for another attempt."""
        self.progress.stopped = why
        self._waiting.clear()
        for number in tuple(self._open):
            cases = self._cases[self._desk.live.estate.cell_of(number)]
            if number not in cases.cell.desk.running:
                cases.give_up(number)
                self._open.discard(number)
                self._auditing.discard(number)
        self._count()

    def lost(self, number: int) -> None:
        """A home was put back to how it was found: it is no part of this any more."""
        if number in self._waiting:
            self._waiting.remove(number)
        elif number in self._open:
            self._open.discard(number)
            self._auditing.discard(number)
        else:
            return
        self.progress.homes -= 1
        self._more()
        self._end_if_over()

    def _end_if_over(self) -> None:
        if not self._open and not self._waiting:
            self._done()

    def _of(self, number: int) -> LiveCases:
        head_end = self._desk.head_end(number)
        cases = self._cases.get(head_end.cell.number)
        if cases is None:
            cases = self._cases[head_end.cell.number] = LiveCases(head_end, self._settings, self._closed)
        return cases

    def _more(self) -> None:
        """Fill the places that are free."""
        while self._waiting and len(self._open) < self._wish.abreast:
            number = self._waiting.popleft()
            self._open.add(number)
            cases = self._of(number)
            cases.schedule(number, max(cases.cell.world.now, self._desk.live.now))
        self._count()

    def _closed(self, number: int, now: Instant) -> None:
        """A case has ended, or its audit."""
        cases, progress = self._of(number), self.progress
        row = cases.cell.rows.get(number)
        if number in self._auditing:
            self._auditing.discard(number)
            progress.audited += 1
            progress.astray += row["audited"] != ledger.AGREES
        else:
            verdict = Verdict(row["verdict"])
            progress.migrated += verdict is Verdict.MIGRATED
            progress.failed += verdict is Verdict.FAILED
            progress.unrecoverable += verdict is Verdict.UNRECOVERABLE
            cause = CAUSE_NAMES[row["cause"]]
            if cause:
                progress.by_cause[cause] = progress.by_cause.get(cause, 0) + 1
            if verdict is Verdict.MIGRATED and self._wish.audit:
                self._auditing.add(number)
                cases.schedule_audit(number, now)
                self._gate()
                self._count()
                return
        self._open.discard(number)
        self._gate()
        self._more()
        self._end_if_over()

    def _gate(self) -> None:
        progress = self.progress
        lost = progress.failed + progress.unrecoverable
        ended = progress.migrated + lost
        if progress.stopped is None and ended >= _GATE_FROM and lost > self._wish.stop_share * ended:
            progress.stopped = f"{lost} of {ended} homes failed"
            self._waiting.clear()

    def _count(self) -> None:
        self.progress.waiting = len(self._waiting)
        self.progress.auditing = len(self._auditing)
        self.progress.open = len(self._open) - len(self._auditing)


@handles(Migrate)
def migrate(desk: Desk, wish: Migrate) -> Task[MigrationProgress]:
    """Begin a migration."""
    if desk.migration is not None and not desk.migration.ended:
        raise NotNowError(
            f"task {desk.migration.number} is a migration already", "migrate", "wait for its end, or cancel it"
        )
    if wish.installations is None:
        homes: list[int] = list(range(desk.live.estate.installations))
    else:
        homes = sorted(set(wish.installations))
        for number in homes:
            desk.check(number)
    task: Task[Any] = desk.task(wish)
    migration = Migration(desk, wish, homes, lambda: task.finish(migration.progress))
    task.progress = lambda: migration.progress
    task.give_up = lambda: migration.stop("given up")
    task.drive = desk.until_ended(task)
    desk.migration = task
    desk.on_forget.append(migration.lost)
    task.on_end.append(lambda: desk.on_forget.remove(migration.lost))
    migration.begin()
    if migration.progress.waiting + migration.progress.open == 0:
        task.finish(migration.progress)
    desk.pace.poke()
    return task


@handles(Ledger)
def ledger_view(desk: Desk, wish: Ledger) -> LedgerView:
    """Lines of the ledger, and its sums."""
    lines = []
    for number in range(wish.first, min(wish.first + wish.count, desk.live.estate.installations)):
        cell = desk.live.cells.get(desk.live.estate.cell_of(number))
        row = cell.rows.get(number) if cell is not None else dict.fromkeys(
            ("verdict", "cause", "attempts", "exchanges", "started", "finished", "audited"), 0
        )
        cause = CAUSE_NAMES[row["cause"]]
        lines.append(
            LedgerLine(
                number,
                Verdict(row["verdict"]).name.lower(),
                cause,
                CAUSES[cause],
                row["attempts"],
                row["exchanges"],
                row["started"],
                row["finished"],
                ("no", "yes", "astray")[row["audited"]],
            )
        )
    verdicts: dict[str, int] = {}
    by_cause: dict[str, int] = {}
    for cell in desk.live.cells.values():
        sums = ledger.totals(cell.rows.columns())
        for name in ("migrated", "failed", "unrecoverable", "pending", "audited", "astray"):
            verdicts[name] = verdicts.get(name, 0) + getattr(sums, name)
        for cause, count in sums.by_cause.items():
            by_cause[cause] = by_cause.get(cause, 0) + count
    return LedgerView(wish.first, lines, verdicts, by_cause)
