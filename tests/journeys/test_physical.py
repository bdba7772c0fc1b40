"""What a meter can be told to do, told over the air, and what becomes of its contacts."""

from datetime import timedelta
from typing import Any

import pytest
from journey_kit import CALM

from devices.common.tariff import day_type
from emulator.codecs.axdr import array, enum, integer, long_unsigned, octet_string, structure
from emulator.commands import PowerCut, PressReconnect, RaiseAlert
from emulator.errors import UsageError
from emulator.fleet import tariffs
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.time import DAY, HOUR, MINUTE
from emulator.scenario.playground import Home, Playground

SUPPLY, SUPPLY_SCRIPTS = "70/0-0:96.3.10", "9/0-0:10.0.106"
ENABLE, DISABLE, ARM = 0x33, 0x34, 0x36
DAY_PROFILES = "20/0-0:13.0.0"
OFF, ON, READY = 0, 1, 2
FIVE, DUAL = 1, 6  # economy7, two switches; economy10, one switch and gas


@pytest.fixture
def world() -> Playground:
    return Playground("demo-street", air=CALM)


@pytest.fixture
def home(world: Playground) -> Home:
    return world.home(FIVE)


def state(home: Home) -> tuple[int, bool]:
    """(control state, output state) of the supply, asked over the air."""
    return home.electricity.read(SUPPLY, 3), bool(home.electricity.read(SUPPLY, 2))


def drawn(home: Home, world: Playground, minutes: int = 20) -> int:
    """Wh that flow in so many minutes."""
    before = home.electricity.read("3/1-0:1.8.0")
    world.run_for(minutes=minutes)
    return int(home.electricity.read("3/1-0:1.8.0")) - int(before)


# The supply


def test_the_supply_obeys_the_methods_of_class_70(world: Playground, home: Home) -> None:
    """Disconnected nothing flows, and the customer's button changes nothing; reconnected from afar it flows again."""
    assert state(home) == (ON, True)
    assert drawn(home, world) > 0
    home.electricity.act(SUPPLY, 1, integer(0))
    assert state(home) == (OFF, False)
    assert drawn(home, world, 60) == 0
    home.electricity.press(PressReconnect())  # a button that nobody armed
    assert state(home) == (OFF, False)
    assert world.notes("relay.button-ignored", FIVE)
    home.electricity.act(SUPPLY, 2, integer(0))  # control mode 4: at once, without anybody's button
    assert state(home) == (ON, True)
    assert drawn(home, world) > 0


def test_the_supply_obeys_its_script_table(world: Playground, home: Home) -> None:
    """Disable, arm, the button; and enable without anybody's button."""

    def execute(script: int) -> None:
        home.electricity.act(SUPPLY_SCRIPTS, 1, long_unsigned(script))

    execute(DISABLE)
    assert state(home) == (OFF, False)
    assert drawn(home, world) == 0
    execute(ARM)
    assert state(home) == (READY, False)
    assert drawn(home, world) == 0
    home.electricity.press(PressReconnect())
    assert state(home) == (ON, True)
    assert drawn(home, world) > 0
    with pytest.raises(RefusedError, match="action"):
        execute(ARM)  # what flows is not armed
    assert state(home) == (ON, True)
    execute(DISABLE)
    execute(ENABLE)
    assert state(home) == (ON, True)
    with pytest.raises(RefusedError):
        execute(0x7777)
    codes = [row[1] for row in home.electricity.read("7/0-0:99.98.0")]
    assert len(codes) == 6  # put up, off, ready, on, off, on


def test_the_supply_outlasts_a_night_and_a_power_cut(world: Playground, home: Home) -> None:
    """A contact is a piece of metal: asleep in its row and without mains it stays where it was put."""
    home.electricity.act(SUPPLY_SCRIPTS, 1, long_unsigned(DISABLE))
    home.electricity.press(PowerCut(7_200))
    with pytest.raises(NoAnswerError):
        home.electricity.read("clock")  # it is dark
    world.run_for(hours=12)
    assert world.cell(FIVE).cell.awake == 0
    assert state(home) == (OFF, False)
    home.electricity.act(SUPPLY_SCRIPTS, 1, long_unsigned(ENABLE))
    assert state(home) == (ON, True)


