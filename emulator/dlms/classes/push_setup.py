"""Push setup, class 40 version 0 (DLMS UA 1000-1 4.4.8): what is pushed, where to, and when that may be.

Method 1 reads the listed attributes and hands them to the device, which makes a DataNotification and sends it to the
destination written here. A communication window or a random start delay puts it off: the time is remembered and the
device asks to be woken. SMETS1 meters are of the age of version 0; the later versions add confirmation and
protection, which the public record does not give them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address
from typing import ClassVar, Final

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import (
    Data,
    Tag,
    array,
    enum,
    integer,
    long64,
    long_unsigned,
    null,
    octet_string,
    structure,
    unsigned,
)
from emulator.dlms import moment
from emulator.dlms.classes.clock import Clock
from emulator.dlms.cosem import AccessRefused, ActionRefused, Attribute, CosemObject, Device, stored
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND

TCP: Final = 0
UDP: Final = 1
A_XDR_APDU: Final = 0
_PENDING: Final = -1


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute of one object; `data_index` 1.. picks one member of a structure or array, 0 takes all of it."""

    class_id: int
    logical_name: bytes
    attribute: int
    data_index: int = 0

    def data(self) -> Data:
        return structure(
            (
                long_unsigned(self.class_id),
                octet_string(self.logical_name),
                integer(self.attribute),
                long_unsigned(self.data_index),
            )
        )

    @classmethod
    def of(cls, data: Data) -> "Column":
        class_id, logical_name, attribute, data_index = (item.value for item in data.value)
        return cls(class_id, logical_name, attribute, data_index)

    def value(self, device: Device, now: Instant) -> Data:
        """What the attribute holds now; null where it cannot be read, as a meter pushes it."""
        target = device.objects.find((self.class_id, self.logical_name))
        if target is None:
            return null()
        try:
            data = target.read(device, self.attribute, now)
        except AccessRefused:
            return null()
        if self.data_index:
            if data.tag not in (Tag.ARRAY, Tag.STRUCTURE) or self.data_index > len(data.value):
                return null()
            member: Data = data.value[self.data_index - 1]
            return member
        return data


_COLUMN_TAGS: Final = [Tag.LONG_UNSIGNED, Tag.OCTET_STRING, Tag.INTEGER, Tag.LONG_UNSIGNED]


def is_column(data: Data) -> bool:
    """Whether a datum names an attribute: class id, logical name, attribute, data index."""
    return (
        data.tag == Tag.STRUCTURE
        and [item.tag for item in data.value] == _COLUMN_TAGS
        and len(data.value[1].value) == 6
    )


@dataclass(frozen=True, slots=True)
class Destination:
    """`transport` 0 TCP, 1 UDP, others by the standard; `address` as written; `message` 0 is an A-XDR APDU."""

    transport: int
    address: bytes
    message: int = A_XDR_APDU

    def data(self) -> Data:
        return structure((enum(self.transport), octet_string(self.address), enum(self.message)))

    def host_and_port(self) -> tuple[int, int] | None:
        """(IPv4 address, port) of an address written as text "10.1.2.3:4059" or as 6 bytes; None when it is neither."""
        if len(self.address) == 6 and b":" not in self.address:
            return int.from_bytes(self.address[:4], "big"), int.from_bytes(self.address[4:], "big")
        return _written(self.address)


@lru_cache(maxsize=1_024)
def _written(address: bytes) -> tuple[int, int] | None:
    """Of all devices of an estate nearly all write the same few addresses."""
    host, colon, port = address.partition(b":")
    try:
        number = int(port)
        if not colon or not 0 < number < 65536:
            return None
        return int(IPv4Address(host.decode("ascii"))), number
    except (AddressValueError, ValueError):
        return None


def _is_destination(data: Data) -> bool:
    return data.tag == Tag.STRUCTURE and [i.tag for i in data.value] == [Tag.ENUM, Tag.OCTET_STRING, Tag.ENUM]


def _is_windows(data: Data) -> bool:
    return data.tag == Tag.ARRAY and all(
        item.tag == Tag.STRUCTURE
        and len(item.value) == 2
        and all(
            one.tag in (Tag.OCTET_STRING, Tag.DATE_TIME) and moment.valid_date_time(one.value) for one in item.value
        )
        for item in data.value
    )


