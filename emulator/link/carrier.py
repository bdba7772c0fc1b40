"""One way for packets to cross: a kind's gateways in both directions, and when that way is black.

What changes in a carrier's life is its keys (`rekey`) and whether its receiving ends take packets (`standing`).
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from emulator.codecs.esp import PROTOCOL as PROTOCOL_ESP
from emulator.crypto.esp_sa import Whole
from emulator.link import datagram as datagrams
from emulator.link import fidelity
from emulator.link.datagram import Datagram
from emulator.link.encap import PORT as ENCAP_PORT
from emulator.link.esp import Peers, Tunnel
from emulator.link.esp_spec import SaSpec
from emulator.link.kinds import Kind
from emulator.link.mpls.stage import PORT as LABELS_PORT
from emulator.link.outages import Outages
from emulator.link.profile import Direction
from emulator.link.stage import Leg, Stage

Seal: TypeAlias = Callable[[int, int, int, int, bytes, int], bytes | None]
Open: TypeAlias = Callable[[bytes], Datagram | None]

_UDP: Final = 17


class Gateways:
    """The two ends of one direction, without anything of the link between them.

    `seal` and `open` are tried first; None from one of them means that the stages are to be asked, `seal_by_stages` and
    `open_by_stages`, which give the packet or the reason against it. Where there is no shorter way they are the same.
    `inner` and `wrap` are the two halves of `seal_by_stages`, for packets that are cut in between.
    """

    __slots__ = ("_lean", "inner", "open", "open_by_stages", "seal", "seal_by_stages", "stages", "wrap")

    def __init__(self, stages: Sequence[Stage], ttl: int, lean: bool) -> None:
        """`lean`: the fast rung, whose twins and calls make the packets of the definitions in fewer steps."""
        self.stages = stages
        self._lean = lean
        build = datagrams.build_lean if lean else datagrams.build_through_codecs
        parse = datagrams.parse_lean if lean else datagrams.parse_through_codecs
        wraps = tuple(stage.wrap for stage in stages)
        unwraps = tuple(stage.unwrap for stage in reversed(stages))

        def seal_by_stages(
            source: int, destination: int, source_port: int, destination_port: int, frame: bytes, identification: int
        ) -> bytes:
            packet = build(source, destination, source_port, destination_port, frame, identification, ttl)
            for wrap in wraps:
                packet = wrap(packet)
            return packet

        def open_by_stages(packet: bytes) -> Datagram:
            for unwrap in unwraps:
                packet = unwrap(packet)
            return parse(packet)

        def inner(
            source: int, destination: int, source_port: int, destination_port: int, frame: bytes, identification: int
        ) -> bytes:
            return build(source, destination, source_port, destination_port, frame, identification, ttl)

        def wrap(packet: bytes) -> bytes:
            for each in wraps:
                packet = each(packet)
            return packet

        self.inner, self.wrap = inner, wrap
        self.seal_by_stages = seal_by_stages
        self.open_by_stages = open_by_stages if unwraps else parse
        self._use(stages[0].whole() if lean and len(stages) == 1 else None)

    def _use(self, whole: Whole | None) -> None:
        self.seal: Seal = self.seal_by_stages if whole is None else whole.seal
        self.open: Open = self.open_by_stages if whole is None else whole.open

    def rebind(self) -> None:
        """The stage has other keys now: take the short way with these."""
        stage = self.stages[0]
        if self._lean and isinstance(stage, Tunnel):
            self._use(stage.present())


class Piped(Gateways):
    """The same without headers and keys; see `fidelity`."""

    __slots__ = ()

    def __init__(self) -> None:
        self.stages = ()
        self._lean = False
        self.inner = lambda *fields: fidelity.seal(*fields)
        self.wrap = lambda packet: packet
        self.seal_by_stages = fidelity.seal
        self.open_by_stages = fidelity.open_
        self._use(None)


def mark_of(packet: bytes) -> int:
    """By what paths are told apart at the receiving end: the UDP port it goes to, or the IPv4 protocol times 65,536."""
    if len(packet) > 23 and packet[9] == _UDP:
        return int.from_bytes(packet[22:24], "big")
    return packet[9] << 16 if len(packet) > 9 else 0


class Carrier:
    """A kind of link, put together for one cell. `leg`: of either direction."""

    def __init__(self, kind: Kind, leg: Leg, outages: Outages, lean: bool) -> None:
        self.kind = kind
        self.name = kind.name.removesuffix("-standby")
        self.outages = outages
        self.standing = True
        self._leg = leg
        self._lean = lean
        self._older: list[int | None] = [None, None]
        profile = leg.profile
        self.tunnels = bool(kind.stages) and kind.stages[0] is Tunnel
        esp = ENCAP_PORT if profile.encap else PROTOCOL_ESP << 16
        self.mark: int | None = (esp if self.tunnels else LABELS_PORT) if kind.stages else None
        """What its packets show of what they are (see `mark_of`); None: what the frames themselves show."""
        self._peers = Peers(leg)
        stages = [[self._stage(make, self._way(way)) for make in kind.stages] for way in Direction]
        self.overhead = sum(stage.overhead for stage in stages[0]) + datagrams.HEADER_BYTES
        self.gateways: tuple[Gateways, Gateways]
        if profile.fidelity == "pipe":
            self.gateways = Piped(), Piped()
        else:
            self.gateways = Gateways(stages[0], profile.ttl, lean), Gateways(stages[1], profile.ttl, lean)

    def install(self, specs: tuple[SaSpec, SaSpec]) -> None:
        """Its tunnel's first negotiated associations (down, up)."""
        down, up = (
            Gateways((Tunnel(self._way(way), specs[way], peers=self._peers),), self._leg.profile.ttl, self._lean)
            for way in Direction
        )
        self.gateways = down, up
        for gateways in self.gateways:
            gateways.rebind()

    def rekey(self, direction: int, spec: SaSpec) -> None:
        """Seal a direction with other keys; the present ones still open until the next time. Without negotiated
        associations (static keys, a pipe) there is nothing to do."""
        gateways = self.gateways[direction]
        stage = gateways.stages[0] if gateways.stages else None
        if not isinstance(stage, Tunnel) or self._leg.profile.keying != "ike":
            return
        older, self._older[direction] = self._older[direction], stage.spec.spi
        if older is not None:
            stage.retire(older)
        stage.renew(spec)
        gateways.rebind()

    def spec(self, direction: int) -> SaSpec | None:
        """What a direction is sealed with; None where nothing is."""
        stages = self.gateways[direction].stages
        return stages[0].spec if stages and isinstance(stages[0], Tunnel) else None

    def _stage(self, make: Callable[[Leg], Stage], leg: Leg) -> Stage:
        return Tunnel(leg, peers=self._peers) if make is Tunnel else make(leg)

    def _way(self, way: Direction) -> Leg:
        return Leg(self._leg.seed, self._leg.cell, way, self._leg.profile)
