"""From the meter to the head end: through hub, air and link, ciphered, in order, whoever runs it and whatever else is
going on."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from emulator.codecs.glo import GENERAL_GLO
from emulator.codecs.wrapper import WRAPPER
from emulator.commands import AlertStorm, PowerCut
from emulator.dcc import campaign
from emulator.dcc.casework import CampaignSettings
from emulator.dcc.cell_campaign import CellCampaign
from emulator.dcc.host import HostOptions
from emulator.dcc.ledger import totals
from emulator.dcc.mcc import ControlCentre, Gate, Pacing
from emulator.dcc.verdict import Verdict
from emulator.fleet import alert_causes
from emulator.fleet.estate import Estate, open_estate
from emulator.headend.alert_desk import AlertDesk
from emulator.headend.throttle import AlertRecord
from emulator.kernel.effects import ALERTS
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile
from emulator.resources import fixture
from emulator.shell.live import LiveEstate

CALM = AirProfile(loss=0.0, sms_loss=0.0)
QUIET = LinkProfile(outages_per_day=0.0)


def street(per_day: float | None, seed: int = 1, sink: Any = None) -> CellCampaign:
    """A campaign over the demo street, in weather that loses nothing."""
    settings = CampaignSettings(alerts_per_day=per_day)
    estate = open_estate("demo-street", seed)
    return CellCampaign(estate, 0, settings, link="ipsec", profile=QUIET, air=CALM, sink=sink)


def through(made: CellCampaign) -> int:
    """Run a campaign and its audit; the number of the next day."""
    day = 0
    while True:
        report = made.day(day, 100)
        day += 1
        if not report.waiting and not report.open:
            break
    while made.audit_day(day):
        day += 1
    return day + 1


def desk(made: CellCampaign) -> AlertDesk:
    assert made.alert_desk is not None
    return made.alert_desk


@pytest.fixture(scope="module")
def busy() -> tuple[CellCampaign, list[Entry], list[AlertRecord], int]:
    """A street that alerts all the time (80 a day and home), migrated."""
    entries: list[Entry] = []
    told: list[AlertRecord] = []
    made = street(80.0, sink=entries.append)
    desk(made).sinks.append(told.append)
    return made, entries, told, through(made)


def test_alerts_do_not_disturb_a_campaign(busy: tuple[CellCampaign, list[Entry], list[AlertRecord], int]) -> None:
    """Alerts come in the middle of sessions, rotations and waits, and every home fares as it does in silence."""
    silent = street(0.0)
    through(silent)
    made, entries, _, _ = busy
    here, there = totals(made.cell.rows.columns()), totals(silent.cell.rows.columns())
    for name in ("migrated", "failed", "unrecoverable", "by_cause", "audited", "astray", "auxiliary"):
        assert getattr(here, name) == getattr(there, name), name
    first = {entry.installation: entry.at for entry in reversed(entries) if entry.kind == "hub.awake"}
    ended = {entry.installation: entry.at for entry in entries if entry.kind == "takeover.ended"}
    within = [
        entry
        for entry in entries
        if entry.kind == "device.noticed" and first[entry.installation] < entry.at < ended.get(entry.installation, 0)
    ]
    assert len(within) > 10


def test_what_a_migrated_home_says_arrives_and_is_vouched_for(
    busy: tuple[CellCampaign, list[Entry], list[AlertRecord], int],
) -> None:
    """After its destination was written nothing of a home is lost on a sound link, and all of it is ciphered under the
    home's new keys; before, the old operator has it."""
    made, entries, _, day = busy
    rows = made.cell.rows
    migrated = [home for home in made.cell.members if rows.get(home)["verdict"] == Verdict.MIGRATED]
    assert len(migrated) >= 4
    since = made._estate.start + day * DAY
    made.cell.world.run_until(since)
    made.cell.world.run_until(since + DAY)
    late = [entry for entry in entries if entry.at >= since]
    gas_lost = {home for home in migrated if made._estate.installation(home).condition is not None}
    for home in set(migrated) - gas_lost:
        noticed = sum(entry.installation == home and entry.kind == "device.noticed" for entry in late)
        heard = [entry for entry in late if entry.installation == home and entry.kind == "headend.alert"]
        assert noticed > 40
        assert abs(noticed - len(heard)) <= 3, home  # some are on their way at either end
        titles = {spec.system_title for spec in made._estate.installation(home).devices}
        assert {entry.detail[1] for entry in heard} <= titles
    others = [entry for entry in late if entry.installation not in migrated]
    assert not any(entry.kind == "headend.alert" for entry in others)
    assert any(entry.kind == "link.elsewhere" for entry in others)


def test_counters_keep_order(busy: tuple[CellCampaign, list[Entry], list[AlertRecord], int]) -> None:
    """Answers and alerts of a device share a counter; none arrives behind a later one, or the head end would refuse it
    as a replay. What it refuses at all was sealed before a change of keys and opened after it, or by keys it was never
    given."""
    _, entries, _, _ = busy
    refused = Counter(entry.detail[0] for entry in entries if entry.kind == "headend.alert-refused")
    assert set(refused) <= {"TagError"}
    assert refused["TagError"] < 20
    assert not any(entry.kind == "headend.alert-stranger" for entry in entries)


