"""IKEv2, by hand: a message is a lowered header and a walk over payloads with `struct`.

A tunnel asks its peer whether it lives once a minute for years, and a gateway has hundreds of tunnels: four walks an
exchange.
"""

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from emulator.codecs.fast.common import BUILD_ERRORS, PARSE_ERRORS, Refusal, refused, unbuildable
from emulator.codecs.ike import CRITICAL, HEADER, IKE, LIMIT, MAX_PAYLOADS, Payloads
from emulator.codecs.ike_payloads import (
    ADDRESS_BYTES,
    ENCRYPTED,
    FRAGMENT,
    KE,
    MAX_PARTS,
    NUMBERS,
    PAYLOADS,
    SA,
    Auth,
    Certificate,
    CertificateRequest,
    Delete,
    Encrypted,
    EncryptedFragment,
    IDi,
    IDr,
    Nonce,
    Notify,
    Proposal,
    Selector,
    Transform,
    TSi,
    TSr,
    Unknown,
    VendorID,
)

_HEADER: Final = struct.Struct(">QQBBBBII")
_GENERIC: Final = struct.Struct(">BBH")
_TRANSFORM: Final = struct.Struct(">BBHBBH")
_PROPOSAL: Final = struct.Struct(">BBHBBBB")
_SELECTOR: Final = struct.Struct(">BBHHH")
_NOTIFY: Final = struct.Struct(">BBH")
_KE: Final = struct.Struct(">HH")
_FRAGMENT: Final = struct.Struct(">BHH")


def _octets(value: Any, most: int = 65_535) -> bytes:
    if not isinstance(value, bytes | bytearray) or len(value) > most:
        raise Refusal(f"wants at most {most} bytes")
    return bytes(value)


def _part(body: bytes, at: int, more: int, found: list[Any]) -> tuple[int, int]:
    if len(found) == MAX_PARTS:
        raise Refusal(f"more than {MAX_PARTS} of them")
    if len(body) < at + 8:
        raise Refusal("cut short")
    flag, _, length = _GENERIC.unpack_from(body, at)
    if flag not in (0, more) or not 8 <= length <= len(body) - at:
        raise Refusal("neither the last nor followed by another, or a wrong length")
    return flag, length


def _read_transforms(body: bytes) -> tuple[Transform, ...]:
    found: list[Transform] = []
    at, flag = 0, 3
    while flag == 3:
        flag, length = _part(body, at, 3, found)
        _, _, _, kind, _, number = _TRANSFORM.unpack_from(body, at)
        found.append(Transform(kind, number, body[at + 8 : at + length]))
        at += length
    if at != len(body):
        raise Refusal("bytes behind the last transform")
    return tuple(found)


def _read_sa(body: bytes) -> SA:
    found: list[Proposal] = []
    at, flag = 0, 2
    while flag == 2:
        flag, length = _part(body, at, 2, found)
        _, _, _, number, protocol, size, count = _PROPOSAL.unpack_from(body, at)
        if length < 8 + size:
            raise Refusal("no room for the SPI")
        transforms = _read_transforms(body[at + 8 + size : at + length])
        if len(transforms) != count:
            raise Refusal(f"{len(transforms)} transforms instead of {count}")
        found.append(Proposal(number, protocol, body[at + 8 : at + 8 + size], transforms))
        at += length
    if at != len(body):
        raise Refusal("bytes behind the last proposal")
    return SA(tuple(found))


def _parts(items: Any, kind: type, more: int, write: Callable[[Any], bytes]) -> bytes:
    if not isinstance(items, tuple | list) or not 1 <= len(items) <= MAX_PARTS:
        raise Refusal(f"wants 1 to {MAX_PARTS}")
    data = b""
    for i, item in enumerate(items):
        if type(item) is not kind:
            raise Refusal(f"a {type(item).__name__} where a {kind.__name__} belongs")
        body = write(item)
        data += _GENERIC.pack(more if i < len(items) - 1 else 0, 0, 4 + len(body)) + body
    return data


def _write_transform(item: Transform) -> bytes:
    return struct.pack(">BBH", item.kind, 0, item.number) + _octets(item.attributes)


def _write_proposal(item: Proposal) -> bytes:
    spi = _octets(item.spi, 255)
    transforms = _parts(item.transforms, Transform, 3, _write_transform)
    return struct.pack(">BBBB", item.number, item.protocol, len(spi), len(item.transforms)) + spi + transforms


def _write_sa(value: SA) -> bytes:
    return _parts(value.proposals, Proposal, 2, _write_proposal)


def _read_ke(body: bytes) -> KE:
    return KE(_KE.unpack_from(body)[0], body[4:])


def _write_ke(value: KE) -> bytes:
    return _KE.pack(value.group, 0) + _octets(value.public)


def _spaced(kind: type[Any]) -> Callable[[bytes], Any]:
    """A byte, three bytes of nothing, the rest."""

    def read(body: bytes) -> Any:
        if len(body) < 4:
            raise Refusal("cut short")
        return kind(body[0], body[4:])

    return read


