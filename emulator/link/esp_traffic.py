"""What a child SA carries: its traffic selectors (RFC 4301 4.4.1), and the packet inside when it comes out."""

from collections.abc import Sequence
from typing import Final

from emulator.codecs import udp
from emulator.codecs.ike_payloads import Selector
from emulator.codecs.ipv4 import HEADER, IPv4

_TCP: Final = 6
_IPV4_RANGE: Final = 7

ANYTHING: Final = (Selector(_IPV4_RANGE, 0, 0, 65_535, bytes(4), b"\xff" * 4),)
"""The selector of all IPv4 traffic."""


def without_filling(inside: bytes) -> bytes:
    """The inner packet without what traffic flow confidentiality may have put behind it (RFC 4303 2.7)."""
    total = int.from_bytes(inside[2:4], "big")
    return inside[:total] if HEADER <= total <= len(inside) else inside


def serves(sources: Sequence[Selector], destinations: Sequence[Selector], inner: IPv4) -> bool:
    """Is a packet's source in one list and its destination in the other? Ports count where the packet shows them."""
    ports = (0, 0)
    shown = inner.protocol in (udp.PROTOCOL, _TCP) and not inner.fragment_offset and len(inner.payload) >= 4
    if shown:
        ports = int.from_bytes(inner.payload[:2], "big"), int.from_bytes(inner.payload[2:4], "big")
    return _holds(sources, inner.source, inner.protocol, ports[0], shown) and _holds(
        destinations, inner.destination, inner.protocol, ports[1], shown
    )


def _holds(selectors: Sequence[Selector], address: int, protocol: int, port: int, shown: bool) -> bool:
    at = address.to_bytes(4, "big")
    return any(
        one.kind == _IPV4_RANGE
        and one.first <= at <= one.last
        and one.protocol in (0, protocol)
        and (not shown or one.first_port <= port <= one.last_port)
        for one in selectors
    )


def rechecked(protocol: int, inside: bytes, source: int, destination: int) -> bytes:
    """UDP or TCP with the checksum of these addresses; anything else, and UDP without one, as it is."""
    at = {udp.PROTOCOL: 6, _TCP: 16}.get(protocol)
    if at is None or len(inside) < at + 2 or (protocol == udp.PROTOCOL and not any(inside[6:8])):
        return inside
    bare = inside[:at] + b"\0\0" + inside[at + 2 :]
    words = int.from_bytes(bare + b"\0" * (len(bare) & 1), "big")
    checksum = -(words + source + destination + protocol + len(bare)) % 65_535
    if protocol == udp.PROTOCOL:
        checksum = checksum or 65_535
    return inside[:at] + checksum.to_bytes(2, "big") + inside[at + 2 :]
