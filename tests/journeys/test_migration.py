"""A whole campaign: every condition shows as what it is, and the three witnesses notice every lie."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journey_kit import (
    audit,
    expected,
    holds_data,
    holds_master,
    lines,
    migrate,
    open_campaign,
    with_habits,
)

from emulator.cli import main
from emulator.codecs.axdr import array
from emulator.codecs.get import AttributeRef
from emulator.dcc.cell_campaign import CellCampaign
from emulator.dcc.takeover import Takeover, TakeoverSettings
from emulator.dcc.verdict import CAUSE_CODES, CAUSES, Verdict
from emulator.dlms.cosem import obis
from emulator.fleet import tariffs
from emulator.fleet.installation import COUNTER_MAX
from emulator.headend.keeper import Hierarchy, Stage
from emulator.headend.recovery import associate
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, MINUTE
from emulator.resources import fixture

CONDITIONS = {
    "MF1:no-master-key", "MF2:no-wan", "MF3:wan-lost", "MF5:GT01", "MF9:unknown-device", "MF9:mpxn-mismatch",
    "MF9:not-on-epcl", "MF9:inventory-conflict", "MF10:wrong-key", "MF10:counter", "MF10:firmware",
    "MF10:configuration",
}  # fmt: skip
FIVE_TERMINAL = (1, 6, 15)  # homes of the demo street with auxiliary switches and nothing wrong
DUAL = 0


# Verdicts


@pytest.mark.parametrize(
    ("estate", "installations", "seed"),
    [("demo-street", None, 1), ("demo-street", None, 8), ("thousand", 90, 1), ("thousand", 90, 23)],
)
def test_every_home_ends_as_what_it_is(estate: str, installations: int | None, seed: int) -> None:
    """The ledger, drawn from papers and answers alone, equals the truth that nobody told it, home by home."""
    campaign = open_campaign(estate, installations=installations, seed=seed)
    sums = audit(campaign, migrate(campaign))
    found = {}
    for entry in lines(campaign):
        home = campaign.cell.estate.installation(entry.installation)
        assert (entry.verdict, entry.cause) == expected(home), home
        found[entry.cause] = found.get(entry.cause, 0) + 1
        assert entry.audited == (entry.verdict is Verdict.MIGRATED)
        assert entry.started
        assert entry.finished >= entry.started
    assert {cause for cause in found if cause} == CONDITIONS
    assert sums.by_cause == {cause: found[cause] for cause in CAUSES if cause and cause in found}
    assert (sums.audited, sums.astray, sums.pending) == (sums.migrated, 0, 0)
    log = campaign.cell.chain.log
    assert campaign.cell.desk.exchanges == log.exchanges > 0


@pytest.mark.parametrize("combination", ["elster-electricity", "elster-dual"])
def test_a_home_that_loses_its_wan_loses_it_in_the_middle(tmp_path: Path, combination: str) -> None:
    """However fast a home is, the loss comes after the hub was heard and before everything is done."""
    text = Path(str(fixture("estates/demo-street.toml"))).read_text("utf-8")
    text = text[: text.index("[[homes]]")].replace("active = 12", "active = 60").replace("dormant = 4", "dormant = 0")
    homes = f'[[homes]]\ncombination = "{combination}"\ncondition = "MF3:wan-lost"\n' * 60
    file = tmp_path / "lost.toml"
    file.write_text(text + homes, "utf-8")
    campaign = open_campaign(str(file))
    assert not audit(campaign, migrate(campaign)).migrated
    rotated = 0
    for entry in lines(campaign):
        assert (entry.verdict, entry.cause, entry.attempts) == (Verdict.FAILED, "MF3:wan-lost", 5)
        hub = campaign.keyring.keeper.custody(entry.installation, Party.HUB, Hierarchy.DATA)
        meter = campaign.keyring.keeper.custody(entry.installation, Party.ELECTRICITY, Hierarchy.DATA)
        rotated += hub.live > 0 or meter.live > 0 or meter.candidate > 0
    assert sum(entry.exchanges > 0 for entry in lines(campaign)) > 50
    if combination == "elster-electricity":
        assert rotated > 5  # some are caught while their keys change


def test_who_is_refused_on_paper_is_never_called(monkeypatch: pytest.MonkeyPatch, tap: Any) -> None:
    """MF1 and MF9 end before a single frame or short message goes out; MF2 hears short messages sent and no answer."""
    campaign = open_campaign()
    migrate(campaign)
    called = {seen.installation for seen in tap.seen}
    for entry in lines(campaign):
        family = entry.cause.partition(":")[0]
        if family in ("MF1", "MF9"):
            assert entry.installation not in called
            assert (entry.attempts, entry.exchanges) == (1, 0)
        elif family == "MF2":
            ways = [seen.way for seen in tap.seen if seen.installation == entry.installation]
            assert set(ways) == {"sms"}
            assert (entry.attempts, entry.exchanges) == (5, 0)
        else:
            assert entry.exchanges > 0


def test_what_cannot_come_right_is_tried_five_times() -> None:
    """Five attempts for what might come right; one for the rest."""
    campaign = open_campaign()
    migrate(campaign)
    for entry in lines(campaign):
        hopeful = entry.cause.partition(":")[0] in ("MF2", "MF3", "MF10")
        assert entry.attempts == (5 if hopeful else 1), entry


def test_after_a_campaign_no_key_is_astray() -> None:
    """Migrated: exactly the new keys. Failed: every key in the devices is one the keeper can still make."""
    campaign = open_campaign("thousand", installations=60, seed=4)
    migrate(campaign)
    estate, cell = campaign.cell.estate, campaign.cell
    changed = 0
    for entry in lines(campaign):
        home = estate.installation(entry.installation)
        record = estate.smso(home)
        migrated = entry.verdict is Verdict.MIGRATED
        for target in campaign.keyring.targets(record):
            index = cell.context(home.number, target.party)
            if not cell.store.loaded(index):
                assert not target.custody.touched
                continue
            data, master = target.custody.data.custody, target.custody.master.custody
            lost_gas = entry.cause == "MF5:GT01" and target.party is Party.GAS
            if migrated and not lost_gas:
                assert (data.stage, master.stage) == (Stage.HELD, Stage.HELD)
                assert data.live >= 1
                assert master.live >= 1
                assert not holds_data(cell.store, index, target.custody.handed_over)
            if home.condition is not None and home.condition.detail == "wrong-key":
                continue  # what stands in this meter nobody ever had
            pairs = {data.live, data.candidate or data.live}
            assert any(holds_data(cell.store, index, target.custody.data_keys(each)) for each in pairs)
            if target.custody.handed_over.kek is not None:
                masters = {master.live, master.candidate or master.live}
                assert any(holds_master(cell.store, index, target.custody.master_key(each)) for each in masters)
            changed += data.live
    assert changed > 60


# Lies


def plant(monkeypatch: pytest.MonkeyPatch, lie: Callable[[CellCampaign], None]) -> None:
    """Let something happen between the campaign and its audit."""
    told: list[bool] = []
    true = CellCampaign.audit_day

    def audit_day(self: CellCampaign, number: int) -> int:
        if not told:
            told.append(True)
            lie(self)
        return true(self, number)

    monkeypatch.setattr(CellCampaign, "audit_day", audit_day)


def other_keys(campaign: CellCampaign) -> None:
    """Somebody changed a meter's encryption key behind the ledger's back."""
    cell = campaign.cell
    cell.store.install(cell.context(DUAL, Party.ELECTRICITY), ek=b"?" * 16)


def old_keys(campaign: CellCampaign) -> None:
    """A hub went back to the keys of its old operator."""
    cell = campaign.cell
    keys = cell.estate.keys(cell.estate.installation(DUAL), Party.HUB)
    cell.store.install(cell.context(DUAL, Party.HUB), ek=keys.ek, ak=keys.ak)


def wrong_belief(campaign: CellCampaign) -> None:
    """The keeper believes in a generation that the gas meter does not hold."""
    custody = campaign.keyring.keeper.custody(DUAL, Party.GAS, Hierarchy.DATA)
    custody.record()
    custody.promote()


def false_verdict(campaign: CellCampaign) -> None:
    """The ledger calls a home migrated whose meter was never re-keyed."""
    rows = campaign.cell.rows
    home = next(entry.installation for entry in lines(campaign) if entry.cause == "MF10:firmware")
    rows.finish(home, Verdict.MIGRATED, CAUSE_CODES[""], 0, 1)


def forgotten_end(campaign: CellCampaign) -> None:
    """A home has no verdict after all."""
    campaign.cell.rows.finish(DUAL, Verdict.PENDING, CAUSE_CODES[""], 0, 1)


def invented_exchange(campaign: CellCampaign) -> None:
    """The head end counts one exchange nobody had."""
    campaign.cell.desk.exchanges += 1


def lost_hub(campaign: CellCampaign) -> None:
    """A hub is out of coverage for good, so the audit never hears it."""
    from emulator.link.air import UNCOVERED

    campaign.cell.coverages[DUAL] = UNCOVERED


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (other_keys, "the ledger says 5 migrated, the audit confirms 4"),
        (old_keys, "the audit found 1 homes otherwise than the ledger says"),
        (wrong_belief, "the audit found 1 homes otherwise than the ledger says"),
        (false_verdict, "the ledger says 6 migrated, the audit confirms 5"),
        (forgotten_end, "1 installations ended in no verdict"),
        (invented_exchange, "exchanges, the link's delivery log"),
        (lost_hub, "the ledger says 5 migrated, the audit confirms 4"),
    ],
)
def test_a_planted_lie_is_found(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lie: Callable[[CellCampaign], None],
    objection: str,
) -> None:
    """What was changed between campaign and audit makes the witnesses differ: told on stderr, exit code 1."""
    plant(monkeypatch, lie)
    with pytest.raises(SystemExit) as caught:
        main(["migrate", "--estate", "demo-street", "--workers", "1", "--json"])
    told = capsys.readouterr()
    assert caught.value.code == 1
    assert objection in told.err
    assert json.loads(told.out)["agrees"] is False


def test_without_a_lie_nothing_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The counter-proof: the same run with a plant that does nothing agrees."""
    plant(monkeypatch, lambda campaign: None)
    with pytest.raises(SystemExit) as caught:
        main(["migrate", "--estate", "demo-street", "--workers", "1", "--json"])
    assert caught.value.code == 0
    assert capsys.readouterr().err == ""


