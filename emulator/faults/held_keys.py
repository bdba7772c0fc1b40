"""Keys in a device that are not those anybody believes it to hold, whoever put them there."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from emulator.faults.fault import Fault, Point


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedWrongKey(Fault):
    """A device holds other data keys than anybody believes: what is sealed under the right ones does not open. Cleared,
    it holds its own again, unless they were changed under the forced ones; the end of its time alone gives nothing
    back."""

    name: ClassVar[str] = "forced-wrong-key"
    row: ClassVar[str] = "F1"
    points: ClassVar[frozenset[Point]] = frozenset({Point.HELD})
    example: ClassVar[dict[str, Any]] = {"installation": 3, "device": "electricity", "keys": "ek"}

    device: Literal["hub", "electricity", "gas"] = "electricity"
    keys: Literal["ek", "ak", "both"] = "both"


FAULTS: tuple[type[Fault], ...] = (ForcedWrongKey,)
