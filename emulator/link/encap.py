"""ESP in UDP (RFC 3948): what passes a NAT, which has no ports to tell bare ESP packets apart by.

Port 4500 carries three things. A single byte FF is a keepalive and means nothing but that the sender wants the NAT to
remember it. Four zero bytes, where an SPI would stand, announce IKE. Everything else is ESP, whose SPI is never zero.
The UDP checksum is zero on the way out and looked at by nobody: a NAT changes what it covers, and the ICV covers more.
"""

from struct import Struct
from typing import Final, Literal, TypeAlias

from emulator.kernel.effects import Instant

PORT: Final = 4500
NON_ESP_MARKER: Final = bytes(4)
KEEPALIVE: Final = b"\xff"
HEADER_BYTES: Final = 8

Carried: TypeAlias = Literal["keepalive", "ike", "esp", "noise"]

_HEADER: Final = Struct(">HHHH")
_LEAST: Final = 8  # SPI and sequence number


def carried(payload: bytes) -> Carried:
    """What a datagram on port 4500 is. noise: nothing that may come there."""
    if payload == KEEPALIVE:
        return "keepalive"
    if len(payload) < _LEAST:
        return "noise"
    return "ike" if payload.startswith(NON_ESP_MARKER) else "esp"


def datagram(source_port: int, destination_port: int, payload: bytes) -> bytes:
    """The UDP datagram of a payload of at most 65,507 bytes, its checksum zero. Ports 0 to 65,535."""
    return _HEADER.pack(source_port, destination_port, HEADER_BYTES + len(payload), 0) + payload


class Keepalives:
    """When one end has to say something, so that a NAT on its side does not forget it.

    A packet of any kind will do (RFC 3948 section 4), so a busy tunnel sends no keepalive. `interval` in µs; 0: never.
    """

    __slots__ = ("_last", "interval")

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._last: Instant | None = None

    def sent(self, now: Instant) -> None:
        """A packet has left towards the NAT."""
        self._last = now

    @property
    def next_at(self) -> Instant | None:
        """When one is due if nothing else is sent; None: never, or nothing was ever sent."""
        return None if self._last is None or not self.interval else self._last + self.interval

    def due(self, now: Instant) -> bool:
        return (at := self.next_at) is not None and now >= at
