"""The keeper's memory: which keys the head end believes each device holds.

A belief is a *generation*, not a key. Generation 0 is what the old operator handed over; every later one is derived
from the keeper's secret, the device's place and the generation, so 150,000 homes of custody are a few bytes each and
nothing but the secret has to be kept from prying eyes. Two hierarchies move apart: the *data* keys (EK and AK, always
changed as a pair) and the *master* key. Each has a live generation, perhaps a candidate, and the highest
generation ever handed out, so that a candidate given up in doubt is never handed out again for something else.

The states of a change and who may move them are in `headend/rotation.py`; this module only remembers.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emulator.crypto import derive
from emulator.errors import UsageError
from emulator.fleet.installation import KEYED, DeviceKeys
from emulator.kernel.machine import Party

_SLOT: Final = 4  # live, candidate, issued, state
_PER_DEVICE: Final = 2 * _SLOT
_PER_HOME: Final = len(KEYED) * _PER_DEVICE

RECORD_BYTES: Final = _PER_HOME
"""Custody of one installation, in bytes."""


class Hierarchy(IntEnum):
    """Which keys: the pair used for data, or the master key that wraps them."""

    DATA = 0
    MASTER = 1


class Stage(IntEnum):
    """Where a change of keys stands."""

    HELD = 0
    RECORDED = 1
    SENT = 2
    CONFIRMED = 3


_STAGES: Final = tuple(Stage)
"""By number: a look, where calling `Stage` is two calls, at every step of a change."""


class Custody:
    """The keeper's record of one device and hierarchy: a view into the keeper's memory, made when needed."""

    __slots__ = ("_at", "_memory")

    def __init__(self, memory: bytearray, at: int) -> None:
        self._memory = memory
        self._at = at

    @property
    def live(self) -> int:
        """The generation believed to be in the device."""
        return self._memory[self._at]

    @property
    def candidate(self) -> int:
        """The generation that may be in the device, 0 for none (generation 0 is never a candidate)."""
        return self._memory[self._at + 1]

    @property
    def stage(self) -> Stage:
        return _STAGES[self._memory[self._at + 3]]

    def record(self) -> int:
        """Write down a new candidate, before anything is sent; the one in doubt is kept when there is one."""
        if self.candidate:
            return self.candidate
        issued = self._memory[self._at + 2] + 1
        if issued > 255:
            raise UsageError("255 generations of keys have been issued for one device; start a new keeper record")
        self._memory[self._at + 1] = self._memory[self._at + 2] = issued
        return issued

    def move(self, stage: Stage) -> None:
        """Write down how far the change has come."""
        self._memory[self._at + 3] = stage

    def promote(self) -> None:
        """The candidate is proven: it is the live generation now."""
        self._memory[self._at] = self._memory[self._at + 1]
        self._memory[self._at + 1] = 0
        self._memory[self._at + 3] = Stage.HELD

    def forget_candidate(self) -> None:
        """The device has shown that it does not hold the candidate. Its generation is not issued again."""
        self._memory[self._at + 1] = 0
        self._memory[self._at + 3] = Stage.HELD


class Keeper:
    """Custody for a run of installations `first .. first + count - 1`. `secret` is 16 bytes or more."""

    __slots__ = ("_first", "_memory", "_secret")

    def __init__(self, secret: bytes, first: int, count: int) -> None:
        self._secret = secret
        self._first = first
        self._memory = bytearray(count * _PER_HOME)

    def custody(self, installation: int, party: Party, hierarchy: Hierarchy) -> Custody:
        """What is believed of one device."""
        home = installation - self._first
        at = home * _PER_HOME + (party - Party.HUB) * _PER_DEVICE + hierarchy * _SLOT
        if home < 0 or not 0 <= at < len(self._memory) or party not in KEYED:
            raise UsageError(f"no custody for device {party!r} of installation {installation} here")
        return Custody(self._memory, at)

    def data_keys(self, installation: int, party: Party, generation: int, handed_over: DeviceKeys) -> DeviceKeys:
        """EK and AK of a generation (the master key is None)."""
        if generation == 0:
            return DeviceKeys(handed_over.ek, handed_over.ak, None)
        ek, ak = derive.keys(self._secret, 2, installation, int(party), generation)
        return DeviceKeys(ek, ak, None)

    def master_key(self, installation: int, party: Party, generation: int, handed_over: DeviceKeys) -> bytes | None:
        """The KEK of a generation; None when the old operator had none to hand over."""
        if generation == 0:
            return handed_over.kek
        return derive.key(self._secret, "kek", installation, int(party), generation)

    def forget(self, installation: int) -> None:
        """Believe of an installation what the old operator handed over, as if nothing had ever been changed."""
        at = self._at(installation)
        self._memory[at : at + _PER_HOME] = bytes(_PER_HOME)

    def load(self, memory: bytes) -> None:
        """Take back what `memory` gave. Raises UsageError for another size."""
        if len(memory) != len(self._memory):
            raise UsageError(f"{len(memory)} bytes of custody; this keeper has {len(self._memory)}")
        self._memory[:] = memory

    def believed(self, installation: int) -> bytes:
        """Custody of one installation, `RECORD_BYTES` long, for a store."""
        at = self._at(installation)
        return bytes(self._memory[at : at + _PER_HOME])

    def recall(self, installation: int, believed: bytes) -> None:
        """Take back what `believed` gave. Raises UsageError for another size."""
        if len(believed) != _PER_HOME:
            raise UsageError(f"{len(believed)} bytes of custody; an installation has {_PER_HOME}")
        at = self._at(installation)
        self._memory[at : at + _PER_HOME] = believed

    def _at(self, installation: int) -> int:
        at = (installation - self._first) * _PER_HOME
        if not 0 <= at < len(self._memory):
            raise UsageError(f"no custody for installation {installation} here")
        return at

    def memory(self) -> bytes:
        """All custody, for a store."""
        return bytes(self._memory)

    def columns(self) -> NDArray[Any]:
        """All custody as small numbers, for who counts: [home, keyed device, hierarchy, (live, candidate, issued,
        stage)]. A copy."""
        return np.frombuffer(bytes(self._memory), np.uint8).reshape(-1, len(KEYED), _PER_DEVICE // _SLOT, _SLOT)
