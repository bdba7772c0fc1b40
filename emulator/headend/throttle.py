"""Repeats of an alert, told once.

The first alert of a run passes at once. What repeats it (the same code from the same device) within a window is
counted, and told as one record when the window has ended, with the number of the run and the count: what DUIS calls
ThrottledAlertSequenceId and ThrottledAlertCount. While it goes on, one window follows another. Codes on the exclusion
list always pass.

No timer: windows that have ended are told when the next alert comes, or when somebody asks (`settle`). All windows are
equally long, so they end in the order in which they began.
"""

from collections.abc import Iterable

import msgspec

from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND


class AlertRecord(msgspec.Struct, gc=False):
    """An alert as the head end hands it on. `at` when it arrived (the last of them, where it stands for several);
    `party` whose it is; `vouched` whether it came ciphered under that device's keys; `sequence` the throttled run it
    belongs to, 0 for none; `count` how many alerts it stands for."""

    at: Instant
    installation: int
    party: Party
    code: int
    cause: str
    text: str
    vouched: bool
    sequence: int = 0
    count: int = 1


class _Run:
    """What repeats. `last` is the newest that was held back."""

    __slots__ = ("count", "ends", "last", "sequence")

    def __init__(self, ends: Instant) -> None:
        self.ends = ends
        self.sequence = 0
        self.count = 0
        self.last: AlertRecord | None = None


class Throttle:
    """Windows of `window_s` seconds (0: everything passes); `excluded` codes are never held back."""

    __slots__ = ("_excluded", "_runs", "_window", "merged", "sequence")

    def __init__(self, window_s: int, excluded: Iterable[int] = ()) -> None:
        self._window = window_s * SECOND
        self._excluded = frozenset(excluded)
        self._runs: dict[int, _Run] = {}
        self.sequence = 0
        """Number of the newest run that had repeats."""
        self.merged = 0
        """Alerts that were held back."""

    def hear(self, record: AlertRecord) -> list[AlertRecord]:
        """What is to be handed on now: summaries of windows that have ended, then the alert itself unless it repeats
        another."""
        passed = self.settle(record.at) if self._runs else []
        code = record.code
        if not self._window or code in self._excluded:
            passed.append(record)
            return passed
        key = record.installation << 21 | record.party << 17 | record.vouched << 16 | code
        run = self._runs.get(key)
        if run is None:
            self._runs[key] = _Run(record.at + self._window)
            passed.append(record)
            return passed
        run.count += 1
        run.last = record
        self.merged += 1
        return passed

    def settle(self, now: Instant) -> list[AlertRecord]:
        """The summaries of windows that have ended by `now`, in the order they ended."""
        runs, told = self._runs, []
        while runs:
            key = next(iter(runs))
            run = runs[key]
            if run.ends > now:
                break
            del runs[key]
            if run.last is None:
                continue  # nothing repeated it
            if not run.sequence:
                self.sequence += 1
                run.sequence = self.sequence
            told.append(msgspec.structs.replace(run.last, sequence=run.sequence, count=run.count))
            run.ends += self._window
            run.count, run.last = 0, None
            runs[key] = run  # its next window ends last of all: those still here began no later
        return told

    @property
    def open(self) -> int:
        """How many windows are open."""
        return len(self._runs)
