"""Every answer against `cryptography`: lengths, lanes, batch sizes, mixtures, memory, operations.

A lane can be wrong by itself, at one length, next to a longer neighbour, in the last incomplete group, in place or at
an odd address: each of these is gone through by its own sweep, on every tier. Contexts all have other keys, so a lane
that took its neighbour's key gives other bytes.
"""

from random import Random
from typing import Any

from proof.batch import MANNERS, Answer, Memory, Row, compare
from proof.core import Core, Keys, places
from proof.oracle import Model, gcm, sealed
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
        self.ours, self.theirs, self.keys, self._places = ours, theirs, keys, places(keys)
        self.model, self.mirror = Model(*keys), Model(*(each.turned() for each in keys))

    def row(self, n: int, text: bytes, control: int = 0x30) -> Row:
        """A message of context n under its own suite; beyond the last: an empty place, then one outside."""
        if n >= len(self.keys):
            return Row(len(self.model.places) - 1 + n - len(self.keys), text, control)
        return Row(self._places[n], text, control | self.keys[n].suite)

    def key_row(self, n: int) -> Row:
        """A key to be wrapped by context n, of its suite's length."""
        return self.row(n, self.chance.randbytes(len(self.keys[n].kek) if n < len(self.keys) else 16), 0)

    def any_row(self, usual: bool) -> Row:
        """Meter-like lengths; where not `usual`, also long ones, other protections and contexts that are none."""
        chance, size = self.chance, len(self.keys)
        if usual:
            return self.row(chance.randrange(size), chance.randbytes(chance.randrange(140)))
        length = chance.choice((chance.randrange(140), chance.randrange(140), chance.randrange(5000)))
        control = chance.choice((0x30, 0x30, 0x10, 0x20, 0x35, 0x00))
        return self.row(
            chance.choice((chance.randrange(size), chance.randrange(size + 2))), chance.randbytes(length), control
        )

    def there_and_back(self, rows: list[Row], manner: str) -> int:
        """Seal, open again, GMAC. The number of messages."""
        sealing = self._do(self.ours, self.model, "seal", rows, manner)
        opening = []
        for row, counter, found in zip(rows, sealing.counters, sealing.slots, strict=True):
            size = len(row.text) + (12 if row.control & 0x10 else 0)
            opening.append(Row(row.index, found[:size], row.control, counter))
        self._do(self.theirs, self.mirror, "open", opening, manner)
        self._do(self.ours, self.model, "gmac", rows, manner)
        return 3 * len(rows)

    def keys_there_and_back(self, rows: list[Row], manner: str) -> int:
        wrapping = self._do(self.ours, self.model, "wrap", rows, manner)
        back = [Row(row.index, found[: len(row.text) + 8]) for row, found in zip(rows, wrapping.slots, strict=True)]
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
            keys = [Keys.by(chance, suite) for suite in (0, 2, 1, 2)]
            with core.store(*keys) as ours, core.store(*(each.turned() for each in keys)) as theirs:
                pair = Pair(core, chance, ours, theirs, keys)
                for length in chosen:
                    for control in CONTROLS:
                        text = chance.randbytes(length)
                        rows = [pair.row(length % 4, text, control)]
                        rows += [pair.row(n, chance.randbytes(length), control) for n in range(3)]
                        counts["messages"] += pair.there_and_back(rows, "close")
                        counts["messages"] += alone(core, pair, rows[0])
                    counts["messages"] += _given(core, chance, length)
    return counts


def alone(core: Core, pair: Pair, row: Row) -> int:
    """The call for one message, at an odd address, its output beside its input and in its place."""
    index, control, text = row.index, row.control, row.text
    place = pair.model.places[index]
    mirror = pair.mirror.places[index]
    assert place is not None
    assert mirror is not None
    size = len(text) + (12 if control & 0x10 else 0)
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
    """One message of a length of its own among seven of another, in each lane; the same with a refused key.

    All eight of suite 0, all of suite 2, and both in turn, which the core must part into groups.
    """
    core, counts = setting.core, {"messages": 0}
    few, many = (0, 1, 16, 31, 128, 400), (*range(34), 47, 48, 49, 127, 128, 129, 255, 400, 1000, 4047)
    some = few if setting.quick else many
    for tier in core.tiers:
        for suites in ((0,) * LANES, (2,) * LANES, (0, 2, 1, 2, 2, 0, 1, 0)):
            with core.on(tier):
                chance = Random(2)
                keys = [Keys.by(chance, suite) for suite in suites]
                with core.store(*keys) as ours, core.store(*(each.turned() for each in keys)) as theirs:
                    pair = Pair(core, chance, ours, theirs, keys)
                    for one in some:
                        for position in range(LANES):
                            counts["messages"] += _one_lane(pair, one, position, setting.quick)
    return counts


