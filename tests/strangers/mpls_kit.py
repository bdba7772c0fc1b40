"""A kernel as a label switching router: what comes in on its first device, what goes out on its second.

lsr = KernelLsr(guest)                       # a Guest with two devices
lsr.route("100 as 200")                      # swap;  "101" pops;  "102 as 300/301" swaps and pushes
lsr.impose("10.3.0.0/24", "400/401")
lsr.forward(labelled(100, ttl=64, inner=packet))   # -> [Out(1, MPLS, ...)]
"""

from ipaddress import IPv4Address
from typing import NamedTuple

from uml_kit import Guest
from wire_kit import IPV4, MPLS

from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS as STACK
from emulator.codecs.mpls import MPLS_FRAME, Label

BEFORE, ROUTER, AFTER = "192.0.2.1", ("192.0.2.2", "198.51.100.2"), "198.51.100.1"
_EXPLICIT_NULL = 0


class Out(NamedTuple):
    """What left the router: number of the device, Ethernet type, what the frame carried."""

    device: int
    kind: int
    body: bytes


class KernelLsr:
    """The guest's kernel forwards labels 16 to 2,047 between vec0 and vec1."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        guest.load("mpls_router", "mpls_iptunnel")
        self.setting("net.mpls.platform_labels", 2_048)
        self.setting("net.ipv4.ip_forward", 1)
        for number, near in enumerate((BEFORE, AFTER)):
            mac = guest.wires[number].ours.hex(":")
            guest.ip(
                f"addr add {ROUTER[number]}/24 dev vec{number}",
                f"neigh add {near} lladdr {mac} dev vec{number} nud permanent",
            )
            self.setting(f"net.mpls.conf.vec{number}.input", 1)
        source, destination = int(IPv4Address(BEFORE)), int(IPv4Address(AFTER))
        self._mark = IPV4_FRAME.build(IPv4(source, destination, 253, 0, 64, b"mark"))

    def setting(self, name: str, value: int) -> None:
        """A sysctl of the guest."""
        self.guest.run(["sh", "-c", f"echo {value} > /proc/sys/{name.replace('.', '/')}"])

    def route(self, words: str, towards: str = f"via inet {AFTER} dev vec1") -> None:
        """What becomes of a label: `ip -f mpls route`'s own words."""
        self.guest.run(f"ip -f mpls route replace {words} {towards}")

    def impose(self, prefix: str, labels: str) -> None:
        """IPv4 for `prefix` leaves with these labels, outermost first."""
        self.guest.run(f"ip route replace {prefix} encap mpls {labels} via inet {AFTER} dev vec1")

    def forward(self, body: bytes, kind: int = MPLS, device: int = 0) -> list[Out]:
        """Everything that leaves the router because of this packet: told by a later one that certainly leaves, by the
        longest way there is (popped, looked at as IPv4, routed), so that nobody waits for silence."""
        self.guest.wires[device].send(body, kind)
        self.guest.wires[device].send(labelled(_EXPLICIT_NULL, ttl=64, inner=self._mark), MPLS)
        found = []
        while True:
            frame = self.guest.wires[1].receive_any()
            assert frame is not None, "the router is silent"
            if frame[1].endswith(b"mark"):
                break
            found.append(Out(1, *frame))
        while (frame := self.guest.wires[0].receive_any(0.0)) is not None:
            found.append(Out(0, *frame))
        return found


def labelled(*labels: int | tuple[int, int, int], inner: bytes, ttl: int = 64) -> bytes:
    """A label stack around `inner`: each label alone, or with its (label, traffic class, TTL)."""
    entries = [Label(*each) if isinstance(each, tuple) else Label(each, 0, ttl) for each in labels]
    return MPLS_FRAME.build(STACK(tuple(entries), inner))


def stack(out: Out) -> tuple[list[tuple[int, int, int]], bytes]:
    """([(label, traffic class, TTL), ...], what is inside) of a labelled packet; no labels for IPv4."""
    if out.kind == IPV4:
        return [], out.body
    parsed = MPLS_FRAME.parse(out.body)
    return [(each.label, each.traffic_class, each.ttl) for each in parsed.labels], parsed.payload
