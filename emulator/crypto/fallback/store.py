"""Context store over `cryptography`: the C core's line, rules and refusals, one message at a time.

The lines lie in a private anonymous mapping that the kernel wipes in a forked child and leaves out of core dumps.
OpenSSL's cipher objects are kept for a few contexts (setting a key costs more than a message) and dropped when a key
changes.
"""

import mmap
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.crypto import layout
from emulator.crypto.buffers import BatchBuffers
from emulator.crypto.fallback import keywrap
from emulator.crypto.fallback.gcm import unseal
from emulator.crypto.layout import COUNTER_MAX, KEY_BYTES, LINE, LINE_BYTES, TAG_BYTES, ContextState
from emulator.crypto.store import Key, StoreBase
from emulator.errors import EmulatorError, NoKeyError, ReplayError, TagError, UsageError

_WIPEONFORK: Final = 18
_DONTDUMP: Final = 16
_KEPT: Final = 512
_EMPTY: Final = memoryview(bytes(LINE_BYTES))
_FLAGS_AT: Final = 50

_T = TypeVar("_T")


def _sized(value: Key, size: int, what: str) -> bytes:
    if len(value) != size:
        raise UsageError(f"{what} has {size} bytes, not {len(value)}")
    return bytes(value)


class _Line:
    """One unpacked line, of suite 2 with its second one; packed back by the store."""

    __slots__ = ("ak", "control", "ek", "epoch", "flags", "peer", "rx", "suite", "title", "tx")

    def __init__(self, raw: memoryview) -> None:
        self.ek: bytes
        self.ak: bytes
        self.title: bytes
        self.peer: bytes
        self.tx: int
        self.rx: int
        self.suite: int
        self.control: int
        self.flags: int
        self.epoch: int
        values = LINE.unpack_from(raw)
        self.ek, self.ak, self.title, self.tx, self.rx = values[:5]
        self.suite, self.control, self.flags, self.epoch, self.peer = values[5:]
        if self.places == 2:
            more_ek, more_ak = LINE.unpack_from(raw, LINE_BYTES)[:2]
            self.ek, self.ak = self.ek + more_ek, self.ak + more_ak

    @property
    def places(self) -> int:
        """Lines the context takes."""
        return 2 if self.suite == layout.SUITE_LONG and self.flags & layout.LOADED else 1

    def packed(self) -> bytes:
        line = LINE.pack(
            self.ek[:KEY_BYTES], self.ak[:KEY_BYTES], self.title, self.tx, self.rx, self.suite, self.control,
            self.flags, self.epoch, self.peer,
        )  # fmt: skip
        if self.places == 1:
            return line
        none = bytes(8)
        return line + LINE.pack(
            self.ek[KEY_BYTES:], self.ak[KEY_BYTES:], none, 0, 0, 0, 0, layout.SECOND, 0, none
        )  # fmt: skip


