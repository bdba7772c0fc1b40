"""Contexts: whose counters move when, and what is refused."""

import copy
import pickle
from pathlib import Path

import pytest

from emulator.crypto import layout
from emulator.errors import (
    CounterExhaustedError,
    ForeignStoreError,
    NoKeyError,
    ReplayError,
    TagError,
    UsageError,
)

EK, AK, KEK, NEW = (bytes(range(n, n + 16)) for n in (0x00, 0x20, 0x40, 0x60))
METER, CLIENT = b"ELS\0\0\0\0\1", b"SMS\0\0\0\0\2"


@pytest.fixture
def pair(core):
    """Context 0 is the meter's side, context 1 the client's, under the same keys."""
    store = core.context_store(4)
    store.load(0, ek=EK, ak=AK, title=METER, peer=CLIENT, kek=KEK)
    store.load(1, ek=EK, ak=AK, title=CLIENT, peer=METER, kek=KEK)
    return store


@pytest.mark.parametrize("control", [0x10, 0x20, 0x30])
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 64, 500, 5000, 70000])
def test_what_one_side_seals_the_other_opens(pair, control, length) -> None:
    """All three protections, to beyond the largest APDU; each message takes the next counter."""
    for expected in range(3):
        text = bytes([expected]) * length
        counter, sealed = pair.seal(1, control, text)
        assert counter == expected
        assert len(sealed) == length + (0 if control == 0x20 else 12)
        assert pair.open(0, control, counter, sealed) == text
    assert pair.counters(1) == (3, 0)
    assert pair.counters(0) == (0, 3)


def test_a_counter_is_accepted_once(pair) -> None:
    """Replay and rollback are refused and say what would be accepted; a gap is fine."""
    sealed = [pair.seal(1, 0x30, b"text") for _ in range(5)]
    pair.open(0, 0x30, *sealed[0])
    pair.open(0, 0x30, *sealed[3])
    for k in (0, 1, 2, 3):
        with pytest.raises(ReplayError) as refused:
            pair.open(0, 0x30, *sealed[k])
        assert refused.value.expected == 4
    assert pair.open(0, 0x30, *sealed[4]) == b"text"


