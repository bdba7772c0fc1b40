"""Equivalent steps over the whole path: what was asked for is so in the machine itself, or no verdict says so."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from devices.catalogue import KINDS
from devices.common.model import DeviceModel
from emulator import resources
from emulator.errors import InputError
from emulator.fleet import registry
from emulator.headend.steps import SERVICES
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, MINUTE, SECOND
from emulator.scenario.playground import Home, Playground

HOME = 6  # five terminals, one switch wired, economy10, a gas meter, a display


@pytest.fixture
def world() -> Playground:
    return Playground("demo-street", seed=1)


@pytest.fixture
def home(world: Playground) -> Home:
    return world.home(HOME)


def contact(home: Home, party: Party = Party.ELECTRICITY) -> bool:
    """Whether the supply relay, or the valve, truly lets flow."""
    return bool(home.device(party).physical.ledger.regimes[-1].flowing)


# Supply


def test_supply_is_switched_and_read_back(home: Home) -> None:
    """Off, armed, on: the contact moves with the verdict, and 7.4 says what 7.2, 7.3 and 7.1 left."""
    for service, state, flows in (("7.2", "Disabled", False), ("7.3", "Armed", False), ("7.1", "Enabled", True)):
        answer = home.request(service)
        assert (answer.verdict, answer.payload) == ("success", {"supply": state})
        assert contact(home) is flows
        assert home.request("7.4").payload == {"supply": state}


def test_a_supply_that_is_on_is_not_armed(home: Home) -> None:
    """The meter refuses; the answer tells at which step."""
    answer = home.request("7.3")
    assert (answer.verdict, answer.reason, answer.code) == ("failed", "other-reason", "I0")
    assert [(each.position, each.code) for each in answer.debug] == [(1, 250)]
    assert contact(home)


def test_a_valve_is_closed_at_the_meters_next_poll(home: Home) -> None:
    """The gas meter sleeps: the latency is that of its poll, and half an hour at most."""
    answer = home.request("7.2", device="gas")
    assert answer.success
    assert 30 < answer.latency_s < 1_900
    assert not contact(home, Party.GAS)


@pytest.mark.parametrize("lost", range(0, 24, 3))
def test_whichever_frame_is_lost_a_verdict_is_never_wrong(lost: int) -> None:
    """Success only when the contact is open; the loss of one answer is made good by reading back."""
    world = Playground("demo-street", seed=1)
    home = world.home(HOME)
    fault = world.inject("gprs-loss", installation=HOME, skip=lost, times=1, may_stay_quiet=True)
    answer = home.request("7.2")
    assert answer.success is not contact(home), (answer, fault.fired)
    assert answer.verdict in ("success", "timeout")


@pytest.mark.parametrize("device", ["electricity", "gas"])
def test_mains_that_go_before_the_answer_leave_no_doubt(world: Playground, home: Home, device: str) -> None:
    """The contact has moved, nobody said so and the association is gone: it is opened anew, and the state asked."""
    fault = world.inject("power-cut-before-answer", installation=HOME, device=device, after="any", skip=5)
    answer = home.request("7.2", device=device)
    assert fault.fired == 1
    assert answer.success
    assert not contact(home, Party[device.upper()])


# Auxiliary load


def test_switches_are_held_reset_and_shown(world: Playground, home: Home) -> None:
    """7.6 and 7.5 move the contact for so many minutes; 7.8 gives it back to the calendar; 7.7 shows all of it."""
    live = home.auxiliary(1).physically_closed
    assert home.request("7.6", switch=1, minutes=60).payload["on"] is False
    assert not home.auxiliary(1).physically_closed
    assert home.request("7.5", switch=1, minutes=60).payload["on"] is True
    assert home.auxiliary(1).physically_closed
    assert home.request("7.8", switch=1).payload == {"switch": 1, "on": live}
    assert home.request("6.14.1", switch=1, description="Storage heater").success
    shown = home.request("7.7").payload
    assert [each["switch"] for each in shown["switches"]] == [1, 2, 3, 4, 5]
    assert shown["switches"][0]["description"] == "Storage heater"
    moves = [(each["at"], each["on"]) for each in shown["calendar"] if each["switch"] == 1]
    night, day, evening = ("00:00", "05:00"), ("13:00", "16:00"), ("20:00", "22:00")
    assert moves == [(at, on) for span in (night, day, evening) for at, on in zip(span, (True, False), strict=True)]


def test_a_meter_keeps_fewer_letters_than_the_request_allows(home: Home) -> None:
    """22 are allowed, 20 kept: refused before anything is written."""
    answer = home.request("6.14.1", switch=1, description="x" * 21)
    assert (answer.verdict, answer.reason) == ("failed", "not-offered")
    assert home.electricity.read("auxiliary.1.label") == b""


def test_a_meter_without_switches_says_so(world: Playground) -> None:
    """Home 0 has four terminals."""
    for service, body in (("7.5", {"switch": 1}), ("7.7", {}), ("6.14.1", {"switch": 1, "description": "x"})):
        answer = world.home(0).request(service, **body)
        assert (answer.verdict, answer.reason) == ("failed", "not-offered")


MOVES = [{"switch": 1, "on": False, "at": "00:00"}, {"switch": 1, "on": True, "at": "11:30", "weekdays": "1111100"}]


def test_a_calendar_of_its_own_is_only_loaded_where_there_is_one(
    world: Playground, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SMETS1 the switches follow the tariff: 6.14.2 fails. Where a model has a calendar, it obeys."""
    refused = home.request("6.14.2", moves=MOVES)
    assert (refused.verdict, refused.reason) == ("failed", "not-offered")
    name = home.installation.device(Party.ELECTRICITY).model  # type: ignore[union-attr]
    profile: Any = registry.model(name).profile
    auxiliary = msgspec.structs.replace(profile.auxiliary, calendar="own")
    own = DeviceModel(msgspec.structs.replace(profile, auxiliary=auxiliary), KINDS[Party.ELECTRICITY])
    monkeypatch.setitem(registry.models(), name, own)  # type: ignore[arg-type]
    world = Playground("demo-street", seed=1)
    home = world.home(HOME)
    assert home.request("6.14.2", moves=MOVES).payload == {"lines": 2}
    world.run_until(world.estate.start + DAY // 2 + MINUTE)  # a Monday, past noon
    assert home.auxiliary(1).physically_closed
    world.run_until(world.estate.start + 5 * DAY + DAY // 2)
    assert not home.auxiliary(1).physically_closed


# Tariff


def test_a_tariff_takes_over_and_moves_the_switches(world: Playground, home: Home) -> None:
    """The hazard itself: a tariff that arrives intact turns the heating off at once."""
    assert home.auxiliary(1).physically_closed  # economy10, just after midnight
    assert home.request("1.1.1", table="economy7").success
    assert not home.auxiliary(1).physically_closed  # whose night begins at 00:30
    world.run_until(world.estate.start + 31 * MINUTE)
    assert home.auxiliary(1).physically_closed


def test_a_planned_tariff_waits_in_the_meter(world: Playground, home: Home) -> None:
    """`in_minutes` from now, by the meter's own clock."""
    assert home.request("1.1.1", day_types=[[["00:00", 3]]], in_minutes=60).success
    assert home.electricity.physical.active_rate(world.instant) == 2
    world.run_for(minutes=61)
    assert home.electricity.physical.active_rate(world.instant) == 3


def test_weeks_and_special_days_arrive(world: Playground, home: Home) -> None:
    """Saturdays and Christmas go by day types of their own."""
    answer = home.request(
        "1.1.1",
        day_types=[[["00:00", 1]], [["00:00", 2]], [["00:00", 3]]],
        week=[1, 1, 1, 1, 1, 2, 2],
        special_days=[{"date": "2020-12-25", "day": 3}],
    )
    assert answer.success
    calendar = home.electricity.physical.ledger.regimes[-1].calendar
    monday, christmas = world.estate.start // DAY, 18_621
    assert [calendar.rate(day * DAY + DAY // 2) for day in (monday, monday + 5, christmas)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"day_types": [[[f"{n:02}:00", 1 + n % 2] for n in range(13)]]}, "holds 12"),
        ({"day_types": [[["00:00", 48]]]}, "rate above"),
        ({"day_types": [[["00:00", 1]]], "thresholds": [500]}, "blocks"),
        ({"day_types": [[["00:00", 1]]], "week": [2] * 7}, "day type that is not given"),
        ({"day_types": [[["00:00", 1]]], "special_days": [{"date": "2020-02-30", "day": 1}]}, "no date"),
        ({"table": "economy8"}, "no table"),
        ({}, "without a day type"),
    ],
)
def test_what_a_meter_cannot_hold_is_never_sent(home: Home, body: dict[str, Any], told: str) -> None:
    """The request allows it, the model does not: refused with the place, and the calendar untouched."""
    answer = home.request("1.1.1", **body)
    assert (answer.verdict, answer.reason) == ("failed", "not-offered")
    assert told in answer.detail
    assert not [key for key in home.electricity.physical.deviations if key[0] in (11, 20)]


# Reads and clock


def test_half_hours_are_those_of_the_register(world: Playground, home: Home) -> None:
    """A day of half-hours adds up to what the total register gained in it."""
    answer = home.request("4.8.1", days=1)
    rows = answer.payload["half_hours"]
    assert 47 <= len(rows) <= 48
    meter = home.electricity.physical
    end = world.instant // (30 * MINUTE) * 30 * MINUTE
    shown = meter.ledger.total_at(end) - meter.ledger.total_at(end - len(rows) * 30 * MINUTE)
    assert answer.payload["sum"] == shown


def test_logs_tell_what_was_done(home: Home) -> None:
    """What 7.2 and 7.5 did stands in the event log and the auxiliary log."""
    home.request("7.2")
    home.request("7.5", switch=1, minutes=5)
    events = [code for _, code in home.request("6.13").payload["entries"]]
    assert 0x0020 in events
    switched = home.request("6.13", log="auxiliary").payload["entries"]
    assert [code for _, code in switched] == [0x0101]
    assert home.request("6.13", device="gas", log="auxiliary").reason == "not-offered"


@pytest.mark.parametrize("device", ["electricity", "gas"])
def test_a_clock_is_set_and_seen_to_be_right(world: Playground, home: Home, device: str) -> None:
    """Whatever it showed before, it is out by seconds afterwards."""
    handle = home.device(Party[device.upper()])
    machine = handle.physical
    machine.kit.clock.set_time(machine, world.instant + 600 * SECOND, world.instant)
    answer = home.request("6.11", device=device)
    assert answer.success
    assert abs(answer.payload["was_out_by_s"]) > 500
    assert abs(handle.physical.shown(world.instant) - world.instant) < 10 * SECOND


def test_a_clock_that_is_not_set_fails(world: Playground, home: Home) -> None:
    """A meter that took one setting today refuses the next."""
    world.inject("clock-drift", installation=HOME)
    first, second = home.request("6.11"), home.request("6.11")
    assert "failed" in (first.verdict, second.verdict)


# Firmware


def test_firmware_is_sent_verified_and_run(home: Home) -> None:
    """The version that runs changes with 11.3, not with 11.1."""
    before = home.request("11.2").payload["version"]
    sent = home.request("11.1", version="03.25", size=1_000)
    assert (sent.success, sent.payload["blocks"]) == (True, 8)
    assert home.request("11.2").payload["version"] == before
    assert home.request("11.3", version="03.26").reason == "no-image"
    assert home.request("11.3", version="03.25").payload == {"version": "03.25", "activated": True}
    assert home.request("11.2").payload["version"] == "03.25"


def test_an_activation_can_wait_for_its_time(world: Playground, home: Home) -> None:
    """The device does it by itself, with nobody talking to it."""
    assert home.request("11.1", version="03.25").success
    planned = home.request("11.3", version="03.25", in_minutes=90)
    assert planned.success
    assert planned.payload["activates"].startswith("2020-03-02T01:3")
    assert home.request("11.2").payload["version"] == "03.24"
    world.run_for(minutes=95)
    assert home.request("11.2").payload["version"] == "03.25"


def test_lost_blocks_are_sent_again(world: Playground, home: Home) -> None:
    """Every fifth frame of some is lost; the device's own list says which blocks are missing."""
    home.request("11.2")
    lost = world.inject("gprs-loss", installation=HOME, device="electricity", chance=0.2, skip=14)
    answer = home.request("11.1", version="03.25", size=4_096)
    assert lost.fired >= 3
    assert answer.success
    lost.clear()
    assert home.request("11.3", version="03.25").success


def test_an_image_too_large_is_not_begun(home: Home) -> None:
    """The profile says how much flash there is."""
    answer = home.request("11.1", version="9", size=1 << 20)
    assert (answer.reason, answer.debug) == ("not-offered", [])


# The home network


def test_a_device_struck_off_is_refused_until_it_is_listed_and_joined(world: Playground, home: Home) -> None:
    """8.11 and 8.7.1 change what the hub forwards: a gas meter that is not listed cannot be asked anything."""
    assert home.request("8.11", change="remove", member="gas").success
    assert home.request("7.4", device="gas").reason == "exception"
    assert home.request("8.7.1", member="gas").reason == "not-listed"
    world.run_for(hours=1)  # asleep or not, the hub remembers
    assert home.request("8.11", change="add", member="gas").success
    assert home.request("8.7.1", member="gas").payload["state"] in ("joined", "asleep")
    assert home.request("7.4", device="gas").success


def test_a_device_that_nobody_hears_is_not_joined(world: Playground, home: Home) -> None:
    """The list alone does not make a member."""
    world.inject("han-lost", installation=HOME, device="gas")
    assert home.request("8.7.1", member="gas").reason == "object-unavailable"
    assert home.request("8.11", change="add", eui64="0a535100000000ff").success
    stranger = "0a535100000000ff"
    assert stranger in home.request("8.11", change="add", eui64=stranger).payload["listed"]


def test_the_hubs_list_outlives_sleep_and_rows(world: Playground, home: Home) -> None:
    """A hub made again from its row knows whom it was told of."""
    home.request("8.11", change="remove", member="ihd")
    cell = world.cell(HOME).cell
    world.run_for(hours=2)
    cell.sleep(HOME)
    assert Party.IHD in home.hub.physical.network.barred


# All of them


def test_every_service_is_a_row_with_a_typed_body() -> None:
    """The services this project promises are there, each for a device that exists, each body without stray types."""
    wanted = "1.1.1 4.8.1 6.11 6.13 6.14.1 6.14.2 6.15.1 6.23 7.1 7.2 7.3 7.4 7.5 7.6 7.7 7.8 8.1.1 8.7.1 8.7.2 8.11"
    assert list(SERVICES) == [*wanted.split(), "11.1", "11.2", "11.3", "12.2"]
    for row in SERVICES.values():
        assert row.devices
        assert row.roles
        assert msgspec.json.schema(row.parameters)["$defs"]


def test_the_other_makers_meters_take_the_same_services(tmp_path: Path) -> None:
    """Steps are a model's: what differs comes from the profile. Without a fifth terminal, its services are refused."""
    text = resources.fixture("estates/demo-street.toml").read_text("utf-8")
    for old, new in (("elster_as300p", "itron_e"), ("itron_e_5t", "elster_as300p_5t"), ("elster_bk_g4", "itron_g")):
        text = text.replace(old, new)
    street = tmp_path / "other-street.toml"
    street.write_text(text.replace('"demo-street"', '"other-street"'))
    home = Playground(str(street)).home(0)
    assert home.installation.device(Party.ELECTRICITY).model == "itron_e"  # type: ignore[union-attr]
    asked: list[tuple[str, str, dict[str, Any]]] = [
        *((service, "electricity", {}) for service in ("4.8.1", "6.11", "6.13", "7.2", "7.3", "7.1", "7.4", "8.1.1")),
        *((service, "gas", {}) for service in ("4.8.1", "6.11", "6.13", "7.2", "7.3", "7.4", "11.2")),
        ("1.1.1", "electricity", {"table": "economy7"}),
        *(("11.1", device, {"version": "5.00"}) for device in ("electricity", "gas", "hub")),
        *(("11.3", device, {"version": "5.00"}) for device in ("electricity", "gas")),
    ]
    for service, device, body in asked:
        answer = home.request(service, device=device, **body)
        assert answer.success, (service, device, answer.detail)
    assert home.request("7.5", switch=1).reason == "not-offered"


def test_a_body_that_cannot_be_is_the_callers_mistake(home: Home) -> None:
    """No request is begun for it."""
    for service, body in (("7.5", {"switch": 0}), ("7.5", {"switch": 1, "hours": 2}), ("9.9", {}), ("7.8", {})):
        with pytest.raises(InputError, match=service):
            home.request(service, **body)
    assert not home.notes("request.")


TRUTHS: dict[str, tuple[dict[str, Any], Any]] = {
    "7.2": ({}, lambda home: not contact(home)),
    "7.6": ({"switch": 1, "minutes": 90}, lambda home: not home.auxiliary(1).physically_closed),
    "1.1.1": ({"table": "white-meter"}, lambda home: _rates(home) == [2, 1, 2]),
    "6.14.1": ({"switch": 2, "description": "Immersion"}, lambda home: _label(home) == b"Immersion"),
    "11.1": ({"version": "03.25", "size": 300}, lambda home: _image(home) == 3),
}


def _rates(home: Home) -> list[int]:
    plan = home.electricity.physical.ledger.regimes[-1].calendar.plan(18_330)
    return [rate for _, rate in plan.spans]


def _label(home: Home) -> bytes:
    meter = home.electricity.physical
    return bytes(meter.objects.named("auxiliary.2.label").read(meter, 2, meter.now).value)


def _image(home: Home) -> int:
    meter = home.electricity.physical
    return int(meter.objects.named("image").read(meter, 6, meter.now).value)


@pytest.mark.slow
@pytest.mark.parametrize("service", TRUTHS)
@pytest.mark.parametrize("fault", ["gprs-loss", "gprs-corrupt", "gprs-truncate", "gprs-duplicate", "gprs-coalesce"])
def test_no_bearer_makes_a_verdict_lie(service: str, fault: str) -> None:
    """Whichever frame is struck, success means that it is so; and a frame that comes twice does nothing twice."""
    body, so = TRUTHS[service]
    for skip in range(45):
        world = Playground("demo-street", seed=1)
        home = world.home(HOME)
        injected = world.inject(fault, installation=HOME, skip=skip, times=1, may_stay_quiet=True)
        answer = home.request(service, **body)
        if answer.success:
            assert so(home), (skip, answer)
        if not injected.fired:
            assert answer.success
            break
        assert world.check("one-verdict-each", "counters-never-go-back") == []
