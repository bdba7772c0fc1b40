"""Every state that can be reached, and the shortest way back to health.

Breadth first over `transitions`: the first healthy state found is the nearest, counted in commands. The space is small
(rooms saturate, keys are positions), so when no healthy state is found there is none, and what else can be reached is
known as well: does the device still answer a read, does it still take a transfer? Two kinds of state need no search to
be given up (`_hopeless`): no command changes what is wrong with them.
"""

from functools import lru_cache
from typing import NamedTuple

from emulator.oracle.state import PLENTY, Habits, State
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
    hopeless = _hopeless(start, habits)
    barred = start.kek not in start.master_positions()  # nothing will ever be accepted
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
                if hopeless and reading is not None and (rekeyed or barred):
                    return Found(None, reading, rekeyed, len(parents))
                if there in parents:
                    continue
                parents[there] = here, command
                if there.agrees():
                    way = _way(parents, there)
                    return Found(way, reading, True, len(parents))
                onward.append(there)
        frontier = onward
    return Found(None, reading, rekeyed, len(parents))


def _hopeless(state: State, habits: Habits) -> bool:
    """Whether health is out of reach whatever is sent: a master key that the keepers do not know stays so, for only a
    transfer under it replaces it; and a room only shrinks where a new EK does not let the counters begin anew."""
    if state.kek not in state.master_positions():
        return True
    return min(state.room_in, state.room_out) < PLENTY and not habits.counter_reset


def _way(parents: dict[State, tuple[State, Command] | None], state: State) -> tuple[Command, ...]:
    way = []
    at = parents[state]
    while at is not None:
        before, command = at
        way.append(command)
        at = parents[before]
    return tuple(reversed(way))


def results(state: State, way: tuple[Command, ...], habits: Habits) -> tuple[Result, ...]:
    """How each command of a way comes out, as the rules have it. Not every one need be accepted: a device that has
    no counter left to answer with still does what it is told."""
    found = []
    for command in way:
        result, state = step(state, command, habits)
        found.append(result)
    return tuple(found)
