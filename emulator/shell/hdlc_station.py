"""The secondary station of one HDLC data link, without I/O: frames in, frames out, whole APDUs to and fro.

IEC 62056-46 in normal response mode: the client is the primary station and speaks first, SNRM sets the link up and
negotiates sizes and windows, I-frames carry the LLC header and an APDU cut into segments, both ways. A repeated frame
is answered again and not carried out again: sequence numbers see to that. What a frame may not do is answered with
FRMR, and the link then waits for SNRM or DISC (IEC 62056-46 6.4.3; ISO/IEC 13239 5.5).
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from emulator.codecs.hdlc import (
    DISC,
    DM,
    FRMR,
    HDLC,
    HDLC_FRAME,
    LLC_RESPONSE,
    SNRM,
    UA,
    UI,
    without_llc,
)
from emulator.errors import FrameError

POLL: Final = 0x10
INFORMATION_MOST: Final = 2_030
WINDOW_MOST: Final = 7
_DEFAULT_INFORMATION: Final = 128
_GROUP: Final = b"\x81\x80"
_RR: Final = 0x01
_RNR: Final = 0x05
_REJ: Final = 0x09
_UNKNOWN, _TOO_LONG, _BAD_COUNT = 1, 4, 8


class Station:
    """One link. `server` and `client` are addresses as on the wire. `deliver(apdu)` takes each whole request;
    `apdu_most` is the longest there may be. `connected` is whether SNRM was heard and DISC was not."""

    def __init__(self, server: bytes, client: bytes, deliver: Callable[[bytes], None], apdu_most: int) -> None:
        self._server = server
        self._client = client
        self._deliver = deliver
        self._apdu_most = apdu_most
        self.connected = False
        self._reset()

    def _reset(self) -> None:
        self._next_out = 0
        self._next_in = 0
        self._longest_out = self._longest_in = _DEFAULT_INFORMATION
        self._window_out = 1
        self._incoming = bytearray()
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._unheard: deque[tuple[int, bytes, bool]] = deque()
        self._refusal: bytes | None = None

    # Ways in

    def receive(self, frame: HDLC) -> list[bytes]:
        """One frame for this station: the frames to answer with, in order."""
        control = frame.control
        kind = control & ~POLL
        if kind == SNRM & ~POLL:
            return [self._connect(frame.information)]
        if kind == DISC & ~POLL:
            was, self.connected = self.connected, False
            self._reset()
            return [self._frame(UA if was else DM)]
        if kind == UI & ~POLL:
            return []
        if not self.connected:
            return [self._frame(DM)] if control & POLL else []
        if self._refusal is not None:
            return [self._frame(FRMR, self._refusal)]
        if not control & 1:
            return self._information(frame)
        if control & 0x03 == 0x01 and control & 0x0F in (_RR, _RNR, _REJ):
            return self._supervise(control)
        return [self._refuse(control, _UNKNOWN)]

    def answer(self, apdu: bytes) -> list[bytes]:
        """The APDU that answers the last request: the first frames of it; the others follow when they are polled."""
        if not self.connected or self._refusal is not None:
            return []
        text = LLC_RESPONSE + apdu
        cut = self._longest_out
        parts = [text[at : at + cut] for at in range(0, len(text), cut)]
        self._waiting.extend((part, at < len(parts) - 1) for at, part in enumerate(parts))
        return self._send_window()

    # What a frame does

    def _connect(self, information: bytes) -> bytes:
        """SNRM: from now on connected, with nothing under way. The answer says what was agreed."""
        self._reset()
        self.connected = True
        asked = _parameters(information)
        self._longest_in = _agreed(asked.get(5, _DEFAULT_INFORMATION), INFORMATION_MOST, _DEFAULT_INFORMATION)
        self._longest_out = _agreed(asked.get(6, _DEFAULT_INFORMATION), INFORMATION_MOST, _DEFAULT_INFORMATION)
        window_in = _agreed(asked.get(7, 1), WINDOW_MOST, 1)
        self._window_out = _agreed(asked.get(8, 1), WINDOW_MOST, 1)
        if not information:
            return self._frame(UA)
        body = b"".join(
            bytes((name, size)) + value.to_bytes(size, "big")
            for name, size, value in (
                (5, 2, self._longest_out),
                (6, 2, self._longest_in),
                (7, 4, self._window_out),
                (8, 4, window_in),
            )
        )
        return self._frame(UA, _GROUP + bytes((len(body),)) + body)

    def _information(self, frame: HDLC) -> list[bytes]:
        control, information = frame.control, frame.information
        if not self._acknowledge(control >> 5):
            return [self._refuse(control, _BAD_COUNT)]
        if len(information) > self._longest_in:
            return [self._refuse(control, _TOO_LONG)]
        poll = bool(control & POLL)
        if control >> 1 & 7 != self._next_in:
            return self._turn(poll)  # heard before, or one was lost: say where we stand
        self._next_in = (self._next_in + 1) & 7
        self._waiting.clear()  # whoever asks anew does not want the rest of the last answer
        self._unheard.clear()
        self._incoming += information
        if len(self._incoming) > self._apdu_most:
            return [self._refuse(control, _TOO_LONG)]
        if frame.segmented:
            return self._turn(poll)
        request = bytes(self._incoming)
        self._incoming.clear()
        try:
            apdu = without_llc(request)
        except FrameError:
            return self._turn(poll)
        self._deliver(apdu)
        return []

    def _supervise(self, control: int) -> list[bytes]:
        if not self._acknowledge(control >> 5):
            return [self._refuse(control, _BAD_COUNT)]
        if control & 0x0F == _RNR:
            return [self._ready()] if control & POLL else []
        return self._turn(bool(control & POLL))

    def _turn(self, poll: bool) -> list[bytes]:
        """The client gives us the turn: what it has not heard yet, what is next, or that we are ready."""
        if not poll:
            return []
        if self._unheard:
            return self._unheard_again()
        return self._send_window() or [self._ready()]

    # Counting

    def _acknowledge(self, expected: int) -> bool:
        """The client expects `expected` next: all before it was heard. False when it cannot be."""
        oldest = self._unheard[0][0] if self._unheard else self._next_out
        if (expected - oldest) & 7 > (self._next_out - oldest) & 7:
            return False
        while self._unheard and self._unheard[0][0] != expected:
            self._unheard.popleft()
        return True

    def _send_window(self) -> list[bytes]:
        while self._waiting and len(self._unheard) < self._window_out:
            part, more = self._waiting.popleft()
            self._unheard.append((self._next_out, part, more))
            self._next_out = (self._next_out + 1) & 7
        return self._unheard_again()

    def _unheard_again(self) -> list[bytes]:
        last = len(self._unheard) - 1
        return [
            self._frame(self._next_in << 5 | (POLL if at == last else 0) | number << 1, part, segmented=more)
            for at, (number, part, more) in enumerate(self._unheard)
        ]

    # Making frames

    def _ready(self) -> bytes:
        return self._frame(self._next_in << 5 | POLL | _RR)

    def _refuse(self, control: int, why: int) -> bytes:
        """FRMR, until the link is set up anew: the control field, where both sides stand, and the reason."""
        self._refusal = bytes((control, self._next_in << 5 | self._next_out << 1, why))
        return self._frame(FRMR, self._refusal)

    def _frame(self, control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
        return HDLC_FRAME.build(HDLC(self._client, self._server, control, segmented, information))


def _agreed(asked: int, most: int, otherwise: int) -> int:
    return min(asked, most) if asked > 0 else otherwise


def _parameters(information: bytes) -> dict[int, int]:
    """The parameters of an SNRM, by their identifier; what is not understood is left out."""
    found: dict[int, int] = {}
    if information[:2] != _GROUP or len(information) < 3:
        return found
    rest = information[3 : 3 + information[2]]
    while len(rest) >= 2:
        name, size = rest[0], rest[1]
        value = rest[2 : 2 + size]
        if len(value) < size:
            break
        found[name] = int.from_bytes(value, "big")
        rest = rest[2 + size :]
    return found
