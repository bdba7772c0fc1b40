"""MPLS label stacks (RFC 3032, RFC 5462)."""

import io
from typing import Any, Final

from construct import BitsInteger, BitStruct, Construct

from emulator.codecs.codec import Codec, Twin
from emulator.codecs.parts import Record, Rest, refuse
from emulator.codecs.value import Value

MAX_LABELS: Final = 16
"""Deepest stack a decoder follows; our links use two labels."""


class Label(Value):
    """`label` 20 bits, `traffic_class` 3 bits, `ttl` 8 bits. The bottom-of-stack bit is the stack's affair."""

    label: int
    traffic_class: int
    ttl: int


class MPLS(Value):
    """`labels` outermost first, at least one."""

    labels: tuple[Label, ...]
    payload: bytes


ENTRY: Final = BitStruct(
    "label" / BitsInteger(20), "traffic_class" / BitsInteger(3), "bottom" / BitsInteger(1), "ttl" / BitsInteger(8)
)
"""One label stack entry, four bytes (RFC 3032 2.1)."""


class _Stack(Construct):  # type: ignore[misc]
    """Entries down to the one that says it is the bottom."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> tuple[Label, ...]:
        labels: list[Label] = []
        bottom = 0
        while not bottom:
            if len(labels) == MAX_LABELS:
                raise refuse(f"more than {MAX_LABELS} labels", path)
            entry = ENTRY._parsereport(stream, context, path)
            labels.append(Label(entry["label"], entry["traffic_class"], entry["ttl"]))
            bottom = entry["bottom"]
        return tuple(labels)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, tuple | list) or not 1 <= len(obj) <= MAX_LABELS:
            raise refuse(f"a stack has 1 to {MAX_LABELS} labels", path)
        for i, label in enumerate(obj):
            if type(label) is not Label:
                raise refuse(f"a {type(label).__name__} where a Label belongs", path)
            entry = {
                "label": label.label,
                "traffic_class": label.traffic_class,
                "bottom": int(i == len(obj) - 1),
                "ttl": label.ttl,
            }
            ENTRY._build(entry, stream, context, path)
        return obj


DEFINITION: Final = Record(MPLS, "labels" / _Stack(), "payload" / Rest())

MPLS_FRAME: Final[Codec[MPLS]] = Codec("mpls", DEFINITION, limit=65_535 + 4 * MAX_LABELS, fast=Twin("mpls"))
