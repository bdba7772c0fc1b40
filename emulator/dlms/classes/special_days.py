"""Special days table, class 11 (DLMS UA 1000-1 4.5.4): dates on which another day profile holds."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, array, long_unsigned, octet_string, structure, unsigned
from emulator.dlms import moment
from emulator.dlms.cosem import ActionRefused, CosemObject, Device, stored
from emulator.kernel.effects import Instant

MAX_ENTRIES: Final = 255


def special_day(index: int, date: bytes, day_id: int) -> Data:
    """One entry: `index` 1 to 65,535, a 5-byte date that may hold "any", the day profile's id."""
    return structure((long_unsigned(index), octet_string(date), unsigned(day_id)))


def _is_entry(data: Data) -> bool:
    if data.tag != Tag.STRUCTURE or len(data.value) != 3:
        return False
    index, day, day_id = data.value
    return (
        index.tag == Tag.LONG_UNSIGNED
        and day.tag in (Tag.OCTET_STRING, Tag.DATE)
        and moment.valid_date(day.value)
        and day_id.tag == Tag.UNSIGNED
    )


class SpecialDays(CosemObject):
    """Attribute 2 entries. Methods: 1 insert (an entry of the same index or date is overwritten), 2 delete (by
    index)."""

    __slots__ = ()
    class_id: ClassVar[int] = 11
    methods: ClassVar[Mapping[int, str]] = {1: "insert", 2: "delete"}

    def __init__(
        self, logical_name: bytes | str = "0-0:11.0.0.255", entries: Iterable[Data] = (), *, name: str = ""
    ) -> None:
        super().__init__(
            logical_name,
            (
                stored(
                    array(entries),
                    lambda data: (
                        data.tag == Tag.ARRAY
                        and len(data.value) <= MAX_ENTRIES
                        and all(_is_entry(item) for item in data.value)
                    ),
                ),
            ),
            name=name,
        )

    def day_id(self, device: Device, day: int, now: Instant) -> int | None:
        """The day profile that holds on `day` (counted from 1970-01-01) because it is special, or None."""
        for entry in self.read(device, 2, now).value:
            if moment.same_day(entry.value[1].value, day):
                return int(entry.value[2].value)
        return None

    def act_insert(self, device: Device, data: Data, now: Instant) -> None:
        if not _is_entry(data):
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "a special day is wanted")
        index, date, _ = data.value
        left = [
            entry
            for entry in self.read(device, 2, now).value
            if entry.value[0] != index and entry.value[1].value != date.value
        ]
        if len(left) >= MAX_ENTRIES:
            raise ActionRefused(ActionResult.OTHER_REASON, "no room for another special day")
        left.append(data)
        left.sort(key=lambda entry: entry.value[0].value)
        self.set(device, 2, array(left), now)

    def act_delete(self, device: Device, data: Data, now: Instant) -> None:
        if data.tag != Tag.LONG_UNSIGNED:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "the index of a special day is wanted")
        entries = self.read(device, 2, now).value
        left = [entry for entry in entries if entry.value[0].value != data.value]
        if len(left) == len(entries):
            raise ActionRefused(ActionResult.OTHER_REASON, f"no special day {data.value}")
        self.set(device, 2, array(left), now)
