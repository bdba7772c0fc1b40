"""A-XDR data, by hand: one pass over the bytes with an integer position, a table of `struct`s for what is fixed.

Scalars inside arrays and structures are taken in the loop itself, without a call each: a day of half-hours is two
hundred of them. `read` and `write` are for twins whose frames hold a datum; they raise what `common` describes.
"""

import struct
from typing import Any, Final, NoReturn

from emulator.codecs.datum import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, CompactArray, Data, TypeDescription
from emulator.codecs.fast.common import (
    BUILD_ERRORS,
    PARSE_ERRORS,
    Refusal,
    length_bytes,
    long_length,
    octets,
    refused,
    unbuildable,
    with_length,
)
from emulator.errors import FrameError

_NUMBERS: Final = {
    5: "i", 6: "I", 13: "b", 15: "b", 16: "h", 17: "B", 18: "H", 20: "q", 21: "Q", 22: "B", 23: "f", 24: "d",
    28: "b", 29: "h", 30: "i", 31: "B", 32: "H", 33: "I",
}  # fmt: skip
_STAMPS: Final = {25: 12, 26: 5, 27: 4}
_FIXED: Final = {
    **{tag: struct.Struct(">" + code) for tag, code in _NUMBERS.items()},
    **{tag: struct.Struct(f"{size}s") for tag, size in _STAMPS.items()},
    3: struct.Struct("?"),  # any byte but zero is true
}
_STEP: Final = tuple(1 + _FIXED[tag].size if tag in _FIXED else 0 for tag in range(256))
"""Bytes from tag to tag for what is fixed, else 0."""
_UNPACK: Final[tuple[Any, ...]] = tuple(_FIXED[tag].unpack_from if tag in _FIXED else None for tag in range(256))
_PACK: Final[dict[int, Any]] = {tag: struct.Struct(">B" + code).pack for tag, code in _NUMBERS.items()}
_KNOWN: Final = frozenset((0, 1, 2, 3, 4, 9, 10, 12, 19, 255, *_FIXED))
_new: Final = tuple.__new__
"""Makes a `Data` from (tag, value) without the keyword handling of its constructor."""
_SHORT_OCTETS: Final = tuple(bytes((9, length)) for length in range(0x80))
"""Tag and length of an octet string whose length takes one byte."""
_NULLS: Final = {0: Data(0, None), 255: Data(255, None)}


def parse(data: bytes) -> Data:
    if len(data) > MAX_BYTES:
        raise FrameError("data", f"oversized: {len(data)} bytes, at most {MAX_BYTES}", MAX_BYTES)
    try:
        value, at = read(data, 0)
    except PARSE_ERRORS as error:
        raise refused("data", data, error) from error
    if at != len(data):
        raise FrameError("data", f"{len(data) - at} bytes too many", at)
    return value


def build(value: Any) -> bytes:
    out = bytearray()
    try:
        write(value, out)
    except BUILD_ERRORS as error:
        raise unbuildable("data", error) from error
    if len(out) > MAX_BYTES:
        raise FrameError("data", f"oversized: {len(out)} bytes, at most {MAX_BYTES}", MAX_BYTES)
    return bytes(out)


def read(data: bytes, at: int) -> tuple[Data, int]:
    """The datum at `at`, and where it ends."""
    tag = data[at]
    if step := _STEP[tag]:
        return _new(Data, (tag, _UNPACK[tag](data, at + 1)[0])), at + step
    if tag == 9:
        length = data[at + 1]
        if length >= 0x80:
            value, at = octets(data, at + 1)
            return _new(Data, (9, value)), at
        start = at + 2
        at = start + length
        if at > len(data):
            raise IndexError
        return _new(Data, (9, data[start:at])), at
    return _read(data, at, [1], 0)


def _read(data: bytes, at: int, used: list[int], depth: int) -> tuple[Data, int]:
    """What `_items` does not take itself. `depth` counts the containers around this place."""
    tag = data[at]
    at += 1
    if tag == 1 or tag == 2:
        count = data[at]
        at += 1
        if count >= 0x80:
            count, at = long_length(data, at - 1)
        used[0] += count
        if used[0] > MAX_ITEMS:
            _too_many(at)
        if depth == MAX_DEPTH:
            _too_deep(at)
        items, at = _items(data, at, count, used, depth + 1)
        return _new(Data, (tag, items)), at
    if tag == 19:
        return _compact(data, at, used, depth)
    value, at = _body(data, at, tag)
    return _new(Data, (tag, value)), at


