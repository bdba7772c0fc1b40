"""Faults of the keys in a device (rows F1 to F5 and F10): what makes a meter unrecoverable, or looks like it.

None of them says what becomes of the meter. They set what the device holds, lose an answer or cut the mains; whether
the meter can be saved is for the recovery and the oracle to find out.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta

from emulator.faults.fault import DeviceName, Fault, Point, Seconds
from emulator.faults.occasions import (
    Answering,
    Cut,
    DeviceFault,
    KeyName,
    KeyWrite,
    Phase,
    Sent,
    Transfer,
    Victim,
    Written,
)
from emulator.kernel import chance

_PHASES: tuple[Phase, ...] = ("before", "during", "after")

Once: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000, description="strikes an installation; 0: no limit")]
Dark: TypeAlias = Annotated[float, Meta(ge=1, le=31_536_000, description="seconds without mains")]
Which: TypeAlias = Literal["any", "ek", "ak", "kek", "broadcast"]


def _carries(which: Which, keys: tuple[KeyName, ...]) -> bool:
    return bool(keys) if which == "any" else which in keys


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongMasterKey(DeviceFault):
    """The device holds another master key (KEK) than anybody has on record. Reads go on as ever; every transfer of keys
    fails the integrity check of RFC 3394 and is refused with other-reason, and nothing changes."""

    name: ClassVar[str] = "wrong-master-key"
    row: ClassVar[str] = "F1"
    points: ClassVar[frozenset[Point]] = frozenset({Point.TOUCH})
    example: ClassVar[dict[str, Any]] = {"installation": 0, "device": "electricity"}

    device: DeviceName | None = "electricity"
    times: Once = 1

    def wants(self, point: Point, occasion: Any) -> bool:
        """Of keyed devices only."""
        return occasion is not None

    def touch(self, victim: Victim, luck: int) -> None:
        victim.exchange_master(luck)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChangeAnswerLost(DeviceFault):
    """A transfer of keys is carried out and its answer never leaves the device, so nobody knows which keys are live.
    `keys`: transfers that carry this one; `seconds_dark`: with the answer the
    mains go, for so long."""

    name: ClassVar[str] = "key-change-answer-lost"
    row: ClassVar[str] = "F2"
    points: ClassVar[frozenset[Point]] = frozenset({Point.ANSWER})
    example: ClassVar[dict[str, Any]] = {"keys": "kek", "times": 1}

    times: Once = 1
    keys: Which = "any"
    seconds_dark: Seconds = 0

    def wants(self, point: Point, occasion: Any) -> bool:
        """Answers to transfers of such keys."""
        return isinstance(occasion, Answering) and _carries(self.keys, occasion.keys)

    def answer(self, answering: Answering, luck: int) -> Sent:
        return Sent(lost=True, seconds_dark=self.seconds_dark)


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfAppliedKeys(DeviceFault):
    """A transfer of several keys is taken item by item and stops: the first `applied` items are live, the others are
    not, and the answer says other-reason, as if nothing had changed (seen in jDLMS's server)."""

    name: ClassVar[str] = "half-applied-keys"
    row: ClassVar[str] = "F3"
    points: ClassVar[frozenset[Point]] = frozenset({Point.KEY_TRANSFER})
    example: ClassVar[dict[str, Any]] = {"applied": 1, "times": 1}

    times: Once = 1
    applied: Annotated[int, Meta(ge=0, le=3, description="items that take, in the order sent")] = 1

    def wants(self, point: Point, occasion: Any) -> bool:
        """Transfers of more items than take."""
        return isinstance(occasion, Transfer) and len(occasion.keys) > self.applied

    def transfer(self, transfer: Transfer, luck: int) -> int:
        return self.applied


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCutInKeyWrite(DeviceFault):
    """The mains go while new keys are written into non-volatile memory: before, during or after the write `at` (its
    name, as "kek.erase", its number from 0, or "any" by luck). What is left is the old key, the new one or neither, by
    the slots, checksums and order of the model; no answer is sent, and the device is dark for `seconds_dark`."""

    name: ClassVar[str] = "power-cut-in-key-write"
    row: ClassVar[str] = "F4"
    points: ClassVar[frozenset[Point]] = frozenset({Point.KEY_WRITE})
    example: ClassVar[dict[str, Any]] = {"at": "any", "phase": "any", "keys": "kek", "times": 1}

    times: Once = 1
    at: Annotated[
        str,
        Meta(
            pattern=r"^(any|[0-9]{1,2}|flip|(ek|broadcast|ak|kek)\.((spare\.)?(erase|write|checksum)|flip))\Z",
            description="name or number of a write",
        ),
    ] = "any"
    phase: Literal["before", "during", "after", "any"] = "during"
    keys: Which = "any"
    seconds_dark: Dark = 60

    def wants(self, point: Point, occasion: Any) -> bool:
        """Changes of such keys that have such a write."""
        if not isinstance(occasion, KeyWrite) or not _carries(self.keys, occasion.keys):
            return False
        return self.at == "any" or self._number(occasion) is not None

    def _number(self, write: KeyWrite) -> int | None:
        if self.at.isdigit():
            return int(self.at) if int(self.at) < len(write.writes) else None
        return write.writes.index(self.at) if self.at in write.writes else None

    def write(self, write: KeyWrite, luck: int) -> Written:
        at = self._number(write)
        if at is None:
            of_interest = [
                number
                for number, name in enumerate(write.writes)
                if self.keys == "any" or name == "flip" or name.startswith(f"{self.keys}.")
            ]
            at = of_interest[chance.mix(luck, 1, 0) % len(of_interest)]
        phase = _PHASES[chance.mix(luck, 2, 0) % 3] if self.phase == "any" else self.phase
        return Written(cut=Cut(at, phase, self.seconds_dark))


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCutBeforeAnswer(DeviceFault):
    """The mains go after a request was carried out and before its answer leaves; associations are gone with them.
    `after`: which requests, those that changed keys or any; `seconds_dark`: for how long."""

    name: ClassVar[str] = "power-cut-before-answer"
    row: ClassVar[str] = "F5"
    points: ClassVar[frozenset[Point]] = frozenset({Point.ANSWER})
    example: ClassVar[dict[str, Any]] = {"after": "key-change", "times": 1}

    times: Once = 1
    after: Literal["key-change", "any"] = "key-change"
    seconds_dark: Dark = 60

    def wants(self, point: Point, occasion: Any) -> bool:
        """Such answers."""
        return isinstance(occasion, Answering) and (self.after == "any" or bool(occasion.keys))

    def answer(self, answering: Answering, luck: int) -> Sent:
        return Sent(lost=True, seconds_dark=self.seconds_dark)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRaised(DeviceFault):
    """The security policy was strengthened by somebody else. 1 asks for authentication, 2 for encryption, 3 for both; a
    value with 4 in it asks for what suite 0 cannot do, so nobody can meet it. `with_keys`: EK and AK are others too, so
    that nobody can meet any policy. Devices that ask for that much already are not struck."""

    name: ClassVar[str] = "policy-raised"
    row: ClassVar[str] = "F10"
    points: ClassVar[frozenset[Point]] = frozenset({Point.TOUCH})
    example: ClassVar[dict[str, Any]] = {"installation": 0, "device": "electricity", "policy": 7}

    device: DeviceName | None = "electricity"
    times: Once = 1
    policy: Annotated[int, Meta(ge=1, le=7, description="bits of the policy: 1 authenticated, 2 encrypted, 4 more")] = 7
    with_keys: bool = False

    def wants(self, point: Point, occasion: Any) -> bool:
        """Devices that ask for less now."""
        return occasion is not None and (self.with_keys or self.policy | occasion.policy != occasion.policy)

    def touch(self, victim: Victim, luck: int) -> None:
        if self.policy | victim.policy != victim.policy:
            victim.force_policy(self.policy | victim.policy)
        if self.with_keys:
            victim.exchange_data(luck, ek=True, ak=True)


FAULTS: tuple[type[Fault], ...] = (
    WrongMasterKey,
    KeyChangeAnswerLost,
    HalfAppliedKeys,
    PowerCutInKeyWrite,
    PowerCutBeforeAnswer,
    PolicyRaised,
)
