"""Data, class 1 (DLMS UA 1000-1 4.3.1): one value with no unit. Identifiers, strings, counters, settings."""

from typing import ClassVar

from emulator.dlms.cosem import Attribute, CosemObject


class DataObject(CosemObject):
    """Attribute 2 is `value`, bound as the model wants it: any type."""

    __slots__ = ()
    class_id: ClassVar[int] = 1

    def __init__(self, logical_name: bytes | str, value: Attribute, *, name: str = "") -> None:
        super().__init__(logical_name, (value,), name=name)
