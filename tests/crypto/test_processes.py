"""Keys stay in the process that loaded them: forks are refused, spawned workers make their own."""

import multiprocessing
import os
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor
from struct import pack

import pytest

from emulator.crypto.keys import ContextStore
from emulator.crypto.layout import FOREIGN, refusal
from emulator.errors import ForeignStoreError

EK, TITLE = bytes(range(16)), b"ELS\0\0\0\0\1"


def in_a_fork(work) -> str:
    """The text `work` gives in a forked child, or the name of what it raised."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fork beside threads; the child only computes and leaves
        child = os.fork()
    if child == 0:
        try:
            text = str(work())
        except BaseException as error:
            text = type(error).__name__
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def test_a_forked_child_is_refused_and_the_parent_goes_on(core) -> None:
    """Every way in, even to load keys anew; the parent's counters are untouched."""
    store = core.context_store(2)
    store.load(0, ek=EK, ak=EK, title=TITLE, peer=TITLE, kek=EK)
    sa, into = core.esp_sa.Sa(7, EK, b"salt"), core.esp_sa.Sa(7, EK, b"salt")
    packet = sa.seal(b"inner", 4)
    ways = {
        "seal": lambda: store.seal(0, 0x30, b"text"),
        "open": lambda: store.open(0, 0x30, 0, bytes(16)),
        "gmac": lambda: store.gmac(0, b"text"),
        "wrap": lambda: store.wrap(0, EK),
        "batch": lambda: store.seal_batch([0], 0x30, [b"text"]),
        "load": lambda: store.load(0, ek=EK, ak=EK, title=TITLE, peer=TITLE),
        "loaded": lambda: store.loaded(0),
        "export": lambda: store.export(0),
        "erase": lambda: store.erase(0),
        "esp seal": lambda: sa.seal(b"inner", 4),
        "esp open": lambda: into.open(packet),
        "esp state": lambda: sa.state(),
    }
    for name, way in ways.items():
        assert in_a_fork(way) == "ForeignStoreError", name
    assert store.seal(0, 0x30, b"text")[0] == 0
    assert into.open(packet) == (4, b"inner")
    assert sa.state().sequence == 2


def test_a_forked_child_holds_no_key_bytes(core) -> None:
    """The child's copy of the guarded memory is zeros: the kernel wiped it, not our good manners."""
    key = b"seen by no child"
    store = core.context_store(1)
    store.load(0, ek=key, ak=key, title=TITLE, peer=TITLE, kek=key)

    def guarded() -> int:
        found, place = 0, ""
        with open("/proc/self/smaps") as lines, open("/proc/self/mem", "rb", buffering=0) as memory:
            for line in lines:
                first = line.split()[0]
                if "-" in first and not first.endswith(":"):
                    place = first
                elif first == "VmFlags:" and "wf" in line.split():
                    start, end = (int(part, 16) for part in place.split("-"))
                    memory.seek(start)
                    found += memory.read(end - start).count(key)
        return found

    assert guarded() == 3
    assert in_a_fork(guarded) == "0"


def test_a_child_can_make_a_store_of_its_own(core) -> None:
    """Being forked is no disgrace; using the parent's keys is."""

    def own() -> int:
        with core.context_store(1) as store:
            store.load(0, ek=EK, ak=EK, title=TITLE, peer=TITLE, tx=41)
            return store.seal(0, 0x30, b"text")[0]

    assert in_a_fork(own) == "41"


def test_whole_packets_are_no_way_around(core) -> None:
    """In a forked child the short way makes nothing and opens nothing, and leaves it to the long way to say why."""
    outer = pack(">BBHHHBBHII", 0x45, 0, 20, 0, 0x4000, 64, 50, 0, 1, 2)
    inner = pack(">BBHHHBBHIIQ", 0x45, 0, 28, 0, 0x4000, 63, 17, 0, 0, 0, 0)
    sa, into = core.esp_sa.Sa(7, EK, b"salt"), core.esp_sa.Sa(7, EK, b"salt")
    sealing, opening = sa.whole(outer, inner), into.whole(outer, inner)
    if sealing is None:
        assert core.name == "cryptography"
        return
    fields = (1, 2, 3, 4, b"frame")
    packet = sealing.seal(*fields, 5)
    assert in_a_fork(lambda: sealing.seal(*fields, 5)) == "None"
    assert in_a_fork(lambda: opening.open(packet)) == "None"
    assert in_a_fork(lambda: sa.whole(outer, inner)) == "ForeignStoreError"
    assert opening.open(packet) == fields


# Run by a spawned worker, which cannot import this file.
WORK = """
[store := __import__("emulator.crypto.keys").crypto.keys.ContextStore(1),
 store.load(0, ek=bytes(range(16)), ak=bytes(range(16)), title=bytes(8), peer=bytes(8)),
 (__import__("emulator.crypto").crypto.backend(), store.seal(0, 0x30, b"text"))][-1]
"""


def test_a_spawned_worker_works(core, monkeypatch) -> None:
    """A worker loads keys itself and gives the bytes its parent would; a store it sends back is refused."""
    backend = "cryptography" if core.name == "cryptography" else "native"
    monkeypatch.setenv("SMETS1_BACKEND", backend)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        answer = pool.submit(eval, WORK.strip()).result(timeout=60)
        with pytest.raises(ForeignStoreError):
            pool.submit(ContextStore, 1).result(timeout=60)
    with core.context_store(1) as store:
        store.load(0, ek=EK, ak=EK, title=bytes(8), peer=bytes(8))
        assert answer == (backend, store.seal(0, 0x30, b"text"))


def test_a_store_handed_to_a_spawned_worker_is_refused(core) -> None:
    """The mistake shows where it is made, in the parent."""
    with pytest.raises(ForeignStoreError):
        pickle.dumps(core.context_store(1))
    assert isinstance(refusal(FOREIGN), ForeignStoreError)