class ContextStore(StoreBase):
    """`capacity` contexts (1 to 2^24), all empty at first."""

    __slots__ = ("_arena", "_ciphers", "_lines", "_masters", "_owner")

    def __init__(self, capacity: int) -> None:
        if not 0 < capacity <= 1 << 24:
            raise UsageError("a store holds 1 to 2^24 contexts")
        self.capacity = capacity
        self._owner = os.getpid()
        self._ciphers: dict[int, AESGCM] = {}
        self._arena: mmap.mmap | None = mmap.mmap(
            -1, capacity * (LINE_BYTES + KEY_BYTES), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )
        for advice in (_WIPEONFORK, _DONTDUMP):
            try:
                self._arena.madvise(advice)
            except OSError:  # an old kernel; the owner check below still refuses a child
                pass
        view = memoryview(self._arena)
        self._lines = view[: capacity * LINE_BYTES]
        self._masters = view[capacity * LINE_BYTES :]

    # the line

    def _place(self, index: int) -> memoryview:
        if os.getpid() != self._owner:
            raise layout.refusal(layout.FOREIGN)
        if self._arena is None or not 0 <= index < self.capacity:
            raise layout.refusal(layout.USAGE)
        return self._lines[index * LINE_BYTES : (index + 2) * LINE_BYTES]

    def _free_place(self, index: int, places: int) -> None:
        """Whether a context of so many places may stand here. Raises UsageError."""
        if _Line(self._place(index)).flags & layout.SECOND:
            raise UsageError(f"place {index} is the second of the context before it")
        if places == 2 and (index + 1 >= self.capacity or _Line(self._place(index + 1)).flags & layout.LOADED):
            raise UsageError(f"a context of suite 2 needs place {index + 1} too, which is taken or outside")

    def _clear(self, index: int) -> None:
        """Nothing is left of the context that begins here."""
        places = _Line(self._place(index)).places
        self._lines[index * LINE_BYTES : (index + places) * LINE_BYTES] = bytes(places * LINE_BYTES)
        self._masters[index * KEY_BYTES : (index + places) * KEY_BYTES] = bytes(places * KEY_BYTES)
        self._ciphers.pop(index, None)

    def _line(self, index: int) -> _Line:
        line = _Line(self._place(index))
        if not line.flags & layout.LOADED:
            raise NoKeyError(f"context {index} is empty")
        return line

    def _put(self, index: int, line: _Line) -> None:
        packed = line.packed()
        self._lines[index * LINE_BYTES : index * LINE_BYTES + len(packed)] = packed

    def _put_master(self, index: int, kek: bytes) -> None:
        self._masters[index * KEY_BYTES : index * KEY_BYTES + len(kek)] = kek

    def _master(self, index: int) -> bytes:
        line = self._line(index)
        if not line.flags & layout.MASTER:
            raise NoKeyError(f"context {index} has no master key")
        return bytes(self._masters[index * KEY_BYTES : (index + line.places) * KEY_BYTES])

    def _cipher(self, index: int, ek: bytes) -> AESGCM:
        cipher = self._ciphers.get(index)
        if cipher is None:
            if len(self._ciphers) >= _KEPT:
                self._ciphers.clear()
            cipher = self._ciphers[index] = AESGCM(ek)
        return cipher

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
        self._place(index)
        if not 0 <= suite <= layout.SUITE_LONG:
            raise layout.refusal(layout.USAGE)
        if not 0 <= tx <= COUNTER_MAX or not 0 <= rx <= COUNTER_MAX:
            raise UsageError("counters are 0 to FFFFFFFF")
        size = layout.key_bytes(suite)
        line = _Line(_EMPTY)
        line.ek, line.ak = _sized(ek, size, "EK"), _sized(ak, size, "AK")
        line.title, line.peer = _sized(title, 8, "a system title"), _sized(peer, 8, "a system title")
        line.tx, line.rx, line.suite = tx, rx, suite
        line.flags = layout.LOADED | (0 if kek is None else layout.MASTER)
        master = bytes(size) if kek is None else _sized(kek, size, "KEK")
        self._free_place(index, line.places)
        self._clear(index)
        self._put(index, line)
        self._put_master(index, master)

    def install(self, index: int, *, ek: Key | None = None, ak: Key | None = None, reset: bool = False) -> None:
        line = self._line(index)
        if (ek is None and ak is None) or (reset and ek is None):
            raise UsageError("install takes an EK, an AK or both; a reset needs the EK")
        size = layout.key_bytes(line.suite)
        if ak is not None:
            line.ak = _sized(ak, size, "AK")
        if ek is not None and _sized(ek, size, "EK") != line.ek:
            line.ek = bytes(ek)
            line.flags |= layout.FRESH
            if reset:
                line.tx = line.rx = 0
        line.epoch = line.epoch + 1 & 0xFFFFFFFF
        self._put(index, line)
        self._ciphers.pop(index, None)

    def set_master(self, index: int, kek: Key | None) -> None:
        line = self._line(index)
        size = layout.key_bytes(line.suite)
        master = bytes(size) if kek is None else _sized(kek, size, "KEK")
        line.flags = line.flags & ~layout.MASTER | (0 if kek is None else layout.MASTER)
        self._put_master(index, master)
        self._put(index, line)

    def set_peer(self, index: int, title: bytes) -> None:
        line = self._line(index)
        line.peer = _sized(title, 8, "a system title")
        self._put(index, line)

    def counters(self, index: int) -> tuple[int, int]:
        line = self._line(index)
        return line.tx, line.rx

    def set_counters(self, index: int, *, tx: int | None = None, rx: int | None = None) -> None:
        line = self._line(index)
        for value in (tx, rx):
            if value is not None and not 0 <= value <= COUNTER_MAX:
                raise UsageError("counters are 0 to FFFFFFFF")
        if tx is not None:
            if tx < line.tx and not line.flags & layout.FRESH:
                raise UsageError(f"the send counter stands at {line.tx} and only rises under one EK")
            line.tx = tx
        if rx is not None:
            line.rx = rx
        self._put(index, line)

    def loaded(self, index: int) -> bool:
        return bool(_Line(self._place(index)).flags & layout.LOADED)

    def state(self, index: int) -> ContextState:
        line = self._line(index)
        return ContextState(
            line.title, line.peer, line.tx, line.rx, line.epoch, bool(line.flags & layout.MASTER), line.suite
        )

    def erase(self, index: int) -> None:
        self._free_place(index, 1)
        self._clear(index)

    def export(self, index: int) -> bytearray:
        places = self._line(index).places
        blob = bytearray(self._place(index)[: places * LINE_BYTES])
        blob += self._masters[index * KEY_BYTES : (index + places) * KEY_BYTES]
        return blob

    def restore(self, index: int, blob: Key) -> None:
        self._place(index)
        if len(blob) < layout.EXPORT_BYTES or len(blob) != layout.export_bytes(blob):
            raise UsageError(f"an exported context has {layout.EXPORT_BYTES} bytes (of suite 2 twice that)")
        places = len(blob) // layout.EXPORT_BYTES
        lines, master = bytes(blob[: places * LINE_BYTES]), bytes(blob[places * LINE_BYTES :])
        flags, suite, control = lines[_FLAGS_AT] | lines[_FLAGS_AT + 1] << 8, lines[layout.SUITE_AT], lines[49]
        fits = flags & layout.LOADED and not flags & ~layout.FLAGS and suite <= layout.SUITE_LONG
        if not fits or control or _Line(memoryview(lines)).packed() != lines:
            raise UsageError("these bytes are not an exported context")
        self._free_place(index, places)
        self._clear(index)
        self._lines[index * LINE_BYTES : (index + places) * LINE_BYTES] = lines
        self._put_master(index, master)

    def close(self) -> None:
        if self._arena is not None:
            self._ciphers.clear()
            self._lines[:] = bytes(len(self._lines))
            self._masters[:] = bytes(len(self._masters))
            self._lines.release()
            self._masters.release()
            self._arena = None

    # one message

    def _protect(self, index: int, control: int) -> _Line:
        if not 0 <= control <= 0xFF:
            raise layout.refusal(layout.USAGE)
        line = _Line(self._place(index))
        if control & 0x40 or control & 0x0F != (line.suite if line.flags & layout.LOADED else 0):
            raise NoKeyError(f"context {index} holds no key for security control {control:02X}h")
        if control & 0x80 or not control & 0x30:
            raise layout.refusal(layout.USAGE)
        return self._line(index)

    def _spend(self, index: int, line: _Line) -> int:
        if line.tx == COUNTER_MAX:
            raise layout.refusal(layout.EXHAUSTED)
        counter = line.tx
        line.tx += 1
        line.flags &= ~layout.FRESH
        self._put(index, line)
        return counter

    def seal(self, index: int, security_control: int, plaintext: bytes) -> tuple[int, bytes]:
        line = self._protect(index, security_control)
        if len(plaintext) > layout.MESSAGE_MAX:
            raise layout.refusal(layout.USAGE)
        counter = self._spend(index, line)
        iv = line.title + counter.to_bytes(4, "big")
        cipher = self._cipher(index, line.ek)
        head = bytes((security_control,)) + line.ak
        if not security_control & layout.AUTHENTICATED:
            return counter, cipher.encrypt(iv, plaintext, None)[: len(plaintext)]
        if security_control & layout.ENCRYPTED:
            return counter, cipher.encrypt(iv, plaintext, head)[:-4]
        return counter, plaintext + cipher.encrypt(iv, b"", head + plaintext)[:TAG_BYTES]

    def open(self, index: int, security_control: int, invocation_counter: int, text: bytes) -> bytes:
        line = self._protect(index, security_control)
        if len(text) > layout.MESSAGE_MAX or not 0 <= invocation_counter <= COUNTER_MAX:
            raise layout.refusal(layout.USAGE)
        if invocation_counter < line.rx or invocation_counter == COUNTER_MAX:
            raise ReplayError(line.rx)
        iv = line.peer + invocation_counter.to_bytes(4, "big")
        cipher = self._cipher(index, line.ek)
        plaintext: bytes | None
        head = bytes((security_control,)) + line.ak
        if not security_control & layout.AUTHENTICATED:
            plaintext = cipher.encrypt(iv, text, None)[: len(text)]
        elif security_control & layout.ENCRYPTED:
            plaintext = unseal(cipher, iv, head, text, TAG_BYTES)
        elif len(text) < TAG_BYTES:
            plaintext = None
        else:
            plaintext = text[:-TAG_BYTES]
            if unseal(cipher, iv, head + plaintext, text[-TAG_BYTES:], TAG_BYTES) is None:
                plaintext = None
        if plaintext is None:
            raise layout.refusal(layout.TAG)
        line.rx = invocation_counter + 1
        self._put(index, line)
        return plaintext

    @staticmethod
    def _gmac_head(line: _Line) -> bytes:
        return bytes((layout.AUTHENTICATED | line.suite,)) + line.ak

    def gmac(self, index: int, challenge: bytes) -> tuple[int, bytes]:
        line = self._line(index)
        if len(challenge) > layout.MESSAGE_MAX:
            raise layout.refusal(layout.USAGE)
        counter = self._spend(index, line)
        iv = line.title + counter.to_bytes(4, "big")
        return counter, self._cipher(index, line.ek).encrypt(iv, b"", self._gmac_head(line) + challenge)[:TAG_BYTES]

    def check_gmac(self, index: int, invocation_counter: int, tag: bytes, challenge: bytes) -> None:
        line = self._line(index)
        if len(challenge) > layout.MESSAGE_MAX or not 0 <= invocation_counter <= COUNTER_MAX:
            raise layout.refusal(layout.USAGE)
        iv = line.peer + invocation_counter.to_bytes(4, "big")
        cipher = self._cipher(index, line.ek)
        if len(tag) != TAG_BYTES or unseal(cipher, iv, self._gmac_head(line) + challenge, tag, TAG_BYTES) is None:
            raise layout.refusal(layout.TAG)
        if invocation_counter >= line.rx:
            line.rx = min(invocation_counter + 1, COUNTER_MAX)
            self._put(index, line)

    def wrap(self, index: int, key: Key) -> bytes:
        master = self._master(index)
        return keywrap.wrap(master, _sized(key, len(master), "a key to be wrapped"))

    def unwrap(self, index: int, wrapped: bytes) -> bytearray:
        master = self._master(index)
        if len(wrapped) != len(master) + 8:
            raise TagError(f"a wrapped key has {len(master) + 8} bytes, not {len(wrapped)}")
        return keywrap.unwrap(master, wrapped)

    # many messages

    def _each(self, one: Callable[..., _T], *columns: Sequence[Any]) -> list[_T | EmulatorError]:
        if len({len(column) for column in columns}) > 1:
            raise UsageError("the columns of a batch have one length")
        if any(not 0 <= index <= 0xFFFFFFFF for index in columns[0]):
            raise UsageError("an index of a batch is no context's number")
        self._place(0)
        answers: list[_T | EmulatorError] = []
        for row in zip(*columns, strict=True):
            try:
                answers.append(one(*row))
            except EmulatorError as error:
                answers.append(error)
        return answers

    def seal_batch(
        self, indices: Sequence[int], security_control: int, plaintexts: Sequence[bytes]
    ) -> list[tuple[int, bytes] | EmulatorError]:
        return self._each(lambda index, text: self.seal(index, security_control, text), indices, plaintexts)

    def open_batch(
        self, indices: Sequence[int], security_control: int, counters: Sequence[int], texts: Sequence[bytes]
    ) -> list[bytes | EmulatorError]:
        if any(not 0 <= counter <= COUNTER_MAX for counter in counters):
            raise UsageError("a counter of a batch is 0 to FFFFFFFF")
        answers = self._each(
            lambda index, counter, text: self.open(index, security_control, counter, text), indices, counters, texts
        )
        return [
            ReplayError(self.counters(index)[1]) if isinstance(answer, ReplayError) else answer
            for index, answer in zip(indices, answers, strict=True)
        ]

    def gmac_batch(
        self, indices: Sequence[int], challenges: Sequence[bytes]
    ) -> list[tuple[int, bytes] | EmulatorError]:
        return self._each(self.gmac, indices, challenges)

    def wrap_batch(self, indices: Sequence[int], keys: Sequence[Key]) -> list[bytes | EmulatorError]:
        return self._each(self.wrap, indices, keys)

    def unwrap_batch(self, indices: Sequence[int], wrapped: Sequence[bytes]) -> list[bytearray | EmulatorError]:
        return self._each(self.unwrap, indices, wrapped)

    def _through(self, batch: BatchBuffers, count: int, one: Callable[[int, int, bytes], bytes | bytearray]) -> int:
        """Run `one(message number, context, text)` over the buffers; the C core's bounds and zeroing."""
        self._place(0)
        if not 0 <= count <= batch.messages:
            raise layout.refusal(layout.USAGE)
        good = 0
        for k in range(count):
            start, length, target = batch.in_offsets[k], batch.lengths[k], batch.out_offsets[k]
            end = target + layout.slot(length)
            if start + length > len(batch.input) - 16 or end > len(batch.output):
                batch.statuses[k] = layout.USAGE
                continue
            try:
                answer = one(k, batch.contexts[k], bytes(batch.input[start : start + length]))
            except EmulatorError as error:
                batch.statuses[k] = layout.status(error)
                batch.output[target:end] = bytes(end - target)
                continue
            batch.output[target : target + len(answer)] = answer
            batch.statuses[k] = layout.OK
            good += 1
        return good

    def seal_buffers(self, batch: BatchBuffers, count: int) -> int:
        def one(k: int, index: int, text: bytes) -> bytes:
            batch.counters[k], sealed = self.seal(index, batch.controls[k], text)
            return sealed

        return self._through(batch, count, one)

    def open_buffers(self, batch: BatchBuffers, count: int) -> int:
        return self._through(
            batch, count, lambda k, index, text: self.open(index, batch.controls[k], batch.counters[k], text)
        )

    def gmac_buffers(self, batch: BatchBuffers, count: int) -> int:
        def one(k: int, index: int, text: bytes) -> bytes:
            batch.counters[k], tag = self.gmac(index, text)
            return tag

        return self._through(batch, count, one)

    def wrap_buffers(self, batch: BatchBuffers, count: int) -> int:
        return self._through(batch, count, lambda _, index, text: self.wrap(index, text))

    def unwrap_buffers(self, batch: BatchBuffers, count: int) -> int:
        return self._through(batch, count, lambda _, index, text: self.unwrap(index, text))
