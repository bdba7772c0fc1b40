"""Over the air by the emulator's own head end: what is asked of devices, and what they and nobody answer."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator import commands
from emulator.commands import (
    ActOnObject,
    PowerCut,
    PressBoost,
    PressReconnect,
    ReadObject,
    RotateKeys,
    SetAuxiliary,
    SetSupply,
    State,
    StepClock,
    WriteObject,
)
from emulator.control.errors import DeviceRefusedError, NoAnswerInTimeError, NoSuchThingError, NotNowError
from emulator.kernel.machine import Party
from emulator.kernel.time import MINUTE, SECOND

HUB, ELECTRICITY, GAS, IHD = Party.HUB, Party.ELECTRICITY, Party.GAS, Party.IHD
Make = Callable[..., Any]


def device(bench: Any, installation: int, kind: str) -> Any:
    found = bench.ask(State(), installation)
    return next(each for each in found.devices if each.kind == kind)


@pytest.mark.parametrize("timing", ["instant", "modelled"])
def test_a_reading_is_what_the_machine_holds(bench: Make, timing: str) -> None:
    """By name or by class and logical name, the value read over the air is the device's own."""
    here = bench(timing=timing)
    found = here.ask(ReadObject("import"), 0, ELECTRICITY)
    again = here.ask(ReadObject("3/1-0:1.8.0"), 0, ELECTRICITY)
    assert device(here, 0, "electricity").total - 20 <= found.plain <= again.plain
    assert found.object == "1-0:1.8.0.255"
    assert found.value == {"double-long-unsigned": found.plain}
    gas = here.ask(ReadObject("clock"), 0, GAS)
    assert gas.time.startswith(("2020-03-01", "2020-03-02"))


def test_supply_goes_off_is_armed_and_closed_by_hand(bench: Make) -> None:
    """Off over the air, armed over the air, on by the customer's button; arming what is on is refused by the meter."""
    here = bench()
    assert here.ask(SetSupply("off"), 0, ELECTRICITY).supply == "off"
    assert here.ask(SetSupply("armed"), 0, ELECTRICITY).supply == "armed"
    assert here.ask(PressReconnect(), 0, ELECTRICITY).notes[0].kind == "switch.moved"
    assert device(here, 0, "electricity").supply == "on"
    with pytest.raises(DeviceRefusedError):
        here.ask(SetSupply("armed"), 0, ELECTRICITY)


def test_an_auxiliary_switch_is_held_boosted_and_given_back(bench: Make) -> None:
    """A hold over the air, a boost by hand, and the calendar again; each shows in the meter's state."""
    here = bench()
    assert here.ask(SetAuxiliary(1, "off", 45), 1, ELECTRICITY).on is False
    first = device(here, 1, "electricity")
    assert (first.auxiliary[0].on, first.auxiliary[0].held) == (False, True)
    assert abs(first.auxiliary[0].until - first.clock - 45 * MINUTE) < SECOND
    here.ask(PressBoost(1, 10), 1, ELECTRICITY)
    assert device(here, 1, "electricity").auxiliary[0].on is True
    here.ask(SetAuxiliary(1, "calendar"), 1, ELECTRICITY)
    assert device(here, 1, "electricity").auxiliary[0].held is False
    with pytest.raises(NoSuchThingError, match="has none"):
        here.ask(SetAuxiliary(1, "on"), 0, ELECTRICITY)


def test_written_values_stay_and_a_wrong_type_is_refused_by_the_meter(bench: Make) -> None:
    """What is written is read again; a datum of another type comes back as the meter's own refusal."""
    here = bench()
    duration = "1/0-0:94.44.117.1"
    here.ask(WriteObject(duration, {"long-unsigned": 77}), 1, ELECTRICITY)
    assert here.ask(ReadObject(duration), 1, ELECTRICITY).plain == 77
    with pytest.raises(DeviceRefusedError, match="type-unmatched"):
        here.ask(WriteObject(duration, {"octet-string": "4d"}), 1, ELECTRICITY)
    acted = here.ask(ActOnObject("supply", 1, {"integer": 0}), 1, ELECTRICITY)
    assert (acted.method, device(here, 1, "electricity").supply) == (1, "off")


def test_keys_are_changed_and_known_to_the_next_visit(bench: Make) -> None:
    """The epoch rises, the generation is believed, and the next visit goes under the new keys."""
    here = bench()
    before = device(here, 0, "electricity").keys
    assert here.ask(RotateKeys(), 0, ELECTRICITY).data == 1
    after = device(here, 0, "electricity").keys
    assert after.epoch > before.epoch
    assert (after.data_generation, after.data_stage, after.master_generation) == (1, "held", 1)
    assert here.ask(ReadObject("clock"), 0, ELECTRICITY).time
    with pytest.raises(DeviceRefusedError, match="no master key"):
        here.ask(RotateKeys(), 2, ELECTRICITY)


