"""What the twins share: how a refusal travels inside one, and lengths.

Inside a twin a refusal is a `Refusal` (which place, why) and a cut frame is whatever Python says about an index that is
not there; at the twin's edge `refused` turns either into the one error, in the name of the frame that was asked for.
A try block costs nothing in CPython 3.11 and later until something is raised.

Builders take `Any`: what is no value of their frame is theirs to refuse, and compiled code would refuse it before them.
"""

import struct
from typing import Final

from emulator.codecs.codec import VALUE_ERRORS
from emulator.errors import FrameError


class Refusal(Exception):
    """Why, and at which byte."""

    def __init__(self, reason: str, offset: int = -1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


PARSE_ERRORS: Final = (Refusal, IndexError, struct.error, UnicodeDecodeError)
BUILD_ERRORS: Final = (Refusal, *VALUE_ERRORS)


def refused(codec: str, data: bytes, error: Exception) -> FrameError:
    """The error for bytes that a twin could not read."""
    if isinstance(error, Refusal):
        return FrameError(codec, error.reason, error.offset)
    if isinstance(error, UnicodeDecodeError):
        return FrameError(codec, f"not {error.encoding}: {error.reason}")
    return FrameError(codec, f"cut after {len(data)} bytes", len(data))


def unbuildable(codec: str, error: Exception) -> FrameError:
    """The error for a value that a twin could not write."""
    if isinstance(error, Refusal):
        return FrameError(codec, error.reason)
    return FrameError(codec, f"{type(error).__name__}: {error}")


def long_length(data: bytes, at: int) -> tuple[int, int]:
    """A length at `at`, and where it ends. Callers take the one-byte form themselves and come here for the rest."""
    first = data[at]
    if first < 0x80:
        return first, at + 1
    if not 0x81 <= first <= 0x84:
        raise Refusal(f"no length begins with {first:#04x}", at)
    end = at + 1 + (first & 0x7F)
    if end > len(data):
        raise IndexError
    return int.from_bytes(data[at + 1 : end], "big"), end


def octets(data: bytes, at: int) -> tuple[bytes, int]:
    """An octet string at `at`, and where it ends."""
    length = data[at]
    start = at + 1
    if length >= 0x80:
        length, start = long_length(data, at)
    end = start + length
    if end > len(data):
        raise IndexError
    return data[start:end], end


_SHORT: Final = tuple(bytes([i]) for i in range(128))


def length_bytes(length: int) -> bytes:
    """A length in its shortest form."""
    if length < 0x80:
        return _SHORT[length]
    if length >= 1 << 32:
        raise Refusal("a length has at most 32 bits")
    count = (length.bit_length() + 7) // 8
    return bytes((0x80 | count,)) + length.to_bytes(count, "big")


def with_length(value: bytes | bytearray) -> bytes:
    """An octet string."""
    if not isinstance(value, bytes | bytearray):
        raise Refusal(f"a {type(value).__name__} where bytes belong")
    return length_bytes(len(value)) + value
