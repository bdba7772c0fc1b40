"""IPv4 without options (RFC 791)."""

from dataclasses import dataclass


@dataclass(slots=True)
class IPv4:
    """Addresses are 32-bit ints. `service` is the DSCP/ECN byte, `flags` three bits (2 don't fragment, 1 more
    fragments), `fragment_offset` in units of 8 bytes (13 bits). The header checksum is computed and checked, never carried."""

    source: int
    destination: int
    protocol: int
    identification: int
    ttl: int
    payload: bytes
    service: int = 0
    flags: int = 2
    fragment_offset: int = 0
