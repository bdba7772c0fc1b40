"""What this room needs of whoever lets virtual time pass.

A protocol, so that it may be a shell with a real clock or a test without one. Everything is called in the engine's one
thread and nothing here blocks.
"""

from typing import Protocol

from emulator.kernel.effects import Instant


class Pace(Protocol):
    """`speed` is virtual seconds a real second; 0: the clock stands."""

    @property
    def speed(self) -> float: ...

    def target(self) -> Instant:
        """What virtual time it should be by the real clock; `LiveEstate.now` lags behind it until somebody looks."""
        ...

    def set_speed(self, speed: float) -> None:
        """From now on at this speed."""
        ...

    def step_to(self, until: Instant) -> None:
        """It is `until` at once (never earlier than now): advance, commit, and go on from there at `speed`."""
        ...

    def poke(self) -> None:
        """Something new may be due, perhaps at once: look at `LiveEstate.due` again."""
        ...