# Awkward devices


@pytest.mark.parametrize("reaction", ["silence", "close", "plain-exception"])
def test_devices_that_say_nothing_to_old_keys_pass_the_audit(monkeypatch: pytest.MonkeyPatch, reaction: str) -> None:
    """Silence under the old keys and an answer under the new ones is what a silent device's refusal looks like."""
    for model in ("elster_as300p", "elster_hub", "elster_bk_g4", "elster_as300p_5t"):
        with_habits(monkeypatch, model, bad_tag=reaction)
    campaign = open_campaign()
    sums = audit(campaign, migrate(campaign))
    assert (sums.audited, sums.astray, sums.migrated) == (5, 0, 5)


def test_a_device_whose_counter_is_nearly_used_up_is_an_outcome() -> None:
    """Counters that run out in the middle of an attempt end it with its cause, and no run with it."""
    for left in range(1, 12):
        campaign = open_campaign()
        cell = campaign.cell
        cell.machine(DUAL, Party.ELECTRICITY)
        cell.store.set_counters(cell.context(DUAL, Party.ELECTRICITY), rx=COUNTER_MAX - left)
        campaign.day(0, 1)  # the first home alone
        campaign.day(1, 0)
        entry = lines(campaign)[DUAL]
        assert (entry.verdict, entry.cause) == (Verdict.FAILED, "MF10:counter"), left


