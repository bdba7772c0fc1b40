"""The head end's alert desk for one cell: every alert opened, counted by cause, throttled and handed on.

Alerts that come while a conversation runs are opened there (`alerts.Inbox`), as answers and alerts of a device share
one counter; the desk is told of them. The others it opens itself, under the keys custody holds for live. It counts what
devices say for themselves: a push that was asked for, or a hub that calls back, has no code and is no alert here.

What it hands on is one record an alert, or one a run of repeats (`throttle`).
"""

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from emulator.codecs.axdr import Data, Tag
from emulator.crypto.keys import ContextStore
from emulator.fleet.alert_causes import Causes
from emulator.fleet.installation import KEYED, SmsoRecord
from emulator.headend.alerts import Alert, open_alert
from emulator.headend.keyring import Keyring
from emulator.headend.throttle import AlertRecord, Throttle
from emulator.kernel.effects import Instant, Note
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE

Sink: TypeAlias = Callable[[AlertRecord], None]

_BUCKET: Final = 5 * MINUTE
_PARTS: Final = 3
_STAMP: Final = 12


class Tally:
    """Alerts by code, and how many came lately."""

    __slots__ = ("_lately", "codes", "total")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.total = 0
        self._lately: deque[list[int]] = deque()

    def count(self, code: int, at: Instant) -> None:
        """One more."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.total += 1
        bucket, lately = at // _BUCKET, self._lately
        if lately and lately[-1][0] == bucket:
            lately[-1][1] += 1
            return
        lately.append([bucket, 1])
        while lately[0][0] <= bucket - DAY // _BUCKET:
            lately.popleft()

    def within(self, length: Instant, now: Instant) -> int:
        """How many came in the last `length` microseconds (a day at most), to five minutes."""
        first = (now - length) // _BUCKET
        return sum(count for bucket, count in self._lately if bucket > first)

    def last_hour(self, now: Instant) -> int:
        return self.within(HOUR, now)

    def last_day(self, now: Instant) -> int:
        return self.within(DAY, now)


def read(body: Data) -> tuple[int, str]:
    """(code, text) of what a device says for itself: a structure of code, time and body. (0, "") of anything else."""
    if body.tag != Tag.STRUCTURE or len(body.value) != _PARTS:
        return 0, ""
    code, stamp, said = body.value
    if code.tag != Tag.LONG_UNSIGNED or stamp.tag != Tag.OCTET_STRING or len(stamp.value) != _STAMP:
        return 0, ""
    return code.value, said.value.decode("utf-8", "replace") if said.tag == Tag.OCTET_STRING else ""


class AlertDesk:
    """See the module. `record_of` gives the old operator's record of a home nobody has talked to yet."""

    def __init__(self, keyring: Keyring, record_of: Callable[[int], SmsoRecord], causes: Causes) -> None:
        self._keyring = keyring
        self._store: ContextStore = keyring.store
        self._record_of = record_of
        self.causes = causes
        self.throttle = Throttle(causes.throttling.window_s, causes.throttling.excluded)
        self.tally = Tally()
        self.vouched = 0
        self.refused = 0
        self.strangers = 0
        self.pushes = 0
        """Notifications without a code."""
        self.sinks: list[Sink] = []
        self._titles: dict[bytes, int] = {}  # a title's context: a device is always the same, its keys are not

    def hear(self, installation: int, frame: bytes, now: Instant) -> Note:
        """An alert of a home nobody is in conversation with."""
        alert = self._open(installation, frame, now)
        if isinstance(alert, Note):
            return alert
        return Note("headend.alert", (alert.source_sap, alert.system_title or b""))

    def overhear(self, installation: int, frame: bytes, now: Instant) -> Note:
        """An alert to another operator's address, for a desk that stands for them all."""
        alert = self._open(installation, frame, now)
        if isinstance(alert, Note):
            return alert
        return Note("headend.overheard", (alert.source_sap, alert.system_title or b""))

    def heard(self, installation: int, alert: Alert) -> None:
        """An alert that was opened in a conversation."""
        code, text = read(alert.body)
        if not code:
            self.pushes += 1
            return
        vouched = alert.system_title is not None
        self.vouched += vouched
        self.tally.count(code, alert.at)
        party = self._party(installation, alert)
        record = AlertRecord(alert.at, installation, party, code, self.causes.name(code), text, vouched)
        self._hand_on(self.throttle.hear(record))

    def settle(self, now: Instant) -> None:
        """Hand on what the throttle holds of windows that have ended."""
        self._hand_on(self.throttle.settle(now))

    def by_cause(self) -> dict[str, int]:
        """Alerts heard, by the name of their cause."""
        return named(self.causes, self.tally.codes)

    def _open(self, installation: int, frame: bytes, now: Instant) -> Alert | Note:
        alert = open_alert(frame, now, self._store, lambda title: self._context(installation, title))
        if isinstance(alert, Note):
            if alert.kind == "headend.alert-stranger":
                self.strangers += 1
            else:
                self.refused += 1
            return alert
        self.heard(installation, alert)
        return alert

    def _hand_on(self, records: list[AlertRecord]) -> None:
        for record in records:
            for sink in self.sinks:
                sink(record)

    def _context(self, installation: int, title: bytes) -> int | None:
        """The context of a device of the home, loaded as the old operator handed it over if nobody talked to it yet."""
        found = self._loaded(installation, title)
        if found is None:
            self._keyring.targets(self._record_of(installation))
            found = self._loaded(installation, title)
        return found

    def _loaded(self, installation: int, title: bytes) -> int | None:
        store, first = self._store, self._keyring.context(installation, Party.HUB)
        known = self._titles.get(title, -1)
        if first <= known < first + len(KEYED) and store.loaded(known):
            return known
        for context in range(first, first + len(KEYED)):
            if store.loaded(context) and store.state(context).peer == title:
                self._titles[title] = context
                return context
        return None

    def _party(self, installation: int, alert: Alert) -> Party:
        """Whose it is: known by its title, else only what it says of itself."""
        if alert.system_title is not None:
            context = self._loaded(installation, alert.system_title)
            if context is not None:
                return Party(Party.HUB + context - self._keyring.context(installation, Party.HUB))
        return Party(alert.source_sap) if alert.source_sap in KEYED else Party.HUB


def named(causes: Causes, codes: dict[int, int]) -> dict[str, int]:
    """Counts by code as counts by cause, the most frequent first."""
    found: dict[str, int] = {}
    for code, count in sorted(codes.items(), key=lambda item: (-item[1], item[0])):
        name = causes.name(code)
        found[name] = found.get(name, 0) + count
    return found
