"""A NAT in the path (RFC 4787): one public address for those behind it, and mappings that it forgets.

What it does to IPsec is the point. It rewrites source addresses and ports, so NAT detection sees it; it forgets a
mapping that rests (RFC 3948 keepalives are against that), and what comes from outside afterwards is dropped; and it may
give another port or address in the middle of everything (a restart, a carrier's change), which is rebinding: the other
end must follow. Bare ESP has no ports: it is dropped, or passed for one host at a time.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from emulator.codecs import udp
from emulator.codecs.esp import PROTOCOL as PROTOCOL_ESP
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.errors import FrameError, InputError
from emulator.kernel.chance import bits
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND
from emulator.link.encap import PORT

Filtering: TypeAlias = Literal["any", "address", "address-and-port"]


@dataclass(frozen=True, slots=True)
class NatSettings:
    """How it behaves; all ASSUMED, as nothing is known of a NAT on the real link.

    `mapping_us`: how long a mapping rests before it is forgotten (RFC 4787 asks for two minutes, many give less); only
    what leaves refreshes it. `filtering`: from whom outside a mapping lets in. `ports`: those it gives, both included.
    `keep_port`: give the inside port when it is free. `esp`: pass bare ESP. `kept_us`: how often the gateway behind it
    says something on the port of ESP in UDP when nothing else does (keepalives, answers to dead-peer detection), which
    are not played out; 0: never. A mapping that is refreshed within its time is not forgotten.
    """

    mapping_us: int = 120 * SECOND
    filtering: Filtering = "address-and-port"
    ports: tuple[int, int] = (1024, 65_535)
    keep_port: bool = False
    esp: bool = False
    kept_us: int = 0

    def __post_init__(self) -> None:
        if self.mapping_us <= 0 or not 0 < self.ports[0] <= self.ports[1] <= 65_535:
            raise InputError("a NAT needs a mapping time above 0 and ports of 1 to 65535, the lower one first")


@dataclass(slots=True)
class _Mapping:
    inside: tuple[int, int]
    port: int
    last: Instant
    remotes: set[tuple[int, int]] = field(default_factory=set)


class Nat:
    """One NAT. Packets are IPv4 packets; addresses are ints. Chance is keyed by `seed` and `number`."""

    __slots__ = ("_by_inside", "_by_port", "_esp", "_given", "_number", "_seed", "public", "settings")

    def __init__(self, seed: int, number: int, public: int, settings: NatSettings | None = None) -> None:
        self.public = public
        self.settings = settings or NatSettings()
        self._seed = seed
        self._number = number
        self._given = 0
        self._by_inside: dict[tuple[int, int], _Mapping] = {}
        self._by_port: dict[int, _Mapping] = {}
        self._esp: dict[int, tuple[int, Instant]] = {}

    def rebind(self, public: int | None = None) -> None:
        """Forget everything, and perhaps have another public address from now on."""
        self._by_inside.clear()
        self._by_port.clear()
        self._esp.clear()
        if public is not None:
            self.public = public

    def mapped(self, address: int, port: int) -> tuple[int, int] | None:
        """How an inside end is seen outside, if it is mapped."""
        mapping = self._by_inside.get((address, port))
        return None if mapping is None else (self.public, mapping.port)

    def outward(self, packet: bytes, now: Instant) -> bytes | None:
        """A packet from the inside, as it goes on outside; None: dropped."""
        outer, inner = _opened(packet)
        if outer is None:
            return None
        if inner is None:
            if not self.settings.esp:
                return None
            holder, last = self._esp.get(outer.destination, (outer.source, now))
            if holder != outer.source and now - last <= self.settings.mapping_us:
                return None  # an answer could not be told apart
            self._esp[outer.destination] = (outer.source, now)
            return _built(outer, self.public, outer.destination, None)
        mapping = self._mapping((outer.source, inner.source_port), now)
        if mapping is None:
            return None
        mapping.last = now
        mapping.remotes.add((outer.destination, inner.destination_port))
        changed = UDP(mapping.port, inner.destination_port, inner.checksum, inner.payload)
        return _built(outer, self.public, outer.destination, changed)

    def inward(self, packet: bytes, now: Instant) -> bytes | None:
        """A packet from outside to the public address, as it goes on inside; None: dropped."""
        outer, inner = _opened(packet)
        if outer is None or outer.destination != self.public:
            return None
        if inner is None:
            holder, last = self._esp.get(outer.source, (0, 0))
            if not self.settings.esp or not holder or now - last > self.settings.mapping_us:
                return None
            return _built(outer, outer.source, holder, None)
        mapping = self._by_port.get(inner.destination_port)
        if mapping is None or self._forgotten(mapping, now) or not self._lets_in(mapping, outer.source, inner):
            return None
        address, port = mapping.inside
        changed = UDP(inner.source_port, port, inner.checksum, inner.payload)
        return _built(outer, outer.source, address, changed)

    def _lets_in(self, mapping: _Mapping, source: int, inner: UDP) -> bool:
        match self.settings.filtering:
            case "any":
                return True
            case "address":
                return any(address == source for address, _ in mapping.remotes)
            case _:
                return (source, inner.source_port) in mapping.remotes

    def _forgotten(self, mapping: _Mapping, now: Instant) -> bool:
        kept = 0 < self.settings.kept_us <= self.settings.mapping_us and mapping.inside[1] == PORT
        if kept or now - mapping.last <= self.settings.mapping_us:
            return False
        del self._by_inside[mapping.inside], self._by_port[mapping.port]
        return True

    def _mapping(self, inside: tuple[int, int], now: Instant) -> _Mapping | None:
        mapping = self._by_inside.get(inside)
        if mapping is not None and not self._forgotten(mapping, now):
            return mapping
        port = self._free_port(inside[1], now)
        if port is None:
            return None
        mapping = self._by_inside[inside] = self._by_port[port] = _Mapping(inside, port, now)
        return mapping

    def _free_port(self, wanted: int, now: Instant) -> int | None:
        low, high = self.settings.ports
        span = high - low + 1
        if self.settings.keep_port and wanted not in self._by_port:
            return wanted
        if len(self._by_port) >= span:
            for mapping in list(self._by_port.values()):
                self._forgotten(mapping, now)
        start = bits(self._seed, "link.nat.port", self._number, self._given) % span
        self._given += 1
        return next((port for step in range(span) if (port := low + (start + step) % span) not in self._by_port), None)


def _opened(packet: bytes) -> tuple[IPv4 | None, UDP | None]:
    """(the packet, its datagram): the first None when it is nothing a NAT passes, the second when it is ESP.

    Fragments are dropped (ASSUMED): a later one has no ports.
    """
    try:
        outer = IPV4_FRAME.parse(packet)
        if outer.flags & 1 or outer.fragment_offset or outer.ttl <= 1:
            return None, None
        if outer.protocol == PROTOCOL_ESP:
            return outer, None
        return (outer, UDP_FRAME.parse(outer.payload)) if outer.protocol == udp.PROTOCOL else (None, None)
    except FrameError:
        return None, None


def _built(outer: IPv4, source: int, destination: int, inner: UDP | None) -> bytes:
    """The packet between its new addresses, one hop older. A UDP checksum is made anew, but none stays none."""
    payload = outer.payload
    if inner is not None:
        checksum = inner.checksum and udp.checksum(
            source, destination, inner.source_port, inner.destination_port, inner.payload
        )
        payload = UDP_FRAME.build(UDP(inner.source_port, inner.destination_port, checksum, inner.payload))
    return IPV4_FRAME.build(
        IPv4(
            source,
            destination,
            outer.protocol,
            outer.identification,
            outer.ttl - 1,
            payload,
            outer.service,
            outer.flags,
        )
    )
