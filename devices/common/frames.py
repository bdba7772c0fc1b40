"""The two frames of a home that are not COSEM's: a short message that rouses a hub, and a display's question.

Neither format is public. Both are the emulator's own (ASSUMED) and stand in one place so that a user who knows better
changes one file.

* A wake-up message is text: `SMETS1 WAKE 10.0.0.1:4061 token`. The address is where the hub calls back; the token,
  which may be missing, is whatever lets the sender recognise its message in a log.
* A display polls with `Z?`; a meter answers with a `Report`, which is also how a gas meter tells the hub of a change
  that the hub cannot compute. It says by which law the register moves and not only where it stands.
* An alert crosses the HAN as it leaves the hub: IPv4 destination (4 bytes), port (2), then a wrapper frame. An answer
  is a wrapper frame alone, which begins with version 0001h; no destination in 0.1.0.0/16 exists, so the two cannot be
  taken for each other.
"""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address
from struct import Struct
from typing import Final

from emulator.errors import FrameError
from emulator.kernel.effects import Instant

_WAKE: Final = ("SMETS1", "WAKE")
POLL: Final = b"Z?"
REPORT_MARK: Final = b"Z!"
_REPORT: Final = Struct(">2sBqqQQIBB")


def destination(host: int, port: int) -> bytes:
    """The six bytes in front of an alert."""
    return host.to_bytes(4, "big") + port.to_bytes(2, "big")


@lru_cache(maxsize=256)
def address(text: str) -> bytes:
    """The six bytes of "10.0.0.1:4061". Raises FrameError."""
    host, colon, port = text.partition(":")
    try:
        number = int(port)
        if not colon or not 0 < number < 65_536 or not port.isascii():
            raise FrameError("callback address", "no port from 1 to 65535 behind a colon")
        return destination(int(IPv4Address(host)), number)
    except (AddressValueError, ValueError) as error:
        raise FrameError("callback address", "not an IPv4 address and a port") from error


def parse_wake(message: bytes) -> tuple[bytes, str]:
    """(six bytes of the address to call back, token) of a wake-up message. Raises FrameError."""
    if len(message) > 160:
        raise FrameError("wake-up message", "longer than a short message")
    try:
        words = message.decode("ascii").split()
    except UnicodeDecodeError as error:
        raise FrameError("wake-up message", "not ASCII text", error.start) from error
    if not 3 <= len(words) <= 4 or tuple(words[:2]) != _WAKE:
        raise FrameError("wake-up message", "not SMETS1 WAKE address:port [token]")
    return address(words[2]), words[3] if len(words) == 4 else ""


@dataclass(slots=True)
class Report:
    """What a meter says to the home.

    `party` 2 electricity or 3 gas; at which time of its clock, and how wrong that clock is (µs; a real device does not
    know, but the hub's mirror must move as the meter does); the total shown (Wh, dm3); what stands beyond whole units
    (grains); the flow (W, dm3/h); `state` of supply or valve (0 off, 1 on, 2 ready); the tariff `rate` in force.
    """

    party: int
    shown: Instant
    error_us: int
    total: int
    grains: int
    flow: int
    state: int
    rate: int

    def build(self) -> bytes:
        return _REPORT.pack(
            REPORT_MARK,
            self.party,
            self.shown,
            self.error_us,
            self.total,
            self.grains,
            self.flow,
            self.state,
            self.rate,
        )


def parse_report(frame: bytes) -> Report:
    """Raises FrameError."""
    if len(frame) != _REPORT.size or frame[:2] != REPORT_MARK:
        raise FrameError("HAN report", "not a report")
    _, *fields = _REPORT.unpack(frame)
    return Report(*fields)
