"""The pieces definitions are made of, where Construct has none that is strict enough.

Each is a Construct subclass that parses and builds by itself; none calls a twin. They differ from Construct's own in
what they refuse: `Prefixed` there forgets bytes its inner part did not read, `Bytes` turns ints into bytes, a greedy
count believes any number. Here an enclosed part must be used up and a value must be of its type.

`Record` joins a layout to its value type. Together with the fixed-size parts (`Octets`, Construct's integers, `Const`,
`bits`, `WholeLength`, `InternetChecksum`, `Rest`) it is also what `layout.py` knows how to lower.
"""

import io
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from construct import (
    Adapter,
    BitsInteger,
    BitStruct,
    CheckError,
    Construct,
    ConstructError,
    StreamError,
    Struct,
    Subconstruct,
)
from construct.core import stream_read, stream_read_entire, stream_size, stream_write

from emulator.codecs.value import field_names

BITS: Final = "_bits"
"""A part whose name begins with _ is a group inside a record: its members belong to the record itself."""


def refuse(reason: str, path: str) -> ConstructError:
    return CheckError(reason, path=path)


class Octets(Construct):  # type: ignore[misc]
    """Exactly `count` bytes."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> bytes:
        return bytes(stream_read(stream, self.count, path))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, bytes | bytearray) or len(obj) != self.count:
            raise refuse(f"wants exactly {self.count} bytes", path)
        stream_write(stream, bytes(obj), self.count, path)
        return obj

    def _sizeof(self, context: Any, path: str) -> int:
        return self.count


class Rest(Construct):  # type: ignore[misc]
    """Every byte to the end of the enclosing part, at least `least`."""

    def __init__(self, least: int = 0) -> None:
        super().__init__()
        self.least = least

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> bytes:
        data = bytes(stream_read_entire(stream, path))
        if len(data) < self.least:
            raise StreamError(f"{len(data)} bytes where at least {self.least} must stand", path=path)
        return data

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, bytes | bytearray) or len(obj) < self.least:
            raise refuse(f"wants at least {self.least} bytes", path)
        stream_write(stream, bytes(obj), len(obj), path)
        return obj


class Length(Construct):  # type: ignore[misc]
    """A length as A-XDR and BER both write it: one byte below 128, else 80h + n and n bytes, n from 1 to 4.

    Longer forms than needed are read, because deployed meters write them, and never written.
    """

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> int:
        first: int = stream_read(stream, 1, path)[0]
        if first < 0x80:
            return first
        if not 0x81 <= first <= 0x84:
            raise refuse(f"no length begins with {first:#04x}", path)
        return int.from_bytes(stream_read(stream, first & 0x7F, path), "big")

    def _build(self, obj: int, stream: io.BytesIO, context: Any, path: str) -> int:
        if not 0 <= obj < 1 << 32:
            raise refuse("a length has at most 32 bits", path)
        if obj < 0x80:
            stream_write(stream, bytes([obj]), 1, path)
        else:
            count = (obj.bit_length() + 7) // 8
            stream_write(stream, bytes([0x80 | count]) + obj.to_bytes(count, "big"), 1 + count, path)
        return obj


LENGTH: Final = Length()


class Enclosed(Subconstruct):  # type: ignore[misc]
    """`subcon` behind its length in bytes; it must use all of them."""

    def __init__(self, subcon: Construct, length: Construct = LENGTH) -> None:
        super().__init__(subcon)
        self.length = length

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Any:
        length = self.length._parsereport(stream, context, path)
        inner = io.BytesIO(stream_read(stream, length, path))
        value = self.subcon._parsereport(inner, context, path)
        if inner.tell() != length:
            raise refuse(f"{length - inner.tell()} bytes too many inside", path)
        return value

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        inner = io.BytesIO()
        self.subcon._build(obj, inner, context, path)
        data = inner.getvalue()
        self.length._build(len(data), stream, context, path)
        stream_write(stream, data, len(data), path)
        return obj


def counted(least: int = 0) -> Construct:
    """Bytes behind their length."""
    return Enclosed(Rest(least))


class SequenceOf(Subconstruct):  # type: ignore[misc]
    """SEQUENCE OF: a count, then as many items; a tuple."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> tuple[Any, ...]:
        count = LENGTH._parsereport(stream, context, path)
        return tuple(self.subcon._parsereport(stream, context, path) for _ in range(count))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, tuple | list):
            raise refuse("wants a tuple", path)
        LENGTH._build(len(obj), stream, context, path)
        for item in obj:
            self.subcon._build(item, stream, context, path)
        return obj


