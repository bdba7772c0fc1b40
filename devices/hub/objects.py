"""What a hub shows over COSEM: itself, its cellular link, the devices that joined it; and the mirror of the gas meter.

The logical names 0-0:94.44.40 to .44 are the emulator's own (ASSUMED): a SMETS1 hub keeps a log of the devices that may
be in its network, and by which object it is changed is not public. 0-0:97.97.0 is the standard's error object and
holds the code of the HAN device that is lost (GT01 for the gas meter), nothing while none is.
"""

from dataclasses import dataclass
from typing import Final, Protocol, cast

from devices.common.event_log import Log
from devices.common.objects import (
    CLOCK,
    COUNTER,
    DEVICE_NAME,
    PUBLIC,
    SAPS,
    clock,
    common,
    counter_object,
    log_object,
    rights,
)
from devices.common.profile import Profile
from devices.gas.objects import registers
from emulator.codecs.axdr import Data, Tag, array, boolean, enum, long, octet_string, structure
from emulator.codecs.get import DataAccessResult
from emulator.dlms import moment
from emulator.dlms.classes import DataObject, Register, SapAssignment
from emulator.dlms.classes.push_setup import Column
from emulator.dlms.classes.register import Unit
from emulator.dlms.cosem import AccessRefused, CosemObject, Device, computed, constant, obis, stored
from emulator.kernel.effects import Instant

HAN_ERROR: Final = obis("0-0:97.97.0")
DEVICE_LOG: Final = obis("0-0:94.44.40")
WAN_STATUS: Final = obis("0-0:94.44.41")
LAST_HEARD: Final = obis("0-0:94.44.42")
ALLOWED: Final = obis("0-0:94.44.43")
"""The EUI-64 of every device that may be in the network; written as a whole."""
JOIN: Final = obis("0-0:94.44.44")
"""Writing a listed EUI-64 lets that device in; refused while nobody of that name answers on the radio."""
SIGNAL: Final = obis("0-0:96.12.5")
VALVE: Final = obis("0-0:96.3.10")


@dataclass(frozen=True, slots=True)
class Joined:
    """One HAN device in the hub's log: `state` 0 lost, 1 joined, 2 asleep; `error` its code, empty while there is
    none."""

    eui64: bytes
    party: int
    state: int
    error: str


class Hub(Device, Protocol):
    """What the hub's objects ask of it."""

    def joined(self, now: Instant) -> list[Joined]: ...
    def listed(self) -> list[bytes]: ...
    def allow(self, listed: list[bytes], now: Instant) -> None: ...
    def let_in(self, eui64: bytes, now: Instant) -> bool: ...
    def saps(self) -> list[tuple[int, bytes]]: ...
    def han_error(self, now: Instant) -> str: ...
    def signal_dbm(self, now: Instant) -> int: ...
    def wan_status(self) -> tuple[int, Instant, bytes]: ...


class Mirror(Device, Protocol):
    """What the mirror's objects ask of it."""

    @property
    def name(self) -> bytes: ...
    @property
    def sap(self) -> int: ...
    def state(self) -> int: ...
    def heard_at(self, now: Instant) -> Instant: ...


def _hub(device: Device) -> Hub:
    return cast(Hub, device)


def _mirror(device: Device) -> Mirror:
    return cast(Mirror, device)


def _log(device: Device, now: Instant) -> Data:
    return array(
        structure(
            (octet_string(each.eui64), enum(each.party), enum(each.state), octet_string(each.error.encode("ascii")))
        )
        for each in _hub(device).joined(now)
    )


def _is_list(data: Data) -> bool:
    return data.tag == Tag.ARRAY and all(item.tag == Tag.OCTET_STRING and len(item.value) == 8 for item in data.value)


def _changed(device: Device, data: Data, now: Instant) -> None:
    _hub(device).allow([bytes(item.value) for item in data.value], now)


def _let_in(device: Device, data: Data, now: Instant) -> None:
    if data.tag != Tag.OCTET_STRING or len(data.value) != 8:
        raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "an EUI-64 is wanted")
    if not _hub(device).let_in(bytes(data.value), now):
        raise AccessRefused(DataAccessResult.OBJECT_UNAVAILABLE, "no listed device of this name answers")


def _wan(device: Device, now: Instant) -> Data:
    state, since, callback = _hub(device).wan_status()
    return structure((enum(state), octet_string(moment.encode(since)), octet_string(callback)))


def build(profile: Profile) -> list[CosemObject]:
    """All objects of a hub's own logical device."""
    time = clock(profile)
    pushed = (Column(1, DEVICE_NAME, 2), Column(8, CLOCK, 2), Column(1, HAN_ERROR, 2))
    found: list[CosemObject] = [
        time,
        *common(profile, time, lambda own: _hub(own).saps(), pushed),
        DataObject(
            HAN_ERROR,
            computed(lambda device, now: octet_string(_hub(device).han_error(now).encode("ascii"))),
            name="han-error",
        ),
        DataObject(DEVICE_LOG, computed(_log), name="device-log"),
        DataObject(
            ALLOWED,
            stored(
                lambda device: array(octet_string(eui64) for eui64 in _hub(device).listed()), _is_list, changed=_changed
            ),
            name="device-log.allowed",
        ),
        DataObject(JOIN, computed(lambda device, now: octet_string(b""), _let_in), name="device-log.join"),
        DataObject(WAN_STATUS, computed(_wan), name="wan-status"),
        Register(
            SIGNAL,
            computed(lambda device, now: long(_hub(device).signal_dbm(now))),
            0,
            Unit.DECIBEL_MILLIWATT,
            name="signal",
        ),
        *log_object(profile, Log.EVENT, "0-0:99.98.0", time, "events"),
        *log_object(profile, Log.SECURITY, "0-0:99.98.1", time, "security-events"),
        *log_object(profile, Log.POWER, "0-0:99.98.4", time, "power-events"),
    ]
    return found + rights(profile, found, PUBLIC)


class MirroredValve(CosemObject):
    """Class 70 without methods: the state of the valve as last reported. The mirror cannot move it."""

    __slots__ = ()
    class_id = 70


def build_mirror(profile: Profile, gas: Profile) -> list[CosemObject]:
    """All objects of the logical device that shows the gas meter; `profile` is the hub's, `gas` the meter's."""

    def heard(device: Device, now: Instant) -> Data:
        return octet_string(moment.encode(_mirror(device).heard_at(now)))

    found: list[CosemObject] = [
        DataObject(DEVICE_NAME, computed(lambda device, now: octet_string(_mirror(device).name)), name="device-name"),
        counter_object(profile),
        SapAssignment(lambda device: [(_mirror(device).sap, _mirror(device).name)], logical_name=SAPS, name="saps"),
        DataObject(LAST_HEARD, computed(heard), name="last-heard"),
        *registers(gas),
        MirroredValve(
            VALVE,
            (
                computed(lambda device, now: boolean(_mirror(device).state() == 1)),
                computed(lambda device, now: enum(_mirror(device).state())),
                constant(enum(0)),
            ),
            name="supply",
        ),
    ]
    return found + rights(profile, found, (DEVICE_NAME, COUNTER, SAPS), sap=profile.addressing.mirror)
