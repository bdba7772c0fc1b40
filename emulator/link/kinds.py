"""The kinds of core link, as data. A new kind is a line here, and a stage if its layer is new.

Under every kind lies the frame's own UDP in IPv4; `stages` is what the gateways add around it, innermost first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from emulator.errors import InputError
from emulator.link.esp import Tunnel
from emulator.link.mpls import LabelStack
from emulator.link.mpls.provider import Provider
from emulator.link.stage import Leg, Stage


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `layers`: the headers from outside in. `outages_per_day`: the expected number, per cell; ASSUMED.

    `standby`: the kind that carries while this one does not; its outages are its own.
    """

    name: str
    stages: tuple[Callable[[Leg], Stage], ...]
    layers: tuple[str, ...]
    outages_per_day: float
    about: str
    standby: str | None = None


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("plain", (), ("IPv4", "UDP"), 0.0, "no gateways: what a test of the frames themselves wants"),
            # FACT: the IPsec link has outages of six seconds. ASSUMED: how often.
            Kind("ipsec", (Tunnel,), ("IPv4", "ESP", "IPv4", "UDP"), 1.0, "the temporary link, with its outages"),
            # FACT: MPLS replaces it in June 2020. INFERENCE: to be rid of the outages.
            Kind("mpls", (LabelStack,), ("IPv4", "UDP", "MPLS", "MPLS", "IPv4", "UDP"), 0.0, "the fixed link"),
            Kind(
                "mpls-l3vpn",
                (Provider,),
                ("IPv4", "UDP", "MPLS", "MPLS", "IPv4", "UDP"),
                0.0,
                "the fixed link with every router of the provider's network at work",
            ),
            Kind(
                "ipsec-standby",
                (Tunnel,),
                ("IPv4", "ESP", "IPv4", "UDP"),
                1.0,
                "the temporary link, and the fixed one when it fails",
                "mpls",
            ),
            Kind(
                "mpls-standby",
                (LabelStack,),
                ("IPv4", "UDP", "MPLS", "MPLS", "IPv4", "UDP"),
                0.0,
                "the fixed link, and the temporary one when it fails",
                "ipsec",
            ),
        )
    }
)

DEFAULT: Final = "ipsec"


def kind(name: str) -> Kind:
    """The kind of this name. InputError: there is none."""
    found = KINDS.get(name)
    if found is None:
        raise InputError(f"no link kind {name!r}; choose from {', '.join(KINDS)}")
    return found
