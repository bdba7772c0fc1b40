"""The rules held against the real machines: every sequence of commands from every kind of start.

The fast part takes every start to depth 2 and some to depth 3; the slow part takes them to depth 4, and drives a few of
them without sharing anything between sequences. `SEQUENCES` of it are printed, as `pytest -s` shows.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from emulator.oracle.prove import Machine, Prover, heals
from emulator.oracle.search import results, search
from emulator.oracle.state import FOREIGN, PLENTY, Reaction, State
from emulator.oracle.transitions import Command, Result, Verb, step

KEYS = [{"ek": ek, "ak": ak, "kek": kek} for ek, ak, kek in product((0, 1, FOREIGN), (0, 1, FOREIGN), (0, 1, FOREIGN))]
COUNTERS: list[dict[str, Any]] = [
    {"ahead": True},
    *({"left_in": left} for left in (0, 1, 2, 3, 4, 5, 8)),
    *({"left_out": left} for left in (0, 1, 2, 3, 4, 5, 8)),
    {"left_in": 5, "left_out": 4},
]
OTHERS: list[dict[str, Any]] = [
    {"policy": 7},
    {"policy": 7, "ek": 1},
    {"kek": None},
    {"data": 1, "master": 1},
    {"data": 1, "master": 1, "ek": FOREIGN},
    {"data": 3, "master": 1, "ek": 2, "ak": 1},
    {"data": 1, "master": 3, "kek": 2},
    {"dco_data": 0b01, "ek": 1, "ak": 1},
    {"dco_data": 0b10, "ek": 1, "ak": 1},
    {"dco_master": 0b01, "kek": 1},
    {"ahead": True, "ek": 1, "ak": 1, "kek": 1},
    {"left_in": 6, "ek": 1, "kek": 1},
    {"left_out": 2, "ek": 1, "ak": 1},
]
STARTS = [*KEYS, *COUNTERS, *OTHERS]
SEQUENCES = {"sequences": 0, "driven": 0}


def named(start: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in start.items())


def agree(case: Any, depth: int, share: bool = True) -> None:
    """Compare everything, and count."""
    tally = Prover(case.machine, case.habits, share=share).explore(case.state, depth)
    SEQUENCES["sequences"] += tally.sequences
    SEQUENCES["driven"] += tally.driven
    assert not tally.disagreements, "\n".join(map(str, tally.disagreements))
    assert tally.driven
    assert case.machine.truth(case.state) == case.state, "the bench is where it was"


def same_verdict(case: Any, depth: int) -> None:
    """The search over rules, and one over the machine alone, come to the same; and the way found works."""
    driven, found = heals(case.machine, case.state, depth), search(case.state, case.habits)
    if found.way is not None and len(found.way) <= depth:
        assert driven.way is not None, f"{found.way} is promised, and nothing heals the machine"
        assert len(driven.way) == len(found.way), f"{found.way} is no shortest way: {driven.way}"
        follows(case.machine, case.state, found.way, case.habits)
    else:
        assert driven.way is None, f"{driven.way} heals what was given up"
    if found.way is None:
        assert driven.reads == (found.reading is not None and len(found.reading) <= depth)
    elif driven.reads:
        assert found.rekeyed


def follows(machine: Machine, state: State, way: tuple[Command, ...], habits: Any) -> None:
    """A way, carried out on the machine: it comes out as promised and ends in agreement."""
    mark = machine.bench.mark()
    for command, promised in zip(way, results(state, way, habits), strict=True):
        result, state = machine.step(state, command)
        assert result is promised, (command, result)
    assert state.agrees()
    machine.bench.back_to(mark)


@pytest.mark.parametrize("start", STARTS, ids=named)
def test_every_start_to_depth_two(on_bench: Callable[..., Any], start: dict[str, Any]) -> None:
    """Each command, and each after it: same result, same state."""
    case = on_bench(**start)
    agree(case, 2)
    same_verdict(case, 2)


@pytest.mark.parametrize(
    ("model", "start"),
    [
        ("elster_as300p_5t", {"ek": 1, "kek": 1}),
        ("elster_bk_g4", {"ak": 1}),
        ("elster_hub", {"kek": FOREIGN}),
        ("itron_e", {"left_out": 2}),
        ("itron_g", {"kek": 1}),
    ],
    ids=str,
)
def test_every_model_to_depth_three(on_bench: Callable[..., Any], model: str, start: dict[str, Any]) -> None:
    """Three commands in a row, on every keyed model."""
    case = on_bench(model, **start)
    agree(case, 3)
    same_verdict(case, 3)


HABITS = [
    {"bad_tag": "silence", "bad_counter": "silence"},
    {"bad_tag": "close", "bad_counter": "close"},
    {"bad_tag": "plain-exception", "bad_counter": "plain-exception"},
    {"master_key_changes": False},
    {"counter_reset": True},
]


@pytest.mark.parametrize("security", HABITS, ids=named)
@pytest.mark.parametrize("start", [{"ek": 1, "kek": 1}, {"ahead": True}, {"left_in": 5}, {"left_out": 2}], ids=named)
def test_every_habit(
    on_bench: Callable[..., Any], variant: Callable[..., str], security: dict[str, Any], start: dict[str, Any]
) -> None:
    """Each reaction to what does not open, a master key that is never changed, counters that begin anew."""
    case = on_bench(variant("elster_as300p", security=security), **start)
    for name, value in security.items():
        wanted = Reaction(value) if isinstance(value, str) else value
        assert getattr(case.habits, name.replace("master_key_changes", "master_changes")) == wanted
    agree(case, 2)
    same_verdict(case, 2)


def test_a_wrong_rule_is_found_out(on_bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: a rule that lets a device take a transfer under any master key is named."""

    def credulous(state: State, command: Command, habits: Any) -> tuple[Result, State]:
        return step(state._replace(kek=command.under) if command.verb is Verb.PROBE_MASTER else state, command, habits)

    monkeypatch.setattr("emulator.oracle.prove.step", credulous)
    case = on_bench(kek=FOREIGN)
    tally = Prover(case.machine, case.habits).explore(case.state, 2)
    assert tally.disagreements
    assert "accepted promised, refused found" in str(tally.disagreements[0])
    assert tally.disagreements[0].way[-1].verb is Verb.PROBE_MASTER


