"""What can go wrong with a hub (row F13): short messages, attaching, its address, its memory, and the power.

The hub asks at `Point.HUB`; the occasion is a pair: one of the words below, and a figure. What each fault changes is a
field of it; the hub carries it out. FACT: a read can need a second short message (SEC MP312). ASSUMED: the rest.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from msgspec import Meta

from emulator.faults.fault import Fault, Point, Seconds

SMS: Final = "sms"
"""A short message came while it was asleep; the figure is 0."""
ATTACH: Final = "attach"
"""It begins to attach; the figure is 0."""
ATTACHED: Final = "attached"
"""It is attached; the figure is 0."""
FRAME: Final = "frame"
"""A frame came from the WAN; the figure is its length in bytes."""
FORWARD: Final = "forward"
"""A frame is to be forwarded to a device of the home; the figure is its party."""
MIRROR: Final = "mirror"
"""The mirror of the gas meter is about to be used; the figure is 0."""

Occasion: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFault(Fault):
    """Root of the faults of hubs."""

    points: ClassVar[frozenset[Point]] = frozenset({Point.HUB})
    word: ClassVar[str] = ""
    """The occasion it is about."""

    def wants(self, point: Point, occasion: Any) -> bool:
        return occasion is not None and occasion[0] == self.word


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondSmsNeeded(HubFault):
    """The hub wakes only after `needed` short messages within its window. A condition: it holds while in force."""

    name: ClassVar[str] = "second-sms-needed"
    row: ClassVar[str] = "F13"
    example: ClassVar[dict[str, Any]] = {"share": 0.3}
    word: ClassVar[str] = SMS

    needed: Annotated[int, Meta(ge=1, le=10, description="short messages that wake it")] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowAttach(HubFault):
    """Attaching to the network takes `extra_s` longer than it does anyhow."""

    name: ClassVar[str] = "slow-attach"
    row: ClassVar[str] = "F13"
    example: ClassVar[dict[str, Any]] = {"extra_s": 90}
    word: ClassVar[str] = ATTACH

    extra_s: Seconds = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAddressAfterWake(HubFault):
    """The hub comes back at another IP address. Who calls the old one reaches nobody, until it hears the hub speak from
    the new one, which its call after waking does."""

    name: ClassVar[str] = "new-address-after-wake"
    row: ClassVar[str] = "F13"
    example: ClassVar[dict[str, Any]] = {"times": 1}
    word: ClassVar[str] = ATTACHED


@dataclass(frozen=True, slots=True, kw_only=True)
class HubReboot(HubFault):
    """The hub restarts when a frame comes, and loses the frame, its attachment, associations and alerts it held; it is
    dark for `dark_s` and then asleep. The meters behind it notice nothing."""

    name: ClassVar[str] = "hub-reboot"
    row: ClassVar[str] = "F13"
    example: ClassVar[dict[str, Any]] = {"skip": 4, "times": 1, "dark_s": 45}
    word: ClassVar[str] = FRAME

    dark_s: Annotated[int, Meta(ge=1, le=86_400, description="seconds of virtual time")] = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveBufferOverrun(HubFault):
    """Frames from the WAN longer than `room` bytes do not fit into the hub's memory: they are dropped and noted."""

    name: ClassVar[str] = "receive-buffer-overrun"
    row: ClassVar[str] = "F13"
    example: ClassVar[dict[str, Any]] = {"room": 96}
    word: ClassVar[str] = FRAME

    room: Annotated[int, Meta(ge=0, le=65_535, description="bytes of the longest frame that fits")] = 128

    def wants(self, point: Point, occasion: Any) -> bool:
        return HubFault.wants(self, point, occasion) and occasion[1] > self.room


FAULTS: tuple[type[Fault], ...] = (SecondSmsNeeded, SlowAttach, NewAddressAfterWake, HubReboot, ReceiveBufferOverrun)
