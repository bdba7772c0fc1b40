"""The core as proofs call it: the C interface through cffi, memory the proof chooses, tiers the core has.

Two ways to get one: `built` compiles the sources as they stand, `installed` takes the extension of this environment.
Both have the same calls, so a proof does not know which it has.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import accumulate
from random import Random
from typing import Any, Final

from proof.workshop import Missing, Workshop, declarations, demand, named_tiers

OK: Final = 0
TAG: Final = 1
REPLAY: Final = 2
EXHAUSTED: Final = 3
NO_KEY: Final = 4
USAGE: Final = 5
FOREIGN: Final = 6
FRAME: Final = 7
TOP: Final = 0xFFFFFFFF
"""Statuses of sm_api.h, and the counter that is never used."""


@dataclass(frozen=True)
class Keys:
    """What a context is loaded with. Keys have 16 bytes, in suite 2 32; titles 8."""

    ek: bytes
    ak: bytes
    title: bytes
    peer: bytes
    kek: bytes
    suite: int = 0

    @classmethod
    def by(cls, chance: Random, suite: int = 0) -> "Keys":
        """Random keys and titles."""
        size = 32 if suite == 2 else 16
        ek, ak, title, peer, kek = (chance.randbytes(length) for length in (size, size, 8, 8, size))
        return cls(ek, ak, title, peer, kek, suite)

    @property
    def places(self) -> int:
        """Places a context takes in a store."""
        return 2 if self.suite == 2 else 1

    def turned(self) -> "Keys":
        """The other side's view: titles exchanged."""
        return Keys(self.ek, self.ak, self.peer, self.title, self.kek, self.suite)


def places(contexts: Sequence[Keys]) -> list[int]:
    """The index each context has in a store that holds them side by side."""
    return list(accumulate((keys.places for keys in contexts), initial=0))[:-1]


class Core:
    """`ffi` and `lib` of one core."""

    def __init__(self, ffi: Any, lib: Any) -> None:
        self.ffi = ffi
        self.lib = lib
        self.tiers = tuple(name for name in named_tiers() if self._has(name))
        demand("portable" in self.tiers, "the portable tier must be everywhere; found", self.tiers)

    def _has(self, name: str) -> bool:
        with self.on("portable"):
            known: int = self.lib.sm_select(name.encode())
            return known == OK and self.ffi.string(self.lib.sm_selected()).decode() == name

    @contextmanager
    def on(self, tier: str) -> Iterator[None]:
        """Work on this tier; what was chosen before is put back."""
        before = self.ffi.string(self.lib.sm_selected())
        demand(self.lib.sm_select(tier.encode()) == OK, "no tier", tier)
        try:
            yield
        finally:
            self.lib.sm_select(before)

    def plain(self, size: int, shift: int = 0) -> Any:
        """`size` writable bytes, `shift` bytes off a boundary of 16 or more; zero at first."""
        whole = self.ffi.new("uint8_t[]", size + shift + 16)
        start = -int(self.ffi.cast("uintptr_t", whole)) % 16 + shift
        return self.ffi.gc(whole + start, lambda _, kept=whole: None)

    def take(self, memory: Any, size: int) -> bytes:
        """Bytes of a pointer."""
        return bytes(self.ffi.buffer(memory, size)) if size else b""

    def put(self, memory: Any, text: bytes) -> None:
        self.ffi.memmove(memory, text, len(text))

    @contextmanager
    def store(self, *contexts: Keys, spare: int = 1, tx: int = 0, rx: int = 0) -> Iterator[Any]:
        """A store with these contexts side by side from index 0 on and `spare` empty places behind them."""
        handle = self.lib.sm_store_new(sum(keys.places for keys in contexts) + spare)
        demand(handle != self.ffi.NULL, "no memory for a store")
        try:
            for index, keys in zip(places(contexts), contexts, strict=True):
                self.load(handle, index, keys, tx, rx)
            yield handle
        finally:
            self.lib.sm_store_free(handle)

    def load(self, store: Any, index: int, keys: Keys, tx: int = 0, rx: int = 0) -> None:
        what = (keys.ek, keys.ak, keys.title, keys.peer, tx, rx, keys.kek)
        done = self.lib.sm_context_load_suite(store, index, keys.suite, *what)
        demand(done == OK, "load gave", done)

    def counters(self, store: Any, index: int) -> tuple[int, int]:
        """(tx, rx)."""
        out = self.ffi.new("uint8_t[32]")
        demand(self.lib.sm_context_state(store, index, out) == OK, "no state of", index)
        state = bytes(self.ffi.buffer(out))
        return int.from_bytes(state[16:20], "little"), int.from_bytes(state[20:24], "little")


def built(workshop: Workshop) -> Core:
    """The sources as they stand, compiled as the extension is. Raises Missing."""
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(declarations())
    return Core(ffi, ffi.dlopen(str(workshop.library())))


def installed() -> Core:
    """The extension of this environment. Raises Missing."""
    try:
        native = import_module("emulator._native")
    except ImportError as error:
        raise Missing(f"the compiled core is not installed ({error})") from None
    return Core(native.ffi, native.lib)