def test_the_gas_valve_shuts_opens_and_holds_back(world: Playground) -> None:
    """Over the sleepy radio: shut, armed from afar, opened by hand; no gas while it is shut."""
    home = world.home(DUAL)
    assert home.gas.read(SUPPLY, 3) == ON
    home.gas.act(SUPPLY, 1, integer(0))
    assert home.gas.read(SUPPLY, 3) == OFF
    before = home.gas.read("3/7-0:3.0.0")
    world.run_for(hours=24)
    assert home.gas.read("3/7-0:3.0.0") == before
    home.gas.act(SUPPLY_SCRIPTS, 1, long_unsigned(ARM))
    assert home.gas.read(SUPPLY, 3) == READY
    home.gas.press(PressReconnect())
    assert home.gas.read(SUPPLY, 3) == ON
    world.run_for(hours=24)
    assert home.gas.read("3/7-0:3.0.0") > before
    assert state(home) == (ON, True)  # the other contact of the home was never meant


# Auxiliary switches


@pytest.mark.parametrize("switch", [1, 2, 3, 4, 5])
def test_every_auxiliary_switch_is_held_for_as_long_as_asked(world: Playground, home: Home, switch: int) -> None:
    """On for half an hour and off again by itself; off for so long; its neighbours stay where they were."""
    world.run_until(world.estate.start + 12 * HOUR)  # noon: the calendar says off
    handle = home.auxiliary(switch)
    others = [home.auxiliary(other) for other in range(1, 6) if other != switch]
    assert not handle.closed
    handle.activate(minutes=30)
    assert handle.closed
    assert handle.physically_closed
    assert not any(other.physically_closed for other in others)
    world.run_for(minutes=31)
    assert not handle.physically_closed
    assert not handle.closed
    world.run_until(world.estate.start + DAY + 2 * HOUR)  # night: the calendar says on
    assert handle.closed
    handle.deactivate(minutes=45)
    assert not handle.closed
    assert all(other.physically_closed for other in others)
    world.run_for(minutes=46)
    assert handle.closed


def test_reset_gives_a_switch_back_to_the_calendar(world: Playground, home: Home) -> None:
    """Whatever holds it, and at once; also a hold without an end."""
    world.run_until(world.estate.start + 12 * HOUR)
    first, second = home.auxiliary(1), home.auxiliary(2)
    first.activate(minutes=0)  # until reset
    second.activate(minutes=600)
    world.run_for(hours=6)
    assert first.closed
    assert second.closed
    first.reset()
    assert not first.closed
    assert second.closed
    world.run_until(world.estate.start + DAY + HOUR)
    assert first.closed  # the calendar, not the hold


def test_the_button_boosts_and_the_head_end_ends_it(world: Playground, home: Home) -> None:
    """A customer's boost is seen over the air, lasts as long as it says, and can be taken back."""
    world.run_until(world.estate.start + 12 * HOUR)
    switch = home.auxiliary(1)
    switch.boost(minutes=60)
    assert switch.closed
    world.run_for(minutes=61)
    assert not switch.closed
    switch.boost(minutes=60)
    switch.reset()
    assert not switch.closed


def test_a_heater_is_seen_in_the_registers(world: Playground, home: Home) -> None:
    """What hangs on a wired switch draws its power while it is closed; an unwired one draws nothing."""
    world.run_until(world.estate.start + 12 * HOUR)
    idle = drawn(home, world, 60)
    home.auxiliary(1).activate(minutes=90)
    wired = drawn(home, world, 60)
    home.auxiliary(1).reset()
    home.auxiliary(5).activate(minutes=90)
    unwired = drawn(home, world, 60)
    assert wired - idle > 700
    assert abs(unwired - idle) < 600


def test_there_are_five_switches_and_no_sixth(home: Home, world: Playground) -> None:
    """A wrong number is a mistake of the test's; a meter without switches refuses them."""
    for switch in (0, 6):
        with pytest.raises(UsageError, match="there are 1 to 5"):
            home.auxiliary(switch)
    with pytest.raises(RefusedError):
        world.home(0).auxiliary(1).activate(minutes=30)


def test_switches_follow_the_calendar_across_a_whole_day(world: Playground) -> None:
    """At every quarter of an hour of a day the relay is where the loaded table says."""
    home = world.home(DUAL)
    table = tariffs.tables()["economy10"]
    start = world.estate.start + DAY
    seen = set()
    for quarter in range(96):
        at = start + quarter * 15 * MINUTE + 5 * MINUTE
        world.run_until(at)
        assert home.auxiliary(1).physically_closed == table.live(at), utc_text(at)
        seen.add(table.live(at))
    assert seen == {True, False}
    assert bool(home.auxiliary(1).closed) == table.live(world.instant)