def _close(kind: type[Any]) -> Callable[[bytes], Any]:
    """A byte and the rest."""

    def read(body: bytes) -> Any:
        return kind(body[0], body[1:])

    return read


def _write_id(value: Any) -> bytes:
    return struct.pack(">Bxxx", value.kind) + _octets(value.name)


def _write_certificate(value: Certificate) -> bytes:
    return struct.pack(">B", value.encoding) + _octets(value.certificate)


def _write_request(value: CertificateRequest) -> bytes:
    return struct.pack(">B", value.encoding) + _octets(value.authorities)


def _write_auth(value: Auth) -> bytes:
    return struct.pack(">Bxxx", value.method) + _octets(value.proof)


def _write_nonce(value: Nonce) -> bytes:
    return _octets(value.nonce)


def _write_vendor(value: VendorID) -> bytes:
    return _octets(value.vendor)


def _read_notify(body: bytes) -> Notify:
    protocol, size, kind = _NOTIFY.unpack_from(body)
    if len(body) < 4 + size:
        raise Refusal("cut short")
    return Notify(protocol, body[4 : 4 + size], kind, body[4 + size :])


def _write_notify(value: Notify) -> bytes:
    spi = _octets(value.spi, 255)
    return _NOTIFY.pack(value.protocol, len(spi), value.kind) + spi + _octets(value.about)


def _read_delete(body: bytes) -> Delete:
    protocol, size, count = _NOTIFY.unpack_from(body)
    if (size == 0) != (count == 0) or len(body) != 4 + size * count:
        raise Refusal(f"{count} SPIs of {size} bytes in {len(body) - 4}")
    return Delete(protocol, size, tuple([body[at : at + size] for at in range(4, len(body), size or 1)]))


def _write_delete(value: Delete) -> bytes:
    if not isinstance(value.spis, tuple | list):
        raise Refusal("SPIs are a tuple")
    data = _NOTIFY.pack(value.protocol, value.spi_size, len(value.spis))
    if (value.spi_size == 0) != (len(value.spis) == 0):
        raise Refusal("a size without SPIs, or SPIs without a size")
    for spi in value.spis:
        if len(_octets(spi, 255)) != value.spi_size:
            raise Refusal(f"an SPI wants {value.spi_size} bytes")
        data += spi
    return data


def _selectors(kind: type[Any]) -> Callable[[bytes], Any]:
    def read(body: bytes) -> Any:
        if len(body) < 4:
            raise Refusal("cut short")
        found: list[Selector] = []
        at = 4
        for _ in range(body[0]):
            of_type, protocol, length, first_port, last_port = _SELECTOR.unpack_from(body, at)
            size = ADDRESS_BYTES.get(of_type)
            if size is None or length != 8 + 2 * size or len(body) < at + length:
                raise Refusal(f"no selector of type {of_type} and {length} bytes")
            middle = at + 8 + size
            found.append(
                Selector(of_type, protocol, first_port, last_port, body[at + 8 : middle], body[middle : at + length])
            )
            at += length
        if at != len(body):
            raise Refusal("bytes behind the last selector")
        return kind(tuple(found))

    return read


def _write_selectors(value: Any) -> bytes:
    items = value.selectors
    if not isinstance(items, tuple | list) or len(items) > MAX_PARTS:
        raise Refusal("wants a tuple of selectors")
    data = bytes((len(items), 0, 0, 0))
    for item in items:
        if type(item) is not Selector:
            raise Refusal(f"a {type(item).__name__} where a Selector belongs")
        size = ADDRESS_BYTES[item.kind]
        data += _SELECTOR.pack(item.kind, item.protocol, 8 + 2 * size, item.first_port, item.last_port)
        for address in (item.first, item.last):
            if len(_octets(address, 16)) != size:
                raise Refusal(f"an address wants {size} bytes")
            data += address
    return data


_READ: Final[Mapping[int, Callable[[bytes], Any]]] = MappingProxyType(
    {
        33: _read_sa,
        34: _read_ke,
        35: _spaced(IDi),
        36: _spaced(IDr),
        37: _close(Certificate),
        38: _close(CertificateRequest),
        39: _spaced(Auth),
        40: Nonce,
        41: _read_notify,
        42: _read_delete,
        43: VendorID,
        44: _selectors(TSi),
        45: _selectors(TSr),
    }
)
_WRITE: Final[Mapping[int, Callable[[Any], bytes]]] = MappingProxyType(
    {
        33: _write_sa,
        34: _write_ke,
        35: _write_id,
        36: _write_id,
        37: _write_certificate,
        38: _write_request,
        39: _write_auth,
        40: _write_nonce,
        41: _write_notify,
        42: _write_delete,
        43: _write_vendor,
        44: _write_selectors,
        45: _write_selectors,
    }
)


