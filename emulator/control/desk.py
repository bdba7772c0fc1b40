"""The operator's desk over one live estate: everything a handler needs, and nothing about how it was asked.

It holds what the estate itself does not know: which tasks run, which faults somebody put in force, the snapshots, what
the journal said lately, and the head end of each cell. One desk for an estate, used by one thread.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from emulator.commands import Command
from emulator.control import names
from emulator.control.alarms import Alarms
from emulator.control.errors import NoSuchThingError, NotNowError
from emulator.control.faults import FaultTable
from emulator.control.headend import HeadEnd
from emulator.control.pace import Pace
from emulator.control.ring import Ring, device_name
from emulator.control.tasks import Task, TaskList
from emulator.fleet.installation import DeviceSpec, Installation
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, SECOND
from emulator.shell.live import LiveEstate

T = TypeVar("T")

STRIDE: Final = 30 * SECOND
"""How much virtual time passes at a time while the clock is stepped: between strides others get their turn."""

_WAIT_MOST: Final = 2 * DAY


class Desk:
    """See the module. `pace` lets time pass."""

    def __init__(self, live: LiveEstate, pace: Pace) -> None:
        self.live = live
        self.pace = pace
        self.ring = Ring(last=live.sequence)
        self.alarms = Alarms(live)
        self.tasks = TaskList()
        self.faults = FaultTable(live)
        self.snapshots: dict[str, Any] = {}
        self.migration: Task[Any] | None = None
        self.on_forget: list[Callable[[int], None]] = []
        """Called with each home that is put back."""
        self.on_drive: list[Callable[[Task[Any]], None]] = []
        """Called with each running task that has to be driven from now on."""
        self._head_ends: dict[int, HeadEnd] = {}
        self._stepped_to: Instant = 0
        live.beside = self._beside
        live.subscribe(self.ring.take)

    # Who is who

    def check(self, installation: int) -> None:
        """Raises NoSuchThingError for a home there is none of."""
        estate = self.live.estate
        if not 0 <= installation < estate.installations:
            raise NoSuchThingError(
                f"estate {estate.name} has no installation {installation}",
                "installation",
                f"give 0 to {estate.installations - 1}",
            )

    def home(self, installation: int) -> Installation:
        """Raises NoSuchThingError."""
        self.check(installation)
        return self.live.estate.installation(installation)

    def spec(self, installation: int, party: Party) -> DeviceSpec:
        """A device of a home. Raises NoSuchThingError."""
        home = self.home(installation)
        found = home.device(party)
        if found is None:
            has = ", ".join(device_name(spec.kind) for spec in home.devices)
            name = device_name(party)
            raise NoSuchThingError(f"installation {installation} has no {name}", "device", f"it has {has}")
        return found

    def head_end(self, installation: int) -> HeadEnd:
        """The head end of an installation's cell."""
        self.check(installation)
        cell = self.live.cell(installation)
        found = self._head_ends.get(cell.number)
        if found is None:
            found = self._head_ends[cell.number] = HeadEnd(cell)
            for number in cell.members:
                kept = self.live.kept.pop(number, b"")
                if kept:
                    found.recall(number, kept)
        if self.live.watch is not None:
            self.live.watch.over(cell, found.keyring)
        return found

    def _beside(self, installation: int) -> bytes:
        """What is kept of a home beside its devices."""
        found = self._head_ends.get(self.live.estate.cell_of(installation))
        return self.live.kept.get(installation, b"") if found is None else found.beside(installation)

    @property
    def head_ends(self) -> list[HeadEnd]:
        """Those of all cells that can deviate: made so far, or kept in a store."""
        estate = self.live.estate
        for cell in range(estate.cells) if self.live.store is not None else ():
            self.head_end(estate.members(cell).start)
        return list(self._head_ends.values())

    def look_at(self, installation: int, party: Party, look: Callable[[Any], T]) -> T:
        """What a device's machine shows to `look`; it is let fall asleep again when nobody needs it."""
        cell = self.live.cell(installation)
        awake = cell.world.under_way(installation)
        try:
            return look(cell.machine(installation, party))
        finally:
            if not awake:
                cell.sleep(installation)

    # Tasks and time

    def task(self, wish: Command, installation: int | None = None, party: Party | None = None) -> Task[Any]:
        """A new running task for a wish."""
        device = None if party is None else device_name(party)
        return self.tasks.new(names.verb(type(wish)), installation, device, self.live.now)

    def clock_stands(self) -> None:
        """The clock was stopped: what it used to bring to an end needs driving now."""
        for task in self.tasks.running():
            if task.self_ending:
                task.drive = self.until_ended(task)
                for each in self.on_drive:
                    each(task)

    def until_ended(self, task: Task[Any]) -> Iterator[None]:
        """Lets a task come to its end where the clock stands: as much time passes as it needs, and no more."""
        limit = self.live.now + _WAIT_MOST
        while not task.ended:
            if self.pace.speed > 0:
                return
            due = self.live.due
            if due is None or due > limit:
                task.fail(NotNowError("nothing is under way that could end it", "task", "look at the journal"))
                return
            self.pace.step_to(max(due, self.live.now + 1))
            yield

    def stepping(self, task: Task[Any], seconds: float) -> Iterator[None]:
        """Lets `seconds` of virtual time pass, behind the steps that were asked for before."""
        until = max(self.live.now, self._stepped_to) + round(seconds * SECOND)
        self._stepped_to = until
        return self._stride(task, until)

    def _stride(self, task: Task[Any], until: Instant) -> Iterator[None]:
        live = self.live
        while live.now < until and not task.ended:
            due = live.due
            self.pace.step_to(until if due is None else min(until, max(due, live.now) + STRIDE))
            yield
        if task.ended:
            self._stepped_to = live.now
        task.finish(live.now)

    # Back to how it was

    def forget(self, installation: int | None) -> None:
        """Before a home, or all of them, are put back: end what is under way and clear the faults there."""
        why = "the estate was put back" if installation is None else f"installation {installation} was put back"
        for task in self.tasks.running():
            if task.command != "step-clock" and installation in (None, task.installation):
                task.cancel(why)
        self.faults.clear_all(installation)
        if self.live.watch is not None:
            self.live.watch.forget(installation)
        for head_end in self.head_ends:
            for number in head_end.cell.members if installation is None else [installation]:
                if number in head_end.cell.members:
                    head_end.forget(number)
                    for each in self.on_forget:
                        each(number)
