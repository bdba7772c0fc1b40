"""MPLS: labels between the two gateways, and the routers that read them.

`stage` is the link's quick stage, two labels in UDP. `lsr` is a label switching router, sans I/O, with `tables`,
`habits` (where routers differ), `encapsulation` (Ethernet, UDP, IP) and `ip` (TTL, fragments, ICMP); `network` joins
routers, `static` reads them from TOML, `provider` makes a link of them. `faults` is what goes wrong with labels. `ldp`
fills the tables by talking to neighbours.
"""

from emulator.link.mpls.stage import PORT, LabelStack, labels

__all__ = ["PORT", "LabelStack", "labels"]
