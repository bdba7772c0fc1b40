"""A device that faults may strike: asks at each point of a request's way who strikes, and carries out what they say.

Only devices that a fault may concern come here (`CosemDevice.mischief` is None for all others). What a fault may do
to a device directly is `Victim`; all keys it brings about are derived here, so that no fault ever sees one.
"""

from typing import TYPE_CHECKING, Any, Final

from devices.common.clock import Crystal
from emulator.codecs.acse import AARQ_FRAME
from emulator.codecs.axdr import enum
from emulator.codecs.glo import GENERAL_GLO, GLO, PLAIN
from emulator.crypto import derive
from emulator.crypto.keys import ContextStore
from emulator.crypto.layout import LINE, LINE_BYTES
from emulator.dlms.classes.security_setup import POLICY, SecuritySetup
from emulator.dlms.security import Reaction
from emulator.errors import FrameError, ReplayError
from emulator.faults.fault import Point
from emulator.faults.mischief import Strike
from emulator.faults.occasions import Answering, Asked, Heard, KeyName, Mismatch, Sent, Setting
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY

if TYPE_CHECKING:
    from devices.common.device import CosemDevice

_AARQ: Final = 0x60
_GENERAL: Final = frozenset((0xDB, 0xDC))
_TX: Final = 3
_RX: Final = 4


def force_counters(store: ContextStore, index: int, *, tx: int | None = None, rx: int | None = None) -> None:
    """Set a context's counters (0 to FFFFFFFF), backwards too."""
    blob = store.export(index)
    fields = list(LINE.unpack(blob[:LINE_BYTES]))
    if tx is not None:
        fields[_TX] = tx
    if rx is not None:
        fields[_RX] = rx
    blob[:LINE_BYTES] = LINE.pack(*fields)
    store.restore(index, blob)
    blob[:] = bytes(len(blob))


class Victim:
    """`emulator.faults.occasions.Victim` over a device with keys."""

    __slots__ = ("_device", "_index", "now")

    def __init__(self, device: "CosemDevice", index: int, now: Instant) -> None:
        self._device = device
        self._index = index
        self.now = now

    @property
    def _setup(self) -> SecuritySetup:
        return self._device.security

    @property
    def counters(self) -> tuple[int, int]:
        return self._device.store.counters(self._index)

    @property
    def policy(self) -> int:
        return self._setup.policy(self._device)

    @property
    def clock_disturbed(self) -> bool:
        return self._device.clock_disturbed

    def _key(self, luck: int, what: str) -> bytes:
        device = self._device
        return derive.key(b"%d" % device.seed, "foreign", device.installation, int(device.spec.kind), luck, what)

    def exchange_master(self, luck: int) -> None:
        self._setup.new_master(self._device, self._index, self._key(luck, "kek"))
        self._device.note("keys.exchanged", int(self._device.spec.kind), ("kek",))

    def exchange_data(self, luck: int, *, ek: bool, ak: bool) -> None:
        self._device.store.install(
            self._index, ek=self._key(luck, "ek") if ek else None, ak=self._key(luck, "ak") if ak else None
        )
        names = tuple(name for name, chosen in (("ek", ek), ("ak", ak)) if chosen)
        self._device.note("keys.exchanged", int(self._device.spec.kind), names)

    def force_counters(self, *, tx: int | None = None, rx: int | None = None) -> None:
        force_counters(self._device.store, self._index, tx=tx, rx=rx)
        self._device.note("counters.forced", int(self._device.spec.kind), *self.counters)

    def force_policy(self, policy: int) -> None:
        held = self.policy
        self._setup.remember(self._device, POLICY, enum(policy))
        self._device.note("security.policy", self._setup.client_sap, held, policy)

    def disturb_clock(self, step_us: int, drift_ppb: int) -> None:
        device, now = self._device, self.now
        crystal, shown = device.crystal, device.shown(now)
        if step_us:
            device.clock_moves(shown, shown + step_us, now)
        device.disturb(Crystal(now, crystal.error(now) + step_us, crystal.drift_ppb + drift_ppb))
        device.note("clock.disturbed", step_us, drift_ppb)


def _victim(device: "CosemDevice", now: Instant) -> Victim | None:
    """The device as a victim; None for one whose management client has no keys here."""
    index = device.key_context
    return None if index < 0 else Victim(device, index, now)