def _one_lane(pair: Pair, one: int, position: int, quick: bool) -> int:
    chance, count = pair.chance, 0
    for other in (0, 17, 128) if quick else (0, 5, 16, 64, 128, 300):
        rows = [pair.row(n, chance.randbytes(other)) for n in range(LANES)]
        rows[position].text = chance.randbytes(one)
        count += pair.there_and_back(rows, "close")
    rows = [pair.key_row(n) for n in range(LANES)]
    rows[position] = pair.key_row(LANES + one % 2)
    return count + pair.keys_there_and_back(rows, "close")


def mixtures(setting: Setting) -> Counts:
    """Batches of 1 to 40 and of more than a stretch: mixed lengths, suites and protections, contexts again."""
    core, counts = setting.core, {"messages": 0}
    sizes = [*range(1, 41, 3 if setting.quick else 1), *(() if setting.quick else (255, 1023, 1024, 1025, 2500))]
    for tier in core.tiers:
        with core.on(tier):
            chance = Random(3)
            keys = [Keys.by(chance, chance.choice((0, 0, 1, 2))) for _ in range(50)]
            with core.store(*keys) as ours, core.store(*(each.turned() for each in keys)) as theirs:
                pair = Pair(core, chance, ours, theirs, keys)
                for size in sizes:
                    for manner in MANNERS:
                        for usual in (True, False):
                            rows = [pair.any_row(usual) for _ in range(size)]
                            counts["messages"] += pair.there_and_back(rows, manner)
                        some = [pair.key_row(chance.randrange(50)) for _ in range(size)]
                        counts["messages"] += pair.keys_there_and_back(some, manner)
    return counts


def packets(setting: Setting) -> Counts:
    """ESP packets of every length from 0 to 2,048, both key sizes: the bytes RFC 4303 and 4106 ask for, and back."""
    core, counts = setting.core, {"packets": 0}
    step = 29 if setting.quick else 1
    for tier in core.tiers:
        with core.on(tier):
            chance = Random(11)
            for size in (16, 32):
                key, salt = chance.randbytes(size), chance.randbytes(4)
                ours, theirs = (core.lib.sm_sa_new(0x01020304, key, size, salt, 1, 0, 0) for _ in range(2))
                chosen = sorted({*range(0, 2049, step), *range(64)})
                for sequence, length in enumerate((*chosen, 9000, 65535), start=1):
                    _packet(core, ours, theirs, key, salt, sequence, chance.randbytes(length))
                    counts["packets"] += 1
                core.lib.sm_sa_free(ours)
                core.lib.sm_sa_free(theirs)
    return counts


def _packet(core: Core, ours: Any, theirs: Any, key: bytes, salt: bytes, sequence: int, inner: bytes) -> None:
    """RFC 4303 2: SPI | sequence | IV | text | ICV; text = inner | 1, 2, ... | pad length | next header."""
    length, pads = len(inner), -(len(inner) + 2) % 4
    text = inner + bytes(range(1, pads + 1)) + bytes([pads, 4])
    front, iv = b"\1\2\3\4" + sequence.to_bytes(4, "big"), sequence.to_bytes(8, "big")
    wanted = front + iv + gcm(key, salt + iv, front, text)
    packet, out = core.plain(length + 64, sequence % 16), core.plain(length + 64, sequence % 7)
    size = core.lib.sm_esp_seal(ours, inner, length, 4, packet, length + 64)
    demand(core.take(packet, max(size, 0)) == wanted, f"a packet around {length} bytes: other bytes, or {size}")
    came = core.lib.sm_esp_open(theirs, packet, size, out, length + 64)
    demand(came == 4 << 32 | length and core.take(out, length) == inner, f"a packet around {length} bytes: not opened")
