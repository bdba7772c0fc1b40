"""Single action schedule, class 22 (DLMS UA 1000-1 4.5.7): one script, at planned times of the device's clock."""

from collections.abc import Sequence
from typing import ClassVar

from emulator.codecs.axdr import Data, Tag, array, enum, long_unsigned, octet_string, structure
from emulator.codecs.get import DataAccessResult
from emulator.dlms import moment
from emulator.dlms.classes.clock import Clock
from emulator.dlms.classes.script_table import execute_script
from emulator.dlms.cosem import AccessRefused, CosemObject, Device, constant, stored
from emulator.kernel.effects import Instant

ONE_TIME = 1
"""Type 1: one execution time, "any" allowed in its date."""
SAME_TIME = 2
"""Type 2: several dates at one time of day, nothing left open."""
SAME_TIME_ANY = 3
"""Type 3: several dates at one time of day, "any" allowed."""
TIMES = 4
"""Type 4: several times, nothing left open."""
TIMES_ANY = 5
"""Type 5: several times, "any" allowed."""


def executed_script(logical_name: bytes, selector: int) -> Data:
    return structure((octet_string(logical_name), long_unsigned(selector)))


def execution_time(time: bytes, date: bytes) -> Data:
    """A 4-byte time and a 5-byte date, either with "any" in it."""
    return structure((octet_string(time), octet_string(date)))


def _is_time(data: Data) -> bool:
    return (
        data.tag == Tag.STRUCTURE
        and len(data.value) == 2
        and data.value[0].tag in (Tag.OCTET_STRING, Tag.TIME)
        and data.value[1].tag in (Tag.OCTET_STRING, Tag.DATE)
        and moment.valid_time(data.value[0].value)
        and moment.valid_date(data.value[1].value)
    )


class SingleActionSchedule(CosemObject):
    """Attributes: 2 executed script, 3 type, 4 execution times. Acts by itself (`tree.Timed`)."""

    __slots__ = ("_clock",)
    class_id: ClassVar[int] = 22

    def __init__(
        self,
        logical_name: bytes | str,
        script: tuple[bytes, int],
        times: Sequence[tuple[bytes, bytes]] = (),
        *,
        type_: int = ONE_TIME,
        clock: Clock | None = None,
        name: str = "",
    ) -> None:
        """`script` is (logical name of the script table, script number); `times` are (4-byte time, 5-byte date);
        without a `clock` true time counts."""

        def fits(device: Device, data: Data, now: Instant) -> None:
            if not _fits(int(self.read(device, 3, now).value), data):
                raise AccessRefused(DataAccessResult.OTHER_REASON, "these times do not suit the type of the schedule")

        super().__init__(
            logical_name,
            (
                stored(
                    executed_script(*script),
                    lambda data: (
                        data.tag == Tag.STRUCTURE
                        and [item.tag for item in data.value] == [Tag.OCTET_STRING, Tag.LONG_UNSIGNED]
                        and len(data.value[0].value) == 6
                    ),
                ),
                constant(enum(type_)),
                stored(
                    array(execution_time(*item) for item in times),
                    lambda data: data.tag == Tag.ARRAY and all(_is_time(item) for item in data.value),
                    before=fits,
                    changed=self._changed,
                ),
            ),
            name=name,
        )
        self._clock = clock

    def next_due(self, device: Device, after: Instant) -> Instant | None:
        clock = self._clock
        start = after if clock is None else clock.local(device, after)
        found: list[Instant] = []
        for item in self.read(device, 4, after).value:
            time, date = item.value[0].value, item.value[1].value
            local = moment.next_match(date, time, start)
            while local is not None:
                at = local if clock is None else clock.from_local(device, local, after)
                if at > after:  # an hour that summer time repeats, or a drift of microseconds, may lead back
                    found.append(at)
                    break
                local = moment.next_match(date, time, local)
        return min(found) if found else None

    def run(self, device: Device, at: Instant, now: Instant) -> None:
        logical_name, selector = self.read(device, 2, at).value
        execute_script(device, logical_name.value, selector.value, now)

    def _changed(self, device: Device, data: Data, now: Instant) -> None:
        due = self.next_due(device, now)
        if due is not None:
            device.wake_at(due)


def _fits(type_: int, data: Data) -> bool:
    if type_ == ONE_TIME and len(data.value) > 1:
        return False
    if type_ in (SAME_TIME, SAME_TIME_ANY) and len({item.value[0].value for item in data.value}) > 1:
        return False
    if type_ in (SAME_TIME, TIMES):
        return all(_specified(item.value[1].value) for item in data.value)
    return True


def _specified(date: bytes) -> bool:
    return 0xFF not in (date[2], date[3]) and date[:2] != b"\xff\xff"
