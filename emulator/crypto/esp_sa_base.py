"""What an ESP security association promises, whichever core keeps it.

The plain one is AES-GCM-16 (RFC 4106) in a packet of RFC 4303: SPI 4 | sequence 4 | IV 8 | ciphertext | ICV 16. The
IV is the sequence number as eight bytes, so it is never repeated under one key. Padding is 1, 2, 3, ... up to a
multiple of four. The anti-replay window is 64 wide and moves only when the ICV is good. No extended numbers: after
FFFFFFFF the association is spent. `esp_general` has the other suites, wider windows and ESN. One association serves
one direction, because both ends count from 1 under the same salt.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn, Self

from emulator.crypto.store import Key
from emulator.errors import ForeignStoreError, UsageError

WINDOW: Final = 64
ICV_BYTES: Final = 16
SEQUENCE_MAX: Final = 0xFFFFFFFF
PAYLOAD_MAX: Final = 65535
PACKET_MAX: Final = PAYLOAD_MAX + 64


class SaState(NamedTuple):
    """Where an association stands, without its keys. Bit k of `window`: sequence number `top` - k has come."""

    sequence: int
    top: int
    window: int


class Whole(NamedTuple):
    """A frame's whole way through a tunnel in one call: UDP, IPv4, ESP and IPv4 put on or taken off together.

    Both only ever say yes. None: not the ordinary whole good case, and nothing has moved, neither sequence number nor
    window; go the long way, which knows why.
    """

    seal: Callable[[int, int, int, int, bytes, int], bytes | None]
    """(source address, destination address, source port, destination port, frame, identification) to packet."""
    open: Callable[[bytes], tuple[int, int, int, int, bytes] | None]
    """Packet to (source address, destination address, source port, destination port, frame)."""


class SaBase(ABC):
    """An association. Methods raise ForeignStoreError in another process and UsageError after `close`."""

    __slots__ = ("__weakref__", "spi")

    spi: int

    @abstractmethod
    def seal(self, inner: bytes, next_header: int) -> bytes:
        """The ESP packet (no outer IP header) around `inner`, at most 65,535 bytes.

        `next_header` is the protocol number of what is inside: 4 for IPv4. Raises CounterExhaustedError after
        2^32 - 1 packets (with ESN 2^64 - 1), UsageError when this association has opened packets.
        """

    @abstractmethod
    def open(self, packet: bytes) -> tuple[int, bytes]:
        """(next header, inner bytes).

        Raises FrameError (cut, not a multiple of four or of the block, another SPI, or authentic with wrong padding),
        ReplayError (old or seen sequence number; `expected` is the lowest one the window reaches), TagError, and
        UsageError when this association has sealed packets. Only a good ICV moves the window.
        """

    def whole(self, outer: bytes, inner: bytes) -> Whole | None:
        """Packets with all their headers in one call, or None where this core has no such call.

        The headers are those all packets have in common, as they stand around nothing: `outer` IPv4 (20 bytes),
        `inner` IPv4 and UDP (28). Raises UsageError when they are not that.
        """
        return None

    @abstractmethod
    def state(self) -> SaState:
        """Next sequence number to send, highest received, window; `Sa(..., state=)` goes on from it."""

    @abstractmethod
    def close(self) -> None:
        """Wipe the keys. Closing twice is harmless."""

    @property
    def lowest(self) -> int:
        """Lowest sequence number inside the window."""
        return max(1, self.state().top - WINDOW + 1)

    def __reduce__(self) -> NoReturn:
        raise ForeignStoreError("a security association cannot be pickled or copied; make it anew from its state")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check(spi: int, key: Key, salt: bytes, state: SaState | None) -> None:
    """UsageError unless these make an association (SPI 1 to FFFFFFFF; key 16 or 32 bytes; salt 4)."""
    if not 0 < spi <= 0xFFFFFFFF or len(key) not in (16, 32) or len(salt) != 4:
        raise UsageError("an association takes an SPI of 1 to FFFFFFFF, a key of 16 or 32 bytes and a salt of 4")
    if state is not None and not (
        1 <= state.sequence <= SEQUENCE_MAX + 1 and 0 <= state.top <= SEQUENCE_MAX and 0 <= state.window < 1 << WINDOW
    ):
        raise UsageError("not the state of an association")


def malformed(packet: bytes, spi: int) -> str | None:
    """Why these bytes cannot be a packet of this association, or None."""
    if len(packet) < 8 + 8 + 4 + ICV_BYTES:
        return "cut short"
    if len(packet) % 4:
        return "not a multiple of four bytes"
    if int.from_bytes(packet[:4], "big") != spi:
        return "another SPI"
    return None
