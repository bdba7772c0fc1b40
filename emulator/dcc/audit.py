"""The audit: a second witness to the ledger.

It goes back to every home the ledger calls migrated, rouses it, and asks each device that was taken over two
questions: do you still accept the old operator's keys (it must not), and do you accept the new ones (it must)? It
believes neither the ledger's verdict nor the keeper's memory of what was confirmed, only the answers. Some devices
refuse by saying nothing; so silence under the old keys counts as a refusal, provided that the same device then answers
under the new ones. A request that was damaged on its way is refused as one under a wrong key is, so a refusal of the
new keys is believed when it comes three times.

Neither question touches the master key, so a device that lost it after its proof passes, reads on, and can never be
given keys again (R5). A campaign may have that asked as well (`audit_master`): the device is sent the keys it has once
more, wrapped under the master key believed live, which it takes only if it holds that key. No key changes by it, but it
is a transfer and the device writes. So it is countersigned and locked as one, and after silence it is not repeated
before the device has come to rest, for there are meters that lose a slot that is written twice at once; a power cut at
that moment may cost one, too. That is why it is off by default (ASSUMED: an audit that sends no keys does no harm).
Where the keepers cannot make that master key any more, the answer is no.
"""

from typing import Final

from emulator.fleet.installation import DeviceKeys
from emulator.headend.alerts import Inbox
from emulator.headend.conversation import Conversation, Remark, Rest, Script
from emulator.headend.keeper import Hierarchy
from emulator.headend.keyring import Target
from emulator.headend.rotation import unwraps_under
from emulator.headend.rouse import RouseSettings, rouse
from emulator.headend.session import NoAnswerError, RefusedError, Steps
from emulator.kernel.effects import Note
from emulator.kernel.time import SECOND

_NEW_TRIES: Final = 3


class Audit:
    """One visit. `agrees` is the finding; None: nobody answered, so it says nothing and may be tried again. `master`:
    ask for the master key, too."""

    __slots__ = ("_inbox", "_master", "_settings", "_targets", "agrees")

    def __init__(self, targets: list[Target], inbox: Inbox, settings: RouseSettings, *, master: bool = False) -> None:
        self._targets = targets
        self._master = master
        self._inbox = inbox
        self._settings = settings
        self.agrees: bool | None = None

    def script(self, conversation: Conversation) -> Script:
        """The visit. Never raises."""
        try:
            if self._master:
                yield from self._until_quiet()
            if not (yield from self._rouse()):
                return
            found = True
            for target in self._targets:
                handed_over = target.custody.handed_over
                live = target.custody.data_keys(target.custody.data.custody.live)
                try:
                    old = yield from self._accepts(target, handed_over)
                except NoAnswerError:
                    old = False
                    if not (yield from self._rouse()):  # it may have fallen asleep over the silence
                        return
                new, left = False, _NEW_TRIES
                while not new and left:
                    new, left = (yield from self._accepts(target, live)), left - 1
                if old or not new:
                    yield Remark(Note("audit.astray", (int(target.party), old, new)))
                    found = False
                if new and self._master and not (yield from self._unwraps(target)):
                    yield Remark(Note("audit.master-lost", (int(target.party), target.custody.master.custody.live)))
                    found = False
        except (NoAnswerError, RefusedError):  # a refusal that comes here is a keeper's, and says nothing of the device
            yield Remark(Note("audit.no-answer", ()))
            return
        self.agrees = found
        yield Remark(Note("audit.ended", (found,)))

    def _rouse(self) -> Steps[bool]:
        return (yield from rouse(self._inbox, self._targets[0].session.server_sap, self._settings))

    def _accepts(self, target: Target, keys: DeviceKeys) -> Steps[bool]:
        """Does an association stand under these keys?"""
        target.session.use(keys)
        try:
            yield from target.session.open()
        except RefusedError:
            return False
        # Not released: the answer is all that was wanted, and the device forgets the association when its hub sleeps.
        return True

    def _until_quiet(self) -> Steps[None]:
        """Let devices come to rest that were sent keys and did not say what became of them."""
        for target in self._targets:
            device, office = target.custody, target.custody.office
            sent = office.locks.last_sent(device.device)
            if sent is not None:
                rested = sent + round(office.settings.rotation.quiet_s * SECOND)
                if rested > office.now():
                    yield Rest(rested)

    def _unwraps(self, target: Target) -> Steps[bool]:
        """Does the device behind the open association hold the master key believed live? Raises NoAnswerError, and
        RefusedError for what says neither."""
        device, office = target.custody, target.custody.office
        locks = office.locks
        live = device.master.custody.live
        if live not in device.known(Hierarchy.MASTER):
            return False
        if not locks.take(device.device, office.holder, office.now(), round(office.settings.rotation.lock_s * SECOND)):
            raise RefusedError("locked", locks.holder(device.device, office.now()))
        try:
            held, left = False, _NEW_TRIES
            while not held and left:
                held, left = (yield from unwraps_under(target.session, device, live)), left - 1
        except NoAnswerError:
            locks.sent(device.device, office.now())
            raise
        finally:
            locks.release(device.device, office.holder)
        locks.settled(device.device)
        return held
