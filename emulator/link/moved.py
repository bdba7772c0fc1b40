"""Hubs that have come back at another address, and what the data centre knows of it.

A mobile network gives a hub an address when it attaches, and a hub may get another one each time. What is sent to its
old address reaches nobody. The data centre's side learns the new one from the first packet that comes from it (the call
after waking, as a rule). ASSUMED: addresses are not given to other hubs while a run lasts, so nothing goes astray.

The home address of a hub is the network's base plus its number; the further ones lie in higher blocks of the network.
"""

from typing import Final

_BLOCK_BITS: Final = 18
_BLOCKS_OF_HOMES: Final = 8
"""The lowest blocks are home addresses, of two million hubs; nobody moves into them. A hub beyond stays at home."""


class Moved:
    """Who is where, for hubs that moved at least once. Addresses are IPv4 addresses as ints."""

    __slots__ = ("_base", "_believed", "_current", "_ever", "_span")

    def __init__(self, base: int, span: int) -> None:
        """`base`, `span`: the hubs' network."""
        self._base = base
        self._span = span
        self._current: dict[int, int] = {}
        self._believed: dict[int, int] = {}
        self._ever: dict[int, int] = {}

    def move(self, installation: int) -> int | None:
        """Give a hub another address, which is returned; None when the network has none left for it."""
        old = self.address(installation)
        blocks = self._span >> _BLOCK_BITS
        home, low = divmod(installation, 1 << _BLOCK_BITS)
        if home >= _BLOCKS_OF_HOMES:
            return None
        for turn in range(1, blocks):
            block = ((old - self._base >> _BLOCK_BITS) + turn) % blocks
            if block < _BLOCKS_OF_HOMES and block != home:
                continue  # where other hubs are at home
            address = self._base + (block << _BLOCK_BITS) + low
            if self._ever.get(address, installation) == installation:
                self._believed.setdefault(installation, old)
                self._ever[address] = installation
                self._current[installation] = address
                return address
        return None

    def address(self, installation: int) -> int:
        """Where a hub is."""
        return self._current.get(installation, self._base + installation)

    def believed(self, installation: int) -> int:
        """Where the data centre believes it to be."""
        return self._believed.get(installation, self._base + installation)

    def at(self, address: int) -> int | None:
        """Whose hub is at an address now; None: nobody's."""
        installation = self._ever.get(address, address - self._base)
        return installation if self.address(installation) == address else None

    def came_from(self, address: int) -> int:
        """Whose hub sent a packet from an address, which is learned."""
        installation = self._ever.get(address, address - self._base)
        if self.address(installation) == address and installation in self._believed:
            self._believed[installation] = address
        return installation
