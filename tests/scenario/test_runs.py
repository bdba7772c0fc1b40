"""Running scenarios in virtual time: those that ship, and what checks, healing and errands come to."""

import json
from pathlib import Path
from typing import Any

import pytest

from emulator.scenario import reading, run_scenario, virtual
from emulator.scenario.report import Report

HERE = Path(__file__).parent
NEVER = HERE / "fault-never-fired.toml"
QUICK = [name for name in reading.names() if reading.read(name).estate().installations <= 1_000]
"""Those that run in seconds: the whole cohort's is a benchmark."""
FEW: dict[str, Any] = {"source": "thousand", "installations": 12, "conditions": False}


def run(**tables: Any) -> Report:
    return run_scenario({"name": "small", "estate": FEW, **tables})


@pytest.mark.parametrize("name", QUICK)
def test_what_ships_passes(name: str) -> None:
    """Every scenario that ships holds, and says its seed and digest."""
    report = virtual.run(reading.read(name))
    assert report.passed, report.told() + "\n" + "\n".join(map(str, report.failures))
    assert f"seed {report.seed}" in report.told()
    assert report.digest in report.told()
    assert json.loads(json.dumps(report.as_object()))["passed"] is True


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_what_ships_passes_under_other_seeds(name: str) -> None:
    read = reading.read(name)
    for seed in range(2, 12):
        report = virtual.run(read, seed)
        assert report.passed, report.told() + "\n" + "\n".join(map(str, report.failures))


def test_all_the_scenarios_are_there() -> None:
    wanted = (
        "master-key-lost half-applied-keys answer-lost two-head-ends dco-silent policy-raised counters-spent "
        "itron-outage cold-evening cold-street sms-storm truncated-gprs six-seconds-in-rotation clean"
    )
    assert set(wanted.split()) <= set(QUICK)


def test_a_fault_that_never_strikes_fails() -> None:
    report = run_scenario(NEVER)
    assert not report.passed
    assert report.signatures == {"quiet half-applied-keys"}
    assert report.fired == {"half-applied-keys": 0}


def test_a_fault_may_be_allowed_to_stay_quiet() -> None:
    fault = {"fault": "half-applied-keys", "installation": 5, "may_stay_quiet": True}
    assert run_scenario(NEVER, faults=[fault]).passed


def test_the_same_seed_gives_the_same_digest_on_any_number_of_workers() -> None:
    """Four cells, faults, errands and a healing: one process or three."""
    document = {
        "name": "cells",
        "estate": {**FEW, "cell": 3},
        "campaigns": [{"kind": "migrate"}, {"kind": "rotate"}],
        "faults": [{"fault": "gprs-loss", "chance": 0.05}, {"fault": "key-change-answer-lost", "times": 1}],
        "checks": [{"check": "oracle"}, {"check": "standing", "name": "no-violation", "on": False}],
        "healing": {},
    }
    reports = [run_scenario(document, workers=workers) for workers in (1, 3)]
    assert len({report.digest for report in reports}) == 1
    assert reports[0].fired == reports[1].fired
    assert reports[0].facts.end.homes == reports[1].facts.end.homes
    assert run_scenario(document, seed=2).digest != reports[0].digest


def test_a_fault_keeps_its_victims_when_others_are_left_out() -> None:
    """Luck is keyed by the number a fault is armed under: alone, and with few homes, it meets the same ones."""
    lossy = {"fault": "sms-lost", "share": 0.4, "times": 1, "number": 7}
    both = run(faults=[{"fault": "slow-attach", "share": 0.5}, lossy])
    alone = run(faults=[lossy])
    assert both.facts.struck[7] == alone.facts.struck[7] != ()
    few = run_scenario({"name": "few", "estate": {**FEW, "only": list(both.facts.struck[7][:1])}, "faults": [lossy]})
    assert few.facts.struck[7] == both.facts.struck[7][:1]


