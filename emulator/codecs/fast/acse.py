"""ACSE, by hand: one walk over the fields. Each association costs four of these, so they are worth their lines."""

from typing import Final

from emulator.codecs.acse import (
    AARE,
    AARE_IGNORED,
    AARQ,
    AARQ_IGNORED,
    AUTHENTICATED,
    CONTEXT_ARC,
    MECHANISM_ARC,
    RLRE,
    RLRQ,
)
from emulator.codecs.ber import OBJECT_PREFIX
from emulator.codecs.codec import MAX_APDU
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

_CONTEXT_HEAD: Final = b"\x06\x07" + OBJECT_PREFIX + bytes([CONTEXT_ARC])
_MECHANISM_HEAD: Final = OBJECT_PREFIX + bytes([MECHANISM_ARC])
_AARQ_KNOWN: Final = frozenset((0xA1, 0xA6, 0x8A, 0x8B, 0xAC, 0xBE))
_AARE_KNOWN: Final = frozenset((0xA1, 0xA2, 0xA3, 0xA4, 0x88, 0x89, 0xAA, 0xBE))
_RELEASE_KNOWN: Final = frozenset((0x80, 0xBE))
_REQUIREMENTS: Final = with_length(AUTHENTICATED)


def _fields(data: bytes, tag: int, known: frozenset[int], ignored: frozenset[int]) -> dict[int, bytes]:
    """Contents of every known field by tag."""
    if len(data) > MAX_APDU:
        raise Refusal(f"oversized: {len(data)} bytes, at most {MAX_APDU}", MAX_APDU)
    if data[0] != tag:
        raise Refusal(f"tag {data[0]:02X} where {tag:02X} must stand", 0)
    length, at = long_length(data, 1)
    if length != len(data) - at:
        raise Refusal("the length is not the length", 1)
    found: dict[int, bytes] = {}
    size = len(data)
    while at < size:
        field = data[at]
        if field in found or (field not in known and field not in ignored):
            raise Refusal(f"field {field:02X} is unknown or stands twice", at)
        found[field], at = octets(data, at + 1)
    return found


def _named(contents: bytes, head: bytes) -> int:
    """The last number of an object name."""
    if len(contents) != len(head) + 1 or not contents.startswith(head):
        raise Refusal("not an object name of this family")
    return contents[-1]


def _small(contents: bytes) -> int:
    """INTEGER of one byte."""
    if len(contents) != 3 or contents[0] != 2 or contents[1] != 1 or contents[2] > 127:
        raise Refusal("not a one-byte INTEGER")
    return contents[2]


def _string(contents: bytes | None, tag: int) -> bytes | None:
    """A string under its own tag, using up the field."""
    if contents is None:
        return None
    if contents[0] != tag:
        raise Refusal(f"tag {contents[0]:02X} where {tag:02X} must stand")
    value, end = octets(contents, 1)
    if end != len(contents):
        raise Refusal("bytes too many inside")
    return value


def _required(found: dict[int, bytes], tag: int) -> bytes:
    if tag not in found:
        raise Refusal(f"field {tag:02X} is missing")
    return found[tag]


def _put(out: bytearray, field: int, head: bytes, value: bytes | bytearray) -> None:
    """A string under its own tag, in a field."""
    inner = head + with_length(value)
    out.append(field)
    out += length_bytes(len(inner))
    out += inner


def _put_number(out: bytearray, field: int, head: bytes, value: int) -> None:
    out += bytes((field, len(head) + 1))
    out += head
    out.append(value)


def _checked_small(value: int) -> int:
    if not 0 <= value <= 127:
        raise Refusal(f"{value} is not within 0 to 127")
    return value


def _whole(tag: int, out: bytearray) -> bytes:
    data = bytes((tag,)) + length_bytes(len(out)) + out
    if len(data) > MAX_APDU:
        raise Refusal(f"oversized: {len(data)} bytes, at most {MAX_APDU}")
    return data


def parse_aarq(data: bytes) -> AARQ:
    try:
        found = _fields(data, 0x60, _AARQ_KNOWN, AARQ_IGNORED)
        mechanism = found.get(0x8B)
        return AARQ(
            _named(_required(found, 0xA1), _CONTEXT_HEAD),
            _string(found.get(0xA6), 0x04),
            None if mechanism is None else _named(mechanism, _MECHANISM_HEAD),
            _string(found.get(0xAC), 0x80),
            _string(found.get(0xBE), 0x04),
        )
    except PARSE_ERRORS as error:
        raise refused("aarq", data, error) from error


