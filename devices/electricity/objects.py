"""What an electricity meter shows over COSEM: registers, profiles, tariff, contacts.

Energy is in Wh, voltage in tenths of a volt, current in hundredths of an ampere. The tariff objects start with the
switching table the home was found with, so a tree belongs to one (model, table).
"""

from collections.abc import Callable
from typing import Final

from devices.common import contact
from devices.common.event_log import Log
from devices.common.objects import CLOCK, PUBLIC, clock, common, device_name, log_object, rights
from devices.common.profile import Profile, needed
from devices.common.tariff import SCRIPTS, SwitchingTable
from devices.electricity import auxiliary
from devices.electricity.meter import Meter, meter
from emulator.codecs.axdr import Data, double_long_unsigned, long_unsigned, octet_string
from emulator.dlms.classes import (
    ActivityCalendar,
    Clock,
    ProfileGeneric,
    Register,
    RegisterActivation,
    ScriptTable,
    SingleActionSchedule,
    SpecialDays,
)
from emulator.dlms.classes.activity_calendar import Calendar
from emulator.dlms.classes.push_setup import Column
from emulator.dlms.classes.register import Unit
from emulator.dlms.classes.script_table import WRITE, Script, ScriptAction
from emulator.dlms.cosem import Attribute, CosemObject, Device, Key, computed, obis
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, SECOND

TOTAL: Final = obis("1-0:1.8.0")
HALF_HOUR: Final = obis("1-0:1.29.0")
HALF_HOURS: Final = obis("1-0:99.1.0")
DAYS: Final = obis("1-0:99.2.0")
ACTIVITY: Final = obis("0-0:13.0.0")
SPECIAL: Final = obis("0-0:11.0.0")
ACTIVATION: Final = obis("0-0:14.0.0")
SUPPLY_SCHEDULE: Final = obis("0-0:15.0.1")

TARIFF_KEYS: Final[tuple[Key, ...]] = ((20, ACTIVITY, 3), (20, ACTIVITY, 4), (20, ACTIVITY, 5), (11, SPECIAL, 2))
"""Where a written calendar is kept: seasons, weeks, day types, special days."""

_ACTIVE_PARTS: Final = frozenset((3, 4, 5))


def rate_register(rate: int) -> bytes:
    """The logical name of a rate's import register."""
    return obis(f"1-0:1.8.{rate}")


def reading(read: Callable[[Meter, Instant], int], make: Callable[[int], Data]) -> Attribute:
    """A binding to a number that physics knows."""
    return computed(lambda device, now: make(read(meter(device), now)))


class LoadedCalendar(ActivityCalendar):
    """The tariff calendar. Writing an active part, or taking over the passive calendar, moves the tariff at once."""

    __slots__ = ()

    def set(self, device: Device, attribute: int, data: Data, now: Instant) -> None:
        super().set(device, attribute, data, now)
        if attribute in _ACTIVE_PARTS:
            meter(device).load_calendar(now)


class LoadedSpecialDays(SpecialDays):
    """The special days of the tariff."""

    __slots__ = ()

    def set(self, device: Device, attribute: int, data: Data, now: Instant) -> None:
        super().set(device, attribute, data, now)
        meter(device).load_calendar(now)


def _as_found(table: SwitchingTable) -> Calendar:
    """The home's table in the words of class 20."""
    seasons = tuple(tuple(part.value for part in item.value) for item in table.seasons.value)
    weeks = tuple((item.value[0].value, tuple(day.value for day in item.value[1:])) for item in table.weeks.value)
    days = tuple(
        (item.value[0].value, tuple(tuple(part.value for part in action.value) for action in item.value[1].value))
        for item in table.days.value
    )
    return Calendar(table.name.encode("ascii")[:8], seasons, weeks, days)


