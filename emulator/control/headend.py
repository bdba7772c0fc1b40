"""The emulator's own head end for one cell of a live estate: visits that people ask for, and the cases of a campaign.

One conversation at a time is held with an installation, so visits stand in line, behind a campaign's conversation too.
Custody and send counters belong to the cell and are shared by all of them: a key changed on a visit is known to the
campaign.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final

from emulator.control.errors import NotNowError
from emulator.crypto import derive
from emulator.dcc.casework import Casework
from emulator.fleet.installation import COUNTER_MAX, KEYED, SmsoRecord
from emulator.fleet.rows import ROW
from emulator.headend.alerts import Inbox
from emulator.headend.conversation import Conversation
from emulator.headend.keeper import RECORD_BYTES
from emulator.headend.keyring import Keyring, Patience, Target
from emulator.headend.rouse import RouseSettings
from emulator.headend.visit import Errand, Visit
from emulator.kernel.effects import Effects, Instant
from emulator.kernel.machine import Party
from emulator.shell.live_cell import LiveCell

RESERVE: Final = 1_024
"""Send counters of the head end are kept in blocks of so many, so that a conversation costs no write of its own."""

_COUNTERS: Final = Struct("<3I")

IN_LINE_MOST: Final = 32
"""Visits that may wait for one installation."""


@dataclass(slots=True, eq=False)
class Planned:
    """A visit that stands in line. `ended` is called once, with the visit, unless it was dropped from the line.
    `enters` False: the errand opens its association itself."""

    party: Party
    errand: Errand
    ended: Callable[[Visit], None]
    enters: bool = True


class HeadEnd:
    """The caseworker of a live cell. Making one takes the cell's desk over."""

    def __init__(self, cell: LiveCell) -> None:
        self.cell = cell
        estate = cell.estate
        secret = derive.key(b"head end", "keeper", estate.name, estate.seed)
        self.keyring = Keyring(secret, cell.members, Patience())
        self.keyring.attend(cell)
        self.casework: Casework | None = None
        self._lines: dict[int, deque[Planned]] = {}
        self._reserved: dict[int, tuple[int, ...]] = {}
        cell.caseworker = self

    # What is kept of it, with the home's own state

    def beside(self, installation: int) -> bytes:
        """What is believed of a home, how its migration stands, and send counters ahead of those in use; b"" while it
        is as it was found."""
        counters = []
        for party in KEYED:
            context = self.keyring.context(installation, party)
            used = self.keyring.store.counters(context)[0] if self.keyring.store.loaded(context) else 0
            counters.append(min((used // RESERVE + 2) * RESERVE, COUNTER_MAX) if used else 0)
        # A home that was only looked at falls back below what it once reserved never.
        held = self._reserved.get(installation, (0,) * len(KEYED))
        counters = [max(pair) for pair in zip(counters, held, strict=True)]
        if not any(counters):
            return b""
        beliefs = self.keyring.keeper.believed(installation) + self.cell.rows.ledger(installation)
        return _COUNTERS.pack(*counters) + beliefs

    def recall(self, installation: int, kept: bytes) -> None:
        """Take back what `beside` gave; whatever has another length was another version's, and is left alone."""
        ledger = _COUNTERS.size + RECORD_BYTES
        if len(kept) != ledger + ROW.itemsize:
            return
        self.keyring.keeper.recall(installation, kept[_COUNTERS.size : ledger])
        self.cell.rows.recall_ledger(installation, kept[ledger:])
        counters = self._reserved[installation] = _COUNTERS.unpack_from(kept)
        for target in self.keyring.targets(self.cell.estate.smso(self.cell.estate.installation(installation))):
            target.session.raise_counter(counters[target.party - Party.HUB])

    def plan(self, installation: int, planned: Planned) -> None:
        """A visit, as soon as nobody else is in conversation there. Raises NotNowError when too many wait."""
        line = self._lines.setdefault(installation, deque())
        if len(line) >= IN_LINE_MOST:
            raise NotNowError(
                f"{IN_LINE_MOST} visits wait for installation {installation} already", "installation", "wait for some"
            )
        line.append(planned)
        self.look(installation)

    def drop(self, installation: int, planned: Planned) -> None:
        """Take a visit out of the line; one that has begun goes on."""
        line = self._lines.get(installation)
        if line is not None and planned in line:
            line.remove(planned)

    def target(self, record: SmsoRecord, party: Party) -> Target | None:
        """The way to a keyed device; None when the record knows none."""
        return next((each for each in self.keyring.targets(record) if each.party is party), None)

    def look(self, installation: int) -> None:
        """Have the desk look whether anything is to be begun."""
        self.cell.world.wake(installation, Party.HEADEND, self.cell.world.now)

    def forget(self, installation: int) -> None:
        """What is believed and under way with an installation is forgotten: it is as it was found again. Send counters
        go on."""
        self.cell.desk.running.pop(installation, None)
        self._lines.pop(installation, None)
        if self.casework is not None:
            self.casework.give_up(installation)
        self.keyring.keeper.forget(installation)
        self.cell.rows.forget(installation)

    # The caseworker

    def begin(self, installation: int, now: Instant) -> tuple[Conversation, Effects] | None:
        """Visits first, then a case that is due."""
        line = self._lines.get(installation)
        if not line:
            self._lines.pop(installation, None)
            if self.casework is None or not self.casework.is_open(installation):
                return None
            self.cell.approach(installation)
            return self.casework.begin(installation, now)
        self.cell.approach(installation)
        planned = line.popleft()
        targets = self.keyring.targets(self.cell.estate.smso(self.cell.home(installation)))
        target = next(each for each in targets if each.party is planned.party)
        contexts = {each.device.spec.system_title: self.keyring.context(installation, each.party) for each in targets}
        inbox = Inbox(self.keyring.store, contexts)
        hub_sap, errand = targets[0].session.server_sap, planned.errand
        visit = Visit(target, hub_sap, inbox, RouseSettings(), errand, enters=planned.enters)

        def ended() -> None:
            self.cell.desk.end(installation)
            planned.ended(visit)
            self.look(installation)

        conversation = Conversation(inbox.hear, ended)
        return conversation, conversation.run(visit.script(), now)
