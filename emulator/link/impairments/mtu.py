"""A hop that carries only so large a packet (row 18).

`black-hole` swallows what is larger, `too-big` does so too and says it: ICMP destination unreachable, fragmentation
needed (RFC 792, with the next hop's MTU of RFC 1191), with the packet's header and eight bytes, to its sender.
`fragment` cuts it (RFC 791 3.2), also where DF is set: a router that should not. What is not IPv4 is swallowed.
"""

from ipaddress import IPv4Address
from typing import ClassVar, Final

from msgspec.structs import replace

from emulator.codecs import icmp
from emulator.codecs.icmp import ICMP, ICMP_FRAME
from emulator.codecs.ipv4 import HEADER, IPV4_FRAME, IPv4
from emulator.errors import FrameError
from emulator.kernel.effects import Instant
from emulator.link.impairments.base import Carried, Impairment, Luck

_UNREACHABLE: Final = 3
_FRAGMENTATION_NEEDED: Final = 4
_TTL: Final = 64
_MORE: Final = 1
_DONT: Final = 2
_MOST_RETURNED: Final = 64


class Mtu(Impairment):
    """Packets of more than `mtu` bytes do not pass as they are."""

    __slots__ = ("_mtu", "_policy", "_router", "back")
    STATE: ClassVar[tuple[str, ...]] = ("back",)

    def __init__(self, luck: Luck, *, mtu: int, policy: str, router: str) -> None:
        """`router`: the address that says so, dotted."""
        self._mtu = mtu
        self._policy = policy
        self._router = int(IPv4Address(router))
        self.back: list[bytes] = []

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        if len(packet) <= self._mtu:
            return [(0, packet)]
        if self._policy == "black-hole":
            return []
        try:
            outside = IPV4_FRAME.parse(packet)
        except FrameError:
            return []
        if self._policy == "fragment":
            return [(turn, each) for turn, each in enumerate(fragments(outside, self._mtu))]
        if len(self.back) < _MOST_RETURNED:
            self.back.append(too_big(outside, packet, self._mtu, self._router))
        return []

    def returned(self) -> list[bytes]:
        back, self.back = self.back, []
        return back


def fragments(whole: IPv4, mtu: int) -> list[bytes]:
    """The packets that together are `whole`, each of at most `mtu` bytes (28 or more); a fragment is cut on."""
    room = (mtu - HEADER) // 8 * 8
    payload, found = whole.payload, []
    for start in range(0, len(payload), room):
        more = start + room < len(payload) or whole.flags & _MORE
        piece = replace(
            whole,
            payload=payload[start : start + room],
            flags=whole.flags & ~(_DONT | _MORE) | (_MORE if more else 0),
            fragment_offset=whole.fragment_offset + start // 8,
        )
        found.append(IPV4_FRAME.build(piece))
    return found


def too_big(whole: IPv4, packet: bytes, mtu: int, router: int) -> bytes:
    """The ICMP message (type 3, code 4) that tells a packet's sender of the MTU."""
    said, start = (_UNREACHABLE, _FRAGMENTATION_NEEDED), packet[: HEADER + 8]
    message = ICMP_FRAME.build(ICMP(*said, icmp.checksum(*said, mtu, start), mtu, start))
    return IPV4_FRAME.build(IPv4(router, whole.source, icmp.PROTOCOL, 0, _TTL, message, flags=0))
