"""A-XDR data: the typed values COSEM attributes are made of (IEC 61334-6; DLMS UA 1000-2 9.5 `Data`).

What a datum is stands in `datum.py`; here are its makers, its definition and its codec. Makers
(`double_long_unsigned(5)`) check nothing, because `DATA.build` does: ranges are refused there, once, on either rung.
"""

import io
from collections.abc import Iterable
from typing import Any, Final

from construct import (
    Construct,
    Float32b,
    Float64b,
    Int8sb,
    Int8ub,
    Int16sb,
    Int16ub,
    Int32sb,
    Int32ub,
    Int64sb,
    Int64ub,
    Subconstruct,
)
from construct.core import stream_read, stream_write

from emulator.codecs.codec import Codec, Twin
from emulator.codecs.compact import Compact, account, kept
from emulator.codecs.datum import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, CompactArray, Data, Tag, TypeDescription
from emulator.codecs.parts import LENGTH, Boolean, Enclosed, Octets, Rest, refuse

__all__ = [
    "DATA",
    "DEFINITION",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_ITEMS",
    "CompactArray",
    "Data",
    "Tag",
    "TypeDescription",
    "null",
    "dont_care",
    "array",
    "structure",
    "boolean",
    "bit_string",
    "double_long",
    "double_long_unsigned",
    "octet_string",
    "visible_string",
    "utf8_string",
    "bcd",
    "integer",
    "long",
    "unsigned",
    "long_unsigned",
    "compact_array",
    "long64",
    "long64_unsigned",
    "enum",
    "float32",
    "float64",
    "date_time",
    "date",
    "time",
    "delta_integer",
    "delta_long",
    "delta_double_long",
    "delta_unsigned",
    "delta_long_unsigned",
    "delta_double_long_unsigned",
]
_NULL: Final = Data(0, None)
_new: Final = tuple.__new__
"""Makes a `Data` without the keyword handling of its constructor: one call less for each datum made."""


def null() -> Data:
    return _NULL


def dont_care() -> Data:
    return Data(255, None)


def array(items: Iterable[Data]) -> Data:
    return _new(Data, (1, tuple(items)))


def structure(items: Iterable[Data]) -> Data:
    return _new(Data, (2, tuple(items)))


def boolean(value: bool) -> Data:
    return _new(Data, (3, value))


def bit_string(bits: str) -> Data:
    """`bits` as text, first bit first: "0101"."""
    return _new(Data, (4, bits))


def double_long(value: int) -> Data:
    """32 bits, signed."""
    return _new(Data, (5, value))


def double_long_unsigned(value: int) -> Data:
    """32 bits."""
    return _new(Data, (6, value))


def octet_string(value: bytes) -> Data:
    return _new(Data, (9, value))


def visible_string(value: str) -> Data:
    """ASCII text."""
    return _new(Data, (10, value))


def utf8_string(value: str) -> Data:
    return _new(Data, (12, value))


def bcd(value: int) -> Data:
    """8 bits, signed (the standard makes it an Integer8)."""
    return _new(Data, (13, value))


def integer(value: int) -> Data:
    """8 bits, signed."""
    return _new(Data, (15, value))


def long(value: int) -> Data:
    """16 bits, signed."""
    return _new(Data, (16, value))


def unsigned(value: int) -> Data:
    """8 bits."""
    return _new(Data, (17, value))


def long_unsigned(value: int) -> Data:
    """16 bits."""
    return _new(Data, (18, value))


def compact_array(description: TypeDescription, items: Iterable[Data]) -> Data:
    return _new(Data, (19, CompactArray(description, tuple(items))))


def long64(value: int) -> Data:
    """64 bits, signed."""
    return _new(Data, (20, value))


def long64_unsigned(value: int) -> Data:
    """64 bits."""
    return _new(Data, (21, value))


def enum(value: int) -> Data:
    """0 to 255."""
    return _new(Data, (22, value))


def float32(value: float) -> Data:
    return _new(Data, (23, value))


def float64(value: float) -> Data:
    return _new(Data, (24, value))


def date_time(value: bytes) -> Data:
    """12 bytes: date (5), time (4), deviation in minutes (2), clock status (1)."""
    return _new(Data, (25, value))


def date(value: bytes) -> Data:
    """5 bytes: year (2), month, day of month, day of week."""
    return _new(Data, (26, value))


def time(value: bytes) -> Data:
    """4 bytes: hour, minute, second, hundredths."""
    return _new(Data, (27, value))


def delta_integer(value: int) -> Data:
    """8 bits, signed."""
    return _new(Data, (28, value))


def delta_long(value: int) -> Data:
    """16 bits, signed."""
    return _new(Data, (29, value))


def delta_double_long(value: int) -> Data:
    """32 bits, signed."""
    return _new(Data, (30, value))


def delta_unsigned(value: int) -> Data:
    """8 bits."""
    return _new(Data, (31, value))


