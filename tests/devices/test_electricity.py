"""The electricity meter, asked through the hub by a real client: contacts, tariff, registers, keys, alerts,
firmware."""

from collections.abc import Callable
from typing import Any

import pytest

from devices.common import firmware, tariff
from devices.common.event_log import Event
from emulator.codecs.axdr import Data, array, date_time, enum, integer, long_unsigned, octet_string, structure, unsigned
from emulator.codecs.data_notification import DATA_NOTIFICATION
from emulator.codecs.glo import GENERAL_GLO
from emulator.codecs.wrapper import WRAPPER
from emulator.commands import PowerCut, PressBoost, PressReconnect, RaiseAlert
from emulator.dlms import moment
from emulator.dlms.client import Answer, Refused
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND

SUPPLY, SUPPLY_SCRIPTS, AUX_SCRIPTS = "0-0:96.3.10", "0-0:10.0.106", "0-0:10.0.103"
ENABLE, DISABLE, ARM = 0x33, 0x34, 0x36
E = Party.ELECTRICITY


@pytest.fixture
def home(bench: Callable[..., Any]) -> Any:
    """A five-terminal home on Economy 7 at noon, its hub awake."""
    made = bench(tariff="economy7", switches=2)
    made.rouse()
    return made


@pytest.fixture
def talk(home: Any) -> Any:
    conversation = home.talk(E)
    assert isinstance(conversation.open(), Answer)
    return conversation


def script(talk: Any, table: str, number: int) -> Any:
    return talk.act(9, table, 1, long_unsigned(number))


# Identity


def test_it_says_who_it_is(home: Any, talk: Any) -> None:
    """Logical device name, serial and firmware are those of the home's own meter."""
    spec = home.installation.device(E)
    assert talk.read(1, "0-0:42.0.0") == b"ELS" + spec.serial.encode()
    assert talk.read(1, "1-0:0.2.0") == spec.firmware.encode()
    assert talk.read(1, "0-0:96.1.1") == spec.eui64


def test_the_public_client_sees_name_and_counter_and_no_more(home: Any) -> None:
    """Without security the lowest acceptable counter can be read; energy and contacts cannot."""
    public = home.talk(E, secured=False)
    assert isinstance(public.open(), Answer)
    assert public.read(1, "0-0:43.1.0") == home.store.counters(int(E))[1]
    assert public.read(1, "0-0:42.0.0").startswith(b"ELS")
    assert isinstance(public.read(3, "1-0:1.8.0"), Refused)
    assert isinstance(public.act(70, SUPPLY, 1, integer(0)), Refused)


# The supply


@pytest.mark.parametrize(
    ("before", "number", "state"),
    [
        (None, ENABLE, 1),
        (None, DISABLE, 0),
        (DISABLE, ENABLE, 1),
        (DISABLE, ARM, 2),
        (DISABLE, DISABLE, 0),
        (ARM, ENABLE, 1),
        (ARM, DISABLE, 0),
    ],
)
def test_supply_scripts_lead_where_they_should(talk: Any, before: int | None, number: int, state: int) -> None:
    """Enable, disable and arm reach on, off and ready from every state that allows them."""
    if before == ARM:
        script(talk, SUPPLY_SCRIPTS, DISABLE)
    if before:
        assert isinstance(script(talk, SUPPLY_SCRIPTS, before), Answer)
    assert isinstance(script(talk, SUPPLY_SCRIPTS, number), Answer)
    assert talk.read(70, SUPPLY, 3) == state
    assert talk.read(70, SUPPLY, 2) == (state == 1)


def test_a_supply_that_is_on_cannot_be_armed(talk: Any) -> None:
    """Arming a closed contact is refused and changes nothing; so is a script that does not exist."""
    assert isinstance(script(talk, SUPPLY_SCRIPTS, ARM), Refused)
    assert isinstance(script(talk, SUPPLY_SCRIPTS, 0x99), Refused)
    assert talk.read(70, SUPPLY, 3) == 1


