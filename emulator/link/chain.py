"""The core link of one cell: a frame goes in, bytes cross, a frame comes out. Or a refusal, or nothing.

Down is from the data centre to the operator's gateway, up the other way. `offer_...` is the sending gateway: it puts
the frame into UDP and IPv4 and then through the stages of the link's kind, and says when the packet will be at the
other end (an empty list: never). `deliver_...` is the receiving gateway, given whatever the wire made of the packet: it
takes it apart, checks everything a gateway checks, and returns the frame with its addresses or the reason it was
refused. Refusals are values: on this link damaged packets are everyday business.

Which path carries, and with which keys, is the `course`'s affair (see `failover`); here one comparison a packet asks
whether anything is to change.

The link keeps order. Propagation is constant and no two packets of a direction arrive in the same microsecond, so
what was offered first also arrives first, and the tunnel's replay window never has to forgive the link itself.

A hub's address is a base plus its installation number, unless it came back at another one (`moved`), and is all the
link knows about who lives where.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct

from emulator.codecs.codec import current
from emulator.errors import CounterExhaustedError, EmulatorError, FrameError, InputError, ReplayError, TagError
from emulator.kernel.chance import draw
from emulator.kernel.effects import Instant
from emulator.link.carrier import Carrier, Open, mark_of
from emulator.link.datagram import HEADER_BYTES, Datagram, parse_through_codecs
from emulator.link.esp_spec import SaSpec
from emulator.link.failover import Course
from emulator.link.fragments import LARGEST_FRAME, Reassembly, pieces_of
from emulator.link.kinds import kind as kind_named
from emulator.link.log import DeliveryLog
from emulator.link.moved import Moved
from emulator.link.profile import STANDARD, CutOver, Direction, LinkProfile, PeerDeath
from emulator.link.stage import Leg, Piece, Reason, Refused
from emulator.link.tunnel_control import Witness

DOWN: Final = Direction.DOWN
UP: Final = Direction.UP
_LOSS: Final = ("link.loss.down", "link.loss.up")


class Delivered(Struct, gc=False):
    """A frame at the receiving side. Addresses are IPv4 addresses as ints; `installation` is whose hub it concerns.

    One is made for every packet, and a `Struct` costs a third of a dataclass.
    """

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


class Recorder(Witness, Protocol):
    """Who watches the link (see `tap`)."""

    def sent(self, direction: Direction, packet: bytes, now: Instant, remark: str = "") -> None:
        """A packet leaves its gateway; `remark` says what will become of it when it is lost on the way."""
        ...

    def refused(self, direction: Direction, packet: bytes, now: Instant, remark: str) -> None:
        """A packet is refused by the gateway at the other end."""
        ...

    def agreed(self, source: int, destination: int, spec: SaSpec) -> None:
        """An association there is from now on between two gateways (IPv4 addresses as ints)."""
        ...


class Impairing(Protocol):
    """What does harm to packets on the way (see `impairments`)."""

    def core(
        self, direction: Direction, installation: int, packet: bytes, now: Instant, usual: int
    ) -> tuple[Offered, list[bytes]] | None:
        """What arrives of a packet that would arrive after `usual` µs, and what goes back to its sender; None: it is
        left alone."""
        ...


class Chain:
    """One cell's core link, both directions and both ends. `now` never goes back within a direction."""

    __slots__ = (
        "_arrivals", "_base", "_black", "_carry", "_cosem", "_frame_max", "_gateways", "_head_end", "_loss",
        "_open_down", "_open_up", "_pieces", "_propagation", "_seals", "_span", "_turn_at", "_ways", "cell", "course",
        "impaired", "kind", "log", "moved", "outages", "profile", "seed", "tap",
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
        self._ways = self.log.ways
        if tap is not None and profile.fidelity == "pipe":
            raise InputError("a pipe has no packets to capture; take fidelity wire")
        self.course = Course(kind, cell, seed, profile, current() == "fast", self._agreed, tap)
        """Which path carries when, with which keys."""
        self._carry: Callable[[Direction, bytes], bytes] | None = None
        self._bind()
        self._pieces = Reassembly(), Reassembly()
        self._arrivals = [-1, -1]
        self._head_end = profile.head_end
        self._base = profile.hub_base
        self._span = profile.hub_span
        self._cosem = profile.cosem_port
        self._propagation = profile.propagation_us
        self._loss = profile.loss
        self.moved: Moved | None = None
        """Who came back at another address; None while nobody ever did."""
        self.impaired: Impairing | None = None
        """Who does harm on the way; None: nobody."""

    def offer_down(
        self, installation: int, source_port: int, destination_port: int, frame: bytes, now: Instant, number: int
    ) -> Offered:
        """Head end to hub: [(delay in µs, packet)], or nothing. `number` keys the chance (an event number).

        The frame is a COSEM wrapper frame or anything else that fits the MTU, or comes in pieces (`fragment`).
        """
        moved = self.moved
        destination = self._base + installation if moved is None else moved.believed(installation)
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
        moved = self.moved
        source = self._base + installation if moved is None else moved.address(installation)
        return self._offer(1, installation, source, destination_ip, source_port, destination_port, frame, now, number)

    def deliver_down(self, packet: bytes, now: Instant, given: Datagram | None = None) -> Delivered | Refusal | None:
        """At the operator's gateway. None: a piece of a packet, the rest of which is awaited."""
        try:
            opened = given or self._open_down(packet)
            source, destination, source_port, destination_port, frame = opened or self._gateways[0].open_by_stages(
                packet
            )
            installation = destination - self._base
            if self.moved is not None:
                installation = self._resident(destination)
            if not 0 <= installation < self._span:
                raise Refused("selector", f"{destination:#010x} is not a hub's address")
        except (FrameError, TagError, ReplayError, Refused) as error:
            return self._refuse(DOWN, packet, now, error)
        conversation = installation << 16 | source_port if destination_port == self._cosem else -1
        self.log.delivered(0, packet, now, conversation)
        return Delivered(installation, source, source_port, destination_port, frame, destination)

    def deliver_up(self, packet: bytes, now: Instant, given: Datagram | None = None) -> Delivered | Refusal | None:
        """At the data centre's gateway. None: a piece of a packet, the rest of which is awaited."""
        try:
            opened = given or self._open_up(packet)
            source, destination, source_port, destination_port, frame = opened or self._gateways[1].open_by_stages(
                packet
            )
            installation = source - self._base
            if self.moved is not None and 0 <= installation < self._span:
                installation = self.moved.came_from(source)
            if not 0 <= installation < self._span:
                raise Refused("selector", f"{source:#010x} is not a hub's address")
        except (FrameError, TagError, ReplayError, Refused) as error:
            return self._refuse(UP, packet, now, error)
        conversation = installation << 16 | destination_port if source_port == self._cosem else -1
        self.log.delivered(1, packet, now, conversation)
        return Delivered(installation, source, source_port, destination_port, frame, destination)

    def cut_over(self, cut: CutOver) -> None:
        """Carry everything by another kind of link from an instant on. InputError: see `Course.cut_over`."""
        self.course.cut_over(cut)
        self._bind()

    def peer_dies(self, death: PeerDeath) -> None:
        """A gateway dies, as late as now. InputError: see `Course.die`."""
        self.course.die(death)
        self._bind()

    def leave(self, carry: Callable[[Direction, bytes], bytes]) -> None:
        """From now on a receiving gateway opens what `carry` makes of a packet that arrives."""
        self._carry = carry
        self._bind()

    def status(self, now: Instant) -> dict[str, Any]:
        """What carries, by which associations, and what happened to it; no secrets."""
        if now >= self._turn_at:
            self._turn(now)
        return self.course.status(now)

    def move(self, installation: int) -> int | None:
        """Have a hub come back at another address, which is returned; None when there is none left for it."""
        if self.moved is None:
            self.moved = Moved(self._base, self._span)
        return self.moved.move(installation)

    def _resident(self, address: int) -> int:
        """Whose hub is at an address. Raises Refused."""
        assert self.moved is not None
        found = self.moved.at(address) if self._base <= address < self._base + self._span else None
        if found is None:
            raise Refused("selector", f"{address:#010x} is no hub's address any more")
        return found

    def _turn(self, now: Instant) -> None:
        """Another path, other keys, or an outage to be known of."""
        self.course.turn(now, self._arrivals[1])
        self._bind()

    def _bind(self) -> None:
        """Take what the course says for the way of the packets to come."""
        course = self.course
        sending = [course.carriers[number] for number in course.sending]
        self._gateways = tuple(one.gateways[direction] for direction, one in enumerate(sending))
        self._seals = tuple(one.seal for one in self._gateways)
        self._black = tuple(one.outages for one in sending)
        self.outages = sending[0].outages
        self._frame_max = min(self.profile.mtu, 65_535) - max(one.overhead for one in course.carriers)
        standing = course.open
        opening = [_opening(standing, direction) for direction in Direction]
        if self._carry is not None:
            opening = [self._abroad(direction, opening[direction], self._carry) for direction in Direction]
        self._open_down, self._open_up = opening
        self._turn_at = course.next_at

    def _abroad(self, direction: Direction, opens: Open, carry: Callable[[Direction, bytes], bytes]) -> Open:
        def open_what_comes_back(packet: bytes) -> Datagram:
            back = carry(direction, packet)
            return opens(back) or self._gateways[direction].open_by_stages(back)

        return open_what_comes_back

    def _agreed(self, direction: int, spec: SaSpec) -> None:
        if self.tap is not None:
            self.tap.agreed(*Leg(self.seed, self.cell, Direction(direction), self.profile).gateways, spec)

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
        if now >= self._turn_at:
            self._turn(now)
        if len(frame) > self._frame_max:
            return self._offer_large(
                direction, installation, source, destination, source_port, destination_port, frame, now, number
            )
        identification = number & 0xFFFF
        try:
            packet = self._seals[direction](source, destination, source_port, destination_port, frame, identification)
            if packet is None:
                packet = self._gateways[direction].seal_by_stages(
                    source, destination, source_port, destination_port, frame, identification
                )
        except CounterExhaustedError:
            return self._withhold(direction, now, "exhausted")
        return self._cross(direction, installation, packet, now, number)

    def _withhold(self, direction: int, now: Instant, cause: str) -> Offered:
        """What was offered and never became a packet."""
        self._ways[direction].offered += 1
        return self._lose(direction, b"", now, cause)

    def _cross(self, direction: int, installation: int, packet: bytes, now: Instant, number: int) -> Offered:
        """A whole packet, or a piece of one, on the way between the gateways."""
        self._ways[direction].offered += 1
        arrivals = self._arrivals
        arrival = now + self._propagation
        if arrival <= arrivals[direction]:
            arrival = arrivals[direction] + 1
        outages = self._black[direction]
        if (now < outages.clear_from or arrival > outages.clear_to) and outages.strikes(now, arrival):
            return self._lose(direction, packet, now, "outage")
        if self._loss and draw(self.seed, _LOSS[direction], installation, number) < self._loss:
            return self._lose(direction, packet, now, "loss")
        arrivals[direction] = arrival
        if self.impaired is not None:
            fate = self.impaired.core(UP if direction else DOWN, installation, packet, now, arrival - now)
            if fate is not None:
                return self._impair(direction, packet, now, *fate)
        if self.tap is not None:
            self.tap.sent(Direction(direction), packet, now)
        return [(arrival - now, packet)]

    def _offer_large(
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
        """A frame that does not fit: lost, or in pieces, each of which crosses by itself."""
        gateways, how = self._gateways[direction], self.profile.fragment
        identification = number & 0xFFFF
        try:
            if how == "never" or len(frame) > LARGEST_FRAME:
                raise Refused("malformed", "too big")
            inner = gateways.inner(source, destination, source_port, destination_port, frame, identification)
            if self.profile.fidelity == "pipe":  # it has no headers to cut by
                return self._cross(direction, installation, inner, now, number)
            pieces = pieces_of(inner, gateways.wrap, self._frame_max + HEADER_BYTES, self.profile.mtu, how)
        except (CounterExhaustedError, Refused) as error:
            return self._withhold(direction, now, "too big" if isinstance(error, Refused) else "exhausted")
        carried: Offered = []
        for piece in pieces:
            carried += self._cross(direction, installation, piece, now, number)
        return carried

    def _impair(self, direction: int, packet: bytes, now: Instant, carried: Offered, returned: list[bytes]) -> Offered:
        """What arrives of a packet that came to harm: each copy crosses the outages that its own delay meets."""
        if self.tap is not None:
            for answer in returned:
                self.tap.sent(Direction(1 - direction), answer, now, "from a router on the way")
        if not carried:
            return self._lose(direction, packet, now, "impairment")
        outages = self._black[direction]
        arriving = [
            each
            for each in carried
            if (outages.clear_from <= now and now + each[0] <= outages.clear_to)
            or not outages.strikes(now, now + each[0])
        ]
        if not arriving:
            return self._lose(direction, packet, now, "outage")
        if self.tap is not None:
            self.tap.sent(Direction(direction), packet, now)
        return arriving

    def _lose(self, direction: int, packet: bytes, now: Instant, cause: str) -> Offered:
        self.log.lost(direction, cause)
        if self.tap is not None and cause in ("outage", "loss", "impairment"):
            self.tap.sent(Direction(direction), packet, now, f"lost: {cause}")
        return []

    def _gather(self, direction: Direction, packet: bytes, now: Instant, piece: Piece) -> Delivered | Refusal | None:
        """A piece of a packet came; with the last one, the frame."""
        try:
            whole = self._pieces[direction].take(piece.packet, now)
            if whole is None:
                self.log.delivered(direction, packet, now)
                return None
            if piece.packet is packet:  # the tunnel's own packet was cut, not the one inside
                opened = self._gateways[direction].open_by_stages(whole)
            else:
                opened = parse_through_codecs(whole)
        except (FrameError, TagError, ReplayError, Refused) as error:
            return self._refuse(direction, packet, now, error, gathered=True)
        return (self.deliver_up if direction is UP else self.deliver_down)(packet, now, opened)

    def _refuse(
        self, direction: Direction, packet: bytes, now: Instant, error: EmulatorError, *, gathered: bool = False
    ) -> Delivered | Refusal | None:
        if isinstance(error, Piece) and not gathered and self.profile.fragment != "never":
            return self._gather(direction, packet, now, error)
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


def _opening(standing: Sequence[Carrier], direction: int) -> Open:
    """How the receiving gateway of a direction takes a packet apart: by the path it came on, if there are several."""
    if len(standing) == 1:
        return standing[0].gateways[direction].open
    by_mark = {one.mark: one.gateways[direction] for one in standing}
    other = standing[0].gateways[direction]

    def open_any(packet: bytes) -> Datagram:
        gateways = by_mark.get(mark_of(packet), other)
        return gateways.open(packet) or gateways.open_by_stages(packet)

    return open_any
