"""DataNotification, by hand: six bytes or eighteen, then a datum."""

import struct
from typing import Final

from emulator.codecs.data_notification import DataNotification
from emulator.codecs.fast import axdr
from emulator.codecs.fast.common import BUILD_ERRORS, PARSE_ERRORS, Refusal, octets, refused, unbuildable, with_length
from emulator.codecs.fast.get import check, finished

_HEAD: Final = struct.Struct(">BI")


def parse(data: bytes) -> DataNotification:
    try:
        tag, invoke = _HEAD.unpack_from(data)
        if tag != 0x0F:
            raise Refusal(f"tag {tag:02X} where 0F must stand", 0)
        moment, at = octets(data, 5)
        if len(moment) not in (0, 12):
            raise Refusal(f"a date-time of {len(moment)} bytes", 5)
        body, at = axdr.read(data, at)
        check(data, at)
    except PARSE_ERRORS as error:
        raise refused("data-notification", data, error) from error
    return DataNotification(invoke, moment, body)


def build(value: DataNotification) -> bytes:
    try:
        if type(value) is not DataNotification or len(value.date_time) not in (0, 12):
            raise Refusal("not a DataNotification with a date-time of 0 or 12 bytes")
        out = bytearray(_HEAD.pack(0x0F, value.invoke))
        out += with_length(value.date_time)
        axdr.write(value.body, out)
        return finished(out)
    except BUILD_ERRORS as error:
        raise unbuildable("data-notification", error) from error
