"""Dates and times: instants to bytes and back, patterns, and what is no date at all."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.dlms import moment
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND, instant


def at(*parts: int) -> int:
    return instant(dt.datetime(*parts, tzinfo=dt.UTC))


@given(st.integers(0, 4_000_000_000_0), st.integers(-720, 720))
def test_an_instant_comes_back_from_its_bytes(hundredths, deviation):
    """encode then decode is the instant, whatever the deviation; the day of week is the calendar's."""
    now = hundredths * 100_000
    shown = moment.encode(now - deviation * MINUTE, deviation) if now >= DAY else moment.encode(now)
    assert moment.decode(shown) == now
    day = dt.date(shown[0] << 8 | shown[1], shown[2], shown[3])
    assert shown[4] == day.isoweekday()


@pytest.mark.parametrize(
    "value",
    [
        "07E4021EFF00000000800000",
        "FFFF0201FF00000000800000",
        "07E402FFFF00000000800000",
        "07E40201FF18000000800000",
        "07E40201FF003C0000800000",
        "07E40201FF00003C00800000",
        "07E40201FF00000064800000",
        "07E40201FF00000000040000",
        "07E402010700000000800000",
        "07E40201FF000000008000",
        "",
    ],
)
def test_what_is_no_moment_is_refused(value):
    """The 30th of February, wildcards, hour 24, minute, second 60, hundredth 100, a deviation of days, a wrong
    weekday."""
    with pytest.raises(ValueError):
        moment.decode(bytes.fromhex(value))


def test_an_unknown_deviation_is_none_and_hundredths_may_be_open():
    """8000h reads as UTC, FFh hundredths as 0."""
    assert moment.decode(bytes.fromhex("07E40302FF0C0000FF8000FF")) == at(2020, 3, 2, 12)


@pytest.mark.parametrize(
    ("pattern", "after", "expected"),
    [
        ("FFFFFFFFFF", at(2020, 3, 2, 12), at(2020, 3, 3, 7)),
        ("FFFFFFFF07", at(2020, 3, 2, 12), at(2020, 3, 8, 7)),
        ("FFFFFFFEFF", at(2020, 2, 2), at(2020, 2, 29, 7)),
        ("FFFFFFFDFF", at(2020, 2, 2), at(2020, 2, 28, 7)),
        ("FFFF03FE07", at(2020, 3, 2), at(2020, 3, 29, 7)),
        ("FFFF021DFF", at(2020, 3, 2), at(2024, 2, 29, 7)),
        ("07E60101FF", at(2020, 3, 2), at(2022, 1, 1, 7)),
        ("07E40101FF", at(2020, 3, 2), None),
        ("07E4021EFF", at(2020, 1, 2), None),
    ],
)
def test_a_pattern_is_met_next_at(pattern, after, expected):
    """Every day, a weekday, last and last but one of the month, last Sunday, leap day, a year to come, one gone by."""
    assert moment.next_match(bytes.fromhex(pattern), bytes((7, 0, 0, 0)), after) == expected


def test_open_times_are_met_in_their_order():
    """Any hour: the next full one; any minute of an hour that is over: the next day; a match is later than `after`."""
    any_date = moment.ANY_DATE
    assert moment.next_match(any_date, bytes((0xFF, 30, 0, 0xFF)), at(2020, 3, 2, 12, 30)) == at(2020, 3, 2, 13, 30)
    assert moment.next_match(any_date, bytes((11, 0xFF, 0, 0)), at(2020, 3, 2, 12)) == at(2020, 3, 3, 11)
    assert moment.next_match(any_date, bytes((0xFF, 0xFF, 0xFF, 0)), at(2020, 3, 2)) == at(2020, 3, 2) + SECOND
    assert moment.next_match(any_date, moment.ANY_TIME, at(2020, 3, 2, 23, 59, 59)) == at(2020, 3, 3)


def test_daylight_patterns_name_a_day_of_the_year():
    """Last Sunday of March and October 2020, second Sunday (the first on or after the 8th), a day that is not there."""
    assert moment.in_year(bytes.fromhex("FFFF03FE07"), 2020) * DAY == at(2020, 3, 29)
    assert moment.in_year(bytes.fromhex("FFFF0AFE07"), 2020) * DAY == at(2020, 10, 25)
    assert moment.in_year(bytes.fromhex("FFFF0308 07"), 2020) * DAY == at(2020, 3, 8)
    assert moment.in_year(bytes.fromhex("FFFF03FD07"), 2020) * DAY == at(2020, 3, 22)
    assert moment.in_year(bytes.fromhex("FFFF03FDFF"), 2020) * DAY == at(2020, 3, 30)
    with pytest.raises(ValueError, match="day is out of range"):
        moment.in_year(bytes.fromhex("FFFF021EFF"), 2020)


def test_pieces_of_a_date_time():
    """The date bytes, the time bytes, microseconds after midnight; what says nothing is never."""
    now = at(2020, 3, 2, 12) + 34 * MINUTE + 56 * SECOND + 780_000
    assert moment.encode_date(now).hex() == "07e4030201"
    assert moment.encode_time(now).hex() == "0c22384e"
    assert moment.time_of_day(bytes.fromhex("0c22384e")) == 12 * HOUR + 34 * MINUTE + 56 * SECOND + 780_000
    assert moment.never(moment.ANY_DATE_TIME)
    assert moment.never(bytes(12))
    assert not moment.never(moment.encode(now))
    assert not moment.valid_date(bytes.fromhex("07E40D01FF"))
    assert not moment.valid_date(bytes.fromhex("07E4010001"))
    assert not moment.valid_date(bytes.fromhex("07E4010108"))
    assert not moment.valid_time(bytes((24, 0, 0, 0)))
    assert not moment.valid_time(b"")
    assert not moment.valid_date_time(b"")
