"""The parameters of LDP messages: TLVs, one value each (RFC 5036 section 3.4, and 3.5 for those of one message alone).

The U and F bits of a TLV that is known say nothing and are written 0; of an unknown one they are kept, because the
receiver must act on them. Reserved bits are stepped over and written 0. Addresses are ints: 32 bits in family 1 (IPv4),
128 in family 2 (IPv6).
"""

import io
from collections.abc import Mapping
from struct import Struct
from types import MappingProxyType
from typing import Any, Final

from construct import Construct, Int8ub, Int16ub, Int32ub

from emulator.codecs.parts import Octets, Record, Rest, Within, refuse
from emulator.codecs.value import Value

_BYTE, _SHORT, _LONG = Struct(">B"), Struct(">H"), Struct(">I")

LIMIT: Final = 65_539
"""The length field does not count itself and the version."""
MAX_PARTS: Final = 1024
"""Messages in a PDU, TLVs in a message, elements in a FEC, addresses in a list: the most a decoder follows."""
WIDTHS: Final[Mapping[int, int]] = MappingProxyType({1: 4, 2: 16})
"""Address family -> bytes of an address."""


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
        for i, element in enumerate(several(obj, 1, path)):
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
        for address in several(obj.addresses, 0, path):
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
        for router in several(obj, 0, path):
            stream.write(_LONG.pack(router))
        return obj


def several(items: Any, least: int, path: str) -> tuple[Any, ...]:
    """A tuple of at least so many and at most `MAX_PARTS`. ConstructError: it is not."""
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


def read_tlv(number: int, body: bytes, path: str) -> Any:
    """The value of a TLV: `number` is its type with the two high bits. ConstructError: a wrong body."""
    kind = number & 0x3FFF
    if kind not in TLVS:
        return UnknownTLV(kind, bool(number & 0x8000), bool(number & 0x4000), body)
    stream = io.BytesIO(body)
    value = TLVS[kind][1].parse_stream(stream)
    if stream.tell() != len(body):
        raise refuse(f"{len(body) - stream.tell()} bytes too many in TLV {kind:#06x}", path)
    return value


def write_tlv(value: Any, path: str) -> bytes:
    """A whole TLV. ConstructError, or what Python raises for wrong types: it cannot be one."""
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
