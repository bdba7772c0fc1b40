"""Who is out there: hello adjacencies (RFC 5036 2.4 and 3.5.2). One per neighbour and interface.

A hello holds for the shorter of the two proposed times. A datagram that is not a whole hello of the platform's label
space changes nothing. Targeted hellos are not answered.
"""

from typing import Final, NamedTuple

from emulator.codecs.ldp import HELLO, LDP, LDP_FRAME, Message
from emulator.codecs.ldp_tlvs import HelloParameters, TransportAddress, UnknownTLV
from emulator.errors import FrameError
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND
from emulator.link.mpls.ldp.settings import Settings

DEFAULT_HOLD: Final = 15
FOR_EVER: Final = 65_535
NEVER: Final[Instant] = 1 << 62
MOST: Final = 1024
"""Adjacencies kept; hellos are not authenticated, and anybody on the wire can send any number of names."""


class Heard(NamedTuple):
    """An acceptable hello: whose, where its sessions end, and until when it holds."""

    router: int
    transport: int
    until: Instant


class Adjacencies:
    """Who has been heard, on which interface, until when."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.until: dict[tuple[int, str], Instant] = {}

    def hello(self, number: int) -> bytes:
        """Our own."""
        parts = (HelloParameters(self._settings.hello_hold, 0), TransportAddress(self._settings.address))
        return LDP_FRAME.build(LDP(self._settings.router, 0, (Message(HELLO, number, parts),)))

    def read(self, datagram: bytes, source: int, now: Instant) -> Heard | str:
        """What a hello says, or why it is none that counts."""
        try:
            pdu = LDP_FRAME.parse(datagram)
        except FrameError as error:
            return error.reason
        if pdu.space or not pdu.router or not pdu.messages or pdu.messages[0].kind != HELLO:
            return "not a hello of the platform's label space"
        if pdu.router == self._settings.router:
            return "our own identifier"
        about: HelloParameters | None = None
        transport = source
        for part in pdu.messages[0].parts:
            if isinstance(part, HelloParameters):
                about = about or part
            elif isinstance(part, TransportAddress):
                transport = part.address
            elif isinstance(part, UnknownTLV) and not part.silent:
                return f"an unknown TLV {part.kind:#06x}"
        if about is None:
            return "without hello parameters"
        if about.flags & 0x8000:
            return "targeted"
        if transport in (0, self._settings.address):
            return "a transport address that cannot be its own"
        hold = min(about.hold_time or DEFAULT_HOLD, self._settings.hello_hold)
        return Heard(pdu.router, transport, NEVER if hold == FOR_EVER else now + hold * SECOND)

    def keep(self, heard: Heard, interface: str) -> bool:
        """Write a hello down. False: there are too many."""
        key = heard.router, interface
        if key not in self.until and len(self.until) >= MOST:
            return False
        self.until[key] = heard.until
        return True

    def expired(self, now: Instant) -> list[tuple[int, str]]:
        """Adjacencies that have run out, which are forgotten by this."""
        found = sorted(key for key, until in self.until.items() if until <= now)
        for key in found:
            del self.until[key]
        return found

    def interfaces(self, router: int) -> list[str]:
        """Where a router is a neighbour."""
        return sorted(interface for known, interface in self.until if known == router)
