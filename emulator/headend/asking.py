"""Asking the keepers: for their shares, for their word that a key is written down, and for a countersignature.

Each is a part of a script, as an answer may take time or never come; whatever comes of it is noted. Here, only here,
faults strike the keepers (`emulator.faults.keeper`): what one of them loses or does not hear is written into its own
record, and what can still be made follows from the records.
"""

from typing import Any, Final

from emulator.codecs.action import MethodRef
from emulator.codecs.get import AttributeRef
from emulator.faults.fault import Point
from emulator.faults.keeper import KeeperAnswer, Question
from emulator.headend import dual_control
from emulator.headend.conversation import Remark, Rest
from emulator.headend.custody import OTHER, DeviceCustody, Event
from emulator.headend.keeper import SHARERS, Hierarchy, KeeperName
from emulator.headend.session import RefusedError, Session, Steps
from emulator.kernel.effects import Note
from emulator.kernel.time import SECOND


def heard(device: DeviceCustody) -> Steps[None]:
    """Put the notes so far into the journal."""
    told = device.told
    for note in told:
        yield Remark(note)
    told.clear()


def _asked(device: DeviceCustody, question: Question) -> Steps[KeeperAnswer]:
    """What becomes of a keeper that is asked; only while a fault may strike one."""
    office = device.office
    assert office.mischief is not None
    strike = office.mischief.strike(Point.KEEPER, device.installation, device.party, office.now(), question)
    if strike is None:
        return _SOUND
    yield Remark(strike.note)
    answer: KeeperAnswer = strike.fault.answer()
    return answer


_SOUND: Final = KeeperAnswer()


def _waited_in_vain(device: DeviceCustody, what: str) -> Steps[Any]:
    yield Rest(device.office.now() + round(device.office.control.settings.answer_s * SECOND))
    yield from _refused(device, what, "silent")


def _refused(device: DeviceCustody, what: str, reason: str) -> Steps[Any]:
    yield from heard(device)
    yield Remark(Note("dual-control.refused", (int(device.party), what, reason)))
    raise RefusedError("dual-control", reason)


def consult(device: DeviceCustody) -> Steps[None]:
    """Before a conversation under keys: the old operator's record is taken over, and the keepers are asked for their
    shares. Raises RefusedError "custody" when there is no record to be had, "dual-control" when the DCO is silent."""
    data, master = device.data.custody, device.master.custody
    if device.office.haunted:
        if data.knows("smso", 0) and (yield from _asked(device, Question("tell", "smso"))).closed:
            data.close_smso()
            master.close_smso()
            yield Remark(Note("custody.closed", (int(device.party), int(Hierarchy.DATA), 0, "smso")))
        for keeper in SHARERS:
            if keeper == "dco" and not (data.live or data.candidate):
                continue  # what was handed over is nobody's share
            answer = yield from _asked(device, Question("tell", keeper))
            if answer.restored:
                _restore(device, keeper, answer.keys)
            if answer.silent:
                yield from _waited_in_vain(device, "share")
    if not data.received:
        if not data.receive():
            raise RefusedError("custody", "smso-closed")
        master.receive()
        device.tell("handed-over", Hierarchy.DATA, 0, "s1sp")
    if device.told:
        yield from heard(device)


def _restore(device: DeviceCustody, keeper: KeeperName, keys: str) -> None:
    for hierarchy in Hierarchy:
        if keys in ("any", hierarchy.name.lower()):
            lost = device.change(hierarchy).custody.restore(keeper)
            if lost is not None:
                device.tell("lost", hierarchy, lost, keeper)


def candidate(device: DeviceCustody, hierarchy: Hierarchy) -> Steps[int]:
    """A new generation, recorded by one keeper and acknowledged by the other. Raises RefusedError when it is not: then
    nothing may be sent."""
    change, office = device.change(hierarchy), device.office
    haunted = office.haunted
    change.move(Event.RECORD)
    name, other = hierarchy.name.lower(), OTHER[change.custody.builder]
    if haunted and (yield from _asked(device, Question("acknowledge", other, name))).silent:
        device.tell("recorded", hierarchy, change.custody.candidate, change.custody.builder)
        yield from _waited_in_vain(device, "acknowledgement")
    change.move(Event.ACKNOWLEDGE)
    generation = change.custody.candidate
    if hierarchy is Hierarchy.MASTER:
        device.in_hand.add(generation)
    if haunted:
        yield from _forgetting(device, hierarchy, "acknowledged", generation)
    return generation


def _forgetting(device: DeviceCustody, hierarchy: Hierarchy, what: Any, generation: int) -> Steps[None]:
    for keeper in SHARERS:
        if (yield from _asked(device, Question(what, keeper, hierarchy.name.lower()))).forgets:
            device.loses(keeper, hierarchy, generation)


def promote(device: DeviceCustody, hierarchy: Hierarchy) -> Steps[None]:
    """The candidate is proven: both keepers are told that it is live."""
    change = device.change(hierarchy)
    missed: KeeperName | None = None
    generation = change.custody.candidate
    change.move(Event.PROVEN)
    haunted = device.office.haunted
    if haunted:
        for keeper in SHARERS:
            if (yield from _asked(device, Question("promote", keeper, hierarchy.name.lower()))).misses:
                missed = keeper
    change.move(Event.PROMOTE, missed=missed)
    device.in_hand.discard(generation)
    if haunted:
        yield from _forgetting(device, hierarchy, "promoted", generation)


def countersigned(device: DeviceCustody, reference: MethodRef | AttributeRef) -> Steps[None]:
    """Have a command countersigned when it has to be. Raises RefusedError "dual-control" with the reason; nothing was
    sent then."""
    if device.cleared is reference:
        device.cleared = None
        return
    service = dual_control.service(reference)
    office = device.office
    if service is None or not office.control.needs(service):
        return
    if office.haunted:
        answer = yield from _asked(device, Question("countersign", "dco", service=service))
        if answer.silent:
            yield from _waited_in_vain(device, service)
        if answer.refused:
            yield from _refused(device, service, answer.refused)
    approval = office.control.ask(device.installation, device.party, service, office.now())
    if approval.reason is not None:
        yield from _refused(device, service, approval.reason)


def cut_in(device: DeviceCustody, session: Session, step: Any) -> Steps[None]:
    """A step of a change at which another head end may cut in."""
    office = device.office
    if not office.haunted or office.rival is None:
        return
    assert office.mischief is not None
    question = Question("rekey", "", step=step)
    strike = office.mischief.strike(Point.KEEPER, device.installation, device.party, office.now(), question)
    if strike is not None:
        yield from heard(device)
        yield Remark(strike.note)
        yield from office.rival(device, session, strike.fault)
