"""Auxiliary switches of a real meter, over the air and at the contact: calendar, offset, power, every fault of F18.

The split is what is tested: what a read over the air says (`aux`) against whether current flows (`contact`)."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from devices.catalogue import KINDS
from devices.common.model import DeviceModel
from devices.electricity import relays
from emulator.codecs.axdr import Data, array, long_unsigned, octet_string, structure, unsigned
from emulator.commands import PowerCut, PressBoost
from emulator.dlms.classes.schedule import Entry
from emulator.dlms.client import Answer, Refused
from emulator.dlms.cosem import obis
from emulator.faults import auxiliary as faults
from emulator.faults.mischief import Mischief
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND

E = Party.ELECTRICITY
SCRIPTS = "0-0:10.0.103"
ACTIVATE, DEACTIVATE, RESET = 0x1011, 0x0012, 0x0020


@pytest.fixture
def home(bench: Callable[..., Any]) -> Any:
    """A five-terminal home on Economy 7 at noon, two heaters, its hub awake."""
    made = bench(tariff="economy7", switches=2)
    made.rouse()
    return made


def rebuilt(home: Any, **auxiliary: Any) -> None:
    """The same meter with other habits of its switches."""
    profile = home.electricity.model.profile
    changed = msgspec.structs.replace(profile.auxiliary, **auxiliary)
    model = DeviceModel(msgspec.structs.replace(profile, auxiliary=changed), KINDS[E])
    home.machines[E] = model.create(
        home.installation, home.installation.device(E), store=home.store, contexts={1: int(E)}, seed=home.seed
    )


def arm(home: Any, fault: Any) -> Mischief:
    """Put a fault in force now."""
    mischief = home.electricity.mischief or Mischief(home.seed)
    mischief.arm(fault, home.now)
    home.electricity.mischief = mischief
    return mischief


def opened(home: Any) -> Any:
    talk = home.talk(E)
    assert isinstance(talk.open(), Answer)
    return talk


def aux(talk: Any, switch: int = 1) -> Any:
    """What the meter says over the air."""
    return talk.read(70, f"0-{switch}:96.3.10")


def contact(home: Any, switch: int = 1, after: int = 0) -> bool:
    """Whether current can flow now, or so much later."""
    closed: bool = home.electricity.auxiliary(switch, home.now + after)
    return closed


def script(talk: Any, kind: int, switch: int = 1, minutes: int | None = None) -> Any:
    if minutes is not None:
        group = {ACTIVATE: 117, DEACTIVATE: 119, RESET: 121}[kind]
        assert isinstance(talk.write(1, f"0-0:94.44.{group}.{switch}", 2, long_unsigned(minutes)), Answer)
    return talk.act(9, SCRIPTS, 1, long_unsigned(kind + switch * 0x100))


def at(home: Any, hour: float) -> None:
    """Let time pass to an hour of the next day, and wake the hub again."""
    midnight = home.now - home.now % DAY + DAY
    home.run(midnight + round(hour * HOUR) - home.now)
    home.rouse()


# A calendar of its own


def lines(*moves: tuple[int, bool, str]) -> Data:
    made = []
    for index, (switch, on, time) in enumerate(moves, 1):
        number = (ACTIVATE if on else DEACTIVATE) + switch * 0x100
        clock = bytes((int(time[:2]), int(time[3:]), 0, 0))
        made.append(Entry(index, True, obis(SCRIPTS), number, clock).data())
    return array(made)


def test_a_calendar_of_its_own_does_not_care_for_the_tariff(home: Any) -> None:
    """Found with 00:00 to 07:00 though the night rate begins at 00:30; a tariff write moves the rate and no switch."""
    rebuilt(home, calendar="own")
    talk = opened(home)
    assert [contact(home, after=12 * HOUR + minute * MINUTE) for minute in (-1, 1, 7 * 60 - 1, 7 * 60 + 1)] == [
        False,
        True,
        True,
        False,
    ]
    entry = talk.read(10, "0-0:12.0.2")[0]
    assert (entry.value[3].value, entry.value[4].value) == (ACTIVATE + 0x100, b"\x00\x00\x00\x00")
    from devices.common import tariff

    days = array((tariff.day_type(1, ((0, 2),)),))
    assert isinstance(talk.write(20, "0-0:13.0.0", 5, days), Answer)
    assert talk.read(6, "0-0:14.0.0", 4) == b"\x02"
    assert aux(talk) is contact(home) is False


def test_switching_times_are_written_and_survive_a_row(home: Any) -> None:
    """6.14.2 as a meter sees it: lines that have switch 1 on from 11:00 to 15:00 act at once, leave switch 2 without
    any, and stand after the meter was put away; method 2 adds a line for switch 2."""
    rebuilt(home, calendar="own")
    model = home.electricity.model
    talk = opened(home)
    assert isinstance(talk.write(10, "0-0:12.0.2", 2, lines((1, True, "11:00"), (1, False, "15:00"))), Answer)
    assert (aux(talk, 1), aux(talk, 2)) == (True, False)
    state = home.electricity.snapshot()
    home.machines[E] = model.create(
        home.installation, home.installation.device(E), store=home.store, contexts={1: int(E)}, seed=1, state=state
    )
    assert (contact(home), contact(home, after=4 * HOUR), contact(home, 2)) == (True, False, False)
    home.rouse()
    talk = opened(home)
    added = Entry(3, True, obis(SCRIPTS), ACTIVATE + 0x200, bytes((10, 0, 0, 0))).data()
    assert isinstance(talk.act(10, "0-0:12.0.2", 2, added), Answer)
    assert aux(talk, 2) is True


@pytest.mark.parametrize(
    "bad",
    [
        lines((6, True, "10:00")),
        array((Entry(1, True, obis("0-0:10.0.100"), ACTIVATE + 0x100, bytes(4)).data(),)),
        array(Entry(n, True, obis(SCRIPTS), ACTIVATE + 0x100, bytes(4)).data() for n in range(1, 50)),
        array((unsigned(1),)),
    ],
)
def test_lines_that_move_no_switch_are_refused_and_change_nothing(home: Any, bad: Data) -> None:
    """A sixth switch, another script table, a 49th line, no line at all: refused, and the old calendar stays."""
    rebuilt(home, calendar="own")
    talk = opened(home)
    before = talk.read(10, "0-0:12.0.2")
    assert isinstance(talk.write(10, "0-0:12.0.2", 2, bad), Refused)
    assert talk.read(10, "0-0:12.0.2") == before
    assert contact(home, after=13 * HOUR) is True


def test_special_days_count_for_the_switches(home: Any) -> None:
    """On a special day only lines that name its id run: none does, so the switch stays off."""
    rebuilt(home, calendar="own")
    talk = opened(home)
    from emulator.dlms import moment

    tomorrow = structure((long_unsigned(1), octet_string(moment.encode_date(home.now + DAY)), unsigned(1)))
    assert isinstance(talk.write(11, "0-0:11.0.2", 2, array((tomorrow,))), Answer)
    assert contact(home, after=13 * HOUR) is False
    assert contact(home, after=DAY + 13 * HOUR) is True


def test_a_hold_lies_over_an_own_calendar(home: Any) -> None:
    """Deactivated for two hours at 01:00: off, then on again by the calendar; reset gives it back at once."""
    rebuilt(home, calendar="own")
    at(home, 1)
    talk = opened(home)
    assert aux(talk) is True
    script(talk, DEACTIVATE, minutes=120)
    assert (contact(home), contact(home, after=2 * HOUR + MINUTE)) == (False, True)
    script(talk, RESET, minutes=0)
    assert aux(talk) is True


# Randomised offset


def test_the_offset_delays_the_schedule_and_not_a_command(home: Any) -> None:
    """With a limit of 1,799 s each switch is late by its own part of it, the same for ever; a boost acts at once."""
    rebuilt(home, offset_most_s=1_799)
    talk = opened(home)
    own = [talk.read(1, f"0-{switch}:94.44.11") for switch in range(1, 6)]
    assert len(set(own)) > 1
    assert all(0 <= each <= 1_799 for each in own)
    night = home.now - home.now % DAY + DAY + 30 * MINUTE
    for switch in (1, 2):
        closes = night + own[switch - 1] * SECOND - home.now
        assert not contact(home, switch, closes - 10 * SECOND)
        assert contact(home, switch, closes + 10 * SECOND)
    home.command(E, PressBoost(1, 5))
    assert contact(home) is True
    assert contact(home, after=6 * MINUTE) is False


def test_the_limit_is_written_over_the_air(home: Any) -> None:
    """Limit 0 takes the offset away; 1,800 and another type are refused."""
    rebuilt(home, offset_most_s=900)
    talk = opened(home)
    assert talk.read(1, "0-0:94.44.11") == 900
    assert isinstance(talk.write(1, "0-0:94.44.11", 2, long_unsigned(0)), Answer)
    assert talk.read(1, "0-1:94.44.11") == 0
    assert contact(home, after=12 * HOUR + 31 * MINUTE) is True
    for bad in (long_unsigned(1_800), unsigned(5)):
        assert isinstance(talk.write(1, "0-0:94.44.11", 2, bad), Refused)


# Power


def test_switches_may_come_back_off_until_their_next_time(home: Any) -> None:
    """Habit "off": after a cut at 02:00 a switch stays off though the night rate runs, and is on again the next
    night."""
    rebuilt(home, after_power_up="off")
    at(home, 2)
    assert contact(home) is True
    home.command(E, PowerCut(60))
    home.run(2 * MINUTE)
    assert contact(home) is False
    assert contact(home, after=DAY - HOUR) is True


# Relays


@pytest.mark.parametrize(("state", "by_day", "by_night"), [("open", False, False), ("closed", True, True)])
def test_a_stuck_relay_ignores_commands_and_the_schedule_while_reads_look_right(
    home: Any, state: Any, by_day: bool, by_night: bool
) -> None:
    """Activated at noon the meter says on, deactivated off; the contact stands where it is stuck, by night too. The
    other switch works."""
    mischief = arm(home, faults.RelayStuck(switch=1, state=state))
    talk = opened(home)
    assert isinstance(script(talk, ACTIVATE, minutes=30), Answer)
    assert (aux(talk), contact(home)) == (True, by_day)
    assert isinstance(script(talk, DEACTIVATE, minutes=30), Answer)
    assert (aux(talk), contact(home)) == (False, by_day)
    assert (contact(home, after=14 * HOUR), contact(home, 2, 14 * HOUR)) == (by_night, True)
    assert mischief.fired == {1: 1}
    assert "fault.fired" in home.kinds(E)


def test_a_relay_stuck_as_is_stays_as_it_stood(home: Any) -> None:
    """Struck by night it stays closed by day, and the meter says off."""
    at(home, 3)
    arm(home, faults.RelayStuck())
    assert contact(home) is True
    at(home, 12)
    assert (aux(opened(home)), contact(home)) == (False, True)


def test_a_relay_fault_counts_from_when_it_came_into_force(home: Any) -> None:
    """In force from 01:00, first looked at in the evening: the energy of the night after 01:00 never flowed."""
    sound = home.build(E)
    arm(home, faults.RelayStuck(state="open", after_s=13 * 3_600))
    home.run(30 * HOUR)
    start, end = home.now - 30 * HOUR, home.now
    assert contact(home) is False
    heated = [
        (span.until - span.since) / HOUR
        for span in home.electricity.auxiliary_spans(1, start, end, home.now)
        if span.closed
    ]
    assert sum(heated) == pytest.approx(0.5, abs=0.01)  # 00:30 to 01:00
    lost = sound.total(end) - home.electricity.total(end)
    assert lost > 2 * 1_000 * 6 * 0.7 * 1.3, "two heaters, six and a half hours, in March"


def test_what_was_broken_stays_broken(home: Any) -> None:
    """Ending the fault mends no relay, and neither does a row."""
    mischief = arm(home, faults.RelayStuck(state="closed"))
    assert contact(home) is True
    mischief.disarm(1)
    home.restart(E)
    assert contact(home, after=HOUR) is True
    assert home.electricity.ledger.switch_on(1, home.now) is False


def test_an_inverted_relay_heats_by_day(home: Any) -> None:
    """Closed at noon and open at night, while the meter says the contrary; energy goes where the contact lets it."""
    sound = home.build(E)
    arm(home, faults.RelayInverted())
    talk = opened(home)
    assert (aux(talk), contact(home)) == (False, True)
    assert (aux(talk, 2), contact(home, 2)) == (False, True)
    noon, midnight = home.now, home.now + 12 * HOUR
    day = home.electricity.rate_total(1, midnight) - home.electricity.rate_total(1, noon)
    assert day > sound.rate_total(1, midnight) - sound.rate_total(1, noon) + 2 * 1_000 * 11
    at(home, 3)
    talk = opened(home)
    assert (aux(talk), contact(home)) == (True, False)


def test_a_relay_may_be_turned_round_by_the_migration(home: Any) -> None:
    """Nothing until a new encryption key is taken; inverted from then on."""
    mischief = arm(home, faults.RelayInverted(from_migration=True))
    talk = opened(home)
    assert contact(home) is False
    assert mischief.fired == {1: 0}
    home.electricity.key_installed(1, 0, home.now)
    assert contact(home) is True
    assert mischief.fired == {1: 1}
    assert aux(talk) is False


def test_a_meter_without_switches_is_never_struck(bench: Callable[..., Any]) -> None:
    """No fifth terminal, no relay to stick: the fault waits for ever."""
    home = bench()
    mischief = arm(home, faults.RelayStuck())
    home.rouse()
    opened(home)
    assert mischief.fired == {1: 0}


# Holds and power


@pytest.mark.parametrize(
    ("fault", "just_after", "later"),
    [
        (None, True, False),
        (faults.TimerNotRestored(hold="lost"), False, False),
        (faults.TimerNotRestored(hold="for-ever"), True, True),
        (faults.WrongStateAfterPowerUp(state="off"), False, False),
        (faults.WrongStateAfterPowerUp(state="inverse"), False, False),
        (faults.WrongStateAfterPowerUp(state="on", until="reset"), True, True),
    ],
)
def test_a_power_cut_and_what_becomes_of_a_boost(home: Any, fault: Any, just_after: bool, later: bool) -> None:
    """A boost of two hours and a minute without mains: just after, and three hours later at noon's rate."""
    home.command(E, PressBoost(1, 120))
    if fault is not None:
        mischief = arm(home, fault)
    home.command(E, PowerCut(60))
    home.run(2 * MINUTE)
    assert (contact(home), contact(home, after=3 * HOUR)) == (just_after, later)
    if fault is not None:
        assert mischief.fired == {1: 1}
        home.rouse()
        talk = opened(home)
        assert aux(talk) is just_after, "the meter believes so too"
        script(talk, RESET, minutes=0)
        assert contact(home) is False


