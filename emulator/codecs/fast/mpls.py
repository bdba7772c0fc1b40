"""MPLS, by hand: label stack entries as lowered integers."""

from typing import Final

from emulator.codecs.fast.common import BUILD_ERRORS, PARSE_ERRORS, Refusal, refused, unbuildable
from emulator.codecs.layout import fixed
from emulator.codecs.mpls import ENTRY, MAX_LABELS, MPLS, Label

_ENTRY: Final = fixed(ENTRY)
_LIMIT: Final = 65_535 + 4 * MAX_LABELS


def parse(data: bytes) -> MPLS:
    try:
        if len(data) > _LIMIT:
            raise Refusal(f"oversized: {len(data)} bytes, at most {_LIMIT}", _LIMIT)
        labels: list[Label] = []
        at = 0
        entry = 0
        while not entry & 0x100:
            if len(labels) == MAX_LABELS:
                raise Refusal(f"more than {MAX_LABELS} labels", at)
            (entry,) = _ENTRY.unpack_from(data, at)
            at += 4
            labels.append(Label(entry >> 12, entry >> 9 & 7, entry & 0xFF))
    except PARSE_ERRORS as error:
        raise refused("mpls", data, error) from error
    return MPLS(tuple(labels), data[at:])


def build(value: MPLS) -> bytes:
    try:
        if type(value) is not MPLS or not isinstance(value.labels, tuple | list):
            raise Refusal("not an MPLS packet")
        if not 1 <= len(value.labels) <= MAX_LABELS:
            raise Refusal(f"a stack has 1 to {MAX_LABELS} labels")
        data = b""
        for label in value.labels:
            if (
                type(label) is not Label
                or not 0 <= label.label < 1 << 20
                or not 0 <= label.traffic_class <= 7
                or not 0 <= label.ttl <= 0xFF
            ):
                raise Refusal(f"{label!r:.60} is no label")
            data += _ENTRY.pack(label.label << 12 | label.traffic_class << 9 | label.ttl)
        data = data[:-2] + bytes((data[-2] | 1, data[-1])) + value.payload
        if len(data) > _LIMIT:
            raise Refusal(f"oversized: {len(data)} bytes, at most {_LIMIT}")
    except BUILD_ERRORS as error:
        raise unbuildable("mpls", error) from error
    return data
