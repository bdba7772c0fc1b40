"""Who went cold: the sums themselves, and each hypothesis over a whole street's migration, down to hours."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.dcc import campaign
from emulator.dcc.auxiliary_harm import SwitchHarm, against, report
from emulator.dcc.auxiliary_release import AuxiliarySettings, check, esme_variant, refusal
from emulator.dcc.auxiliary_tables import right_table
from emulator.dcc.casework import CampaignSettings
from emulator.dcc.host import HostOptions
from emulator.dcc.service_requests import FrontSettings
from emulator.dcc.takeover import TakeoverSettings
from emulator.fleet import tariffs
from emulator.fleet.drawn import DrawnHomes
from emulator.fleet.estate import Estate, open_estate
from emulator.kernel.time import DAY, HOUR, MINUTE
from emulator.resources import fixture
from emulator.scenario.playground import Playground

START = 18_323 * DAY
FIVE = (1, 6, 15)
"""Homes of the demo street with auxiliary load that can be migrated: economy7, economy10-four, economy10 (two)."""


@dataclass
class Stretch:
    since: int
    until: int
    closed: bool


# Sums

EDGES = st.lists(st.integers(0, 3 * 1_440), min_size=1, max_size=12, unique=True)


@settings(max_examples=25, deadline=None)
@given(EDGES, st.sampled_from(sorted(tariffs.tables())), st.integers(0, 1_799), st.booleans())
def test_hours_are_those_a_clock_would_count(edges: list[int], name: str, offset: int, first: bool) -> None:
    """Lost and gained equal what counting every whole second minute by minute gives, for any contact, table and
    offset."""
    table = tariffs.tables()[name]
    bounds = [0, *sorted(edges), 3 * 1_440 + 1]
    stretches = [
        Stretch(START + one * MINUTE, START + two * MINUTE, first ^ bool(turn % 2))
        for turn, (one, two) in enumerate(pairwise(bounds))
    ]
    offset -= offset % 60  # so that whole minutes are exact
    lost = gained = 0
    for minute in range(3 * 1_440):
        at = START + minute * MINUTE
        closed = next(each.closed for each in stretches if each.since <= at < each.until)
        wanted = table.live(at - offset * 1_000_000)
        lost += MINUTE * (wanted and not closed)
        gained += MINUTE * (closed and not wanted)
    assert against(stretches, table, offset, START, START + 3 * DAY) == (lost, gained)


def test_what_is_not_covered_is_not_counted() -> None:
    """Only the part of the window that stretches tell of is compared."""
    table = tariffs.tables()["economy7"]
    night = [Stretch(START, START + 2 * HOUR, False)]
    assert against(night, table, 0, START, START + DAY) == (90 * MINUTE, 0)
    assert against(night, table, 0, START + HOUR, START + DAY) == (HOUR, 0)
    assert against([], table, 0, START, START + DAY) == (0, 0)


def test_a_report_counts_homes_by_their_worst_switch() -> None:
    """Two switches of one home are one home; a few seconds out is nobody's harm; the coldest come first."""
    made = report(
        [
            SwitchHarm(1, 1, 0, 20 * 1_000_000),
            SwitchHarm(2, 1, 3 * HOUR, 0),
            SwitchHarm(2, 2, 5 * HOUR, HOUR),
            SwitchHarm(3, 1, 90 * MINUTE, 4 * HOUR),
            SwitchHarm(4, 1, 100 * HOUR, 0),
        ]
    )
    assert (made.homes, made.switches, made.harmed, made.cold) == (4, 5, 3, 2)
    assert made.worst == [(4, 100.0, 0.0), (2, 5.0, 1.0), (3, 1.5, 4.0)]
    assert made.distribution == {
        "none": 1, "up to 1 h": 0, "up to 3.5 h": 1, "up to 7 h": 1, "up to 24 h": 0, "up to 72 h": 0, "over 72 h": 1,
    }  # fmt: skip
    assert made.lost_h == pytest.approx(109.5)
    assert report([]).homes == 0


# A street under each hypothesis


def migrated(auxiliary: AuxiliarySettings, days: float = 7, **more: Any) -> campaign.Result:
    estate = open_estate("demo-street")
    options = HostOptions(
        settings=CampaignSettings(takeover=TakeoverSettings(auxiliary=auxiliary)),
        only=frozenset(FIVE),
        harm_days=days,
        **more,
    )
    return campaign.run(estate, options, workers=1)


