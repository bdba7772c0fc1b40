"""Switching tables by name: which rate applies when, and when the auxiliary circuits of a home are live.

On SMETS1 the fifth terminal has no calendar of its own: it follows the tariff loaded in the meter, so a home's
switching times *are* a tariff table. Tables are data in `fixtures/estates/tariffs.toml`; this module reads and checks
them and answers what a campaign asks: is the circuit live at an instant, when does that change next, and is this the
table that stands in the meter.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from emulator.codecs.axdr import Data, Tag
from emulator.errors import InputError
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, MINUTE
from emulator.resources import fixture

SWITCHES_A_DAY_MOST: Final = 12
RATES_MOST: Final = 48
_KEYS: Final = {"title", "rates", "switched", "day"}


@dataclass(frozen=True, slots=True)
class SwitchingTable:
    """`day` is ((minute of the day, rate), ...) from minute 0 on; `switched` the rates that close the switches."""

    name: str
    title: str
    rates: int
    switched: tuple[int, ...]
    day: tuple[tuple[int, int], ...]

    def rate(self, now: Instant) -> int:
        """The rate that applies at `now`."""
        minute = now % DAY // MINUTE
        found = 0
        for start, rate in self.day:
            if start > minute:
                break
            found = rate
        return found

    def live(self, now: Instant) -> bool:
        """Are the auxiliary switches closed at `now`, as far as the table decides?"""
        return self.rate(now) in self.switched

    def next_switch(self, now: Instant) -> Instant | None:
        """The first instant after `now` at which `live` changes; None when it never does."""
        before = self.live(now)
        midnight = now - now % DAY
        for base in (midnight, midnight + DAY):
            for start, rate in self.day:
                at = base + start * MINUTE
                if at > now and (rate in self.switched) != before:
                    return at
        return None

    def agrees(self, day_profiles: Data) -> bool:
        """Is this what a meter's active day profiles say (class 20, attribute 5), every day type alike?

        Actions that change nothing do not count; whatever is not shaped like day profiles does not agree."""
        if day_profiles.tag != Tag.ARRAY or not day_profiles.value:
            return False
        return all(_actions(profile) == list(self.day) for profile in day_profiles.value)


def _actions(profile: Data) -> list[tuple[int, int]] | None:
    """[(minute, rate), ...] from minute 0 on of one day profile; None for another shape."""
    try:
        _, actions = profile.value
        found = []
        for action in actions.value:
            start, _, selector = action.value
            found.append((start.value[0] * 60 + start.value[1], int(selector.value)))
    except (TypeError, ValueError, IndexError, AttributeError):
        return None
    found.sort()
    if found and found[0][0]:
        found.insert(0, (0, found[-1][1]))
    return [action for at, action in enumerate(found) if not at or found[at - 1][1] != action[1]]


def read(file: Path) -> dict[str, SwitchingTable]:
    """All tables of a file. Raises InputError naming file, table and cure."""
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: {error}; put readable TOML there") from error
    return {name: _table(file, name, body) for name, body in document.items()}


@lru_cache(maxsize=1)
def tables() -> Mapping[str, SwitchingTable]:
    """The tables that come with the project."""
    return read(fixture("estates/tariffs.toml"))


def _table(file: Path, name: str, body: Any) -> SwitchingTable:
    def wrong(key: str, what: str, cure: str) -> InputError:
        return InputError(f"{file}: {name}{key}: {what}; {cure}")

    if not isinstance(body, dict) or set(body) != _KEYS:
        raise wrong("", "a switching table has exactly the keys title, rates, switched, day", "see the tables shipped")
    rates, switched = body["rates"], body["switched"]
    if type(rates) is not int or not 1 <= rates <= RATES_MOST:
        raise wrong(".rates", f"{rates!r} is not a number of rates", f"give 1 to {RATES_MOST}")
    if not isinstance(switched, list) or any(type(rate) is not int or not 1 <= rate <= rates for rate in switched):
        raise wrong(".switched", f"{switched!r} is not a list of rates", f"give rates from 1 to {rates}")
    rows = body["day"]
    if not isinstance(rows, list) or not 1 <= len(rows) <= SWITCHES_A_DAY_MOST:
        raise wrong(".day", "no list of one to twelve [start, rate]", "a meter holds twelve switching times a day")
    day: list[tuple[int, int]] = []
    for row in rows:
        if not (isinstance(row, list) and len(row) == 2 and type(row[1]) is int and 1 <= row[1] <= rates):
            raise wrong(".day", f"{row!r} is not [start, rate]", f'write ["07:30", 1] with a rate from 1 to {rates}')
        minute = _minute(row[0])
        if minute is None or minute <= (day[-1][0] if day else -1) or (minute and not day):
            raise wrong(".day", f"start {row[0]!r} is out of order", "begin with 00:00 and let the times rise")
        day.append((minute, row[1]))
    return SwitchingTable(name, str(body["title"]), rates, tuple(switched), tuple(day))


def _minute(text: Any) -> int | None:
    """Minutes after midnight of "HH:MM", or None."""
    if not isinstance(text, str) or len(text) != 5 or text[2] != ":" or not (text[:2] + text[3:]).isdigit():
        return None
    hour, minute = int(text[:2]), int(text[3:])
    return hour * 60 + minute if hour < 24 and minute < 60 else None
