"""LDP, the label distribution protocol (RFC 5036): a PDU with its messages, and their parameters.

A PDU (section 3.1) is a header and messages; a message (3.5) is a type, an identifier and TLVs; a TLV (3.3) a type and
a body. Which TLVs a message must have is a rule of the session (`link/mpls/ldp`), which answers a missing one with a
notification; here only lengths and bodies can be wrong. The U and F bits of a TLV that is known say nothing and are
written 0; of an unknown one they are kept, because the receiver must act on them. Reserved bits are stepped over and
written 0.

Addresses are ints: 32 bits in family 1 (IPv4), 128 in family 2 (IPv6).
"""

import io
from collections.abc import Mapping
from struct import Struct
from types import MappingProxyType
from typing import Any, Final

from construct import Construct, Int8ub, Int16ub, Int32ub

from emulator.codecs.codec import Codec
from emulator.codecs.parts import Octets, Record, Rest, Within, refuse
from emulator.codecs.value import Value
from emulator.errors import FrameError

_BYTE, _SHORT, _LONG = Struct(">B"), Struct(">H"), Struct(">I")

PORT: Final = 646
"""UDP for hellos, TCP for sessions (section 2.4.1 and 2.5.2)."""
VERSION: Final = 1
HEADER: Final = 10
"""Version, length, router, label space."""
LIMIT: Final = 65_539
"""The length field does not count itself and the version."""
MAX_PARTS: Final = 1024
"""Messages in a PDU, TLVs in a message, elements in a FEC, addresses in a list: the most a decoder follows."""
WIDTHS: Final[Mapping[int, int]] = MappingProxyType({1: 4, 2: 16})
"""Address family -> bytes of an address."""

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


class Wildcard(Value):
    """Every FEC: stands alone, in a withdraw or a release (section 3.4.1)."""


class Prefix(Value):
    """A FEC that is an address prefix of `length` bits; bytes behind them are 0."""

    family: int
    length: int
    address: int


class OtherElement(Value):
    """A FEC element of another kind, which hides what follows it: its length is not written. Stands last."""

    kind: int
    body: bytes


class FEC(Value):
    """What a label is for: one element or more."""

    elements: tuple[Any, ...]


class AddressList(Value):
    """Addresses of the sender's interfaces, of one family."""

    family: int
    addresses: tuple[int, ...]


class HopCount(Value):
    """Hops along the LSP so far."""

    hops: int


class PathVector(Value):
    """The routers along the LSP so far, by identifier."""

    routers: tuple[int, ...]


class GenericLabel(Value):
    """A label of 20 bits; 0 and 3 are the explicit and the implicit null."""

    label: int


class Status(Value):
    """`code` with its high bits (`FATAL`); what it is about, or 0 and 0."""

    code: int
    message_id: int
    message_kind: int


class ExtendedStatus(Value):
    """More about a status."""

    code: int


class ReturnedPDU(Value):
    """The beginning of the PDU a notification is about."""

    pdu: bytes


class ReturnedMessage(Value):
    """The beginning of the message a notification is about."""

    message: bytes


class HelloParameters(Value):
    """`hold_time` in seconds, 0 the default, FFFF for ever; `flags` 8000 targeted, 4000 answer it targeted."""

    hold_time: int
    flags: int


class TransportAddress(Value):
    """Where the sender's session stands: IPv4."""

    address: int


class TransportAddress6(Value):
    """Where the sender's session stands: IPv6."""

    address: bytes


class ConfigurationNumber(Value):
    """Changes when the sender's configuration does."""

    number: int


class SessionParameters(Value):
    """`keepalive` in seconds; `flags` 80 on demand, 40 loop detection; the receiver by router and label space."""

    version: int
    keepalive: int
    flags: int
    path_vector_limit: int
    max_pdu: int
    router: int
    space: int


class RequestId(Value):
    """The message identifier of the label request that is answered or aborted."""

    message_id: int


class UnknownTLV(Value):
    """`silent` is the U bit (ignore it without a word), `forward` the F bit; `kind` 14 bits."""

    kind: int
    silent: bool
    forward: bool
    body: bytes


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