def test_a_home_behaves_the_same_without_its_neighbours() -> None:
    """Verdict, cause and attempts of a home do not depend on who else takes part."""
    faults = [{"fault": "gprs-loss", "chance": 0.1, "may_stay_quiet": True}]
    whole = run(faults=faults).facts.trouble.homes
    for home in (0, 5, 11):
        alone = run_scenario({"name": "alone", "estate": {**FEW, "only": [home]}, "faults": faults})
        assert list(alone.facts.trouble.homes) == [home]
        assert alone.facts.trouble.homes[home] == whole[home]


@pytest.mark.parametrize(
    ("check", "signature"),
    [
        ({"check": "verdicts", "migrated": 11}, "verdicts migrated: too many"),
        ({"check": "verdicts", "migrated": [13, 20]}, "verdicts migrated: too few"),
        ({"check": "verdicts", "failed": 1}, "verdicts failed: too few"),
        ({"check": "verdicts", "homes": [2], "unrecoverable": 1}, "verdicts unrecoverable: too few"),
        ({"check": "verdicts", "cause": "MF3:wan-lost", "failed": 2}, "verdicts failed by MF3:wan-lost: too few"),
        ({"check": "notes", "kind": "takeover.", "count": 0}, "notes takeover.: too many"),
        ({"check": "notes", "kind": "no.such", "count": [1, 2]}, "notes no.such: too few"),
        ({"check": "alerts", "count": 0}, "alerts: too many"),
        ({"check": "requested", "done": 1}, "requested done: too few"),
        ({"check": "oracle", "homes": [1], "unrecoverable": 1}, "oracle unrecoverable: too few"),
        ({"check": "oracle", "homes": [1], "healthy": 0}, "oracle healthy: too many"),
        ({"check": "harm", "cold": 1}, "harm cold: too few"),
        ({"check": "harm", "gained_h": [1, 2]}, "harm gained: too few"),
    ],
)
def test_a_check_that_does_not_hold_fails_alone(check: dict[str, Any], signature: str) -> None:
    """Each kind of check can fail, and says which way."""
    assert run(checks=[check]).signatures == {signature}


def test_a_check_names_the_homes_to_blame() -> None:
    wrong = {"fault": "forced-wrong-key", "installation": 4, "device": "electricity"}
    report = run(faults=[wrong], checks=[{"check": "verdicts", "migrated": 12}])
    assert [each.homes for each in report.failures] == [(4,)]
    assert "home 4" in str(report.failures[0])


def test_first_trouble_then_healing() -> None:
    """A forced wrong key makes a home fail; when the fault ends its own key is back, and the home is migrated."""
    wrong = {"fault": "forced-wrong-key", "installation": 4, "device": "electricity"}
    report = run(faults=[wrong], checks=[{"check": "verdicts", "homes": [4], "failed": 1}], healing={})
    assert report.passed, report.failures
    assert report.verdicts["migrated"] == 12


def test_what_is_kept_in_force_is_not_healed() -> None:
    wrong = {"fault": "forced-wrong-key", "installation": 4, "device": "electricity"}
    report = run(faults=[wrong], healing={"keep": ["forced-wrong-key"]})
    assert report.signatures == {"healing failed MF10:wrong-key"}
    exempt = [{"homes": [4], "verdict": "failed", "cause": "MF10:wrong-key"}]
    assert run(faults=[wrong], healing={"keep": ["forced-wrong-key"], "exempt": exempt}).passed


def test_an_exemption_covers_no_more_than_it_says() -> None:
    wrong = [{"fault": "forced-wrong-key", "installation": home, "device": "electricity"} for home in (4, 6)]
    keep = {"keep": ["forced-wrong-key"]}
    report = run(faults=wrong, healing={**keep, "exempt": [{"verdict": "failed", "most": 1}]})
    assert [each.homes for each in report.failures] == [(6,)]
    assert not run(faults=wrong, healing={**keep, "exempt": [{"homes": [4, 6], "cause": "MF3:wan-lost"}]}).passed


