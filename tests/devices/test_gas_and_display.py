"""The gas meter and its valve; the display and what it shows; clocks of the small things."""

from collections.abc import Callable
from typing import Any

from devices.common.event_log import Event, EventLog, Log
from emulator.codecs.axdr import integer, long_unsigned
from emulator.commands import PressBoost, PressReconnect
from emulator.dlms.client import Answer, Refused
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND


def test_gas_is_measured_in_litres_and_its_half_hours_add_up(bench: Callable[..., Any]) -> None:
    """Volume over the WAN has the scaler of litres; the last half-hours sum to the growth of the register."""
    home = bench()
    home.rouse()
    talk = home.talk(Party.GAS)
    talk.open()
    meter = home.gas
    assert [item.value for item in talk.read(3, "7-0:3.0.0", 3)] == [-3, 13]
    assert talk.read(3, "7-0:3.0.0") == meter.total(home.now) > 0
    midnight = home.now - home.now % DAY
    parts = [meter.half_hour(midnight + n * 30 * MINUTE + MINUTE) for n in range(1, 49)]
    # a minute after each boundary the meter's clock has passed it too, or is within seconds of having done so
    ends = [meter.ledger.total_at(midnight + n * 30 * MINUTE) for n in (0, 48)]
    assert sum(parts) == ends[1] - ends[0]


def test_the_valve_stops_the_gas_and_a_button_opens_an_armed_one(bench: Callable[..., Any]) -> None:
    """Closed, nothing flows; armed, nothing flows until the button; both states are in the log."""
    home = bench()
    home.rouse()
    talk = home.talk(Party.GAS)
    talk.open()
    assert isinstance(talk.act(70, "0-0:96.3.10", 1, integer(0)), Answer)
    assert talk.read(3, "7-0:43.0.0") == 0
    stood = home.gas.total(home.now)
    home.command(Party.GAS, PressReconnect())
    assert home.kinds(Party.GAS)[-1] == "valve.button-ignored"
    assert isinstance(talk.act(9, "0-0:10.0.106", 1, long_unsigned(0x36)), Answer)
    assert home.gas.total(home.now + 5 * HOUR) == stood
    home.command(Party.GAS, PressReconnect())
    assert home.gas.total(home.now + 5 * HOUR) > stood
    codes = [row.value[1].value for row in talk.read(7, "0-0:99.98.0")]
    assert codes == [Event.INSTALLED, Event.SUPPLY_OFF, Event.SUPPLY_READY, Event.SUPPLY_ON]


def test_the_gas_battery_runs_down(bench: Callable[..., Any]) -> None:
    """Days left fall by one a day and never below nothing."""
    meter = bench().gas
    now = bench().now
    assert meter.battery_days(now) - meter.battery_days(now + 10 * DAY) == 10
    assert meter.battery_days(now + 30 * 365 * DAY) == 0


def test_a_gas_meter_has_no_auxiliary_switch(bench: Callable[..., Any]) -> None:
    """A boost button that is not there does nothing, and its objects do not exist."""
    home = bench()
    home.command(Party.GAS, PressBoost(1, 10))
    assert home.kinds(Party.GAS) == ["device.command-ignored"]
    home.rouse()
    talk = home.talk(Party.GAS)
    talk.open()
    assert isinstance(talk.read(70, "0-1:96.3.10"), Refused)


def test_a_meter_without_a_fifth_terminal_has_no_switches_either(bench: Callable[..., Any]) -> None:
    """The four-terminal model shows neither switch nor script table, and one rate all day."""
    home = bench()
    assert (70, bytes((0, 1, 96, 3, 10, 255))) not in home.electricity.objects
    assert (9, bytes((0, 0, 10, 0, 103, 255))) not in home.electricity.objects
    assert home.electricity.active_rate(home.now) == 1


def test_the_display_shows_what_the_meters_last_said(bench: Callable[..., Any]) -> None:
    """Blank at first; after being woken it shows electricity as now and gas as at the last poll; later it is stale."""
    home = bench(tariff="economy7")
    blank = home.ihd.screen(home.now)
    assert (blank.electricity_wh, blank.gas_dm3, blank.stale) == (None, None, True)
    home._wake(Party.IHD)
    asked = home.now
    home.run(2 * SECOND)
    screen = home.ihd.screen(home.now)
    assert asked < home.now
    assert abs(screen.electricity_wh - home.electricity.total(home.now)) <= 1
    assert (screen.rate, screen.supply, screen.valve, screen.stale) == (1, 1, 1, False)
    assert screen.gas_dm3 == home.hub.mirror.total(home.now)
    home.restart(Party.IHD)
    assert home.ihd.screen(home.now) == screen
    assert home.ihd.screen(home.now + HOUR).stale


def test_a_display_ignores_what_is_no_report(bench: Callable[..., Any]) -> None:
    """Any other frame is noted and changes nothing; it has no keys that a frame could reach."""
    home = bench()
    home._receive(Party.IHD, "han", b"\x00\x01\x00\x01\x00\x5a\x00\x01\xc0")
    assert home.kinds(Party.IHD) == ["display.bad-frame"]
    assert home.ihd.snapshot() == b""


def test_a_full_log_loses_its_oldest_entry_and_only_its_own() -> None:
    """Each log is a ring of its own: filling one leaves the others alone."""
    log = EventLog(lambda: 5, 3)
    log.write(Log.SECURITY, Event.KEY_EK, 10, 1)
    for at in range(20, 25):
        log.write(Log.EVENT, at, at, 0)
    assert [code for _, code, _ in log.read(Log.EVENT)] == [22, 23, 24]
    assert log.read(Log.SECURITY) == [(10, Event.KEY_EK, 1)]
    assert EventLog(lambda: 5, 3).read(Log.EVENT) == [(5, Event.INSTALLED, 0)]
