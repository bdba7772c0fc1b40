"""The same file on a served estate: injected, migrated, cleared and checked over HTTP."""

from datetime import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emulator.errors import InputError
from emulator.scenario import reading, run_scenario
from emulator.scenario.scenario import Harm, Oracle
from emulator.served.scenario import run_live, unfit

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
    virtual = run_scenario(document)
    assert virtual.passed, virtual.failures
    assert live.verdicts == virtual.verdicts
    assert live.facts.trouble.verdicts() == virtual.facts.trouble.verdicts()
    assert set(live.fired) == set(virtual.fired)
    assert live.facts.end.done == virtual.facts.end.done
    assert [each.check for each in live.facts.end.failed] == ["7.5"]
    assert live.facts.trouble.oracle == virtual.facts.trouble.oracle
    assert len(live.facts.trouble.oracle) >= 6


def test_healing_by_the_oracle_live(tmp_path: Path) -> None:
    """What a patient head end would settle at its next attempt anyway is healed before that, by the oracle's commands
    over the air; what nobody can heal is exempt, and the oracle says so."""
    document = {
        "name": "cured",
        "estate": STREET,
        "campaigns": [{"kind": "migrate", "attempts": 1}],
        "faults": [
            {"fault": "wrong-master-key", "installation": 2, "device": "electricity"},
            {"fault": "key-change-answer-lost", "keys": "kek", "times": 1, "installation": 4, "device": "electricity"},
        ],
        "checks": [
            {"check": "oracle", "homes": [1, 2, 4], "recoverable": 1, "reads_only": 1, "unrecoverable": 0},
            {"check": "oracle", "at": "end", "homes": [1, 2, 4], "recoverable": 0, "reads_only": 1},
            {"check": "notes", "at": "end", "kind": "oracle.healed", "count": 1},
            {"check": "requested", "at": "end", "done": 0, "failed": 0},
            {"check": "standing", "name": "no-violation", "on": False},  # given up unproven, until the healing
        ],
        "healing": {"oracle": True, "exempt": [{"homes": [2], "most": 1}]},
    }
    live = run_live(reading.convert(document), folder=tmp_path)
    assert live.passed, "\n".join(map(str, live.failures))
    virtual = run_scenario(document)
    assert virtual.passed, virtual.failures
    assert live.facts.end.verdicts() == virtual.facts.end.verdicts()
    assert live.facts.end.oracle == virtual.facts.end.oracle


def test_the_oracle_and_the_heating_can_fail_a_live_run(tmp_path: Path) -> None:
    """Homes that stay cold after a migration to another table; nobody's keys are the worse for it. With no healing the
    end is as the trouble left it, and is looked at all the same."""
    read = reading.read("cold-evening")
    checks = (*read.scenario.checks, Harm(at="end", cold=0), Oracle(at="end", healthy=0))
    document = msgspec.structs.replace(read.scenario, checks=checks)
    live = run_live(reading.convert(msgspec.to_builtins(document)), folder=tmp_path)
    assert live.signatures == {"harm cold: too many", "oracle healthy: too many"}


def test_the_link_dies_and_is_cut_over_live(tmp_path: Path) -> None:
    """A gateway's deaths and a cut-over, all so long after the beginning of a campaign, over links whose settings the
    scenario chose: packets are lost by the deaths alone, and the same homes end as in virtual time."""
    document: dict[str, Any] = {
        "name": "both-links",
        "estate": STREET,
        "link": {
            "kind": "ipsec",
            "core": {"outages_per_day": 0.0, "esp": "aes256gcm16-esn"},
            "air": {"loss": 0.0},
            "peer_deaths": [{"campaign": 1, "at": time(6, 0, at), "restart_s": 3} for at in (13, 24, 35)],
            "cut_over": {"campaign": 1, "at": time(6, 0, 50)},
        },
        "campaigns": [{"kind": "migrate"}, {"kind": "rotate", "open_s": 60}],
        "checks": [
            {"check": "verdicts", "migrated": 6},
            {"check": "requested", "failed": 0},
            {"check": "notes", "kind": "link.lost.outage", "count": [1, 100]},
            {"check": "notes", "kind": "link.refused", "count": 0},
        ],
    }
    live = run_live(reading.convert(document), folder=tmp_path)
    assert live.passed, "\n".join(map(str, live.failures))
    virtual = run_scenario(document)
    assert virtual.passed, virtual.failures
    assert live.verdicts == virtual.verdicts


def test_a_fault_that_never_strikes_fails_live_too(tmp_path: Path) -> None:
    report = run_live(reading.read(Path(__file__).parent / "fault-never-fired.toml"), folder=tmp_path)
    assert report.signatures == {"quiet half-applied-keys"}


def test_what_a_served_estate_cannot_be_asked_is_refused_before_it_starts(tmp_path: Path) -> None:
    read = reading.read("itron-outage")
    assert unfit(read) == ["campaigns[0].settings: custody, patience cannot be chosen"]
    with pytest.raises(InputError, match="only in virtual time"):
        run_live(read, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("half-applied-keys", "answer-lost", "cold-street", "master-key-lost", "two-head-ends", "sms-storm"),
        *("six-seconds", "six-seconds-in-rotation", "six-seconds-peer-death", "gateways-die-in-rotation", "cut-over"),
    ],
)
def test_what_ships_passes_live(name: str, tmp_path: Path) -> None:
    report = run_live(reading.read(name), folder=tmp_path)
    assert report.passed, "\n".join(map(str, report.failures))
