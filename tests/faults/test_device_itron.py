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
from emulator.faults.fault import Fault
from emulator.faults.keys import KeyChangeAnswerLost, PowerCutInKeyWrite
from emulator.headend.policy import CustodySettings, RotationPolicy
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.machine import Party
from emulator.link.air import AirProfile
from emulator.scenario.playground import DeviceHandle, Home, Playground

CALM = AirProfile(loss=0.0, sms_loss=0.0)
E, G = Party.ELECTRICITY, Party.GAS
PATIENT_S = 60  # longer than any slot takes to be rewritten
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


def a_home(street: str, *faults: Fault, custody: CustodySettings | None = None) -> tuple[Playground, Home]:
    world = Playground(street, link="plain", air=CALM, custody=custody)
    for fault in faults:
        world.inject(fault)
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
    assert not world.notes("keys.lost")
    assert not world.notes("keys.lapsed")


IMPATIENT = CustodySettings(rotation=RotationPolicy(retry="impatient", again=1, retry_after_s=1))


@pytest.mark.parametrize("impatient", [True, False], ids=["impatient", "patient"])
def test_a_lost_answer_and_an_impatient_repetition_cost_the_master_key(street: str, impatient: bool) -> None:
    """The new master key is answered for in vain. Whoever sends it again after a quarter of a minute meets a slot that
    is being rewritten; whoever waits, and then asks which key is live, does not."""
    fault = KeyChangeAnswerLost(device="electricity", keys="kek", times=1)
    world, home = a_home(street, fault, custody=IMPATIENT if impatient else None)
    assert not rotates(home.electricity)
    assert bool(world.notes("keys.writer-overrun")) == impatient
    assert (kek(world) is Slot.CORRUPT) == impatient
    assert home.electricity.read("clock")  # nobody who only reads would know
    for _ in range(2):
        assert rotates(home.electricity) != impatient
        world.run_for(seconds=PATIENT_S)
    assert (kek(world) is Slot.CORRUPT) == impatient


def test_neither_a_lost_answer_nor_impatience_does_it_alone(street: str) -> None:
    """An impatient head end that hears every answer changes keys as well as a patient one."""
    world, home = a_home(street, custody=IMPATIENT)
    for _ in range(3):
        assert rotates(home.electricity)
        world.run_for(seconds=31)
    assert kek(world) is Slot.OK


@pytest.mark.parametrize(("pause", "lost"), [(0, True), (31, False)])
def test_two_changes_in_a_row_lose_it_only_while_the_slot_is_rewritten(street: str, pause: float, lost: bool) -> None:
    """The second change sends its first key some 22 seconds after its beginning; the slot is done after 30."""
    world, home = a_home(street)
    home.electricity.rotate_keys()
    world.run_for(seconds=pause)
    rotates(home.electricity)
    assert (kek(world) is Slot.CORRUPT) == lost


@pytest.mark.parametrize(("pause", "lost", "lapsed"), [(1, False, True), (10, True, False), (31, False, False)])
def test_a_power_cut_after_a_change_of_keys(street: str, pause: float, lost: bool, lapsed: bool) -> None:
    """Before the slot is touched the old master key is back, which the head end finds; while it is rewritten the key is
    lost; then nothing happens any more."""
    world, home = a_home(street)
    home.electricity.rotate_keys()
    world.run_for(seconds=pause)
    home.electricity.press(PowerCut(60))
    world.run_for(seconds=61)
    assert (kek(world) is Slot.CORRUPT) == lost
    assert bool(world.notes("keys.lapsed")) == lapsed
    assert home.electricity.read("clock")
    assert rotates(home.electricity) != lost


@pytest.mark.parametrize("phase", ["before", "during", "after"])
@pytest.mark.parametrize("at", ["kek.erase", "kek.write", "kek.checksum"])
def test_a_cut_at_a_write_of_the_master_key(street: str, at: str, phase: Any) -> None:
    """The old one, none, or the new one; and what a head end can still do is told by that alone."""
    fault = PowerCutInKeyWrite(device="electricity", at=at, phase=phase, seconds_dark=30, times=1)
    world, home = a_home(street, fault)
    assert not rotates(home.electricity)
    world.run_for(seconds=PATIENT_S)
    whole = (at, phase) in {("kek.erase", "before"), ("kek.checksum", "after")}
    assert (kek(world) is Slot.OK) == whole
    assert rotates(home.electricity) == whole
    assert home.electricity.read("clock")


def test_what_is_due_by_itself_survives_the_row(street: str) -> None:
    """A home falls asleep while its meter's slot is about to be rewritten: it is due all the same."""
    world, home = a_home(street)
    home.electricity.rotate_keys()
    cell = world.cell(0).cell
    cell.sleep(0)
    assert cell.awake == 0
    machine: Any = cell.machine(0, E)
    assert [key[2] for key in machine.deviations] == [-4]
    world.run_for(seconds=40)
    assert kek(world) is Slot.OK
    machine = cell.machine(0, E)
    assert machine.deviations == {}
    assert rotates(home.electricity)
