"""The core link of one cell: a frame goes in, bytes cross, a frame comes out. Or a refusal, or nothing.

Down is from the data centre to the operator's gateway, up the other way. `offer_...` is the sending gateway: it puts
the frame into UDP and IPv4 and then through the stages of the link's kind, and says when the packet will be at the
other end (an empty list: never). `deliver_...` is the receiving gateway, given whatever the wire made of the packet: it
takes it apart, checks everything a gateway checks, and returns the frame with its addresses or the reason it was
refused. Refusals are values: on this link damaged packets are everyday business.

The link keeps order. Propagation is constant and no two packets of a direction arrive in the same microsecond, so
what was offered first also arrives first, and the tunnel's replay window never has to forgive the link itself.

A hub's address is a base plus its installation number and is all the link knows about who lives where.
"""

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from emulator.codecs.codec import current
from emulator.errors import CounterExhaustedError, EmulatorError, FrameError, ReplayError, TagError
from emulator.kernel.chance import draw
from emulator.kernel.effects import Instant
from emulator.link import datagram as datagrams
from emulator.link.kinds import kind as kind_named
from emulator.link.log import DeliveryLog
from emulator.link.outages import Outages
from emulator.link.profile import STANDARD, Direction, LinkProfile
from emulator.link.stage import Leg, Reason, Refused

DOWN: Final = Direction.DOWN
UP: Final = Direction.UP
_LOSS: Final = ("link.loss.down", "link.loss.up")


@dataclass(slots=True)
class Delivered:
    """A frame at the receiving side. Addresses are IPv4 addresses as ints; `installation` is whose hub it concerns."""

    installation: int
    source_ip: int
    source_port: int
    destination_port: int
    frame: bytes
    destination_ip: int


@dataclass(slots=True)
class Refusal:
    """What the receiving gateway would not have: `reason` is a word of `stage.Reason`, `detail` a clause for people."""

    reason: Reason
    detail: str


Offered: TypeAlias = list[tuple[int, bytes]]


class Recorder(Protocol):
    """Who watches the link (see `tap`)."""

    def sent(self, direction: Direction, packet: bytes, now: Instant, remark: str = "") -> None:
        """A packet leaves its gateway; `remark` says what will become of it when it is lost on the way."""
        ...

    def refused(self, direction: Direction, packet: bytes, now: Instant, remark: str) -> None:
        """A packet is refused by the gateway at the other end."""
        ...