class Boolean(Construct):  # type: ignore[misc]
    """One byte: 0 is false, anything else true (A-XDR); true is written 01."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> bool:
        return bool(stream_read(stream, 1, path)[0])

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if obj not in (0, 1):
            raise refuse("wants True or False", path)
        stream_write(stream, b"\x01" if obj else b"\x00", 1, path)
        return obj

    def _sizeof(self, context: Any, path: str) -> int:
        return 1


class Presence(Subconstruct):  # type: ignore[misc]
    """OPTIONAL and DEFAULT: 00, or 01 and the part. What is absent is `absent`, and `absent` is written as absent."""

    def __init__(self, subcon: Construct, absent: Any = None) -> None:
        super().__init__(subcon)
        self.absent = absent
        self.flagbuildnone = absent is None

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Any:
        flag = stream_read(stream, 1, path)[0]
        if flag == 0:
            return self.absent
        if flag != 1:
            raise refuse(f"a presence flag is 00 or 01, not {flag:02X}", path)
        return self.subcon._parsereport(stream, context, path)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if obj is self.absent or (self.absent is not None and obj == self.absent):
            stream_write(stream, b"\x00", 1, path)
        else:
            stream_write(stream, b"\x01", 1, path)
            self.subcon._build(obj, stream, context, path)
        return obj


class Choice(Construct):  # type: ignore[misc]
    """A selector byte, then the part it selects. When building, the value's type selects."""

    def __init__(self, cases: Mapping[int, tuple[type, Construct]]) -> None:
        super().__init__()
        self.cases = dict(cases)

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Any:
        selector = stream_read(stream, 1, path)[0]
        if selector not in self.cases:
            raise refuse(f"no choice {selector:#04x} here", path)
        return self.cases[selector][1]._parsereport(stream, context, path)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        for selector, (kind, subcon) in self.cases.items():
            if isinstance(obj, kind):
                stream_write(stream, bytes([selector]), 1, path)
                subcon._build(obj, stream, context, path)
                return obj
        raise refuse(f"a {type(obj).__name__} does not belong here", path)


class Tagged(Subconstruct):  # type: ignore[misc]
    """A constant first byte, then the part: the APDU tag."""

    def __init__(self, tag: int, subcon: Construct) -> None:
        super().__init__(subcon)
        self.tag = tag

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Any:
        if (tag := stream_read(stream, 1, path)[0]) != self.tag:
            raise refuse(f"tag {tag:02X} where {self.tag:02X} must stand", path)
        return self.subcon._parsereport(stream, context, path)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        stream_write(stream, bytes([self.tag]), 1, path)
        self.subcon._build(obj, stream, context, path)
        return obj


class Within(Subconstruct):  # type: ignore[misc]
    """An integer part whose value must lie in [low, high]."""

    def __init__(self, subcon: Construct, low: int, high: int) -> None:
        super().__init__(subcon)
        self.low = low
        self.high = high

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Any:
        value = self.subcon._parsereport(stream, context, path)
        if not self.low <= value <= self.high:
            raise refuse(f"{value} is not within {self.low} to {self.high}", path)
        return value

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not self.low <= obj <= self.high:
            raise refuse(f"{obj} is not within {self.low} to {self.high}", path)
        return self.subcon._build(obj, stream, context, path)

    def _sizeof(self, context: Any, path: str) -> int:
        size: int = self.subcon._sizeof(context, path)
        return size


