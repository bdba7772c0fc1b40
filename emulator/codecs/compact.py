"""Compact arrays: one type description, then elements that carry no tags (DLMS UA 1000-2 9.5 `Data`, choice 19).

Also the account that a nested datum keeps in Construct's context, because a compact array is where a few hostile
bytes can ask for the most values: depth and number are refused while they are read, not afterwards.
"""

import io
from collections.abc import Mapping
from typing import Any, Final

from construct import Construct, Container, Int16ub
from construct.core import stream_read, stream_size, stream_write

from emulator.codecs.datum import MAX_DEPTH, MAX_ITEMS, CompactArray, Data, Tag, TypeDescription
from emulator.codecs.parts import LENGTH, counted, refuse

_ACCOUNT: Final = "axdr"


class Account:
    """How many values one datum has so far, and how many containers stand around this place in it."""

    __slots__ = ("_used", "depth")

    def __init__(self, used: list[int], depth: int) -> None:
        self._used = used
        self.depth = depth

    def take(self, count: int, path: str) -> None:
        self._used[0] += count
        if self._used[0] > MAX_ITEMS:
            raise refuse(f"more than {MAX_ITEMS} values in one datum", path)

    def inside(self, path: str) -> "Account":
        if self.depth == MAX_DEPTH:
            raise refuse(f"nested deeper than {MAX_DEPTH}", path)
        return Account(self._used, self.depth + 1)


def account(context: Any) -> Account:
    """The account of the datum being read or written; a new one outside of any."""
    found = context.get(_ACCOUNT)
    return found if isinstance(found, Account) else Account([1], 0)


def kept(context: Any, book: Account) -> Any:
    """A context in which `account` finds `book`."""
    return Container({"_": context, _ACCOUNT: book})


class _Description(Construct):  # type: ignore[misc]
    """TypeDescription: array has a 16-bit length and one part, structure its parts, the rest nothing."""

    def __init__(self, bodies: Mapping[int, Construct]) -> None:
        super().__init__()
        self.bodies = bodies

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> TypeDescription:
        tag = stream_read(stream, 1, path)[0]
        if tag not in self.bodies or tag == Tag.COMPACT_ARRAY:
            raise refuse(f"a compact array cannot hold type {tag}", path)
        if tag not in (Tag.ARRAY, Tag.STRUCTURE):
            return TypeDescription(tag)
        book = account(context)
        inner = kept(context, book.inside(path))
        if tag == Tag.ARRAY:
            length = Int16ub._parsereport(stream, context, path)
            return TypeDescription(tag, (self._parse(stream, inner, path),), length)
        count = LENGTH._parsereport(stream, context, path)
        book.take(count, path)
        return TypeDescription(tag, tuple(self._parse(stream, inner, path) for _ in range(count)))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, TypeDescription) or obj.tag not in self.bodies or obj.tag == Tag.COMPACT_ARRAY:
            raise refuse(f"{obj!r:.60} describes no type", path)
        tag, parts, length = obj
        if not isinstance(parts, tuple) or (len(parts) != 1 if tag == Tag.ARRAY else parts and tag != Tag.STRUCTURE):
            raise refuse("an array is described by one part, a scalar by none", path)
        if tag != Tag.ARRAY and length != 0:
            raise refuse("only an array has a length", path)
        stream_write(stream, bytes([tag]), 1, path)
        if tag in (Tag.ARRAY, Tag.STRUCTURE):
            book = account(context)
            inner = kept(context, book.inside(path))
            if tag == Tag.ARRAY:
                Int16ub._build(length, stream, context, path)
            else:
                LENGTH._build(len(parts), stream, context, path)
                book.take(len(parts), path)
            for part in parts:
                self._build(part, stream, inner, path)
        return obj


class _Element(Construct):  # type: ignore[misc]
    """One element: bodies without tags, as `description` has them. Its depth is the description's, already counted."""

    def __init__(self, description: TypeDescription, bodies: Mapping[int, Construct]) -> None:
        super().__init__()
        tag, parts, length = description
        self.tag = tag
        self.bodies = bodies
        self.parts = [_Element(part, bodies) for part in parts]
        self.count = length if tag == Tag.ARRAY else len(parts)

    def _part(self, index: int) -> "_Element":
        return self.parts[0 if self.tag == Tag.ARRAY else index]

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Data:
        if self.tag not in (Tag.ARRAY, Tag.STRUCTURE):
            return Data(self.tag, self.bodies[self.tag]._parsereport(stream, context, path))
        account(context).take(self.count, path)
        return Data(self.tag, tuple(self._part(i)._parse(stream, context, path) for i in range(self.count)))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not Data or obj.tag != self.tag:
            raise refuse(f"{obj!r:.60} is not what the compact array describes", path)
        if self.tag not in (Tag.ARRAY, Tag.STRUCTURE):
            self.bodies[self.tag]._build(obj.value, stream, context, path)
            return obj
        account(context).take(self.count, path)
        if not isinstance(obj.value, tuple | list) or len(obj.value) != self.count:
            raise refuse(f"the description has {self.count} values here", path)
        for i, value in enumerate(obj.value):
            self._part(i)._build(value, stream, context, path)
        return obj


class Compact(Construct):  # type: ignore[misc]
    """The body of tag 19: the description, then all elements in one octet string, as many as fill it."""

    def __init__(self, bodies: Mapping[int, Construct]) -> None:
        super().__init__()
        self.bodies = bodies
        self.description = _Description(bodies)
        self.contents = counted()

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> CompactArray:
        book = account(context)
        inner = kept(context, book.inside(path))
        description = self.description._parsereport(stream, inner, path)
        contents = io.BytesIO(self.contents._parsereport(stream, context, path))
        size = stream_size(contents)
        element = _Element(description, self.bodies)
        items = []
        while (at := contents.tell()) < size:
            book.take(1, path)
            items.append(element._parse(contents, inner, path))
            if contents.tell() == at:
                raise refuse("the elements of this compact array have no size", path)
        return CompactArray(description, tuple(items))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, CompactArray) or not isinstance(obj.items, tuple | list):
            raise refuse("wants a CompactArray", path)
        book = account(context)
        inner = kept(context, book.inside(path))
        self.description._build(obj.description, stream, inner, path)
        contents = io.BytesIO()
        element = _Element(obj.description, self.bodies)
        for item in obj.items:
            at = contents.tell()
            book.take(1, path)
            element._build(item, contents, inner, path)
            if contents.tell() == at:
                raise refuse("elements without size cannot be told apart", path)
        self.contents._build(contents.getvalue(), stream, context, path)
        return obj
