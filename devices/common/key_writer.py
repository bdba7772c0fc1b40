"""Putting new keys into a device's memory, and what becomes of them when that is disturbed.

`KeyWriter` is what a model's security setup asks (`KeyHabits`). On a sound device with sound habits it says "as usual"
and is done. It acts in three cases: a fault strikes the writing; the model keeps a new master key in RAM until it
is confirmed; the master key's slot takes its time to be rewritten, and is disturbed meanwhile. That such writers exist
is ASSUMED: how the one meter that is on record lost its master key was never published.

A slot that lost its key is known by a mask of the security setup's own memory, and its key in the context store is
replaced by noise, so that nothing opens under it; a lost master key is none at all. A new master key in RAM is the one
in the store; the old one waits wrapped under it. Instants that matter are remembered and looked at when the next
transfer arrives, the mains go or somebody asks: nothing ticks.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, cast

from devices.common.key_slots import KEY_IDS, Fate, KeyMemory, Slot, fates, key_names, ordered, plan
from devices.common.profile import Keys, Profile
from devices.common.victim import force_counters
from emulator.codecs.axdr import Data, boolean, long64, octet_string, structure, unsigned
from emulator.crypto import derive
from emulator.crypto.layout import KEY_BYTES, LINE_BYTES
from emulator.dlms.classes.security_setup import AK, BROADCAST_KEY, EK, KEK, SecuritySetup, wipe
from emulator.dlms.cosem import Device
from emulator.faults.fault import Point
from emulator.faults.occasions import Cut, KeyWrite, Transfer, Written
from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND, SECOND

if TYPE_CHECKING:
    from devices.common.device import CosemDevice

_LOST: Final = -3
"""Mask of the key ids whose slots hold no key, and `_LOCKED`."""
_IN_RAM: Final = -4
"""{the key in the slot, wrapped under the one in use; since when; whether that was confirmed} of a master key that is
not written yet. Confirmed, the instant is that of the last transfer."""
_LOCKED: Final = 0x80
_AS_WRITTEN: Final = Written()


@lru_cache(maxsize=64)
def writer(profile: Profile) -> "KeyWriter":
    """The writer of a model."""
    return KeyWriter(profile.keys)


def _own(device: Device) -> "CosemDevice":
    return cast("CosemDevice", device)


class KeyWriter:
    """The habits of one model; shared by its devices."""

    __slots__ = ("_by_itself", "item_by_item", "keys", "order")

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.order = tuple(KEY_IDS[name] for name in keys.order)
        self.item_by_item = keys.transfer == "item"
        self._by_itself = keys.volatile_until_confirmed or keys.write_ms > 0

    # What the security setup asks

    def arrives(self, setup: SecuritySetup, device: Device, index: int, now: Instant) -> None:
        if not self._by_itself or not device.deviations:
            return
        self.settle(setup, device, index, now)
        waiting = setup.recall(device, _IN_RAM)
        if self._erased(waiting, now):
            device.pending.append(partial(self._overrun, setup, device, index, now))
        elif waiting is not None and waiting.value[2].value:  # no quiet yet for the writer
            setup.remember(device, _IN_RAM, structure((waiting.value[0], long64(now), boolean(True))))

    def accepts(self, device: Device, key_ids: tuple[int, ...], now: Instant) -> int | None:
        own = _own(device)
        mischief = own.mischief
        if mischief is None or not mischief.watches(Point.KEY_TRANSFER):
            return None
        occasion = Transfer(key_names(key_ids))
        strike = mischief.strike(Point.KEY_TRANSFER, own.installation, own.spec.kind, now, occasion)
        if strike is None:
            return None
        own.note(strike.note.kind, *strike.note.detail)
        return min(len(key_ids), int(strike.fault.transfer(occasion, strike.luck)))

    def steps(
        self, setup: SecuritySetup, device: Device, index: int, keys: dict[int, bytearray], now: Instant
    ) -> list[Callable[[], None]] | None:
        mischief = _own(device).mischief
        if mischief is not None and mischief.watches(Point.KEY_WRITE):
            return [partial(self._write, setup, device, index, keys, now)]
        if self._by_itself and (KEK in keys or device.deviations):
            return [partial(self._write, setup, device, index, keys, now)]
        if device.deviations and setup.recall(device, _LOST) is not None:
            return [partial(self._write, setup, device, index, keys, now)]
        return None

    # Writing

    def _write(
        self, setup: SecuritySetup, device: Device, index: int, keys: dict[int, bytearray], now: Instant
    ) -> None:
        """Everything that is done for a transfer after its answer was made."""
        if not device.store.state(index).has_master:  # lost just now: nothing that is kept under it can be written
            wipe({key_id: keys.pop(key_id) for key_id in (KEK, BROADCAST_KEY) if key_id in keys})
        waiting = setup.recall(device, _IN_RAM) if self._by_itself else None
        confirms = waiting is not None and not waiting.value[2].value
        in_ram = keys.pop(KEK) if KEK in keys and self._by_itself else None
        at_once = in_ram is not None and not self.keys.volatile_until_confirmed
        written = ordered(self.keys, (*keys, KEK) if confirms or at_once else keys)
        outcome = self._ask(setup, device, written, now) if written else _AS_WRITTEN
        if outcome.cut is not None:
            if in_ram is not None and at_once:
                keys[KEK] = in_ram
            elif in_ram is not None:
                wipe({KEK: in_ram})
            self._cut(setup, device, index, keys, written, outcome.cut, now)
            return
        for key_id in ordered(self.keys, keys):
            setup.commit(device, index, key_id, keys[key_id], now, False if outcome.keeps_counters else None)
            self._unmark(setup, device, key_id)
        if in_ram is not None:  # one that was confirmed before is written now: memory has room for one
            self._keep_in_ram(setup, device, index, in_ram, now)
        elif waiting is not None:
            kept = structure((waiting.value[0], long64(now), boolean(True)))
            setup.remember(device, _IN_RAM, kept if self.keys.write_ms else None)
        if outcome.tx is not None or outcome.rx is not None:
            force_counters(device.store, index, tx=outcome.tx, rx=outcome.rx)

    def _ask(self, setup: SecuritySetup, device: Device, key_ids: tuple[int, ...], now: Instant) -> Written:
        """What faults make of the writing; the first that has a say on something has it."""
        own = _own(device)
        mischief = own.mischief
        if mischief is None or not mischief.watches(Point.KEY_WRITE):
            return _AS_WRITTEN
        writes = tuple(each.name for each in plan(self.keys, key_ids))
        occasion = KeyWrite(key_names(key_ids), writes, setup.reset_counters)
        found = _AS_WRITTEN
        for strike in mischief.strikes(Point.KEY_WRITE, own.installation, own.spec.kind, now, occasion):
            own.note(strike.note.kind, *strike.note.detail)
            said: Written = strike.fault.write(occasion, strike.luck)
            found = Written(
                found.cut or said.cut,
                found.keeps_counters or said.keeps_counters,
                said.tx if found.tx is None else found.tx,
                said.rx if found.rx is None else found.rx,
            )
        return found

    def _cut(
        self,
        setup: SecuritySetup,
        device: Device,
        index: int,
        keys: dict[int, bytearray],
        written: tuple[int, ...],
        cut: Cut,
        now: Instant,
    ) -> None:
        """The mains go while keys are written: each key has its fate, and the device is dark. A key that is `written`
        and not among `keys` is a master key that was in RAM until now."""
        own = _own(device)
        writes = plan(self.keys, written)
        at = min(max(cut.write, 0), len(writes) - 1)
        own.note("keys.cut", setup.client_sap, writes[at].name, cut.phase)
        for key_id, fate in fates(self.keys, written, at, cut.phase, own.chance("keys.cut")).items():
            if fate in (Fate.CORRUPT, Fate.NOISE):
                self.lose(setup, device, index, key_id, now, noticed=fate is Fate.CORRUPT)
            elif key_id not in keys:
                if fate is Fate.NEW:
                    setup.remember(device, _IN_RAM, None)
            elif fate is Fate.NEW:
                setup.commit(device, index, key_id, keys[key_id], now)
                self._unmark(setup, device, key_id)
        wipe(keys)
        own.power_cut(max(1, round(cut.seconds_dark)), now)  # a master key that is in RAM still is gone with it

    # A master key in RAM, and a slot that is being rewritten

    def _keep_in_ram(self, setup: SecuritySetup, device: Device, index: int, new: bytearray, now: Instant) -> None:
        """Take a master key into use in RAM alone; the one in the slot is remembered, wrapped under it. One that was in
        RAM before and confirmed counts as written: this one would not have been taken before that."""
        blob = device.store.export(index)
        old = blob[LINE_BYTES : LINE_BYTES + KEY_BYTES]
        setup.commit(device, index, KEK, new, now)
        confirmed = not self.keys.volatile_until_confirmed
        wrapped = octet_string(device.store.wrap(index, old))
        setup.remember(device, _IN_RAM, structure((wrapped, long64(now), boolean(confirmed))))
        if not confirmed:
            device.note("keys.unconfirmed", setup.client_sap)
        blob[:] = bytes(len(blob))
        old[:] = bytes(len(old))

    def _overrun(self, setup: SecuritySetup, device: Device, index: int, now: Instant) -> None:
        """A transfer came while the only slot of the master key was being rewritten, and took the writer's buffer,
        whatever came of it: the slot is left as it is."""
        device.note("keys.writer-overrun", setup.client_sap)
        self.lose(setup, device, index, KEK, now, noticed=self.keys.checksum)

    def _erased(self, waiting: Data | None, now: Instant) -> bool:
        """Whether the writer is at work on the only slot of the master key."""
        if waiting is None or not waiting.value[2].value or self.keys.slots == 2:
            return False
        return bool(now >= waiting.value[1].value + self.keys.write_idle_ms * MILLISECOND)

    def settle(self, setup: SecuritySetup, device: Device, index: int, now: Instant) -> None:
        """Do what fell due: a slot is written, a master key that nobody confirmed lapses."""
        waiting = setup.recall(device, _IN_RAM)
        if waiting is None:
            return
        since, confirmed = waiting.value[1].value, waiting.value[2].value
        if confirmed and now >= since + self.keys.write_ms * MILLISECOND:
            setup.remember(device, _IN_RAM, None)
        elif not confirmed and now >= since + self.keys.confirm_s * SECOND:
            self._fall_back(setup, device, index, now)

    def goes_dark(self, setup: SecuritySetup, device: Device, index: int, now: Instant) -> None:
        """The mains go: what is in RAM alone is gone, and a slot that is being rewritten is torn."""
        if not self._by_itself:
            return
        self.settle(setup, device, index, now)
        if self._erased(setup.recall(device, _IN_RAM), now):
            device.note("keys.cut", setup.client_sap, "kek.write", "during")
            self.lose(setup, device, index, KEK, now, noticed=self.keys.checksum)
        else:
            self._fall_back(setup, device, index, now)

    def _fall_back(self, setup: SecuritySetup, device: Device, index: int, now: Instant) -> None:
        """The master key in use was in RAM alone, and that is over."""
        waiting = setup.recall(device, _IN_RAM)
        if waiting is None:
            return
        setup.remember(device, _IN_RAM, None)
        device.note("keys.lapsed", setup.client_sap, self.keys.unconfirmed)
        if self.keys.unconfirmed == "lost":
            self.lose(setup, device, index, KEK, now, noticed=True)
            return
        old = device.store.unwrap(index, waiting.value[0].value)
        setup.new_master(device, index, old)
        old[:] = bytes(len(old))

    # Slots without a key

    def lose(
        self, setup: SecuritySetup, device: Device, index: int, key_id: int, now: Instant, *, noticed: bool
    ) -> None:
        """A slot holds no key any more. `noticed`: its checksum fails, and the device does as its model does; else it
        takes noise for the key."""
        own = _own(device)
        mask = self._mask(setup, device) | 1 << key_id
        device.note("keys.lost", setup.client_sap, key_id, noticed)
        noise = derive.key(b"%d" % own.seed, "torn slot", own.installation, int(own.spec.kind), key_id, now)
        store = device.store
        if key_id == EK:
            store.install(index, ek=noise)
        elif key_id == AK:
            store.install(index, ak=noise)
        elif key_id == BROADCAST_KEY:
            setup.forget_broadcast(device)
        elif noticed:
            self._forget_master(setup, device, index)
        else:
            setup.new_master(device, index, noise)
            setup.remember(device, _IN_RAM, None)
        if noticed and self.keys.on_corrupt == "locked" and not mask & _LOCKED:
            mask |= _LOCKED
            ek, ak = derive.keys(b"%d" % own.seed, 2, "locked", own.installation, int(own.spec.kind), now)
            store.install(index, ek=ek, ak=ak)
            self._forget_master(setup, device, index)
            device.note("keys.locked", setup.client_sap)
        setup.remember(device, _LOST, unsigned(mask))

    def _forget_master(self, setup: SecuritySetup, device: Device, index: int) -> None:
        """No master key, and the broadcast key that was kept under it has gone too."""
        setup.forget_broadcast(device)
        device.store.set_master(index, None)
        setup.remember(device, _IN_RAM, None)

    def memory(self, setup: SecuritySetup, device: Device, index: int, now: Instant) -> KeyMemory:
        """The truth about the slots at an instant."""
        if self._by_itself and device.deviations:
            self.settle(setup, device, index, now)
        mask = self._mask(setup, device)
        slots = {key_id: Slot.CORRUPT if mask >> key_id & 1 else Slot.OK for key_id in KEY_IDS.values()}
        return KeyMemory(slots[EK], slots[AK], slots[KEK], slots[BROADCAST_KEY], bool(mask & _LOCKED))

    def _mask(self, setup: SecuritySetup, device: Device) -> int:
        kept: Data | None = setup.recall(device, _LOST)
        return 0 if kept is None else int(kept.value)

    def _unmark(self, setup: SecuritySetup, device: Device, key_id: int) -> None:
        """A slot holds a key again."""
        if device.deviations:
            mask = self._mask(setup, device) & ~(1 << key_id)
            setup.remember(device, _LOST, unsigned(mask) if mask else None)
