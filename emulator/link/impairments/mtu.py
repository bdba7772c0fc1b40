"""A hop that carries only so large a packet (row 18).

`black-hole` swallows what is larger, `too-big` does so too and tells its sender (ICMP, RFC 1191), who may know what to
do about it. `fragment` cuts it, also where DF is set: a router that should not. What is not IPv4 is swallowed.
"""

from ipaddress import IPv4Address
from typing import ClassVar, Final

from emulator.errors import FrameError
from emulator.kernel.effects import Instant
from emulator.link.fragments import fragment, too_big
from emulator.link.impairments.base import Carried, Impairment, Luck

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
        try:
            if self._policy == "fragment":
                return list(enumerate(fragment(packet, self._mtu)))
            if self._policy == "too-big" and len(self.back) < _MOST_RETURNED:
                answer = too_big(packet, self._mtu, self._router)
                if answer is not None:
                    self.back.append(answer)
        except FrameError:
            pass
        return []

    def returned(self) -> list[bytes]:
        back, self.back = self.back, []
        return back
