"""Bindings: where the value of an attribute comes from; and what this room asks of a device and refuses with.

These are the words that objects (`cosem`) and classes are written in. They stand apart because they know nothing of
objects: a binding is given its key when an object takes it, and from then on is two functions.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from mypy_extensions import mypyc_attr

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag
from emulator.codecs.get import DataAccessResult
from emulator.errors import EmulatorError
from emulator.kernel.effects import Instant

if TYPE_CHECKING:
    from emulator.crypto.keys import ContextStore
    from emulator.dlms.tree import ObjectTree

Key: TypeAlias = tuple[int, bytes, int]
"""(class id, logical name, attribute): where a deviation is kept. Attribute numbers fit a signed byte."""

DEDICATED: Final = -2
"""The entry of `Device.contexts` lent to the dedicated key of one association, for a device that offers ded-
services."""


class AccessRefused(EmulatorError):
    """An attribute was not read or written; `result` is the data-access-result to send."""

    def __init__(self, result: DataAccessResult, reason: str = "") -> None:
        super().__init__(result, reason)
        self.result = DataAccessResult(result)
        self.reason = reason


class ActionRefused(EmulatorError):
    """A method was not carried out; `result` is the action-result to send."""

    def __init__(self, result: ActionResult, reason: str = "") -> None:
        super().__init__(result, reason)
        self.result = ActionResult(result)
        self.reason = reason


class Association(Protocol):
    """What an object may ask about the conversation a request came by (`association.Association`)."""

    client_sap: int

    @property
    def established(self) -> bool: ...

    def status(self) -> int: ...

    def context_info(self) -> Data: ...

    def check_reply(self, device: "Device", reply: bytes) -> bytes: ...


@mypyc_attr(allow_interpreted_subclasses=True)
class Device(Protocol):
    """What this room needs of a device. Implemented by the machines of `devices`; by a small one in the tests."""

    installation: int
    deviations: dict[Key, Data]
    """Everything that was written or remembered and differs from the model; saved with the device."""
    store: "ContextStore"
    contexts: Mapping[int, int]
    """Client SAP -> index of its security context in `store`; see also `DEDICATED`."""
    objects: "ObjectTree"
    association: Association | None
    """The association that the request being answered came by; None outside of a request. Set by the server."""
    pending: list[Callable[[], None]]
    """What takes effect once the answer has been made (new keys, one entry each). The server empties it in order; a
    fault may cut it short, which is how a torn pair of keys comes about."""

    def note(self, kind: str, *detail: Any) -> None:
        """Tell the journal. `detail` is ints, strings, bytes and tuples of them; never a key."""

    def wake_at(self, at: Instant) -> None:
        """Ask to be woken at `at`."""

    def emit(self, body: Data, code: int) -> None:
        """Send `body` as a DataNotification to the push destination; `code` is the alert code (0: a plain push)."""

    def chance(self, place: str) -> int:
        """64 keyed bits; the same question at the same event gives the same answer."""

    def challenge(self) -> bytes:
        """16 fresh bytes for an authentication challenge."""

    def key_installed(self, client_sap: int, key_id: int, now: Instant) -> None:
        """A key has been taken into use (0 EK, 1 broadcast, 2 AK, 3 master). Called after each one."""


Read: TypeAlias = Callable[[Device, Instant], Data]
Write: TypeAlias = Callable[[Device, Data, Instant], None]
Check: TypeAlias = Callable[[Data], bool]
Changed: TypeAlias = Callable[[Device, Data, Instant], None]


class Attribute:
    """A binding before it knows which attribute of which object it serves. Made by the functions below."""

    __slots__ = ("bind", "default")

    def __init__(self, bind: Callable[[Key], tuple[Read, Write | None]], default: Data | None = None) -> None:
        self.bind = bind
        self.default = default
        """What every device of the model starts with, where that is one value."""


def constant(data: Data) -> Attribute:
    """The same value on every device of the model; a write is denied."""

    def bind(key: Key) -> tuple[Read, Write | None]:
        return (lambda device, now: data), None

    return Attribute(bind, data)


def computed(read: Read, write: Write | None = None) -> Attribute:
    """A function of (device, now). Without `write`, a write is denied; `write` refuses with `AccessRefused`."""

    def bind(key: Key) -> tuple[Read, Write | None]:
        return read, write

    return Attribute(bind)


def stored(
    default: Data | Callable[[Device], Data],
    check: Check | None = None,
    *,
    changed: Changed | None = None,
    before: Changed | None = None,
) -> Attribute:
    """A value that can be written; until then `default`, which may depend on the device.

    `check(data)` says whether a written value is acceptable; without it the value must have the same shape as the
    default (`same_shape`), or, when the default depends on the device, the same shape as that. A value that fails is
    refused with *type-unmatched*. `before(device, data, now)` runs first and may raise `AccessRefused`;
    `changed(device, data, now)` runs after the write.
    """
    given = default if isinstance(default, Data) else None
    make = None if isinstance(default, Data) else default

    def bind(key: Key) -> tuple[Read, Write | None]:
        def read(device: Device, now: Instant) -> Data:
            if device.deviations:
                value = device.deviations.get(key)
                if value is not None:
                    return value
            if given is not None:
                return given
            assert make is not None
            return make(device)

        def write(device: Device, data: Data, now: Instant) -> None:
            start = given if given is not None else make(device)  # type: ignore[misc]
            if not (same_shape(data, start) if check is None else check(data)):
                raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "not the type of this attribute")
            if before is not None:
                before(device, data, now)
            if data == start:
                device.deviations.pop(key, None)
            else:
                device.deviations[key] = data
            if changed is not None:
                changed(device, data, now)

        return read, write

    return Attribute(bind, given)


def same_shape(data: Data, like: Data) -> bool:
    """Whether `data` has the type of `like`: the same tag; member by member in a structure; in an array every element
    like the first one of `like` (any elements of one tag when that is empty). An octet string may stand for a date,
    time or date-time of the same length, and the other way round."""
    if data.tag != like.tag:
        lengths = {Tag.DATE_TIME: 12, Tag.DATE: 5, Tag.TIME: 4}
        if like.tag in lengths and data.tag == Tag.OCTET_STRING:
            return len(data.value) == lengths[Tag(like.tag)]
        return False
    if data.tag == Tag.STRUCTURE:
        return len(data.value) == len(like.value) and all(
            same_shape(one, other) for one, other in zip(data.value, like.value, strict=True)
        )
    if data.tag == Tag.ARRAY:
        if like.value:
            return all(same_shape(item, like.value[0]) for item in data.value)
        return len({item.tag for item in data.value}) <= 1
    return True


def is_tag(*tags: int) -> Check:
    """A check that accepts these tags, whatever the value."""
    return lambda data: data.tag in tags


def octets(minimum: int, maximum: int) -> Check:
    """A check for an octet string of `minimum` to `maximum` bytes."""
    return lambda data: data.tag == Tag.OCTET_STRING and minimum <= len(data.value) <= maximum
