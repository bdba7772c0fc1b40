"""Waking and sleeping: a home that lies in a row between two questions answers as if it had never slept."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journey_kit import CALM, attempt, audit, lines, migrate, open_campaign

from emulator.codecs.axdr import array, enum, integer, long_unsigned, octet_string, structure
from emulator.commands import PowerCut, PressBoost, RaiseAlert
from emulator.fleet.cell import Cell
from emulator.han.link_state import HanLink
from emulator.link.air import AirProfile
from emulator.scenario.playground import Home, Playground

HOME = 6  # five terminals, gas and a display


def never_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every machine that was ever built stay as it is."""
    monkeypatch.setattr(Cell, "sleep", lambda self, installation: None)


def digests(campaign: Any) -> tuple[Any, ...]:
    """What was noted, every byte the link carried and when, and every end."""
    return campaign.cell.journal.digest(), campaign.cell.chain.log.digest(), lines(campaign)


def test_a_campaign_is_the_same_whether_anybody_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last byte on the link: rows hold everything that matters about a home."""
    slept = open_campaign()
    audit(slept, migrate(slept))
    with monkeypatch.context() as patch:
        never_sleeps(patch)
        woken = open_campaign()
        audit(woken, migrate(woken))
    assert woken.cell.awake >= 10
    assert slept.cell.awake == 0
    assert digests(woken) == digests(slept)


# Single errands, with sleep in between

Errand = Callable[[Home], Any]

CALLBACK = structure([enum(1), octet_string(b"10.0.0.1:4061"), enum(0)])


def _tariff(home: Home) -> None:
    from devices.common.tariff import day_type

    home.electricity.write("20/0-0:13.0.0", array((day_type(1, ((0, 1), (3_600, 2), (9 * 3_600, 1))),)), 5)


ERRANDS: dict[str, Errand] = {
    "clock": lambda home: home.electricity.read("clock"),
    "total": lambda home: home.electricity.read("3/1-0:1.8.0"),
    "rates": lambda home: [home.electricity.read(f"3/1-0:1.8.{rate}") for rate in (1, 2)],
    "gas": lambda home: home.gas.read("clock"),
    "valve off": lambda home: home.gas.act("70/0-0:96.3.10", 1, integer(0)),
    "valve": lambda home: home.gas.read("70/0-0:96.3.10", 3),
    "supply off": lambda home: home.electricity.act("9/0-0:10.0.106", 1, long_unsigned(0x34)),
    "supply on": lambda home: home.electricity.act("9/0-0:10.0.106", 1, long_unsigned(0x33)),
    "supply": lambda home: home.electricity.read("70/0-0:96.3.10", 3),
    "activate": lambda home: home.auxiliary(1).activate(minutes=45),
    "deactivate": lambda home: home.auxiliary(1).deactivate(minutes=90),
    "reset": lambda home: home.auxiliary(1).reset(),
    "closed": lambda home: home.auxiliary(1).closed,
    "boost": lambda home: home.electricity.press(PressBoost(1, 30)),
    "cut": lambda home: home.electricity.press(PowerCut(90)),
    "tariff": _tariff,
    "rotate": lambda home: home.electricity.rotate_keys(),
    "rotate hub": lambda home: home.hub.rotate_keys(),
    "rotate gas": lambda home: home.gas.rotate_keys(),
    "destination": lambda home: home.electricity.write("40/0-0:25.9.0", CALLBACK, 3),
    "alert": lambda home: home.electricity.press(RaiseAlert(0x8F1D, "lid")),
    "log": lambda home: home.electricity.read("7/0-0:99.98.0"),
    "hub log": lambda home: home.hub.read("7/0-0:99.98.0"),
}


EVEN = AirProfile(
    latency_us_min=300_000, latency_us_max=300_000, loss=0.0, sms_delay_us_min=5_000_000, sms_delay_us_max=5_000_000,
    sms_loss=0.0,
)  # fmt: skip


@pytest.fixture
def _even(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flight takes the same time: a hub built anew arms a timer of its own, so events have other numbers, and
    with them, but for this, other luck."""
    monkeypatch.setattr(HanLink, "_flight", lambda self, place, now, number: 90_000)


def tell(errands: list[tuple[str, int]], asleep: Callable[[Playground, Home], None]) -> tuple[Any, ...]:
    """Do errands with some minutes between them, and something about sleep in those; all that came of it."""
    world = Playground("demo-street", air=EVEN, link="plain")
    home = world.home(HOME)
    answers = []
    for name, minutes in errands:
        heard: list[Any] = []
        error = attempt(lambda name=name, heard=heard: heard.append(ERRANDS[name](home)))
        answers.append((name, world.instant, heard, str(error)))
        world.run_for(minutes=minutes)
        asleep(world, home)
    alerts = [(alert.at, alert.system_title, alert.body) for alert in home.alerts]
    return answers, alerts, world.digest()


def force_to_sleep(world: Playground, home: Home) -> None:
    """Into its row, whoever may still have business with it, and built anew by the next who asks. Not within a minute
    of a visit: a gas meter that has just been spoken to listens that long, and no row remembers."""
    cell = world.cell(home.number).cell
    cell.sleep(home.number)
    assert cell.awake == 0


def leave(world: Playground, home: Home) -> None:
    """Let it sleep when it wants to."""


@pytest.mark.usefixtures("_even")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(ERRANDS)), st.sampled_from([2, 5, 11, 31, 200, 1_500])),
        min_size=1,
        max_size=7,
    )
)
def test_sleep_between_two_errands_changes_no_answer(
    monkeypatch: pytest.MonkeyPatch, errands: list[tuple[str, int]]
) -> None:
    """Put to sleep by force between any two visits, or kept awake for good: same answers, same notes, same times."""
    natural = tell(errands, leave)
    assert tell(errands, force_to_sleep) == natural
    with monkeypatch.context() as patch:
        never_sleeps(patch)
        assert tell(errands, leave) == natural


@pytest.mark.usefixtures("_even")
def test_every_errand_alone_survives_a_night_in_the_row() -> None:
    """Each of them, then a night, then everything that can be read."""
    reads = [("total", 2), ("rates", 2), ("supply", 2), ("closed", 2), ("valve", 2), ("log", 2)]
    for name in sorted(ERRANDS):
        told = [(name, 600), *reads]
        assert tell(told, force_to_sleep) == tell(told, leave), name


def test_a_home_is_a_row_when_nobody_has_business_with_it() -> None:
    """Some minutes after a visit the hub sleeps, and the home is a few bytes."""
    world = Playground("demo-street", air=CALM)
    home = world.home(HOME)
    home.electricity.read("clock")
    cell = world.cell(HOME).cell
    assert cell.awake == 1
    assert cell.world.awake() == 1
    world.run_for(minutes=30)
    assert (cell.awake, cell.world.awake()) == (0, 0)
    home.auxiliary(1).activate(minutes=600)
    world.run_for(minutes=30)
    assert (cell.awake, cell.world.awake()) == (0, 0)
    assert 0 < len(cell.rows.row(HOME)) < 512
    assert home.auxiliary(1).physically_closed
