"""Which label means what to whom: the label information base, and the router's tables made of it.

Routes come from outside (an IGP, or a table). Every prefix with a route gets a label of ours, whatever a neighbour says
(independent control); every label a neighbour gives is kept (liberal retention) and used when the route's next hop is
an address of that neighbour. A path for which the next hop has given no label ends here: its packets are dropped,
while IP still goes through without labels. That an inner label could otherwise be read in the wrong table is why a
missing label is never replaced by a pop.

Routes of a VPN stand on top: they name the far edge router, and follow the label towards it (RFC 4364).
"""

from typing import Final, TypeAlias

from emulator.errors import InputError, UsageError
from emulator.link.mpls.habits import HIGHEST, IMPLICIT_NULL, IPV4_EXPLICIT_NULL
from emulator.link.mpls.ldp.settings import Settings
from emulator.link.mpls.lsr import Lsr
from emulator.link.mpls.tables import Towards

Fec: TypeAlias = tuple[int, int]
"""(prefix, length)."""
Route: TypeAlias = tuple[str, int] | None
"""(interface, address of the next hop), or None: the prefix is our own."""

OUR_OWN: Final[Route] = None


class Bindings:
    """Labels, ours and theirs, of one router."""

    def __init__(self, lsr: Lsr, settings: Settings) -> None:
        self.lsr = lsr
        self._settings = settings
        self.routes: dict[Fec, Route] = {}
        self.local: dict[Fec, int] = {}
        self.remote: dict[int, dict[Fec, int]] = {}
        """Neighbour -> prefix -> label, of operational sessions."""
        self.addresses: dict[int, set[int]] = {}
        self._vpn: dict[Fec, dict[tuple[str, int, int], int]] = {}
        """Edge router -> (VRF, prefix, length) -> the label that it gave."""
        self._next = settings.first_label

    # Routes

    def route(self, fec: Fec, route: Route) -> int:
        """Set or change a route; our label for it. InputError: no label is left. UsageError: no such prefix."""
        if not 0 <= fec[1] <= 32 or not 0 <= fec[0] < 1 << 32 or fec[0] & ((1 << (32 - fec[1])) - 1):
            raise UsageError(f"no prefix: {fec[0]:#010x}/{fec[1]}")
        if fec in self.routes and (self.routes[fec] is None) != (route is None):
            self.unroute(fec)
        if fec not in self.local:
            self.local[fec] = self._own() if route is None else self._fresh()
        self.routes[fec] = route
        self.install(fec)
        return self.local[fec]

    def _own(self) -> int:
        return IPV4_EXPLICIT_NULL if self._settings.explicit_null else IMPLICIT_NULL

    def unroute(self, fec: Fec) -> int | None:
        """Forget a route; the label that was ours for it."""
        if fec not in self.routes:
            return None
        del self.routes[fec]
        label = self.local.pop(fec)
        self.lsr.labels.pop(label, None)
        self.lsr.vrfs[""].remove(*fec)
        self._follow(fec)
        return label

    def _fresh(self) -> int:
        while self._next in self.lsr.labels:
            self._next += 1
        if self._next > HIGHEST:
            raise InputError("all labels are in use; lower `first_label` or restart the router")
        self._next += 1
        return self._next - 1

    def vpn(self, vrf: str, fec: Fec, egress: int, label: int) -> None:
        """A route of a VPN by way of the edge router at address `egress`, which has given `label` for it.

        UsageError: no interface of the router is in this VRF.
        """
        if vrf not in self.lsr.vrfs:
            raise UsageError(f"router {self.lsr.name} has no VRF {vrf!r}")
        for others in self._vpn.values():
            others.pop((vrf, *fec), None)
        self._vpn.setdefault((egress, 32), {})[(vrf, *fec)] = label
        self._follow((egress, 32))

    # What neighbours say

    def install(self, fec: Fec) -> None:
        """Write the tables for one prefix."""
        route = self.routes.get(fec)
        if route is not None:
            interface, via = route
            label = next(
                (
                    self.remote[router][fec]
                    for router in sorted(self.addresses)
                    if via in self.addresses[router] and fec in self.remote.get(router, {})
                ),
                None,
            )
            out = () if label is None or label == IMPLICIT_NULL else (label,)
            towards = Towards(interface, out, via)
            self.lsr.vrfs[""].add(*fec, towards)
            if label is None:
                self.lsr.labels.pop(self.local[fec], None)
            else:
                self.lsr.labels[self.local[fec]] = towards
        self._follow(fec)

    def install_all(self) -> None:
        """Write the tables for every prefix: somebody's addresses have changed."""
        for fec in sorted(self.routes):
            self.install(fec)

    def forget(self, router: int) -> None:
        """A session is over."""
        if self.remote.pop(router, None) is not None:
            self.addresses.pop(router, None)
            self.install_all()

    def _follow(self, fec: Fec) -> None:
        """VPN routes follow the label towards their edge router; without one they are no routes."""
        routes = self._vpn.get(fec)
        if not routes:
            return
        # Our label for it is in the table only if the next hop has given one: perhaps the implicit null, which is none
        # to put on, but says that the next hop is the edge router itself.
        below = self.lsr.labels.get(self.local.get(fec, -1))
        for (vrf, prefix, length), label in routes.items():
            if isinstance(below, Towards):
                self.lsr.vrfs[vrf].add(prefix, length, Towards(below.interface, (*below.labels, label), below.via))
            else:
                self.lsr.vrfs[vrf].remove(prefix, length)
