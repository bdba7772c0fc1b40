"""COSEM dates and times (DLMS UA 1000-1 4.1.6.1): instants to bytes and back, and patterns with "any" in them.

A date is 5 bytes (year 2, month, day, day of week 1 Monday to 7 Sunday), a time 4 (hour, minute, second, hundredths),
a date-time both plus a deviation (2, minutes from local time to UTC, 8000h unknown) and a clock status. FFh (FFFFh in
the year) means *not specified*; a day of FEh is the last of the month, FDh the last but one.

Two readings of the same bytes: a *moment* has everything that counts specified and is one instant; a *pattern* matches
many. Both are here because every calendar class needs them, and in integers because they are read millions of times:
the date bytes of a day are made once.
"""

from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND

DEVIATION_UNKNOWN: Final = 0x8000
STATUS_INVALID: Final = 0x01
STATUS_DOUBTFUL: Final = 0x02
STATUS_SUMMER: Final = 0x80

ANY_DATE: Final = b"\xff" * 5
ANY_TIME: Final = b"\xff" * 4
ANY_DATE_TIME: Final = b"\xff" * 9 + b"\x80\x00\xff"
"""Nothing specified: in an activation time this means never."""

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_HUNDREDTH: Final = 10_000
_YEARS_AHEAD: Final = 9
"""How far a pattern is followed: eight years hold a 29th of February, one for the year we stand in."""


@lru_cache(maxsize=4096)
def _date_bytes(day: int) -> bytes:
    moment = date.fromordinal(_EPOCH_ORDINAL + day)
    return moment.year.to_bytes(2, "big") + bytes((moment.month, moment.day, moment.isoweekday()))


