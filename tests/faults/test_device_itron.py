"""The other maker's meters: a change of keys works as on any; how the master key is lost, and how it is not.

Nothing here sets a rate. A lost answer, the time a slot takes to be rewritten and the head end's impatience do it
together, and none of them alone.
"""

from pathlib import Path
from typing import Any

import pytest

from devices.common.key_slots import Slot
from emulator import resources
from emulator.commands import PowerCut
from emulator.errors import EmulatorError
from emulator.faults.fault import Fault
from emulator.faults.keys import KeyChangeAnswerLost, PowerCutInKeyWrite
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.machine import Party
from emulator.link.air import AirProfile
from emulator.scenario.playground import DeviceHandle, Home, Playground

CALM = AirProfile(loss=0.0, sms_loss=0.0)
E, G = Party.ELECTRICITY, Party.GAS
PATIENT_S = 1_000  # longer than an unconfirmed master key waits
MODELS = {"elster_as300p": "itron_e", "elster_bk_g4": "itron_g"}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo street with the other maker's meters behind Elster's hubs: another name in each combination."""
    text = (
        resources.fixture("estates/demo-street.toml").read_text("utf-8").replace("elster_as300p_5t", "five terminals")
    )
    for old, new in MODELS.items():
        text = text.replace(old, new)
    file: Path = tmp_path_factory.mktemp("estates") / "itron-street.toml"
    file.write_text(text.replace("five terminals", "elster_as300p_5t").replace('"demo-street"', '"itron-street"'))
    return str(file)


def a_home(street: str, *faults: Fault) -> tuple[Playground, Home]:
    world = Playground(street, link="plain", air=CALM)
    for fault in faults:
        world.cell(0).cell.mischief.arm(fault, world.instant)
    return world, world.home(0)


def kek(world: Playground, party: Party = E) -> Slot:
    """The truth about the master key's slot."""
    machine: Any = world.cell(0).cell.machine(0, party)
    slot: Slot = machine.key_memory(world.instant).kek
    return slot


def rotates(device: DeviceHandle) -> bool:
    try:
        device.rotate_keys()
    except (NoAnswerError, RefusedError):
        return False
    return True


@pytest.mark.parametrize("party", [E, G], ids=["electricity", "gas"])
def test_keys_change_as_on_any_other_meter(street: str, party: Party) -> None:
    """Three generations, one after the other, with the pauses of a head end that waits for a slot to be written."""
    world, home = a_home(street)
    device = home.device(party)
    assert home.installation.device(party).model in MODELS.values()  # type: ignore[union-attr]
    for _ in range(3):
        device.rotate_keys()
        world.run_for(seconds=31)
        assert device.read("1/0-0:42.0.0").startswith(b"ITR")
    assert kek(world, party) is Slot.OK
    assert len(world.notes("keys.unconfirmed")) == 3
    assert not world.notes("keys.lost")
    assert not world.notes("keys.lapsed")


@pytest.mark.parametrize("party", [E, G], ids=["electricity", "gas"])
def test_a_lost_answer_and_a_patient_retry_cost_nothing(street: str, party: Party) -> None:
    """The unconfirmed master key has lapsed, the old one is back, and the change is made anew."""
    world, home = a_home(street, KeyChangeAnswerLost(device=party.name.lower(), keys="kek", times=1))  # type: ignore[arg-type]
    device = home.device(party)
    assert not rotates(device)
    world.run_for(seconds=PATIENT_S)
    assert rotates(device)
    assert world.notes("keys.lapsed")
    assert kek(world, party) is Slot.OK
    world.run_for(seconds=31)
    assert rotates(device)


def test_a_lost_answer_and_an_impatient_retry_cost_the_master_key(street: str) -> None:
    """The question which key is live confirms the new one; the next change of keys meets a slot being rewritten."""
    world, home = a_home(street, KeyChangeAnswerLost(device="electricity", keys="kek", times=1))
    assert not rotates(home.electricity)
    world.run_for(seconds=5)
    rotates(home.electricity)
    assert world.notes("keys.writer-overrun")
    assert kek(world) is Slot.CORRUPT
    world.run_for(seconds=PATIENT_S)
    assert home.electricity.read("clock")  # nobody who only reads would know
    for _ in range(3):
        with pytest.raises(EmulatorError):
            home.electricity.rotate_keys()
        world.run_for(seconds=PATIENT_S)
    assert kek(world) is Slot.CORRUPT


def test_impatience_alone_costs_it_too_but_only_within_the_time_of_a_write(street: str) -> None:
    """Two whole changes: within half a minute of each other the key is lost, beyond that it is not."""
    for pause, lost in ((1, True), (31, False)):
        world, home = a_home(street)
        home.electricity.rotate_keys()
        world.run_for(seconds=pause)
        rotates(home.electricity)
        assert (kek(world) is Slot.CORRUPT) == lost


@pytest.mark.parametrize(("pause", "lost"), [(1, True), (31, False)])
def test_a_power_cut_loses_a_slot_that_is_being_rewritten(street: str, pause: float, lost: bool) -> None:
    """The mains go after a whole change of keys: within the time of the write the master key is gone."""
    world, home = a_home(street)
    home.electricity.rotate_keys()
    world.run_for(seconds=pause)
    home.electricity.press(PowerCut(60))
    world.run_for(seconds=61)
    assert (kek(world) is Slot.CORRUPT) == lost
    assert home.electricity.read("clock")
    assert rotates(home.electricity) != lost


def test_a_power_cut_brings_an_unconfirmed_master_key_s_predecessor_back(street: str) -> None:
    """What is in memory alone goes with the mains; nothing is lost."""
    world, home = a_home(street, KeyChangeAnswerLost(device="electricity", keys="kek", seconds_dark=30, times=1))
    assert not rotates(home.electricity)
    world.run_for(seconds=31)
    assert world.notes("keys.lapsed")
    assert kek(world) is Slot.OK
    assert rotates(home.electricity)
    assert kek(world) is Slot.OK


@pytest.mark.parametrize("phase", ["before", "during", "after"])
@pytest.mark.parametrize("at", ["kek.erase", "kek.write", "kek.checksum"])
def test_a_cut_within_the_write_that_confirms_it(street: str, at: str, phase: Any) -> None:
    """The master key is written with the transfer that confirms it: the old one is back, lost, or the new one."""
    fault = PowerCutInKeyWrite(device="electricity", at=at, phase=phase, seconds_dark=30, times=1)
    world, home = a_home(street, fault)
    assert not rotates(home.electricity)
    world.run_for(seconds=PATIENT_S)
    whole = (at, phase) in {("kek.erase", "before"), ("kek.checksum", "after")}
    assert (kek(world) is Slot.OK) == whole
    assert bool(world.notes("keys.lapsed")) == ((at, phase) == ("kek.erase", "before"))
    assert rotates(home.electricity) == whole


def test_what_is_due_by_itself_survives_the_row(street: str) -> None:
    """A home falls asleep between the lost answer and its retry: the key that waits is remembered, wrapped."""
    world, home = a_home(street, KeyChangeAnswerLost(device="electricity", keys="kek", times=1))
    rotates(home.electricity)
    cell = world.cell(0).cell
    cell.sleep(0)
    assert cell.awake == 0
    world.run_for(seconds=PATIENT_S)
    assert kek(world) is Slot.OK
    assert cell.machine(0, E).deviations == {}  # type: ignore[attr-defined]
    assert rotates(home.electricity)
