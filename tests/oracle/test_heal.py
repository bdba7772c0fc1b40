"""From a fault to a diagnosis to a healed meter, over the air, on both makers' devices."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emulator import resources
from emulator.errors import EmulatorError
from emulator.faults.counters import CounterNearMaximum
from emulator.faults.fault import Fault
from emulator.faults.keeper import DcoForgets, DcoRefuses, DcoSilent, KeeperMissesChange, S1spForgets
from emulator.faults.keys import (
    HalfAppliedKeys,
    KeyChangeAnswerLost,
    PolicyRaised,
    PowerCutBeforeAnswer,
    PowerCutInKeyWrite,
    WrongMasterKey,
)
from emulator.fleet import registry
from emulator.kernel.machine import Party
from emulator.oracle.observe import diagnose
from emulator.oracle.verdict import Class
from emulator.scenario.playground import DeviceHandle, Playground

HOME = 3


def struck(
    *faults: Fault, party: Party = Party.ELECTRICITY, street: str = "demo-street", wait: bool = True
) -> tuple[Playground, DeviceHandle]:
    """A home whose keys are changed while these faults are in force; then they are over. `wait`: and some time too."""
    world = Playground(street)
    handle = world.home(HOME).device(party)
    mischief = world.cell(HOME).cell.mischief
    numbers = [mischief.arm(fault, world.instant) for fault in faults]
    with suppress(EmulatorError):
        handle.rotate_keys()
    if wait:
        world.run_for(minutes=20)
    assert all(mischief.fired[number] for number in numbers), "every fault struck"
    for number in numbers:
        mischief.disarm(number)
    return world, handle


RECOVERABLE: dict[str, tuple[Fault, set[str]]] = {
    "F2 master": (KeyChangeAnswerLost(keys="kek", times=1, device="electricity"), {"R4"}),
    "F3": (HalfAppliedKeys(applied=1, times=1, device="electricity"), {"R3", "R4"}),
    "F4 new": (
        PowerCutInKeyWrite(keys="kek", at="flip", phase="after", times=1, device="electricity"),
        {"R4"},
    ),
    "F5": (PowerCutBeforeAnswer(times=1, device="electricity"), {"R4"}),
}


@pytest.mark.parametrize("name", RECOVERABLE)
def test_what_can_be_healed_is(name: str) -> None:
    """The diagnosis names the rows and a way; it is taken over the air; then all agree, and keys can be changed."""
    fault, rows = RECOVERABLE[name]
    _, meter = struck(fault)
    found = meter.diagnose()
    assert found.kind is Class.RECOVERABLE
    assert set(found.rows) == rows
    assert found.way
    assert len(found.steps) == len(found.way)
    healed = meter.heal()
    assert healed.healed, healed.stopped
    assert healed.done == found.steps
    assert meter.diagnose().kind is Class.HEALTHY
    before = meter.generations()
    meter.rotate_keys()
    assert meter.generations() > before


@pytest.mark.parametrize("party", [Party.HUB, Party.GAS], ids=lambda party: party.name.lower())
def test_a_hub_and_a_sleepy_meter_are_healed(party: Party) -> None:
    """The same for a hub's own device and for a gas meter that hears once in half an hour."""
    _, device = struck(HalfAppliedKeys(applied=1, times=1, device=party.name.lower()), party=party)  # type: ignore[arg-type]
    assert device.diagnose().kind is Class.RECOVERABLE
    healed = device.heal()
    assert healed.healed, healed.stopped
    assert device.diagnose().kind is Class.HEALTHY


LOST: dict[str, tuple[Fault, Class, str, str]] = {
    "F1": (WrongMasterKey(installation=HOME), Class.READS_ONLY, "R5", "never again be given keys"),
    "F10": (PolicyRaised(installation=HOME), Class.UNRECOVERABLE, "R8", "a policy is never lowered"),
    "F7": (CounterNearMaximum(installation=HOME, left=2), Class.UNRECOVERABLE, "R7", "counter does not start anew"),
}


