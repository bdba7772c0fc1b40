"""The estate drawn small, for somebody who watches it: counts instead of lists, whatever the estate's size.

Everything here is read off what is counted anyway (columns of rows, the keeper's memory, the link's log, the journal's
tally), so that a page may ask every second of an estate of 141,372 homes. Cells that nobody touched yet are not made
for it: their homes are as found, asleep and pending.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from emulator.commands import Course, Glance
from emulator.control.desk import Desk
from emulator.control.headend import HeadEnd
from emulator.control.migration import MigrationProgress
from emulator.control.registry import handles
from emulator.control.ring import text
from emulator.dcc.verdict import CAUSE_NAMES, CAUSES, Verdict
from emulator.headend.keeper import Hierarchy
from emulator.kernel.effects import Instant
from emulator.shell.live_cell import LiveCell

HOMES_MOST: Final = 1_024
"""Larger estates are told cell by cell only."""

_DOUBTFUL_MOST: Final = 20
_VERDICTS: Final = tuple(each.name.lower() for each in Verdict)
_ALERT: Final = "headend.alert"


@dataclass(frozen=True, slots=True)
class HomeGlance:
    """A home: `verdict` as in the ledger; `activity` asleep, awake (something is under way) or talking (with the
    emulator's own head end); `generation` of its data keys, the highest of its devices' (0: as handed over); `doubt`: a
    change of its keys is under way, or was cut off and nobody knows which keys a device holds."""

    installation: int
    verdict: str
    activity: str
    generation: int
    doubt: bool


@dataclass(frozen=True, slots=True)
class CellGlance:
    """A cell: `homes` from number `first` on; `black`: its core link carries nothing now."""

    cell: int
    first: int
    homes: int
    migrated: int
    failed: int
    unrecoverable: int
    awake: int
    talking: int
    doubt: int
    black: bool


@dataclass(frozen=True, slots=True)
class WayGlance:
    """One direction of the core link, over all cells. Lost and refused also by cause."""

    offered: int
    delivered: int
    lost: int
    refused: int
    lost_by: dict[str, int]
    refused_by: dict[str, int]


@dataclass(frozen=True, slots=True)
class AlertsGlance:
    """Alerts so far: `arrived` at the head end, and of those `refused` there."""

    arrived: int
    refused: int


@dataclass(frozen=True, slots=True)
class KeysGlance:
    """How many homes have data keys of which generation (0: as handed over), how many are in doubt, and the first of
    those."""

    generations: dict[int, int]
    doubt: int
    doubtful: list[int]


@dataclass(frozen=True, slots=True)
class GlanceView:
    """The estate at virtual time `now` (µs since 1970). `homes` is empty for estates of more than 1,024."""

    now: int
    verdicts: dict[str, int]
    activity: dict[str, int]
    homes: list[HomeGlance]
    cells: list[CellGlance]
    link: dict[str, WayGlance]
    alerts: AlertsGlance
    keys: KeysGlance


@dataclass(frozen=True, slots=True)
class CourseView:
    """How many homes had ended how by each instant of `at` (µs since 1970), counted up; `by_cause` the same for those
    that were not migrated as planned. Empty lists before the first end. `task` and `progress` are those of the newest
    migration, None before the first; `causes` says in words what the causes are."""

    now: int
    at: list[int]
    migrated: list[int]
    failed: list[int]
    unrecoverable: list[int]
    by_cause: dict[str, list[int]]
    causes: dict[str, str]
    task: int | None
    running: bool
    begun: str | None
    progress: MigrationProgress | None


@handles(Glance)
def glance(desk: Desk, wish: Glance) -> GlanceView:
    """At a glance."""
    live, estate = desk.live, desk.live.estate
    head_ends = {each.cell.number: each for each in desk.head_ends}
    one_by_one = estate.installations <= HOMES_MOST
    homes: list[HomeGlance] = []
    cells: list[CellGlance] = []
    generations: Counter[int] = Counter()
    doubtful: list[int] = []
    doubt_of_all = 0
    for number in range(estate.cells):
        members = estate.members(number)
        cell = live.cells.get(number)
        live_keys, doubt = _custody(head_ends.get(number), len(members))
        generations.update(_tally(live_keys))
        doubts = np.flatnonzero(doubt)
        doubt_of_all += len(doubts)
        doubtful += [members.start + int(at) for at in doubts[: _DOUBTFUL_MOST - len(doubtful)]]
        cells.append(_cell(number, members, cell, len(doubts), live.now))
        if one_by_one:
            verdicts = [0] * len(members) if cell is None else cell.rows.column("verdict").tolist()
            homes += [
                HomeGlance(home, _VERDICTS[verdicts[at]], _activity(cell, home), int(live_keys[at]), bool(doubt[at]))
                for at, home in enumerate(members)
            ]
    verdict_counts = {name: sum(getattr(each, name) for each in cells) for name in _VERDICTS[1:]}
    up, talking = sum(each.awake for each in cells), sum(each.talking for each in cells)
    return GlanceView(
        now=live.now,
        verdicts={"pending": estate.installations - sum(verdict_counts.values()), **verdict_counts},
        activity={"asleep": estate.installations - up - talking, "awake": up, "talking": talking},
        homes=homes,
        cells=cells,
        link={name: _way(live.cells.values(), at) for at, name in enumerate(("down", "up"))},
        alerts=_alerts(desk.ring.counts),
        keys=KeysGlance(dict(sorted(generations.items())), doubt_of_all, doubtful),
    )


def _custody(head_end: HeadEnd | None, count: int) -> tuple[Any, Any]:
    """(generation of the data keys, whether in doubt) home by home, as arrays."""
    if head_end is None:
        return np.zeros(count, np.uint8), np.zeros(count, bool)
    custody = head_end.keyring.keeper.columns()
    live = custody[:, :, Hierarchy.DATA, 0].max(axis=1)
    doubt = (custody[:, :, :, (1, 3)] != 0).any(axis=(1, 2, 3))
    return live, doubt


def _tally(numbers: Any) -> dict[int, int]:
    values, counts = np.unique(numbers, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _activity(cell: LiveCell | None, home: int) -> str:
    if cell is None:
        return "asleep"
    if home in cell.desk.running:
        return "talking"
    return "awake" if cell.world.is_up(home) else "asleep"


def _cell(number: int, members: range, cell: LiveCell | None, doubt: int, now: Instant) -> CellGlance:
    if cell is None:
        return CellGlance(number, members.start, len(members), 0, 0, 0, 0, 0, doubt, False)
    verdicts = cell.rows.tally("verdict")
    ended = [verdicts.get(each, 0) for each in (Verdict.MIGRATED, Verdict.FAILED, Verdict.UNRECOVERABLE)]
    talking = cell.desk.open_conversations
    up = cell.world.awake() - sum(cell.world.is_up(each) for each in cell.desk.running)
    black = cell.black(now)
    return CellGlance(number, members.start, len(members), ended[0], ended[1], ended[2], up, talking, doubt, black)


def _way(cells: Any, at: int) -> WayGlance:
    ways = [cell.chain.log.ways[at] for cell in cells]
    lost_by: Counter[str] = Counter()
    refused_by: Counter[str] = Counter()
    for way in ways:
        lost_by.update(way.lost_by)
        refused_by.update(way.refused_by)
    offered, delivered, lost, refused = (
        sum(getattr(way, name) for way in ways) for name in ("offered", "delivered", "lost", "refused")
    )
    return WayGlance(offered, delivered, lost, refused, dict(lost_by), dict(refused_by))


def _alerts(counts: dict[str, int]) -> AlertsGlance:
    heard = {kind: count for kind, count in counts.items() if kind.startswith(_ALERT)}
    refused = sum(heard.values()) - heard.get(_ALERT, 0)
    return AlertsGlance(sum(heard.values()) + counts.get("headend.heard", 0), refused)


@handles(Course)
def course(desk: Desk, wish: Course) -> CourseView:
    """Counted up over virtual time."""
    columns = [cell.rows.columns() for cell in desk.live.cells.values()]
    ended = [each[each["verdict"] != Verdict.PENDING] for each in columns]
    finished = np.concatenate([each["finished"] for each in ended]) if ended else np.zeros(0, np.int64)
    verdicts = np.concatenate([each["verdict"] for each in ended]) if ended else np.zeros(0, np.uint8)
    causes = np.concatenate([each["cause"] for each in ended]) if ended else np.zeros(0, np.uint8)
    task = desk.migration
    at = np.zeros(0, np.int64)
    if len(finished):
        began = [int(each["started"][each["started"] > 0].min()) for each in ended if (each["started"] > 0).any()]
        first = min([int(np.min(finished)), *began])
        last = max(desk.live.now if task is not None and not task.ended else int(np.max(finished)), first + 1)
        at = np.linspace(first, last, wish.points).round().astype(np.int64)
        at[-1] = last

    def counted(chosen: Any) -> list[int]:
        found: list[int] = np.searchsorted(np.sort(finished[chosen]), at, side="right").tolist()
        return found

    present = [code for code in np.unique(causes).tolist() if CAUSE_NAMES[code]]
    progress = None if task is None or task.progress is None else task.progress()
    return CourseView(
        now=desk.live.now,
        at=at.tolist(),
        migrated=counted(verdicts == Verdict.MIGRATED),
        failed=counted(verdicts == Verdict.FAILED),
        unrecoverable=counted(verdicts == Verdict.UNRECOVERABLE),
        by_cause={CAUSE_NAMES[code]: counted(causes == code) for code in present},
        causes={CAUSE_NAMES[code]: CAUSES[CAUSE_NAMES[code]] for code in present},
        task=None if task is None else task.number,
        running=task is not None and not task.ended,
        begun=None if task is None else text(task.begun),
        progress=progress,
    )
