"""A-XDR data: the typed values COSEM attributes are made of (IEC 61334-6; DLMS UA 1000-2 9.5 `Data`).

A value is a pair (tag, value) and not a class per type: a day of half-hours holds hundreds of them, and a tuple is the
cheapest thing Python can make. Makers (`double_long_unsigned(5)`) write them; they check nothing, because `DATA.build`
does: ranges are refused there, once, on either rung.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final, NamedTuple

MAX_DEPTH: Final = 32
"""Deepest nesting of arrays and structures that a decoder follows (the outermost value is depth 1)."""

MAX_ITEMS: Final = 262_144
"""Most values in one datum, nested ones counted: a hostile kilobyte must not become a gigabyte of objects."""

MAX_BYTES: Final = 4 * 1024 * 1024
"""Longest encoded datum, for answers reassembled from blocks."""


class Tag(IntEnum):
    """Choice tags of `Data` (DLMS UA 1000-2 9.5)."""

    NULL = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27
    DELTA_INTEGER = 28
    DELTA_LONG = 29
    DELTA_DOUBLE_LONG = 30
    DELTA_UNSIGNED = 31
    DELTA_LONG_UNSIGNED = 32
    DELTA_DOUBLE_LONG_UNSIGNED = 33
    DONT_CARE = 255


class Data(NamedTuple):
    """One datum. `tag` is a plain int (see `Tag`); `value` by tag:

    array, structure: tuple[Data, ...]; compact array: `CompactArray`; null, don't-care: None; boolean: bool; bit
    string: str of "0" and "1", first bit first; octet string, date-time (12), date (5), time (4): bytes; visible string (ASCII)
    and utf8 string: str; floats: float; everything else: int in the range of its type.
    """

    tag: int
    value: Any


class TypeDescription(NamedTuple):
    """What every element of a compact array looks like. `parts` is used by structure (any number) and array (exactly
    one); `length` by array alone (0 to 65,535)."""

    tag: int
    parts: tuple["TypeDescription", ...] = ()
    length: int = 0


class CompactArray(NamedTuple):
    """The value of tag 19: one description, then elements that carry no tags of their own."""

    description: TypeDescription
    items: tuple[Data, ...]


_NULL: Final = Data(0, None)


def null() -> Data:
    return _NULL


def dont_care() -> Data:
    return Data(255, None)


def array(items: Iterable[Data]) -> Data:
    return Data(1, tuple(items))


def structure(items: Iterable[Data]) -> Data:
    return Data(2, tuple(items))


def boolean(value: bool) -> Data:
    return Data(3, value)


def bit_string(bits: str) -> Data:
    """`bits` as text, first bit first: "0101"."""
    return Data(4, bits)


def double_long(value: int) -> Data:
    """32 bits, signed."""
    return Data(5, value)


def double_long_unsigned(value: int) -> Data:
    """32 bits."""
    return Data(6, value)


def octet_string(value: bytes) -> Data:
    return Data(9, value)


def visible_string(value: str) -> Data:
    """ASCII text."""
    return Data(10, value)


def utf8_string(value: str) -> Data:
    return Data(12, value)


def bcd(value: int) -> Data:
    """8 bits, signed (the standard makes it an Integer8)."""
    return Data(13, value)


def integer(value: int) -> Data:
    """8 bits, signed."""
    return Data(15, value)


def long(value: int) -> Data:
    """16 bits, signed."""
    return Data(16, value)


def unsigned(value: int) -> Data:
    """8 bits."""
    return Data(17, value)


def long_unsigned(value: int) -> Data:
    """16 bits."""
    return Data(18, value)


def compact_array(description: TypeDescription, items: Iterable[Data]) -> Data:
    return Data(19, CompactArray(description, tuple(items)))


def long64(value: int) -> Data:
    """64 bits, signed."""
    return Data(20, value)


def long64_unsigned(value: int) -> Data:
    """64 bits."""
    return Data(21, value)


def enum(value: int) -> Data:
    """0 to 255."""
    return Data(22, value)


def float32(value: float) -> Data:
    return Data(23, value)


def float64(value: float) -> Data:
    return Data(24, value)


def date_time(value: bytes) -> Data:
    """12 bytes: date (5), time (4), deviation in minutes (2), clock status (1)."""
    return Data(25, value)


def date(value: bytes) -> Data:
    """5 bytes: year (2), month, day of month, day of week."""
    return Data(26, value)


def time(value: bytes) -> Data:
    """4 bytes: hour, minute, second, hundredths."""
    return Data(27, value)


def delta_integer(value: int) -> Data:
    """8 bits, signed."""
    return Data(28, value)


def delta_long(value: int) -> Data:
    """16 bits, signed."""
    return Data(29, value)


def delta_double_long(value: int) -> Data:
    """32 bits, signed."""
    return Data(30, value)


def delta_unsigned(value: int) -> Data:
    """8 bits."""
    return Data(31, value)


def delta_long_unsigned(value: int) -> Data:
    """16 bits."""
    return Data(32, value)


def delta_double_long_unsigned(value: int) -> Data:
    """32 bits."""
    return Data(33, value)
