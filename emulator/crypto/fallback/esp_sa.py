"""ESP packets from `cryptography`; rules as in `emulator.crypto.esp_sa`."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.crypto import layout
from emulator.crypto.esp_sa_base import (
    ICV_BYTES,
    PACKET_MAX,
    PAYLOAD_MAX,
    SEQUENCE_MAX,
    WINDOW,
    SaBase,
    SaState,
    check,
    malformed,
)
from emulator.crypto.fallback.gcm import unseal
from emulator.crypto.store import Key
from emulator.errors import FrameError

_PADDING = bytes(range(1, 256))


class Sa(SaBase):
    """One security association, used in one direction."""

    __slots__ = ("_cipher", "_direction", "_owner", "_salt", "_sequence", "_spi_bytes", "_top", "_window")

    def __init__(self, spi: int, key: Key, salt: bytes, *, state: SaState | None = None) -> None:
        check(spi, key, salt, state)
        self.spi = spi
        self._spi_bytes = spi.to_bytes(4, "big")
        self._cipher: AESGCM | None = AESGCM(bytes(key))
        self._salt = bytes(salt)
        self._sequence, self._top, self._window = (1, 0, 0) if state is None else state
        self._direction = ""
        self._owner = os.getpid()

    def _use(self, direction: str) -> AESGCM:
        if os.getpid() != self._owner:
            raise layout.refusal(layout.FOREIGN)
        if self._cipher is None or self._direction not in ("", direction):
            raise layout.refusal(layout.USAGE)
        self._direction = direction
        return self._cipher

    def seal(self, inner: bytes, next_header: int) -> bytes:
        cipher = self._use("out")
        if not 0 <= next_header <= 255 or len(inner) > PAYLOAD_MAX:
            raise layout.refusal(layout.USAGE)
        if self._sequence > SEQUENCE_MAX:
            raise layout.refusal(layout.EXHAUSTED)
        sequence = self._sequence
        self._sequence += 1
        pads = -(len(inner) + 2) % 4
        text = inner + _PADDING[:pads] + bytes((pads, next_header))
        header = self._spi_bytes + sequence.to_bytes(4, "big")
        iv = sequence.to_bytes(8, "big")
        return header + iv + cipher.encrypt(self._salt + iv, text, header)

    def open(self, packet: bytes) -> tuple[int, bytes]:
        cipher = self._use("in")
        fault = malformed(packet, self.spi)
        if fault or len(packet) > PACKET_MAX:
            raise FrameError("esp", fault or "longer than an IPv4 packet")
        sequence = int.from_bytes(packet[4:8], "big")
        if sequence == 0 or sequence + WINDOW <= self._top:
            raise layout.refusal(layout.REPLAY, self.lowest)
        behind = self._top - sequence
        if behind >= 0 and self._window >> behind & 1:
            raise layout.refusal(layout.REPLAY, self.lowest)
        text = unseal(cipher, self._salt + packet[8:16], packet[:8], packet[16:], ICV_BYTES)
        if text is None:
            raise layout.refusal(layout.TAG)
        if behind >= 0:
            self._window |= 1 << behind
        else:
            self._window = (self._window << -behind | 1) & (1 << WINDOW) - 1
            self._top = sequence
        pads = text[-2]
        if pads + 2 > len(text) or text[len(text) - 2 - pads : -2] != _PADDING[:pads]:
            raise layout.refusal(layout.FRAME)
        return text[-1], text[: len(text) - 2 - pads]

    def state(self) -> SaState:
        if os.getpid() != self._owner:
            raise layout.refusal(layout.FOREIGN)
        return SaState(self._sequence, self._top, self._window)

    def close(self) -> None:
        self._cipher = None
