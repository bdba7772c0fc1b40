"""ACTION: invoking methods, in every form of request and response (DLMS UA 1000-2 9.3.8, 9.5)."""

from dataclasses import dataclass
from enum import IntEnum

from emulator.codecs.axdr import Data


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


@dataclass(slots=True)
class MethodRef:
    """`logical_name` is 6 bytes (OBIS); `method` a signed byte."""

    class_id: int
    logical_name: bytes
    method: int


@dataclass(slots=True)
class ActionRequest:
    """One method (C3 01)."""

    invoke: int
    method: MethodRef
    parameters: Data | None


@dataclass(slots=True)
class ActionRequestNext:
    """The next block of a long answer (C3 02)."""

    invoke: int
    block: int


@dataclass(slots=True)
class ActionRequestList:
    """Several methods, each with its parameters; a method without any has null-data (C3 03)."""

    invoke: int
    methods: tuple[MethodRef, ...]
    parameters: tuple[Data, ...]


@dataclass(slots=True)
class ActionRequestFirstBlock:
    """One method, the first block of its long parameters (C3 04)."""

    invoke: int
    method: MethodRef
    last: bool
    block: int
    raw: bytes


@dataclass(slots=True)
class ActionRequestListFirstBlock:
    """Several methods, the first block of their parameters (C3 05)."""

    invoke: int
    methods: tuple[MethodRef, ...]
    last: bool
    block: int
    raw: bytes


@dataclass(slots=True)
class ActionRequestBlock:
    """A later block of parameters (C3 06)."""

    invoke: int
    last: bool
    block: int
    raw: bytes


@dataclass(slots=True)
class ActionResponse:
    """`result` is an action-result; `data` the return parameters, or an int (a data-access-result), or None (C7 01)."""

    invoke: int
    result: int
    data: Data | int | None = None


@dataclass(slots=True)
class ActionResponseBlock:
    """A block of a long answer (C7 02)."""

    invoke: int
    last: bool
    block: int
    raw: bytes


@dataclass(slots=True)
class ActionResponseList:
    """One (result, return parameters) for each method (C7 03)."""

    invoke: int
    results: tuple[tuple[int, Data | int | None], ...]


@dataclass(slots=True)
class ActionResponseNext:
    """Asking for the next block of parameters (C7 04)."""

    invoke: int
    block: int
