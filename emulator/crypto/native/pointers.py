"""Python bytes as pointers: `bytes` go into a call as they are, anything writable through the buffer interface."""

from typing import TYPE_CHECKING

from emulator._native import ffi
from emulator.crypto.store import Key

if TYPE_CHECKING:
    from emulator._native import CData


def pointer(value: Key) -> "bytes | CData":
    """What a call may be given for `value`; no copy of a key is made."""
    return value if type(value) is bytes else ffi.from_buffer("uint8_t[]", value)


def pointer_or_null(value: Key | None) -> "bytes | CData":
    """As `pointer`, with NULL for None."""
    return ffi.NULL if value is None else pointer(value)
