"""The words between a client and who uses it: how it introduces itself, and what an answer can mean."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from emulator.codecs.acse import Context, Mechanism
from emulator.dlms import security
from emulator.dlms.server import DEFAULT_CONFORMANCE


class More(msgspec.Struct, gc=False):
    """Send this next; the question stays open."""

    apdu: bytes


class Answer(msgspec.Struct, gc=False):
    """What was asked for. GET: the datum; a list: a tuple of data or data-access-results; ACTION: the returned datum or
    None; SET and release: None; association: the server's `InitiateResponse`."""

    value: Any


class Refused(msgspec.Struct, gc=False):
    """A refusal. `reason` and `detail`:

    by the device: "association" (diagnostic), "initiate" (initiate error), "access" (data-access-result), "action"
    (action-result), "exception" (service error), "invocation-counter" (the counter it expects);
    by us: "authentication" (pass 4 is wrong), "tag", "counter" (the lowest we accept), "title" (the title as hex),
    "unprotected", "malformed" (why), "unexpected" (what came).
    """

    reason: str
    detail: int | str | None = None


Outcome: TypeAlias = More | Answer | Refused


@dataclass(frozen=True, slots=True)
class Profile:
    """How a client introduces itself. `mechanism` 0, 1 or 5; `context` 1 plain or 3 ciphered; `password` for
    mechanism 1; `general` uses general-glo-ciphering instead of glo-; `max_pdu` the longest APDU it takes; `control`
    the security control byte of its requests."""

    mechanism: int = Mechanism.NONE
    context: int = Context.LN
    password: bytes = b""
    max_pdu: int = 1024
    conformance: int = DEFAULT_CONFORMANCE
    control: int = security.PROTECTED
    general: bool = False


PUBLIC: Final = Profile()
MANAGEMENT: Final = Profile(Mechanism.HLS_GMAC, Context.LN_CIPHERED)
