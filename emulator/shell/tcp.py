"""COSEM wrapper frames over TCP.

The stream has no way to find its feet again, so a header that is none ends the connection; a length is judged before
anything of that length is kept. A connection holds one fixed buffer and is not read while it is full, and while its
client does not take answers no more of its requests are let in: what a client can make us keep is bounded by
construction.

The address that was called says which home is meant. A connection that came to an address outside the estate's network
is closed before a byte is read: on a machine with a network card the wildcard socket hears that card's own address too
when it is called from this machine.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from emulator.codecs.wrapper import HEADER
from emulator.shell.addresses import Addresses
from emulator.shell.gate import Gate
from emulator.shell.live import LiveEstate
from emulator.shell.switchboard import Line
from emulator.shell.torn import TornStream

_VERSION: Final = b"\x00\x01"
_LINGER_S: Final = 2.0
_CLOGGED: Final = 1 << 15
_GAP_MOST_S: Final = 10.0
"""Longest wait between two pieces of an answer, in real seconds."""


class Connection(asyncio.BufferedProtocol):
    """What connections of all kinds share: the home they called, one buffer, and their end."""

    def __init__(self, live: LiveEstate, gate: Gate, addresses: Addresses) -> None:
        self.live = live
        self.gate = gate
        self.installation = -1
        self.transport: Any = None
        self._addresses = addresses
        self._buffer = bytearray(2 * gate.limits.frame)
        self._filled = 0
        self._paused = False
        self._ending = False
        self._clogged_at = 0.0
        self._heard_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    # What a kind of connection says of itself

    def opened(self) -> None:
        """The connection stands and its home is known."""
        raise NotImplementedError

    def closed(self) -> None:
        """It is gone; called once for every `opened`."""
        raise NotImplementedError

    def arrived(self) -> None:
        """More bytes lie in the buffer."""
        raise NotImplementedError

    def overdue(self, silent_s: float) -> bool:
        """Nothing was heard for so long: whether that is too long."""
        return silent_s >= self.gate.limits.idle_s

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        called = transport.get_extra_info("sockname")[0]
        found = self._addresses.find(called)
        if found is None:
            self.gate.turn_away("not-ours", called=called)
            self.transport.abort()
        elif not self.gate.enter(found, self):
            self.transport.abort()
        else:
            self.installation = found
            self.transport.set_write_buffer_limits(high=_CLOGGED)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _CLOGGED)
            self._heard_at = self._loop.time()
            self._timer = self._loop.call_later(self._patience(), self._look)
            self.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.installation >= 0:
            installation, self.installation = self.installation, -1
            self.closed()
            self.gate.leave(installation, self)
            self.gate.poke()

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if self.installation < 0:
            return
        self._filled += nbytes
        self._heard_at = self._loop.time()
        if self._filled == len(self._buffer) and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self.arrived()

    def eof_received(self) -> bool:
        """Half closed: what was asked is still answered, for a moment."""
        if self.installation < 0 or not self.busy:
            return False
        self._ending = True
        self._loop.call_later(_LINGER_S, self.transport.close)
        return True

    @property
    def busy(self) -> bool:
        """Whether something was asked that is not answered yet."""
        return False

    def answered(self) -> None:
        """An answer was written: a half-closed connection may have come to its end."""
        if self._ending and not self.busy:
            self.transport.close()

    def pause_writing(self) -> None:
        self._clogged_at = self._loop.time()

    def resume_writing(self) -> None:
        self._clogged_at = 0.0
        self.arrived()

    @property
    def clogged(self) -> bool:
        """Whether the client does not take its answers."""
        return self._clogged_at > 0

    def drop(self, why: str, **detail: Any) -> None:
        """End the connection for a reason that is noted."""
        self.gate.turn_away(why, installation=self.installation, **detail)
        self._filled = 0
        self.transport.abort()

    def part(self) -> None:
        """Close, once what was written has left."""
        self.transport.close()

    def cut(self) -> None:
        """Close at once."""
        self.transport.abort()

    def consume(self, count: int) -> bytes:
        """The first `count` bytes of the buffer, taken out of it."""
        taken = bytes(self._buffer[:count])
        self._filled -= count
        self._buffer[: self._filled] = self._buffer[count : count + self._filled]
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return taken

    def _patience(self) -> float:
        return min(self.gate.limits.idle_s, self.gate.limits.frame_s) / 2

    def _look(self) -> None:
        """Now and then: is it worth keeping?"""
        now = self._loop.time()
        if self.clogged and now - self._clogged_at >= self.gate.limits.frame_s:
            self.drop("not-taken")
        elif self.overdue(now - self._heard_at):
            self.drop("idle")
        else:
            self._timer = self._loop.call_later(self._patience(), self._look)


class WrapperConnection(Connection):
    """One client's TCP connection to one home."""

    _line: Line
    _owed: int
    _late: list[bytes]
    """The rest of an answer that comes in pieces, and what waits behind it."""
    _torn: TornStream | None
    """What a fault does to the stream; mostly nothing."""

    def opened(self) -> None:
        self._line = self.live.line(self.installation, self._reply)
        self._line.in_pieces = self._reply_in_pieces
        self._owed = 0
        self._late = []
        fault = self.live.stream(self.installation)
        self._torn = None if fault is None else TornStream(fault, self.transport, self.answered)
        self._write = self.transport.write if self._torn is None else self._torn.write

    @property
    def busy(self) -> bool:
        return self._owed > 0 or self._whole() or (self._torn is not None and self._torn.waits)

    def eof_received(self) -> bool:
        if self._torn is None or not self._torn.close_s:
            return super().eof_received()
        self._loop.call_later(self._torn.close_s, self.transport.close)
        return True

    def part(self) -> None:
        if self._torn is None or not self._torn.close_s:
            super().part()
        else:
            self._loop.call_later(self._torn.close_s, self.transport.close)

    def closed(self) -> None:
        self._line.close()

    def arrived(self) -> None:
        if not self.clogged and self._whole():
            self.gate.ready(self)

    def step(self) -> bool:
        if self.installation < 0 or self.clogged or not self._whole():
            return False
        frame = self.consume(self._judge())
        self.gate.counts["frames"] += 1
        if self._line.send(frame):
            self._owed += 1
        else:
            self.gate.turn_away("overrun", installation=self.installation)
        return self._whole()

    def overdue(self, silent_s: float) -> bool:
        begun = self._filled > 0 and not self.clogged
        return silent_s >= (self.gate.limits.frame_s if begun else self.gate.limits.idle_s)

    def _whole(self) -> bool:
        """Whether a whole frame lies in the buffer."""
        return self._filled >= HEADER and 0 < self._judge() <= self._filled

    def _judge(self) -> int:
        """The length of the frame that begins in the buffer; 0: there is none, and the connection is being ended."""
        head = self._buffer[:HEADER]
        length = HEADER + (head[6] << 8 | head[7])
        if head[:2] != _VERSION:
            self.drop("malformed", header=head.hex())
        elif length == HEADER or length > self.gate.limits.frame:
            self.drop("malformed", length=length)
        else:
            return length
        return 0

    def _reply_in_pieces(self, frame: bytes, at: int, gap_s: float) -> None:
        if self._late:  # one at a time
            self._late.append(frame)
        elif not self.transport.is_closing():
            self._write(frame[:at])
            self._late = [frame[at:]]
            self._loop.call_later(min(gap_s, _GAP_MOST_S), self._write_late)

    def _write_late(self) -> None:
        late, self._late = self._late, []
        for each in late:
            self._reply(each)

    def _reply(self, frame: bytes) -> None:
        if self._late:
            self._late.append(frame)
        elif not self.transport.is_closing():
            self.gate.counts["answers"] += 1
            self._write(frame)
            self._owed = max(0, self._owed - 1)
            self.answered()


def wrapper(live: LiveEstate, gate: Gate, addresses: Addresses) -> Callable[[], WrapperConnection]:
    """What `loop.create_server` asks for."""
    return lambda: WrapperConnection(live, gate, addresses)
