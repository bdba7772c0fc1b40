"""The ways ESP protects a packet (RFC 4303), by the words IKE proposals are written in.

`aes128gcm16` is AES-GCM with an ICV of 16 bytes (RFC 4106; RFC 8221 wants all implementations to have it) and
`aes128gcm8` the same with 8; `chacha20poly1305` is RFC 7634; `aes128-sha256` is AES-CBC (RFC 3602) with
HMAC-SHA-256-128 (RFC 4868), a cipher and an integrity algorithm. In all of them the packet is
SPI 4 | sequence 4 | IV | ciphertext | ICV.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from emulator.errors import InputError

Mode: TypeAlias = Literal["gcm", "chacha", "cbc"]


@dataclass(frozen=True, slots=True)
class EspSuite:
    """One of them; all sizes in bytes.

    `salt` is the part of the nonce that is agreed with the key, `integrity` the key of the HMAC (`digest` its hash): an
    AEAD has the one and CBC the other. What is sealed is padded to a multiple of `grain`. `cipher_title` and
    `integrity_title` are Wireshark's names in its table `esp_sa`; Wireshark 4.0 has none for ChaCha20.
    """

    name: str
    mode: Mode
    key: int
    salt: int
    iv: int
    icv: int
    grain: int
    integrity: int = 0
    digest: str = ""
    cipher_title: str = ""
    integrity_title: str = "NULL"

    @property
    def smallest(self) -> int:
        """Bytes of the smallest packet there can be: nothing inside but the trailer and its padding."""
        return 8 + self.iv + self.grain + self.icv


def _gcm(bits: int, icv: int) -> EspSuite:
    title = f"AES-GCM with {icv} octet ICV [RFC4106]"
    return EspSuite(f"aes{bits}gcm{icv}", "gcm", bits // 8, 4, 8, icv, 4, cipher_title=title)


def _cbc(bits: int, hash_bits: int) -> EspSuite:
    full = hash_bits // 8
    return EspSuite(
        f"aes{bits}-sha{hash_bits}", "cbc", bits // 8, 0, 16, full // 2, 16, full, f"sha{hash_bits}",
        "AES-CBC [RFC3602]", f"HMAC-SHA-{hash_bits}-{hash_bits // 2} [RFC4868]",
    )  # fmt: skip


SUITES: Final[Mapping[str, EspSuite]] = MappingProxyType(
    {
        suite.name: suite
        for suite in (
            *(_gcm(bits, icv) for icv in (16, 8) for bits in (128, 192, 256)),
            EspSuite("chacha20poly1305", "chacha", 32, 4, 8, 16, 4),
            *(_cbc(bits, hash_bits) for hash_bits in (256, 384, 512) for bits in (128, 192, 256)),
        )
    }
)


def suite(name: str) -> EspSuite:
    """The suite of this name. InputError: there is none."""
    found = SUITES.get(name)
    if found is None:
        raise InputError(f"no ESP suite {name!r}; choose from {', '.join(SUITES)}")
    return found
