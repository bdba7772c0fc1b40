"""Why a router keeps a packet to itself. Refusals are values: `Dropped`; inside the package they travel as `Drop`."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from emulator.errors import EmulatorError
from emulator.link.stage import Reason as LinkReason

Reason: TypeAlias = Literal[
    "malformed", "protocol", "not-ours", "label", "reserved", "ttl", "no-route", "too-big", "interface", "down"
]
"""malformed: not a stack, or no IPv4 packet below it. protocol: of another Ethernet type, or not IPv4 under the stack.
not-ours: for another router. label: nobody was told to use it. reserved: a label below 16 that has no business here.
ttl: used up. no-route: the destination is nowhere. too-big: over the MTU, labels included. interface: it carries no
labels. down: a fault holds the path down."""


class Drop(EmulatorError):
    """Never leaves the package."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Dropped:
    """What became of a packet that went no further; `detail` is a clause for people."""

    reason: Reason
    detail: str


AS_LINK: Final[dict[Reason, LinkReason]] = {
    "malformed": "malformed",
    "protocol": "protocol",
    "not-ours": "not-ours",
    "label": "label",
    "reserved": "label",
    "ttl": "ttl",
    "no-route": "selector",
    "too-big": "malformed",
    "interface": "protocol",
    "down": "label",
}
"""The words of the link's own record for these."""
