"""The COSEM wrapper: eight bytes that carry an APDU over TCP or UDP (IEC 62056-47; DLMS UA 1000-2 7.3.3)."""

from typing import Final

from construct import Const, Int16ub

from emulator.codecs.codec import MAX_APDU, Codec
from emulator.codecs.layout import Lowered
from emulator.codecs.parts import Record, Rest, WholeLength
from emulator.codecs.value import Value
from emulator.errors import FrameError

HEADER: Final = 8
VERSION: Final = 1


class Wrapper(Value):
    """`source` and `destination` are wPorts (SAPs), 0 to 65,535; `payload` one APDU of at most 65,535 bytes."""

    source: int
    destination: int
    payload: bytes


DEFINITION: Final = Record(
    Wrapper,
    Const(VERSION, Int16ub),
    "source" / Int16ub,
    "destination" / Int16ub,
    WholeLength(Int16ub, "payload", header=HEADER, less=HEADER),
    "payload" / Rest(),
)

WRAPPER: Final[Codec[Wrapper]] = Codec("wrapper", DEFINITION, limit=HEADER + MAX_APDU, fast=Lowered(DEFINITION))


def split(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Cut a TCP stream: the whole frames at its front, and what is left. The length delimits (DLMS UA 1000-2 7.3.3).

    Raises FrameError when what stands next is not version 1: a stream has no way to find its feet again.
    """
    frames = []
    at = 0
    while len(buffer) - at >= HEADER:
        if buffer[at : at + 2] != b"\0\1":
            raise FrameError("wrapper", "the stream does not stand at a wrapper header", at)
        end = at + HEADER + (buffer[at + 6] << 8 | buffer[at + 7])
        if end > len(buffer):
            break
        frames.append(buffer[at:end])
        at = end
    return frames, buffer[at:]