class Chain:
    """One cell's core link, both directions and both ends. `now` never goes back within a direction."""

    __slots__ = (
        "_arrivals", "_base", "_build", "_cosem", "_frame_max", "_head_end", "_parse", "_span", "_stages", "_unwraps",
        "_wraps", "cell", "kind", "log", "outages", "profile", "seed", "tap",
    )  # fmt: skip

    def __init__(
        self, kind: str, cell: int, seed: int, profile: LinkProfile = STANDARD, tap: Recorder | None = None
    ) -> None:
        """`kind` is a name of `kinds.KINDS` (InputError: it is not)."""
        self.kind = kind_named(kind)
        self.cell = cell
        self.seed = seed
        self.profile = profile
        self.tap = tap
        self.log = DeliveryLog()
        stages = [[make(Leg(seed, cell, way, profile)) for make in self.kind.stages] for way in Direction]
        self._wraps = tuple(tuple(stage.wrap for stage in way) for way in stages)
        self._unwraps = tuple(tuple(stage.unwrap for stage in reversed(way)) for way in stages)
        overhead = sum(stage.overhead for stage in stages[0]) + datagrams.HEADER_BYTES
        self._frame_max = min(profile.mtu, 65_535) - overhead
        rate = profile.outages_per_day
        if rate is None:
            rate = self.kind.outages_per_day
        self.outages = Outages(seed, cell, profile.outages, rate, profile.outage_seconds)
        self._arrivals = [-1, -1]
        self._head_end = profile.head_end
        self._base = profile.hub_base
        self._span = profile.hub_span
        self._cosem = profile.cosem_port
        lean = current() == "fast"
        self._build = datagrams.build_lean if lean else datagrams.build_through_codecs
        self._parse = datagrams.parse_lean if lean else datagrams.parse_through_codecs

    def offer_down(
        self, installation: int, source_port: int, destination_port: int, frame: bytes, now: Instant, number: int
    ) -> Offered:
        """Head end to hub: [(delay in µs, packet)], or nothing. `number` keys the chance (an event number).

        The frame is a COSEM wrapper frame or anything else that fits the MTU.
        """
        destination = self._base + installation
        return self._offer(
            0, installation, self._head_end, destination, source_port, destination_port, frame, now, number
        )

    def offer_up(
        self,
        installation: int,
        destination_ip: int,
        source_port: int,
        destination_port: int,
        frame: bytes,
        now: Instant,
        number: int,
    ) -> Offered:
        """Hub to an address at the data centre (an int): [(delay in µs, packet)], or nothing."""
        source = self._base + installation
        return self._offer(1, installation, source, destination_ip, source_port, destination_port, frame, now, number)

    def deliver_down(self, packet: bytes, now: Instant) -> Delivered | Refusal:
        """At the operator's gateway."""
        try:
            inner = packet
            for unwrap in self._unwraps[0]:
                inner = unwrap(inner)
            source, destination, source_port, destination_port, frame = self._parse(inner)
            installation = destination - self._base
            if not 0 <= installation < self._span:
                raise Refused("selector", f"{destination:#010x} is not a hub's address")
        except (FrameError, TagError, ReplayError, Refused) as error:
            return self._refuse(DOWN, packet, now, error)
        log = self.log
        log.delivered(0, packet, now)
        if destination_port == self._cosem:
            log.asked(installation, source_port)
        return Delivered(installation, source, source_port, destination_port, frame, destination)

    def deliver_up(self, packet: bytes, now: Instant) -> Delivered | Refusal:
        """At the data centre's gateway."""
        try:
            inner = packet
            for unwrap in self._unwraps[1]:
                inner = unwrap(inner)
            source, destination, source_port, destination_port, frame = self._parse(inner)
            installation = source - self._base
            if not 0 <= installation < self._span:
                raise Refused("selector", f"{source:#010x} is not a hub's address")
        except (FrameError, TagError, ReplayError, Refused) as error:
            return self._refuse(UP, packet, now, error)
        log = self.log
        log.delivered(1, packet, now)
        if source_port == self._cosem:
            log.answered(installation, destination_port)
        return Delivered(installation, source, source_port, destination_port, frame, destination)

    def _offer(
        self,
        direction: int,
        installation: int,
        source: int,
        destination: int,
        source_port: int,
        destination_port: int,
        frame: bytes,
        now: Instant,
        number: int,
    ) -> Offered:
        profile = self.profile
        self.log.ways[direction].offered += 1
        if len(frame) > self._frame_max:
            return self._lose(direction, b"", now, "too big")
        packet = self._build(source, destination, source_port, destination_port, frame, number & 0xFFFF, profile.ttl)
        try:
            for wrap in self._wraps[direction]:
                packet = wrap(packet)
        except CounterExhaustedError:
            return self._lose(direction, packet, now, "exhausted")
        arrivals = self._arrivals
        arrival = now + profile.propagation_us
        if arrival <= arrivals[direction]:
            arrival = arrivals[direction] + 1
        outages = self.outages
        if (now < outages.clear_from or arrival > outages.clear_to) and outages.strikes(now, arrival):
            return self._lose(direction, packet, now, "outage")
        if profile.loss and draw(self.seed, _LOSS[direction], installation, number) < profile.loss:
            return self._lose(direction, packet, now, "loss")
        arrivals[direction] = arrival
        if self.tap is not None:
            self.tap.sent(Direction(direction), packet, now)
        return [(arrival - now, packet)]

    def _lose(self, direction: int, packet: bytes, now: Instant, cause: str) -> Offered:
        self.log.lost(direction, cause)
        if self.tap is not None and cause in ("outage", "loss"):
            self.tap.sent(Direction(direction), packet, now, f"lost: {cause}")
        return []

    def _refuse(self, direction: Direction, packet: bytes, now: Instant, error: EmulatorError) -> Refusal:
        if isinstance(error, Refused):
            refusal = Refusal(error.reason, error.detail)
        elif isinstance(error, TagError):
            refusal = Refusal("integrity", "the integrity check value does not hold")
        elif isinstance(error, ReplayError):
            refusal = Refusal("replay", str(error))
        else:
            refusal = Refusal("malformed", str(error))
        self.log.refused(direction, refusal.reason)
        if self.tap is not None:
            self.tap.refused(direction, packet, now, f"refused: {refusal.reason}: {refusal.detail}")
        return refusal
