"""LDP, the label distribution protocol (RFC 5036): a PDU with its messages.

A PDU (section 3.1) is a header and messages; a message (3.5) is a type, an identifier and TLVs (`ldp_tlvs`). Which TLVs
a message must have is a rule of the session (`link/mpls/ldp`), which answers a missing one with a notification; here
only lengths and bodies can be wrong.
"""

import io
from collections.abc import Mapping
from struct import Struct
from types import MappingProxyType
from typing import Any, Final

from construct import Construct

from emulator.codecs.codec import Codec
from emulator.codecs.ldp_tlvs import LIMIT, MAX_PARTS, read_tlv, several, write_tlv
from emulator.codecs.parts import refuse
from emulator.codecs.value import Value
from emulator.errors import FrameError

_SHORT, _LONG = Struct(">H"), Struct(">I")

PORT: Final = 646
"""UDP for hellos, TCP for sessions (section 2.4.1 and 2.5.2)."""
VERSION: Final = 1
HEADER: Final = 10
"""Version, length, router, label space."""
NOTIFICATION: Final = 0x0001
HELLO: Final = 0x0100
INITIALIZATION: Final = 0x0200
KEEPALIVE: Final = 0x0201
CAPABILITY: Final = 0x0202
ADDRESS: Final = 0x0300
ADDRESS_WITHDRAW: Final = 0x0301
LABEL_MAPPING: Final = 0x0400
LABEL_REQUEST: Final = 0x0401
LABEL_WITHDRAW: Final = 0x0402
LABEL_RELEASE: Final = 0x0403
LABEL_ABORT: Final = 0x0404

MESSAGES: Final[Mapping[int, str]] = MappingProxyType(
    {
        NOTIFICATION: "notification",
        HELLO: "hello",
        INITIALIZATION: "initialization",
        KEEPALIVE: "keepalive",
        CAPABILITY: "capability",
        ADDRESS: "address",
        ADDRESS_WITHDRAW: "address withdraw",
        LABEL_MAPPING: "label mapping",
        LABEL_REQUEST: "label request",
        LABEL_WITHDRAW: "label withdraw",
        LABEL_RELEASE: "label release",
        LABEL_ABORT: "label abort request",
    }
)

FATAL: Final = 0x8000_0000
"""In a status code: the session ends with it (section 3.4.6)."""

STATUSES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x00: "success",
        0x01: "bad LDP identifier",
        0x02: "bad protocol version",
        0x03: "bad PDU length",
        0x04: "unknown message type",
        0x05: "bad message length",
        0x06: "unknown TLV",
        0x07: "bad TLV length",
        0x08: "malformed TLV value",
        0x09: "hold timer expired",
        0x0A: "shutdown",
        0x0B: "loop detected",
        0x0C: "unknown FEC",
        0x0D: "no route",
        0x0E: "no label resources",
        0x0F: "label resources available",
        0x10: "session rejected: no hello",
        0x11: "session rejected: parameters, advertisement mode",
        0x12: "session rejected: parameters, maximum PDU length",
        0x13: "session rejected: parameters, label range",
        0x14: "keepalive timer expired",
        0x15: "label request aborted",
        0x16: "missing message parameters",
        0x17: "unsupported address family",
        0x18: "session rejected: bad keepalive time",
        0x19: "internal error",
    }
)
"""Status codes without their two high bits (section 4.9)."""


class Message(Value):
    """`kind` 15 bits; `silent` is the U bit. `parts` are TLVs in their order."""

    kind: int
    message_id: int
    parts: tuple[Any, ...]
    silent: bool = False


class LDP(Value):
    """A PDU of the label space `space` of `router` (an identifier, written like an IPv4 address)."""

    router: int
    space: int
    messages: tuple[Message, ...]


def _split(data: bytes, what: str, path: str) -> list[tuple[int, bytes]]:
    """Messages and TLVs begin alike: (type with its high bits, body) of each."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        if len(found) == MAX_PARTS:
            raise refuse(f"more than {MAX_PARTS} of {what}", path)
        if len(data) < at + 4:
            raise refuse(f"{what} cut short", path)
        number, length = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        if len(data) < at + 4 + length:
            raise refuse(f"{what} with a length of {length}", path)
        found.append((number, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


class _PDU(Construct):  # type: ignore[misc]
    """A whole PDU."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> LDP:
        data = stream.read()
        if len(data) < HEADER:
            raise refuse("cut short", path)
        if data[0] << 8 | data[1] != VERSION:
            raise refuse(f"version {data[0] << 8 | data[1]}", path)
        if (data[2] << 8 | data[3]) != len(data) - 4:
            raise refuse("the length field is not the length", path)
        messages = []
        for number, body in _split(data[HEADER:], "a message", path):
            if len(body) < 4:
                raise refuse("a message without an identifier", path)
            parts = [read_tlv(kind, inner, path) for kind, inner in _split(body[4:], "a TLV", path)]
            messages.append(
                Message(number & 0x7FFF, int.from_bytes(body[:4], "big"), tuple(parts), bool(number & 0x8000))
            )
        return LDP(int.from_bytes(data[4:8], "big"), data[8] << 8 | data[9], tuple(messages))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not LDP:
            raise refuse(f"a {type(obj).__name__} where an LDP PDU belongs", path)
        body = b""
        for message in several(obj.messages, 0, path):
            if type(message) is not Message or type(message.silent) is not bool or not 0 <= message.kind <= 0x7FFF:
                raise refuse(f"a {type(message).__name__} is no message", path)
            parts = b"".join(write_tlv(part, path) for part in several(message.parts, 0, path))
            body += _SHORT.pack(message.kind | message.silent << 15) + _SHORT.pack(4 + len(parts))
            body += _LONG.pack(message.message_id) + parts
        stream.write(_SHORT.pack(VERSION) + _SHORT.pack(6 + len(body)))
        stream.write(_LONG.pack(obj.router) + _SHORT.pack(obj.space) + body)
        return obj


LDP_FRAME: Final[Codec[LDP]] = Codec("ldp", _PDU(), limit=LIMIT)


def split(stream: bytes, most: int = LIMIT) -> tuple[list[bytes], bytes]:
    """(whole PDUs, the rest) of what a TCP connection has brought so far.

    PDUs are cut by their length field alone; `LDP_FRAME` judges them. Raises FrameError when no PDU can begin here:
    another version, or a length below 6 or of more than `most` bytes in all.
    """
    found: list[bytes] = []
    at = 0
    while len(stream) - at >= 4:
        length = stream[at + 2] << 8 | stream[at + 3]
        if stream[at] << 8 | stream[at + 1] != VERSION:
            raise FrameError("ldp", f"version {stream[at] << 8 | stream[at + 1]}", at)
        if not 6 <= length <= most - 4:
            raise FrameError("ldp", f"a PDU of {length + 4} bytes", at + 2)
        if len(stream) - at < 4 + length:
            break
        found.append(stream[at : at + 4 + length])
        at += 4 + length
    return found, stream[at:]