def _items(data: bytes, at: int, count: int, used: list[int], depth: int) -> tuple[tuple[Data, ...], int]:
    items: list[Data] = []
    append = items.append
    size = len(data)
    for _ in range(count):
        tag = data[at]
        if step := _STEP[tag]:
            append(_new(Data, (tag, _UNPACK[tag](data, at + 1)[0])))
            at += step
        elif tag == 9:
            start = at + 2
            at = start + data[at + 1]
            if data[start - 1] >= 0x80:
                value, at = octets(data, start - 1)
                append(_new(Data, (9, value)))
            elif at > size:
                raise IndexError
            else:
                append(_new(Data, (9, data[start:at])))
        elif tag == 0:
            append(_NULLS[0])
            at += 1
        else:
            item, at = _read(data, at, used, depth)
            append(item)
    return tuple(items), at


def _body(data: bytes, at: int, tag: int) -> tuple[Any, int]:
    """The value of any tag but the containers, without its tag."""
    if step := _STEP[tag]:
        return _UNPACK[tag](data, at)[0], at + step - 1
    if tag == 9:
        return octets(data, at)
    if tag == 10 or tag == 12:
        text, at = octets(data, at)
        return text.decode("ascii" if tag == 10 else "utf-8"), at
    if tag == 0 or tag == 255:
        return None, at
    if tag == 4:
        count, at = long_length(data, at)
        end = at + (count + 7) // 8
        if end > len(data):
            raise IndexError
        return (f"{int.from_bytes(data[at:end], 'big'):0{(end - at) * 8}b}"[:count] if count else ""), end
    raise Refusal(f"there is no data type {tag}", at - 1)


def _take(used: list[int], count: int, at: int = -1) -> None:
    used[0] += count
    if used[0] > MAX_ITEMS:
        _too_many(at)


def _too_many(at: int = -1) -> NoReturn:
    raise Refusal(f"more than {MAX_ITEMS} values in one datum", at)


def _too_deep(at: int = -1) -> NoReturn:
    raise Refusal(f"nested deeper than {MAX_DEPTH}", at)


def _compact(data: bytes, at: int, used: list[int], depth: int) -> tuple[Data, int]:
    if depth == MAX_DEPTH:
        _too_deep(at)
    description, at = _description(data, at, used, depth + 1)
    contents, at = octets(data, at)
    items = []
    place = 0
    while place < len(contents):
        _take(used, 1, at)
        before = place
        item, place = _element(contents, place, description, used)
        if place == before:
            raise Refusal("the elements of this compact array have no size", at)
        items.append(item)
    return Data(19, CompactArray(description, tuple(items))), at


def _description(data: bytes, at: int, used: list[int], depth: int) -> tuple[TypeDescription, int]:
    tag = data[at]
    at += 1
    if tag not in _KNOWN or tag == 19:
        raise Refusal(f"a compact array cannot hold type {tag}", at - 1)
    if tag != 1 and tag != 2:
        return TypeDescription(tag), at
    if depth == MAX_DEPTH:
        _too_deep(at)
    if tag == 1:
        length = data[at] << 8 | data[at + 1]
        part, at = _description(data, at + 2, used, depth + 1)
        return TypeDescription(1, (part,), length), at
    count, at = long_length(data, at)
    _take(used, count, at)
    parts = []
    for _ in range(count):
        part, at = _description(data, at, used, depth + 1)
        parts.append(part)
    return TypeDescription(2, tuple(parts)), at


def _element(data: bytes, at: int, description: TypeDescription, used: list[int]) -> tuple[Data, int]:
    tag, parts, length = description
    if tag != 1 and tag != 2:
        value, at = _body(data, at, tag)
        return Data(tag, value), at
    expected = parts * length if tag == 1 else parts
    _take(used, len(expected), at)
    items = []
    for part in expected:
        item, at = _element(data, at, part, used)
        items.append(item)
    return Data(tag, tuple(items)), at


def write(value: Any, out: bytearray) -> None:
    """Append a datum to `out`; anything else is refused."""
    if value.__class__ is Data:
        tag, inner = value
        if tag == 9 and inner.__class__ is bytes and len(inner) < 0x80:  # the commonest of those that stand alone
            out += _SHORT_OCTETS[len(inner)]
            out += inner
            return
    _write(value, out, [1], 0)


