"""The cellular side of a hub: when it is reachable.

Asleep it hears short messages alone. Enough of them within a window rouse it; it attaches, which takes its time, and
then it can be reached until nothing has been said for a while. The states and their instants are all there is; the
machine asks `deadline` when it next has to be looked at, and nothing ticks in between.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from devices.common.profile import Hub
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND

NEVER: Final[Instant] = 1 << 62


class State(IntEnum):
    """How a hub stands to the cellular network."""

    ASLEEP = 0
    ATTACHING = 1
    AWAKE = 2


@dataclass(slots=True)
class Radio:
    """`since` is when it woke (or, attaching, when it will be awake); `heard` the last frame either way;
    `texts` the messages that count towards waking; `callback` the six bytes of the address that asked, `token` its
    word; `waiting` HAN frames without an answer keep it awake until then."""

    state: State = State.ASLEEP
    since: Instant = 0
    heard: Instant = 0
    waiting: Instant = 0
    texts: list[Instant] = field(default_factory=list)
    callback: bytes = b""
    token: str = ""

    def count(self, habits: Hub, now: Instant, needed: int) -> bool:
        """One more message: whether that is enough to wake, which takes `needed`."""
        window = habits.sms_window_s * SECOND
        self.texts = [at for at in self.texts if now - at <= window]
        self.texts.append(now)
        if len(self.texts) < needed:
            return False
        self.texts.clear()
        return True

    def attach(self, ready: Instant) -> None:
        """Begin to attach."""
        self.state, self.since = State.ATTACHING, ready

    def attached(self, now: Instant) -> None:
        """Be awake."""
        self.state, self.since, self.heard = State.AWAKE, now, now

    def sleep(self) -> None:
        """Fall asleep and forget: a sleeping hub is as it was found."""
        self.state, self.since, self.heard, self.waiting = State.ASLEEP, 0, 0, 0
        self.texts.clear()
        self.callback, self.token = b"", ""

    def idle_at(self, habits: Hub) -> Instant:
        """When an awake hub falls asleep unless something is said."""
        return max(self.heard + habits.idle_s * SECOND, self.waiting)

    def deadline(self, habits: Hub) -> Instant:
        """When this state has to be looked at, or `NEVER`."""
        if self.state is State.AWAKE:
            idle_at = self.heard + habits.idle_s * SECOND  # as `idle_at` has it; asked for every answer of a meter
            return idle_at if idle_at > self.waiting else self.waiting
        return self.since if self.state is State.ATTACHING else NEVER

    def pack(self) -> list[Any] | None:
        """For a row; None for a hub that sleeps with nothing half-heard."""
        if self.state is State.ASLEEP and not self.texts:
            return None
        return [int(self.state), self.since, self.heard, self.waiting, self.texts, self.callback, self.token]

    @classmethod
    def unpack(cls, kept: list[Any] | None) -> "Radio":
        """The state back."""
        if kept is None:
            return cls()
        state, since, heard, waiting, texts, callback, token = kept
        return cls(State(state), since, heard, waiting, list(texts), callback, token)