@pytest.mark.parametrize("name", LOST)
def test_what_cannot_be_healed_is_told(name: str) -> None:
    """The class, the row and what an engineer must do; healing sends nothing."""
    fault, kind, row, advice = LOST[name]
    world, meter = struck(fault)
    found = meter.diagnose()
    assert found.kind is kind
    assert row in found.rows
    assert advice in found.advice
    assert found.way is None
    if kind is Class.READS_ONLY:
        assert meter.read("clock") is not None
    sent = len(world.entries)
    healed = meter.heal()
    assert not healed.healed
    assert "no way back" in healed.stopped
    assert not [each for each in world.entries[sent:] if each.kind in ("keys.installed", "keys.refused")]


def test_a_wrong_policy_heals_nobody_by_accident() -> None:
    """A neighbour of a lost meter is healthy, and stays so."""
    world, meter = struck(WrongMasterKey(installation=HOME))
    neighbour = world.home(HOME + 1).electricity
    assert neighbour.diagnose().kind is Class.HEALTHY
    assert meter.diagnose().kind is Class.READS_ONLY
    neighbour.rotate_keys()
    assert neighbour.diagnose().kind is Class.HEALTHY


# Keepers


def test_a_forgotten_share_loses_a_master_key() -> None:
    """The DCO loses its share of the new master key: the S1SP's alone is worth nothing, and the diagnosis says who has
    what."""
    _, meter = struck(DcoForgets(keys="master", when="promoted", times=1))
    found = meter.diagnose()
    assert found.kind is Class.READS_ONLY
    assert "R5" in found.rows
    assert "only the S1SP knows a generation of the master key" in found.keepers
    assert not meter.heal().healed


def test_forgotten_data_keys_shut_everybody_out() -> None:
    """No share of the data keys: nothing ciphered opens."""
    _, meter = struck(S1spForgets(keys="data", when="promoted", times=1))
    found = meter.diagnose()
    assert found.kind is Class.UNRECOVERABLE
    assert "R6" in found.rows


def test_a_change_that_one_keeper_missed_is_healed() -> None:
    """It has the candidate still, so both can make the key."""
    _, meter = struck(KeeperMissesChange(times=1))
    found = meter.diagnose()
    assert found.kind in (Class.HEALTHY, Class.RECOVERABLE)
    healed = meter.heal()
    assert healed.healed, healed.stopped
    assert meter.diagnose().kind is Class.HEALTHY


@pytest.mark.parametrize("fault", [DcoSilent(), DcoRefuses()], ids=lambda fault: fault.name)
def test_a_keeper_in_the_way_is_waited_for(fault: Fault) -> None:
    """While the DCO is silent or refuses, the way begins with waiting for it, and nothing is sent; afterwards it
    heals."""
    world, meter = struck(KeyChangeAnswerLost(keys="kek", times=1, device="electricity"))
    mischief = world.cell(HOME).cell.mischief
    number = mischief.arm(fault, world.instant)
    found = meter.diagnose()
    assert found.kind is Class.RECOVERABLE
    assert found.steps[0] == "wait until the DCO answers again"
    assert "keeper" in found.rows
    assert meter.heal().stopped == "not now: wait until the DCO answers again"
    mischief.disarm(number)
    assert meter.heal().healed


def test_a_diagnosis_has_no_key_in_it() -> None:
    """Neither in its text nor in its representation."""
    world, meter = struck(HalfAppliedKeys(applied=1, times=1, device="electricity"))
    found = meter.diagnose()
    cell = world.cell(HOME)
    target = cell.keyring.targets(cell.cell.estate.smso(cell.cell.home(HOME)))[1]
    secrets = [target.custody.data_keys(each).ek for each in found.data]
    secrets += [target.custody.master_key(each) for each in found.master]
    for text in (repr(found), str(found), repr(meter.heal())):
        for secret in secrets:
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text


def test_looking_changes_nothing() -> None:
    """A diagnosis moves no counter, no row and no digest."""
    world, _ = struck(HalfAppliedKeys(applied=1, times=1, device="electricity"))
    cell = world.cell(HOME)
    before = cell.cell.digest(), cell.keyring.keeper.memory(), len(world.entries)
    first = diagnose(cell.cell, cell.keyring, HOME, Party.ELECTRICITY, world.instant)
    assert diagnose(cell.cell, cell.keyring, HOME, Party.ELECTRICITY, world.instant) == first
    assert (cell.cell.digest(), cell.keyring.keeper.memory(), len(world.entries)) == before