def test_nothing_is_drawn_while_the_supply_is_off_and_the_button_closes_an_armed_one(home: Any, talk: Any) -> None:
    """Off: registers stand. Armed: they still stand, until the customer presses the button; off, the button does
    nothing."""
    assert isinstance(talk.act(70, SUPPLY, 1, integer(0)), Answer)
    stood = talk.read(3, "1-0:1.8.0")
    home.run(5 * MINUTE)
    home.command(E, PressReconnect())
    assert talk.read(70, SUPPLY, 3) == 0
    assert talk.read(3, "1-0:1.7.0") == 0
    script(talk, SUPPLY_SCRIPTS, ARM)
    home.run(5 * MINUTE)
    assert talk.read(3, "1-0:1.8.0") == stood
    home.command(E, PressReconnect())
    assert talk.read(70, SUPPLY, 3) == 1
    home.run(9 * MINUTE)
    assert talk.read(3, "1-0:1.8.0") > stood
    codes = [row.value[1].value for row in talk.read(7, "0-0:99.98.0")]
    assert codes == [Event.INSTALLED, Event.SUPPLY_OFF, Event.SUPPLY_READY, Event.SUPPLY_ON]


def test_the_supply_survives_a_power_cut(home: Any, talk: Any) -> None:
    """After a power cut associations are gone, the contact is as it was, and the hours without power used nothing."""
    script(talk, SUPPLY_SCRIPTS, DISABLE)
    home.command(E, PowerCut(600))
    assert talk.bench.ask(1, 2, b"\xc0", patience=MINUTE) is None  # dark: not even a refusal
    home.run(11 * MINUTE)
    home.rouse()
    assert isinstance(talk.read(70, SUPPLY, 3), Refused)
    assert isinstance(talk.open(), Answer)
    assert talk.read(70, SUPPLY, 3) == 0
    assert [row.value[1].value for row in talk.read(7, "0-0:99.98.4")] == [Event.POWER_LOST, Event.POWER_BACK]


def test_a_power_cut_uses_no_energy(home: Any) -> None:
    """An hour without mains adds nothing to the registers and leaves the switch off meanwhile."""
    meter = home.electricity
    home.command(E, PressBoost(1, 600))
    home.command(E, PowerCut(3_600))
    stood = meter.total(home.now)
    assert not meter.auxiliary(1, home.now + MINUTE)
    assert meter.total(home.now + HOUR - SECOND) == stood
    assert meter.auxiliary(1, home.now + HOUR + MINUTE)
    assert meter.total(home.now + 2 * HOUR) > stood


# Auxiliary switches


def aux(talk: Any, switch: int) -> Any:
    return talk.read(70, f"0-{switch}:96.3.10")


def number(kind: int, switch: int) -> int:
    return kind + switch * 0x100


ACTIVATE, DEACTIVATE, RESET = 0x1011, 0x0012, 0x0020


def test_switches_follow_the_loaded_tariff_across_a_real_switching_time(home: Any) -> None:
    """Economy 7: off at 00:29, on at 00:31, on at 07:29, off at 07:31, on every wired switch, as reads over the WAN
    say."""
    midnight = home.now - home.now % DAY + DAY
    for minute, on in ((29, False), (31, True), (7 * 60 + 29, True), (7 * 60 + 31, False)):
        home.run(midnight + minute * MINUTE - home.now - 20 * SECOND)
        home.rouse()
        talk = home.talk(E)
        talk.open()
        assert [aux(talk, switch) for switch in (1, 2)] == [on, on]


@pytest.mark.parametrize("minutes", [1, 30, 240])
def test_an_activation_lasts_as_long_as_its_duration(home: Any, talk: Any, minutes: int) -> None:
    """SET of the duration, then the activate script: on until that many minutes have passed, then as the calendar
    says."""
    assert talk.write(1, "0-0:94.44.117.1", 2, long_unsigned(minutes)) == Answer(None)
    assert isinstance(script(talk, AUX_SCRIPTS, number(ACTIVATE, 1)), Answer)
    begun = home.now
    assert aux(talk, 1) is True
    assert aux(talk, 2) is False
    meter = home.electricity
    assert meter.auxiliary(1, begun + minutes * MINUTE - 2 * SECOND)
    assert not meter.auxiliary(1, begun + minutes * MINUTE + 2 * SECOND)


