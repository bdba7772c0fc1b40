"""One virtual evening: the auxiliary load of every five-terminal home is switched, over the whole real path.

Each switch is one service request (7.5 or 7.6) through the front, its checks and its equivalent steps: a short message,
the link, the hub, the radio, the meter's own server, and back. A home's requests share one visit. Requests are spread
evenly over the evening, cell by cell; a home that did not answer is tried again later. What a meter acknowledged is
then looked at where no read can lie: at the contact, from the acknowledgement to the end of the hold.

Cells live in workers as a campaign's do; who is switched when depends on the estate and never on the workers.
"""

import os
import resource
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Literal, TypeAlias

from emulator.crypto import derive
from emulator.dcc import auxiliary_harm
from emulator.dcc.auxiliary_harm import HarmReport, SwitchHarm
from emulator.dcc.auxiliary_release import FIRST_NUMBER
from emulator.dcc.auxiliary_tables import right_table
from emulator.dcc.service_requests import Front, FrontSettings, Job
from emulator.errors import EmulatorError, UsageError
from emulator.faults.fault import Fault
from emulator.fleet.cell import Cell
from emulator.fleet.estate import Estate
from emulator.fleet.installation import Installation
from emulator.fleet.shards import Shards, quiet_collector
from emulator.headend.alerts import Inbox
from emulator.headend.conversation import Conversation
from emulator.headend.keyring import Keyring, Patience, Target
from emulator.headend.rouse import RouseSettings
from emulator.headend.session import NoAnswerError
from emulator.headend.visit import Visit
from emulator.kernel.effects import Effects, Instant, Note
from emulator.kernel.journal import combined_digest
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND
from emulator.link.air import AirProfile, Coverage
from emulator.link.profile import LinkProfile

Wanted: TypeAlias = Literal["on", "off", "opposite"]

TOLERANCE_US: Final = 10 * SECOND
"""A hold's end by the meter's clock may be so much earlier than by ours. ASSUMED: twice the worst clock as found."""


@dataclass(frozen=True, slots=True)
class Round:
    """All homes once: from `hour` o'clock for `spread_h` hours each switch is held `wanted` for `minutes`. Opposite: to
    what its right table says at that moment, so that every switch has to move."""

    hour: float
    wanted: Wanted = "opposite"
    minutes: int = 60
    spread_h: float = 4.0


@dataclass(frozen=True, slots=True)
class EveningOptions:
    """What all cells of an evening have in common. Picklable. `tries` visits a home and round, `retry_us` apart;
    `harm_h` is how long from the evening's first round on the harm is measured."""

    rounds: tuple[Round, ...] = (Round(17),)
    link: str = "ipsec"
    profile: LinkProfile = LinkProfile()
    air: AirProfile = AirProfile()
    front: FrontSettings = field(default_factory=FrontSettings)
    patience: Patience = Patience()
    rouse: RouseSettings = RouseSettings()
    faults: tuple[Fault, ...] = ()
    tries: int = 2
    retry_us: int = 20 * MINUTE
    harm_h: float = 24.0


@dataclass(slots=True)
class CellEvening:
    """What a cell hands in. `astray`: (home, switch) whose contact did not stand as was acknowledged."""

    homes: int = 0
    switches: int = 0
    requests: int = 0
    confirmed: int = 0
    verified: int = 0
    astray: list[tuple[int, int]] = field(default_factory=list)
    homes_confirmed: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    harms: list[SwitchHarm] = field(default_factory=list)
    fired: dict[int, int] = field(default_factory=dict)
    exchanges: int = 0
    events: int = 0
    digest: str = ""
    process: int = 0
    peak_rss_bytes: int = 0


@dataclass(slots=True)
class EveningResult:
    """An evening. `homes` have auxiliary load; `homes_confirmed` acknowledged every request of every round. `requests`
    are switches asked, all rounds together; each ended `confirmed` or in `causes`; of the confirmed `verified` were so
    at the contact and `astray` were not."""

    estate: str
    seed: int
    digest: str
    homes: int
    homes_confirmed: int
    switches: int
    requests: int
    confirmed: int
    verified: int
    astray: list[tuple[int, int]]
    causes: dict[str, int]
    harm: HarmReport
    fired: dict[int, int]
    exchanges: int
    events: int
    elapsed_s: float
    peak_rss_bytes: int

    @property
    def homes_a_second(self) -> float:
        return self.homes / self.elapsed_s if self.elapsed_s else 0.0

    def as_object(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "estate": self.estate,
            "seed": self.seed,
            "digest": self.digest,
            "homes": self.homes,
            "homes_confirmed": self.homes_confirmed,
            "switches": self.switches,
            "requests": self.requests,
            "confirmed": self.confirmed,
            "verified": self.verified,
            "astray": [list(each) for each in self.astray],
            "failed_by_cause": self.causes,
            "harm": self.harm.as_object(),
            "faults_fired": {str(number): count for number, count in self.fired.items()},
            "exchanges": self.exchanges,
            "events": self.events,
            "elapsed_s": round(self.elapsed_s, 3),
            "homes_a_second": round(self.homes_a_second, 1),
            "peak_rss_bytes": self.peak_rss_bytes,
        }


