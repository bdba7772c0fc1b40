"""A campaign in one cell: who is due, what became of each attempt, and the audit after it.

Runs in a worker and is called at the day's barrier. It starts what the control centre allows, evenly over the working
hours, tries again what failed and may come right, and writes each installation's end into the rows, once. It learns
about a home from the old operator's record and from what the home answers.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from emulator.crypto import derive
from emulator.dcc.audit import Audit
from emulator.dcc.takeover import Takeover, TakeoverSettings
from emulator.dcc.verdict import CAUSE_CODES, CAUSE_NAMES, Outcome, Verdict
from emulator.errors import UsageError
from emulator.fleet.cell import Cell
from emulator.fleet.estate import Estate
from emulator.fleet.installation import KEYED, SmsoRecord
from emulator.headend.alerts import Inbox
from emulator.headend.conversation import Conversation
from emulator.headend.keyring import Keyring, Patience, Target
from emulator.kernel.effects import Effects, Instant
from emulator.kernel.journal import Sink
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR
from emulator.link.air import AirProfile, Coverage
from emulator.link.chain import Recorder
from emulator.link.profile import LinkProfile


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """How a campaign is run. ASSUMED, but for the five attempts (published: "at least five attempts").

    Starts are spread from `opens_us` for `open_us` of each day. A failed attempt is followed by another `retry_us`
    later.
    """

    attempts: int = 5
    retry_us: int = 4 * HOUR
    opens_us: int = 6 * HOUR
    open_us: int = 14 * HOUR
    takeover: TakeoverSettings = TakeoverSettings()
    patience: Patience = Patience()


@dataclass(slots=True)
class DayReport:
    """What a day brought in one cell. `waiting`: not begun; `open`: begun and not ended."""

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


ELECTRICITY_ONLY: Final = "MF5:GT01"
KEYS_LOST: Final = "MF13:keys-lost"


class CellCampaign:
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
    ) -> None:
        self.cell = Cell(estate, number, self, link=link, profile=profile, air=air, sink=sink, tap=tap)
        self._estate = estate
        self._settings = settings
        secret = derive.key(b"head end", "keeper", estate.name, estate.seed)
        self.keyring = Keyring(secret, self.cell.members, settings.patience)
        self._waiting = deque(self.cell.members)
        self._due: dict[int, Instant] = {}
        self._open: set[int] = set()
        self._audits: dict[int, int] = {}
        self._phase = _Phase.MIGRATING

    # The day

    def day(self, number: int, quota: int) -> DayReport:
        """Run virtual day `number` (0 is the first), starting at most `quota` installations."""
        world, settings = self.cell.world, self._settings
        midnight = self._estate.start + number * DAY
        before = self._ended()
        alerts = self.cell.journal.counts.get("headend.alert", 0)
        started = min(quota, len(self._waiting))
        for turn in range(started):
            at = midnight + settings.opens_us + turn * settings.open_us // started
            self._schedule(self._waiting.popleft(), at)
        world.run_until(midnight + DAY)
        migrated, failed, unrecoverable = (now - then for now, then in zip(self._ended(), before, strict=True))
        return DayReport(
            started=started,
            migrated=migrated,
            failed=failed,
            unrecoverable=unrecoverable,
            alerts=self.cell.journal.counts.get("headend.alert", 0) - alerts,
            waiting=len(self._waiting),
            open=len(self._open),
        )

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
                self._audits[installation] = 0
                self._schedule(installation, midnight + settings.opens_us + turn * settings.open_us // len(homes))
        world.run_until(midnight + DAY)
        return len(self._audits)

    def _schedule(self, installation: int, at: Instant) -> None:
        self._due[installation] = at
        self._open.add(installation)
        self.cell.world.wake(installation, Party.HEADEND, at)

    def _ended(self) -> tuple[int, int, int]:
        tally = self.cell.rows.tally("verdict")
        return tally.get(Verdict.MIGRATED, 0), tally.get(Verdict.FAILED, 0), tally.get(Verdict.UNRECOVERABLE, 0)

    # The caseworker

    def begin(self, installation: int, now: Instant) -> tuple[Conversation, Effects] | None:
        """An attempt that is due; None for a stray wake, or when the case ends on paper."""
        due = self._due.get(installation)
        if due is None or now < due:
            return None
        del self._due[installation]
        home = self._estate.installation(installation)
        record = self._estate.smso(home)
        if self._phase is _Phase.AUDITING:
            return self._begin_audit(installation, record, now)
        attempt = self.cell.rows.begin(installation, now)
        if attempt == 1:
            objection = self._estate.validate(home, record, now)
            if objection is not None:
                self._end(installation, Outcome(Verdict.FAILED, f"MF9:{objection.detail}"), 0, now)
                return None
            if any(device.keys is not None and device.keys.kek is None for device in record.devices):
                self._end(installation, Outcome(Verdict.FAILED, "MF1:no-master-key"), 0, now)
                return None
            outage = self._estate.outage(home, now)
            if outage is not None:
                self.cell.coverages[installation] = Coverage(gaps=(outage,))
        targets = self.keyring.targets(record)
        inbox = self._inbox(installation, targets)
        takeover = Takeover(record, targets, inbox, self._settings.takeover, silent=self._estate.silent(record))
        conversation = Conversation(inbox.hear, lambda: self._judge(installation, takeover, attempt, conversation))
        return conversation, conversation.run(takeover.script(conversation), now)

    def _begin_audit(self, installation: int, record: SmsoRecord, now: Instant) -> tuple[Conversation, Effects]:
        cause = CAUSE_NAMES[self.cell.rows.get(installation)["cause"]]
        parties = [party for party in KEYED if party is not Party.GAS or cause != ELECTRICITY_ONLY]
        targets = self.keyring.targets(record, parties)
        inbox = self._inbox(installation, targets)
        audit = Audit(targets, inbox, self._settings.takeover.rouse)
        conversation = Conversation(inbox.hear, lambda: self._audited(installation, audit, conversation))
        return conversation, conversation.run(audit.script(conversation), now)

    def _inbox(self, installation: int, targets: list[Target]) -> Inbox:
        contexts = {
            target.device.spec.system_title: self.keyring.context(installation, target.party) for target in targets
        }
        return Inbox(self.keyring.store, contexts)

    def _judge(self, installation: int, takeover: Takeover, attempt: int, conversation: Conversation) -> None:
        """An attempt has ended: the case ends with it, or another attempt is due."""
        self.cell.desk.end(installation)
        now, outcome = conversation.now, takeover.outcome
        self.cell.rows.touch(installation, now)
        if outcome.verdict is Verdict.FAILED and not takeover.final and attempt < self._settings.attempts:
            code = CAUSE_CODES[outcome.cause]
            self.cell.rows.finish(installation, Verdict.PENDING, code, conversation.exchanges, now)
            self._schedule(installation, now + self._settings.retry_us)
            return
        if outcome.cause == KEYS_LOST:
            outcome = Outcome(Verdict.UNRECOVERABLE, KEYS_LOST)
        self._end(installation, outcome, conversation.exchanges, now)

    def _end(self, installation: int, outcome: Outcome, exchanges: int, now: Instant) -> None:
        """Write an installation's end, once."""
        if self.cell.rows.get(installation)["verdict"] != Verdict.PENDING:
            raise UsageError(f"installation {installation} has ended already")
        assert outcome.verdict is not Verdict.PENDING, "pending is not an end"
        cause = CAUSE_CODES[outcome.cause]
        self.cell.rows.finish(installation, outcome.verdict, cause, exchanges, now, switches=outcome.switches)
        self._open.discard(installation)

    def _audited(self, installation: int, audit: Audit, conversation: Conversation) -> None:
        self.cell.desk.end(installation)
        self._audits[installation] += 1
        agrees = audit.agrees
        if agrees is None and self._audits[installation] < self._settings.attempts:
            self._schedule(installation, conversation.now + self._settings.retry_us)
            return
        self.cell.rows.audit(installation, bool(agrees))
        del self._audits[installation]
        self._open.discard(installation)