def test_a_deactivation_overrides_the_night_rate_and_reset_gives_it_back(home: Any) -> None:
    """In the night rate a deactivated switch is off; reset returns it to the calendar at once."""
    home.run(14 * HOUR)  # 02:00
    home.rouse()
    talk = home.talk(E)
    talk.open()
    assert aux(talk, 1) is True
    script(talk, AUX_SCRIPTS, number(DEACTIVATE, 1))
    assert aux(talk, 1) is False
    script(talk, AUX_SCRIPTS, number(RESET, 1))
    assert aux(talk, 1) is True


def test_zero_minutes_holds_until_reset_and_a_reset_may_take_its_time(home: Any, talk: Any) -> None:
    """Duration 0 holds for ever; a reset with ten minutes ends the hold ten minutes later."""
    meter = home.electricity
    talk.write(1, "0-0:94.44.117.2", 2, long_unsigned(0))
    script(talk, AUX_SCRIPTS, number(ACTIVATE, 2))
    assert meter.auxiliary(2, home.now + 400 * DAY)
    talk.write(1, "0-0:94.44.121.2", 2, long_unsigned(10))
    script(talk, AUX_SCRIPTS, number(RESET, 2))
    assert meter.auxiliary(2, home.now + 9 * MINUTE)
    assert not meter.auxiliary(2, home.now + 11 * MINUTE)


@pytest.mark.parametrize("data", [long_unsigned(1_441), unsigned(5), octet_string(b"\x00\x1e")])
def test_durations_that_make_no_sense_are_refused(talk: Any, data: Data) -> None:
    """Longer than a day, or not a 16-bit number: refused, and the old duration stays."""
    assert isinstance(talk.write(1, "0-0:94.44.117.1", 2, data), Refused)
    assert talk.read(1, "0-0:94.44.117.1") == 30


def test_class_70_methods_move_a_switch_too(home: Any, talk: Any) -> None:
    """Reconnect on channel 1 holds it on for the activate duration; the output and the state agree."""
    assert isinstance(talk.act(70, "0-1:96.3.10", 2, integer(0)), Answer)
    assert (aux(talk, 1), talk.read(70, "0-1:96.3.10", 3)) == (True, 1)
    assert not home.electricity.auxiliary(1, home.now + 31 * MINUTE)


def test_a_boost_heats_and_is_billed_at_the_rate_of_the_day(home: Any, talk: Any) -> None:
    """The boost button turns the switch on; its energy goes to rate 1, and both are logged."""
    before = talk.read(3, "1-0:1.8.1")
    plain = home.build(E)
    home.command(E, PressBoost(1, 60))
    assert aux(talk, 1) is True
    meter, end = home.electricity, home.now + HOUR
    assert meter.rate_total(1, end) - before > plain.rate_total(1, end) - before + 200
    assert [row.value[1].value for row in talk.read(7, "0-17:99.98.2")] == [
        Event.AUXILIARY_BOOST + 1,
        Event.AUXILIARY_ON + 1,
    ]
    home.command(E, PressBoost(6, 60))
    assert home.kinds(E)[-1] == "auxiliary.no-such-switch"


def test_writing_what_a_switch_follows_moves_it(home: Any, talk: Any) -> None:
    """A switch told to follow rate 1 is on at noon: the mapping, not the tariff, was wrong in some homes."""
    assert talk.write(1, "0-1:94.44.10", 2, array((unsigned(1),))) == Answer(None)
    assert (aux(talk, 1), aux(talk, 2)) == (True, False)
    assert isinstance(talk.write(1, "0-1:94.44.10", 2, array((unsigned(0),))), Refused)


