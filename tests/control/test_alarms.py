"""An operator's alerts: rates, storms over cohorts, causes counted, repeats told once."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.commands import Alerts, AlertStorm, EndStorms, RaiseAlert, SetAlertRate, StepClock
from emulator.control.errors import NoSuchThingError
from emulator.kernel.machine import Party
from emulator.kernel.time import MINUTE


def test_a_rate_is_set_and_taken_back(bench: Callable[..., Any]) -> None:
    """Devices alert as often as was asked for, by cause, until nobody asks any more."""
    made = bench()
    made.live.overhear(True)
    assert made.ask(Alerts()).per_day == 0
    assert made.ask(SetAlertRate(100.0)).per_day == 100
    made.ask(StepClock(43_200))
    found = made.ask(Alerts(newest=5))
    raised = sum(found.raised.values())
    assert abs(raised - 800) < 5 * 800**0.5 * 1.2
    assert raised * 0.8 < found.total <= raised  # some homes have no WAN, or a meter that is lost
    assert found.total == sum(found.heard.values())
    assert set(found.heard) <= set(found.raised)
    assert found.unvouched == 0
    assert 0 < found.last_hour < found.last_day == found.total
    assert [each.number for each in found.newest] == list(range(found.last - 4, found.last + 1))
    made.ask(SetAlertRate(0))
    made.ask(StepClock(86_400))
    after = made.ask(Alerts(newest=1_000))
    assert sum(after.raised.values()) == raised
    assert sum(each.count for each in after.newest) == after.total  # every alert was told, alone or in a run
    assert after.merged > after.total - after.last >= 0


def test_a_storm_is_throttled_and_ended(bench: Callable[..., Any]) -> None:
    """One meter says the same again and again: the first is told, and then one record a window with the count."""
    made = bench()
    made.live.overhear(True)
    begun = made.ask(AlertStorm(0x8F75, factor=5_000, seconds=3_600, installations=[0], device="gas"))
    assert (begun.cause, begun.installations) == ("tamper-magnet", 1)
    assert begun.until == made.live.now + 60 * MINUTE
    made.ask(StepClock(1_860))
    found = made.ask(Alerts())
    assert found.storms == 1
    assert set(found.heard) == {"tamper-magnet"}
    assert {(each.installation, each.device, each.code) for each in found.newest} == {(0, "gas", 0x8F75)}
    assert [each.sequence for each in found.newest] == [0, 1, 1]
    assert sum(each.count for each in found.newest) > 100
    assert made.ask(EndStorms()).ended == 1
    made.ask(StepClock(3_600))
    after = made.ask(Alerts())
    assert after.storms == 0
    assert after.raised == found.raised
    assert sum(each.count for each in after.newest) == after.total


def test_what_a_person_raises_is_counted_too(bench: Callable[..., Any]) -> None:
    """An alert by hand is heard like any other, and is no alert of the device's own accord."""
    made = bench()
    made.live.overhear(True)
    made.ask(RaiseAlert(0xABCD, "by hand"), 1, Party.ELECTRICITY)
    made.ask(StepClock(60))
    found = made.ask(Alerts())
    assert found.raised == {}
    assert found.heard == {"0xabcd": 1}
    assert (found.newest[0].cause, found.newest[0].vouched) == ("0xabcd", True)


def test_cohorts_that_are_nobody(bench: Callable[..., Any]) -> None:
    """Homes there are none of, and a share so small that nobody is left."""
    made = bench()
    with pytest.raises(NoSuchThingError, match="no installation 99"):
        made.ask(AlertStorm(1, installations=[0, 99]))
    with pytest.raises(NoSuchThingError, match="nobody"):
        made.ask(AlertStorm(1, installations=[0], share=1e-9))
    assert made.ask(Alerts()).storms == 0