def test_a_device_that_cannot_answer_any_more_is_an_outcome() -> None:
    """The meter's own send counter is used up: it says so, and the campaign goes on."""
    campaign = open_campaign()
    cell = campaign.cell
    cell.machine(DUAL, Party.ELECTRICITY)
    cell.store.set_counters(cell.context(DUAL, Party.ELECTRICITY), tx=COUNTER_MAX - 3)
    migrate(campaign)
    entry = lines(campaign)[DUAL]
    assert entry.verdict is Verdict.FAILED
    assert entry.cause.startswith("MF10:")


# Five terminals


def test_switches_are_seen_across_a_real_switching_time() -> None:
    """The second look lies after the next switching time of the loaded table, and finds the other state."""
    entries: list[Entry] = []
    closed: dict[tuple[int, str, int], bool] = {}

    def note(entry: Entry) -> None:
        entries.append(entry)
        if entry.kind in ("takeover.tested", "takeover.switches-followed") and entry.installation in FIVE_TERMINAL:
            relays = campaign.cell.machine(entry.installation, Party.ELECTRICITY)
            for switch in range(1, 6):
                closed[entry.installation, entry.kind, switch] = relays.auxiliary(switch, entry.at)

    campaign = open_campaign(sink=note)
    sums = audit(campaign, migrate(campaign))
    assert sums.auxiliary == len(FIVE_TERMINAL)
    margin = TakeoverSettings().switch_margin_us
    for number in FIVE_TERMINAL:
        wiring = campaign.cell.estate.installation(number).wiring
        assert wiring is not None
        table = tariffs.tables()[wiring.tariff]
        own = [entry for entry in entries if entry.installation == number]
        tested = next(e for e in own if e.kind == "takeover.tested" and e.detail[0] == Party.ELECTRICITY)
        rotated = next(e for e in own if e.kind == "rotation.confirmed" and e.detail[0] == Party.ELECTRICITY)
        looked = next(e for e in own if e.kind == "takeover.switches-followed")
        switches, at = looked.detail
        assert switches == wiring.switches
        assert at == table.next_switch(rotated.at)
        assert tested.at < rotated.at < at
        assert at + margin <= looked.at < at + margin + 30 * MINUTE
        assert table.live(tested.at) != table.live(looked.at)
        # and it was a new association, under the new keys, after the switching time
        assert any(e.kind == "dlms.associated" and e.party == Party.ELECTRICITY and at < e.at < looked.at for e in own)
        for switch in range(1, switches + 1):  # the relays themselves have moved
            before, after = (closed[number, kind, switch] for kind in ("takeover.tested", "takeover.switches-followed"))
            assert (before, after) == (table.live(tested.at), table.live(looked.at))


