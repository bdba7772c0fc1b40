"""Clock, profiles, calendars and schedules: the classes that live by time."""

import datetime as dt

import pytest
from dlms_bench_meter import (
    BILLING,
    BORN,
    CALENDAR,
    CALENDAR_PASSIVE,
    CLOCK,
    ENERGY,
    EVENTS,
    LOAD_PROFILE,
    MANUAL,
    NAME,
    NOW,
    SCHEDULE,
    SETTING,
    SINGLE_ACTION,
    SLOW,
    SPECIAL_DAYS,
    SUPPLY,
    SUPPLY_SCRIPTS,
    TARIFF_SCRIPTS,
    TREE,
    energy,
)

from emulator.codecs.axdr import (
    Data,
    array,
    boolean,
    double_long_unsigned,
    enum,
    integer,
    long,
    long_unsigned,
    null,
    octet_string,
    structure,
    unsigned,
)
from emulator.codecs.get import SelectiveAccess
from emulator.dlms import moment
from emulator.dlms.classes import ActivityCalendar, Clock, ProfileGeneric, Schedule, SingleActionSchedule, SpecialDays
from emulator.dlms.classes.activity_calendar import Calendar
from emulator.dlms.classes.clock import SUMMER_BEGIN
from emulator.dlms.classes.profile_generic import FAREST_FROM_ZERO, LARGEST, LIFO, NEAREST_TO_ZERO, SMALLEST
from emulator.dlms.classes.push_setup import Column
from emulator.dlms.classes.schedule import Entry
from emulator.dlms.classes.single_action_schedule import ONE_TIME, SAME_TIME, TIMES, execution_time
from emulator.dlms.classes.special_days import special_day
from emulator.dlms.client import Answer, Refused
from emulator.dlms.cosem import AccessRefused, ActionRefused
from emulator.dlms.tree import ObjectTree
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND, instant


def at(*parts: int) -> int:
    return instant(dt.datetime(*parts, tzinfo=dt.UTC))


def stamp(now: int) -> Data:
    return octet_string(moment.encode(now))


# Clock


def test_the_clock_shows_true_time_drift_and_what_was_set(meter, head_end):
    """With 10 ppm of drift it is 345.6 s fast after 400 days; set right it is right, and goes on drifting at its
    rate."""
    meter.drift_ppm = 10
    clock = TREE[8, CLOCK]
    assert clock.time(meter, NOW) - NOW == 345_600_000
    assert head_end.set(8, CLOCK, 2, stamp(NOW)) == Answer(None)
    assert clock.time(meter, NOW) == NOW
    later = NOW + 10 * DAY
    assert clock.time(meter, later) - later == 8_640_000
    for wanted in (NOW, NOW + 123_456_789, later):
        assert clock.time(meter, clock.true(meter, wanted)) >= wanted
        assert clock.time(meter, clock.true(meter, wanted) - 1) < wanted
    meter.drift_ppm = 0
    assert meter.noted("clock.set") == 1


def test_setting_the_clock_to_what_it_is_leaves_nothing_behind(meter, head_end):
    """An offset of zero is no deviation."""
    head_end.set(8, CLOCK, 2, stamp(NOW + HOUR))
    assert len(meter.deviations) == 1
    head_end.set(8, CLOCK, 2, stamp(NOW))
    assert meter.deviations == {}


@pytest.mark.parametrize(
    "data",
    [octet_string(bytes(11)), octet_string(b"\xff" * 12), octet_string(bytes(12)), null(), unsigned(1),
     octet_string(bytes.fromhex("07E402010700000000800000"))],
)  # fmt: skip
def test_what_is_no_time_does_not_set_the_clock(meter, head_end, data):
    """Wrong length, wildcards, the year 0, a wrong weekday, other types: type unmatched, the clock goes on."""
    assert head_end.set(8, CLOCK, 2, data) == Refused("access", 12)
    assert meter.deviations == {}


def test_a_deviation_in_a_written_time_is_honoured(meter, head_end):
    """13:00 at deviation -60 is 12:00 UTC; a tagged date-time does as well as an octet string."""
    assert head_end.set(8, CLOCK, 2, Data(25, moment.encode(NOW + HOUR, -60))) == Answer(None)
    assert TREE[8, CLOCK].time(meter, NOW) == NOW


def test_summer_time_moves_the_shown_time_and_marks_it(meter, head_end):
    """Enabled, British Summer Time begins at 01:00 UTC on the last Sunday of March and ends at 01:00 UTC in October."""
    clock = TREE[8, CLOCK]
    assert head_end.set(8, CLOCK, 8, boolean(True)) == Answer(None)
    for now, summer in (
        (at(2020, 3, 29, 0, 59, 59), False),
        (at(2020, 3, 29, 1), True),
        (at(2020, 7, 1), True),
        (at(2020, 10, 25, 0, 59, 59), True),
        (at(2020, 10, 25, 1), False),
    ):
        shown = clock.shown(meter, now)
        assert moment.decode(shown) == now
        assert shown == moment.encode(now + HOUR * summer, -60 * summer, 0x80 * summer)
        assert clock.status(meter, now) == (0x80 if summer else 0)
        # the hour that comes twice is read as its first coming
        twice = now == at(2020, 10, 25, 1)
        assert clock.from_local(meter, clock.local(meter, now), now) == (now - HOUR if twice else now)
    assert head_end.set(8, CLOCK, 3, long(-60)) == Answer(None)
    assert moment.decode(clock.shown(meter, NOW)) == NOW
    assert clock.shown(meter, NOW)[5] == 13


