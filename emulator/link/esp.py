"""The tunnel stage: an IPv4 packet in ESP in IPv4 (RFC 4303 tunnel mode), between the two gateways of a cell.

Sealing, sequence numbers and the replay window are `crypto.esp_sa`'s; this stage knows what is around them. A packet
with another SPI is refused before any key is touched, and the window moves only after the ICV held (RFC 4303
3.4.3), so nothing unauthenticated changes the tunnel's state.

The associations are the static ones of `sad`, or made of a specification that IKE agreed on and renewed while packets
are under way; the old association opens until it is retired. Either way of any suite, and bare or in UDP.

Where the core can, a frame goes all the way in one call (`whole`), over the same two associations. That call takes what
is ordinary, whole and good; everything else comes back here, where the reasons are.
"""

from typing import Final

from emulator.codecs import udp
from emulator.codecs.esp import ESP_FRAME
from emulator.codecs.esp import PROTOCOL as PROTOCOL_ESP
from emulator.codecs.udp import UDP_FRAME
from emulator.crypto.esp_sa import SaBase, Whole
from emulator.errors import UsageError
from emulator.link.datagram import Datagram, build_through_codecs
from emulator.link.encap import PORT, carried, datagram
from emulator.link.esp_spec import SaSpec, inner_mtu, spec_of
from emulator.link.ike.effects import Keys
from emulator.link.profile import Direction
from emulator.link.sad import association
from emulator.link.stage import Envelope, Leg, Refused

_IPV4_IN_IP: Final = 4
_DUMMY: Final = 59


def static(leg: Leg) -> SaSpec:
    """The association that a cell and direction have without IKE, of the profile's suite."""
    agreed, used = association(leg), leg.profile.suite
    encryption = used.encryption
    keys = Keys(agreed.key[: encryption.key], agreed.salt[: encryption.salt], agreed.integrity[: used.integrity_bytes])
    return spec_of(agreed.spi, used, keys)


class Peers:
    """Where each of the two gateways takes the other to be, for ESP in UDP: (address, port) by the direction in which
    it sends. An authentic packet that is newer than all others moves its sender there (RFC 7296 2.23), which is how a
    NAT that rebinds is followed."""

    __slots__ = ("seen",)

    def __init__(self, leg: Leg) -> None:
        """`leg`: of either direction."""
        near, far = leg.gateways if leg.direction is Direction.DOWN else leg.gateways[::-1]
        self.seen = [(far, PORT), (near, PORT)]

    def heard(self, sends: int, address: int, port: int) -> None:
        """An authentic packet, the newest so far, came to the gateway that sends in this direction."""
        self.seen[sends] = address, port