@pytest.mark.parametrize(
    ("starts", "cause"),
    [
        (((0, 1),), "AUX:behaviour"),  # the cheap rate is gone: the heaters stay cold
        (((0, 2),), "AUX:behaviour"),  # always cheap: they never switch off
        (((0, 1), (30 * 60, 2), (7 * 3_600 + 30 * 60, 1)), ""),  # the same table, written again
    ],
)
def test_a_tariff_written_meanwhile_shows_in_the_second_look(
    monkeypatch: pytest.MonkeyPatch, starts: tuple[tuple[int, int], ...], cause: str
) -> None:
    """On SMETS1 the switches follow the tariff: another table moves them, and the home does not count as migrated."""
    from devices.common.tariff import day_type

    true = Takeover._cross_a_switching_time

    def crossing(self: Takeover) -> Any:
        meter = self._meter
        yield from associate(meter.session, meter.custody)
        table = array((day_type(1, starts),))
        yield from meter.session.set(AttributeRef(20, obis("0-0:13.0.0"), 5), table)
        yield from meter.session.close()
        yield from true(self)

    monkeypatch.setattr(Takeover, "_cross_a_switching_time", crossing)
    campaign = open_campaign()
    migrate(campaign)
    entry = lines(campaign)[1]  # economy7: on from 00:30 to 07:30
    assert (entry.verdict, entry.cause) == ((Verdict.FAILED, cause) if cause else (Verdict.MIGRATED, ""))
    assert entry.attempts == (5 if cause else 1)


def test_a_switch_held_by_hand_is_not_as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds a switch across the switching time: the second look says which, and the attempt fails for it."""
    entries: list[Entry] = []
    true = Takeover._cross_a_switching_time
    campaign = open_campaign(sink=entries.append)

    def crossing(self: Takeover) -> Any:
        cell, now = campaign.cell, self._now
        machine = cell.machine(self._record.number, Party.ELECTRICITY)
        from devices.electricity import auxiliary

        auxiliary.hold(machine, 2, machine.auxiliary(2, now), 0, now)
        yield from true(self)

    monkeypatch.setattr(Takeover, "_cross_a_switching_time", crossing)
    migrate(campaign)
    astray = [entry for entry in entries if entry.kind == "takeover.switch-astray" and entry.installation == 1]
    assert astray
    assert astray[0].detail[0] == 2
    assert lines(campaign)[1].verdict is Verdict.FAILED


# The rows afterwards


def test_after_a_campaign_everybody_sleeps_cheaply() -> None:
    """Every home is a row again, nobody is at the desk, and a sleeping installation costs at most one kilobyte."""
    campaign = open_campaign("thousand", installations=90, seed=2)
    day = migrate(campaign)
    campaign.cell.world.run_until(campaign.cell.estate.start + (day + 1) * DAY)
    cell = campaign.cell
    assert (cell.awake, cell.world.awake(), cell.desk.open_conversations) == (0, 0, 0)
    audit(campaign, day + 1)
    cell.world.run_until(cell.world.now + DAY)
    assert (cell.awake, cell.world.awake(), cell.desk.open_conversations) == (0, 0, 0)
    each = cell.rows.bytes_per_row() + campaign.keyring.bytes_per_home() + cell.context_bytes()
    assert each <= 1_024
    assert not cell._homes
    assert not cell._links
