"""Ciphered APDUs: service-specific glo- and ded-, and general-glo / general-ded (DLMS UA 1000-2 9.2.7, 9.5).

The codec knows where the bytes are and nothing of keys: `text` is what the crypto room seals and opens, its
authentication tag included when the security control byte says there is one.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Ciphered:
    """`tag` is the APDU tag (0xC8 glo-get-request...); `invocation_counter` 32 bits; `text` includes the tag bytes."""

    tag: int
    security_control: int
    invocation_counter: int
    text: bytes


@dataclass(slots=True)
class GeneralCiphered:
    """general-glo-ciphering (0xDB): the sender names itself, so that a receiver who never met it can make the nonce."""

    system_title: bytes
    security_control: int
    invocation_counter: int
    text: bytes
