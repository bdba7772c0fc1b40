"""The handlers that are a few lines each: people's hands on devices, the clock, faults, snapshots, and questions."""

from dataclasses import dataclass

from emulator.commands import (
    CancelTask,
    ClearFault,
    ClearFaults,
    Clock,
    Command,
    DropDevice,
    DropSnapshot,
    FailLink,
    FaultKinds,
    Faults,
    HealLink,
    InjectFault,
    Installations,
    Journal,
    PowerCut,
    PressBoost,
    PressReconnect,
    RaiseAlert,
    ResetEstate,
    ResetHome,
    RestoreDevice,
    RestoreSnapshot,
    SetSpeed,
    Snapshots,
    State,
    Status,
    StepClock,
    TakeSnapshot,
    Tasks,
    Verify,
    WakeUp,
)
from emulator.commands import (
    Task as AskTask,
)
from emulator.control import faults, verify, views
from emulator.control.desk import Desk
from emulator.control.errors import NoSuchThingError, NotNowError
from emulator.control.faults import FaultKind, FaultView
from emulator.control.registry import handles
from emulator.control.ring import JournalEntry, device_name, text, view
from emulator.control.tasks import Task, TaskView
from emulator.control.verify import Verdict
from emulator.faults.home_network import HanLost
from emulator.faults.link import LinkOutage
from emulator.headend.rouse import RouseSettings
from emulator.kernel.machine import Party

SNAPSHOTS_MOST = 8


@dataclass(frozen=True, slots=True)
class Done:
    """It is done; `notes` is what the machines noted at once."""

    now: int
    notes: list[JournalEntry]


@dataclass(frozen=True, slots=True)
class ClockView:
    """Virtual time in µs since 1970 and as text; virtual seconds a real second (0: it stands); when something next
    happens by itself."""

    now: int
    time: str
    speed: float
    due: int | None


@dataclass(frozen=True, slots=True)
class StatusView:
    """The estate at a glance. `cells` of `cells_most` were touched so far; `link` by direction: offered, lost,
    delivered, refused; `exchanges` as the link's delivery log counts them; `journal` the newest entry's number."""

    estate: str
    title: str
    seed: int
    installations: int
    link_kind: str
    timing: str
    clock: ClockView
    cells: int
    cells_most: int
    awake: int
    conversations: int
    exchanges: int
    link: dict[str, dict[str, int]]
    journal: int
    tasks_running: int
    faults: int


@dataclass(frozen=True, slots=True)
class JournalView:
    """Entries after a number. `missed` had fallen out of the ring; go on after number `until`."""

    entries: list[JournalEntry]
    missed: int
    until: int
    last: int


@dataclass(frozen=True, slots=True)
class TasksView:
    tasks: list[TaskView]


@dataclass(frozen=True, slots=True)
class FaultsView:
    """Those in force, and the last that ended or were cleared since the estate was put back."""

    faults: list[FaultView]
    ended: list[FaultView]


@dataclass(frozen=True, slots=True)
class FaultKindsView:
    faults: list[FaultKind]


@dataclass(frozen=True, slots=True)
class Cleared:
    """How many faults were ended."""

    cleared: int


@dataclass(frozen=True, slots=True)
class SnapshotsView:
    """Names of the snapshots there are."""

    snapshots: list[str]


# Hands on devices


@handles(PowerCut, PressBoost, PressReconnect, RaiseAlert)
def to_device(desk: Desk, wish: Command, installation: int, party: Party) -> Done:
    """Give the device what somebody at the wall does."""
    desk.spec(installation, party)
    made = desk.live.command(installation, party, wish)
    desk.pace.poke()
    last = desk.ring.last
    notes = [view(last - len(made) + place + 1, entry) for place, entry in enumerate(made)]
    return Done(desk.live.now, notes)


@handles(DropDevice)
def drop(desk: Desk, wish: DropDevice, installation: int, party: Party) -> FaultView:
    """The same as the fault `han-lost`."""
    desk.spec(installation, party)
    return desk.faults.inject(HanLost.name, {"installation": installation, "device": device_name(party)})


