"""What an IKEv2 message carries: its payloads (RFC 7296 section 3), one value each.

A payload's number stands in the header of the payload before it, so the chain in `ike.py` reads it and this module says
what number means what. A known payload's critical bit is stepped over and written 0 (RFC 7296 2.5 asks for both);
one this module does not know becomes `Unknown` with its bit, because the receiver must answer for that bit. Attributes
of a transform stay bytes: the only one in use is the key length, and a transform with any other cannot be chosen.
"""

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from construct import Construct, Int8ub, Int16ub

from emulator.codecs.parts import Placeholder, Record, Rest, refuse
from emulator.codecs.value import Value

MAX_PARTS: Final = 255
"""Proposals in an SA, transforms in a proposal, selectors in a TS: each count is one byte."""
ADDRESS_BYTES: Final = MappingProxyType({7: 4, 8: 16})
"""Traffic selector type -> bytes of one address (RFC 7296 3.13.1): IPv4 and IPv6 ranges."""


class Transform(Value):
    """`kind` 1 ENCR, 2 PRF, 3 INTEG, 4 key exchange, 5 ESN; `number` within its kind; `attributes` as they stand."""

    kind: int
    number: int
    attributes: bytes


class Proposal(Value):
    """`number` from 1 on; `protocol` 1 IKE, 2 AH, 3 ESP; `spi` of 0, 4 or 8 bytes."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]


class SA(Value):
    """Proposals, the preferred one first."""

    proposals: tuple[Proposal, ...]


class KE(Value):
    """A public value of key exchange `group`."""

    group: int
    public: bytes


class IDi(Value):
    """Who the initiator says it is: `kind` 1 IPv4, 2 FQDN, 3 RFC 822, 9 distinguished name (DER), 11 key id."""

    kind: int
    name: bytes


class IDr(Value):
    """Who the responder is, or is wished to be; as `IDi`."""

    kind: int
    name: bytes


class Certificate(Value):
    """`encoding` 4: X.509 for signatures, DER."""

    encoding: int
    certificate: bytes


class CertificateRequest(Value):
    """`authorities`: SHA-1 hashes of trusted public keys, one behind the other."""

    encoding: int
    authorities: bytes


class Auth(Value):
    """`method` 1 RSA, 2 shared key, 9 ECDSA P-256, 14 digital signature (RFC 7427)."""

    method: int
    proof: bytes


class Nonce(Value):
    """16 to 256 bytes (RFC 7296 2.10); the exchange checks that."""

    nonce: bytes


class Notify(Value):
    """`kind` below 16384 is an error, from there on a status. `spi` belongs to the SA of `protocol` spoken of."""

    protocol: int
    spi: bytes
    kind: int
    about: bytes


class Delete(Value):
    """SAs of `protocol` that are gone, by the sender's inbound SPIs of `spi_size` bytes; none and 0: the IKE SA."""

    protocol: int
    spi_size: int
    spis: tuple[bytes, ...]


class VendorID(Value):
    """Any bytes by which implementations know each other."""

    vendor: bytes


class Selector(Value):
    """Addresses `first` to `last` and ports, both included; `kind` 7 IPv4, 8 IPv6; `protocol` 0 is any."""

    kind: int
    protocol: int
    first_port: int
    last_port: int
    first: bytes
    last: bytes


class TSi(Value):
    """The initiator's end of the traffic."""

    selectors: tuple[Selector, ...]


class TSr(Value):
    """The responder's end of the traffic."""

    selectors: tuple[Selector, ...]


class Encrypted(Value):
    """SK: always last. `first` is the number of the first payload inside, `text` IV, ciphertext and check value."""

    first: int
    text: bytes


class EncryptedFragment(Value):
    """SKF (RFC 7383): piece `number` of `total`, counted from 1. `first` is 0 in all pieces but the first."""

    first: int
    number: int
    total: int
    text: bytes


class Unknown(Value):
    """A payload this module has no number for. When `critical`, a receiver must refuse the whole message."""

    kind: int
    critical: bool
    body: bytes


