"""What devices say by themselves, for an operator: by which causes, how often, and repeats told once.

The alerts themselves are heard and decoded in `alerts`; here they are counted by cause and throttled. What was
told is a ring like the journal's, so anybody can read on from a number, and a broker can be given it as a stream.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import msgspec

from emulator.control import names
from emulator.control.alerts import Alerts
from emulator.control.ring import device_name, text
from emulator.headend.alert_desk import Tally, named
from emulator.headend.throttle import AlertRecord, Throttle
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.shell.live import LiveEstate

MOST: Final = 20_000


class ToldAlert(msgspec.Struct, frozen=True, gc=False):
    """An alert as it is handed on. `at` µs since 1970 when it arrived, the last of them where it stands for several;
    `sequence` the run of repeats it sums up (0: none) and `count` how many alerts it stands for."""

    number: int
    at: int
    time: str
    installation: int
    device: str
    code: int
    cause: str
    vouched: bool
    sequence: int
    count: int


@dataclass(frozen=True, slots=True)
class AlertsView:
    """Alerts so far, by cause: `raised` by devices of their own accord, `heard` by the head end. `merged` were told as
    repeats of others; `unvouched` came plain or could not be opened; `last_hour` and `last_day` are to five minutes.
    `overhears` whether those to other operators' addresses are heard too; `storms` how many rage, each cell counted."""

    per_day: float
    overhears: bool
    storms: int
    raised: dict[str, int]
    heard: dict[str, int]
    total: int
    merged: int
    unvouched: int
    last_hour: int
    last_day: int
    last: int
    newest: list[ToldAlert]


class Alarms:
    """The alert desk of a live estate. `alerts` is every alert as it came, decoded."""

    def __init__(self, live: LiveEstate, most: int = MOST) -> None:
        self._live = live
        causes = live.causes
        self._causes = causes
        self.throttle = Throttle(causes.throttling.window_s, causes.throttling.excluded)
        self.tally = Tally()
        self.unvouched = 0
        self.last = 0
        """Number of the newest told alert; 0 before the first."""
        self._told: deque[ToldAlert] = deque(maxlen=most)
        self._seen = 0
        self.alerts = Alerts(live)
        self.alerts.watch.append(self._news)

    # Read like a ring

    @property
    def first(self) -> int:
        """Number of the oldest that is still here; one more than `last` when there is none."""
        return self.last - len(self._told) + 1

    def missed(self, since: int) -> int:
        """How many after number `since` have fallen out."""
        return max(0, self.first - since - 1)

    def after(self, since: int, limit: int) -> tuple[list[ToldAlert], int]:
        """(those after number `since`, oldest first, at most `limit`; the number looked at last)."""
        number = max(since, self.first - 1)
        start = number - self.first + 1
        entries = self._told  # a deque is indexed from the nearer end; `islice` would walk past all before `start`
        found = [entries[at] for at in range(start, min(start + limit, len(entries)))]
        return found, number + len(found)

    def settle(self, now: Instant) -> None:
        """Tell what the throttle holds of windows that have ended."""
        self.tell(self.throttle.settle(now))

    def view(self, newest: int) -> AlertsView:
        """How it stands."""
        live, now = self._live, self._live.now
        self.settle(now)
        sources = [cell.alerts for cell in live.cells.values() if cell.alerts is not None]
        found, _ = self.after(self.last - newest, newest)
        return AlertsView(
            per_day=live.alerts_per_day,
            overhears=live.overhears,
            storms=sum(len(source.storms) for source in sources),
            raised=named(self._causes, live.raised()),
            heard=named(self._causes, self.tally.codes),
            total=self.tally.total,
            merged=self.throttle.merged,
            unvouched=self.unvouched,
            last_hour=self.tally.last_hour(now),
            last_day=self.tally.last_day(now),
            last=self.last,
            newest=found,
        )

    def _news(self) -> None:
        found, self._seen = self.alerts.after(self._seen, MOST)  # one, as a rule
        causes = self._causes
        for each in found:
            if each.code is None:
                self.unvouched += not each.vouched and each.device is not None and each.body is None
                continue
            self.unvouched += not each.vouched
            self.tally.count(each.code, each.at)
            party = Party.HUB if each.device is None else names.DEVICES[each.device]
            body = each.body if isinstance(each.body, str) else ""
            record = AlertRecord(
                each.at, each.installation, party, each.code, causes.name(each.code), body, each.vouched
            )
            self.tell(self.throttle.hear(record))

    def tell(self, records: list[AlertRecord]) -> None:
        """Hand these on, whatever the throttle thinks of them."""
        for each in records:
            self.last += 1
            device = device_name(each.party)
            self._told.append(
                ToldAlert(
                    self.last,
                    each.at,
                    text(each.at),
                    each.installation,
                    device,
                    each.code,
                    each.cause,
                    each.vouched,
                    each.sequence,
                    each.count,
                )
            )
