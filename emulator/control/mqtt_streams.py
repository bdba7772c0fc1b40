"""What is published unasked: the journal and the alerts, an entry a message or many of them.

A stream keeps nothing but the number it has reached in its source, which keeps the last so many entries whether or not
a broker is there. So a broker that dies costs no memory, and what it has not acknowledged is sent again to the next
one: every entry arrives at least once, in order, with its number. What fell out of the source in the meantime is
counted, logged and published (`missed`), never passed over in silence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

_AT_ONCE: Final = 256
"""Messages of a stream that are on their way to the broker together."""

_encode: Final = msgspec.json.encode


class Source(Protocol):
    """Numbered entries, from 1 on, of which the newest are kept."""

    @property
    def last(self) -> int: ...

    def missed(self, since: int) -> int: ...

    def after(self, since: int, limit: int) -> tuple[list[Any], int]: ...


@dataclass(frozen=True, slots=True)
class Missed:
    """`missed` entries of a stream were dropped, up to number `until`, because no broker took them in time; `dropped`
    of it ever."""

    stream: str
    missed: int
    until: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries `first` to `last`."""

    first: int
    last: int
    entries: list[Any]


@dataclass(slots=True)
class Taken:
    """What is to be published next; say `Stream.done` when the broker has it."""

    messages: list[tuple[str, bytes]]
    until: int
    missed: int = 0


class Stream:
    """One stream. Without `batch`, every entry goes to `place(entry)` beneath `root`; with it, up to `batch` of them go
    to `batch/<name>`, at the latest `wait_s` after the first of them was seen."""

    def __init__(
        self,
        name: str,
        source: Source,
        root: str,
        place: Callable[[Any], str],
        *,
        batch: int = 0,
        wait_s: float = 0.0,
    ) -> None:
        self.name = name
        self.dropped = 0
        self.published = 0
        """Entries the broker has acknowledged."""
        self._source = source
        self._root = root
        self._place = place
        self._batch = batch
        self._wait = wait_s
        self._since = source.last
        self._deadline: float | None = None

    @property
    def waiting(self) -> int:
        """Entries that are not acknowledged yet."""
        return self._source.last - self._since

    def due(self, now: float) -> float | None:
        """Seconds until there is something to take; None: nothing waits. `now` in seconds, on any steady clock."""
        waiting = self.waiting
        if not waiting:
            self._deadline = None
            return None
        if waiting >= self._batch:  # also where there are no batches
            return 0.0
        if self._deadline is None:
            self._deadline = now + self._wait
        return max(0.0, self._deadline - now)

    def take(self) -> Taken:
        """What comes next, without going on behind it."""
        missed = self._source.missed(self._since)
        since = self._since + missed
        taken = Taken([], since, missed)
        if missed:
            told = Missed(self.name, missed, since, self.dropped + missed)
            taken.messages.append((f"{self._root}/missed", _encode(told)))
        if not self._batch:
            entries, taken.until = self._source.after(since, _AT_ONCE)
            taken.messages += [(f"{self._root}/{self._place(entry)}", _encode(entry)) for entry in entries]
            return taken
        for _ in range(_AT_ONCE):
            entries, until = self._source.after(taken.until, self._batch)
            if not entries:
                break
            message = Batch(taken.until + 1, until, entries)
            taken.messages.append((f"{self._root}/batch/{self.name}", _encode(message)))
            taken.until = until
        return taken

    def done(self, taken: Taken) -> None:
        """The broker has it."""
        self.dropped += taken.missed
        self.published += taken.until - self._since - taken.missed
        self._since = taken.until
        self._deadline = None


def journal_place(entry: Any) -> str:
    """`journal/<installation>/<device>/<kind>`, a level for every part of the kind."""
    return f"journal/{entry.installation}/{entry.device}/{entry.kind.replace('.', '/')}"


def alert_place(alert: Any) -> str:
    """`alert/<installation>/<device>`; a device that is not known is `unknown`."""
    return f"alert/{alert.installation}/{alert.device or 'unknown'}"


def alarm_place(alarm: Any) -> str:
    """`alarm/<installation>/<device>/<cause>`."""
    return f"alarm/{alarm.installation}/{alarm.device}/{alarm.cause}"
