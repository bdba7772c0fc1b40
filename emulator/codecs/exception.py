"""Refusals of whole requests: ExceptionResponse and ConfirmedServiceError (DLMS UA 1000-2 9.5)."""

from dataclasses import dataclass
from enum import IntEnum


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


@dataclass(slots=True)
class ExceptionResponse:
    """`invocation_counter` (32 bits) stands exactly when `service_error` is 6."""

    state_error: int
    service_error: int
    invocation_counter: int | None = None


@dataclass(slots=True)
class ConfirmedServiceError:
    """`service` is the choice of the confirmed service (1 initiateError), `error_type` the choice inside (6 initiate),
    `value` the enumerated reason: 0E 01 06 01 is an unsupported DLMS version."""

    service: int
    error_type: int
    value: int
