"""A NAT in the path (row 24): one box for both directions, which `link.nat` describes.

Who is behind it is one of the two gateways: what leaves there goes out under the NAT's address and ports, what comes
back finds its way in as long as the mapping lasts. Bare ESP has no ports and dies here by default, and gateways that
hold on to the address they were given refuse what comes from another one: that is what it is for.
"""

from copy import deepcopy
from typing import Any

from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND
from emulator.link.impairments.base import Carried, Impairment
from emulator.link.nat import Nat


class Translated(Impairment):
    """One direction through a NAT that it shares with the other. Every `rebind_s` seconds it forgets all (0: never)."""

    __slots__ = ("_nat", "_outward", "_rebind", "epoch")

    def __init__(self, nat: Nat, *, outward: bool, rebind_s: float) -> None:
        self._nat = nat
        self._outward = outward
        self._rebind = round(rebind_s * SECOND)
        self.epoch: int | None = None

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        if self._rebind and self._outward:
            epoch = now // self._rebind
            if self.epoch is not None and epoch != self.epoch:
                self._nat.rebind()
            self.epoch = epoch
        passed = self._nat.outward(packet, now) if self._outward else self._nat.inward(packet, now)
        return [] if passed is None else [(0, passed)]

    def snapshot(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "nat": deepcopy(self._nat)}

    def restore(self, state: dict[str, Any]) -> None:
        """Both directions hold the same state of the one NAT."""
        self.epoch = state["epoch"]
        for name in Nat.__slots__:
            setattr(self._nat, name, deepcopy(getattr(state["nat"], name)))
