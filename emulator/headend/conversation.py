"""One conversation between the head end and one installation.

The machine knows ports, frames and patience; what is asked, and why, is the script's business. It keeps one deadline at
a time and at most one outstanding wake below it: a wake that comes early re-arms itself, so a brisk exchange of fifty
requests costs one timer and not fifty.
"""

from collections.abc import Callable, Generator
from typing import Final, TypeAlias

import msgspec

from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import Command
from emulator.errors import FrameError
from emulator.kernel.effects import ALERTS, SMS, WAN, Effect, Effects, Instant, Note, Port, Send, Wake


class Request(msgspec.Struct, gc=False):
    """An APDU for one logical device; resumed with its answering APDU, or None when `patience_us` ran out.

    An empty `apdu` sends nothing and goes on listening."""

    client_sap: int
    server_sap: int
    apdu: bytes
    patience_us: int


class Text(msgspec.Struct, gc=False):
    """A short message to the hub; resumed at once with None."""

    text: bytes


class Listen(msgspec.Struct, gc=False):
    """Wait for an alert; resumed with True when at least one lies in the inbox, None when patience ran out."""

    patience_us: int


class Rest(msgspec.Struct, gc=False):
    """Do nothing until an instant; resumed with None."""

    until: Instant


class Remark(msgspec.Struct, gc=False):
    """Put a note into the journal; resumed at once with None."""

    note: Note


Ask: TypeAlias = Request | Text | Listen | Rest | Remark
Heard: TypeAlias = bytes | bool | None
Script: TypeAlias = Generator[Ask, Heard, None]

AlertHook: TypeAlias = Callable[[bytes, Instant], Note]

_IDLE: Final = -1


def _nothing() -> None:
    """There is no more to come."""


class Conversation:
    """The head end's machine for one installation.

    `hear_alert` is called with every wrapper frame that arrives on the alert port, when it arrives: alerts and answers
    of a device share one invocation counter, so neither may wait behind the other. `finished` is called once.
    """

    __slots__ = ("_alerts", "_armed", "_ask", "_deadline", "_finished", "_hear_alert", "_script", "exchanges", "now")

    def __init__(self, hear_alert: AlertHook, finished: Callable[[], None]) -> None:
        self._script: Script | None = None
        self._hear_alert = hear_alert
        self._finished = finished
        self._ask: Ask | None = None
        self._deadline: Instant = _IDLE
        self._armed: Instant = _IDLE
        self._alerts = 0
        self.exchanges = 0
        self.now: Instant = 0

    def run(self, script: Script, now: Instant) -> Effects:
        """Begin. The effects are the first step's."""
        assert self._script is None, "a conversation runs one script"
        self._script = script
        self.now = now
        return self._resume(None, now, [])

    @property
    def running(self) -> bool:
        """Whether the script still waits for something."""
        return self._script is not None

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects:
        self.now = now
        if port == ALERTS:
            effects: list[Effect] = [self._hear_alert(frame, now)]
            if type(self._ask) is Listen:
                return self._resume(True, now, effects)
            self._alerts += 1
            return effects
        self.exchanges += 1
        ask = self._ask
        try:
            heard = WRAPPER.parse(frame)
        except FrameError as error:
            return [Note("headend.bad-frame", (str(error),))]
        if type(ask) is not Request or heard.source != ask.server_sap or heard.destination != ask.client_sap:
            return [Note("headend.unasked", (heard.source, heard.destination, len(heard.payload)))]
        return self._resume(heard.payload, now, [])

    def wake(self, now: Instant) -> Effects:
        self.now = now
        if now >= self._armed:
            self._armed = _IDLE
        if self._ask is None:
            return []
        if now >= self._deadline:
            return self._resume(None, now, [])
        if self._armed != _IDLE and self._armed <= self._deadline:
            return []
        self._armed = self._deadline
        return [Wake(self._deadline)]

    def command(self, command: Command, now: Instant) -> Effects:
        return [Note("headend.command-ignored", (type(command).__name__,))]

    def _resume(self, heard: Heard, now: Instant, effects: list[Effect]) -> list[Effect]:
        """Step the script until it waits for something."""
        script = self._script
        if script is None:
            return effects
        self._ask = None
        while True:
            try:
                ask = script.send(heard)
            except StopIteration:
                self._script = None
                finished, self._finished = self._finished, _nothing  # what it holds often holds this conversation
                finished()
                return effects
            kind = type(ask)
            if kind is Request:
                apdu = ask.apdu  # type: ignore[union-attr]
                if apdu:
                    wrapper = Wrapper(ask.client_sap, ask.server_sap, apdu)  # type: ignore[union-attr]
                    effects.append(Send(WAN, WRAPPER.build(wrapper)))
                self._deadline = now + ask.patience_us  # type: ignore[union-attr]
            elif kind is Remark:
                effects.append(ask.note)  # type: ignore[union-attr]
                heard = None
                continue
            elif kind is Text:
                effects.append(Send(SMS, ask.text))  # type: ignore[union-attr]
                heard = None
                continue
            elif kind is Listen:
                if self._alerts:
                    self._alerts = 0
                    heard = True
                    continue
                self._deadline = now + ask.patience_us  # type: ignore[union-attr]
            else:
                assert isinstance(ask, Rest)
                self._deadline = max(ask.until, now)
            self._ask = ask
            if self._armed == _IDLE or self._armed > self._deadline:
                self._armed = self._deadline
                effects.append(Wake(self._deadline))
            return effects
