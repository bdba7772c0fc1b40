"""Many messages in one call: order, independence, bounds."""

from random import Random

import pytest

from emulator.crypto import layout
from emulator.crypto.buffers import BatchBuffers
from emulator.errors import NoKeyError, ReplayError, TagError, UsageError

METER, CLIENT = b"ELS\0\0\0\0\1", b"SMS\0\0\0\0\2"


@pytest.fixture
def stores(core):
    """The same eight contexts on both sides, keys all different; a third store to compare with."""
    made = [core.context_store(9) for _ in range(3)]
    for n in range(8):
        keys = {"ek": bytes([n + 1]) * 16, "ak": bytes([n + 101]) * 16, "kek": bytes([n + 201]) * 16}
        made[0].load(n, **keys, title=METER, peer=CLIENT, tx=10 * n)
        made[1].load(n, **keys, title=CLIENT, peer=METER)
        made[2].load(n, **keys, title=METER, peer=CLIENT, tx=10 * n)
    yield made
    for store in made:
        store.close()


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 40, 300])
def test_a_batch_is_its_messages_one_by_one(stores, size) -> None:
    """Mixed lengths, contexts in any order and more than once; counters of one context rise in the order given."""
    device, client, single = stores
    chance = Random(size)
    indices = [chance.randrange(8) for _ in range(size)]
    texts = [chance.randbytes(chance.randrange(200)) for _ in range(size)]
    sealed = device.seal_batch(indices, 0x30, texts)
    assert sealed == [single.seal(index, 0x30, text) for index, text in zip(indices, texts, strict=True)]
    assert len({(index, counter) for index, (counter, _) in zip(indices, sealed, strict=True)}) == size
    counters, bodies = [c for c, _ in sealed], [b for _, b in sealed]
    assert client.open_batch(indices, 0x30, counters, bodies) == texts
    assert [client.counters(n) for n in range(8)] == [
        (0, max((c + 1 for c, i in zip(counters, indices, strict=True) if i == n), default=0)) for n in range(8)
    ]
    assert device.gmac_batch(indices, texts) == [single.gmac(i, t) for i, t in zip(indices, texts, strict=True)]
    keys = [chance.randbytes(16) for _ in range(size)]
    wrapped = device.wrap_batch(indices, keys)
    assert wrapped == [single.wrap(i, k) for i, k in zip(indices, keys, strict=True)]
    assert client.unwrap_batch(indices, wrapped) == keys


def test_one_refused_message_leaves_the_others_alone(stores) -> None:
    """Each element is an answer or an error of its own."""
    device, client, _ = stores
    sealed = device.seal_batch([0, 8, 1, 77, 0], 0x30, [b"a", b"b", b"c", b"d", b"e"])
    assert isinstance(sealed[1], NoKeyError)
    assert isinstance(sealed[3], UsageError)
    assert (sealed[0][0], sealed[2][0], sealed[4][0]) == (0, 10, 1)
    bent = sealed[2][1][:-1] + bytes([sealed[2][1][-1] ^ 1])
    opened = client.open_batch([0, 1, 0, 0], 0x30, [0, 10, 0, 1], [sealed[0][1], bent, sealed[0][1], sealed[4][1]])
    assert opened[0] == b"a"
    assert opened[3] == b"e"
    assert isinstance(opened[1], TagError)
    assert isinstance(opened[2], ReplayError)
    assert opened[2].expected == 2  # after the whole batch
    assert client.counters(1) == (0, 0)
    wrapped = device.wrap_batch([0, 8, 1], [bytes(16), bytes(16), bytes(15)])
    assert [type(w) for w in wrapped] == [bytes, NoKeyError, UsageError]
    unwrapped = client.unwrap_batch([0, 1, 0], [wrapped[0], wrapped[0], b"short"])
    assert [type(u) for u in unwrapped] == [bytearray, TagError, TagError]


def test_columns_of_different_lengths_are_misuse(stores) -> None:
    """Nothing is sealed."""
    device = stores[0]
    for refused in (
        lambda: device.seal_batch([0, 1], 0x30, [b"a"]),
        lambda: device.open_batch([0], 0x30, [0, 1], [bytes(20)]),
        lambda: device.open_batch([0], 0x30, [0], []),
        lambda: device.seal_batch([-1], 0x30, [b"a"]),
    ):
        with pytest.raises(UsageError):
            refused()
    assert device.counters(0) == (0, 0)