def test_a_device_in_the_dark_is_waited_for() -> None:
    """Healing begun while the mains are away ends well when they are back."""
    world = Playground("demo-street")
    meter = world.home(HOME).electricity
    mischief = world.cell(HOME).cell.mischief
    mischief.arm(PowerCutBeforeAnswer(times=1, device="electricity", seconds_dark=150), world.instant)
    with pytest.raises(EmulatorError):
        meter.rotate_keys()
    assert meter.diagnose().kind is Class.RECOVERABLE
    healed = meter.heal()
    assert healed.healed, healed.stopped


def test_a_healing_that_cannot_end_says_where() -> None:
    """A fault that goes on refusing stops it, three times, and the way that was left is named."""
    world, meter = struck(KeyChangeAnswerLost(keys="kek", times=1, device="electricity"))
    mischief = world.cell(HOME).cell.mischief
    mischief.arm(HalfAppliedKeys(applied=0, times=0, device="electricity"), world.instant)
    healed = meter.heal()
    assert not healed.healed
    assert "send EK and AK" in healed.stopped
    assert meter.diagnose().kind is Class.RECOVERABLE


# The other maker


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo street with the other maker's meters."""
    text = resources.fixture("estates/demo-street.toml").read_text("utf-8")
    for old, new in (("elster_as300p", "itron_e"), ("itron_e_5t", "elster_as300p_5t"), ("elster_bk_g4", "itron_g")):
        text = text.replace(old, new)
    file: Path = tmp_path_factory.mktemp("estates") / "other-street.toml"
    file.write_text(text.replace('"demo-street"', '"other-street"'))
    return str(file)


@pytest.mark.parametrize("party", [Party.ELECTRICITY, Party.GAS], ids=lambda party: party.name.lower())
@pytest.mark.parametrize("wait", [False, True])
def test_the_other_makers_meters_are_healed(street: str, party: Party, wait: bool) -> None:
    """The answer to the master key's transfer was lost, and the key is written in the background: the healing, and the
    proof after it, leave the meter the time it needs."""
    fault = KeyChangeAnswerLost(keys="kek", times=1, device=party.name.lower())  # type: ignore[arg-type]
    world, meter = struck(fault, party=party, street=street, wait=wait)
    found = meter.diagnose()
    assert found.kind is Class.RECOVERABLE
    assert "R4" in found.rows
    healed = meter.heal()
    assert healed.healed, healed.stopped
    assert not world.notes("keys.lost", HOME)
    assert meter.diagnose().kind is Class.HEALTHY
    meter.rotate_keys()


@pytest.mark.parametrize("unconfirmed", ["back", "lost"])
@pytest.mark.parametrize("late", [False, True])
def test_a_master_key_that_waits_for_its_confirmation(
    street: str, monkeypatch: pytest.MonkeyPatch, unconfirmed: str, late: bool
) -> None:
    """A model whose new master key lapses when nobody confirms it. In time a probe confirms it; late the old one is
    back, or none is left: the diagnosis says beforehand that it will not be recoverable for long."""
    shipped: Any = registry.models()
    model = shipped["itron_e"]
    habits = {"volatile_until_confirmed": True, "unconfirmed": unconfirmed, "write_ms": 0, "write_idle_ms": 0}
    keys = msgspec.structs.replace(model.profile.keys, **habits)
    profile = msgspec.structs.replace(model.profile, keys=keys, name="itron_e_lapsing")
    monkeypatch.setitem(shipped, "itron_e", type(model)(profile, model.build))
    world, meter = struck(KeyChangeAnswerLost(keys="kek", times=1, device="electricity"), street=street, wait=False)
    found = meter.diagnose()
    assert found.kind is Class.RECOVERABLE
    assert found.state.kek == 1
    assert found.later is (Class.READS_ONLY if unconfirmed == "lost" else None)
    assert (f"in {found.later_s} seconds at the latest" in str(found)) == (unconfirmed == "lost")
    if late:
        world.run_for(seconds=keys.confirm_s + 1)
        found = meter.diagnose()
        assert found.later is None
        assert found.kind is (Class.READS_ONLY if unconfirmed == "lost" else Class.RECOVERABLE)
        if unconfirmed == "lost":
            assert "R9" in found.rows
            return
        assert found.state.kek == 0
    healed = meter.heal()
    assert healed.healed, healed.stopped
    assert meter.diagnose().kind is Class.HEALTHY
