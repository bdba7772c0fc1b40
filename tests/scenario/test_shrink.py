"""Shrinking: a planted trouble among a thousand homes and noise is found, small, the same every time, and runnable."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import InputError
from emulator.scenario import emit, narrowed, reading, run_scenario, shrink
from emulator.scenario.reading import Read

PLANTED = 37
NOISE: list[dict[str, Any]] = [
    {"fault": "slow-attach", "extra_s": 40, "share": 0.05},
    {"fault": "sms-lost", "share": 0.1, "times": 1},
    {"fault": "gprs-duplicate", "share": 0.1, "chance": 0.02},
]
CULPRIT = {"fault": "forced-wrong-key", "installation": PLANTED, "device": "electricity", "may_stay_quiet": True}


def planted(homes: int = 120, home: int = PLANTED, **more: Any) -> Read:
    return reading.convert(
        {
            "name": "planted",
            "estate": {"source": "thousand", "installations": homes, "conditions": False},
            "faults": [*NOISE, {**CULPRIT, "installation": home}],
            "checks": [{"check": "verdicts", "migrated": homes}, {"check": "verdicts", "unrecoverable": 0}],
            "healing": {"exempt": [{"verdict": "failed"}]},
            **more,
        }
    )


@pytest.fixture(scope="module")
def small() -> shrink.Shrunk:
    return shrink.shrink(planted())


def test_one_home_of_many_one_fault_of_four(small: shrink.Shrunk) -> None:
    assert small.homes == (PLANTED,)
    assert [planned.fault.name for planned in small.read.faults] == ["forced-wrong-key"]
    assert small.whole
    assert small.before == (120, 4)
    assert small.read.scenario.healing is None
    assert len(small.read.scenario.checks) == 1
    assert "120 homes and 4 faults to 1 and 1" in small.told()


@pytest.mark.slow
def test_one_home_of_a_thousand() -> None:
    found = shrink.shrink(planted(1_000, 437))
    assert found.homes == (437,)
    assert [planned.fault.name for planned in found.read.faults] == ["forced-wrong-key"]
    assert found.read.faults[0].fault.seconds <= 6 * 3_600
    assert run_scenario(emit.toml(found.read.scenario)).signatures == {found.failure.signature}


def test_the_window_is_no_longer_than_it_has_to_be(small: shrink.Shrunk) -> None:
    """The five attempts lie four hours apart. The key has to be wrong at one of them only, as what is found wrong under
    every attempt but the last is tried again; a run is days long."""
    fault = small.read.faults[0].fault
    assert 0 < fault.seconds <= 6 * 3_600
    report = run_scenario(emit.toml(small.read.scenario))
    assert report.virtual_s >= 2 * 86_400


def test_it_fails_the_same_again(small: shrink.Shrunk) -> None:
    text = emit.toml(small.read.scenario, (small.told(),))
    for _ in range(2):
        report = run_scenario(text)
        assert report.signatures == {small.failure.signature}
        assert report.failures[0].homes == (PLANTED,)


def test_without_the_fault_it_passes(small: shrink.Shrunk) -> None:
    assert run_scenario(emit.toml(small.read.scenario), faults=[]).passed


def test_it_is_deterministic(small: shrink.Shrunk) -> None:
    again = shrink.shrink(planted())
    assert emit.toml(again.read.scenario) == emit.toml(small.read.scenario)
    assert again.runs == small.runs


def test_runs_are_bounded_and_progress_is_told() -> None:
    told: list[str] = []
    found = shrink.shrink(planted(), runs=3, progress=told.append)
    assert found.runs == 3
    assert not found.whole
    assert "stopped before" in found.told()
    assert len(told) == 3
    assert run_scenario(emit.toml(found.read.scenario)).signatures >= {found.failure.signature}


def test_homes_that_are_needed_together_stay() -> None:
    """More than two homes may not fail: three are left, whichever are named first."""
    faults = [{**CULPRIT, "installation": home} for home in (3, 7, 20, 31)]
    checks = [{"check": "verdicts", "failed": [0, 2]}]
    found = shrink.shrink(planted(40, faults=faults, checks=checks, healing={"exempt": [{}]}))
    assert len(found.homes) == 3
    assert set(found.homes) < {3, 7, 20, 31}
    assert len(found.read.faults) == 3


def test_a_home_can_be_aimed_at() -> None:
    faults = [{**CULPRIT, "installation": home} for home in (3, 7)]
    read = planted(20, faults=faults, healing={"exempt": [{}]})
    assert shrink.shrink(read, home=7).homes == (7,)
    with pytest.raises(InputError, match="by home 5"):
        shrink.shrink(read, home=5)


def test_what_does_not_fail_cannot_be_shrunk() -> None:
    with pytest.raises(InputError, match="it does not fail under seed 1"):
        shrink.shrink(planted(8, faults=[], estate={"source": "thousand", "installations": 8, "conditions": False}))


def test_a_fault_that_never_strikes_shrinks_to_one_home() -> None:
    found = shrink.shrink(reading.read(Path(__file__).parent / "fault-never-fired.toml"))
    assert len(found.homes) == 1
    assert found.failure.signature == "quiet half-applied-keys"


def test_campaigns_outages_and_wishes_go_too() -> None:
    """What has nothing to do with the failure is left out: a later campaign, the link's outages, other wishes."""
    wishes = [
        {"home": home, "request": request, "arguments": {"switch": switch, "minutes": 10}, "after_s": 30_000 + home}
        for home, request, switch in ((1, "7.5", 1), (1, "7.5", 2), (0, "7.5", 1))
    ]
    read = reading.convert(
        {
            "name": "wishes",
            "estate": {"source": "demo-street", "only": [0, 1, 4], "conditions": False},
            "link": {
                "outages": [{"at": "06:00:05"}, {"at": "09:00:00", "day": 1}],
                "peer_deaths": [{"at": "06:00:15"}, {"at": "09:00:00", "campaign": 2}],
                "cut_over": {"at": "10:00:00", "campaign": 2},
            },
            "campaigns": [{"kind": "migrate"}, {"kind": "requests", "wishes": wishes}, {"kind": "pass", "days": 3}],
            "checks": [{"check": "requested", "done": [3, 3], "failed": 0}],
        }
    )
    found = shrink.shrink(read, signature="requested failed: too many").read.scenario
    assert found.estate.only == (0,)
    assert found.link.outages == ()
    assert found.link.peer_deaths == ()
    assert found.link.cut_over is None
    (step,) = found.campaigns
    assert [wish.home for wish in step.wishes] == [0]  # type: ignore[union-attr]


