"""What a gas meter shows over COSEM: volume in dm3 (m3 with scaler -3), profiles, valve, battery, the constants of the
trade."""

from collections.abc import Callable
from typing import Final, Protocol, cast

from devices.common import contact
from devices.common.event_log import Log
from devices.common.objects import CLOCK, PUBLIC, clock, common, device_name, log_object, rights
from devices.common.profile import Profile, needed
from emulator.codecs.axdr import Data, double_long_unsigned, long_unsigned
from emulator.dlms.classes import Clock, ProfileGeneric, Register, SingleActionSchedule
from emulator.dlms.classes.push_setup import Column
from emulator.dlms.classes.register import Unit
from emulator.dlms.cosem import Attribute, CosemObject, Device, computed, constant, obis
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, SECOND

VOLUME: Final = obis("7-0:3.0.0")
HALF_HOUR: Final = obis("7-0:3.29.0")
HALF_HOURS: Final = obis("7-0:99.1.0")
DAYS: Final = obis("7-0:99.2.0")
VALVE_SCHEDULE: Final = obis("0-0:15.0.1")


class Volume(Device, Protocol):
    """What can say how much gas has flowed: the meter, and the hub's mirror of it."""

    @property
    def born(self) -> Instant: ...
    def total(self, now: Instant) -> int: ...
    def half_hour(self, now: Instant) -> int: ...
    def flow(self, now: Instant) -> int: ...
    def battery_days(self, now: Instant) -> int: ...


def volume(device: Device) -> Volume:
    """The device as something that measures gas."""
    return cast(Volume, device)


def reading(read: Callable[[Volume, Instant], int], make: Callable[[int], Data]) -> Attribute:
    """A binding to a number that physics knows."""
    return computed(lambda device, now: make(read(volume(device), now)))


def registers(profile: Profile) -> list[CosemObject]:
    """Volume, flow and the constants a bill needs; `profile` is the gas meter's."""
    habits = needed(profile.gas)
    return [
        Register(
            VOLUME, reading(lambda own, now: own.total(now), double_long_unsigned), -3, Unit.CUBIC_METRE, name="volume"
        ),
        Register(
            HALF_HOUR,
            reading(lambda own, now: own.half_hour(now), double_long_unsigned),
            -3,
            Unit.CUBIC_METRE,
            name="volume.half-hour",
        ),
        Register(
            "7-0:43.0.0",
            reading(lambda own, now: own.flow(now), double_long_unsigned),
            -3,
            Unit.CUBIC_METRE_PER_HOUR,
            name="flow",
        ),
        Register("7-0:54.0.0", constant(long_unsigned(habits.calorific_value)), -1, Unit.OTHER, name="calorific-value"),
        Register(
            "7-0:52.0.0",
            constant(double_long_unsigned(habits.volume_correction)),
            -5,
            Unit.COUNT,
            name="volume-correction",
        ),
        Register(
            "0-0:96.6.6", reading(lambda own, now: own.battery_days(now), long_unsigned), 0, Unit.DAY, name="battery"
        ),
    ]


def _profiles(profile: Profile, time: Clock) -> list[CosemObject]:
    def born(device: Device) -> Instant:
        return volume(device).born

    def half_hour(device: Device, at: Instant, stamp: Data) -> tuple[Data, ...]:
        return stamp, double_long_unsigned(volume(device).half_hour(at))

    return [
        ProfileGeneric(
            HALF_HOURS,
            (Column(8, CLOCK, 2), Column(3, HALF_HOUR, 2)),
            entries=profile.sizes.half_hours_days * 48,
            period_s=1_800,
            clock=time,
            since=born,
            row=half_hour,
            name="half-hours",
        ),
        ProfileGeneric(
            DAYS,
            (Column(8, CLOCK, 2), Column(3, VOLUME, 2)),
            entries=profile.sizes.days,
            period_s=DAY // SECOND,
            clock=time,
            since=born,
            name="days",
        ),
    ]


def build(profile: Profile) -> list[CosemObject]:
    """All objects of a model."""
    time = clock(profile)
    pushed = (Column(1, obis("0-0:42.0.0"), 2), Column(8, CLOCK, 2), Column(70, contact.SUPPLY, 3))
    found: list[CosemObject] = [
        time,
        *common(profile, time, lambda own: [(profile.addressing.sap, device_name(own))], pushed),
        *registers(profile),
        *_profiles(profile, time),
        *contact.objects(profile.supply),
        SingleActionSchedule(
            VALVE_SCHEDULE, (contact.SCRIPTS, profile.supply.disable), clock=time, name="supply.schedule"
        ),
        *log_object(profile, Log.EVENT, "0-0:99.98.0", time, "events"),
        *log_object(profile, Log.SECURITY, "0-0:99.98.1", time, "security-events"),
        *log_object(profile, Log.POWER, "0-0:99.98.4", time, "power-events"),
    ]
    return found + rights(profile, found, PUBLIC)
