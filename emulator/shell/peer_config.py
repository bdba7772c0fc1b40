"""What the other gateway is to be told: configurations that load as they are printed.

Both files of strongSwan have one syntax and ignore each other's sections, so one text serves as both. The pre-shared
key is never in it: it stands in a file of its own that is included, and which `secrets` writes for its owner alone.
Where ends sign instead, the peer finds certificates and its private key in the folders that swanctl always reads.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from emulator.errors import InputError
from emulator.link.ike.settings import Secret, Timers, network
from emulator.link.mpls.encapsulation import UDP_PORT
from emulator.link.profile import STANDARD, LinkProfile
from emulator.shell.inner import HubAddresses
from emulator.shell.mpls_udp import label_pairs
from emulator.shell.outer import place
from emulator.shell.tun import DEVICE

SECRETS: Final = "smets1-secrets.conf"
"""Name of the file with the key, beside the configuration."""

_NAME: Final = re.compile(r"^([A-Za-z0-9._-]+(@[A-Za-z0-9._-]+)?)?$", re.ASCII)
_SECOND: Final = 1_000_000
_IKE: Final = "aes256gcm16-prfsha256-x25519,aes128gcm16-prfsha256-ecp256,aes256-sha256-modp2048"
_THEIRS: Final = "gateway.data-centre.example"
_ESP: Final = "aes256gcm16,aes128gcm16,chacha20poly1305,aes256-sha256"


@dataclass(frozen=True, slots=True)
class Ends:
    """Both gateways as the peer's administrator sees them: ours is the remote one. `users`: the network behind theirs;
    `remote_id`: theirs, "": to be chosen. InputError: a name, address or network that no configuration can hold."""

    address: str
    ike_port: int
    natt_port: int
    local_id: str
    remote_id: str
    users: str
    installations: int
    profile: LinkProfile = STANDARD
    we_sign: bool = False
    they_sign: bool = False
    """With a certificate, and not by the pre-shared key."""

    def __post_init__(self) -> None:
        place(self.address, beyond_loopback=True)
        network(self.users)
        for name in (self.local_id, self.remote_id):
            if not _NAME.match(name):
                raise InputError(f"{name!r} is no identity; use letters, digits, dots, hyphens and at most one @")

    @property
    def homes(self) -> HubAddresses:
        return HubAddresses(self.installations, self.profile)


def strongswan(ends: Ends, timers: Timers | None = None) -> str:
    """swanctl.conf and strongswan.conf in one. The timers are the shipped profile's, which make the six seconds.

    charon looks for silence once a second and reckons it in whole seconds, so it may find a death out up to a second
    later than an exact clock would: 5.0 to 7.0 s, and 5.0 to 6.0 s when the death comes later in its second than the
    tunnel came up in its own (tests/strangers/test_live_charon.py measures both ends of it).
    """
    timers, homes, last = timers or Timers(), ends.homes, ends.installations - 1
    port = ""
    if (ends.ike_port, ends.natt_port) != (500, 4500):
        # charon moves from 500 to 4500 and to no other port. From a port other than 500 it speaks as on 4500 at once.
        port = f"\n    local_port = 4500\n    remote_port = {ends.natt_port}"
    theirs = ends.remote_id or _THEIRS
    certificates, key = "", ""
    if ends.we_sign or ends.they_sign:
        certificates = "#\n# Certificates and keys, PEM, in folders beside swanctl.conf:"
        certificates += f"\n#   x509ca/: the authority of {ends.local_id}'s certificate" if ends.we_sign else ""
        if ends.they_sign:
            certificates += f"\n#   x509/ and private/: the certificate that speaks for {theirs}, and its key"
        certificates += "\n"
    if not (ends.we_sign and ends.they_sign):
        key = "# The key: secrets { ike-smets1 { "
        key += f"id-1 = {theirs}, id-2 = {ends.local_id}, secret = ... }} }}, mode 600.\ninclude {SECRETS}\n\n"
    return f"""# strongSwan, both files in one: load it as swanctl.conf (swanctl --load-all --file THIS) and name it as
