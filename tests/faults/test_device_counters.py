"""Faults of counters and clocks in a real device, and every reaction to a request that does not open."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from devices.electricity.model import ElectricityMeter
from emulator.codecs.axdr import octet_string
from emulator.codecs.glo import GLO
from emulator.commands import PowerCut
from emulator.dlms import moment
from emulator.dlms.client import Answer, Refused
from emulator.faults.clock import ClockDrift
from emulator.faults.counters import (
    CounterGap,
    CounterMismatchReaction,
    CounterNearMaximum,
    CounterNotReset,
    CounterReplay,
    CounterResetLow,
    CounterRollback,
)
from emulator.faults.device import FAULTS
from emulator.kernel.time import DAY, HOUR, SECOND

# Tests carry no `__init__.py`: what they share is loaded by path.
_SPEC = importlib.util.spec_from_file_location("device_keys_bench", Path(__file__).with_name("test_device_keys.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
kit = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(kit)
Bench, NEW, OLD = kit.Bench, kit.NEW, kit.OLD

CLOCK = (8, "0-0:1.0.0", 2)
LAST = 0xFFFF_FFFF


def counters(bench: Any) -> tuple[int, int]:
    tx, rx = bench.store.counters(0)
    return int(tx), int(rx)


# F6


@pytest.mark.parametrize("resets", [True, False])
def test_f6_counters_are_not_reset_on_a_model_that_resets_them(resets: bool) -> None:
    """On such a model they go on; a model that keeps them is not struck at all."""
    bench = Bench((CounterNotReset(),), security={"counter_reset": resets})
    bench.open()
    for _ in range(5):
        bench.read()
    before = counters(bench)
    assert bench.transfer("ek", "ak") == Answer(None)
    after = counters(bench)
    assert after[0] == before[0] + 1
    assert after[1] > before[1]
    assert bench.fired == [int(resets)]
    sound = Bench(security={"counter_reset": True})
    sound.open()
    sound.transfer("ek", "ak")
    assert counters(sound) == (0, 0)


@pytest.mark.parametrize(("counter", "expected"), [("sent", (3, None)), ("accepted", (None, 3)), ("both", (3, 3))])
def test_f6_counters_start_again_too_low(counter: Any, expected: tuple[int | None, int | None]) -> None:
    """Of the same EK sent again, a device answers under counters it has used, and is not believed."""
    bench = Bench((CounterResetLow(to=3, counter=counter, times=1),))
    bench.open()
    for _ in range(5):
        bench.read()
    bench.transfer("ak")  # not the EK: nothing happens
    assert bench.fired == [0]
    bench.store.install(1, ak=NEW["ak"])
    assert bench.transfer("ek", keys=OLD) == Answer(None)
    assert bench.fired == [1]
    for found, wanted in zip(counters(bench), expected, strict=True):
        assert found == wanted if wanted is not None else found > 3
    outcome = bench.read()
    if counter == "accepted":
        assert isinstance(outcome, Answer)
    else:
        assert (type(outcome), outcome.reason) == (Refused, "counter")


# F7


def test_f7_a_request_that_comes_twice_acts_twice() -> None:
    """Without the fault a replayed message is refused; with it, it is served, and the counter does not go back."""
    for faults, taken in (((), False), ((CounterReplay(),), True)):
        bench = Bench(faults)
        bench.open()
        apdu = bench.client.get(kit.AttributeRef(1, kit.obis("0-0:42.0.0"), 2))
        first = bench.carry(apdu)
        assert GLO.parse(first).tag == 0xCC
        bench.client.receive(first)
        bench.read()
        lowest = counters(bench)[1]
        again = bench.carry(apdu)
        assert (again is not None and again[0] == 0xCC) == taken
        assert counters(bench)[1] == lowest
        assert bench.fired == ([1] if taken else [])
        assert isinstance(bench.read(), Answer)


@pytest.mark.parametrize(("counter", "expected"), [("both", (0, 500)), ("sent", (0, None)), ("accepted", (None, 500))])
def test_f7_counters_fall_back_to_a_checkpoint_after_a_reboot(counter: Any, expected: tuple[int | None, ...]) -> None:
    """Only a power cut does it, and the fallen counters survive the row."""
    bench = Bench((CounterRollback(checkpoint_every=100, counter=counter),))
    bench.open()
    for _ in range(10):
        assert isinstance(bench.read(), Answer)
    before = counters(bench)
    assert before[0] > 0
    assert before[1] > 500
    bench.device.command(PowerCut(10), bench.now)
    bench.wait(10)
    bench.restart()
    for found, was, wanted in zip(counters(bench), before, expected, strict=True):
        assert found == (was if wanted is None else wanted)
    assert bench.fired == [1]


def test_f7_a_counter_too_far_ahead_is_refused_as_one_that_lies_behind() -> None:
    """Up to `gap_most` is welcome, one more is not; the exception names the counter that is expected."""
    bench = Bench((CounterGap(gap_most=1_000),))
    assert isinstance(bench.open(), Answer)
    lowest = counters(bench)[1]
    bench.store.set_counters(1, tx=lowest + 1_000)
    assert isinstance(bench.read(), Answer)
    lowest = counters(bench)[1]
    bench.store.set_counters(1, tx=lowest + 1_001)
    assert bench.read() == Refused("invocation-counter", lowest)
    assert bench.open() == Refused("invocation-counter", lowest)
    assert counters(bench)[1] == lowest
    assert bench.fired == [2]


def test_f7_near_its_maximum_a_device_takes_so_many_messages_and_then_none() -> None:
    """Exactly `left` of them. Then it opens nothing more."""
    bench = Bench((CounterNearMaximum(left=6),))
    bench.open()
    fresh = bench.store.export(1)
    assert counters(bench)[1] == LAST - 6
    assert bench.fired == [1]
    bench.store.set_counters(1, tx=LAST - 6)
    assert isinstance(bench.open(), Answer)
    taken = 0
    while counters(bench)[1] < LAST and taken < 10:
        assert isinstance(bench.read(), Answer)
        taken += 1
    assert taken == 3  # the association took three: its request, and the token and request of pass 3
    assert counters(bench)[1] == LAST
    bench.store.restore(1, fresh)  # a client with counters to spare cannot use one that the device would take
    assert bench.open() == Refused("invocation-counter", LAST)


def test_f7_a_device_that_cannot_count_on_cannot_answer() -> None:
    """Its own counter at the end: it says that none is left."""
    bench = Bench((CounterNearMaximum(left=0, counter="sent"),))
    assert not isinstance(bench.open(), Answer)
    assert counters(bench)[0] == LAST


# F8


@pytest.mark.parametrize("to", ["counter", "tag"])
@pytest.mark.parametrize("reacts", ["exception", "silence", "close", "plain-exception"])
def test_f8_every_reaction_to_every_mismatch(reacts: Any, to: Any) -> None:
    """What is heard, and whether the association stands afterwards; on a model whose own habit is another."""
    habit = "silence" if reacts == "exception" else "exception"
    bench = Bench((CounterMismatchReaction(reacts=reacts, to=to),), security={"bad_counter": habit, "bad_tag": habit})
    assert isinstance(bench.open(), Answer)
    assert isinstance(bench.read(), Answer)
    assert bench.fired == [0]  # nothing was wrong yet
    apdu = bench.client.get(kit.AttributeRef(1, kit.obis("0-0:42.0.0"), 2))
    if to == "counter":
        assert isinstance(bench.client.receive(bench.carry(apdu)), Answer)
        answer = bench.carry(apdu)
    else:
        answer = bench.carry(apdu[:-1] + bytes((apdu[-1] ^ 1,)))
    assert bench.fired == [1]
    if reacts in ("silence", "close"):
        assert answer is None
    else:
        assert answer[0] == 0xD8
        assert (len(answer) > 3) == (reacts == "exception" and to == "counter")
    assert (bench.device.server.association(1) is None) == (reacts == "close")


def test_f8_concerns_only_the_mismatch_it_names() -> None:
    """A reaction to bad tags leaves that to bad counters as the model has it; and it ends with its fault."""
    bench = Bench((CounterMismatchReaction(reacts="silence", to="tag"),))
    bench.open()
    apdu = bench.client.get(kit.AttributeRef(1, kit.obis("0-0:42.0.0"), 2))
    bench.client.receive(bench.carry(apdu))
    assert bench.carry(apdu)[0] == 0xD8
    assert bench.fired == [0]
    bench.mischief.disarm(1)
    fresh = bench.client.get(kit.AttributeRef(1, kit.obis("0-0:42.0.0"), 2))
    assert bench.carry(fresh[:-1] + bytes((fresh[-1] ^ 1,)))[0] == 0xD8


# F11


def write_clock(bench: Any, seconds: float) -> Any:
    """Set the clock by so many seconds."""
    device: ElectricityMeter = bench.device
    at = device.shown(bench.now) + round(seconds * SECOND)
    return bench.set(*CLOCK, octet_string(moment.encode(at)))


def error_s(bench: Any) -> float:
    return float(bench.device.shown(bench.now) - bench.now) / SECOND


def test_f11_the_clock_jumps_once_and_drifts_from_then_on() -> None:
    """Registers never run back over a jump, and the drift survives the row."""
    bench = Bench((ClockDrift(ppm=1_000, step_s=30),))
    before, total = error_s(bench), bench.device.total(bench.now)
    bench.open()
    assert error_s(bench) == pytest.approx(before + 30, abs=0.01)
    assert bench.fired == [1]
    bench.wait(HOUR / SECOND)
    bench.restart()
    assert bench.read(*CLOCK) is not None
    assert error_s(bench) == pytest.approx(before + 30 + 3.6, abs=0.05)
    assert bench.device.total(bench.now) >= total
    assert bench.fired == [1]


def test_f11_corrections_are_refused_beyond_one_a_day_and_ten_seconds() -> None:
    """One setting a UTC day; none of more than the limit; the next day one again."""
    bench = Bench((ClockDrift(ppm=0, step_s=0),))
    bench.open()
    assert isinstance(write_clock(bench, -11), Refused)
    assert isinstance(write_clock(bench, -8), Answer)
    assert isinstance(write_clock(bench, -2), Refused)
    bench.wait(DAY / SECOND)
    bench.open()
    assert isinstance(write_clock(bench, 4), Answer)
    assert bench.fired == [1 + 2]


def test_f11_without_limits_the_clock_lets_itself_be_set() -> None:
    """0 is no limit."""
    bench = Bench((ClockDrift(ppm=0, step_s=-3_600, sets_per_day=0, limit_s=0),))
    bench.open()
    assert isinstance(write_clock(bench, 3_600), Answer)
    assert isinstance(write_clock(bench, 1), Answer)
    assert abs(error_s(bench)) < 10


# All of them


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name)
def test_every_fault_says_what_it_is_and_makes_an_example(kind: Any) -> None:
    """Name, row, points, a paragraph and settings that work."""
    assert kind.name == kind.name.lower().replace(" ", "-")
    assert kind.row in {"F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F10", "F11"}
    assert kind.points
    assert len(kind.__doc__.split()) > 15
    made = kind(**kind.example)
    assert not any(made.wants(point, None) for point in kind.points)  # what is told nothing strikes nothing


def test_the_rows_are_all_here() -> None:
    """F1 to F11 but F9, which is the keepers'; names are unique."""
    assert {kind.row for kind in FAULTS} == {f"F{number}" for number in range(1, 12)} - {"F9"}
    assert len({kind.name for kind in FAULTS}) == len(FAULTS)
