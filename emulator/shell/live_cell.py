"""A cell whose head end is outside: other people's programs, at the other end of sockets.

It differs from any cell in three things. Frames for the head end go to whoever asked, before a conversation of the
emulator's own is looked for. A home that somebody holds a line to stays awake, because associations live in objects and
not in rows. And it writes down which homes were touched, so that what changed can be made durable.

A meter also has an optical head, which the WAN knows nothing of: a port of its own, wired straight to the device.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgspec

from emulator.commands import ComeUp, Command, HangUp
from emulator.crypto import derive
from emulator.fleet import core_link
from emulator.fleet.cell import CONTEXTS, Cell
from emulator.fleet.estate import Estate
from emulator.fleet.faulty_radio import FaultyLink
from emulator.fleet.faulty_wires import FaultyWan
from emulator.fleet.installation import KEYED
from emulator.fleet.wires import OVERHEARD, WanUp
from emulator.han.link_state import FOREVER, NEVER, HanLink, HanProfile
from emulator.headend.conversation import Conversation
from emulator.headend.desk import Caseworker
from emulator.kernel.effects import ALERTS, Effects, Instant, Note, Port
from emulator.kernel.journal import Sink
from emulator.kernel.machine import Machine, Party
from emulator.link.air import AirProfile, Coverage
from emulator.link.chain import Chain

OPTICAL: Final[Port] = "optical"
"""A meter's optical head."""

HEADS: Final[dict[Port, Party]] = {f"{OPTICAL}.{party.name.lower()}": party for party in (Party.ELECTRICITY, Party.GAS)}
"""The head end's side of an optical head: the port to put a frame on, and the meter behind it."""

Timing: TypeAlias = Literal["instant", "modelled"]

_AT_ONCE: Final = HanProfile(latency_us_min=0, latency_us_max=0)
_SOUND: Final = AirProfile(
    latency_us_min=0, latency_us_max=0, loss=0.0, sms_delay_us_min=0, sms_delay_us_max=0, sms_loss=0.0
)

_PARTIES: Final = 8
_PACK: Final = msgspec.msgpack.Encoder().encode
_UNPACK: Final = msgspec.msgpack.Decoder(dict[int, bytes]).decode


@dataclass(frozen=True, slots=True)
class Ear:
    """What a cell does with frames that come to the head end. `answer` says whether somebody outside took it."""

    answer: Callable[[int, Port, bytes], bool]
    alert: Callable[[int, bytes, Instant], None]


