"""What the emulator's own head end does over the air, command by command, and what it answers.

Each goes the whole way: a short message, the link, the hub, the radio, the meter's own server, and back. Objects are
named as in the device's model, or by class and logical name; which scripts switch what is the model's profile's to say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from emulator.codecs.action import ActionResult, MethodRef
from emulator.codecs.axdr import long_unsigned
from emulator.codecs.get import AttributeRef, DataAccessResult
from emulator.commands import (
    ActOnObject,
    Heal,
    OverTheAir,
    ReadObject,
    RotateKeys,
    SetAuxiliary,
    SetSupply,
    WriteObject,
)
from emulator.control import oracle, values
from emulator.control.desk import Desk
from emulator.control.errors import (
    DeviceRefusedError,
    NoAnswerInTimeError,
    NoSuchThingError,
    NotNowError,
    WishError,
)
from emulator.control.headend import Planned
from emulator.control.oracle import HealedView
from emulator.control.registry import handles
from emulator.control.ring import device_name, text
from emulator.control.tasks import Task
from emulator.control.views import SUPPLY, named_object
from emulator.dcc.auxiliary_release import refusal
from emulator.dlms import moment
from emulator.dlms.cosem import obis, obis_text
from emulator.errors import EmulatorError, UsageError
from emulator.fleet import registry
from emulator.fleet.installation import KEYED
from emulator.headend import services
from emulator.headend.keyring import Target
from emulator.headend.rotation import rotate
from emulator.headend.session import NoAnswerError, RefusedError, Steps
from emulator.headend.steps.auxiliary import ad_hoc
from emulator.headend.visit import Errand, Visit
from emulator.kernel.machine import Party
from emulator.oracle.heal import Healing

T = TypeVar("T")

_AD_HOC: Final[dict[str, Literal["activate", "deactivate", "reset"]]] = {
    "on": "activate",
    "off": "deactivate",
    "calendar": "reset",
}
_SERVICES: Final = {"on": "7.5", "off": "7.6", "calendar": "7.8"}
_CLOCK: Final = (8, 2)


@dataclass(frozen=True, slots=True)
class Reading:
    """An attribute's value: `plain` for people, `value` with its types (it can be written back), `time` where it is a
    clock's."""

    object: str
    attribute: int
    plain: Any
    value: Any
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The device took it."""

    object: str
    attribute: int


@dataclass(frozen=True, slots=True)
class Acted:
    """The method's answer, null when it has none."""

    object: str
    method: int
    plain: Any
    value: Any


@dataclass(frozen=True, slots=True)
class SupplyState:
    """What the device says of its contact afterwards: off, on or armed."""

    supply: str


@dataclass(frozen=True, slots=True)
class AuxiliaryState:
    """What the meter says of the switch afterwards."""

    switch: int
    on: bool


@dataclass(frozen=True, slots=True)
class Generations:
    """Key generations believed live, each proven by the device: 0 is as handed over."""

    data: int
    master: int


@handles(ReadObject)
def read(desk: Desk, wish: ReadObject, installation: int, party: Party) -> Task[Reading]:
    """Read over the air."""
    reference = _attribute(desk, installation, party, wish.what, wish.attribute)
    name = obis_text(reference.logical_name)

    def errand(target: Target) -> Steps[Reading]:
        data = yield from target.session.get(reference)
        return Reading(name, wish.attribute, values.plain(data), values.tagged(data), _time(reference, data))

    return _visit(desk, wish, installation, party, errand)


def _time(reference: AttributeRef, data: Any) -> str | None:
    if (reference.class_id, reference.attribute) != _CLOCK:
        return None
    try:
        return text(moment.decode(bytes(data.value)))
    except (TypeError, ValueError):
        return None


@handles(WriteObject)
def write(desk: Desk, wish: WriteObject, installation: int, party: Party) -> Task[Written]:
    """Write over the air."""
    reference = _attribute(desk, installation, party, wish.what, wish.attribute)
    data = values.datum(wish.value)

    def errand(target: Target) -> Steps[Written]:
        yield from target.session.set(reference, data)
        return Written(obis_text(reference.logical_name), wish.attribute)

    return _visit(desk, wish, installation, party, errand)


