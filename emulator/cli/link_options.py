"""The options of `smets1 serve` that open tunnels from outside, and the opening of them."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emulator.errors import InputError

if TYPE_CHECKING:
    from emulator.link.ike.settings import Timers
    from emulator.shell.serving import Serving

_PORT = click.IntRange(0, 65_535)

GATEWAY = (
    click.option("--ike-address", help="A VPN gateway at this address: IKEv2, and ESP in UDP; wants a key."),
    click.option("--ike-port", type=_PORT, default=500, show_default=True, help="UDP; 0: any."),
    click.option("--natt-port", type=_PORT, default=4500, show_default=True, help="UDP, IKE and ESP; 0: any."),
    click.option("--local-id", default="hubs.operator.example", show_default=True, help="Who the gateway says it is."),
    click.option("--remote-id", default="", help="Whom it lets in.  [default: whoever proves an identity]"),
    click.option(
        "--dpd-delay",
        type=click.FloatRange(0, 86_400),
        default=1.0,
        show_default=True,
        help="Seconds of silence after which a gateway asks whether the other lives; 0: never.",
    ),
    click.option(
        "--retransmit",
        type=click.FloatRange(0.1, 600),
        default=1.0,
        show_default=True,
        help="Seconds between repetitions of a request. Four of them without an answer: the peer is dead.",
    ),
    click.option("--users", default="10.0.0.0/9", show_default=True, help="Network behind the other gateway."),
    click.option("--mpls-address", help="An edge router at this address: MPLS in UDP (RFC 7510)."),
    click.option("--mpls-port", type=_PORT, default=6635, show_default=True, help="UDP; 0: any."),
    click.option("--mpls-peer", default="127.0.0.1", show_default=True, help="The only address labels are taken from."),
    click.option("--mpls-peer-port", type=click.IntRange(1, 65_535), default=6635, show_default=True, help="Its port."),
)
"""What is asked by `smets1 link config` too."""

_FILE = click.Path(path_type=Path, dir_okay=False)
PROOFS = (
    click.option(
        "--psk-file",
        type=_FILE,
        help="File with the gateways' pre-shared key on one line, readable by its owner alone.",
    ),
    click.option("--cert-file", type=_FILE, help="The gateway's certificate, PEM, with the chain above it if any."),
    click.option("--ca-file", type=_FILE, help="Authorities, PEM, whose certificates the other gateway may come with."),
)
"""How both gateways prove themselves, without a certificate's private key: `smets1 link config` asks them too."""

_KEY = click.option("--key-file", type=_FILE, help="The certificate's private key, PEM, readable by its owner alone.")
_TUN = click.option("--tun", metavar="NAME", help="Make a TUN device whose other end is the estate; wants privilege.")


def timers(dpd_delay: float, retransmit: float) -> "Timers":
    """The shipped profile with these times, in seconds."""
    from emulator.kernel.time import SECOND
    from emulator.link.ike.settings import Timers

    return Timers(dpd_delay=round(dpd_delay * SECOND), retransmit=round(retransmit * SECOND))


def proves(psk: Path | None, certificate: Path | None, authorities: Path | None) -> None:
    """InputError: one of both gateways has nothing to prove itself with."""
    if psk is None and certificate is None:
        raise InputError(
            "a VPN gateway needs a key; name a file that holds it with --psk-file, or a certificate with --cert-file"
        )
    if psk is None and authorities is None:
        raise InputError("who signed the other gateway's certificate is to be known; name a file with --ca-file")


@dataclass(frozen=True, slots=True)
class LinkWish:
    """The tunnels that were asked for."""

    ike_address: str | None
    ike_port: int
    natt_port: int
    local_id: str
    remote_id: str
    dpd_delay: float
    retransmit: float
    users: str
    mpls_address: str | None
    mpls_port: int
    mpls_peer: str
    mpls_peer_port: int
    psk_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    ca_file: Path | None
    tun: str | None

    @property
    def wanted(self) -> bool:
        return self.ike_address is not None or self.mpls_address is not None or self.tun is not None

    def check(self) -> None:
        """InputError: half of what a gateway needs."""
        files = {"psk": self.psk_file, "cert": self.cert_file, "key": self.key_file, "ca": self.ca_file}
        if self.ike_address is None:
            for name, path in files.items():
                if path is not None:
                    raise InputError(f"--{name}-file is for a VPN gateway; say where it listens with --ike-address")
            return
        if (self.cert_file is None) != (self.key_file is None):
            raise InputError("a certificate and its private key go together; name both, --cert-file and --key-file")
        proves(self.psk_file, self.cert_file, self.ca_file)

    async def open(self, serving: "Serving", doors: AsyncExitStack) -> dict[str, Any]:
        """Open them until `doors` close; what a client has to know. Raises InputError."""
        from emulator.shell import outer

        live, gate, beyond = serving.live, serving.gate, serving.options.beyond_loopback
        now, facts = serving.pace.target, {}
        if self.ike_address is not None:
            from emulator.shell.ipsec_udp import IpsecGateway, IpsecSettings
            from emulator.shell.proofs import read_certificate, read_secret, read_trust

            if self.cert_file is not None:
                read_certificate(self.cert_file, self.local_id)
            secret = None if self.psk_file is None else read_secret(self.psk_file)
            trust = read_trust(self.cert_file, self.key_file, self.ca_file)
            place = outer.place(self.ike_address, beyond)
            ipsec = IpsecSettings(
                secret,
                self.ike_address,
                self.ike_port,
                self.natt_port,
                self.local_id,
                self.remote_id,
                self.users,
                timers(self.dpd_delay, self.retransmit),
                trust,
            )
            gateway = IpsecGateway(live, gate, ipsec, place, outer.carries(live, "ipsec", now))
            doors.callback(gateway.stop)
            live.link.ways_in["ipsec"] = gateway.status
            live.link.on_death.append(gateway.die)
            live.link.on_cut_over.append(lambda kind: None if kind.startswith("ipsec") else gateway.end())
            facts["ipsec"] = {**gateway.facts(), "carries": live.link.kind.startswith("ipsec")}
        if self.mpls_address is not None:
            from emulator.shell.mpls_udp import MplsEdge, MplsSettings

            place, peer = outer.place(self.mpls_address, beyond), outer.place(self.mpls_peer, beyond)
            mpls = MplsSettings(str(place), self.mpls_port, str(peer), self.mpls_peer_port)
            edge = MplsEdge(live, gate, mpls, place, outer.carries(live, "mpls", now))
            doors.callback(edge.stop)
            live.link.ways_in["mpls"] = edge.status
            facts["mpls"] = {**edge.facts(), "carries": live.link.kind.startswith("mpls")}
        if self.tun is not None:
            from emulator.shell.tun import TunDoor

            tun = TunDoor(live, gate, self.tun, outer.carries(live, "", now))
            doors.callback(tun.stop)
            live.link.ways_in["tun"] = tun.status
            facts["tun"] = tun.status()
        return {"tunnels": facts} if facts else {}


def link_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The decorated command gets them as `tunnels`: a LinkWish. Raises InputError."""

    @wraps(function)
    def gathered(*args: Any, **given: Any) -> Any:
        wish = LinkWish(**{name: given.pop(name) for name in LinkWish.__slots__})
        wish.check()
        return function(*args, **given, tunnels=wish)

    for option in reversed((*GATEWAY, *PROOFS, _KEY, _TUN)):
        gathered = option(gathered)
    return gathered