def test_summer_on_the_southern_half_and_patterns_that_name_no_day(meter):
    """Begin after end: summer is around the new year; the 30th of February: no summer at all."""
    clock = Clock(summer_enabled=True)
    clock.set(meter, 5, octet_string(bytes.fromhex("FFFF0AFE0702000000800000")), NOW)
    clock.set(meter, 6, octet_string(bytes.fromhex("FFFF03FE0703000000800000")), NOW)
    assert clock.in_summer(meter, at(2020, 1, 1), NOW)
    assert not clock.in_summer(meter, at(2020, 7, 1), NOW)
    clock.set(meter, 5, octet_string(bytes.fromhex("FFFF021EFF02000000800000")), NOW)
    assert not clock.in_summer(meter, at(2020, 1, 1), NOW)


@pytest.mark.parametrize(
    ("method", "expected"),
    [(1, at(2020, 3, 2, 12, 15)), (2, at(2020, 3, 2, 12)), (3, at(2020, 3, 2, 12, 11))],
)
def test_the_clock_is_adjusted_to_the_nearest(meter, head_end, method, expected):
    """12:10:40 to the quarter, to the measuring period of half an hour, to the minute."""
    head_end.now = at(2020, 3, 2, 12, 10, 40)
    assert head_end.act(8, CLOCK, method, integer(0)) == Answer(None)
    assert TREE[8, CLOCK].time(meter, head_end.now) == expected
    assert head_end.act(8, CLOCK, method, octet_string(b"")) == Refused("action", 12)


def test_a_preset_time_is_taken_within_its_interval_and_once(meter, head_end):
    """Methods 5 and 4: before the interval refused, within it taken over, afterwards gone."""
    preset = structure((stamp(NOW + 2 * HOUR), stamp(NOW + MINUTE), stamp(NOW + 3 * MINUTE)))
    assert head_end.act(8, CLOCK, 4, integer(0)) == Refused("action", 250)
    assert head_end.act(8, CLOCK, 5, structure((stamp(NOW),))) == Refused("action", 12)
    assert head_end.act(8, CLOCK, 5, structure((stamp(NOW), null(), null()))) == Refused("action", 12)
    backwards = structure((stamp(NOW), stamp(NOW + HOUR), stamp(NOW)))
    assert head_end.act(8, CLOCK, 5, backwards) == Refused("action", 250)
    assert head_end.act(8, CLOCK, 5, preset) == Answer(None)
    assert head_end.act(8, CLOCK, 4, integer(0)) == Refused("action", 250)
    head_end.now = NOW + 2 * MINUTE
    assert head_end.act(8, CLOCK, 4, integer(0)) == Answer(None)
    assert TREE[8, CLOCK].time(meter, head_end.now) == NOW + 2 * HOUR
    assert head_end.act(8, CLOCK, 4, integer(0)) == Refused("action", 250)


def test_the_clock_shifts_by_at_most_900_seconds(meter, head_end):
    """Method 6, both ways; more is refused, and so is another type."""
    assert head_end.act(8, CLOCK, 6, long(-900)) == Answer(None)
    assert TREE[8, CLOCK].time(meter, NOW) == NOW - 900 * SECOND
    assert head_end.act(8, CLOCK, 6, long(901)) == Refused("action", 250)
    assert head_end.act(8, CLOCK, 6, integer(1)) == Refused("action", 12)


def test_a_device_may_refuse_to_be_set_by_too_much(meter):
    """The `setting` hook sees old and new device time and may refuse writes and methods alike."""

    def at_most_ten_seconds(device, old, new, now):
        if abs(new - old) > 10 * SECOND:
            raise AccessRefused(3)

    clock = Clock(setting=at_most_ten_seconds, status=lambda device, now: moment.STATUS_DOUBTFUL)
    clock.set(meter, 2, stamp(NOW + 9 * SECOND), NOW)
    with pytest.raises(AccessRefused):
        clock.set(meter, 2, stamp(NOW + HOUR), NOW)
    with pytest.raises(ActionRefused):
        clock.act(meter, 6, long(100), NOW)
    assert clock.time(meter, NOW) == NOW + 9 * SECOND
    assert clock.read(meter, 4, NOW) == unsigned(2)


# Profile generic


def rows(data: Data) -> list[tuple[int, int]]:
    return [(moment.decode(row.value[0].value), row.value[1].value) for row in data.value]


def by_range(first: Data, last: Data, columns: tuple[Column, ...] = (), by: Column | None = None) -> SelectiveAccess:
    wanted = array(column.data() for column in columns)
    return SelectiveAccess(1, structure(((by or Column(8, CLOCK, 2)).data(), first, last, wanted)))


def by_entry(first: int, last: int, left: int = 1, right: int = 0) -> SelectiveAccess:
    return SelectiveAccess(
        2,
        structure((double_long_unsigned(first), double_long_unsigned(last), long_unsigned(left), long_unsigned(right))),
    )