def test_counts_shrink_along() -> None:
    """What goes might have been all good: the least falls by as many as went, the most stays."""
    before = planted(100).scenario
    after = narrowed.to_homes(before, range(100), [4, 9, 30])
    check = after.checks[0]
    assert (check.migrated, after.checks[1].unrecoverable) == (3, 0)  # type: ignore[union-attr]
    few = [{"check": "verdicts", "migrated": [3, 5], "homes": [4, 5, 6, 7, 8]}, {"check": "alerts", "count": [50, 90]}]
    ranged = narrowed.to_homes(planted(100, checks=few).scenario, range(100), [4])
    assert ranged.checks[0].migrated == (0, 1)  # type: ignore[union-attr]
    assert ranged.checks[1].count == (0, 90)  # type: ignore[union-attr]
    assert narrowed.to_homes(planted(100, checks=few[:1]).scenario, range(100), [9]).checks == ()


def test_the_emitted_test_fails_while_the_trouble_is_there_and_passes_when_it_is_gone(
    small: shrink.Shrunk, tmp_path: Path
) -> None:
    """Run in a process of its own, with the plugin's own fixtures and nothing else."""
    sick = tmp_path / "test_sick.py"
    sick.write_text(emit.pytest_module(small.read.scenario, small.seed, small.failure.text, (small.told(),)), "utf-8")
    well = tmp_path / "test_well.py"
    cured = narrowed.to_faults(small.read.scenario, [])
    well.write_text(emit.pytest_module(cured, small.seed, small.failure.text), "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "1 failed, 1 passed" in found.stdout
    assert f"(home {PLANTED})" in found.stdout
    assert "digest" in found.stdout


def test_what_waits_for_a_campaign_goes_on_waiting_for_it() -> None:
    """Without the first of three campaigns the others have other numbers, and so has what happens to the link then."""
    scenario = reading.convert(
        {
            "name": "later",
            "link": {
                "kind": "ipsec",
                "peer_deaths": [{"at": "06:00:00", "campaign": 2}, {"at": "06:00:00", "day": 3}],
                "cut_over": {"at": "10:00:00", "campaign": 1},
            },
            "campaigns": [{"kind": "migrate"}, {"kind": "rotate"}, {"kind": "pass", "days": 1}],
        }
    ).scenario
    link = narrowed.without_campaign(scenario, 0).link
    assert [each.campaign for each in link.peer_deaths] == [1, None]
    assert link.cut_over is not None
    assert link.cut_over.campaign == 0
