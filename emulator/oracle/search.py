"""Every state that can be reached, and the shortest way back to health.

Breadth first over `transitions`: the first healthy state found is the nearest, counted in commands. The space is small
(rooms saturate, keys are positions), so when no healthy state is found there is none, and what else can be reached is
known as well: does the device still answer a read, does it still take a transfer?
"""

from functools import lru_cache
from typing import NamedTuple

from emulator.oracle.state import Habits, State
from emulator.oracle.transitions import OPENINGS, TRANSFERS, Command, Result, commands, step


class Found(NamedTuple):
    """What a search found. `way`: the shortest sequence to health, () when it is there already, None when there is
    none. `reading`: the shortest sequence to an answered read under keys, None when there is none. `rekeyed`: whether
    any transfer of keys can be brought to be accepted. `states`: how many were looked at."""

    way: tuple[Command, ...] | None
    reading: tuple[Command, ...] | None
    rekeyed: bool
    states: int


@lru_cache(maxsize=4096)
def search(state: State, habits: Habits) -> Found:
    """Look from a state onwards. Ends: at health, or when nothing new can be reached."""
    start = state._replace(associated=False)  # whoever comes back opens an association anew
    if start.agrees():
        return Found((), (), True, 1)
    parents: dict[State, tuple[State, Command] | None] = {start: None}
    frontier = [start]
    reading: tuple[Command, ...] | None = None
    rekeyed = False
    while frontier:
        onward: list[State] = []
        for here in frontier:
            for command in commands(here):
                result, there = step(here, command, habits)
                accepted = result is Result.ACCEPTED
                if accepted and reading is None and command.verb in OPENINGS:
                    reading = (*_way(parents, here), command)
                if accepted and command.verb in TRANSFERS:
                    rekeyed = True
                if there in parents:
                    continue
                parents[there] = here, command
                if there.agrees():
                    way = _way(parents, there)
                    return Found(way, reading, True, len(parents))
                onward.append(there)
        frontier = onward
    return Found(None, reading, rekeyed, len(parents))


def _way(parents: dict[State, tuple[State, Command] | None], state: State) -> tuple[Command, ...]:
    way = []
    at = parents[state]
    while at is not None:
        before, command = at
        way.append(command)
        at = parents[before]
    return tuple(reversed(way))