class PushSetup(CosemObject):
    """Attributes: 2 push object list, 3 send destination and method, 4 communication windows, 5 randomisation start
    interval (s), 6 number of retries, 7 repetition delay (s). Method 1 push, with integer(0). Acts by itself when a
    push was put off (`tree.Timed`)."""

    __slots__ = ("_clock", "_code")
    class_id: ClassVar[int] = 40
    methods: ClassVar[Mapping[int, str]] = {1: "push"}

    def __init__(
        self,
        logical_name: bytes | str,
        columns: Iterable[Column],
        destination: Destination | Attribute,
        *,
        windows: Sequence[tuple[bytes, bytes]] = (),
        random_start_s: int = 0,
        retries: int = 0,
        repetition_delay_s: int = 0,
        code: int = 0,
        clock: Clock | None = None,
        name: str = "",
    ) -> None:
        """`windows` are pairs of 12-byte date-times that may hold "any"; `code` is what `device.emit` is told."""
        super().__init__(
            logical_name,
            (
                stored(
                    array(column.data() for column in columns),
                    lambda data: data.tag == Tag.ARRAY and all(is_column(item) for item in data.value),
                ),
                destination if isinstance(destination, Attribute) else stored(destination.data(), _is_destination),
                stored(
                    array(structure((octet_string(start), octet_string(end))) for start, end in windows), _is_windows
                ),
                stored(long_unsigned(random_start_s)),
                stored(unsigned(retries)),
                stored(long_unsigned(repetition_delay_s)),
            ),
            name=name,
        )
        self._clock = clock
        self._code = code

    def destination(self, device: Device, now: Instant) -> Destination:
        """Where pushes go now."""
        transport, address, message = self.read(device, 3, now).value
        return Destination(transport.value, address.value, message.value)

    def body(self, device: Device, now: Instant) -> Data:
        """The listed attributes as one structure."""
        columns = (Column.of(item) for item in self.read(device, 2, now).value)
        return structure(column.value(device, now) for column in columns)

    def act_push(self, device: Device, data: Data, now: Instant) -> None:
        if data.tag not in (Tag.INTEGER, Tag.NULL):
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "an integer is wanted")
        if not self.read(device, 2, now).value:
            raise ActionRefused(ActionResult.OBJECT_UNAVAILABLE, "nothing is listed for pushing")
        interval = self.read(device, 5, now).value
        due = now + (device.chance("push.start") % (interval * SECOND + 1) if interval else 0)
        opening = self._opening(device, due)
        if opening is None:
            raise ActionRefused(ActionResult.TEMPORARY_FAILURE, "no communication window opens")
        if opening > now:
            self.remember(device, _PENDING, long64(opening))
            device.wake_at(opening)
            return
        self._push(device, now)

    def _push(self, device: Device, now: Instant) -> None:
        device.note("push.sent", self.name or self.logical_name)
        device.emit(self.body(device, now), self._code)

    def _opening(self, device: Device, at: Instant) -> Instant | None:
        """The first instant from `at` on that lies in a communication window (`at` itself when there are none)."""
        windows = self.read(device, 4, at).value
        if not windows:
            return at
        clock = self._clock
        local = at if clock is None else clock.local(device, at)
        found: list[Instant] = []
        for window in windows:
            start, end = (item.value for item in window.value)
            opens = moment.next_match(start[:5], start[5:9], local)
            closes = moment.next_match(end[:5], end[5:9], local)
            if closes is not None and (opens is None or closes < opens):
                return at
            if opens is not None:
                found.append(opens)
        if not found:
            return None
        return min(found) if clock is None else clock.from_local(device, min(found), at)

    def next_due(self, device: Device, after: Instant) -> Instant | None:
        pending = self.recall(device, _PENDING)
        return None if pending is None or pending.value <= after else int(pending.value)

    def run(self, device: Device, at: Instant, now: Instant) -> None:
        self.remember(device, _PENDING, None)
        self._push(device, now)
