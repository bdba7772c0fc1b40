"""SET: writing attributes, in every form of request and response (DLMS UA 1000-2 9.3.7, 9.5)."""

from typing import Final

from construct import Construct, Int8ub, Int32ub

from emulator.codecs import axdr
from emulator.codecs.axdr import Data
from emulator.codecs.codec import MAX_APDU, Codec, Twin
from emulator.codecs.get import ATTRIBUTE, AttributeRef
from emulator.codecs.parts import Boolean, Record, SequenceOf, Tagged, Variants, counted
from emulator.codecs.value import Value


class SetRequest(Value):
    """One attribute, one value (C1 01)."""

    invoke: int
    attribute: AttributeRef
    value: Data


class SetRequestFirstBlock(Value):
    """The first block of a long value (C1 02)."""

    invoke: int
    attribute: AttributeRef
    last: bool
    block: int
    raw: bytes


class SetRequestBlock(Value):
    """A later block (C1 03)."""

    invoke: int
    last: bool
    block: int
    raw: bytes


class SetRequestList(Value):
    """Several attributes and as many values (C1 04)."""

    invoke: int
    attributes: tuple[AttributeRef, ...]
    values: tuple[Data, ...]


class SetRequestListFirstBlock(Value):
    """Several attributes, their values arriving in blocks (C1 05)."""

    invoke: int
    attributes: tuple[AttributeRef, ...]
    last: bool
    block: int
    raw: bytes


class SetResponse(Value):
    """`result` is a data-access-result (C5 01)."""

    invoke: int
    result: int


class SetResponseBlock(Value):
    """This block was received (C5 02)."""

    invoke: int
    block: int


class SetResponseLastBlock(Value):
    """The result, after the last block (C5 03)."""

    invoke: int
    result: int
    block: int


class SetResponseLastBlockList(Value):
    """The results for a list, after the last block (C5 04)."""

    invoke: int
    results: tuple[int, ...]
    block: int


class SetResponseList(Value):
    """The results for a list (C5 05)."""

    invoke: int
    results: tuple[int, ...]


def block(raw: str = "raw") -> tuple[Construct, ...]:
    """DataBlock-SA and DataBlock-P: last, number, bytes."""
    return "last" / Boolean(), "block" / Int32ub, raw / counted()


_INVOKE: Final = "invoke" / Int8ub

REQUEST: Final = Tagged(
    0xC1,
    Variants(
        {
            1: Record(SetRequest, _INVOKE, "attribute" / ATTRIBUTE, "value" / axdr.DEFINITION),
            2: Record(SetRequestFirstBlock, _INVOKE, "attribute" / ATTRIBUTE, *block()),
            3: Record(SetRequestBlock, _INVOKE, *block()),
            4: Record(
                SetRequestList,
                _INVOKE,
                "attributes" / SequenceOf(ATTRIBUTE),
                "values" / SequenceOf(axdr.DEFINITION),
            ),
            5: Record(SetRequestListFirstBlock, _INVOKE, "attributes" / SequenceOf(ATTRIBUTE), *block()),
        }
    ),
)
RESPONSE: Final = Tagged(
    0xC5,
    Variants(
        {
            1: Record(SetResponse, _INVOKE, "result" / Int8ub),
            2: Record(SetResponseBlock, _INVOKE, "block" / Int32ub),
            3: Record(SetResponseLastBlock, _INVOKE, "result" / Int8ub, "block" / Int32ub),
            4: Record(SetResponseLastBlockList, _INVOKE, "results" / SequenceOf(Int8ub), "block" / Int32ub),
            5: Record(SetResponseList, _INVOKE, "results" / SequenceOf(Int8ub)),
        }
    ),
)

AnySetRequest = SetRequest | SetRequestFirstBlock | SetRequestBlock | SetRequestList | SetRequestListFirstBlock
AnySetResponse = SetResponse | SetResponseBlock | SetResponseLastBlock | SetResponseLastBlockList | SetResponseList

SET_REQUEST: Final[Codec[AnySetRequest]] = Codec("set-request", REQUEST, limit=MAX_APDU, fast=Twin("set", "request"))
SET_RESPONSE: Final[Codec[AnySetResponse]] = Codec(
    "set-response", RESPONSE, limit=MAX_APDU, fast=Twin("set", "response")
)
