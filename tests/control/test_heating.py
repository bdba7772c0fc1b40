"""Asking a running estate how a home was heated."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.commands import Heating, SetAuxiliary, StepClock
from emulator.control.errors import WishError, WrongFieldError
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE

Make = Callable[..., Any]


def home_with_switches(here: Any) -> int:
    return next(n for n in range(16) if here.desk.home(n).wiring is not None)


def test_a_switch_held_closed_gains_and_a_sound_home_loses_nothing(bench: Make) -> None:
    """A day by the calendar: nothing lost, nothing gained. Held on for two hours of a day outside its times: gained,
    about that much, and only since then; the switches that were left alone are as before."""
    here = bench()
    home = home_with_switches(here)
    here.ask(StepClock(DAY // 1_000_000 + 12 * 3_600))
    sound = here.ask(Heating(), home)
    assert (sound.since, sound.until) == (here.live.estate.start, here.live.now)
    assert [each.switch for each in sound.switches]
    assert all(each.lost_us < MINUTE and each.gained_us < MINUTE for each in sound.switches)
    held_from = here.live.now
    here.ask(SetAuxiliary(1, "on", 120), home, Party.ELECTRICITY)
    here.ask(StepClock(3 * 3_600.0))
    since = here.ask(Heating(since=held_from), home)
    whole = here.ask(Heating(), home)
    for found in (since, whole):
        assert abs(found.switches[0].gained_us - 2 * HOUR) < 2 * MINUTE
        assert all(each.gained_us < MINUTE for each in found.switches[1:])


def test_who_has_no_switches_and_what_is_yet_to_come(bench: Make) -> None:
    """No auxiliary load: nothing to tell. An instant to come, a home that is not there: refused."""
    here = bench()
    plain = next(n for n in range(16) if here.desk.home(n).wiring is None)
    assert here.ask(Heating(), plain).switches == []
    with pytest.raises(WrongFieldError, match="yet to come"):
        here.ask(Heating(since=here.live.now + HOUR), plain)
    with pytest.raises(WishError):
        here.ask(Heating(), 10_000)
