"""Loss of what a filter matches (row 9): conditions on the decoded packet, all of which must hold.

A packet is decoded as far as it lets itself be: IPv4, UDP, ESP (bare, or in UDP 4500 behind no marker), the header of
IKE, MPLS (in UDP 6635 or as IP protocol 137) and the IPv4 inside it, and on the air the COSEM wrapper. A condition on
addresses or ports holds if any of the layers meets it. What is inside ESP cannot be seen, as for any filter on the way.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Final

from emulator.codecs.esp import PROTOCOL as PROTOCOL_ESP
from emulator.codecs.ipv4 import IPV4_FRAME
from emulator.codecs.mpls import MPLS_FRAME
from emulator.codecs.udp import PROTOCOL as PROTOCOL_UDP
from emulator.codecs.udp import UDP_FRAME
from emulator.codecs.wrapper import WRAPPER
from emulator.errors import FrameError
from emulator.kernel.effects import Instant
from emulator.link.impairments.base import Carried, Impairment, Luck

PROTOCOL_MPLS: Final = 137
PORT_IKE: Final = 500
PORT_NATT: Final = 4500
PORT_MPLS: Final = 6635
_IKE_HEADER: Final = 28
_RESPONSE: Final = 0x20
_DEEPEST: Final = 4


@dataclass(slots=True)
class Headers:
    """What a packet shows. `ike`: (exchange type, whether it is a response); `saps`: the wrapper's two ends."""

    protocols: set[int] = field(default_factory=set)
    sources: list[int] = field(default_factory=list)
    destinations: list[int] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)
    labels: tuple[int, ...] = ()
    spi: int | None = None
    ike: tuple[int, bool] | None = None
    saps: tuple[int, ...] = ()


def headers(packet: bytes) -> Headers:
    """Everything that can be read of a packet, however bent it is."""
    found = Headers()
    try:
        if packet[:2] == b"\0\1":
            frame = WRAPPER.parse(packet)
            found.saps = (frame.source, frame.destination)
        else:
            _look(packet, found, _DEEPEST)
    except FrameError:
        pass
    return found


def _look(packet: bytes, found: Headers, depth: int) -> None:
    """Into an IPv4 packet. Raises FrameError where it cannot be read on."""
    if not depth:
        return
    outside = IPV4_FRAME.parse(packet)
    found.protocols.add(outside.protocol)
    found.sources.append(outside.source)
    found.destinations.append(outside.destination)
    if outside.fragment_offset:
        return
    payload = outside.payload
    if outside.protocol == PROTOCOL_ESP:
        found.spi = int.from_bytes(payload[:4], "big")
    elif outside.protocol == PROTOCOL_MPLS:
        _labels(payload, found, depth)
    elif outside.protocol == PROTOCOL_UDP:
        inside = UDP_FRAME.parse(payload)
        ports = {inside.source_port, inside.destination_port}
        found.ports |= ports
        if PORT_MPLS in ports:
            _labels(inside.payload, found, depth)
        elif PORT_NATT in ports and len(inside.payload) >= 8:
            if any(inside.payload[:4]):
                found.spi = int.from_bytes(inside.payload[:4], "big")
            else:
                _ike(inside.payload[4:], found)
        elif PORT_IKE in ports:
            _ike(inside.payload, found)
        elif inside.payload[:2] == b"\0\1":
            frame = WRAPPER.parse(inside.payload)
            found.saps = (frame.source, frame.destination)


def _labels(payload: bytes, found: Headers, depth: int) -> None:
    stack = MPLS_FRAME.parse(payload)
    found.labels += tuple(label.label for label in stack.labels)
    _look(stack.payload, found, depth - 1)


def _ike(message: bytes, found: Headers) -> None:
    """The header alone: what follows is mostly encrypted."""
    if len(message) >= _IKE_HEADER:
        found.ike = (message[18], bool(message[19] & _RESPONSE))


class Filter(Impairment):
    """What matches is lost. A condition that is None is no condition; without any, everything matches."""

    __slots__ = (
        "_contains", "_decodes", "_destination", "_exchange", "_label", "_longer", "_port", "_protocol", "_response",
        "_sap", "_shorter", "_source", "_spi",
    )  # fmt: skip

    def __init__(
        self,
        luck: Luck,
        *,
        protocol: int | None,
        source: str | None,
        destination: str | None,
        port: int | None,
        spi: int | None,
        label: int | None,
        sap: int | None,
        ike_exchange: int | None,
        ike_response: bool | None,
        longer_than: int | None,
        shorter_than: int | None,
        contains: bytes,
    ) -> None:
        """`source`, `destination`: networks, dotted with a length or one address."""
        self._protocol = protocol
        self._source = None if source is None else IPv4Network(source)
        self._destination = None if destination is None else IPv4Network(destination)
        self._port = port
        self._spi = spi
        self._label = label
        self._sap = sap
        self._exchange = ike_exchange
        self._response = ike_response
        self._longer = longer_than
        self._shorter = shorter_than
        self._contains = contains
        seen = (protocol, source, destination, port, spi, label, sap, ike_exchange, ike_response)
        self._decodes = any(each is not None for each in seen)

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        return [] if self.matches(packet) else [(0, packet)]

    def matches(self, packet: bytes) -> bool:
        """Whether all conditions hold for a packet."""
        if self._longer is not None and len(packet) <= self._longer:
            return False
        if self._shorter is not None and len(packet) >= self._shorter:
            return False
        if self._contains not in packet:
            return False
        return not self._decodes or self._shows(headers(packet))

    def _shows(self, seen: Headers) -> bool:
        return (
            (self._protocol is None or self._protocol in seen.protocols)
            and (self._source is None or _within(self._source, seen.sources))
            and (self._destination is None or _within(self._destination, seen.destinations))
            and (self._port is None or self._port in seen.ports)
            and (self._spi is None or self._spi == seen.spi)
            and (self._label is None or self._label in seen.labels)
            and (self._sap is None or self._sap in seen.saps)
            and (self._exchange is None or (seen.ike is not None and seen.ike[0] == self._exchange))
            and (self._response is None or (seen.ike is not None and seen.ike[1] == self._response))
        )


def _within(network: IPv4Network, addresses: list[int]) -> bool:
    first, mask = int(network.network_address), int(network.netmask)
    return any(address & mask == first for address in addresses)
