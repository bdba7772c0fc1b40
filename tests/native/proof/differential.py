"""Every answer against `cryptography`: lengths, lanes, batch sizes, mixtures, memory, operations.

A lane can be wrong by itself, at one length, next to a longer neighbour, in the last incomplete group, in place or at
an odd address: each of these is gone through by its own sweep, on every tier. Contexts all have other keys, so a lane
that took its neighbour's key gives other bytes.
"""

from random import Random
from typing import Any

from proof.batch import MANNERS, Answer, Memory, Row, compare
from proof.core import Core, Keys
from proof.oracle import Model, sealed
from proof.setting import Counts, Setting
from proof.workshop import demand

CONTROLS = (0x30, 0x20, 0x10)
LANES = 8


class Pair:
    """A device's and its client's store with their models, under the same sets of keys."""

    def __init__(
        self, core: Core, chance: Random, ours: Any, theirs: Any, keys: list[Keys], memory: Memory | None = None
    ) -> None:
        self.core, self.chance, self.memory = core, chance, memory
        self.ours, self.theirs = ours, theirs
        self.model, self.mirror = Model(*keys, None), Model(*(each.turned() for each in keys), None)

    def there_and_back(self, rows: list[Row], manner: str) -> int:
        """Seal, open again, GMAC. The number of messages."""
        sealing = self._do(self.ours, self.model, "seal", rows, manner)
        opening = []
        for row, counter, found in zip(rows, sealing.counters, sealing.slots, strict=True):
            size = len(row.text) + (0 if row.control == 0x20 else 12)
            opening.append(Row(row.index, found[:size], row.control, counter))
        self._do(self.theirs, self.mirror, "open", opening, manner)
        self._do(self.ours, self.model, "gmac", rows, manner)
        return 3 * len(rows)

    def keys_there_and_back(self, rows: list[Row], manner: str) -> int:
        wrapping = self._do(self.ours, self.model, "wrap", rows, manner)
        back = [Row(row.index, found[:24]) for row, found in zip(rows, wrapping.slots, strict=True)]
        self._do(self.theirs, self.mirror, "unwrap", back, manner)
        return 2 * len(rows)

    def _do(self, store: Any, model: Model, what: str, rows: list[Row], manner: str) -> Answer:
        return compare(self.core, store, model, what, rows, manner=manner, chance=self.chance, memory=self.memory)


def lengths(setting: Setting) -> Counts:
    """Every length from 0 to 2,048 alone and in a batch, each protection; given keys of both sizes."""
    core, counts = setting.core, {"messages": 0}
    step = 37 if setting.quick else 1
    edges = {n for edge in (16, 128, 1024, 2032, 2048) for n in range(edge - 1, edge + 2)}
    chosen = sorted(set(range(0, 2049, step)) | {n for n in edges if n <= 2048} | set(range(33)))
    for tier in core.tiers:
        with core.on(tier):
            chance = Random(1)
            keys = [Keys.by(chance) for _ in range(4)]
            with core.store(*keys) as ours, core.store(*(each.turned() for each in keys)) as theirs:
                pair = Pair(core, chance, ours, theirs, keys)
                for length in chosen:
                    for control in CONTROLS:
                        text = chance.randbytes(length)
                        rows = [Row(length % 4, text, control)]
                        rows += [Row(n, chance.randbytes(length), control) for n in range(3)]
                        counts["messages"] += pair.there_and_back(rows, "close")
                        counts["messages"] += alone(core, pair, length % 4, control, text)
                    counts["messages"] += _given(core, chance, length)
    return counts


def alone(core: Core, pair: Pair, index: int, control: int, text: bytes) -> int:
    """The call for one message, at an odd address, its output beside its input and in its place."""
    place = pair.model.places[index]
    mirror = pair.mirror.places[index]
    assert place is not None
    assert mirror is not None
    size = len(text) + (0 if control == 0x20 else 12)
    for same in (False, True):
        wanted = sealed(place.keys, place.keys.title, place.tx, control, text)
        source = core.plain(len(text) + 12, 3)
        target = source if same else core.plain(len(text) + 12, 5)
        core.put(source, text)
        came = core.lib.sm_seal_one(pair.ours, index, control, source, len(text), target, len(text) + 12)
        demand(came == place.tx, "sealing gave", came, "and not", place.tx)
        place.tx += 1
        demand(core.take(target, size) == wanted, f"{len(text)} bytes, SC {control:02X}h, alone: other bytes")
        back = target if same else core.plain(size, 7)
        done = core.lib.sm_open_one(pair.theirs, index, control, came, target, size, back, size)
        whole = done == len(text) and core.take(back, done) == text
        demand(whole, f"{len(text)} bytes, SC {control:02X}h, alone: not opened again")
        mirror.rx = came + 1
    return 4


