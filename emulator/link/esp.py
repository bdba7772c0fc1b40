"""The tunnel stage: an IPv4 packet in ESP in IPv4 (RFC 4303 tunnel mode), between the two gateways of a cell.

Sealing, sequence numbers and the replay window are `crypto.esp_sa`'s; this stage knows what is around them. A packet
with another SPI is refused before any key is touched, and the window moves only after the ICV held (RFC 4303
3.4.3), so nothing unauthenticated changes the tunnel's state.

Where the core can, a frame goes all the way in one call (`whole`), over the same two associations. That call takes what
is ordinary, whole and good; everything else comes back here, where the reasons are.
"""

from typing import Final

from emulator.codecs.esp import ESP_FRAME
from emulator.crypto.esp_sa import Sa, Whole
from emulator.link.datagram import build_through_codecs
from emulator.link.sad import association
from emulator.link.stage import Envelope, Leg, Refused

PROTOCOL_ESP: Final = 50
_IPV4_IN_IP: Final = 4
_DUMMY: Final = 59
_FIXED: Final = 20 + 8 + 8 + 2 + 16  # outer IPv4, SPI and sequence number, IV, trailer, ICV


class Tunnel:
    """One direction of the tunnel: its sealing and its opening half."""

    __slots__ = ("_envelope", "_inbound", "_outbound", "_spi", "_ttl", "_unused")

    def __init__(self, leg: Leg) -> None:
        agreed = association(leg)
        self._outbound = Sa(agreed.spi, agreed.key, agreed.salt)
        self._inbound = Sa(agreed.spi, agreed.key, agreed.salt)
        self._spi = agreed.spi.to_bytes(4, "big")
        self._envelope = Envelope(leg, PROTOCOL_ESP)
        self._ttl = leg.profile.ttl
        # Payload and trailer end on a 4-byte boundary (RFC 4303 2.4): up to three bytes of the MTU cannot be used.
        self._unused = (leg.profile.mtu - _FIXED + 2) % 4

    @property
    def overhead(self) -> int:
        return _FIXED + self._unused

    def wrap(self, packet: bytes) -> bytes:
        sealed = self._outbound.seal(packet, _IPV4_IN_IP)
        return self._envelope.header(len(sealed)) + sealed

    def unwrap(self, packet: bytes) -> bytes:
        sealed = self._envelope.open(packet)
        if not sealed.startswith(self._spi):
            spi = ESP_FRAME.parse(sealed).spi
            raise Refused("association", f"no security association with SPI {spi:#010x}")
        next_header, inner = self._inbound.open(sealed)
        if next_header != _IPV4_IN_IP:
            detail = "a dummy packet" if next_header == _DUMMY else f"next header {next_header} instead of IPv4"
            raise Refused("protocol", detail)
        return inner

    def whole(self) -> Whole | None:
        headers = self._envelope.header(0), build_through_codecs(0, 0, 0, 0, b"", 0, self._ttl)
        sealing, opening = self._outbound.whole(*headers), self._inbound.whole(*headers)
        return Whole(sealing.seal, opening.open) if sealing and opening else None
