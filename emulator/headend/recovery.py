"""Finding a way in: which of the keys we may hold does the device accept now?

An interrupted change leaves two pairs of data keys in question, and the order of asking matters: the candidate first,
because a device that already took it will never accept the old pair again, and one that did not is not harmed by the
question. Only an association that stands under the old pair disproves the candidate; refusals alone do not. Neither
does silence end the search: some devices say nothing to a message that does not open.

A device that takes the keys of one transfer item by item can be left with one key of each pair. It talks under that
mixture, which neither proves nor disproves the candidate: the doubt stays, and ends with the next change, which sends
the same candidate again (`rotation.rotate`).

When all that is refused the keepers may be wrong: one of them missed a change, or gave a candidate up that the device
holds. So every earlier generation that they can still make together is tried too, and then its mixtures. The order is
the table `TRANSITIONS`; each step of a rescue can also be taken by itself (`try_pair`, `probe_master`, `transfer`,
`promote`), as whoever works out a way back does.
"""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Final, Literal, TypeAlias

from emulator.errors import UsageError
from emulator.fleet.installation import DeviceKeys
from emulator.headend import asking
from emulator.headend.conversation import Remark
from emulator.headend.custody import DeviceCustody, Event
from emulator.headend.keeper import Hierarchy, Stage
from emulator.headend.rotation import KEY_IDS, transfer_of, unwraps_under
from emulator.headend.services import KEY_TRANSFER
from emulator.headend.session import NoAnswerError, RefusedError, Session, Steps
from emulator.kernel.effects import Note

KeyName: TypeAlias = Literal["ek", "ak", "kek"]
Pair: TypeAlias = tuple[int, int]
"""Generation of EK, generation of AK."""

COUNTER_REASONS: Final = frozenset({"counter", "invocation-counter"})
"""Refusals that say nothing of keys."""


class Phase(StrEnum):
    """What is being tried; the last two are the ends."""

    CANDIDATE = "candidate"
    LIVE = "live"
    MIXED = "mixed"
    EARLIER = "earlier"
    EARLIER_MIXED = "earlier-mixed"
    IN = "in"
    OUT = "out"


class Answer(StrEnum):
    """What came of it: an association stands; every pair of the phase was refused or met with silence; a pair that
    nobody doubts was met with silence; the device took the keys for right and the counter for wrong."""

    STANDS = "stands"
    FAILS = "fails"
    SILENCE = "silence"
    COUNTER = "counter"


TRANSITIONS: Final[dict[tuple[Phase, Answer], Phase]] = {
    (Phase.CANDIDATE, Answer.STANDS): Phase.IN,
    (Phase.CANDIDATE, Answer.FAILS): Phase.LIVE,
    (Phase.LIVE, Answer.STANDS): Phase.IN,
    (Phase.LIVE, Answer.FAILS): Phase.MIXED,
    (Phase.LIVE, Answer.SILENCE): Phase.OUT,
    (Phase.LIVE, Answer.COUNTER): Phase.OUT,
    (Phase.MIXED, Answer.STANDS): Phase.IN,
    (Phase.MIXED, Answer.FAILS): Phase.EARLIER,
    (Phase.EARLIER, Answer.STANDS): Phase.IN,
    (Phase.EARLIER, Answer.FAILS): Phase.EARLIER_MIXED,
    (Phase.EARLIER_MIXED, Answer.STANDS): Phase.IN,
    (Phase.EARLIER_MIXED, Answer.FAILS): Phase.OUT,
}
"""The order of the search. A phase that has no pairs fails at once."""


def associate(session: Session, device: DeviceCustody, *, reachable: bool = False) -> Steps[None]:
    """Open an association under whatever keys are live. `reachable`: the device is known to answer just now, so that
    its silence under keys is taken for a refusal of them.

    Raises NoAnswerError when a pair that may be live was met with silence, else RefusedError. The session is on the
    live pair then."""
    yield from asking.consult(device)
    change = device.data
    live = device.built_pair(change.custody.live)
    failures: list[NoAnswerError | RefusedError] = []
    before: tuple[DeviceKeys, int] | None = None
    doubted = change.in_doubt
    phase = Phase.CANDIDATE if doubted else Phase.LIVE
    try:
        while phase not in (Phase.IN, Phase.OUT):
            if phase is Phase.LIVE:
                if before is None:
                    session.use(live)
                else:
                    session.back_to(*before)
                error = yield from _refusal(session)
                if error is None:
                    if doubted:
                        change.move(Event.DISPROVEN)
                        yield Remark(Note("recovery.candidate-disproven", (int(device.party),)))
                    phase = Phase.IN
                    continue
                failures.append(error)
                phase = TRANSITIONS[Phase.LIVE, _said(error, device, doubted or reachable)]
                continue
            answer = Answer.FAILS
            for pair in _pairs(device, phase):
                keys = _keys(device, pair, built=phase is Phase.CANDIDATE)
                lowest = session.begin_with(keys)
                before = before or (live, lowest)
                error = yield from _refusal(session)
                if error is None:
                    yield from _believe(device, phase, pair)
                    answer = Answer.STANDS
                    break
                failures.append(error)
            phase = TRANSITIONS[phase, answer]
    except Exception as broken:
        if device.told:
            yield from asking.heard(device)
        raise broken
    if device.told:
        yield from asking.heard(device)
    if phase is Phase.IN:
        return
    if before is not None:
        session.back_to(*before)
    raise next((error for error in failures if isinstance(error, NoAnswerError)), None) or failures[-1]


