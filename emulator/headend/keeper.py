"""The keepers' memory: which keys they believe each device holds, and which they can still make together.

Three parties keep keys. The *SMSO* has generation 0, what it handed over; its record may close one day. The *S1SP* and
the *DCO* keep every later one between them: each derives a share from a secret of its own, and only both shares of one
generation make the key (dual control; ASSUMED, as how the two divide their custody is not public). So neither can build
a message alone, and a keeper that missed a change gives the share of another generation, which makes a key the
meter refuses.

A belief is a *generation*, not a key: 150,000 homes of custody are a few bytes each, and nothing but the secrets has to
be kept from prying eyes. Two hierarchies move apart: the *data* keys (EK and AK, one generation) and the *master* key.
Either keeper writes down, in bytes of its own, the generation it believes live, perhaps a candidate, and the last two
it gave up or replaced, so that a candidate wrongly given up can be tried again. What one of them loses is gone, though
the other has it still: a generation never comes twice (`issued`), so that nothing lost is ever made anew by accident.

The states of a change and who may move them are in `headend/custody.py`; this module only remembers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from emulator.crypto import derive
from emulator.errors import UsageError
from emulator.fleet.installation import KEYED, DeviceKeys
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party

KeeperName: TypeAlias = Literal["smso", "s1sp", "dco"]

_OWN: Final = 4  # live, candidate, kept, kept: one of the two keepers
_ISSUED: Final = 8
_STATE: Final = 9  # the stage, and the flags below
_SLOT: Final = 10
_HIERARCHIES: Final = 2
_PER_DEVICE: Final = _HIERARCHIES * _SLOT
_PER_HOME: Final = len(KEYED) * _PER_DEVICE

_STAGE_BITS: Final = 0x07
_RECEIVED: Final = 0x08
_CLOSED: Final = 0x10
_ORIGIN_LOST: Final = (0x20, 0x40)  # by the S1SP, by the DCO

SHARERS: Final[tuple[KeeperName, KeeperName]] = ("s1sp", "dco")
"""The keepers of shares, in the order of their records."""

RECORD_BYTES: Final = _PER_HOME
"""Custody of one installation, in bytes."""

GENERATIONS: Final = 255


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
    ACKNOWLEDGED = 4


_STAGES: Final = tuple(Stage)
"""By number: a look, where calling `Stage` is two calls, at every step of a change."""


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """How the keepers work together. ASSUMED.

    `builder`: who builds the messages, so whose belief of the live generation counts. `smso_closes`: from when on the
    old operator's record is no longer to be had (µs since 1970; none: never)."""

    builder: Literal["s1sp", "dco"] = "s1sp"
    smso_closes: Instant | None = None


