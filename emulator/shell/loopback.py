"""Fidelity interop within one process: every packet of a core link through the host's own UDP stack and back.

The packets of all cells of a worker cross one pair of sockets on loopback, each as the payload of a datagram: it leaves
one socket when it would arrive at the receiving gateway, and what the other socket receives is what that gateway opens.
Time stays virtual, so a campaign ends as over the wire, to the digest, but the bytes have been outside.
"""

import socket
from types import TracebackType
from typing import Final, Self

from emulator.errors import InputError
from emulator.link.profile import Direction

_PATIENCE_S: Final = 5.0
_MOST: Final = 65_507
"""Bytes of the largest UDP payload over IPv4."""


class Loopback:
    """A pair of sockets that talk to each other alone. Raises InputError: the host gives none."""

    def __init__(self) -> None:
        self.carried = 0
        """Packets so far."""
        try:
            self._near, self._far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            for one in (self._near, self._far):
                one.settimeout(_PATIENCE_S)
                one.bind(("127.0.0.1", 0))
            self._near.connect(self._far.getsockname())
            self._far.connect(self._near.getsockname())
        except OSError as error:
            raise InputError(f"no UDP sockets on loopback: {error.strerror or error}; choose fidelity wire") from error

    def carry(self, direction: Direction, packet: bytes) -> bytes:
        """What comes out at the other end; down goes one way, up the other. Raises InputError."""
        out, back = (self._near, self._far) if direction is Direction.DOWN else (self._far, self._near)
        if len(packet) > _MOST:
            raise InputError(f"a packet of {len(packet)} bytes does not fit a datagram; lower the link's mtu")
        try:
            out.send(packet)
            got = back.recv(_MOST)
        except OSError as error:
            raise InputError(f"the host's loopback lost a packet: {error.strerror or error}") from error
        self.carried += 1
        return got

    def close(self) -> None:
        """Give the sockets back. Twice is harmless."""
        self._near.close()
        self._far.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
