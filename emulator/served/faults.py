"""A fault in force in a served estate, in a test's hands: as `scenario.playground.Injected`, over HTTP."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emulator.errors import InputError
from emulator.faults import texts

if TYPE_CHECKING:
    from emulator.served.world import ServedWorld


class ServedFault:
    """A fault that was put in force. `number` is the server's."""

    def __init__(self, world: "ServedWorld", view: dict[str, Any], may_stay_quiet: bool) -> None:
        self.number: int = view["number"]
        self.name: str = view["fault"]
        self.settings: dict[str, Any] = view["settings"]
        self.since: int = view["since"]
        self.may_stay_quiet = may_stay_quiet
        self._wish: Callable[[str, dict[str, Any]], Any] = world.wish
        self._ask: Callable[[], dict[str, Any]] = lambda: dict(world.served.ask("GET", "/v1/faults"))
        self._last = view

    def __repr__(self) -> str:
        return f"<fault {self.number} {texts.line(self.name, self.settings)}, struck {self._last['fired']} times>"

    @property
    def fired(self) -> int:
        """How often it struck so far, in all homes; as last known where the server has forgotten it."""
        found = self._ask()
        for each in (*found["faults"], *found["ended"]):
            if each["number"] == self.number:
                self._last = each
        return int(self._last["fired"])

    def clear(self) -> None:
        """End it now. Harmless when it has ended."""
        try:
            self._last = self._wish("/v1/clear-fault", {"number": self.number})
        except InputError:
            if all(each["number"] != self.number for each in self._ask()["ended"]):
                raise
