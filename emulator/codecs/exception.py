"""Refusals of whole requests: ExceptionResponse and ConfirmedServiceError (DLMS UA 1000-2 9.5)."""

import io
from enum import IntEnum
from typing import Any, Final

from construct import Const, Construct, Int8ub, Int32ub

from emulator.codecs.codec import Codec, Twin
from emulator.codecs.layout import Lowered
from emulator.codecs.parts import Record, Tagged, refuse
from emulator.codecs.value import Value


class StateError(IntEnum):
    """Where the server stood when it refused."""

    SERVICE_NOT_ALLOWED = 1
    SERVICE_UNKNOWN = 2


class ServiceError(IntEnum):
    """Why the server refused. 6 alone carries the lowest counter it would accept."""

    OPERATION_NOT_POSSIBLE = 1
    SERVICE_NOT_SUPPORTED = 2
    OTHER_REASON = 3
    PDU_TOO_LONG = 4
    DECIPHERING_ERROR = 5
    INVOCATION_COUNTER_ERROR = 6


class ExceptionResponse(Value):
    """`invocation_counter` (32 bits) stands exactly when `service_error` is 6."""

    state_error: int
    service_error: int
    invocation_counter: int | None = None


class ConfirmedServiceError(Value):
    """`service` is the choice of the confirmed service (1 initiateError), `error_type` the choice inside (6 initiate),
    `value` the enumerated reason: 0E 01 06 01 is an unsupported DLMS version."""

    service: int
    error_type: int
    value: int


class _Counter(Construct):  # type: ignore[misc]
    """The counter, standing exactly when the service error beside it is the one that has it."""

    def __init__(self) -> None:
        super().__init__()
        self.flagbuildnone = True

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> int | None:
        if context["service_error"] != ServiceError.INVOCATION_COUNTER_ERROR:
            return None
        counter: int = Int32ub._parsereport(stream, context, path)
        return counter

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if (context["service_error"] == ServiceError.INVOCATION_COUNTER_ERROR) != (obj is not None):
            raise refuse("the counter stands exactly when the service error is 6", path)
        if obj is not None:
            Int32ub._build(obj, stream, context, path)
        return obj


EXCEPTION_RESPONSE: Final[Codec[ExceptionResponse]] = Codec(
    "exception-response",
    Tagged(
        0xD8,
        Record(
            ExceptionResponse,
            "state_error" / Int8ub,
            "service_error" / Int8ub,
            "invocation_counter" / _Counter(),
        ),
    ),
    limit=7,
    fast=Twin("exception"),
)

_CONFIRMED: Final = Record(
    ConfirmedServiceError, Const(0x0E, Int8ub), "service" / Int8ub, "error_type" / Int8ub, "value" / Int8ub
)

CONFIRMED_SERVICE_ERROR: Final[Codec[ConfirmedServiceError]] = Codec(
    "confirmed-service-error", _CONFIRMED, limit=4, fast=Lowered(_CONFIRMED)
)
