"""The faults of a scenario: what the catalogue makes of an entry, and what a scenario says beside it.

    [[faults]]
    fault = "link-outage"          # a name of the catalogue
    number = 3                     # keys its luck; by default its place in the file, from 1
    campaign = 1                   # in force from the beginning of this campaign on; 0 is the first
    may_stay_quiet = true          # a fault that never strikes is a failure, unless this is said
    seconds = 6                    # and its own settings

The number is what makes shrinking possible: with it a fault keeps its luck and its victims when its neighbours go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emulator.errors import InputError
from emulator.faults import catalogue
from emulator.faults.fault import Fault

OURS: Final = ("fault", "number", "campaign", "may_stay_quiet")


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault, the number it is armed under, the campaign at whose beginning, and whether it may stay quiet."""

    fault: Fault
    number: int
    campaign: int
    may_stay_quiet: bool


def planned(entries: Sequence[Mapping[str, Any]], campaigns: int, where: str) -> tuple[Planned, ...]:
    """The faults of a scenario with so many campaigns. Raises InputError."""
    found: list[Planned] = []
    for index, entry in enumerate(entries):
        place = f"{where}[{index}]"
        name = entry.get("fault")
        if not isinstance(name, str):
            raise InputError(f'{place}.fault: missing; write fault = "name" (smets1 faults lists them)')
        settings = {key: value for key, value in entry.items() if key not in OURS}
        try:
            fault = catalogue.make(name, settings)
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
        number = _whole(entry, "number", index + 1, 1, 1_000_000, place)
        campaign = _whole(entry, "campaign", 0, 0, campaigns - 1, place)
        quiet = entry.get("may_stay_quiet", False)
        if not isinstance(quiet, bool):
            raise InputError(f"{place}.may_stay_quiet: {quiet!r}; write true or false")
        if any(each.number == number for each in found):
            raise InputError(f"{place}.number: {number} stands twice; give each fault its own")
        found.append(Planned(fault, number, campaign, quiet))
    return tuple(found)


def _whole(entry: Mapping[str, Any], key: str, default: int, low: int, high: int, place: str) -> int:
    value = entry.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{place}.{key}: {value!r}; give a whole number from {low} to {high}")
    return value