def test_a_load_profile_is_made_of_time(meter, head_end):
    """480 half-hours up to now, each with what the register held then; nothing is stored."""
    got = rows(head_end.value(7, LOAD_PROFILE, 2))
    assert [time for time, _ in got] == [NOW - (479 - n) * 30 * MINUTE for n in range(480)]
    assert all(value == energy(meter, time).value for time, value in got)
    assert head_end.value(7, LOAD_PROFILE, 7) == double_long_unsigned(480)
    assert meter.deviations == {}


def test_a_young_meter_has_few_rows(meter):
    """No row lies before the device began; none after now."""
    profile = TREE[7, LOAD_PROFILE]
    got = rows(profile.read(meter, 2, BORN + 95 * MINUTE))
    assert [time for time, _ in got] == [BORN + n * 30 * MINUTE for n in range(4)]


def test_rows_by_range_include_both_ends(head_end):
    """From 10:00 to 11:00 is three rows; open ends reach as far as there are rows; an empty range is empty."""
    start, end = stamp(NOW - 2 * HOUR), stamp(NOW - HOUR)
    assert [time for time, _ in rows(head_end.value(7, LOAD_PROFILE, 2, by_range(start, end)))] == [
        NOW - 120 * MINUTE, NOW - 90 * MINUTE, NOW - 60 * MINUTE
    ]  # fmt: skip
    anything = octet_string(moment.ANY_DATE_TIME)
    assert len(rows(head_end.value(7, LOAD_PROFILE, 2, by_range(start, anything)))) == 5
    assert len(rows(head_end.value(7, LOAD_PROFILE, 2, by_range(anything, null())))) == 480
    assert head_end.value(7, LOAD_PROFILE, 2, by_range(end, start)) == array(())
    day = octet_string(bytes.fromhex("07E40301FFFFFFFFFF8000FF"))
    assert len(rows(head_end.value(7, LOAD_PROFILE, 2, by_range(day, day)))) == 48


def test_rows_by_range_of_another_column_and_of_chosen_columns(head_end):
    """A restricting object that is a register; only the selected column; and what cannot be selected."""
    reg = Column(3, ENERGY, 2)
    low, high = double_long_unsigned(575_900), double_long_unsigned(575_970)
    got = head_end.value(7, LOAD_PROFILE, 2, by_range(low, high, (reg,), reg))
    assert [row.value[0].value for row in got.value] == [575_910, 575_940, 575_970]
    assert all(len(row.value) == 1 for row in got.value)
    assert head_end.get(7, LOAD_PROFILE, 2, by_range(low, high, (), Column(1, NAME, 2))) == Refused("access", 13)
    assert head_end.get(7, LOAD_PROFILE, 2, by_range(low, high, (Column(1, NAME, 2),))) == Refused("access", 13)
    assert head_end.get(7, LOAD_PROFILE, 2, by_range(low, high)) == Refused("access", 12)
    assert head_end.get(7, LOAD_PROFILE, 2, by_range(octet_string(b"a"), null(), (), reg)) == Refused("access", 12)
    assert head_end.get(
        7, LOAD_PROFILE, 2, by_range(octet_string(b"\x07\xe4\x02\x1e" + b"\xff" * 8), null())
    ) == Refused("access", 12)


def test_rows_by_entry_count_from_one(head_end):
    """1 is the oldest; 0 at the end is the last; columns by number too; nonsense is refused."""
    whole = rows(head_end.value(7, LOAD_PROFILE, 2))
    assert rows(head_end.value(7, LOAD_PROFILE, 2, by_entry(1, 2))) == whole[:2]
    assert rows(head_end.value(7, LOAD_PROFILE, 2, by_entry(479, 0))) == whole[478:]
    assert head_end.value(7, LOAD_PROFILE, 2, by_entry(481, 0)) == array(())
    assert head_end.value(7, LOAD_PROFILE, 2, by_entry(2, 2, 2, 2)) == array(
        (structure((double_long_unsigned(whole[1][1]),)),)
    )
    for bad in (by_entry(0, 1), by_entry(5, 4), by_entry(1, 2, 2, 1)):
        assert head_end.get(7, LOAD_PROFILE, 2, bad) == Refused("access", 250)
    for bad in (
        SelectiveAccess(2, null()),
        SelectiveAccess(1, null()),
        SelectiveAccess(2, structure((unsigned(1),) * 4)),
    ):
        assert head_end.get(7, LOAD_PROFILE, 2, bad) == Refused("access", 12)
    assert head_end.get(7, LOAD_PROFILE, 2, SelectiveAccess(3, null())) == Refused("access", 13)
    assert head_end.get(7, LOAD_PROFILE, 3, by_entry(1, 2)) == Refused("access", 13)


def test_a_drifting_meter_has_its_rows_at_its_own_half_hours(meter):
    """Its clock shows full half-hours in every row, and the values are those of the true instants behind them."""
    meter.drift_ppm = 20
    got = rows(TREE[7, LOAD_PROFILE].select(meter, 2, by_entry(479, 480), NOW))
    clock = TREE[8, CLOCK]
    for time, value in got:
        assert time % (30 * MINUTE) == 0
        assert value == energy(meter, clock.true(meter, time)).value


