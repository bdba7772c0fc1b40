"""GET, by hand. The normal request is one lowered layout; the normal response is four bytes and a datum."""

import struct
from typing import Any, Final

from emulator.codecs.axdr import Data
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
from emulator.codecs.get import (
    NORMAL,
    REFERENCE,
    AnyGetRequest,
    AnyGetResponse,
    AttributeRef,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
    SelectiveAccess,
)
from emulator.codecs.layout import fixed

_HEAD: Final = struct.Struct(">BBB")
_NEXT: Final = struct.Struct(">BBBI")
_BLOCK: Final = struct.Struct(">BBB?I")
_REFERENCE: Final = fixed(REFERENCE)


def read_attribute(data: bytes, at: int) -> tuple[AttributeRef, int]:
    """A Cosem-Attribute-Descriptor with optional selective access, and where it ends."""
    class_id, logical_name, attribute = _REFERENCE.unpack_from(data, at)
    at += 9
    flag = data[at]
    at += 1
    if not flag:
        return AttributeRef(class_id, logical_name, attribute), at
    if flag != 1:
        raise Refusal(f"a presence flag is 00 or 01, not {flag:02X}", at - 1)
    selector = data[at]
    parameters, at = axdr.read(data, at + 1)
    return AttributeRef(class_id, logical_name, attribute, SelectiveAccess(selector, parameters)), at


def write_attribute(value: AttributeRef, out: bytearray) -> None:
    if type(value) is not AttributeRef:
        raise Refusal("not an attribute reference")
    name = value.logical_name
    if len(name) != 6:
        raise Refusal("a logical name has 6 bytes")
    out += _REFERENCE.pack(value.class_id, name, value.attribute)
    access = value.access
    if access is None:
        out.append(0)
        return
    if type(access) is not SelectiveAccess:
        raise Refusal("not a selective access")
    out.append(1)
    out.append(access.selector)
    axdr.write(access.parameters, out)


def read_attributes(data: bytes, at: int) -> tuple[tuple[AttributeRef, ...], int]:
    count, at = long_length(data, at)
    found = []
    for _ in range(count):
        attribute, at = read_attribute(data, at)
        found.append(attribute)
    return tuple(found), at


def write_attributes(values: Any, out: bytearray) -> None:
    if not isinstance(values, tuple | list):
        raise Refusal("wants a tuple")
    out += length_bytes(len(values))
    for value in values:
        write_attribute(value, out)


def read_result(data: bytes, at: int) -> tuple[Data | int, int]:
    """A Get-Data-Result, and where it ends."""
    kind = data[at]
    if kind == 0:
        return axdr.read(data, at + 1)
    if kind == 1:
        return data[at + 1], at + 2
    raise Refusal(f"no choice {kind:#04x} here", at)


def write_result(value: Any, out: bytearray) -> None:
    if value.__class__ is Data:
        out.append(0)
        axdr.write(value, out)
    elif isinstance(value, int):
        out.append(1)
        out.append(value)
    else:
        raise Refusal("neither a datum nor a result")


def check(data: bytes, at: int) -> None:
    """The end of a frame, and its size."""
    if at != len(data):
        if at > len(data):
            raise IndexError
        raise Refusal(f"{len(data) - at} bytes too many", at)
    if at > MAX_APDU:
        raise Refusal(f"oversized: {at} bytes, at most {MAX_APDU}", MAX_APDU)


def finished(out: bytearray) -> bytes:
    if len(out) > MAX_APDU:
        raise Refusal(f"oversized: {len(out)} bytes, at most {MAX_APDU}")
    return bytes(out)


def kind_of(data: bytes, tag: int) -> int:
    if data[0] != tag:
        raise Refusal(f"tag {data[0]:02X} where {tag:02X} must stand", 0)
    return data[1]


