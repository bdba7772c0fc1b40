"""Routers joined by wires: a packet goes in at the edge and is followed to wherever it comes out, or ends.

Wires cost no time here; delay and loss are the link's affair (`chain`). A packet may become several (fragments) or
another (an ICMP error on its way back).
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from emulator.errors import UsageError
from emulator.kernel.effects import Instant
from emulator.link.mpls.drops import Dropped
from emulator.link.mpls.lsr import Lsr

End: TypeAlias = tuple[str, str]
"""(router, interface)."""

MOST_STEPS: Final = 4096
"""Routers that one packet and what becomes of it may visit: 16 pieces for 255 hops. A loop between pipes ends here."""


class Arrived(NamedTuple):
    """Where something left the network (`what` is the frame), or ended (a `Dropped`, at the router that dropped it)."""

    router: str
    interface: str
    what: bytes | Dropped


class Network:
    """Routers by name, and which interface is wired to which. What is wired to nothing is the edge."""

    def __init__(self, routers: Iterable[Lsr], wires: Iterable[tuple[End, End]] = ()) -> None:
        """UsageError: two routers of a name, a wire to nowhere, or two wires in one interface."""
        self.routers: dict[str, Lsr] = {}
        for router in routers:
            if router.name in self.routers:
                raise UsageError(f"two routers are called {router.name}")
            self.routers[router.name] = router
        self.wires: dict[End, End] = {}
        for one, other in wires:
            for end, far in ((one, other), (other, one)):
                if end[0] not in self.routers or end[1] not in self.routers[end[0]].interfaces:
                    raise UsageError(f"router {end[0]} has no interface {end[1]} to wire")
                if end in self.wires:
                    raise UsageError(f"two wires in interface {end[1]} of router {end[0]}")
                self.wires[end] = far

    def cross(self, router: str, interface: str, packet: bytes, now: Instant) -> list[Arrived]:
        """Everything that becomes of a frame that comes in at an interface, in order. UsageError: no such router."""
        if router not in self.routers:
            raise UsageError(f"there is no router {router!r}")
        found: list[Arrived] = []
        under_way = [(router, interface, packet)]
        for _ in range(MOST_STEPS):
            if not under_way:
                break
            name, port, frame = under_way.pop(0)
            outcome = self.routers[name].forward(frame, port, now)
            if isinstance(outcome, Dropped):
                found.append(Arrived(name, port, outcome))
                continue
            for sent in outcome:
                far = self.wires.get((name, sent.port))
                if far is None:
                    found.append(Arrived(name, sent.port, sent.frame))
                else:
                    under_way.append((*far, sent.frame))
        found += [Arrived(name, port, Dropped("ttl", "the packet goes round")) for name, port, _ in under_way]
        return found
