"""The same file on a served estate: injected, migrated, cleared and checked over HTTP."""

from pathlib import Path
from typing import Any

import pytest

from emulator.errors import InputError
from emulator.scenario import reading, run_scenario
from emulator.served.scenario import run_live, skipped, unfit

STREET: dict[str, Any] = {"source": "thousand", "installations": 6, "conditions": False}


def test_trouble_and_healing_live(tmp_path: Path) -> None:
    """A wrong key, lost answers, new keys, a request and a power cut: the same verdicts as in virtual time."""
    document = {
        "name": "both-ways",
        "estate": STREET,
        "campaigns": [
            {"kind": "migrate"},
            {"kind": "rotate", "homes": [1, 2]},
            {
                "kind": "requests",
                "wishes": [
                    {"home": 0, "request": "7.4"},
                    {"home": 0, "command": "power-cut", "arguments": {"seconds": 60}, "after_s": 30_000},
                    {"home": 3, "request": "7.5", "arguments": {"switch": 1}, "after_s": 30_100},
                ],
            },
        ],
        "faults": [
            {"fault": "forced-wrong-key", "installation": 4, "device": "electricity"},
            {"fault": "key-change-answer-lost", "times": 1, "share": 0.5},
        ],
        "checks": [
            {"check": "verdicts", "migrated": 5, "failed": 1},
            {"check": "verdicts", "at": "end", "migrated": 6},
            {"check": "notes", "kind": "request.ended", "count": 2},
            {"check": "oracle"},
        ],
        "healing": {},
    }
    read = reading.convert(document)
    live = run_live(read, folder=tmp_path)
    assert live.passed, "\n".join(map(str, live.failures))
    assert live.live
    assert live.skipped == ["checks[3] (oracle)"]
    virtual = run_scenario(document)
    assert virtual.passed, virtual.failures
    assert live.verdicts == virtual.verdicts
    assert live.facts.trouble.verdicts() == virtual.facts.trouble.verdicts()
    assert set(live.fired) == set(virtual.fired)
    assert live.facts.end.done == virtual.facts.end.done
    assert [each.check for each in live.facts.end.failed] == ["7.5"]


def test_a_fault_that_never_strikes_fails_live_too(tmp_path: Path) -> None:
    report = run_live(reading.read(Path(__file__).parent / "fault-never-fired.toml"), folder=tmp_path)
    assert report.signatures == {"quiet half-applied-keys"}


def test_what_a_served_estate_cannot_be_asked_is_refused_before_it_starts(tmp_path: Path) -> None:
    read = reading.read("itron-outage")
    assert unfit(read) == ["campaigns[0].settings: custody, patience cannot be chosen"]
    with pytest.raises(InputError, match="only in virtual time"):
        run_live(read, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    assert skipped(reading.read("master-key-lost")) == ["checks[1] (oracle)", "healing.oracle"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half-applied-keys", "answer-lost", "master-key-lost", "two-head-ends", "sms-storm"])
def test_what_ships_passes_live(name: str, tmp_path: Path) -> None:
    report = run_live(reading.read(name), folder=tmp_path)
    assert report.passed, "\n".join(map(str, report.failures))
