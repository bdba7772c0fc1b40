"""GET: reading attributes, in every form of request and response (DLMS UA 1000-2 9.3.6, 9.5).

`invoke` is always the whole invoke-id-and-priority byte: bits 0 to 3 the id, bit 6 the service class (confirmed), bit 7
the priority. It is carried and echoed, never taken apart on the hot path.
"""

from enum import IntEnum
from typing import Final

from construct import Const, Int8sb, Int8ub, Int16ub, Int32ub, Struct

from emulator.codecs import axdr
from emulator.codecs.axdr import Data
from emulator.codecs.codec import MAX_APDU, Codec, Twin
from emulator.codecs.layout import fixed
from emulator.codecs.parts import Boolean, Choice, Octets, Presence, Record, SequenceOf, Tagged, Variants, counted
from emulator.codecs.value import Value


class DataAccessResult(IntEnum):
    """Why an attribute was not read or written; 0 is success (DLMS UA 1000-2, Data-Access-Result)."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


class SelectiveAccess(Value):
    """Which part of the attribute: `selector` 0 to 255, its meaning fixed by the class."""

    selector: int
    parameters: Data


class AttributeRef(Value):
    """`logical_name` is 6 bytes (OBIS); `attribute` a signed byte, 0 meaning all of them."""

    class_id: int
    logical_name: bytes
    attribute: int
    access: SelectiveAccess | None = None


class GetRequest(Value):
    """One attribute (C0 01)."""

    invoke: int
    attribute: AttributeRef


class GetRequestNext(Value):
    """The next block of a long answer; `block` is the number received last, 32 bits (C0 02)."""

    invoke: int
    block: int


class GetRequestList(Value):
    """Several attributes (C0 03)."""

    invoke: int
    attributes: tuple[AttributeRef, ...]


class GetResponse(Value):
    """`result` is the datum, or an int: the data-access-result (C4 01)."""

    invoke: int
    result: Data | int


class GetResponseBlock(Value):
    """`result` is the raw bytes of this block, or an int: the data-access-result (C4 02)."""

    invoke: int
    last: bool
    block: int
    result: bytes | int


class GetResponseList(Value):
    """One result for each attribute asked for (C4 03)."""

    invoke: int
    results: tuple[Data | int, ...]


REFERENCE: Final = Struct("class_id" / Int16ub, "logical_name" / Octets(6), "attribute" / Int8sb)
ACCESS: Final = Presence(Record(SelectiveAccess, "selector" / Int8ub, "parameters" / axdr.DEFINITION))
ATTRIBUTE: Final = Record(AttributeRef, *REFERENCE.subcons, "access" / ACCESS)
"""Cosem-Attribute-Descriptor with its optional selective access."""

RESULT: Final = Choice({0: (Data, axdr.DEFINITION), 1: (int, Int8ub)})
"""Get-Data-Result."""

REQUEST: Final = Tagged(
    0xC0,
    Variants(
        {
            1: Record(GetRequest, "invoke" / Int8ub, "attribute" / ATTRIBUTE),
            2: Record(GetRequestNext, "invoke" / Int8ub, "block" / Int32ub),
            3: Record(GetRequestList, "invoke" / Int8ub, "attributes" / SequenceOf(ATTRIBUTE)),
        }
    ),
)
RESPONSE: Final = Tagged(
    0xC4,
    Variants(
        {
            1: Record(GetResponse, "invoke" / Int8ub, "result" / RESULT),
            2: Record(
                GetResponseBlock,
                "invoke" / Int8ub,
                "last" / Boolean(),
                "block" / Int32ub,
                "result" / Choice({0: (bytes, counted()), 1: (int, Int8ub)}),
            ),
            3: Record(GetResponseList, "invoke" / Int8ub, "results" / SequenceOf(RESULT)),
        }
    ),
)

NORMAL: Final = fixed(Const(0xC0, Int8ub), Const(1, Int8ub), "invoke" / Int8ub, REFERENCE, "access" / Int8ub)
"""A get-request-normal without selective access is 13 fixed bytes: nearly every request there is."""

AnyGetRequest = GetRequest | GetRequestNext | GetRequestList
AnyGetResponse = GetResponse | GetResponseBlock | GetResponseList

GET_REQUEST: Final[Codec[AnyGetRequest]] = Codec("get-request", REQUEST, limit=MAX_APDU, fast=Twin("get", "request"))
GET_RESPONSE: Final[Codec[AnyGetResponse]] = Codec(
    "get-response", RESPONSE, limit=MAX_APDU, fast=Twin("get", "response")
)