class Custody:
    """What the keepers believe of one device and hierarchy: a view into their memory, made when needed.

    `live`, `candidate`, `stage` and `kept` are the builder's; the other's record is read through `record_of`."""

    __slots__ = ("_at", "_keeper", "_memory", "_other", "_own")

    def __init__(self, keeper: "Keeper", at: int) -> None:
        self._keeper = keeper
        self._memory = keeper.bytes
        self._at = at
        self._own = at + keeper.builder * _OWN
        self._other = at + (1 - keeper.builder) * _OWN

    @property
    def live(self) -> int:
        """The generation believed to be in the device."""
        return self._memory[self._own]

    @property
    def candidate(self) -> int:
        """The generation that may be in the device, 0 for none (generation 0 is never a candidate)."""
        return self._memory[self._own + 1]

    @property
    def stage(self) -> Stage:
        return _STAGES[self._memory[self._at + _STATE] & _STAGE_BITS]

    @property
    def issued(self) -> int:
        """The highest generation there ever was, ours or a rival's."""
        return self._memory[self._at + _ISSUED]

    @property
    def kept(self) -> tuple[int, ...]:
        """Earlier generations and candidates given up that the builder still knows, newest first; never 0."""
        memory, own = self._memory, self._own
        return tuple(each for each in (memory[own + 2], memory[own + 3]) if each)

    @property
    def received(self) -> bool:
        """Whether the old operator's record was ever taken over."""
        return bool(self._memory[self._at + _STATE] & _RECEIVED)

    def record_of(self, keeper: KeeperName) -> tuple[int, int, tuple[int, ...]]:
        """(live, candidate, kept) as one of the two sharers has them."""
        memory, at = self._memory, self._at + SHARERS.index(keeper) * _OWN
        return memory[at], memory[at + 1], tuple(each for each in (memory[at + 2], memory[at + 3]) if each)

    @property
    def builder(self) -> KeeperName:
        """Who builds the messages: whose record this shows."""
        return SHARERS[self._keeper.builder]

    # Who knows what

    def knows(self, keeper: KeeperName, generation: int) -> bool:
        """Whether a keeper could give its part of a generation now."""
        if keeper == "smso":
            return generation == 0 and self._smso_open
        at = SHARERS.index(keeper)
        if generation == 0:
            state = self._memory[self._at + _STATE]
            return self._smso_open or bool(state & _RECEIVED and not state & _ORIGIN_LOST[at])
        return self._has(self._at + at * _OWN, generation)

    def shared(self, generation: int) -> bool:
        """Whether the keepers can make the key of a generation together now."""
        if generation == 0:
            return self.knows(SHARERS[self._keeper.builder], 0)
        return self._has(self._own, generation) and self._has(self._other, generation)

    def known(self) -> tuple[int, ...]:
        """Every generation whose key they can make together now: live, candidate, kept, and in the end what was
        handed over."""
        memory, own = self._memory, self._own
        wanted = (memory[own], *(each for each in tuple(memory[own + 1 : own + _OWN]) if each), 0)
        return tuple(dict.fromkeys(each for each in wanted if self.shared(each)))

    @property
    def agreed(self) -> bool:
        """Whether both believe in the same live generation. What was handed over needs nobody's agreement."""
        return not self._memory[self._own] or self._memory[self._own] == self._memory[self._other]

    def offered(self, generation: int) -> tuple[int, int]:
        """(S1SP's, DCO's) generations of the shares that make a message when nothing is amiss: for the live generation
        either gives what it believes live itself, for any other the one that is asked for. A keeper that does not know
        it gives the share of the one it believes live. (0, 0): what was handed over, which is whole."""
        memory, own, other = self._memory, self._own, self._other
        if not generation:
            return (0, 0)
        mine = generation if self._has(own, generation) else memory[own]
        by_name = generation != memory[own] and self._has(other, generation)
        theirs = generation if by_name else memory[other]
        return (theirs, mine) if self._keeper.builder else (mine, theirs)

    def _has(self, at: int, generation: int) -> bool:
        memory = self._memory
        if not generation:
            return False
        return generation in (memory[at], memory[at + 1], memory[at + 2], memory[at + 3])

    @property
    def _smso_open(self) -> bool:
        return not self._memory[self._at + _STATE] & _CLOSED and self._keeper.smso_open

    # Writing down

    def receive(self) -> bool:
        """The old operator's record is taken over, once. False when it is no longer to be had."""
        if not self.received:
            if not self._smso_open:
                return False
            self._memory[self._at + _STATE] |= _RECEIVED
        return True

    def record(self) -> int:
        """The builder writes down a new candidate, before anything is sent; one in doubt is kept when there is one."""
        if self.candidate:
            return self.candidate
        issued = self.issue()
        self._memory[self._own + 1] = issued
        return issued

    def issue(self) -> int:
        """A generation that never was. Raises UsageError after the last."""
        issued = self._memory[self._at + _ISSUED] + 1
        if issued > GENERATIONS:
            raise UsageError("255 generations of keys have been issued for one device; start a new keeper record")
        self._memory[self._at + _ISSUED] = issued
        return issued

    def acknowledge(self) -> None:
        """The other keeper writes the candidate down, too. What it may still hold of another is given up there."""
        memory, other, candidate = self._memory, self._other, self.candidate
        if memory[other + 1] and memory[other + 1] != candidate:
            self._keep(other, memory[other + 1])
        memory[other + 1] = candidate

    def move(self, stage: Stage) -> None:
        """Write down how far the change has come."""
        at = self._at + _STATE
        self._memory[at] = self._memory[at] & ~_STAGE_BITS | stage

    def promote(self, missed: KeeperName | None = None) -> None:
        """The candidate is proven: it is the live generation now, but for a keeper that `missed` it."""
        self._take(self.candidate, missed)

    def adopt(self, generation: int) -> None:
        """The device has shown that it holds this generation: it is the live one. A candidate is kept."""
        candidate = self.candidate
        self._take(generation, None)
        if candidate and candidate != generation:
            for at in (self._own, self._other):
                self._keep(at, candidate)

    def forget_candidate(self) -> None:
        """The device has shown that it does not hold the candidate. Its generation is not issued again, and is kept
        for a while."""
        memory = self._memory
        for at in (self._own, self._other):
            if memory[at + 1]:
                self._keep(at, memory[at + 1])
                memory[at + 1] = 0
        self.move(Stage.HELD)

    def drop_candidate(self) -> int:
        """The candidate was never kept, as a careless head end does; which it was."""
        candidate = self.candidate
        for at in (self._own, self._other):
            self._memory[at + 1] = 0
        self.move(Stage.HELD)
        return candidate

    def tell(self, generation: int) -> None:
        """Another head end hands over the generation it has made: both keep their part of it."""
        for at in (self._own, self._other):
            self._keep(at, generation)

    # Losing

    def lose(self, keeper: KeeperName, generation: int) -> bool:
        """A keeper loses what it has of a generation; whether it had it. One that loses its live generation believes in
        the newest it has left."""
        memory = self._memory
        which = SHARERS.index(keeper)
        at = self._at + which * _OWN
        if generation == 0:
            had = self.knows(keeper, 0)
            memory[self._at + _STATE] |= _ORIGIN_LOST[which] | _CLOSED
            return had
        if not self._has(at, generation):
            return False
        left = [each for each in (memory[at + 2], memory[at + 3]) if each and each != generation]
        if memory[at] == generation:
            memory[at] = left.pop(0) if left else 0
        if memory[at + 1] == generation:
            memory[at + 1] = 0
            if at == self._own:
                self.move(Stage.HELD)
        memory[at + 2 : at + 4] = bytes((*left, 0, 0)[:2])
        return True

    def restore(self, keeper: KeeperName) -> int | None:
        """A keeper's record falls back to the one before its last change: what it held live since is lost to it, and
        so is a candidate. The generation it loses; None when there was no change to lose."""
        memory, at = self._memory, self._at + SHARERS.index(keeper) * _OWN
        lost = memory[at] or memory[at + 1]
        if not lost:
            return None
        for each in {memory[at], memory[at + 1]} - {0}:
            self.lose(keeper, each)
        return lost

    def close_smso(self) -> bool:
        """The old operator's record of this device is no longer to be had; whether it was until now."""
        was = self._smso_open
        self._memory[self._at + _STATE] |= _CLOSED
        return was

    def _take(self, generation: int, missed: KeeperName | None) -> None:
        """Either keeper that knows a generation believes it live; a candidate other than it stays where it is."""
        memory = self._memory
        for at in (self._own, self._other):
            if missed is not None and at == self._at + SHARERS.index(missed) * _OWN:
                if memory[at + 1] == generation:
                    self._keep(at, generation)
                    memory[at + 1] = 0
                continue
            before = memory[at]
            if generation and memory[at + 1] == generation:  # as a change should end
                memory[at] = generation
                memory[at + 1] = 0
                if before:
                    memory[at + 3] = memory[at + 2]
                    memory[at + 2] = before
                continue
            memory[at + 1] = 0
            if generation and not self._has(at, generation):
                continue
            memory[at] = generation
            left = [each for each in (memory[at + 2], memory[at + 3]) if each and each != generation]
            if before and before != generation:
                left.insert(0, before)
            memory[at + 2 : at + 4] = bytes((*left, 0, 0)[:2])
        self.move(Stage.HELD)

    def _keep(self, at: int, generation: int) -> None:
        memory = self._memory
        left = [each for each in (memory[at + 2], memory[at + 3]) if each and each != generation]
        memory[at + 2 : at + 4] = bytes((generation, *left, 0)[:2])


