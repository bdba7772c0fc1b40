"""Profile generic, class 7 version 1 (DLMS UA 1000-1 4.3.6): load profiles, billing data and logs, stored nowhere.

A year of half-hours is 17,520 rows a meter; kept for 141,372 homes they would be the whole memory of the machine. But
the rows are *functions of time*: given the instant, the registers say what they held then. So a profile holds no
rows. It knows when rows came about (a period, or a list of instants, or a log kept elsewhere) and makes the ones that
are asked for. A `reset` remembers one instant before which nothing counts any more; a `capture` remembers one instant
more.

Periodic rows lie on the boundaries of the device's own clock, as in a meter that drifts, and of its UTC: summer time
changes how a row's time is shown and not when rows come.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Final, TypeAlias

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, array, double_long_unsigned, enum, long64, octet_string, structure
from emulator.codecs.get import DataAccessResult, SelectiveAccess
from emulator.dlms import moment
from emulator.dlms.classes.clock import Clock
from emulator.dlms.classes.push_setup import Column, is_column
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
from emulator.kernel.time import SECOND

Row: TypeAlias = Sequence[Data]
MakeRow: TypeAlias = Callable[[Device, Instant, Data], Row]
Times: TypeAlias = Callable[[Device, Instant], Sequence[Instant]]
Log: TypeAlias = Callable[[Device, Instant], Sequence[tuple[Instant, Row]]]

FIFO: Final = 1
LIFO: Final = 2
LARGEST: Final = 3
SMALLEST: Final = 4
NEAREST_TO_ZERO: Final = 5
FAREST_FROM_ZERO: Final = 6

_SINCE: Final = -1
_CAPTURED: Final = -2
_RANGE: Final = 1
_ENTRY: Final = 2
_NO_OBJECT: Final = Column(0, bytes(6), 0)
_CLOCK: Final = 8


class ProfileGeneric(CosemObject):
    """Attributes: 2 buffer, 3 capture objects, 4 capture period (s), 5 sort method, 6 sort object, 7 entries in use,
    8 profile entries. Methods: 1 reset, 2 capture. Attribute 2 is read in part by range (selector 1) and by entry
    (selector 2)."""

    __slots__ = ("_clock", "_log", "_row", "_since", "_times")
    class_id: ClassVar[int] = 7
    methods: ClassVar[Mapping[int, str]] = {1: "reset", 2: "capture"}
    selective = frozenset({2})

    def __init__(
        self,
        logical_name: bytes | str,
        columns: Iterable[Column],
        *,
        entries: int,
        period_s: int = 0,
        clock: Clock | None = None,
        since: Callable[[Device], Instant] | None = None,
        row: MakeRow | None = None,
        times: Times | None = None,
        log: Log | None = None,
        sort_method: int = FIFO,
        sort_object: Column = _NO_OBJECT,
        name: str = "",
    ) -> None:
        """Where rows come from, one of:

        - `period_s` > 0: one row at every boundary of the period of the device's clock;
        - `times(device, now)`: the true instants, rising, none later than now (billing dates, say);
        - `log(device, now)`: (true instant, row), rising (an event log that the device keeps or makes);
        - none of them: only method 2 adds rows.

        A row is made by `row(device, at, stamp)`, with the true instant and the 12-byte local date-time of the row as
        an octet string; without it every column is read at that instant, and then the capture objects may be
        rewritten. `since(device)` is when the device began; `entries` how many rows the profile holds, the oldest
        falling out.
        """
        listed = array(column.data() for column in columns)
        fixed = row is not None or log is not None
        super().__init__(
            logical_name,
            (
                computed(self._whole),
                constant(listed) if fixed else stored(listed, _is_columns, changed=self._cleared),
                constant(double_long_unsigned(period_s))
                if period_s == 0 or times or log
                else stored(double_long_unsigned(period_s), changed=self._cleared),
                stored(enum(sort_method), lambda data: data.tag == Tag.ENUM and FIFO <= data.value <= FAREST_FROM_ZERO),
                stored(sort_object.data(), is_column),
                computed(lambda device, now: double_long_unsigned(len(self._device_times(device, now)))),
                stored(
                    double_long_unsigned(entries),
                    lambda data: data.tag == Tag.DOUBLE_LONG_UNSIGNED and 0 < data.value <= entries,
                ),
            ),
            name=name,
            version=1,
        )
        self._clock = clock
        self._since = since
        self._row = row
        self._times = times
        self._log = log

    # When rows came about, in device time (UTC as the device has it)

    def _start(self, device: Device) -> Instant:
        start = 0 if self._since is None else self._since(device)
        kept = self.recall(device, _SINCE)
        return start if kept is None else max(start, int(kept.value))

    def _time(self, device: Device, at: Instant) -> Instant:
        return at if self._clock is None else self._clock.time(device, at)

    def _logged(self, device: Device, now: Instant) -> Sequence[tuple[Instant, Row]]:
        assert self._log is not None
        start = self._start(device)
        limit = int(self.read(device, 8, now).value)
        return [entry for entry in self._log(device, now) if start < entry[0] <= now or entry[0] == start > 0][-limit:]

    def _device_times(self, device: Device, now: Instant) -> Sequence[Instant]:
        """The times of the rows in the buffer, the oldest first: a `range` where all of them are periodic."""
        if self._log is not None:
            return [self._time(device, at) for at, _ in self._logged(device, now)]
        limit = int(self.read(device, 8, now).value)
        start = self._start(device)
        period = int(self.read(device, 4, now).value) * SECOND
        own: Sequence[Instant] = ()
        if self._times is not None:
            own = [self._time(device, at) for at in self._times(device, now) if start <= at <= now]
        elif period:
            first = -(-self._time(device, start) // period) * period
            last = self._time(device, now) // period * period
            own = range(max(first, last - (limit - 1) * period), last + 1, period)
        captured = self.recall(device, _CAPTURED)
        if captured is not None:
            own = sorted((*own, *(self._time(device, int(item.value)) for item in captured.value)))
        return own[-limit:] if len(own) > limit else own

    def _rows(self, device: Device, chosen: Sequence[int], now: Instant) -> list[Row]:
        """The rows at these places of the buffer, 0 being the oldest."""
        if not chosen:
            return []
        if self._log is not None:
            logged = self._logged(device, now)
            return [logged[place][1] for place in chosen]
        times = self._device_times(device, now)
        columns = [] if self._row is not None else self._columns(device, now)
        clock = self._clock
        rows: list[Row] = []
        for place in chosen:
            at = times[place] if clock is None else clock.true(device, times[place])
            stamp = octet_string(moment.encode(at) if clock is None else clock.shown(device, at))
            if self._row is not None:
                rows.append(self._row(device, at, stamp))
            else:
                rows.append([stamp if _is_clock(column) else column.value(device, at) for column in columns])
        return rows

    def _columns(self, device: Device, now: Instant) -> list[Column]:
        return [Column.of(item) for item in self.read(device, 3, now).value]

    # Attribute 2, all of it or a part

    def _ordered(self, device: Device, places: Sequence[int], now: Instant) -> list[Row]:
        """These rows in the order that the sort method asks for."""
        method = int(self.read(device, 5, now).value)
        if method == LIFO:
            places = places[::-1]
        rows = self._rows(device, places, now)
        if method in (FIFO, LIFO):
            return rows
        wanted = Column.of(self.read(device, 6, now))
        columns = self._columns(device, now)
        if wanted not in columns:
            return rows
        place = columns.index(wanted)
        distance = method in (NEAREST_TO_ZERO, FAREST_FROM_ZERO)
        try:
            rows.sort(
                key=lambda row: abs(row[place].value) if distance else row[place].value,
                reverse=method in (LARGEST, FAREST_FROM_ZERO),
            )
        except TypeError as error:
            raise AccessRefused(DataAccessResult.OTHER_REASON, "the sort object has no order") from error
        return rows

    def _whole(self, device: Device, now: Instant) -> Data:
        places = range(len(self._device_times(device, now)))
        return array(structure(row) for row in self._ordered(device, places, now))

    def select(self, device: Device, attribute: int, access: SelectiveAccess, now: Instant) -> Data:
        if access.selector == _RANGE:
            return self._by_range(device, access.parameters, now)
        if access.selector == _ENTRY:
            return self._by_entry(device, access.parameters, now)
        raise AccessRefused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, f"no selector {access.selector}")

    def _by_range(self, device: Device, asked: Data, now: Instant) -> Data:
        """Rows whose restricting object lies within two values, both included (range descriptor, selector 1)."""
        if asked.tag != Tag.STRUCTURE or len(asked.value) != 4 or not is_column(asked.value[0]):
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "a range descriptor is wanted")
        restricting, low, high, selected = asked.value
        if selected.tag != Tag.ARRAY or not all(is_column(item) for item in selected.value):
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "the selected values are an array of objects")
        columns = self._columns(device, now)
        wanted = [Column.of(item) for item in selected.value]
        if any(column not in columns for column in wanted):
            raise AccessRefused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, "a selected value is not captured here")
        by = Column.of(restricting)
        if _is_clock(by):
            first, last = self._bound(device, low, -1, now), self._bound(device, high, 1, now)
            times = self._device_times(device, now)
            start = 0 if first is None else bisect_left(times, first)
            stop = len(times) if last is None else bisect_right(times, last)
            rows = self._ordered(device, range(start, max(start, stop)), now)
        elif by in columns:
            place = columns.index(by)
            rows = self._ordered(device, range(len(self._device_times(device, now))), now)
            try:
                rows = [row for row in rows if low.value <= row[place].value <= high.value]
            except TypeError as error:
                raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "the bounds do not compare") from error
        else:
            raise AccessRefused(
                DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, "the restricting object is not captured here"
            )
        if wanted:
            places = [columns.index(column) for column in wanted]
            rows = [[row[place] for place in places] for row in rows]
        return array(structure(row) for row in rows)

    def _bound(self, device: Device, data: Data, side: int, now: Instant) -> Instant | None:
        """A bound of a range in device time; None where nothing is specified. A date alone is its first or last
        instant."""
        if data.tag == Tag.NULL:
            return None
        if data.tag not in (Tag.OCTET_STRING, Tag.DATE_TIME) or len(data.value) != 12:
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "the bounds are date-times")
        value: bytes = data.value
        if moment.never(value):
            return None
        fill = b"\x00" * 4 if side < 0 else bytes((23, 59, 59, 99))
        time = bytes(given if given != 0xFF else other for given, other in zip(value[5:9], fill, strict=True))
        whole = value[:4] + b"\xff" + time + value[9:]
        if self._clock is not None:
            return self._clock.instant(device, whole, now)
        try:
            return moment.decode(whole)
        except ValueError as error:
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, str(error)) from error

    def _by_entry(self, device: Device, asked: Data, now: Instant) -> Data:
        """Rows and columns by number from 1, both ends included; 0 at the end is the last (entry descriptor, selector
        2)."""
        tags = [Tag.DOUBLE_LONG_UNSIGNED, Tag.DOUBLE_LONG_UNSIGNED, Tag.LONG_UNSIGNED, Tag.LONG_UNSIGNED]
        if asked.tag != Tag.STRUCTURE or [item.tag for item in asked.value] != tags:
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "an entry descriptor is wanted")
        first, last, left, right = (item.value for item in asked.value)
        count = len(self._device_times(device, now))
        if first == 0 or (last and last < first) or (right and right < left):
            raise AccessRefused(
                DataAccessResult.OTHER_REASON, "entries are counted from 1, the first not after the last"
            )
        last = min(last or count, count)
        method = int(self.read(device, 5, now).value)
        if method == FIFO:
            rows = self._rows(device, range(first - 1, max(first - 1, last)), now)
        elif method == LIFO:
            rows = self._rows(device, range(count - first, count - 1 - max(first - 1, last), -1), now)
        else:
            rows = self._ordered(device, range(count), now)[first - 1 : last]
        start = max(left - 1, 0)
        return array(structure(row[start : right or None]) for row in rows)

    # Methods

    def _cleared(self, device: Device, data: Data, now: Instant) -> None:
        """Rewriting what is captured, or how often, empties the buffer."""
        self.remember(device, _SINCE, long64(now + 1))
        self.remember(device, _CAPTURED, None)

    def act_reset(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        self._cleared(device, data, now)

    def act_capture(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        if self._log is not None:
            raise ActionRefused(ActionResult.READ_WRITE_DENIED, "a log is written by its events alone")
        captured = self.recall(device, _CAPTURED)
        limit = int(self.read(device, 8, now).value)
        instants = (*(() if captured is None else captured.value), long64(now))
        self.remember(device, _CAPTURED, array(instants[-limit:]))


def _is_columns(data: Data) -> bool:
    return data.tag == Tag.ARRAY and bool(data.value) and all(is_column(item) for item in data.value)


def _is_clock(column: Column) -> bool:
    return column.class_id == _CLOCK and column.attribute == 2
