"""What can be set on the core link, with the standing of each figure.

FACT: published. ASSUMED: a choice of ours where nothing is published; a user who knows better replaces it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final, Literal

from msgspec import Meta

from emulator.errors import InputError
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, MILLISECOND, SECOND
from emulator.link.esp_spec import inner_mtu
from emulator.link.fragments import LEAST_MTU
from emulator.link.ike.settings import Timers
from emulator.link.ike.suites import ESP, Suite, choose, offered, offers

_LEAST_MTU: Final = 128
"""A tunnel in UDP, its trailer and the inner headers, and room for something."""


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
class PeerDeath:
    """A gateway of the IPsec link dies at `at` with everything it knew, and is back `restart_us` later.

    How long the outage is nobody says: the other end has to find out. `end`: whose gateway. ASSUMED: two seconds.
    """

    at: Instant
    end: Literal["operator", "data-centre"] = "operator"
    restart_us: int = 2 * SECOND

    def __post_init__(self) -> None:
        if self.restart_us < 0:
            raise InputError(f"a gateway cannot be back {-self.restart_us} us before it dies; give 0 or more")


@dataclass(frozen=True, slots=True)
class CutOver:
    """From `at` on another kind of link carries everything: FACT, MPLS replaces IPsec in June 2020.

    `black_us` 0 makes before it breaks: the new path stands, and what is under way on the old one is still taken for
    `overlap_us`. Otherwise the old one is broken first and nothing is carried for so long. ASSUMED, both.
    """

    at: Instant
    to: str = "mpls"
    overlap_us: int = 5 * SECOND
    black_us: int = 0

    def __post_init__(self) -> None:
        if self.overlap_us < 0 or self.black_us < 0:
            raise InputError("a cut-over has no negative times; give overlap and gap as 0 or more")


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

    `fidelity`: `wire`, every byte there is; `pipe`, delays, losses and outages alone, and no captures; or `interop`,
    the bytes of the wire, which in a campaign leave this process on their way.
    `keying`: where the tunnel's associations come from: both gateways run IKEv2, or a static pair without it. `ike`:
    the timers of it, and how a dead gateway is found out. `clock_us`: how finely a gateway remembers when it last took
    a packet (ASSUMED: whole seconds, strongSwan's clock for it). `peer_deaths`: of gateways. `cut_over`: to another
    kind of link.
    `esp`: how the tunnel protects packets, an ESP proposal as IKE writes it, such as `aes256gcm8-esn` (with extended
    sequence numbers), `aes128-sha256` or `chacha20poly1305`; of alternatives the first is agreed on. ASSUMED.
    `encap`: ESP in UDP, as where a NAT was found. `window`: of anti-replay. `follow`: with `encap`, an authentic packet
    from another address moves the peer there (RFC 7296 2.23). `fragment`: what becomes of a frame that does not fit the
    MTU: lost; cut before it is sealed, so that each piece is a packet of the tunnel; or cut after.
    Of a link with a standby: `detect_us`, how soon a dead labelled path is noticed (ASSUMED: three hellos of BFD at
    300 ms); `lead_us`, how long before a planned outage traffic is moved away (ASSUMED); `revert`, whether it goes back
    once the first path is whole (ASSUMED).
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
    fidelity: Literal["wire", "pipe", "interop"] = "wire"
    keying: Literal["ike", "static"] = "ike"
    esp: str = "aes128gcm16-noesn"
    encap: bool = False
    window: Annotated[int, Meta(ge=1, le=4096)] = 64
    follow: bool = True
    fragment: Literal["never", "before", "after"] = "never"
    ike: Timers = Timers(rekey_ike=DAY)
    clock_us: Annotated[int, Meta(ge=1)] = SECOND
    peer_deaths: tuple[PeerDeath, ...] = ()
    cut_over: CutOver | None = None
    detect_us: Annotated[int, Meta(ge=0)] = 900 * MILLISECOND
    lead_us: Annotated[int, Meta(ge=0)] = SECOND
    revert: bool = True

    def __post_init__(self) -> None:
        if not _LEAST_MTU <= self.mtu <= 65_535:
            raise InputError(f"mtu: {self.mtu} bytes; give {_LEAST_MTU} to 65535")
        suite = self.suite
        name = "-".join(one.name for one in (suite.encryption, suite.integrity) if one)
        room = inner_mtu(name, self.mtu, encap=self.encap)
        if self.fragment == "before" and room < LEAST_MTU:
            raise InputError(f"mtu: {self.mtu} leaves pieces of {room} bytes in {self.esp}; give more, or cut after")

    @property
    def suite(self) -> Suite:
        """What both gateways agree on of `esp`."""
        ours = offers((self.esp,), ESP)
        chosen = choose(ours, offered(ours, b""), group=False)
        assert chosen is not None, "an offer fits itself"
        return chosen[0]

    @property
    def kept_us(self) -> int:
        """How often the gateways say something with nothing to carry: keepalives, dead-peer detection; 0: never."""
        said = [each for each in (self.ike.keepalive, self.ike.dpd_delay) if each] if self.keying == "ike" else []
        return min(said, default=0)


STANDARD = LinkProfile()