class Keeper:
    """The keepers' custody for a run of installations `first .. first + count - 1`.

    `secret` is 16 bytes or more; each keeper's own is made from it. `settings` may be replaced; `now` is asked only for
    whether the old operator's record is still open, and may be set to say the virtual time."""

    __slots__ = ("_first", "_last", "_secrets", "_settings", "builder", "bytes", "now")

    def __init__(self, secret: bytes, first: int, count: int, settings: KeeperSettings | None = None) -> None:
        self._settings = settings or KeeperSettings()
        self._secrets = tuple(derive.key(secret, "keeper", name) for name in SHARERS)
        self._last: list[tuple[tuple[int, ...], bytes]] = [((), b""), ((), b"")]
        self._first = first
        self.bytes = bytearray(count * _PER_HOME)
        self.builder = SHARERS.index(self._settings.builder)
        """Who builds the messages, as a position in `SHARERS`."""
        self.now: Callable[[], Instant] = _long_ago

    @property
    def settings(self) -> KeeperSettings:
        return self._settings

    @settings.setter
    def settings(self, settings: KeeperSettings) -> None:
        self._settings = settings
        self.builder = SHARERS.index(settings.builder)

    @property
    def smso_open(self) -> bool:
        """Whether the old operator's record is still to be had."""
        closes = self._settings.smso_closes
        return closes is None or self.now() < closes

    def custody(self, installation: int, party: Party, hierarchy: Hierarchy) -> Custody:
        """What is believed of one device."""
        home = installation - self._first
        at = home * _PER_HOME + (party - Party.HUB) * _PER_DEVICE + hierarchy * _SLOT
        if home < 0 or not 0 <= at < len(self.bytes) or party not in KEYED:
            raise UsageError(f"no custody for device {party!r} of installation {installation} here")
        return Custody(self, at)

    # Keys. Both shares of one generation make a true key; shares of two make one that no device holds.

    def data_keys(
        self,
        installation: int,
        party: Party,
        generation: int,
        handed_over: DeviceKeys,
        *,
        other: int | None = None,
    ) -> DeviceKeys:
        """EK and AK of a generation (the master key is None); with `other`, what comes of the S1SP's share of
        `generation` and the DCO's of `other`."""
        if generation == 0 and not other:
            return DeviceKeys(handed_over.ek, handed_over.ak, None)
        ek, ak = self._combined("data", 2, installation, party, generation, other)
        return DeviceKeys(ek, ak, None)

    def master_key(
        self,
        installation: int,
        party: Party,
        generation: int,
        handed_over: DeviceKeys,
        *,
        other: int | None = None,
    ) -> bytes | None:
        """The KEK of a generation; None when the old operator had none to hand over. `other` as for `data_keys`."""
        if generation == 0 and not other:
            return handed_over.kek
        return self._combined("master", 1, installation, party, generation, other)[0]

    def _combined(
        self, kind: str, count: int, installation: int, party: Party, generation: int, other: int | None
    ) -> tuple[bytes, ...]:
        # 64 bytes of secret are as many as there can be, so each gives half.
        half = 0 if kind == "data" else 32
        ours = self._share(0, installation, party, generation)
        theirs = self._share(1, installation, party, generation if other is None else other)
        return derive.keys(ours[half : half + 32] + theirs[half : half + 32], count, kind, installation, int(party))

    def _share(self, which: int, installation: int, party: Party, generation: int) -> bytes:
        """What a keeper gives towards the data keys of a generation (32 bytes), and towards its master key (32). The
        last one is remembered: a change asks for both, one after the other."""
        place = (installation, party, generation)
        last, share = self._last[which]
        if last != place:
            share = b"".join(derive.keys(self._secrets[which], 4, "share", installation, int(party), generation))
            self._last[which] = (place, share)
        return share

    # Stores

    def forget(self, installation: int) -> None:
        """Believe of an installation what the old operator handed over, as if nothing had ever been changed."""
        at = self._at(installation)
        self.bytes[at : at + _PER_HOME] = bytes(_PER_HOME)

    def load(self, memory: bytes) -> None:
        """Take back what `memory` gave. Raises UsageError for another size."""
        if len(memory) != len(self.bytes):
            raise UsageError(f"{len(memory)} bytes of custody; this keeper has {len(self.bytes)}")
        self.bytes[:] = memory

    def believed(self, installation: int) -> bytes:
        """Custody of one installation, `RECORD_BYTES` long, for a store."""
        at = self._at(installation)
        return bytes(self.bytes[at : at + _PER_HOME])

    def recall(self, installation: int, believed: bytes) -> None:
        """Take back what `believed` gave. Raises UsageError for another size."""
        if len(believed) != _PER_HOME:
            raise UsageError(f"{len(believed)} bytes of custody; an installation has {_PER_HOME}")
        at = self._at(installation)
        self.bytes[at : at + _PER_HOME] = believed

    def _at(self, installation: int) -> int:
        at = (installation - self._first) * _PER_HOME
        if not 0 <= at < len(self.bytes):
            raise UsageError(f"no custody for installation {installation} here")
        return at

    def memory(self) -> bytes:
        """All custody, for a store."""
        return bytes(self.bytes)

    def columns(self) -> NDArray[Any]:
        """All custody as small numbers, for who counts: [home, keyed device, hierarchy, (live, candidate, issued,
        stage)], as the builder has it. A copy."""
        found = np.frombuffer(bytes(self.bytes), np.uint8).reshape(-1, len(KEYED), _HIERARCHIES, _SLOT)
        own = self.builder * _OWN
        columns: NDArray[Any] = found[:, :, :, (own, own + 1, _ISSUED, _STATE)]
        columns[..., 3] &= _STAGE_BITS
        return columns


def _long_ago() -> Instant:
    """Nobody has said what time it is: everything is still open."""
    return -1