def delta_long_unsigned(value: int) -> Data:
    """16 bits."""
    return _new(Data, (32, value))


def delta_double_long_unsigned(value: int) -> Data:
    """32 bits."""
    return _new(Data, (33, value))


# The definition: `_BODIES`, below, holds what follows each tag.


class _Datum(Construct):  # type: ignore[misc]
    """A tag and the body it selects."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Data:
        tag = stream_read(stream, 1, path)[0]
        if tag not in _BODIES:
            raise refuse(f"there is no data type {tag}", path)
        return Data(tag, _BODIES[tag]._parsereport(stream, context, path))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not Data or obj.tag not in _BODIES:
            raise refuse(f"{obj!r:.60} is no datum", path)
        stream_write(stream, bytes([obj.tag]), 1, path)
        _BODIES[obj.tag]._build(obj.value, stream, context, path)
        return obj


class _Nothing(Construct):  # type: ignore[misc]
    """No bytes and the value None."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> None:
        return None

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if obj is not None:
            raise refuse("has no value", path)


class _Items(Construct):  # type: ignore[misc]
    """The body of array and structure: a count and as many data."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> tuple[Data, ...]:
        count = LENGTH._parsereport(stream, context, path)
        book = account(context)
        book.take(count, path)
        inner = kept(context, book.inside(path))
        return tuple(_DATUM._parsereport(stream, inner, path) for _ in range(count))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, tuple | list):
            raise refuse("wants a tuple of data", path)
        LENGTH._build(len(obj), stream, context, path)
        book = account(context)
        book.take(len(obj), path)
        inner = kept(context, book.inside(path))
        for item in obj:
            _DATUM._build(item, stream, inner, path)
        return obj


class _Bits(Construct):  # type: ignore[misc]
    """A count of bits, then the bits from the most significant on; what is left of the last byte is not looked at."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> str:
        count = LENGTH._parsereport(stream, context, path)
        data = stream_read(stream, (count + 7) // 8, path)
        return "".join(f"{byte:08b}" for byte in data)[:count]

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, str) or not set(obj) <= {"0", "1"}:
            raise refuse('wants a text of "0" and "1"', path)
        LENGTH._build(len(obj), stream, context, path)
        for i in range(0, len(obj), 8):
            stream_write(stream, bytes([int(obj[i : i + 8].ljust(8, "0"), 2)]), 1, path)
        return obj


_OCTET_STRING: Final = Enclosed(Rest())


class _Text(Subconstruct):  # type: ignore[misc]
    """An octet string that must decode in `encoding`."""

    def __init__(self, encoding: str) -> None:
        super().__init__(_OCTET_STRING)
        self.encoding = encoding

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> str:
        data: bytes = self.subcon._parsereport(stream, context, path)
        try:
            return data.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise refuse(f"not {self.encoding}: {error.reason}", path) from error

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, str):
            raise refuse("wants a text", path)
        self.subcon._build(obj.encode(self.encoding), stream, context, path)
        return obj


_DATUM: Final = _Datum()
_BODIES: Final[dict[int, Construct]] = {
    Tag.NULL: _Nothing(),
    Tag.ARRAY: _Items(),
    Tag.STRUCTURE: _Items(),
    Tag.BOOLEAN: Boolean(),
    Tag.BIT_STRING: _Bits(),
    Tag.DOUBLE_LONG: Int32sb,
    Tag.DOUBLE_LONG_UNSIGNED: Int32ub,
    Tag.OCTET_STRING: _OCTET_STRING,
    Tag.VISIBLE_STRING: _Text("ascii"),
    Tag.UTF8_STRING: _Text("utf-8"),
    Tag.BCD: Int8sb,
    Tag.INTEGER: Int8sb,
    Tag.LONG: Int16sb,
    Tag.UNSIGNED: Int8ub,
    Tag.LONG_UNSIGNED: Int16ub,
    Tag.LONG64: Int64sb,
    Tag.LONG64_UNSIGNED: Int64ub,
    Tag.ENUM: Int8ub,
    Tag.FLOAT32: Float32b,
    Tag.FLOAT64: Float64b,
    Tag.DATE_TIME: Octets(12),
    Tag.DATE: Octets(5),
    Tag.TIME: Octets(4),
    Tag.DELTA_INTEGER: Int8sb,
    Tag.DELTA_LONG: Int16sb,
    Tag.DELTA_DOUBLE_LONG: Int32sb,
    Tag.DELTA_UNSIGNED: Int8ub,
    Tag.DELTA_LONG_UNSIGNED: Int16ub,
    Tag.DELTA_DOUBLE_LONG_UNSIGNED: Int32ub,
    Tag.DONT_CARE: _Nothing(),
}
_BODIES[Tag.COMPACT_ARRAY] = Compact(_BODIES)

DEFINITION: Final[Construct] = _DATUM

DATA: Final[Codec[Data]] = Codec("data", DEFINITION, limit=MAX_BYTES, fast=Twin("axdr"))
