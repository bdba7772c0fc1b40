"""What is answered: plain dataclasses, with units in their names or docstrings, and never a key.

Instants are µs since 1970 and come with the same as text where a person looks at them. A device's own view of the
world (its clock, its log) is asked of the machine itself, which costs nobody on the air anything and wakes no hub.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from emulator.control.headend import HeadEnd
from emulator.control.ring import device_name, text
from emulator.errors import UsageError
from emulator.fleet.installation import KEYED, Condition, DeviceSpec, Installation
from emulator.headend.keeper import Hierarchy
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party

SUPPLY: Final = ("off", "on", "armed")
_RADIO: Final = ("asleep", "attaching", "awake")


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device as it hangs on the wall. Titles and addresses as hex."""

    kind: str
    model: str
    serial: str
    firmware: str
    system_title: str
    eui64: str


@dataclass(frozen=True, slots=True)
class InstallationView:
    """A home. `condition` is what is wrong with it ("MF5:GT01:gas"), None for nothing."""

    installation: int
    label: str
    active: bool
    combination: str
    supplier: str
    region: str
    mpan: str
    mprn: str | None
    switches: int
    tariff: str | None
    condition: str | None
    devices: list[DeviceView]


@dataclass(frozen=True, slots=True)
class InstallationsView:
    """Some of the `total` installations, from `first` on."""

    total: int
    first: int
    installations: list[InstallationView]


@dataclass(frozen=True, slots=True)
class AuxiliaryView:
    """An auxiliary switch: on or off, and by what: the calendar, or a hold until an instant of the meter's clock (None:
    until reset)."""

    switch: int
    on: bool
    held: bool
    until: int | None


