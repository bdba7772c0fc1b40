"""COSEM objects: shared by all devices of a model, told each time which device is meant and what time it is.

The obvious way, an object per meter with its values inside, costs 100 kB a meter and must be saved whole. Here an
object is a flyweight. It has a class, a logical name and a *binding* per attribute, which says where the value comes
from:

- `constant(data)`: the same on every device of the model, never written;
- `computed(read, write)`: a function of (device, now); physics lives behind these;
- `stored(default, check)`: the default of the model until somebody writes; what was written is kept in
  `device.deviations` under (class id, logical name, attribute). Writing the default again forgets the entry, so a
  device that deviates in nothing has an empty dict and an empty snapshot.

Attribute numbers below zero are a class's own memory (image blocks, a relay's state): never reachable from the wire,
kept and saved like any other deviation.

An attribute or method that a class does not have is refused with *object-undefined*, one that may not be touched
with *read-write-denied*; access rights per client are checked before, in `server`, and are no business of an object.
A refusal is an exception that carries the standard's result code, because a method may be four calls deep (a
script that writes an attribute that checks a type) when it finds that it must not.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag
from emulator.codecs.get import DataAccessResult, SelectiveAccess
from emulator.dlms.bindings import (
    DEDICATED,
    AccessRefused,
    ActionRefused,
    Association,
    Attribute,
    Changed,
    Check,
    Device,
    Key,
    Read,
    Write,
    computed,
    constant,
    is_tag,
    octets,
    same_shape,
    stored,
)
from emulator.errors import UsageError
from emulator.kernel.effects import Instant

__all__ = [
    "AccessRefused",
    "ActionRefused",
    "ActionResult",
    "Association",
    "Attribute",
    "Changed",
    "Check",
    "CosemObject",
    "DEDICATED",
    "DataAccessResult",
    "Device",
    "Key",
    "Read",
    "Write",
    "as_action_result",
    "computed",
    "constant",
    "is_tag",
    "obis",
    "obis_text",
    "octets",
    "require_integer",
    "same_shape",
    "stored",
]


def obis(text: str) -> bytes:
    """The 6 bytes of a logical name written as "0-0:1.0.0.255" or "0.0.1.0.0.255"; the last part may be left out."""
    parts = text.replace("-", ".").replace(":", ".").split(".")
    try:
        name = bytes(int(part) for part in parts)
    except ValueError:
        raise UsageError(f"{text!r} is not a logical name") from None
    if len(name) == 5:
        name += b"\xff"
    if len(name) != 6:
        raise UsageError(f"{text!r} is not a logical name: six numbers are wanted")
    return name


def obis_text(name: bytes) -> str:
    """A logical name for people: "0-0:1.0.0.255"."""
    a, b, c, d, e, f = name
    return f"{a}-{b}:{c}.{d}.{e}.{f}"


@mypyc_attr(allow_interpreted_subclasses=True)
class CosemObject:
    """One object of a model. Subclasses give `class_id`, bind their attributes and list their methods.

    `attributes` are the bindings of attributes 2, 3, ... in order; attribute 1 is always the logical name.
    """

    class_id: ClassVar[int]
    methods: ClassVar[Mapping[int, str]] = {}
    """Method id -> its name in the Blue Book; `act_<name>` carries it out."""
    selective: ClassVar[frozenset[int]] = frozenset()
    """Attributes that can be read in part; `select` does it."""

    __slots__ = ("_acts", "_reads", "_writes", "logical_name", "name", "version")

    def __init__(
        self, logical_name: bytes | str, attributes: Iterable[Attribute], *, name: str = "", version: int = 0
    ) -> None:
        self.logical_name: bytes = obis(logical_name) if isinstance(logical_name, str) else logical_name
        if len(self.logical_name) != 6:
            raise UsageError("a logical name has 6 bytes")
        self.name = name
        self.version = version
        reads: list[Read | None] = [None]
        writes: list[Write | None] = [None]
        own_name = constant(Data(Tag.OCTET_STRING.value, self.logical_name))
        for number, attribute in enumerate((own_name, *attributes), 1):
            read, write = attribute.bind((self.class_id, self.logical_name, number))
            reads.append(read)
            writes.append(write)
        self._reads = tuple(reads)
        self._writes = tuple(writes)
        acts: dict[int, Callable[[Device, Data, Instant], Data | None]] = {}
        for number, method in self.methods.items():
            acts[number] = getattr(self, f"act_{method}")
        self._acts = acts

    @property
    def attribute_count(self) -> int:
        """How many attributes this object has, the logical name included."""
        return len(self._reads) - 1

    @property
    def method_count(self) -> int:
        return len(self._acts)

    @property
    def method_ids(self) -> tuple[int, ...]:
        return tuple(self._acts)

    def writable(self, attribute: int) -> bool:
        """Whether the binding of an attribute takes writes at all."""
        return 0 < attribute < len(self._writes) and self._writes[attribute] is not None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {obis_text(self.logical_name)} {self.name}>"

    def get(self, device: Device, attribute: int, access: SelectiveAccess | None, now: Instant) -> Data:
        """The value of an attribute on `device` at `now`, or the part of it that `access` asks for.

        Raises `AccessRefused`: object-undefined for an attribute the class does not have, scope-of-access-violated for
        a selection the attribute does not offer.
        """
        if not 0 < attribute < len(self._reads):
            raise AccessRefused(DataAccessResult.OBJECT_UNDEFINED, "no such attribute")
        if access is not None:
            if attribute not in self.selective:
                raise AccessRefused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, "no selective access here")
            return self.select(device, attribute, access, now)
        return self._reads[attribute](device, now)  # type: ignore[misc]

    def read(self, device: Device, attribute: int, now: Instant) -> Data:
        """`get` without selection, for callers inside the house."""
        if not 0 < attribute < len(self._reads):
            raise AccessRefused(DataAccessResult.OBJECT_UNDEFINED, "no such attribute")
        return self._reads[attribute](device, now)  # type: ignore[misc]

    def set(self, device: Device, attribute: int, data: Data, now: Instant) -> None:
        """Write an attribute. Raises `AccessRefused`."""
        if not 0 < attribute < len(self._writes):
            raise AccessRefused(DataAccessResult.OBJECT_UNDEFINED, "no such attribute")
        write = self._writes[attribute]
        if write is None:
            raise AccessRefused(DataAccessResult.READ_WRITE_DENIED, "this attribute is not written")
        write(device, data, now)

    def act(self, device: Device, method: int, data: Data | None, now: Instant) -> Data | None:
        """Invoke a method. `data` None means no parameters (the same as null-data). Raises `ActionRefused`."""
        action = self._acts.get(method)
        if action is None:
            raise ActionRefused(ActionResult.OBJECT_UNDEFINED, "no such method")
        try:
            return action(device, _NULL if data is None else data, now)
        except AccessRefused as refusal:
            raise ActionRefused(as_action_result(refusal.result), refusal.reason) from refusal

    def select(self, device: Device, attribute: int, access: SelectiveAccess, now: Instant) -> Data:
        """A part of an attribute in `selective`; overridden where there is one."""
        raise AccessRefused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, "no selective access here")

    # A class's own memory: deviations under attribute numbers below zero.

    def recall(self, device: Device, slot: int) -> Data | None:
        """What this object remembered in `slot` (below zero), or None."""
        if not device.deviations:
            return None
        return device.deviations.get((self.class_id, self.logical_name, slot))

    def remember(self, device: Device, slot: int, data: Data | None) -> None:
        """Keep `data` in `slot` (below zero); None forgets it."""
        assert -128 <= slot < 0
        key = (self.class_id, self.logical_name, slot)
        if data is None:
            device.deviations.pop(key, None)
        else:
            device.deviations[key] = data


_NULL: Final = Data(Tag.NULL.value, None)


def as_action_result(result: DataAccessResult) -> ActionResult:
    """The action-result that says the same as a data-access-result."""
    try:
        return ActionResult(int(result))
    except ValueError:
        return ActionResult.OTHER_REASON


def require_integer(data: Data) -> int:
    """The parameter `integer(0)` that many methods carry. Raises `ActionRefused` for another type."""
    if data.tag != Tag.INTEGER:
        raise ActionRefused(ActionResult.TYPE_UNMATCHED, "an integer is wanted")
    return int(data.value)
