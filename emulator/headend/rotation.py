"""Changing a device's keys under its master key, so that no step of it can lose them.

The states and the table of moves are in `headend/custody.py`; here is what is said to the device between them. Only a
device's own behaviour proves or disproves: an answer to the transfer alone does not (the reply is sent under the old
keys, before the new ones are taken into use), and silence proves nothing.

- Data keys (EK and AK, in one array or one by one: `RotationPolicy.arrays`) are proven by a read under them.
- A master key cannot be read. It is proven by the device accepting a transfer that is wrapped under it: in a healthy
  change that is the transfer of the new data keys; in doubt it is a transfer of the data keys that are live already,
  which changes nothing whichever way it ends. A refused transfer disproves nothing by itself, as a device has other
  reasons to refuse one: which master key it holds is asked of every one that the keepers still know.

So a six-second outage between any two steps leaves SENT, and the next attempt of a patient head end starts with the
question and not with another change. What a careless one does instead is in `headend/policy.py`. DLMS UA 1000-1
(class 64, key_transfer); RFC 3394 for the wrapping; one change at a time for each device: `headend/lock.py`.
"""

from collections.abc import Iterable
from typing import Final

from emulator.codecs.axdr import Data, array, enum, octet_string, structure
from emulator.crypto import keywrap
from emulator.errors import EmulatorError
from emulator.fleet.installation import DeviceKeys
from emulator.headend.asking import candidate, countersigned, cut_in, heard, promote
from emulator.headend.conversation import Remark, Rest
from emulator.headend.custody import TRANSITIONS, Change, DeviceCustody, Event, Office
from emulator.headend.keeper import Hierarchy, Stage
from emulator.headend.services import FIRST_READ, KEY_TRANSFER
from emulator.headend.session import NoAnswerError, RefusedError, Session, Steps
from emulator.kernel.effects import Note
from emulator.kernel.time import SECOND

__all__ = [
    "KEY_IDS",
    "TRANSITIONS",
    "Change",
    "DeviceCustody",
    "Event",
    "Office",
    "proves_candidate",
    "rotate",
    "settle_master",
    "transfer_of",
]

KEY_IDS: Final = {"ek": 0, "ak": 2, "kek": 3}

_PARTS: Final = {
    "all": (("ek", "ak"),),
    "ek-first": (("ek",), ("ak",)),
    "ak-first": (("ak",), ("ek",)),
}
"""Policy -> the transfers of a pair, in order."""


def transfer_of(wrapping: bytes, keys: Iterable[tuple[int, bytes]]) -> Data:
    """The parameter of key_transfer: an array of {key id, key wrapped under `wrapping`}."""
    return array([structure([enum(key_id), octet_string(keywrap.wrap(wrapping, key))]) for key_id, key in keys])


def _data_transfer(wrapping: bytes, keys: DeviceKeys, part: tuple[str, ...] = ("ek", "ak")) -> Data:
    return transfer_of(wrapping, [(KEY_IDS[name], keys.ek if name == "ek" else keys.ak) for name in part])


def rotate(session: Session, device: DeviceCustody) -> Steps[None]:
    """Change KEK, EK and AK of the device behind an open association, as `RotationPolicy` says; ends with everything
    proven.

    Raises NoAnswerError or RefusedError ("locked" when somebody else is changing its keys); what they left in doubt is
    settled by calling this again in a later attempt.
    """
    office = device.office
    locks, lasts = office.locks, round(office.settings.rotation.lock_s * SECOND)
    if not locks.take(device.device, office.holder, office.now(), lasts):
        raise RefusedError("locked", locks.holder(device.device, office.now()))
    try:
        try:
            yield from _rotated(session, device)
        except (NoAnswerError, RefusedError) as error:
            device.take_losses()
            yield from heard(device)
            raise error
        device.take_losses()
        yield from heard(device)
    finally:
        locks.release(device.device, office.holder)


def _rotated(session: Session, device: DeviceCustody) -> Steps[None]:
    policy = device.office.settings.rotation
    if device.master.in_doubt or device.data.in_doubt:
        yield from _until_quiet(device)
        if policy.retry == "patient":
            yield from settle_master(session, device)
    yield from cut_in(device, session, "before-transfer")
    if policy.master == "first":
        yield from _send_master(session, device)
        yield from cut_in(device, session, "between-master-and-data")
    yield from _change_data(session, device)
    if policy.master == "last":
        yield from cut_in(device, session, "between-master-and-data")
        yield from _send_master(session, device)
        yield from settle_master(session, device)
        yield from session.get(FIRST_READ)  # what proved it was a transfer of data keys
        yield Remark(
            Note(
                "rotation.confirmed",
                (int(device.party), device.data.custody.live, device.master.custody.live),
            )
        )
    device.office.locks.settled(device.device)
    yield from cut_in(device, session, "after")


