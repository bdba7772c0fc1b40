"""Schedule, class 10 (DLMS UA 1000-1 4.5.3): many scripts at many times, by weekday and by special day.

Together with a special days table: on a special day only the entries that name its day id run, on other days those that
name the weekday. An entry's validity window says how late it may still run after a power cut.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, array, bit_string, boolean, long_unsigned, octet_string, structure
from emulator.dlms import moment
from emulator.dlms.classes.clock import Clock
from emulator.dlms.classes.script_table import execute_script
from emulator.dlms.classes.special_days import SpecialDays
from emulator.dlms.cosem import ActionRefused, CosemObject, Device, stored
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, MINUTE

ANY_TIME_LATER: Final = 0xFFFF
MAX_ENTRIES: Final = 255
_DAYS_AHEAD: Final = 800
_TAGS: Final = [
    {Tag.LONG_UNSIGNED},
    {Tag.BOOLEAN},
    {Tag.OCTET_STRING},
    {Tag.LONG_UNSIGNED},
    {Tag.OCTET_STRING, Tag.TIME},
    {Tag.LONG_UNSIGNED},
    {Tag.BIT_STRING},
    {Tag.BIT_STRING},
    {Tag.OCTET_STRING, Tag.DATE},
    {Tag.OCTET_STRING, Tag.DATE},
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `weekdays` is seven bits, Monday first; `special_days` one bit for each day id, the first bit day id 1;
    `window_minutes` FFFFh means that it may run however late; `time` has 4 bytes, `begin` and `end` 5."""

    index: int
    enabled: bool
    script_table: bytes
    selector: int
    time: bytes
    weekdays: str = "1111111"
    special_days: str = ""
    begin: bytes = moment.ANY_DATE
    end: bytes = moment.ANY_DATE
    window_minutes: int = ANY_TIME_LATER

    def data(self) -> Data:
        return structure(
            (
                long_unsigned(self.index),
                boolean(self.enabled),
                octet_string(self.script_table),
                long_unsigned(self.selector),
                octet_string(self.time),
                long_unsigned(self.window_minutes),
                bit_string(self.weekdays),
                bit_string(self.special_days),
                octet_string(self.begin),
                octet_string(self.end),
            )
        )

    @classmethod
    def of(cls, data: Data) -> "Entry":
        index, enabled, table, selector, time, window, weekdays, special, begin, end = (i.value for i in data.value)
        return cls(index, enabled, table, selector, time, weekdays, special, begin, end, window)


def _is_entry(data: Data) -> bool:
    if data.tag != Tag.STRUCTURE or len(data.value) != len(_TAGS):
        return False
    if any(item.tag not in tags for item, tags in zip(data.value, _TAGS, strict=True)):
        return False
    entry = Entry.of(data)
    return (
        len(entry.script_table) == 6
        and moment.valid_time(entry.time)
        and len(entry.weekdays) == 7
        and moment.valid_date(entry.begin)
        and moment.valid_date(entry.end)
    )


def _is_entries(data: Data) -> bool:
    return (
        data.tag == Tag.ARRAY
        and len(data.value) <= MAX_ENTRIES
        and all(_is_entry(item) for item in data.value)
        and len({item.value[0].value for item in data.value}) == len(data.value)
    )


