"""Faults of invocation counters in a device, and how it reacts to one that is not good (rows F6 to F8).

A counter is what keeps a key safe: one used twice under a key gives two messages away (NIST SP 800-38D 8). Three of
these faults let a device do just that (`counter-reset-low`, `counter-rollback`, `counter-replay`), as devices in the
field did; a witness of nonces is right to object to them.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta

from emulator.faults.fault import DeviceName, Fault, Point
from emulator.faults.keys import Once
from emulator.faults.occasions import Asked, DeviceFault, Heard, KeyWrite, Mismatch, ReactionName, Victim, Written

_COUNTER_MAX = 0xFFFF_FFFF

Counter: TypeAlias = Annotated[int, Meta(ge=0, le=_COUNTER_MAX, description="invocation counter")]
Which: TypeAlias = Literal["sent", "accepted", "both"]
"""The counter a device sends with, the lowest it accepts, or both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterNotReset(DeviceFault):
    """A new EK is live and the counters go on from where they stood, on a model that starts them anew with each EK. A
    head end that begins at 0 again is refused. Models that keep their counters anyhow are not struck."""

    name: ClassVar[str] = "counter-not-reset"
    row: ClassVar[str] = "F6"
    points: ClassVar[frozenset[Point]] = frozenset({Point.KEY_WRITE})
    example: ClassVar[dict[str, Any]] = {"device": "electricity", "times": 1}

    def wants(self, point: Point, occasion: Any) -> bool:
        """Changes of the EK on models that reset."""
        return isinstance(occasion, KeyWrite) and "ek" in occasion.keys and occasion.resets

    def write(self, write: KeyWrite, luck: int) -> Written:
        return Written(keeps_counters=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterResetLow(DeviceFault):
    """With a transfer of the EK the counters start again at `to`, whatever the model says and whether or not the EK is
    another than before: what the device answers then was answered for already, and is not believed (OSGP PR 1274,
    796)."""

    name: ClassVar[str] = "counter-reset-low"
    row: ClassVar[str] = "F6"
    points: ClassVar[frozenset[Point]] = frozenset({Point.KEY_WRITE})
    example: ClassVar[dict[str, Any]] = {"to": 0, "counter": "sent", "times": 1}

    times: Once = 1
    to: Counter = 0
    counter: Which = "sent"

    def wants(self, point: Point, occasion: Any) -> bool:
        """Changes of the EK."""
        return isinstance(occasion, KeyWrite) and "ek" in occasion.keys

    def write(self, write: KeyWrite, luck: int) -> Written:
        return Written(
            tx=self.to if self.counter != "accepted" else None, rx=self.to if self.counter != "sent" else None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterReplay(DeviceFault):
    """The device takes a request whose invocation counter it has seen before: its protection against replay is
    missing, and a message that comes twice acts twice."""

    name: ClassVar[str] = "counter-replay"
    row: ClassVar[str] = "F7"
    points: ClassVar[frozenset[Point]] = frozenset({Point.REQUEST})
    example: ClassVar[dict[str, Any]] = {"device": "electricity"}

    def wants(self, point: Point, occasion: Any) -> bool:
        """Requests below the lowest acceptable counter."""
        return isinstance(occasion, Asked) and occasion.counter is not None and occasion.counter < occasion.lowest

    def request(self, asked: Asked, luck: int) -> Heard:
        return Heard(lowest=asked.counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterRollback(DeviceFault):
    """Counters are kept at checkpoints only, every `checkpoint_every`-th: when the mains come back they stand at the
    last one (Gurux forum 21203). The device then answers under counters it has used, and accepts requests it has
    had."""

    name: ClassVar[str] = "counter-rollback"
    row: ClassVar[str] = "F7"
    points: ClassVar[frozenset[Point]] = frozenset({Point.POWER_UP})
    example: ClassVar[dict[str, Any]] = {"checkpoint_every": 100, "counter": "both"}

    checkpoint_every: Annotated[int, Meta(ge=2, le=1_000_000, description="counters")] = 100
    counter: Which = "both"

    def wants(self, point: Point, occasion: Any) -> bool:
        """Counters that stand beyond a checkpoint."""
        return occasion is not None and self._counters(occasion) != (None, None)

    def _counters(self, victim: Victim) -> tuple[int | None, int | None]:
        tx, rx = victim.counters
        past_tx, past_rx = tx % self.checkpoint_every, rx % self.checkpoint_every
        return (
            tx - past_tx if past_tx and self.counter != "accepted" else None,
            rx - past_rx if past_rx and self.counter != "sent" else None,
        )

    def power_up(self, victim: Victim, luck: int) -> None:
        tx, rx = self._counters(victim)
        victim.force_counters(tx=tx, rx=rx)


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterGap(DeviceFault):
    """The device refuses a request whose counter is more than `gap_most` ahead of the lowest it accepts, as it does one
    that lies behind: after many messages were lost nobody gets in any more. ASSUMED: no source names a limit."""

    name: ClassVar[str] = "counter-gap"
    row: ClassVar[str] = "F7"
    points: ClassVar[frozenset[Point]] = frozenset({Point.REQUEST})
    example: ClassVar[dict[str, Any]] = {"gap_most": 2}

    gap_most: Annotated[int, Meta(ge=0, le=_COUNTER_MAX, description="counters left out")] = 1_000

    def wants(self, point: Point, occasion: Any) -> bool:
        """Requests too far ahead."""
        return (
            isinstance(occasion, Asked)
            and occasion.counter is not None
            and occasion.counter - occasion.lowest > self.gap_most
        )

    def request(self, asked: Asked, luck: int) -> Heard:
        return Heard(refused=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterNearMaximum(DeviceFault):
    """A counter of the device has come near its end, FFFFFFFF: `left` messages can be exchanged, then none. What the
    device accepts at the end of it is nothing; what it can send is nothing. Only a new EK on a model that resets
    counters starts anew."""

    name: ClassVar[str] = "counter-near-maximum"
    row: ClassVar[str] = "F7"
    points: ClassVar[frozenset[Point]] = frozenset({Point.TOUCH})
    example: ClassVar[dict[str, Any]] = {"left": 20, "counter": "accepted"}

    device: DeviceName | None = "electricity"
    times: Once = 1
    left: Annotated[int, Meta(ge=0, le=1_000_000, description="messages")] = 20
    counter: Which = "accepted"

    def wants(self, point: Point, occasion: Any) -> bool:
        """Devices with more messages left."""
        return occasion is not None and self._counters(occasion) != (None, None)

    def _counters(self, victim: Victim) -> tuple[int | None, int | None]:
        end = _COUNTER_MAX - self.left
        tx, rx = victim.counters
        return (
            end if self.counter != "accepted" and tx < end else None,
            end if self.counter != "sent" and rx < end else None,
        )

    def touch(self, victim: Victim, luck: int) -> None:
        tx, rx = self._counters(victim)
        victim.force_counters(tx=tx, rx=rx)


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterMismatchReaction(DeviceFault):
    """The device reacts in another way than its model to a request that does not open: with an exception that names the
    counter it expects, with silence, by closing the association without an answer, or with an exception that says
    nothing. `to`: a counter below the lowest acceptable one, a tag that does not hold (wrong keys), or either."""

    name: ClassVar[str] = "counter-mismatch-reaction"
    row: ClassVar[str] = "F8"
    points: ClassVar[frozenset[Point]] = frozenset({Point.MISMATCH})
    example: ClassVar[dict[str, Any]] = {"reacts": "silence", "to": "either"}

    reacts: ReactionName = "silence"
    to: Literal["counter", "tag", "either"] = "counter"

    def wants(self, point: Point, occasion: Any) -> bool:
        """Such requests."""
        return isinstance(occasion, Mismatch) and (self.to == "either" or occasion.counter == (self.to == "counter"))

    def reaction(self, mismatch: Mismatch) -> ReactionName:
        return self.reacts


FAULTS: tuple[type[Fault], ...] = (
    CounterNotReset,
    CounterResetLow,
    CounterReplay,
    CounterRollback,
    CounterGap,
    CounterNearMaximum,
    CounterMismatchReaction,
)
