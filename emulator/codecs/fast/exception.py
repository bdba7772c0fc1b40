"""ExceptionResponse, by hand: three bytes, or seven. An audit under old keys is answered with nothing else."""

import struct
from typing import Final

from emulator.codecs.exception import ExceptionResponse, ServiceError
from emulator.codecs.fast.common import BUILD_ERRORS, PARSE_ERRORS, Refusal, refused, unbuildable
from emulator.codecs.fast.get import check

_WITH_COUNTER: Final = struct.Struct(">BBBI")
_COUNTER_ERROR: Final = int(ServiceError.INVOCATION_COUNTER_ERROR)


def parse(data: bytes) -> ExceptionResponse:
    try:
        if data[0] != 0xD8:
            raise Refusal(f"tag {data[0]:02X} where D8 must stand", 0)
        if data[2] == _COUNTER_ERROR:
            _, state_error, service_error, counter = _WITH_COUNTER.unpack_from(data)
            check(data, 7)
            return ExceptionResponse(state_error, service_error, counter)
        check(data, 3)
        return ExceptionResponse(data[1], data[2])
    except PARSE_ERRORS as error:
        raise refused("exception-response", data, error) from error


def build(value: ExceptionResponse) -> bytes:
    try:
        if type(value) is not ExceptionResponse:
            raise Refusal("not an ExceptionResponse")
        counter = value.invocation_counter
        if (value.service_error == _COUNTER_ERROR) != (counter is not None):
            raise Refusal("the counter stands exactly when the service error is 6")
        if counter is None:
            return bytes((0xD8, value.state_error, value.service_error))
        return _WITH_COUNTER.pack(0xD8, value.state_error, value.service_error, counter)
    except BUILD_ERRORS as error:
        raise unbuildable("exception-response", error) from error
