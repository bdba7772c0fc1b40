"""The quick MPLS stage: a two-label stack, in UDP.

The outer label is the transport path between the two gateways, the inner one the VPN at its end (RFC 4364); both are
per cell and direction and arrive on the wire, as with ultimate-hop popping. The stack begins with the inner packet's
TTL (RFC 3443, uniform model); only the bottom label carries the S bit.

On the wire the stack stands in UDP port 6635 (RFC 7510) and not bare: the outermost packet is then IPv4 for every kind
of link, so one capture format serves all, and the same bytes can later cross a real socket without privilege. The UDP
checksum is zero, which RFC 7510 section 3 recommends over IPv4; the source port would spread flows over paths, but
there is one path, so it is a constant in the range the RFC names. MPLS has neither integrity nor a replay window: a
bent payload is found by the inner UDP checksum, a repeated packet arrives twice.
"""

from typing import Final

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.link.datagram import PROTOCOL_UDP
from emulator.link.stage import Envelope, Leg, Refused

PORT: Final = 6635
_SOURCE_PORT: Final = 49_152
_TRANSPORT_BASE: Final = 0x40000
_VPN_BASE: Final = 0x80000
_OUTER: Final = 20 + 8 + 8  # IPv4, UDP, two labels


def labels(leg: Leg) -> tuple[int, int]:
    """(transport label, VPN label) of one cell and direction; 0 to 15 are reserved (RFC 3032). Cells: 0 to 131,071."""
    offset = leg.cell << 1 | leg.direction
    return _TRANSPORT_BASE + offset, _VPN_BASE + offset


class LabelStack:
    """One direction of the labelled path."""

    __slots__ = ("_destination", "_envelope", "_headers", "_outer_ttl", "_source", "_ttl", "_values")

    overhead = _OUTER

    def __init__(self, leg: Leg) -> None:
        self._source, self._destination = leg.gateways
        self._values = labels(leg)
        self._ttl = leg.profile.ttl
        self._outer_ttl = leg.profile.outer_ttl
        self._envelope = Envelope(leg, PROTOCOL_UDP)
        self._headers: dict[int, bytes] = {}

    def wrap(self, packet: bytes) -> bytes:
        header = self._headers.get(len(packet))
        if header is None:
            header = self._headers[len(packet)] = self._built(packet)[:_OUTER]
        return header + packet

    def unwrap(self, packet: bytes) -> bytes:
        header = self._headers.get(len(packet) - _OUTER)
        if header is not None and packet.startswith(header):
            return packet[_OUTER:]
        outside = UDP_FRAME.parse(self._envelope.open(packet))
        if outside.destination_port != PORT:
            raise Refused("protocol", f"UDP port {outside.destination_port} instead of {PORT}")
        if outside.checksum and outside.checksum != udp.checksum(
            self._source, self._destination, outside.source_port, PORT, outside.payload
        ):
            raise Refused("checksum", "the outer UDP checksum does not hold")
        stack = MPLS_FRAME.parse(outside.payload)
        values = tuple(label.label for label in stack.labels)
        if values != self._values:
            raise Refused("label", f"label stack {values} instead of {self._values}")
        if stack.labels[0].ttl <= 1:
            raise Refused("ttl", "the transport label's TTL is used up")
        return stack.payload

    def whole(self) -> None:
        return None

    def _built(self, packet: bytes) -> bytes:
        """The whole packet, by the codecs."""
        stack = tuple(Label(value, 0, self._ttl) for value in self._values)
        datagram = UDP_FRAME.build(UDP(_SOURCE_PORT, PORT, 0, MPLS_FRAME.build(MPLS(stack, packet))))
        return IPV4_FRAME.build(IPv4(self._source, self._destination, PROTOCOL_UDP, 0, self._outer_ttl, datagram))