def test_a_refused_message_moves_no_counter(pair) -> None:
    """Wrong tag, wrong direction, wrong key: the receiver's counter stands."""
    counter, sealed = pair.seal(1, 0x30, b"text")
    with pytest.raises(TagError):
        pair.open(0, 0x30, counter, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(TagError):
        pair.open(0, 0x30, counter + 1000, sealed)
    with pytest.raises(TagError):
        pair.open(1, 0x30, counter, sealed)  # our own message, reflected
    with pytest.raises(TagError):
        pair.open(0, 0x30, counter, sealed[:11])
    assert pair.counters(0) == (0, 0)
    assert pair.open(0, 0x30, counter, sealed) == b"text"


def test_the_last_counter_is_never_used(pair) -> None:
    """FFFFFFFE is the last; then sealing is refused and nothing moves. Received, FFFFFFFF is refused too."""
    pair.set_counters(1, tx=0xFFFFFFFE)
    counter, sealed = pair.seal(1, 0x30, b"last")
    assert counter == 0xFFFFFFFE
    for _ in range(2):
        with pytest.raises(CounterExhaustedError):
            pair.seal(1, 0x30, b"one more")
        with pytest.raises(CounterExhaustedError):
            pair.gmac(1, b"challenge")
    assert pair.counters(1) == (0xFFFFFFFF, 0)
    assert pair.open(0, 0x30, counter, sealed) == b"last"
    assert pair.counters(0) == (0, 0xFFFFFFFF)
    with pytest.raises(ReplayError):
        pair.open(0, 0x30, 0xFFFFFFFF, sealed)


def test_hls_tag_is_fresh_by_its_challenge_not_its_counter(pair) -> None:
    """The tag is made before the APDU around it is sealed and checked after that APDU was opened."""
    counter, tag = pair.gmac(1, b"challenge")
    pair.open(0, 0x30, *pair.seal(1, 0x30, b"action"))
    pair.check_gmac(0, counter, tag, b"challenge")
    assert pair.counters(0) == (0, 2)
    with pytest.raises(TagError):
        pair.check_gmac(0, counter, tag, b"another")
    with pytest.raises(TagError):
        pair.check_gmac(0, counter, tag[:11], b"challenge")
    later, tag = pair.gmac(1, b"challenge")
    pair.check_gmac(0, later, tag, b"challenge")
    assert pair.counters(0) == (0, later + 1)


@pytest.mark.parametrize(
    ("control", "error"),
    [(0x31, NoKeyError), (0x70, NoKeyError), (0x02, NoKeyError), (0x00, UsageError), (0x80, UsageError),
     (0xB0, UsageError), (0x130, UsageError), (-1, UsageError)],
)  # fmt: skip
def test_protections_the_core_does_not_have_are_refused(pair, control, error) -> None:
    """Other suites and the broadcast key are keys we do not hold; compression and no protection are misuse."""
    with pytest.raises(error):
        pair.seal(1, control, b"text")
    with pytest.raises(error):
        pair.open(1, control, 5, b"text with its tag")
    assert pair.counters(1) == (0, 0)


def test_key_change_keeps_counters_and_counts(pair) -> None:
    """The old key no longer works, the new one does, counters go on, the epoch rises by one."""
    before = pair.seal(1, 0x30, b"text")
    for side in (0, 1):
        pair.install(side, ek=NEW)
    assert pair.state(1).epoch == 1
    assert pair.counters(1) == (1, 0)
    with pytest.raises(TagError):
        pair.open(0, 0x30, *before)
    counter, sealed = pair.seal(1, 0x30, b"text")
    assert counter == 1
    assert pair.open(0, 0x30, counter, sealed) == b"text"
    pair.install(1, ak=NEW)
    with pytest.raises(TagError):
        pair.open(0, 0x30, *pair.seal(1, 0x30, b"text"))
    pair.install(0, ak=NEW)
    assert pair.open(0, 0x30, *pair.seal(1, 0x30, b"text")) == b"text"
    assert pair.state(1).epoch == pair.state(0).epoch == 2


def test_counters_return_to_nought_only_under_a_new_ek(pair) -> None:
    """A reset that would repeat a counter under a living key changes no counter."""
    pair.seal(1, 0x30, b"text")
    pair.install(1, ek=EK, reset=True)
    assert pair.counters(1) == (1, 0)
    with pytest.raises(UsageError):
        pair.install(1, ak=NEW, reset=True)
    with pytest.raises(UsageError):
        pair.install(1)
    pair.install(1, ek=NEW, reset=True)
    assert pair.counters(1) == (0, 0)


def test_send_counter_falls_only_before_the_first_message_of_an_ek(pair) -> None:
    """A head end may choose where to start under a new key; afterwards the counter only rises."""
    pair.set_counters(1, tx=500, rx=7)
    pair.set_counters(1, rx=3)
    assert pair.counters(1) == (500, 3)
    with pytest.raises(UsageError):
        pair.set_counters(1, tx=499)
    pair.install(1, ak=NEW)
    with pytest.raises(UsageError):
        pair.set_counters(1, tx=499)
    pair.install(1, ek=NEW)
    pair.set_counters(1, tx=250)
    assert pair.seal(1, 0x30, b"")[0] == 250
    with pytest.raises(UsageError):
        pair.set_counters(1, tx=250)


def test_wrapping_needs_the_master_key(pair) -> None:
    """Both sides wrap and unwrap; without a master key, or with another, nothing comes out."""
    wrapped = pair.wrap(1, NEW)
    assert len(wrapped) == 24
    assert pair.unwrap(0, wrapped) == NEW
    assert pair.wrap(1, bytearray(NEW)) == wrapped
    pair.set_master(0, EK)
    with pytest.raises(TagError):
        pair.unwrap(0, wrapped)
    pair.set_master(0, None)
    assert not pair.state(0).has_master
    for call, argument in ((pair.wrap, NEW), (pair.unwrap, wrapped)):
        with pytest.raises(NoKeyError):
            call(0, argument)
    for length in (0, 15, 17, 24, 32):
        with pytest.raises(UsageError):
            pair.wrap(1, bytes(length))
    for length in (0, 16, 23, 25, 32):
        with pytest.raises(TagError):
            pair.unwrap(1, (wrapped + wrapped)[:length])


@pytest.mark.parametrize("index", [0, 1])
def test_an_empty_context_does_nothing(core, index) -> None:
    """Never loaded (0) and erased (1) are the same."""
    store = core.context_store(3)
    store.load(1, ek=EK, ak=AK, title=METER, peer=CLIENT, kek=KEK)
    store.erase(1)
    assert not store.loaded(index)
    for refused in (
        lambda: store.seal(index, 0x30, b"text"),
        lambda: store.open(index, 0x30, 0, bytes(16)),
        lambda: store.gmac(index, b"challenge"),
        lambda: store.check_gmac(index, 0, bytes(12), b"challenge"),
        lambda: store.wrap(index, NEW),
        lambda: store.unwrap(index, bytes(24)),
        lambda: store.install(index, ek=NEW),
        lambda: store.set_master(index, KEK),
        lambda: store.set_peer(index, CLIENT),
        lambda: store.counters(index),
        lambda: store.set_counters(index, rx=1),
        lambda: store.state(index),
        lambda: store.export(index),
    ):
        with pytest.raises(NoKeyError):
            refused()


@pytest.mark.parametrize("index", [-1, 2, 1 << 31, 1 << 40])
def test_an_index_outside_the_store_is_misuse(core, index) -> None:
    """Below nought, at the capacity, far beyond."""
    store = core.context_store(2)
    for refused in (
        lambda: store.load(index, ek=EK, ak=AK, title=METER, peer=CLIENT),
        lambda: store.seal(index, 0x30, b""),
        lambda: store.loaded(index),
        lambda: store.erase(index),
    ):
        with pytest.raises(UsageError):
            refused()


@pytest.mark.parametrize("wrong", [{"ek": 15}, {"ak": 17}, {"title": 7}, {"peer": 9}, {"kek": 32}])
def test_keys_and_titles_have_one_size(core, wrong) -> None:
    """A context is loaded whole or not at all."""
    store = core.context_store(1)
    good = {"ek": EK, "ak": AK, "title": METER, "peer": CLIENT}
    with pytest.raises(UsageError):
        store.load(0, **{**good, **{name: bytes(size) for name, size in wrong.items()}})
    for counter in (-1, 1 << 32):
        with pytest.raises(UsageError):
            store.load(0, **good, tx=counter)
        with pytest.raises(UsageError):
            store.load(0, **good, rx=counter)
    assert not store.loaded(0)


def test_loading_leaves_nothing_of_what_stood_there(pair) -> None:
    """Counters, epoch and the master key of the former tenant are gone."""
    pair.install(0, ek=NEW)
    pair.seal(0, 0x30, b"")
    pair.load(0, ek=EK, ak=AK, title=METER, peer=CLIENT, tx=9, rx=8)
    assert pair.state(0) == layout.ContextState(METER, CLIENT, 9, 8, 0, has_master=False)
    with pytest.raises(NoKeyError):
        pair.wrap(0, NEW)


def test_an_exported_context_goes_on_where_it_was(pair) -> None:
    """Keys, titles, counters, epoch, master key and the right to choose a first counter survive a row."""
    pair.install(1, ek=NEW)
    pair.set_peer(1, b"OTHER\0\0\1")
    pair.set_counters(1, tx=77, rx=5)
    blob = pair.export(1)
    assert isinstance(blob, bytearray)
    assert len(blob) == 80
    pair.restore(2, blob)
    assert pair.state(2) == pair.state(1)
    assert pair.seal(2, 0x30, b"text") == pair.seal(1, 0x30, b"text")
    assert pair.wrap(2, NEW) == pair.wrap(1, NEW)
    pair.restore(2, bytes(blob))
    pair.set_counters(2, tx=70)
    for bad in (blob[:-1], bytes(80), *(blob[:48] + suite + blob[49:] for suite in (b"\2", b"\3")), blob + bytes(80),
                blob[:50] + b"\xff" + blob[51:]):
        with pytest.raises(UsageError):
            pair.restore(3, bad)
    assert not pair.loaded(3)


def test_a_store_cannot_leave_its_process_as_a_value(pair) -> None:
    """Neither pickled nor copied: two stores would use the same counters."""
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(ForeignStoreError):
            attempt(pair)


def test_a_closed_store_refuses(pair) -> None:
    """Closing wipes; it can be done twice."""
    pair.close()
    pair.close()
    for refused in (lambda: pair.seal(0, 0x30, b""), lambda: pair.loaded(0), lambda: pair.seal_batch([0], 0x30, [b""])):
        with pytest.raises(UsageError):
            refused()


def secret_mappings() -> list[bytes]:
    """The memory of this process that a fork would wipe and a core dump would leave out."""
    found, lines = [], Path("/proc/self/smaps").read_text().splitlines()
    place = ""
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in lines:
            first = line.split()[0]
            if "-" in first and not first.endswith(":"):
                place = first
            elif first == "VmFlags:" and {"wf", "dd"} <= set(line.split()):
                start, end = (int(part, 16) for part in place.split("-"))
                memory.seek(start)
                found.append(memory.read(end - start))
    return found


def test_keys_live_in_guarded_memory_and_are_wiped(core) -> None:
    """Each key stands once, in memory wiped on fork and left out of core dumps, until replaced, erased or closed."""
    ek, ak, kek, new = (bytes([n]) * 3 + b"only in this test"[:13] for n in (0xA1, 0xA2, 0xA3, 0xA4))
    store = core.context_store(2)

    def present() -> list[int]:
        mappings = secret_mappings()
        return [sum(memory.count(key) for memory in mappings) for key in (ek, ak, kek, new)]

    store.load(1, ek=ek, ak=ak, title=METER, peer=CLIENT, kek=kek)
    assert present() == [1, 1, 1, 0]
    store.install(1, ek=new)
    assert present() == [0, 1, 1, 1]
    store.set_master(1, None)
    assert present() == [0, 1, 0, 1]
    store.erase(1)
    assert present() == [0, 0, 0, 0]
    store.load(0, ek=ek, ak=ak, title=METER, peer=CLIENT, kek=kek)
    assert present() == [1, 1, 1, 0]
    store.close()
    assert present() == [0, 0, 0, 0]