class Schedule(CosemObject):
    """Attribute 2 entries. Methods: 1 enable/disable ranges, 2 insert (same index: overwrite), 3 delete a range. Acts
    by itself (`tree.Timed`)."""

    __slots__ = ("_clock", "_special_days")
    class_id: ClassVar[int] = 10
    methods: ClassVar[Mapping[int, str]] = {1: "enable_disable", 2: "insert", 3: "delete"}

    def __init__(
        self,
        logical_name: bytes | str,
        entries: Iterable[Entry] = (),
        *,
        clock: Clock | None = None,
        special_days: SpecialDays | None = None,
        name: str = "",
    ) -> None:
        """Without a `clock` true time counts; without `special_days` no day is special."""
        super().__init__(
            logical_name,
            (stored(array(entry.data() for entry in entries), _is_entries, changed=self._changed),),
            name=name,
        )
        self._clock = clock
        self._special_days = special_days

    def entries(self, device: Device, now: Instant) -> list[Entry]:
        return [Entry.of(item) for item in self.read(device, 2, now).value]

    def _today(self, device: Device, day: int, now: Instant) -> list[tuple[int, Entry]]:
        """What runs on a local day: (microseconds after midnight, entry), in order of time."""
        special = None if self._special_days is None else self._special_days.day_id(device, day, now)
        weekday = moment.day_of_week(day)
        wanted: list[tuple[int, Entry]] = []
        for entry in self.entries(device, now):
            bits = entry.weekdays if special is None else entry.special_days
            place = weekday if special is None else special
            if not entry.enabled or not 0 < place <= len(bits) or bits[place - 1] != "1":
                continue
            if _date_key(entry.begin, 0) <= _day_key(day) <= _date_key(entry.end, 1):
                wanted.append((moment.time_of_day(entry.time), entry))
        wanted.sort(key=lambda item: (item[0], item[1].index))
        return wanted

    def next_due(self, device: Device, after: Instant) -> Instant | None:
        if not any(entry.enabled for entry in self.entries(device, after)):
            return None
        clock = self._clock
        local = after if clock is None else clock.local(device, after)
        first = local // DAY
        for day in range(first - 1, first + _DAYS_AHEAD):
            for time, _ in self._today(device, day, after):
                at = day * DAY + time
                true = at if clock is None else clock.from_local(device, at, after)
                if true > after:
                    return true
        return None

    def run(self, device: Device, at: Instant, now: Instant) -> None:
        clock = self._clock
        local = at if clock is None else clock.local(device, at)
        # The way from local to true time and back may lose a few microseconds to drift.
        day, time = divmod(local + 500_000, DAY)
        for due, entry in self._today(device, day, at):
            if abs(due - time) > 1_000_000:
                continue
            if entry.window_minutes != ANY_TIME_LATER and now - at > entry.window_minutes * MINUTE:
                device.note("schedule.too_late", entry.index)
                continue
            execute_script(device, entry.script_table, entry.selector, now)

    def _changed(self, device: Device, data: Data, now: Instant) -> None:
        due = self.next_due(device, now)
        if due is not None:
            device.wake_at(due)

    def act_enable_disable(self, device: Device, data: Data, now: Instant) -> None:
        """Structure of first and last index to be disabled, first and last to be enabled; 0 and 0 is an empty range."""
        first_off, last_off, first_on, last_on = _indices(data, 4)
        entries = self.read(device, 2, now).value
        numbers = {item.value[0].value for item in entries}
        touched = {n for n in numbers if first_off <= n <= last_off or first_on <= n <= last_on}
        if not touched:
            raise ActionRefused(ActionResult.OTHER_REASON, "no entry in these ranges")

        def turned(item: Data) -> Data:
            number = item.value[0].value
            enabled = item.value[1]
            if first_off <= number <= last_off:
                enabled = boolean(False)
            if first_on <= number <= last_on:
                enabled = boolean(True)
            return structure((item.value[0], enabled, *item.value[2:]))

        self.set(device, 2, array(turned(item) for item in entries), now)

    def act_insert(self, device: Device, data: Data, now: Instant) -> None:
        if not _is_entry(data):
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "a schedule entry is wanted")
        left = [item for item in self.read(device, 2, now).value if item.value[0] != data.value[0]]
        if len(left) >= MAX_ENTRIES:
            raise ActionRefused(ActionResult.OTHER_REASON, "no room for another entry")
        left.append(data)
        left.sort(key=lambda item: item.value[0].value)
        self.set(device, 2, array(left), now)

    def act_delete(self, device: Device, data: Data, now: Instant) -> None:
        first, last = _indices(data, 2)
        entries = self.read(device, 2, now).value
        left = [item for item in entries if not first <= item.value[0].value <= last]
        if len(left) == len(entries):
            raise ActionRefused(ActionResult.OTHER_REASON, "no entry in this range")
        self.set(device, 2, array(left), now)


def _indices(data: Data, count: int) -> list[int]:
    if (
        data.tag != Tag.STRUCTURE
        or len(data.value) != count
        or any(item.tag != Tag.LONG_UNSIGNED for item in data.value)
    ):
        raise ActionRefused(ActionResult.TYPE_UNMATCHED, f"{count} indices are wanted")
    return [item.value for item in data.value]


def _day_key(day: int) -> bytes:
    return moment.encode_date(day * DAY)[:4]


def _date_key(pattern: bytes, last: int) -> bytes:
    """A bound that sorts among dates: an open part is the lowest (or highest) there is."""
    low, high = (b"\x00\x00", b"\xff\xff")
    year = (high if last else low) if pattern[:2] == b"\xff\xff" else pattern[:2]
    rest = bytes((0xFF if last else 0) if part >= 0xFD else part for part in pattern[2:4])
    return year + rest
