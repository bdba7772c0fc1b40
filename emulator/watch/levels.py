"""Counters of devices and head end, sampled at every exchange: under one key they never go back.

A new encryption key may begin at 0 again (its nonces are its own); so a fall counts only while the EK is the same,
which a fingerprint of it tells. The head end's own send counter never falls, whichever keys are loaded
(`headend/keyring.py`). Everything kept is a few numbers a context in columns, so a whole cohort can be watched.
"""

from array import array
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from emulator.crypto.layout import ContextState
from emulator.dlms.cosem import Device

_SECRET: Final = blake2b(b"watch", digest_size=16).digest()
_LINE_KEY: Final = slice(0, 16)


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
    """The last counters seen of each of `capacity` contexts, and every fall. `head_end` is the head end's store, whose
    contexts have the numbers of the devices'; None: only the devices' are looked at."""

    def __init__(self, capacity: int, head_end: Any = None) -> None:
        self.head_end = head_end
        self.falls: list[Fall] = []
        self._keys = array("Q", bytes(8 * capacity))
        """A fingerprint of the EK; 0: nobody looked yet."""
        self._epochs = array("I", bytes(4 * capacity))
        self._tx = array("I", bytes(4 * capacity))
        self._rx = array("I", bytes(4 * capacity))
        self._sent = array("I", bytes(4 * capacity))

    def forget(self, index: int) -> None:
        """A context was put back."""
        self._keys[index] = self._epochs[index] = self._tx[index] = self._rx[index] = self._sent[index] = 0

    def key(self, device: Device, index: int, epoch: int) -> int:
        """The fingerprint of a context's EK, worked out anew where its epoch has changed."""
        found = self._keys[index]
        if not found or self._epochs[index] != epoch:
            fresh = fingerprint(device.store, index)
            if fresh != found:
                self._keys[index] = found = fresh
                self._tx[index] = self._rx[index] = 0
            self._epochs[index] = epoch
        return found

    def before(self, device: Device, index: int, lowest: int, epoch: int) -> None:
        """A message is about to be dealt with, which may lift the lowest acceptable counter over a fall: look first."""
        rx = self._rx[index]
        if lowest < rx and self._epochs[index] == epoch:
            self.falls.append(Fall(device.installation, index, "device", "rx", rx, lowest))
            self._rx[index] = lowest

    def sample(self, device: Device, index: int, state: ContextState) -> None:
        """Look at a device's counters, as they stand now."""
        self.key(device, index, state.epoch)
        tx, rx = self._tx[index], self._rx[index]
        if state.tx < tx:
            self.falls.append(Fall(device.installation, index, "device", "tx", tx, state.tx))
        if state.rx < rx:
            self.falls.append(Fall(device.installation, index, "device", "rx", rx, state.rx))
        self._tx[index], self._rx[index] = state.tx, state.rx
        ours = self.head_end
        if ours is not None and ours.loaded(index):
            sent = ours.counters(index)[0]
            if sent < self._sent[index]:
                self.falls.append(Fall(device.installation, index, "head end", "tx", self._sent[index], sent))
            self._sent[index] = sent


def fingerprint(store: Any, index: int) -> int:
    """64 bits that tell the EK of a context from another; never 0."""
    exported = store.export(index)
    digest = blake2b(exported[_LINE_KEY], key=_SECRET, digest_size=8).digest()
    exported[:] = bytes(len(exported))
    return int.from_bytes(digest, "big") or 1
