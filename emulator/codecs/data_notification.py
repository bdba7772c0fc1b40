"""DataNotification: what a device pushes without being asked (DLMS UA 1000-2 9.3.10, 9.5)."""

from dataclasses import dataclass

from emulator.codecs.axdr import Data


@dataclass(slots=True)
class DataNotification:
    """`invoke` is the long invoke-id-and-priority, 32 bits; `date_time` is 0 or 12 bytes."""

    invoke: int
    date_time: bytes
    body: Data
