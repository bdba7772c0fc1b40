"""UDP (RFC 768)."""

from dataclasses import dataclass


@dataclass(slots=True)
class UDP:
    """`checksum` is carried as it stands: it covers addresses that only the IP layer knows (see `checksum`)."""

    source_port: int
    destination_port: int
    checksum: int
    payload: bytes
