"""An estate in virtual time, driven by hand: what a test holds.

    world = Playground("demo-street", seed=7)
    home = world.home(3)
    home.electricity.read("clock")
    home.electricity.rotate_keys()
    home.auxiliary(1).activate(minutes=30)
    world.run_for(minutes=31)

Everything a handle does goes the whole way: a short message, the link, the hub, the radio, the meter's own DLMS
server, and back. What cannot be asked over the air (is the relay really closed?) is asked of the machine itself, and
such names say so: `physical`. Only the cells of homes that are touched are ever made.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data, Tag
from emulator.codecs.get import AttributeRef
from emulator.commands import Command, PressBoost
from emulator.crypto import derive
from emulator.dcc.auxiliary_release import FIRST_NUMBER, AuxiliarySettings
from emulator.dcc.service_requests import Front, FrontSettings, Response
from emulator.dlms import moment
from emulator.dlms.cosem import obis
from emulator.errors import InputError, UsageError
from emulator.faults import catalogue, texts
from emulator.faults.fault import Fault
from emulator.fleet import registry
from emulator.fleet.cell import Cell
from emulator.fleet.estate import Estate, open_estate
from emulator.fleet.installation import KEYED, Installation
from emulator.headend import services
from emulator.headend.alerts import Alert, Inbox
from emulator.headend.conversation import Conversation
from emulator.headend.dual_control import Approvals
from emulator.headend.keyring import Keyring, Patience, Target
from emulator.headend.policy import CustodySettings
from emulator.headend.rotation import rotate
from emulator.headend.rouse import RouseSettings
from emulator.headend.session import Steps
from emulator.headend.steps.auxiliary import ad_hoc
from emulator.headend.visit import Errand, Visit
from emulator.kernel.effects import Effects, Instant, Note
from emulator.kernel.journal import Entry, combined_digest
from emulator.kernel.machine import Machine, Party
from emulator.kernel.time import DAY, utc
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile
from emulator.oracle.heal import Healed, Healing
from emulator.oracle.observe import Diagnosis, diagnose
from emulator.watch.checks import Finding, check
from emulator.watch.estate import EstateWatch
from emulator.watch.violation import Violation

_VISIT_MOST: Final = 2 * DAY


class Playground:
    """A running estate: a name, a file or an `Estate`. `link` is plain, ipsec or mpls; by default the estate's."""

    def __init__(
        self,
        estate: str | Estate = "demo-street",
        *,
        seed: int | None = None,
        installations: int | None = None,
        link: str | None = None,
        profile: LinkProfile | None = None,
        air: AirProfile | None = None,
        front: FrontSettings | None = None,
        watch: bool = True,
        custody: CustodySettings | None = None,
    ) -> None:
        self.custody = custody
        """How keys are kept, changed and rescued; None: as is sensible."""
        self.watch = EstateWatch(approvals=Approvals()) if watch else None
        """Who writes down what the head end does wrong; None: nobody."""
        self.estate = open_estate(estate, seed, installations) if isinstance(estate, str) else estate
        self.link = link or self.estate.recipe.link.kind
        self._profile = profile or LinkProfile()
        self._air = air or AirProfile()
        self._cells: dict[int, _PlayCell] = {}
        self._front: Front | None = None
        self._front_settings = front or FrontSettings()
        self._now: Instant = self.estate.start
        self.faults: list[Injected] = []
        """Every fault put in force here, ended ones included, in order."""
        self.entries: list[Entry] = []
        """Every note so far, in order within a cell."""

    @property
    def auxiliary(self) -> AuxiliarySettings:
        """What the core release in force can do with auxiliary load: the front's setting."""
        return self._front_settings.auxiliary

    @property
    def seed(self) -> int:
        return self.estate.seed

    @property
    def instant(self) -> Instant:
        """Virtual time, µs since 1970."""
        return self._now

    @property
    def now(self) -> datetime:
        """Virtual time, UTC."""
        return utc(self._now)

    def home(self, number: int | str = 0) -> "Home":
        """An installation by number, or by its owner's label. Raises InputError."""
        if isinstance(number, str):
            number = self.estate.find(number)
        if not 0 <= number < self.estate.installations:
            raise InputError(
                f"estate {self.estate.name} has no installation {number}; "
                f"it has {self.estate.installations}, numbered from 0"
            )
        return Home(self, self.estate.installation(number))

    def homes(self) -> "list[Home]":
        """All installations."""
        return [self.home(number) for number in range(self.estate.installations)]

    def run_for(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let virtual time pass."""
        self.run_until(self._now + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds) // _MICROSECOND)

    def run_until(self, until: Instant | datetime) -> None:
        """Let virtual time pass up to an instant (µs) or an aware datetime; the past is no time at all."""
        end = (until - utc(0)) // _MICROSECOND if isinstance(until, datetime) else until
        for cell in self._cells.values():
            cell.cell.world.run_until(end)
        self._now = max(self._now, end)

    def notes(self, kind: str, installation: int | None = None) -> list[Entry]:
        """The notes of a kind ("relay." takes all that begin so), of one installation or of all."""
        return [
            entry
            for entry in self.entries
            if (entry.kind == kind or (kind.endswith(".") and entry.kind.startswith(kind)))
            and installation in (None, entry.installation)
        ]

    @property
    def violations(self) -> list[Violation]:
        """What the head end did wrong so far, whatever devices made of it. Raises UsageError when nobody watches."""
        return self._watched().violations(self._now)

    def check(self, *names: str) -> list[Finding]:
        """What the standing checks named (none: all) object to now. Raises InputError for one there is not, UsageError
        when nobody watches."""
        return [finding for context in self._watched().contexts() for finding in check(context, names)]

    def _watched(self) -> EstateWatch:
        if self.watch is None:
            raise UsageError("nobody watches this world; make it without watch=False")
        return self.watch

    def digest(self) -> str:
        """Hash over everything noted, cell by cell; equal for equal seeds and equal wishes."""
        return combined_digest(cell.cell.journal.digest() for _, cell in sorted(self._cells.items()))

    def cell(self, installation: int) -> "_PlayCell":
        """The cell of an installation, made on first use and brought up to now."""
        number = self.estate.cell_of(installation)
        found = self._cells.get(number)
        if found is None:
            found = self._cells[number] = _PlayCell(self, number, self.link, self._profile, self._air)
            found.cell.world.run_until(self._now)
            for each in self.faults:
                each.reach(found.cell)
        return found

    def inject(self, fault: str | Fault, *, may_stay_quiet: bool = False, **settings: Any) -> "Injected":
        """Put a fault in force from now on: its name and settings as `smets1 faults` lists them, or the fault itself.
        What is returned tells how often it struck and ends it. Under pytest one that never struck fails the test,
        unless `may_stay_quiet`. Raises InputError."""
        if isinstance(fault, str):
            fault = catalogue.make(fault, settings)
        elif settings:
            raise UsageError("settings belong to a fault's name; a fault that is made has its own")
        if fault.installation is not None and fault.installation >= self.estate.installations:
            raise InputError(
                f"fault {fault.name}, field installation: there is no installation {fault.installation}; "
                f"estate {self.estate.name} has {self.estate.installations}, numbered from 0"
            )
        injected = Injected(self, fault, len(self.faults) + 1, self._now, may_stay_quiet)
        self.faults.append(injected)
        for cell in self._cells.values():
            injected.reach(cell.cell)
        return injected

    @property
    def quiet_faults(self) -> "list[Injected]":
        """Those that were to strike and never did."""
        return [each for each in self.faults if not each.fired and not each.may_stay_quiet]

    @property
    def front(self) -> Front:
        """Where service requests come in: inventory, notified certificates, access checks, verdicts."""
        if self._front is None:
            self._front = Front(self.estate, _FrontPlace(self), self._front_settings)
        return self._front

    def finish(self, visit: Visit, cell: "_PlayCell") -> None:
        """Let time pass until a visit is over."""
        world = cell.cell.world
        limit = self._now + _VISIT_MOST
        while not visit.done:
            due = world.due
            if due is None or due > limit:
                raise UsageError("a visit did not come to an end")
            self.run_until(due)


_MICROSECOND: Final = timedelta(microseconds=1)


class Injected:
    """A fault that was put in force in a playground, under its `number`, at `since`."""

    def __init__(self, world: Playground, fault: Fault, number: int, since: Instant, may_stay_quiet: bool) -> None:
        self.fault = fault
        self.number = number
        self.since = since
        self.may_stay_quiet = may_stay_quiet
        self.cleared = False
        self._world = world
        self._cells: list[Cell] = []

    def __repr__(self) -> str:
        ended = ", ended" if self.cleared else ""
        return f"<fault {self.number} {texts.line(self.name, self.settings)}, struck {self.fired} times{ended}>"

    @property
    def name(self) -> str:
        return self.fault.name

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings that are not the defaults."""
        return catalogue.settings(self.fault)

    @property
    def fired(self) -> int:
        """How often it struck so far, in all homes."""
        return sum(cell.mischief.fired.get(self.number, 0) for cell in self._cells)

    def clear(self) -> None:
        """End it now; what it broke stays broken, unless the fault says otherwise. Harmless when it has ended."""
        self.cleared = True
        for cell in self._cells:
            cell.disarm(self.number)

    def reach(self, cell: Cell) -> None:
        """Be in force in a cell too, as since it was put in force."""
        if not self.cleared and cell.arm(self.fault, self.since, self.number) is not None:
            self._cells.append(cell)


class _FrontPlace:
    """Where the front's requests are carried out: the cells of a playground."""

    def __init__(self, world: Playground) -> None:
        self._world = world

    def now(self, installation: int) -> Instant:
        return self._world.cell(installation).cell.world.now

    def tell(self, installation: int, note: Note) -> None:
        cell = self._world.cell(installation).cell
        cell.journal.note(cell.world.now, installation, Party.HEADEND, note)


class _PlayCell:
    """A cell and the head end's means for it; begins the visits it is given."""

    def __init__(self, world: Playground, number: int, link: str, profile: LinkProfile, air: AirProfile) -> None:
        estate = world.estate
        self.cell = Cell(estate, number, self, link=link, profile=profile, air=air, sink=world.entries.append)
        for fault_number, fault in enumerate(world.auxiliary.faults(), FIRST_NUMBER):
            self.cell.mischief.arm(fault, estate.start, fault_number)
        secret = derive.key(b"head end", "playground", estate.name, estate.seed)
        self.keyring = Keyring(secret, self.cell.members, Patience(), world.custody)
        self.keyring.attend(self.cell)
        if world.watch is not None:
            self.cell.attend(world.watch.over(self.cell, self.keyring))
        self._visits: dict[int, tuple[Visit, Inbox]] = {}
        self.inboxes: dict[int, Inbox] = {}

    def begin(self, installation: int, now: Instant) -> tuple[Conversation, Effects] | None:
        found = self._visits.pop(installation, None)
        if found is None:
            return None
        visit, inbox = found
        conversation = Conversation(inbox.hear, lambda: self.cell.desk.end(installation))
        return conversation, conversation.run(visit.script(), now)

    def hear_alert(self, installation: int, frame: bytes, now: Instant) -> Note:
        """An alert that comes while nobody talks to the home: kept for who asks later."""
        record = self.cell.estate.smso(self.cell.estate.installation(installation))
        return self._inbox(installation, self.keyring.targets(record)).hear(frame, now)

    def _inbox(self, number: int, targets: list[Target]) -> Inbox:
        inbox = self.inboxes.get(number)
        if inbox is None:
            contexts = {each.device.spec.system_title: self.keyring.context(number, each.party) for each in targets}
            inbox = self.inboxes[number] = Inbox(self.keyring.store, contexts)
        return inbox

    def plan(self, home: Installation, party: Party, errand: Errand, *, enters: bool = True) -> Visit:
        """A visit that begins now. `enters` False: the errand opens its association itself."""
        number = home.number
        targets = self.keyring.targets(self.cell.estate.smso(home))
        target = next((target for target in targets if target.party is party), None)
        if target is None:
            raise UsageError(f"installation {number} has no keyed device {party.name.lower()}")
        inbox = self._inbox(number, targets)
        visit = Visit(target, targets[0].session.server_sap, inbox, RouseSettings(), errand, enters=enters)
        self._visits[number] = (visit, inbox)
        self.cell.world.wake(number, Party.HEADEND, self.cell.world.now)
        return visit


class Home:
    """One installation: its devices, and what is said of it."""

    def __init__(self, world: Playground, installation: Installation) -> None:
        self._world = world
        self.installation = installation

    def __repr__(self) -> str:
        return f"<home {self.number} of {self._world.estate.name}>"

    @property
    def number(self) -> int:
        return self.installation.number

    def device(self, party: Party) -> "DeviceHandle":
        """A device of this home. Raises UsageError when it has none of that kind."""
        if self.installation.device(party) is None:
            raise UsageError(f"installation {self.number} has no {party.name.lower()}")
        return DeviceHandle(self._world, self.installation, party)

    @property
    def hub(self) -> "DeviceHandle":
        return self.device(Party.HUB)

    @property
    def electricity(self) -> "DeviceHandle":
        return self.device(Party.ELECTRICITY)

    @property
    def gas(self) -> "DeviceHandle":
        return self.device(Party.GAS)

    @property
    def ihd(self) -> "DeviceHandle":
        return self.device(Party.IHD)

    def auxiliary(self, switch: int) -> "AuxiliaryHandle":
        """Auxiliary load switch 1 to 5 of the electricity meter."""
        return AuxiliaryHandle(self.electricity, switch)

    def request(
        self,
        service: str,
        *,
        device: str | None = None,
        role: str = "IS",
        certificate: str | None = None,
        **parameters: Any,
    ) -> Response:
        """A service request by its number ("7.5"), carried out as equivalent steps; `parameters` are its body's fields.
        It always comes to a verdict: success, failed or timeout. Raises InputError for a request that nobody could
        carry out anywhere."""
        world = self._world
        front, cell = world.front, world.cell(self.number)
        job = front.begin(service, self.number, parameters, device=device, role=role, certificate=certificate)
        if job.errand is None:
            assert job.response is not None
            return job.response
        try:
            visit = cell.plan(self.installation, job.party, job.errand)
            world.finish(visit, cell)
        except UsageError as error:  # no keys on record, or nothing left to wait for
            return front.give_up(job, str(error))
        return front.end(job, visit.value, visit.error)

    @property
    def alerts(self) -> list[Alert]:
        """Alerts that reached this head end from the home and were opened."""
        inbox = self._world.cell(self.number).inboxes.get(self.number)
        return inbox.alerts if inbox else []

    def notes(self, kind: str) -> list[Entry]:
        """The home's notes of a kind."""
        return self._world.notes(kind, self.number)


class DeviceHandle:
    """One device. Reads and writes go over the air; `physical` and `press` touch the device itself."""

    def __init__(self, world: Playground, installation: Installation, party: Party) -> None:
        self._world = world
        self._installation = installation
        self.party = party

    @property
    def physical(self) -> Any:
        """The machine itself, as it is now: for what cannot be asked over the air. Do not keep it while time passes."""
        return self._machine()

    def press(self, command: Command) -> None:
        """Give the device a person's wish: a button, a power cut."""
        self._world.cell(self._installation.number).cell.world.command(
            self._installation.number, self.party, command
        )

    def read(self, what: str | AttributeRef, attribute: int = 2) -> Any:
        """An attribute's value, as plain Python, read under keys over the air.

        `what` is an object's name in the model ("clock"), "class/logical name" ("8/0-0:1.0.0"), or a reference.
        Raises NoAnswerError or RefusedError."""
        reference = self._reference(what, attribute)
        data = self.visit(lambda target: target.session.get(reference))
        return plain(data, clock=reference.class_id == 8 and reference.attribute == 2)

    def write(self, what: str | AttributeRef, data: Data, attribute: int = 2) -> None:
        """Write an attribute over the air. Raises NoAnswerError or RefusedError."""
        reference = self._reference(what, attribute)
        self.visit(lambda target: target.session.set(reference, data))

    def act(self, what: str, method: int, data: Data | None = None) -> Any:
        """Invoke a method over the air; its answer as plain Python."""
        reference = self._reference(what, 1)
        target_method = MethodRef(reference.class_id, reference.logical_name, method)
        return plain(self.visit(lambda target: target.session.action(target_method, data)))

    def rotate_keys(self) -> None:
        """Change KEK, EK and AK, proven under the new ones. Raises NoAnswerError (in doubt) or RefusedError."""
        self.visit(lambda target: rotate(target.session, target.custody))

    def diagnose(self) -> Diagnosis:
        """Can this device be saved, and by which commands? Told from the truth of both sides; nothing is sent."""
        cell = self._world.cell(self._installation.number)
        return diagnose(cell.cell, cell.keyring, self._installation.number, self.party, cell.cell.world.now)

    def heal(self) -> Healed:
        """Carry out over the air what `diagnose` proposes, and prove it. Raises NoAnswerError or RefusedError when it
        could not begin; `stopped` says why it did not end well."""
        healed: Healed = self.visit(Healing(self.diagnose).steps, enters=False)
        return healed

    def visit(self, errand: Callable[[Target], Steps[Any]], *, enters: bool = True) -> Any:
        """Rouse the hub, associate, do an errand, leave; what the errand came to. `enters` False: the errand opens its
        association itself."""
        if self.party not in KEYED:
            raise UsageError("a display holds no keys and answers nobody but the HAN; look at .physical")
        cell = self._world.cell(self._installation.number)
        visit = cell.plan(self._installation, self.party, errand, enters=enters)
        self._world.finish(visit, cell)
        if visit.error is not None:
            raise visit.error
        return visit.value

    def generations(self) -> tuple[int, int]:
        """(data, master) key generations the head end believes live; 0 is as handed over."""
        cell = self._world.cell(self._installation.number)
        targets = cell.keyring.targets(self._world.estate.smso(self._installation))
        custody = next(target.custody for target in targets if target.party is self.party)
        return custody.data.custody.live, custody.master.custody.live

    def _machine(self) -> Machine:
        return self._world.cell(self._installation.number).cell.machine(self._installation.number, self.party)

    def _reference(self, what: str | AttributeRef, attribute: int) -> AttributeRef:
        if isinstance(what, AttributeRef):
            return what
        if "/" in what:
            class_id, _, name = what.partition("/")
            return AttributeRef(int(class_id), obis(name), attribute)
        found = self.physical.objects.named(what)
        return AttributeRef(found.class_id, found.logical_name, attribute)


class AuxiliaryHandle:
    """One auxiliary load switch, through the equivalent steps of service requests 7.5 to 7.8."""

    def __init__(self, meter: DeviceHandle, switch: int) -> None:
        if not 1 <= switch <= 5:
            raise UsageError(f"auxiliary switch {switch}; there are 1 to 5")
        self._meter = meter
        self.switch = switch

    def activate(self, *, minutes: int) -> None:
        """Close the switch for so long (7.5)."""
        self._do("activate", minutes)

    def deactivate(self, *, minutes: int) -> None:
        """Open the switch for so long (7.6)."""
        self._do("deactivate", minutes)

    def reset(self) -> None:
        """Back to the calendar (7.8)."""
        self._do("reset", 0)

    def boost(self, *, minutes: int = 60) -> None:
        """Press the boost button."""
        self._meter.press(PressBoost(self.switch, minutes))

    @property
    def closed(self) -> bool:
        """The output's state, read over the air (7.7)."""
        return bool(self._meter.read(services.auxiliary(self.switch)))

    @property
    def physically_closed(self) -> bool:
        """Whether current can flow, asked of the relay itself."""
        return bool(self._meter.physical.auxiliary(self.switch, self._meter._world.instant))

    def _do(self, wish: Literal["activate", "deactivate", "reset"], minutes: int) -> None:
        model = registry.model(self._meter._installation.device(Party.ELECTRICITY).model)  # type: ignore[union-attr]
        duration, value, script = ad_hoc(model.profile.auxiliary, wish, self.switch, minutes)

        def errand(target: Target) -> Steps[None]:
            yield from target.session.set(duration, value)
            yield from target.session.action(services.AUXILIARY_SCRIPTS, script)

        self._meter.visit(errand)


def plain(data: Data | None, *, clock: bool = False) -> Any:
    """A datum as plain Python: ints, floats, strings, bytes; arrays as lists, structures as tuples; a clock's time as
    an aware datetime."""
    if data is None:
        return None
    if data.tag == Tag.ARRAY:
        return [plain(item) for item in data.value]
    if data.tag == Tag.STRUCTURE:
        return tuple(plain(item) for item in data.value)
    if clock:
        shown = moment.decode(bytes(data.value))
        return None if shown is None else utc(shown)
    return data.value