@dataclass(frozen=True, slots=True)
class KeysView:
    """What is known of a device's keys without knowing one. `tx` next counter it sends, `rx` lowest it accepts, `epoch`
    how often keys were installed; generations are what the emulator's own head end believes (0: as handed over)."""

    tx: int
    rx: int
    epoch: int
    has_master: bool
    client_system_title: str
    data_generation: int
    data_stage: str
    master_generation: int
    master_stage: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a device's log. `at` is true time; `shown` what the device's clock said."""

    log: str
    at: int
    time: str
    shown: int
    code: int
    meaning: str


@dataclass(frozen=True, slots=True)
class DeviceState:
    """How a device stands. What a kind of device does not have is None.

    `supply` off, on or armed; `total` Wh or dm3; `han` joined, asleep or lost, with `lqi` 0 to 255 and its error code;
    `wan` of a hub asleep, attaching or awake, `signal_dbm`, and whether it has coverage.
    """

    kind: str
    model: str
    clock: int | None
    clock_error_us: int | None
    dark: bool
    supply: str | None
    auxiliary: list[AuxiliaryView] | None
    tariff: str | None
    rate: int | None
    total: int | None
    power_w: int | None
    keys: KeysView | None
    associated: bool | None
    han: str | None
    lqi: int | None
    han_error: str | None
    wan: str | None
    signal_dbm: int | None
    coverage: bool | None
    log: list[LogEntry]


@dataclass(frozen=True, slots=True)
class StateView:
    """How an installation stands at virtual time `now`."""

    installation: int
    now: int
    time: str
    awake: bool
    devices: list[DeviceState]


def installation(home: Installation, label: str) -> InstallationView:
    """A home as plain data."""
    return InstallationView(
        home.number,
        label,
        home.active,
        home.dmc,
        home.supplier,
        home.region,
        home.mpan,
        home.mprn,
        home.wiring.switches if home.wiring is not None else 0,
        home.wiring.tariff if home.wiring is not None else None,
        _condition(home.condition),
        [_device(spec) for spec in home.devices],
    )


def _condition(condition: Condition | None) -> str | None:
    if condition is None:
        return None
    parts = [condition.kind, condition.detail]
    if condition.device is not None:
        parts.append(device_name(condition.device))
    return ":".join(part for part in parts if part)


def _device(spec: DeviceSpec) -> DeviceView:
    return DeviceView(
        device_name(spec.kind), spec.model, spec.serial, spec.firmware, spec.system_title.hex(), spec.eui64.hex()
    )


def state(head_end: HeadEnd, number: int, log: int) -> StateView:
    """How an installation stands. Builds its machines, looks, and lets those fall asleep again that nobody needs."""
    cell = head_end.cell
    home = cell.home(number)
    now = cell.world.now
    awake = bool(cell.world.under_way(number))
    try:
        devices = [_device_state(head_end, number, spec, now, log) for spec in home.devices]
    finally:
        if not awake:
            cell.sleep(number)
    return StateView(number, now, text(now), awake, devices)


def _device_state(head_end: HeadEnd, number: int, spec: DeviceSpec, now: Instant, log: int) -> DeviceState:
    cell, party = head_end.cell, spec.kind
    device: Any = cell.machine(number, party)
    keyed = party in KEYED
    meter = party in (Party.ELECTRICITY, Party.GAS)
    hub = party is Party.HUB
    link = None if hub else cell.look(number, party)
    shown = device.shown(now) if keyed else None
    wan = device.wan_status() if hub else None
    return DeviceState(
        kind=device_name(party),
        model=spec.model,
        clock=shown,
        clock_error_us=shown - now if shown is not None else None,
        dark=bool(getattr(device, "dark", lambda _: False)(now)),
        supply=SUPPLY[device.objects.named("supply").state(device, now)] if meter else None,
        auxiliary=_auxiliary(device, now) if party is Party.ELECTRICITY else None,
        tariff=_name(getattr(device, "table", None)),
        rate=_asked(device, "active_rate", now),
        total=_asked(device, "total", now),
        power_w=_asked(device, "power", now),
        keys=_keys(head_end, number, party) if keyed else None,
        associated=device.association is not None if keyed else None,
        han=None if link is None else str(link.state(now)),
        lqi=None if link is None else link.lqi(now),
        han_error=None if link is None else link.error(now),
        wan=_RADIO[wan[0]] if wan is not None else None,
        signal_dbm=_asked(device, "signal_dbm", now),
        coverage=cell.covered(number, now) if hub else None,
        log=_log(device, log) if keyed else [],
    )


def _asked(device: Any, method: str, now: Instant) -> Any:
    found: Callable[[Instant], Any] | None = getattr(device, method, None)
    return None if found is None else found(now)


def _name(table: Any) -> str | None:
    return None if table is None else str(table.name)


def _auxiliary(device: Any, now: Instant) -> list[AuxiliaryView]:
    ledger, shown = device.ledger, device.shown(now)
    holds = {hold.switch: hold for hold in ledger.regimes[-1].holds if shown < hold.until}
    found = []
    for circuit in ledger.circuits:
        hold = holds.get(circuit.switch)
        until = None if hold is None or hold.until > 1 << 60 else hold.until
        found.append(
            AuxiliaryView(circuit.switch, bool(device.auxiliary(circuit.switch, now)), hold is not None, until)
        )
    return found


def _keys(head_end: HeadEnd, number: int, party: Party) -> KeysView:
    cell = head_end.cell
    known = cell.store.state(cell.ensure_keys(number, party))
    data = head_end.keyring.keeper.custody(number, party, Hierarchy.DATA)
    master = head_end.keyring.keeper.custody(number, party, Hierarchy.MASTER)
    return KeysView(
        known.tx,
        known.rx,
        known.epoch,
        known.has_master,
        known.peer.hex(),
        data.live,
        data.stage.name.lower(),
        master.live,
        master.stage.name.lower(),
    )


def _log(device: Any, most: int) -> list[LogEntry]:
    return [
        LogEntry(log, at, text(at), at + error, code, meaning)
        for log, at, code, meaning, error in (device.log.newest(most) if most else ())
    ]


def named_object(device: Any, name: str) -> Any:
    """The COSEM object of that name on a device. Raises UsageError naming those there are."""
    if not hasattr(device, "objects"):
        raise UsageError("a display has no objects")
    return device.objects.named(name)
