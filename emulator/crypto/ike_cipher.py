"""What seals an IKEv2 message (RFC 7296 3.14; AEAD as in RFC 5282, ChaCha20 as in RFC 7634).

One cipher serves one direction of one IKE SA. An AEAD's IV is a counter; CBC's must not be foreseeable and is an HMAC
of the counter under the encryption key. Either way the bytes are a function of the key and of how many came before.
"""

import hmac
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from emulator.errors import FrameError, TagError, UsageError

SALT: Final = 4
ICV: Final = 16
BLOCK: Final = 16


class IkeCipher(Protocol):
    """`seal` gives IV, ciphertext and check value; `size` how many bytes that will be; `open` the bytes sealed.

    `aad` is everything of the message before the IV. `open` raises TagError, and FrameError for authentic nonsense.
    """

    def size(self, plain: int) -> int: ...

    def seal(self, aad: bytes, plain: bytes) -> bytes: ...

    def open(self, aad: bytes, text: bytes) -> bytes: ...


def _unpadded(plain: bytes) -> bytes:
    if not plain or plain[-1] >= len(plain):
        raise FrameError("ike", "a wrong pad length inside")
    return plain[: len(plain) - 1 - plain[-1]]


class AeadCipher:
    """AES-GCM-16 or ChaCha20-Poly1305: key and a salt of 4 bytes, an IV of 8."""

    __slots__ = ("_aead", "_count", "_salt")

    def __init__(self, name: str, key: bytes) -> None:
        """`name` "gcm" or "chacha"; `key`: the key with its salt behind. UsageError for other lengths."""
        wanted = (36,) if name == "chacha" else (20, 36)
        if len(key) not in wanted:
            raise UsageError(f"a key of {len(key)} bytes for {name}")
        self._aead = (ChaCha20Poly1305 if name == "chacha" else AESGCM)(key[:-SALT])
        self._salt = key[-SALT:]
        self._count = 0

    def size(self, plain: int) -> int:
        return 8 + plain + 1 + ICV

    def seal(self, aad: bytes, plain: bytes) -> bytes:
        self._count += 1
        iv = self._count.to_bytes(8, "big")
        return iv + self._aead.encrypt(self._salt + iv, plain + b"\0", aad)

    def open(self, aad: bytes, text: bytes) -> bytes:
        if len(text) < 8 + 1 + ICV:
            raise TagError("cut short")
        try:
            plain = self._aead.decrypt(self._salt + text[:8], text[8:], aad)
        except InvalidTag as error:
            raise TagError("the check value does not hold") from error
        return _unpadded(plain)


class CbcCipher:
    """AES-CBC, then HMAC over the whole message, cut to half."""

    __slots__ = ("_algorithm", "_count", "_digest", "_icv", "_integrity", "_key")

    def __init__(self, key: bytes, integrity: bytes, digest: str) -> None:
        """`key` 16 or 32 bytes; `digest` of the HMAC whose key `integrity` is. UsageError for another length."""
        if len(key) not in (16, 32):
            raise UsageError(f"a key of {len(key)} bytes for AES-CBC")
        self._key = key
        self._algorithm = algorithms.AES(key)
        self._integrity = integrity
        self._digest = digest
        self._icv = len(integrity) // 2
        self._count = 0

    def size(self, plain: int) -> int:
        return BLOCK + (plain // BLOCK + 1) * BLOCK + self._icv

    def seal(self, aad: bytes, plain: bytes) -> bytes:
        self._count += 1
        iv = hmac.digest(self._key, self._count.to_bytes(8, "big"), "sha256")[:BLOCK]
        pad = BLOCK - 1 - len(plain) % BLOCK
        encryptor = Cipher(self._algorithm, modes.CBC(iv)).encryptor()
        text = iv + encryptor.update(plain + bytes(pad) + bytes((pad,))) + encryptor.finalize()
        return text + hmac.digest(self._integrity, aad + text, self._digest)[: self._icv]

    def open(self, aad: bytes, text: bytes) -> bytes:
        if len(text) < 2 * BLOCK + self._icv or (len(text) - self._icv) % BLOCK:
            raise TagError("cut short")
        sealed, icv = text[: -self._icv], text[-self._icv :]
        if not hmac.compare_digest(hmac.digest(self._integrity, aad + sealed, self._digest)[: self._icv], icv):
            raise TagError("the check value does not hold")
        decryptor = Cipher(self._algorithm, modes.CBC(sealed[:BLOCK])).decryptor()
        return _unpadded(decryptor.update(sealed[BLOCK:]) + decryptor.finalize())
