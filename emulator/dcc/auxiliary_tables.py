"""By which table a home is heated: the tariff it is loaded with, or its meter's own calendar where the model has one.

On SMETS1 the two are one; a model whose profile says `calendar = "own"` switches by what that profile says it is found
with, whatever its tariff (`devices/electricity/switch_calendar`).
"""

from functools import lru_cache
from typing import Any

from emulator.fleet import registry, tariffs
from emulator.fleet.installation import Installation, Wiring
from emulator.fleet.tariffs import SwitchingTable
from emulator.kernel.machine import Party


def follows_tariff(model: str) -> bool:
    """Whether the auxiliary switches of a model follow the tariff that is loaded."""
    habits: Any = registry.model(model).profile.auxiliary
    return getattr(habits, "calendar", "tariff") != "own"


def switching(wiring: Wiring, model: str) -> SwitchingTable:
    """When the switches of an electricity meter of this model, wired and loaded so, are on."""
    if follows_tariff(model):
        return tariffs.tables()[wiring.tariff]
    habits: Any = registry.model(model).profile.auxiliary
    return _own(habits.own_on, habits.own_off)


def right_table(home: Installation) -> SwitchingTable | None:
    """The table by which a home should be heated. None for a home without auxiliary load."""
    spec = home.device(Party.ELECTRICITY)
    if home.wiring is None or spec is None:
        return None
    return switching(home.wiring, spec.model)


@lru_cache(maxsize=64)
def _own(on: str, off: str) -> SwitchingTable:
    """A meter's own calendar as found, in the words of a table: rate 2 while switches are on."""
    start, end = (int(text[:2]) * 60 + int(text[3:]) for text in (on, off))
    lasts = (end - start) % 1_440
    day = [(at, 2 if (at - start) % 1_440 < lasts else 1) for at in sorted({0, start, end})]
    return SwitchingTable("own", "the meter's own calendar", 2, (2,), tuple(day))