def test_sharing_changes_nothing(on_bench: Callable[..., Any]) -> None:
    """What is shared between sequences counts as many of them as driving each does."""
    shared, alone = on_bench(ek=1, kek=1), on_bench(ek=1, kek=1)
    one = Prover(shared.machine, shared.habits).explore(shared.state, 3)
    other = Prover(alone.machine, alone.habits, share=False).explore(alone.state, 3)
    assert one.sequences == other.sequences == other.driven > one.driven
    assert one.healed is not None
    assert other.healed is not None
    assert len(one.healed) == len(other.healed)


# To depth 4


@pytest.fixture(scope="module")
def told() -> Iterator[None]:
    """Say at the end how much was driven."""
    yield
    print(f"\n{SEQUENCES['sequences']} sequences answered for, {SEQUENCES['driven']} commands driven")


@pytest.mark.slow
@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("start", STARTS, ids=named)
def test_every_start_to_depth_four(on_bench: Callable[..., Any], start: dict[str, Any]) -> None:
    """Every sequence of four commands, from every start."""
    case = on_bench(**start)
    agree(case, 4)
    same_verdict(case, 4)


@pytest.mark.slow
@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("model", ["elster_hub", "elster_bk_g4", "itron_e", "itron_g"])
@pytest.mark.parametrize("start", [{"ek": 1, "kek": 1}, {"left_in": 5}, {"kek": FOREIGN}, {"ahead": True}], ids=named)
def test_every_model_to_depth_four(on_bench: Callable[..., Any], model: str, start: dict[str, Any]) -> None:
    """The same on every model."""
    case = on_bench(model, **start)
    agree(case, 4)
    same_verdict(case, 4)


@pytest.mark.slow
@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("security", HABITS, ids=named)
@pytest.mark.parametrize("start", [{"ek": 1, "kek": 1}, {"left_in": 5}], ids=named)
def test_every_habit_to_depth_four(
    on_bench: Callable[..., Any], variant: Callable[..., str], security: dict[str, Any], start: dict[str, Any]
) -> None:
    """The same with every habit."""
    case = on_bench(variant("elster_as300p", security=security), **start)
    agree(case, 4)
    same_verdict(case, 4)


@pytest.mark.slow
@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("start", [{"ek": 1, "kek": 1}, {"left_in": 9}], ids=named)
def test_every_sequence_driven_alone(on_bench: Callable[..., Any], start: dict[str, Any]) -> None:
    """Depth 4 with nothing shared: every sequence sent in full to the machine."""
    case = on_bench(**start)
    assert min(case.state.room_in, PLENTY) > 0
    agree(case, 4, share=False)
