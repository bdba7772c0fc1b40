"""HDLC frames, format type 3 (IEC 62056-46; DLMS UA 1000-2 8.4)."""

from dataclasses import dataclass


@dataclass(slots=True)
class HDLC:
    """`destination` and `source` are addresses as on the wire: 1, 2 or 4 bytes, the last one odd."""

    destination: bytes
    source: bytes
    control: int
    segmented: bool
    information: bytes
