"""The core link's own record: how much, and a running hash of what was delivered.

The counters are the link's independent testimony. `exchanges` counts the round trips it saw completed: a delivery down
to the COSEM port opens one, a delivery up from that port to the asking port closes the oldest open one of that
installation. An unsolicited alert goes to another port and closes none. An answer that closes none, as one that comes a
second time, is `unasked`. So a head end that claims a number of answers can be held against somebody who was not asked.

Hashed is, for every delivered packet, when, which way and all its bytes, in the order of delivery: two runs with the
same digest carried the same bytes at the same instants. Packets are hashed in blocks of 256 (first the instants and
directions, then the packets, each of which says its own length), as one update of the hash a packet would cost more
than its bytes do.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from struct import pack
from typing import Final

from emulator.kernel.effects import Instant

_BLOCK: Final = 256


@dataclass(slots=True)
class Way:
    """One direction's counters. `lost_by` and `refused_by`: the same numbers by cause.

    Offered is everything a sending gateway was given; lost (outage, loss, too big) and delivered and
    refused sum up to it once nothing is under way and nothing interferes from outside.
    """

    offered: int = 0
    lost: int = 0
    delivered: int = 0
    refused: int = 0
    lost_by: dict[str, int] = field(default_factory=dict)
    refused_by: dict[str, int] = field(default_factory=dict)


class DeliveryLog:
    """One cell's record. `ways` holds the counters by `Direction`."""

    __slots__ = ("_hash", "_instants", "_open", "_packets", "exchanges", "unasked", "ways")

    def __init__(self) -> None:
        self.ways = (Way(), Way())
        self.exchanges = 0
        self.unasked = 0
        self._hash = blake2b(digest_size=32)
        self._instants: list[int] = []
        self._packets: list[bytes] = []
        self._open: dict[int, int] = {}

    def lost(self, direction: int, cause: str) -> None:
        way = self.ways[direction]
        way.lost += 1
        way.lost_by[cause] = way.lost_by.get(cause, 0) + 1

    def refused(self, direction: int, reason: str) -> None:
        way = self.ways[direction]
        way.refused += 1
        way.refused_by[reason] = way.refused_by.get(reason, 0) + 1

    def delivered(self, direction: int, packet: bytes, now: Instant, conversation: int = -1) -> None:
        """A packet arrived. `conversation`, if not negative, is whose request (down) or answer (up) it carries: any
        number that is the same for both. An answer that no request was seen for is no exchange."""
        self.ways[direction].delivered += 1
        packets = self._packets
        packets.append(packet)
        self._instants.append(now << 1 | direction)
        if conversation >= 0:
            opened = self._open
            if not direction:
                opened[conversation] = opened[conversation] + 1 if conversation in opened else 1
            elif conversation in opened:
                self.exchanges += 1
                if opened[conversation] > 1:
                    opened[conversation] -= 1
                else:
                    del opened[conversation]
            else:
                self.unasked += 1
        if len(packets) == _BLOCK:
            self._hash.update(self._block())
            packets.clear()
            self._instants.clear()

    @property
    def unanswered(self) -> int:
        """Requests delivered that no answer has come back for."""
        return sum(self._open.values())

    def digest(self) -> str:
        """Hex digest (32 bytes) of all deliveries so far. Reading it changes nothing."""
        total = self._hash.copy()
        total.update(self._block())
        return total.hexdigest()

    def _block(self) -> bytes:
        instants = self._instants
        return pack(f">{len(instants)}Q", *instants) + b"".join(self._packets)
