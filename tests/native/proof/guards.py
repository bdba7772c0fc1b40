"""Not a byte outside a buffer is read or written: pages without access stand before and behind each.

AddressSanitizer does not see all that intrinsics load; a guard page does. Everything a call is given, offsets and
statuses included, ends at a page that faults, and in a second round begins behind one. It happens in a forked child,
so that a fault is a finding and not the end of the proof. The first child is told of a byte more than there is, and
must fault: then the pages do guard.
"""

import faulthandler
import json
import os
import signal
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

import cffi
from proof.batch import MANNERS, Row, run
from proof.core import OK, Core, Keys
from proof.differential import CONTROLS, Pair
from proof.setting import Counts, Setting
from proof.workshop import Failed, demand

_POSIX: Final = cffi.FFI()
_POSIX.cdef(
    "void *mmap(void *, size_t, int, int, int, long); int mprotect(void *, size_t, int); int munmap(void *, size_t);"
)
_READ_WRITE, _PRIVATE_ANONYMOUS = 3, 0x22
_PAGE: Final = os.sysconf("SC_PAGESIZE")
_CONTEXTS: Final = 8


class Pages:
    """Blocks between two pages that fault; `at_end` says which of the two a block touches."""

    def __init__(self, core: Core, at_end: bool) -> None:
        self._core, self._at_end = core, at_end
        self._libc = _POSIX.dlopen(None)
        self._held: list[tuple[Any, int]] = []

    def block(self, size: int) -> Any:
        """`size` bytes; the byte behind (or before) them faults."""
        inside = max(1, -(-size // _PAGE)) * _PAGE
        whole = inside + 2 * _PAGE
        base = self._libc.mmap(_POSIX.NULL, whole, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
        start = int(_POSIX.cast("uintptr_t", base))
        for edge in (start, start + _PAGE + inside):
            demand(self._libc.mprotect(_POSIX.cast("void *", edge), _PAGE, 0) == 0, "no guard pages here")
        self._held.append((base, whole))
        return self._core.ffi.cast("uint8_t *", start + _PAGE + (inside - size if self._at_end else 0))

    def holding(self, text: bytes) -> Any:
        """A block of just these bytes."""
        block = self.block(len(text))
        self._core.put(block, text)
        return block

    def give_back(self) -> None:
        while self._held:
            self._libc.munmap(*self._held.pop())


def in_child(work: Callable[[Callable[[str], None]], Counts]) -> Counts:
    """What `work` counts, in a forked child. It is given a function to say where it stands.

    Raises Failed with what the child raised, or where it stood when a signal ended it.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        faulthandler.disable()
        with os.fdopen(write, "w", buffering=1) as pipe:
            try:
                print(json.dumps(work(lambda step: print(f"at {step}", file=pipe))), file=pipe)
            except BaseException as error:
                print(f"raised {type(error).__name__}: {error}", file=pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        last = ["at its beginning", *pipe.read().splitlines()][-1]
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise Failed(f"{signal.Signals(os.WTERMSIG(status)).name} {last}")
    if not last.startswith("{"):
        raise Failed(last)
    counts: Counts = json.loads(last)
    return counts


def guard_pages(setting: Setting) -> Counts:
    """Batches of every operation and manner, and every call for one message, on every tier."""
    core = setting.core

    def planted(_: Callable[[str], None]) -> Counts:
        pages = Pages(core, at_end=True)
        out, text = pages.block(32), pages.holding(bytes(16))
        core.lib.sm_gcm_seal(bytes(16), 16, bytes(12), b"", 0, text, 17, out, 12)
        return {}

    try:
        in_child(planted)
    except Failed as fault:
        demand(str(fault).startswith("SIGSEGV"), "the planted fault ended otherwise:", fault)
    else:
        raise Failed("a byte behind a buffer was read and nobody saw it: these pages guard nothing")
    return in_child(lambda say: _every(core, setting.quick, say))


def _every(core: Core, quick: bool, say: Callable[[str], None]) -> Counts:
    counts = {"batches": 0, "messages": 0}
    for tier in core.tiers:
        for at_end in (True, False):
            with core.on(tier):
                _batches(core, Pages(core, at_end), quick, counts, partial(_say, say, tier))
                _ones(core, Pages(core, at_end), quick, counts, partial(_say, say, tier))
    return counts


def _say(say: Callable[[str], None], tier: str, step: str) -> None:
    say(f"{tier}, {step}")


def _batches(core: Core, pages: Pages, quick: bool, counts: Counts, say: Callable[[str], None]) -> None:
    chance = Random(5)
    keys = [Keys.by(chance, suite) for suite in (0, 2, 0, 2, 1, 0, 0, 2)]
    with core.store(*keys) as ours, core.store(*(each.turned() for each in keys)) as theirs:
        pair = Pair(core, chance, ours, theirs, keys, pages.block)

        def go(rows: list[Row], manner: str, step: str) -> None:
            say(f"{step}, {manner}")
            counts["batches"] += 3
            counts["messages"] += pair.there_and_back(rows, manner)
            pages.give_back()

        for length in range(0, 330, 29 if quick else 1):
            for size in (1, 8, 9):
                rows = [pair.row(n % _CONTEXTS, chance.randbytes(length)) for n in range(size)]
                go(rows, MANNERS[length % 3], f"{size} messages of {length} bytes")
        for size in (3, 40) if quick else (*range(1, 41), 1030):
            for manner in MANNERS:
                rows = [pair.any_row(size % 2 == 0) for _ in range(size)]
                go(rows, manner, f"{size} mixed messages")
                say(f"{size} keys, {manner}")
                some = [pair.key_row(chance.randrange(_CONTEXTS)) for _ in range(size)]
                counts["messages"] += pair.keys_there_and_back(some, manner)
                odd = [pair.row(n % _CONTEXTS, chance.randbytes(chance.randrange(40))) for n in range(size)]
                run(core, ours, "unwrap", odd, manner=manner, chance=chance, memory=pages.block)
                counts["messages"] += size
                counts["batches"] += 3
                pages.give_back()


def _ones(core: Core, pages: Pages, quick: bool, counts: Counts, say: Callable[[str], None]) -> None:
    chance, lib = Random(6), core.lib
    ek, ak, title, peer, kek = (pages.holding(chance.randbytes(n)) for n in (16, 16, 8, 8, 16))
    store, salt = lib.sm_store_new(1), pages.holding(bytes(4))
    demand(lib.sm_context_load(store, 0, ek, ak, title, title, 0, 0, kek) == OK, "not loaded")
    for call, size in ((lib.sm_context_state, 32), (lib.sm_context_export, 80)):
        demand(call(store, 0, pages.block(size)) == OK, "no state")
    demand(lib.sm_context_set_peer(store, 0, peer) == OK, "no peer")
    demand(lib.sm_context_set_peer(store, 0, title) == OK, "no peer")
    for length in range(0, 600, 53 if quick else 1):
        say(f"{length} bytes alone")
        text = pages.holding(chance.randbytes(length))
        for control in CONTROLS:
            size = length + (0 if control == 0x20 else 12)
            out = pages.block(length + 12)
            counter = lib.sm_seal_one(store, 0, control, text, length, out, length + 12)
            sealed, back = pages.holding(core.take(out, size)), pages.block(size)
            demand(lib.sm_open_one(store, 0, control, counter, sealed, size, back, size) == length, "not opened")
        tag = pages.block(12)
        counter = lib.sm_gmac_one(store, 0, text, length, tag)
        demand(lib.sm_gmac_check(store, 0, counter, tag, 12, text, length) == OK, "the tag does not hold")
        for key_size, tag_size in ((16, 12), (32, 16)):
            key, iv, aad = (pages.holding(chance.randbytes(n)) for n in (key_size, 12, length % 67))
            whole, plain = pages.block(length + tag_size), pages.block(length)
            lib.sm_gcm_seal(key, key_size, iv, aad, length % 67, text, length, whole, tag_size)
            done = lib.sm_gcm_open(key, key_size, iv, aad, length % 67, whole, length + tag_size, plain, tag_size)
            demand(done == OK, "given keys do not open")
            ours, theirs = (lib.sm_sa_new(7, key, key_size, salt, 1, 0, 0) for _ in range(2))
            room = length + 16 + 3 + 2 + 16
            packet = pages.block(room)
            came = lib.sm_esp_seal(ours, text, length, 4, packet, room)
            exact, inner = pages.holding(core.take(packet, came)), pages.block(came)
            demand(lib.sm_esp_open(theirs, exact, came, inner, came) == 4 << 32 | length, "no packet")
            lib.sm_sa_free(ours)
            lib.sm_sa_free(theirs)
        if length % 8 == 0 and 16 <= length <= 64:
            wrapped, key = pages.block(length + 8), pages.block(length)
            demand(lib.sm_key_wrap(ek, 16, text, length, wrapped) == OK, "not wrapped")
            demand(lib.sm_key_unwrap(ek, 16, wrapped, length + 8, key) == OK, "not unwrapped")
        counts["messages"] += 12
    key, wrapped = pages.holding(bytes(16)), pages.block(24)
    demand(lib.sm_wrap_one(store, 0, key, 16, wrapped) == OK, "not wrapped")
    demand(lib.sm_unwrap_one(store, 0, wrapped, 24, key) == OK, "not unwrapped")
    lib.sm_store_free(store)
    pages.give_back()
