"""The law of a switch: wish and contact, schedule and offset; and energy that follows the contact to the last grain."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.common import consumption, tariff
from devices.common.circuits import Contact, lanes, late, merged, state_at
from devices.common.consumption import DAY_S, DayPlan
from devices.common.ledger import FOREVER, Circuit, Hold, Ledger, Regime
from devices.common.profile import Auxiliary
from devices.common.timeline import spans as spans_of
from devices.electricity import snapshot, switch_calendar
from emulator.codecs.axdr import array, long_unsigned, octet_string, structure, unsigned
from emulator.dlms import moment
from emulator.dlms.classes.schedule import Entry
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND

BORN = 18_300 * DAY
START = 18_323 * DAY  # a Monday
HABITS = Auxiliary(switches=2, calendar="own")
E7, E10 = tariff.named("economy7"), tariff.named("economy10-four")


def entry(index: int, switch: int, on: bool, at: str, **more: Any) -> Entry:
    number = (HABITS.activate if on else HABITS.deactivate) + switch * HABITS.step
    return Entry(index, True, switch_calendar.SCRIPTS, number, bytes((int(at[:2]), int(at[3:]), 0, 0)), **more)


NO_DAYS = array(())


def calendar(*entries: Entry, special: Any = NO_DAYS) -> Any:
    return switch_calendar.compiled(HABITS, array(each.data() for each in entries), special)


def make(own: Any = None, offset_s: int = 0, wired: bool = True) -> Ledger:
    return Ledger(
        lambda: (
            [consumption.electricity(1, 77, 9_000)],
            [consumption.heating(1, 77, 1, 1_500) if wired else None],
        ),
        [Circuit(1, E7.switched, own, offset_s)],
        [Regime(BORN, FOREVER, {}, E7.calendar)],
    )


# A day


@given(st.lists(st.tuples(st.integers(0, DAY_S - 1), st.booleans()), max_size=8), st.integers(1, 1_799))
def test_late_is_the_same_switch_so_many_seconds_later(edges: list[tuple[int, bool]], offset: int) -> None:
    """Every second of a delayed day is as the undelayed one was `offset` seconds before, over midnight too."""
    today = merged(((0, False), *sorted(dict(edges).items()))) if edges else ((0, True),)
    if today[0][0] == 0 and len(today) > 1 and today[1][0] == 0:
        today = today[1:]
    before = ((0, True), (43_200, False), (86_000, True))
    delayed = late(before, today, offset)
    assert delayed[0][0] == 0
    assert all(one[0] < two[0] and one[1] != two[1] for one, two in pairwise(delayed))
    for second in {0, offset - 1, offset, DAY_S - 1, *(start for start, _ in delayed), *(start for start, _ in today)}:
        was = second - offset
        wanted = state_at(today, was) if was >= 0 else state_at(before, was + DAY_S)
        assert state_at(delayed, second) == wanted


def test_lanes_cut_a_day_by_rate_and_by_contact() -> None:
    """Each second carries its rate and whether the contact is closed; equal days share one plan."""
    plan = DayPlan(((0, 1), (1_800, 2), (27_000, 1)))
    closed = ((0, False), (3_600, True), (30_000, False))
    cut = lanes(plan, closed)
    for second in range(0, DAY_S, 300):
        assert cut.lane(second) == 2 * plan.lane(second) + state_at(closed, second)
    assert lanes(plan, closed) is cut


@pytest.mark.parametrize(
    ("contact", "on", "off"),
    [
        (Contact.OBEYS, True, False),
        (Contact.INVERTED, False, True),
        (Contact.STUCK_OPEN, False, False),
        (Contact.STUCK_CLOSED, True, True),
    ],
)
def test_a_contact_makes_its_own_of_a_wish(contact: Contact, on: bool, off: bool) -> None:
    """What each kind of relay does when wished on, and when wished off."""
    assert (contact.closed(True), contact.closed(False)) == (on, off)


# A calendar of its own


def test_a_meter_is_found_heating_from_midnight_to_seven() -> None:
    """The default calendar, on every switch and every day."""
    found = switch_calendar.found(HABITS)
    for switch in (1, 2):
        assert found.uniform(switch) == ((0, True), (7 * 3_600, False))


def test_lines_go_by_weekday_and_what_lasts_over_midnight_goes_on() -> None:
    """On at 22:00 on Fridays, off at 05:00 on Mondays: on all weekend, off from Monday to Friday."""
    own = calendar(entry(1, 1, True, "22:00", weekdays="0000100"), entry(2, 1, False, "05:00", weekdays="1000000"))
    monday = START // DAY
    assert own.uniform(1) is None
    assert own.states(1, monday) == ((0, True), (5 * 3_600, False))
    assert own.states(1, monday + 2) == ((0, False),)
    assert own.states(1, monday + 4) == ((0, False), (22 * 3_600, True))
    assert own.states(1, monday + 6) == ((0, True),)
    assert own.states(2, monday) == ((0, False),), "a switch without a line is off"


def test_dates_bound_a_line_and_special_days_have_their_own() -> None:
    """A line from 4 March on does nothing on the 3rd; on a special day only the lines that name its id count."""
    day = START // DAY  # 2 March 2020
    begin = moment.encode_date((day + 2) * DAY)
    dated = calendar(entry(1, 1, True, "03:00", begin=begin), entry(2, 1, False, "04:00"))
    assert dated.states(1, day + 1) == ((0, False),)
    assert dated.states(1, day + 2) == ((0, False), (3 * 3_600, True), (4 * 3_600, False))
    special = array((structure((long_unsigned(1), octet_string(moment.encode_date(day * DAY)), unsigned(2))),))
    holiday = calendar(
        entry(1, 1, True, "01:00"),
        entry(2, 1, False, "02:00"),
        entry(3, 1, True, "12:00", weekdays="0000000", special_days="01"),
        special=special,
    )
    assert holiday.states(1, day) == ((0, False), (12 * 3_600, True))
    assert holiday.states(1, day + 1) == ((0, True), (2 * 3_600, False)), "on over midnight, then the usual lines"


def test_a_disabled_line_is_no_line() -> None:
    """Only enabled lines move a switch."""
    line = entry(1, 1, True, "03:00")
    off = Entry(2, False, line.script_table, line.selector, bytes((9, 0, 0, 0)))
    assert calendar(line, off, entry(3, 1, False, "04:00")).states(1, 0) == (
        (0, False),
        (3 * 3_600, True),
        (4 * 3_600, False),
    )


# Energy follows the contact

LAWS = st.lists(
    st.tuples(
        st.sampled_from(["hold on", "hold off", "table", "contact", "offset", "own", "power", "follow"]),
        st.integers(600, 40 * 3_600),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=7,
)
WEEKEND = calendar(entry(1, 1, True, "22:10", weekdays="0000100"), entry(2, 1, False, "05:05", weekdays="1000000"))
NIGHTLY = calendar(entry(1, 1, True, "23:15"), entry(2, 1, False, "06:45"))


def happen(ledger: Ledger, what: str, at: int, choice: int) -> None:
    last = ledger.regimes[-1]
    if what.startswith("hold"):
        ledger.change(at, at, holds=(Hold(1, what == "hold on", at + (30 + 60 * choice) * MINUTE),))
    elif what == "table":
        ledger.change(at, at, calendar=(E10 if last.calendar is E7.calendar else E7).calendar)
    elif what == "contact":
        ledger.change(at, at, contacts=(Contact(choice),))
    elif what == "offset":
        ledger.change(at, at, offsets=(choice * 411,))
    elif what == "own":
        ledger.change(at, at, own=WEEKEND if choice % 2 else NIGHTLY)
    elif what == "follow":
        ledger.change(at, at, follows=(frozenset({choice}),))
    else:
        ledger.change(at, at, flowing=False, dark=True)
        ledger.change(at + 300 * SECOND, at + 300 * SECOND, flowing=True, dark=False)


def integrate(ledger: Ledger, since: int, until: int) -> dict[int, int]:
    """Grains by rate of the heater, summed stretch by stretch: half-hours cut at every edge of tariff and contact."""
    load = ledger.loads[1][0]
    assert load is not None
    found: dict[int, int] = {}
    for span in spans_of(ledger, 1, until, until, since, until):
        regime = ledger.regimes[span.regime]
        if not span.closed or not regime.flowing:
            continue
        at = span.since // SECOND
        while at < span.until // SECOND:
            day, second = divmod(at, DAY_S)
            plan = regime.calendar.plan(day)
            edges = [start for start, _ in plan.spans if start > second]
            to = min(
                [span.until // SECOND, day * DAY_S + (second // 1_800 + 1) * 1_800] + [day * DAY_S + e for e in edges]
            )
            rate = plan.lane(second)
            found[rate] = found.get(rate, 0) + load.rate(day, second) * (to - at)
            at = to
    return found


@settings(max_examples=50, deadline=None)
@given(LAWS, st.integers(1, 5 * 86_400), st.sampled_from([0, 600]), st.booleans())
def test_registers_hold_what_flowed_through_the_contact(
    events: list[tuple[str, int, int]], later: int, offset: int, own: bool
) -> None:
    """Whatever laws a switch has been under, its heater's energy in the registers is the sum over the stretches in
    which its contact was closed, rate by rate, to the last grain; through a row and back too."""
    found = NIGHTLY if own else None
    ledger, plain, at = make(found, offset), make(found, offset, wired=False), START
    for what, seconds, choice in events:
        at += seconds * SECOND
        happen(ledger, what, at, choice)
        happen(plain, what, at, choice)
        at += 300 * SECOND
    at += later * SECOND
    before, after = make(found, offset).grains(START), ledger.grains(at)
    without = {
        rate: plain.grains(at).get(rate, 0) - make(found, offset, wired=False).grains(START).get(rate, 0)
        for rate in (1, 2)
    }
    heater = {rate: after.get(rate, 0) - before.get(rate, 0) - without[rate] for rate in (1, 2)}
    assert heater == {rate: integrate(ledger, START, at).get(rate, 0) for rate in (1, 2)}
    kept = snapshot.pack(ledger, E7.calendar)
    assert kept is not None
    again = make(found, offset)
    again.regimes = snapshot.unpack(kept, E7.calendar, HABITS)
    assert again.grains(at) == after
    assert again.closed(1, at) == ledger.closed(1, at)
    assert list(spans_of(again, 1, at, at, START, at)) == list(spans_of(ledger, 1, at, at, START, at))


@settings(max_examples=40, deadline=None)
@given(LAWS)
def test_stretches_have_no_gaps_and_agree_with_the_moment(events: list[tuple[str, int, int]]) -> None:
    """Stretches follow each other over the whole window; within the last law each says what `closed` and `switch_on`
    say at any moment of it."""
    ledger, at = make(), START
    for what, seconds, choice in events:
        at += seconds * SECOND
        happen(ledger, what, at, choice)
        at += 300 * SECOND
    end = at + 3 * DAY
    spans = list(spans_of(ledger, 1, at, at, START, end))
    assert (spans[0].since, spans[-1].until) == (START, end)
    assert all(one.until == two.since for one, two in pairwise(spans))
    for span in spans:
        if span.regime == len(ledger.regimes) - 1:
            for moment_ in (span.since, (span.since + span.until) // 2, span.until - SECOND):
                assert ledger.closed(1, moment_) == span.closed
                assert ledger.switch_on(1, moment_) == span.wished


def test_stretches_are_told_in_true_time_across_a_clock_that_is_set() -> None:
    """A clock half an hour fast switches half an hour early; set right at noon, the next night is on time."""
    ledger = make()
    noon = START + 12 * HOUR
    ledger.change(noon + 30 * MINUTE, noon)
    spans = list(spans_of(ledger, 1, noon, noon, START, START + 2 * DAY))
    edges = [(span.since - START, span.closed) for span in spans if span.since > START]
    assert (0 * HOUR, True) not in edges
    closed = [(span.since - START, span.until - START) for span in spans if span.closed]
    assert closed == [(0, 7 * HOUR), (DAY + 30 * MINUTE, DAY + 7 * HOUR + 30 * MINUTE)]


def test_next_edge_is_when_the_schedule_turns() -> None:
    """With an offset of ten minutes the night rate begins at 00:40 and ends at 07:40; a switch that follows no rate
    has no edge."""
    ledger = make(offset_s=600)
    assert ledger.next_edge(1, START) == START + 40 * MINUTE
    assert ledger.next_edge(1, START + 40 * MINUTE) == START + 7 * HOUR + 40 * MINUTE
    ledger.change(START, START, follows=(frozenset(),))
    assert ledger.next_edge(1, START) == FOREVER
    assert ledger.next_edge(9, START) == FOREVER, "a switch that is not there"
