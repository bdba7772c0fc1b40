"""A live estate: its cells on one virtual clock, for a shell to pace. Knows no socket, no thread and no real time.

A frame from outside is put on the head end's WAN port and travels like any other: core link, air, hub, radio, meter.
Its answer is kept until `commit`, which first makes durable what changed and only then hands answers out. So whatever
a client has seen is true after a power cut too: keys, counters, relays and logs are in the store before the first byte
of the reply leaves.

`timing` is `instant` (nothing takes time, nothing is lost on the way, a hub is up as soon as it is called) or
`modelled` (as the estate says: the hub sleeps until a short message, the air has its latency and loss, a gas meter its
polls).

Who asked is known by its `Line`: one client's way to one home, a TCP connection say. A line keeps the home awake.
When the last line on which a client (a client SAP) spoke to a home is closed, its associations in that home are
dropped, as a device drops them when the transport below has gone: an association does not outlive the connection.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from emulator.commands import AlertStorm, Command
from emulator.dcc.auxiliary_release import FIRST_NUMBER, AuxiliarySettings
from emulator.errors import InputError, UsageError
from emulator.faults.fault import Fault, Point
from emulator.faults.link import LinkOutage
from emulator.faults.link_streams import LinkStream
from emulator.faults.mischief import Armed
from emulator.fleet import alert_causes
from emulator.fleet.estate import Estate
from emulator.fleet.saved import Reservations, Saved
from emulator.fleet.store import StateStore
from emulator.kernel.effects import SMS, WAN, Instant, Port
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party
from emulator.kernel.time import MILLISECOND, SECOND
from emulator.shell import key_facts
from emulator.shell.core_link import LiveLink
from emulator.shell.live_cell import HEADS, Ear, LiveCell, Timing
from emulator.shell.switchboard import Line, Reply, Switchboard
from emulator.watch.estate import EstateWatch

AlertHook: TypeAlias = Callable[[int, bytes, Instant], None]

RING: Final = 10_000
"""Journal entries kept for those who ask later."""

UNDER_WAY_MOST: Final = 64
"""Frames and near wakes a home may have under way before more frames for it are dropped, as a busy network would."""

_SETTLE: Final = MILLISECOND
"""With instant timing an exchange takes some microseconds, as no two packets of a link share one; this is ample."""

_LOOSE_LINES: Final = 1_024
_HEADER: Final = 8
_NOW: Final = "now"
_FOUND: Final = (b"", ())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A live estate at one moment, in memory; holds keys. `homes` maps a number to its row and its contexts."""

    homes: Mapping[int, tuple[bytes, tuple[bytes | None, ...]]]

    def __repr__(self) -> str:
        return f"<snapshot of {len(self.homes)} homes>"  # never a key


_SPLITS: Final = 1_024
"""So many answers that are to come in pieces are remembered at most."""