def test_the_derived_calendar_shows_the_switching_times(talk: Any) -> None:
    """Class 10 at 0-0:12.0.2 lists, for each switch, on at 00:30 and off at 07:30; it cannot be written."""
    entries = talk.read(10, "0-0:12.0.2")
    shown = [(entry.value[3].value, entry.value[4].value[:2]) for entry in entries]
    assert shown[:2] == [(number(ACTIVATE, 1), b"\x00\x1e"), (number(DEACTIVATE, 1), b"\x07\x1e")]
    assert len(shown) == 10
    assert isinstance(talk.write(10, "0-0:12.0.2", 2, array(())), Refused)


# Tariff


def write_days(talk: Any, spans: tuple[tuple[int, int], ...], attribute: int = 5) -> Any:
    return talk.write(20, "0-0:13.0.0", attribute, array((tariff.day_type(1, spans),)))


def test_a_tariff_write_moves_rates_and_heating_at_once(home: Any, talk: Any) -> None:
    """With a day type that is cheap from 11:00 loaded, the rate is 2 and the switch on at noon; no register jumps."""
    before = talk.read(3, "1-0:1.8.0")
    assert aux(talk, 1) is False
    assert write_days(talk, ((0, 1), (11 * 3_600, 2), (15 * 3_600, 1))) == Answer(None)
    assert aux(talk, 1) is True
    assert talk.read(6, "0-0:14.0.0", 4) == b"\x02"
    assert 0 <= talk.read(3, "1-0:1.8.0") - before <= 1
    night, day = talk.read(3, "1-0:1.8.2"), talk.read(3, "1-0:1.8.1")
    home.run(HOUR)
    home.rouse()
    talk.open()
    assert talk.read(3, "1-0:1.8.2") > night
    assert talk.read(3, "1-0:1.8.1") == day


def test_a_tariff_in_pieces_takes_over_when_it_is_whole(home: Any, talk: Any) -> None:
    """A week that names a day type still to come changes nothing; when the day type arrives, the tariff moves."""
    weeks = array((structure((octet_string(b"\x01"), *(unsigned(2),) * 7)),))
    assert talk.write(20, "0-0:13.0.0", 4, weeks) == Answer(None)
    assert talk.read(6, "0-0:14.0.0", 4) == b"\x01"
    assert "tariff.incomplete" in home.kinds(E)
    both = array((tariff.day_type(1, ((0, 1),)), tariff.day_type(2, ((0, 2),))))
    assert talk.write(20, "0-0:13.0.0", 5, both) == Answer(None)
    assert talk.read(6, "0-0:14.0.0", 4) == b"\x02"


def test_a_passive_calendar_takes_over_on_time_while_everybody_sleeps(home: Any, talk: Any) -> None:
    """Planned for 18:00, the passive calendar is in force then, read late or through a row; the split is exact at
    18:00."""
    assert write_days(talk, ((0, 2),), attribute=9) == Answer(None)
    at = home.now - home.now % DAY + 18 * HOUR
    assert talk.write(20, "0-0:13.0.0", 10, octet_string(moment.encode(at))) == Answer(None)
    assert not home.electricity.auxiliary(1, at - MINUTE)
    home.restart(E)
    home.run(at + 2 * HOUR - home.now)
    meter = home.electricity
    assert meter.auxiliary(1, home.now)
    taken_over = meter.ledger.regimes[-1].since
    assert taken_over == at
    assert meter.ledger.rate(1, meter.shown(home.now)) == meter.ledger.rate(1, at)


def test_special_days_are_part_of_the_tariff(home: Any, talk: Any) -> None:
    """Today declared special with an all-night day type: the switch is on at noon."""
    days = array((tariff.day_type(1, ((0, 1),)), tariff.day_type(2, ((0, 2),))))
    assert talk.write(20, "0-0:13.0.0", 5, days) == Answer(None)
    assert aux(talk, 1) is False
    today = structure((long_unsigned(1), octet_string(moment.encode_date(home.now)), unsigned(2)))
    assert isinstance(talk.act(11, "0-0:11.0.0", 1, today), Answer)
    assert aux(talk, 1) is True


# Registers and profiles


