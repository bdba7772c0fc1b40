"""Tariffs: rates at their switching instants, and refusal of tables that make no calendar."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.common import tariff
from devices.common.tariff import BadTableError, calendar, day_type, named, tables
from emulator.codecs.axdr import Data, array, long_unsigned, octet_string, structure, unsigned
from emulator.errors import InputError
from emulator.fleet import tariffs
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND

DAY_0 = 18_323 * DAY  # Monday 2 March 2020


def week(name: bytes, *days: int) -> Data:
    return structure((octet_string(name), *(unsigned(day) for day in days)))


def season(start: bytes, of: bytes) -> Data:
    return structure((octet_string(b"s"), octet_string(start), octet_string(of)))


ALL_YEAR = b"\xff\xff\x01\x01\xff\x00\x00\x00\x00\x80\x00\xff"
SUMMER = b"\xff\xff\x06\x01\xff\x00\x00\x00\x00\x80\x00\xff"
NIGHT = ((0, 2), (7 * 3_600, 1))
FLAT_DEAR = ((0, 1),)


@pytest.mark.parametrize("name", sorted(tables()))
def test_a_loaded_table_switches_when_the_estate_says(name: str) -> None:
    """At every switching time of the named table, one second before and at it, the meter's rate is the table's."""
    theirs, own = tariffs.tables()[name], named(name)
    for minute, _ in theirs.day:
        for at in (DAY_0 + DAY + minute * MINUTE - SECOND, DAY_0 + DAY + minute * MINUTE):
            assert own.calendar.rate(at) == theirs.rate(at)
            assert (own.calendar.rate(at) in own.switched) == theirs.live(at)
    assert own.rates == theirs.rates


@pytest.mark.parametrize("name", sorted(tables()))
def test_next_change_is_the_next_switching_time(name: str) -> None:
    """The next change of the circuits agrees with the estate's own table, from any hour."""
    theirs, own = tariffs.tables()[name], named(name)
    for hour in range(24):
        at = DAY_0 + hour * HOUR + 7
        expected = theirs.next_switch(at)
        assert own.calendar.next_change(at, own.switched) == (expected if expected is not None else 1 << 62)


def test_weekends_seasons_and_special_days_have_their_own_plans() -> None:
    """Special day before season before weekday: each decides as the standard orders them."""
    christmas = structure((long_unsigned(1), octet_string(b"\xff\xff\x0c\x19\xff"), unsigned(3)))
    made = calendar(
        array((season(ALL_YEAR, b"w"), season(SUMMER, b"x"))),
        array((week(b"w", 1, 1, 1, 1, 1, 2, 2), week(b"x", 2, 2, 2, 2, 2, 2, 2))),
        array((day_type(1, FLAT_DEAR), day_type(2, NIGHT), day_type(3, ((0, 3),)))),
        array((christmas,)),
    )
    assert made.rate(DAY_0 + HOUR) == 1  # a Monday in March
    assert made.rate(DAY_0 + 5 * DAY + HOUR) == 2  # the Saturday after
    assert made.rate(DAY_0 + 105 * DAY + HOUR) == 2  # a Monday in June
    assert made.rate(DAY_0 + 298 * DAY + HOUR) == 3  # 25 December
    assert made.rate(DAY_0 + 308 * DAY + HOUR) == 1  # a Monday in January: the winter season again
    runs = made.runs(18_323, 18_337)
    assert [(end - begun) for begun, end, _ in runs] == [5, 2, 5, 2]


def test_equal_days_are_one_run() -> None:
    """A table in which every day is alike is one run however long, which is what makes a register cheap."""
    assert len(named("economy7").calendar.runs(0, 20_000)) == 1


GOOD = (array((season(ALL_YEAR, b"w"),)), array((week(b"w", *(1,) * 7),)), array((day_type(1, NIGHT),)), array(()))


@pytest.mark.parametrize(
    ("place", "bad"),
    [
        (0, array(())),
        (0, array((season(ALL_YEAR, b"?"),))),
        (0, array((season(b"\xff" * 3, b"w"),))),
        (0, array((season(ALL_YEAR, b"w"),) * 5)),
        (1, array((week(b"w", *(9,) * 7),))),
        (1, array((week(b"w", *(1,) * 7), week(b"w", *(1,) * 7)))),
        (1, unsigned(1)),
        (2, array((structure((unsigned(1), array(()))),))),
        (2, array((day_type(1, ((0, 0),)),))),
        (2, array((day_type(1, ((0, 49),)),))),
        (2, array((day_type(1, ((0, 1), (0, 2))),))),
        (2, array((day_type(1, tuple((n * 3_600, 1 + n % 2) for n in range(13))),))),
        (2, array((day_type(1, NIGHT), day_type(1, NIGHT)))),
        (2, array(tuple(day_type(n, NIGHT) for n in range(18)))),
        (3, array((structure((long_unsigned(1), octet_string(b"\xff\xff\x0d\x01\xff"), unsigned(1))),))),
        (3, array((structure((long_unsigned(1), octet_string(b"\xff\xff\x0c\x01\xff"), unsigned(7))),))),
    ],
)
def test_a_table_that_makes_no_calendar_is_refused(place: int, bad: Data) -> None:
    """Missing names, doubled names, impossible times and more than the meter holds: each is refused."""
    assert calendar(*GOOD).rate(DAY_0) == 2
    parts = list(GOOD)
    parts[place] = bad
    with pytest.raises(BadTableError):
        calendar(*parts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1_439), st.integers(1, 8)), min_size=1, max_size=11, unique_by=lambda x: x[0]))
def test_any_day_type_gives_the_last_action_before_now(actions: list[tuple[int, int]]) -> None:
    """The rate at any time is that of the latest action not after it; before the first one, of the day's last."""
    spans = tuple((minute * 60, rate) for minute, rate in sorted(actions))
    made = calendar(GOOD[0], GOOD[1], array((day_type(1, spans),)), GOOD[3])
    for minute in range(0, 1_440, 7):
        earlier = [rate for start, rate in spans if start <= minute * 60]
        assert made.rate(DAY_0 + minute * MINUTE) == (earlier[-1] if earlier else spans[-1][1])


def test_an_unknown_table_names_the_ones_there_are() -> None:
    """Asking for a table that does not exist is an InputError that lists the tables."""
    with pytest.raises(InputError, match="economy7"):
        named("economy8")
    with pytest.raises(InputError, match="00:00"):
        tariff.switching_table("bad", 1, frozenset(), ())
