"""A cell: up to 4,096 installations with everything they need, and nothing they share with other cells.

It owns its queue, its link, its air, its context store, its rows and its journal, so a cell can live in any process and
end with the same digest. Asleep, an installation is a row here and three lines in the context store; `machine` builds
what a frame touches and `sleep` takes it back.

Keys as found are derived when a device is first touched, not when the cell is made: an estate nobody calls costs no
key at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from emulator.crypto.keys import ContextStore
from emulator.dlms.witness import Witness
from emulator.faults import hub
from emulator.faults.fault import Fault, Point
from emulator.faults.held_keys import ForcedWrongKey
from emulator.faults.link import LinkOutage, OutOfCoverage
from emulator.faults.mischief import Mischief
from emulator.fleet import forced_keys, registry
from emulator.fleet.alert_causes import Causes, Occurrence
from emulator.fleet.alert_source import AlertSource
from emulator.fleet.estate import Estate
from emulator.fleet.faulty_radio import FaultyLink
from emulator.fleet.faulty_wires import FaultySms, FaultyWan
from emulator.fleet.installation import KEYED, Installation
from emulator.fleet.rows import Rows
from emulator.fleet.wires import Radio, ShortMessage, WanDown, WanUp
from emulator.han.join import JoinState
from emulator.han.link_state import FOREVER, NEVER, HanLink
from emulator.headend.desk import Caseworker, Desk
from emulator.kernel.effects import (
    ALERTS,
    HAN,
    HAN_ELECTRICITY,
    HAN_GAS,
    HAN_IHD,
    SMS,
    WAN,
    Instant,
    Note,
    Port,
)
from emulator.kernel.journal import Journal, Sink, combined_digest
from emulator.kernel.machine import Machine, Party
from emulator.kernel.world import Wire, World
from emulator.link.air import Air, AirProfile, Coverage
from emulator.link.chain import Chain, Recorder
from emulator.link.profile import LinkProfile

CONTEXTS: Final = len(KEYED)
"""Security contexts an installation has on each side: one for each device that holds keys."""

CONTEXT_BYTES: Final = 80
"""A context line and its master key."""

OLD_HEAD_END_TITLE: Final = b"SMSO\x00\x00\x00\x01"
"""System title of the operator that ran the meters before; the peer every device knows until another one associates."""

_HAN_PORTS: Final[Mapping[Port, Party]] = {
    HAN_ELECTRICITY: Party.ELECTRICITY,
    HAN_GAS: Party.GAS,
    HAN_IHD: Party.IHD,
}

_STRUCK: Final[Mapping[tuple[int, Port], tuple[Point, ...]]] = {
    (Party.HEADEND, WAN): (Point.WAN_DOWN, Point.CORE),
    (Party.HUB, WAN): (Point.WAN_UP, Point.CORE),
    (Party.HUB, ALERTS): (Point.WAN_UP, Point.CORE),
    (Party.HEADEND, SMS): (Point.SMS,),
}
"""The wires that faults may be on, and where."""

_HEADEND: Final = int(Party.HEADEND)
_BY_NUMBER: Final = tuple(Party)
_PARTIES: Final = 8

_PACK: Final = msgspec.msgpack.Encoder().encode
_UNPACK: Final = msgspec.msgpack.Decoder(dict[int, bytes]).decode


class Cell:
    """One cell of an estate, with its world. `begin` the world by waking installations at the desk."""

    def __init__(
        self,
        estate: Estate,
        number: int,
        caseworker: Caseworker,
        *,
        link: str,
        profile: LinkProfile,
        air: AirProfile,
        sink: Sink | None = None,
        tap: Recorder | None = None,
        faults: Sequence[Fault] = (),
    ) -> None:
        self.estate = estate
        self.number = number
        self.members = estate.members(number)
        self.journal = Journal(sink)
        self.store = ContextStore(len(self.members) * CONTEXTS)
        self.rows = Rows(self.members.start, len(self.members))
        self.mischief = Mischief(estate.seed)
        """The faults in force here; put in force by `arm`."""
        self.chain = Chain(link, number, estate.seed, profile, tap)
        self.air = Air(estate.seed, air)
        self.coverages: dict[int, Coverage] = {}
        self.desk = Desk(caseworker)
        self._talking = self.desk.running
        self.world = World(self, self, self.journal, estate.start)
        self._awake: dict[int, dict[int, registry.StoredMachine]] = {}
        self.up: Mapping[int, Mapping[int, Machine]] = self._awake
        """The machines that frames may be given to without asking `machine`."""
        self._homes: dict[int, Installation] = {}
        self._links: dict[int, HanLink | FaultyLink] = {}
        self.witness: Witness | None = None
        """Who looks over the shoulders of the devices; see `attend`."""
        self.alerts: AlertSource | None = None
        """Who lets devices notice things; nobody unless `alert` was called."""
        self.wires = self._string_wires()
        """What lies behind a party's port; the same in every installation."""
        for number, fault in enumerate(faults, 1):
            self.arm(fault, estate.start, number)

    # Mischief

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
        for key, points in _STRUCK.items():
            wire, wanted = wires[key], any(mischief.watches(point) for point in points)
            if isinstance(wire, FaultyWan | FaultySms):
                if not wanted:
                    wires[key] = wire.inner
            elif wanted and isinstance(wire, WanDown | WanUp):
                alerts = key[1] == ALERTS
                wires[key] = FaultyWan(wire, mischief, self.chain, self.journal, self._whose, alerts=alerts)
            elif wanted:
                wires[key] = FaultySms(wire, mischief, self.journal)
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

    # The roster

    def machine(self, installation: int, party: int) -> Machine:
        """The machine behind a party, built from its row if it sleeps."""
        if party == _HEADEND:
            return self._talking.get(installation) or self.desk.machine(installation)
        home = self._awake.get(installation)
        if home is None:
            home = self._awake[installation] = {}
        found = home.get(party)
        if found is None:
            found = home[party] = self._build(installation, _BY_NUMBER[party])
        return found

    def sleep(self, installation: int) -> None:
        """Put the home's machines back into its row."""
        self._homes.pop(installation, None)
        home = self._awake.pop(installation, None)
        if home is None:
            return
        blob = self.rows.row(installation)
        states = _UNPACK(blob) if blob else {}
        for party, machine in home.items():
            state = machine.snapshot()
            if state:
                states[int(party)] = state
            else:
                states.pop(int(party), None)
            if (drop := getattr(machine, "drop", None)) is not None:
                drop()  # associations are volatile; and a server holds its device, which else waits for the collector
        self.rows.store(installation, _PACK(states) if states else b"")
        for party in _HAN_PORTS.values():
            self._links.pop(installation * _PARTIES + party, None)

    def home(self, installation: int) -> Installation:
        """The truth about a home, kept while it is awake or being called: drawing it takes 70 µs."""
        home = self._homes.get(installation)
        if home is None:
            home = self.estate.installation(installation)
            if installation in self._awake or self.world.is_up(installation):
                self._homes[installation] = home
        return home

    def context(self, installation: int, party: Party) -> int:
        """The index of a device's security context, in the devices' store and in the head end's."""
        return (installation - self.members.start) * CONTEXTS + party - Party.HUB

    def digest(self) -> str:
        """Everything noted, every byte the link delivered and when, and how every row stands: 32 bytes as hex."""
        return combined_digest((self.journal.digest(), self.chain.log.digest(), self.rows.digest().hex()))

    def context_bytes(self) -> float:
        """Memory of one home's contexts on the devices' side, by construction."""
        return CONTEXTS * CONTEXT_BYTES

    @property
    def awake(self) -> int:
        """How many installations are objects now."""
        return len(self._awake)

    def attend(self, witness: Witness | None) -> None:
        """Have somebody look over the shoulders of all devices, those awake included; None: nobody any more."""
        self.witness = witness
        for home in self._awake.values():
            for machine in home.values():
                if hasattr(machine, "witness"):
                    machine.witness = machine.server.witness = witness  # type: ignore[attr-defined]

    # What devices notice by themselves

    def alert(self, causes: Causes, per_day: float) -> AlertSource:
        """Let the cell's devices alert from now on, `per_day` times an installation on average (0: only in storms)."""
        now = self.world.now
        source = AlertSource(self.estate.seed, self.members, causes, per_day, self._happen, now)
        self.alerts = self.world.agenda = source
        return source

    def _happen(self, installation: int, what: Occurrence, luck: int) -> None:
        """Let a device of a home notice something now; another device if the home has none of that kind."""
        source = self.alerts
        assert source is not None
        home = self._homes.get(installation)
        if home is None:
            home = self.estate.installation(installation)
        if home.device(what.party) is None:
            what = source.causes.elsewhere(luck)
            if home.device(what.party) is None:
                return
        self._homes[installation] = home  # until the home falls asleep, which it does at the end of the command
        self.before_alert(installation)
        source.count(what.notice.code)
        self.world.command(installation, what.party, what.notice)

    def before_alert(self, installation: int) -> None:
        """A device of a home is about to alert; nothing is done here."""

    def model(self, name: str) -> registry.DeviceModel:
        """What a device of that name is made by here. Raises InputError."""
        return registry.model(name)

    def _build(self, installation: int, party: Party) -> "registry.StoredMachine":
        home = self.home(installation)
        spec = home.device(party)
        assert spec is not None, f"installation {installation} has no {party.name}"
        model = self.model(spec.model)
        contexts: dict[int, int] = {}
        if party in KEYED:
            index = self.context(installation, party)
            contexts[model.profile.addressing.management] = index
            if not self.store.loaded(index):
                self._load(home, party, spec.system_title, index)
        blob = self.rows.row(installation)
        state = _UNPACK(blob).get(int(party)) if blob else None
        machine = model.create(home, spec, store=self.store, contexts=contexts, seed=self.estate.seed, state=state)
        if self.mischief.concerns(installation):
            self._trouble(installation, party, machine)
        if self.witness is not None and hasattr(machine, "witness"):
            machine.witness = self.witness
        if party is Party.HUB and hasattr(machine, "watch"):
            machine.watch = self._watch(installation)
        return machine

    def _watch(self, installation: int) -> Callable[[Party, Instant], JoinState]:
        """How the radio of a home tells its hub of a device; asked for every frame that the hub forwards."""
        links, first = self._links, installation * _PARTIES

        def watch(device: Party, now: Instant) -> JoinState:
            link = links.get(first + device)
            return (self.link(installation, device) if link is None else link).state(now)

        return watch

    def _load(self, home: Installation, party: Party, title: bytes, index: int) -> None:
        keys = self.estate.keys(home, party)
        tx, rx = self.estate.counters(home, party)
        self.store.load(index, ek=keys.ek, ak=keys.ak, title=title, peer=OLD_HEAD_END_TITLE, tx=tx, rx=rx, kek=keys.kek)

    # The wiring

    def _string_wires(self) -> dict[tuple[int, Port], Wire]:
        chain, air, coverages, journal = self.chain, self.air, self.coverages, self.journal
        wires: dict[tuple[int, Port], Wire] = {
            (Party.HEADEND, WAN): WanDown(chain, air, coverages, journal),
            (Party.HEADEND, SMS): ShortMessage(air, coverages),
            (Party.HUB, WAN): WanUp(chain, air, coverages, journal, alerts=False),
            (Party.HUB, ALERTS): WanUp(chain, air, coverages, journal, alerts=True),
        }
        for port, device in _HAN_PORTS.items():
            wires[Party.HUB, port] = Radio(self.link, device, down=True, hub_port=port, journal=journal)
            wires[device, HAN] = Radio(self.link, device, down=False, hub_port=port, journal=journal)
        return wires

    def link(self, installation: int, party: Party) -> HanLink | FaultyLink:
        """The radio link between a home's hub and one of its devices."""
        key = installation * _PARTIES + party
        found = self._links.get(key)
        if found is None:
            home = self.home(installation)
            spec = home.device(party)
            assert spec is not None
            condition = home.condition
            lost = condition is not None and condition.kind == "MF5" and condition.device is party
            sound = HanLink(
                self.estate.seed,
                installation,
                party,
                lost=((NEVER, FOREVER),) if lost else (),
                sleepy=registry.model(spec.model).sleepy(self.estate.seed, installation),
            )
            found = self._links[key] = self._radio(sound)
        return found

    def _radio(self, link: HanLink) -> HanLink | FaultyLink:
        """A radio link as it is to be used: sound, or under the faults in force."""
        if self.mischief.watches(Point.HAN) and self.mischief.concerns(link.installation):
            return FaultyLink(link, self.mischief, self.journal)
        return link
