"""HDLC frames, format type 3, between their flags (IEC 62056-46; DLMS UA 1000-2 8.4).

A frame says its own length and is not byte-stuffed, so a flag inside the information is data. The header check
sequence stands only where there is information; where there is none the frame check sequence does its work.
Both are CRC-16/X.25 (ISO/IEC 13239 4.2.5.2), low byte first.
"""

import io
from typing import Any, Final

from construct import Const, Construct, Int8ub, Int16ub
from construct.core import stream_read, stream_size, stream_tell, stream_write

from emulator.codecs.codec import Codec
from emulator.codecs.parts import Record, refuse
from emulator.codecs.value import Value
from emulator.errors import FrameError

FLAG: Final = b"\x7e"
LLC_REQUEST: Final = bytes.fromhex("E6E600")
LLC_RESPONSE: Final = bytes.fromhex("E6E700")
MAX_LENGTH: Final = 2047
"""Eleven bits of length: everything between the flags."""

SNRM: Final = 0x93
UA: Final = 0x73
DISC: Final = 0x53
DM: Final = 0x1F
FRMR: Final = 0x97
UI: Final = 0x13


class HDLC(Value):
    """`destination` and `source` are addresses as on the wire: 1, 2 or 4 bytes, the last one odd, the others even."""

    destination: bytes
    source: bytes
    control: int
    segmented: bool
    information: bytes


def address(upper: int, lower: int | None = None, *, size: int | None = None) -> bytes:
    """An address on the wire: a client (or a lone logical device) in 1 byte, logical and physical device in 2 or 4.

    Numbers are 7 bits each, 14 in the four-byte form. Raises FrameError when they do not fit.
    """
    if lower is None:
        if not 0 <= upper < 1 << 7:
            raise FrameError("hdlc", f"address {upper} does not fit in 7 bits")
        return bytes([upper << 1 | 1])
    if size is None:
        size = 2 if upper < 1 << 7 and lower < 1 << 7 else 4
    width = {2: 7, 4: 14}.get(size)
    if width is None or not (0 <= upper < 1 << width and 0 <= lower < 1 << width):
        raise FrameError("hdlc", f"address {upper}/{lower} does not fit in {size} bytes")
    if size == 2:
        return bytes([upper << 1, lower << 1 | 1])
    return bytes([upper >> 7 << 1, (upper & 0x7F) << 1, lower >> 7 << 1, (lower & 0x7F) << 1 | 1])


def address_numbers(wire: bytes) -> tuple[int, int | None]:
    """The numbers of an address of 1, 2 or 4 bytes: (upper, lower), lower None in the one-byte form."""
    sevens = [byte >> 1 for byte in wire]
    if len(sevens) == 1:
        return sevens[0], None
    if len(sevens) == 2:
        return sevens[0], sevens[1]
    return sevens[0] << 7 | sevens[1], sevens[2] << 7 | sevens[3]


def without_llc(information: bytes) -> bytes:
    """The APDU behind the LLC header of an I-frame. Raises FrameError when there is none."""
    if information[:3] not in (LLC_REQUEST, LLC_RESPONSE):
        raise FrameError("llc", "neither E6E600 nor E6E700", 0)
    return information[3:]


def _crc_entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value


_CRC: Final = tuple(_crc_entry(i) for i in range(256))


def crc(data: bytes) -> int:
    """CRC-16/X.25: reflected 1021h, all ones at both ends."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFF


class _Format(Construct):  # type: ignore[misc]
    """Frame format: type 3 in four bits, the segmentation bit, eleven bits of length without the flags."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> bool:
        word = Int16ub._parsereport(stream, context, path)
        if word >> 12 != 0xA:
            raise refuse(f"format type {word >> 12:X} where A must stand", path)
        if word & 0x7FF != (stands := stream_size(stream) - 2):
            raise refuse(f"the length field says {word & 0x7FF}, the frame {stands}", path)
        return bool(word & 0x800)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if obj not in (0, 1):
            raise refuse("segmented wants True or False", path)
        information = len(context["information"])
        length = 2 + len(context["destination"]) + len(context["source"]) + 1 + 2
        length += 2 + information if information else 0
        if length > MAX_LENGTH:
            raise refuse(f"{length} bytes do not fit in one frame", path)
        Int16ub._build(0xA000 | (0x800 if obj else 0) | length, stream, context, path)
        return obj


class _Address(Construct):  # type: ignore[misc]
    """1, 2 or 4 bytes; the low bit of the last is set."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> bytes:
        wire: bytes = stream_read(stream, 1, path)
        while not wire[-1] & 1:
            if len(wire) == 4:
                raise refuse("an address without end", path)
            wire += stream_read(stream, 1, path)
        if len(wire) == 3:
            raise refuse("an address has 1, 2 or 4 bytes", path)
        return wire

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, bytes | bytearray) or len(obj) not in (1, 2, 4):
            raise refuse("an address has 1, 2 or 4 bytes", path)
        if any(byte & 1 for byte in obj[:-1]) or not obj[-1] & 1:
            raise refuse("the last byte of an address is odd, the others even", path)
        stream_write(stream, bytes(obj), len(obj), path)
        return obj


class _Check(Construct):  # type: ignore[misc]
    """A check sequence over everything since the opening flag."""

    def __init__(self) -> None:
        super().__init__()
        self.flagbuildnone = True

    def _covered(self, stream: io.BytesIO, path: str) -> int:
        end = stream_tell(stream, path)
        stream.seek(1)
        return crc(stream_read(stream, end - 1, path))

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> None:
        expected = self._covered(stream, path)
        if int.from_bytes(stream_read(stream, 2, path), "little") != expected:
            raise refuse("the check sequence does not hold", path)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> None:
        stream_write(stream, self._covered(stream, path).to_bytes(2, "little"), 2, path)


class _Information(Construct):  # type: ignore[misc]
    """Nothing, or the header check sequence and at least one byte."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> bytes:
        remaining = stream_size(stream) - stream_tell(stream, path) - 3  # frame check sequence and flag
        if remaining == 0:
            return b""
        _CHECK._parsereport(stream, context, path)
        if remaining < 3:
            raise refuse("a header check sequence with no information", path)
        return bytes(stream_read(stream, remaining - 2, path))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, bytes | bytearray):
            raise refuse("wants bytes", path)
        if obj:
            _CHECK._build(None, stream, context, path)
            stream_write(stream, bytes(obj), len(obj), path)
        return obj


_CHECK: Final = _Check()

DEFINITION: Final = Record(
    HDLC,
    Const(FLAG),
    "segmented" / _Format(),
    "destination" / _Address(),
    "source" / _Address(),
    "control" / Int8ub,
    "information" / _Information(),
    _CHECK,
    Const(FLAG),
)

HDLC_FRAME: Final[Codec[HDLC]] = Codec("hdlc", DEFINITION, limit=MAX_LENGTH + 2)
