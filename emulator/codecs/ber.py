"""The little of BER that ACSE needs: tagged fields in one enclosing TLV (ITU-T X.690 8.1; DLMS UA 1000-2 9.4).

ACSE has many optional fields that no meter uses and some clients send. `Fields` reads those it is told to know, steps
over those it is told to ignore, and refuses the rest: a bent tag must not turn a refusal into a smaller association.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from construct import Const, Construct, Int8ub, Struct
from construct.core import stream_read, stream_size, stream_write

from emulator.codecs.parts import Enclosed, Rest, Within, counted, refuse
from emulator.codecs.value import field_names

OBJECT_PREFIX: Final = bytes.fromhex("60857405 08")
"""2.16.756.5.8: joint-iso-ccitt, country, Switzerland, identified organisation, DLMS UA."""


INNER: Final = "_inner"
"""A group inside a part: its members belong to the record."""


def small_integer(name: str) -> Construct:
    """INTEGER of one byte, 0 to 127, its tag included."""
    return Struct(Const(b"\x02\x01"), name / Within(Int8ub, 0, 127))


def octets(name: str, tag: int) -> Construct:
    """A string under its own tag inside the field."""
    return Struct(Const(bytes([tag])), name / counted())


def object_name(name: str, arc: int, *, tagged: bool) -> Construct:
    """2.16.756.5.8.<arc>.<value>, with its own tag or without."""
    head = b"\x06\x07" if tagged else b""
    return Struct(Const(head + OBJECT_PREFIX + bytes([arc])), name / Int8ub)


@dataclass(frozen=True)
class Field:
    """One field of the record. The members of `part` are named as the dataclass names them, and what is None in the
    member called `name` is not written unless the field is required."""

    tag: int
    name: str
    part: Construct
    required: bool = False


@dataclass(frozen=True)
class Said:
    """A field that carries nothing of its own: written as `contents` when `when(values)` holds, read as it comes."""

    tag: int
    contents: bytes
    when: Callable[[Mapping[str, Any]], bool]


class Fields(Construct):  # type: ignore[misc]
    """`tag`, length, fields. A field stands at most once; the order is not looked at when reading."""

    def __init__(
        self, kind: type[msgspec.Struct], tag: int, known: tuple[Field | Said, ...], ignored: frozenset[int]
    ) -> None:
        super().__init__()
        self.kind = kind
        self.tag = tag
        self.known = known
        self.by_tag = {field.tag: field for field in known}
        self.ignored = ignored
        self.names = field_names(kind)
        self.raw = Enclosed(Rest())

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Any:
        if (tag := stream_read(stream, 1, path)[0]) != self.tag:
            raise refuse(f"tag {tag:02X} where {self.tag:02X} must stand", path)
        inner = io.BytesIO(self.raw._parsereport(stream, context, path))
        size = stream_size(inner)
        values: dict[str, Any] = {}
        seen: set[int] = set()
        while inner.tell() < size:
            tag = stream_read(inner, 1, path)[0]
            if tag in seen or (tag not in self.by_tag and tag not in self.ignored):
                raise refuse(f"field {tag:02X} is unknown or stands twice", path)
            seen.add(tag)
            field = self.by_tag.get(tag)
            if isinstance(field, Field):
                part = Enclosed(field.part)._parsereport(inner, context, path)
                values.update(part)
                values.update(part.get(INNER, {}))
            else:
                self.raw._parsereport(inner, context, path)
        for field in self.known:
            if isinstance(field, Field) and field.required and field.tag not in seen:
                raise refuse(f"field {field.tag:02X} is missing", path)
        return self.kind(*[values.get(name) for name in self.names])

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not self.kind:
            raise refuse(f"a {type(obj).__name__} where a {self.kind.__name__} belongs", path)
        values = {name: getattr(obj, name) for name in self.names}
        inner = io.BytesIO()
        for field in self.known:
            if isinstance(field, Said):
                if field.when(values):
                    stream_write(inner, bytes([field.tag]), 1, path)
                    self.raw._build(field.contents, inner, context, path)
            elif field.required or values[field.name] is not None:
                stream_write(inner, bytes([field.tag]), 1, path)
                Enclosed(field.part)._build({**values, INNER: values}, inner, context, path)
        stream_write(stream, bytes([self.tag]), 1, path)
        self.raw._build(inner.getvalue(), stream, context, path)
        return obj