def test_registers_profiles_and_rates_agree(home: Any, talk: Any) -> None:
    """Read over the WAN: the rates sum to the total, and a day of half-hours sums to the day's growth of the total."""
    total = talk.read(3, "1-0:1.8.0")
    rates = [talk.read(3, f"1-0:1.8.{rate}") for rate in range(1, 9)]
    assert 0 <= sum(rates) - total <= 1
    assert rates[0] > 0
    assert rates[1] > 0
    assert rates[2:] == [0] * 6
    days = home.electricity.objects.named("days").read(home.electricity, 2, home.now).value
    yesterday, today = days[-2].value, days[-1].value
    assert sum(item.value for item in today[2:]) == today[1].value
    rows = home.electricity.objects.named("half-hours").read(home.electricity, 2, home.now).value
    by_time = {row.value[0].value: row.value[1].value for row in rows}
    midnight = home.now - home.now % DAY
    stamps = [moment.encode(midnight - DAY + n * 30 * MINUTE) for n in range(1, 49)]
    assert sum(by_time[stamp] for stamp in stamps) == today[1].value - yesterday[1].value


def test_setting_the_clock_moves_no_register_back(home: Any, talk: Any) -> None:
    """An hour back, an hour forward: the clock shows it, the total goes on from where it was."""
    total = talk.read(3, "1-0:1.8.0")
    for moved in (-HOUR, HOUR):
        assert talk.write(8, "0-0:1.0.0", 2, date_time(moment.encode(home.now + moved))) == Answer(None)
        assert abs(moment.decode(talk.read(8, "0-0:1.0.0")) - home.now - moved) < 2 * SECOND
        assert total <= talk.read(3, "1-0:1.8.0") <= total + 2
    codes = [row.value[1].value for row in talk.read(7, "0-0:99.98.0")]
    assert codes.count(Event.CLOCK_SET) == 2


def test_clocks_drift_apart_slowly(bench: Callable[..., Any]) -> None:
    """Each home's clock is wrong by its own few seconds, and less than half a minute after three months."""
    errors = {}
    for number in range(40):
        meter = bench(gas=False, number=number).electricity
        now = meter.model.profile.clock.last_set_at + 90 * DAY
        errors[number] = meter.shown(now) - now
        assert abs(errors[number]) < 35 * SECOND
        assert meter.shown(now + DAY) - now - DAY != errors[number]
    assert len(set(errors.values())) == 40


# Keys


def wrapped(home: Any, key_id: int, key: bytes, party: Party = E) -> Data:
    return structure((enum(key_id), octet_string(home.store.wrap(int(party) + 10, key))))


@pytest.mark.parametrize("party", [Party.HUB, Party.ELECTRICITY, Party.GAS])
def test_keys_are_changed_through_the_hub(bench: Callable[..., Any], party: Party) -> None:
    """All three keys are wrapped under the old master and installed; the old ones are refused afterwards, the new
    accepted."""
    home = bench()
    home.rouse()
    talk = home.talk(party)
    talk.open()
    ek, ak, kek = (bytes((n,)) * 16 for n in (0xE0, 0xA0, 0xB0))
    keys = array((wrapped(home, 0, ek, party), wrapped(home, 2, ak, party), wrapped(home, 3, kek, party)))
    assert isinstance(talk.act(64, "0-0:43.0.0", 2, keys), Answer)
    assert isinstance(talk.read(1, "0-0:42.0.0"), Refused)  # sealed under the old keys
    home.store.install(int(party) + 10, ek=ek, ak=ak)
    home.store.set_master(int(party) + 10, kek)
    home.restart(party)
    if party is Party.HUB:
        home.rouse()
    assert isinstance(talk.open(), Answer)
    codes = [row.value[1].value for row in talk.read(7, "0-0:99.98.1")]
    assert codes == [Event.KEY_EK, Event.KEY_AK, Event.KEY_MASTER]
    again = array((wrapped(home, 0, ek, party),))
    assert isinstance(talk.act(64, "0-0:43.0.0", 2, again), Answer)


