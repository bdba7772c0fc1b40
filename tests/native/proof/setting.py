"""What a proof is given: a core, a workshop, and how much time it may take."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from proof.core import Core, built
from proof.workshop import Workshop

Counts: TypeAlias = dict[str, int]
"""What was looked at, by name, for the line that is printed."""


@dataclass
class Setting:
    """`quick`: the short form, for the ordinary tests. `seconds`: how long each fuzzer runs."""

    workshop: Workshop
    quick: bool = False
    seconds: int = 60
    given: Core | None = None
    _built: Core | None = field(default=None, repr=False)

    @property
    def core(self) -> Core:
        """The core given, or the sources compiled (once). Raises Missing."""
        if self.given is not None:
            return self.given
        if self._built is None:
            self._built = built(self.workshop)
        return self._built


Proof: TypeAlias = Callable[[Setting], Counts]
"""Raises Failed where it does not hold and Missing where a tool is not here."""
