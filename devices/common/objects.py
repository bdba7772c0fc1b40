"""The COSEM objects every keyed device has: who it is, who may talk to it, what time it is, what it logs and where it
alerts.

Objects are built once a model and shared; each binding is told which device is meant. Logical names are the standard's
where it has one (Blue Book names; GB use as in public GBCS messages); sizes and habits come from the profile. Which
objects an Elster SMETS1 device really shows is not public (ASSUMED).
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, cast

from devices.common import firmware, victim
from devices.common.device import CosemDevice
from devices.common.event_log import Event, Log
from devices.common.key_writer import writer
from devices.common.profile import Profile
from emulator.codecs.acse import Context, Mechanism
from emulator.codecs.axdr import Data, Tag, double_long_unsigned, long_unsigned, octet_string
from emulator.codecs.get import DataAccessResult
from emulator.dlms.access import EVERYTHING, READ_ONLY, AccessTable
from emulator.dlms.classes import (
    AssociationLN,
    Clock,
    DataObject,
    ImageTransfer,
    ProfileGeneric,
    PushSetup,
    SapAssignment,
    ScriptTable,
    SecuritySetup,
    SingleActionSchedule,
)
from emulator.dlms.classes.push_setup import UDP, Column, Destination
from emulator.dlms.classes.script_table import EXECUTE, Script, ScriptAction
from emulator.dlms.cosem import AccessRefused, Attribute, CosemObject, Device, Read, computed, obis
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND

DEVICE_NAME: Final = obis("0-0:42.0.0")
FIRMWARE: Final = obis("1-0:0.2.0")
COUNTER: Final = obis("0-0:43.1.0")
CLOCK: Final = obis("0-0:1.0.0")
SECURITY: Final = obis("0-0:43.0.0")
PUSH: Final = obis("0-0:25.9.0")
PUSH_SCRIPTS: Final = obis("0-0:10.0.108")
IMAGE: Final = obis("0-0:44.0.0")
IMAGE_SCRIPTS: Final = obis("0-0:10.0.107")
IMAGE_SCHEDULE: Final = obis("0-0:15.0.2")
ASSOCIATIONS: Final = {"public": obis("0-0:40.0.1"), "management": obis("0-0:40.0.2")}
SAPS: Final = obis("0-0:41.0.0")

_MECHANISMS: Final = {"gmac": Mechanism.HLS_GMAC, "low": Mechanism.LLS, "none": Mechanism.NONE}

Names: TypeAlias = Callable[[CosemDevice], list[tuple[int, bytes]]]


def of(device: Device) -> CosemDevice:
    """The device as this room knows it; every tree of ours is served by one of ours."""
    return cast(CosemDevice, device)


def value(read: Callable[[CosemDevice, Instant], Data]) -> Attribute:
    """A binding to something a `CosemDevice` knows."""
    return computed(cast(Read, read))  # not a function around it: four calls a reading, of objects read all the time


def device_name(device: CosemDevice) -> bytes:
    """The logical device name: the maker's three letters and the serial (DLMS UA 1000-1 4.1.8.2: at most 16 bytes)."""
    return (device.model.profile.identity.flag + device.spec.serial).encode("ascii")[:16]


def log_object(profile: Profile, log: Log, logical_name: str, clock: Clock, name: str) -> list[CosemObject]:
    """One event log: the profile and the object that holds the last code. Rows are the time shown and the event
    code."""
    code = obis(f"0-0:96.11.{int(log)}")

    def rows(device: Device, now: Instant) -> list[tuple[Instant, tuple[Data, Data]]]:
        from emulator.dlms import moment

        return [
            (at, (octet_string(moment.encode(at + error)), long_unsigned(event)))
            for at, event, error in of(device).log.read(log)
        ]

    def last(device: CosemDevice, now: Instant) -> Data:
        entries = [entry for entry in device.log.read(log) if entry[0] <= now]
        return long_unsigned(entries[-1][1] if entries else 0)

    return [
        DataObject(code, value(last), name=f"{name}.last"),
        ProfileGeneric(
            logical_name,
            (Column(8, CLOCK, 2), Column(1, code, 2)),
            entries=profile.sizes.log_entries,
            clock=clock,
            log=rows,
            name=name,
        ),
    ]


