"""What runs in a worker during a campaign: its cells, made on first use, and what they hand in at the end."""

import os
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from emulator.dcc.auxiliary_harm import SwitchHarm, after_migration
from emulator.dcc.cell_campaign import CampaignSettings, CellCampaign
from emulator.errors import UsageError
from emulator.faults.fault import Fault
from emulator.fleet.estate import Estate
from emulator.fleet.journal_file import JournalPart
from emulator.fleet.rows import ROW
from emulator.fleet.sampler import Sampler
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile
from emulator.link.tap import Tap
from emulator.shell.loopback import Loopback
from emulator.watch.checks import Context, Finding, check, observe
from emulator.watch.settings import WatchSettings
from emulator.watch.violation import Violation


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What all cells of a run have in common. Picklable.

    `journal` is a folder for the cells' parts of a journal, `capture` the file their parts of a capture will become;
    None for none. `sample` asks where the time goes. `faults` are in force from the start, numbered
    from 1. `only`: the homes that take part; None for all. `harm_days`: look at what so many days after its migration
    do to each home with auxiliary load. `checks`: be there from the start with a watch (`watch` says what it lets pass)
    and ask these standing checks at the end, none named: all; None: nobody watches.
    """

    link: str = "ipsec"
    profile: LinkProfile = LinkProfile()
    air: AirProfile = AirProfile()
    settings: CampaignSettings = CampaignSettings()
    faults: tuple[Fault, ...] = ()
    only: frozenset[int] | None = None
    journal: str | None = None
    capture: str | None = None
    sample: bool = False
    harm_days: float | None = None
    checks: tuple[str, ...] | None = None
    watch: WatchSettings = WatchSettings()


@dataclass(slots=True)
class CellEnd:
    """One cell's testimony at the end. `process` tells workers apart; the peak is the whole worker's. `fired`: how
    often each fault struck."""

    digest: str
    link_digest: str
    columns: NDArray[Any]
    exchanges: int
    logged_exchanges: int
    ways: dict[str, dict[str, int]]
    counts: dict[str, int]
    events: int
    row_bytes: float
    process: int
    peak_rss_bytes: int
    fired: dict[int, int]
    samples: dict[str, int] = field(default_factory=dict)
    harms: list[SwitchHarm] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


class CampaignHost:
    """Cells by number. Made in the parent, carried into the worker, and only there filled."""

    def __init__(self, estate: Estate, options: HostOptions) -> None:
        self._estate = estate
        self._options = options
        self._cells: dict[int, CellCampaign] = {}
        self._sampler: Sampler | None = None
        self._open: dict[int, list[JournalPart | Tap]] = {}
        self._contexts: dict[int, Context] = {}
        self._loopback: Loopback | None = None

    def __call__(self) -> Self:
        """The host itself: carried into a worker, it makes its own cells there."""
        return self

    def call(self, cell: int, method: str, arguments: tuple[Any, ...]) -> Any:
        """Answer one call of the parent about one cell."""
        if self._options.sample and self._sampler is None:
            self._sampler = Sampler()
            self._sampler.start()
        campaign = self.cell(cell)
        if method == "day":
            return campaign.day(*arguments)
        if method == "audit_day":
            return campaign.audit_day(*arguments)
        if method == "end":
            return self._end(campaign)
        raise UsageError(f"a campaign's cell has no method {method!r}")

    def cell(self, cell: int) -> CellCampaign:
        """A cell, made when it is first asked for."""
        campaign = self._cells.get(cell)
        if campaign is None:
            campaign = self._cells[cell] = self._make(cell)
        return campaign

    def create(self, *arguments: Any, **named: Any) -> CellCampaign:
        """A new cell's campaign, as `CellCampaign` takes its arguments."""
        return CellCampaign(*arguments, **named)

    def _make(self, cell: int) -> CellCampaign:
        options = self._options
        sink = JournalPart(options.journal, cell) if options.journal else None
        tap = Tap(Path(options.capture), cell, wide=options.profile.encap) if options.capture else None
        self._open[cell] = [part for part in (sink, tap) if part is not None]
        made = self.create(
            self._estate,
            cell,
            options.settings,
            link=options.link,
            profile=options.profile,
            air=options.air,
            sink=sink,
            tap=tap,
            faults=options.faults,
            only=options.only,
        )
        if options.profile.fidelity == "interop":
            self._loopback = self._loopback or Loopback()
            made.cell.chain.leave(self._loopback.carry)
        if options.checks is not None:
            context = self._contexts[cell] = observe(made.cell, made.keyring, settings=options.watch)
            context.campaign = True
        return made

    def _end(self, campaign: CellCampaign) -> CellEnd:
        cell = campaign.cell
        for part in self._open.pop(cell.number):
            part.close()
        if not self._open and self._loopback is not None:
            self._loopback.close()
            self._loopback = None
        samples: dict[str, int] = {}
        if self._sampler is not None:
            self._sampler.stop()
            samples = dict(self._sampler.samples)
            self._sampler.samples.clear()
        names = ROW.names
        assert names is not None
        log = cell.chain.log
        end = CellEnd(
            digest=cell.digest(),
            link_digest=log.digest(),
            columns=self._columns(campaign),
            exchanges=cell.desk.exchanges,
            logged_exchanges=log.exchanges + log.unasked,  # what a head end hears twice it counts twice
            ways={
                name: {"offered": way.offered, "lost": way.lost, "delivered": way.delivered, "refused": way.refused}
                for name, way in zip(("down", "up"), log.ways, strict=True)
            },
            counts={**cell.journal.counts, **campaign.alert_counts()},
            events=cell.world.events,
            row_bytes=self._sleeping_bytes(campaign),
            process=os.getpid(),
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            fired=cell.mischief.fired,
            samples=samples,
        )
        context = self._contexts.get(cell.number)
        if context is not None:
            end.findings = check(context, self._options.checks or ())
            end.violations = context.watch.register.all() if context.watch is not None else []
        if self._options.harm_days is not None:  # last: looking at relays may be what lets a fault strike
            end.harms = after_migration(cell, self._options.harm_days)
        return end

    def _columns(self, campaign: CellCampaign) -> NDArray[Any]:
        """The rows of those that took part, in the order of numbers."""
        columns, only = campaign.cell.rows.columns(), self._options.only
        if only is None:
            return columns
        members = campaign.cell.members
        return columns[[number - members.start for number in members if number in only]]

    def _sleeping_bytes(self, campaign: CellCampaign) -> float:
        """What a sleeping installation costs on both sides, measured: row, snapshot, contexts, custody."""
        return campaign.cell.rows.bytes_per_row() + campaign.keyring.bytes_per_home() + campaign.cell.context_bytes()