@handles(ActOnObject)
def act(desk: Desk, wish: ActOnObject, installation: int, party: Party) -> Task[Acted]:
    """Invoke a method over the air."""
    reference = _attribute(desk, installation, party, wish.what, 1)
    method = MethodRef(reference.class_id, reference.logical_name, wish.method)
    data = None if wish.value is None else values.datum(wish.value)

    def errand(target: Target) -> Steps[Acted]:
        answer = yield from target.session.action(method, data)
        return Acted(obis_text(method.logical_name), wish.method, values.plain(answer), values.tagged(answer))

    return _visit(desk, wish, installation, party, errand)


@handles(RotateKeys)
def rotate_keys(desk: Desk, wish: RotateKeys, installation: int, party: Party) -> Task[Generations]:
    """Change the device's keys, proven."""

    def errand(target: Target) -> Steps[Generations]:
        yield from rotate(target.session, target.custody)
        return Generations(target.custody.data.custody.live, target.custody.master.custody.live)

    return _visit(desk, wish, installation, party, errand)


@handles(Heal)
def heal(desk: Desk, wish: Heal, installation: int, party: Party) -> Task[HealedView]:
    """Carry out the oracle's way back, and prove it."""

    def errand(target: Target) -> Steps[HealedView]:
        healed = yield from Healing(lambda: oracle.diagnosis(desk, installation, party)).steps(target)
        if not healed.healed:
            raise RefusedError("not-healed", healed.stopped)
        return HealedView(list(healed.done), oracle.view(oracle.diagnosis(desk, installation, party)))

    return _visit(desk, wish, installation, party, errand, enters=False)


@handles(SetSupply)
def set_supply(desk: Desk, wish: SetSupply, installation: int, party: Party) -> Task[SupplyState]:
    """Switch the supply relay or the valve by the model's scripts."""
    if party not in (Party.ELECTRICITY, Party.GAS):
        raise NoSuchThingError(f"a {device_name(party)} switches no supply", "device", "electricity or gas")
    settings = _profile(desk, installation, party).supply
    script = {"on": settings.enable, "off": settings.disable, "armed": settings.arm}[wish.state]

    def errand(target: Target) -> Steps[SupplyState]:
        yield from target.session.action(services.SUPPLY_SCRIPTS, long_unsigned(script))
        state = yield from target.session.get(services.SUPPLY)
        return SupplyState(SUPPLY[int(state.value)])

    return _visit(desk, wish, installation, party, errand)


@handles(SetAuxiliary)
def set_auxiliary(desk: Desk, wish: SetAuxiliary, installation: int, party: Party) -> Task[AuxiliaryState]:
    """Hold an auxiliary switch, or give it back: write the duration, then run the script."""
    if party is not Party.ELECTRICITY:
        raise NoSuchThingError(f"a {device_name(party)} has no auxiliary switches", "device", "electricity")
    said = refusal(_SERVICES[wish.state], desk.home(installation), desk.live.auxiliary)
    if said is not None:
        raise NotNowError(f"the {said.by} refuses: {said.reason}", "state", "serve the estate under core release 1.1")
    settings = _profile(desk, installation, party).auxiliary
    if wish.switch > settings.switches:
        has = f"switches 1 to {settings.switches}" if settings.switches else "none"
        raise NoSuchThingError(f"this meter has {has}", "switch", "choose an installation whose meter has it")
    name = _AD_HOC[wish.state]
    duration, minutes, script = ad_hoc(settings, name, wish.switch, 0 if name == "reset" else wish.minutes)

    def errand(target: Target) -> Steps[AuxiliaryState]:
        yield from target.session.set(duration, minutes)
        yield from target.session.action(services.AUXILIARY_SCRIPTS, script)
        state = yield from target.session.get(services.auxiliary(wish.switch))
        return AuxiliaryState(wish.switch, bool(state.value))

    return _visit(desk, wish, installation, party, errand)


# The visit itself


