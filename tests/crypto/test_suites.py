"""Suites 1 and 2: what the suite's number changes in a context, and that two lines are one context."""

from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from emulator.crypto import layout
from emulator.crypto.buffers import BatchBuffers
from emulator.errors import NoKeyError, ReplayError, TagError, UsageError

EK, AK, KEK, NEW = (bytes(range(n, n + 32)) for n in (0x00, 0x40, 0x80, 0xC0))
METER, CLIENT = b"ELS\0\0\0\0\1", b"SMS\0\0\0\0\2"


def loaded(core, capacity: int = 8, **more):
    """Suite 2: the meter's side at 0, the client's at 2."""
    store = core.context_store(capacity)
    store.load(0, ek=EK, ak=AK, title=METER, peer=CLIENT, kek=KEK, suite=2, **more)
    store.load(2, ek=EK, ak=AK, title=CLIENT, peer=METER, kek=KEK, suite=2)
    return store


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 64, 500, 5000])
def test_a_message_of_suite_2_is_aes_256_with_the_suite_in_its_control(core, length) -> None:
    """Checked against an independent AES-GCM: 33 authenticated bytes, SC and the whole AK."""
    store, text = loaded(core, tx=7), bytes(length)
    counter, sealed = store.seal(0, 0x32, text)
    iv = METER + counter.to_bytes(4, "big")
    assert (counter, sealed) == (7, AESGCM(EK).encrypt(iv, text, b"\x32" + AK)[:-4])
    assert store.open(2, 0x32, counter, sealed) == text
    with pytest.raises(ReplayError):
        store.open(2, 0x32, counter, sealed)
    counter, sealed = store.seal(0, 0x12, text)
    assert sealed == text + AESGCM(EK).encrypt(METER + counter.to_bytes(4, "big"), b"", b"\x12" + AK + text)[:12]
    assert store.open(2, 0x12, counter, sealed) == text
    counter, sealed = store.seal(0, 0x22, text)
    assert len(sealed) == length
    assert store.open(2, 0x22, counter, sealed) == text
    counter, tag = store.gmac(0, text)
    assert tag == AESGCM(EK).encrypt(METER + counter.to_bytes(4, "big"), b"", b"\x12" + AK + text)[:12]
    store.check_gmac(2, counter, tag, text)


def test_the_control_byte_names_the_contexts_suite_or_nothing_is_done(core) -> None:
    """A context of one suite holds no key of another; suite 1 differs from 0 in its number alone."""
    store = loaded(core)
    store.load(5, ek=EK[:16], ak=AK[:16], title=METER, peer=METER, suite=1)
    for index, right in ((0, 0x32), (5, 0x31)):
        for control in (0x30, 0x31, 0x32, 0x33, 0x3F, 0x72):
            if control != right:
                with pytest.raises(NoKeyError):
                    store.seal(index, control, b"text")
                with pytest.raises(NoKeyError):
                    store.open(index, control, 0, bytes(16))
        assert store.counters(index) == (0, 0)
    iv = METER + bytes(4)
    assert store.seal(5, 0x31, b"text") == (0, AESGCM(EK[:16]).encrypt(iv, b"text", b"\x31" + AK[:16])[:-4])
    assert [store.state(index).suite for index in (0, 5)] == [2, 1]
    with pytest.raises(UsageError):
        store.load(6, ek=EK[:16], ak=AK[:16], title=METER, peer=METER, suite=3)


def test_keys_of_suite_2_have_32_bytes(core) -> None:
    """On loading, installing, as master and to be wrapped; half a key is refused and changes nothing."""
    store = loaded(core)
    for wrong in ({"ek": EK[:16]}, {"ak": AK[:16]}, {"kek": KEK[:16]}):
        with pytest.raises(UsageError):
            store.load(4, **({"ek": EK, "ak": AK, "title": METER, "peer": METER, "suite": 2} | wrong))
    for refused in (
        lambda: store.install(0, ek=NEW[:16]),
        lambda: store.install(0, ak=NEW[:16]),
        lambda: store.set_master(0, NEW[:16]),
        lambda: store.wrap(0, NEW[:16]),
    ):
        with pytest.raises(UsageError):
            refused()
    wrapped = store.wrap(0, NEW)
    assert wrapped == aes_key_wrap(KEK, NEW)
    assert store.unwrap(2, wrapped) == NEW
    for bad in (wrapped[:24], wrapped[:39] + b"\0" if wrapped[39] else wrapped[:39] + b"\1", wrapped + bytes(8)):
        with pytest.raises(TagError):
            store.unwrap(2, bad)
    store.install(0, ek=EK[:16] + NEW[16:], reset=True)  # only the second half is new
    counter, sealed = store.seal(0, 0x32, b"text")
    assert sealed == AESGCM(EK[:16] + NEW[16:]).encrypt(METER + bytes(4), b"text", b"\x32" + AK)[:-4]
    assert counter == 0
    store.install(0, ek=EK[:16] + NEW[16:], reset=True)
    assert store.counters(0)[0] == 1, "the same key again brings no counter back"


