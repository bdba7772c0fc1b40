"""Ciphered APDUs, by hand. Nearly all are short: one length byte, then one `struct` for everything before the text."""

import struct
from typing import Final

from emulator.codecs.codec import MAX_APDU
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
from emulator.codecs.glo import TAGS, Ciphered, GeneralCiphered

_SHORT: Final = struct.Struct(">BBBI")
_BODY: Final = struct.Struct(">BI")


def parse(data: bytes) -> Ciphered:
    try:
        tag, length, security_control, counter = _SHORT.unpack_from(data)
        if length >= 0x80:
            return _parse_long(data, tag)
        if length != len(data) - 2:
            raise Refusal("the length is not the length", 1)
        if tag not in TAGS:
            raise Refusal(f"{tag:02X} is no tag of a ciphered APDU", 0)
    except PARSE_ERRORS as error:
        raise refused("glo", data, error) from error
    return Ciphered(tag, security_control, counter, data[7:])


def _parse_long(data: bytes, tag: int) -> Ciphered:
    """An APDU whose length field has more than one byte."""
    length, at = long_length(data, 1)
    if length != len(data) - at or length > MAX_APDU:
        raise Refusal("the length is not the length", 1)
    security_control, counter = _BODY.unpack_from(data, at)
    if tag not in TAGS:
        raise Refusal(f"{tag:02X} is no tag of a ciphered APDU", 0)
    if len(data) > MAX_APDU:
        raise Refusal(f"oversized: {len(data)} bytes, at most {MAX_APDU}", MAX_APDU)
    return Ciphered(tag, security_control, counter, data[at + 5 :])


def build(value: Ciphered) -> bytes:
    try:
        tag = value.tag
        if type(value) is not Ciphered or tag not in TAGS:
            raise Refusal("not a ciphered APDU")
        text = value.text
        length = len(text) + 5
        if length < 0x80:
            return _SHORT.pack(tag, length, value.security_control, value.invocation_counter) + text
        body = _BODY.pack(value.security_control, value.invocation_counter)
        data = bytes((tag,)) + length_bytes(length) + body + text
        if len(data) > MAX_APDU:
            raise Refusal(f"oversized: {len(data)} bytes, at most {MAX_APDU}")
    except BUILD_ERRORS as error:
        raise unbuildable("glo", error) from error
    return data


def _parse_general(codec: str, expected: int, data: bytes) -> GeneralCiphered:
    try:
        if len(data) > MAX_APDU:
            raise Refusal(f"oversized: {len(data)} bytes, at most {MAX_APDU}", MAX_APDU)
        if data[0] != expected:
            raise Refusal(f"tag {data[0]:02X} where {expected:02X} must stand", 0)
        title, at = octets(data, 1)
        length, at = long_length(data, at)
        if length != len(data) - at:
            raise Refusal("the length is not the length", at)
        security_control, counter = _BODY.unpack_from(data, at)
    except PARSE_ERRORS as error:
        raise refused(codec, data, error) from error
    return GeneralCiphered(title, security_control, counter, data[at + 5 :])


def _build_general(codec: str, tag: bytes, value: GeneralCiphered) -> bytes:
    try:
        if type(value) is not GeneralCiphered:
            raise Refusal("not a general ciphered APDU")
        head = tag + with_length(value.system_title) + length_bytes(len(value.text) + 5)
        data = head + _BODY.pack(value.security_control, value.invocation_counter) + value.text
        if len(data) > MAX_APDU:
            raise Refusal(f"oversized: {len(data)} bytes, at most {MAX_APDU}")
    except BUILD_ERRORS as error:
        raise unbuildable(codec, error) from error
    return data


def parse_general_glo(data: bytes) -> GeneralCiphered:
    return _parse_general("general-glo", 0xDB, data)


def build_general_glo(value: GeneralCiphered) -> bytes:
    return _build_general("general-glo", b"\xdb", value)


def parse_general_ded(data: bytes) -> GeneralCiphered:
    return _parse_general("general-ded", 0xDC, data)


def build_general_ded(value: GeneralCiphered) -> bytes:
    return _build_general("general-ded", b"\xdc", value)
