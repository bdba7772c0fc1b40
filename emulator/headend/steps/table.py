"""The services: a row each. Number, name, roles, and whether a request is critical are FACT (public request matrix);
that a SMETS1 device has equivalent steps for just these is a choice (tier A and some of B of that table; INFERENCE).

A row says which devices it may be addressed to, the one it goes to when nobody says, what its body holds and which
steps do it. `steps` None: no device sees it. `moves`: which contacts of a home it may
set in motion, for whoever watches over them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from emulator.errors import InputError
from emulator.headend.session import Steps
from emulator.headend.steps import auxiliary, clock, firmware, home, papers, reads, supply, tariff
from emulator.headend.steps.course import Course, Nothing, Payload
from emulator.kernel.machine import Party

Part: TypeAlias = Callable[[Course, Any], Steps[Payload]]
Role: TypeAlias = Literal["IS", "ES", "GS", "RSA", "ED", "GT", "OU"]
"""Import supplier, export supplier, gas supplier, registered supplier agent, electricity distributor, gas
transporter, other user."""

HUB: Final = Party.HUB
ELECTRICITY: Final = Party.ELECTRICITY
GAS: Final = Party.GAS


@dataclass(frozen=True, slots=True)
class Service:
    """One row. `devices`: the first is the one it goes to when nobody says."""

    number: str
    name: str
    body: str
    devices: tuple[Party, ...]
    critical: bool
    roles: frozenset[str]
    parameters: type
    steps: Part | None
    moves: Literal["supply", "auxiliary", ""] = ""


def _row(
    number: str,
    name: str,
    body: str,
    devices: tuple[Party, ...],
    critical: bool,
    roles: str,
    parameters: type,
    steps: Part | None,
    moves: Literal["supply", "auxiliary", ""] = "",
) -> Service:
    return Service(number, name, body, devices, critical, frozenset(roles.split(",")), parameters, steps, moves)


_METERS: Final = (ELECTRICITY, GAS)
_ONE: Final = (ELECTRICITY,)
_HUB: Final = (HUB,)
_ANY: Final = (ELECTRICITY, GAS, HUB)
_UPDATE: Final = "Update Device Configuration"
_CREDENTIALS: Final = "Update Security Credentials"
_SWITCHES: Final = "Auxiliary Load"

_ROWS: Final = (
    _row(
        "1.1.1",
        "Update Import Tariff (Primary Element)",
        "UpdateImportTariffPrimaryElement",
        _METERS,
        True,
        "IS,GS",
        tariff.Tariff,
        tariff.load,
    ),
    _row(
        "4.8.1",
        "Read Active Import Profile Data",
        "ReadActiveImportProfileData",
        _METERS,
        False,
        "IS,GS,ED,GT,OU",
        reads.Span,
        reads.half_hours,
    ),
    _row("6.11", "Synchronise Clock", "SynchroniseClock", _METERS, True, "IS,GS", clock.Tolerance, clock.synchronise),
    _row(
        "6.13",
        "Read Event Or Security Log",
        "ReadEventOrSecurityLog",
        _ANY,
        False,
        "IS,GS,ED,GT,RSA",
        reads.OfLog,
        reads.log,
    ),
    _row(
        "6.14.1",
        f"{_UPDATE} (Auxiliary Load Control Description)",
        "UpdateDeviceConfigurationALCDescriptions",
        _ONE,
        True,
        "IS",
        auxiliary.Described,
        auxiliary.describe,
    ),
    _row(
        "6.14.2",
        f"{_UPDATE} (Auxiliary Load Control Scheduler)",
        "UpdateDeviceConfigurationALCScheduler",
        _ONE,
        True,
        "IS",
        auxiliary.Scheduled,
        auxiliary.schedule,
        "auxiliary",
    ),
    _row(
        "6.15.1",
        f"{_CREDENTIALS} (KRP)",
        "UpdateSecurityCredentialsKRP",
        _METERS,
        True,
        "IS,GS,ED,GT",
        papers.Credentials,
        None,
    ),
    _row(
        "6.23",
        f"{_CREDENTIALS} (CoS)",
        "UpdateSecurityCredentialsCoS",
        _METERS,
        False,
        "IS,GS",
        papers.ChangeOfSupplier,
        None,
    ),
    _row("7.1", "Enable Supply", "EnableSupply", _ONE, True, "IS", Nothing, supply.enable, "supply"),
    _row("7.2", "Disable Supply", "DisableSupply", _METERS, True, "IS,GS", Nothing, supply.disable, "supply"),
    _row("7.3", "Arm Supply", "ArmSupply", _METERS, True, "IS,GS", Nothing, supply.arm, "supply"),
    _row("7.4", "Read Supply Status", "ReadSupplyStatus", _METERS, False, "IS,ES,GS,RSA,ED,GT", Nothing, supply.read),
    _row(
        "7.5",
        f"Activate {_SWITCHES}",
        "ActivateAuxiliaryLoad",
        _ONE,
        True,
        "IS",
        auxiliary.Timed,
        auxiliary.activate,
        "auxiliary",
    ),
    _row(
        "7.6",
        f"Deactivate {_SWITCHES}",
        "DeactivateAuxiliaryLoad",
        _ONE,
        True,
        "IS",
        auxiliary.Timed,
        auxiliary.deactivate,
        "auxiliary",
    ),
    _row("7.7", f"Read {_SWITCHES} Switch Data", "ReadALCSData", _ONE, False, "IS,ED,OU", Nothing, auxiliary.read),
    _row(
        "7.8",
        f"Reset {_SWITCHES}",
        "ResetAuxiliaryLoad",
        _ONE,
        True,
        "IS",
        auxiliary.OneSwitch,
        auxiliary.reset,
        "auxiliary",
    ),
    _row(
        "8.1.1",
        "Commission Device",
        "CommissionDeviceSynchroniseClock",
        _METERS,
        True,
        "IS,GS",
        clock.Tolerance,
        clock.commission,
    ),
    _row("8.7.1", "Join Service (Critical)", "JoinServiceCritical", _HUB, True, "IS,GS", home.Member, home.join),
    _row(
        "8.7.2",
        "Join Service (Non-Critical)",
        "JoinServiceNonCritical",
        _HUB,
        False,
        "IS,GS,OU",
        home.Display,
        home.join,
    ),
    _row("8.11", "Update HAN Device Log", "UpdateHANDeviceLog", _HUB, False, "IS,GS,OU", home.Listing, home.change),
    _row("11.1", "Update Firmware", "UpdateFirmware", _ANY, False, "IS,GS", firmware.Update, firmware.update),
    _row(
        "11.2",
        "Read Firmware Version",
        "ReadFirmwareVersion",
        _ANY,
        False,
        "IS,ES,GS,RSA,ED,GT,OU",
        Nothing,
        reads.firmware,
    ),
    _row("11.3", "Activate Firmware", "ActivateFirmware", _ANY, True, "IS,GS", firmware.Activation, firmware.activate),
    _row(
        "12.2",
        "Device Pre-notification",
        "DevicePrenotification",
        _HUB,
        False,
        "IS,ES,GS,RSA,ED,GT,OU",
        papers.Prenotified,
        None,
    ),
)

SERVICES: Final = {row.number: row for row in _ROWS}
"""By service reference variant, in the order of their numbers."""


def service(number: str) -> Service:
    """The row of a number. Raises InputError."""
    found = SERVICES.get(number)
    if found is None:
        raise InputError(f"service {number!r}: there are no equivalent steps for it; there are {', '.join(SERVICES)}")
    return found
