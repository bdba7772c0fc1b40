"""One evening of switching: every five-terminal home over the real path, and the contacts looked at afterwards."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from emulator.dcc import evening
from emulator.dcc.auxiliary_release import AuxiliarySettings
from emulator.dcc.evening import EveningOptions, Round
from emulator.dcc.service_requests import FrontSettings
from emulator.errors import UsageError
from emulator.faults import catalogue
from emulator.fleet.drawn import DrawnHomes
from emulator.fleet.estate import Estate, open_estate

STREET = 4
"""Homes of the demo street with auxiliary load (one of them recorded with another tariff than its meter's)."""


def street(**options: Any) -> evening.EveningResult:
    return evening.run(open_estate("demo-street"), EveningOptions(**options), workers=1)


def test_every_home_is_switched_and_stands_as_it_said() -> None:
    """All requests confirmed, all contacts as acknowledged for the whole hour; homes on their night rate in the evening
    lose it and all others gain one."""
    result = street()
    assert (result.homes, result.homes_confirmed, result.switches) == (STREET, STREET, 7)
    assert result.requests == result.confirmed == result.verified == 7
    assert (result.astray, result.causes) == ([], {})
    assert result.exchanges > 4 * 10
    assert result.harm.lost_h + result.harm.gained_h == pytest.approx(7, abs=0.05)


def test_two_rounds_and_the_second_has_the_last_word() -> None:
    """On from 18:00 for ten hours, off from 20:00: every contact open from then, and the night's heating lost."""
    result = street(rounds=(Round(18, "on", 600, 0.5), Round(20, "off", 600, 0.5)))
    assert result.requests == result.confirmed == result.verified == 14
    assert result.harm.cold == STREET


@pytest.mark.parametrize(("hypothesis", "word"), [("H1", "not-capable"), ("H3", "not-capable")])
def test_release_1_0_may_refuse_before_anything_is_sent(hypothesis: Any, word: str) -> None:
    """Not one frame reaches a home, every request has its verdict, nobody is off his times."""
    result = street(front=FrontSettings(auxiliary=AuxiliarySettings("1.0", hypothesis)))
    assert result.causes == {f"failed:{word}": 7}
    assert (result.confirmed, result.exchanges, result.harm.harmed) == (0, 0, 0)


def test_stuck_relays_are_found_at_the_contact_and_nowhere_else() -> None:
    """Every request is confirmed by the meter; the contacts of those asked to close did not."""
    result = street(rounds=(Round(17, "on", 30, 1),), faults=(catalogue.make("relay-stuck", {"state": "open"}),))
    assert result.confirmed == 7
    assert (result.verified, len(result.astray)) == (0, 7)
    assert result.fired == {1: STREET}


def test_a_home_that_is_not_heard_fails_by_its_cause() -> None:
    """Of the thousand one five-terminal home has no WAN: two visits, one verdict; all others confirmed."""
    estate = open_estate("thousand")
    silent = sum(
        home.wiring is not None and home.condition is not None and home.condition.kind == "MF2"
        for home in map(estate.installation, range(estate.installations))
    )
    result = evening.run(estate, EveningOptions(), workers=1)
    assert result.causes.get("timeout:hub-silent", 0) >= silent > 0
    assert result.homes_confirmed == result.homes - silent
    assert result.verified == result.confirmed == result.requests - sum(result.causes.values())


def test_workers_have_no_say() -> None:
    """The same homes in four cells on one process and on two, some with bad relays: digest, verdicts and harm
    agree."""
    found = open_estate("thousand", installations=240)
    estate = Estate(DrawnHomes(msgspec.structs.replace(found.recipe, cell=64), found.seed), found.seed)
    faults = (catalogue.make("relay-stuck", {"share": 0.5}), catalogue.make("calendar-against-ad-hoc", {"chance": 0.5}))
    one, two = (evening.run(estate, EveningOptions(faults=faults), workers=workers) for workers in (1, 2))
    assert one.homes > 5
    assert min(one.fired.values()) > 0
    quiet = {"elapsed_s": 0.0, "peak_rss_bytes": 0}
    assert replace(one, **quiet) == replace(two, **quiet)


def test_an_evening_needs_a_round() -> None:
    """Nothing to do is a mistake of whoever asked."""
    with pytest.raises(UsageError, match="round"):
        street(rounds=())
