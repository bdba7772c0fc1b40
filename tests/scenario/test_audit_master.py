"""The audit asked for the master key, too: it finds what reads cannot show, and believes whoever is sound."""

from typing import Any

import msgspec
import pytest

from emulator.dcc.verdict import Verdict
from emulator.errors import InputError
from emulator.scenario import reading, run_scenario
from emulator.scenario.report import Report

LOST = 28
"""Of `itron-outage` under seed 4: its electricity meter loses the master key after that was proven."""


def outage(*, audit_master: bool) -> Report:
    """That home's migration, and the oracle's word on it."""
    document: dict[str, Any] = msgspec.to_builtins(reading.read("itron-outage").scenario)
    campaign = document["campaigns"][0]
    return run_scenario(
        {
            **document,
            "estate": {**document["estate"], "only": [LOST]},
            "campaigns": [{**campaign, "settings": {**campaign["settings"], "audit_master": audit_master}}],
            "checks": [{"check": "oracle", "homes": [LOST], "reads_only": 1, "healthy": 2, "agrees": False}],
            "healing": None,
        },
        seed=4,
    )


def test_a_master_key_lost_after_its_proof_is_found_only_when_asked_for() -> None:
    """The home is migrated either way; by default its audit agrees, with the setting it does not, and says why."""
    for asked in (False, True):
        report = outage(audit_master=asked)
        end = report.facts.end.homes[LOST]
        assert end.verdict is Verdict.MIGRATED
        assert end.audited is not asked
        assert report.facts.end.noted("audit.master-lost") == (1 if asked else 0)
        assert report.facts.end.noted("audit.astray") == 0
        assert report.signatures == ({"standing ledger-balances"} if asked else frozenset())


@pytest.mark.parametrize("combination", ["own", "itron-dual"])
def test_sound_homes_pass_and_stay_sound(combination: str) -> None:
    """Every device takes the keys it has once more, those included that write in the background; then all are healthy
    and their keys can be changed again."""
    estate: dict[str, Any] = {"source": "thousand", "installations": 4, "conditions": False}
    if combination != "own":
        attached = msgspec.to_builtins(reading.read("itron-outage").scenario.estate.attach[0])
        estate["attach"] = [{**attached, "share": 0.99}]
    report = run_scenario(
        {
            "name": "sound",
            "estate": estate,
            "campaigns": [{"kind": "migrate", "settings": {"audit_master": True}}, {"kind": "rotate"}],
            "checks": [
                {"check": "verdicts", "migrated": 4, "audited": 4},
                {"check": "notes", "kind": "audit.master-lost", "count": 0},
                {"check": "oracle", "recoverable": 0, "reads_only": 0, "unrecoverable": 0},
                {"check": "requested", "failed": 0},
            ],
        }
    )
    assert report.passed, "\n".join(map(str, report.failures))


def test_a_key_that_nobody_can_make_any_more_is_found() -> None:
    """A keeper forgot its share of the master key after it was told that it is live: every device reads, none can be
    given keys."""
    report = run_scenario(
        {
            "name": "forgotten",
            "estate": {"source": "thousand", "installations": 2, "conditions": False},
            "campaigns": [{"kind": "migrate", "settings": {"audit_master": True}}],
            "faults": [
                {
                    "fault": "dco-forgets",
                    "installation": 1,
                    "device": "electricity",
                    "keys": "master",
                    "when": "promoted",
                }
            ],
        }
    )
    assert report.facts.end.homes[0].audited is True
    assert report.facts.end.homes[1].audited is False
    assert report.facts.end.noted("audit.master-lost") == 1


def test_who_may_not_ask_finds_nothing() -> None:
    """The DCO countersigns no transfer of keys on the day of the audit: it is tried again to no end, and no device is
    blamed."""
    report = run_scenario(
        {
            "name": "unsigned",
            "estate": {"source": "thousand", "installations": 2, "conditions": False},
            "campaigns": [{"kind": "migrate", "attempts": 2, "settings": {"audit_master": True}}],
            "faults": [{"fault": "dco-refuses", "service": "keys", "after_s": 86_400}],
        }
    )
    assert report.facts.end.noted("audit.no-answer") == 4
    assert report.facts.end.noted("audit.master-lost") == 0
    assert {end.audited for end in report.facts.end.homes.values()} == {False}


def test_its_value_is_checked() -> None:
    with pytest.raises(InputError, match="audit_master"):
        run_scenario({"name": "wrong", "campaigns": [{"kind": "migrate", "settings": {"audit_master": "perhaps"}}]})
