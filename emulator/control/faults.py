"""Faults that an operator puts in force, by name, and how each is ended.

A fault is a frozen dataclass whose fields are its public settings; `start` puts it in force and gives back what ends
it. One that lasts for `seconds` ends by itself in virtual time, without a timer: it is a window, and the table strikes
it out when somebody looks. Nothing here changes what devices or links are; it uses what they offer: windows without
link, coverage or radio, and keys that somebody else put in.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta

from emulator.control import names
from emulator.control.errors import NoSuchThingError, NotNowError
from emulator.crypto import derive
from emulator.errors import UsageError
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.link.air import COVERED, Coverage
from emulator.shell.live import LiveEstate
from emulator.shell.live_cell import LiveCell

End: TypeAlias = Callable[[], None]

FOREVER: Final[Instant] = 1 << 62
Lasting = Annotated[float, Meta(ge=0, le=31_536_000, description="seconds of virtual time; 0: until cleared")]
Home = Annotated[int, Meta(ge=0, description="installation")]
MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """Root of all faults."""

    name: ClassVar[str] = ""

    def start(self, live: LiveEstate, until: Instant) -> End:
        """Put it in force until an instant; what is returned ends it earlier, once. Raises WishError."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class LinkOutage(Fault):
    """The core link is black: of one installation's cell, or of all cells."""

    name: ClassVar[str] = "link-outage"
    seconds: Lasting = 6
    installation: Home | None = None

    def start(self, live: LiveEstate, until: Instant) -> End:
        estate = live.estate
        homes: Iterable[int] = [self.installation] if self.installation is not None else ()
        if self.installation is None:
            homes = (estate.members(cell).start for cell in range(estate.cells))
        failed = [(links := live.cell(home).chain.outages, links.fail(live.now, until)) for home in homes]

        def end() -> None:
            for links, window in failed:
                links.heal(window)

        return end


@dataclass(frozen=True, slots=True)
class OutOfCoverage(Fault):
    """The cellular network does not reach an installation's hub; short messages wait in the network."""

    name: ClassVar[str] = "out-of-coverage"
    installation: Home
    seconds: Lasting = 0

    def start(self, live: LiveEstate, until: Instant) -> End:
        cell, number, gap = live.cell(self.installation), self.installation, (live.now, until)
        cell.approach(number)  # so that what the estate says of its coverage stands first
        before = cell.coverages.get(number, COVERED)
        cell.coverages[number] = Coverage((*before.gaps, gap), before.never)

        def end() -> None:
            now = cell.coverages.get(number, COVERED)
            left = tuple(each for each in now.gaps if each != gap)
            cell.coverages[number] = Coverage(left, now.never)

        return end


@dataclass(frozen=True, slots=True)
class HanLost(Fault):
    """A device has dropped out of the home network."""

    name: ClassVar[str] = "han-lost"
    installation: Home
    device: Literal["electricity", "gas", "ihd"] = "gas"
    seconds: Lasting = 0

    def start(self, live: LiveEstate, until: Instant) -> End:
        cell, number, party = live.cell(self.installation), self.installation, names.party(self.device)
        _needs(cell, number, party)
        cell.hold(number)  # the radio link is remembered while its home is awake
        cell.link(number, party).lose(until)

        def end() -> None:
            cell.link(number, party).rejoin()
            cell.let_go(number)

        return end


@dataclass(frozen=True, slots=True)
class ForcedWrongKey(Fault):
    """A device holds other data keys than anybody believes: what is sealed under the right ones does not open."""

    name: ClassVar[str] = "forced-wrong-key"
    installation: Home
    device: Literal["hub", "electricity", "gas"] = "electricity"
    keys: Literal["ek", "ak", "both"] = "both"

    def start(self, live: LiveEstate, until: Instant) -> End:
        cell, number, party = live.cell(self.installation), self.installation, names.party(self.device)
        _needs(cell, number, party)
        store, index = cell.store, cell.ensure_keys(number, party)
        kept = store.export(index)
        secret = b"%d" % live.estate.seed
        ek, ak = derive.keys(secret, 2, "forced", number, int(party), store.state(index).epoch)
        store.install(index, ek=ek if self.keys != "ak" else None, ak=ak if self.keys != "ek" else None)
        epoch = store.state(index).epoch
        cell.touched.add(number)

        def end() -> None:
            # Whoever was told the forced keys may have changed them since: then these are the device's own.
            if store.loaded(index) and store.state(index).epoch == epoch:
                tx, rx = store.counters(index)
                store.restore(index, kept)
                store.set_counters(index, tx=tx, rx=rx)
                cell.touched.add(number)
            kept[:] = bytes(len(kept))

        return end