def test_silence_is_told_as_silence(bench: Make) -> None:
    """A hub that the network never reaches does not call back; that takes minutes of virtual time and no real ones."""
    here = bench()
    began = here.live.now
    with pytest.raises(NoAnswerInTimeError, match="did not call back"):
        here.ask(ReadObject("clock"), 3, HUB)
    assert here.live.now - began >= 5 * MINUTE


def test_a_device_without_power_does_not_answer(bench: Make) -> None:
    """A power cut is a hand's doing; while it lasts the meter is dark and its state says so."""
    here = bench()
    here.ask(PowerCut(3_600), 0, ELECTRICITY)
    assert device(here, 0, "electricity").dark is True
    with pytest.raises(NoAnswerInTimeError):
        here.ask(ReadObject("clock"), 0, ELECTRICITY)
    here.ask(StepClock(3_600))
    assert device(here, 0, "electricity").dark is False
    assert here.ask(ReadObject("clock"), 0, ELECTRICITY).time


def test_names_of_what_is_not_there(bench: Make) -> None:
    """An installation, a device, an object, a keyless display: each is refused before anything is sent."""
    here = bench()
    for command, number, party in (
        (ReadObject("clock"), 16, ELECTRICITY),
        (ReadObject("clock"), 4, GAS),
        (ReadObject("clocks"), 0, ELECTRICITY),
        (ReadObject("x/y"), 0, ELECTRICITY),
        (ReadObject("8/0-0:1.0.999"), 0, ELECTRICITY),
        (ReadObject("clock"), 0, IHD),
        (SetSupply("on"), 0, HUB),
        (PowerCut(), 4, GAS),
    ):
        with pytest.raises(NoSuchThingError):
            here.ask(command, number, party)
    assert here.desk.ring.last == 0


def test_visits_to_one_home_stand_in_line_and_all_come_to_their_end(bench: Make) -> None:
    """Twenty asked at once for one home, and one each for others: every one is answered, in order."""
    here = bench(timing="modelled")
    tasks = [here.begin(ReadObject("import"), 0, ELECTRICITY) for _ in range(20)]
    others = [here.begin(ReadObject("clock"), number, ELECTRICITY) for number in (1, 5, 6, 15)]
    here.drive(tasks[-1])
    for task in others:
        here.drive(task)
    assert [task.state for task in (*tasks, *others)] == ["done"] * 24
    counts = [task.answer.plain for task in tasks]
    assert counts == sorted(counts)


def test_the_next_in_line_does_not_wait_for_anything(bench: Make) -> None:
    """With instant timing five visits in line, and a migration with one behind it, take no time worth mentioning."""
    here = bench()
    tasks = [here.begin(ReadObject("clock"), 0, ELECTRICITY) for _ in range(5)]
    here.drive(tasks[-1])
    assert here.live.now - here.live.estate.start < SECOND
    migration = here.begin(commands.Migrate([0]))
    here.live.advance(here.live.now)
    behind = here.begin(ReadObject("clock"), 0, ELECTRICITY)
    here.drive(behind)
    here.drive(migration)
    assert behind.answer.time
    assert here.live.now - here.live.estate.start < SECOND


def test_the_line_is_bounded_and_a_place_in_it_can_be_given_up(bench: Make) -> None:
    """Past the bound a visit is refused and leaves no task running; a cancelled one is never made."""
    here = bench()
    tasks = [here.begin(ReadObject("clock"), 0, ELECTRICITY) for _ in range(32)]
    with pytest.raises(NotNowError, match="wait"):
        here.begin(ReadObject("clock"), 0, ELECTRICITY)
    assert len(here.desk.tasks.running()) == 32
    here.ask(commands.CancelTask(tasks[-1].number))
    here.drive(tasks[-2])
    assert tasks[-1].state == "cancelled"
    assert here.ask(commands.Task(tasks[0].number)).answer.time
    assert len({task.state for task in tasks[:-1]}) == 1


def test_steps_of_the_clock_follow_each_other(bench: Make) -> None:
    """Two steps asked for together are as long as both, and a third begins where they ended."""
    here = bench()
    began = here.live.now
    first, second = here.begin(StepClock(100)), here.begin(StepClock(50.5))
    here.drive(second)
    here.drive(first)
    assert here.live.now - began == 150_500_000
    here.ask(StepClock(0.5))
    assert here.live.now - began == 151_000_000