def _write(datum: Any, out: bytearray, used: list[int], depth: int) -> None:
    if datum.__class__ is not Data:
        raise Refusal(f"{datum!r:.60} is no datum")
    tag, value = datum
    if (pack := _PACK.get(tag)) is not None:
        out += pack(tag, value)
    elif tag == 1 or tag == 2:
        if not isinstance(value, tuple | list):
            raise Refusal("wants a tuple of data")
        count = len(value)
        out.append(tag)
        if count < 0x80:
            out.append(count)
        else:
            out += length_bytes(count)
        used[0] += count
        if used[0] > MAX_ITEMS:
            _too_many()
        if depth == MAX_DEPTH:
            _too_deep()
        depth += 1
        for item in value:
            if item.__class__ is Data:  # numbers and short octet strings without a call each
                inner_tag, inner = item
                if inner_tag == 9 and inner.__class__ is bytes and len(inner) < 0x80:
                    out += _SHORT_OCTETS[len(inner)]
                    out += inner
                    continue
                if (pack := _PACK.get(inner_tag)) is not None:
                    out += pack(inner_tag, inner)
                    continue
            _write(item, out, used, depth)
    elif tag == 19:
        out.append(19)
        _write_compact(value, out, used, depth)
    else:
        if tag not in _KNOWN:
            raise Refusal(f"there is no data type {tag!r:.20}")
        out.append(tag)
        _write_body(tag, value, out)


def _write_body(tag: int, value: Any, out: bytearray) -> None:
    """Append the value of any tag but the containers, without its tag."""
    if tag == 9:
        out += with_length(value)
    elif tag in _STAMPS:
        if not isinstance(value, bytes | bytearray) or len(value) != _STAMPS[tag]:
            raise Refusal(f"wants exactly {_STAMPS[tag]} bytes")
        out += value
    elif tag == 3:
        if value not in (0, 1):
            raise Refusal("wants True or False")
        out.append(1 if value else 0)
    elif tag == 10 or tag == 12:
        if not isinstance(value, str):
            raise Refusal("wants a text")
        out += with_length(value.encode("ascii" if tag == 10 else "utf-8"))
    elif tag == 0 or tag == 255:
        if value is not None:
            raise Refusal("has no value")
    elif tag == 4:
        if not isinstance(value, str) or not set(value) <= {"0", "1"}:
            raise Refusal('wants a text of "0" and "1"')
        out += length_bytes(len(value))
        size = (len(value) + 7) // 8
        out += int(value.ljust(size * 8, "0") or "0", 2).to_bytes(size, "big")
    else:
        out += _PACK[tag](tag, value)[1:]


def _write_compact(value: Any, out: bytearray, used: list[int], depth: int) -> None:
    kind = type(value)
    if kind is not CompactArray or not isinstance(value.items, tuple | list):
        raise Refusal("wants a CompactArray")
    if depth == MAX_DEPTH:
        _too_deep()
    _write_description(value.description, out, used, depth + 1)
    contents = bytearray()
    for item in value.items:
        before = len(contents)
        _take(used, 1)
        _write_element(item, value.description, contents, used)
        if len(contents) == before:
            raise Refusal("elements without size cannot be told apart")
    out += with_length(contents)


def _write_description(description: Any, out: bytearray, used: list[int], depth: int) -> None:
    if not isinstance(description, TypeDescription) or description.tag not in _KNOWN or description.tag == 19:
        raise Refusal(f"{description!r:.60} describes no type")
    tag, parts, length = description
    if not isinstance(parts, tuple) or (len(parts) != 1 if tag == 1 else parts and tag != 2):
        raise Refusal("an array is described by one part, a scalar by none")
    if tag != 1 and length != 0:
        raise Refusal("only an array has a length")
    out.append(tag)
    if tag != 1 and tag != 2:
        return
    if depth == MAX_DEPTH:
        _too_deep()
    if tag == 1:
        out += length.to_bytes(2, "big")
    else:
        out += length_bytes(len(parts))
        _take(used, len(parts))
    for part in parts:
        _write_description(part, out, used, depth + 1)


def _write_element(datum: Any, description: TypeDescription, out: bytearray, used: list[int]) -> None:
    tag, parts, length = description
    if datum.__class__ is not Data or datum.tag != tag:
        raise Refusal(f"{datum!r:.60} is not what the compact array describes")
    if tag != 1 and tag != 2:
        _write_body(tag, datum.value, out)
        return
    expected = parts * length if tag == 1 else parts
    _take(used, len(expected))
    if not isinstance(datum.value, tuple | list) or len(datum.value) != len(expected):
        raise Refusal(f"the description has {len(expected)} values here")
    for item, part in zip(datum.value, expected, strict=True):
        _write_element(item, part, out, used)