# STRONGSWAN_CONF, or copy the sections. Each file ignores the sections of the other.
#
# Inner addresses: home n answers COSEM wrapper frames over UDP and TCP, port {ends.profile.cosem_port}, and pings, at
#   home 0: {homes.of(0)}    home {last}: {homes.of(last)}    (home n: {homes.of(0)} + n)
# Users have addresses within {ends.users}; source addresses outside it do not enter the tunnel.
{certificates}
connections {{
  smets1 {{
    version = 2
    remote_addrs = {ends.address}{port}
    proposals = {_IKE}
    dpd_delay = {timers.dpd_delay / _SECOND:g}s
    rekey_time = {timers.rekey_ike // _SECOND}s
    keyingtries = 0
    local {{
      auth = {"pubkey" if ends.they_sign else "psk"}
      id = {theirs}
    }}
    remote {{
      auth = {"pubkey" if ends.we_sign else "psk"}
      id = {ends.local_id}
    }}
    children {{
      hubs {{
        local_ts = {ends.users}
        remote_ts = {homes.network}
        esp_proposals = {_ESP}
        rekey_time = {timers.rekey_child // _SECOND}s
        start_action = start
        close_action = start
        dpd_action = restart
      }}
    }}
  }}
}}

{key}charon-systemd {{
  retransmit_timeout = {timers.retransmit / _SECOND:.1f}
  retransmit_base = {timers.base:g}
  retransmit_tries = {timers.tries}
  plugins {{
    kernel-libipsec {{
      load = yes
    }}
  }}
}}
"""


def secrets(ends: Ends, secret: Secret) -> str:
    """The file that `strongswan` includes. Holds the key: for the eyes of its owner alone."""
    theirs = ends.remote_id or _THEIRS
    return f"""secrets {{
  ike-smets1 {{
    id-1 = {theirs}
    id-2 = {ends.local_id}
    secret = 0x{secret.key.hex()}
  }}
}}
"""


def label_tables(
    address: str, port: int, peer: str, installations: int, users: str, profile: LinkProfile = STANDARD
) -> str:
    """The other edge router, as the static label tables of `link.mpls.static`. InputError: no address, no network."""
    for text in (address, peer):
        place(text, beyond_loopback=True)
    network(users)
    homes = HubAddresses(installations, profile)
    (down_transport, down_vpn), (_, up_vpn) = label_pairs(profile)
    note = f"# It listens on UDP port {port} instead of RFC 7510's.\n" if port != UDP_PORT else ""
    return f"""# The data centre's edge router, opposite {address}. Home 0 is at {homes.of(0)}, home n at that + n.
{note}
[[router]]
name = "data-centre"
[[router.interface]]
name = "core"
encapsulation = "udp"
local = "{peer}"
remote = "{address}"
[[router.interface]]
name = "users"
encapsulation = "plain"
vrf = "smart-metering"
[[router.route]]
vrf = "smart-metering"
prefix = "{homes.network}"
interface = "core"
push = [{down_transport}, {down_vpn}]
[[router.route]]
vrf = "smart-metering"
prefix = "{users}"
interface = "users"
[[router.label]]
in = {up_vpn}
vrf = "smart-metering"
"""


def tun(name: str, installations: int, users: str, profile: LinkProfile = STANDARD) -> str:
    """Commands that lead a kernel's packets to the device. InputError: that is no name of one."""
    if not DEVICE.match(name):
        raise InputError(f"{name!r} is no name of a device; use at most 15 letters and digits")
    network(users)
    homes = HubAddresses(installations, profile)
    return f"""# Home 0 is at {homes.of(0)}, home n at that + n. Users are within {users}.
ip link set {name} up mtu 1400
ip addr add {IPv4Address(profile.head_end)}/32 dev {name}
ip route add {homes.network} dev {name} src {IPv4Address(profile.head_end)}
"""