def test_release_1_1_heats_every_home() -> None:
    """With the capability nobody is off his times by more than a clock's seconds, and switches were seen to follow."""
    result = migrated(AuxiliarySettings())
    assert result.totals.migrated == result.totals.auxiliary == 3
    assert result.harm is not None
    assert (result.harm.homes, result.harm.harmed, result.harm.cold) == (3, 0, 0)
    assert result.harm.lost_h < 0.05


@pytest.mark.parametrize("hypothesis", ["H1", "H3"])
def test_a_refusal_touches_no_meter(hypothesis: Any) -> None:
    """H1 and H3 refuse requests; the migration itself harms nobody, but no switch was looked at."""
    result = migrated(AuxiliarySettings("1.0", hypothesis))
    assert (result.totals.migrated, result.totals.auxiliary) == (3, 0)
    assert result.harm is not None
    assert result.harm.harmed == 0


@pytest.mark.parametrize("hypothesis", ["H2", "H4"])
def test_a_dropped_mapping_and_a_reset_tariff_leave_every_home_cold(hypothesis: Any) -> None:
    """Seven days without a closed contact: 49 hours on Economy 7, 70 on Economy 10; the ledger says migrated, and
    audit and delivery log agree."""
    result = migrated(AuxiliarySettings("1.0", hypothesis))
    assert result.totals.migrated == 3
    assert result.objections == []
    assert result.harm is not None
    assert (result.harm.cold, result.harm.gained_h) == (3, 0.0)
    estate = open_estate("demo-street")
    nights = {number: estate.installation(number).wiring.tariff for number in FIVE}  # type: ignore[union-attr]
    for number, lost, _ in result.harm.worst:
        table = tariffs.tables()[nights[number]]
        daily = sum(table.live(START + minute * MINUTE) for minute in range(1_440)) / 60
        assert lost == pytest.approx(7 * daily, abs=0.01)
        assert 7 <= daily <= 10


def test_the_table_that_h4_loads_is_a_setting() -> None:
    """Loaded with Economy 7's late night a home on Economy 7 loses the first hour of each night and gains one after
    it."""
    result = migrated(AuxiliarySettings("1.0", "H4", reset_to="economy7-late"))
    assert result.harm is not None
    lost = {number: (lost, gained) for number, lost, gained in result.harm.worst}
    assert lost[1] == pytest.approx((7.0, 7.0), abs=0.01)


def test_states_that_are_not_enacted_stay_as_they_stood() -> None:
    """H5: each relay is stuck from the key change on: open ones lose every hour, closed ones gain all others."""
    result = migrated(AuxiliarySettings("1.0", "H5"))
    assert result.totals.migrated == 3
    assert result.fired == {9_001: 3}
    assert result.harm is not None
    assert result.harm.harmed == 3
    for _, lost, gained in result.harm.worst:
        assert (lost > 40) != (gained > 40)


@pytest.mark.slow
def test_two_workers_find_the_same_cold_homes() -> None:
    """Harm is a function of the estate and the settings: cells on other processes agree, digest and hours."""
    estate = open_estate("thousand", installations=160)
    estate = Estate(DrawnHomes(msgspec.structs.replace(estate.recipe, cell=40), estate.seed), estate.seed)
    five = frozenset(n for n in range(estate.installations) if estate.installation(n).wiring is not None)
    assert len({estate.cell_of(n) for n in five}) > 1
    chosen = CampaignSettings(takeover=TakeoverSettings(auxiliary=AuxiliarySettings("1.0", "H4")))
    options = HostOptions(settings=chosen, only=five, harm_days=3)
    one, two = (campaign.run(estate, options, workers=workers) for workers in (1, 2))
    assert one.digest == two.digest
    assert one.harm == two.harm
    assert one.harm is not None
    assert one.harm.cold > 0


# Settings


