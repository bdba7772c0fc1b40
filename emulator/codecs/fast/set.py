"""SET, by hand: the same pieces as GET, and blocks."""

import struct
from typing import Any, Final

from emulator.codecs.codec import MAX_APDU
from emulator.codecs.fast import axdr
from emulator.codecs.fast.common import (
    BUILD_ERRORS,
    PARSE_ERRORS,
    Refusal,
    length_bytes,
    long_length,
    octets,
    refused,
    unbuildable,
    with_length,
)
from emulator.codecs.fast.get import (
    check,
    finished,
    kind_of,
    read_attribute,
    read_attributes,
    write_attribute,
    write_attributes,
)
from emulator.codecs.set import (
    AnySetRequest,
    AnySetResponse,
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestList,
    SetRequestListFirstBlock,
    SetResponse,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseLastBlockList,
    SetResponseList,
)

_BLOCK: Final = struct.Struct(">?I")
_NUMBER: Final = struct.Struct(">I")
_RESULT_NUMBER: Final = struct.Struct(">BI")


def read_block(data: bytes, at: int) -> tuple[bool, int, bytes]:
    """DataBlock-SA (and -P): last, number, bytes. It must end the frame."""
    last, number = _BLOCK.unpack_from(data, at)
    raw, at = octets(data, at + 5)
    check(data, at)
    return last, number, raw


def write_block(last: Any, number: Any, raw: Any, out: bytearray) -> None:
    if last not in (0, 1):
        raise Refusal("wants True or False")
    out += _BLOCK.pack(last, number)
    out += with_length(raw)


def _results(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
    count, at = long_length(data, at)
    end = at + count
    if end > len(data):
        raise IndexError
    return tuple(data[at:end]), end


def _write_results(results: Any, out: bytearray) -> None:
    if not isinstance(results, tuple | list):
        raise Refusal("wants a tuple")
    out += length_bytes(len(results))
    out += bytes(results)


def parse_request(data: bytes) -> AnySetRequest:
    try:
        kind = data[1] if data[0] == 0xC1 else kind_of(data, 0xC1)
        invoke = data[2]
        if kind == 1:
            attribute, at = read_attribute(data, 3)
            value, at = axdr.read(data, at)
            if at != len(data) or at > MAX_APDU:
                check(data, at)
            return SetRequest(invoke, attribute, value)
        if kind == 2:
            attribute, at = read_attribute(data, 3)
            return SetRequestFirstBlock(invoke, attribute, *read_block(data, at))
        if kind == 3:
            return SetRequestBlock(invoke, *read_block(data, 3))
        if kind == 4:
            attributes, at = read_attributes(data, 3)
            count, at = long_length(data, at)
            values = []
            for _ in range(count):
                value, at = axdr.read(data, at)
                values.append(value)
            check(data, at)
            return SetRequestList(invoke, attributes, tuple(values))
        if kind == 5:
            attributes, at = read_attributes(data, 3)
            return SetRequestListFirstBlock(invoke, attributes, *read_block(data, at))
        raise Refusal(f"there is no kind {kind}", 1)
    except PARSE_ERRORS as error:
        raise refused("set-request", data, error) from error


def build_request(value: Any) -> bytes:
    kind = type(value)
    try:
        if kind is SetRequest:
            out = bytearray((0xC1, 1, value.invoke))
            write_attribute(value.attribute, out)
            axdr.write(value.value, out)
        elif kind is SetRequestFirstBlock:
            out = bytearray((0xC1, 2, value.invoke))
            write_attribute(value.attribute, out)
            write_block(value.last, value.block, value.raw, out)
        elif kind is SetRequestBlock:
            out = bytearray((0xC1, 3, value.invoke))
            write_block(value.last, value.block, value.raw, out)
        elif kind is SetRequestList:
            out = bytearray((0xC1, 4, value.invoke))
            write_attributes(value.attributes, out)
            if not isinstance(value.values, tuple | list):
                raise Refusal("wants a tuple")
            out += length_bytes(len(value.values))
            for one in value.values:
                axdr.write(one, out)
        elif kind is SetRequestListFirstBlock:
            out = bytearray((0xC1, 5, value.invoke))
            write_attributes(value.attributes, out)
            write_block(value.last, value.block, value.raw, out)
        else:
            raise Refusal(f"a {kind.__name__} does not belong here")
        return bytes(out) if len(out) <= MAX_APDU else finished(out)
    except BUILD_ERRORS as error:
        raise unbuildable("set-request", error) from error


def parse_response(data: bytes) -> AnySetResponse:
    try:
        kind = kind_of(data, 0xC5)
        invoke = data[2]
        value: AnySetResponse
        if kind == 1:
            value, at = SetResponse(invoke, data[3]), 4
        elif kind == 2:
            value, at = SetResponseBlock(invoke, _NUMBER.unpack_from(data, 3)[0]), 7
        elif kind == 3:
            value, at = SetResponseLastBlock(invoke, *_RESULT_NUMBER.unpack_from(data, 3)), 8
        elif kind == 4:
            results, at = _results(data, 3)
            value = SetResponseLastBlockList(invoke, results, _NUMBER.unpack_from(data, at)[0])
            at += 4
        elif kind == 5:
            results, at = _results(data, 3)
            value = SetResponseList(invoke, results)
        else:
            raise Refusal(f"there is no kind {kind}", 1)
        check(data, at)
    except PARSE_ERRORS as error:
        raise refused("set-response", data, error) from error
    return value


def build_response(value: Any) -> bytes:
    kind = type(value)
    try:
        if kind is SetResponse:
            return bytes((0xC5, 1, value.invoke, value.result))
        if kind is SetResponseBlock:
            return bytes((0xC5, 2, value.invoke)) + _NUMBER.pack(value.block)
        if kind is SetResponseLastBlock:
            return bytes((0xC5, 3, value.invoke)) + _RESULT_NUMBER.pack(value.result, value.block)
        if kind is SetResponseLastBlockList:
            out = bytearray((0xC5, 4, value.invoke))
            _write_results(value.results, out)
            out += _NUMBER.pack(value.block)
        elif kind is SetResponseList:
            out = bytearray((0xC5, 5, value.invoke))
            _write_results(value.results, out)
        else:
            raise Refusal(f"a {kind.__name__} does not belong here")
        return bytes(out) if len(out) <= MAX_APDU else finished(out)
    except BUILD_ERRORS as error:
        raise unbuildable("set-response", error) from error
