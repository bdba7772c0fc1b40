"""Lowering: a fixed layout written in Construct becomes one `struct.Struct` and two short functions.

Interpreting a definition costs about 2 µs a field; `struct` reads all of them in a tenth of one. What can be lowered
is a `Record` of fixed-size parts (integers, `Octets`, `Const`, `Within`, one group of bit fields, a `WholeLength`, an
`InternetChecksum`) with at most one `Rest` behind them. Everything the definition checks is checked: constants, ranges,
sizes, the length field, the checksum. A part this module does not know is an error at import, not a check forgotten.

The functions are made as source text and compiled once, as the standard library makes a dataclass's `__init__`: an
interpreted list of checks would cost more than the `struct` saves. Construct's own `compile()` is not used because
what it generates accepts truncated frames.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from construct import BitsInteger, Const, Construct, FormatField, Renamed, Struct, Transformed

from emulator.codecs.codec import VALUE_ERRORS
from emulator.codecs.parts import InternetChecksum, Octets, Placeholder, Record, Rest, WholeLength, Within
from emulator.errors import FrameError, UsageError

_INTEGERS: Final = frozenset("BHLQbhlq")


@dataclass
class _Plan:
    """What a walk over the parts found."""

    format: str = ">"
    size: int = 0
    reads: list[str] = field(default_factory=list)
    """Names the unpacked values are bound to, in order."""
    writes: list[str] = field(default_factory=list)
    """Expressions that are packed, in order."""
    parse_checks: list[str] = field(default_factory=list)
    build_checks: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """Field name -> expression over the unpacked names."""
    finish: list[str] = field(default_factory=list)
    """Statements that complete the packed `header`."""
    tail: str | None = None
    least: int = 0
    most: int | None = None
    """What the length field can say at most of the whole frame; None: there is none."""

    def slot(self, code: str, size: int, write: str) -> str:
        name = f"_{len(self.reads)}"
        self.format += code
        self.size += size
        self.reads.append(name)
        self.writes.append(write)
        return name


def _refuse(reason: str, offset: int = -1) -> str:
    return f"refuse({reason!r}, {offset})"


def _range_check(name: str, low: int, high: int, label: str, offset: int = -1) -> str:
    return f"if not {low} <= {name} <= {high}: {_refuse(f'{label} is not within {low} to {high}', offset)}"


def _walk(part: Construct, name: str | None, plan: _Plan) -> None:
    if plan.tail is not None:
        raise UsageError(f"a part behind the rest cannot be lowered: {part!r}")
    match part:
        case Renamed():
            _walk(part.subcon, part.name, plan)
        case Struct():
            for inner in part.subcons:
                _walk(inner, None, plan)
        case FormatField() if part.fmtstr[0] == ">" and part.fmtstr[1] in _INTEGERS and name:
            plan.values[name] = plan.slot(part.fmtstr[1], part.length, f"value.{name}")
        case Octets() if name:
            plan.values[name] = plan.slot(f"{part.count}s", part.count, f"value.{name}")
            wants = _refuse(f"{name} wants {part.count} bytes")
            plan.build_checks.append(f"if len(value.{name}) != {part.count}: {wants}")
        case Placeholder():
            plan.slot(f"{part.count}s", part.count, "b''")
        case Const():
            offset = plan.size
            if isinstance(part.value, bytes):
                slot = plan.slot(f"{len(part.value)}s", len(part.value), repr(part.value))
            else:
                slot = plan.slot(part.subcon.fmtstr[1], part.subcon.length, repr(part.value))
            plan.parse_checks.append(
                f"if {slot} != {part.value!r}: {_refuse(f'{part.value!r} must stand here', offset)}"
            )
        case Within() if name:
            offset = plan.size
            _walk(part.subcon, name, plan)
            plan.parse_checks.append(_range_check(plan.values[name], part.low, part.high, name, offset))
            plan.build_checks.append(_range_check(f"value.{name}", part.low, part.high, name))
        case WholeLength():
            own = part.header - part.less
            expression = f"{own} + len(tail)" if own else "len(tail)"
            wrong = _refuse("the length field is not the length", plan.size)
            slot = plan.slot(part.subcon.fmtstr[1], part.subcon.length, expression)
            plan.most = (1 << 8 * part.subcon.length) - 1 + part.less
            whole = f"size - {part.less}" if part.less else "size"
            plan.parse_checks.append(f"if {slot} != {whole}: {wrong}")
        case Transformed() if isinstance(part.subcon, Struct):
            _walk_bits(part.subcon.subcons, plan)
        case InternetChecksum():
            shift = (part.header - part.at - 2) * 8
            plan.parse_checks.append(f"number = from_bytes(data[:{part.header}], 'big')")
            wrong = _refuse("the header checksum does not hold", part.at)
            plan.parse_checks.append(f"if not number or number % 65535: {wrong}")
            plan.finish.append("number = from_bytes(header, 'big')")
            plan.finish.append(
                f"header = (number + (65535 - (number % 65535 or 65535) << {shift})).to_bytes({part.header}, 'big')"
            )
        case Rest() if name:
            plan.tail = name
            plan.least = part.least
        case _:
            raise UsageError(f"this part cannot be lowered: {part!r}")


def _walk_bits(parts: list[Construct], plan: _Plan) -> None:
    width = sum(inner.subcon.length for inner in parts)
    code = {8: "B", 16: "H", 32: "L", 64: "Q"}.get(width)
    if code is None or not all(isinstance(inner.subcon, BitsInteger) for inner in parts):
        raise UsageError(f"{width} bits make no integer")
    shift = width
    terms = []
    slot = f"_{len(plan.reads)}"
    for inner in parts:
        shift -= inner.subcon.length
        highest = (1 << inner.subcon.length) - 1
        plan.values[inner.name] = f"{slot} >> {shift} & {highest}" if shift else f"{slot} & {highest}"
        plan.build_checks.append(_range_check(f"value.{inner.name}", 0, highest, inner.name))
        terms.append(f"value.{inner.name} << {shift}" if shift else f"value.{inner.name}")
    plan.slot(code, width // 8, " | ".join(terms))


def _plan(*parts: Construct) -> _Plan:
    plan = _Plan()
    for part in parts:
        _walk(part, None, plan)
    return plan


def fixed(*parts: Construct) -> struct.Struct:
    """The `struct.Struct` of fixed-size parts, for a twin whose frame begins so. The checks stay with the twin."""
    plan = _plan(*parts)
    if plan.tail is not None:
        raise UsageError("a layout with a rest is not fixed")
    return struct.Struct(plan.format)


class Lowered:
    """The fast rung of a codec whose definition is one fixed record. Raises UsageError at import if it is not."""

    def __init__(self, record: Record) -> None:
        self._kind = record.kind
        plan = _plan(record.subcon)
        self._struct = struct.Struct(plan.format)
        if self._struct.size != plan.size or set(record.names) != {*plan.values, plan.tail} - {None}:
            raise UsageError(f"the layout of {record.kind.__name__} and its fields differ")
        self._plan = plan
        self._names = record.names

    def _source(self, limit: int) -> str:
        plan, names = self._plan, self._names
        size, least = plan.size, plan.size + plan.least
        limited = plan.most is None or limit < plan.most  # else the length field alone keeps it in bounds
        wrong = f"size != {least}"
        if plan.tail:
            wrong = f"not {least} <= size <= limit" if limited else f"size < {least}"
        values = [f"data[{size}:]" if name == plan.tail else plan.values[name] for name in names]
        lines = [
            "def parse(data):",
            "    size = len(data)",
            f"    if {wrong}:",
            f"        refuse(f'{{size}} bytes is no length for it', {least} if size > limit else size)",
            f"    {', '.join(plan.reads)}, = unpack_from(data)",
            *[f"    {check}" for check in plan.parse_checks],
            f"    return kind({', '.join(values)})",
            "",
            "def build(value):",
            "    if type(value) is not kind: refuse(f'a {type(value).__name__} where a {kind.__name__} belongs')",
            "    try:",
            *([f"        tail = value.{plan.tail}"] if plan.tail else []),
            *([f"        if len(tail) < {plan.least}: refuse('too short')"] if plan.least else []),
            *[f"        {check}" for check in plan.build_checks],
            f"        header = pack({', '.join(plan.writes)})",
            *[f"        {statement}" for statement in plan.finish],
            f"        data = header{' + tail' if plan.tail else ''}",
            "    except errors as error:",
            "        raise FrameError(name, f'{type(error).__name__}: {error}') from error",
            *(["    if len(data) > limit: refuse(f'oversized: {len(data)} bytes', limit)"] if limited else []),
            "    return data",
        ]
        return "\n".join(lines)

    def functions(self, name: str, limit: int) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
        def refuse(reason: str, offset: int = -1) -> None:
            raise FrameError(name, reason, offset)

        scope: dict[str, Any] = {
            "FrameError": FrameError,
            "errors": VALUE_ERRORS,
            "from_bytes": int.from_bytes,
            "kind": self._kind,
            "limit": limit,
            "name": name,
            "pack": self._struct.pack,
            "refuse": refuse,
            "unpack_from": self._struct.unpack_from,
        }
        exec(compile(self._source(limit), f"<lowered {name}>", "exec"), scope)  # noqa: S102 - our own definitions, no input
        return scope["parse"], scope["build"]
