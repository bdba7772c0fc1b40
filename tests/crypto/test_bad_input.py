"""Bad input, in every store: a typed error with a text for a person, before any byte is written and any counter moved.

The table goes by what is wrong: lengths, types, places outside the store, contexts without keys, protections nobody
has, buffers too short, keys that do not fit their master. What C itself refuses (overlapping buffers, no store at
all) is in tests/native/proof/refusals.py, where the C calls are.
"""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.crypto import layout
from emulator.crypto.buffers import BatchBuffers
from emulator.errors import CounterExhaustedError, EmulatorError, NoKeyError, ReplayError, TagError, UsageError

EK, AK, KEK = (bytes(range(n, n + 16)) for n in (0x10, 0x30, 0x50))
METER, CLIENT = b"ELS\0\0\0\0\1", b"SMS\0\0\0\0\2"
LOADED, EMPTY, NO_MASTER, SPENT, OUTSIDE = 0, 1, 2, 3, 4
"""Contexts of the store below; the last is none."""


@pytest.fixture
def store(core):
    made = core.context_store(4)
    made.load(LOADED, ek=EK, ak=AK, title=METER, peer=CLIENT, tx=5, rx=7, kek=KEK)
    made.load(NO_MASTER, ek=AK, ak=EK, title=METER, peer=CLIENT)
    made.load(SPENT, ek=KEK, ak=EK, title=METER, peer=CLIENT, tx=0xFFFFFFFF, rx=0xFFFFFFFF, kek=KEK)
    with made:
        yield made


def rows(store: Any) -> list[bytes]:
    """All that a store holds."""
    return [bytes(store.export(index)) for index in (LOADED, NO_MASTER, SPENT)]


LOAD = {"ek": EK, "ak": AK, "title": METER, "peer": CLIENT}

