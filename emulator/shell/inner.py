"""The hosts behind the operator's gateway: every installation at its inner address, as users of a tunnel meet them.

Packets come out of a tunnel one by one, so what an operating system does for a socket is done here, for as much of it
as meters need: reassembly, the echo of ICMP, COSEM wrapper frames over UDP and over TCP (`inner_tcp`), and the refusals
a host gives where nothing listens. Home n answers at the profile's hub base plus n (ASSUMED: 10.128.0.0), which is the
address it has on the emulated link too. What goes in is IPv4 without options; whatever else comes is counted and
dropped, as hosts do with what is not for them.
"""

from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Final

from emulator.codecs import icmp, tcp, udp
from emulator.codecs.icmp import ICMP, ICMP_FRAME
from emulator.codecs.ipv4 import HEADER, IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.errors import FrameError, InputError
from emulator.link.fragments import Reassembly
from emulator.link.profile import STANDARD, LinkProfile
from emulator.shell.addresses import Addresses
from emulator.shell.gate import Gate
from emulator.shell.inner_tcp import Streams
from emulator.shell.live import LiveEstate
from emulator.shell.udp import Callers, Peer

_ECHO_REPLY, _UNREACHABLE, _ECHO = 0, 3, 8
_HOST, _PROTOCOL, _PORT = 1, 2, 3
_TTL: Final = 64
_PIECES: Final = 256
"""Unfinished packets that all users together may have."""


class HubAddresses(Addresses):
    """Home n at `base` + n. Raises InputError when the last one does not fit into the hubs' network."""

    __slots__ = ("_base",)

    def __init__(self, installations: int, profile: LinkProfile = STANDARD) -> None:
        if installations > profile.hub_span:
            raise InputError(f"the hubs' network has {profile.hub_span} addresses, and there are {installations} homes")
        self.network = IPv4Network((profile.hub_base, 33 - profile.hub_span.bit_length()))
        self.installations = installations
        self._base = profile.hub_base

    def of(self, installation: int) -> str:
        """The address of a home, as text."""
        return str(IPv4Address(self._base + installation))

    def find(self, address: str) -> int | None:
        """The home that is called at `address`, or None."""
        try:
            return self.at(int(IPv4Address(address)))
        except AddressValueError:
            return None

    def at(self, address: int) -> int | None:
        """As `find`, for an address as an int."""
        number = address - self._base
        return number if 0 <= number < self.installations else None


class InnerHosts(Callers):
    """All homes behind one tunnel. `out(packet)` takes an IPv4 packet towards the users; it may be lost there."""

    def __init__(
        self,
        live: LiveEstate,
        gate: Gate,
        out: Callable[[bytes], None],
        *,
        profile: LinkProfile = STANDARD,
        mtu: int = 1400,
    ) -> None:
        """`mtu`: of what is sent over TCP, so that it fits any tunnel. ASSUMED: 1400, strongSwan's for its own."""
        super().__init__(live, gate)
        self.addresses = HubAddresses(live.estate.installations, profile)
        self.port = profile.cosem_port
        self._out = out
        self._identification = 0
        self._pieces = Reassembly(limit=_PIECES)
        self.streams = Streams(live, gate, self.addresses, self._send, port=self.port, mtu=mtu)

    def close(self) -> None:
        """Hear nobody any more; streams end."""
        self.streams.close()
        super().close()

    def receive(self, packet: bytes) -> None:
        """A packet from a user. No bytes make it raise."""
        try:
            whole = self._pieces.take(packet, int(self._loop.time() * 1_000_000))
            if whole is None:
                return
            inner = IPV4_FRAME.parse(whole)
            home = self.addresses.at(inner.destination)
            if home is None:
                self._unreachable(inner, whole, _HOST)
            elif inner.protocol == udp.PROTOCOL:
                self._datagram(inner, whole, home)
            elif inner.protocol == tcp.PROTOCOL:
                self.streams.receive(inner.source, inner.destination, inner.payload)
            elif inner.protocol == icmp.PROTOCOL:
                self._message(inner)
            else:
                self._unreachable(inner, whole, _PROTOCOL)
        except FrameError as error:
            self.gate.turn_away("inner-malformed", error=str(error))

    def send(self, frame: bytes, called: bytes, peer: Peer) -> None:
        """An answer in a datagram from the home's address."""
        source, destination = int.from_bytes(called, "big"), int(IPv4Address(peer[0]))
        checksum = udp.checksum(source, destination, self.port, peer[1], frame)
        datagram = UDP_FRAME.build(UDP(self.port, peer[1], checksum, frame))
        self.gate.counts["answers"] += 1
        self._send(source, destination, udp.PROTOCOL, datagram)

    def _datagram(self, inner: IPv4, packet: bytes, home: int) -> None:
        inside = UDP_FRAME.parse(inner.payload)
        ports = inside.source_port, inside.destination_port
        if inside.checksum and inside.checksum != udp.checksum(inner.source, inner.destination, *ports, inside.payload):
            self.gate.turn_away("inner-malformed", error="the UDP checksum does not hold")
        elif inside.destination_port != self.port:
            self._unreachable(inner, packet, _PORT)
        elif len(inside.payload) > self.gate.limits.frame:
            self.gate.turn_away("malformed", installation=home, length=len(inside.payload))
        else:
            peer = str(IPv4Address(inner.source)), inside.source_port
            self.take(peer, inner.destination.to_bytes(4, "big"), home, inside.payload)

    def _message(self, inner: IPv4) -> None:
        """An echo is answered; other messages are news to nobody here."""
        asked = ICMP_FRAME.parse(inner.payload)
        sound = icmp.checksum(asked.kind, asked.code, asked.rest, asked.payload) == asked.checksum
        if asked.kind == _ECHO and asked.code == 0 and sound:
            self.gate.counts["echoes"] += 1
            self._icmp(inner, _ECHO_REPLY, 0, asked.rest, asked.payload)

    def _unreachable(self, inner: IPv4, packet: bytes, code: int) -> None:
        """What a host or router says of a place where nobody listens; of errors it says nothing (RFC 1122 3.2.2)."""
        self.gate.turn_away("not-ours", called=str(IPv4Address(inner.destination)), protocol=inner.protocol)
        if inner.protocol != icmp.PROTOCOL and inner.destination >> 28 < 0xE:
            self._icmp(inner, _UNREACHABLE, code, 0, packet[: HEADER + 8])

    def _icmp(self, inner: IPv4, kind: int, code: int, rest: int, payload: bytes) -> None:
        checksum = icmp.checksum(kind, code, rest, payload)
        message = ICMP_FRAME.build(ICMP(kind, code, checksum, rest, payload))
        self._send(inner.destination, inner.source, icmp.PROTOCOL, message)

    def _send(self, source: int, destination: int, protocol: int, payload: bytes) -> None:
        # It may be cut on the way, so it is told from others by its identification (RFC 6864).
        self._identification = (self._identification + 1) & 0xFFFF
        flags = 2 if protocol == tcp.PROTOCOL else 0
        self._out(
            IPV4_FRAME.build(IPv4(source, destination, protocol, self._identification, _TTL, payload, flags=flags))
        )