def test_rows_neither_double_nor_vanish_when_summer_ends(meter, head_end):
    """Boundaries are of the device's UTC: every true half-hour has one row, though two of them show the same local
    time."""
    head_end.set(8, CLOCK, 8, boolean(True))
    head_end.now = at(2020, 10, 25, 3)
    first, last = (octet_string(moment.encode(at(2020, 10, 25, hour))) for hour in (0, 2))
    got = head_end.value(7, LOAD_PROFILE, 2, by_range(first, last))
    assert [moment.decode(row.value[0].value) for row in got.value] == [
        at(2020, 10, 25) + n * 30 * MINUTE for n in range(5)
    ]
    assert [row.value[0].value[5:7] for row in got.value] == [b"\1\0", b"\1\x1e", b"\1\0", b"\1\x1e", b"\2\0"]


def test_the_latest_first_and_other_orders(meter, head_end):
    """Sort methods: LIFO turns the buffer and its entry numbers; largest, smallest, nearest and farest by the sort
    object."""
    whole = rows(head_end.value(7, LOAD_PROFILE, 2, by_entry(1, 0)))
    assert head_end.set(7, LOAD_PROFILE, 5, enum(LIFO)) == Answer(None)
    assert rows(head_end.value(7, LOAD_PROFILE, 2)) == whole[::-1]
    assert rows(head_end.value(7, LOAD_PROFILE, 2, by_entry(1, 3))) == whole[::-1][:3]
    assert rows(head_end.value(7, LOAD_PROFILE, 2, by_entry(480, 480))) == whole[:1]
    assert head_end.value(7, LOAD_PROFILE, 2, by_entry(481, 490)) == array(())
    head_end.set(7, LOAD_PROFILE, 6, Column(3, ENERGY, 2).data())
    for method, order in ((LARGEST, -1), (SMALLEST, 1), (NEAREST_TO_ZERO, 1), (FAREST_FROM_ZERO, -1)):
        head_end.set(7, LOAD_PROFILE, 5, enum(method))
        assert rows(head_end.value(7, LOAD_PROFILE, 2, by_entry(1, 4))) == whole[::order][:4]
    head_end.set(7, LOAD_PROFILE, 6, Column(8, CLOCK, 2).data())
    assert head_end.get(7, LOAD_PROFILE, 2) == Refused("access", 250)
    head_end.set(7, LOAD_PROFILE, 6, Column(1, NAME, 2).data())
    assert rows(head_end.value(7, LOAD_PROFILE, 2)) == whole
    assert head_end.set(7, LOAD_PROFILE, 5, enum(7)) == Refused("access", 12)


def test_reset_empties_and_rows_come_again(meter, head_end):
    """After method 1 the buffer is empty; the next boundary brings the first row."""
    assert head_end.act(7, LOAD_PROFILE, 1, integer(0)) == Answer(None)
    assert head_end.value(7, LOAD_PROFILE, 7) == double_long_unsigned(0)
    head_end.now = NOW + 61 * MINUTE
    assert [time for time, _ in rows(head_end.value(7, LOAD_PROFILE, 2))] == [NOW + 30 * MINUTE, NOW + 60 * MINUTE]


def test_columns_and_period_can_be_rewritten_and_that_empties_the_buffer(meter, head_end):
    """Capture objects where rows are read from them; a new period; a smaller depth."""
    head_end.set(7, LOAD_PROFILE, 8, double_long_unsigned(3))
    assert len(rows(head_end.value(7, LOAD_PROFILE, 2))) == 3
    assert head_end.set(7, LOAD_PROFILE, 8, double_long_unsigned(481)) == Refused("access", 12)
    assert head_end.set(7, LOAD_PROFILE, 3, array((Column(3, SLOW, 2).data(),))) == Answer(None)
    assert head_end.value(7, LOAD_PROFILE, 2) == array(())
    assert head_end.set(7, LOAD_PROFILE, 4, double_long_unsigned(900)) == Answer(None)
    head_end.now = NOW + 31 * MINUTE
    assert head_end.value(7, LOAD_PROFILE, 2) == array((structure((double_long_unsigned(5),)),) * 2)
    assert head_end.set(7, LOAD_PROFILE, 3, array(())) == Refused("access", 12)
    assert head_end.set(7, BILLING, 3, array((Column(3, SLOW, 2).data(),))) == Refused("access", 3)


def test_capture_adds_a_row_and_the_oldest_falls_out(meter, head_end):
    """Method 2 on a profile of three entries, called four times: the last three instants, with what was held then."""
    for minutes in range(4):
        head_end.now = NOW + minutes * 10 * MINUTE
        assert head_end.act(7, MANUAL, 2, integer(0)) == Answer(None)
    got = head_end.value(7, MANUAL, 2)
    assert [row.value[0].value for row in got.value] == [576_010, 576_020, 576_030]
    assert [row.value[1] for row in got.value] == [enum(27)] * 3
    assert head_end.value(7, MANUAL, 7) == double_long_unsigned(3)
    assert head_end.act(7, MANUAL, 1, integer(0)) == Answer(None)
    assert head_end.value(7, MANUAL, 2) == array(())


