"""The audit: a second witness to the ledger.

It goes back to every home the ledger calls migrated, rouses it, and asks each device that was taken over two
questions: do you still accept the old operator's keys (it must not), and do you accept the new ones (it must)? It
believes neither the ledger's verdict nor the keeper's memory of what was confirmed, only the answers. Some devices
refuse by saying nothing; so silence under the old keys counts as a refusal, provided that the same device then answers
under the new ones. A request that was damaged on its way is refused as one under a wrong key is, so a refusal of the
new keys is believed when it comes three times.
"""

from typing import Final

from emulator.fleet.installation import DeviceKeys
from emulator.headend.alerts import Inbox
from emulator.headend.conversation import Conversation, Remark, Script
from emulator.headend.keyring import Target
from emulator.headend.rouse import RouseSettings, rouse
from emulator.headend.session import NoAnswerError, RefusedError, Steps
from emulator.kernel.effects import Note

_NEW_TRIES: Final = 3


class Audit:
    """One visit. `agrees` is the finding; None: nobody answered, so it says nothing and may be tried again."""

    __slots__ = ("_inbox", "_settings", "_targets", "agrees")

    def __init__(self, targets: list[Target], inbox: Inbox, settings: RouseSettings) -> None:
        self._targets = targets
        self._inbox = inbox
        self._settings = settings
        self.agrees: bool | None = None

    def script(self, conversation: Conversation) -> Script:
        """The visit. Never raises."""
        try:
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
        except NoAnswerError:
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
