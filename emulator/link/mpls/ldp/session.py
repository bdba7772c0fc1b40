"""One LDP session: a TCP stream and the state machine of RFC 5036 section 2.5.4.

The side with the higher transport address is the active one: it opens the connection and speaks first. Parameters are
agreed (the shorter keepalive time, the smaller PDU; on demand and unsolicited meet at unsolicited), keepalives confirm,
and the session is operational. From then on whatever the neighbour says counts as a sign of life.

What it must not say ends the session with a notification that names the reason (section 3.5.1.2); what it may say and
we do not know is passed over or answered, as the U bits ask. Messages that concern labels are handed up.
"""

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from emulator.codecs.ldp import (
    ADDRESS,
    ADDRESS_WITHDRAW,
    FATAL,
    HEADER,
    INITIALIZATION,
    KEEPALIVE,
    LABEL_ABORT,
    LABEL_MAPPING,
    LABEL_RELEASE,
    LABEL_REQUEST,
    LABEL_WITHDRAW,
    LDP,
    LDP_FRAME,
    NOTIFICATION,
    VERSION,
    Message,
    split,
)
from emulator.codecs.ldp_tlvs import SessionParameters, Status, UnknownTLV
from emulator.errors import FrameError
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND
from emulator.link.mpls.ldp.settings import Settings

State: TypeAlias = Literal["idle", "initialized", "open-sent", "open-received", "operational"]

BAD_IDENTIFIER: Final = 0x01
BAD_VERSION: Final = 0x02
BAD_PDU_LENGTH: Final = 0x03
UNKNOWN_MESSAGE: Final = 0x04
BAD_MESSAGE_LENGTH: Final = 0x05
UNKNOWN_TLV: Final = 0x06
BAD_TLV_LENGTH: Final = 0x07
MALFORMED_TLV: Final = 0x08
HOLD_EXPIRED: Final = 0x09
SHUTDOWN: Final = 0x0A
NO_HELLO: Final = 0x10
KEEPALIVE_EXPIRED: Final = 0x14
MISSING_PARAMETERS: Final = 0x16
BAD_KEEPALIVE: Final = 0x18

_UPWARDS: Final = frozenset(
    {ADDRESS, ADDRESS_WITHDRAW, LABEL_MAPPING, LABEL_REQUEST, LABEL_WITHDRAW, LABEL_RELEASE, LABEL_ABORT, NOTIFICATION}
)
_DEFAULT_PDU: Final = 4096
_LEAST_PDU: Final = 256