class LiveCell(Cell):
    """One cell of a `LiveEstate`. `opening` counts the runs of a kept state: each has a link with keys of its own."""

    def __init__(
        self, estate: Estate, number: int, ear: Ear, *, link: str, timing: Timing, sink: Sink, opening: int = 1
    ) -> None:
        self.ear = ear
        self.instant = timing == "instant"
        self.touched: set[int] = set()
        """Homes one of whose machines was called since somebody last asked."""
        self.caseworker: Caseworker | None = None
        """Who begins conversations of the emulator's own; nobody unless set."""
        self._held: dict[int, int] = {}
        self._known: set[int] = set()
        chosen = core_link.of_kind(estate.recipe.link, link)
        profile = core_link.profile_of(chosen, estate.start)
        if self.instant:
            profile = core_link.untroubled(profile)
        air = _SOUND if self.instant else core_link.air_of(chosen)
        super().__init__(estate, number, self, link=link, profile=profile, air=air, sink=sink)
        self.up = {}  # every call goes through `machine`, which writes down whom it touched
        if opening > 1:
            # A link that is set up anew has new keys: under the old ones its counters stood elsewhere.
            fresh = derive.key(b"%d" % estate.seed, "link opening", opening)
            self.chain = Chain(link, number, int.from_bytes(fresh[:7], "big"), profile)
            self.wires = self._string_wires()
        for port, party in HEADS.items():
            self.wires[Party.HEADEND, port] = Lead(party, OPTICAL)
            self.wires[party, OPTICAL] = Lead(Party.HEADEND, port)

    # Who answers for the head end

    def begin(self, installation: int, now: Instant) -> tuple[Conversation, Effects] | None:
        """The desk's question: a conversation of the emulator's own, if anybody plans one."""
        return None if self.caseworker is None else self.caseworker.begin(installation, now)

    def machine(self, installation: int, party: int) -> Machine:
        if party == Party.HEADEND:
            return Outside(self, installation)
        self.touched.add(installation)
        return super().machine(installation, party)

    def changed(self, installation: int) -> None:
        self.touched.add(installation)

    # Who stays awake

    def hold(self, installation: int) -> None:
        """Keep a home's machines as objects until as many `let_go`s came."""
        self._held[installation] = self._held.get(installation, 0) + 1

    def let_go(self, installation: int) -> None:
        """One holder fewer."""
        left = self._held[installation] - 1
        if left:
            self._held[installation] = left
        else:
            del self._held[installation]
            if not self.world.under_way(installation):
                self.sleep(installation)

    def sleep(self, installation: int) -> None:
        if installation not in self._held:
            super().sleep(installation)

    # What an outsider needs of a home

    def survey(self, installation: int) -> None:
        """Know a home's radio coverage: a home that never had any has none now, one that loses it loses it (modelled)
        some time after the estate begins."""
        if installation in self._known:
            return
        self._known.add(installation)
        home = self.estate.installation(installation)
        outage = self.estate.outage(home, self.estate.start)
        never = home.condition is not None and home.condition.kind == "MF2"
        if outage is not None and (never or not self.instant):
            self.coverages[installation] = Coverage(gaps=(outage,))

    def approach(self, installation: int) -> None:
        """Before a frame is sent to or from a home: know its coverage, and have its hub up if all is instant."""
        self.survey(installation)
        if self.instant and installation not in self.coverages and self.covered(installation, self.world.now):
            self.world.command(installation, Party.HUB, ComeUp())

    def before_alert(self, installation: int) -> None:
        """With instant timing nobody waits for the hub to attach."""
        self.approach(installation)

    def overhear(self, wanted: bool) -> None:
        """Hear the alerts that go to other operators' addresses too, or no more."""
        wire = self.wires[Party.HUB, ALERTS]
        if isinstance(wire, FaultyWan):
            wire = wire.inner
        assert isinstance(wire, WanUp)
        wire.overhears = wanted

    def hang_up(self, installation: int, client_sap: int) -> None:
        """Let the devices that are awake forget a client's associations."""
        for party in tuple(self._awake.get(installation, ())):
            if party in KEYED:
                self.world.command(installation, party, HangUp(client_sap))

    def link(self, installation: int, party: Party) -> HanLink | FaultyLink:
        if not self.instant:
            return super().link(installation, party)
        key = installation * _PARTIES + party
        found = self._links.get(key)
        if found is None:
            condition = self.home(installation).condition
            lost = condition is not None and condition.kind == "MF5" and condition.device is party
            gone = ((NEVER, FOREVER),) if lost else ()
            sound = HanLink(self.estate.seed, installation, party, _AT_ONCE, lost=gone, lqi=255)
            found = self._links[key] = self._radio(sound)
        return found

    # What a home is made of, for keeping

    def row(self, installation: int) -> bytes:
        """What the home's devices would hand over if they fell asleep now; they do not."""
        blob = self.rows.row(installation)
        home = self._awake.get(installation)
        if home is None:
            return blob
        states = _UNPACK(blob) if blob else {}
        for party, machine in home.items():
            state = machine.snapshot()
            if state:
                states[int(party)] = state
            else:
                states.pop(int(party), None)
        return _PACK(states) if states else b""

    def contexts(self, installation: int) -> list[bytearray | None]:
        """Exports of the home's contexts in the order of `KEYED`, None for one never loaded. Wipe them after use."""
        store = self.store
        indices = [self.context(installation, party) for party in KEYED]
        return [store.export(index) if store.loaded(index) else None for index in indices]

    def put(self, installation: int, row: bytes, contexts: Sequence[bytes | bytearray | None]) -> None:
        """Have a home stand as `row` and `contexts` say; b"" and () is as found.

        Volatile state is lost, and send counters never fall: what was sealed before stays sealed. What the devices
        planned they plan again."""
        if self.witness is not None:
            self.witness.forget(installation)
        self._awake.pop(installation, None)
        self._homes.pop(installation, None)
        for party in (*KEYED, Party.IHD):
            self._links.pop(installation * _PARTIES + party, None)
        self.rows.store(installation, row)
        for place in range(CONTEXTS):
            index = self.context(installation, KEYED[place])
            before = self.store.counters(index)[0] if self.store.loaded(index) else 0
            raw = contexts[place] if place < len(contexts) else None
            if raw is not None:
                self.store.restore(index, raw)
            elif self.store.loaded(index):
                self.store.erase(index)
                self.ensure_keys(installation, KEYED[place])
            if self.store.loaded(index) and self.store.counters(index)[0] < before:
                self.store.set_counters(index, tx=before)
        self.touched.add(installation)
        for each in _UNPACK(row) if row else ():
            self.world.wake(installation, each, self.world.now)

    def deviates(self, installation: int) -> bool:
        """Whether anything of a home may differ from how it was found."""
        if installation in self._awake or self.rows.row(installation):
            return True
        return any(self.store.loaded(self.context(installation, party)) for party in KEYED)

    def ensure_keys(self, installation: int, party: Party) -> int:
        """The index of a device's context, loaded as found if nobody touched it yet."""
        index = self.context(installation, party)
        if not self.store.loaded(index):
            home = self.home(installation)
            spec = home.device(party)
            assert spec is not None
            self._load(home, party, spec.system_title, index)
        return index


class Lead:
    """The cable between an optical head and whoever holds its other end: short and sound."""

    stages: Final = 1
    __slots__ = ("hears",)

    def __init__(self, party: Party, port: Port) -> None:
        self.hears = party, port

    def carry(
        self, stage: int, installation: int, payload: Any, now: Instant, number: int
    ) -> Iterable[tuple[int, Any]]:
        return ((0, payload),)

    def arrive(self, installation: int, payload: Any, now: Instant) -> tuple[int, Port, bytes] | None:
        return *self.hears, payload


class Outside:
    """The head end's machine: outsiders first, then the emulator's own desk."""

    __slots__ = ("_cell", "_installation")

    def __init__(self, cell: LiveCell, installation: int) -> None:
        self._cell = cell
        self._installation = installation

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects:
        cell, installation = self._cell, self._installation
        if port == ALERTS:
            cell.ear.alert(installation, frame, now)
            running = cell.desk.running.get(installation)
            return (Note("headend.heard", (len(frame),)),) if running is None else running.receive(port, frame, now)
        if port == OVERHEARD:
            cell.ear.alert(installation, frame, now)
            return (Note("headend.overheard", (len(frame),)),)
        if cell.ear.answer(installation, port, frame):
            return ()
        return cell.desk.machine(installation).receive(port, frame, now)

    def wake(self, now: Instant) -> Effects:
        self._cell.survey(self._installation)
        return self._cell.desk.machine(self._installation).wake(now)

    def command(self, command: Command, now: Instant) -> Effects:
        return self._cell.desk.machine(self._installation).command(command, now)