REFUSED: dict[str, tuple[type[EmulatorError], Callable[[Any], Any]]] = {
    # lengths
    "EK of 15": (UsageError, lambda s: s.load(0, **LOAD | {"ek": EK[1:]})),
    "AK of 17": (UsageError, lambda s: s.load(0, **LOAD | {"ak": AK + b"x"})),
    "title of 7": (UsageError, lambda s: s.load(0, **LOAD | {"title": METER[1:]})),
    "peer of 9": (UsageError, lambda s: s.load(0, **LOAD | {"peer": CLIENT + b"x"})),
    "KEK of none": (UsageError, lambda s: s.load(0, **LOAD | {"kek": b""})),
    "new EK of 0": (UsageError, lambda s: s.install(0, ek=b"")),
    "new AK of 32": (UsageError, lambda s: s.install(0, ak=bytes(32))),
    "master of 24": (UsageError, lambda s: s.set_master(0, bytes(24))),
    "new peer of 0": (UsageError, lambda s: s.set_peer(0, b"")),
    "row of 79": (UsageError, lambda s: s.restore(0, bytes(79))),
    "row of nothing": (UsageError, lambda s: s.restore(0, bytes(80))),
    "row with unknown flags": (UsageError, lambda s: s.restore(0, bytes(50) + b"\xff" + bytes(29))),
    "key of 15 to wrap": (UsageError, lambda s: s.wrap(0, bytes(15))),
    "key of 24 to wrap": (UsageError, lambda s: s.wrap(0, bytes(24))),
    "message too long": (UsageError, lambda s: s.seal(0, 0x30, bytes(layout.MESSAGE_MAX + 1))),
    "long message to open": (UsageError, lambda s: s.open(0, 0x30, 9, bytes(layout.MESSAGE_MAX + 13))),
    "challenge too long": (UsageError, lambda s: s.gmac(0, bytes(layout.MESSAGE_MAX + 1))),
    # shorter than their tags, or other bytes than were sent
    "text of 11": (TagError, lambda s: s.open(0, 0x30, 9, bytes(11))),
    "authenticated text of 0": (TagError, lambda s: s.open(0, 0x10, 9, b"")),
    "noughts for a message": (TagError, lambda s: s.open(0, 0x30, 9, bytes(40))),
    "tag of 16": (TagError, lambda s: s.check_gmac(0, 9, bytes(16), b"challenge")),
    "wrapped key of 16": (TagError, lambda s: s.unwrap(0, bytes(16))),
    "wrapped key of 32": (TagError, lambda s: s.unwrap(0, bytes(32))),
    "wrapped key that fails its check": (TagError, lambda s: s.unwrap(0, bytes(24))),
    "wrapped under another master": (TagError, lambda s: s.unwrap(0, s.wrap(SPENT, EK)[::-1])),
    # places
    "outside": (UsageError, lambda s: s.seal(OUTSIDE, 0x30, b"")),
    "far outside": (UsageError, lambda s: s.open(0xFFFFFFFF, 0x30, 9, bytes(12))),
    "negative": (UsageError, lambda s: s.gmac(-1, b"")),
    "beyond 32 bits": (UsageError, lambda s: s.seal(1 << 32, 0x30, b"")),
    "load outside": (UsageError, lambda s: s.load(OUTSIDE, **LOAD)),
    "erase outside": (UsageError, lambda s: s.erase(OUTSIDE)),
    "export outside": (UsageError, lambda s: s.export(OUTSIDE)),
    # no keys
    "seal with none": (NoKeyError, lambda s: s.seal(EMPTY, 0x30, b"text")),
    "open with none": (NoKeyError, lambda s: s.open(EMPTY, 0x30, 9, bytes(12))),
    "tag with none": (NoKeyError, lambda s: s.gmac(EMPTY, b"")),
    "install into none": (NoKeyError, lambda s: s.install(EMPTY, ek=EK)),
    "wrap with no master": (NoKeyError, lambda s: s.wrap(NO_MASTER, EK)),
    "unwrap with no master": (NoKeyError, lambda s: s.unwrap(NO_MASTER, bytes(24))),
    "another suite": (NoKeyError, lambda s: s.seal(0, 0x32, b"")),
    "broadcast key": (NoKeyError, lambda s: s.seal(0, 0x70, b"")),
    # protections
    "no protection": (UsageError, lambda s: s.seal(0, 0x00, b"")),
    "compression": (UsageError, lambda s: s.seal(0, 0xB0, b"")),
    "control of nine bits": (UsageError, lambda s: s.open(0, 0x130, 9, bytes(12))),
    "negative control": (UsageError, lambda s: s.seal(0, -0x30, b"")),
    # counters
    "counter spent": (CounterExhaustedError, lambda s: s.seal(SPENT, 0x30, b"text")),
    "tag when spent": (CounterExhaustedError, lambda s: s.gmac(SPENT, b"text")),
    "replay": (ReplayError, lambda s: s.open(0, 0x30, 6, bytes(12))),
    "last counter received": (ReplayError, lambda s: s.open(SPENT, 0x30, 0xFFFFFFFF, bytes(12))),
    "counter beyond 32 bits": (UsageError, lambda s: s.open(0, 0x30, 1 << 32, bytes(12))),
    "negative counter": (UsageError, lambda s: s.open(0, 0x30, -1, bytes(12))),
    "falling counter": (UsageError, lambda s: s.set_counters(0, tx=4)),
    "set beyond 32 bits": (UsageError, lambda s: s.set_counters(0, tx=1 << 32)),
    "load beyond 32 bits": (UsageError, lambda s: s.load(0, **LOAD | {"rx": 1 << 32})),
    "reset without EK": (UsageError, lambda s: s.install(0, ak=EK, reset=True)),
    "install of nothing": (UsageError, lambda s: s.install(0)),
    # batches as a whole
    "columns of two lengths": (UsageError, lambda s: s.seal_batch([0, 0], 0x30, [b""])),
    "negative index in a batch": (UsageError, lambda s: s.gmac_batch([0, -1], [b"", b""])),
    "huge index in a batch": (UsageError, lambda s: s.wrap_batch([1 << 32], [EK])),
    "counters of another length": (UsageError, lambda s: s.open_batch([0], 0x30, [], [bytes(12)])),
    "counter beyond 32 bits in a batch": (UsageError, lambda s: s.open_batch([0], 0x30, [1 << 32], [bytes(12)])),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_and_nothing_has_changed(store, what) -> None:
    """The error of the table, saying something; every row of the store is what it was."""
    error, call = REFUSED[what]
    before = rows(store)
    with pytest.raises(error) as refused:
        call(store)
    assert str(refused.value)
    assert rows(store) == before
    assert store.seal(LOADED, 0x30, b"text")[0] == 5


ELEMENTS: dict[str, tuple[type[EmulatorError], Callable[[Any], list[Any]]]] = {
    "outside": (UsageError, lambda s: s.seal_batch([0, OUTSIDE, 0], 0x30, [b"text"] * 3)),
    "no keys": (NoKeyError, lambda s: s.seal_batch([0, EMPTY, 0], 0x30, [b"text"] * 3)),
    "spent": (CounterExhaustedError, lambda s: s.seal_batch([0, SPENT, 0], 0x30, [b"text"] * 3)),
    "too long": (UsageError, lambda s: s.seal_batch([0, 0, 0], 0x30, [b"", bytes(layout.MESSAGE_MAX + 1), b""])),
    "spent tags": (CounterExhaustedError, lambda s: s.gmac_batch([0, SPENT, 0], [b"text"] * 3)),
    "no master": (NoKeyError, lambda s: s.wrap_batch([0, NO_MASTER, 0], [EK] * 3)),
    "short key": (UsageError, lambda s: s.wrap_batch([0, 0, 0], [EK, EK[1:], EK])),
    "failing check": (TagError, lambda s: s.unwrap_batch([0, 0, 0], [s.wrap(0, EK), bytes(24), s.wrap(0, EK)])),
}


@pytest.mark.parametrize("what", ELEMENTS)
def test_in_a_batch_it_is_that_element_alone(store, what) -> None:
    """The error is in its place; its neighbours are answered and only their counters move."""
    error, call = ELEMENTS[what]
    before = rows(store)
    first, refused, last = call(store)
    assert isinstance(refused, error)
    assert str(refused)
    assert not isinstance(first, EmulatorError)
    assert not isinstance(last, EmulatorError)
    assert rows(store)[1:] == before[1:]
    assert store.counters(LOADED)[0] in (5, 7)


def filled() -> BatchBuffers:
    batch = BatchBuffers(3, 96)
    batch.fill([LOADED] * 3, [b"a" * 20] * 3, 0x30)
    batch.output[:] = b"\xee" * len(batch.output)
    return batch


@pytest.mark.parametrize("count", [-1, 4, 1 << 40])
@pytest.mark.parametrize("call", ["seal_buffers", "open_buffers", "gmac_buffers", "wrap_buffers", "unwrap_buffers"])
def test_more_messages_than_a_buffer_has(store, call, count) -> None:
    """Refused as a whole; not a byte is written."""
    batch, before = filled(), rows(store)
    with pytest.raises(UsageError):
        getattr(store, call)(batch, count)
    assert set(batch.output) == {0xEE}
    assert rows(store) == before


@pytest.mark.parametrize("call", ["seal_buffers", "open_buffers", "gmac_buffers", "wrap_buffers", "unwrap_buffers"])
@pytest.mark.parametrize(
    ("column", "value"),
    [("in_offsets", 96 - 19), ("in_offsets", 0xFFFFFFFF), ("lengths", 0xFFFFFFFF), ("lengths", 97),
     ("out_offsets", 0xFFFFFFF0), ("out_offsets", 96 + 96 - 31)],
)  # fmt: skip
def test_a_message_that_lies_outside_its_buffers(store, call, column, value) -> None:
    """USAGE in its place, nothing written for it, no counter moved for it."""
    batch, before = filled(), rows(store)
    getattr(batch, column)[1] = value
    getattr(store, call)(batch, 3)
    assert batch.statuses[1] == layout.USAGE
    assert rows(store)[1:] == before[1:]
    assert store.counters(LOADED)[0] in (5, 7)
    start = layout.slot(20)
    written = bytes(batch.output[start : 2 * start])
    assert written == b"\xee" * start


@pytest.mark.parametrize(
    ("index", "status"),
    [(EMPTY, layout.NO_KEY), (OUTSIDE, layout.USAGE), (0xFFFFFFFF, layout.USAGE), (SPENT, layout.EXHAUSTED)],
)
def test_a_refused_message_leaves_a_slot_of_noughts(store, index, status) -> None:
    """The slot and nothing beside it."""
    batch = filled()
    batch.contexts[1] = index
    assert store.seal_buffers(batch, 3) == 2
    assert list(batch.statuses) == [layout.OK, status, layout.OK]
    slot = layout.slot(20)
    assert bytes(batch.output[slot : 2 * slot]) == bytes(slot)
    assert set(batch.output[3 * slot :]) == {0xEE}


@pytest.mark.parametrize("bend", [0, 31, 32, 43])
def test_a_decryption_that_fails_releases_nothing(store, core, bend) -> None:
    """Alone there is no return value; in a buffer there are noughts where the plaintext would have been."""
    with core.context_store(1) as other:
        other.load(0, ek=EK, ak=AK, title=CLIENT, peer=METER, tx=20)
        _, sealed = other.seal(0, 0x30, b"a secret of thirty-two bytes ...")
    bent = sealed[:bend] + bytes([sealed[bend] ^ 1]) + sealed[bend + 1 :]
    with pytest.raises(TagError) as refused:
        store.open(0, 0x30, 20, bent)
    assert b"secret" not in repr(refused.value).encode()
    batch = BatchBuffers(1, 100)
    batch.fill([0], [bent], 0x30)
    batch.counters[0] = 20
    batch.output[:] = b"\xee" * len(batch.output)
    assert store.open_buffers(batch, 1) == 0
    assert list(batch.statuses) == [layout.TAG]
    assert bytes(batch.output[: layout.slot(44)]) == bytes(layout.slot(44))
    assert store.counters(0) == (5, 7)
    assert store.open(0, 0x30, 20, sealed) == b"a secret of thirty-two bytes ..."


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, 10), (1 << 25, 1), (1, 1 << 29)])
def test_buffers_of_no_size(size) -> None:
    """Refused before memory is asked for."""
    with pytest.raises(UsageError):
        BatchBuffers(*size)


@pytest.mark.parametrize("capacity", [0, -1, (1 << 24) + 1, 1 << 40])
def test_a_store_of_no_size(core, capacity) -> None:
    """1 to 2^24 contexts."""
    with pytest.raises(UsageError):
        core.context_store(capacity)


def test_a_closed_store(core) -> None:
    """Everything is refused, and closing again is not."""
    store = core.context_store(1)
    store.load(0, **LOAD)
    store.close()
    store.close()
    for call in (lambda: store.seal(0, 0x30, b""), lambda: store.seal_batch([0], 0x30, [b""]), lambda: store.export(0),
                 lambda: store.seal_buffers(filled(), 1), lambda: store.load(0, **LOAD)):  # fmt: skip
        with pytest.raises(UsageError):
            call()
