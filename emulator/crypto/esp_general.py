"""ESP associations of every suite, over `cryptography`: what the compiled core's one kind does not cover.

The same promise as `esp_sa_base` gives, and further: any suite of `esp_suites`, extended sequence numbers (64 bits),
a window of any width. Wrong padding in an authentic packet is refused, as strongSwan's libipsec does, or with
`strict_padding` False accepted, as the Linux kernel does, which looks at the pad length alone.
"""

import os
from typing import Final

from emulator.crypto import layout
from emulator.crypto.esp_sa_base import PACKET_MAX, PAYLOAD_MAX, SEQUENCE_MAX, WINDOW, SaBase, SaState
from emulator.crypto.esp_suites import EspSuite
from emulator.crypto.esp_transforms import Transform, transform
from emulator.crypto.esp_window import ReplayWindow
from emulator.crypto.store import Key
from emulator.errors import FrameError, UsageError

WINDOW_MAX: Final = 65_536
EXTENDED_MAX: Final = (1 << 64) - 1
_PADDING: Final = bytes(range(1, 256))


class GeneralSa(SaBase):
    """One security association, used in one direction. UsageError: keys, window or state do not fit the suite."""

    __slots__ = (
        "_direction", "_esn", "_last", "_owner", "_sequence", "_spi_bytes", "_strict", "_transform", "_window", "suite",
    )  # fmt: skip

    def __init__(
        self,
        suite: EspSuite,
        spi: int,
        key: Key,
        salt: bytes = b"",
        integrity: Key = b"",
        *,
        esn: bool = False,
        window: int = WINDOW,
        strict_padding: bool = True,
        state: SaState | None = None,
    ) -> None:
        if not 0 < spi <= 0xFFFFFFFF:
            raise UsageError("an association takes an SPI of 1 to FFFFFFFF")
        if (len(key), len(salt), len(integrity)) != (suite.key, suite.salt, suite.integrity):
            sizes = f"{suite.key} bytes of key, {suite.salt} of salt and {suite.integrity} of integrity key"
            raise UsageError(f"{suite.name} takes {sizes}")
        if not 0 <= window <= WINDOW_MAX or (esn and not window):
            raise UsageError(f"a window is 1 to {WINDOW_MAX} wide, or 0 for none, which cannot be with ESN")
        self._last = EXTENDED_MAX if esn else SEQUENCE_MAX
        self._sequence, top, seen = (1, 0, 0) if state is None else state
        if not (1 <= self._sequence <= self._last + 1 and 0 <= top <= self._last and 0 <= seen < 1 << window):
            raise UsageError("not the state of an association")
        self.spi = spi
        self.suite = suite
        self._spi_bytes = spi.to_bytes(4, "big")
        self._transform: Transform | None = transform(suite, key, salt, integrity)
        self._window = ReplayWindow(window, esn, top, seen)
        self._esn = esn
        self._strict = strict_padding
        self._direction = ""
        self._owner = os.getpid()

    def _use(self, direction: str) -> Transform:
        if os.getpid() != self._owner:
            raise layout.refusal(layout.FOREIGN)
        if self._transform is None or self._direction not in ("", direction):
            raise layout.refusal(layout.USAGE)
        self._direction = direction
        return self._transform

    def seal(self, inner: bytes, next_header: int) -> bytes:
        protect = self._use("out")
        if not 0 <= next_header <= 255 or len(inner) > PAYLOAD_MAX:
            raise layout.refusal(layout.USAGE)
        sequence = self._sequence
        if sequence > self._last:
            raise layout.refusal(layout.EXHAUSTED)
        self._sequence = sequence + 1
        pads = -(len(inner) + 2) % self.suite.grain
        text = inner + _PADDING[:pads] + bytes((pads, next_header))
        header = self._spi_bytes + (sequence & SEQUENCE_MAX).to_bytes(4, "big")
        high = (sequence >> 32).to_bytes(4, "big") if self._esn else b""
        iv = protect.iv(sequence)
        return header + iv + protect.seal(header, high, iv, text)

    def open(self, packet: bytes) -> tuple[int, bytes]:
        protect = self._use("in")
        fault = self._malformed(packet)
        if fault:
            raise FrameError("esp", fault)
        window = self._window
        sequence = window.number(int.from_bytes(packet[4:8], "big"))
        if sequence is None:
            raise layout.refusal(layout.REPLAY, window.lowest)
        high = (sequence >> 32).to_bytes(4, "big") if self._esn else b""
        text = protect.open(packet[:8], high, packet[8:])
        if text is None:
            raise layout.refusal(layout.TAG)
        window.move(sequence)
        pads = text[-2]
        end = len(text) - 2 - pads
        if end < 0 or (self._strict and text[end:-2] != _PADDING[:pads]):
            raise layout.refusal(layout.FRAME)
        return text[-1], text[:end]

    def _malformed(self, packet: bytes) -> str | None:
        suite = self.suite
        if len(packet) < suite.smallest:
            return "cut short"
        if (len(packet) - suite.smallest) % suite.grain:
            return f"not a multiple of {'four bytes' if suite.grain == 4 else 'the cipher block'}"
        if packet[:4] != self._spi_bytes:
            return "another SPI"
        longest = max(PACKET_MAX, PAYLOAD_MAX + suite.smallest + suite.grain)
        return "longer than an IPv4 packet" if len(packet) > longest else None

    def state(self) -> SaState:
        if os.getpid() != self._owner:
            raise layout.refusal(layout.FOREIGN)
        return SaState(self._sequence, self._window.top, self._window.bits)

    @property
    def lowest(self) -> int:
        return self._window.lowest

    def close(self) -> None:
        self._transform = None
