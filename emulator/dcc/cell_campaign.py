"""A campaign in one cell: who is due on which day, and the audit after it.

Runs in a worker and is called at the day's barrier. It starts what the control centre allows, evenly over the working
hours; how a case goes on from there is `casework`.
"""

from collections import deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from emulator.crypto import derive
from emulator.dcc import auxiliary_release
from emulator.dcc.casework import CampaignSettings, Casework
from emulator.dcc.verdict import Verdict
from emulator.errors import UsageError
from emulator.faults.fault import Fault
from emulator.fleet import alert_causes
from emulator.fleet.cell import Cell
from emulator.fleet.estate import Estate
from emulator.headend.alert_desk import AlertDesk, named
from emulator.headend.keyring import Keyring
from emulator.kernel.journal import Sink
from emulator.kernel.time import DAY
from emulator.link.air import AirProfile
from emulator.link.chain import Recorder
from emulator.link.profile import LinkProfile

__all__ = ["CampaignSettings", "CellCampaign", "DayReport"]


@dataclass(slots=True)
class DayReport:
    """What a day brought in one cell. `waiting`: not begun; `open`: begun and not ended. `alerts` is what was heard on
    the alert port; where installations alert by themselves, only what they said of themselves."""

    started: int
    migrated: int
    failed: int
    unrecoverable: int
    alerts: int
    waiting: int
    open: int


class _Phase(Enum):
    MIGRATING = auto()
    AUDITING = auto()


class CellCampaign(Casework):
    """The caseworker of one cell's desk."""

    def __init__(
        self,
        estate: Estate,
        number: int,
        settings: CampaignSettings,
        *,
        link: str,
        profile: LinkProfile,
        air: AirProfile,
        sink: Sink | None = None,
        tap: Recorder | None = None,
        faults: Sequence[Fault] = (),
        only: Container[int] | None = None,
    ) -> None:
        """`only`: the homes that take part; each at the time it would have among all, so that what happens to it is
        the same."""
        cell = Cell(estate, number, self, link=link, profile=profile, air=air, sink=sink, tap=tap, faults=faults)
        for fault_number, fault in enumerate(settings.takeover.auxiliary.faults(), auxiliary_release.FIRST_NUMBER):
            cell.arm(fault, estate.start, fault_number)
        secret = derive.key(b"head end", "keeper", estate.name, estate.seed)
        super().__init__(cell, Keyring(secret, cell.members, settings.patience, settings.custody), settings)
        self._estate = estate
        self._only = only
        self._waiting = deque(cell.members)
        self._phase = _Phase.MIGRATING
        per_day = estate.recipe.alerts.per_day if settings.alerts_per_day is None else settings.alerts_per_day
        if per_day:
            causes = alert_causes.read(estate.recipe.alerts.causes)
            cell.alert(causes, per_day)
            self.alert_desk = AlertDesk(self.keyring, lambda number: estate.smso(estate.installation(number)), causes)
            cell.desk.hear_alert = self.alert_desk.hear

    # The day

    def day(self, number: int, quota: int) -> DayReport:
        """Run virtual day `number` (0 is the first), starting at most `quota` installations."""
        world, settings = self.cell.world, self._settings
        midnight = self._estate.start + number * DAY
        before = self._ended()
        alerts = self._alerts()
        started = min(quota, len(self._waiting))
        for turn in range(started):
            at = midnight + settings.opens_us + turn * settings.open_us // started
            installation = self._waiting.popleft()
            if self._only is None or installation in self._only:
                self.schedule(installation, at)
        world.run_until(midnight + DAY)
        migrated, failed, unrecoverable = (now - then for now, then in zip(self._ended(), before, strict=True))
        return DayReport(
            started=started,
            migrated=migrated,
            failed=failed,
            unrecoverable=unrecoverable,
            alerts=self._alerts() - alerts,
            waiting=len(self._waiting),
            open=len(self._open),
        )

    def begin_again(self, homes: Iterable[int]) -> None:
        """Let these homes wait for a migration, whatever became of an earlier one; whoever calls this has forgotten
        their rows."""
        self._waiting = deque(homes)
        self._phase = _Phase.MIGRATING

    def _alerts(self) -> int:
        desk = self.alert_desk
        return self.cell.journal.counts.get("headend.alert", 0) if desk is None else desk.tally.total

    def alert_counts(self) -> dict[str, int]:
        """Alerts by cause: noticed by devices, and heard by the head end; empty where nobody alerts by himself."""
        source, desk = self.cell.alerts, self.alert_desk
        if source is None or desk is None:
            return {}
        found = {f"alert.raised.{name}": count for name, count in named(source.causes, source.raised).items()}
        found.update({f"alert.heard.{name}": count for name, count in desk.by_cause().items()})
        found.update({"alert.merged": desk.throttle.merged, "alert.vouched": desk.vouched})
        return found

    def audit_day(self, number: int) -> int:
        """Audit every migrated installation; how many have still not been heard. Called until that is 0."""
        world, settings = self.cell.world, self._settings
        midnight = self._estate.start + number * DAY
        if self._phase is _Phase.MIGRATING:
            if self._waiting or self._open:
                raise UsageError("an audit begins when the campaign has ended")
            self._phase = _Phase.AUDITING
            homes = self.cell.rows.numbers("verdict", Verdict.MIGRATED)
            for turn, installation in enumerate(homes):
                self.schedule_audit(installation, midnight + settings.opens_us + turn * settings.open_us // len(homes))
        world.run_until(midnight + DAY)
        return len(self._audits)

    def _ended(self) -> tuple[int, int, int]:
        tally = self.cell.rows.tally("verdict")
        return tally.get(Verdict.MIGRATED, 0), tally.get(Verdict.FAILED, 0), tally.get(Verdict.UNRECOVERABLE, 0)
