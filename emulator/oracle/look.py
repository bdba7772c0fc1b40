"""Looking at the truth: which keys, counters and rights a device really has, as an abstract state.

Only a test bench may do this; a keeper never sees a key that is in a device. Keys are compared and forgotten.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from emulator.crypto.layout import COUNTER_MAX, EXPORT_BYTES, LINE, LINE_BYTES, MASTER
from emulator.dlms.classes.security_setup import SecuritySetup
from emulator.dlms.security import PROTECTED
from emulator.errors import UsageError
from emulator.fleet.installation import DeviceKeys
from emulator.kernel.effects import Instant
from emulator.oracle.state import CORRUPT, FOREIGN, PLENTY, Habits, Position, Reaction, State

_CORRUPT = "corrupt"
"""As a device's key memory says it."""

_FAR = 1_000
"""So far below ours a device's lowest acceptable counter never is but after it began to count anew, or long silence."""


class Line(NamedTuple):
    """A context as an export has it: keys in clear. `kek` is None where there is none."""

    ek: bytes
    ak: bytes
    tx: int
    rx: int
    kek: bytes | None

    def __repr__(self) -> str:
        return f"Line(tx {self.tx}, rx {self.rx})"


class Known(NamedTuple):
    """Keys by position that the device's are compared with."""

    data: Mapping[Position, DeviceKeys]
    master: Mapping[Position, bytes]

    def __repr__(self) -> str:
        return f"Known(data {sorted(self.data)}, master {sorted(self.master)})"


def line(export: bytes) -> Line:
    """What a store's export says. Raises UsageError for other bytes."""
    if len(export) != EXPORT_BYTES:
        raise UsageError(f"{len(export)} bytes are no export of a context")
    ek, ak, _, tx, rx, _, _, flags, _, _ = LINE.unpack(export[:LINE_BYTES])
    return Line(ek, ak, tx, rx, export[LINE_BYTES:] if flags & MASTER else None)


def placed(state: State, device: Line, ours: int, known: Known, machine: Any, now: Instant) -> State:
    """`state` with everything that is the device's replaced by what is true: keys, rooms, policy, association.

    `ours` is the counter we send next. What the keepers believe and know stays as `state` has it."""
    memory = machine.key_memory(now)
    ek = _position(device.ek, {at: keys.ek for at, keys in known.data.items()})
    ak = _position(device.ak, {at: keys.ak for at, keys in known.data.items()})
    kek = FOREIGN if device.kek is None else _position(device.kek, known.master)
    # A device that locks up opens nothing ciphered: that is the same as having no EK.
    ek = CORRUPT if memory.ek.value == _CORRUPT or memory.locked else ek
    ak = CORRUPT if memory.ak.value == _CORRUPT else ak
    kek = CORRUPT if memory.kek.value == _CORRUPT else kek
    return state._replace(
        ek=ek,
        ak=ak,
        kek=kek,
        room_in=_room(max(device.rx, ours)),
        room_out=_room(device.tx),
        ahead=device.rx > ours,
        restarts=_room(max(device.rx, ours)) < PLENTY and device.rx < ours - _FAR,
        met=policy_met(machine),
    )


def pair(keys: DeviceKeys, known: Known) -> tuple[Position, Position]:
    """The positions of a pair of ours."""
    return (
        _position(keys.ek, {at: each.ek for at, each in known.data.items()}),
        _position(keys.ak, {at: each.ak for at, each in known.data.items()}),
    )


def policy_met(machine: Any) -> bool:
    """Whether the head end's messages are protected as the device's policy asks."""
    setup = machine.objects.named("security")
    if not isinstance(setup, SecuritySetup):
        raise UsageError("this device has no security setup")
    return setup.required(machine) & ~PROTECTED == 0


def habits(profile: Any) -> Habits:
    """The habits of a model."""
    security = profile.security
    return Habits(
        security.master_key_changes,
        security.counter_reset,
        Reaction(security.bad_counter),
        Reaction(security.bad_tag),
    )


def _position(key: bytes, known: Mapping[Position, bytes]) -> Position:
    return next((at for at, each in sorted(known.items()) if each == key), FOREIGN)


def _room(used: int) -> int:
    return min(PLENTY, COUNTER_MAX - used)
