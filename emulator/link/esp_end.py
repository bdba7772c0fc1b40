"""One gateway's end of an IPsec connection: the packets of those behind it, sealed and opened (RFC 4301, RFC 4303).

Sans-IO: packets and the time go in, packets come out. A packet from inside is matched with the children's traffic
selectors, fitted to the path (`fragments`), sealed by the newest child that sends, and given its outer headers: IPv4,
and UDP where a NAT stands in between (`encap`). What comes is opened by the association its SPI names, whichever outer
address it comes from, and has to be of the traffic that child serves.

Nothing unauthenticated changes anything. An authentic packet that is newer than all others and comes from another
address moves the peer there (RFC 7296 2.23): its NAT has rebound, or it has moved.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from emulator.codecs import udp
from emulator.codecs.esp import PROTOCOL as PROTOCOL_ESP
from emulator.codecs.ike_payloads import Selector
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP_FRAME
from emulator.crypto.esp_sa import SaBase
from emulator.errors import CounterExhaustedError, CryptoError, FrameError, ReplayError, UsageError
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND
from emulator.link.encap import KEEPALIVE, PORT, Keepalives, carried, datagram
from emulator.link.esp_spec import SaSpec, inner_mtu, of_negotiated
from emulator.link.esp_traffic import ANYTHING, rechecked, serves, without_filling
from emulator.link.fragments import DONT, MORE, Reassembly, fragment, too_big
from emulator.link.ike.effects import ChildDown, ChildUp, Effect, PathChanged

_IPV4_IN_IP: Final = 4
_DUMMY: Final = 59
_DSCP: Final = 0xFC

What: TypeAlias = Literal["packet", "ike", "keepalive", "dummy", "waiting", "refused"]


@dataclass(frozen=True, slots=True)
class EspSettings:
    """How an end treats packets; all ASSUMED, none of it is published for the real gateways.

    `mtu`: of the path outside. `window`: of anti-replay. `strict_padding`: refuse wrong padding, as libipsec and unlike
    the Linux kernel. `df`: the outer header's don't-fragment bit is the inner one's, always set, or never (then packets
    that must not be cut go through all the same, in pieces). `fragment`: cut what is too big before it is sealed, or
    after, unless DF is always set. `outer_ttl`: of what is sent. `keepalive_us`: behind a NAT, after how much silence;
    0: never. `follow`: let an authentic packet from another address move the peer. `port`: where ESP in UDP is spoken.
    """

    mtu: int = 1500
    window: int = 64
    strict_padding: bool = True
    df: Literal["copy", "set", "clear"] = "copy"
    fragment: Literal["before", "after"] = "before"
    outer_ttl: int = 64
    keepalive_us: int = 20 * SECOND
    follow: bool = True
    port: int = PORT


class Sent(NamedTuple):
    """What became of a packet from inside: packets for the outside; or an answer `back` to the inside (ICMP: too big);
    or neither, and why: malformed, selector (no child serves it), exhausted (the association is spent), too big."""

    packets: tuple[bytes, ...] = ()
    back: bytes | None = None
    reason: str = ""


class Received(NamedTuple):
    """What came from outside. `packet`: `data` is for the inside. `ike`: `data` is what UDP carried, for the IKE peer.
    `waiting`: a piece of a packet. `refused`: `reason` is a word of `stage.Reason`, `detail` a clause for people.
    `spi`: by which association it was opened. `moved`: the peer is at another address from now on."""

    what: What
    data: bytes = b""
    reason: str = ""
    detail: str = ""
    spi: int = 0
    moved: bool = False


@dataclass(slots=True)
class _Child:
    """A pair of associations."""

    sealing: SaBase
    opening: SaBase
    suite: str
    tunnel: bool
    encap: bool
    sends: bool
    replaces: int | None
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    room: int


_Finish: TypeAlias = Callable[[_Child, IPv4, bytes], list[bytes]]


class EspEnd:
    """One end. `local` and `remote` are outer IPv4 addresses as ints; the peer's port is known from `remote_port`."""

    def __init__(
        self, local: int, remote: int, settings: EspSettings | None = None, *, remote_port: int | None = None
    ) -> None:
        self.settings = settings or EspSettings()
        self.local = local
        self.peer = (remote, self.settings.port if remote_port is None else remote_port)
        self.counts: Counter[str] = Counter()
        """Packets by what became of them, the words of `Sent.reason`, `Received.what` and `Received.reason`."""
        self.keepalives = Keepalives(self.settings.keepalive_us)
        self._children: dict[int, _Child] = {}
        self._pieces = Reassembly()
        self._identification = 0

    # Associations

    def up(
        self,
        outbound: SaSpec,
        inbound: SaSpec,
        *,
        tunnel: bool = True,
        encap: bool = False,
        send: bool = True,
        replaces: int | None = None,
        local: Sequence[Selector] = ANYTHING,
        remote: Sequence[Selector] = ANYTHING,
    ) -> None:
        """Install a pair, which is known by its inbound SPI. `send` False: open with it, and go on sealing with the one
        it `replaces` until that goes down; with none to replace, never seal with it (it lost against the peer's own
        rekeying, RFC 7296 2.8.1). Raises UsageError: the inbound SPI is in use."""
        if inbound.spi in self._children:
            raise UsageError(f"SPI {inbound.spi:#010x} is in use")
        given = self.settings
        self._children[inbound.spi] = _Child(
            outbound.associate(),
            inbound.associate(given.window, given.strict_padding),
            outbound.suite,
            tunnel,
            encap,
            send or (replaces is not None and replaces not in self._children),
            replaces,
            tuple(local),
            tuple(remote),
            inner_mtu(outbound.suite, given.mtu, encap=encap, tunnel=tunnel),
        )

    def down(self, spi_in: int) -> None:
        """Remove a pair and wipe its keys. One that is not there is none."""
        child = self._children.pop(spi_in, None)
        if child is None:
            return
        child.sealing.close()
        child.opening.close()
        heirs = [one for one in self._children.values() if one.replaces == spi_in]
        if heirs and not any(one.sends for one in heirs):
            heirs[0].sends = True

    def apply(self, effect: Effect) -> None:
        """Do what an effect of the IKE peer says of associations and addresses; the others are not for here."""
        match effect:
            case ChildUp(child=child, send=send, replaces=replaces):
                outbound, inbound = of_negotiated(child)
                self.local, self.peer = child.local.ip, (child.remote.ip, child.remote.port)
                self.up(
                    outbound, inbound, tunnel=child.tunnel, encap=child.encap, send=send, replaces=replaces,
                    local=child.local_selectors, remote=child.remote_selectors,
                )  # fmt: skip
            case ChildDown(spi_in=spi_in):
                self.down(spi_in)
            case PathChanged(spis_in=spis, local=local, remote=remote, encap=encap):
                self.local, self.peer = local.ip, (remote.ip, remote.port)
                for spi in spis:
                    held = self._children.get(spi)
                    if held is not None:
                        held.encap = encap
                        held.room = inner_mtu(held.suite, self.settings.mtu, encap=encap, tunnel=held.tunnel)

    @property
    def spis(self) -> tuple[int, ...]:
        """The inbound SPIs, oldest first."""
        return tuple(self._children)

    # Out

    def send(self, packet: bytes, now: Instant) -> Sent:
        """A packet from inside; what comes of it are IPv4 packets."""
        return self._send(packet, now, self._wrapped)

    def send_udp(self, packet: bytes, now: Instant) -> Sent:
        """The same for those who have a socket on the UDP port: what comes of it are payloads for `peer`, whichever
        children are in UDP, and cutting those again is the socket's affair."""
        return self._send(packet, now, lambda _child, _inner, sealed: [sealed])

    def _send(self, packet: bytes, now: Instant, finish: _Finish) -> Sent:
        try:
            inner = IPV4_FRAME.parse(packet)
        except FrameError:
            return self._unsent("malformed")
        child = self._child_for(inner)
        if child is None:
            return self._unsent("selector")
        if not child.tunnel and (inner.fragment_offset or inner.flags & MORE):
            return self._unsent("malformed")  # transport mode takes whole packets (RFC 4303 3.3.4)
        pieces = [packet]
        if len(packet) > child.room:
            df = self.settings.df
            if child.tunnel and not inner.flags & DONT and (self.settings.fragment == "before" or df == "set"):
                pieces = fragment(packet, child.room)
            elif df == "set" or (df == "copy" and inner.flags & DONT):
                self.counts["too big"] += 1
                return Sent((), too_big(packet, child.room, self.local), "too big")
        made: list[bytes] = []
        try:
            for piece in pieces:
                content = (piece, _IPV4_IN_IP) if child.tunnel else (inner.payload, inner.protocol)
                made += finish(child, inner, child.sealing.seal(*content))
        except CounterExhaustedError:
            return self._unsent("exhausted")
        self.keepalives.sent(now)
        self.counts["sent"] += len(made)
        return Sent(tuple(made))

    def keepalive(self, now: Instant) -> bytes | None:
        """The packet that keeps a NAT's mapping, when one is due (see `keepalives.next_at`)."""
        if not self.keepalives.due(now) or not any(child.encap for child in self._children.values()):
            return None
        self.keepalives.sent(now)
        return self._outer(udp.PROTOCOL, datagram(self.settings.port, self.peer[1], KEEPALIVE), 0, False)

    def _unsent(self, reason: str) -> Sent:
        self.counts[reason] += 1
        return Sent((), None, reason)

    def _child_for(self, inner: IPv4) -> _Child | None:
        for child in reversed(self._children.values()):
            between_us = child.tunnel or (inner.source, inner.destination) == (self.local, self.peer[0])
            if child.sends and between_us and serves(child.local, child.remote, inner):
                return child
        return None

    def _wrapped(self, child: _Child, inner: IPv4, sealed: bytes) -> list[bytes]:
        """The outer packets of what was sealed: one, or its pieces."""
        df = {"copy": bool(inner.flags & DONT), "set": True, "clear": False}[self.settings.df]
        protocol = PROTOCOL_ESP
        if child.encap:
            protocol, sealed = udp.PROTOCOL, datagram(self.settings.port, self.peer[1], sealed)
        outer = self._outer(protocol, sealed, inner.service & _DSCP, df)
        return [outer] if len(outer) <= self.settings.mtu or df else fragment(outer, self.settings.mtu)

    def _outer(self, protocol: int, payload: bytes, service: int, df: bool) -> bytes:
        # A packet that may be cut is told from the others by its identification (RFC 6864).
        identification = 0
        if not df:
            identification = self._identification = (self._identification + 1) & 0xFFFF
        remote = self.peer[0]
        flags = DONT if df else 0
        ttl = self.settings.outer_ttl
        return IPV4_FRAME.build(IPv4(self.local, remote, protocol, identification, ttl, payload, service, flags))

    # In

    def receive(self, packet: bytes, now: Instant) -> Received:
        """A packet from outside."""
        try:
            outer = IPV4_FRAME.parse(packet)
            if outer.flags & MORE or outer.fragment_offset:
                whole = self._pieces.take(packet, now)
                if whole is None:
                    return self._counted(Received("waiting"))
                outer = IPV4_FRAME.parse(whole)
            if outer.destination != self.local:
                return self._refused("not-ours", f"to {outer.destination:#010x}")
            if outer.protocol == PROTOCOL_ESP:
                return self._open(outer.payload, (outer.source, self.peer[1]), False)
            if outer.protocol != udp.PROTOCOL:
                return self._refused("protocol", f"IPv4 protocol {outer.protocol} is neither ESP nor UDP")
            inner = UDP_FRAME.parse(outer.payload)
        except FrameError as error:
            return self._refused("malformed", str(error))
        if inner.destination_port != self.settings.port:
            return self._refused("protocol", f"UDP port {inner.destination_port}")
        return self.receive_udp(inner.payload, outer.source, inner.source_port)

    def receive_udp(self, payload: bytes, source: int, source_port: int) -> Received:
        """What came on the UDP port, for those who have a socket there."""
        match carried(payload):
            case "keepalive":
                return self._counted(Received("keepalive"))
            case "ike":
                return self._counted(Received("ike", payload))
            case "noise":
                return self._refused("malformed", "neither ESP nor IKE nor a keepalive")
            case _:
                return self._open(payload, (source, source_port), True)

    def _open(self, sealed: bytes, source: tuple[int, int], in_udp: bool) -> Received:
        if len(sealed) < 8:
            return self._refused("malformed", "cut short")
        spi = int.from_bytes(sealed[:4], "big")
        child = self._children.get(spi)
        if child is None:
            return self._refused("association", f"no security association with SPI {spi:#010x}")
        try:
            next_header, inside = child.opening.open(sealed)
        except ReplayError as error:
            return self._refused("replay", str(error))
        except FrameError as error:
            return self._refused("malformed", str(error))
        except CryptoError:
            return self._refused("integrity", "the integrity check value does not hold")
        moved = self._follow(child, sealed, source, in_udp)
        if next_header == _DUMMY:
            return self._counted(Received("dummy", spi=spi, moved=moved))
        try:
            packet = (
                without_filling(inside) if child.tunnel else self._with_header(next_header, inside, source[0], in_udp)
            )
            if child.tunnel and next_header != _IPV4_IN_IP:
                return self._refused("protocol", f"next header {next_header} instead of IPv4")._replace(moved=moved)
            inner = IPV4_FRAME.parse(packet)
        except FrameError as error:
            return self._refused("malformed", str(error))._replace(moved=moved)
        if not serves(child.remote, child.local, inner):
            detail = f"from {inner.source:#010x} to {inner.destination:#010x} is not this child's traffic"
            return self._refused("selector", detail)._replace(moved=moved)
        return self._counted(Received("packet", packet, spi=spi, moved=moved))

    def _follow(self, child: _Child, sealed: bytes, source: tuple[int, int], in_udp: bool) -> bool:
        if source == self.peer or not self.settings.follow or not in_udp or not child.encap:
            return False
        if child.opening.state().top & 0xFFFFFFFF != int.from_bytes(sealed[4:8], "big"):
            return False  # an old packet that was long on its way says nothing of where the peer is now
        self.peer = source
        return True

    def _with_header(self, protocol: int, inside: bytes, source: int, in_udp: bool) -> bytes:
        """Transport mode: the IP header is the outer one. A NAT has changed what the transport checksum covers, and the
        ICV has vouched for the rest, so it is made anew (RFC 3948 3.1.2)."""
        if in_udp:
            inside = rechecked(protocol, inside, source, self.local)
        return IPV4_FRAME.build(IPv4(source, self.local, protocol, 0, self.settings.outer_ttl, inside, flags=0))

    def _refused(self, reason: str, detail: str) -> Received:
        self.counts[reason] += 1
        return Received("refused", reason=reason, detail=detail)

    def _counted(self, received: Received) -> Received:
        self.counts[received.what] += 1
        return received