def test_release_1_1_turns_every_hypothesis_off() -> None:
    """Under 1.1 nothing acts; under 1.0 without a hypothesis the harmless one does; a contradiction is told."""
    assert AuxiliarySettings("1.1", "H4").acting is None
    assert AuxiliarySettings("1.1", "H2").faults() == ()
    assert AuxiliarySettings("1.0").acting == "H1"
    assert "1.1" in check(AuxiliarySettings("1.1", "H4"))
    assert "no switching table" in check(AuxiliarySettings("1.0", "H4", reset_to="economy8"))
    assert check(AuxiliarySettings("1.0", "H4")) == check(AuxiliarySettings()) == ""


@pytest.mark.parametrize("service", ["6.14.1", "6.14.2", "7.5", "7.6", "7.7", "7.8"])
def test_who_refuses_auxiliary_load(service: str) -> None:
    """H1: the S1SP. H3: the front, where the inventory shows no D. The others, and release 1.1, refuse nothing."""
    home = open_estate("demo-street").installation(1)
    by = {h: refusal(service, home, AuxiliarySettings("1.0", h)) for h in ("H1", "H2", "H3", "H4", "H5")}  # type: ignore[arg-type]
    assert {h: said.by for h, said in by.items() if said is not None} == {"H1": "s1sp", "H3": "front"}
    assert refusal(service, home, AuxiliarySettings("1.1", "H1")) is None
    assert esme_variant(home, AuxiliarySettings("1.0", "H3")) == "A"
    assert esme_variant(home, AuxiliarySettings()) == "AD"


@pytest.mark.parametrize("service", ["7.1", "7.4", "6.11", "1.1.1", "6.13"])
def test_other_services_are_nobody_s_to_refuse(service: str) -> None:
    """The supply's own services of group 7, and all others, work under release 1.0."""
    home = open_estate("demo-street").installation(1)
    assert refusal(service, home, AuxiliarySettings("1.0", "H1")) is None
    assert refusal(service, home, AuxiliarySettings("1.0", "H3")) is None


def test_a_home_without_auxiliary_load_has_no_harm() -> None:
    """Nothing to compare: no table, no switch."""
    estate = open_estate("demo-street")
    plain = next(home for n in range(20) if (home := estate.installation(n)).wiring is None)
    assert right_table(plain) is None


# A calendar of its own


@pytest.fixture
def own_street(tmp_path: Path) -> Estate:
    """The demo street, its five-terminal meters of the model with a calendar of its own."""
    text = fixture("estates/demo-street.toml").read_text("utf-8")
    file = tmp_path / "own-street.toml"
    file.write_text(
        text.replace('"elster_as300p_5t"', '"elster_as300p_5t_own"').replace(
            "elster_as300p_5t =", "elster_as300p_5t_own ="
        )
    )
    return open_estate(str(file))


def test_a_calendar_of_its_own_outlives_a_reset_tariff(own_street: Estate) -> None:
    """H4 loads another tariff into every meter and no home is cold: the switches never followed it. Under release 1.1
    they are seen to follow their calendar, late by their offsets."""
    for auxiliary, followed in ((AuxiliarySettings("1.0", "H4"), 0), (AuxiliarySettings(), 3)):
        settings_ = CampaignSettings(takeover=TakeoverSettings(auxiliary=auxiliary))
        options = HostOptions(settings=settings_, only=frozenset(FIVE), harm_days=5)
        result = campaign.run(own_street, options, workers=1)
        assert (result.totals.migrated, result.totals.auxiliary) == (3, followed)
        assert result.harm is not None
        assert (result.harm.homes, result.harm.harmed) == (3, 0)
    home = own_street.installation(1)
    assert right_table(home) is not None
    assert right_table(home).day == ((0, 2), (420, 1))  # type: ignore[union-attr]


def test_a_playground_under_h5_reads_right_and_does_nothing() -> None:
    """After its keys are changed a switch is told off: verdict and read say so, and the heater goes on."""
    world = Playground("demo-street", front=FrontSettings(auxiliary=AuxiliarySettings("1.0", "H5")))
    home = world.home(6)
    switch = home.auxiliary(1)
    assert switch.closed
    assert switch.physically_closed
    home.electricity.rotate_keys()
    answer = home.request("7.6", switch=1, minutes=60)
    assert answer.success
    assert (switch.closed, switch.physically_closed) == (False, True)
    assert {entry.installation for entry in world.notes("auxiliary.relay")} == {6}
