"""Finding a way in: which of the keys we may hold does the device accept now?

An interrupted change leaves two pairs of data keys in question, and the order of asking matters: the candidate first,
because a device that already took it will never accept the old pair again, and one that did not is not harmed by the
question. Only an association that stands under the old pair disproves the candidate; refusals alone do not.
"""

from emulator.headend.conversation import Remark
from emulator.headend.rotation import DeviceCustody, Event
from emulator.headend.session import RefusedError, Session, Steps
from emulator.kernel.effects import Note


def associate(session: Session, device: DeviceCustody) -> Steps[None]:
    """Open an association under whatever keys are live. Raises NoAnswerError; RefusedError when all are refused."""
    change = device.data
    if change.in_doubt:
        session.use(device.data_keys(change.custody.candidate))
        try:
            yield from session.open()
        except RefusedError:
            yield Remark(Note("recovery.candidate-refused", (int(device.party),)))
        else:
            change.move(Event.PROVEN)
            change.move(Event.PROMOTE)
            yield Remark(Note("recovery.candidate-live", (int(device.party), change.custody.live)))
            return
    session.use(device.data_keys(change.custody.live))
    yield from session.open()
    if change.in_doubt:
        change.move(Event.DISPROVEN)
        yield Remark(Note("recovery.candidate-disproven", (int(device.party),)))
