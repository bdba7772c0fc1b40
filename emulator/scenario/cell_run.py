"""A scenario in one cell: a campaign's caseworker that also runs errands, and arms and clears the faults.

Runs in a worker. What is asked of it comes at midnights, by number of the day, so that the outcome is the same on any
number of workers. A fault is armed under its own number, so its luck and its victims do not change when other faults
of the scenario are left out.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from emulator.commands import Command
from emulator.dcc.auxiliary_harm import SwitchHarm, of_home
from emulator.dcc.cell_campaign import CampaignSettings, CellCampaign
from emulator.dcc.service_requests import Front, FrontSettings, Response
from emulator.dcc.service_requests import Job as Request
from emulator.dcc.verdict import CAUSE_NAMES, Verdict
from emulator.errors import EmulatorError
from emulator.fleet import core_link
from emulator.fleet.recipe import DEVICE_NAMES
from emulator.headend.conversation import Conversation
from emulator.headend.keyring import Target
from emulator.headend.session import RefusedError, Steps
from emulator.headend.visit import Errand, Visit
from emulator.kernel.effects import Effects, Instant, Note
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY
from emulator.oracle.audit import Examination, examine
from emulator.oracle.heal import Healing
from emulator.oracle.observe import Diagnosis, diagnose
from emulator.oracle.verdict import Class
from emulator.scenario.facts import Diagnosed, Finding, HomeEnd, Moment
from emulator.scenario.faultlist import Planned
from emulator.scenario.scenario import CutOver, PeerDeath
from emulator.scenario.wishes import HEAL, ROTATE, Job, new_keys


class ScenarioCell(CellCampaign):
    """The caseworker of one cell in a scenario."""

    def __init__(
        self, *arguments: Any, planned: Sequence[Planned], events: Sequence[PeerDeath | CutOver] = (), **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._planned = planned
        self._events = events
        self._jobs: dict[int, deque[Job]] = {}
        self._tries: dict[int, int] = {}
        self._attempts = 1
        self._retry_us = 0
        self._struck: dict[int, set[int]] = {}
        self.front = Front(self._estate, self, FrontSettings(auxiliary=self._settings.takeover.auxiliary))
        """Takes service requests in."""
        self._done = 0
        self._failed: list[Finding] = []
        number = self.cell.number
        self._members = [home for home in self._estate.members(number) if self._only is None or home in self._only]

    # Faults

    def arm(self, campaign: int, day: int) -> None:
        """Put the faults in force that begin with this campaign, and have the link know what will happen to it."""
        for each in self._planned:
            if each.campaign == campaign:
                self.cell.arm(each.fault, self._midnight(day), each.number)
        for event in self._events:
            if event.campaign != campaign:
                continue
            if isinstance(event, CutOver):
                self.cell.chain.cut_over(core_link.cut_of(event, self._midnight(day)))
            else:
                self.cell.chain.peer_dies(core_link.death_of(event, self._midnight(day)))

    def clear(self, keep: Iterable[str]) -> None:
        """End every fault but those of these names."""
        kept = set(keep)
        self._note_struck()
        for armed in self.cell.mischief.armed:
            if armed.fault.name not in kept:
                self.cell.disarm(armed.number)

    def _note_struck(self) -> None:
        for armed in self.cell.mischief.armed:
            met = {home for home, (_, strikes) in armed.met.items() if strikes}
            self._struck.setdefault(armed.number, set()).update(met)

    def struck(self) -> dict[int, tuple[int, ...]]:
        """Fault number to the homes it met so far."""
        self._note_struck()
        return {number: tuple(sorted(homes)) for number, homes in self._struck.items()}

    # Migrations

    def open(self, settings: CampaignSettings, anew: bool) -> int:
        """Begin a migration under these settings; homes that are not migrated begin `anew`. How many are waiting, those
        included that only hold their place: a home starts when it would start if all did."""
        self._settings = settings
        if anew:
            rows = self.cell.rows
            left = frozenset(home for home in self._members if rows.value(home, "verdict") != Verdict.MIGRATED)
            for home in left:
                rows.forget(home)
            self._only = left
            self.begin_again(self.cell.members)
        return len(self._waiting)

    # Errands

    def engage(self, jobs: Iterable[Job], attempts: int, retry_us: int) -> int:
        """Take on jobs; each home's one after another, in the order of their instants. How many homes have any."""
        self._attempts, self._retry_us = attempts, retry_us
        mine = sorted((job for job in jobs if job.installation in self._members), key=lambda job: (job.at, job.serial))
        for job in mine:
            self._jobs.setdefault(job.installation, deque()).append(job)
        for home, queue in sorted(self._jobs.items()):
            self.cell.world.wake(home, Party.HEADEND, queue[0].at)
        return len(self._jobs)

    # The oracle

    def diagnose(self, homes: Sequence[int]) -> list[Diagnosed]:
        """What the oracle says of the keyed devices of these homes. Changes nothing and asks nobody."""
        found = []
        for home in homes:
            for target in self.keyring.targets(self._estate.smso(self._estate.installation(home))):
                told = diagnose(self.cell, self.keyring, home, target.party, self.cell.world.now)
                found.append(Diagnosed(home, target.party.name.lower(), str(told.kind), told.reason, told.advice))
        return found

    def examine(self, sample: int) -> Examination:
        """What the oracle finds in the homes lost for their keys and in `sample` others, tried on the machines."""
        return examine(self, self._estate.seed, sample)

    def prescribe(self, at: Instant, attempts: int, retry_us: int) -> int:
        """Take on the healing of every device here that can be healed. How many homes have any."""
        rows = self.cell.rows
        ill = [home for home in self._members if rows.value(home, "verdict") != Verdict.MIGRATED]
        jobs = [
            Job(index, each.installation, DEVICE_NAMES[each.device], at, HEAL)
            for index, each in enumerate(self.diagnose(ill))
            if each.kind == Class.RECOVERABLE
        ]
        return self.engage(jobs, attempts, retry_us)

    def _cure(self, target: Target) -> Errand:
        home, party = target.custody.installation, target.party

        def look() -> Diagnosis:
            return diagnose(self.cell, self.keyring, home, party, self.cell.world.now)

        def cure(target: Target) -> Steps[None]:
            healed = yield from Healing(look).steps(target)
            if not healed.healed:
                raise RefusedError("not-healed", healed.stopped)

        return cure

    # Heating

    def harms(self) -> list[SwitchHarm]:
        """What became of the heating of each home, from the first midnight until now."""
        found = []
        now = self.cell.world.now
        for number in self._members:
            home = self._estate.installation(number)
            if home.wiring is not None:
                found += of_home(self.cell, home, self._estate.start, now)
                if not self.cell.world.is_up(number):
                    self.cell.sleep(number)
        return found

    def work(self, day: int, commands: Sequence[tuple[Instant, int, int, Command]]) -> int:
        """Run a day of errands; at their instants, people do things to devices. How many homes have jobs left."""
        world = self.cell.world
        for at, home, party, command in commands:
            if home in self._members:
                world.run_until(max(at, world.now))
                world.command(home, party, command)
                self._done += 1
        world.run_until(self._midnight(day) + DAY)
        return len(self._jobs)

    def begin(self, installation: int, now: Instant) -> tuple[Conversation, Effects] | None:
        """The next job of a home that has any, else its case."""
        queue = self._jobs.get(installation)
        if queue is None:
            return super().begin(installation, now)
        job = queue[0]
        if now < job.at and not self._tries.get(installation):
            return None
        record = self._estate.smso(self.cell.home(installation))
        targets = self.keyring.targets(record)
        target = next((each for each in targets if each.party is job.party), targets[0])
        asked: Request | None = None
        enters = True
        if job.request == ROTATE:
            errand: Errand = new_keys
        elif job.request == HEAL:
            errand, enters = self._cure(target), False
        else:
            asked = self.front.begin(job.request, installation, job.arguments, device=job.party.name.lower())
            if asked.response is not None or asked.errand is None:
                self._told(installation, job, now, asked.response)
                return None
            errand = asked.errand
        inbox = self._inbox(installation, targets)
        visit = Visit(
            target, targets[0].session.server_sap, inbox, self._settings.takeover.rouse, errand, enters=enters
        )
        conversation = Conversation(inbox.hear, lambda: self._visited(installation, job, visit, conversation, asked))
        return conversation, conversation.run(visit.script(), now)

    def _visited(
        self, installation: int, job: Job, visit: Visit, conversation: Conversation, asked: Request | None
    ) -> None:
        self.cell.desk.end(installation)
        error: EmulatorError | None = visit.error
        response = None if asked is None else self.front.end(asked, visit.value, error)
        tries = self._tries.get(installation, 0) + 1
        if error is not None and tries < self._attempts:
            self._tries[installation] = tries
            self.cell.world.wake(installation, Party.HEADEND, conversation.now + self._retry_us)
        elif response is not None:
            self._told(installation, job, conversation.now, response)
        else:
            self._over(installation, job, conversation.now, None if error is None else str(error))

    def _told(self, installation: int, job: Job, now: Instant, response: Response | None) -> None:
        """A request has its verdict."""
        assert response is not None, "the front answers at once, or has an errand"
        why = f"{response.verdict} {response.code} {response.reason}".strip()
        self._over(installation, job, now, None if response.success else f"{why}: {response.detail}")

    # Where the front carries requests out

    def now(self, installation: int) -> Instant:
        """The instant here."""
        return self.cell.world.now

    def tell(self, installation: int, note: Note) -> None:
        """Put a note of the head end's into the journal."""
        self.cell.journal.note(self.cell.world.now, installation, Party.HEADEND, note)

    def _over(self, installation: int, job: Job, now: Instant, problem: str | None) -> None:
        """A job is done, or given up."""
        self._tries.pop(installation, None)
        if problem is None:
            self._done += job.request != HEAL
        elif job.request == HEAL:
            pass  # the healing's own check tells what is still ill
        else:
            self._failed.append(Finding(job.request, f"{job.party.name.lower()}: {problem}", installation))
        queue = self._jobs[installation]
        queue.popleft()
        if queue:
            self.cell.world.wake(installation, Party.HEADEND, max(now, queue[0].at))
        else:
            del self._jobs[installation]

    # What it came to

    def moment(self) -> Moment:
        """How things stand."""
        rows = self.cell.rows
        homes = {}
        for home in self._members:
            row = rows.get(home)
            audited = {0: None, 1: True, 2: False}[row["audited"]]
            verdict = Verdict(row["verdict"])
            homes[home] = HomeEnd(home, verdict, CAUSE_NAMES[row["cause"]], row["attempts"], audited)
        counts = dict(self.cell.journal.counts)
        for way in self.cell.chain.log.ways:  # the link has a log of its own, not notes
            for cause, lost in way.lost_by.items():
                kind = f"link.lost.{cause.replace(' ', '-')}"
                counts[kind] = counts.get(kind, 0) + lost
        alerts = self._alerts()
        return Moment(homes, counts, self.cell.mischief.fired, self._done, list(self._failed), alerts)

    def _midnight(self, day: int) -> Instant:
        return self._estate.start + day * DAY