def _registers(profile: Profile) -> list[CosemObject]:
    rates = needed(profile.electricity).rates
    found: list[CosemObject] = [
        Register(
            TOTAL, reading(lambda own, now: own.total(now), double_long_unsigned), 0, Unit.WATT_HOUR, name="import"
        ),
        Register(
            HALF_HOUR,
            reading(lambda own, now: own.half_hour(now), double_long_unsigned),
            0,
            Unit.WATT_HOUR,
            name="import.half-hour",
        ),
        Register(
            "1-0:1.7.0", reading(lambda own, now: own.power(now), double_long_unsigned), 0, Unit.WATT, name="power"
        ),
        Register(
            "1-0:32.7.0", reading(lambda own, now: own.decivolts(now), long_unsigned), -1, Unit.VOLT, name="voltage"
        ),
        Register(
            "1-0:31.7.0",
            reading(lambda own, now: own.power(now) * 1_000 // own.decivolts(now), long_unsigned),
            -2,
            Unit.AMPERE,
            name="current",
        ),
    ]
    for rate in range(1, rates + 1):

        def read(own: Meter, now: Instant, rate: int = rate) -> int:
            return own.rate_total(rate, now)

        found.append(
            Register(rate_register(rate), reading(read, double_long_unsigned), 0, Unit.WATT_HOUR, name=f"import.{rate}")
        )
    return found


def _profiles(profile: Profile, time: Clock) -> list[CosemObject]:
    rates = needed(profile.electricity).rates

    def born(device: Device) -> Instant:
        return meter(device).born

    def half_hour(device: Device, at: Instant, stamp: Data) -> tuple[Data, ...]:
        return stamp, double_long_unsigned(meter(device).half_hour(at))

    def day(device: Device, at: Instant, stamp: Data) -> tuple[Data, ...]:
        own = meter(device)
        shown = own.shown(at)
        by_rate = own.ledger.rates_at(shown)
        total = sum(by_rate.values())
        return (
            stamp,
            double_long_unsigned(total),
            *(double_long_unsigned(by_rate.get(n, 0)) for n in range(1, rates + 1)),
        )

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
            (Column(8, CLOCK, 2), Column(3, TOTAL, 2), *(Column(3, rate_register(n), 2) for n in range(1, rates + 1))),
            entries=profile.sizes.days,
            period_s=DAY // SECOND,
            clock=time,
            since=born,
            row=day,
            name="days",
        ),
    ]


def _tariff(profile: Profile, table: SwitchingTable, time: Clock) -> list[CosemObject]:
    numbers = range(1, needed(profile.electricity).rates + 1)
    special = LoadedSpecialDays(SPECIAL, table.special.value, name="tariff.special-days")
    mask = computed(lambda device, now: octet_string(bytes((meter(device).active_rate(now),))))
    return [
        special,
        LoadedCalendar(
            ACTIVITY,
            _as_found(table),
            _as_found(table),
            clock=time,
            special_days=special,
            activated=lambda device, at: meter(device).load_calendar(at),
            name="tariff",
        ),
        RegisterActivation(
            ACTIVATION,
            [(3, rate_register(n)) for n in numbers],
            [(bytes((n,)), (n,)) for n in numbers],
            mask,
            name="tariff.activation",
        ),
        ScriptTable(
            SCRIPTS,
            [Script(n, (ScriptAction(WRITE, 6, ACTIVATION, 4, octet_string(bytes((n,)))),)) for n in numbers],
            name="tariff.scripts",
        ),
    ]


def build(profile: Profile, table: SwitchingTable) -> list[CosemObject]:
    """All objects of a model that was found with a table."""
    time = clock(profile)
    pushed = (Column(1, obis("0-0:42.0.0"), 2), Column(8, CLOCK, 2), Column(70, contact.SUPPLY, 3))
    found: list[CosemObject] = [
        time,
        *common(profile, time, lambda own: [(profile.addressing.sap, device_name(own))], pushed),
        *_registers(profile),
        *_profiles(profile, time),
        *_tariff(profile, table, time),
        *contact.objects(profile.supply),
        SingleActionSchedule(
            SUPPLY_SCHEDULE, (contact.SCRIPTS, profile.supply.disable), clock=time, name="supply.schedule"
        ),
        *auxiliary.objects(profile.auxiliary),
        *log_object(profile, Log.EVENT, "0-0:99.98.0", time, "events"),
        *log_object(profile, Log.SECURITY, "0-0:99.98.1", time, "security-events"),
        *log_object(profile, Log.POWER, "0-0:99.98.4", time, "power-events"),
    ]
    if profile.auxiliary.switches:
        found += log_object(profile, Log.AUXILIARY, "0-17:99.98.2", time, "auxiliary-events")
    return found + rights(profile, found, PUBLIC)
