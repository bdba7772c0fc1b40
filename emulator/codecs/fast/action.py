"""ACTION, by hand: method references, optional parameters, optional answers."""

from typing import Any, Final

from emulator.codecs.action import (
    METHOD,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestList,
    ActionRequestListFirstBlock,
    ActionRequestNext,
    ActionResponse,
    ActionResponseBlock,
    ActionResponseList,
    ActionResponseNext,
    AnyActionRequest,
    AnyActionResponse,
    MethodRef,
)
from emulator.codecs.axdr import Data
from emulator.codecs.codec import MAX_APDU
from emulator.codecs.fast import axdr
from emulator.codecs.fast.common import (
    BUILD_ERRORS,
    PARSE_ERRORS,
    Refusal,
    length_bytes,
    long_length,
    refused,
    unbuildable,
)
from emulator.codecs.fast.get import check, finished, kind_of, read_result, write_result
from emulator.codecs.fast.set import read_block, write_block
from emulator.codecs.layout import fixed

_METHOD: Final = fixed(METHOD.subcon)


def _presence(data: bytes, at: int) -> bool:
    flag = data[at]
    if flag > 1:
        raise Refusal(f"a presence flag is 00 or 01, not {flag:02X}", at)
    return flag == 1


def _write_method(value: MethodRef, out: bytearray) -> None:
    if type(value) is not MethodRef or len(value.logical_name) != 6:
        raise Refusal("not a method reference with a logical name of 6 bytes")
    out += _METHOD.pack(value.class_id, value.logical_name, value.method)


def _read_methods(data: bytes, at: int) -> tuple[tuple[MethodRef, ...], int]:
    count, at = long_length(data, at)
    methods = []
    for _ in range(count):
        methods.append(MethodRef(*_METHOD.unpack_from(data, at)))
        at += 9
    return tuple(methods), at


def _write_methods(values: Any, out: bytearray) -> None:
    if not isinstance(values, tuple | list):
        raise Refusal("wants a tuple")
    out += length_bytes(len(values))
    for value in values:
        _write_method(value, out)


def _read_return(data: bytes, at: int) -> tuple[Data | int | None, int]:
    if _presence(data, at):
        return read_result(data, at + 1)
    return None, at + 1


def _write_return(value: Any, out: bytearray) -> None:
    if value is None:
        out.append(0)
    else:
        out.append(1)
        write_result(value, out)


def parse_request(data: bytes) -> AnyActionRequest:
    try:
        kind = data[1] if data[0] == 0xC3 else kind_of(data, 0xC3)
        invoke = data[2]
        if kind == 1:
            method = MethodRef(*_METHOD.unpack_from(data, 3))
            parameters: Data | None = None
            at = 13
            if data[12] and _presence(data, 12):
                parameters, at = axdr.read(data, 13)
            if at != len(data) or at > MAX_APDU:
                check(data, at)
            return ActionRequest(invoke, method, parameters)
        if kind == 2:
            check(data, 7)
            return ActionRequestNext(invoke, int.from_bytes(data[3:7], "big"))
        if kind == 3:
            methods, at = _read_methods(data, 3)
            count, at = long_length(data, at)
            values = []
            for _ in range(count):
                value, at = axdr.read(data, at)
                values.append(value)
            check(data, at)
            return ActionRequestList(invoke, methods, tuple(values))
        if kind == 4:
            return ActionRequestFirstBlock(invoke, MethodRef(*_METHOD.unpack_from(data, 3)), *read_block(data, 12))
        if kind == 5:
            methods, at = _read_methods(data, 3)
            return ActionRequestListFirstBlock(invoke, methods, *read_block(data, at))
        if kind == 6:
            return ActionRequestBlock(invoke, *read_block(data, 3))
        raise Refusal(f"there is no kind {kind}", 1)
    except PARSE_ERRORS as error:
        raise refused("action-request", data, error) from error


def build_request(value: Any) -> bytes:
    kind = type(value)
    try:
        if kind is ActionRequest:
            out = bytearray((0xC3, 1, value.invoke))
            _write_method(value.method, out)
            out.append(value.parameters is not None)
            if value.parameters is not None:
                axdr.write(value.parameters, out)
        elif kind is ActionRequestNext:
            out = bytearray((0xC3, 2, value.invoke))
            out += value.block.to_bytes(4, "big")
        elif kind is ActionRequestList:
            out = bytearray((0xC3, 3, value.invoke))
            _write_methods(value.methods, out)
            if not isinstance(value.parameters, tuple | list):
                raise Refusal("wants a tuple")
            out += length_bytes(len(value.parameters))
            for one in value.parameters:
                axdr.write(one, out)
        elif kind is ActionRequestFirstBlock:
            out = bytearray((0xC3, 4, value.invoke))
            _write_method(value.method, out)
            write_block(value.last, value.block, value.raw, out)
        elif kind is ActionRequestListFirstBlock:
            out = bytearray((0xC3, 5, value.invoke))
            _write_methods(value.methods, out)
            write_block(value.last, value.block, value.raw, out)
        elif kind is ActionRequestBlock:
            out = bytearray((0xC3, 6, value.invoke))
            write_block(value.last, value.block, value.raw, out)
        else:
            raise Refusal(f"a {kind.__name__} does not belong here")
        return bytes(out) if len(out) <= MAX_APDU else finished(out)
    except BUILD_ERRORS as error:
        raise unbuildable("action-request", error) from error


def parse_response(data: bytes) -> AnyActionResponse:
    try:
        kind = data[1] if data[0] == 0xC7 else kind_of(data, 0xC7)
        invoke = data[2]
        if kind == 1:
            result = data[3]
            returned: Data | int | None = None
            at = 5
            if data[4]:
                returned, at = _read_return(data, 4)
            if at != len(data) or at > MAX_APDU:
                check(data, at)
            return ActionResponse(invoke, result, returned)
        if kind == 2:
            return ActionResponseBlock(invoke, *read_block(data, 3))
        if kind == 3:
            count, at = long_length(data, 3)
            results = []
            for _ in range(count):
                result = data[at]
                returned, at = _read_return(data, at + 1)
                results.append((result, returned))
            check(data, at)
            return ActionResponseList(invoke, tuple(results))
        if kind == 4:
            check(data, 7)
            return ActionResponseNext(invoke, int.from_bytes(data[3:7], "big"))
        raise Refusal(f"there is no kind {kind}", 1)
    except PARSE_ERRORS as error:
        raise refused("action-response", data, error) from error


def build_response(value: Any) -> bytes:
    kind = type(value)
    try:
        if kind is ActionResponse:
            out = bytearray((0xC7, 1, value.invoke, value.result, value.data is not None))
            if value.data is not None:
                write_result(value.data, out)
        elif kind is ActionResponseBlock:
            out = bytearray((0xC7, 2, value.invoke))
            write_block(value.last, value.block, value.raw, out)
        elif kind is ActionResponseList:
            out = bytearray((0xC7, 3, value.invoke))
            if not isinstance(value.results, tuple | list):
                raise Refusal("wants a tuple")
            out += length_bytes(len(value.results))
            for result, returned in value.results:
                out.append(result)
                _write_return(returned, out)
        elif kind is ActionResponseNext:
            out = bytearray((0xC7, 4, value.invoke))
            out += value.block.to_bytes(4, "big")
        else:
            raise Refusal(f"a {kind.__name__} does not belong here")
        return bytes(out) if len(out) <= MAX_APDU else finished(out)
    except BUILD_ERRORS as error:
        raise unbuildable("action-response", error) from error