def test_a_wrong_state_ends_at_the_next_switching_time(home: Any) -> None:
    """Inverse after a cut at noon: on until the night rate would begin, and right from then on."""
    arm(home, faults.WrongStateAfterPowerUp(switch=1))
    home.command(E, PowerCut(30))
    home.run(MINUTE)
    assert (contact(home, 1), contact(home, 2)) == (True, False)
    assert contact(home, after=14 * HOUR) is True
    assert contact(home, after=20 * HOUR) is False


@pytest.mark.parametrize(("wins", "at_three", "next_day"), [("calendar", True, False), ("ad-hoc", False, False)])
def test_calendar_and_command_in_conflict(home: Any, wins: Any, at_three: bool, next_day: bool) -> None:
    """Held off for 23 hours from noon: the calendar ends it at 00:30, or the hold never ends."""
    arm(home, faults.CalendarAgainstAdHoc(wins=wins))
    talk = opened(home)
    script(talk, DEACTIVATE, minutes=23 * 60)
    assert contact(home) is False
    assert contact(home, after=15 * HOUR) is at_three
    assert contact(home, after=39 * HOUR) is at_three


def test_a_tariff_write_may_drop_what_the_switches_follow(home: Any) -> None:
    """The same tariff loaded again: registers and calendar read right, and no switch is ever on again; what a switch
    follows reads empty, and writing it again heals."""
    mischief = arm(home, faults.SwitchMappingDropped())
    talk = opened(home)
    days = talk.read(20, "0-0:13.0.0", 5)
    assert isinstance(talk.write(20, "0-0:13.0.0", 5, array(days)), Answer)
    assert talk.read(1, "0-1:94.44.10") == ()
    assert talk.read(20, "0-0:13.0.0", 5) == days
    assert (contact(home, after=14 * HOUR), contact(home, 2, 14 * HOUR)) == (False, False)
    assert mischief.fired == {1: 1}
    assert isinstance(talk.write(1, "0-1:94.44.10", 2, array((unsigned(2),))), Answer)
    assert (contact(home, after=14 * HOUR), contact(home, 2, 14 * HOUR)) == (True, False)


