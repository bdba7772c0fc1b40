"""Which address is which home's.

Every home has an IPv4 address of its own, so a client needs to be told nothing but an address: on loopback the whole
of 127.0.0.0/8 answers without being set up. Home 0 is at 127.1.0.1, the next ones follow without a gap; the low 64 K
are left alone, as resolvers and the like live there. In another network home 0 has the first host address.
"""

from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Final

from emulator.errors import InputError

LOOPBACK: Final = IPv4Network("127.0.0.0/8")
_SKIPPED: Final = 0x1_0000


class Addresses:
    """The addresses of homes 0 to `installations` - 1 in `network`. Raises InputError when they do not fit."""

    __slots__ = ("_first", "installations", "network")

    def __init__(self, network: IPv4Network, installations: int) -> None:
        self.network = network
        self.installations = installations
        skipped = _SKIPPED if network.overlaps(LOOPBACK) and network.num_addresses > 2 * _SKIPPED else 0
        self._first = int(network.network_address) + skipped + (network.prefixlen < 32)
        if self._first + installations - 1 > int(network.broadcast_address):
            raise InputError(f"{network} has no room for {installations} addresses; name a larger network")

    @property
    def loopback(self) -> bool:
        """Whether nothing outside this machine can reach them."""
        return self.network.subnet_of(LOOPBACK)

    def of(self, installation: int) -> str:
        """The address of a home, as text."""
        return str(IPv4Address(self._first + installation))

    def find(self, address: str) -> int | None:
        """The home that is called at `address`, or None."""
        try:
            number = int(IPv4Address(address)) - self._first
        except AddressValueError:
            return None
        return number if 0 <= number < self.installations else None


def network(text: str) -> IPv4Network:
    """"127.0.0.0/8", or one address. Raises InputError."""
    try:
        return IPv4Network(text, strict=True)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise InputError(f"{text!r} is no IPv4 network ({error}); write one like 127.0.0.0/8") from error
