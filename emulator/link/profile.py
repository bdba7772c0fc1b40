"""What can be set on the core link, with the standing of each figure.

FACT: published. ASSUMED: a choice of ours where nothing is published; a user who knows better replaces it.
"""

from dataclasses import dataclass
from enum import IntEnum

from emulator.kernel.effects import Instant
from emulator.kernel.time import MILLISECOND, SECOND


class Direction(IntEnum):
    """Which way over the core link. `DOWN` is from the data centre to the operator's gateway, towards the hubs."""

    DOWN = 0
    UP = 1


@dataclass(frozen=True, slots=True)
class Outage:
    """The link is black, both ways, from `start` on. FACT: an outage lasts six seconds."""

    start: Instant
    seconds: int = 6

    @property
    def end(self) -> Instant:
        """The first instant at which the link carries again."""
        return self.start + self.seconds * SECOND


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """One core link.

    `propagation_us`: one way, constant, so that the link keeps order. ASSUMED (a national fixed link, two gateways).
    `loss`: in [0, 1], each way. ASSUMED: none; losses of a fixed core link are outages.
    `outages`: planned ones. `outages_per_day`: the expected number of others, at keyed instants, per cell, as every
    cell has its own tunnel (0 to 64 a day); None: what the kind says. ASSUMED. `outage_seconds`: how long those last.
    FACT: six.
    `mtu`: bytes, outermost IPv4 packet. ASSUMED (Ethernet); larger packets are lost, as everything is sent with DF.
    `head_end`, `hub_base`: IPv4 addresses as ints; a hub's is the base plus its installation number. ASSUMED
    (10.0.0.1, 10.128.0.0); `hub_span`: how many addresses the hubs' network has.
    `gateway_down`, `gateway_up`: outer addresses of cell 0's gateways at the data centre and at the operator; a cell's
    are these plus the cell number. ASSUMED (198.18.0.0/15, RFC 2544, never routed).
    `ttl`: of the inner packet on the link. ASSUMED: 64 less the sending gateway's hop. `outer_ttl`: of the outer one.
    `cosem_port`: FACT, IANA's dlms/cosem port.
    """

    propagation_us: int = 20 * MILLISECOND
    loss: float = 0.0
    outages: tuple[Outage, ...] = ()
    outages_per_day: float | None = None
    outage_seconds: int = 6
    mtu: int = 1500
    head_end: int = 0x0A000001
    hub_base: int = 0x0A800000
    hub_span: int = 1 << 23
    gateway_down: int = 0xC6120000
    gateway_up: int = 0xC6130000
    ttl: int = 63
    outer_ttl: int = 64
    cosem_port: int = 4059


STANDARD = LinkProfile()
