"""Register, class 3 (DLMS UA 1000-1 4.3.2): a value with a scaler and a unit.

What `reset` does depends on where the value comes from. A stored value goes back to its default. A computed one (the
energy that physics says was used) has nothing to be set back here, so the model gives a `reset` hook or the method is
denied: a reset that answers success and changes nothing would be a lie.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import ClassVar, TypeAlias

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, enum, integer, structure
from emulator.dlms.cosem import ActionRefused, Attribute, CosemObject, Device, constant, require_integer
from emulator.kernel.effects import Instant

Reset: TypeAlias = Callable[[Device, Instant], None]


class Unit(IntEnum):
    """Units used here (DLMS UA 1000-1, table of units)."""

    DAY = 4
    HOUR = 5
    MINUTE = 6
    SECOND = 7
    CURRENCY = 10
    CUBIC_METRE = 13
    CUBIC_METRE_CORRECTED = 14
    CUBIC_METRE_PER_HOUR = 15
    CUBIC_METRE_PER_HOUR_CORRECTED = 16
    PASCAL = 23
    BAR = 24
    JOULE = 25
    WATT = 27
    VOLT_AMPERE = 28
    VAR = 29
    WATT_HOUR = 30
    VOLT_AMPERE_HOUR = 31
    VAR_HOUR = 32
    AMPERE = 33
    VOLT = 35
    HERTZ = 44
    PERCENT = 56
    DECIBEL_MILLIWATT = 70
    OTHER = 254
    COUNT = 255


def scaler_unit(scaler: int, unit: int) -> Data:
    """The value is to be multiplied by 10 to the power of `scaler` (-128..127) and is in `unit`."""
    return structure((integer(scaler), enum(unit)))


class Register(CosemObject):
    """Attributes: 2 value, 3 scaler and unit. Method 1 reset, with integer(0)."""

    __slots__ = ("_default", "_reset")
    class_id: ClassVar[int] = 3
    methods: ClassVar[Mapping[int, str]] = {1: "reset"}

    def __init__(
        self,
        logical_name: bytes | str,
        value: Attribute,
        scaler: int = 0,
        unit: int = Unit.COUNT,
        *,
        reset: Reset | None = None,
        name: str = "",
        more: Iterable[Attribute] = (),
    ) -> None:
        """`reset(device, now)` sets a computed value back; `more` are a subclass's further attributes."""
        super().__init__(logical_name, (value, constant(scaler_unit(scaler, unit)), *more), name=name)
        self._reset = reset
        self._default = value.default

    def act_reset(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        if self._reset is not None:
            self._reset(device, now)
        elif self._default is not None and self.writable(2):
            self.set(device, 2, self._default, now)
        else:
            raise ActionRefused(ActionResult.READ_WRITE_DENIED, "this register cannot be reset")
