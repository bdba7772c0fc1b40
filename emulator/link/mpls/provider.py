"""The link kind `mpls-l3vpn`: a provider's network of three routers, as a stage.

The sending gateway is the edge router of one side: it finds the customer's network in its VRF and imposes two labels.
What crosses the wire is what it sends, in UDP 6635. At the other end stand the router in the middle, which pops the
transport label (it is the last but one) or, if the provider prefers, swaps it for the explicit null, and the far edge
router, which finds the VRF by the label that is left. So a bent label, a TTL that runs out or a lost bottom bit does
what it does in such a network, and the refusal is the router's own. `LabelStack` is the quick stage for when nobody
asks what happens inside.

ASSUMED, as is everything about the operator's network: three routers, one VRF, uniform TTLs.
"""

from emulator.errors import InputError
from emulator.link.mpls.drops import AS_LINK, Dropped
from emulator.link.mpls.encapsulation import InUdp, Plain
from emulator.link.mpls.habits import IPV4_EXPLICIT_NULL, STANDARD, Habits
from emulator.link.mpls.lsr import Interface, Lsr
from emulator.link.mpls.network import Network
from emulator.link.mpls.stage import labels
from emulator.link.mpls.tables import Inside, Towards
from emulator.link.stage import Leg, Refused

_VRF = "smart-metering"
_ROUTERS = 3
_MIDDLE = 0x8000
"""The middle router's addresses are the gateways' plus this; a cell's number is below it."""


class Provider:
    """One direction of the provider's network. `overhead`: IPv4, UDP, two labels."""

    overhead = 20 + 8 + 8

    def __init__(self, leg: Leg, habits: Habits = STANDARD, explicit_null: bool = False) -> None:
        """InputError: the profile's TTL does not last for three routers."""
        if leg.profile.ttl <= _ROUTERS:
            raise InputError(f"a TTL of {leg.profile.ttl} ends inside the provider; use {_ROUTERS + 1} or more")
        near, far = leg.gateways
        middle = near + _MIDDLE, far + _MIDDLE
        transport, vpn = labels(leg)
        mtu, ttl = leg.profile.mtu, leg.profile.outer_ttl
        inside = Interface("customer", Plain(), mtu, _VRF)

        def core(name: str, local: int, remote: int) -> Interface:
            return Interface(name, InUdp(local, remote, ttl), mtu)

        self._near = Lsr("near", [inside, core("core", near, middle[0])], habits)
        self._near.vrfs[_VRF].add(0, 0, Towards("core", (transport, vpn)))
        relay = Lsr("middle", [core("near", middle[0], near), core("far", middle[1], far)], habits)
        relay.labels[transport] = Towards("far", (IPV4_EXPLICIT_NULL,) if explicit_null else ())
        end = Lsr("far", [inside, core("core", far, middle[1])], habits)
        end.labels[vpn] = Inside(_VRF)
        end.vrfs[_VRF].add(0, 0, Towards("customer"))
        self._beyond = Network([relay, end], [(("middle", "far"), ("far", "core"))])

    def wrap(self, packet: bytes) -> bytes:
        sent = self._near.forward(packet, "customer", 0)
        if isinstance(sent, Dropped):
            raise Refused(AS_LINK[sent.reason], sent.detail)
        return sent[0].frame

    def unwrap(self, packet: bytes) -> bytes:
        for router, interface, what in self._beyond.cross("middle", "near", packet, 0):
            if isinstance(what, Dropped):
                raise Refused(AS_LINK[what.reason], f"router {router}: {what.detail}")
            if (router, interface) == ("far", "customer"):
                return what
        raise Refused("not-ours", "the packet leaves the network elsewhere")

    def whole(self) -> None:
        return None
