"""ACSE, by hand: one walk over the fields. Each association costs four of these, so they are worth their lines.

Nearly all frames of an estate differ in their strings alone (a title, a challenge, what is sealed). So of a frame with
all its strings the form is kept: what stands before and between them, by their lengths. A frame of a known form is
packed and unpacked in one step; whatever differs anywhere but in a string goes by the walk, which alone decides what is
right. Forms hold no string, and there are never more than `_FORMS_MOST` of a kind.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final

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
_CONTEXTS: Final = {_CONTEXT_HEAD + bytes((number,)): number for number in range(256)}
_MECHANISMS: Final = {_MECHANISM_HEAD + bytes((number,)): number for number in range(256)}
"""Contents of an object name field -> the last number of the name: one look instead of a comparison by parts."""
_CONTEXT_FIELD: Final = bytes((0xA1, len(_CONTEXT_HEAD) + 1)) + _CONTEXT_HEAD
_MECHANISM_LENGTH: Final = bytes((len(_MECHANISM_HEAD) + 1,))
_AARQ_MECHANISM: Final = b"\x8b" + _MECHANISM_LENGTH + _MECHANISM_HEAD
_AARE_MECHANISM: Final = b"\x89" + _MECHANISM_LENGTH + _MECHANISM_HEAD
_AARQ_REQUIREMENTS: Final = b"\x8a" + with_length(AUTHENTICATED)
_AARE_REQUIREMENTS: Final = b"\x88" + with_length(AUTHENTICATED)
_AARQ_KNOWN: Final = frozenset((0xA1, 0xA6, 0x8A, 0x8B, 0xAC, 0xBE))
_AARE_KNOWN: Final = frozenset((0xA1, 0xA2, 0xA3, 0xA4, 0x88, 0x89, 0xAA, 0xBE))
_RELEASE_KNOWN: Final = frozenset((0x80, 0xBE))
_AARQ_FIELDS: Final = _AARQ_KNOWN | AARQ_IGNORED
_AARE_FIELDS: Final = _AARE_KNOWN | AARE_IGNORED


_FORMS_MOST: Final = 64


class _Forms:
    """The forms of one kind of frame.

    `by_lengths`: (numbers said, lengths of the strings) -> (pack, the pieces before each string). `by_size`: length of
    the frame -> (unpack, pieces -> numbers said); two forms of one length share the cuts of the first, or go unkept.
    """

    __slots__ = ("by_lengths", "by_size")

    def __init__(self) -> None:
        self.by_lengths: dict[tuple[int | None, ...], tuple[Callable[..., bytes], Sequence[bytes]]] = {}
        self.by_size: dict[int, tuple[Callable[[bytes], tuple[Any, ...]], dict[tuple[bytes, ...], Any]]] = {}

    def keep(self, said: tuple[int | None, ...], strings: Sequence[bytes], data: bytes, ends: Sequence[int]) -> None:
        """Keep the form of `data`, the frame as it is built, whose strings end at `ends`; the last one ends it."""
        if len(self.by_lengths) >= _FORMS_MOST:
            return
        pieces, format_, at = [], "", 0
        for string, end in zip(strings, ends, strict=True):
            start = end - len(string)
            pieces.append(data[at:start])
            format_ += f"{start - at}s{end - start}s"
            at = end
        form = Struct(format_)
        self.by_lengths[*said, *map(len, strings)] = form.pack, tuple(pieces)
        unpack, known = self.by_size.setdefault(len(data), (form.unpack, {}))
        if unpack(data)[::2] == tuple(pieces):
            known[tuple(pieces)] = said


_AARQS: Final = _Forms()
_AARES: Final = _Forms()
_RLRQS: Final = _Forms()
_RLRES: Final = _Forms()


def _fields(data: bytes, tag: int, allowed: frozenset[int]) -> dict[int, bytes]:
    """Contents of every field by tag. Lengths of one byte are read in the loop: a call each was half of its price."""
    size = len(data)
    if size > MAX_APDU:
        raise Refusal(f"oversized: {size} bytes, at most {MAX_APDU}", MAX_APDU)
    if data[0] != tag:
        raise Refusal(f"tag {data[0]:02X} where {tag:02X} must stand", 0)
    length, at = data[1], 2
    if length >= 0x80:
        length, at = long_length(data, 1)
    if length != size - at:
        raise Refusal("the length is not the length", 1)
    found: dict[int, bytes] = {}
    while at < size:
        field = data[at]
        if field in found or field not in allowed:
            raise Refusal(f"field {field:02X} is unknown or stands twice", at)
        start = at + 2
        length = data[at + 1]
        if length >= 0x80:
            length, start = long_length(data, at + 1)
        at = start + length
        if at > size:
            raise IndexError
        found[field] = data[start:at]
    return found


def _small(contents: bytes | None, field: int) -> int:
    """INTEGER of one byte."""
    if contents is None:
        raise Refusal(f"field {field:02X} is missing")
    if len(contents) != 3 or contents[0] != 2 or contents[1] != 1 or contents[2] > 127:
        raise Refusal("not a one-byte INTEGER")
    return contents[2]


def _string(contents: bytes, tag: int) -> bytes:
    """A string under its own tag, using up the field."""
    if contents[0] != tag:
        raise Refusal(f"tag {contents[0]:02X} where {tag:02X} must stand")
    if contents[1] + 2 == len(contents) < 0x82:
        return contents[2:]
    value, end = octets(contents, 1)
    if end != len(contents):
        raise Refusal("bytes too many inside")
    return value


def _no_name(contents: bytes | None, field: int) -> Refusal:
    """Why there is no number at the end of an object name."""
    if contents is None:
        return Refusal(f"field {field:02X} is missing")
    return Refusal("not an object name of this family")


def _put(out: bytearray, field: int, tag: int, value: bytes | bytearray) -> None:
    """A string under its own tag, in a field."""
    size = len(value)
    if size < 0x7E and value.__class__ is bytes:  # both lengths take one byte
        out += bytes((field, size + 2, tag, size))
        out += value
        return
    inner = bytes((tag,)) + with_length(value)
    out.append(field)
    out += length_bytes(len(inner))
    out += inner


def _checked_small(value: int) -> int:
    if not 0 <= value <= 127:
        raise Refusal(f"{value} is not within 0 to 127")
    return value


def _whole(tag: int, out: bytearray, ends: list[int]) -> bytes:
    """The frame of these fields; `ends` move with them."""
    size = len(out)
    head = bytes((tag, size)) if size < 0x80 else bytes((tag,)) + length_bytes(size)
    ends[:] = [len(head) + end for end in ends]
    if len(head) + size > MAX_APDU:
        raise Refusal(f"oversized: {len(head) + size} bytes, at most {MAX_APDU}")
    return head + out


def parse_aarq(data: bytes) -> AARQ:
    form = _AARQS.by_size.get(len(data))
    if form is not None:
        unpack, known = form
        before, title, middle, authentication, behind, information = unpack(data)
        said = known.get((before, middle, behind))
        if said is not None:
            return AARQ(said[0], title, said[1], authentication, information)
    return _walk_aarq(data)


def _walk_aarq(data: bytes) -> AARQ:
    try:
        found = _fields(data, 0x60, _AARQ_FIELDS).get
        name = found(0xA1)
        context = _CONTEXTS.get(name)  # type: ignore[arg-type]
        if context is None:
            raise _no_name(name, 0xA1)
        name = found(0x8B)
        mechanism = None if name is None else _MECHANISMS.get(name)
        if mechanism is None and name is not None:
            raise _no_name(name, 0x8B)
        title, authentication, information = found(0xA6), found(0xAC), found(0xBE)
        return AARQ(
            context,
            None if title is None else _string(title, 0x04),
            mechanism,
            None if authentication is None else _string(authentication, 0x80),
            None if information is None else _string(information, 0x04),
        )
    except PARSE_ERRORS as error:
        raise refused("aarq", data, error) from error


def build_aarq(value: AARQ) -> bytes:
    try:
        if type(value) is not AARQ:
            raise Refusal("not an AARQ")
        title, authentication, information = value.calling_title, value.authentication, value.user_information
        if title is None or authentication is None or information is None:
            return _write_aarq(value, [])
        said = value.context, value.mechanism
        form = _AARQS.by_lengths.get((*said, len(title), len(authentication), len(information)))
        if form is not None:
            pack, (before, middle, behind) = form
            return pack(before, title, middle, authentication, behind, information)
        ends: list[int] = []
        data = _write_aarq(value, ends)
        _AARQS.keep(said, (title, authentication, information), data, ends)
        return data
    except BUILD_ERRORS as error:
        raise unbuildable("aarq", error) from error


def _write_aarq(value: AARQ, ends: list[int]) -> bytes:
    """The frame, field by field; `ends` takes where its strings end."""
    mechanism, authentication = value.mechanism, value.authentication
    out = bytearray(_CONTEXT_FIELD)
    out.append(value.context)
    if value.calling_title is not None:
        _put(out, 0xA6, 0x04, value.calling_title)
        ends.append(len(out))
    if mechanism is not None or authentication is not None:
        out += _AARQ_REQUIREMENTS
    if mechanism is not None:
        out += _AARQ_MECHANISM
        out.append(mechanism)
    if authentication is not None:
        _put(out, 0xAC, 0x80, authentication)
        ends.append(len(out))
    if value.user_information is not None:
        _put(out, 0xBE, 0x04, value.user_information)
        ends.append(len(out))
    return _whole(0x60, out, ends)


def parse_aare(data: bytes) -> AARE:
    form = _AARES.by_size.get(len(data))
    if form is not None:
        unpack, known = form
        before, title, middle, authentication, behind, information = unpack(data)
        said = known.get((before, middle, behind))
        if said is not None:
            context, result, source, diagnostic, mechanism = said
            return AARE(context, result, source, diagnostic, title, mechanism, authentication, information)
    return _walk_aare(data)


def _walk_aare(data: bytes) -> AARE:
    try:
        found = _fields(data, 0x61, _AARE_FIELDS).get
        diagnostic = found(0xA3)
        if diagnostic is None:
            raise Refusal("field A3 is missing")
        source = diagnostic[0] - 0xA0
        if source not in (1, 2):
            raise Refusal("the diagnostic has no source")
        inner = _string(diagnostic, diagnostic[0])
        name = found(0xA1)
        context = _CONTEXTS.get(name)  # type: ignore[arg-type]
        if context is None:
            raise _no_name(name, 0xA1)
        name = found(0x89)
        mechanism = None if name is None else _MECHANISMS.get(name)
        if mechanism is None and name is not None:
            raise _no_name(name, 0x89)
        title, authentication, information = found(0xA4), found(0xAA), found(0xBE)
        return AARE(
            context,
            _small(found(0xA2), 0xA2),
            source,
            _small(inner, 0xA3),
            None if title is None else _string(title, 0x04),
            mechanism,
            None if authentication is None else _string(authentication, 0x80),
            None if information is None else _string(information, 0x04),
        )
    except PARSE_ERRORS as error:
        raise refused("aare", data, error) from error


def build_aare(value: AARE) -> bytes:
    try:
        if type(value) is not AARE:
            raise Refusal("not an AARE")
        title, authentication, information = value.responding_title, value.authentication, value.user_information
        if title is None or authentication is None or information is None:
            return _write_aare(value, [])
        said = value.context, value.result, value.diagnostic_source, value.diagnostic, value.mechanism
        form = _AARES.by_lengths.get((*said, len(title), len(authentication), len(information)))
        if form is not None:
            pack, (before, middle, behind) = form
            return pack(before, title, middle, authentication, behind, information)
        ends: list[int] = []
        data = _write_aare(value, ends)
        _AARES.keep(said, (title, authentication, information), data, ends)
        return data
    except BUILD_ERRORS as error:
        raise unbuildable("aare", error) from error


def _write_aare(value: AARE, ends: list[int]) -> bytes:
    """The frame, field by field; `ends` takes where its strings end."""
    if value.diagnostic_source not in (1, 2):
        raise Refusal("not an AARE with a diagnostic source of 1 or 2")
    mechanism, authentication = value.mechanism, value.authentication
    out = bytearray(_CONTEXT_FIELD)
    out.append(value.context)
    out += bytes((0xA2, 3, 2, 1, _checked_small(value.result)))
    out += bytes((0xA3, 5, 0xA0 + value.diagnostic_source, 3, 2, 1, _checked_small(value.diagnostic)))
    if value.responding_title is not None:
        _put(out, 0xA4, 0x04, value.responding_title)
        ends.append(len(out))
    if mechanism is not None or authentication is not None:
        out += _AARE_REQUIREMENTS
    if mechanism is not None:
        out += _AARE_MECHANISM
        out.append(mechanism)
    if authentication is not None:
        _put(out, 0xAA, 0x80, authentication)
        ends.append(len(out))
    if value.user_information is not None:
        _put(out, 0xBE, 0x04, value.user_information)
        ends.append(len(out))
    return _whole(0x61, out, ends)


def _parse_release(data: bytes, tag: int, forms: _Forms) -> tuple[int | None, bytes | None]:
    form = forms.by_size.get(len(data))
    if form is not None:
        unpack, known = form
        before, text = unpack(data)
        said = known.get((before,))
        if said is not None:
            return said[0], text
    found = _fields(data, tag, _RELEASE_KNOWN)
    reason, information = found.get(0x80), found.get(0xBE)
    if reason is not None and (len(reason) != 1 or reason[0] > 127):
        raise Refusal("not a reason of one byte")
    return reason[0] if reason else None, None if information is None else _string(information, 0x04)


def _build_release(value: RLRQ | RLRE, tag: int, forms: _Forms) -> bytes:
    reason, information = value.reason, value.user_information
    if information is not None:
        form = forms.by_lengths.get((reason, len(information)))
        if form is not None:
            return form[0](form[1][0], information)
    out = bytearray()
    if reason is not None:
        out += bytes((0x80, 1, _checked_small(reason)))
    if information is None:
        return _whole(tag, out, [])
    _put(out, 0xBE, 0x04, information)
    ends = [len(out)]
    data = _whole(tag, out, ends)
    forms.keep((reason,), (information,), data, ends)
    return data


def parse_rlrq(data: bytes) -> RLRQ:
    try:
        return RLRQ(*_parse_release(data, 0x62, _RLRQS))
    except PARSE_ERRORS as error:
        raise refused("rlrq", data, error) from error


def build_rlrq(value: RLRQ) -> bytes:
    try:
        if type(value) is not RLRQ:
            raise Refusal("not an RLRQ")
        return _build_release(value, 0x62, _RLRQS)
    except BUILD_ERRORS as error:
        raise unbuildable("rlrq", error) from error


def parse_rlre(data: bytes) -> RLRE:
    try:
        return RLRE(*_parse_release(data, 0x63, _RLRES))
    except PARSE_ERRORS as error:
        raise refused("rlre", data, error) from error


def build_rlre(value: RLRE) -> bytes:
    try:
        if type(value) is not RLRE:
            raise Refusal("not an RLRE")
        return _build_release(value, 0x63, _RLRES)
    except BUILD_ERRORS as error:
        raise unbuildable("rlre", error) from error