def utc_text(at: int) -> str:
    from emulator.kernel.time import text

    return text(at)


# The tariff


def test_a_tariff_write_moves_the_switching_time(world: Playground, home: Home) -> None:
    """Cheap from 11:00 to 14:00 instead of at night: the heaters move with it, and the night stays cold."""
    write_days(home, ((0, 1), (11 * 3_600, 2), (14 * 3_600, 1)))
    start = world.estate.start + DAY
    for hour, closed in ((2, False), (6, False), (10, False), (12, True), (13, True), (15, False), (23, False)):
        world.run_until(start + hour * HOUR)
        assert home.auxiliary(1).closed is closed, hour
        assert home.electricity.read("6/0-0:14.0.0", 4) == bytes((2 if closed else 1,))


def write_days(home: Home, spans: tuple[tuple[int, int], ...]) -> None:
    home.electricity.write(DAY_PROFILES, array((day_type(1, spans),)), 5)


def test_a_broken_tariff_moves_nothing(world: Playground, home: Home) -> None:
    """A table that makes no calendar is refused or waits; the switches keep to the old times."""
    for spans in ((), ((0, 1), (0, 2)), ((90_000, 1),)):
        try:
            write_days(home, spans)
        except (RefusedError, ValueError):
            continue
    world.run_until(world.estate.start + DAY + 2 * HOUR)
    table = tariffs.tables()["economy7"]
    assert home.auxiliary(1).closed == table.live(world.instant)


def test_the_clock_can_be_set_and_drifts(world: Playground, home: Home) -> None:
    """A set clock is right to the second; read days later it is still nearly right."""
    from emulator.codecs.axdr import Data, Tag
    from emulator.dlms import moment

    home.electricity.write("clock", Data(Tag.DATE_TIME, moment.encode(world.instant + 2_000_000)))
    assert abs(home.electricity.read("clock") - world.now) < timedelta(seconds=60)
    world.run_for(days=3)
    assert abs(home.electricity.read("clock") - world.now) < timedelta(seconds=60)


# Alerts


def redirect(home: Home, address: bytes = b"10.0.0.1:4061") -> None:
    home.electricity.write("40/0-0:25.9.0", structure([enum(1), octet_string(address), enum(0)]), 3)


def test_an_alert_comes_where_it_is_told_to(world: Playground, home: Home) -> None:
    """As found it goes to the old operator; redirected it comes here, sealed by the meter, code and text whole."""
    home.electricity.press(RaiseAlert(0x8F1D, "lid open"))
    world.run_for(minutes=2)
    assert vouched(home) == []
    assert world.notes("link.elsewhere", FIVE)
    redirect(home)
    home.electricity.press(RaiseAlert(0x8F1D, "lid open"))
    world.run_for(minutes=2)
    (alert,) = vouched(home)
    spec = home.installation.devices[1]
    assert alert.system_title == spec.system_title
    code, _, text = alert.body.value
    assert (code.value, text.value) == (0x8F1D, b"lid open")


def vouched(home: Home) -> list[Any]:
    return [alert for alert in home.alerts if alert.system_title is not None]


def test_an_alert_wakes_its_hub_and_survives_a_change_of_keys(world: Playground, home: Home) -> None:
    """Hours later, the hub long asleep and the keys changed: it attaches for the alert, and the alert opens."""
    redirect(home)
    home.electricity.rotate_keys()
    world.run_for(hours=5)
    assert world.cell(FIVE).cell.awake == 0
    home.electricity.press(RaiseAlert(0x8001, "power"))
    world.run_for(minutes=3)
    assert len(vouched(home)) == 1
    home.electricity.act("40/0-0:25.9.0", 1, integer(0))  # push: send what the push object lists
    world.run_for(minutes=3)
    assert len(vouched(home)) == 2
    assert home.electricity.read("clock")  # the counter they share is in order


def test_a_bad_destination_is_refused_or_leads_nowhere(world: Playground, home: Home) -> None:
    """Nonsense does not come here, and the meter goes on."""
    for address in (b"", b"not an address", b"10.0.0.1", b"10.0.0.1:99999", b"\xff" * 30):
        try:
            redirect(home, address)
        except RefusedError:
            continue
        home.electricity.press(RaiseAlert(0x8F1D, "lost"))
        world.run_for(minutes=2)
    assert vouched(home) == []
    assert home.electricity.read("clock")