def parse_request(data: bytes) -> AnyGetRequest:
    try:
        if len(data) == 13:
            tag, kind, invoke, class_id, logical_name, attribute, flag = NORMAL.unpack(data)
            if tag == 0xC0 and kind == 1 and not flag:
                return GetRequest(invoke, AttributeRef(class_id, logical_name, attribute))
        kind = kind_of(data, 0xC0)
        if kind == 1:
            reference, at = read_attribute(data, 3)
            check(data, at)
            return GetRequest(data[2], reference)
        if kind == 2:
            _, _, invoke, block = _NEXT.unpack_from(data)
            check(data, 7)
            return GetRequestNext(invoke, block)
        if kind == 3:
            invoke = data[2]
            attributes, at = read_attributes(data, 3)
            check(data, at)
            return GetRequestList(invoke, attributes)
        raise Refusal(f"there is no kind {kind}", 1)
    except PARSE_ERRORS as error:
        raise refused("get-request", data, error) from error


def build_request(value: Any) -> bytes:
    kind = type(value)
    try:
        if kind is GetRequest:
            reference = value.attribute
            if type(reference) is AttributeRef and reference.access is None and len(reference.logical_name) == 6:
                return NORMAL.pack(
                    0xC0, 1, value.invoke, reference.class_id, reference.logical_name, reference.attribute, 0
                )
            out = bytearray((0xC0, 1, value.invoke))
            write_attribute(reference, out)
        elif kind is GetRequestNext:
            return _NEXT.pack(0xC0, 2, value.invoke, value.block)
        elif kind is GetRequestList:
            out = bytearray((0xC0, 3, value.invoke))
            write_attributes(value.attributes, out)
        else:
            raise Refusal(f"a {kind.__name__} does not belong here")
        return finished(out)
    except BUILD_ERRORS as error:
        raise unbuildable("get-request", error) from error


def parse_response(data: bytes) -> AnyGetResponse:
    try:
        kind = data[1] if data[0] == 0xC4 else kind_of(data, 0xC4)
        if kind == 1:
            invoke = data[2]
            choice = data[3]
            result: Data | int
            if choice == 0:
                result, at = axdr.read(data, 4)
            else:
                result, at = read_result(data, 3)
            if at != len(data) or at > MAX_APDU:
                check(data, at)
            return GetResponse(invoke, result)
        if kind == 2:
            _, _, invoke, last, block = _BLOCK.unpack_from(data)
            choice = data[8]
            raw: bytes | int
            if choice == 0:
                raw, at = octets(data, 9)
            elif choice == 1:
                raw, at = data[9], 10
            else:
                raise Refusal(f"no choice {choice:#04x} here", 8)
            check(data, at)
            return GetResponseBlock(invoke, last, block, raw)
        if kind == 3:
            invoke = data[2]
            count, at = long_length(data, 3)
            results = []
            for _ in range(count):
                one, at = read_result(data, at)
                results.append(one)
            check(data, at)
            return GetResponseList(invoke, tuple(results))
        raise Refusal(f"there is no kind {kind}", 1)
    except PARSE_ERRORS as error:
        raise refused("get-response", data, error) from error


def build_response(value: Any) -> bytes:
    kind = type(value)
    try:
        if kind is GetResponse:
            result = value.result
            if result.__class__ is Data:
                out = bytearray((0xC4, 1, value.invoke, 0))
                axdr.write(result, out)
            else:
                out = bytearray((0xC4, 1, value.invoke))
                write_result(result, out)
        elif kind is GetResponseBlock:
            if value.last not in (0, 1):
                raise Refusal("wants True or False")
            out = bytearray(_BLOCK.pack(0xC4, 2, value.invoke, value.last, value.block))
            if isinstance(value.result, int):
                out += bytes((1, value.result))
            else:
                out.append(0)
                out += with_length(value.result)
        elif kind is GetResponseList:
            if not isinstance(value.results, tuple | list):
                raise Refusal("wants a tuple")
            out = bytearray((0xC4, 3, value.invoke))
            out += length_bytes(len(value.results))
            for one in value.results:
                write_result(one, out)
        else:
            raise Refusal(f"a {kind.__name__} does not belong here")
        return bytes(out) if len(out) <= MAX_APDU else finished(out)
    except BUILD_ERRORS as error:
        raise unbuildable("get-response", error) from error
