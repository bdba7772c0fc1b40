"""What can go wrong in the home network (row F16), at the level of states, and what the hub then says of it.

`han-lost`, `gas-asleep` and `low-lqi` are conditions of one radio link: they hold while in force, whoever looks. The
other two are the hub's: it answers in the gas meter's place, or shows what it no longer knows. All ASSUMED: what the
radio of these homes does was never published.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta

from emulator.faults import hub
from emulator.faults.fault import DeviceName, Fault, Point, Seconds

_HAN: Final = frozenset({Point.HAN})


@dataclass(frozen=True, slots=True, kw_only=True)
class HanLost(Fault):
    """A device has dropped out of the home network: nothing reaches it or comes from it, and the hub answers in its
    place with an error (GT01 for the gas meter). Cleared, or at its end, the device is back."""

    name: ClassVar[str] = "han-lost"
    row: ClassVar[str] = "F16"
    points: ClassVar[frozenset[Point]] = _HAN
    example: ClassVar[dict[str, Any]] = {"installation": 3, "device": "gas", "seconds": 3600}

    device: Literal["electricity", "gas", "ihd"] = "gas"


@dataclass(frozen=True, slots=True, kw_only=True)
class GasAsleep(Fault):
    """The gas meter polls the hub only every `poll_s`, to save its battery: a request waits so long, mostly longer than
    the hub stays awake for its answer."""

    name: ClassVar[str] = "gas-asleep"
    row: ClassVar[str] = "F16"
    points: ClassVar[frozenset[Point]] = _HAN
    example: ClassVar[dict[str, Any]] = {"poll_s": 21_600, "share": 0.05}

    device: Literal["gas"] = "gas"
    poll_s: Annotated[int, Meta(ge=1, le=604_800, description="seconds between polls")] = 21_600
    awake_s: Annotated[int, Meta(ge=0, le=3_600, description="seconds it stays awake after a frame")] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LowLqi(Fault):
    """The link quality of a device's radio has sunk to about `lqi`; below what the radio's own retries hide, frames are
    lost the more the lower it is."""

    name: ClassVar[str] = "low-lqi"
    row: ClassVar[str] = "F16"
    points: ClassVar[frozenset[Point]] = _HAN
    example: ClassVar[dict[str, Any]] = {"lqi": 25, "device": "electricity", "share": 0.1}

    lqi: Annotated[int, Meta(ge=1, le=255, description="link quality")] = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectUnavailable(hub.HubFault):
    """The hub refuses in a device's place, although the device is there: it does not forward the request and answers
    with an exception (operation not possible), as it has no keys of the device's to say more with. Asked through its
    mirror of the gas meter it says data-access-result object-unavailable to each attribute."""

    name: ClassVar[str] = "object-unavailable"
    row: ClassVar[str] = "F16"
    example: ClassVar[dict[str, Any]] = {"times": 3}
    word: ClassVar[str] = hub.FORWARD

    device: DeviceName | None = "gas"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleMirror(hub.HubFault):
    """The hub no longer takes in what the gas meter says: its mirror goes on showing the values of `age_s` before the
    fault was first met, and gives them out as current."""

    name: ClassVar[str] = "stale-mirror"
    row: ClassVar[str] = "F16"
    example: ClassVar[dict[str, Any]] = {"age_s": 172_800}
    word: ClassVar[str] = hub.MIRROR

    age_s: Seconds = 0


FAULTS: tuple[type[Fault], ...] = (HanLost, GasAsleep, LowLqi, ObjectUnavailable, StaleMirror)
