"""A campaign in bad weather: frames lost everywhere, outages all day. Slower, but nothing is lost for good."""

from typing import Any

import pytest
from journey_kit import audit, expected, holds_data, holds_master, lines, migrate, nonces, open_campaign

from emulator.dcc.verdict import Verdict
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile

ROUGH = LinkProfile(loss=0.08, outages_per_day=60)
WEAK = AirProfile(loss=0.05, sms_loss=0.2)


class Play:
    """The face of a playground that the witnesses look at, over a campaign."""

    def __init__(self, campaign: Any) -> None:
        self.estate = campaign.cell.estate
        self._campaign = campaign

    def cell(self, installation: int) -> Any:
        return self._campaign


class OneHome:
    def __init__(self, installation: Any) -> None:
        self.installation = installation
        self.number = installation.number


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 60))])
def test_no_weather_loses_a_key(tap: Any, seed: int) -> None:
    """Every home that is well is migrated, or at worst given up for want of WAN; all witnesses agree; no counter was
    spent twice; and every key in every device is one the keeper holds."""
    campaign = open_campaign(seed=seed, profile=ROUGH, air=WEAK)
    sums = audit(campaign, migrate(campaign))
    cell, estate = campaign.cell, campaign.cell.estate
    assert cell.desk.exchanges == cell.chain.log.exchanges
    assert cell.chain.log.ways[0].lost > 10
    assert (sums.audited, sums.astray, sums.unrecoverable, sums.pending) == (sums.migrated, 0, 0, 0)
    tried_again = 0
    for entry in lines(campaign):
        home = estate.installation(entry.installation)
        verdict, cause = expected(home)
        assert (entry.verdict, entry.cause) in {(verdict, cause), (Verdict.FAILED, "MF3:wan-lost")}, home
        tried_again += entry.attempts > 1 and verdict is Verdict.MIGRATED
        record = estate.smso(home)
        if home.condition is not None and home.condition.kind in ("MF1", "MF2", "MF9"):
            continue
        for target in campaign.keyring.targets(record):
            index = cell.context(home.number, target.party)
            if home.condition is not None and home.condition.device is target.party:
                continue
            if not cell.store.loaded(index):
                continue
            data, master = target.custody.data.custody, target.custody.master.custody
            pairs = {data.live, data.candidate or data.live}
            assert any(holds_data(cell.store, index, target.custody.data_keys(each)) for each in pairs)
            masters = {master.live, master.candidate or master.live}
            assert any(holds_master(cell.store, index, target.custody.master_key(each)) for each in masters)
        spent = nonces(Play(campaign), OneHome(home), tap.seen)  # type: ignore[arg-type]
        assert spent.again == []
        if home.condition is None:
            assert spent.closed == []
            assert spent.opened
    assert tried_again
