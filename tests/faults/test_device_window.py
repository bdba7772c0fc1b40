"""A master key between RAM and its slot: to the millisecond, on every layout that has such a time."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from devices.common.key_slots import Slot
from emulator.commands import PowerCut
from emulator.dlms.client import Answer, Refused
from emulator.faults.keys import PowerCutInKeyWrite

# Tests carry no `__init__.py`: what they share is loaded by path.
_SPEC = importlib.util.spec_from_file_location("device_window_bench", Path(__file__).with_name("test_device_keys.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
kit = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(kit)
Bench, NEW, OLD, ONE_SLOT = kit.Bench, kit.NEW, kit.OLD, kit.ONE_SLOT

SLOW = {**ONE_SLOT, "write_ms": 30_000, "write_idle_ms": 5_000}
SAFE = {"write_ms": 30_000, "write_idle_ms": 5_000}
VOLATILE = {**ONE_SLOT, "volatile_until_confirmed": True, "confirm_s": 900}


def changed(layout: dict[str, Any], *faults: Any) -> Any:
    """A meter that has just taken a new master key."""
    bench = Bench(faults, keys=layout)
    bench.open()
    assert bench.transfer("kek") == Answer(None)
    return bench


def kek(bench: Any) -> Slot:
    slot: Slot = bench.device.key_memory(bench.now).kek
    return slot


def again(bench: Any, seconds: float, **how: Any) -> Any:
    """Another transfer of the live pair, to the tenth of a second after the last one that the bench takes."""
    bench.wait(seconds - 0.1)
    return bench.transfer("ek", "ak", keys=OLD, **how)


@pytest.mark.parametrize("under", ["old", "new"])
@pytest.mark.parametrize(("after", "lost"), [(4.9, False), (5.0, True), (29.9, True), (30.0, False)])
def test_another_transfer_within_the_rewriting_loses_the_key(after: float, lost: bool, under: str) -> None:
    """From the end of the quiet to the end of the writing, whether it is accepted or refused."""
    bench = changed(SLOW)
    outcome = again(bench, after, under=(NEW if under == "new" else OLD)["kek"])
    assert outcome == (Answer(None) if under == "new" else Refused("action", 250))
    assert (kek(bench) is Slot.CORRUPT) == lost
    assert bench.holds() == ("old", "old", "" if lost else "new")
    bench.wait(60)
    bench.restart()
    assert bench.holds() == ("old", "old", "" if lost else "new")


def test_every_transfer_puts_the_writing_off() -> None:
    """One every four seconds, right or wrong, and the slot is not touched; then it is, and another one loses it."""
    bench = changed(SLOW)
    for turn in range(10):
        again(bench, 4, under=(NEW, OLD)[turn % 2]["kek"])
        assert kek(bench) is Slot.OK
    again(bench, 6, under=NEW["kek"])
    assert kek(bench) is Slot.CORRUPT


def test_a_master_key_that_comes_with_the_disturbance_is_not_taken() -> None:
    """Its slot is not whole; the pair that came with it is taken, and nothing can be changed any more."""
    bench = changed(SLOW)
    bench.wait(10)
    third = {**NEW, "kek": bytes(range(16))}
    assert bench.transfer("kek", "ek", "ak", "broadcast", keys=third, under=NEW["kek"]) == Answer(None)
    assert bench.holds() == ("new", "new", "")
    assert not bench.unwraps_under(third["kek"])
    bench.use(NEW["ek"], NEW["ak"])
    assert isinstance(bench.read(), Answer)
    assert bench.transfer("kek", under=third["kek"]) == Refused("action", 11)


@pytest.mark.parametrize(
    ("layout", "after", "expected"),
    [
        (SLOW, 4.0, "old"),
        (SLOW, 6.0, ""),
        (SLOW, 31.0, "new"),
        (SAFE, 4.0, "old"),
        (SAFE, 6.0, "old"),
        (SAFE, 31.0, "new"),
        ({**SLOW, "checksum": False}, 6.0, ""),
        ({**SLOW, "on_corrupt": "locked"}, 6.0, ""),
        (VOLATILE, 899.0, "old"),
        ({**VOLATILE, "unconfirmed": "lost"}, 1.0, ""),
    ],
)
def test_a_power_cut_between_ram_and_slot(layout: dict[str, Any], after: float, expected: str) -> None:
    """RAM forgets, an erased slot is lost, a written one stays; with a spare slot nothing is ever lost."""
    bench = changed(layout)
    bench.wait(after)
    bench.device.command(PowerCut(10), bench.now)
    bench.wait(20)
    bench.restart()
    locked = layout.get("on_corrupt") == "locked"
    assert bench.holds() == (*(("", "") if locked else ("old", "old")), expected)
    assert (kek(bench) is Slot.CORRUPT) == (expected == "")
    assert bench.device.key_memory(bench.now).locked == locked


def test_with_a_spare_slot_nobody_disturbs_the_writer() -> None:
    """Transfers at any time."""
    for after in (1, 10, 29, 31):
        bench = changed(SAFE)
        assert again(bench, after, under=NEW["kek"]) == Answer(None)
        assert bench.holds() == ("old", "old", "new")


@pytest.mark.parametrize(("after", "expected"), [(899, "new"), (901, "old")])
def test_an_unconfirmed_master_key_lapses(after: float, expected: str) -> None:
    """A transfer under it in time makes it stay; too late it is refused, and the old one is back."""
    bench = changed(VOLATILE)
    assert bench.holds()[2] == "new"
    bench.restart()
    outcome = again_after_reopening(bench, after)
    assert outcome == (Answer(None) if expected == "new" else Refused("action", 250))
    bench.wait(2_000)
    assert kek(bench) is Slot.OK
    assert bench.holds()[2] == expected
    assert bench.device.deviations == {}


def again_after_reopening(bench: Any, seconds: float) -> Any:
    bench.wait(seconds - 1)
    bench.open()
    return bench.transfer("ek", "ak", keys=OLD, under=NEW["kek"])


def test_a_broadcast_key_follows_its_master_key_back() -> None:
    """Sent under the old master key, rewrapped under the new one, and again under the old one when that is back."""
    bench = Bench(keys=VOLATILE)
    bench.open()
    bench.transfer("broadcast")
    bench.transfer("kek")
    bench.wait(1_000)
    assert kek(bench) is Slot.OK
    bench.open()
    wrapped = next(data for key, data in bench.device.deviations.items() if key[2] == -1)
    assert bytes(bench.store.unwrap(0, wrapped.value)) == NEW["broadcast"]


@pytest.mark.parametrize(
    ("at", "phase", "expected"),
    [("kek.erase", "before", "old"), ("kek.write", "during", ""), ("kek.checksum", "after", "new")],
)
@pytest.mark.parametrize("layout", [SLOW, VOLATILE], ids=["written at once", "confirmed first"])
def test_a_cut_at_a_write_of_a_key_from_ram(layout: dict[str, Any], at: str, phase: Any, expected: str) -> None:
    """A cut that a fault asks for comes at the transfer that starts the writing."""
    fault = PowerCutInKeyWrite(at=at, phase=phase, seconds_dark=5, times=1)
    bench = Bench((fault,), keys=layout)
    bench.open()
    first = bench.transfer("kek")
    if layout is VOLATILE:
        assert first == Answer(None)
        assert bench.transfer("ek", "ak", keys=OLD, under=NEW["kek"]) is None
    else:
        assert first is None
    bench.wait(10)
    bench.restart()
    assert bench.holds() == ("old", "old", expected)
    assert (kek(bench) is Slot.CORRUPT) == (expected == "")
    assert bench.fired == [1]