# Causes


def test_every_movement_has_its_cause(home: Any) -> None:
    """A day and a half with everything in it: each movement of the contact is told once, with why."""
    start = home.now
    talk = opened(home)
    script(talk, ACTIVATE, minutes=60)
    home.run(3 * HOUR)
    home.command(E, PressBoost(2, 480))
    home.run(HOUR)
    home.command(E, PowerCut(600))
    at(home, 8)
    arm(home, faults.RelayStuck(switch=2, state="closed"))
    home.run(MINUTE)
    moved = [each for each in home.electricity.auxiliary_causes(start, home.now, home.now) if each[1] <= 2]
    assert [(switch, closed, cause) for _, switch, closed, cause in moved] == [
        (1, True, "command"),
        (1, False, "hold-ended"),
        (2, True, "boost"),
        (2, False, "power"),
        (2, True, "power"),
        (2, False, "hold-ended"),
        (1, True, "schedule"),
        (2, True, "schedule"),
        (1, False, "schedule"),
        (2, False, "schedule"),
        (2, True, "fault"),
    ]
    for instant, switch, closed, cause in moved:
        assert cause in relays.EVIDENCE
        before, after = (
            next(iter(home.electricity.auxiliary_spans(switch, near, near + 1, home.now)))
            for near in (instant - 1, instant)
        )
        assert (before.closed, after.closed) == (not closed, closed)
    for cause in {cause for *_, cause in moved} - {"schedule", "fault"}:
        assert any(kind in home.kinds(E) for kind in relays.EVIDENCE[cause]), cause
