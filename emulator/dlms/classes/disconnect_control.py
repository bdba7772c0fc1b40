"""Disconnect control, class 70 (DLMS UA 1000-1 4.5.8): a supply relay, a valve or an auxiliary switch.

The state machine is here, the contact is not. The object knows states (0 disconnected, 1 connected, 2 ready for
reconnection), the modes that say which transitions exist, and who may ask for them: remote (a method), manual (a
button) or local (the device itself, a load limit say). What happens to metal is the `move` hook: it acts or refuses
(a welded relay is a hardware fault), and only then does the state change. The *output* is read from physics where a
model binds it, so that a relay that says "connected" and conducts nothing can be told from one that works.

Asked for the state it is in, the object drives the contact again and answers success: that is what a relay does.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import ClassVar, Final, TypeAlias

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, boolean, enum
from emulator.codecs.get import DataAccessResult
from emulator.dlms.cosem import (
    AccessRefused,
    ActionRefused,
    Attribute,
    CosemObject,
    Device,
    computed,
    require_integer,
    stored,
)
from emulator.kernel.effects import Instant

DISCONNECTED: Final = 0
CONNECTED: Final = 1
READY: Final = 2
_STATE: Final = -1

Move: TypeAlias = Callable[[Device, int, "Cause", Instant], None]


class Cause(Enum):
    """Who asked for a transition."""

    REMOTE = "remote"
    MANUAL = "manual"
    LOCAL = "local"


_RECONNECTED_BY: Final[dict[int, dict[tuple[Cause, int], int]]] = {}
"""mode -> {(cause, state) -> new state} for a wish to reconnect; what is missing does not exist in that mode."""
_DISCONNECTED_BY: Final[dict[int, dict[tuple[Cause, int], int]]] = {}

for _mode in range(1, 8):
    # DLMS UA 1000-1 4.5.8, transitions a to i. Remote: b, c always; then a (2, 4, 7), i (7) or d (1, 3, 5, 6).
    _DISCONNECTED_BY[_mode] = {
        (Cause.REMOTE, CONNECTED): DISCONNECTED,
        (Cause.REMOTE, READY): DISCONNECTED,
        (Cause.LOCAL, CONNECTED): READY,
    }
    if _mode in (1, 2, 5):
        _DISCONNECTED_BY[_mode][Cause.MANUAL, CONNECTED] = READY
    _RECONNECTED_BY[_mode] = {
        (Cause.REMOTE, DISCONNECTED): CONNECTED if _mode in (2, 4, 7) else READY,
        (Cause.MANUAL, READY): CONNECTED,
    }
    if _mode in (5, 6, 7):
        _RECONNECTED_BY[_mode][Cause.LOCAL, READY] = CONNECTED
    if _mode == 7:
        _RECONNECTED_BY[_mode][Cause.REMOTE, READY] = CONNECTED


class DisconnectControl(CosemObject):
    """Attributes: 2 output state, 3 control state, 4 control mode. Methods: 1 remote disconnect, 2 remote reconnect."""

    __slots__ = ("_move", "_state")
    class_id: ClassVar[int] = 70
    methods: ClassVar[Mapping[int, str]] = {1: "remote_disconnect", 2: "remote_reconnect"}

    def __init__(
        self,
        logical_name: bytes | str,
        *,
        mode: int = 4,
        state: int = CONNECTED,
        output: Attribute | None = None,
        control_state: Attribute | None = None,
        move: Move | None = None,
        name: str = "",
    ) -> None:
        """`move(device, new state, cause, now)` drives the contact and may raise `ActionRefused`; `output` binds what
        the contact really does (by default: closed when connected); `control_state` binds attribute 3 where the model
        keeps the state elsewhere (an auxiliary switch that follows a calendar): then `move` must make it true."""

        def closed(device: Device, now: Instant) -> Data:
            return boolean(self.state(device, now) == CONNECTED)

        def valid(data: Data) -> bool:
            return data.tag == Tag.ENUM and data.value <= 7

        own_state = control_state is None
        super().__init__(
            logical_name,
            (
                output or computed(closed),
                computed(self._read_state) if control_state is None else control_state,
                stored(enum(mode), valid, before=self._new_mode),
            ),
            name=name,
        )
        self._state = state if own_state else None
        self._move = move

    def _read_state(self, device: Device, now: Instant) -> Data:
        kept = self.recall(device, _STATE)
        if kept is not None:
            return kept
        assert self._state is not None
        return enum(self._state)

    def state(self, device: Device, now: Instant) -> int:
        """0 disconnected, 1 connected, 2 ready for reconnection."""
        return int(self.read(device, 3, now).value)

    def mode(self, device: Device, now: Instant) -> int:
        return int(self.read(device, 4, now).value)

    def disconnect(self, device: Device, cause: Cause, now: Instant) -> None:
        """Ask for the contact to open. Raises `ActionRefused` where the mode has no such transition."""
        self._ask(
            device, _DISCONNECTED_BY, cause, (DISCONNECTED,) if cause is Cause.REMOTE else (DISCONNECTED, READY), now
        )

    def reconnect(self, device: Device, cause: Cause, now: Instant) -> None:
        """Ask for the contact to close, or to be made ready for that. Raises `ActionRefused`."""
        armed = cause is Cause.REMOTE and self.mode(device, now) in (1, 3, 5, 6)
        self._ask(device, _RECONNECTED_BY, cause, (CONNECTED, READY) if armed else (CONNECTED,), now)

    def force(self, device: Device, state: int, cause: Cause, now: Instant) -> None:
        """Go to `state` whatever the mode, for scripts of a maker that say more than the two methods can (arm)."""
        if self._move is not None:
            self._move(device, state, cause, now)
        if self._state is not None:
            self.remember(device, _STATE, None if state == self._state else enum(state))
        device.note("switch.moved", self.name or self.logical_name, state, cause.value)

    def _ask(
        self,
        device: Device,
        table: dict[int, dict[tuple[Cause, int], int]],
        cause: Cause,
        already: tuple[int, ...],
        now: Instant,
    ) -> None:
        mode, state = self.mode(device, now), self.state(device, now)
        if mode == 0:
            if state == CONNECTED and CONNECTED in already:
                return self.force(device, CONNECTED, cause, now)
            raise ActionRefused(ActionResult.READ_WRITE_DENIED, "control mode 0: always connected")
        wanted = table[mode].get((cause, state))
        if wanted is None:
            if state not in already:
                raise ActionRefused(ActionResult.OTHER_REASON, f"no such transition from state {state} in mode {mode}")
            wanted = state
        self.force(device, wanted, cause, now)
        return None

    def _new_mode(self, device: Device, data: Data, now: Instant) -> None:
        """Mode 0 means connected: going there closes the contact first, or the write is refused."""
        if data.value == 0 and self.state(device, now) != CONNECTED:
            try:
                self.force(device, CONNECTED, Cause.REMOTE, now)
            except ActionRefused as refusal:
                raise AccessRefused(DataAccessResult.HARDWARE_FAULT, refusal.reason) from refusal

    def act_remote_disconnect(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        self.disconnect(device, Cause.REMOTE, now)

    def act_remote_reconnect(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        self.reconnect(device, Cause.REMOTE, now)
