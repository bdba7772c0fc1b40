"""Counters of devices and head end, sampled at every exchange: under one key they never go back.

A new encryption key may begin at 0 again (its nonces are its own); so a fall counts only while the EK is the same. The
head end's own send counter never falls, whichever keys are loaded (`headend/keyring.py`).
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from emulator.dlms.cosem import Device

_SECRET: Final = blake2b(b"levels", digest_size=16).digest()
_LINE_KEY: Final = slice(0, 16)


@dataclass(slots=True)
class _Level:
    epoch: int
    key: bytes
    tx: int
    rx: int


@dataclass(frozen=True, slots=True)
class Fall:
    """A counter that went back. `side` is device or head end."""

    installation: int
    context: int
    side: str
    counter: str
    before: int
    after: int


class Levels:
    """The last counters seen, and every fall. `head_end` is the head end's store, whose contexts have the numbers of
    the devices'; None: only the devices' are looked at."""

    def __init__(self, head_end: Any = None) -> None:
        self.head_end = head_end
        self.falls: list[Fall] = []
        self._seen: dict[int, _Level] = {}
        self._sent: dict[int, int] = {}
        self._homes: dict[int, set[int]] = {}

    def forget(self, installation: int) -> None:
        """A home was put back."""
        for index in self._homes.pop(installation, ()):
            self._seen.pop(index, None)
            self._sent.pop(index, None)

    def sample(self, device: Device, indices: tuple[int, ...]) -> None:
        """Look at a device's counters now."""
        store = device.store
        for index in indices:
            if not store.loaded(index):
                continue
            state = store.state(index)
            before = self._seen.get(index)
            if before is None or before.epoch != state.epoch:
                key = _fingerprint(store, index)
                self._homes.setdefault(device.installation, set()).add(index)
                if before is None or before.key != key:
                    self._seen[index] = _Level(state.epoch, key, state.tx, state.rx)
                    continue
                before.epoch = state.epoch
            for name, old, new in (("tx", before.tx, state.tx), ("rx", before.rx, state.rx)):
                if new < old:
                    self.falls.append(Fall(device.installation, index, "device", name, old, new))
            before.tx, before.rx = state.tx, state.rx
            self._head_end(device.installation, index)

    def _head_end(self, installation: int, index: int) -> None:
        ours = self.head_end
        if ours is None or not ours.loaded(index):
            return
        tx = ours.counters(index)[0]
        before = self._sent.get(index, 0)
        if tx < before:
            self.falls.append(Fall(installation, index, "head end", "tx", before, tx))
        self._sent[index] = tx


def _fingerprint(store: Any, index: int) -> bytes:
    exported = store.export(index)
    found = blake2b(exported[_LINE_KEY], key=_SECRET, digest_size=8).digest()
    exported[:] = bytes(len(exported))
    return found
