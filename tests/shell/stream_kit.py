"""A public client on a TCP connection of its own to a home of a served estate."""

import socket

from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.dlms.client import Client
from emulator.served.process import ServedEstate

PUBLIC = WRAPPER.build(Wrapper(16, 2, Client().associate(b"")))
"""A public client's association request."""


def call(served: ServedEstate, home: int = 0) -> socket.socket:
    """A connection whose pieces leave as they are written."""
    caller = socket.create_connection((served.address(home), served.port), timeout=20)
    caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return caller


def whole(caller: socket.socket, have: bytes = b"") -> bytes:
    """One wrapper PDU off a stream, after the bytes that were read already."""
    while len(have) < 8 or len(have) < 8 + int.from_bytes(have[6:8], "big"):
        piece = caller.recv(4096)
        assert piece, "the connection was closed"
        have += piece
    return have