def test_a_fault_may_begin_with_a_later_campaign() -> None:
    """In force from the rotation on it does not touch the migration before."""
    late = {"fault": "key-change-answer-lost", "campaign": 1, "times": 1}
    report = run(campaigns=[{"kind": "migrate"}, {"kind": "rotate", "homes": [1, 2]}], faults=[late])
    assert report.passed, report.failures
    assert report.facts.struck[1] == (1, 2)


def test_wishes_are_carried_out_at_their_times() -> None:
    """A boost by hand, a power cut, a request that succeeds, one that the meter has no switch for, new keys."""
    wishes = [
        {"home": 1, "request": "7.5", "arguments": {"switch": 1, "minutes": 30}},
        {"home": 1, "command": "press-boost", "arguments": {"switch": 2, "minutes": 10}, "after_s": 30_000},
        {"home": 0, "request": "7.5", "arguments": {"switch": 1}},
        {"home": 0, "command": "power-cut", "arguments": {"seconds": 60}, "after_s": 200_000},
        {"home": 0, "request": "rotate-keys", "device": "hub", "after_s": 40_000},
    ]
    report = run_scenario(
        {
            "name": "wishes",
            "estate": {"source": "demo-street", "only": [0, 1], "conditions": False},
            "campaigns": [{"kind": "requests", "wishes": wishes}],
            "checks": [
                {"check": "requested", "done": 4, "failed": 1},
                {"check": "notes", "kind": "request.ended", "count": 2},
            ],
        }
    )
    assert report.passed, report.failures
    (failed,) = report.facts.end.failed
    assert (failed.check, failed.installation) == ("7.5", 0)
    assert "not-offered" in failed.text
    assert report.virtual_s >= 200_000


def test_an_evening_asks_every_switch_of_every_five_terminal_home() -> None:
    estate = {"source": "demo-street", "conditions": False}
    report = run_scenario({"name": "evening", "estate": estate, "campaigns": [{"kind": "evening", "minutes": 45}]})
    opened = reading.convert({"name": "x", "estate": estate}).estate()
    wirings = [opened.installation(number).wiring for number in range(opened.installations)]
    assert report.facts.end.done == sum(wiring.switches for wiring in wirings if wiring is not None) > 4
    assert not report.facts.end.failed


def test_a_damaged_message_does_not_give_a_home_up() -> None:
    """Homes that once were called lost because the right keys were refused in a bent frame, at their last attempt."""
    report = run_scenario("truncated-gprs", seed=2, estate={"only": [25, 26, 33, 36, 39]}, checks=[], healing={})
    assert not report.facts.trouble.verdicts()["unrecoverable"]
    assert report.verdicts["migrated"] == 5


def test_a_core_release_is_chosen_for_requests_too() -> None:
    """Under H1 the S1SP refuses auxiliary load at once; under 1.1 it does not."""
    for release, failed in (({"core_release": "1.0", "hypothesis": "H1"}, 1), ({}, 0)):
        settings = {"takeover": {"auxiliary": release}}
        asked = [{"home": 1, "request": "7.5", "arguments": {"switch": 1, "minutes": 30}}]
        report = run_scenario(
            {
                "name": "release",
                "estate": {"source": "demo-street", "only": [1]},
                "campaigns": [{"kind": "migrate", "settings": settings}, {"kind": "requests", "wishes": asked}],
                "checks": [{"check": "requested", "failed": failed}],
            }
        )
        assert report.passed, report.failures


def test_a_standing_check_can_be_turned_off() -> None:
    """Five attempts in vain leave keys unproven, which the watch writes down; whoever expects that says so."""
    document: dict[str, Any] = {"faults": [{"fault": "rival-head-end", "installation": 3, "times": 1}]}
    assert "standing no-violation" in run(**document).signatures
    off = [{"check": "standing", "name": "no-violation", "on": False}]
    assert run(**document, checks=off).passed
