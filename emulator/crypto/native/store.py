"""Context store of the compiled core; the promise is in `emulator.crypto.store.StoreBase`.

A message costs one call: index and text go in, the counter comes back, and the text is written into a `bytes` object
that was made for it and that nobody else has yet, as CPython's own `PyBytes_FromStringAndSize(NULL, n)` is meant to be
filled. An output buffer, and a copy out of it, cost a fifth more, and had to be kept apart for threads and wiped.
Everything that decides lies in C; what is left here is sizes of Python objects and names of errors.

Of a batch of lists, cutting the answers apart costs as much as sealing them. A `struct` format cuts many in one
call: 64 slots at a time where all messages have one length, else by a format made for the batch. A slice each costs two
to five times that.
"""

import logging
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate, chain, islice
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from emulator._native import ffi, lib
from emulator.crypto import layout
from emulator.crypto.buffers import BatchBuffers
from emulator.crypto.layout import (
    AUTHENTICATED,
    MASTER,
    OK,
    REPLAY,
    TAG_BYTES,
    USAGE,
    ContextState,
    key_bytes,
    refusal,
)
from emulator.crypto.native.pointers import pointer, pointer_or_null
from emulator.crypto.store import Key, StoreBase
from emulator.errors import EmulatorError, UsageError

if TYPE_CHECKING:
    from emulator._native import CData

_Answer = TypeVar("_Answer")
_seal: Final = lib.sm_seal_one
_open: Final = lib.sm_open_one
_gmac: Final = lib.sm_gmac_one
_gmac_check: Final = lib.sm_gmac_check
_state: Final = lib.sm_context_state
_loaded: Final = lib.sm_context_loaded
_install: Final = lib.sm_context_install
_NULL: Final = ffi.NULL
_STATE: Final = Struct("<8s8sIIII")
_COUNTERS: Final = Struct("<II")
_LEAST: Final = 2
"""A fresh object of fewer bytes may be one that everybody shares."""
_KEPT: Final = 4096
"""Formats of slots for texts up to here are kept."""
_SLOT_MORE: Final = 31
"""A slot is longer than its text by this at most."""
_CUT: Final = 64
"""Slots of one length that are cut apart at once."""
_CUT_SLOT: Final = 1024
"""Longest slot for which that is done: the output has room for a whole cut."""


class _Pieces(dict[int, str]):
    """The `struct` format of a slot by its text's length: the answer, `more` bytes longer or shorter, and the rest."""

    def __init__(self, more: int) -> None:
        self._more = more

    def __missing__(self, length: int) -> str:
        size = max(length + self._more, 0)
        piece = f"{size}s{layout.slot(length) - size}x"
        if length < _KEPT:
            self[length] = piece
        return piece


_PIECES: Final = {more: _Pieces(more) for more in (TAG_BYTES, 0, -TAG_BYTES, 8)}


@lru_cache(maxsize=256)
def _cut(length: int, more: int) -> Struct:
    return Struct(_PIECES[more][length] * _CUT)


def _answers(memory: Any, lengths: Sequence[int], more: int) -> list[bytes]:
    """The answers to texts of these lengths out of their slots, each `more` bytes longer than its text.

    The memory of texts of one length, none of them too long, has room for whole cuts.
    """
    if not lengths:
        return []
    if _alike(lengths):
        return list(islice(chain.from_iterable(_cut(lengths[0], more).iter_unpack(memory)), len(lengths)))
    return list(Struct("".join(map(_PIECES[more].__getitem__, lengths))).unpack_from(memory))