def _until_quiet(device: DeviceCustody) -> Steps[None]:
    """A patient head end lets a device come to rest before it sends it keys again."""
    office = device.office
    sent = office.locks.last_sent(device.device)
    if sent is None or office.settings.rotation.retry != "patient":
        return
    rested = sent + round(office.settings.rotation.quiet_s * SECOND)
    if office.now() < rested:
        yield Rest(rested)


# Which master key does it hold?


def settle_master(session: Session, device: DeviceCustody) -> Steps[None]:
    """Answer the question an earlier transfer left open: which master key is live? Changes no key in the device.

    Raises RefusedError "no-master-key" when transfers under all that the keepers know are refused."""
    change = device.master
    if not change.in_doubt:
        return
    party = int(device.party)
    in_question, live = change.custody.candidate, change.custody.live
    order = [in_question, *(each for each in device.known(Hierarchy.MASTER) if each != in_question)]
    for generation in order:
        if generation == in_question and not change.custody.shared(generation):
            continue
        if not (yield from unwraps_under(session, device, generation)):
            continue
        if generation == in_question:
            yield from promote(device, Hierarchy.MASTER)
            yield Remark(Note("rotation.master-settled", (party,)))
        elif generation == live:
            change.move(Event.DISPROVEN)
            yield Remark(Note("rotation.master-disproven", (party,)))
            if not change.custody.agreed:  # asked by its name it was made; both know again
                change.move(Event.FOUND, generation=live)
                yield Remark(Note("rotation.master-found", (party, live)))
        else:
            change.move(Event.FOUND, generation=generation)
            yield Remark(Note("rotation.master-found", (party, generation)))
        return
    yield from heard(device)
    yield Remark(Note("rotation.master-unsettled", (party,)))
    raise RefusedError("no-master-key", "transfers under every known master key are refused")


def unwraps_under(session: Session, device: DeviceCustody, generation: int) -> Steps[bool]:
    """Does the device accept the data keys it has, wrapped under this master key? Raises what says neither."""
    assert session.keys is not None, "the association stands under some pair"
    probe = _data_transfer(device.master_key(generation), session.keys)
    try:
        yield from session.action(KEY_TRANSFER, probe)
    except RefusedError as error:
        if not _said_no(error):
            raise
        return False
    return True


def _astray(session: Session, device: DeviceCustody) -> Steps[bool]:
    """A transfer under the live master key was refused. Is another one live? True: it was found and believed from now
    on; False: the live one is, and the device had another reason. Raises RefusedError "no-master-key" for none."""
    custody = device.master.custody
    for generation in device.known(Hierarchy.MASTER):
        if (yield from unwraps_under(session, device, generation)):
            if generation == custody.live and custody.agreed:
                return False
            device.master.move(Event.FOUND, generation=generation)
            yield Remark(Note("rotation.master-found", (int(device.party), generation)))
            return True
    yield from heard(device)
    yield Remark(Note("rotation.master-unsettled", (int(device.party),)))
    raise RefusedError("no-master-key", "transfers under every known master key are refused")


# Transfers


def _send(session: Session, device: DeviceCustody, change: Change, transfer: Data, note: Note) -> Steps[None]:
    """One transfer, noted when it goes out; an impatient head end repeats it when nothing is heard."""
    policy, office = device.office.settings.rotation, device.office
    yield from countersigned(device, KEY_TRANSFER)  # else it would be in doubt though nothing was sent
    change.move(Event.SEND)
    yield Remark(note)
    left = policy.again if policy.retry == "impatient" else 0
    while True:
        device.cleared = KEY_TRANSFER
        try:
            yield from session.action(KEY_TRANSFER, transfer)
        except NoAnswerError:
            office.locks.sent(device.device, office.now())
            if not left:
                raise
            left -= 1
            yield Remark(Note("rotation.sent-again", (int(device.party), change.custody.candidate)))
            yield Rest(office.now() + round(policy.retry_after_s * SECOND))
        else:
            return


def _failed(device: DeviceCustody, change: Change, event: Event) -> None:
    """A transfer did not go well; a careless head end has kept nothing of it."""
    kept = device.office.settings.rotation.candidates == "kept"
    change.move(event if kept else Event.DROP)


