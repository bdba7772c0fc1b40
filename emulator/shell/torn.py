"""A TCP connection under the fault `link-stream`: its bytes late, in slices, or torn off with a reset."""

import asyncio
import socket
from collections.abc import Callable
from struct import pack
from typing import Any, Final

from emulator.faults.link_streams import LinkStream

_NO_LINGER: Final = pack("ii", 1, 0)
"""Closed so, a socket forgets what it has not sent and answers with RST."""


class TornStream:
    """What stands between one connection and its transport. `written` is called when all that waited has been written.

    It keeps what the connection gives it until it is out; how much that may be, the connection bounds by what it lets
    in: it is busy as long as anything waits.
    """

    __slots__ = ("_fault", "_left", "_loop", "_timer", "_transport", "_waiting", "_written")

    def __init__(self, fault: LinkStream, transport: Any, written: Callable[[], None]) -> None:
        self._fault = fault
        self._transport = transport
        self._written = written
        self._loop = asyncio.get_running_loop()
        self._waiting = bytearray()
        self._left = fault.reset_after_bytes
        self._timer: asyncio.TimerHandle | None = None
        if self._left == 0:
            self._reset()
        elif fault.open_ms:
            transport.pause_reading()
            self._loop.call_later(fault.open_ms / 1_000, transport.resume_reading)

    @property
    def waits(self) -> bool:
        """Whether anything is still to be written."""
        return bool(self._waiting)

    @property
    def close_s(self) -> float:
        """How late the connection is closed, in seconds."""
        return self._fault.close_ms / 1_000

    def write(self, data: bytes) -> None:
        """As a transport's."""
        self._waiting += data
        if self._timer is None:
            self._step()

    def _step(self) -> None:
        self._timer = None
        if self._transport.is_closing():
            self._waiting.clear()
            return
        size = min(self._fault.slice_bytes or len(self._waiting), len(self._waiting))
        if self._left is not None and size >= self._left:
            self._transport.write(bytes(self._waiting[: self._left]))
            self._reset()
            return
        self._transport.write(bytes(self._waiting[:size]))
        del self._waiting[:size]
        if self._left is not None:
            self._left -= size
        if self._waiting:
            self._timer = self._loop.call_later(self._fault.slice_gap_ms / 1_000, self._step)
        else:
            self._written()

    def _reset(self) -> None:
        self._waiting.clear()
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()