def test_causes_are_counted_where_they_arrive(
    busy: tuple[CellCampaign, list[Entry], list[AlertRecord], int],
) -> None:
    """By code and by name, and what is told adds up to what was heard."""
    made, _, told, _ = busy
    found = desk(made)
    found.settle(1 << 60)
    assert sum(each.count for each in told) == found.tally.total == sum(found.by_cause().values())
    assert found.vouched == found.tally.total > 200
    assert found.pushes >= 5  # the alerts that were asked for, and the hubs that called back
    assert {each.cause for each in told} <= set(found.causes.names.values())
    for each in told:
        assert each.cause == found.causes.name(each.code)
        assert each.text
    counts = made.alert_counts()
    assert counts["alert.vouched"] == found.tally.total
    assert counts["alert.merged"] == found.throttle.merged > 0
    assert any(each.sequence and each.count > 1 for each in told)
    logged = made.cell.machine(0, Party.ELECTRICITY).log.newest(50)  # type: ignore[attr-defined]
    assert any(name == "power" for name, *_ in logged)


def test_an_alert_wakes_the_hub_by_itself() -> None:
    """No short message is sent, the hub attaches, and the frame goes where the meter's own push setup says, sealed."""
    entries: list[Entry] = []
    made = street(0.0, sink=entries.append)
    cell = made.cell
    cell.alert(alert_causes.read("standard"), 0.0).storm(0x8F57, 400, cell.world.now + HOUR, cell.world.now)
    frames: list[bytes] = []
    wire = cell.wires[Party.HUB, ALERTS]
    carry = wire.carry

    class Watched:
        stages = wire.stages
        hears = None

        def carry(self, stage: int, installation: int, payload: bytes, now: int, number: int) -> Any:
            if stage == 0:
                frames.append(payload)
            return carry(stage, installation, payload, now, number)

        arrive = staticmethod(wire.arrive)

    cell.wires[Party.HUB, ALERTS] = Watched()  # type: ignore[index]
    cell.world.run_until(cell.world.now + 2 * HOUR)
    kinds = Counter(entry.kind for entry in entries)
    assert kinds["device.noticed"] > 300
    assert kinds["hub.attaching"] == kinds["hub.awake"] == kinds["hub.asleep"] >= 16
    assert "hub.sms-counted" not in kinds
    assert cell.awake == 0
    assert cell.world.awake() == 0
    lost = kinds["han.lost"]
    assert len(frames) + lost == kinds["device.noticed"]
    for frame in frames:
        assert frame[:6] == bytes((10, 255, 0, 1)) + (4061).to_bytes(2, "big")
        apdu = WRAPPER.parse(frame[6:]).payload
        assert GENERAL_GLO.parse(apdu).security_control == 0x30
        assert b"power" not in frame


def test_a_home_without_power_says_nothing() -> None:
    """Neither its meter nor its hub, and nothing is kept to be said later."""
    entries: list[Entry] = []
    made = street(0.0, sink=entries.append)
    cell = made.cell
    cell.alert(alert_causes.read("standard"), 0.0)
    now = cell.world.now
    for party in (Party.HUB, Party.ELECTRICITY):
        cell.world.command(0, party, PowerCut(2 * 3_600))
    assert cell.alerts is not None
    cell.alerts.storm(0x8F57, 5_000, now + HOUR, now, installations=[0])
    cell.world.run_until(now + 4 * HOUR)
    kinds = Counter(entry.kind for entry in entries)
    assert kinds["device.dark"] > 200
    assert kinds["device.noticed"] == kinds["hub.attaching"] == 0


# The same, whoever runs it


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """Eight homes in four cells, 30 alerts a day each."""
    text = fixture("estates/thousand.toml").read_text("utf-8").replace("cell = 250", "cell = 2")
    file = tmp_path_factory.mktemp("estate") / "few.toml"
    file.write_text(text + "\n[alerts]\nper_day = 30\n", "utf-8")
    return open_estate(str(file), 3, 8)


def test_the_number_of_workers_changes_nothing(cells: Estate) -> None:
    """One worker or four: the same digest, the same causes, the same days; and the recipe's rate is what asked for
    it."""
    alone = campaign.run(cells, HostOptions(), workers=1)
    shared = campaign.run(cells, HostOptions(), workers=4)
    assert cells.cells == 4
    assert alone.objections == []
    assert (shared.digest, shared.link_digest, shared.counts) == (alone.digest, alone.link_digest, alone.counts)
    assert [day.alerts for day in shared.days] == [day.alerts for day in alone.days]
    assert alone.counts["alert.vouched"] > 100
    assert 0 < alone.counts["alert.raised.tamper-magnet"] < alone.counts["device.noticed"]


