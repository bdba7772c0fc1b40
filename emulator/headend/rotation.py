"""Changing a device's keys under its master key, so that no step of it can lose them.

Two hierarchies change, each through the same written states:

    HELD -record-> RECORDED -send-> SENT -proven-> CONFIRMED -promote-> HELD
                                    SENT -disproven-> HELD      (the device has shown it holds the old key)
                                    SENT -doubt-> SENT          (no answer: either may be live; ask again later)

*Recorded* means: the candidate stands in the keeper's memory before a byte of it leaves. Only a device's own behaviour
proves or disproves: an answer to the transfer alone does not (the reply is sent under the old keys, before the new ones
are taken into use), and silence proves nothing.

- Data keys (EK and AK, one array, so that the device takes both or neither) are proven by a read under them.
- A master key cannot be read. It is proven by the device accepting a transfer that is wrapped under it: in a healthy
  change that is the transfer of the new data keys; in doubt it is a transfer of the data keys that are live already,
  which changes nothing whichever way it ends. A refused transfer disproves nothing by itself, as a device has other
  reasons to refuse one: the candidate is given up only when the device has accepted a transfer under the old master
  key instead. A candidate given up wrongly would be a meter nobody can ever change the keys of again.

So a six-second outage between any two steps leaves SENT, and the next attempt starts with the question and not with
another change. DLMS UA 1000-1 (class 64, key_transfer); RFC 3394 for the wrapping.
"""

from enum import StrEnum
from typing import Final

from emulator.codecs.axdr import Data, array, enum, octet_string, structure
from emulator.crypto import keywrap
from emulator.errors import EmulatorError, UsageError
from emulator.fleet.installation import DeviceKeys
from emulator.headend.conversation import Remark
from emulator.headend.keeper import Custody, Hierarchy, Keeper, Stage
from emulator.headend.services import FIRST_READ, KEY_TRANSFER
from emulator.headend.session import NoAnswerError, RefusedError, Session, Steps
from emulator.kernel.effects import Note
from emulator.kernel.machine import Party


class Event(StrEnum):
    """What moves a change of keys. Texts, because the hash of a plain `Enum` is a call in Python."""

    RECORD = "record"
    SEND = "send"
    PROVEN = "proven"
    DISPROVEN = "disproven"
    DOUBT = "doubt"
    PROMOTE = "promote"


TRANSITIONS: Final[dict[tuple[Stage, Event], Stage]] = {
    (Stage.HELD, Event.RECORD): Stage.RECORDED,
    (Stage.RECORDED, Event.RECORD): Stage.RECORDED,
    (Stage.RECORDED, Event.SEND): Stage.SENT,
    (Stage.SENT, Event.SEND): Stage.SENT,
    (Stage.SENT, Event.PROVEN): Stage.CONFIRMED,
    (Stage.SENT, Event.DISPROVEN): Stage.HELD,
    (Stage.SENT, Event.DOUBT): Stage.SENT,
    (Stage.CONFIRMED, Event.PROMOTE): Stage.HELD,
}
"""All moves there are; any other is a fault of ours."""

KEY_IDS: Final = {"ek": 0, "ak": 2, "kek": 3}


class Change:
    """One hierarchy of one device, moved along `TRANSITIONS`."""

    __slots__ = ("custody",)

    def __init__(self, custody: Custody) -> None:
        self.custody = custody

    def move(self, event: Event) -> None:
        """Take one transition and write it down."""
        stage = TRANSITIONS.get((self.custody.stage, event))
        if stage is None:
            raise UsageError(f"a change of keys that is {self.custody.stage.name} cannot take {event.name}")
        if event is Event.RECORD:
            self.custody.record()
        if event is Event.PROMOTE:
            self.custody.promote()
        elif event is Event.DISPROVEN:
            self.custody.forget_candidate()
        else:
            self.custody.move(stage)

    @property
    def in_doubt(self) -> bool:
        """Whether a candidate may be live."""
        return self.custody.stage is Stage.SENT


class DeviceCustody:
    """What one keeper believes of one device, with the keys themselves at hand: the rotation's working set."""

    __slots__ = ("_derived", "data", "handed_over", "installation", "keeper", "master", "party")

    def __init__(self, keeper: Keeper, installation: int, party: Party, handed_over: DeviceKeys) -> None:
        self.keeper = keeper
        self.installation = installation
        self.party = party
        self.handed_over = handed_over
        self._derived: dict[int, DeviceKeys] = {}
        self.data = Change(keeper.custody(installation, party, Hierarchy.DATA))
        self.master = Change(keeper.custody(installation, party, Hierarchy.MASTER))

    @property
    def touched(self) -> bool:
        """Whether a change of this device's keys has ever been sent."""
        return any(change.in_doubt or change.custody.live for change in (self.data, self.master))

    def data_keys(self, generation: int) -> DeviceKeys:
        """EK and AK of a generation."""
        keys = self._derived.get(generation)
        if keys is None:
            keys = self.keeper.data_keys(self.installation, self.party, generation, self.handed_over)
            self._derived[generation] = keys
        return keys

    def master_key(self, generation: int) -> bytes:
        """KEK of a generation. Raises RefusedError when the old operator had none."""
        key = self.keeper.master_key(self.installation, self.party, generation, self.handed_over)
        if key is None:
            raise RefusedError("no-master-key")
        return key


