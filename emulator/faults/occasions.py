"""What a device tells a fault at each point, what it lets a fault do to it, and what a fault may answer.

    point         the occasion    asked of the fault            what it answers
    TOUCH         `Victim`        `touch(victim, luck)`         nothing: it changes how the device stands
    REQUEST       `Asked`         `request(asked, luck)`        `Heard`
    MISMATCH      `Mismatch`      `reaction(mismatch)`          a reaction's name
    KEY_TRANSFER  `Transfer`      `transfer(transfer, luck)`    how many of its items take
    KEY_WRITE     `KeyWrite`      `write(write, luck)`          `Written`
    ANSWER        `Answering`     `answer(answering, luck)`     `Sent`
    CLOCK         `Setting`       nothing more                  a setting it wants is refused
    POWER_UP      `Victim`        `power_up(victim, luck)`      nothing

The occasion goes to `Fault.wants` first, so that only what is a fault's business is counted. A device room carries the
answers out; a fault never sees a key. `Victim` is all that it may do to a device directly.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from emulator.faults.fault import Fault
from emulator.kernel.effects import Instant

KeyName: TypeAlias = Literal["ek", "broadcast", "ak", "kek"]
Phase: TypeAlias = Literal["before", "during", "after"]
ReactionName: TypeAlias = Literal["exception", "silence", "close", "plain-exception"]


class Victim(Protocol):
    """A device at an instant, as far as a fault may handle it. `luck` is 64 bits that decide what foreign keys are."""

    @property
    def now(self) -> Instant: ...

    @property
    def counters(self) -> tuple[int, int]:
        """(the next it sends with, the lowest it accepts) towards its management client."""

    @property
    def policy(self) -> int:
        """The security policy in force."""

    @property
    def clock_disturbed(self) -> bool:
        """Whether a fault has changed how its clock runs."""

    def exchange_master(self, luck: int) -> None:
        """Let it hold another master key than anybody knows."""

    def exchange_data(self, luck: int, *, ek: bool, ak: bool) -> None:
        """Let it hold another EK or AK, or both, than anybody knows. Counters stay."""

    def force_counters(self, *, tx: int | None = None, rx: int | None = None) -> None:
        """Set counters, backwards too: what no sound device does."""

    def force_policy(self, policy: int) -> None:
        """Set the security policy, whether this device could meet it or not."""

    def disturb_clock(self, step_us: int, drift_ppb: int) -> None:
        """Let its clock jump by `step_us` now and drift by `drift_ppb` (parts in 10^9) more from now on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came. `counter` is its invocation counter, None when it carries none; `lowest` the lowest that
    the device accepts."""

    client_sap: int
    counter: int | None
    lowest: int


@dataclass(frozen=True, slots=True)
class Heard:
    """How a request is taken: refused for its counter, or served as if `lowest` were the lowest acceptable one."""

    refused: bool = False
    lowest: int | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A request that does not open: its counter is too low (`counter`), or its tag does not hold. `usual` is what the
    device would do."""

    counter: bool
    usual: ReactionName


@dataclass(frozen=True, slots=True)
class Transfer:
    """Keys of a transfer, unwrapped, in the order they were sent."""

    keys: tuple[KeyName, ...]


@dataclass(frozen=True, slots=True)
class KeyWrite:
    """Keys about to be written: which, by which writes (named, in order), and whether the counters start anew."""

    keys: tuple[KeyName, ...]
    writes: tuple[str, ...]
    resets: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """The mains go at a write: before it, within it, after it; and stay away for so many seconds."""

    write: int
    phase: Phase
    seconds_dark: float


@dataclass(frozen=True, slots=True)
class Written:
    """What becomes of a change of keys: cut off; its counters kept though the model resets them; or set to a value."""

    cut: Cut | None = None
    keeps_counters: bool = False
    tx: int | None = None
    rx: int | None = None


@dataclass(frozen=True, slots=True)
class Answering:
    """An answer about to leave; `keys` are those that the request has changed."""

    client_sap: int
    keys: tuple[KeyName, ...]
    length: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What becomes of an answer; with `seconds_dark` the mains go too, and then it is lost in any case."""

    lost: bool = False
    seconds_dark: float = 0


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the clock: by how much (µs, positive forwards), and how often it was set before on the same UTC
    day."""

    step_us: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFault(Fault):
    """Root of the faults in devices; neutral at every point. A fault overrides what its `points` name."""

    def touch(self, victim: Victim, luck: int) -> None:
        """TOUCH."""

    def request(self, asked: Asked, luck: int) -> Heard:
        """REQUEST."""
        return Heard()

    def reaction(self, mismatch: Mismatch) -> ReactionName:
        """MISMATCH."""
        return mismatch.usual

    def transfer(self, transfer: Transfer, luck: int) -> int:
        """KEY_TRANSFER: how many of the items take; the transfer is refused all the same."""
        return len(transfer.keys)

    def write(self, write: KeyWrite, luck: int) -> Written:
        """KEY_WRITE."""
        return Written()

    def answer(self, answering: Answering, luck: int) -> Sent:
        """ANSWER."""
        return Sent()

    def power_up(self, victim: Victim, luck: int) -> None:
        """POWER_UP."""