def test_a_capture_stands_between_periodic_rows(meter, head_end):
    """A row captured by hand has its place in time among the others."""
    head_end.now = NOW + 10 * MINUTE
    head_end.act(7, LOAD_PROFILE, 2, integer(0))
    head_end.now = NOW + 30 * MINUTE
    got = rows(head_end.value(7, LOAD_PROFILE, 2, by_range(stamp(NOW), null())))
    assert [time - NOW for time, _ in got] == [0, 10 * MINUTE, 30 * MINUTE]


def test_billing_rows_come_at_their_dates(meter, head_end):
    """Irregular instants: the last twelve of thirteen, made by the model's own row function."""
    got = rows(head_end.value(7, BILLING, 2))
    assert [time for time, _ in got] == [BORN + n * 30 * DAY for n in range(2, 14)]
    assert all(value == energy(meter, time).value for time, value in got)


def test_a_log_is_shown_as_it_was_written(meter, head_end):
    """Events of a device's log, the last ten of them, by range too; it cannot be captured, and reset hides what was."""
    meter.log = [(NOW - (12 - n) * HOUR, [stamp(NOW - (12 - n) * HOUR), unsigned(n)]) for n in range(12)]
    assert [value for _, value in rows(head_end.value(7, EVENTS, 2))] == list(range(2, 12))
    picked = head_end.value(7, EVENTS, 2, by_range(stamp(NOW - 3 * HOUR), stamp(NOW - HOUR)))
    assert [value for _, value in rows(picked)] == [9, 10, 11]
    assert head_end.act(7, EVENTS, 2, integer(0)) == Refused("action", 3)
    assert head_end.act(7, EVENTS, 1, integer(0)) == Answer(None)
    assert head_end.value(7, EVENTS, 7) == double_long_unsigned(0)
    meter.log.append((NOW + HOUR, [stamp(NOW + HOUR), unsigned(99)]))
    head_end.now = NOW + 2 * HOUR
    assert [value for _, value in rows(head_end.value(7, EVENTS, 2))] == [99]


def test_a_profile_without_a_clock_counts_true_time(meter):
    """No clock object: boundaries of true time, stamps without a shift."""
    profile = ProfileGeneric("1-0:99.1.0", [Column(8, CLOCK, 2)], entries=2, period_s=3600)
    assert [moment.decode(row.value[0].value) for row in profile.read(meter, 2, NOW + 1).value] == [NOW - HOUR, NOW]


# Special days, calendar


