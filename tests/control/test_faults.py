"""Faults: each shows in what the head end meets, ends when cleared or over, and leaves nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.commands import (
    ClearFault,
    ClearFaults,
    DropDevice,
    FailLink,
    FaultKinds,
    Faults,
    HealLink,
    InjectFault,
    ReadObject,
    ResetHome,
    RestoreDevice,
    RotateKeys,
    State,
    StepClock,
)
from emulator.control.errors import (
    DeviceRefusedError,
    NoAnswerInTimeError,
    NoSuchThingError,
    NotNowError,
    WrongFieldError,
)
from emulator.faults import catalogue
from emulator.kernel.machine import Party

ELECTRICITY, GAS = Party.ELECTRICITY, Party.GAS
Make = Callable[..., Any]
CLOCK = ReadObject("clock")


def test_the_table_describes_itself(bench: Make) -> None:
    """Every fault says what it is and which settings it takes, with their ranges."""
    kinds = {each.fault: each for each in bench().ask(FaultKinds()).faults}
    assert set(kinds) == set(catalogue.KINDS) > {"link-outage", "out-of-coverage", "han-lost", "forced-wrong-key"}
    assert kinds["han-lost"].settings["properties"]["device"]["enum"] == ["electricity", "gas", "ihd"]
    assert all(each.about and each.row and each.points for each in kinds.values())


def test_every_fault_can_be_put_in_force_here(bench: Make) -> None:
    """By its example; each is listed with what was chosen, and all are gone when cleared."""
    here = bench()
    for name, kind in catalogue.KINDS.items():
        here.ask(InjectFault(name, dict(kind.example)))
    assert [each.fault for each in here.ask(Faults()).faults] == list(catalogue.KINDS)
    for each in here.ask(Faults()).faults:
        assert each.settings.items() >= catalogue.KINDS[each.fault].example.items()
    assert here.ask(ClearFaults()).cleared == len(catalogue.KINDS)
    assert here.ask(Faults()).faults == []
    assert here.ask(CLOCK, 0, ELECTRICITY)


def test_how_often_a_fault_struck_is_told_while_it_holds_and_after(bench: Make) -> None:
    """One that nobody meets says 0; looking at a lost device counts for nothing, calling it does."""
    here = bench()
    here.ask(InjectFault("han-lost", {"installation": 0, "device": "gas"}))
    quiet = here.ask(InjectFault("han-lost", {"installation": 2, "device": "gas"}))
    assert here.ask(State(), 0).devices[2].han == "lost"
    assert [each.fired for each in here.ask(Faults()).faults] == [0, 0]
    with pytest.raises(DeviceRefusedError):
        here.ask(CLOCK, 0, GAS)
    assert [each.fired for each in here.ask(Faults()).faults] == [1, 0]
    here.ask(ClearFaults())
    assert {each.number: each.fired for each in here.ask(Faults()).ended} == {quiet.number - 1: 1, quiet.number: 0}


def test_a_fault_reaches_homes_that_are_awake_and_cells_made_later(bench: Make) -> None:
    """Put in force while the home is held up by a conversation's aftermath, it strikes at once; one without a home
    strikes every home, also where nobody had called before."""
    here = bench()
    assert here.ask(CLOCK, 0, ELECTRICITY)
    fault = here.ask(InjectFault("receive-buffer-overrun", {"room": 0}))
    for home in (0, 1):
        with pytest.raises(NoAnswerInTimeError):
            here.ask(CLOCK, home, ELECTRICITY)
    assert here.ask(ClearFault(fault.number)).fired >= 2
    assert here.ask(CLOCK, 1, ELECTRICITY)


@pytest.mark.parametrize("timing", ["instant", "modelled"])
def test_a_black_link_is_met_and_healed(bench: Make, timing: str) -> None:
    """Nobody answers while it is black; after the heal somebody does."""
    here = bench(timing=timing)
    assert here.ask(CLOCK, 0, ELECTRICITY)
    here.ask(FailLink(86_400))
    with pytest.raises(NoAnswerInTimeError):
        here.ask(CLOCK, 0, ELECTRICITY)
    assert here.ask(HealLink()).cleared == 1
    assert here.ask(CLOCK, 0, ELECTRICITY)


def test_an_outage_of_six_seconds_is_over_by_itself(bench: Make) -> None:
    """The window ends in virtual time and the fault is struck from the list."""
    here = bench()
    here.ask(InjectFault("link-outage", {"installation": 0}))
    assert here.ask(Faults()).faults[0].settings == {"seconds": 6, "installation": 0}
    here.ask(StepClock(6.1))
    assert here.ask(Faults()).faults == []
    assert here.ask(CLOCK, 0, ELECTRICITY)


def test_a_hub_out_of_coverage_is_found_again(bench: Make) -> None:
    """The state says so, nobody answers, and clearing it brings the hub back; its neighbour never noticed."""
    here = bench()
    fault = here.ask(InjectFault("out-of-coverage", {"installation": 0}))
    assert here.ask(State(), 0).devices[0].coverage is False
    with pytest.raises(NoAnswerInTimeError):
        here.ask(CLOCK, 0, ELECTRICITY)
    assert here.ask(CLOCK, 1, ELECTRICITY)
    here.ask(ClearFault(fault.number))
    assert here.ask(State(), 0).devices[0].coverage is True
    assert here.ask(CLOCK, 0, ELECTRICITY)


@pytest.mark.parametrize("timing", ["instant", "modelled"])
def test_a_dropped_device_stays_lost_while_its_home_sleeps(bench: Make, timing: str) -> None:
    """The hub answers in its place with GT01; hours later it is still lost; restored it answers for itself."""
    here = bench(timing=timing)
    here.ask(DropDevice(), 0, GAS)
    with pytest.raises(DeviceRefusedError, match="cannot be reached"):
        here.ask(CLOCK, 0, GAS)
    here.ask(StepClock(7_200))
    gas = here.ask(State(), 0).devices[2]
    assert (gas.han, gas.han_error, gas.lqi) == ("lost", "GT01", 0)
    assert bytes.fromhex(here.ask(ReadObject("han-error"), 0, Party.HUB).plain) == b"GT01"
    here.ask(RestoreDevice(), 0, GAS)
    assert here.ask(CLOCK, 0, GAS)
    with pytest.raises(NotNowError):
        here.ask(RestoreDevice(), 0, GAS)


@pytest.mark.parametrize("keys", ["ek", "ak", "both"])
def test_a_wrong_key_locks_the_head_end_out_until_it_is_cleared(bench: Make, keys: str) -> None:
    """The device refuses what is sealed under the right keys; cleared, its counters went on and it answers."""
    here = bench()
    here.ask(RotateKeys(), 0, ELECTRICITY)
    before = here.ask(State(), 0).devices[1].keys
    here.ask(InjectFault("forced-wrong-key", {"installation": 0, "keys": keys}))
    with pytest.raises((DeviceRefusedError, NoAnswerInTimeError)):
        here.ask(CLOCK, 0, ELECTRICITY)
    with pytest.raises(NotNowError):
        here.ask(InjectFault("forced-wrong-key", {"installation": 0}))
    assert here.ask(ClearFaults()).cleared == 1
    after = here.ask(State(), 0).devices[1].keys
    assert (after.epoch, after.tx >= before.tx, after.rx >= before.rx) == (before.epoch, True, True)
    assert here.ask(CLOCK, 0, ELECTRICITY)


def test_wrong_settings_are_refused_by_their_name(bench: Make) -> None:
    """Unknown faults, fields, homes and devices are told apart; nothing is put in force."""
    here = bench()
    for name, settings, error in (
        ("earthquake", {}, NoSuchThingError),
        ("han-lost", {"seconds": "long"}, WrongFieldError),
        ("han-lost", {"installation": 0, "device": "hub"}, WrongFieldError),
        ("han-lost", {"installation": 16}, NoSuchThingError),
        ("han-lost", {"installation": 4, "device": "gas"}, NoSuchThingError),
        ("link-outage", {"seconds": -1}, WrongFieldError),
        ("link-outage", {"minutes": 1}, WrongFieldError),
        ("link-preset", {"preset": "/etc/passwd.toml"}, WrongFieldError),
        ("link-preset", {"preset": "no-such"}, WrongFieldError),
        ("link-delay", {"distribution": "table", "table": "../numbers.dist"}, WrongFieldError),
    ):
        with pytest.raises(error):
            here.ask(InjectFault(name, settings))
    assert here.ask(Faults()).faults == []


def test_a_reset_home_has_no_faults_left(bench: Make) -> None:
    """Putting a home back clears what was put in force there, and nothing elsewhere."""
    here = bench()
    here.ask(DropDevice(), 0, GAS)
    here.ask(InjectFault("forced-wrong-key", {"installation": 0}))
    here.ask(InjectFault("out-of-coverage", {"installation": 1}))
    here.ask(ResetHome(), 0)
    assert [each.settings["installation"] for each in here.ask(Faults()).faults] == [1]
    assert here.ask(CLOCK, 0, GAS)
    assert here.ask(CLOCK, 0, ELECTRICITY)


def test_a_fault_reaches_every_cell_and_outlasts_sleep_there(bench: Make) -> None:
    """Put in force before a cell is made, or while its homes sleep; its count is that of all cells."""
    here = bench("thousand", timing="modelled", installations=500)
    assert here.live.estate.cells == 2
    early = here.ask(InjectFault("receive-buffer-overrun", {"room": 0}))
    assert here.ask(Faults()).faults[0].fired == 0
    homes = [next(each for each in cell if _sound(here, each)) for cell in (range(250), range(250, 500))]
    for home in homes:
        with pytest.raises(NoAnswerInTimeError):
            here.ask(CLOCK, home, ELECTRICITY)
    here.ask(StepClock(7_200))
    assert here.ask(Faults()).faults[0].fired >= 2
    with pytest.raises(NoAnswerInTimeError):
        here.ask(CLOCK, homes[1], ELECTRICITY)
    here.ask(ClearFault(early.number))
    later = here.ask(InjectFault("slow-attach", {"extra_s": 3, "after_s": 60}))
    here.ask(StepClock(7_200))
    for home in homes:
        assert here.ask(CLOCK, home, ELECTRICITY)
    assert here.ask(ClearFault(later.number)).fired == 2


def _sound(here: Any, number: int) -> bool:
    home = here.live.estate.installation(number)
    return home.condition is None and home.active