class _Address(Construct):  # type: ignore[misc]
    """A FEC element that is a prefix, behind its kind: only the bytes that its length needs are written."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Prefix:
        head = stream.read(3)
        if len(head) < 3:
            raise refuse("a prefix is cut short", path)
        family, length = head[0] << 8 | head[1], head[2]
        width = WIDTHS.get(family)
        if width is None or length > 8 * width:
            raise refuse(f"no prefix of family {family} and {length} bits", path)
        size = (length + 7) // 8
        body = stream.read(size)
        if len(body) < size:
            raise refuse("a prefix is cut short", path)
        return Prefix(family, length, int.from_bytes(body + bytes(width - size), "big"))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        width = WIDTHS.get(obj.family)
        if width is None or not 0 <= obj.length <= 8 * width:
            raise refuse("no prefix of this family and length", path)
        size = (obj.length + 7) // 8
        whole = obj.address.to_bytes(width, "big")
        if any(whole[size:]):
            raise refuse("address bytes behind the prefix", path)
        stream.write(_SHORT.pack(obj.family) + _BYTE.pack(obj.length) + whole[:size])
        return obj


_PREFIX: Final = _Address()


class _Elements(Construct):  # type: ignore[misc]
    """The elements of a FEC."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> tuple[Any, ...]:
        found: list[Any] = []
        while kind := stream.read(1):
            if len(found) == MAX_PARTS:
                raise refuse(f"more than {MAX_PARTS} elements", path)
            if kind[0] == 1:
                found.append(Wildcard())
            elif kind[0] == 2:
                found.append(_PREFIX._parse(stream, context, path))
            else:
                found.append(OtherElement(kind[0], stream.read()))
        if not found:
            raise refuse("a FEC without an element", path)
        return tuple(found)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        for i, element in enumerate(_several(obj, 1, path)):
            if type(element) is Wildcard:
                stream.write(b"\1")
            elif type(element) is Prefix:
                stream.write(b"\2")
                _PREFIX._build(element, stream, context, path)
            elif type(element) is OtherElement and element.kind not in (1, 2) and i == len(obj) - 1:
                stream.write(_BYTE.pack(element.kind) + _octets(element.body, path))
            else:
                raise refuse(f"a {type(element).__name__} does not belong here", path)
        return obj


