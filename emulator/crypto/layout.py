"""The context line: 64 bytes that hold all one message needs, the same in C and in Python.

One cache line per security context: EK 16 | AK 16 | system title 8 | tx 4 | rx 4 | suite 1, security control 1,
flags 2 | key epoch 4 | peer title 8, integers little-endian. The master key stands apart (cold). An exported context
is the line followed by the 16 bytes of the master key, and means the same to both backends.

A context of suite 2 has keys of 32 bytes and takes two adjacent places: the second line has the second halves of EK and
AK where the first has the first ones, and nothing else but the flag SECOND. Its export is both lines and the 32 bytes
of the master key.
"""

from struct import Struct
from typing import Final

import msgspec

from emulator.errors import (
    CounterExhaustedError,
    EmulatorError,
    ForeignStoreError,
    FrameError,
    NoKeyError,
    ReplayError,
    TagError,
    UsageError,
)

LINE: Final = Struct("<16s16s8sIIBBHI8s")
LINE_BYTES: Final = LINE.size
KEY_BYTES: Final = 16
TITLE_BYTES: Final = 8
TAG_BYTES: Final = 12
EXPORT_BYTES: Final = LINE_BYTES + KEY_BYTES

SUITE_AT: Final = 48
"""Place of the suite in a line."""

COUNTER_MAX: Final = 0xFFFFFFFF
"""Never sent and never accepted: a counter that stands here is spent."""

MESSAGE_MAX: Final = 1 << 24
"""Longest text the core takes, in bytes; far above any APDU."""

AUTHENTICATED: Final = 0x10
ENCRYPTED: Final = 0x20
PROTECTED: Final = 0x30
"""Security control values the core accepts: unicast key, no compression; the suite's number is added."""

SUITE_LONG: Final = 2
"""The suite with AES-256; suites 0 and 1 have AES-128."""

LOADED: Final = 1
FRESH: Final = 2
MASTER: Final = 4
SECOND: Final = 8
FLAGS: Final = LOADED | FRESH | MASTER
"""Line flags. FRESH: a new EK was installed and nothing has been sealed under it yet. SECOND stands alone."""

OK: Final = 0
TAG: Final = 1
REPLAY: Final = 2
EXHAUSTED: Final = 3
NO_KEY: Final = 4
USAGE: Final = 5
FOREIGN: Final = 6
FRAME: Final = 7
"""Status of one message in a batch; the C core returns the same numbers (negated from the `*_one` calls)."""


_STATUSES: Final[tuple[tuple[type[EmulatorError], int], ...]] = (
    (TagError, TAG),
    (ReplayError, REPLAY),
    (CounterExhaustedError, EXHAUSTED),
    (NoKeyError, NO_KEY),
    (ForeignStoreError, FOREIGN),
    (FrameError, FRAME),
)


class ContextState(msgspec.Struct, gc=False, frozen=True):
    """What may be known of a context without knowing a key.

    `tx` is the next counter to be used, `rx` the lowest acceptable one; `epoch` counts key installations; `suite` is 0,
    1 or 2.
    """

    title: bytes
    peer: bytes
    tx: int
    rx: int
    epoch: int
    has_master: bool
    suite: int = 0


def refusal(status: int, expected: int = 0) -> EmulatorError:
    """The error for a status other than OK. `expected` is the lowest acceptable counter, for REPLAY."""
    if status == TAG:
        return TagError("the tag does not hold: wrong key or changed bytes")
    if status == REPLAY:
        return ReplayError(expected)
    if status == EXHAUSTED:
        return CounterExhaustedError("the send counter stands at its maximum; install a new key first")
    if status == NO_KEY:
        return NoKeyError("the context holds no key of the kind asked for")
    if status == FOREIGN:
        return ForeignStoreError("keys belong to the process that loaded them; this is another one")
    if status == FRAME:
        return FrameError("esp", "authentic, but its padding is not 1, 2, 3, ...")
    return UsageError("index, security control, length or buffer against the contract, or the store is closed")


def status(error: EmulatorError) -> int:
    """The status for an error that `refusal` may give."""
    for kind, number in _STATUSES:
        if isinstance(error, kind):
            return number
    return USAGE


def slot(length: int) -> int:
    """Bytes an output slot takes for a text of `length` bytes: rounded up to 16, plus 16 for the tag."""
    return (length + 15 & ~15) + 16


def key_bytes(suite: int) -> int:
    """Bytes of EK, AK, KEK and of a wrapped key's inside: 16, in suite 2 32."""
    return 2 * KEY_BYTES if suite == SUITE_LONG else KEY_BYTES


def export_bytes(blob: bytes | bytearray | memoryview) -> int:
    """Bytes an exported context has that begins like `blob` (at least one line)."""
    return EXPORT_BYTES * (2 if blob[SUITE_AT] == SUITE_LONG else 1)
