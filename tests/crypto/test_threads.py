"""Threads in one store: no counter twice, no key changed under a message, the bytes of one thread alone."""

from collections import Counter
from collections.abc import Callable
from random import Random
from threading import Barrier, Thread

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.crypto import layout
from emulator.crypto.buffers import BatchBuffers

TITLE, PEER = b"ELS\0\0\0\0\1", b"SMS\0\0\0\0\2"
MESSAGES, ROUNDS, CONTEXTS = 700, 12, 64


def keys(n: int) -> tuple[bytes, bytes]:
    return Random(n).randbytes(16), Random(-n - 1).randbytes(16)


@pytest.fixture
def store(core):
    if core.name == "cryptography":
        pytest.skip("holds Python's lock for the whole of a call")
    with core.context_store(CONTEXTS) as made:
        for n in range(CONTEXTS):
            ek, ak = keys(n)
            made.load(n, ek=ek, ak=ak, title=TITLE, peer=PEER)
        yield made


def together(*works: Callable[[], object]) -> None:
    """Run all at once; what one raises is raised here."""
    start, errors = Barrier(len(works)), []

    def run(work: Callable[[], object]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def sealing(store, chance: Random, contexts: range, out: list[tuple[int, int, bytes, bytes]]) -> Callable[[], None]:
    def work() -> None:
        batch = BatchBuffers(MESSAGES, 64 * MESSAGES)
        for _ in range(ROUNDS):
            indices = [chance.choice(contexts) for _ in range(MESSAGES)]
            texts = [chance.randbytes(chance.randrange(64)) for _ in range(MESSAGES)]
            assert store.seal_buffers(batch, batch.fill(indices, texts, 0x30)) == MESSAGES
            for k, (index, text) in enumerate(zip(indices, texts, strict=True)):
                at = batch.out_offsets[k]
                out.append((index, batch.counters[k], text, bytes(batch.output[at : at + len(text) + 12])))

    return work


@pytest.mark.parametrize("apart", [True, False])
def test_two_threads_seal_batches_in_one_store(store, apart) -> None:
    """Sharded by index modulo threads, or all over each other: every counter once, every message under its own."""
    sealed: list[list[tuple[int, int, bytes, bytes]]] = [[], []]
    shards = [range(n, CONTEXTS, 2) if apart else range(CONTEXTS) for n in range(2)]
    together(*(sealing(store, Random(n), shards[n], sealed[n]) for n in range(2)))
    everything = sealed[0] + sealed[1]
    used = Counter((index, counter) for index, counter, _, _ in everything)
    assert max(used.values()) == 1
    for n in range(CONTEXTS):
        mine = sorted(counter for index, counter in used if index == n)
        assert mine == list(range(len(mine)))
        assert store.counters(n)[0] == len(mine)
    for index, counter, text, message in everything[::97]:
        ek, ak = keys(index)
        assert message == AESGCM(ek).encrypt(TITLE + counter.to_bytes(4, "big"), text, b"\x30" + ak)[:-4]


def test_of_two_threads_that_open_one_message_one_succeeds(store, core) -> None:
    """A replay is one, though its first copy is opened at the same time."""
    with core.context_store(CONTEXTS) as peer:
        for n in range(CONTEXTS):
            ek, ak = keys(n)
            peer.load(n, ek=ek, ak=ak, title=PEER, peer=TITLE)
        opened = []
        for _ in range(10):
            sealed = store.seal_batch(range(CONTEXTS), 0x30, [b"text"] * CONTEXTS)
            batches = [BatchBuffers(CONTEXTS, 64 * CONTEXTS) for _ in range(2)]
            for batch in batches:
                batch.fill(list(range(CONTEXTS)), [body for _, body in sealed], 0x30)
                batch.counters[:CONTEXTS] = memoryview(bytearray(4 * CONTEXTS)).cast("I")
                for k, (counter, _) in enumerate(sealed):
                    batch.counters[k] = counter
            together(*(lambda batch=batch: peer.open_buffers(batch, CONTEXTS) for batch in batches))
            for k in range(CONTEXTS):
                opened.append(sorted(batch.statuses[k] for batch in batches))
        assert opened == [[layout.OK, layout.REPLAY]] * (10 * CONTEXTS)


def test_no_key_changes_under_a_batch(store) -> None:
    """A key installed while batches run: every message is whole under one key, and no nonce comes twice."""
    sealed: list[tuple[int, int, bytes, bytes]] = []
    new = [Random(1000 + k).randbytes(16) for k in range(40)]

    def change() -> None:
        for key in new:
            store.install(3, ek=key, reset=True)

    together(sealing(store, Random(9), range(3, 4), sealed), change)
    _, ak = keys(3)
    seen = set()
    for _, counter, text, message in sealed:
        iv = TITLE + counter.to_bytes(4, "big")
        fitting = [key for key in (keys(3)[0], *new) if AESGCM(key).encrypt(iv, text, b"\x30" + ak)[:-4] == message]
        assert len(fitting) == 1
        seen.add((fitting[0], counter))
    assert len(seen) == len(sealed), "a nonce came twice"


def test_single_messages_of_two_threads(store) -> None:
    """Each thread gets the message it sealed."""
    sealed: list[tuple[int, int, bytes, bytes]] = []

    def work(n: int) -> Callable[[], None]:
        def run() -> None:
            for k in range(3000):
                text = n.to_bytes(1, "big") * (k % 50)
                counter, message = store.seal(5, 0x30, text)
                sealed.append((5, counter, text, message))

        return run

    together(work(1), work(2))
    assert sorted(counter for _, counter, _, _ in sealed) == list(range(6000))
    ek, ak = keys(5)
    for _, counter, text, message in sealed:
        assert message == AESGCM(ek).encrypt(TITLE + counter.to_bytes(4, "big"), text, b"\x30" + ak)[:-4]
