"""A machine: anything that lives. Three ways in; effects out."""

from enum import IntEnum
from typing import Protocol

from emulator.commands import Command
from emulator.kernel.effects import Effects, Instant, Port


class Party(IntEnum):
    """Who can be called in one installation's conversation. The number is part of the wiring and of chance keys."""

    HEADEND = 0
    HUB = 1
    ELECTRICITY = 2
    GAS = 3
    IHD = 4


class Machine(Protocol):
    """Three ways in. None of them may block, read a clock or ask the system for randomness."""

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects: ...

    def wake(self, now: Instant) -> Effects: ...

    def command(self, command: Command, now: Instant) -> Effects: ...