def _send_master(session: Session, device: DeviceCustody) -> Steps[None]:
    change, party = device.master, int(device.party)
    found = False
    while True:
        generation = change.custody.candidate if change.in_doubt else (yield from candidate(device, Hierarchy.MASTER))
        wrapping = device.built_master(change.custody.live)
        transfer = transfer_of(wrapping, [(KEY_IDS["kek"], device.master_key(generation))])
        try:
            yield from _send(session, device, change, transfer, Note("rotation.master-sent", (party, generation)))
        except RefusedError as error:
            if not change.in_doubt:
                raise  # not even sent
            if not _said_no(error):
                _failed(device, change, Event.DOUBT)
                raise
            if found or not (yield from _refused_master(session, device)):
                if change.in_doubt:
                    _failed(device, change, Event.DISPROVEN)
                raise error
            if change.custody.live == generation:
                return
            found = True
            continue
        except NoAnswerError:
            _failed(device, change, Event.DOUBT)
            raise
        return


def _refused_master(session: Session, device: DeviceCustody) -> Steps[bool]:
    """A new master key was refused. Whoever is patient asks first which one the device holds, and gives the candidate
    up only when that is shown; others give it up at once. True: the keepers were wrong, and know better now."""
    change, policy = device.master, device.office.settings.rotation
    if policy.retry == "impatient" or policy.candidates == "not-kept":
        _failed(device, change, Event.DISPROVEN)
        return (yield from _astray(session, device))
    live, agreed = change.custody.live, change.custody.agreed
    yield from settle_master(session, device)
    return change.custody.live != live or not agreed


def _said_no(error: EmulatorError) -> bool:
    """Whether the device itself refused the transfer: then it has changed nothing. Anything else proves nothing."""
    return isinstance(error, RefusedError) and error.reason == "action"


def _change_data(session: Session, device: DeviceCustody) -> Steps[None]:
    change, master = device.data, device.master
    if change.in_doubt and not change.custody.shared(change.custody.candidate):
        change.move(Event.DROP)  # one of the keepers has lost it: nobody can send it again
    generation = change.custody.candidate if change.in_doubt else (yield from candidate(device, Hierarchy.DATA))
    policy = device.office.settings.rotation
    wrapping = device.built_master(master.custody.candidate if master.in_doubt else master.custody.live)
    wanted = device.data_keys(generation)
    note = Note("rotation.data-sent", (int(device.party), generation))
    for part in _PARTS[policy.arrays]:
        before = session.keys
        assert before is not None, "the association stands under some pair"
        try:
            yield from _send(session, device, change, _data_transfer(wrapping, wanted, part), note)
        except (RefusedError, NoAnswerError) as error:
            if not change.in_doubt:
                raise  # not even sent
            if _said_no(error):
                # It holds what this association stands under. A master key in doubt stays so: the next attempt asks.
                whole = before == device.data_keys(change.custody.live)
                _failed(device, change, Event.DISPROVEN if whole else Event.DOUBT)
                if not master.in_doubt:
                    yield from _astray(session, device)
                raise error
            _failed(device, change, Event.DOUBT)
            if not change.in_doubt or not (yield from proves_candidate(session, device)):
                raise error
            break
        after = DeviceKeys(wanted.ek if "ek" in part else before.ek, wanted.ak if "ak" in part else before.ak, None)
        spent = session.next_counter if policy.counter_after is not None else 0
        lowest = session.begin_with(after)
        if policy.counter_after is not None and "ek" in part:
            session.restart_counter(policy.counter_after)
        try:
            yield from session.get(FIRST_READ)
        except (RefusedError, NoAnswerError):
            session.back_to(before, lowest)
            if spent:
                session.raise_counter(spent)
            if policy.candidates == "not-kept":
                change.move(Event.DROP)
            raise
    else:
        yield from promote(device, Hierarchy.DATA)
    if master.in_doubt:
        yield from promote(device, Hierarchy.MASTER)
    yield Remark(Note("rotation.confirmed", (int(device.party), change.custody.live, master.custody.live)))


def proves_candidate(session: Session, device: DeviceCustody) -> Steps[bool]:
    """Ask under the candidate data keys; promote them when the device answers.

    On no answer or a refusal the session is back on the keys it had, and the doubt stays."""
    before = session.keys
    assert before is not None, "the association stands under some pair"
    lowest = session.begin_with(device.data_keys(device.data.custody.candidate))
    try:
        yield from session.get(FIRST_READ)
    except (NoAnswerError, RefusedError):
        session.back_to(before, lowest)
        return False
    yield from promote(device, Hierarchy.DATA)
    assert device.data.custody.stage is Stage.HELD
    return True
