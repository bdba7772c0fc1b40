"""How a device keeps its keys without power: slots, checksums, the order of writes, and what a cut leaves.

A key lies in one slot or in two. Replacing it is a *plan*: an ordered tuple of writes with a name each. With one slot
the live key is erased, written and given its checksum, key after key: between the first and the last the slot holds
neither key. With two slots the new key goes into the spare one, and only then a pointer is flipped, key after key
(`commit` "item") or once for all keys of a transfer ("array"). A flip is a single word of memory.

A cut at any write, before, within or after it, leaves what the writes done so far have left. Power up reads that:
a slot whose checksum holds is live; one whose checksum fails is dealt with as `on_corrupt` says; without checksums
whatever lies in the slot is taken for the key. Flash cut within an erase or a write reads as noise, nobody's key
(ASSUMED: the usual behaviour of NOR flash; no maker of SMETS1 meters says).

Contents are symbolic here ("old", "new", "torn"): the keys themselves are in the context store and nowhere else.
Source of the idea: devices.md 7.3 (R9) and 12 (F4); the AS302P logs an event of its non-volatile memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final, Literal, NamedTuple, TypeAlias

from devices.common.profile import Keys
from emulator.dlms.classes.security_setup import AK, BROADCAST_KEY, EK, KEK
from emulator.faults.occasions import KeyName, Phase

KEY_NAMES: Final[dict[int, KeyName]] = {EK: "ek", BROADCAST_KEY: "broadcast", AK: "ak", KEK: "kek"}
KEY_IDS: Final = {name: key_id for key_id, name in KEY_NAMES.items()}
PHASES: Final[tuple[Phase, ...]] = ("before", "during", "after")

_Content: TypeAlias = Literal["old", "new", "torn"]
_Act: TypeAlias = Literal["erase", "write", "checksum", "flip"]


class Slot(Enum):
    """The truth about a key's slot."""

    OK = "ok"
    CORRUPT = "corrupt"


class KeyMemory(NamedTuple):
    """The truth about a device's keys, for test benches. `locked`: the device opens nothing ciphered any more."""

    ek: Slot
    ak: Slot
    kek: Slot
    broadcast: Slot
    locked: bool = False


class Fate(StrEnum):
    """What a device holds of a key after power up."""

    OLD = "old"
    NEW = "new"
    CORRUPT = "corrupt"
    """Nothing: its checksum fails and the device knows."""
    NOISE = "noise"
    """Nobody's key, taken for one: nothing checks it."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write. `key_id` None: the flip for all keys of a transfer."""

    name: str
    key_id: int | None
    act: _Act
    spare: bool


@dataclass(frozen=True, slots=True)
class _Cell:
    """A slot: what lies in it, and what its checksum was made of."""

    content: _Content = "old"
    checksum: _Content = "old"

    @property
    def whole(self) -> bool:
        return self.content != "torn" and self.checksum == self.content


@dataclass(slots=True)
class _Kept:
    """A key's slots. `points` says which is live: False the first, True the spare, None: the pointer is torn."""

    live: _Cell
    spare: _Cell
    points: bool | None = False


def ordered(keys: Keys, key_ids: Iterable[int]) -> tuple[int, ...]:
    """These keys in the order in which the model writes them."""
    wanted = set(key_ids)
    return tuple(key_id for name in keys.order if (key_id := KEY_IDS[name]) in wanted)


def plan(keys: Keys, key_ids: Iterable[int]) -> tuple[Write, ...]:
    """The writes of a change of these keys, in order: "ek.erase", "kek.spare.write", "flip", ..."""
    return tuple(_writes(keys, ordered(keys, key_ids)))


def _writes(keys: Keys, key_ids: tuple[int, ...]) -> Iterator[Write]:
    two = keys.slots == 2
    acts: tuple[_Act, ...] = ("erase", "write", "checksum") if keys.checksum else ("erase", "write")
    for key_id in key_ids:
        name = KEY_NAMES[key_id]
        for act in acts:
            yield Write(f"{name}.spare.{act}" if two else f"{name}.{act}", key_id, act, two)
        if two and keys.commit == "item":
            yield Write(f"{name}.flip", key_id, "flip", False)
    if two and keys.commit == "array" and key_ids:
        yield Write("flip", None, "flip", False)


def fates(keys: Keys, key_ids: Iterable[int], at: int, phase: Phase, luck: int = 0) -> dict[int, Fate]:
    """What the device holds of each key after a cut at write number `at` of the plan, when the mains are back.

    `luck` (64 bits) decides what a torn pointer points to where nothing checks it.
    """
    writes = plan(keys, key_ids)
    kept = {key_id: _Kept(_Cell(), _Cell()) for key_id in ordered(keys, key_ids)}
    for write in writes[: at + 1 if phase == "after" else at]:
        _do(kept, write, torn=False)
    if phase == "during":
        _do(kept, writes[at], torn=True)
    return {key_id: _read(keys, each, luck) for key_id, each in kept.items()}


def _do(kept: dict[int, _Kept], write: Write, *, torn: bool) -> None:
    """Carry a write out, or half of it."""
    if write.act == "flip":
        for each in kept.values() if write.key_id is None else (kept[write.key_id],):
            each.points = None if torn else True
        return
    assert write.key_id is not None
    each = kept[write.key_id]
    cell = each.spare if write.spare else each.live
    content: _Content = "new" if write.act == "write" and not torn else "torn"
    checksummed = write.act == "checksum"
    cell = replace(cell, checksum="torn" if torn else "new") if checksummed else replace(cell, content=content)
    if write.spare:
        each.spare = cell
    else:
        each.live = cell


def _read(keys: Keys, kept: _Kept, luck: int) -> Fate:
    """Power up: which content is live."""
    points = kept.points
    if not keys.checksum:
        if points is None:
            points = bool(luck & 1)
        content = (kept.spare if points else kept.live).content
        return Fate.NOISE if content == "torn" else Fate(content)
    if points is not None:
        cell = kept.spare if points else kept.live
        if cell.whole:
            return Fate(cell.content)
    if keys.on_corrupt == "other-slot" and keys.slots == 2:
        # Of two whole slots the one written last counts: a flip comes after its slot is whole.
        for cell in (kept.spare, kept.live):
            if cell.whole:
                return Fate(cell.content)
    return Fate.CORRUPT


def key_names(key_ids: Iterable[int]) -> tuple[KeyName, ...]:
    """Names of keys, in the given order."""
    return tuple(KEY_NAMES[key_id] for key_id in key_ids)