class WholeLength(Subconstruct):  # type: ignore[misc]
    """A length field that counts the whole frame less `less` bytes; `tail` names the record's last part, before which
    there are `header` bytes."""

    def __init__(self, subcon: Construct, tail: str, *, header: int, less: int = 0) -> None:
        super().__init__(subcon)
        self.tail = tail
        self.header = header
        self.less = less
        self.flagbuildnone = True

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> int:
        value: int = self.subcon._parsereport(stream, context, path)
        if value != (stands := stream_size(stream) - self.less):
            raise refuse(f"the length field says {value}, the frame {stands}", path)
        return value

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> int:
        value = self.header + len(context[self.tail]) - self.less
        self.subcon._build(value, stream, context, path)
        return value

    def _sizeof(self, context: Any, path: str) -> int:
        size: int = self.subcon._sizeof(context, path)
        return size


class Placeholder(Construct):  # type: ignore[misc]
    """Bytes that another part of the record answers for: skipped on the way in, zero on the way out."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.flagbuildnone = True

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> None:
        stream_read(stream, self.count, path)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> None:
        stream_write(stream, bytes(self.count), self.count, path)

    def _sizeof(self, context: Any, path: str) -> int:
        return self.count


class InternetChecksum(Construct):  # type: ignore[misc]
    """Stands after a header of `header` bytes at the frame's start, and takes no room: their ones'-complement sum must
    be all ones (RFC 1071). Builds the 16 bits at `at`, where a `Placeholder` keeps the place."""

    def __init__(self, header: int, at: int) -> None:
        super().__init__()
        self.header = header
        self.at = at
        self.flagbuildnone = True

    def _sum(self, stream: io.BytesIO, path: str) -> int:
        stream.seek(0)
        header = stream_read(stream, self.header, path)
        total = 0
        for i in range(0, self.header, 2):
            total += header[i] << 8 | header[i + 1]
            total = (total & 0xFFFF) + (total >> 16)
        return total

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> None:
        if self._sum(stream, path) != 0xFFFF:
            raise refuse("the header checksum does not hold", path)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> None:
        checksum = 0xFFFF - self._sum(stream, path)
        stream.seek(self.at)
        stream_write(stream, checksum.to_bytes(2, "big"), 2, path)
        stream.seek(self.header)

    def _sizeof(self, context: Any, path: str) -> int:
        return 0


def bits(**widths: int) -> Construct:
    """Unsigned bit fields, most significant first, whole bytes together. One group a record."""
    return BITS / BitStruct(*(name / BitsInteger(width) for name, width in widths.items()))


class Record(Adapter):  # type: ignore[misc]
    """A layout and the value it becomes. Every field of the value is a part of that name, or in a group."""

    def __init__(self, kind: type[msgspec.Struct], *parts: Construct) -> None:
        super().__init__(Struct(*parts))
        self.kind = kind
        self.names = field_names(kind)
        self.groups = tuple(part.name for part in parts if part.name and part.name.startswith("_"))

    def _decode(self, obj: Any, context: Any, path: str) -> Any:
        for group in self.groups:
            obj = {**obj, **obj[group]}
        return self.kind(*[obj[name] for name in self.names])

    def _encode(self, obj: Any, context: Any, path: str) -> dict[str, Any]:
        if type(obj) is not self.kind:
            raise refuse(f"a {type(obj).__name__} where a {self.kind.__name__} belongs", path)
        parts = {name: getattr(obj, name) for name in self.names}
        for group in self.groups:
            parts[group] = parts
        return parts


class Variants(Construct):  # type: ignore[misc]
    """A kind byte, then the record it names. When building, the value's type names the kind."""

    def __init__(self, cases: Mapping[int, Record]) -> None:
        super().__init__()
        self.cases = dict(cases)
        self.kinds = {record.kind: number for number, record in cases.items()}

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Any:
        number = stream_read(stream, 1, path)[0]
        if number not in self.cases:
            raise refuse(f"there is no kind {number}", path)
        return self.cases[number]._parsereport(stream, context, path)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) not in self.kinds:
            raise refuse(f"a {type(obj).__name__} does not belong here", path)
        number = self.kinds[type(obj)]
        stream_write(stream, bytes([number]), 1, path)
        self.cases[number]._build(obj, stream, context, path)
        return obj