def test_the_second_place_is_no_context(core) -> None:
    """Nothing can be loaded, erased or sealed there, and a long context needs it free."""
    store = loaded(core, 4)
    short = {"ek": EK[:16], "ak": AK[:16], "title": METER, "peer": METER}
    for refused in (
        lambda: store.load(1, **short),
        lambda: store.erase(1),
        lambda: store.restore(1, store.export(0)),
        lambda: store.load(3, ek=EK, ak=AK, title=METER, peer=METER, suite=2),
    ):
        with pytest.raises(UsageError):
            refused()
    assert not store.loaded(1)
    with pytest.raises(NoKeyError):
        store.seal(1, 0x30, b"text")
    store.erase(2)
    store.load(3, **short)
    with pytest.raises(UsageError):
        store.load(2, ek=EK, ak=AK, title=METER, peer=METER, suite=2)
    assert store.state(3).title == METER
    with pytest.raises(UsageError):
        store.load(0, ek=EK, ak=AK, title=METER, peer=METER, suite=2, tx=-1)
    store.load(0, **short)  # a short one takes the long one's place, and the second is free again
    store.load(1, **short)
    assert store.seal(1, 0x30, b"text")[0] == 0


def test_an_export_of_suite_2_is_160_bytes_and_goes_on(core, fallback_core) -> None:
    """Both lines and the master key, the same for every core."""
    store, other = loaded(core, tx=41), fallback_core.context_store(4)
    blob = store.export(0)
    assert len(blob) == 160
    other.restore(1, blob)
    assert other.export(1) == blob
    store.restore(4, blob)
    assert store.seal(4, 0x32, b"text") == other.seal(1, 0x32, b"text") == store.seal(0, 0x32, b"text")
    assert store.wrap(4, NEW) == other.wrap(1, NEW)
    for bad in (blob[:80], blob[:159], blob + b"\0", blob[:48] + b"\0" + blob[49:], bytes(160),
                blob[:114] + b"\1" + blob[115:], blob[:100] + b"\1" + blob[101:]):  # fmt: skip
        for keeper in (store, other):
            with pytest.raises(UsageError):
                keeper.restore(0, bad)
    assert store.state(0).tx == 42


@pytest.mark.parametrize("size", [1, 8, 9, 100, 1500])
def test_a_batch_of_mixed_suites_is_its_messages_one_by_one(core, size) -> None:
    """Suites, lengths and refusals by turns; tags of challenges and wrapped keys too."""
    chance = Random(size)
    stores = [core.context_store(20) for _ in range(3)]
    for n in range(6):
        suite = (0, 2, 1)[n % 3]
        ek, ak, kek = (chance.randbytes(layout.key_bytes(suite)) for _ in range(3))
        for store, (title, peer) in zip(stores, ((METER, CLIENT), (METER, CLIENT), (CLIENT, METER)), strict=True):
            store.load(3 * n, ek=ek, ak=ak, title=title, peer=peer, kek=kek, suite=suite)
    batch, single, client = stores
    indices = [3 * chance.randrange(6) for _ in range(size)]
    texts = [chance.randbytes(chance.randrange(150)) for _ in range(size)]
    buffers, back = BatchBuffers(size, 160 * size), BatchBuffers(size, 200 * size)
    count = buffers.fill(indices, texts)
    for k, index in enumerate(indices):
        buffers.controls[k] = 0x30 | (0, 2, 1)[index // 3 % 3]
    assert batch.seal_buffers(buffers, count) == size
    sealed = []
    for k, (index, text) in enumerate(zip(indices, texts, strict=True)):
        at = buffers.out_offsets[k]
        sealed.append(bytes(buffers.output[at : at + len(text) + 12]))
        assert (buffers.counters[k], sealed[k]) == single.seal(index, buffers.controls[k], text)
    back.fill(indices, sealed)
    back.controls[:size], back.counters[:size] = buffers.controls[:size], buffers.counters[:size]
    back.controls[size // 2] ^= 1  # another suite's number
    assert client.open_buffers(back, size) == size - 1
    assert [k for k in range(size) if back.statuses[k] != layout.OK] == [size // 2]
    assert back.statuses[size // 2] == layout.NO_KEY
    for k, text in enumerate(texts):
        at = back.out_offsets[k]
        assert bytes(back.output[at : at + len(text)]) == (text if k != size // 2 else bytes(len(text)))
    assert batch.gmac_batch(indices, texts) == [single.gmac(i, t) for i, t in zip(indices, texts, strict=True)]
    keys = [chance.randbytes(32 if index // 3 % 3 == 1 else 16) for index in indices]
    wrapped = batch.wrap_batch(indices, keys)
    assert wrapped == [single.wrap(i, k) for i, k in zip(indices, keys, strict=True)]
    assert client.unwrap_batch(indices, wrapped) == keys