class _Parts(Construct):  # type: ignore[misc]
    """Substructures that say of themselves whether another follows (RFC 7296 3.3.1): the flag must tell the truth."""

    def __init__(self, kind: type, more: int) -> None:
        super().__init__()
        self.kind = kind
        self.more = more

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> tuple[Any, ...]:
        data = stream.read()
        found: list[Any] = []
        at = 0
        flag = self.more
        while flag == self.more:
            flag, length = self._head(data, at, path)
            if len(found) == MAX_PARTS:
                raise refuse(f"more than {MAX_PARTS} of them", path)
            found.append(self._one(data[at + 4 : at + length], path))
            at += length
        if at != len(data):
            raise refuse(f"{len(data) - at} bytes behind the last", path)
        return tuple(found)

    def _head(self, data: bytes, at: int, path: str) -> tuple[int, int]:
        if len(data) < at + 8:
            raise refuse("cut short", path)
        flag, length = data[at], int.from_bytes(data[at + 2 : at + 4], "big")
        if flag not in (0, self.more):
            raise refuse(f"{flag} where 0 or {self.more} must stand", path)
        if not 8 <= length <= len(data) - at:
            raise refuse(f"a length of {length}", path)
        return flag, length

    def _one(self, body: bytes, path: str) -> Any:
        raise NotImplementedError

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, tuple | list) or not 1 <= len(obj) <= MAX_PARTS:
            raise refuse(f"wants 1 to {MAX_PARTS}", path)
        for i, item in enumerate(obj):
            if type(item) is not self.kind:
                raise refuse(f"a {type(item).__name__} where a {self.kind.__name__} belongs", path)
            body = self._bytes(item, path)
            stream.write(bytes((self.more if i < len(obj) - 1 else 0, 0)))
            stream.write(Int16ub.build(4 + len(body)) + body)
        return obj

    def _bytes(self, item: Any, path: str) -> bytes:
        raise NotImplementedError


_TRANSFORM: Final = Record(Transform, "kind" / Int8ub, Placeholder(1), "number" / Int16ub, "attributes" / Rest())


class _Transforms(_Parts):
    def __init__(self) -> None:
        super().__init__(Transform, 3)

    def _one(self, body: bytes, path: str) -> Any:
        return _TRANSFORM.parse(body)

    def _bytes(self, item: Any, path: str) -> bytes:
        return bytes(_TRANSFORM.build(item))


_TRANSFORMS: Final = _Transforms()


class _Proposals(_Parts):
    def __init__(self) -> None:
        super().__init__(Proposal, 2)

    def _one(self, body: bytes, path: str) -> Any:
        number, protocol, size, count = body[:4]
        if len(body) < 4 + size:
            raise refuse("no room for the SPI", path)
        transforms = _TRANSFORMS.parse(body[4 + size :])
        if len(transforms) != count:
            raise refuse(f"{len(transforms)} transforms instead of {count}", path)
        return Proposal(number, protocol, body[4 : 4 + size], transforms)

    def _bytes(self, item: Any, path: str) -> bytes:
        spi = _octets(item.spi, 255, path)
        transforms = _TRANSFORMS.build(item.transforms)
        head = [Int8ub.build(n) for n in (item.number, item.protocol, len(spi), len(item.transforms))]
        return b"".join(head) + spi + bytes(transforms)


class _Selectors(Construct):  # type: ignore[misc]
    """A count, three bytes of nothing, selectors."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> tuple[Selector, ...]:
        data = stream.read()
        if len(data) < 4:
            raise refuse("cut short", path)
        found: list[Selector] = []
        at = 4
        for _ in range(data[0]):
            if len(data) < at + 8:
                raise refuse("cut short", path)
            size = ADDRESS_BYTES.get(data[at])
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if size is None or length != 8 + 2 * size or len(data) < at + length:
                raise refuse(f"no selector of type {data[at]} and {length} bytes", path)
            last = at + 8 + size
            found.append(
                Selector(
                    data[at],
                    data[at + 1],
                    int.from_bytes(data[at + 4 : at + 6], "big"),
                    int.from_bytes(data[at + 6 : at + 8], "big"),
                    data[at + 8 : last],
                    data[last : last + size],
                )
            )
            at += length
        if at != len(data):
            raise refuse(f"{len(data) - at} bytes behind the last selector", path)
        return tuple(found)

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if not isinstance(obj, tuple | list) or len(obj) > MAX_PARTS:
            raise refuse("wants a tuple of selectors", path)
        stream.write(bytes((len(obj), 0, 0, 0)))
        for item in obj:
            if type(item) is not Selector:
                raise refuse(f"a {type(item).__name__} where a Selector belongs", path)
            size = ADDRESS_BYTES[item.kind]
            stream.write(Int8ub.build(item.kind) + Int8ub.build(item.protocol) + Int16ub.build(8 + 2 * size))
            stream.write(Int16ub.build(item.first_port) + Int16ub.build(item.last_port))
            for address in (item.first, item.last):
                if len(_octets(address, 16, path)) != size:
                    raise refuse(f"an address wants {size} bytes", path)
                stream.write(bytes(address))
        return obj


def _octets(value: Any, most: int, path: str) -> bytes:
    if not isinstance(value, bytes | bytearray) or len(value) > most:
        raise refuse(f"wants at most {most} bytes", path)
    return bytes(value)


class _Notify(Construct):  # type: ignore[misc]
    """The SPI's size stands before the kind, the SPI behind it."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Notify:
        data = stream.read()
        if len(data) < 4 or len(data) < 4 + data[1]:
            raise refuse("cut short", path)
        size = data[1]
        return Notify(data[0], data[4 : 4 + size], int.from_bytes(data[2:4], "big"), data[4 + size :])

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not Notify:
            raise refuse(f"a {type(obj).__name__} where a Notify belongs", path)
        spi = _octets(obj.spi, 255, path)
        stream.write(Int8ub.build(obj.protocol) + bytes((len(spi),)) + Int16ub.build(obj.kind) + spi)
        stream.write(_octets(obj.about, 65_535, path))
        return obj