@dataclass(slots=True)
class _Acknowledged:
    """A switch said yes: what its contact must do from `since`, when that was known, to `until`, so long after the
    request was begun as it was to be held: the hold itself began between the two."""

    installation: int
    switch: int
    on: bool
    since: Instant
    until: Instant


class EveningCell:
    """The caseworker of one cell, for one evening."""

    def __init__(self, estate: Estate, number: int, options: EveningOptions) -> None:
        faults = options.faults
        self.cell = Cell(
            estate, number, self, link=options.link, profile=options.profile, air=options.air, faults=faults
        )
        for fault_number, fault in enumerate(options.front.auxiliary.faults(), FIRST_NUMBER):
            self.cell.arm(fault, estate.start, fault_number)
        secret = derive.key(b"head end", "evening", estate.name, estate.seed)
        self._keyring = Keyring(secret, self.cell.members, options.patience)
        self._keyring.attend(self.cell)
        self._front = Front(estate, self, options.front)
        self._options = options
        self._end = CellEvening()
        self._due: dict[int, tuple[Instant, Round, int]] = {}
        self._acknowledged: list[_Acknowledged] = []
        self._failed_homes: set[int] = set()

    # What the front asks of its place

    def now(self, installation: int) -> Instant:
        """The virtual time here."""
        return self.cell.world.now

    def tell(self, installation: int, note: Note) -> None:
        """A note of the head end's."""
        self.cell.journal.note(self.cell.world.now, installation, Party.HEADEND, note)

    # The evening

    def run(self) -> CellEvening:
        """All rounds, the look at the contacts, and the sums."""
        cell, options, end = self.cell, self._options, self._end
        estate = cell.estate
        homes = [number for number in cell.members if estate.installation(number).wiring is not None]
        end.homes = len(homes)
        for each in options.rounds:
            begins = estate.start + round(each.hour * HOUR)
            spread = round(each.spread_h * HOUR)
            for turn, number in enumerate(homes):
                at = begins + turn * spread // len(homes)
                self._due[number] = (at, each, options.tries)
                cell.world.wake(number, Party.HEADEND, at)
            if homes:
                cell.world.run_until(begins + spread + options.tries * options.retry_us + HOUR)
        if homes:
            cell.world.run_until(max([cell.world.now, *(each.until for each in self._acknowledged)]))
        end.digest = cell.digest()
        self._look()
        first = estate.start + round(min(each.hour for each in options.rounds) * HOUR)
        for number in homes:
            home = estate.installation(number)
            end.switches += home.wiring.switches if home.wiring is not None else 0
            end.harms += auxiliary_harm.of_home(cell, home, first, first + round(options.harm_h * HOUR))
            cell.sleep(number)
        end.homes_confirmed = len(homes) - len(self._failed_homes)
        end.exchanges = cell.desk.exchanges
        end.events = cell.world.events
        end.fired = cell.mischief.fired
        end.process = os.getpid()
        end.peak_rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return end

    def _look(self) -> None:
        """Did contacts do what was acknowledged?"""
        cell, now = self.cell, self.cell.world.now
        later: dict[tuple[int, int], Instant] = {}
        for each in reversed(self._acknowledged):
            key = each.installation, each.switch
            until = min(each.until, later.get(key, each.until)) - TOLERANCE_US
            later[key] = each.since - TOLERANCE_US
            machine: Any = cell.machine(each.installation, Party.ELECTRICITY)
            stretches = machine.auxiliary_spans(each.switch, each.since, until, now)
            if stretches and all(stretch.closed == each.on for stretch in stretches):
                self._end.verified += 1
            else:
                self._end.astray.append(key)
        self._end.astray.sort()

    # The caseworker

    def begin(self, installation: int, now: Instant) -> tuple[Conversation, Effects] | None:
        """A home that is due: its requests, in one visit."""
        due = self._due.get(installation)
        if due is None or now < due[0]:
            return None
        del self._due[installation]
        _, wanted, left = due
        cell = self.cell
        home = cell.home(installation)
        outage = cell.estate.outage(home, now) if home.condition is not None else None
        if outage is not None and outage[0] <= now and home.condition.kind == "MF2":  # type: ignore[union-attr]
            cell.coverages[installation] = Coverage(gaps=(outage,))
        jobs = self._requests(home, wanted, now)
        asked = [job for _, _, job in jobs if job.errand is not None]
        if not asked:
            self._settle(installation, jobs, wanted, {}, None)
            return None
        targets = self._keyring.targets(cell.estate.smso(home), (Party.HUB, Party.ELECTRICITY))
        meter = next((target for target in targets if target.party is Party.ELECTRICITY), None)
        if meter is None:
            raise UsageError(f"installation {installation} has no keyed electricity meter in its record")
        contexts = {
            target.device.spec.system_title: self._keyring.context(installation, target.party) for target in targets
        }
        inbox = Inbox(self._keyring.store, contexts)
        answers: dict[int, Any] = {}

        def errand(target: Target) -> Generator[Any, Any, None]:
            for job in asked:
                assert job.errand is not None
                try:
                    answers[job.number] = yield from job.errand(target)
                except NoAnswerError:
                    raise
                except EmulatorError as error:
                    answers[job.number] = error

        visit = Visit(meter, targets[0].session.server_sap, inbox, self._options.rouse, errand)

        def finished() -> None:
            cell.desk.end(installation)
            self._finished(installation, jobs, wanted, left - 1, answers, visit.error)

        conversation = Conversation(inbox.hear, finished)
        return conversation, conversation.run(visit.script(), now)

    def _requests(self, home: Installation, wanted: Round, now: Instant) -> list[tuple[int, bool, Job]]:
        """(switch, on, request) for every wired switch."""
        assert home.wiring is not None
        table = right_table(home)
        found = []
        for switch in range(1, home.wiring.switches + 1):
            on = wanted.wanted == "on"
            if wanted.wanted == "opposite":
                on = table is None or not table.live(now)
            body = {"switch": switch, "minutes": wanted.minutes}
            found.append((switch, on, self._front.begin("7.5" if on else "7.6", home.number, body)))
        return found

    def _finished(
        self,
        installation: int,
        jobs: list[tuple[int, bool, Job]],
        wanted: Round,
        left: int,
        answers: dict[int, Any],
        error: EmulatorError | None,
    ) -> None:
        now = self.cell.world.now
        self.cell.rows.touch(installation, now)
        if isinstance(error, NoAnswerError) and left > 0:
            for _, _, job in jobs:
                self._front.end(job, None, error)
            again = now + self._options.retry_us
            self._due[installation] = (again, wanted, left)
            self.cell.world.wake(installation, Party.HEADEND, again)
            return
        self._settle(installation, jobs, wanted, answers, error)

    def _settle(
        self,
        installation: int,
        jobs: list[tuple[int, bool, Job]],
        wanted: Round,
        answers: dict[int, Any],
        error: EmulatorError | None,
    ) -> None:
        """The last verdict on a home's requests of a round."""
        now, end = self.cell.world.now, self._end
        for switch, on, job in jobs:
            answer = answers.get(job.number, error)
            failed = answer if isinstance(answer, EmulatorError) else None
            response = self._front.end(job, None if failed is not None else answer, failed)
            end.requests += 1
            if response.success:
                end.confirmed += 1
                until = job.asked + (wanted.minutes * MINUTE if wanted.minutes else DAY)
                self._acknowledged.append(_Acknowledged(installation, switch, on, now, until))
            else:
                end.causes[f"{response.verdict}:{response.reason}"] += 1
                self._failed_homes.add(installation)


