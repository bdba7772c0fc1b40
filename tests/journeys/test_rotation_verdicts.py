"""What a campaign makes of keepers that fail: the verdict comes from what was truly tried, and so does its cause."""

from typing import Any

import pytest
from journey_kit import CALM, Line, lines, migrate, with_habits

from emulator.dcc.casework import CampaignSettings
from emulator.dcc.cell_campaign import CellCampaign
from emulator.dcc.verdict import Verdict
from emulator.faults import catalogue
from emulator.fleet.estate import open_estate
from emulator.headend.policy import CustodySettings, RotationPolicy
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party
from emulator.link.profile import LinkProfile

HOME = 0
METER = "elster_as300p"


def campaign(
    *faults: tuple[str, dict[str, Any]], custody: CustodySettings | None = None, attempts: int = 3
) -> tuple[CellCampaign, list[Entry]]:
    """A campaign over one home and its neighbours, with faults in force from the start."""
    entries: list[Entry] = []
    opened = CellCampaign(
        open_estate("demo-street", None, None),
        0,
        CampaignSettings(attempts=attempts, custody=custody or CustodySettings()),
        link="plain",
        profile=LinkProfile(),
        air=CALM,
        sink=entries.append,
        faults=[catalogue.make(name, {"installation": HOME, **settings}) for name, settings in faults],
    )
    return opened, entries


def end(
    *faults: tuple[str, dict[str, Any]], custody: CustodySettings | None = None, attempts: int = 3
) -> tuple[Line, list[Line], list[Entry]]:
    """How the struck home ended, and its neighbours."""
    opened, entries = campaign(*faults, custody=custody, attempts=attempts)
    migrate(opened)
    found = lines(opened)
    return found[HOME], found[HOME + 1 :], [entry for entry in entries if entry.installation == HOME]


@pytest.mark.parametrize(
    ("fault", "settings", "verdict", "cause"),
    [
        ("dco-refuses", {}, Verdict.FAILED, "CUSTODY:refused"),
        ("dco-silent", {}, Verdict.FAILED, "CUSTODY:refused"),
        ("dco-refuses", {"times": 2}, Verdict.MIGRATED, ""),
        ("smso-closed", {}, Verdict.FAILED, "MF1:smso-closed"),
        ("dco-forgets", {"device": "electricity", "keys": "data", "when": "acknowledged"}, Verdict.UNRECOVERABLE,
         "MF13:keys-lost"),
        ("s1sp-forgets", {"device": "gas", "keys": "data", "when": "promoted"}, Verdict.UNRECOVERABLE,
         "MF13:keys-lost"),
        ("keeper-restored-from-backup", {"device": "electricity"}, Verdict.UNRECOVERABLE, "MF13:keys-lost"),
        ("keeper-misses-change", {"device": "electricity", "times": 1}, Verdict.MIGRATED, ""),
        ("rival-head-end", {"device": "electricity", "times": 1, "tells": True}, Verdict.MIGRATED, ""),
        ("rival-head-end", {"device": "electricity", "times": 1, "changes": "master"}, Verdict.FAILED,
         "MF1:master-key-refused"),
        ("rival-head-end", {"device": "electricity", "times": 1, "honours_lock": True}, Verdict.MIGRATED, ""),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)  # fmt: skip
def test_the_end_of_a_home_is_the_faults(fault: str, settings: Any, verdict: Verdict, cause: str) -> None:
    """Each ends as its table says, and no neighbour is touched."""
    struck, neighbours, entries = end((fault, settings))
    assert (struck.verdict, struck.cause) == (verdict, cause)
    assert any(entry.kind == "fault.fired" for entry in entries)
    undisturbed = end()[1]
    assert neighbours == undisturbed


def test_a_lost_master_key_is_told_from_lost_keys() -> None:
    """The gas meter works under its new pair and can never be re-keyed. That is found at the next change of its keys,
    which here another device's failure brings about: nobody asks for a master key in between."""
    forgets = ("dco-forgets", {"device": "gas", "keys": "master", "when": "promoted", "times": 1})
    struck, _, entries = end(forgets, ("dco-refuses", {"device": "electricity", "times": 1}))
    assert (struck.verdict, struck.cause) == (Verdict.UNRECOVERABLE, "MF13:master-lost")
    assert any(entry.kind == "takeover.master-refused" and entry.detail[0] == Party.GAS for entry in entries)
    struck, _, _ = end(forgets)
    assert struck.verdict is Verdict.MIGRATED  # and nobody knows, until the day it has to be handed over


def test_a_meter_with_a_foreign_master_key_stays_with_the_old_operator_while_there_is_one() -> None:
    """It works under the keys he handed over. When he is gone nobody is left who reads it."""
    rival = ("rival-head-end", {"device": "electricity", "times": 1, "changes": "master"})
    assert end(rival)[0].verdict is Verdict.FAILED
    struck, _, _ = end(rival, ("smso-closed", {"device": "electricity", "skip": 1}))
    assert (struck.verdict, struck.cause) == (Verdict.UNRECOVERABLE, "MF13:master-lost")


def test_a_device_that_says_nothing_under_lost_keys_is_lost_and_not_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It answers without keys, so that its silence under all of them is its refusal; a lost link is another cause."""
    with_habits(monkeypatch, METER, bad_tag="silence", bad_counter="silence")
    forgets = ("dco-forgets", {"device": "electricity", "keys": "data", "when": "acknowledged"})
    struck, _, entries = end(forgets, attempts=3)
    assert (struck.verdict, struck.cause) == (Verdict.UNRECOVERABLE, "MF13:keys-lost")
    assert any(entry.kind == "takeover.keys-refused" and entry.detail[0] == Party.ELECTRICITY for entry in entries)


@pytest.mark.parametrize(
    "policy", [RotationPolicy(arrays="ek-first", master="last"), RotationPolicy(retry="impatient")], ids=["one", "two"]
)
def test_a_campaign_under_another_policy_ends_as_well(policy: RotationPolicy) -> None:
    """On sound devices and a sound link it makes no difference to how homes end."""
    struck, neighbours, _ = end(custody=CustodySettings(rotation=policy))
    usual, others, _ = end()
    assert [(each.verdict, each.cause) for each in (struck, *neighbours)] == [
        (each.verdict, each.cause) for each in (usual, *others)
    ]


def test_with_the_dco_as_builder_a_campaign_ends_as_well() -> None:
    """Whose belief counts makes no difference while both believe the same."""
    struck, neighbours, _ = end(custody=CustodySettings(builder="dco"))
    usual, others, _ = end()
    assert (struck, neighbours) == (usual, others)