def _visit(
    desk: Desk,
    wish: OverTheAir,
    installation: int,
    party: Party,
    errand: Callable[[Target], Steps[T]],
    *,
    enters: bool = True,
) -> Task[T]:
    """A task that ends when the visit does. `enters` False: the errand opens its association itself."""
    head_end = desk.head_end(installation)
    record = desk.live.estate.smso(desk.home(installation))
    if head_end.target(record, party) is None:
        raise NotNowError(
            f"the old operator's record of installation {installation} has no keys for its {device_name(party)}",
            "device",
            "choose another device or installation",
        )
    task: Task[T] = desk.task(wish, installation, party)

    def ended(visit: Visit) -> None:
        if visit.error is None:
            task.finish(visit.value)
        else:
            task.fail(explain(visit.error, installation, party))

    planned = Planned(party, _safe(errand), ended, enters)
    task.give_up = lambda: head_end.drop(installation, planned)
    task.drive = desk.until_ended(task)
    try:
        head_end.plan(installation, planned)
    except WishError as error:
        task.fail(error)
        raise
    desk.live.stir(installation)
    desk.pace.poke()
    return task


def _safe(errand: Callable[[Target], Steps[T]]) -> Errand:
    """The errand, with an answer of another shape than it should have made into a refusal."""

    def guarded(target: Target) -> Steps[T]:
        try:
            value = yield from errand(target)
        except (TypeError, ValueError, IndexError) as error:
            raise RefusedError("malformed", str(error)) from error
        return value

    return guarded


def explain(error: EmulatorError, installation: int, party: Party) -> WishError:
    """A visit's end as something to tell: what, where, and what to do."""
    where = f"installation {installation} {device_name(party)}"
    if isinstance(error, NoAnswerError):
        return NoAnswerInTimeError(str(error), where, "look at its state (coverage, home network, power), ask again")
    if not isinstance(error, RefusedError):
        return DeviceRefusedError(str(error), where, "look at the journal")
    reason, detail = error.reason, error.detail
    words = f"{reason} ({detail})" if detail is not None else reason
    cure = "look at the journal for what the device noted"
    if reason in ("access", "action") and isinstance(detail, int):
        kind = DataAccessResult if reason == "access" else ActionResult
        words = f"the device refuses: {_result(kind, detail)}"
        cure = "ask for something it offers, in the type it has"
    elif reason == "not-healed":
        words, cure = f"it was not healed: {detail}", "ask for its diagnosis, mend what it names, and ask again"
    elif reason == "no-master-key":
        words, cure = "no master key is known that this device accepts", "choose another device; this one is lost"
    elif reason in ("counter", "invocation-counter"):
        words, cure = f"its invocation counter is spent ({detail})", "reset the installation"
    elif reason == "exception" and detail == 1:
        words, cure = "the hub says that this device cannot be reached", "look at the state of its home network"
    elif reason in ("exception", "tag", "authentication", "association", "initiate"):
        words = f"the device does not accept the head end's keys, or cannot be reached ({words})"
        cure = "look at its state (home network, faults in force, keys changed by another head end), or reset it"
    return DeviceRefusedError(words, where, cure)


def _result(kind: Any, number: int) -> str:
    try:
        return str(kind(number).name.lower().replace("_", "-"))
    except ValueError:
        return f"result {number}"


def _profile(desk: Desk, installation: int, party: Party) -> Any:
    spec = desk.spec(installation, party)
    return registry.model(spec.model).profile


def _attribute(desk: Desk, installation: int, party: Party, what: str, attribute: int) -> AttributeRef:
    """The reference for a name of the model, or "class/logical name"."""
    desk.spec(installation, party)
    if party not in KEYED:
        raise NoSuchThingError("a display holds no keys and answers nobody", "device", "hub, electricity or gas")
    try:
        if "/" in what:
            class_id, _, name = what.partition("/")
            return AttributeRef(int(class_id), obis(name), attribute)
        found = desk.look_at(installation, party, lambda device: named_object(device, what))
        return AttributeRef(found.class_id, found.logical_name, attribute)
    except (UsageError, ValueError) as error:
        raise NoSuchThingError(str(error), "what", 'name an object, or write "8/0-0:1.0.0"') from error
