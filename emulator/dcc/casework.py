"""The cases of one cell: an attempt at a home, another one after it failed, its end in the rows, and the audit.

Knows how a case goes on and not who decides when it begins: a campaign opens cases by virtual days (`cell_campaign`),
an operator by hand. It learns about a home from the old operator's record and from what the home answers, and writes
each home's end into the rows, once.
"""

from dataclasses import dataclass
from typing import Final

from emulator.dcc.audit import Audit
from emulator.dcc.takeover import Takeover, TakeoverSettings
from emulator.dcc.verdict import CAUSE_CODES, CAUSE_NAMES, Outcome, Verdict
from emulator.errors import UsageError
from emulator.fleet.cell import Cell
from emulator.fleet.installation import KEYED, SmsoRecord
from emulator.headend.alert_desk import AlertDesk
from emulator.headend.alerts import Alert, Inbox
from emulator.headend.conversation import AlertHook, Conversation
from emulator.headend.keyring import Keyring, Patience, Target
from emulator.headend.policy import CustodySettings
from emulator.kernel.effects import Effects, Instant, Note
from emulator.kernel.machine import Party
from emulator.kernel.time import HOUR
from emulator.link.air import Coverage


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """How a campaign is run. ASSUMED, but for the five attempts (published: "at least five attempts").

    Starts are spread from `opens_us` for `open_us` of each day. A failed attempt is followed by another `retry_us`
    later. `alerts_per_day` is how often an installation alerts by itself (None: as its estate says; 0: never).
    `custody` says how keys are kept, changed and rescued, and what has to be countersigned. With `audit_master` the
    audit asks each device for its master key, too (see `dcc/audit`).
    """

    alerts_per_day: float | None = None
    attempts: int = 5
    retry_us: int = 4 * HOUR
    opens_us: int = 6 * HOUR
    open_us: int = 14 * HOUR
    takeover: TakeoverSettings = TakeoverSettings()
    patience: Patience = Patience()
    custody: CustodySettings = CustodySettings()
    audit_master: bool = False


ELECTRICITY_ONLY: Final = "MF5:GT01"
KEYS_LOST: Final = frozenset({"MF13:keys-lost", "MF13:master-lost"})
"""Causes that leave a meter which nobody can be given any more."""


