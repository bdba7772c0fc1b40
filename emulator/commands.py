"""Every wish a person or a program can have of a running estate, as a dataclass.

CLI verbs, pytest helpers, topics and routes are made from these; `Machine.command` receives them. A command names what
is wanted of the *physical* device (a button, a power cut), or of the head end (a service); bytes never travel here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """Root of all commands."""


@dataclass(frozen=True, slots=True)
class PowerCut(Command):
    """Cut the mains of a device for `seconds`; volatile state (associations, timers) is lost."""

    seconds: int = 1


@dataclass(frozen=True, slots=True)
class PressBoost(Command):
    """Press the boost button of auxiliary switch `switch` (1 to 5) for `minutes`."""

    switch: int = 1
    minutes: int = 60


@dataclass(frozen=True, slots=True)
class PressReconnect(Command):
    """Press the button that closes an armed supply switch (or opens an armed gas valve)."""


@dataclass(frozen=True, slots=True)
class RaiseAlert(Command):
    """Let the device notice something and alert: `code` is the 16-bit alert code (for example 0x8F1D)."""

    code: int
    text: str = ""
