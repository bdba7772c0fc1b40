"""The security association database of one cell: the pair it begins with, made from the seed.

Each cell has a tunnel of its own with one AES-GCM-16 association each way (RFC 4106, 128-bit key, 4-byte salt). By
default both gateways agree on it by IKEv2 and renew it (`tunnel_control`). Static, the other `LinkProfile.keying`,
means: no IKE and no rekeying, the same keys from the first packet of a run to the last. 2^32 - 1 packets a
direction is what a sequence number without ESN gives, five hundred times what the busiest cell sends in a
whole migration; after that the sender refuses. Keys are derived from the seed and the cell and are test keys by
construction: whoever knows the seed of a run can read its traffic, and the capture's key file says so in the open.

Static SPIs are made to be read: 0x51, the cell, the direction in the last bit. Values below 256 are reserved (RFC 4303
2.1).
"""

from dataclasses import dataclass, field
from typing import Final

from emulator.crypto import derive
from emulator.link.profile import Direction, LinkProfile
from emulator.link.stage import Leg
from emulator.link.tunnel_control import TunnelControl

_SPI_BASE: Final = 0x5100_0000


@dataclass(frozen=True, slots=True)
class Association:
    """One direction of a tunnel. Gateways are outer IPv4 addresses as ints; keys are as the suite wants them."""

    spi: int
    source: int
    destination: int
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    integrity: bytes = field(default=b"", repr=False)


def association(leg: Leg) -> Association:
    """The static association of one cell and direction. Cells: 0 to 2^23 - 1. `key` is 32 bytes or, for suites that
    need no more, 16; `integrity` 64 bytes or, where the suite has none, nothing."""
    source, destination = leg.gateways
    name = leg.direction.name.lower()
    secret, suite = str(leg.seed).encode(), leg.profile.suite
    key = derive.key(secret, "link.esp.key", leg.cell, name)
    if suite.encryption.key > len(key):
        key += derive.key(secret, "link.esp.key.more", leg.cell, name)
    integrity = b"".join(derive.keys(secret, 4, "link.esp.integrity", leg.cell, name)) if suite.integrity else b""
    return Association(
        spi=_SPI_BASE | leg.cell << 1 | leg.direction,
        source=source,
        destination=destination,
        key=key,
        salt=derive.key(secret, "link.esp.salt", leg.cell, name)[:4],
        integrity=integrity,
    )


def pair(seed: int, cell: int, profile: LinkProfile) -> tuple[Association, Association]:
    """Both associations that a cell begins with: down, up."""
    legs = [Leg(seed, cell, direction, profile) for direction in Direction]
    if profile.keying == "static":
        return association(legs[0]), association(legs[1])
    first = TunnelControl(seed, cell, profile).first.specs
    down, up = (
        Association(spec.spi, *leg.gateways, spec.key, spec.salt, spec.integrity)
        for leg, spec in zip(legs, first, strict=True)
    )
    return down, up
