"""Initiate, by hand: optional fields at the front, then one `struct`."""

import struct
from typing import Final

from emulator.codecs.codec import MAX_APDU
from emulator.codecs.fast.common import (
    BUILD_ERRORS,
    PARSE_ERRORS,
    Refusal,
    octets,
    refused,
    unbuildable,
    with_length,
)
from emulator.codecs.initiate import InitiateRequest, InitiateResponse

_MASK: Final = 0xFFFFFF
_REQUEST_END: Final = struct.Struct(">BIBHH")
"""Version, conformance tag, conformance in 1 + 2 bytes, largest PDU."""
_RESPONSE_END: Final = struct.Struct(">BIBHHH")
_TAG: Final = 0x5F1F0400


def _flag(data: bytes, at: int) -> bool:
    flag = data[at]
    if flag > 1:
        raise Refusal(f"a presence flag is 00 or 01, not {flag:02X}", at)
    return flag == 1


def _quality(data: bytes, at: int) -> tuple[int | None, int]:
    if _flag(data, at):
        value = data[at + 1]
        return value - 256 if value > 127 else value, at + 2
    return None, at + 1


def _write_quality(quality: int | None) -> bytes:
    if quality is None:
        return b"\0"
    return b"\x01" + quality.to_bytes(1, "big", signed=True)


def _checked(conformance: int) -> tuple[int, int]:
    if not 0 <= conformance <= _MASK:
        raise Refusal("the conformance has 24 bits")
    return conformance >> 16, conformance & 0xFFFF


def _end(data: bytes, at: int, size: int) -> None:
    if at + size != len(data):
        if at + size > len(data):
            raise IndexError
        raise Refusal(f"{len(data) - at - size} bytes too many", at + size)


def parse_request(data: bytes) -> InitiateRequest:
    try:
        if data[0] != 0x01:
            raise Refusal(f"tag {data[0]:02X} where 01 must stand", 0)
        if len(data) > MAX_APDU:
            raise Refusal(f"oversized: {len(data)} bytes, at most {MAX_APDU}", MAX_APDU)
        key: bytes | None = None
        at = 2
        if _flag(data, 1):
            key, at = octets(data, 2)
        allowed = True
        if _flag(data, at):
            at += 1
            allowed = data[at] != 0
        quality, at = _quality(data, at + 1)
        _end(data, at, 10)
        version, tag, high, low, max_pdu = _REQUEST_END.unpack_from(data, at)
        if tag != _TAG:
            raise Refusal("no conformance block here", at + 1)
    except PARSE_ERRORS as error:
        raise refused("initiate-request", data, error) from error
    return InitiateRequest(key, allowed, quality, version, high << 16 | low, max_pdu)


def build_request(value: InitiateRequest) -> bytes:
    try:
        if type(value) is not InitiateRequest:
            raise Refusal("not an InitiateRequest")
        key = value.dedicated_key
        if value.response_allowed not in (0, 1):
            raise Refusal("wants True or False")
        data = (
            (b"\x01\x00" if key is None else b"\x01\x01" + with_length(key))
            + (b"\0" if value.response_allowed else b"\x01\0")
            + _write_quality(value.quality)
            + _REQUEST_END.pack(value.version, _TAG, *_checked(value.conformance), value.max_pdu)
        )
        if len(data) > MAX_APDU:
            raise Refusal(f"oversized: {len(data)} bytes, at most {MAX_APDU}")
    except BUILD_ERRORS as error:
        raise unbuildable("initiate-request", error) from error
    return data


def parse_response(data: bytes) -> InitiateResponse:
    try:
        if data[0] != 0x08:
            raise Refusal(f"tag {data[0]:02X} where 08 must stand", 0)
        quality, at = _quality(data, 1)
        _end(data, at, 12)
        version, tag, high, low, max_pdu, vaa = _RESPONSE_END.unpack_from(data, at)
        if tag != _TAG:
            raise Refusal("no conformance block here", at + 1)
    except PARSE_ERRORS as error:
        raise refused("initiate-response", data, error) from error
    return InitiateResponse(quality, version, high << 16 | low, max_pdu, vaa)


def build_response(value: InitiateResponse) -> bytes:
    try:
        if type(value) is not InitiateResponse:
            raise Refusal("not an InitiateResponse")
        return (
            b"\x08"
            + _write_quality(value.quality)
            + _RESPONSE_END.pack(value.version, _TAG, *_checked(value.conformance), value.max_pdu, value.vaa)
        )
    except BUILD_ERRORS as error:
        raise unbuildable("initiate-response", error) from error