@handles(RestoreDevice)
def restore_device(desk: Desk, wish: RestoreDevice, installation: int, party: Party) -> FaultView:
    """Clears the device's fault `han-lost`."""
    desk.spec(installation, party)
    number = desk.faults.find(HanLost, installation, device_name(party))
    if number is None:
        raise NotNowError("this device was not dropped", "device", "drop it first")
    return desk.faults.clear(number)


@handles(WakeUp)
def wake_up(desk: Desk, wish: WakeUp, installation: int) -> Done:
    """Short messages, as the head end sends them."""
    desk.home(installation)
    last = desk.ring.last
    for _ in range(wish.messages):
        desk.live.text(installation, f"SMETS1 WAKE {RouseSettings().callback}".encode("ascii"))
    desk.pace.poke()
    made, _ = desk.ring.after(last, 100)
    return Done(desk.live.now, made)


# The clock and tasks


@handles(Clock)
def clock(desk: Desk, wish: Clock) -> ClockView:
    """What time it is."""
    now = desk.live.now
    return ClockView(now, text(now), desk.pace.speed, desk.live.due)


@handles(SetSpeed)
def set_speed(desk: Desk, wish: SetSpeed) -> ClockView:
    """From now on at this speed."""
    desk.pace.set_speed(wish.speed)
    if not wish.speed:
        desk.clock_stands()
    return clock(desk, Clock())


@handles(StepClock)
def step(desk: Desk, wish: StepClock) -> Task[int]:
    """Virtual time afterwards, µs since 1970."""
    task = desk.task(wish)
    task.drive = desk.stepping(task, wish.seconds)
    return task


@handles(Tasks)
def tasks(desk: Desk, wish: Tasks) -> TasksView:
    """All that run, and the last that ended."""
    return TasksView([each.view() for each in desk.tasks.all()])


@handles(AskTask)
def one_task(desk: Desk, wish: AskTask) -> TaskView:
    """How far it is."""
    return desk.tasks.get(wish.task).view()


@handles(CancelTask)
def cancel(desk: Desk, wish: CancelTask) -> TaskView:
    """It ends here, if it has not ended."""
    found = desk.tasks.get(wish.task)
    found.cancel("somebody asked for it")
    return found.view()


# Link and faults


@handles(FailLink)
def fail_link(desk: Desk, wish: FailLink) -> FaultView:
    """The same as the fault `link-outage` without an installation."""
    return desk.faults.inject(LinkOutage.name, {"seconds": wish.seconds})


@handles(HealLink)
def heal_link(desk: Desk, wish: HealLink) -> Cleared:
    """Clears every `link-outage`."""
    return Cleared(desk.faults.clear_all(kind=LinkOutage))


@handles(FaultKinds)
def fault_kinds(desk: Desk, wish: FaultKinds) -> FaultKindsView:
    """By name."""
    return FaultKindsView(faults.kinds())


@handles(Faults)
def faults_in_force(desk: Desk, wish: Faults) -> FaultsView:
    """Oldest first."""
    return FaultsView(desk.faults.all(), desk.faults.ended())


@handles(InjectFault)
def inject(desk: Desk, wish: InjectFault) -> FaultView:
    """From now on."""
    return desk.faults.inject(wish.fault, wish.settings)


@handles(ClearFault)
def clear(desk: Desk, wish: ClearFault) -> FaultView:
    """As it was."""
    return desk.faults.clear(wish.number)


@handles(ClearFaults)
def clear_all(desk: Desk, wish: ClearFaults) -> Cleared:
    """All of them."""
    return Cleared(desk.faults.clear_all())


# Back to how it was


@handles(ResetHome)
def reset_home(desk: Desk, wish: ResetHome, installation: int) -> Done:
    """As found; what was under way with it ends."""
    desk.home(installation)
    desk.head_end(installation)
    desk.forget(installation)
    desk.live.reset(installation)
    desk.pace.poke()
    return Done(desk.live.now, [])


@handles(ResetEstate)
def reset_estate(desk: Desk, wish: ResetEstate) -> Done:
    """All of it, as found."""
    desk.forget(None)
    desk.faults.forget_ended()
    desk.live.reset(None)
    desk.pace.poke()
    return Done(desk.live.now, [])