def test_buffers_are_read_and_written_in_place(stores) -> None:
    """The same bytes as the list form, at the offsets asked for, there and back again."""
    device, client, single = stores
    chance = Random(5)
    indices = [chance.randrange(8) for _ in range(100)]
    texts = [chance.randbytes(chance.randrange(90)) for _ in range(100)]
    out, back = BatchBuffers(128, 10000), BatchBuffers(128, 12000)
    assert device.seal_buffers(out, out.fill(indices, texts, 0x30)) == 100
    bodies = []
    for k, (index, text) in enumerate(zip(indices, texts, strict=True)):
        at = out.out_offsets[k]
        bodies.append(bytes(out.output[at : at + len(text) + 12]))
        assert (out.counters[k], bodies[k]) == single.seal(index, 0x30, text)
    count = back.fill(indices, bodies, 0x30)
    back.counters[:count] = out.counters[:count]
    assert client.open_buffers(back, count) == 100
    assert set(back.statuses[:count]) == {layout.OK}
    for k, text in enumerate(texts):
        at = back.out_offsets[k]
        assert bytes(back.output[at : at + len(text)]) == text
    assert device.gmac_buffers(out, out.fill(indices, texts)) == 100
    at = out.out_offsets[99]
    tags = [single.gmac(index, text)[1] for index, text in zip(indices, texts, strict=True)]
    assert bytes(out.output[at : at + 12]) == tags[99]


def test_key_buffers(stores) -> None:
    """Wrapped in one store, unwrapped in another; a refused slot holds zeros."""
    device, client, _ = stores
    out, back = BatchBuffers(4, 100), BatchBuffers(4, 200)
    assert device.wrap_buffers(out, out.fill([0, 1, 8], [b"k" * 16] * 3)) == 2
    assert list(out.statuses[:3]) == [layout.OK, layout.OK, layout.NO_KEY]
    wrapped = [bytes(out.output[at : at + 24]) for at in out.out_offsets[:2]]
    assert client.unwrap_buffers(back, back.fill([0, 0], wrapped)) == 1
    assert list(back.statuses[:2]) == [layout.OK, layout.TAG]
    assert bytes(back.output[:16]) == b"k" * 16
    assert bytes(back.output[back.out_offsets[1] :][:64]) == bytes(64)


def test_a_failed_slot_is_zeroed(stores) -> None:
    """Nothing of an unauthentic plaintext, and nothing that stood there before, is left in the slot."""
    device, client, _ = stores
    sealed = device.seal_batch([0, 1], 0x30, [b"x" * 40, b"y" * 40])
    batch = BatchBuffers(2, 200)
    batch.fill([0, 1], [sealed[0][1], sealed[1][1][:-1] + b"!"], 0x30)
    batch.counters[0], batch.counters[1] = 0, 10
    batch.output[:] = b"\xee" * len(batch.output)
    assert client.open_buffers(batch, 2) == 1
    assert list(batch.statuses) == [layout.OK, layout.TAG]
    first, second = batch.out_offsets
    assert bytes(batch.output[first : first + 40]) == b"x" * 40
    assert bytes(batch.output[second : second + layout.slot(52)]) == bytes(layout.slot(52))
    assert set(batch.output[second + layout.slot(52) :]) == {0xEE}


@pytest.mark.parametrize("column", ["in_offsets", "lengths", "out_offsets"])
def test_messages_outside_the_buffers_are_refused_alone(stores, column) -> None:
    """Offsets and lengths come from callers: neither side of a buffer is read or written beyond its end."""
    device = stores[0]
    batch = BatchBuffers(3, 48)
    count = batch.fill([0, 1, 2], [b"a" * 16] * 3, 0x30)
    last_slot = len(batch.output) - layout.slot(16)
    edges = {"in_offsets": 48 - 15, "lengths": 33, "out_offsets": last_slot + 1}
    for value in (0xFFFFFFFF, 0x80000000, 10000, edges[column]):
        batch.fill([0, 1, 2], [b"a" * 16] * 3, 0x30)
        getattr(batch, column)[1] = value
        before = device.counters(1)
        assert device.seal_buffers(batch, count) == 2
        assert list(batch.statuses) == [layout.OK, layout.USAGE, layout.OK]
        assert device.counters(1) == before
    batch.fill([0, 1, 2], [b"a" * 16] * 3, 0x30)
    batch.in_offsets[1], batch.out_offsets[1] = 48 - 16, last_slot
    assert device.seal_buffers(batch, count) == 3
    for count in (-1, 4):
        with pytest.raises(UsageError):
            device.seal_buffers(batch, count)


def test_exhaustion_inside_a_batch(stores) -> None:
    """The last counter is used once; what follows is refused and the slots are zeroed."""
    device = stores[0]
    device.set_counters(3, tx=0xFFFFFFFE)
    batch = BatchBuffers(3, 48)
    assert device.seal_buffers(batch, batch.fill([3, 3, 3], [b"a"] * 3, 0x30)) == 1
    assert list(batch.statuses) == [layout.OK, layout.EXHAUSTED, layout.EXHAUSTED]
    assert batch.counters[0] == 0xFFFFFFFE
    assert device.counters(3) == (0xFFFFFFFF, 0)
