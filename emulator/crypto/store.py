"""What a context store promises, whichever core keeps it.

A context is one security association of one side of one device: two keys, two titles, two counters and perhaps a master
key. Keys go in and never come out, except as an export for a row. The store assigns send counters and checks
received ones itself, so no caller can seal two messages under one counter, and a frame with a wrong tag moves nothing.

A store belongs to the process that made it: its memory is wiped in a forked child and it cannot be pickled. Threads may
share it: no counter is given out twice and no key changes under a message, whatever the threads do. The `*_buffers`
calls of the compiled core run beside each other, each on its own `BatchBuffers`; threads that keep to contexts of their
own (index modulo threads) do not wait for each other. Everything else waits its turn. `close` comes last.

A context is of suite 0 or 1 (AES-128) or 2 (AES-256, keys of 32 bytes); one of suite 2 at `index` takes `index + 1`
too, which is then no context's number. Python `bytes` cannot be wiped: who minds hands keys in as `bytearray` and wipes
them afterwards.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NoReturn, Self, TypeAlias

from emulator.crypto.buffers import BatchBuffers
from emulator.crypto.layout import ContextState
from emulator.errors import EmulatorError, ForeignStoreError

Key: TypeAlias = bytes | bytearray | memoryview


class StoreBase(ABC):
    """Both stores. Every method raises ForeignStoreError in another process and UsageError outside `capacity`."""

    __slots__ = ("__weakref__", "capacity")

    capacity: int

    # keys and titles

    @abstractmethod
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
        """Fill context `index`, wiping all that stood there, its master key too.

        Keys 16 bytes (in suite 2 32), titles 8; `title` is our own, `peer` the other side's. `tx` is the next counter
        to be used, `rx` the lowest acceptable one (0 to FFFFFFFF). Raises UsageError for any other size, for a
        context of suite 2 whose next place is taken or outside, and for the second place of such a one.
        """

    @abstractmethod
    def install(self, index: int, *, ek: Key | None = None, ak: Key | None = None, reset: bool = False) -> None:
        """Replace one key or both at once; the epoch grows by one.

        Counters stay; with `reset` both return to 0, provided the EK really changed (under an unchanged EK
        a counter must never come again). Raises NoKeyError for an empty context, UsageError for a reset without EK.
        """

    @abstractmethod
    def set_master(self, index: int, kek: Key | None) -> None:
        """Set the master key (as long as the others), or forget it (None). Raises NoKeyError for an empty context."""

    @abstractmethod
    def set_peer(self, index: int, title: bytes) -> None:
        """Set the peer's system title (8 bytes). Raises NoKeyError for an empty context."""

    @abstractmethod
    def counters(self, index: int) -> tuple[int, int]:
        """(tx, rx): next counter to be used, lowest acceptable one."""

    @abstractmethod
    def set_counters(self, index: int, *, tx: int | None = None, rx: int | None = None) -> None:
        """Move counters. `tx` only rises, unless a new EK was installed and nothing was sealed under it yet.

        Raises UsageError for a falling `tx`.
        """

    @abstractmethod
    def loaded(self, index: int) -> bool:
        """Whether the context holds keys."""

    @abstractmethod
    def state(self, index: int) -> ContextState:
        """Titles, counters, epoch; no keys. Raises NoKeyError for an empty context."""

    @abstractmethod
    def erase(self, index: int) -> None:
        """Wipe the context and its master key."""

    @abstractmethod
    def export(self, index: int) -> bytearray:
        """80 bytes for a row (of suite 2 160): lines and master key, in clear. Wipe them after use."""

    @abstractmethod
    def restore(self, index: int, blob: Key) -> None:
        """Take back what `export` gave. Raises UsageError for bytes that no export gave."""

    @abstractmethod
    def close(self) -> None:
        """Wipe and give back all memory; every later call raises UsageError. Closing twice is harmless."""

    # one message

    @abstractmethod
    def seal(self, index: int, security_control: int, plaintext: bytes) -> tuple[int, bytes]:
        """(invocation counter, protected text with its 12-byte tag) under our own title.

        `security_control`: 10h authenticated, 20h encrypted (no tag), 30h both, plus the suite. Raises NoKeyError
        (empty context; another suite; broadcast bit set), CounterExhaustedError (tx stands at FFFFFFFF), UsageError
        (compression, or no protection at all). Green Book 9.2.3.3.7.
        """

    @abstractmethod
    def open(self, index: int, security_control: int, invocation_counter: int, text: bytes) -> bytes:
        """The plaintext of a message from our peer; `rx` becomes its counter + 1.

        Raises ReplayError (counter below rx, or FFFFFFFF), TagError (also for a text shorter than its tag), NoKeyError
        and UsageError as `seal`. After any refusal nothing has changed.
        """

    @abstractmethod
    def gmac(self, index: int, challenge: bytes) -> tuple[int, bytes]:
        """(invocation counter, 12-byte tag) over SC 1xh, AK and `challenge`: HLS mechanism 5, passes 3 and 4."""

    @abstractmethod
    def check_gmac(self, index: int, invocation_counter: int, tag: bytes, challenge: bytes) -> None:
        """Check the peer's HLS tag. Raises TagError.

        The challenge makes it fresh, so a counter below `rx` is not refused: the APDU that carries the tag is sealed
        after it and opened before it. Success lifts `rx` above the counter.
        """

    @abstractmethod
    def wrap(self, index: int, key: Key) -> bytes:
        """`key` (16 bytes, in suite 2 32) under the master key, 8 bytes longer; RFC 3394.

        Raises NoKeyError without a master key, UsageError for a key of another length.
        """

    @abstractmethod
    def unwrap(self, index: int, wrapped: bytes) -> bytearray:
        """The key out of `wrapped`; wipe it after use. Raises TagError (any wrong length too), NoKeyError."""

    # many messages, as lists; an element that is refused is its error, and does not stop the others

    @abstractmethod
    def seal_batch(
        self, indices: Sequence[int], security_control: int, plaintexts: Sequence[bytes]
    ) -> list[tuple[int, bytes] | EmulatorError]:
        """`seal` for each; two messages of one context take their counters in the order given."""

    @abstractmethod
    def open_batch(
        self, indices: Sequence[int], security_control: int, counters: Sequence[int], texts: Sequence[bytes]
    ) -> list[bytes | EmulatorError]:
        """`open` for each, in the order given; a ReplayError says what is acceptable after the whole batch."""

    @abstractmethod
    def gmac_batch(
        self, indices: Sequence[int], challenges: Sequence[bytes]
    ) -> list[tuple[int, bytes] | EmulatorError]:
        """`gmac` for each."""

    @abstractmethod
    def wrap_batch(self, indices: Sequence[int], keys: Sequence[Key]) -> list[bytes | EmulatorError]:
        """`wrap` for each."""

    @abstractmethod
    def unwrap_batch(self, indices: Sequence[int], wrapped: Sequence[bytes]) -> list[bytearray | EmulatorError]:
        """`unwrap` for each."""

    # many messages, in buffers; returns how many went well

    @abstractmethod
    def seal_buffers(self, batch: BatchBuffers, count: int) -> int:
        """Seal the first `count` messages; fills `counters` and `statuses`; failed output slots are zeroed."""

    @abstractmethod
    def open_buffers(self, batch: BatchBuffers, count: int) -> int:
        """Open the first `count` messages under the given `counters`; failed output slots are zeroed."""

    @abstractmethod
    def gmac_buffers(self, batch: BatchBuffers, count: int) -> int:
        """Tags (12 bytes) over the first `count` challenges; fills `counters` and `statuses`."""

    @abstractmethod
    def wrap_buffers(self, batch: BatchBuffers, count: int) -> int:
        """Wrap the first `count` keys; output slots hold 8 bytes more each."""

    @abstractmethod
    def unwrap_buffers(self, batch: BatchBuffers, count: int) -> int:
        """Unwrap the first `count` wrapped keys; output slots hold 8 bytes less each."""

    def __reduce__(self) -> NoReturn:
        raise ForeignStoreError("a context store cannot be pickled or copied; load keys anew where they are used")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