@handles(TakeSnapshot)
def take(desk: Desk, wish: TakeSnapshot) -> SnapshotsView:
    """Devices, and what the head end believes of them."""
    if wish.name not in desk.snapshots and len(desk.snapshots) >= SNAPSHOTS_MOST:
        raise NotNowError(f"there are {SNAPSHOTS_MOST} snapshots already", "name", "drop one first")
    beliefs = {each.cell.number: (each.keyring.keeper.memory(), each.cell.rows.columns()) for each in desk.head_ends}
    desk.snapshots[wish.name] = (desk.live.snapshot(), beliefs)
    return snapshots(desk, Snapshots())


@handles(RestoreSnapshot)
def restore(desk: Desk, wish: RestoreSnapshot) -> Done:
    """Everything as it was then."""
    found = desk.snapshots.get(wish.name)
    if found is None:
        raise _no_snapshot(desk, wish.name)
    devices, beliefs = found
    desk.forget(None)
    desk.live.restore(devices)
    for each in desk.head_ends:
        if each.cell.number in beliefs:
            memory, columns = beliefs[each.cell.number]
            each.keyring.keeper.load(memory)
            each.cell.rows.put_columns(columns)
    desk.pace.poke()
    return Done(desk.live.now, [])


@handles(DropSnapshot)
def forget_snapshot(desk: Desk, wish: DropSnapshot) -> SnapshotsView:
    """What is left."""
    if wish.name not in desk.snapshots:
        raise _no_snapshot(desk, wish.name)
    del desk.snapshots[wish.name]
    return snapshots(desk, Snapshots())


@handles(Snapshots)
def snapshots(desk: Desk, wish: Snapshots) -> SnapshotsView:
    """Oldest first."""
    return SnapshotsView(list(desk.snapshots))


def _no_snapshot(desk: Desk, name: str) -> NoSuchThingError:
    has = ", ".join(desk.snapshots) or "none"
    return NoSuchThingError(f"there is no snapshot {name!r}", "name", f"there are: {has}")


# Questions


@handles(Status)
def status(desk: Desk, wish: Status) -> StatusView:
    """At a glance."""
    live = desk.live
    cells = list(live.cells.values())
    link: dict[str, dict[str, int]] = {}
    for at, name in enumerate(("down", "up")):
        ways = [cell.chain.log.ways[at] for cell in cells]
        link[name] = {
            each: sum(getattr(way, each) for way in ways) for each in ("offered", "lost", "delivered", "refused")
        }
    return StatusView(
        estate=live.estate.name,
        title=live.estate.title,
        seed=live.estate.seed,
        installations=live.estate.installations,
        link_kind=live.link.kind,
        timing=live.timing,
        clock=clock(desk, Clock()),
        cells=len(cells),
        cells_most=live.estate.cells,
        awake=sum(cell.world.awake() for cell in cells),
        conversations=sum(cell.desk.open_conversations for cell in cells),
        exchanges=sum(cell.chain.log.exchanges for cell in cells),
        link=link,
        journal=desk.ring.last,
        tasks_running=len(desk.tasks.running()),
        faults=len(desk.faults.all()),
    )


@handles(Installations)
def installations(desk: Desk, wish: Installations) -> views.InstallationsView:
    """From number `first` on."""
    estate = desk.live.estate
    numbers = range(wish.first, min(wish.first + wish.count, estate.installations))
    found = [views.installation(estate.installation(number), estate.label(number)) for number in numbers]
    return views.InstallationsView(estate.installations, wish.first, found)


@handles(State)
def state(desk: Desk, wish: State, installation: int) -> views.StateView:
    """Asked of the machines themselves."""
    return views.state(desk.head_end(installation), installation, wish.log)


@handles(Journal)
def journal(desk: Desk, wish: Journal) -> JournalView:
    """What was noted."""
    found, until = desk.ring.after(wish.since, wish.limit, wish.kind, wish.installation)
    return JournalView(found, desk.ring.missed(wish.since), until, desk.ring.last)


@handles(Verify)
def was_it_so(desk: Desk, wish: Verify) -> Verdict:
    """What differs."""
    return verify.verify(wish, desk.ring)