class Casework:
    """A caseworker for the homes of a cell. `keyring` is the cell's."""

    def __init__(self, cell: Cell, keyring: Keyring, settings: CampaignSettings) -> None:
        self.cell = cell
        self.keyring = keyring
        keyring.attend(cell)
        self.alert_desk: AlertDesk | None = None
        """Who is told of the alerts that come in conversations; nobody unless set."""
        self._settings = settings
        self._due: dict[int, Instant] = {}
        self._open: set[int] = set()
        self._audits: dict[int, int] = {}

    def schedule(self, installation: int, at: Instant) -> None:
        """Open a case, or go on with it, at an instant."""
        self._due[installation] = at
        self._open.add(installation)
        self.cell.world.wake(installation, Party.HEADEND, at)

    def schedule_audit(self, installation: int, at: Instant) -> None:
        """Audit a migrated home at an instant."""
        self._audits[installation] = 0
        self.schedule(installation, at)

    def closed(self, installation: int, now: Instant) -> None:
        """A case has come to its end, or its audit has; nothing is done here."""

    def parted(self, installation: int, now: Instant) -> None:
        """A conversation is over, whatever follows; nothing is done here."""

    def give_up(self, installation: int) -> None:
        """Forget a case that waits for its next attempt; one in conversation goes on to the end of that."""
        self._due.pop(installation, None)
        self._audits.pop(installation, None)
        self._open.discard(installation)

    def is_open(self, installation: int) -> bool:
        """Whether a case or its audit is not at its end."""
        return installation in self._open

    # The caseworker

    def begin(self, installation: int, now: Instant) -> tuple[Conversation, Effects] | None:
        """An attempt that is due; None for a stray wake, or when the case ends on paper."""
        due = self._due.get(installation)
        if due is None or now < due:
            return None
        del self._due[installation]
        estate = self.cell.estate
        home = self.cell.home(installation)
        record = estate.smso(home)
        if installation in self._audits:
            return self._begin_audit(installation, record, now)
        attempt = self.cell.rows.begin(installation, now)
        if attempt == 1:
            objection = estate.validate(home, record, now)
            if objection is not None:
                self._end(installation, Outcome(Verdict.FAILED, f"MF9:{objection.detail}"), 0, now)
                return None
            if any(device.keys is not None and device.keys.kek is None for device in record.devices):
                self._end(installation, Outcome(Verdict.FAILED, "MF1:no-master-key"), 0, now)
                return None
        targets = self.keyring.targets(record)
        inbox = self._inbox(installation, targets)
        takeover = Takeover(record, targets, inbox, self._settings.takeover, silent=estate.silent(record))
        hear = self._hear_until_lost(installation, inbox, now)
        conversation = Conversation(hear, lambda: self._judge(installation, takeover, attempt, conversation))
        return conversation, conversation.run(takeover.script(conversation), now)

    def _hear_until_lost(self, installation: int, inbox: Inbox, now: Instant) -> AlertHook:
        """The inbox's ear; in a home that loses its WAN in the middle of its migration one that, when the hub is first
        heard, lets the loss run its course from there."""
        cell = self.cell
        if installation in cell.coverages:
            return inbox.hear
        home = cell.home(installation)
        outage = cell.estate.outage(home, now)
        if outage is None:
            return inbox.hear
        if outage[0] <= now:  # it never had any
            cell.coverages[installation] = Coverage(gaps=(outage,))
            return inbox.hear

        def hear(frame: bytes, at: Instant) -> Note:
            if installation not in cell.coverages:
                lost = cell.estate.outage(home, at)
                assert lost is not None
                cell.coverages[installation] = Coverage(gaps=(lost,))
            return inbox.hear(frame, at)

        return hear

    def _begin_audit(self, installation: int, record: SmsoRecord, now: Instant) -> tuple[Conversation, Effects]:
        cause = CAUSE_NAMES[self.cell.rows.value(installation, "cause")]
        parties = [party for party in KEYED if party is not Party.GAS or cause != ELECTRICITY_ONLY]
        targets = self.keyring.targets(record, parties)
        inbox = self._inbox(installation, targets)
        audit = Audit(targets, inbox, self._settings.takeover.rouse, master=self._settings.audit_master)
        conversation = Conversation(inbox.hear, lambda: self._audited(installation, audit, conversation))
        return conversation, conversation.run(audit.script(conversation), now)

    def _inbox(self, installation: int, targets: list[Target]) -> Inbox:
        contexts = {
            target.device.spec.system_title: self.keyring.context(installation, target.party) for target in targets
        }
        desk = self.alert_desk
        if desk is None:
            return Inbox(self.keyring.store, contexts)

        def heard(alert: Alert) -> None:
            desk.heard(installation, alert)

        return Inbox(self.keyring.store, contexts, heard)

    def _judge(self, installation: int, takeover: Takeover, attempt: int, conversation: Conversation) -> None:
        """An attempt has ended: the case ends with it, or another attempt is due."""
        self.cell.desk.end(installation)
        now, outcome = conversation.now, takeover.outcome
        self.parted(installation, now)
        if installation not in self._open:
            return
        self.cell.rows.touch(installation, now)
        if outcome.verdict is Verdict.FAILED and attempt < self._settings.attempts:
            code = CAUSE_CODES[outcome.cause]
            self.cell.rows.finish(installation, Verdict.PENDING, code, conversation.exchanges, now)
            self.schedule(installation, now + self._settings.retry_us)
            return
        # A refusal may be of a damaged message: a home is given up when two attempts running found its keys lost.
        before = CAUSE_NAMES[self.cell.rows.value(installation, "cause")]
        if outcome.cause in KEYS_LOST and (attempt == 1 or before in KEYS_LOST):
            outcome = Outcome(Verdict.UNRECOVERABLE, outcome.cause)
        self._end(installation, outcome, conversation.exchanges, now)

    def _end(self, installation: int, outcome: Outcome, exchanges: int, now: Instant) -> None:
        """Write an installation's end, once."""
        if self.cell.rows.value(installation, "verdict") != Verdict.PENDING:
            raise UsageError(f"installation {installation} has ended already")
        assert outcome.verdict is not Verdict.PENDING, "pending is not an end"
        cause = CAUSE_CODES[outcome.cause]
        self.cell.rows.finish(installation, outcome.verdict, cause, exchanges, now, switches=outcome.switches)
        self._open.discard(installation)
        self.closed(installation, now)

    def _audited(self, installation: int, audit: Audit, conversation: Conversation) -> None:
        self.cell.desk.end(installation)
        self.parted(installation, conversation.now)
        if installation not in self._audits:
            return
        self._audits[installation] += 1
        agrees = audit.agrees
        if agrees is None and self._audits[installation] < self._settings.attempts:
            self.schedule(installation, conversation.now + self._settings.retry_us)
            return
        self.cell.rows.audit(installation, bool(agrees))
        del self._audits[installation]
        self._open.discard(installation)
        self.closed(installation, conversation.now)
