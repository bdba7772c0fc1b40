"""Instants: integers of microseconds since 1970-01-01T00:00Z, and the few words around them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from emulator.kernel.effects import Instant

MICROSECOND: Final = 1
MILLISECOND: Final = 1_000
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(moment: datetime) -> Instant:
    """The instant of an aware datetime. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; SMETS1 works in UTC")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def utc(at: Instant) -> datetime:
    """The aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=at)


@lru_cache(maxsize=256)
def _minute(number: int) -> str:
    return utc(number * MINUTE).strftime("%Y-%m-%dT%H:%M:")


def text(at: Instant) -> str:
    """ISO 8601 with milliseconds, for people: 2020-03-02T00:00:00.000Z."""
    minute, rest = divmod(at, MINUTE)
    return f"{_minute(minute)}{rest // SECOND:02d}.{rest // MILLISECOND % 1000:03d}Z"
