"""Another head end that changes the keys of the same device in the middle of a change of ours (row F9).

It is what was seen in the field (OSGP platform PR 735): two of them at one meter, each believing itself alone. The
rival associates with the device's own DLMS server through a client, a system title and counters of its own, over the
air that ours is using at that moment, and sends keys wrapped under the master key it knows. Nothing is done for it that
a device would not do: where its keys are refused it fails, and where they are taken ours may be shut out.

Its new keys are generations like all others, of which our keepers know nothing unless it `tells` them. It runs at steps
of our own script, so that where it cuts in is said exactly and comes twice alike.
"""

from typing import Final

from emulator.crypto import derive
from emulator.crypto.keys import ContextStore
from emulator.dlms.client import MANAGEMENT, Client
from emulator.faults.keeper import RivalHeadEnd
from emulator.fleet.cell import OLD_HEAD_END_TITLE
from emulator.headend.asking import heard
from emulator.headend.conversation import Remark
from emulator.headend.custody import DeviceCustody
from emulator.headend.keeper import Hierarchy
from emulator.headend.rotation import KEY_IDS, transfer_of
from emulator.headend.services import FIRST_READ, INVOCATION_COUNTER, KEY_TRANSFER
from emulator.headend.session import NoAnswerError, RefusedError, Session, Steps
from emulator.kernel.effects import Note
from emulator.kernel.time import SECOND

HOLDER: Final = "rival"
RIVAL_TITLE: Final = b"RIVL\x00\x00\x00\x01"
"""System title of a head end that shares our keys. ASSUMED; the old operator keeps its own."""


def rekey(device: DeviceCustody, session: Session, fault: RivalHeadEnd) -> Steps[None]:
    """Change the device's keys as `fault` says, and leave. Never raises for what the device answers."""
    office, party = device.office, int(device.party)
    lasts = round(office.settings.rotation.lock_s * SECOND)
    if fault.honours_lock and not office.locks.take(device.device, HOLDER, office.now(), lasts):
        yield Remark(Note("rival.locked-out", (party,)))
        return
    sent: list[tuple[Hierarchy, int]] = []
    yield Remark(Note("rival.began", (party, fault.step)))
    try:
        yield from _changed(device, session, fault, sent)
    except (NoAnswerError, RefusedError) as error:
        reason = error.reason if isinstance(error, RefusedError) else "no answer"
        yield Remark(Note("rival.failed", (party, reason)))
    else:
        yield Remark(Note("rival.ended", (party,)))
    finally:
        office.locks.release(device.device, HOLDER)
    for hierarchy, generation in sent:
        if fault.tells:
            device.change(hierarchy).custody.tell(generation)
        device.tell("handed-over" if fault.tells else "lost", hierarchy, generation, HOLDER)
    yield from heard(device)


def _changed(
    device: DeviceCustody, session: Session, fault: RivalHeadEnd, sent: list[tuple[Hierarchy, int]]
) -> Steps[None]:
    party = int(device.party)
    own, public = _own_sessions(device, session, fault)
    yield from public.open()
    counter = yield from public.get(INVOCATION_COUNTER)
    yield from public.close()
    if not own.raise_counter(int(counter.value)):
        raise RefusedError("counter", int(counter.value))
    yield from own.open()
    wrapping = device.master_key(device.master.custody.live if fault.knows == "live" else 0)
    if fault.changes != "data":
        generation = device.master.custody.issue()
        sent.append((Hierarchy.MASTER, generation))
        kek = device.master_key(generation)
        yield Remark(Note("rival.master-sent", (party, generation)))
        yield from own.action(KEY_TRANSFER, transfer_of(wrapping, [(KEY_IDS["kek"], kek)]))
        wrapping = kek
    if fault.changes != "master":
        generation = device.data.custody.issue()
        sent.append((Hierarchy.DATA, generation))
        pair = device.data_keys(generation)
        yield Remark(Note("rival.data-sent", (party, generation)))
        keys = [(KEY_IDS["ek"], pair.ek), (KEY_IDS["ak"], pair.ak)]
        yield from own.action(KEY_TRANSFER, transfer_of(wrapping, keys))
        own.begin_with(pair)
        yield from own.get(FIRST_READ)
    yield from own.close()


def _own_sessions(device: DeviceCustody, session: Session, fault: RivalHeadEnd) -> tuple[Session, Session]:
    """A client of its own, under keys, and one without."""
    assert session.client.store is not None, "the change it cuts into runs under keys"
    assert session.client.context is not None
    assert device.public is not None
    handed_over = fault.knows == "handed-over"
    keys = device.data_keys(0 if handed_over else device.data.custody.live)
    title = OLD_HEAD_END_TITLE if handed_over else RIVAL_TITLE
    peer = session.client.store.state(session.client.context).peer
    store = ContextStore(1)
    store.load(0, ek=keys.ek, ak=keys.ak, title=title, peer=peer)
    place = (device.installation, int(device.party))

    def challenge() -> bytes:
        return derive.challenge(keys.ak, "rival", *place, store.counters(0)[0])

    own = session.beside(Client(store, 0, MANAGEMENT), challenge)
    own.use(keys)
    return own, device.public.beside(Client())
