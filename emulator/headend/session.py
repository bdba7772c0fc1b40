"""One logical device, talked to by a script: requests with patience, repeats and answers as plain values.

A `Session` turns the sans-IO DLMS client into generator methods: `value = yield from session.get(CLOCK)`. Reads are repeated
when no answer comes, each time as a new request under a new invocation counter. What changes something is never
repeated here: whether it took effect is a question for whoever asked (`headend/rotation.py` for keys).

Ends are exceptions of two kinds: `NoAnswerError` (nobody knows what happened) and `RefusedError` (the device, or our own
check of its answer, said no, and why).
"""

from collections.abc import Generator
from typing import Final, TypeAlias, TypeVar

from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data
from emulator.codecs.get import AttributeRef
from emulator.dlms.client import Answer, Client, More, Refused
from emulator.errors import EmulatorError
from emulator.headend.conversation import Ask, Heard, Request

T = TypeVar("T")
Steps: TypeAlias = Generator[Ask, Heard, T]
"""A part of a script that comes to a value."""

READ_TRIES: Final = 3


class NoAnswerError(EmulatorError):
    """Patience ran out: the request, or its answer, was lost."""


class RefusedError(EmulatorError):
    """A refusal: `reason` is the client's word for it ("association", "access", "tag", ...), `detail` the code."""

    def __init__(self, reason: str, detail: int | str | None = None) -> None:
        super().__init__(f"{reason} ({detail})")
        self.reason = reason
        self.detail = detail


class Session:
    """A client and its patience. `server_sap` is the logical device; `patience_us` how long one answer may take."""

    __slots__ = ("client", "client_sap", "patience_us", "server_sap")

    def __init__(self, client: Client, client_sap: int, server_sap: int, patience_us: int) -> None:
        self.client = client
        self.client_sap = client_sap
        self.server_sap = server_sap
        self.patience_us = patience_us