class Session:
    """One conversation with one neighbour. Bytes to say gather in `out`; `ended` is set when the stream must close.

    Of its methods only `receive` may be given arbitrary bytes, and no bytes make it raise.
    """

    def __init__(self, settings: Settings, router: int, address: int) -> None:
        """`router` and `address` are the neighbour's identifier and transport address."""
        self._settings = settings
        self.router = router
        self.address = address
        self.active = settings.address > address
        self.state: State = "idle"
        self.keepalive = settings.keepalive
        self.max_pdu = _DEFAULT_PDU
        self.out: list[bytes] = []
        self.ended: int | None = None
        """The status the session ended with (section 4.9, without its high bits), told or heard."""
        self._number = 0
        self._rest = b""
        self._dead: Instant = 0
        self._speak: Instant = 0

    # Time

    def connected(self, now: Instant) -> None:
        """The stream is there."""
        self.state = "initialized"
        self.ended = None
        self._rest = b""
        self.max_pdu = _DEFAULT_PDU
        self.keepalive = self._settings.keepalive
        self._dead = now + self._settings.opening * SECOND
        self._speak = self._dead
        if self.active:
            self._initialize(now)
            self.state = "open-sent"

    def tick(self, now: Instant) -> None:
        """Keep alive, or give up. An early tick does nothing."""
        if self.state == "idle":
            return
        if now >= self._dead:
            self.fail(KEEPALIVE_EXPIRED, now)
        elif now >= self._speak and self.state == "operational":
            self.say(KEEPALIVE, (), now)

    def next_timer(self) -> Instant | None:
        """When `tick` has something to do."""
        return None if self.state == "idle" else min(self._dead, self._speak)

    # Saying

    def say(self, kind: int, parts: tuple[object, ...], now: Instant) -> int:
        """Send a message; its identifier."""
        self._number += 1
        message = Message(kind, self._number, parts)
        self.out.append(LDP_FRAME.build(LDP(self._settings.router, 0, (message,))))
        if self.state == "operational":
            self._speak = now + self.keepalive * SECOND // 3
        return self._number

    def advise(self, status: int, about: Message, now: Instant) -> None:
        """A notification that ends nothing."""
        self.say(NOTIFICATION, (Status(status, about.message_id, about.kind),), now)

    def fail(self, status: int, now: Instant, about: Message | None = None) -> None:
        """A notification that ends the session."""
        which = (0, 0) if about is None else (about.message_id, about.kind)
        self.say(NOTIFICATION, (Status(FATAL | status, *which),), now)
        self.end(status)

    def end(self, status: int) -> None:
        """Be over, without a word."""
        self.state = "idle"
        self.ended = status
        self._rest = b""

    def _initialize(self, now: Instant) -> None:
        asked = self._settings.keepalive, 0, 0, self._settings.max_pdu
        self.say(INITIALIZATION, (SessionParameters(VERSION, *asked, self.router, 0),), now)

    # Hearing

    def receive(self, data: bytes, now: Instant) -> Iterator[Message]:
        """Take a stretch of the stream; yields the messages that concern labels and addresses, one after another, so
        that the caller can act on one before the next is judged."""
        if self.state == "idle":
            return
        self._rest += data
        try:
            pdus, self._rest = split(self._rest, self.max_pdu + 4)
        except FrameError as error:
            self.fail(BAD_VERSION if error.reason.startswith("version") else BAD_PDU_LENGTH, now)
            return
        for pdu in pdus:
            try:
                value = LDP_FRAME.parse(pdu)
            except FrameError:
                self.fail(what_is_wrong(pdu), now)
                return
            if (value.router, value.space) != (self.router, 0):
                self.fail(BAD_IDENTIFIER if self.state == "operational" else NO_HELLO, now)
                return
            for message in value.messages:
                yield from self._heard(message, now)
                # What was handed up may have ended it.
                if self.ended is not None:
                    return

    def _heard(self, message: Message, now: Instant) -> Iterator[Message]:
        if self.state == "operational":
            self._dead = now + self.keepalive * SECOND
        if message.kind == NOTIFICATION:
            yield from self._notified(message, now)
        elif message.kind == INITIALIZATION and self.state in ("initialized", "open-sent"):
            self._initialization(message, now)
        elif message.kind == KEEPALIVE and self.state in ("open-received", "operational"):
            if self.state == "open-received":
                self.state = "operational"
                self._dead = now + self.keepalive * SECOND
                self._speak = now + self.keepalive * SECOND // 3
        elif self.state != "operational" or message.kind in (INITIALIZATION, KEEPALIVE):
            self.fail(SHUTDOWN, now, message)
        elif message.kind not in _UPWARDS:
            if not message.silent:
                self.advise(UNKNOWN_MESSAGE, message, now)
        elif not self._strange(message, now):
            yield message

    def _strange(self, message: Message, now: Instant) -> bool:
        """Whether a message has a TLV that it must not have, which is answered."""
        if any(isinstance(part, UnknownTLV) and not part.silent for part in message.parts):
            self.advise(UNKNOWN_TLV, message, now)
            return True
        return False

    def _notified(self, message: Message, now: Instant) -> Iterator[Message]:
        status = next((part for part in message.parts if isinstance(part, Status)), None)
        if status is None:
            # To answer a notification with one could go on for ever.
            self.end(MISSING_PARAMETERS)
        elif status.code & FATAL:
            self.end(status.code & 0x3FFF_FFFF)
        elif self.state == "operational":
            yield message

    def _initialization(self, message: Message, now: Instant) -> None:
        said = next((part for part in message.parts if isinstance(part, SessionParameters)), None)
        if said is None:
            return self.fail(MISSING_PARAMETERS, now, message)
        if said.version != VERSION:
            return self.fail(BAD_VERSION, now, message)
        if (said.router, said.space) != (self._settings.router, 0):
            return self.fail(NO_HELLO, now, message)
        if said.keepalive == 0:
            return self.fail(BAD_KEEPALIVE, now, message)
        if any(isinstance(part, UnknownTLV) and not part.silent for part in message.parts):
            return self.fail(UNKNOWN_TLV, now, message)
        if self.state == "initialized":
            self._initialize(now)
        self.keepalive = min(said.keepalive, self._settings.keepalive)
        theirs = said.max_pdu if said.max_pdu >= _LEAST_PDU else _DEFAULT_PDU
        self.max_pdu = min(theirs, self._settings.max_pdu)
        self.state = "open-received"
        self.say(KEEPALIVE, (), now)
        return None


def what_is_wrong(pdu: bytes) -> int:
    """The status for a PDU that cannot be read, whose length field is right: lengths first, then what they hold."""
    at = HEADER
    if len(pdu) < HEADER:
        return BAD_PDU_LENGTH
    while at < len(pdu):
        end = at + 4 + int.from_bytes(pdu[at + 2 : at + 4], "big")
        if len(pdu) < at + 8 or not at + 8 <= end <= len(pdu):
            return BAD_MESSAGE_LENGTH
        inner = at + 8
        while inner < end:
            after = inner + 4 + int.from_bytes(pdu[inner + 2 : inner + 4], "big")
            if inner + 4 > end or after > end:
                return BAD_TLV_LENGTH
            inner = after
        at = end
    return MALFORMED_TLV
