"""DataNotification: what a device pushes without being asked (DLMS UA 1000-2 9.3.10, 9.5)."""

from typing import Any, Final

from construct import Construct, Int32ub

from emulator.codecs import axdr
from emulator.codecs.axdr import Data
from emulator.codecs.codec import MAX_APDU, Codec, Twin
from emulator.codecs.parts import Record, Tagged, counted, refuse
from emulator.codecs.value import Value


class DataNotification(Value):
    """`invoke` is the long invoke-id-and-priority, 32 bits; `date_time` is 0 or 12 bytes."""

    invoke: int
    date_time: bytes
    body: Data


class _Moment(Construct):  # type: ignore[misc]
    """An octet string of 0 or 12 bytes."""

    def _parse(self, stream: Any, context: Any, path: str) -> bytes:
        moment: bytes = _OCTETS._parsereport(stream, context, path)
        if len(moment) not in (0, 12):
            raise refuse(f"a date-time of {len(moment)} bytes", path)
        return moment

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        if len(obj) not in (0, 12):
            raise refuse(f"a date-time of {len(obj)} bytes", path)
        return _OCTETS._build(obj, stream, context, path)


_OCTETS: Final = counted()

DEFINITION: Final = Tagged(
    0x0F,
    Record(DataNotification, "invoke" / Int32ub, "date_time" / _Moment(), "body" / axdr.DEFINITION),
)

DATA_NOTIFICATION: Final[Codec[DataNotification]] = Codec(
    "data-notification", DEFINITION, limit=MAX_APDU, fast=Twin("data_notification")
)
