"""The oracle at the end of a campaign: it agrees with ledger and machines, and says where anybody does not."""

import pickle
from typing import Any

import pytest

from emulator.dcc.cell_campaign import CampaignSettings, CellCampaign
from emulator.dcc.verdict import CAUSE_CODES, Verdict
from emulator.faults.counters import CounterNearMaximum
from emulator.faults.keeper import DcoForgets
from emulator.faults.keys import HalfAppliedKeys, KeyChangeAnswerLost, PolicyRaised, WrongMasterKey
from emulator.fleet.estate import open_estate
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile
from emulator.oracle import audit
from emulator.oracle.audit import Examination, examine
from emulator.oracle.verdict import Class

FAULTS = (
    KeyChangeAnswerLost(share=0.2, times=1),
    HalfAppliedKeys(share=0.1, times=1),
    WrongMasterKey(share=0.1),
    CounterNearMaximum(share=0.1, left=6),
    PolicyRaised(share=0.1),
    DcoForgets(share=0.1, keys="master", when="promoted", times=1),
)


def migrated(installations: int, faults: tuple[Any, ...] = (), estate: str = "thousand") -> CellCampaign:
    """A cell's campaign, run to its end."""
    made = open_estate(estate, None, installations)
    campaign = CellCampaign(
        made, 0, CampaignSettings(), link="plain", profile=LinkProfile(), air=AirProfile(), faults=faults
    )
    for day in range(10):
        report = campaign.day(day, installations)
        if not report.waiting and not report.open:
            return campaign
    raise AssertionError("the campaign did not end")


@pytest.fixture(scope="module")
def troubled() -> CellCampaign:
    """Sixty homes with every kind of trouble of keys."""
    return migrated(60, FAULTS)


def test_all_agree_and_nothing_changes(troubled: CellCampaign) -> None:
    """Every class occurs, all three agree, and looking leaves the cell as it was."""
    before = troubled.cell.digest()
    found = examine(troubled, seed=1, sample=60)
    assert found.agrees, found.exceptions
    assert found.homes == 60
    assert found.devices == found.searched == sum(found.classes.values())
    assert {Class.HEALTHY, Class.READS_ONLY, Class.UNRECOVERABLE} <= set(found.classes)
    assert {"R1", "R5", "R7", "R8"} <= set(found.rows)
    assert found.driven > found.searched
    assert found.latent, "a keeper lost what was proven before"
    assert troubled.cell.digest() == before
    assert "all agree" in found.told()
    assert examine(troubled, seed=1, sample=60) == found


def test_homes_lost_for_their_keys_are_always_looked_at(troubled: CellCampaign) -> None:
    """However small the sample."""
    rows = troubled.cell.rows
    causes = {CAUSE_CODES[cause] for cause in audit.NOT_HEALTHY | audit.GIVEN_UP}
    lost = sum(rows.value(home, "cause") in causes for home in troubled.cell.members)
    assert lost
    assert examine(troubled, seed=1, sample=0).homes == lost


def test_a_sample_is_keyed(troubled: CellCampaign) -> None:
    """The same homes for the same seed, others for another."""
    assert examine(troubled, 1, 10).ledger == examine(troubled, 1, 10).ledger
    assert examine(troubled, 1, 10).homes == examine(troubled, 2, 10).homes


def test_a_wrong_ledger_is_found_out() -> None:
    """A healthy home written down as lost, and a lost one as migrated, are both told."""
    campaign = migrated(12, (WrongMasterKey(installation=2, device="electricity"),))
    rows = campaign.cell.rows
    assert examine(campaign, 1, 12).agrees
    well = next(home for home in campaign.cell.members if rows.value(home, "verdict") == Verdict.MIGRATED)
    assert rows.value(2, "verdict") != Verdict.MIGRATED
    rows.finish(well, Verdict.UNRECOVERABLE, CAUSE_CODES["MF13:keys-lost"], 0, 1)
    rows.finish(2, Verdict.MIGRATED, CAUSE_CODES[""], 0, 1)
    found = examine(campaign, 1, 12)
    assert found.disagreements == 2
    assert not found.agrees
    assert not found.machine_exceptions
    assert f"installation {well} unrecoverable (MF13:keys-lost): no device is beyond help" in "\n".join(
        found.exceptions
    )
    assert "installation 2 migrated (): its electricity is reads-only" in "\n".join(found.exceptions)


def test_a_wrong_oracle_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An oracle that gives up what can be healed, or promises what cannot, is contradicted by the machines."""
    from emulator.oracle import observe
    from emulator.oracle.search import Found, search

    campaign = migrated(3)
    lost = Found(None, None, False, 1)

    def gloomy(state: Any, habits: Any) -> Found:
        return lost if state.agrees() else search(state, habits)

    monkeypatch.setattr(observe, "search", gloomy)
    found = examine(campaign, 1, 3)
    assert found.classes[Class.UNRECOVERABLE] == len(found.machine_exceptions) > 0
    assert "0 commands heal it" in found.machine_exceptions[0]

    campaign = migrated(3, (WrongMasterKey(installation=0, device="electricity"),))
    monkeypatch.setattr(observe, "search", lambda state, habits: Found((), (), True, 1))
    found = examine(campaign, 1, 3)
    assert "probe-master is refused" in "\n".join(found.machine_exceptions)


def test_examinations_add_up(troubled: CellCampaign) -> None:
    """They can be sent between processes and summed."""
    one = examine(troubled, 1, 5)
    both = Examination()
    for each in (one, pickle.loads(pickle.dumps(one))):
        both.add(each)
    assert both.homes == 2 * one.homes
    assert both.classes == one.classes + one.classes
    assert both.ledger.total() == both.homes
    assert both.exceptions == one.exceptions * 2
