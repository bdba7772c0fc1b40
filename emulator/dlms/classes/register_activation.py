"""Register activation, class 6 (DLMS UA 1000-1 4.3.5): which of a group of registers counts, by named masks.

The mask in force is one attribute; what counts where is physics and reads it with `active(device, now)`. Where the
tariff calendar decides, the model binds attribute 4 with `computed`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, array, long_unsigned, octet_string, structure, unsigned
from emulator.codecs.get import DataAccessResult
from emulator.dlms.cosem import AccessRefused, ActionRefused, Attribute, CosemObject, Device, stored
from emulator.kernel.effects import Instant

MAX_REGISTERS = 64
MAX_MASKS = 64
"""More than a SMETS1 meter has tariff registers for; an add beyond them is refused."""


def object_definition(class_id: int, logical_name: bytes) -> Data:
    """Which object: structure of class id and logical name."""
    return structure((long_unsigned(class_id), octet_string(logical_name)))


def mask_definition(mask: bytes, indices: Iterable[int]) -> Data:
    """A mask: its name and the 1-based indices of the registers it lets count."""
    return structure((octet_string(mask), array(unsigned(index) for index in indices)))


def _is_assignment(data: Data) -> bool:
    return (
        data.tag == Tag.STRUCTURE
        and [item.tag for item in data.value] == [Tag.LONG_UNSIGNED, Tag.OCTET_STRING]
        and len(data.value[1].value) == 6
    )


def _is_mask(data: Data) -> bool:
    return (
        data.tag == Tag.STRUCTURE
        and [item.tag for item in data.value] == [Tag.OCTET_STRING, Tag.ARRAY]
        and all(item.tag == Tag.UNSIGNED for item in data.value[1].value)
    )


class RegisterActivation(CosemObject):
    """Attributes: 2 register assignment, 3 mask list, 4 active mask. Methods: 1 add register, 2 add mask, 3 delete
    mask."""

    __slots__ = ()
    class_id: ClassVar[int] = 6
    methods: ClassVar[Mapping[int, str]] = {1: "add_register", 2: "add_mask", 3: "delete_mask"}

    def __init__(
        self,
        logical_name: bytes | str,
        registers: Sequence[tuple[int, bytes]],
        masks: Sequence[tuple[bytes, Sequence[int]]],
        active: bytes | Attribute,
        *,
        changed: Callable[[Device, Data, Instant], None] | None = None,
        name: str = "",
    ) -> None:
        """`registers` are (class id, logical name); `masks` (name, 1-based indices); `active` the mask in force at
        first, or a binding of its own; `changed(device, active mask, now)` is told of a write."""

        def known(device: Device, data: Data, now: Instant) -> None:
            if not any(mask.value[0].value == data.value for mask in self.read(device, 3, now).value):
                raise AccessRefused(DataAccessResult.OTHER_REASON, "no mask of that name")

        mask = active if isinstance(active, Attribute) else stored(octet_string(active), before=known, changed=changed)
        super().__init__(
            logical_name,
            (
                stored(
                    array(object_definition(*item) for item in registers),
                    lambda data: data.tag == Tag.ARRAY and all(_is_assignment(item) for item in data.value),
                ),
                stored(
                    array(mask_definition(*item) for item in masks),
                    lambda data: data.tag == Tag.ARRAY and all(_is_mask(item) for item in data.value),
                ),
                mask,
            ),
            name=name,
        )

    def active(self, device: Device, now: Instant) -> tuple[tuple[int, bytes], ...]:
        """The registers, as (class id, logical name), that count under the mask in force."""
        registers = self.read(device, 2, now).value
        name = self.read(device, 4, now).value
        for mask in self.read(device, 3, now).value:
            if mask.value[0].value == name:
                wanted = (index.value for index in mask.value[1].value)
                chosen = (registers[index - 1].value for index in wanted if 0 < index <= len(registers))
                return tuple((class_id.value, logical_name.value) for class_id, logical_name in chosen)
        return ()

    def act_add_register(self, device: Device, data: Data, now: Instant) -> None:
        if not _is_assignment(data):
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "an object definition is wanted")
        registers = self.read(device, 2, now).value
        if len(registers) >= MAX_REGISTERS:
            raise ActionRefused(ActionResult.OTHER_REASON, "no room for another register")
        self.set(device, 2, array((*registers, data)), now)

    def act_add_mask(self, device: Device, data: Data, now: Instant) -> None:
        """Adds a mask; one of the same name is replaced. Every index must name an assigned register."""
        if not _is_mask(data):
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "a mask definition is wanted")
        count = len(self.read(device, 2, now).value)
        if not all(0 < index.value <= count for index in data.value[1].value):
            raise ActionRefused(ActionResult.OTHER_REASON, "a mask names a register that is not assigned")
        others = [mask for mask in self.read(device, 3, now).value if mask.value[0] != data.value[0]]
        if len(others) >= MAX_MASKS:
            raise ActionRefused(ActionResult.OTHER_REASON, "no room for another mask")
        self.set(device, 3, array((*others, data)), now)

    def act_delete_mask(self, device: Device, data: Data, now: Instant) -> None:
        if data.tag != Tag.OCTET_STRING:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "the name of a mask is wanted")
        masks = self.read(device, 3, now).value
        left = [mask for mask in masks if mask.value[0].value != data.value]
        if len(left) == len(masks):
            raise ActionRefused(ActionResult.OTHER_REASON, "no mask of that name")
        if self.read(device, 4, now).value == data.value:
            raise ActionRefused(ActionResult.OTHER_REASON, "the mask in force cannot be deleted")
        self.set(device, 3, array(left), now)