def _given(core: Core, chance: Random, length: int) -> int:
    """Given keys: 16 and 32 bytes, either tag, an AAD of another length every time."""
    from proof.oracle import gcm

    for size in (16, 32):
        key, iv, text, aad = (chance.randbytes(n) for n in (size, 12, length, (length * 7 + size) % 97))
        tag = 12 if (length + size // 16) % 2 else 16
        out, wanted = core.plain(length + tag, 1), gcm(key, iv, aad, text, tag)
        core.lib.sm_gcm_seal(key, size, iv, aad, len(aad), text, length, out, tag)
        demand(core.take(out, length + tag) == wanted, f"AES-{8 * size}-GCM of {length} bytes: other bytes")
        done = core.lib.sm_gcm_open(key, size, iv, aad, len(aad), out, length + tag, out, tag)
        demand(done == 0 and core.take(out, length) == text, f"AES-{8 * size}-GCM of {length} bytes: not back")
    return 4


def lanes(setting: Setting) -> Counts:
    """One message of a length of its own among seven of another, in each lane; the same with a refused key."""
    core, counts = setting.core, {"messages": 0}
    few, many = (0, 1, 16, 31, 128, 400), (*range(34), 47, 48, 49, 127, 128, 129, 255, 400, 1000, 4047)
    some = few if setting.quick else many
    for tier in core.tiers:
        with core.on(tier):
            chance = Random(2)
            keys = [Keys.by(chance) for _ in range(LANES)]
            with core.store(*keys) as ours, core.store(*(each.turned() for each in keys)) as theirs:
                pair = Pair(core, chance, ours, theirs, keys)
                for one in some:
                    for position in range(LANES):
                        for other in (0, 17, 128) if setting.quick else (0, 5, 16, 64, 128, 300):
                            rows = [Row(n, chance.randbytes(other)) for n in range(LANES)]
                            rows[position].text = chance.randbytes(one)
                            counts["messages"] += pair.there_and_back(rows, "close")
                        keys_rows = [Row(n, chance.randbytes(16)) for n in range(LANES)]
                        keys_rows[position].index = LANES + one % 2  # empty, or outside
                        counts["messages"] += pair.keys_there_and_back(keys_rows, "close")
    return counts


def mixtures(setting: Setting) -> Counts:
    """Batches of 1 to 40 and of more than a stretch: mixed lengths and protections, contexts in any order and again."""
    core, counts = setting.core, {"messages": 0}
    sizes = [*range(1, 41, 3 if setting.quick else 1), *(() if setting.quick else (255, 1023, 1024, 1025, 2500))]
    for tier in core.tiers:
        with core.on(tier):
            chance = Random(3)
            keys = [Keys.by(chance) for _ in range(50)]
            with core.store(*keys) as ours, core.store(*(each.turned() for each in keys)) as theirs:
                pair = Pair(core, chance, ours, theirs, keys)
                for size in sizes:
                    for manner in MANNERS:
                        for usual in (True, False):
                            rows = [any_row(chance, usual) for _ in range(size)]
                            counts["messages"] += pair.there_and_back(rows, manner)
                        some = [Row(chance.randrange(50), chance.randbytes(16)) for _ in range(size)]
                        counts["messages"] += pair.keys_there_and_back(some, manner)
    return counts


def any_row(chance: Random, usual: bool) -> Row:
    """Meter-like lengths; where not `usual`, also long ones, other protections and contexts that are none."""
    if usual:
        return Row(chance.randrange(50), chance.randbytes(chance.randrange(140)))
    length = chance.choice((chance.randrange(140), chance.randrange(140), chance.randrange(5000)))
    control = chance.choice((0x30, 0x30, 0x10, 0x20, 0x31, 0x00))
    return Row(chance.choice((chance.randrange(50), chance.randrange(52))), chance.randbytes(length), control)
