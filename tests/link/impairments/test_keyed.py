"""Chance is keyed: same seed, same fates, in any process; and no impairment moves another's luck."""

import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import pytest

from emulator.kernel.time import MILLISECOND, SECOND
from emulator.link.impairments.base import Impairment, Luck
from emulator.link.impairments.models import make
from emulator.link.impairments.modes import Mode, Modes
from emulator.link.impairments.pipeline import Pipeline

NOW = 1_600_000_000 * SECOND
PACKET = bytes(range(64))

SETTINGS: dict[str, dict[str, Any]] = {
    "delay": {
        "delay_ms": 50, "jitter_ms": 20, "distribution": "pareto-normal", "correlation": 0.4, "keep_order": False,
        "table": (),
    },
    "loss": {"probability": 0.2, "correlation": 0.6},
    "burst-loss": {"p": 0.1, "r": 0.3, "loss_bad": 0.9, "loss_good": 0.01},
    "markov-loss": {"p13": 0.1, "p31": 0.3, "p32": 0.2, "p23": 0.4, "p14": 0.02},
    "nth": {"every": 7},
    "list": {"ordinals": frozenset({3, 50}), "contents": ()},
    "duplicate": {"probability": 0.2, "copies": 2, "lag_ms": 1},
    "reorder": {"probability": 0.2, "gap": 2, "hold_ms": 30, "move": "ahead", "distance": 2},
    "corrupt": {"probability": 0.3, "bits": 2, "first": 0},
    "bit-errors": {"per_megabyte": 5_000, "unit": "bit"},
    "rate": {
        "bits_per_second": 100_000.0, "burst_bytes": 300, "overhead_bytes": 20, "cell_bytes": 0,
        "cell_overhead_bytes": 0, "limit_packets": 12, "limit_bytes": 0, "mark_from_bytes": 200,
        "mark_full_bytes": 900, "mark_most": 0.5, "ecn": True,
    },
    "sender-rate": {"bits_per_second": 90_000.0, "overhead_bytes": 0},
    "slots": {"slot_min_ms": 5, "slot_max_ms": 25, "slot_packets": 3, "slot_bytes": 0},
    "mtu": {"mtu": 68, "policy": "black-hole", "router": "10.0.0.1"},
    "down": {"down_s": 0.3, "up_s": 0.5, "phase_s": 0, "since": NOW},
    "data-limit": {"limit_bytes": 900, "limit_s": 0, "pause_s": 0.2, "action": "hang"},
}  # fmt: skip
RANDOM = [
    name
    for name in SETTINGS
    if name not in ("nth", "list", "mtu", "down", "data-limit", "sender-rate", "rate", "slots")
]


def made(name: str, seed: int = 5) -> Impairment:
    if name == "modes":
        modes = [
            Mode("a", 0.4, 1.0, {"b": 1.0}, [made("burst-loss")]),
            Mode("b", 0.2, 1.0, {"a": 1.0}, [made("delay")]),
        ]
        return Modes(Luck(seed, "modes"), modes=modes, since=NOW)
    return make(name, Luck(seed, f"link.core.down.{name}"), SETTINGS[name])


def run(line: Pipeline, first: int, last: int) -> list[list[tuple[int, bytes]]]:
    return [line.carry(PACKET + bytes([number % 256]), NOW + number * 7 * MILLISECOND) for number in range(first, last)]


def log_hash(seed: int = 5, count: int = 3_000) -> str:
    """Everything that comes out of all the models in a row, and when."""
    line = Pipeline([made(name, seed) for name in ("modes", *SETTINGS)])
    digest = blake2b(digest_size=16)
    for fate in run(line, 0, count):
        digest.update(repr(fate).encode())
    return digest.hexdigest()


def test_the_same_seed_is_the_same_log_in_every_run_and_process() -> None:
    """Three runs, one of them in a process with another hash seed; another seed is another log."""
    here = log_hash()
    assert log_hash() == here
    assert log_hash(seed=6) != here
    told = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {__file__.rpartition('/')[0]!r}); "
         "import test_keyed; print(test_keyed.log_hash())"],
        capture_output=True, text=True, check=True, timeout=120, env={"PYTHONHASHSEED": "77"},
    ).stdout  # fmt: skip
    assert told.strip() == here


@pytest.mark.parametrize("name", [*SETTINGS, "modes"])
def test_a_model_goes_on_from_its_snapshot(name: str) -> None:
    """Half a run, the rest once here and once in another one that was restored; the snapshot stays what it was."""
    line, other = Pipeline([made(name)]), Pipeline([made(name)])
    run(line, 0, 300)
    state = line.snapshot()
    rest = run(line, 300, 600)
    for _ in range(2):
        other.restore(state)
        assert run(other, 300, 600) == rest


@pytest.mark.parametrize("name", RANDOM)
def test_a_neighbour_that_loses_packets_moves_no_luck(name: str) -> None:
    """What survives an independent loss before it meets the same fate as without that loss."""
    alone = run(Pipeline([made(name)]), 0, 2_000)
    loss = make("loss", Luck(5, "neighbour"), {"probability": 0.3, "correlation": 0})
    beside = run(Pipeline([loss, made(name)]), 0, 2_000)
    lost = [bool(fate) for fate in run(Pipeline([make("loss", Luck(5, "neighbour"), {"probability": 0.3,
                                                      "correlation": 0})]), 0, 2_000)]  # fmt: skip
    assert 500 < lost.count(False) < 700
    compare: Callable[[Any], Any] = (lambda fate: fate) if name != "reorder" else bool
    for single, both, survives in zip(alone, beside, lost, strict=True):
        assert compare(both) == (compare(single) if survives else compare([]))


@pytest.mark.parametrize("name", ["loss", "burst-loss", "markov-loss", "corrupt", "delay"])
def test_a_neighbour_that_doubles_packets_moves_no_luck_of_the_first(name: str) -> None:
    """The copies have luck of their own, or share their packet's; the packets themselves fare as they did."""
    alone = run(Pipeline([made(name)]), 0, 1_000)
    twice = make("duplicate", Luck(5, "neighbour"), {"probability": 0.5, "copies": 1, "lag_ms": 0})
    beside = run(Pipeline([twice, made(name)]), 0, 1_000)
    for single, both in zip(alone, beside, strict=True):
        assert all(each in both for each in single)
        assert len(both) <= len(single) + 1


def test_copies_may_part() -> None:
    """With independent loss behind a duplicator one of two may survive."""
    twice = make("duplicate", Luck(5, "twice"), {"probability": 1.0, "copies": 1, "lag_ms": 0})
    loss = make("loss", Luck(5, "loss"), {"probability": 0.5, "correlation": 0})
    left = [len(fate) for fate in run(Pipeline([twice, loss]), 0, 1_000)]
    assert min(left.count(each) for each in (0, 1, 2)) > 180
