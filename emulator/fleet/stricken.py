"""What a cell does about mischief: arms it, wraps what it may strike, tells the machines, and puts back what can be.

A fault may be put in force at any time. It reaches homes that are awake at once and the others when they wake, strikes
wires and radio links as long as it is in force, and leaves both bare when the last one has ended. This is the half of
`Cell` that knows of it; the other half asks `_trouble` for each machine that it makes and `_radio` for each link.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mypy_extensions import mypyc_attr

from emulator.crypto.keys import ContextStore
from emulator.faults import hub
from emulator.faults.fault import Fault, Point
from emulator.faults.held_keys import ForcedWrongKey
from emulator.faults.link import LinkOutage, OutOfCoverage
from emulator.faults.mischief import Mischief
from emulator.fleet import forced_keys, registry
from emulator.fleet.estate import Estate
from emulator.fleet.faulty_radio import FaultyLink
from emulator.fleet.faulty_wires import FaultySms, FaultyWan
from emulator.fleet.impaired import Impaired
from emulator.fleet.installation import KEYED, Installation
from emulator.fleet.wires import WanDown, WanUp
from emulator.han.link_state import HanLink
from emulator.kernel.effects import ALERTS, SMS, WAN, Instant, Note, Port
from emulator.kernel.journal import Journal
from emulator.kernel.machine import Machine, Party
from emulator.kernel.world import Wire, World
from emulator.link.air import Coverage
from emulator.link.chain import Chain

_STRUCK: Final[Mapping[tuple[int, Port], tuple[Point, ...]]] = {
    (Party.HEADEND, WAN): (Point.WAN_DOWN, Point.CORE, Point.LINK),
    (Party.HUB, WAN): (Point.WAN_UP, Point.CORE, Point.LINK),
    (Party.HUB, ALERTS): (Point.WAN_UP, Point.CORE, Point.LINK),
    (Party.HEADEND, SMS): (Point.SMS, Point.LINK),
}
"""The wires that faults may be on, and where."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Stricken:
    """The part of a cell that faults are about. What is declared here is the cell's, and made there."""

    estate: Estate
    members: range
    journal: Journal
    store: ContextStore
    mischief: Mischief
    chain: Chain
    coverages: dict[int, Coverage]
    world: World
    wires: dict[tuple[int, Port], Wire]
    _awake: dict[int, dict[int, registry.StoredMachine]]
    _links: dict[int, HanLink | FaultyLink]

    def home(self, installation: int) -> Installation:
        raise NotImplementedError

    def context(self, installation: int, party: Party) -> int:
        raise NotImplementedError

    def link(self, installation: int, party: Party) -> HanLink | FaultyLink:
        raise NotImplementedError

    def arm(self, fault: Fault, now: Instant | None = None, number: int | None = None) -> int | None:
        """Put a fault in force, for homes that are awake too; its number, which rises unless given. `now`: from when it
        counts. None: it is about a home of another cell, and nothing was done."""
        home = fault.installation
        if home is not None and home not in self.members:
            return None
        if isinstance(fault, LinkOutage) and home is not None:
            fault = replace(fault, installation=None)  # the cell has one tunnel
        mischief = self.mischief
        number = mischief.arm(fault, self.world.now if now is None else now, number)
        self._dress_wires()
        if Point.HAN in fault.points:
            for key, link in tuple(self._links.items()):
                if not isinstance(link, FaultyLink):
                    self._links[key] = FaultyLink(link, mischief, self.journal)
        for installation, home_machines in tuple(self._awake.items()):
            if mischief.concerns(installation):
                for party, machine in home_machines.items():
                    self._trouble(installation, Party(party), machine)
        return number

    def disarm(self, number: int) -> None:
        """End a fault; harmless when it has ended, or never was one of this cell."""
        armed = self.mischief.disarm(number)
        if armed is None:
            return
        self._dress_wires()
        if isinstance(armed.fault, ForcedWrongKey):
            for installation, memory in armed.remembered.items():
                for kept in memory.values():
                    if forced_keys.give_back(self.store, kept):
                        self.changed(installation)

    def changed(self, installation: int) -> None:
        """What a home's devices hold was changed from outside; nothing is done here."""

    def covered(self, installation: int, now: Instant) -> bool:
        """Whether the network reaches a home's hub; a look, which counts as no use of it."""
        coverage = self.coverages.get(installation)
        if coverage is not None and not coverage.reaches(now, now):
            return False
        return self.mischief.in_force(OutOfCoverage, installation, None, now) is None

    def black(self, now: Instant) -> bool:
        """Whether the core link of the whole cell is black; a look."""
        if self.chain.outages.strikes(now, now):
            return True
        armed = self.mischief.at(Point.CORE)
        return any(each.since <= now < each.until and each.fault.share >= 1 <= each.fault.chance for each in armed)

    def look(self, installation: int, party: Party) -> HanLink:
        """A radio link as it stands, to be looked at and not used."""
        link = self.link(installation, party)
        return link.look(self.world.now) if isinstance(link, FaultyLink) else link

    def _dress_wires(self) -> None:
        """Wrap the wires at which a fault may strike, and unwrap the others."""
        mischief, wires = self.mischief, self.wires
        impaired = Impaired(mischief, self.journal, self.estate.seed, self.chain.cell, self.chain.profile.kept_us)
        self.chain.impaired = impaired if mischief.watches(Point.LINK) else None
        for key, points in _STRUCK.items():
            wire, wanted = wires[key], any(mischief.watches(point) for point in points)
            if isinstance(wire, FaultyWan | FaultySms):
                if not wanted:
                    wires[key] = wire.inner
            elif wanted and isinstance(wire, WanDown | WanUp):
                alerts = key[1] == ALERTS
                wires[key] = FaultyWan(wire, mischief, impaired, self.chain, self.journal, self._whose, alerts=alerts)
            elif wanted:
                wires[key] = FaultySms(wire, mischief, impaired, self.journal)
        mischief.on_attach = self._attached if mischief.watches(Point.HUB) else None

    def _attached(self, installation: int, now: Instant) -> None:
        """A hub has attached: the network may have given it another address."""
        for strike in self.mischief.strikes(Point.HUB, installation, Party.HUB, now, (hub.ATTACHED, 0)):
            address = self.chain.move(installation)
            self.journal.note(now, installation, Party.HUB, strike.note)
            if address is not None:
                self.journal.note(now, installation, Party.HUB, Note("hub.new-address", (address,)))

    def _whose(self, installation: int, sap: int) -> Party:
        """The device behind a logical device of a home's hub; the hub for what is its own, or nobody's."""
        home = self.home(installation)
        for spec in home.devices:
            if spec.kind in KEYED and registry.model(spec.model).profile.addressing.sap == sap:
                return spec.kind
        return Party.HUB

    def _trouble(self, installation: int, party: Party, machine: Machine) -> None:
        """Tell a machine who may strike it, and exchange what it holds."""
        mischief = self.mischief
        if hasattr(machine, "mischief"):
            machine.mischief = mischief
        held = mischief.at(Point.HELD) if party in KEYED else ()
        if all(party.name in (armed.remembers(installation) or ()) for armed in held):
            return
        now = self.world.now
        for strike in mischief.strikes(Point.HELD, installation, party, now):
            memory = strike.armed.recall(installation)
            if party.name not in memory:
                index = self.context(installation, party)
                seed = self.estate.seed
                memory[party.name] = forced_keys.force(strike.fault, self.store, index, seed, installation, party)
                self.journal.note(now, installation, party, strike.note)
                self.changed(installation)

    def _radio(self, link: HanLink) -> HanLink | FaultyLink:
        """A radio link as it is to be used: sound, or under the faults in force."""
        if self.mischief.watches(Point.HAN) and self.mischief.concerns(link.installation):
            return FaultyLink(link, self.mischief, self.journal)
        return link