def _needs(cell: LiveCell, number: int, party: Party) -> None:
    if cell.estate.installation(number).device(party) is None:
        name = party.name.lower()
        raise NoSuchThingError(f"installation {number} has no {name}", "device", "choose another")


KINDS: Final[dict[str, type[Fault]]] = {
    each.name: each for each in (LinkOutage, OutOfCoverage, HanLost, ForcedWrongKey)
}
"""Every fault, by name. A new one is a line here."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A fault that can be put in force. `settings` is the JSON Schema of its fields."""

    fault: str
    about: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FaultView:
    """A fault in force, with its settings; `until` None: until cleared. Instants in µs since 1970."""

    number: int
    fault: str
    settings: dict[str, Any]
    since: int
    until: int | None


@dataclass(frozen=True, slots=True)
class _InForce:
    fault: Fault
    since: Instant
    until: Instant
    end: End


class FaultTable:
    """The faults in force."""

    def __init__(self, live: LiveEstate) -> None:
        self._live = live
        self._faults: dict[int, _InForce] = {}
        self.injected = 0
        """How many there ever were; the number of the newest."""

    def inject(self, name: str, settings: dict[str, Any]) -> FaultView:
        """Put a fault in force. Raises NoSuchThingError, WrongFieldError, NotNowError."""
        kind = KINDS.get(name)
        if kind is None:
            raise NoSuchThingError(f"there is no fault {name!r}", "fault", f"one of {', '.join(KINDS)}")
        fault = names.make(kind, settings)
        home = getattr(fault, "installation", None)
        if home is not None and home >= self._live.estate.installations:
            most = self._live.estate.installations - 1
            raise NoSuchThingError(f"there is no installation {home}", "settings.installation", f"give 0 to {most}")
        self._strike_out()
        if len(self._faults) >= MOST:
            raise NotNowError(f"{MOST} faults are in force", "fault", "clear some")
        now = self._live.now
        seconds = getattr(fault, "seconds", 0)
        until = now + round(seconds * SECOND) if seconds else FOREVER
        for each in self._faults.values():
            if type(each.fault) is type(fault) is HanLost and _same_place(each.fault, fault):
                raise NotNowError("this device is lost already", "settings", "clear that fault first")
            if type(each.fault) is type(fault) is ForcedWrongKey and _same_place(each.fault, fault):
                raise NotNowError("this device's keys are forced already", "settings", "clear that fault first")
        end = fault.start(self._live, until)
        self.injected += 1
        self._faults[self.injected] = _InForce(fault, now, until, end)
        return self._view(self.injected)

    def clear(self, number: int) -> FaultView:
        """End a fault; how it was. Raises NoSuchThingError."""
        self._strike_out()
        if number not in self._faults:
            raise NoSuchThingError(f"no fault {number} is in force", "number", "ask for the faults in force")
        view = self._view(number)
        self._faults.pop(number).end()
        return view

    def clear_all(self, installation: int | None = None, kind: type[Fault] | None = None) -> int:
        """End every fault; those of one installation, or of one kind. How many."""
        ended = 0
        for number, each in tuple(self._faults.items()):
            here = installation is None or getattr(each.fault, "installation", None) == installation
            if here and (kind is None or type(each.fault) is kind):
                self._faults.pop(number).end()
                ended += 1
        return ended

    def find(self, kind: type[Fault], installation: int, device: str) -> int | None:
        """The number of a fault of a device, or None."""
        self._strike_out()
        wanted = (installation, device)
        for number, each in self._faults.items():
            place = (getattr(each.fault, "installation", None), getattr(each.fault, "device", None))
            if type(each.fault) is kind and place == wanted:
                return number
        return None

    def all(self) -> list[FaultView]:
        """Those in force, oldest first."""
        self._strike_out()
        return [self._view(number) for number in self._faults]

    def _strike_out(self) -> None:
        """End those whose time is over."""
        now = self._live.now
        for number, each in tuple(self._faults.items()):
            if each.until <= now:
                self._faults.pop(number).end()

    def _view(self, number: int) -> FaultView:
        each = self._faults[number]
        until = None if each.until == FOREVER else each.until
        return FaultView(number, each.fault.name, asdict(each.fault), each.since, until)


def _same_place(one: Any, other: Any) -> bool:
    return (one.installation, one.device) == (other.installation, other.device)


def kinds() -> list[FaultKind]:
    """Every fault with its fields."""
    found = []
    for name, kind in KINDS.items():
        doc = kind.__doc__
        if doc is None:
            raise UsageError(f"fault {name} says nothing of itself")
        found.append(FaultKind(name, " ".join(doc.split()), names.schema(kind)))
    return found
