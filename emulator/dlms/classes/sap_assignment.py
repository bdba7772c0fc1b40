"""SAP assignment, class 17 (DLMS UA 1000-1 4.4.5): which logical devices stand behind one physical address."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeAlias

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, array, long_unsigned, octet_string, structure
from emulator.dlms.cosem import ActionRefused, CosemObject, Device, stored
from emulator.kernel.effects import Instant

Assignments: TypeAlias = Sequence[tuple[int, bytes]]


def assignment(sap: int, device_name: bytes) -> Data:
    return structure((long_unsigned(sap), octet_string(device_name)))


def _is_assignment(data: Data) -> bool:
    return data.tag == Tag.STRUCTURE and [item.tag for item in data.value] == [Tag.LONG_UNSIGNED, Tag.OCTET_STRING]


class SapAssignment(CosemObject):
    """Attribute 2: array of SAP and logical device name. Method 1 connects a logical device to a SAP; SAP 0
    disconnects it."""

    __slots__ = ("_connected",)
    class_id: ClassVar[int] = 17
    methods: ClassVar[Mapping[int, str]] = {1: "connect_logical_device"}

    def __init__(
        self,
        assignments: Assignments | Callable[[Device], Assignments],
        *,
        logical_name: bytes | str = "0-0:41.0.0.255",
        connected: Callable[[Device, int, bytes, Instant], None] | None = None,
        name: str = "",
    ) -> None:
        """`assignments` are (SAP, logical device name), the same for the model or made from the device;
        `connected(device, sap, name, now)` is told of a change before it holds and may raise `ActionRefused`."""
        if callable(assignments):
            make = assignments
            default = stored(lambda device: array(assignment(*item) for item in make(device)), _is_list)
        else:
            default = stored(array(assignment(*item) for item in assignments), _is_list)
        super().__init__(logical_name, (default,), name=name)
        self._connected = connected

    def act_connect_logical_device(self, device: Device, data: Data, now: Instant) -> None:
        if not _is_assignment(data):
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "a SAP and a logical device name are wanted")
        sap, device_name = data.value[0].value, data.value[1].value
        entries = [(item.value[0].value, item.value[1].value) for item in self.read(device, 2, now).value]
        if device_name not in [name for _, name in entries]:
            raise ActionRefused(ActionResult.OBJECT_UNDEFINED, "no logical device of that name")
        if sap and any(used == sap and name != device_name for used, name in entries):
            raise ActionRefused(ActionResult.OTHER_REASON, "that SAP serves another logical device")
        if self._connected is not None:
            self._connected(device, sap, device_name, now)
        moved = [(sap if name == device_name else used, name) for used, name in entries]
        self.set(device, 2, array(assignment(*item) for item in moved), now)


def _is_list(data: Data) -> bool:
    return data.tag == Tag.ARRAY and all(_is_assignment(item) for item in data.value)