@dataclass(slots=True)
class _Host:
    """Cells by number, in a worker."""

    estate: Estate
    options: EveningOptions

    def __call__(self) -> "_Host":
        return self

    def call(self, cell: int, method: str, arguments: tuple[Any, ...]) -> Any:
        if method != "run":
            raise UsageError(f"an evening's cell has no method {method!r}")
        return EveningCell(self.estate, cell, self.options).run()


def run(estate: Estate, options: EveningOptions, *, workers: int = 1) -> EveningResult:
    """Switch every five-terminal home of an estate. Raises WorkerError when a worker fails."""
    began = monotonic()
    if not options.rounds:
        raise UsageError("an evening without a round; give at least one")
    if workers == 1:
        quiet_collector()
    with Shards(_Host(estate, options), estate.cells, workers) as shards:
        ends: dict[int, CellEvening] = shards.ask("run", dict.fromkeys(range(estate.cells), ()))
    causes: Counter[str] = Counter()
    fired: Counter[int] = Counter()
    for end in ends.values():
        causes.update(end.causes)
        fired.update(end.fired)
    every = list(ends.values())
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peaks = {end.process: end.peak_rss_bytes for end in every}
    peaks[os.getpid()] = own
    return EveningResult(
        estate=estate.name,
        seed=estate.seed,
        digest=combined_digest(end.digest for end in every),
        homes=sum(end.homes for end in every),
        homes_confirmed=sum(end.homes_confirmed for end in every),
        switches=sum(end.switches for end in every),
        requests=sum(end.requests for end in every),
        confirmed=sum(end.confirmed for end in every),
        verified=sum(end.verified for end in every),
        astray=[each for end in every for each in end.astray],
        causes=dict(sorted(causes.items())),
        harm=auxiliary_harm.report([harm for end in every for harm in end.harms]),
        fired=dict(sorted(fired.items())),
        exchanges=sum(end.exchanges for end in every),
        events=sum(end.events for end in every),
        elapsed_s=monotonic() - began,
        peak_rss_bytes=sum(peaks.values()),
    )
