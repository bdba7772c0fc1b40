"""ESP as AES-GCM with an 8-byte IV shapes it (RFC 4303, RFC 4106): the outside of the packet, nothing secret."""

from dataclasses import dataclass


@dataclass(slots=True)
class ESP:
    """`iv` is 8 bytes; `text` is the ciphertext with its integrity check value."""

    spi: int
    sequence: int
    iv: bytes
    text: bytes
