"""What the doors of tunnels share: a UDP socket at one address, and whether the link carries anything just now.

A tunnel's door is as dead as the link it stands for. While a `link-outage` of the whole link is in force nothing is
heard and nothing sent, keying and probes included, so that a real gateway finds its peer dead as it would in the field.
After a cut-over the doors of the other kind of link carry, and this one does not.
"""

import socket
from collections.abc import Callable
from errno import EADDRINUSE
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from emulator.errors import InputError
from emulator.shell.live import LiveEstate

BURST: Final = 64
"""Datagrams taken from a socket before others get their turn."""
LONGEST: Final = 65_535


def place(text: str, beyond_loopback: bool) -> IPv4Address:
    """The address of a door. InputError: it is none, is every address at once, or can be reached from outside and
    nobody said that it may."""
    try:
        found = IPv4Address(text)
    except AddressValueError as error:
        raise InputError(f"{text!r} is no IPv4 address; write one like 127.0.0.1") from error
    if found.is_unspecified or found.is_multicast:
        raise InputError(f"{text} is no single address; a gateway has one of its own, name it")
    if not found.is_loopback and not beyond_loopback:
        raise InputError(
            f"{text} can be reached from outside this machine; name an address within 127.0.0.0/8, or say "
            "--listen-beyond-loopback"
        )
    return found


def bound(address: IPv4Address, port: int, what: str) -> socket.socket:
    """A UDP socket that does not block. InputError: the address is not this machine's, or the port is taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        sock.bind((str(address), port))
    except OSError as error:
        sock.close()
        why = "is in use" if error.errno == EADDRINUSE else f"cannot be had ({error.strerror})"
        raise InputError(f"{what}: UDP port {port} of {address} {why}; name another one") from error
    return sock


def carries(live: LiveEstate, kinds: str, now: Callable[[], int]) -> Callable[[], bool]:
    """Whether a link whose kind begins with `kinds` carries now: it is the estate's, and not black. `now` is virtual
    time."""
    return lambda: live.link.kind.startswith(kinds) and not live.black(now())