def test_keys_under_the_wrong_master_change_nothing(home: Any, talk: Any) -> None:
    """A transfer wrapped under another master key is refused whole, and the old keys go on working."""
    good = wrapped(home, 0, b"\x11" * 16)
    home.store.set_master(int(E) + 10, b"\x77" * 16)
    bad = wrapped(home, 2, b"\x22" * 16)
    assert isinstance(talk.act(64, "0-0:43.0.0", 2, array((good, bad))), Refused)
    assert talk.read(1, "0-0:42.0.0").startswith(b"ELS")


# Alerts


def destination(text: bytes) -> Data:
    return structure((enum(1), octet_string(text), enum(0)))


def test_a_push_goes_where_this_device_was_told(home: Any, talk: Any) -> None:
    """After a write of the destination, method 1 of class 40 sends a ciphered notification there, after its answer."""
    assert talk.write(40, "0-0:25.9.0", 3, destination(b"10.0.0.1:4061")) == Answer(None)
    home.alerts.clear()
    assert isinstance(talk.act(40, "0-0:25.9.0", 1, integer(0)), Answer)
    assert isinstance(talk.read(1, "0-0:42.0.0"), bytes)
    home.run(2 * SECOND)
    [(target, frame)] = home.alerts
    assert target == bytes((10, 0, 0, 1)) + (4_061).to_bytes(2, "big")
    heard = WRAPPER.parse(frame)
    assert (heard.source, heard.destination) == (2, 103)
    sealed = GENERAL_GLO.parse(heard.payload)
    assert sealed.system_title == home.installation.device(E).system_title


def test_an_alert_carries_its_code_and_opens_under_the_devices_keys(home: Any) -> None:
    """An alert raised in the device arrives sealed; opened with the head end's keys it shows code and text."""
    home.alerts.clear()
    home.command(E, RaiseAlert(0x8F1D, "cover"))
    home.run(2 * SECOND)
    [(target, frame)] = home.alerts
    assert target[:4] == bytes((10, 255, 0, 1))  # nobody has written a destination: the old operator
    sealed = GENERAL_GLO.parse(WRAPPER.parse(frame).payload)
    plain = home.store.open(int(E) + 10, sealed.security_control, sealed.invocation_counter, sealed.text)
    body = DATA_NOTIFICATION.parse(plain).body
    assert (body.value[0].value, body.value[2].value) == (0x8F1D, b"cover")


def test_an_alert_without_a_usable_destination_is_noted(home: Any, talk: Any) -> None:
    """A destination that is no address and port loses the alert, visibly."""
    talk.write(40, "0-0:25.9.0", 3, destination(b"nowhere"))
    home.alerts.clear()
    home.command(E, RaiseAlert(1))
    home.run(2 * SECOND)
    assert home.alerts == []
    assert "push.nowhere" in home.kinds(E)


# Firmware


def test_new_firmware_runs_after_transfer_verification_and_activation(home: Any, talk: Any) -> None:
    """A good image changes the version and ends the association; a changed bit fails verification and changes
    nothing."""
    image = bytes(range(256)) * 2
    for spoilt in (True, False):
        name = firmware.identifier("03.25", image, 128)
        sent = bytes((image[0] ^ 1,)) + image[1:] if spoilt else image
        size = Data(6, len(image))
        assert isinstance(talk.act(18, "0-0:44.0.0", 1, structure((octet_string(name), size))), Answer)
        for block in range(4):
            piece = structure((Data(6, block), octet_string(sent[block * 128 : block * 128 + 128])))
            assert isinstance(talk.act(18, "0-0:44.0.0", 2, piece), Answer)
        verified = talk.act(18, "0-0:44.0.0", 3, integer(0))
        assert isinstance(verified, Refused if spoilt else Answer)
    assert talk.read(1, "1-0:0.2.0") == b"03.24"
    assert isinstance(talk.act(18, "0-0:44.0.0", 4, integer(0)), Answer)
    assert isinstance(talk.read(1, "1-0:0.2.0"), Refused)  # it has restarted
    assert isinstance(talk.open(), Answer)
    assert talk.read(1, "1-0:0.2.0") == b"03.25"
