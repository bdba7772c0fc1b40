"""ESP packets of the compiled core; the promise is in `emulator.crypto.esp_sa_base`."""

from struct import Struct
from typing import Final

from emulator._native import ffi, lib
from emulator.crypto.esp_sa_base import PACKET_MAX, SaBase, SaState, Whole, check, malformed
from emulator.crypto.layout import OK, REPLAY, USAGE, refusal
from emulator.crypto.native.pointers import pointer
from emulator.crypto.store import Key
from emulator.errors import EmulatorError, FrameError, UsageError

_seal: Final = lib.sm_esp_seal
_open: Final = lib.sm_esp_open
_tunnel_seal: Final = lib.sm_tunnel_seal
_tunnel_open: Final = lib.sm_tunnel_open
_FIRST_ROOM: Final = 4096

OUTER_BYTES: Final = 20
INNER_BYTES: Final = 28
_SPARE: Final = 128
"""More than all headers, padding and ICV of a packet together."""
ENDS: Final = Struct(">12xIIHH")
"""Addresses and ports of an inner packet."""

_ends: Final = ENDS.unpack_from


class Sa(SaBase):
    """One security association, used in one direction."""

    __slots__ = ("_buffer", "_handle", "_out", "_room")

    def __init__(self, spi: int, key: Key, salt: bytes, *, state: SaState | None = None) -> None:
        check(spi, key, salt, state)
        sequence, top, window = (1, 0, 0) if state is None else state
        handle = lib.sm_sa_new(spi, pointer(key), len(key), bytes(salt), sequence, top, window)
        if handle == ffi.NULL:
            raise MemoryError("no memory for a security association")
        self.spi = spi
        self._handle = ffi.gc(handle, lib.sm_sa_free)
        self._grow(_FIRST_ROOM)

    def _grow(self, room: int) -> None:
        self._room = room
        self._out = ffi.new("uint8_t[]", room)
        self._buffer = ffi.buffer(self._out)

    def seal(self, inner: bytes, next_header: int) -> bytes:
        length = len(inner)
        if length + 64 > self._room:
            self._grow(PACKET_MAX)
        try:
            size = _seal(self._handle, inner, length, next_header, self._out, self._room)
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if size < 0:
            raise refusal(-size)
        return self._buffer[:size]  # type: ignore[no-any-return]

    def open(self, packet: bytes) -> tuple[int, bytes]:
        length = len(packet)
        if length > self._room:
            self._grow(PACKET_MAX)
        try:
            answer = _open(self._handle, packet, length, self._out, self._room)
        except (OverflowError, TypeError) as error:
            raise UsageError(str(error)) from error
        if answer < 0:
            raise self._refusal(-answer, packet)
        return answer >> 32, self._buffer[: answer & 0xFFFFFFFF]

    def whole(self, outer: bytes, inner: bytes) -> Whole:
        if len(outer) != OUTER_BYTES or len(inner) != INNER_BYTES:
            raise UsageError("a tunnel takes an IPv4 header, and an IPv4 and a UDP header")
        status = lib.sm_tunnel_set(self._handle, outer, inner)
        if status != OK:
            raise refusal(-status)
        return Whole(self._seal_whole, self._open_whole)

    def _seal_whole(
        self, source: int, destination: int, source_port: int, destination_port: int, frame: bytes, identification: int
    ) -> bytes | None:
        length = len(frame)
        if length + _SPARE > self._room:
            self._grow(PACKET_MAX + _SPARE)
        try:
            size = _tunnel_seal(
                self._handle,
                source,
                destination,
                source_port,
                destination_port,
                identification,
                frame,
                length,
                self._out,
                self._room,
            )
        except (OverflowError, TypeError):
            return None
        return self._buffer[:size] if size > 0 else None

    def _open_whole(self, packet: bytes) -> tuple[int, int, int, int, bytes] | None:
        length = len(packet)
        if length > self._room:
            self._grow(PACKET_MAX + _SPARE)
        try:
            size = _tunnel_open(self._handle, packet, length, self._out, self._room)
        except (OverflowError, TypeError):
            return None
        if size < 0:
            return None
        buffer = self._buffer
        source, destination, source_port, destination_port = _ends(buffer)
        return source, destination, source_port, destination_port, buffer[INNER_BYTES:size]

    def _refusal(self, status: int, packet: bytes) -> EmulatorError:
        if status == USAGE:
            fault = malformed(packet, self.spi) or ("longer than an IPv4 packet" if len(packet) > PACKET_MAX else None)
            if fault:
                return FrameError("esp", fault)
        return refusal(status, self.lowest if status == REPLAY else 0)

    def state(self) -> SaState:
        out = ffi.new("uint64_t[3]")
        status = lib.sm_sa_state(self._handle, out)
        if status != OK:
            raise refusal(-status)
        return SaState(*out)

    def close(self) -> None:
        handle, self._handle = self._handle, ffi.NULL
        if handle != ffi.NULL:
            ffi.release(handle)
            ffi.buffer(self._out)[:] = bytes(self._room)
