"""Getting into the home network: install code, link key, admission.

A device is printed with an install code. Whoever installs it tells the hub's trust centre the code and the device's
EUI-64; both sides hash the code into the same link key, which protects the transport of the network key. The code ends
in a CRC so that a misread digit is found at the door. The key replacement that follows in Smart Energy (CBKE) needs
curves that no Python library has, and nothing above this room could see the difference, so joining ends here.

The hash is AES-MMO (Matyas-Meyer-Oseas over AES-128), ZigBee specification annex B.6. The CRC is CRC-16/X-25, low byte
first, as the Smart Energy profile prints it behind the code.
"""

from enum import StrEnum
from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.modes import ECB

from emulator.errors import FrameError

_BLOCK: Final = 16
_CODE_LENGTHS: Final = (8, 10, 14, 18)  # 6, 8, 12 or 16 bytes and the CRC


class JoinState(StrEnum):
    """How a device stands to the network. `ASLEEP` is joined too, but hears nothing before its next poll."""

    JOINED = "joined"
    ASLEEP = "asleep"
    LOST = "lost"


def crc16(data: bytes) -> int:
    """CRC-16/X-25: reflected polynomial 0x1021, initial and final value 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8408 if crc & 1 else crc >> 1
    return crc ^ 0xFFFF


def aes_mmo(message: bytes) -> bytes:
    """The 16-byte AES-MMO hash of a message shorter than 8,192 bytes."""
    bits = 8 * len(message)
    if bits >= 1 << 16:
        raise FrameError("aes-mmo message", "longer than 8191 bytes")
    padded = message + b"\x80"
    padded += bytes(-(len(padded) + 2) % _BLOCK) + bits.to_bytes(2, "big")
    digest = bytes(_BLOCK)
    for at in range(0, len(padded), _BLOCK):
        block = padded[at : at + _BLOCK]
        # The mode is the hash's own building block: one block, one key, no chaining wanted.
        encryptor = Cipher(algorithms.AES(digest), ECB()).encryptor()  # noqa: S305
        sealed = encryptor.update(block) + encryptor.finalize()
        digest = bytes(a ^ b for a, b in zip(sealed, block, strict=True))
    return digest


def install_code(secret: bytes) -> bytes:
    """The install code of 6, 8, 12 or 16 bytes of secret: the bytes and their CRC."""
    if len(secret) + 2 not in _CODE_LENGTHS:
        raise FrameError("install code", f"{len(secret)} bytes before the CRC; 6, 8, 12 or 16 are allowed")
    return secret + crc16(secret).to_bytes(2, "little")


def link_key(code: bytes) -> bytes:
    """The 16-byte link key of an install code (CRC included). FrameError: wrong length or wrong CRC."""
    if len(code) not in _CODE_LENGTHS:
        raise FrameError("install code", f"{len(code)} bytes; 8, 10, 14 or 18 are allowed")
    if crc16(code[:-2]) != int.from_bytes(code[-2:], "little"):
        raise FrameError("install code", "the CRC does not match: a digit was misread", len(code) - 2)
    return aes_mmo(code)


class TrustCentre:
    """The hub's side of joining: which devices it was told of, and with which link key."""

    __slots__ = ("_expected",)

    def __init__(self) -> None:
        self._expected: dict[bytes, bytes] = {}

    def expect(self, eui64: bytes, code: bytes) -> None:
        """Be told of a device (8-byte EUI-64) and its install code. FrameError: one of the two is malformed."""
        if len(eui64) != 8:
            raise FrameError("EUI-64", f"{len(eui64)} bytes instead of 8")
        self._expected[eui64] = link_key(code)

    def forget(self, eui64: bytes) -> None:
        """Take a device off the list; unknown ones are no error."""
        self._expected.pop(eui64, None)

    def join(self, eui64: bytes, code: bytes) -> JoinState:
        """A device with this install code knocks: `JOINED`, or `LOST` when it is unknown or its key is another."""
        expected = self._expected.get(eui64)
        if expected is None or not compare_digest(expected, link_key(code)):
            return JoinState.LOST
        return JoinState.JOINED
