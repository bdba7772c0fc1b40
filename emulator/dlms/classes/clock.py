"""Clock, class 8 (DLMS UA 1000-1 4.5.1): a device's own idea of the time, with its drift.

Nothing ticks. The device's time is `now + drift(device, now) + offset`: true time, an error that is a function of
time, and what settings have added since the device was made. Setting the clock changes the offset alone, so the crystal
goes on drifting as it did. SMETS1 works in UTC (time zone 0, daylight saving off); both are here and act, because
a head end may read and write them.

Three times are told apart. *True* time is `now`. *Device* time is what the device believes UTC to be. *Local* time is
device time with zone and daylight saving, and is what attribute 2 shows, with the deviation that leads back.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Final, TypeAlias

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, boolean, enum, integer, long, long64, octet_string, structure, unsigned
from emulator.codecs.get import DataAccessResult
from emulator.dlms import moment
from emulator.dlms.cosem import (
    AccessRefused,
    ActionRefused,
    CosemObject,
    Device,
    computed,
    constant,
    require_integer,
    stored,
)
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, MINUTE, SECOND, utc

Drift: TypeAlias = Callable[[Device, Instant], int]
Setting: TypeAlias = Callable[[Device, Instant, Instant, Instant], None]

_OFFSET: Final = -1
_PRESET: Final = -2
_SHIFT_LIMIT_S: Final = 900

NEVER_SUMMER: Final = moment.ANY_DATE_TIME
SUMMER_BEGIN: Final = bytes.fromhex("FFFF03FE0701000000800000")
"""01:00 on the last Sunday of March (British Summer Time)."""
SUMMER_END: Final = bytes.fromhex("FFFF0AFE0702000000800080")
"""02:00 summer time on the last Sunday of October."""


def date_time_bytes(data: Data) -> bytes:
    """The 12 bytes of a date-time, tagged as one or as an octet string. Raises `AccessRefused` (type-unmatched)."""
    if data.tag in (Tag.OCTET_STRING, Tag.DATE_TIME) and len(data.value) == 12:
        return bytes(data.value)
    raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "a date-time of 12 bytes is wanted")


def _pattern(data: Data) -> bool:
    return data.tag in (Tag.OCTET_STRING, Tag.DATE_TIME) and moment.valid_date_time(data.value)


class Clock(CosemObject):
    """Attributes: 2 time, 3 time zone, 4 status, 5 and 6 daylight saving begin and end, 7 its deviation in minutes, 8
    whether it is enabled, 9 clock base. Methods: adjust to 1 quarter, 2 measuring period, 3 minute, 4 preset time; 5
    preset adjusting time; 6 shift time."""

    __slots__ = ("_drift", "_measuring_period_s", "_setting", "_status")
    class_id: ClassVar[int] = 8
    methods: ClassVar[Mapping[int, str]] = {
        1: "adjust_to_quarter",
        2: "adjust_to_measuring_period",
        3: "adjust_to_minute",
        4: "adjust_to_preset_time",
        5: "preset_adjusting_time",
        6: "shift_time",
    }

    def __init__(
        self,
        logical_name: bytes | str = "0-0:1.0.0.255",
        *,
        drift: Drift | None = None,
        setting: Setting | None = None,
        status: Callable[[Device, Instant], int] | None = None,
        measuring_period_s: int = 1800,
        time_zone: int = 0,
        summer_enabled: bool = False,
        base: int = 1,
        name: str = "clock",
    ) -> None:
        """`drift(device, now)` is the error in microseconds that the crystal has gathered by `now`; `setting(device,
        old, new, now)` is asked before the clock is set (device times) and may raise `AccessRefused`; `status(device,
        now)` gives clock status bits (invalid 01h, doubtful 02h); `time_zone` in minutes from local to UTC; `base` 1
        is an internal crystal."""
        super().__init__(
            logical_name,
            (
                computed(self._read_time, self._write_time),
                stored(long(time_zone), lambda data: data.tag == Tag.LONG and -720 <= data.value <= 840),
                computed(lambda device, now: unsigned(self.status(device, now))),
                stored(octet_string(SUMMER_BEGIN), _pattern),
                stored(octet_string(SUMMER_END), _pattern),
                stored(integer(60), lambda data: data.tag == Tag.INTEGER and -120 <= data.value <= 120),
                stored(boolean(summer_enabled)),
                constant(enum(base)),
            ),
            name=name,
        )
        self._drift = drift
        self._setting = setting
        self._status = status
        self._measuring_period_s = measuring_period_s

    # What time it is

    def time(self, device: Device, now: Instant) -> Instant:
        """Device time: what the device believes UTC to be."""
        at = now if self._drift is None else now + self._drift(device, now)
        if device.deviations:
            offset = self.recall(device, _OFFSET)
            if offset is not None:
                at += int(offset.value)
        return at

    def true(self, device: Device, at: Instant) -> Instant:
        """The first true instant at which the device's time is `at` or later, under its present setting."""
        guess = at
        for _ in range(3):  # drift is slow, so this settles at once
            guess += at - self.time(device, guess)
        while self.time(device, guess) < at:
            guess += 1
        return guess

    def local(self, device: Device, now: Instant) -> Instant:
        """Local time as the device shows it."""
        at = self.time(device, now)
        return at + self._shift(device, at, now)

    def from_local(self, device: Device, local: Instant, now: Instant) -> Instant:
        """The true instant at which local time is `local`: of the hour that comes twice in autumn, the first."""
        return self.true(device, self._from_local(device, local, now))

    def _from_local(self, device: Device, local: Instant, now: Instant) -> Instant:
        """Device time at which local time is `local`."""
        at = local - self._zone(device, now)
        if self.read(device, 8, now).value:
            extra = int(self.read(device, 7, now).value) * MINUTE
            if self.in_summer(device, at - extra, now):
                at -= extra
        return at

    def status(self, device: Device, now: Instant) -> int:
        """The clock status byte (DLMS UA 1000-1 4.1.6.1)."""
        bits = 0 if self._status is None else self._status(device, now)
        if self.in_summer(device, self.time(device, now), now):
            bits |= moment.STATUS_SUMMER
        return bits

    def in_summer(self, device: Device, at: Instant, now: Instant) -> bool:
        """Whether daylight saving is in force at device time `at`."""
        if not self.read(device, 8, now).value:
            return False
        zone = self._zone(device, now)
        extra = int(self.read(device, 7, now).value) * MINUTE
        begin_pattern = self.read(device, 5, now).value
        end_pattern = self.read(device, 6, now).value
        try:
            year = utc(at + zone).year
            begin = moment.in_year(begin_pattern[:5], year) * DAY + moment.time_of_day(begin_pattern[5:9]) - zone
            end = moment.in_year(end_pattern[:5], year) * DAY + moment.time_of_day(end_pattern[5:9]) - zone - extra
        except ValueError:  # the patterns name no day of this year
            return False
        return begin <= at < end if begin < end else not end <= at < begin

    def _zone(self, device: Device, now: Instant) -> int:
        return -int(self.read(device, 3, now).value) * MINUTE

    def _shift(self, device: Device, at: Instant, now: Instant) -> int:
        """Microseconds from device time `at` to local time."""
        shift = self._zone(device, now)
        if self.in_summer(device, at, now):
            shift += int(self.read(device, 7, now).value) * MINUTE
        return shift

    # Attribute 2

    def shown(self, device: Device, now: Instant) -> bytes:
        """The 12 bytes of attribute 2: local time, deviation and status."""
        at = self.time(device, now)
        shift = self._zone(device, now)
        status = 0 if self._status is None else self._status(device, now)
        if self.in_summer(device, at, now):
            shift += int(self.read(device, 7, now).value) * MINUTE
            status |= moment.STATUS_SUMMER
        return moment.encode(at + shift, -shift // MINUTE, status)

    def _read_time(self, device: Device, now: Instant) -> Data:
        return octet_string(self.shown(device, now))

    def _write_time(self, device: Device, data: Data, now: Instant) -> None:
        self.set_time(device, self.instant(device, date_time_bytes(data), now), now)

    def instant(self, device: Device, value: bytes, now: Instant) -> Instant:
        """Device time of a 12-byte date-time; one that does not say its deviation is local time. Raises
        `AccessRefused`."""
        try:
            at = moment.decode(value)
        except ValueError as error:
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, str(error)) from error
        if value[9] << 8 | value[10] == moment.DEVIATION_UNKNOWN:
            return self._from_local(device, at, now)
        return at

    def set_time(self, device: Device, at: Instant, now: Instant) -> None:
        """Make device time `at`. Asks the `setting` hook first, which may raise `AccessRefused`."""
        old = self.time(device, now)
        if self._setting is not None:
            self._setting(device, old, at, now)
        before = self.recall(device, _OFFSET)
        offset = (0 if before is None else int(before.value)) + at - old
        self.remember(device, _OFFSET, long64(offset) if offset else None)
        device.note("clock.set", old, at)

    # Methods

    def _round(self, device: Device, now: Instant, step: int) -> None:
        at = self.time(device, now)
        self.set_time(device, (at + step // 2) // step * step, now)

    def act_adjust_to_quarter(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        self._round(device, now, 15 * MINUTE)

    def act_adjust_to_measuring_period(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        self._round(device, now, self._measuring_period_s * SECOND)

    def act_adjust_to_minute(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        self._round(device, now, MINUTE)

    def act_adjust_to_preset_time(self, device: Device, data: Data, now: Instant) -> None:
        """Takes the preset time over, if there is one and the device's time lies within its validity interval."""
        require_integer(data)
        preset = self.recall(device, _PRESET)
        if preset is None:
            raise ActionRefused(ActionResult.OTHER_REASON, "no time was preset")
        wanted, start, end = (self.instant(device, item.value, now) for item in preset.value)
        if not start <= self.time(device, now) <= end:
            raise ActionRefused(ActionResult.OTHER_REASON, "outside the validity interval of the preset time")
        self.set_time(device, wanted, now)
        self.remember(device, _PRESET, None)

    def act_preset_adjusting_time(self, device: Device, data: Data, now: Instant) -> None:
        if data.tag != Tag.STRUCTURE or len(data.value) != 3:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "preset time and validity interval are wanted")
        moments = [date_time_bytes(item) for item in data.value]
        _, start, end = (self.instant(device, item, now) for item in moments)
        if end < start:
            raise ActionRefused(ActionResult.OTHER_REASON, "the validity interval ends before it starts")
        self.remember(device, _PRESET, structure(octet_string(item) for item in moments))

    def act_shift_time(self, device: Device, data: Data, now: Instant) -> None:
        """Shifts by -900 to 900 seconds."""
        if data.tag != Tag.LONG:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "a long is wanted")
        if not -_SHIFT_LIMIT_S <= data.value <= _SHIFT_LIMIT_S:
            raise ActionRefused(ActionResult.OTHER_REASON, "at most 900 seconds")
        self.set_time(device, self.time(device, now) + data.value * SECOND, now)
