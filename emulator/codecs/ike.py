"""IKEv2 messages (RFC 7296 section 3.1 and 3.2): the header and the chain of payloads, each naming the next.

Two frames. `ike` is a datagram without the non-ESP marker that port 4500 puts before it. `ike-payloads` is what an
encrypted payload holds when opened: no header, so the number of the first payload is put in front as one byte. SK and
SKF end a message, because the "next" in their header already speaks of what is inside.
"""

import io
from typing import Any, Final

from construct import Construct, Int8ub, Int16ub, Int32ub, Int64ub

from emulator.codecs.codec import Codec, Twin
from emulator.codecs.ike_payloads import ENCRYPTED, FRAGMENT, NUMBERS, PAYLOADS, Unknown
from emulator.codecs.parts import refuse
from emulator.codecs.value import Value

HEADER: Final = 28
LIMIT: Final = 65_507
"""What fits a UDP datagram over IPv4."""
MAX_PAYLOADS: Final = 128
"""Longest chain a decoder follows."""
CRITICAL: Final = 0x80


class IKE(Value):
    """`version` 0x20 to 0x2F; `exchange` 34 IKE_SA_INIT, 35 IKE_AUTH, 36 CREATE_CHILD_SA, 37 INFORMATIONAL; `flags`
    08 original initiator, 10 can do more than this version, 20 response. SPIs are 64 bits."""

    initiator: int
    responder: int
    version: int
    exchange: int
    flags: int
    message_id: int
    payloads: tuple[Any, ...]


class Payloads(Value):
    """A chain alone."""

    payloads: tuple[Any, ...]


def _chain(first: int, data: bytes, outer: bool, path: str) -> tuple[Any, ...]:
    """Every payload of `data`. SK and SKF belong to the `outer` chain only."""
    found: list[Any] = []
    at = 0
    kind = first
    while kind:
        if len(found) == MAX_PAYLOADS:
            raise refuse(f"more than {MAX_PAYLOADS} payloads", path)
        if len(data) < at + 4:
            raise refuse(f"payload {kind} is cut short", path)
        following, flags, length = data[at], data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if not 4 <= length <= len(data) - at:
            raise refuse(f"payload {kind} has a length of {length}", path)
        body = data[at + 4 : at + length]
        at += length
        if kind in (ENCRYPTED, FRAGMENT):
            if not outer:
                raise refuse("an encrypted payload inside another", path)
            found.append(PAYLOADS[kind][1].parse(bytes((following,)) + body))
            break
        if kind in PAYLOADS:
            found.append(PAYLOADS[kind][1].parse(body))
        else:
            found.append(Unknown(kind, bool(flags & CRITICAL), body))
        kind = following
    if at != len(data):
        raise refuse(f"{len(data) - at} bytes behind the last payload", path)
    return tuple(found)


def _number(value: Any, path: str) -> int:
    number = NUMBERS.get(type(value))
    if number is not None:
        return number
    if type(value) is not Unknown or type(value.kind) is not int or value.kind in PAYLOADS or value.kind == 0:
        raise refuse(f"a {type(value).__name__} is no payload", path)
    return value.kind


def _chained(payloads: Any, outer: bool, path: str) -> tuple[int, bytes]:
    """(number of the first payload, bytes)."""
    if not isinstance(payloads, tuple | list) or len(payloads) > MAX_PAYLOADS:
        raise refuse(f"wants a tuple of at most {MAX_PAYLOADS} payloads", path)
    numbers = [_number(value, path) for value in payloads]
    data = b""
    for i, value in enumerate(payloads):
        number = numbers[i]
        following = numbers[i + 1] if i + 1 < len(numbers) else 0
        flags = 0
        if number in (ENCRYPTED, FRAGMENT):
            if not outer or following:
                raise refuse("an encrypted payload stands last, and in no other", path)
            body = bytes(PAYLOADS[number][1].build(value))
            following, body = body[0], body[1:]
        elif type(value) is Unknown:
            if type(value.critical) is not bool or not isinstance(value.body, bytes | bytearray):
                raise refuse("an unknown payload wants a truth value and bytes", path)
            flags, body = CRITICAL * value.critical, bytes(value.body)
        else:
            body = bytes(PAYLOADS[number][1].build(value))
        data += Int8ub.build(following) + bytes((flags,)) + Int16ub.build(4 + len(body)) + body
    return (numbers[0] if numbers else 0), data


class _Message(Construct):  # type: ignore[misc]
    """A whole datagram."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> IKE:
        data = stream.read()
        if len(data) < HEADER:
            raise refuse("cut short", path)
        if data[17] >> 4 != 2:
            raise refuse(f"major version {data[17] >> 4}", path)
        if int.from_bytes(data[24:28], "big") != len(data):
            raise refuse("the length field is not the length", path)
        return IKE(
            int.from_bytes(data[:8], "big"),
            int.from_bytes(data[8:16], "big"),
            data[17],
            data[18],
            data[19],
            int.from_bytes(data[20:24], "big"),
            _chain(data[16], data[HEADER:], True, path),
        )

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not IKE:
            raise refuse(f"a {type(obj).__name__} where an IKE message belongs", path)
        if not 0x20 <= obj.version <= 0x2F:
            raise refuse("a version is 0x20 to 0x2F", path)
        first, chain = _chained(obj.payloads, True, path)
        stream.write(Int64ub.build(obj.initiator) + Int64ub.build(obj.responder) + Int8ub.build(first))
        stream.write(Int8ub.build(obj.version) + Int8ub.build(obj.exchange) + Int8ub.build(obj.flags))
        stream.write(Int32ub.build(obj.message_id) + Int32ub.build(HEADER + len(chain)) + chain)
        return obj


class _Inside(Construct):  # type: ignore[misc]
    """One byte, then a chain."""

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Payloads:
        data = stream.read()
        if not data:
            raise refuse("no payload number", path)
        return Payloads(_chain(data[0], data[1:], False, path))

    def _build(self, obj: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if type(obj) is not Payloads:
            raise refuse(f"a {type(obj).__name__} where Payloads belong", path)
        first, chain = _chained(obj.payloads, False, path)
        stream.write(bytes((first,)) + chain)
        return obj


IKE_FRAME: Final[Codec[IKE]] = Codec("ike", _Message(), limit=LIMIT, fast=Twin("ike"))
IKE_PAYLOADS: Final[Codec[Payloads]] = Codec("ike-payloads", _Inside(), limit=LIMIT, fast=Twin("ike", "payloads"))