class _Addresses(Construct):  # type: ignore[misc]
    """A family and addresses of its width."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> AddressList:
        data = stream.read()
        width = WIDTHS.get(int.from_bytes(data[:2], "big"))
        if width is None or (len(data) - 2) % width or (len(data) - 2) // width > MAX_PARTS:
            raise refuse(f"{len(data)} bytes are no address list", path)
        found = [int.from_bytes(data[at : at + width], "big") for at in range(2, len(data), width)]
        return AddressList(data[1], tuple(found))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not AddressList or (width := WIDTHS.get(obj.family)) is None:
            raise refuse("no address list of a known family", path)
        stream.write(_SHORT.pack(obj.family))
        for address in _several(obj.addresses, 0, path):
            stream.write(address.to_bytes(width, "big"))
        return obj


class _Routers(Construct):  # type: ignore[misc]
    """Identifiers of four bytes."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> tuple[int, ...]:
        data = stream.read()
        if len(data) % 4 or len(data) > 4 * MAX_PARTS:
            raise refuse(f"{len(data)} bytes are no path vector", path)
        return tuple(int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        for router in _several(obj, 0, path):
            stream.write(_LONG.pack(router))
        return obj


def _several(items: Any, least: int, path: str) -> tuple[Any, ...]:
    if not isinstance(items, tuple | list) or not least <= len(items) <= MAX_PARTS:
        raise refuse(f"wants {least} to {MAX_PARTS} of them", path)
    return tuple(items)


def _octets(value: Any, path: str) -> bytes:
    if not isinstance(value, bytes | bytearray) or len(value) > LIMIT:
        raise refuse("wants bytes", path)
    return bytes(value)


TLVS: Final[Mapping[int, tuple[type, Construct]]] = MappingProxyType(
    {
        0x0100: (FEC, Record(FEC, "elements" / _Elements())),
        0x0101: (AddressList, _Addresses()),
        0x0103: (HopCount, Record(HopCount, "hops" / Int8ub)),
        0x0104: (PathVector, Record(PathVector, "routers" / _Routers())),
        0x0200: (GenericLabel, Record(GenericLabel, "label" / Within(Int32ub, 0, 0xF_FFFF))),
        0x0300: (Status, Record(Status, "code" / Int32ub, "message_id" / Int32ub, "message_kind" / Int16ub)),
        0x0301: (ExtendedStatus, Record(ExtendedStatus, "code" / Int32ub)),
        0x0302: (ReturnedPDU, Record(ReturnedPDU, "pdu" / Rest())),
        0x0303: (ReturnedMessage, Record(ReturnedMessage, "message" / Rest())),
        0x0400: (HelloParameters, Record(HelloParameters, "hold_time" / Int16ub, "flags" / Int16ub)),
        0x0401: (TransportAddress, Record(TransportAddress, "address" / Int32ub)),
        0x0402: (ConfigurationNumber, Record(ConfigurationNumber, "number" / Int32ub)),
        0x0403: (TransportAddress6, Record(TransportAddress6, "address" / Octets(16))),
        0x0500: (
            SessionParameters,
            Record(
                SessionParameters,
                "version" / Int16ub,
                "keepalive" / Int16ub,
                "flags" / Int8ub,
                "path_vector_limit" / Int8ub,
                "max_pdu" / Int16ub,
                "router" / Int32ub,
                "space" / Int16ub,
            ),
        ),
        0x0600: (RequestId, Record(RequestId, "message_id" / Int32ub)),
    }
)
"""TLV type -> value type and body."""
NUMBERS: Final[Mapping[type, int]] = MappingProxyType({kind: number for number, (kind, _) in TLVS.items()})


def _read_tlv(number: int, body: bytes, path: str) -> Any:
    kind = number & 0x3FFF
    if kind not in TLVS:
        return UnknownTLV(kind, bool(number & 0x8000), bool(number & 0x4000), body)
    stream = io.BytesIO(body)
    value = TLVS[kind][1].parse_stream(stream)
    if stream.tell() != len(body):
        raise refuse(f"{len(body) - stream.tell()} bytes too many in TLV {kind:#06x}", path)
    return value


def _write_tlv(value: Any, path: str) -> bytes:
    number = NUMBERS.get(type(value))
    if number is not None:
        body = bytes(TLVS[number][1].build(value))
    elif type(value) is UnknownTLV and value.kind not in TLVS and 0 <= value.kind <= 0x3FFF:
        if type(value.silent) is not bool or type(value.forward) is not bool:
            raise refuse("the bits of an unknown TLV are True or False", path)
        number = value.kind | value.silent << 15 | value.forward << 14
        body = _octets(value.body, path)
    else:
        raise refuse(f"a {type(value).__name__} is no TLV", path)
    return _SHORT.pack(number) + _SHORT.pack(len(body)) + body


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
            parts = [_read_tlv(kind, inner, path) for kind, inner in _split(body[4:], "a TLV", path)]
            messages.append(
                Message(number & 0x7FFF, int.from_bytes(body[:4], "big"), tuple(parts), bool(number & 0x8000))
            )
        return LDP(int.from_bytes(data[4:8], "big"), data[8] << 8 | data[9], tuple(messages))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not LDP:
            raise refuse(f"a {type(obj).__name__} where an LDP PDU belongs", path)
        body = b""
        for message in _several(obj.messages, 0, path):
            if type(message) is not Message or type(message.silent) is not bool or not 0 <= message.kind <= 0x7FFF:
                raise refuse(f"a {type(message).__name__} is no message", path)
            parts = b"".join(_write_tlv(part, path) for part in _several(message.parts, 0, path))
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
