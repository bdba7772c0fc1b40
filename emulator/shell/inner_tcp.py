"""TCP where no kernel has it: the streams of users behind a tunnel, as far as a meter's host needs it (RFC 9293).

A stream is the transport of a `WrapperConnection`, the same object that serves a kernel's socket, so limits, turns and
refusals are the same. It answers who calls and never calls; it has no options but the segment size; what comes out of
order is asked for again (a tunnel keeps order); at most ten segments are under way (RFC 6928), and after a loss one
until an answer comes. Sequence numbers begin as RFC 6528 says. A stream is forgotten as soon as both ends have
finished: who repeats its FIN after that gets a reset, which harms nobody who has everything.
"""

import asyncio
import secrets
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any, Final

from emulator.codecs.tcp import HEADER, PROTOCOL, TCP, TCP_FRAME, checksum
from emulator.crypto.prf import prf
from emulator.errors import FrameError
from emulator.shell.addresses import Addresses
from emulator.shell.gate import Gate
from emulator.shell.live import LiveEstate
from emulator.shell.tcp import WrapperConnection

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

_HALF_OPEN_MOST: Final = 256
_SEGMENTS: Final = 10
_DEFAULT_MSS: Final = 536
_FIRST_WAIT_S: Final = 1.0
_TRIES: Final = 6
"""Waits double: a peer that takes nothing for a minute is gone."""
_PARTING: Final = 4
"""As many waits, half a minute, for a user to finish after we have."""
_LAST_WAIT_S: Final = 30.0
_MASK: Final = 0xFFFF_FFFF
_WINDOW_MOST: Final = 0xFFFF

Key = tuple[int, int, int]
"""(user's address, user's port, home's address)."""


def _ahead(one: int, other: int) -> int:
    """By how much a sequence number is ahead of another; negative: behind."""
    return (one - other + (1 << 31) & _MASK) - (1 << 31)


class _NoSocket:
    """Stands where a kernel's socket would be asked for its buffers."""

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """There are none."""


