"""What an LDP speaker wants done. Beside these it answers with the house's `Note` and `Wake`."""

from typing import TypeAlias

import msgspec

from emulator.kernel.effects import Note, Wake


class Multicast(msgspec.Struct, gc=False):
    """Send a datagram from port 646 to 224.0.0.2, port 646, out of an interface."""

    interface: str
    datagram: bytes


class Dial(msgspec.Struct, gc=False):
    """Open a TCP connection from our transport address to this one, port 646; then call `connected` or `closed`."""

    address: int


class Say(msgspec.Struct, gc=False):
    """Bytes for the connection with this transport address."""

    address: int
    data: bytes


class HangUp(msgspec.Struct, gc=False):
    """Close the connection with this transport address, when what was said has gone out."""

    address: int


LdpEffect: TypeAlias = Multicast | Dial | Say | HangUp | Note | Wake
