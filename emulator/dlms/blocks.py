"""Block transfer: long answers going out in pieces, long values coming in (DLMS UA 1000-2 9.4.6.9 to 9.4.6.11).

State exists only while a transfer is under way, one each way and association. A piece is asked for by the number of
the one before; asking for the last piece again gets it again (on a lossy link the answer may be what was lost), and
any other number ends the transfer with the result the standard has for that.
"""

from typing import Final

from emulator.codecs.action import MethodRef
from emulator.codecs.get import AttributeRef

MAX_INCOMING: Final = 256 * 1024
"""Longest value taken in blocks: more than any attribute of a SMETS1 device."""

GET_HEADER: Final = 10
"""Bytes of a get-response-with-datablock before its piece, with a length field of one byte."""
ACTION_HEADER: Final = 9
_SHORT: Final = 0x7F


def chunk(room: int, header: int) -> int:
    """How long a piece may be so that it and its header fit into `room` bytes; at least one byte, or nothing would ever
    arrive."""
    size = room - header
    return max(size if size <= _SHORT else size - 2, 1)


class Outgoing:
    """A long answer on its way. `service` is the tag of the response it belongs to (C4h or C7h)."""

    __slots__ = ("chunk", "invoke", "number", "raw", "service")

    def __init__(self, service: int, invoke: int, raw: bytes, chunk: int) -> None:
        self.service = service
        self.invoke = invoke
        self.raw = raw
        self.chunk = chunk
        self.number = 1

    def piece(self) -> tuple[bool, bytes]:
        """(whether it is the last one, the bytes) of the present piece."""
        start = (self.number - 1) * self.chunk
        end = start + self.chunk
        return end >= len(self.raw), self.raw[start:end]

    def advance(self, received: int) -> bool:
        """The other side has piece `received`. False when that is not a number it can say."""
        if received == self.number and self.number * self.chunk < len(self.raw):
            self.number += 1
            return True
        return received == self.number - 1


class Incoming:
    """A long value on its way in. `service` is the tag of the request (C1h or C3h); `targets` what it is for, more than
    one when `listed`."""

    __slots__ = ("invoke", "listed", "number", "raw", "service", "targets")

    def __init__(self, service: int, invoke: int, targets: tuple[AttributeRef | MethodRef, ...], listed: bool) -> None:
        self.service = service
        self.invoke = invoke
        self.targets = targets
        self.listed = listed
        self.number = 0
        self.raw = bytearray()

    def take(self, number: int, piece: bytes) -> bool:
        """Add a piece. False when it is not the next one or all of it has grown too long."""
        if number != self.number + 1 or len(self.raw) + len(piece) > MAX_INCOMING:
            return False
        self.number = number
        self.raw += piece
        return True

    def whole(self) -> bytes:
        """The value; several of them as one array."""
        return (b"\x01" if self.listed else b"") + bytes(self.raw)
