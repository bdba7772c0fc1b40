"""A cell: up to 4,096 installations with everything they need, and nothing they share with other cells.

It owns its queue, its link, its air, its context store, its rows and its journal, so a cell can live in any process and
end with the same digest. Asleep, an installation is a row here and three lines in the context store; `machine` builds
what a frame touches and `sleep` takes it back.

Keys as found are derived when a device is first touched, not when the cell is made: an estate nobody calls costs no
key at all.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from mypy_extensions import mypyc_attr

from emulator.crypto.keys import ContextStore
from emulator.dlms.witness import Witness
from emulator.faults.fault import Fault
from emulator.faults.mischief import Mischief
from emulator.fleet import registry
from emulator.fleet.alert_causes import Causes, Occurrence
from emulator.fleet.alert_source import AlertSource
from emulator.fleet.estate import Estate
from emulator.fleet.faulty_radio import FaultyLink
from emulator.fleet.installation import KEYED, Installation
from emulator.fleet.rows import Rows
from emulator.fleet.stricken import Stricken
from emulator.fleet.wires import PARTIES, Radio, ShortMessage, WanDown, WanUp
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

_HEADEND: Final = int(Party.HEADEND)
_BY_NUMBER: Final = tuple(Party)

_PACK: Final = msgspec.msgpack.Encoder().encode
_UNPACK: Final = msgspec.msgpack.Decoder(dict[int, bytes]).decode


@mypyc_attr(allow_interpreted_subclasses=True)
class Cell(Stricken):
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
            self._links.pop(installation * PARTIES + party, None)

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
        links, first = self._links, installation * PARTIES

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
            wires[Party.HUB, port] = Radio(self._links, self.link, device, down=True, hub_port=port, journal=journal)
            wires[device, HAN] = Radio(self._links, self.link, device, down=False, hub_port=port, journal=journal)
        return wires

    def link(self, installation: int, party: Party) -> HanLink | FaultyLink:
        """The radio link between a home's hub and one of its devices."""
        key = installation * PARTIES + party
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