class Streams:
    """The streams of one door. `send(source, destination, protocol, payload)` takes a segment towards the users."""

    def __init__(
        self,
        live: LiveEstate,
        gate: Gate,
        addresses: Addresses,
        send: Callable[[int, int, int, bytes], None],
        *,
        port: int,
        mtu: int,
    ) -> None:
        self.live = live
        self.gate = gate
        self.addresses = addresses
        self.port = port
        self.mss = mtu - HEADER - 20
        self.loop = asyncio.get_running_loop()
        self.half_open = 0
        self._send = send
        self._secret = secrets.token_bytes(32)
        self._streams: dict[Key, Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def close(self) -> None:
        """End them all at once."""
        for stream in tuple(self._streams.values()):
            stream.abort()

    def receive(self, source: int, destination: int, segment: bytes) -> None:
        """A segment from a user. Raises FrameError for one that is none."""
        if len(segment) < HEADER or checksum(source, destination, segment):
            raise FrameError("tcp", "cut short, or the checksum does not hold")
        found = TCP_FRAME.parse(segment)
        start = found.offset * 4 - HEADER
        if not 0 <= start <= len(found.payload):
            raise FrameError("tcp", "the header ends outside the segment")
        key = (source, found.source_port, destination)
        stream = self._streams.get(key) if found.destination_port == self.port else None
        if stream is not None:
            stream.receive(found, found.payload[start:])
        elif found.flags & (SYN | ACK | RST) == SYN and found.destination_port == self.port:
            if self.half_open >= _HALF_OPEN_MOST:
                self.gate.turn_away("too-many", half_open=self.half_open)
            else:
                self._streams[key] = Stream(self, key, found, _mss(found.payload[:start]))
        elif not found.flags & RST:
            self._refuse(source, destination, found, len(found.payload) - start)

    def forget(self, key: Key) -> None:
        self._streams.pop(key, None)

    def first(self, key: Key) -> int:
        """The first sequence number of a stream (RFC 6528): a clock of 4 µs, and a word only we can make."""
        words = b"".join(part.to_bytes(4, "big") for part in key)
        return int(self.loop.time() * 250_000) + int.from_bytes(prf("sha256", self._secret, words)[:4], "big") & _MASK

    def emit(
        self, key: Key, flags: int, sequence: int, acknowledgement: int, window: int, data: bytes, options: bytes
    ) -> None:
        """One segment of a stream."""
        self._put(key[2], key[0], self.port, key[1], flags, sequence, acknowledgement, window, data, options)

    def _refuse(self, source: int, destination: int, found: TCP, length: int) -> None:
        """Nobody has a stream of that kind (RFC 9293 3.5.2)."""
        self.gate.counts["resets"] += 1
        ports = found.destination_port, found.source_port
        if found.flags & ACK:
            self._put(destination, source, *ports, RST, found.acknowledgement, 0, 0, b"", b"")
        else:
            heard = found.sequence + length + bool(found.flags & SYN) + bool(found.flags & FIN) & _MASK
            self._put(destination, source, *ports, RST | ACK, 0, heard, 0, b"", b"")

    def _put(
        self, source: int, destination: int, source_port: int, destination_port: int, flags: int, sequence: int,
        acknowledgement: int, window: int, data: bytes, options: bytes,
    ) -> None:  # fmt: skip
        offset = 5 + len(options) // 4
        fields = (source_port, destination_port, sequence & _MASK, acknowledgement & _MASK, offset, flags, window)
        total = checksum(source, destination, TCP_FRAME.build(TCP(*fields, 0, 0, options + data)))
        self._send(source, destination, PROTOCOL, TCP_FRAME.build(TCP(*fields, total, 0, options + data)))


class Stream:
    """One stream: a transport to its protocol, segments to its user. Begins with the SYN that asked for it."""

    def __init__(self, streams: Streams, key: Key, asked: TCP, mss: int) -> None:
        self._streams = streams
        self._key = key
        self._mss = max(1, min(mss, streams.mss))
        self._protocol = WrapperConnection(streams.live, streams.gate, streams.addresses)
        self._state = "asked"  # then open, then gone
        self._heard = asked.sequence + 1 & _MASK
        """The next sequence number from the user."""
        self._settled = streams.first(key)
        """The lowest of ours that the user has not confirmed."""
        self._top = self._settled + 1 & _MASK
        """One above the highest that was ever sent."""
        self._out = bytearray()
        """What was written, from `_settled` on."""
        self._flight = 0
        """So much of it is under way."""
        self._finish = False
        self._fin_sent = self._fin_settled = self._fin_heard = False
        self._reading = True
        self._window = asked.window
        self._most = _SEGMENTS
        self._high = 1 << 16
        self._full = False
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None
        streams.half_open += 1
        self._greet()

    # The protocol's side

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """sockname and peername as of a socket; a socket that has no buffers."""
        if name == "sockname":
            return str(IPv4Address(self._key[2])), self._streams.port
        if name == "peername":
            return str(IPv4Address(self._key[0])), self._key[1]
        return _NoSocket() if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """More than `high` bytes that the user has not taken: the protocol is told to pause."""
        self._high = high or self._high

    def is_closing(self) -> bool:
        return self._finish or self._state == "gone"

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._say(ACK)  # the window is open again

    def write(self, data: bytes) -> None:
        """Send, sooner or later."""
        if not self.is_closing():
            self._out += data
            self._push()
            if len(self._out) > self._high and not self._full:
                self._full = True
                self._protocol.pause_writing()

    def close(self) -> None:
        """End, once everything written is with the user."""
        if not self.is_closing():
            self._finish = True
            self._push()

    def abort(self) -> None:
        """End at once."""
        if self._state != "gone":
            self._say(RST | ACK)
            self._gone()

    # The user's side

    def receive(self, found: TCP, data: bytes) -> None:
        """A segment of this stream."""
        if found.flags & RST:
            # Only the exact number ends it: whoever guesses has to guess well (RFC 5961 3.2).
            if found.sequence == self._heard:
                self._gone()
            elif abs(_ahead(found.sequence, self._heard)) <= _WINDOW_MOST:
                self._say(ACK)
            return
        if found.flags & SYN:
            if self._state == "asked" and found.sequence + 1 & _MASK == self._heard:
                self._greet()
            else:
                self._say(ACK)
            return
        if not found.flags & ACK or not self._confirmed(found):
            return
        self._take(found, data)
        if self._state != "gone":
            self._push()

    def _confirmed(self, found: TCP) -> bool:
        """What the segment says of ours; False where nothing more is to be done with it."""
        count = _ahead(found.acknowledgement, self._settled)
        if count > _ahead(self._top, self._settled) or _ahead(self._settled, found.acknowledgement) > _WINDOW_MOST:
            self._say(ACK)
            return False
        if self._state == "asked":
            if count != 1:
                return False
            self._open()
            count = 0
            if self._state != "open":
                return False
        self._window = found.window
        if count > 0:
            taken = min(count, len(self._out))
            del self._out[:taken]
            self._flight = max(0, self._flight - taken)
            self._settled = self._settled + count & _MASK
            if count > taken:
                self._fin_sent = self._fin_settled = True
            self._tries, self._most = 0, _SEGMENTS
            self._rest()
            if self._full and len(self._out) <= self._high // 4:
                self._full = False
                self._protocol.resume_writing()
        if self._fin_settled and self._fin_heard:
            self._gone()
        return self._state == "open"

    def _take(self, found: TCP, data: bytes) -> None:
        """What the segment brings."""
        late = _ahead(self._heard, found.sequence)
        fin = bool(found.flags & FIN)
        if not data and not fin:
            if late > 0:
                self._say(ACK)  # somebody asks whether we are there
            return
        if late < 0 or late > len(data) or self._fin_heard:
            self._say(ACK)
            return
        fresh, fits = data[late:], self._room()
        taken = fresh[:fits]
        if taken:
            self._protocol.get_buffer(-1)[: len(taken)] = taken
            self._heard = self._heard + len(taken) & _MASK
            self._protocol.buffer_updated(len(taken))
        if self._state == "gone":
            return
        ends = fin and len(taken) == len(fresh)
        if ends:
            self._fin_heard = True
            self._heard = self._heard + 1 & _MASK
        self._say(ACK)
        if ends:
            if self._fin_settled:
                self._gone()
            elif not self._protocol.eof_received():
                self.close()

    # Inside

    def _room(self) -> int:
        return min(len(self._protocol.get_buffer(-1)), _WINDOW_MOST) if self._reading else 0

    def _greet(self) -> None:
        """SYN and ACK."""
        option = b"\x02\x04" + self._streams.mss.to_bytes(2, "big")
        self._streams.emit(self._key, SYN | ACK, self._settled, self._heard, self._room(), b"", option)
        self._wait()

    def _open(self) -> None:
        self._state = "open"
        self._streams.half_open -= 1
        self._settled = self._top
        self._tries = 0
        self._rest()
        self._protocol.connection_made(self)  # type: ignore[arg-type]

    def _say(self, flags: int, at: int = 0, data: bytes = b"") -> None:
        """A segment whose data is `at` bytes into what was written; one without any begins where all that was sent
        ends."""
        sequence = self._settled + at if data or flags & FIN else self._top
        self._streams.emit(self._key, flags, sequence, self._heard, self._room(), data, b"")

    def _push(self, probe: bool = False) -> None:
        """Send what may be sent. `probe`: one byte more than the user's window has room for, to hear of it."""
        if self._state != "open":
            return
        room = max(min(self._window, self._most * self._mss), int(probe))
        while self._flight < min(len(self._out), room):
            end = min(self._flight + self._mss, len(self._out), room)
            self._say(ACK | (PSH if end == len(self._out) else 0), self._flight, bytes(self._out[self._flight : end]))
            self._flight = end
            self._reach(end)
        if self._finish and self._flight == len(self._out) and not self._fin_sent:
            self._fin_sent = True
            self._say(FIN | ACK, self._flight)
            self._reach(self._flight + 1)
        if (self._out or self._fin_sent) and self._timer is None:
            self._wait()

    def _reach(self, count: int) -> None:
        if count > _ahead(self._top, self._settled):
            self._top = self._settled + count & _MASK

    def _wait(self) -> None:
        self._rest()
        wait = min(_FIRST_WAIT_S * 2**self._tries, _LAST_WAIT_S)
        self._timer = self._streams.loop.call_later(wait, self._late)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        """No answer in time: all of it again, a segment at first."""
        self._timer = None
        self._tries += 1
        if self._tries > (_PARTING if self._fin_settled else _TRIES):
            self.abort()
        elif self._state == "asked":
            self._greet()
        elif self._fin_settled:
            self._wait()  # for the user to finish too
        else:
            self._flight, self._most = 0, 1
            self._fin_sent = False
            self._push(probe=True)

    def _gone(self) -> None:
        if self._state == "gone":
            return
        opened, self._state = self._state == "open", "gone"
        self._rest()
        self._streams.forget(self._key)
        if not opened:
            self._streams.half_open -= 1
        else:
            self._streams.loop.call_soon(self._protocol.connection_lost, None)


def _mss(options: bytes) -> int:
    """The user's segment size; 536 where none is named or the options are not to be read."""
    at = 0
    while at < len(options) and options[at]:
        if options[at] == 1:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            break
        if options[at] == 2 and length == 4:
            return int.from_bytes(options[at + 2 : at + 4], "big")
        at += length
    return _DEFAULT_MSS