def _alike(lengths: Sequence[int]) -> bool:
    """Whether all are one length, and a short one; the middle is asked first, since to count costs 10 ns each."""
    first = lengths[0]
    return (
        first == lengths[len(lengths) // 2]
        and layout.slot(first) <= _CUT_SLOT
        and lengths.count(first) == len(lengths)
    )


def _check(value: Key | None, size: int, what: str) -> None:
    if value is not None and len(value) != size:
        raise UsageError(f"{what} has {size} bytes, not {len(value)}")


def _column(values: Sequence[int]) -> "CData":
    """A column of 32-bit numbers, by the fastest way there is; OverflowError and TypeError as `array` raises them."""
    return ffi.from_buffer("uint32_t[]", values if isinstance(values, array) else array("I", values))


def _list(column: "CData") -> list[int]:
    return memoryview(ffi.buffer(column)).cast("B").cast("I").tolist()


def _starts(lengths: Sequence[int]) -> list[int]:
    """Where the slots of texts of these lengths begin."""
    return list(accumulate(map(layout.slot, lengths), initial=0))[:-1]


def _controls(security_control: int, count: int) -> bytes:
    if not 0 <= security_control <= 0xFF:
        raise refusal(USAGE)
    return bytes((security_control,)) * count


class ContextStore(StoreBase):
    """`capacity` contexts (1 to 2^24), all empty at first."""

    __slots__ = ("_handle",)

    def __init__(self, capacity: int) -> None:
        if not 0 < capacity <= 1 << 24:
            raise UsageError("a store holds 1 to 2^24 contexts")
        handle = lib.sm_store_new(capacity)
        if handle == _NULL:
            raise MemoryError(f"no memory for {capacity} security contexts")
        self.capacity = capacity
        self._handle = ffi.gc(handle, lib.sm_store_free)
        if not lib.sm_store_locked(self._handle):
            logging.getLogger("emulator.crypto").info(
                "the keys of %d contexts could not be locked in memory (see ulimit -l)", capacity
            )

    # keys and titles

    def load(
        self,
        index: int,
        *,
        ek: Key,
        ak: Key,
        title: bytes,
        peer: bytes,
        tx: int = 0,
        rx: int = 0,
        kek: Key | None = None,
        suite: int = 0,
    ) -> None:
        size = key_bytes(suite)
        if len(ek) != size or len(ak) != size or len(title) != 8 or len(peer) != 8:
            raise UsageError(f"EK and AK have {size} bytes, system titles 8")
        _check(kek, size, "KEK")
        try:
            status = lib.sm_context_load_suite(
                self._handle, index, suite, pointer(ek), pointer(ak), title, peer, tx, rx, pointer_or_null(kek)
            )
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if status != OK:
            raise refusal(-status)

    def install(self, index: int, *, ek: Key | None = None, ak: Key | None = None, reset: bool = False) -> None:
        size = self._key_bytes(index)
        if (ek is not None and len(ek) != size) or (ak is not None and len(ak) != size):
            raise UsageError(f"EK and AK have {size} bytes")
        new_ek = ek if type(ek) is bytes else pointer_or_null(ek)
        new_ak = ak if type(ak) is bytes else pointer_or_null(ak)
        try:
            status = _install(self._handle, index, new_ek, new_ak, reset)
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if status < 0:
            raise refusal(-status)

    def set_master(self, index: int, kek: Key | None) -> None:
        _check(kek, self._key_bytes(index), "KEK")
        self._do(lib.sm_context_set_master, index, pointer_or_null(kek))

    def set_peer(self, index: int, title: bytes) -> None:
        _check(title, 8, "a system title")
        self._do(lib.sm_context_set_peer, index, title)

    def counters(self, index: int) -> tuple[int, int]:
        found = bytes(_STATE.size)
        try:
            status = _state(self._handle, index, found)
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if status < 0:
            raise refusal(-status)
        return _COUNTERS.unpack_from(found, 16)

    def set_counters(self, index: int, *, tx: int | None = None, rx: int | None = None) -> None:
        mask = (tx is not None) | (rx is not None) << 1
        self._do(lib.sm_context_set_counters, index, mask, tx or 0, rx or 0)

    def loaded(self, index: int) -> bool:
        try:
            status = _loaded(self._handle, index)
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if status < 0:
            raise refusal(-status)
        return status > 0

    def state(self, index: int) -> ContextState:
        found = bytes(_STATE.size)
        self._do(_state, index, found)
        title, peer, tx, rx, epoch, flags = _STATE.unpack(found)
        return ContextState(title, peer, tx, rx, epoch, flags & MASTER != 0, flags >> 8)

    def erase(self, index: int) -> None:
        self._do(lib.sm_context_erase, index)

    def export(self, index: int) -> bytearray:
        blob = bytearray(2 * layout.EXPORT_BYTES)
        self._do(lib.sm_context_export, index, ffi.from_buffer("uint8_t[]", blob, require_writable=True))
        del blob[layout.export_bytes(blob) :]
        return blob

    def restore(self, index: int, blob: Key) -> None:
        if len(blob) < layout.EXPORT_BYTES or len(blob) != layout.export_bytes(blob):
            raise UsageError(f"an exported context has {layout.EXPORT_BYTES} bytes (of suite 2 twice that)")
        self._do(lib.sm_context_restore, index, pointer(blob))

    def close(self) -> None:
        handle, self._handle = self._handle, _NULL
        if handle != _NULL:
            ffi.release(handle)

    def _key_bytes(self, index: int) -> int:
        return key_bytes(self._do(lib.sm_context_suite, index))

    # What every association asks for checks its status itself: through here it cost 3.5 calls an exchange.

    def _do(self, call: Callable[..., int], index: int, *arguments: Any) -> int:
        try:
            status = call(self._handle, index, *arguments)
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if status < 0:
            raise refusal(-status)
        return status

    # one message

    def seal(self, index: int, security_control: int, plaintext: bytes) -> tuple[int, bytes]:
        length = len(plaintext)
        try:
            size = length + TAG_BYTES if security_control & AUTHENTICATED else length
            sealed = bytes(size if size > 1 else _LEAST)
            counter = _seal(self._handle, index, security_control, plaintext, length, sealed, size)
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if counter < 0:
            raise refusal(-counter)
        return counter, sealed if size > 1 else sealed[:size]

    def open(self, index: int, security_control: int, invocation_counter: int, text: bytes) -> bytes:
        length = len(text)
        try:
            size = length - TAG_BYTES if security_control & AUTHENTICATED else length
            plain = bytes(size if size > 1 else _LEAST)
            status = _open(self._handle, index, security_control, invocation_counter, text, length, plain, len(plain))
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if status < 0:
            raise refusal(-status, self.counters(index)[1] if status == -REPLAY else 0)
        return plain if size > 1 else plain[:size]

    def gmac(self, index: int, challenge: bytes) -> tuple[int, bytes]:
        tag = bytes(TAG_BYTES)
        try:
            counter = _gmac(self._handle, index, challenge, len(challenge), tag)
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if counter < 0:
            raise refusal(-counter)
        return counter, tag

    def check_gmac(self, index: int, invocation_counter: int, tag: bytes, challenge: bytes) -> None:
        try:
            status = _gmac_check(self._handle, index, invocation_counter, tag, len(tag), challenge, len(challenge))
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if status < 0:
            raise refusal(-status)

    def wrap(self, index: int, key: Key) -> bytes:
        out = ffi.new("uint8_t[]", len(key) + 8)
        self._do(lib.sm_wrap_one, index, pointer(key), len(key), out)
        return bytes(ffi.buffer(out))

    def unwrap(self, index: int, wrapped: bytes) -> bytearray:
        key = bytearray(max(16, len(wrapped) - 8) if len(wrapped) <= 40 else 16)
        out = ffi.from_buffer("uint8_t[]", key, require_writable=True)
        self._do(lib.sm_unwrap_one, index, wrapped, len(wrapped), out)
        return key

    # many messages, as lists

    def _run(
        self,
        call: Callable[..., int],
        indices: Sequence[int],
        texts: Sequence[Key],
        before: Sequence[bytes] = (),
        after: "Sequence[CData]" = (),
    ) -> tuple[bytes | None, Any, list[int]]:
        """Run a batch call over packed lists: (statuses, or None if all are OK; the output's memory; lengths of texts).

        `before` and `after` are the call's columns between index and text, and between output and status.
        """
        count = len(indices)
        lengths = list(map(len, texts))
        if len(lengths) != count:
            raise UsageError("the columns of a batch have one length")
        if lengths and _alike(lengths):
            size = layout.slot(lengths[0]) * (count + -count % _CUT)
        else:
            size = sum(lengths) + _SLOT_MORE * count
        out, status = ffi.new("uint8_t[]", size), ffi.new("uint8_t[]", count + 1)
        joined = bytearray().join(texts)
        try:
            done = call(
                self._handle, count, _column(indices), *before, pointer(joined), len(joined), _NULL,
                _column(lengths), out, size, _NULL, *after, status,
            )  # fmt: skip
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        finally:
            lib.sm_wipe_bytes(ffi.from_buffer("uint8_t[]", joined, require_writable=True), len(joined))
        if done < 0:
            raise refusal(-done)
        return None if done == count else ffi.buffer(status)[:count], ffi.buffer(out), lengths

    def _error(self, status: int, index: int) -> EmulatorError:
        return refusal(status, self.counters(index)[1] if status == REPLAY else 0)

    def _or_errors(
        self, answers: list[_Answer], statuses: bytes | None, indices: Sequence[int]
    ) -> list[_Answer | EmulatorError]:
        """The answers, with an error in the place of each that was refused."""
        if statuses is None:
            return cast("list[_Answer | EmulatorError]", answers)
        return [
            answer if status == OK else self._error(status, index)
            for answer, status, index in zip(answers, statuses, indices, strict=True)
        ]

    def seal_batch(
        self, indices: Sequence[int], security_control: int, plaintexts: Sequence[bytes]
    ) -> list[tuple[int, bytes] | EmulatorError]:
        counters = ffi.new("uint32_t[]", len(indices) + 1)
        controls = _controls(security_control, len(indices))
        statuses, memory, lengths = self._run(lib.sm_seal_batch, indices, plaintexts, (controls,), (counters,))
        sealed = _answers(memory, lengths, TAG_BYTES if security_control & AUTHENTICATED else 0)
        return self._or_errors(list(zip(_list(counters), sealed, strict=False)), statuses, indices)

    def open_batch(
        self, indices: Sequence[int], security_control: int, counters: Sequence[int], texts: Sequence[bytes]
    ) -> list[bytes | EmulatorError]:
        if len(counters) != len(indices):
            raise UsageError("the columns of a batch have one length")
        try:
            column = _column(counters)
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        controls = _controls(security_control, len(indices))
        statuses, memory, lengths = self._run(lib.sm_open_batch, indices, texts, (controls,), (column,))
        opened = _answers(memory, lengths, -TAG_BYTES if security_control & AUTHENTICATED else 0)
        return self._or_errors(opened, statuses, indices)

    def gmac_batch(
        self, indices: Sequence[int], challenges: Sequence[bytes]
    ) -> list[tuple[int, bytes] | EmulatorError]:
        counters = ffi.new("uint32_t[]", len(indices) + 1)
        statuses, memory, lengths = self._run(lib.sm_gmac_batch, indices, challenges, (), (counters,))
        tags = [bytes(memory[start : start + TAG_BYTES]) for start in _starts(lengths)]
        return self._or_errors(list(zip(_list(counters), tags, strict=False)), statuses, indices)

    def wrap_batch(self, indices: Sequence[int], keys: Sequence[Key]) -> list[bytes | EmulatorError]:
        statuses, memory, lengths = self._run(lib.sm_wrap_batch, indices, keys)
        return self._or_errors(_answers(memory, lengths, 8), statuses, indices)

    def unwrap_batch(self, indices: Sequence[int], wrapped: Sequence[bytes]) -> list[bytearray | EmulatorError]:
        statuses, memory, lengths = self._run(lib.sm_unwrap_batch, indices, wrapped)
        view = memoryview(memory)  # no `bytes` of a key, which nobody could wipe
        keys = [
            bytearray(view[start : start + max(length - 8, 0)])
            for start, length in zip(_starts(lengths), lengths, strict=False)
        ]
        memory[:] = bytes(len(memory))
        return self._or_errors(keys, statuses, indices)

    # many messages, in buffers

    def _through(
        self, call: Callable[..., int], batch: BatchBuffers, count: int, *, control: bool, counter: bool
    ) -> int:
        if not 0 <= count <= batch.messages:
            raise refusal(USAGE)
        if batch.native is None:
            kinds = ("uint32_t[]",) * 5 + ("uint8_t[]",) * 4
            batch.native = tuple(
                ffi.from_buffer(kind, cell, require_writable=True)
                for kind, cell in zip(kinds, batch.cells, strict=True)
            )
        contexts, counters, in_offsets, lengths, out_offsets, controls, statuses, text, out = batch.native
        done = call(
            self._handle, count, contexts, *((controls,) if control else ()), text, len(batch.input) - 16, in_offsets,
            lengths, out, len(batch.output), out_offsets, *((counters,) if counter else ()), statuses,
        )  # fmt: skip
        if done < 0:
            raise refusal(-done)
        return done

    def seal_buffers(self, batch: BatchBuffers, count: int) -> int:
        return self._through(lib.sm_seal_batch, batch, count, control=True, counter=True)

    def open_buffers(self, batch: BatchBuffers, count: int) -> int:
        return self._through(lib.sm_open_batch, batch, count, control=True, counter=True)

    def gmac_buffers(self, batch: BatchBuffers, count: int) -> int:
        return self._through(lib.sm_gmac_batch, batch, count, control=False, counter=True)

    def wrap_buffers(self, batch: BatchBuffers, count: int) -> int:
        return self._through(lib.sm_wrap_batch, batch, count, control=False, counter=False)

    def unwrap_buffers(self, batch: BatchBuffers, count: int) -> int:
        return self._through(lib.sm_unwrap_batch, batch, count, control=False, counter=False)