def _setting(limit_s: int) -> Callable[[Device, Instant, Instant, Instant], None]:
    """What a setting of the clock means to the device: perhaps a refusal, a note in the log, and physics is told."""

    def setting(device: Device, old: Instant, new: Instant, now: Instant) -> None:
        if limit_s and abs(new - old) > limit_s * SECOND:
            raise AccessRefused(DataAccessResult.OTHER_REASON, f"the clock is not moved by more than {limit_s} s")
        own = of(device)
        if own.mischief is not None:
            set_at = [at for at, code, _ in own.log.read(Log.EVENT) if code == Event.CLOCK_SET]
            if victim.refuses_setting(own, new - old, set_at, now):
                raise AccessRefused(DataAccessResult.OTHER_REASON, "the clock is not set now")
        own.clock_moves(old, new, now)
        own.write_log(Log.EVENT, Event.CLOCK_SET, now)

    return setting


def clock(profile: Profile) -> Clock:
    """The clock object, with the device's own crystal behind it."""
    return Clock(
        CLOCK,
        drift=lambda device, now: device.crystal.error(now),  # type: ignore[attr-defined]
        setting=_setting(profile.clock.adjust_limit_s),
    )


def counter_object(profile: Profile) -> DataObject:
    """The lowest invocation counter that the management client's requests are accepted with; anybody may read it."""
    client = profile.addressing.management

    def counter(device: Device, now: Instant) -> Data:
        return double_long_unsigned(device.store.counters(device.contexts[client])[1])

    return DataObject(COUNTER, computed(counter), name="invocation-counter")


def rights(
    profile: Profile, objects: Iterable[CosemObject], shown: Iterable[bytes], sap: int | None = None
) -> list[CosemObject]:
    """The association objects: management may do everything, public may read what is in `shown` (logical names). `sap`
    is the logical device they belong to (the profile's own when left out)."""
    addressing, security = profile.addressing, profile.security
    listed = frozenset(shown)
    own_sap = addressing.sap if sap is None else sap
    open_to_all = {(item.class_id, item.logical_name): READ_ONLY for item in objects if item.logical_name in listed}
    return [
        AssociationLN(
            ASSOCIATIONS["public"],
            addressing.public,
            AccessTable(objects=open_to_all, classes={15: READ_ONLY}),
            server_sap=own_sap,
            name="association.public",
        ),
        AssociationLN(
            ASSOCIATIONS["management"],
            addressing.management,
            AccessTable(default=EVERYTHING),
            server_sap=own_sap,
            context=Context.LN_CIPHERED if security.mechanism == "gmac" else Context.LN,
            mechanism=_MECHANISMS[security.mechanism],
            secret=lambda device: of(device).password,
            security_setup=SECURITY,
            name="association.management",
        ),
    ]


def common(profile: Profile, clock_object: Clock, saps: Names, pushed: Iterable[Column]) -> list[CosemObject]:
    """What every keyed device has besides its clock, its logs and its associations."""
    addressing, security = profile.addressing, profile.security
    return [
        DataObject(DEVICE_NAME, value(lambda device, now: octet_string(device_name(device))), name="device-name"),
        DataObject(FIRMWARE, value(lambda device, now: octet_string(firmware.running(device))), name="firmware"),
        counter_object(profile),
        DataObject(
            "0-0:96.1.0", value(lambda device, now: octet_string(device.spec.serial.encode("ascii"))), name="serial"
        ),
        DataObject("0-0:96.1.1", value(lambda device, now: octet_string(device.spec.eui64)), name="eui64"),
        SecuritySetup(
            SECURITY,
            client_sap=addressing.management,
            policy=security.policy,
            suite=security.suite,
            master_key_changes=security.master_key_changes,
            reset_counters=security.counter_reset,
            habits=writer(profile),
            name="security",
        ),
        SapAssignment(lambda device: saps(of(device)), logical_name=SAPS, name="saps"),
        PushSetup(
            PUSH,
            pushed,
            Destination(UDP, addressing.alerts.encode("ascii")),
            clock=clock_object,
            name="push",
        ),
        ScriptTable(
            PUSH_SCRIPTS,
            (Script(1, (ScriptAction(EXECUTE, 40, PUSH, 1, Data(int(Tag.INTEGER), 0)),)),),
            name="push.scripts",
        ),
        ImageTransfer(
            IMAGE,
            verify=firmware.verify(profile),
            activate=firmware.activate,
            block_size=profile.sizes.image_block,
            name="image",
        ),
        ScriptTable(
            IMAGE_SCRIPTS,
            (Script(1, (ScriptAction(EXECUTE, 18, IMAGE, 4, Data(int(Tag.INTEGER), 0)),)),),
            name="image.scripts",
        ),
        SingleActionSchedule(IMAGE_SCHEDULE, (IMAGE_SCRIPTS, 1), clock=clock_object, name="image.schedule"),
    ]


PUBLIC: Final = (DEVICE_NAME, COUNTER, SAPS)
"""What the public client may read of any device, besides the associations."""
