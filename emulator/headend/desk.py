"""The head end's desk for one cell: which conversations run, and the machine behind each installation's head-end side.

A conversation exists only while it runs. Between attempts an installation is one scheduled wake, and being woken is
what begins the next attempt; what the conversation says and what follows from its end is the caseworker's business.
"""

from collections.abc import Callable
from typing import Protocol

from emulator.commands import Command
from emulator.headend.conversation import Conversation
from emulator.kernel.effects import ALERTS, WAN, Effects, Instant, Note, Port


class Caseworker(Protocol):
    """Decides what is said to an installation.

    One that also has `hear_alert(installation, frame, now) -> Note` is handed the alerts that come while no
    conversation runs; without it they are noted as late."""

    def begin(self, installation: int, now: Instant) -> tuple[Conversation, Effects] | None:
        """Start an attempt: the conversation and its first effects; None when nothing is to be said."""
        ...


class Desk:
    """Machines of the HEADEND party."""

    __slots__ = ("_caseworker", "exchanges", "hear_alert", "running")

    def __init__(self, caseworker: Caseworker) -> None:
        self._caseworker = caseworker
        self.hear_alert: Callable[[int, bytes, Instant], Note] | None = getattr(caseworker, "hear_alert", None)
        self.running: dict[int, Conversation] = {}
        """Installation -> its conversation, while it runs."""
        self.exchanges = 0

    def machine(self, installation: int) -> "Conversation | Bell":
        """The running conversation, or a bell that begins one when it is woken."""
        return self.running.get(installation) or Bell(self, installation)

    def begin(self, installation: int, now: Instant) -> Effects:
        """Begin an attempt now."""
        begun = self._caseworker.begin(installation, now)
        if begun is None:
            return ()
        conversation, effects = begun
        if conversation.running:
            self.running[installation] = conversation
        return effects

    def end(self, installation: int) -> None:
        """A conversation has come to its end."""
        conversation = self.running.pop(installation, None)
        if conversation is not None:
            self.exchanges += conversation.exchanges

    @property
    def open_conversations(self) -> int:
        return len(self.running)


class Bell:
    """What answers for the head end when nobody is at the desk: counts what comes, starts when woken."""

    __slots__ = ("_desk", "_installation")

    def __init__(self, desk: Desk, installation: int) -> None:
        self._desk = desk
        self._installation = installation

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects:
        desk = self._desk
        if port == WAN:
            desk.exchanges += 1
        elif port == ALERTS and desk.hear_alert is not None:
            return (desk.hear_alert(self._installation, frame, now),)
        return (Note("headend.late", (port, len(frame))),)

    def wake(self, now: Instant) -> Effects:
        return self._desk.begin(self._installation, now)

    def command(self, command: Command, now: Instant) -> Effects:
        return (Note("headend.command-ignored", (type(command).__name__,)),)
