"""The COSEM wrapper: eight bytes that carry an APDU over TCP or UDP (IEC 62056-47; DLMS UA 1000-2 7.3.3)."""

from dataclasses import dataclass


@dataclass(slots=True)
class Wrapper:
    """`source` and `destination` are wPorts (SAPs), 0 to 65,535; `payload` one APDU of at most 65,535 bytes."""

    source: int
    destination: int
    payload: bytes