def _strikes(device: "CosemDevice", point: Point, now: Instant, occasion: Any) -> list[Strike]:
    assert device.mischief is not None
    found = device.mischief.strikes(point, device.installation, device.spec.kind, now, occasion)
    for strike in found:
        device.note(strike.note.kind, *strike.note.detail)
    return found


def touched(device: "CosemDevice", now: Instant) -> None:
    """The device is about to be used."""
    assert device.mischief is not None
    if device.mischief.watches(Point.TOUCH) and (victim := _victim(device, now)) is not None:
        for strike in _strikes(device, Point.TOUCH, now, victim):
            strike.fault.touch(victim, strike.luck)


def powered_up(device: "CosemDevice", now: Instant) -> None:
    """The mains are back at `now`; nothing can have happened while they were gone."""
    assert device.mischief is not None
    if device.mischief.watches(Point.POWER_UP) and (victim := _victim(device, now)) is not None:
        for strike in _strikes(device, Point.POWER_UP, now, victim):
            strike.fault.power_up(victim, strike.luck)


def refuses_setting(device: "CosemDevice", step_us: int, days_settings: list[Instant], now: Instant) -> bool:
    """Whether a fault keeps the clock from being set; `days_settings` are all instants at which it was."""
    assert device.mischief is not None
    if not device.mischief.watches(Point.CLOCK):
        return False
    occasion = Setting(step_us, sum(1 for at in days_settings if at // DAY == now // DAY))
    return bool(_strikes(device, Point.CLOCK, now, occasion))


def serve(device: "CosemDevice", client_sap: int, apdu: bytes, now: Instant) -> bytes | None:
    """Let the server answer one APDU, with everything that may go wrong on the way."""
    mischief = device.mischief
    assert mischief is not None
    touched(device, now)
    server = device.server
    server.overrule = device.overrule if mischief.watches(Point.MISMATCH) else None
    heard, before = Heard(), 0
    index = device.contexts.get(client_sap, -1)
    loaded = index >= 0 and device.store.loaded(index)
    if loaded and mischief.watches(Point.REQUEST):
        before = device.store.counters(index)[1]
        asked = Asked(client_sap, _counter(apdu), before)
        for strike in _strikes(device, Point.REQUEST, now, asked):
            said: Heard = strike.fault.request(asked, strike.luck)
            heard = Heard(heard.refused or said.refused, said.lowest if heard.lowest is None else heard.lowest)
    device.written.clear()
    if heard.refused:
        answer = server.react(client_sap, ReplayError(before))
    elif heard.lowest is not None:
        epoch = device.store.state(index).epoch
        force_counters(device.store, index, rx=heard.lowest)
        answer = server.receive(client_sap, apdu, now)
        if device.store.state(index).epoch == epoch:  # else its counters belong to another key
            force_counters(device.store, index, rx=max(before, device.store.counters(index)[1]))
    else:
        answer = server.receive(client_sap, apdu, now)
    if answer is not None and not device.dark(now) and mischief.watches(Point.ANSWER):
        answer = _answered(device, client_sap, answer, now)
    if device.dark(now):
        device.hush()
        return None
    return answer


def _answered(device: "CosemDevice", client_sap: int, answer: bytes, now: Instant) -> bytes | None:
    names: tuple[KeyName, ...] = tuple(dict.fromkeys(device.written))
    occasion = Answering(client_sap, names, len(answer))
    lost, seconds = False, 0.0
    for strike in _strikes(device, Point.ANSWER, now, occasion):
        said: Sent = strike.fault.answer(occasion, strike.luck)
        lost, seconds = lost or said.lost, max(seconds, said.seconds_dark)
    if seconds:
        device.power_cut(max(1, round(seconds)), now)
    return None if lost or seconds else answer


def reaction(device: "CosemDevice", counter: bool, usual: Reaction) -> Reaction:
    """How the device reacts to a request that does not open."""
    occasion = Mismatch(counter, usual.value)
    for strike in _strikes(device, Point.MISMATCH, device.now, occasion):
        return Reaction(strike.fault.reaction(occasion))
    return usual


def _counter(apdu: bytes) -> int | None:
    """The invocation counter of a ciphered request, or of what is ciphered in an AARQ."""
    try:
        inside = apdu
        if apdu[:1] == bytes((_AARQ,)):
            inside = AARQ_FRAME.parse(apdu).user_information or b""
        if not inside:
            return None
        if inside[0] in PLAIN:
            return int(GLO.parse(inside).invocation_counter)
        if inside[0] in _GENERAL:
            return int(GENERAL_GLO.parse(inside).invocation_counter)
    except FrameError:
        pass
    return None
