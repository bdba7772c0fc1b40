"""How much of the link is real: three fidelities behind one interface.

* *wire* (the default): every byte of every layer, in memory. `chain.Chain` as it is.
* *pipe* (`LinkProfile.fidelity`): delays, losses, outages, failover and the log, and nothing in between: a packet is
  twelve bytes of addresses and ports, and the frame. Damage is not found, a repeated packet comes twice, and there is
  nothing to capture. For estates where the tunnel itself is not in question. What is too big for the real headers is
  too big here too.
* *interop* (`chain.Chain.leave`): the bytes of the wire, out of memory and back: what a receiving gateway opens is what
  a socket, or whatever else was given, made of the packet. Campaigns take the host's loopback (`shell.loopback`); a
  served estate has real gateways at its other end instead (`shell.ipsec_udp`, `shell.mpls_udp`, `shell.tun`).
"""

from struct import Struct
from typing import TYPE_CHECKING, Final

from emulator.errors import FrameError

if TYPE_CHECKING:
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