def _said(error: NoAnswerError | RefusedError, device: DeviceCustody, search: bool) -> Answer:
    """What the live pair's failure means. `search`: silence does not end it."""
    if isinstance(error, RefusedError):
        return Answer.COUNTER if error.reason in COUNTER_REASONS and not device.data.in_doubt else Answer.FAILS
    return Answer.FAILS if search or device.office.settings.recovery.on_silence else Answer.SILENCE


def _pairs(device: DeviceCustody, phase: Phase) -> list[Pair]:
    """What there is to try in a phase, most likely first."""
    change, policy = device.data, device.office.settings.recovery
    live, candidate = change.custody.live, change.custody.candidate
    in_question = {live, candidate} if change.in_doubt else {live}
    if phase is Phase.CANDIDATE:
        return [(candidate, candidate)]
    known = device.known(Hierarchy.DATA)
    if phase is Phase.MIXED:
        if not (policy.mixed and change.in_doubt and candidate in known and live in known):
            return []
        return [(candidate, live), (live, candidate)]
    # A live generation that the keepers do not agree on was not truly tried: each gave the share of another.
    tried = in_question if change.custody.agreed else in_question - {live}
    earlier = [each for each in known if each not in tried] if policy.earlier else []
    if phase is Phase.EARLIER:
        return [(each, each) for each in earlier]
    if not policy.mixed:
        return []
    return [(ek, ak) for ek, ak in product(known, known) if ek != ak and not {ek, ak} <= in_question and earlier]


def _keys(device: DeviceCustody, pair: Pair, *, built: bool = False) -> DeviceKeys:
    ek, ak = pair
    if ek == ak:
        return device.built_pair(ek) if built else device.data_keys(ek)
    return DeviceKeys(device.data_keys(ek).ek, device.data_keys(ak).ak, None)


def _believe(device: DeviceCustody, phase: Phase, pair: Pair) -> Steps[None]:
    """Write down what an association under a pair has shown."""
    party = int(device.party)
    if phase is Phase.CANDIDATE:
        yield from asking.promote(device, Hierarchy.DATA)
        yield Remark(Note("recovery.candidate-live", (party, device.data.custody.live)))
    elif phase is Phase.EARLIER:
        device.data.move(Event.FOUND, generation=pair[0])
        yield Remark(Note("recovery.earlier-live", (party, pair[0])))
    else:
        yield Remark(Note("recovery.mixed", (party,)))


def _refusal(session: Session) -> Steps[RefusedError | NoAnswerError | None]:
    """Open an association: None when it stands, else why not."""
    try:
        yield from session.open()
    except (RefusedError, NoAnswerError) as error:
        return error
    return None


# The steps of a rescue, one by one


def try_pair(session: Session, device: DeviceCustody, ek_generation: int, ak_generation: int) -> Steps[bool]:
    """Associate under the EK of one generation and the AK of another. True: it stands, and the session is on that pair;
    False: refused, and the session is where it was. Writes nothing down. Raises NoAnswerError for silence, UsageError
    for a generation that the keepers cannot make (`DeviceCustody.known`)."""
    for generation in (ek_generation, ak_generation):
        device.key_of(Hierarchy.DATA, generation)
    before = session.keys
    lowest = session.begin_with(_keys(device, (ek_generation, ak_generation)))
    error = yield from _refusal(session)
    if error is None:
        return True
    if before is not None:
        session.back_to(before, lowest)
    if isinstance(error, NoAnswerError):
        raise error
    return False


def probe_master(session: Session, device: DeviceCustody, generation: int) -> Steps[bool]:
    """Whether the device holds the KEK of a generation: the keys that the open association stands under are sent again,
    wrapped under it. Changes nothing and writes nothing down. Raises NoAnswerError, RefusedError for anything that says
    neither, UsageError for a generation that the keepers cannot make."""
    device.key_of(Hierarchy.MASTER, generation)
    return (yield from unwraps_under(session, device, generation))


def transfer(session: Session, device: DeviceCustody, *, under: int, keys: Mapping[KeyName, int]) -> Steps[None]:
    """Send the keys of these generations ("ek", "ak", "kek"), wrapped under the KEK of generation `under`, in one
    array. Believes nothing of the answer and writes nothing down. Raises NoAnswerError, RefusedError; UsageError for a
    generation that the keepers cannot make."""
    wrapping = device.key_of(Hierarchy.MASTER, under)
    assert isinstance(wrapping, bytes)
    items: list[tuple[int, bytes]] = []
    for name, generation in keys.items():
        made = device.key_of(Hierarchy.MASTER if name == "kek" else Hierarchy.DATA, generation)
        if isinstance(made, bytes):
            items.append((KEY_IDS[name], made))
        else:
            items.append((KEY_IDS[name], made.ek if name == "ek" else made.ak))
    if not items:
        raise UsageError("a transfer of no keys")
    yield from session.action(KEY_TRANSFER, transfer_of(wrapping, sorted(items)))


def issue(device: DeviceCustody, hierarchy: Hierarchy) -> Steps[int]:
    """A new generation, recorded and acknowledged by both keepers, for `transfer`; the one in doubt when there is one.
    Raises RefusedError when it is not acknowledged."""
    change = device.change(hierarchy)
    if change.in_doubt:
        return change.custody.candidate
    generation = yield from asking.candidate(device, hierarchy)
    change.move(Event.SEND)
    return generation


def promote(device: DeviceCustody, hierarchy: Hierarchy, generation: int) -> Steps[None]:
    """Believe from now on that the device holds this generation, as it has shown. Raises UsageError for a generation
    that the keepers cannot make."""
    device.key_of(hierarchy, generation)
    change = device.change(hierarchy)
    if change.custody.stage is Stage.SENT and generation == change.custody.candidate:
        yield from asking.promote(device, hierarchy)
    else:
        change.move(Event.FOUND, generation=generation)
    yield from asking.heard(device)