class LiveEstate:
    """The cells of an estate, made when first called for.

    `link` is plain, ipsec or mpls ("" for the estate's own). With a `store`, opened for this estate, it goes on where
    it stood when it was last saved; `close` gives the store back.
    """

    def __init__(
        self, estate: Estate, *, link: str = "", timing: Timing = "instant", store: StateStore | None = None
    ) -> None:
        self.estate = estate
        self.link = LiveLink(estate, link, lambda: self._now, lambda: (cell.chain for cell in self._cells.values()))
        self.timing: Timing = timing
        self.store = store
        self.on_alert: AlertHook | None = None
        """Called with (installation, wrapper frame, now) for each alert that reaches this head end's address, or
        whichever address if all are overheard."""
        self.alerts_per_day = 0.0
        """How often an installation alerts by itself, on average."""
        self.overhears = False
        self.watch: EstateWatch | None = None
        """Who watches what clients do wrong; nobody unless `overlook` was called."""
        self.auxiliary = AuxiliarySettings()
        """What the core release in force can do with auxiliary load; `release` sets it."""
        self.dropped = 0
        """Frames of outsiders that were not let in: the home was busy, or they were no wrapper frames."""
        self.kept: dict[int, bytes] = {}
        """What was kept beside homes when their state was loaded."""
        self.beside: Callable[[int], bytes] = lambda installation: self.kept.get(installation, b"")
        """What else is to be kept of a home, in the same transaction: its runner's own, b"" for nothing."""
        self.sequence = 0
        """Number of the newest journal entry; they count from 1."""
        self._faults: dict[int, tuple[Fault, Instant]] = {}
        self._cells: dict[int, LiveCell] = {}
        self._now = estate.start
        self._ring: deque[tuple[int, Entry]] = deque(maxlen=RING)
        self._sinks: list[Callable[[Entry], None]] = []
        self._capture: list[Entry] | None = None
        self._lively: set[int] = set()
        self.switchboard = Switchboard()
        self._loose: OrderedDict[tuple[int, Port, Reply], Line] = OrderedDict()
        self._replies: list[tuple[Line, bytes]] = []
        self._splits: OrderedDict[tuple[int, bytes], tuple[int, int]] = OrderedDict()
        self._reservations = Reservations()
        if store is not None:
            # Later than anything that was seen of the last run, so no challenge made from the time comes again.
            self._now = max(self._now, store.now, int(store.get(_NOW) or b"0")) + MILLISECOND
        self.link.plan(deaths=timing != "instant")

    # Time

    @property
    def now(self) -> Instant:
        """Virtual time, µs since 1970."""
        return self._now

    @property
    def due(self) -> Instant | None:
        """When something next happens by itself; None: nothing is under way."""
        return min((at for cell in self._cells.values() if (at := cell.world.due) is not None), default=None)

    def advance(self, to: Instant) -> None:
        """Carry out everything due up to and including `to`. With instant timing what was let in is seen through to
        its answer, even though that takes some virtual microseconds beyond."""
        if to >= self._now:
            for cell in self._cells.values():
                cell.world.run_until(to)
            self._now = to
            self.link.reach(to)
        if not self._lively:
            return
        if self.timing == "instant":
            end = self._now + _SETTLE
            for number in self._lively:
                world = self._cells[number].world
                while (due := world.due) is not None and due <= end:
                    world.run_until(due)
                self._now = max(self._now, world.now)
        else:
            for number in self._lively:
                self._cells[number].world.run_until(self._now)
        self._lively.clear()
        self.switchboard.settled(self.timing == "instant")

    def stir(self, installation: int) -> None:
        """Something was put into a home's queue by hand: with instant timing it is seen through, as if from outside."""
        self._lively.add(self.cell(installation).number)

    # Cells

    def cell(self, installation: int) -> LiveCell:
        """The cell of an installation, made on first use, loaded from the store, and brought up to now. Raises
        InputError for a home the estate does not have."""
        self._check(installation)
        number = self.estate.cell_of(installation)
        found = self._cells.get(number)
        if found is None:
            found = self._make(number)
        return found

    @property
    def cells(self) -> Mapping[int, LiveCell]:
        """The cells made so far, by number."""
        return self._cells

    def _make(self, number: int) -> LiveCell:
        cell = LiveCell(
            self.estate,
            number,
            Ear(self._answer, self._alert),
            link=self.link.kind,
            timing=self.timing,
            sink=self._note,
            opening=1 if self.store is None else self.store.openings,
        )
        cell.world.run_until(self._now)
        self.link.acquaint(cell.chain)
        cell.overhear(self.overhears)
        if self.watch is not None:
            cell.attend(self.watch.over(cell))
        if self.store is not None:
            for installation, saved in self.store.load_cell(number):
                cell.put(installation, saved.machines, saved.contexts)
                self._reservations.durable(installation, saved)
                if saved.other:
                    self.kept[installation] = saved.other
            cell.touched.clear()
        cell.mischief.on_split = self._split
        self._cells[number] = cell
        self._lively.add(number)
        for fault_number, (fault, since) in self._faults.items():
            cell.arm(fault, since, fault_number)
        if self.alerts_per_day:
            cell.alert(self.causes, self.alerts_per_day)
        return cell

    # Faults

    def arm(self, fault: Fault, number: int) -> None:
        """Put a fault in force from now on, in cells made later too, under a number that was not used yet."""
        self._faults[number] = fault, self._now
        for cell in self._cells.values():
            cell.arm(fault, self._now, number)

    def release(self, auxiliary: AuxiliarySettings) -> None:
        """Go by a core release: once, before anybody comes. The faults of a hypothesis are in force from now on."""
        self.auxiliary = auxiliary
        for number, fault in enumerate(auxiliary.faults(), FIRST_NUMBER):
            self.arm(fault, number)

    def disarm(self, number: int) -> None:
        """End a fault; harmless when it has ended."""
        if self._faults.pop(number, None) is not None:
            for cell in self._cells.values():
                cell.disarm(number)

    def black(self, now: Instant) -> bool:
        """Whether the core link of every cell is black at `now`: by a fault, not by an outage of its own."""
        outages = (
            Armed(number, fault, since)
            for number, (fault, since) in self._faults.items()
            if isinstance(fault, LinkOutage) and fault.installation is None
        )
        return any(each.since <= now < each.until for each in outages)

    def _split(self, installation: int, frame: bytes, at: int, gap: Instant) -> None:
        """An answer is to come in two pieces, if it is for a client that reads a stream."""
        self._splits[installation, frame] = at, gap
        if len(self._splits) > _SPLITS:  # those of the emulator's own head end, which nobody takes out
            self._splits.popitem(last=False)

    def fired(self, number: int) -> int:
        """How often a fault struck, in all homes so far."""
        return sum(cell.mischief.fired.get(number, 0) for cell in self._cells.values())

    def _check(self, installation: int) -> None:
        if not 0 <= installation < self.estate.installations:
            raise InputError(
                f"estate {self.estate.name} has no installation {installation}; "
                f"it has {self.estate.installations}, numbered from 0"
            )

    # Frames

    def line(self, installation: int, reply: Reply, port: Port = WAN) -> Line:
        """Open a client's way to a home. Raises InputError, UsageError for a port that no outsider has."""
        if port != WAN and port not in HEADS:
            raise UsageError(f"no outsider speaks on port {port!r}")
        cell = self.cell(installation)
        if port in HEADS and self.estate.installation(installation).device(HEADS[port]) is None:
            raise InputError(f"installation {installation} has no {HEADS[port].name.lower()} meter")
        cell.hold(installation)
        return Line(self, installation, reply, port)

    def stream(self, installation: int) -> LinkStream | None:
        """A client has made a TCP connection to a home: the fault it meets, which is noted; or None."""
        cell = self.cell(installation)
        strike = cell.mischief.strike(Point.STREAM, installation, None, self._now)
        if strike is None:
            return None
        cell.journal.note(self._now, installation, Party.HUB, strike.note)
        fault: LinkStream = strike.fault
        return fault

    def inject(self, installation: int, frame: bytes, reply: Reply, port: Port = WAN) -> bool:
        """As `line(...).send(frame)`, for a caller without a connection: the same `reply` is the same line, and of
        such lines only the last 1,024 are kept."""
        key = (installation, port, reply)
        line = self._loose.get(key)
        if line is None:
            line = self._loose[key] = self.line(installation, reply, port)
            if len(self._loose) > _LOOSE_LINES:
                _, oldest = self._loose.popitem(last=False)
                self.hang_up(oldest)
        else:
            self._loose.move_to_end(key)
        return self.send(line, frame)

    def send(self, line: Line, frame: bytes) -> bool:
        """`Line.send`."""
        installation = line.installation
        cell = self.cell(installation)
        if line.closed or len(frame) < _HEADER or cell.world.under_way(installation) >= UNDER_WAY_MOST:
            self.dropped += 1
            return False
        client, server = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        self.switchboard.asked(line, client, server, self._now)
        if line.port == WAN:
            cell.approach(installation)
        cell.world.send(installation, Party.HEADEND, line.port, frame)
        self._lively.add(cell.number)
        return True

    def hang_up(self, line: Line) -> None:
        """`Line.close`. Closing twice is harmless."""
        if line.closed:
            return
        for client in tuple(line.saps):
            self.quit(line, client)
        line.closed = True
        self.cell(line.installation).let_go(line.installation)

    def quit(self, line: Line, client: int) -> None:
        """`Line.forget`."""
        if line.closed or client not in line.saps:
            return
        if self.switchboard.left(line, client):
            self.cell(line.installation).hang_up(line.installation, client)

    def text(self, installation: int, message: bytes) -> None:
        """Send a short message to a hub: b"SMETS1 WAKE 10.0.0.1:4061 token" wakes it and has it call back."""
        cell = self.cell(installation)
        cell.approach(installation)
        cell.world.send(installation, Party.HEADEND, SMS, message)
        self._lively.add(cell.number)

    def command(self, installation: int, party: int, command: Command) -> list[Entry]:
        """Give a machine a person's wish, now; the notes it made. Raises InputError when there is no such device."""
        cell = self.cell(installation)
        home = self.estate.installation(installation)
        if party != Party.HEADEND and home.device(Party(party)) is None:
            raise InputError(f"installation {installation} has no {Party(party).name.lower()}")
        cell.approach(installation)
        heard: list[Entry] = []
        self._capture = heard
        try:
            cell.world.command(installation, party, command)
        finally:
            self._capture = None
        self._lively.add(cell.number)
        return heard

    def _answer(self, installation: int, port: Port, frame: bytes) -> bool:
        """A cell's frame for the head end: hand it to whoever waits longest, else to whoever asked last."""
        client, server = int.from_bytes(frame[4:6], "big"), int.from_bytes(frame[2:4], "big")
        line = self.switchboard.whose((installation, port, client, server), self._now)
        if line is None:
            return False
        self._replies.append((line, frame))
        return True

    def _alert(self, installation: int, frame: bytes, now: Instant) -> None:
        if self.on_alert is not None:
            self.on_alert(installation, frame, now)

    # What devices say by themselves

    @property
    def causes(self) -> alert_causes.Causes:
        """The estate's table of causes. Raises InputError for one that cannot be read."""
        return alert_causes.read(self.estate.recipe.alerts.causes)

    def set_alert_rate(self, per_day: float) -> None:
        """Let every installation alert so many times a day on average, from now on. Makes all cells unless it is 0."""
        causes = self.causes
        self.alerts_per_day = per_day
        for number in range(self.estate.cells) if per_day else tuple(self._cells):
            cell = self._cells.get(number) or self._make(number)
            if cell.alerts is None:
                cell.alert(causes, per_day)
            else:
                cell.alerts.set_rate(per_day, cell.world.now)

    def overhear(self, wanted: bool) -> None:
        """Hear the alerts to every operator's address, or those to this head end's alone."""
        self.overhears = wanted
        for cell in self._cells.values():
            cell.overhear(wanted)

    def overlook(self, watch: EstateWatch) -> None:
        """Have every cell watched, those made later too."""
        self.watch = watch
        for cell in self._cells.values():
            cell.attend(watch.over(cell))

    def storm(self, storm: AlertStorm) -> int:
        """Begin a storm; how many installations are in it. Raises InputError for a home the estate does not have."""
        for installation in storm.installations or ():
            self._check(installation)
        concerned: Sequence[int] = range(self.estate.cells)
        if storm.installations is not None:
            concerned = sorted({self.estate.cell_of(number) for number in storm.installations})
        causes, homes = self.causes, 0
        for number in concerned:
            cell = self._cells.get(number) or self._make(number)
            source = cell.alerts or cell.alert(causes, self.alerts_per_day)
            homes += source.storm(
                storm.code,
                storm.factor,
                self._now + round(storm.seconds * SECOND),
                self._now,
                installations=storm.installations,
                share=storm.share,
                device=storm.device,
            )
        return homes

    def end_storms(self) -> int:
        """End all storms; in how many cells one raged, each counted."""
        return sum(cell.alerts.end_storms() for cell in self._cells.values() if cell.alerts is not None)

    def raised(self) -> dict[int, int]:
        """Alerts that devices were let notice, by code."""
        found: dict[int, int] = {}
        for cell in self._cells.values():
            for code, count in (cell.alerts.raised if cell.alerts is not None else {}).items():
                found[code] = found.get(code, 0) + count
        return found

    # The journal

    def subscribe(self, sink: Callable[[Entry], None]) -> None:
        """Hand every later journal entry to `sink`, as it is made."""
        self._sinks.append(sink)

    def unsubscribe(self, sink: Callable[[Entry], None]) -> None:
        """The opposite; harmless when it never subscribed."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    def entries(self, after: int = 0) -> Iterator[tuple[int, Entry]]:
        """The entries numbered above `after` that are still kept, oldest first, each with its number."""
        return ((number, entry) for number, entry in tuple(self._ring) if number > after)

    def _note(self, entry: Entry) -> None:
        self.sequence += 1
        self._ring.append((self.sequence, entry))
        if self._capture is not None:
            self._capture.append(entry)
        for sink in self._sinks:
            sink(entry)

    # State

    @property
    def uncommitted(self) -> bool:
        """Whether anything waits for `commit`."""
        return bool(self._replies) or any(cell.touched for cell in self._cells.values())

    def commit(self) -> None:
        """Make durable what changed since the last time, in one transaction for all, and hand out the answers.

        Raises InputError when the store cannot (a full disk): then nothing was handed out and nothing is lost, and it
        may be called again."""
        if self.store is not None:
            self._save(self.store)
        for cell in self._cells.values():
            cell.touched.clear()
        replies, self._replies = self._replies, []
        for line, frame in replies:
            if line.closed:
                continue
            split = self._splits.pop((line.installation, frame), None) if self._splits else None
            if split is None or line.in_pieces is None:
                line.reply(frame)
            else:
                line.in_pieces(frame, split[0], split[1] / SECOND)

    def _save(self, store: StateStore) -> None:
        batch: dict[int, list[tuple[int, Saved]]] = {}
        for number, cell in self._cells.items():
            for installation in sorted(cell.touched):
                contexts, other = cell.contexts(installation), self.beside(installation)
                saved = self._reservations.reserve(installation, cell.row(installation), contexts, other)
                if saved is not None:
                    batch.setdefault(number, []).append((installation, saved))
        if batch:
            store.save(batch, self._now)
            for homes in batch.values():
                for installation, saved in homes:
                    self._reservations.durable(installation, saved)

    def reset(self, installation: int | None = None) -> None:
        """An installation, or the whole estate, as it was found; the clock goes on and send counters do not fall."""
        for number in [installation] if installation is not None else list(self._touched_ever()):
            cell = self.cell(number)
            cell.put(number, *_FOUND)
            self._lively.add(cell.number)

    def snapshot(self) -> Snapshot:
        """All that deviates from the estate as found, in memory."""
        homes = {}
        for number in self._touched_ever():
            cell = self.cell(number)
            contexts = tuple(None if raw is None else bytes(raw) for raw in cell.contexts(number))
            homes[number] = (cell.row(number), contexts)
        return Snapshot(homes)

    def restore(self, snapshot: Snapshot) -> None:
        """Back to what `snapshot` gave, without its volatile state. Neither time nor send counters go back."""
        for number in self._touched_ever() | set(snapshot.homes):
            row, contexts = snapshot.homes.get(number, _FOUND)
            cell = self.cell(number)
            cell.put(number, row, contexts)
            self._lively.add(cell.number)

    def _touched_ever(self) -> set[int]:
        """Homes that may deviate: whose row is not empty, or whose keys were ever loaded."""
        if self.store is not None:
            for number in range(self.estate.cells):
                if number not in self._cells:
                    self._make(number)
        return {number for cell in self._cells.values() for number in cell.members if cell.deviates(number)}

    def keys(self, installation: int, *, host: str = "", port: int = 0) -> list[dict[str, Any]]:
        """What a client needs to talk to each device of a home: the `devices` of `smets1 keys`, true at this moment.
        Changes nothing."""
        return key_facts.devices(self.cell(installation), installation, host, port)

    def close(self) -> None:
        """Commit, keep the time, close the store. Raises InputError as `commit` does; the store is closed anyway."""
        try:
            self.commit()
            if self.store is not None:
                self.store.set(_NOW, b"%d" % self._now)
        finally:
            if self.store is not None:
                self.store.close()
