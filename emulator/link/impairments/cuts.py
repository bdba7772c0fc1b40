"""The link stops carrying: by a schedule, or because so much has passed (rows 19 and 20).

`Down` is black for `down_s` of every `up_s + down_s` seconds, from when it was first met plus `phase_s`; without an
`up_s` always. `DataLimit` carries so many bytes, or so many seconds, and then nothing for `pause_s` (or for good); it
`cut`s (what comes is lost) or `hang`s (what comes waits for the end of the pause, as behind a stopped process).
"""

from typing import ClassVar

from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND
from emulator.link.impairments.base import Carried, Impairment, Luck


class Down(Impairment):
    """Black by a schedule: what is put on it is lost."""

    __slots__ = ("_down", "_period", "_phase", "since")
    STATE: ClassVar[tuple[str, ...]] = ("since",)

    def __init__(self, luck: Luck, *, down_s: float, up_s: float, phase_s: float, since: Instant | None) -> None:
        """`since`: from when the schedule counts; None: from the first packet."""
        self._down = round(down_s * SECOND)
        self._period = self._down + round(up_s * SECOND) if up_s else 0
        self._phase = round(phase_s * SECOND)
        self.since = since

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        if not self._period:
            return []
        if self.since is None:
            self.since = now
        return [] if (now - self.since - self._phase) % self._period < self._down else [(0, packet)]


class DataLimit(Impairment):
    """Carries up to a limit, then pauses or ends."""

    __slots__ = ("_bytes", "_hangs", "_pause", "_time", "began", "paused", "spent")
    STATE: ClassVar[tuple[str, ...]] = ("began", "paused", "spent")

    def __init__(self, luck: Luck, *, limit_bytes: int, limit_s: float, pause_s: float, action: str) -> None:
        """A limit of 0 is none."""
        self._bytes = limit_bytes
        self._time = round(limit_s * SECOND)
        self._pause = round(pause_s * SECOND)
        self._hangs = action == "hang"
        self.began: Instant | None = None
        self.paused: Instant | None = None
        self.spent = 0

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        if self.paused is not None and self._pause and now >= self.paused + self._pause:
            self.began, self.paused, self.spent = None, None, 0
        if self.paused is None:
            if self.began is None:
                self.began = now
            if self._time and now >= self.began + self._time:
                self.paused = self.began + self._time
                return self.carry(packet, now, number)
            if not self._bytes or self.spent + len(packet) <= self._bytes:
                self.spent += len(packet)
                return [(0, packet)]
            self.paused = now
        if self._hangs and self._pause:
            return [(self.paused + self._pause - now, packet)]
        return []
