"""The journal as it can be looked back on: the last so many entries, each with a number that never comes again.

Numbers rise by one from 1 over the whole life of the server, through resets too. Who reads keeps the number it has
reached and nothing is kept for it here, so a slow reader costs nothing: when it comes back for entries that have
fallen out, it is told how many it missed and goes on with the oldest there is.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from emulator.control import values
from emulator.kernel import time
from emulator.kernel.effects import Instant
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party

MOST: Final = 20_000

_NAMES: Final = {int(party): party.name.lower() for party in Party}


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One noted thing. `at` µs since 1970, `time` the same for people; `device` is the party that noted it."""

    number: int
    at: int
    time: str
    installation: int
    device: str
    kind: str
    detail: list[Any]


class Ring:
    """The last `most` entries after number `last`. `watchers` are called after each new one, and must be quick."""

    def __init__(self, most: int = MOST, last: int = 0) -> None:
        self._entries: deque[Entry] = deque(maxlen=most)
        self.last = last
        """Number of the newest entry; 0 before the first."""
        self.counts: dict[str, int] = {}
        self.watchers: set[Callable[[], None]] = set()

    def take(self, entry: Entry) -> None:
        """A journal's sink."""
        self._entries.append(entry)
        self.last += 1
        self.counts[entry.kind] = self.counts.get(entry.kind, 0) + 1
        for watcher in tuple(self.watchers):
            watcher()

    @property
    def first(self) -> int:
        """Number of the oldest entry that is still here; one more than `last` when there is none."""
        return self.last - len(self._entries) + 1

    def missed(self, since: int) -> int:
        """How many entries after number `since` have fallen out."""
        return max(0, self.first - since - 1)

    def after(
        self, since: int, limit: int, kind: str | None = None, installation: int | None = None
    ) -> tuple[list[JournalEntry], int]:
        """(entries after number `since` that fit, oldest first, at most `limit`; the number looked at last)."""
        found: list[JournalEntry] = []
        number = max(since, self.first - 1)
        for entry in islice(self._entries, number - self.first + 1, None):
            number += 1
            if fits(entry, kind, installation):
                found.append(view(number, entry))
                if len(found) == limit:
                    break
        return found, number


def fits(entry: Entry, kind: str | None, installation: int | None) -> bool:
    """Is an entry of a kind (or, "relay.", of kinds that begin so) and of an installation? None: of any."""
    if installation is not None and entry.installation != installation:
        return False
    return kind is None or entry.kind == kind or (kind.endswith(".") and entry.kind.startswith(kind))


def device_name(party: int) -> str:
    """A party's name as a person writes it."""
    return _NAMES[party]


def view(number: int, entry: Entry) -> JournalEntry:
    """An entry as plain data."""
    return JournalEntry(
        number,
        entry.at,
        text(entry.at),
        entry.installation,
        device_name(entry.party),
        entry.kind,
        values.simple(entry.detail),
    )


def text(at: Instant) -> str:
    """ISO 8601 of an instant; a number of µs for one outside the calendar."""
    try:
        return time.text(at)
    except (OverflowError, ValueError):
        return str(at)