def test_special_days_are_inserted_overwritten_and_deleted(meter, head_end):
    """By index or by date an entry replaces the one before; deleting what is not there is refused."""
    christmas = bytes.fromhex("FFFF0C19FF")

    def insert(index: int, date: bytes, day_id: int):
        return head_end.act(11, SPECIAL_DAYS, 1, special_day(index, date, day_id))

    def entries():
        return [tuple(part.value for part in entry.value) for entry in head_end.value(11, SPECIAL_DAYS, 2).value]

    assert insert(5, christmas, 3) == Answer(None)
    assert insert(2, bytes.fromhex("07E40303FF"), 3) == Answer(None)
    assert entries() == [(2, bytes.fromhex("07E40303FF"), 3), (5, christmas, 3)]
    assert insert(9, christmas, 1) == Answer(None)
    assert insert(2, bytes.fromhex("07E40304FF"), 3) == Answer(None)
    assert entries() == [(2, bytes.fromhex("07E40304FF"), 3), (9, christmas, 1)]
    table = TREE[11, SPECIAL_DAYS]
    assert table.day_id(meter, at(2031, 12, 25) // DAY, NOW) == 1
    assert table.day_id(meter, at(2020, 3, 3) // DAY, NOW) is None
    assert head_end.act(11, SPECIAL_DAYS, 2, long_unsigned(9)) == Answer(None)
    assert head_end.act(11, SPECIAL_DAYS, 2, long_unsigned(9)) == Refused("action", 250)
    assert head_end.act(11, SPECIAL_DAYS, 2, unsigned(2)) == Refused("action", 12)
    assert insert(1, bytes.fromhex("07E40D01FF"), 1) == Refused("action", 12)


def day_rate(number: int) -> tuple[bytes, int]:
    return TARIFF_SCRIPTS, number


def test_the_calendar_says_what_holds_and_when_that_changes(meter):
    """Weekdays switch at 07:00 and midnight, weekends at 09:30; the next switch is the next real change."""
    calendar = TREE[20, CALENDAR]
    assert calendar.rate_at(meter, at(2020, 3, 2, 6, 59, 59)) == day_rate(2)
    assert calendar.rate_at(meter, at(2020, 3, 2, 7)) == day_rate(1)
    assert calendar.rate_at(meter, at(2020, 3, 7, 8)) == day_rate(2)
    assert calendar.rate_at(meter, at(2020, 3, 7, 9, 30)) == day_rate(1)
    assert calendar.next_switch(meter, at(2020, 3, 2, 6)) == at(2020, 3, 2, 7)
    assert calendar.next_switch(meter, at(2020, 3, 2, 7)) == at(2020, 3, 3)
    assert calendar.next_switch(meter, at(2020, 3, 6, 23)) == at(2020, 3, 7)
    assert calendar.next_switch(meter, at(2020, 3, 7)) == at(2020, 3, 7, 9, 30)


def test_a_special_day_has_a_day_of_its_own(meter, head_end):
    """On the special 3rd of March day 3 holds: cheap all day."""
    head_end.act(11, SPECIAL_DAYS, 1, special_day(1, bytes.fromhex("07E40303FF"), 3))
    calendar = TREE[20, CALENDAR]
    assert calendar.rate_at(meter, at(2020, 3, 3, 12)) == day_rate(2)
    assert calendar.next_switch(meter, at(2020, 3, 3)) == at(2020, 3, 4, 7)


def test_switches_happen_by_the_clock_of_the_device(meter):
    """A clock that is fast switches early, at the true instant its own clock says 07:00; not a microsecond sooner."""
    meter.drift_ppm = 20
    calendar = TREE[20, CALENDAR]
    switch = calendar.next_switch(meter, at(2020, 3, 2, 6))
    assert at(2020, 3, 2, 7) - switch > 600 * SECOND
    assert calendar.rate_at(meter, switch - 1) == day_rate(2)
    assert calendar.rate_at(meter, switch) == day_rate(1)


def test_the_passive_calendar_takes_over_when_told(meter, head_end):
    """Method 1: names and tables are copied, the hook is told, and rates follow at once."""
    assert head_end.act(20, CALENDAR, 1, integer(0)) == Answer(None)
    assert head_end.value(20, CALENDAR, 2) == octet_string(CALENDAR_PASSIVE.name)
    assert head_end.value(20, CALENDAR, 5) == head_end.value(20, CALENDAR, 9)
    assert TREE[20, CALENDAR].rate_at(meter, at(2020, 3, 3, 1)) == day_rate(1)
    assert meter.moves == [("calendar", NOW)]
    assert head_end.act(20, CALENDAR, 1, octet_string(b"")) == Refused("action", 12)


def test_the_passive_calendar_takes_over_at_its_time(meter, head_end):
    """A planned activation: a wake is asked for; whoever looks later, even having slept, finds the new calendar."""
    planned = NOW + 5 * HOUR
    assert head_end.set(20, CALENDAR, 10, stamp(planned)) == Answer(None)
    assert meter.wakes == [planned]
    calendar = TREE[20, CALENDAR]
    assert calendar.next_due(meter, NOW) == planned
    assert calendar.next_switch(meter, NOW) == planned
    assert calendar.rate_at(meter, planned - 1) == day_rate(1)
    assert meter.moves == []
    head_end.now = planned + 10 * DAY
    assert head_end.value(20, CALENDAR, 2) == octet_string(CALENDAR_PASSIVE.name)
    assert head_end.value(20, CALENDAR, 10) == octet_string(moment.ANY_DATE_TIME)
    assert meter.moves == [("calendar", planned)]
    assert calendar.next_due(meter, head_end.now) is None


def test_writing_a_passive_calendar_and_running_what_is_due(meter, head_end):
    """New passive tables, a time, and `run_due` at that time: active."""
    always_cheap = Calendar(b"cheap", (), ((b"w", (9,) * 7),), ((9, ((bytes(4), TARIFF_SCRIPTS, 2),)),))
    for attribute, data in zip(range(6, 10), always_cheap.data(), strict=True):
        assert head_end.set(20, CALENDAR, attribute, data) == Answer(None)
    head_end.set(20, CALENDAR, 10, stamp(NOW + HOUR))
    meter.objects.run_due(meter, NOW, NOW + HOUR)
    assert meter.noted("calendar.activated") == 1
    assert TREE[20, CALENDAR].rate_at(meter, NOW + 2 * HOUR) == day_rate(2)
    assert TREE[20, CALENDAR].next_switch(meter, NOW + 2 * HOUR) is None


@pytest.mark.parametrize(
    ("attribute", "data"),
    [
        (2, unsigned(1)), (3, array((structure((octet_string(b"a"), octet_string(b"b"), octet_string(b"c"))),))), (4,
        array((structure((octet_string(b"w"), *(unsigned(1),) * 6)),))), (5, array((structure((unsigned(1),
        array((structure((octet_string(bytes(4)), octet_string(b""), long_unsigned(1))),)))),))), (5,
        array((structure((unsigned(1), array((structure((octet_string(b"\x18\0\0\0"), octet_string(bytes(6)),
        long_unsigned(1))),)))),))), (5, array((structure((unsigned(1), array(()))),) * 2)), (10, octet_string(b"")),
        (10, octet_string(bytes.fromhex("FFFF0301FF00000000800000"))),
    ],
)  # fmt: skip
def test_a_calendar_that_is_none_is_not_written(meter, head_end, attribute, data):
    """Wrong shapes, hour 24, an id twice, an activation time with a hole in it: type unmatched."""
    assert head_end.set(20, CALENDAR, attribute, data) == Refused("access", 12)
    assert meter.deviations == {}


def test_seasons_change_the_week(meter):
    """Summer from April, winter from October, every year; before April the winter of the year before holds."""
    seasons = (
        (b"s", bytes.fromhex("FFFF0401FF000000FF800000"), b"summer"),
        (b"w", bytes.fromhex("FFFF0A01FF000000FF800000"), b"winter"),
    )
    weeks = ((b"summer", (1,) * 7), (b"winter", (2,) * 7))
    days = ((1, ((bytes(4), TARIFF_SCRIPTS, 1),)), (2, ((bytes((1, 0, 0, 0)), TARIFF_SCRIPTS, 2),)))
    calendar = ActivityCalendar(CALENDAR, Calendar(b"", seasons, weeks, days))
    assert calendar.rate_at(meter, at(2020, 3, 31, 12)) == day_rate(2)
    assert calendar.rate_at(meter, at(2020, 4, 1)) == day_rate(1)
    assert calendar.rate_at(meter, at(2020, 10, 1, 0, 30)) == day_rate(1)  # yesterday's last entry goes on
    assert calendar.rate_at(meter, at(2020, 10, 1, 1)) == day_rate(2)
    assert calendar.next_switch(meter, at(2020, 4, 2)) == at(2020, 10, 1, 1)
    assert ActivityCalendar(CALENDAR).rate_at(meter, NOW) is None
    assert ActivityCalendar(CALENDAR).next_switch(meter, NOW) is None


def test_a_calendar_can_run_its_scripts(meter):
    """runs_scripts: each switching time executes the script that begins to hold."""
    calendar = ActivityCalendar(
        CALENDAR,
        Calendar(
            b"",
            (),
            ((b"w", (1,) * 7),),
            ((1, ((bytes(4), TARIFF_SCRIPTS, 2), (bytes((7, 0, 0, 0)), TARIFF_SCRIPTS, 1))),),
        ),
        runs_scripts=True,
    )
    meter.objects = ObjectTree([calendar, TREE[9, TARIFF_SCRIPTS], TREE[1, SETTING]])
    assert meter.objects.run_due(meter, NOW, at(2020, 3, 3, 0, 0, 1)) == at(2020, 3, 3, 7)
    assert TREE[1, SETTING].read(meter, 2, NOW) == unsigned(102)
    meter.objects.run_due(meter, at(2020, 3, 3, 0, 0, 1), at(2020, 3, 3, 7))
    assert TREE[1, SETTING].read(meter, 2, NOW) == unsigned(101)


# Schedules


def test_a_schedule_runs_its_entries_at_their_times(meter, head_end):
    """Weekdays at 13:00 the supply opens; nothing on Saturday and Sunday; disabled entries rest."""
    assert meter.objects.run_due(meter, NOW, NOW + HOUR) == NOW + 25 * HOUR
    assert meter.moves == [(0, "remote")]
    friday = at(2020, 3, 6, 13)
    assert TREE[10, SCHEDULE].next_due(meter, friday) == at(2020, 3, 9, 13)


def test_special_days_take_the_weekdays_place(meter, head_end):
    """On a special day only entries that name its id run."""
    head_end.act(11, SPECIAL_DAYS, 1, special_day(1, bytes.fromhex("07E40302FF"), 2))
    schedule = TREE[10, SCHEDULE]
    assert schedule.next_due(meter, NOW) == NOW + 25 * HOUR
    entry = Entry(7, True, SUPPLY_SCRIPTS, 1, bytes((15, 0, 0, 0)), "0000000", "01")
    assert head_end.act(10, SCHEDULE, 2, entry.data()) == Answer(None)
    assert schedule.next_due(meter, NOW) == at(2020, 3, 2, 15)
    assert meter.wakes == [at(2020, 3, 2, 15)]


def test_schedule_entries_are_turned_on_and_off_inserted_and_deleted(meter, head_end):
    """Ranges of indices; the same index overwrites; ranges with nothing in them are refused."""

    def indices(*numbers: int) -> Data:
        return structure(long_unsigned(number) for number in numbers)

    schedule = TREE[10, SCHEDULE]
    assert head_end.act(10, SCHEDULE, 1, indices(1, 1, 2, 2)) == Answer(None)
    assert schedule.next_due(meter, NOW) == NOW + 2 * HOUR
    assert head_end.act(10, SCHEDULE, 1, indices(7, 9, 0, 0)) == Refused("action", 250)
    assert head_end.act(10, SCHEDULE, 1, indices(1, 1)) == Refused("action", 12)
    late = Entry(
        2,
        True,
        SUPPLY_SCRIPTS,
        2,
        bytes((23, 0, 0, 0)),
        "1111111",
        begin=bytes.fromhex("07E40401FF"),
        end=bytes.fromhex("07E40402FF"),
    )
    assert head_end.act(10, SCHEDULE, 2, late.data()) == Answer(None)
    assert schedule.next_due(meter, NOW) == at(2020, 4, 1, 23)
    assert schedule.next_due(meter, at(2020, 4, 2, 23)) is None
    assert head_end.act(10, SCHEDULE, 3, indices(2, 5)) == Answer(None)
    assert head_end.act(10, SCHEDULE, 3, indices(2, 5)) == Refused("action", 250)
    assert head_end.act(10, SCHEDULE, 2, null()) == Refused("action", 12)
    assert [entry.index for entry in schedule.entries(meter, NOW)] == [1]
    assert head_end.set(10, SCHEDULE, 2, array((late.data(), late.data()))) == Refused("access", 12)


def test_an_entry_that_is_too_late_is_not_run(meter):
    """A validity window of 10 minutes: a device that wakes after an hour lets the entry pass, and says so."""
    for window, expected in ((10, []), (120, [(0, "remote")])):
        schedule = Schedule(SCHEDULE, [Entry(1, True, SUPPLY_SCRIPTS, 1, bytes((13, 0, 0, 0)), window_minutes=window)])
        meter.objects = ObjectTree([schedule, TREE[9, SUPPLY_SCRIPTS], TREE[70, SUPPLY]])
        meter.moves.clear()
        meter.objects.run_due(meter, NOW, NOW + 2 * HOUR)
        assert meter.moves == expected
    assert meter.noted("schedule.too_late") == 1


def test_a_script_that_is_gone_does_not_stop_the_others(meter):
    """A refusal by one due object is noted; what else is due runs."""
    schedule = Schedule(SCHEDULE, [Entry(1, True, bytes(6), 1, bytes((13, 0, 0, 0)))])
    single = SingleActionSchedule(SINGLE_ACTION, (SUPPLY_SCRIPTS, 1), [(bytes((13, 0, 0, 0)), moment.ANY_DATE)])
    meter.objects = ObjectTree([schedule, single, TREE[9, SUPPLY_SCRIPTS], TREE[70, SUPPLY]])
    meter.objects.run_due(meter, NOW, NOW + HOUR)
    assert meter.noted("dlms.schedule.refused") == 1
    assert meter.moves == [(0, "remote")]
    meter.objects.run_due(meter, NOW, NOW + 100 * DAY, limit=3)
    assert meter.noted("dlms.schedule.limit") == 1


def test_a_single_action_runs_once_at_its_time(meter, head_end):
    """Attribute 4 plans a wake; the script runs then and not again."""
    when = array((execution_time(bytes((12, 5, 0, 0)), bytes.fromhex("07E40302FF")),))
    head_end.act(70, SUPPLY, 1, integer(0))
    assert head_end.set(22, SINGLE_ACTION, 4, when) == Answer(None)
    assert meter.wakes == [NOW + 5 * MINUTE]
    meter.moves.clear()
    meter.objects.run_due(meter, NOW, NOW + 10 * MINUTE)
    assert meter.moves == [(1, "remote")]
    assert TREE[22, SINGLE_ACTION].next_due(meter, NOW + 10 * MINUTE) is None
    assert head_end.set(22, SINGLE_ACTION, 4, array((execution_time(bytes(3), bytes(5)),))) == Refused("access", 12)


def test_a_single_action_follows_the_devices_clock(meter):
    """With 20 ppm of drift the action is early by what the clock is fast."""
    meter.drift_ppm = 20
    single = TREE[22, SINGLE_ACTION]
    single.set(meter, 4, array((execution_time(bytes((14, 0, 0, 0)), moment.ANY_DATE),)), NOW)
    due = single.next_due(meter, NOW)
    assert TREE[8, CLOCK].time(meter, due) == NOW + 2 * HOUR
    assert NOW + 2 * HOUR - due > 600 * SECOND


@pytest.mark.parametrize(
    ("type_", "times", "fits"),
    [
        (ONE_TIME, [("0C000000", "FFFFFFFFFF")], True),
        (ONE_TIME, [("0C000000", "FFFFFFFFFF"), ("0D000000", "FFFFFFFFFF")], False),
        (SAME_TIME, [("0C000000", "07E40302FF"), ("0C000000", "07E40303FF")], True),
        (SAME_TIME, [("0C000000", "07E40302FF"), ("0D000000", "07E40303FF")], False),
        (SAME_TIME, [("0C000000", "FFFF0302FF")], False),
        (TIMES, [("0C000000", "07E40302FF"), ("0D000000", "07E40303FF")], True),
        (TIMES, [("0C000000", "07E403FFFF")], False),
    ],
)
def test_execution_times_suit_the_type(meter, type_, times, fits):
    """One time only, the same time of day, dates without wildcards: as the type says."""
    single = SingleActionSchedule(SINGLE_ACTION, (SUPPLY_SCRIPTS, 1), type_=type_)
    data = array(execution_time(bytes.fromhex(time), bytes.fromhex(date)) for time, date in times)
    if fits:
        single.set(meter, 4, data, NOW)
    else:
        with pytest.raises(AccessRefused):
            single.set(meter, 4, data, NOW)


def test_tables_have_an_end(meter):
    """255 special days and schedule entries; the next one is refused."""
    days = SpecialDays(SPECIAL_DAYS, [special_day(n, moment.encode_date(NOW + n * DAY), 1) for n in range(255)])
    with pytest.raises(ActionRefused) as refused:
        days.act(meter, 1, special_day(300, bytes.fromhex("FFFF0101FF"), 1), NOW)
    assert refused.value.result == 250
    schedule = Schedule(SCHEDULE, [Entry(n, False, SUPPLY_SCRIPTS, 1, bytes(4)) for n in range(255)])
    with pytest.raises(ActionRefused):
        schedule.act(meter, 2, Entry(300, False, SUPPLY_SCRIPTS, 1, bytes(4)).data(), NOW)
    assert SUMMER_BEGIN[2] == 3
