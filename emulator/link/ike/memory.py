"""Two peers or more in memory, at virtual time: the driver of simulated tunnels, and of tests.

A datagram takes `delay` from end to end, unless `path` says otherwise: it is asked for every datagram and answers with
the list of (delay, payload) that arrive, so losing, doubling, bending and holding back are all one function. What
became of the SAs is kept in `said`, with the instant and the peer's name. Events of one instant happen in the order
they were made.
"""

import heapq
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND
from emulator.link.ike.effects import Address, ChildDown, ChildUp, Effect, Effects, Negotiated, Transmit
from emulator.link.ike.peer import IkePeer

Path: TypeAlias = Callable[[Transmit, Instant], list[tuple[int, bytes]]]
Seen: TypeAlias = Callable[[Transmit, Instant, bool], None]
_AT_ONE_INSTANT: Final = 100_000


class Memory:
    """Peers by the IPv4 address they are at."""

    def __init__(self, peers: Iterable[IkePeer], *, delay: int = 10 * MILLISECOND, path: Path | None = None) -> None:
        self.peers = list(peers)
        self.delay = delay
        self.path = path
        self.now: Instant = 0
        self.seen: Seen | None = None
        """Told every datagram as it is sent, when, and whether it will arrive."""
        self.said: list[tuple[Instant, str, Effect]] = []
        self.children: dict[str, dict[int, Negotiated]] = {peer.name: {} for peer in self.peers}
        """Per peer, the child SAs that stand, by inbound SPI."""
        self._at = {peer.address.ip: peer for peer in self.peers}
        self._under_way: list[tuple[Instant, int, bytes, Address, Address]] = []
        self._count = 0

    def do(self, peer: IkePeer, effects: Effects) -> None:
        """Carry out what a peer said."""
        for effect in effects:
            if isinstance(effect, Transmit):
                arrivals = self.path(effect, self.now) if self.path else [(self.delay, effect.payload)]
                if self.seen is not None:
                    self.seen(effect, self.now, bool(arrivals))
                for after, payload in arrivals:
                    self._count += 1
                    heapq.heappush(
                        self._under_way, (self.now + after, self._count, payload, effect.source, effect.destination)
                    )
                continue
            if isinstance(effect, ChildUp):
                self.children[peer.name][effect.child.spi_in] = effect.child
            elif isinstance(effect, ChildDown):
                self.children[peer.name].pop(effect.spi_in, None)
            self.said.append((self.now, peer.name, effect))

    def moved(self, peer: IkePeer) -> None:
        """The peer has another address: what is sent there from now on reaches it."""
        self._at = {address: one for address, one in self._at.items() if one is not peer}
        self._at[peer.address.ip] = peer

    def run(self, until: Instant) -> None:
        """Everything up to `until`, inclusive."""
        began, steps = self.now, 0
        while True:
            steps = steps + 1 if began == self.now else 0
            began = self.now
            assert steps < _AT_ONE_INSTANT, "time stands still"
            timer, peer = min(((one.next_timer(), n) for n, one in enumerate(self.peers)), default=(until + 1, 0))
            arrival = self._under_way[0][0] if self._under_way else until + 1
            if min(timer, arrival) > until:
                break
            if arrival <= timer:
                at, _, payload, source, destination = heapq.heappop(self._under_way)
                self.now = max(self.now, at)
                target = self._at.get(destination.ip)
                if target is not None:
                    self.do(target, target.handle(payload, source, self.now, destination))
            else:
                self.now = max(self.now, timer)
                self.do(self.peers[peer], self.peers[peer].tick(self.now))
        self.now = max(self.now, until)