class _Delete(Construct):  # type: ignore[misc]
    """Size and count of the SPIs, then the SPIs."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Delete:
        data = stream.read()
        if len(data) < 4:
            raise refuse("cut short", path)
        size, count = data[1], int.from_bytes(data[2:4], "big")
        if (size == 0) != (count == 0) or len(data) != 4 + size * count:
            raise refuse(f"{count} SPIs of {size} bytes in {len(data) - 4}", path)
        return Delete(data[0], size, tuple(data[at : at + size] for at in range(4, len(data), size or 1)))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not Delete or not isinstance(obj.spis, tuple | list):
            raise refuse(f"a {type(obj).__name__} where a Delete belongs", path)
        stream.write(Int8ub.build(obj.protocol) + Int8ub.build(obj.spi_size) + Int16ub.build(len(obj.spis)))
        if (obj.spi_size == 0) != (len(obj.spis) == 0):
            raise refuse("a size without SPIs, or SPIs without a size", path)
        for spi in obj.spis:
            if len(_octets(spi, 255, path)) != obj.spi_size:
                raise refuse(f"an SPI wants {obj.spi_size} bytes", path)
            stream.write(bytes(spi))
        return obj


PAYLOADS: Final[Mapping[int, tuple[type, Construct]]] = MappingProxyType(
    {
        33: (SA, Record(SA, "proposals" / _Proposals())),
        34: (KE, Record(KE, "group" / Int16ub, Placeholder(2), "public" / Rest())),
        35: (IDi, Record(IDi, "kind" / Int8ub, Placeholder(3), "name" / Rest())),
        36: (IDr, Record(IDr, "kind" / Int8ub, Placeholder(3), "name" / Rest())),
        37: (Certificate, Record(Certificate, "encoding" / Int8ub, "certificate" / Rest())),
        38: (CertificateRequest, Record(CertificateRequest, "encoding" / Int8ub, "authorities" / Rest())),
        39: (Auth, Record(Auth, "method" / Int8ub, Placeholder(3), "proof" / Rest())),
        40: (Nonce, Record(Nonce, "nonce" / Rest())),
        41: (Notify, _Notify()),
        42: (Delete, _Delete()),
        43: (VendorID, Record(VendorID, "vendor" / Rest())),
        44: (TSi, Record(TSi, "selectors" / _Selectors())),
        45: (TSr, Record(TSr, "selectors" / _Selectors())),
        46: (Encrypted, Record(Encrypted, "first" / Int8ub, "text" / Rest())),
        53: (
            EncryptedFragment,
            Record(EncryptedFragment, "first" / Int8ub, "number" / Int16ub, "total" / Int16ub, "text" / Rest()),
        ),
    }
)
"""Payload number -> value type and body. The bodies of 46 and 53 begin with the next-payload byte of their header."""
ENCRYPTED: Final = 46
FRAGMENT: Final = 53
NUMBERS: Final[Mapping[type, int]] = MappingProxyType({kind: number for number, (kind, _) in PAYLOADS.items()})