def build_aarq(value: AARQ) -> bytes:
    try:
        if type(value) is not AARQ:
            raise Refusal("not an AARQ")
        out = bytearray()
        _put_number(out, 0xA1, _CONTEXT_HEAD, value.context)
        if value.calling_title is not None:
            _put(out, 0xA6, b"\x04", value.calling_title)
        if value.mechanism is not None or value.authentication is not None:
            out.append(0x8A)
            out += _REQUIREMENTS
        if value.mechanism is not None:
            _put_number(out, 0x8B, _MECHANISM_HEAD, value.mechanism)
        if value.authentication is not None:
            _put(out, 0xAC, b"\x80", value.authentication)
        if value.user_information is not None:
            _put(out, 0xBE, b"\x04", value.user_information)
        return _whole(0x60, out)
    except BUILD_ERRORS as error:
        raise unbuildable("aarq", error) from error


def parse_aare(data: bytes) -> AARE:
    try:
        found = _fields(data, 0x61, _AARE_KNOWN, AARE_IGNORED)
        diagnostic = _required(found, 0xA3)
        source = diagnostic[0] - 0xA0
        if source not in (1, 2):
            raise Refusal("the diagnostic has no source")
        inner, end = octets(diagnostic, 1)
        if end != len(diagnostic):
            raise Refusal("bytes too many inside")
        mechanism = found.get(0x89)
        return AARE(
            _named(_required(found, 0xA1), _CONTEXT_HEAD),
            _small(_required(found, 0xA2)),
            source,
            _small(inner),
            _string(found.get(0xA4), 0x04),
            None if mechanism is None else _named(mechanism, _MECHANISM_HEAD),
            _string(found.get(0xAA), 0x80),
            _string(found.get(0xBE), 0x04),
        )
    except PARSE_ERRORS as error:
        raise refused("aare", data, error) from error


def build_aare(value: AARE) -> bytes:
    try:
        if type(value) is not AARE or value.diagnostic_source not in (1, 2):
            raise Refusal("not an AARE with a diagnostic source of 1 or 2")
        out = bytearray()
        _put_number(out, 0xA1, _CONTEXT_HEAD, value.context)
        out += bytes((0xA2, 3, 2, 1, _checked_small(value.result)))
        out += bytes((0xA3, 5, 0xA0 + value.diagnostic_source, 3, 2, 1, _checked_small(value.diagnostic)))
        if value.responding_title is not None:
            _put(out, 0xA4, b"\x04", value.responding_title)
        if value.mechanism is not None or value.authentication is not None:
            out.append(0x88)
            out += _REQUIREMENTS
        if value.mechanism is not None:
            _put_number(out, 0x89, _MECHANISM_HEAD, value.mechanism)
        if value.authentication is not None:
            _put(out, 0xAA, b"\x80", value.authentication)
        if value.user_information is not None:
            _put(out, 0xBE, b"\x04", value.user_information)
        return _whole(0x61, out)
    except BUILD_ERRORS as error:
        raise unbuildable("aare", error) from error


def _parse_release(data: bytes, tag: int) -> tuple[int | None, bytes | None]:
    found = _fields(data, tag, _RELEASE_KNOWN, frozenset())
    reason = found.get(0x80)
    if reason is not None and (len(reason) != 1 or reason[0] > 127):
        raise Refusal("not a reason of one byte")
    return reason[0] if reason else None, _string(found.get(0xBE), 0x04)


def _build_release(value: RLRQ | RLRE, tag: int) -> bytes:
    out = bytearray()
    if value.reason is not None:
        out += bytes((0x80, 1, _checked_small(value.reason)))
    if value.user_information is not None:
        _put(out, 0xBE, b"\x04", value.user_information)
    return _whole(tag, out)


def parse_rlrq(data: bytes) -> RLRQ:
    try:
        return RLRQ(*_parse_release(data, 0x62))
    except PARSE_ERRORS as error:
        raise refused("rlrq", data, error) from error


def build_rlrq(value: RLRQ) -> bytes:
    try:
        if type(value) is not RLRQ:
            raise Refusal("not an RLRQ")
        return _build_release(value, 0x62)
    except BUILD_ERRORS as error:
        raise unbuildable("rlrq", error) from error


def parse_rlre(data: bytes) -> RLRE:
    try:
        return RLRE(*_parse_release(data, 0x63))
    except PARSE_ERRORS as error:
        raise refused("rlre", data, error) from error


def build_rlre(value: RLRE) -> bytes:
    try:
        if type(value) is not RLRE:
            raise Refusal("not an RLRE")
        return _build_release(value, 0x63)
    except BUILD_ERRORS as error:
        raise unbuildable("rlre", error) from error
