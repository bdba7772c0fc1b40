"""What a device writes down about itself: small rings of events, one per log.

A log begins with one entry from the day the device was put on the wall, which is computed and never stored; what
happens later is stored, because nobody can compute it again. A full log loses its oldest entries. An entry keeps the
true instant and how wrong the device's clock was then: a reader is shown the time the clock showed, which is what a
reader of a real log has to live with.

Event codes are the emulator's own numbering: the list a SMETS1 meter must keep is not public (ASSUMED).
"""

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import TypeAlias

from emulator.kernel.effects import Instant

Entry: TypeAlias = tuple[Instant, int, int]
"""(true instant, event code, microseconds that the device's clock showed more)."""


class Log(IntEnum):
    """The logs, by the last part of their logical name 0-0:99.98.e."""

    EVENT = 0
    SECURITY = 1
    AUXILIARY = 2
    POWER = 4


class Event(IntEnum):
    """What can be written down. All ASSUMED."""

    INSTALLED = 0x0001
    CLOCK_SET = 0x0010
    TARIFF_CHANGED = 0x0011
    DESTINATION_CHANGED = 0x0012
    FIRMWARE_ACTIVATED = 0x0013
    SUPPLY_OFF = 0x0020
    SUPPLY_READY = 0x0021
    SUPPLY_ON = 0x0022
    POWER_LOST = 0x0030
    POWER_BACK = 0x0031
    BATTERY_LOW = 0x0032
    KEY_EK = 0x0040
    KEY_BROADCAST = 0x0041
    KEY_AK = 0x0042
    KEY_MASTER = 0x0043
    HAN_JOINED = 0x0050
    HAN_LOST = 0x0051
    ALERT_RAISED = 0x0060
    AUXILIARY_ON = 0x0100
    """Plus the number of the switch, 1 to 5; the same with the next three."""
    AUXILIARY_OFF = 0x0110
    AUXILIARY_RESET = 0x0120
    AUXILIARY_BOOST = 0x0130


_SWITCHED = (Event.AUXILIARY_ON, Event.AUXILIARY_OFF, Event.AUXILIARY_RESET, Event.AUXILIARY_BOOST)


def meaning(code: int) -> str:
    """An event code in words: "supply-off", "auxiliary-on-2"; its number in hex for one that has none."""
    for base in _SWITCHED:
        if base < code <= base + 5:
            return f"{base.name.lower().replace('_', '-')}-{code - base}"
    try:
        return Event(code).name.lower().replace("_", "-")
    except ValueError:
        return f"{code:#06x}"


class EventLog:
    """All logs of one device.

    `entries` (log, true instant, code, clock error in µs) is what is stored, oldest first; `born` says when the device
    was put up; `most` is how many entries each log holds.
    """

    __slots__ = ("_born", "_most", "entries")

    def __init__(self, born: Callable[[], Instant], most: int, entries: Iterable[Sequence[int]] = ()) -> None:
        self._born = born
        self._most = most
        self.entries: list[tuple[int, Instant, int, int]] = [(log, at, code, error) for log, at, code, error in entries]

    def write(self, log: Log, code: int, at: Instant, error_us: int) -> None:
        """Add an entry; the oldest of this log goes when it is full."""
        kept = self.entries
        if len(kept) >= self._most and sum(1 for entry in kept if entry[0] == log) >= self._most:
            kept.pop(next(at for at, entry in enumerate(kept) if entry[0] == log))
        kept.append((int(log), at, code, error_us))

    def newest(self, most: int) -> list[tuple[str, Instant, int, str, int]]:
        """The newest entries of all logs, newest first: (log, true instant, code, what it means, clock error in µs)."""
        kept = self.entries[len(self.entries) - min(most, len(self.entries)) :]
        return [(Log(log).name.lower(), at, code, meaning(code), error) for log, at, code, error in reversed(kept)]

    def read(self, log: Log) -> list[Entry]:
        """The entries of one log, oldest first."""
        found = [(at, code, error) for of, at, code, error in self.entries if of == log]
        if log is Log.EVENT and len(found) < self._most:
            found.insert(0, (self._born(), int(Event.INSTALLED), 0))
        return found