def _read_chain(kind: int, data: bytes, at: int, outer: bool) -> tuple[Any, ...]:
    found: list[Any] = []
    size = len(data)
    while kind:
        if len(found) == MAX_PAYLOADS:
            raise Refusal(f"more than {MAX_PAYLOADS} payloads")
        if size < at + 4:
            raise Refusal(f"payload {kind} is cut short")
        following, flags, length = _GENERIC.unpack_from(data, at)
        if not 4 <= length <= size - at:
            raise Refusal(f"payload {kind} has a length of {length}", at)
        body = data[at + 4 : at + length]
        at += length
        read = _READ.get(kind)
        if read is not None:
            found.append(read(body))
        elif kind == ENCRYPTED and outer:
            found.append(Encrypted(following, body))
            break
        elif kind == FRAGMENT and outer:
            _, number, total = _FRAGMENT.unpack_from(b"\0" + body[:4])
            found.append(EncryptedFragment(following, number, total, body[4:]))
            break
        elif kind in PAYLOADS:
            raise Refusal("an encrypted payload inside another")
        else:
            found.append(Unknown(kind, bool(flags & CRITICAL), body))
        kind = following
    if at != size:
        raise Refusal(f"{size - at} bytes behind the last payload", at)
    return tuple(found)


def _number(value: Any) -> int:
    number = NUMBERS.get(type(value))
    if number is not None:
        return number
    if type(value) is not Unknown or type(value.kind) is not int or value.kind in PAYLOADS or value.kind == 0:
        raise Refusal(f"a {type(value).__name__} is no payload")
    return value.kind


def _write_chain(payloads: Any, outer: bool) -> tuple[int, bytes]:
    if not isinstance(payloads, tuple | list) or len(payloads) > MAX_PAYLOADS:
        raise Refusal(f"wants a tuple of at most {MAX_PAYLOADS} payloads")
    numbers = [_number(value) for value in payloads]
    numbers.append(0)
    pieces = []
    for i, value in enumerate(payloads):
        number = numbers[i]
        following = numbers[i + 1]
        flags = 0
        write = _WRITE.get(number)
        if write is not None:
            body = write(value)
        elif number in (ENCRYPTED, FRAGMENT):
            if not outer or following:
                raise Refusal("an encrypted payload stands last, and in no other")
            following = value.first
            body = _octets(value.text)
            if number == FRAGMENT:
                body = struct.pack(">HH", value.number, value.total) + body
        else:
            if type(value.critical) is not bool:
                raise Refusal("critical is True or False")
            flags, body = CRITICAL * value.critical, _octets(value.body)
        pieces.append(_GENERIC.pack(following, flags, 4 + len(body)))
        pieces.append(body)
    return numbers[0], b"".join(pieces)


def parse(data: bytes) -> IKE:
    try:
        size = len(data)
        if size > LIMIT:
            raise Refusal(f"oversized: {size} bytes, at most {LIMIT}", LIMIT)
        initiator, responder, first, version, exchange, flags, message_id, length = _HEADER.unpack_from(data)
        if version >> 4 != 2:
            raise Refusal(f"major version {version >> 4}", 17)
        if length != size:
            raise Refusal("the length field is not the length", 24)
        payloads = _read_chain(first, data, HEADER, True)
    except PARSE_ERRORS as error:
        raise refused("ike", data, error) from error
    return IKE(initiator, responder, version, exchange, flags, message_id, payloads)


def build(value: IKE) -> bytes:
    try:
        if type(value) is not IKE:
            raise Refusal("not an IKE message")
        if not 0x20 <= value.version <= 0x2F:
            raise Refusal("a version is 0x20 to 0x2F")
        first, chain = _write_chain(value.payloads, True)
        head = _HEADER.pack(
            value.initiator,
            value.responder,
            first,
            value.version,
            value.exchange,
            value.flags,
            value.message_id,
            HEADER + len(chain),
        )
        data = head + chain
        if len(data) > LIMIT:
            raise Refusal(f"oversized: {len(data)} bytes, at most {LIMIT}")
    except BUILD_ERRORS as error:
        raise unbuildable("ike", error) from error
    return data


def parse_payloads(data: bytes) -> Payloads:
    try:
        if len(data) > LIMIT:
            raise Refusal(f"oversized: {len(data)} bytes, at most {LIMIT}", LIMIT)
        return Payloads(_read_chain(data[0], data, 1, False))
    except PARSE_ERRORS as error:
        raise refused("ike-payloads", data, error) from error


def build_payloads(value: Payloads) -> bytes:
    try:
        if type(value) is not Payloads:
            raise Refusal("not a chain of payloads")
        first, chain = _write_chain(value.payloads, False)
        data = bytes((first,)) + chain
        if len(data) > LIMIT:
            raise Refusal(f"oversized: {len(data)} bytes, at most {LIMIT}")
    except BUILD_ERRORS as error:
        raise unbuildable("ike-payloads", error) from error
    return data