def _transfer(wrapping: bytes, keys: list[tuple[int, bytes]]) -> Data:
    """The parameter of key_transfer: an array of {key id, key wrapped under `wrapping`}."""
    return array([structure([enum(key_id), octet_string(keywrap.wrap(wrapping, key))]) for key_id, key in keys])


def _data_transfer(wrapping: bytes, keys: DeviceKeys) -> Data:
    return _transfer(wrapping, [(KEY_IDS["ek"], keys.ek), (KEY_IDS["ak"], keys.ak)])


def rotate(session: Session, device: DeviceCustody) -> Steps[None]:
    """Change KEK, then EK and AK, of the device behind an open association; ends with everything proven.

    Raises NoAnswerError or RefusedError; what they left in doubt is settled by calling this again in a later attempt.
    """
    yield from settle_master(session, device)
    if device.master.custody.stage is not Stage.SENT:
        yield from _send_master(session, device)
    yield from _change_data(session, device)


def settle_master(session: Session, device: DeviceCustody) -> Steps[None]:
    """Answer the question an earlier attempt left open: which master key is live? Changes no key in the device."""
    change = device.master
    if not change.in_doubt:
        return
    if (yield from _unwraps_under(session, device, change.custody.candidate)):
        _prove_master(device)
        yield Remark(Note("rotation.master-settled", (int(device.party),)))
    elif (yield from _unwraps_under(session, device, change.custody.live)):
        change.move(Event.DISPROVEN)
        yield Remark(Note("rotation.master-disproven", (int(device.party),)))
    else:
        yield Remark(Note("rotation.master-unsettled", (int(device.party),)))
        raise RefusedError("no-master-key", "transfers under either master key are refused")


def _unwraps_under(session: Session, device: DeviceCustody, generation: int) -> Steps[bool]:
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


def _send_master(session: Session, device: DeviceCustody) -> Steps[None]:
    change = device.master
    change.move(Event.RECORD)
    candidate = device.master_key(change.custody.candidate)
    wrapping = device.master_key(change.custody.live)
    change.move(Event.SEND)
    yield Remark(Note("rotation.master-sent", (int(device.party), change.custody.candidate)))
    try:
        yield from session.action(KEY_TRANSFER, _transfer(wrapping, [(KEY_IDS["kek"], candidate)]))
    except (RefusedError, NoAnswerError) as error:
        change.move(Event.DISPROVEN if _said_no(error) else Event.DOUBT)
        raise


def _said_no(error: EmulatorError) -> bool:
    """Whether the device itself refused the transfer: then it has changed nothing. Anything else proves nothing."""
    return isinstance(error, RefusedError) and error.reason == "action"


def _prove_master(device: DeviceCustody) -> None:
    device.master.move(Event.PROVEN)
    device.master.move(Event.PROMOTE)


def _change_data(session: Session, device: DeviceCustody) -> Steps[None]:
    change = device.data
    master = device.master
    wrapping_generation = master.custody.candidate if master.in_doubt else master.custody.live
    if not change.in_doubt:
        change.move(Event.RECORD)
    candidate = change.custody.candidate
    change.move(Event.SEND)
    yield Remark(Note("rotation.data-sent", (int(device.party), candidate)))
    transfer = _data_transfer(device.master_key(wrapping_generation), device.data_keys(candidate))
    try:
        yield from session.action(KEY_TRANSFER, transfer)
    except (RefusedError, NoAnswerError) as error:
        if _said_no(error):
            # It holds what this association stands under. A master key in doubt stays so: the next attempt asks.
            whole = session.keys == device.data_keys(change.custody.live)
            change.move(Event.DISPROVEN if whole else Event.DOUBT)
            raise
        change.move(Event.DOUBT)
        if not (yield from proves_candidate(session, device)):
            raise
    else:
        before = session.keys
        assert before is not None, "the association stands under some pair"
        lowest = session.begin_with(device.data_keys(candidate))
        try:
            yield from session.get(FIRST_READ)
        except (RefusedError, NoAnswerError):
            session.back_to(before, lowest)
            raise
        _prove_data(device)
    if master.in_doubt:
        _prove_master(device)
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
    _prove_data(device)
    return True


def _prove_data(device: DeviceCustody) -> None:
    device.data.move(Event.PROVEN)
    device.data.move(Event.PROMOTE)
    assert device.data.custody.stage is Stage.HELD
