"""How a head end goes about changing keys and finding a way back in: settings, sensible ones and careless ones.

The defaults are a head end that cannot lose a key by itself. The others are what is seen in the field, and what
campaigns are run with to learn what they cost: sending again at once while a device may still be writing, not keeping
what was sent, changing EK and AK one by one, beginning a counter anew that the device did not.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from emulator.kernel.effects import Instant

Seconds = Annotated[float, Meta(ge=0, le=604_800, description="seconds")]


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """How keys are changed. All ASSUMED.

    `arrays`: EK and AK in one transfer, or one by one in either order. `master`: the KEK is changed before the data
    keys, after them, or not at all. `retry`: a *patient* head end always asks what became of a transfer before it sends
    another, and not before `quiet_s` have passed since the last one, by when a device has surely done writing; an
    *impatient* one sends the same again `retry_after_s` after an unanswered transfer, up to `again` times, and asks
    nothing first. `candidates`: a new key is written down before it is sent, or (the careless head end) kept only when
    the change went well. `counter_after`: what our own send counter is set to after a change of EK; none: it goes on.
    `lock_s`: how long a change may hold a device for itself, which is also how long a NEW key may stay unproven before
    another head end's turn comes.
    """

    arrays: Literal["all", "ek-first", "ak-first"] = "all"
    master: Literal["first", "last", "never"] = "first"
    retry: Literal["patient", "impatient"] = "patient"
    quiet_s: Seconds = 30
    retry_after_s: Seconds = 1
    again: Annotated[int, Meta(ge=0, le=100, description="transfers")] = 2
    candidates: Literal["kept", "not-kept"] = "kept"
    counter_after: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF, description="invocation counter")] | None = None
    lock_s: Seconds = 3_600


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
    """How a way in is looked for. ASSUMED.

    `earlier`: generations that were replaced or given up are tried too when those in question are refused. `mixed`: so
    are pairs of one's EK with another's AK. `on_silence`: a device that says nothing under a pair that nobody doubts is
    taken for one that does not open it, and not for one that cannot be reached.
    """

    earlier: bool = True
    mixed: bool = True
    on_silence: bool = False


@dataclass(frozen=True, slots=True)
class DualControlSettings:
    """What the DCO countersigns. ASSUMED.

    `services`: those that need it (see `dual_control`). `refused`: those that its policy never allows. `most`: how many
    it approves for one device in `window_s` seconds (0: any number). `answer_s`: how long it is waited for.
    """

    services: frozenset[str] = frozenset({"supply", "load-limit", "auxiliary", "keys"})
    refused: frozenset[str] = frozenset()
    most: Annotated[int, Meta(ge=0, le=1_000_000, description="approvals")] = 0
    window_s: Seconds = 86_400
    answer_s: Seconds = 30


@dataclass(frozen=True, slots=True)
class CustodySettings:
    """All of it. `builder` and `smso_closes` as in `keeper.KeeperSettings`."""

    rotation: RotationPolicy = RotationPolicy()
    recovery: RecoveryPolicy = RecoveryPolicy()
    control: DualControlSettings = DualControlSettings()
    builder: Literal["s1sp", "dco"] = "s1sp"
    smso_closes: Instant | None = None