def test_time_may_pass_in_any_steps() -> None:
    """In one go or in odd pieces, to the last byte on the link."""
    one, other = street(40.0), street(40.0)
    end = one.cell.world.now + DAY
    one.cell.world.run_until(end)
    while other.cell.world.now < end:
        other.cell.world.run_until(min(end, other.cell.world.now + 17 * MINUTE + 123_457))
    assert one.cell.digest() == other.cell.digest()
    assert one.cell.journal.counts["device.noticed"] > 450


def test_it_does_not_matter_when_a_cell_is_touched(cells: Estate) -> None:
    """A live estate whose cells are all made at once, and one that is asked to alert at noon: the same afternoon."""
    noon = cells.start + DAY // 2
    heard: list[list[tuple[int, int, int, Any]]] = []
    for begin in (cells.start, noon):
        live = LiveEstate(cells)
        seen: list[Entry] = []
        live.subscribe(seen.append)
        live.advance(begin)
        live.set_alert_rate(30.0)
        live.advance(cells.start + DAY)
        heard.append(
            [(e.at, e.installation, e.party, e.detail) for e in seen if e.kind == "device.noticed" and e.at > noon]
        )
    assert len(heard[0]) > 60
    assert sorted(heard[0], key=lambda each: each[:3]) == sorted(heard[1], key=lambda each: each[:3])


# Where they go


def test_what_goes_to_another_operator_is_not_heard() -> None:
    """As found, devices report to whoever ran them: the link carries it there, and this head end hears nothing; one
    that stands for all operators hears it, and the journal says that it was not meant."""
    live = LiveEstate(open_estate("demo-street"))
    seen: list[Entry] = []
    heard: list[int] = []
    live.subscribe(seen.append)
    live.on_alert = lambda installation, frame, now: heard.append(installation)
    live.set_alert_rate(50.0)
    live.advance(live.now + DAY // 2)
    kinds = Counter(entry.kind for entry in seen)
    assert heard == []
    assert kinds["link.elsewhere"] > 200
    assert not kinds["headend.heard"] + kinds["headend.alert"] + kinds["headend.overheard"]
    live.overhear(True)
    seen.clear()
    live.advance(live.now + DAY // 2)
    kinds = Counter(entry.kind for entry in seen)
    assert len(heard) == kinds["headend.overheard"] == kinds["link.elsewhere"] > 200


def test_a_storm_over_a_live_estate(cells: Estate) -> None:
    """Over homes of several cells; it is counted at the devices, heard, and over when it is over."""
    live = LiveEstate(cells)
    heard: list[int] = []
    live.on_alert = lambda installation, frame, now: heard.append(installation)
    live.overhear(True)
    assert live.storm(AlertStorm(0x8F57, 2_000, 600, [0, 1, 4, 7])) == 4
    assert sorted(live.cells) == [0, 2, 3]
    live.advance(live.now + HOUR)
    wanted = 4 * 2_000 * 2.3 * 600 / 86_400
    assert set(live.raised()) == {0x8F57}
    assert abs(live.raised()[0x8F57] - wanted) < 5 * wanted**0.5
    assert set(heard) <= {0, 1, 4, 7}
    assert len(heard) > wanted / 2
    assert live.end_storms() == 0


# The gate


def test_too_many_alerts_stop_a_campaign_for_a_day() -> None:
    """More than so many a migrated home, and 20 besides, is a no-go; then half the pace, and the campaign ends."""
    centre = ControlCentre(Pacing(10, 5, 10), Gate(alerts_most=11.5))
    first = centre.plan()
    first.migrated, first.alerts = 10, 135
    second = centre.plan()
    assert second.decision == "GO"
    second.migrated, second.alerts = 10, 251
    third = centre.plan()
    assert (third.decision, third.allowance) == ("NO GO", 0)
    fourth = centre.plan()
    assert (fourth.decision, fourth.allowance) == ("SLOW", 5)
    unwatched = ControlCentre(Pacing(10, 5, 10), Gate())
    day = unwatched.plan()
    day.migrated, day.alerts = 1, 1_000_000
    assert unwatched.plan().decision == "GO"


def test_a_table_of_ones_own_goes_the_whole_way(tmp_path: Path) -> None:
    """What the user's file says is what devices send and the head end counts."""
    causes = tmp_path / "mine.toml"
    causes.write_text('[[causes]]\nname = "moth"\ncode = 0xBEEF\nweight = 1\ndevices = { hub = 1 }\n', "utf-8")
    recipe = tmp_path / "street.toml"
    text = fixture("estates/demo-street.toml").read_text("utf-8")
    recipe.write_text(f'{text}\n[alerts]\nper_day = 40\ncauses = "{causes}"\n', "utf-8")
    estate = open_estate(str(recipe))
    made = CellCampaign(estate, 0, CampaignSettings(), link="plain", profile=QUIET, air=CALM)
    day = through(made)
    made.cell.world.run_until(estate.start + (day + 1) * DAY)
    assert set(desk(made).by_cause()) == {"moth"}
    assert desk(made).by_cause()["moth"] > 50
