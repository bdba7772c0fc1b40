"""Finding a way in: which of the keys we may hold does the device accept now?

An interrupted change leaves two pairs of data keys in question, and the order of asking matters: the candidate first,
because a device that already took it will never accept the old pair again, and one that did not is not harmed by the
question. Only an association that stands under the old pair disproves the candidate; refusals alone do not. Neither
does silence end the search: some devices say nothing to a message that does not open.

A device that takes the keys of one transfer item by item can be left with one key of each pair. It talks under that
mixture, which neither proves nor disproves the candidate: the doubt stays, and ends with the next change, which sends
the same candidate again (`rotation.rotate`).
"""

from emulator.fleet.installation import DeviceKeys
from emulator.headend.conversation import Remark
from emulator.headend.rotation import DeviceCustody, Event
from emulator.headend.session import NoAnswerError, RefusedError, Session, Steps
from emulator.kernel.effects import Note


def associate(session: Session, device: DeviceCustody) -> Steps[None]:
    """Open an association under whatever keys are live.

    Raises NoAnswerError when a pair that may be live was met with silence, else RefusedError. The session is on the
    live pair then."""
    change = device.data
    live = device.data_keys(change.custody.live)
    if not change.in_doubt:
        session.use(live)
        yield from session.open()
        return
    party = int(device.party)
    candidate = device.data_keys(change.custody.candidate)
    lowest = session.begin_with(candidate)
    failures = [(yield from _refused(session))]
    if failures[-1] is None:
        change.move(Event.PROVEN)
        change.move(Event.PROMOTE)
        yield Remark(Note("recovery.candidate-live", (party, change.custody.live)))
        return
    session.back_to(live, lowest)
    failures.append((yield from _refused(session)))
    if failures[-1] is None:
        change.move(Event.DISPROVEN)
        yield Remark(Note("recovery.candidate-disproven", (party,)))
        return
    lowest = session.begin_with(DeviceKeys(candidate.ek, live.ak, None))
    failures.append((yield from _refused(session)))
    if failures[-1] is not None:
        session.back_to(DeviceKeys(live.ek, candidate.ak, None), lowest)
        failures.append((yield from _refused(session)))
    if failures[-1] is None:
        yield Remark(Note("recovery.mixed", (party,)))
        return
    session.use(live)
    raise next((error for error in failures if isinstance(error, NoAnswerError)), None) or failures[-1]


def _refused(session: Session) -> Steps[RefusedError | NoAnswerError | None]:
    """Open an association: None when it stands, else why not."""
    try:
        yield from session.open()
    except (RefusedError, NoAnswerError) as error:
        return error
    return None
