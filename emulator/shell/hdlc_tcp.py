"""HDLC over TCP: the optical head of a meter at the end of a serial server.

A serial line has noise, so unlike the wrapper's stream this one finds its feet again: what is no frame is skipped. One
TCP connection may carry several links; each has its own client address and its own server address.

The client's address is its SAP. Of the server's address the upper half is the logical device, by the same number as its
SAP; the lower half is the physical device, and as one head sits on one meter any will do. The electricity and the gas
meter have a head; the hub has none and says so (DM). A head leads straight to its meter, past link, hub and radio.

An association belongs to a client and a meter, whichever way they talk: a client that is on the head and on the WAN at
once is one client. A link ends with DISC, with the TCP connection, or after a time
without a frame, and with the last of a client's ways to a home its associations end.
"""

from collections.abc import Callable
from typing import Final

from emulator.codecs.hdlc import DM, HDLC, HDLC_FRAME, SNRM, address_numbers, crc
from emulator.codecs.wrapper import HEADER, WRAPPER, Wrapper
from emulator.errors import FrameError
from emulator.fleet import registry
from emulator.fleet.installation import KEYED
from emulator.kernel.machine import Party
from emulator.shell.addresses import Addresses
from emulator.shell.gate import Gate
from emulator.shell.hdlc_station import POLL, Station
from emulator.shell.live import LiveEstate
from emulator.shell.live_cell import HEADS
from emulator.shell.switchboard import Line
from emulator.shell.tcp import Connection

_FLAG: Final = 0x7E
_SHORTEST: Final = 7
_LINKS_MOST: Final = 8
_CHECKS_MOST: Final = 4
_PORTS: Final = {party: port for port, party in HEADS.items()}


class _Link:
    """One link of a connection: a station, and the line that its APDUs take."""

    def __init__(self, connection: "HdlcConnection", frame: HDLC, client: int, server: int, party: Party) -> None:
        self._connection = connection
        self._client = client
        self._server = server
        self.station = Station(frame.destination, frame.source, self._deliver, connection.gate.limits.frame)
        self.line: Line = connection.live.line(connection.installation, self._reply, _PORTS[party])

    def receive(self, frame: HDLC) -> None:
        if frame.control & ~POLL == SNRM & ~POLL:
            self.line.forget(self._client)
        self._connection.write(self.station.receive(frame))

    def _deliver(self, apdu: bytes) -> None:
        self._connection.gate.counts["frames"] += 1
        if self.line.send(WRAPPER.build(Wrapper(self._client, self._server, apdu))):
            self._connection.owed += 1
        else:
            self._connection.gate.turn_away("overrun", installation=self.line.installation)

    def _reply(self, frame: bytes) -> None:
        self._connection.gate.counts["answers"] += 1
        self._connection.owed = max(0, self._connection.owed - 1)
        self._connection.write(self.station.answer(frame[HEADER:]))
        self._connection.answered()


class HdlcConnection(Connection):
    """One TCP connection to the heads of one home."""

    _links: dict[tuple[bytes, bytes], _Link]
    owed: int
    """Requests that are not answered yet."""

    def opened(self) -> None:
        self._links = {}
        self.owed = 0
        home = self.live.estate.installation(self.installation)
        self._saps = {
            registry.model(spec.model).profile.addressing.sap: spec.kind for spec in home.devices if spec.kind in KEYED
        }

    def closed(self) -> None:
        self._hang_up()

    def arrived(self) -> None:
        if not self.clogged and self._skip() > 0:
            self.gate.ready(self)

    def step(self) -> bool:
        if self.installation < 0 or self.clogged or not (length := self._skip()):
            return False
        # The closing flag may open the next frame, so it stays.
        raw = self.consume(length - 1) + bytes((_FLAG,))
        try:
            frame = HDLC_FRAME.parse(raw)
        except FrameError:
            self.gate.counts["hdlc-noise"] += 1
        else:
            self._route(frame)
            self.answered()
        return self.installation >= 0 and self._skip() > 0

    @property
    def busy(self) -> bool:
        return self.owed > 0 or self._skip() > 0

    def write(self, frames: list[bytes]) -> None:
        """Put frames on the line."""
        if frames and not self.transport.is_closing():
            self.transport.write(b"".join(frames))

    def overdue(self, silent_s: float) -> bool:
        if self._links and silent_s >= self.gate.limits.hdlc_idle_s:
            self._hang_up()
            self.gate.poke()
        return super().overdue(silent_s)

    def _patience(self) -> float:
        return min(super()._patience(), self.gate.limits.hdlc_idle_s / 2)

    def _hang_up(self) -> None:
        for link in self._links.values():
            link.line.close()
        self._links.clear()

    def _route(self, frame: HDLC) -> None:
        key = (frame.destination, frame.source)
        link = self._links.get(key)
        if link is None:
            server, client = address_numbers(frame.destination)[0], address_numbers(frame.source)[0]
            party = self._saps.get(server)
            if party is None:
                return  # nobody on this line has that address
            if party not in _PORTS or frame.control & ~POLL != SNRM & ~POLL or len(self._links) >= _LINKS_MOST:
                if frame.control & POLL:
                    self.write([HDLC_FRAME.build(HDLC(frame.source, frame.destination, DM, False, b""))])
                return
            link = self._links[key] = _Link(self, frame, client, server, party)
        link.receive(frame)
        if not link.station.connected:
            del self._links[key]
            link.line.close()

    def _skip(self) -> int:
        """Skip what is no frame; the length of the one that begins in the buffer, flags included, or 0.

        What looks like the beginning of a frame may be noise: a whole and sound one behind it goes before."""
        buffer, filled = self._buffer, self._filled
        begun, at, checks = -1, 0, _CHECKS_MOST
        while checks and (at := buffer.find(_FLAG, at, filled)) >= 0:
            length = _claim(buffer, at, filled)
            end = at + length
            if length and end > filled:
                begun = at if begun < 0 else begun
            elif length and buffer[end - 1] == _FLAG:
                if begun < 0 or crc(bytes(buffer[at + 1 : end - 3])) == buffer[end - 3] | buffer[end - 2] << 8:
                    self.consume(at)
                    return length
                checks -= 1
            at += 1
        self.consume(filled if begun < 0 else begun)
        return 0


def _claim(buffer: bytearray, at: int, filled: int) -> int:
    """How long the frame is that the flag at `at` may open; too long to be there while its length is still to come; 0
    when it opens none."""
    if at + 1 < filled and buffer[at + 1] >> 4 != 0xA:
        return 0
    if at + 2 >= filled:
        return filled + 1
    length = ((buffer[at + 1] & 7) << 8 | buffer[at + 2]) + 2
    return length if length >= _SHORTEST + 2 else 0


def optical(live: LiveEstate, gate: Gate, addresses: Addresses) -> Callable[[], HdlcConnection]:
    """What `loop.create_server` asks for."""
    return lambda: HdlcConnection(live, gate, addresses)
