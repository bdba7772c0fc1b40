"""ACTION: invoking methods, in every form of request and response (DLMS UA 1000-2 9.3.8, 9.5)."""

from enum import IntEnum
from typing import Any, Final

from construct import Construct, Int8sb, Int8ub, Int16ub, Int32ub

from emulator.codecs import axdr
from emulator.codecs.axdr import Data
from emulator.codecs.codec import MAX_APDU, Codec, Twin
from emulator.codecs.get import RESULT
from emulator.codecs.parts import Octets, Presence, Record, SequenceOf, Tagged, Variants
from emulator.codecs.set import block
from emulator.codecs.value import Value


class ActionResult(IntEnum):
    """What became of a method; 0 is success (DLMS UA 1000-2, Action-Result)."""

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
    LONG_ACTION_ABORTED = 15
    NO_LONG_ACTION_IN_PROGRESS = 16
    OTHER_REASON = 250


class MethodRef(Value):
    """`logical_name` is 6 bytes (OBIS); `method` a signed byte."""

    class_id: int
    logical_name: bytes
    method: int


class ActionRequest(Value):
    """One method (C3 01)."""

    invoke: int
    method: MethodRef
    parameters: Data | None


class ActionRequestNext(Value):
    """The next block of a long answer (C3 02)."""

    invoke: int
    block: int


class ActionRequestList(Value):
    """Several methods, each with its parameters; a method without any has null-data (C3 03)."""

    invoke: int
    methods: tuple[MethodRef, ...]
    parameters: tuple[Data, ...]


class ActionRequestFirstBlock(Value):
    """One method, the first block of its long parameters (C3 04)."""

    invoke: int
    method: MethodRef
    last: bool
    block: int
    raw: bytes


class ActionRequestListFirstBlock(Value):
    """Several methods, the first block of their parameters (C3 05)."""

    invoke: int
    methods: tuple[MethodRef, ...]
    last: bool
    block: int
    raw: bytes


class ActionRequestBlock(Value):
    """A later block of parameters (C3 06)."""

    invoke: int
    last: bool
    block: int
    raw: bytes


class ActionResponse(Value):
    """`result` is an action-result; `data` the return parameters, or an int (a data-access-result), or None (C7 01)."""

    invoke: int
    result: int
    data: Data | int | None = None


class ActionResponseBlock(Value):
    """A block of a long answer (C7 02)."""

    invoke: int
    last: bool
    block: int
    raw: bytes


class ActionResponseList(Value):
    """One (result, return parameters) for each method (C7 03)."""

    invoke: int
    results: tuple[tuple[int, Data | int | None], ...]


class ActionResponseNext(Value):
    """Asking for the next block of parameters (C7 04)."""

    invoke: int
    block: int


METHOD: Final = Record(MethodRef, "class_id" / Int16ub, "logical_name" / Octets(6), "method" / Int8sb)
"""Cosem-Method-Descriptor."""


class _Outcome(Construct):  # type: ignore[misc]
    """Action-Response-With-Optional-Data as the pair (result, data)."""

    def _parse(self, stream: Any, context: Any, path: str) -> tuple[int, Data | int | None]:
        result = Int8ub._parsereport(stream, context, path)
        return result, _RETURN._parsereport(stream, context, path)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        result, data = obj
        Int8ub._build(result, stream, context, path)
        _RETURN._build(data, stream, context, path)
        return obj


_INVOKE: Final = "invoke" / Int8ub
_RETURN: Final = Presence(RESULT)

REQUEST: Final = Tagged(
    0xC3,
    Variants(
        {
            1: Record(ActionRequest, _INVOKE, "method" / METHOD, "parameters" / Presence(axdr.DEFINITION)),
            2: Record(ActionRequestNext, _INVOKE, "block" / Int32ub),
            3: Record(
                ActionRequestList,
                _INVOKE,
                "methods" / SequenceOf(METHOD),
                "parameters" / SequenceOf(axdr.DEFINITION),
            ),
            4: Record(ActionRequestFirstBlock, _INVOKE, "method" / METHOD, *block()),
            5: Record(ActionRequestListFirstBlock, _INVOKE, "methods" / SequenceOf(METHOD), *block()),
            6: Record(ActionRequestBlock, _INVOKE, *block()),
        }
    ),
)
RESPONSE: Final = Tagged(
    0xC7,
    Variants(
        {
            1: Record(ActionResponse, _INVOKE, "result" / Int8ub, "data" / _RETURN),
            2: Record(ActionResponseBlock, _INVOKE, *block()),
            3: Record(ActionResponseList, _INVOKE, "results" / SequenceOf(_Outcome())),
            4: Record(ActionResponseNext, _INVOKE, "block" / Int32ub),
        }
    ),
)

AnyActionRequest = (
    ActionRequest
    | ActionRequestNext
    | ActionRequestList
    | ActionRequestFirstBlock
    | ActionRequestListFirstBlock
    | ActionRequestBlock
)
AnyActionResponse = ActionResponse | ActionResponseBlock | ActionResponseList | ActionResponseNext

ACTION_REQUEST: Final[Codec[AnyActionRequest]] = Codec(
    "action-request", REQUEST, limit=MAX_APDU, fast=Twin("action", "request")
)
ACTION_RESPONSE: Final[Codec[AnyActionResponse]] = Codec(
    "action-response", RESPONSE, limit=MAX_APDU, fast=Twin("action", "response")
)
