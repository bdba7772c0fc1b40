"""What A-XDR data are, apart from their bytes: tags, the value pair, and how much of them a decoder will take.

A value is a pair (tag, value) and not a class per type: a day of half-hours holds hundreds of them, and a tuple is the
cheapest thing Python can make.
"""

from enum import IntEnum
from typing import Any, Final, NamedTuple

MAX_DEPTH: Final = 32
"""Most arrays, structures and compact arrays (with what they describe) inside one another."""

MAX_ITEMS: Final = 262_144
"""Most values in one datum, nested ones and the parts of descriptions counted: a hostile kilobyte must not become a
gigabyte of objects."""

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
    string: str of "0" and "1", first bit first; octet string, date-time (12), date (5), time (4): bytes; visible
    string (ASCII) and utf8 string: str; floats: float; everything else: int in the range of its type.
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