def encode(at: Instant, deviation: int = 0, status: int = 0) -> bytes:
    """The 12 bytes of an instant. `at` is the local time to be shown; `deviation` minutes (-720..840) from local to
    UTC."""
    day, rest = divmod(at, DAY)
    hour, rest = divmod(rest, HOUR)
    minute, rest = divmod(rest, MINUTE)
    second, rest = divmod(rest, SECOND)
    tail = bytes((hour, minute, second, rest // _HUNDREDTH, deviation >> 8 & 0xFF, deviation & 0xFF, status))
    return _date_bytes(day) + tail


def encode_date(at: Instant) -> bytes:
    """The 5 date bytes of an instant."""
    return _date_bytes(at // DAY)


def encode_time(at: Instant) -> bytes:
    """The 4 time bytes of an instant."""
    return encode(at)[5:9]


def decode(value: bytes) -> Instant:
    """The instant (UTC) of a 12-byte date-time. The day of week, hundredths, deviation and status may be unspecified;
    an unknown deviation is read as none. Raises ValueError for anything else unspecified or impossible."""
    if len(value) != 12:
        raise ValueError("a date-time has 12 bytes")
    year = value[0] << 8 | value[1]
    day = date(year, value[2], value[3]).toordinal() - _EPOCH_ORDINAL
    if value[4] != 0xFF and value[4] != day_of_week(day):
        raise ValueError("the day of week is not that of the date")
    hour, minute, second, hundredths = value[5:9]
    if hundredths == 0xFF:
        hundredths = 0
    if hour > 23 or minute > 59 or second > 59 or hundredths > 99:
        raise ValueError("not a time of day")
    deviation = value[9] << 8 | value[10]
    if deviation == DEVIATION_UNKNOWN:
        deviation = 0
    elif deviation > 0x7FFF:
        deviation -= 0x10000
    if not -840 <= deviation <= 840:
        raise ValueError("the deviation is too large")
    return day * DAY + hour * HOUR + (minute + deviation) * MINUTE + second * SECOND + hundredths * _HUNDREDTH


def day_of_week(day: int) -> int:
    """1 Monday to 7 Sunday, of a day counted from 1970-01-01."""
    return (day + 3) % 7 + 1


def same_day(pattern: bytes, day: int) -> bool:
    """Whether a 5-byte date pattern matches a day counted from 1970-01-01."""
    if pattern == ANY_DATE:
        return True
    moment = date.fromordinal(_EPOCH_ORDINAL + day)
    year = pattern[0] << 8 | pattern[1]
    if year not in (0xFFFF, moment.year) or pattern[2] not in (0xFF, moment.month):
        return False
    weekday = pattern[4]
    if weekday not in (0xFF, moment.isoweekday()):
        return False
    wanted = pattern[3]
    if wanted == 0xFF:
        return True
    if wanted in (0xFD, 0xFE):
        left = (date.fromordinal(_EPOCH_ORDINAL + day + 32 - moment.day).replace(day=1) - moment).days - 1
        if weekday != 0xFF:  # the last (last but one) such weekday of the month
            return left // 7 == (0 if wanted == 0xFE else 1)
        return left == (0 if wanted == 0xFE else 1)
    return wanted == moment.day


def valid_date(pattern: bytes) -> bool:
    """Whether 5 bytes can be a date pattern at all."""
    return (
        len(pattern) == 5
        and (pattern[2] == 0xFF or 1 <= pattern[2] <= 12)
        and (pattern[3] in (0xFF, 0xFE, 0xFD) or 1 <= pattern[3] <= 31)
        and (pattern[4] == 0xFF or 1 <= pattern[4] <= 7)
    )


def valid_time(pattern: bytes) -> bool:
    """Whether 4 bytes can be a time pattern at all."""
    if len(pattern) != 4:
        return False
    limits = (24, 60, 60, 100)
    return all(part == 0xFF or part < limit for part, limit in zip(pattern, limits, strict=True))


def valid_date_time(pattern: bytes) -> bool:
    return len(pattern) == 12 and valid_date(pattern[:5]) and valid_time(pattern[5:9])


def never(pattern: bytes) -> bool:
    """Whether a date-time says nothing at all, which an activation time reads as "not planned"."""
    return pattern[:9] == b"\xff" * 9 or not any(pattern)


def time_of_day(pattern: bytes) -> int:
    """Microseconds after midnight of a 4-byte time; unspecified parts count as 0."""
    hour, minute, second, hundredths = (0 if part == 0xFF else part for part in pattern)
    return hour * HOUR + minute * MINUTE + second * SECOND + hundredths * _HUNDREDTH


@lru_cache(maxsize=4096)
def next_match(date_pattern: bytes, time_pattern: bytes, after: Instant) -> Instant | None:
    """The first instant later than `after` that matches both patterns, in whole seconds, or None within nine years."""
    day = (after + 1) // DAY
    year = date_pattern[0] << 8 | date_pattern[1]
    if year != 0xFFFF:
        try:
            day = max(day, date(year, 1, 1).toordinal() - _EPOCH_ORDINAL)
        except ValueError:
            return None
    last = day + 366 * (1 if year != 0xFFFF else _YEARS_AHEAD)
    while day <= last:
        if same_day(date_pattern, day):
            at = _next_time(time_pattern, after - day * DAY)
            if at is not None:
                return day * DAY + at
        day += 1
    return None


def _next_time(pattern: bytes, after: int) -> int | None:
    """The first whole second of a day later than `after` (microseconds after midnight, may be negative)."""
    hours = range(24) if pattern[0] == 0xFF else (pattern[0],)
    minutes = range(60) if pattern[1] == 0xFF else (pattern[1],)
    seconds = range(60) if pattern[2] == 0xFF else (pattern[2],)
    hundredths = 0 if pattern[3] == 0xFF else pattern[3] * _HUNDREDTH
    for hour in hours:
        if hour * HOUR + HOUR <= after:
            continue
        for minute in minutes:
            start = hour * HOUR + minute * MINUTE
            if start + MINUTE <= after:
                continue
            for second in seconds:
                at = start + second * SECOND + hundredths
                if at > after:
                    return at
    return None


def in_year(pattern: bytes, year: int) -> int:
    """The day (from 1970-01-01) in `year` that a yearly date pattern means. A day of the month together with a day of
    the week means the first such weekday on or after it. Raises ValueError where there is none."""
    month, wanted, weekday = pattern[2], pattern[3], pattern[4]
    first = date(year, month, 1)
    following = (first + timedelta(days=32)).replace(day=1)
    if wanted in (0xFD, 0xFE):
        day = following - timedelta(days=1 if wanted == 0xFE else 2)
        if weekday != 0xFF:
            day = following - timedelta(days=1)
            day -= timedelta(days=(day.isoweekday() - weekday) % 7 + (0 if wanted == 0xFE else 7))
    else:
        day = first.replace(day=1 if wanted == 0xFF else wanted)
        if weekday != 0xFF:
            day += timedelta(days=(weekday - day.isoweekday()) % 7)
    return day.toordinal() - _EPOCH_ORDINAL
