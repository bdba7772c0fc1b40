"""Extended register, class 4 (DLMS UA 1000-1 4.3.3): a register that also says when and how its value was captured."""

from typing import ClassVar

from emulator.dlms.classes.register import Register, Reset, Unit
from emulator.dlms.cosem import Attribute


class ExtendedRegister(Register):
    """Attributes: 2 value, 3 scaler and unit, 4 status, 5 capture time (a date-time as octet string). Method 1
    reset."""

    __slots__ = ()
    class_id: ClassVar[int] = 4

    def __init__(
        self,
        logical_name: bytes | str,
        value: Attribute,
        scaler: int = 0,
        unit: int = Unit.COUNT,
        *,
        status: Attribute,
        capture_time: Attribute,
        reset: Reset | None = None,
        name: str = "",
    ) -> None:
        super().__init__(logical_name, value, scaler, unit, reset=reset, name=name, more=(status, capture_time))
