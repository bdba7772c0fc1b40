"""A scenario in virtual time: its campaigns over the cells, one after another, then the healing, then what it came to.

The parent holds no home: it decides days and the workers run them, as in a campaign (`dcc/campaign`), so a scenario
over a whole cohort costs what a campaign costs and has one digest on any number of workers.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import time
from time import monotonic
from typing import Any, Final, TypeAlias

from emulator.commands import Command
from emulator.dcc import campaign
from emulator.dcc.casework import CampaignSettings
from emulator.dcc.cell_campaign import CellCampaign
from emulator.dcc.host import CampaignHost, CellEnd, HostOptions
from emulator.dcc.ledger import totals
from emulator.dcc.mcc import ControlCentre, Gate, Pacing
from emulator.dcc.verdict import Verdict
from emulator.errors import UsageError
from emulator.fleet import core_link
from emulator.fleet.estate import Estate
from emulator.fleet.recipe import DEVICE_NAMES
from emulator.fleet.settings import laid_over
from emulator.fleet.shards import Shards, peak_bytes, quiet_collector
from emulator.kernel import chance
from emulator.kernel.effects import Instant
from emulator.kernel.journal import combined_digest
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND
from emulator.oracle.audit import Examination
from emulator.scenario import checks_table, estate_use
from emulator.scenario.cell_run import ScenarioCell
from emulator.scenario.facts import Facts, Finding, Moment
from emulator.scenario.faultlist import Planned
from emulator.scenario.reading import Read
from emulator.scenario.report import Cost, Report
from emulator.scenario.scenario import (
    Campaign,
    CutOver,
    Evening,
    Harm,
    Migrate,
    Oracle,
    Pass,
    PeerDeath,
    Requests,
    Rotate,
    Step,
)
from emulator.scenario.wishes import ROTATE, Job, command_of

WORK_DAYS_MOST: Final = 366
OPEN_GATE: Final = Gate(failed_share=1.0, stop_share=1.0, unrecoverable_most=1 << 62)
"""Nothing stops a campaign: so a home's start depends on no neighbour's end."""

Progress: TypeAlias = Callable[[str], None]
Commands: TypeAlias = list[tuple[Instant, int, int, Command]]


def host_options(read: Read, estate: Estate, journal: str | None, capture: str | None = None) -> HostOptions:
    """What all cells of a scenario have in common."""
    link = estate_use.link(read.scenario.link, estate.recipe.link)
    only = read.scenario.estate.only
    return HostOptions(
        link=link.kind,
        profile=core_link.profile_of(link, estate.start, f"{read.where}: link"),
        air=core_link.air_of(link, f"{read.where}: link"),
        settings=first_settings(read),
        only=None if only is None else frozenset(only),
        journal=journal,
        capture=capture,
        checks=(),
    )


def first_settings(read: Read) -> CampaignSettings:
    """The settings of the first migration: what it says of core release and policies is so from the start."""
    for index, step in enumerate(read.scenario.campaigns):
        if isinstance(step, Migrate):
            return settings_of(step, f"{read.where}: campaigns[{index}].settings")
    return CampaignSettings()


def of_day(at: time) -> Instant:
    """A time of day in µs."""
    return at.hour * HOUR + at.minute * MINUTE + at.second * SECOND + at.microsecond


def settings_of(step: Migrate, where: str) -> CampaignSettings:
    """The settings of a migration."""
    base = CampaignSettings(
        attempts=step.attempts,
        retry_us=step.retry_s * SECOND,
        opens_us=of_day(step.opens),
        open_us=step.open_s * SECOND,
    )
    return laid_over(base, step.settings, where)


def to_diagnose(read: Read, moment: Moment, at: str, seed: int) -> list[int]:
    """The homes that the oracle checks of a moment ask for: those they name, else those that were not migrated and a
    sample of the others, by the seed."""
    homes: set[int] = set()
    for check in read.scenario.checks:
        if isinstance(check, Oracle) and check.at == at:
            homes |= _sample(moment, check.sample, seed) if check.homes is None else set(check.homes)
    return sorted(homes)


def _sample(moment: Moment, count: int, seed: int) -> set[int]:
    ill = {end.installation for end in moment.homes.values() if end.verdict is not Verdict.MIGRATED}
    others = sorted((chance.bits(seed, "scenario.oracle", home), home) for home in moment.homes if home not in ill)
    return ill | {home for _, home in others[:count]}


def asks_harm(read: Read, at: str) -> bool:
    """Whether a check of a moment looks at heating."""
    return any(isinstance(check, Harm) and check.at == at for check in read.scenario.checks)


class ScenarioHost(CampaignHost):
    """What runs in a worker."""

    def __init__(
        self,
        estate: Estate,
        options: HostOptions,
        planned: Sequence[Planned],
        events: Sequence[PeerDeath | CutOver] = (),
    ) -> None:
        super().__init__(estate, options)
        self._planned = planned
        self._events = events

    def create(self, *arguments: Any, **named: Any) -> CellCampaign:
        return ScenarioCell(*arguments, planned=self._planned, events=self._events, **named)

    def call(self, cell: int, method: str, arguments: tuple[Any, ...]) -> Any:
        if method in ("day", "audit_day", "end"):
            return super().call(cell, method, arguments)
        return getattr(self.cell(cell), method)(*arguments)


class Run:
    """One run of a scenario."""

    def __init__(self, read: Read, estate: Estate, shards: Shards, progress: Progress | None) -> None:
        self._read = read
        self._estate = estate
        self._shards = shards
        self._progress = progress or (lambda _: None)
        self.day = 0

    def all(self, method: str, *arguments: Any) -> dict[int, Any]:
        """Ask every cell."""
        return self._shards.ask(method, dict.fromkeys(range(self._estate.cells), arguments))

    def go(self) -> Moment:
        """The trouble: all campaigns; how things stand then."""
        for index, step in enumerate(self._read.scenario.campaigns):
            self.all("arm", index, self.day)
            self._step(step, index)
        return self._moment("trouble")

    def heal(self) -> Moment:
        """The healing, if there is one; how things stand then."""
        healing = self._read.scenario.healing
        if healing is not None:
            self._progress("healing")
            campaign = healing.campaign
            self.all("clear", healing.keep)
            if healing.oracle:
                at = self._estate.start + self.day * DAY + of_day(campaign.opens)
                self.all("prescribe", at, campaign.attempts, campaign.retry_s * SECOND)
                self._work([], [], 1)
            self._migrate(campaign, f"{self._read.where}: healing.campaign.settings", anew=True)
        return self._moment("end")

    def _moment(self, at: str) -> Moment:
        found = Moment()
        for part in self.all("moment").values():
            found.add(part)
        homes = to_diagnose(self._read, found, at, self._estate.seed)
        if homes:
            self._progress("asking the oracle")
            by_cell: dict[int, list[int]] = {}
            for home in homes:
                by_cell.setdefault(self._estate.cell_of(home), []).append(home)
            asked = {cell: (mine,) for cell, mine in by_cell.items()}
            found.oracle = [each for told in self._shards.ask("diagnose", asked).values() for each in told]
        if asks_harm(self._read, at):
            found.harms = [each for told in self.all("harms").values() for each in told]
        return found

    def _step(self, step: Step, index: int) -> None:
        where = f"{self._read.where}: campaigns[{index}]"
        if isinstance(step, Migrate):
            self._progress("migrating")
            self._migrate(step, f"{where}.settings", anew=index > 0)
        elif isinstance(step, Pass):
            self._progress("letting time pass")
            self._work([], [], step.days)
        elif isinstance(step, Rotate | Requests | Evening):
            self._progress({Rotate: "changing keys", Requests: "asking", Evening: "switching"}[type(step)])
            jobs, commands = self._plan(step)
            self._engage(step, jobs)
            self._work(jobs, commands, 1)

    def _migrate(self, step: Migrate, where: str, *, anew: bool) -> None:
        pace = self._estate.recipe.pacing
        pacing = Pacing(pace.first_per_day, pace.first_days, pace.per_day)
        if step.per_day is not None:
            pacing = Pacing(step.per_day, 0, step.per_day)
        centre = ControlCentre(pacing, Gate() if step.gate else OPEN_GATE)
        waiting = self.all("open", settings_of(step, where), anew)
        self.day = campaign.migrate_days(self._shards, waiting, centre, None, self.day)
        self.day = campaign.audit_days(self._shards, self._estate.cells, self.day)

    # Errands

    def _plan(self, step: Rotate | Requests | Evening) -> tuple[list[Job], Commands]:
        if isinstance(step, Requests):
            return self._wishes(step)
        return (self._switchings(step) if isinstance(step, Evening) else self._rotations(step)), []

    def _wishes(self, step: Requests) -> tuple[list[Job], Commands]:
        jobs: list[Job] = []
        commands: Commands = []
        midnight = self._estate.start + self.day * DAY
        for serial, wish in enumerate(step.wishes):
            at, party = midnight + round(wish.after_s * SECOND), DEVICE_NAMES[wish.device]
            if wish.command is not None:
                commands.append((at, wish.home, int(party), command_of(wish)))
            else:
                jobs.append(Job(serial, wish.home, party, at, wish.request or "", wish.arguments))
        return jobs, sorted(commands, key=lambda each: each[:3])

    def _rotations(self, step: Rotate) -> list[Job]:
        estate = self._estate
        homes: Sequence[int] = range(estate.installations) if step.homes is None else step.homes
        parties = [party for name, party in DEVICE_NAMES.items() if name in step.devices]
        return [
            Job(0, home, party, self._start(step, home), ROTATE)
            for home in homes
            if self._takes_part(home)
            for party in self._devices(home, parties)
        ]

    def _switchings(self, step: Evening) -> list[Job]:
        request = "7.5" if step.state == "on" else "7.6"
        found = []
        for home in range(self._estate.installations) if step.homes is None else step.homes:
            wiring = self._estate.installation(home).wiring if self._takes_part(home) else None
            for switch in range(1, 0 if wiring is None else wiring.switches + 1):
                arguments = {"switch": switch, "minutes": step.minutes}
                found.append(Job(switch, home, Party.ELECTRICITY, self._start(step, home), request, arguments))
        return found

    def _devices(self, home: int, parties: Sequence[Party]) -> list[Party]:
        installation = self._estate.installation(home)
        return [party for party in parties if installation.device(party) is not None]

    def _takes_part(self, home: int) -> bool:
        only = self._read.scenario.estate.only
        return only is None or home in only

    def _start(self, step: Campaign, home: int) -> Instant:
        """When a home's turn is: by its number, so that it does not depend on who else takes part."""
        midnight = self._estate.start + self.day * DAY
        turn = home * step.open_s * SECOND // self._estate.installations
        return midnight + of_day(step.opens) + turn

    def _engage(self, step: Campaign, jobs: Sequence[Job]) -> None:
        by_cell: dict[int, list[Job]] = {cell: [] for cell in range(self._estate.cells)}
        for job in jobs:
            by_cell[self._estate.cell_of(job.installation)].append(job)
        asked = {cell: (mine, step.attempts, step.retry_s * SECOND) for cell, mine in by_cell.items()}
        self._shards.ask("engage", asked)

    def _work(self, jobs: Sequence[Job], commands: Commands, days: int) -> None:
        """Days of errands: so many at least, and until nothing is left."""
        until = self.day + max([days, *((each[0] - self._estate.start) // DAY + 1 - self.day for each in commands)])
        left: Mapping[int, int] = {}
        while self.day < until or any(left.values()):
            if self.day - until > WORK_DAYS_MOST:
                raise UsageError(f"errands are not done after {WORK_DAYS_MOST} days; ask for fewer attempts")
            end = self._estate.start + (self.day + 1) * DAY
            asked: dict[int, Commands] = {cell: [] for cell in range(self._estate.cells)}
            for each in commands:
                if end - DAY <= each[0] < end:
                    asked[self._estate.cell_of(each[1])].append(each)
            left = self._shards.ask("work", {cell: (self.day, mine) for cell, mine in asked.items()})
            self.day += 1


def run(
    read: Read,
    seed: int | None = None,
    *,
    workers: int = 1,
    journal: str | None = None,
    capture: str | None = None,
    progress: Progress | None = None,
    examine: int | None = None,
) -> Report:
    """Run a scenario under a seed (None: its own). `journal`: a folder for the cells' parts of a journal. `capture`:
    the file that `link.tap.finish` will make of the cells' parts of it. `examine`: in every cell have the oracle look
    at the homes lost for their keys and at so many others, and try it on the machines.

    Raises InputError for what only running shows to be wrong, WorkerError when a worker fails."""
    began = monotonic()
    estate = read.estate(seed)
    events = tuple(each for _, each in estate_use.events(read.scenario.link))
    host = ScenarioHost(estate, host_options(read, estate, journal, capture), read.faults, events)
    if workers == 1:
        quiet_collector()
    with Shards(host, estate.cells, workers) as shards:
        going = Run(read, estate, shards, progress)
        trouble = going.go()
        end = going.heal()
        facts = Facts(estate.installations, trouble, end)
        for struck in going.all("struck").values():
            for number, homes in struck.items():
                facts.struck[number] = tuple(sorted({*facts.struck.get(number, ()), *homes}))
        ran = monotonic()
        examination = None
        if examine is not None:
            examination = Examination()
            for part in going.all("examine", examine).values():
                examination.add(part)
        examined = monotonic()
        ends: dict[int, CellEnd] = going.all("end")
    for each in ends.values():
        for finding in each.findings:
            home = finding.installation if finding.installation >= 0 else None
            facts.findings.append(Finding(finding.check, f"{finding.device} {finding.what}".strip(), home))
    facts.objections = _objections(read, ends)
    failures = checks_table.failures(read, facts)
    return Report(
        name=read.scenario.name,
        seed=estate.seed,
        live=False,
        digest=combined_digest(each for end_ in ends.values() for each in (end_.digest, end_.link_digest)),
        failures=failures,
        facts=facts,
        fired=checks_table.fired(read.faults, end.fired),
        virtual_s=going.day * DAY // SECOND,
        elapsed_s=ran - began,
        examination=examination,
        cost=Cost(
            sum(end.exchanges for end in ends.values()),
            examined - ran,
            peak_bytes({end.process: end.peak_rss_bytes for end in ends.values()}),
            sum(end.row_bytes * len(end.columns) for end in ends.values()) / estate.installations,
        ),
    )


def _objections(read: Read, ends: Mapping[int, CellEnd]) -> list[str]:
    """Where the ledger's sums, the audit and the link's delivery log differ."""
    found = []
    counted, logged = sum(end.exchanges for end in ends.values()), sum(end.logged_exchanges for end in ends.values())
    if counted != logged:
        found.append(f"the head end counts {counted} exchanges, the link's delivery log {logged}")
    astray = sum(totals(end.columns).astray for end in ends.values() if len(end.columns))
    if astray:
        found.append(f"the audit found {astray} homes otherwise than the ledger says")
    return found