class Tunnel:
    """One direction of the tunnel: its sealing and its opening half."""

    __slots__ = (
        "_encap", "_envelope", "_inbound", "_inner", "_leg", "_older", "_opening", "_outbound", "_renewable",
        "_sealing", "_spec", "_spi", "_strict", "_window", "peers",
    )  # fmt: skip

    def __init__(
        self,
        leg: Leg,
        spec: SaSpec | None = None,
        *,
        peers: Peers | None = None,
        strict_padding: bool = True,
    ) -> None:
        """`spec`: what IKE agreed on for this direction; None: the static association. `peers`: where the gateways take
        each other to be, which both directions share. `strict_padding`: of the opening half, see
        `crypto.esp_sa.associate`. Everything else is the profile's: suite, window, ESP in UDP.
        """
        encap, window = leg.profile.encap, leg.profile.window
        self.peers = peers or Peers(leg)
        self._leg = leg
        self._renewable = spec is not None
        self._encap = encap
        self._inner = b""
        self._window = window
        self._strict = strict_padding
        self._envelope = Envelope(leg, udp.PROTOCOL if encap else PROTOCOL_ESP)
        self._older: dict[bytes, SaBase] = {}
        self._install(static(leg) if spec is None else spec)
        self._sealing: Whole | None = None
        self._opening: Whole | None = None

    def _install(self, spec: SaSpec) -> None:
        self._spec = spec
        self._outbound = spec.associate()
        self._inbound = spec.associate(self._window, self._strict)
        self._spi = spec.spi.to_bytes(4, "big")

    def _bind(self) -> None:
        """The short ways of the present associations, each None where there is none."""
        if not self._inner:
            self._inner = build_through_codecs(0, 0, 0, 0, b"", 0, self._leg.profile.ttl)
        outer, inner = self._envelope.header(0), self._inner
        self._sealing = None if self._encap else self._outbound.whole(outer, inner)
        self._opening = None if self._encap else self._inbound.whole(outer, inner)

    def renew(self, spec: SaSpec) -> None:
        """Seal with another association from now on, and open with both. Raises UsageError: its SPI is in use, or this
        tunnel is the static one, whose short way is bound to its associations."""
        spi = spec.spi.to_bytes(4, "big")
        if not self._renewable or spi == self._spi or spi in self._older:
            raise UsageError("a static tunnel is not renewed, and no two associations have one SPI")
        self._outbound.close()
        self._older[self._spi] = self._inbound
        self._install(spec)
        self._bind()

    def retire(self, spi: int) -> None:
        """Open nothing more with an older association. One that is not there is none."""
        older = self._older.pop(spi.to_bytes(4, "big"), None)
        if older is not None:
            older.close()

    @property
    def spec(self) -> SaSpec:
        """What it seals with."""
        return self._spec

    @property
    def overhead(self) -> int:
        mtu = self._leg.profile.mtu
        # Padding ends on a boundary (RFC 4303 2.4): up to three bytes of the MTU, or a block, cannot be used.
        return mtu - inner_mtu(self._spec.suite, mtu, encap=self._encap)

    def wrap(self, packet: bytes) -> bytes:
        sealed = self._outbound.seal(packet, _IPV4_IN_IP)
        if not self._encap:
            return self._envelope.header(len(sealed)) + sealed
        address, port = self.peers.seen[self._leg.direction]
        sealed = datagram(PORT, port, sealed)
        return self._envelope.header(len(sealed), address) + sealed

    def unwrap(self, packet: bytes) -> bytes:
        if not self._encap:
            return self._open(self._envelope.open(packet))[0]
        outside = self._envelope.arrived(packet, anybody=self._leg.profile.follow)
        port, sealed = _in_udp(outside.payload)
        inner, newest = self._open(sealed)
        if newest:
            self.peers.heard(1 - self._leg.direction, outside.source, port)
        return inner

    def _open(self, sealed: bytes) -> tuple[bytes, bool]:
        """The packet inside, and whether none newer has come by its association."""
        opening = self._inbound if sealed.startswith(self._spi) else self._older.get(sealed[:4])
        if opening is None:
            spi = ESP_FRAME.parse(sealed).spi
            raise Refused("association", f"no security association with SPI {spi:#010x}")
        next_header, inner = opening.open(sealed)
        if next_header != _IPV4_IN_IP:
            detail = "a dummy packet" if next_header == _DUMMY else f"next header {next_header} instead of IPv4"
            raise Refused("protocol", detail)
        newest = self._encap and opening.state().top & 0xFFFFFFFF == int.from_bytes(sealed[4:8], "big")
        return inner, newest

    def whole(self) -> Whole | None:
        self._bind()
        if self._sealing is None or self._opening is None:
            return None
        if self._renewable:  # one step more, because the associations behind it change
            return Whole(self._seal_whole, self._open_whole)
        return Whole(self._sealing.seal, self._opening.open)

    def present(self) -> Whole | None:
        """`whole` without the step more: of the present associations alone, to be asked for again after a `renew`."""
        if self._sealing is None:
            self._bind()
        if self._sealing is None or self._opening is None:
            return None
        return Whole(self._sealing.seal, self._opening.open)

    def _seal_whole(
        self, source: int, destination: int, source_port: int, destination_port: int, frame: bytes, identification: int
    ) -> bytes | None:
        sealing = self._sealing
        if sealing is None:
            return None
        return sealing.seal(source, destination, source_port, destination_port, frame, identification)

    def _open_whole(self, packet: bytes) -> Datagram | None:
        opening = self._opening
        return None if opening is None else opening.open(packet)


def _in_udp(payload: bytes) -> tuple[int, bytes]:
    """(the port it comes from, ESP) of a datagram to the gateways' port. Raises FrameError or Refused."""
    inside = UDP_FRAME.parse(payload)
    if inside.destination_port != PORT:
        raise Refused("protocol", f"UDP port {inside.destination_port} instead of {PORT}")
    kind = carried(inside.payload)
    if kind != "esp":
        raise Refused("protocol" if kind in ("ike", "keepalive") else "malformed", f"{kind} where ESP belongs")
    return inside.source_port, inside.payload
