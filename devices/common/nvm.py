"""What a device keeps without power, and in which order it writes.

Three things survive a power cut: the keys and counters (in the `ContextStore`, a line a context), everything that
deviates from the model (`deviations`, written through the COSEM objects), and what physics remembers (`Memory` below).
Associations, half-received blocks and waiting frames do not.

Order of writing when a request is carried out, which a fault may cut anywhere:

1. physics closes the law that was in force (the ledger's registers), so that no energy is lost to a cut;
2. the deviation itself (a calendar, a destination, the state of a switch);
3. the log entry;
4. the answer is made, and only then keys are written and taken into use, in the model's order and by the writes of its
   plan (`key_slots`);
5. the answer leaves.

So a cut may leave a change without its log entry, one key of a pair, a slot that holds no key, or a change that was
never answered; never a log entry for a change that did not happen.

A device that deviates in nothing has no bytes at all. The encoding is msgpack with positions instead of names: a home's
row is read and written for every conversation. Keys never stand here.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from emulator.codecs.axdr import DATA, Data
from emulator.dlms.cosem import Key
from emulator.errors import InputError
from emulator.kernel.effects import Instant

VERSION: Final = 1


class Memory(Struct, array_like=True, omit_defaults=True):
    """One device's memory. Every field's default means "as the model has it"."""

    version: int = VERSION
    deviations: list[tuple[int, bytes, int, bytes]] = []
    """(class id, logical name, attribute, value in A-XDR)."""
    served: Instant = 0
    """Up to when everything that falls due by itself has been done."""
    log: list[tuple[int, Instant, int, int]] = []
    """(log, true instant, code, clock error in microseconds)."""
    dark_until: Instant = 0
    """When the mains come back, after a power cut."""
    physics: Any = None
    """What the kind of device remembers besides: its own list, see its model."""
    crystal: tuple[Instant, int, int] | None = None
    """How the clock runs (`clock.Crystal`), when that is not as it was found."""


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Memory)


def pack(deviations: dict[Key, Data], memory: Memory) -> bytes:
    """The bytes to keep: b"" when nothing deviates. `memory` holds all but the deviations; its `physics` is None or
    built of ints, bytes, bools, strings and lists."""
    if deviations:
        build = DATA.build
        memory.deviations = [(*key, build(data)) for key, data in deviations.items()]
    elif not memory.log and memory.physics is None and not memory.dark_until and memory.crystal is None:
        return b""
    return _ENCODER.encode(memory)


def unpack(state: bytes) -> Memory:
    """The memory in `state`. Raises InputError for bytes that no device of this version wrote."""
    try:
        memory = _DECODER.decode(state)
    except msgspec.DecodeError as error:
        raise InputError(f"a device's stored state is damaged: {error}; restore the estate from its recipe") from error
    if memory.version != VERSION:
        raise InputError(f"a device's stored state has version {memory.version}, this emulator writes {VERSION}")
    return memory


def deviations(memory: Memory) -> dict[Key, Data]:
    """What was written, by class, logical name and attribute."""
    parse = DATA.parse
    return {(class_id, name, attribute): parse(raw) for class_id, name, attribute, raw in memory.deviations}
