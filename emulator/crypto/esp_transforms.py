"""What a suite does to the bytes: from a packet's text to IV, ciphertext and ICV, and back. No state but the keys.

The integrity check covers SPI and sequence number too. An extended sequence number's upper half is not sent but
covered all the same: an AEAD has it between the SPI and the lower half (RFC 4106 section 5), a separate HMAC behind the
ciphertext (RFC 4303 2.2.1).

The IV is a function of the sequence number, which is never used twice under one key. For an AEAD it is that number.
For CBC it must not be foreseeable: it is that number enciphered under the key (NIST SP 800-38A appendix C).
"""

import hmac
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from emulator.crypto.esp_suites import EspSuite
from emulator.crypto.fallback.gcm import unseal
from emulator.crypto.store import Key

_FULL_TAG: Final = 16


class Transform(Protocol):
    """`header` is SPI and lower sequence number (8 bytes); `high` the upper half (4), or nothing without ESN."""

    def iv(self, sequence: int) -> bytes:
        """The IV of a packet; `sequence` of 64 bits."""
        ...

    def seal(self, header: bytes, high: bytes, iv: bytes, text: bytes) -> bytes:
        """Ciphertext and ICV of a text whose length is a multiple of the suite's grain."""
        ...

    def open(self, header: bytes, high: bytes, body: bytes) -> bytes | None:
        """The text in IV, ciphertext and ICV, whose sizes are in order; None: the ICV does not hold."""
        ...


class _Aead:
    """AES-GCM with a whole tag, or ChaCha20-Poly1305."""

    __slots__ = ("_aead", "_salt")

    def __init__(self, aead: AESGCM | ChaCha20Poly1305, salt: bytes) -> None:
        self._aead = aead
        self._salt = salt

    def iv(self, sequence: int) -> bytes:
        return sequence.to_bytes(8, "big")

    def seal(self, header: bytes, high: bytes, iv: bytes, text: bytes) -> bytes:
        return self._aead.encrypt(self._salt + iv, text, header[:4] + high + header[4:] if high else header)

    def open(self, header: bytes, high: bytes, body: bytes) -> bytes | None:
        aad = header[:4] + high + header[4:] if high else header
        try:
            return self._aead.decrypt(self._salt + body[:8], body[8:], aad)
        except InvalidTag:
            return None


class _ShortGcm:
    """AES-GCM with a tag that is cut."""

    __slots__ = ("_aead", "_icv", "_salt")

    def __init__(self, key: bytes, salt: bytes, icv: int) -> None:
        self._aead = AESGCM(key)
        self._salt = salt
        self._icv = icv

    def iv(self, sequence: int) -> bytes:
        return sequence.to_bytes(8, "big")

    def seal(self, header: bytes, high: bytes, iv: bytes, text: bytes) -> bytes:
        whole = self._aead.encrypt(self._salt + iv, text, header[:4] + high + header[4:])
        return whole[: len(text) + self._icv]

    def open(self, header: bytes, high: bytes, body: bytes) -> bytes | None:
        return unseal(self._aead, self._salt + body[:8], header[:4] + high + header[4:], body[8:], self._icv)


class _CbcHmac:
    """AES-CBC, then an HMAC cut to half."""

    __slots__ = ("_algorithm", "_digest", "_icv", "_integrity", "_numbers")

    def __init__(self, key: bytes, integrity: bytes, digest: str, icv: int) -> None:
        self._algorithm = algorithms.AES(key)
        # One block at a time, of numbers that never repeat: this makes IVs and encrypts nothing.
        self._numbers = Cipher(self._algorithm, modes.ECB()).encryptor()  # noqa: S305
        self._integrity = integrity
        self._digest = digest
        self._icv = icv

    def iv(self, sequence: int) -> bytes:
        return self._numbers.update(sequence.to_bytes(16, "big"))

    def _check_value(self, covered: bytes) -> bytes:
        return hmac.digest(self._integrity, covered, self._digest)[: self._icv]

    def seal(self, header: bytes, high: bytes, iv: bytes, text: bytes) -> bytes:
        encryptor = Cipher(self._algorithm, modes.CBC(iv)).encryptor()
        ciphertext = encryptor.update(text) + encryptor.finalize()
        return ciphertext + self._check_value(header + iv + ciphertext + high)

    def open(self, header: bytes, high: bytes, body: bytes) -> bytes | None:
        sealed = body[: -self._icv]
        if not hmac.compare_digest(self._check_value(header + sealed + high), body[-self._icv :]):
            return None
        decryptor = Cipher(self._algorithm, modes.CBC(sealed[:16])).decryptor()
        return decryptor.update(sealed[16:]) + decryptor.finalize()


def transform(suite: EspSuite, key: Key, salt: bytes, integrity: Key) -> Transform:
    """The transform of a suite; the keys have the sizes the suite asks for."""
    if suite.mode == "cbc":
        return _CbcHmac(bytes(key), bytes(integrity), suite.digest, suite.icv)
    if suite.mode == "chacha":
        return _Aead(ChaCha20Poly1305(bytes(key)), bytes(salt))
    if suite.icv == _FULL_TAG:
        return _Aead(AESGCM(bytes(key)), bytes(salt))
    return _ShortGcm(bytes(key), bytes(salt), suite.icv)
