"""How much of the link is real: three fidelities behind one interface.

* *wire* (the default): every byte of every layer, in memory. `chain.Chain` as it is.
* *pipe* (`LinkProfile.fidelity`): delays, losses, outages, failover and the log, and nothing in between: a packet is
  twelve bytes of addresses and ports, and the frame. Damage is not found, a repeated packet comes twice, and there is
  nothing to capture. For estates where the tunnel itself is not in question. What is too big for the real headers is
  too big here too.
* *interop* (`Interop`): the bytes of the wire, handed to a callable instead of memory: a socket, a TUN, the frames of
  another kernel. Whatever comes back from there is given to `receive`.
"""

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from emulator.errors import FrameError
from emulator.kernel.effects import Instant
from emulator.link.profile import Direction

if TYPE_CHECKING:
    from emulator.link.chain import Delivered, Offered, Refusal
    from emulator.link.datagram import Datagram

_HEAD: Final = Struct(">IIHH")
_PACK: Final = _HEAD.pack
_UNPACK: Final = _HEAD.unpack_from


def seal(
    source: int, destination: int, source_port: int, destination_port: int, frame: bytes, identification: int
) -> bytes:
    """A pipe's packet."""
    return _PACK(source, destination, source_port, destination_port) + frame


def open_(packet: bytes) -> "Datagram":
    """What a pipe's packet says. Raises FrameError: it is shorter than its addresses."""
    if len(packet) < _HEAD.size:
        raise FrameError("pipe", "cut short")
    source, destination, source_port, destination_port = _UNPACK(packet)
    return source, destination, source_port, destination_port, packet[_HEAD.size :]


class CoreLink(Protocol):
    """What all fidelities offer; see `chain.Chain`."""

    def offer_down(
        self, installation: int, source_port: int, destination_port: int, frame: bytes, now: Instant, number: int
    ) -> "Offered": ...

    def offer_up(
        self,
        installation: int,
        destination_ip: int,
        source_port: int,
        destination_port: int,
        frame: bytes,
        now: Instant,
        number: int,
    ) -> "Offered": ...

    def deliver_down(self, packet: bytes, now: Instant) -> "Delivered | Refusal | None": ...

    def deliver_up(self, packet: bytes, now: Instant) -> "Delivered | Refusal | None": ...


Send: TypeAlias = Callable[[Direction, bytes, Instant], None]


class Interop:
    """A link whose packets leave memory. `send(direction, packet, at)` is told every packet that would arrive at `at`;
    offers answer with nothing, as nothing arrives by itself."""

    def __init__(self, link: CoreLink, send: Send) -> None:
        self.link = link
        self._send = send

    def offer_down(
        self, installation: int, source_port: int, destination_port: int, frame: bytes, now: Instant, number: int
    ) -> "Offered":
        """As `Chain.offer_down`; always empty."""
        offered = self.link.offer_down(installation, source_port, destination_port, frame, now, number)
        return self._hand_out(Direction.DOWN, offered, now)

    def offer_up(
        self,
        installation: int,
        destination_ip: int,
        source_port: int,
        destination_port: int,
        frame: bytes,
        now: Instant,
        number: int,
    ) -> "Offered":
        """As `Chain.offer_up`; always empty."""
        offered = self.link.offer_up(installation, destination_ip, source_port, destination_port, frame, now, number)
        return self._hand_out(Direction.UP, offered, now)

    def deliver_down(self, packet: bytes, now: Instant) -> "Delivered | Refusal | None":
        """A packet came from outside to the operator's gateway."""
        return self.link.deliver_down(packet, now)

    def deliver_up(self, packet: bytes, now: Instant) -> "Delivered | Refusal | None":
        """A packet came from outside to the data centre's gateway."""
        return self.link.deliver_up(packet, now)

    def receive(self, direction: Direction, packet: bytes, now: Instant) -> "Delivered | Refusal | None":
        """A packet came from outside, at the receiving gateway of a direction."""
        return self.deliver_up(packet, now) if direction is Direction.UP else self.deliver_down(packet, now)

    def _hand_out(self, direction: Direction, offered: "Offered", now: Instant) -> "Offered":
        for delay, packet in offered:
            self._send(direction, packet, now + delay)
        return []
