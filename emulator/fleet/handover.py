"""What others believe of a home: the old operator's record, the inventory, and validation of the one by the other.

Here the conditions become differences. The record is the truth with the condition's mistake in it; the inventory and
the registration data are the truth too, unless the mistake is theirs. `Validation` compares papers and never looks at
the home or its condition: that is what a real validation has.

A record whose last contact is long past could not be prepared: its firmware is behind, and so not on the list, because
nobody could reach it. That is not refused on paper; the attempt will show that it cannot be reached.
"""

from typing import Final

import msgspec
from mypy_extensions import mypyc_attr

from emulator.fleet import identity
from emulator.fleet.installation import (
    COUNTER_MAX,
    KEYED,
    Condition,
    DeviceKeys,
    DeviceSpec,
    Installation,
    SmsoDevice,
    SmsoRecord,
    Wiring,
)
from emulator.fleet.recipe import Combination, Recipe
from emulator.kernel import chance
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE

SILENT_US: Final = 60 * DAY
"""A home not heard for so long before the campaign was never prepared for it."""


class InventoryDevice(msgspec.Struct, gc=False, frozen=True):
    """One line of the inventory. `status` is "Pending" or "Commissioned"; `hub` the EUI-64 it is joined to."""

    kind: Party
    eui64: bytes
    model: str
    status: str
    hub: bytes


class InventoryRecord(msgspec.Struct, gc=False, frozen=True):
    """What the inventory and the registration data hold for one home."""

    number: int
    devices: tuple[InventoryDevice, ...]
    mpan: str
    mprn: str | None


def counters(installation: Installation, party: Party, seed: int) -> tuple[int, int]:
    """(next to send, lowest acceptable) invocation counters in a device after years with the old operator."""
    x = chance.bits(seed, "estate.counter", installation.number, party)
    condition = installation.condition
    if condition is not None and condition.detail == "counter" and condition.device is party:
        return 500 + x % 60_000, COUNTER_MAX
    return 500 + x % 60_000, 1_000 + (x >> 24) % 250_000


def next_counter(installation: Installation, party: Party, seed: int) -> int:
    """The counter the old operator would use next: a little ahead of the device, for what was lost on the way."""
    x = chance.bits(seed, "estate.counter", installation.number, party)
    return 1_000 + (x >> 24) % 250_000 + (x >> 56) % 4


def last_contact(installation: Installation, seed: int, start: Instant) -> Instant:
    """Hours ago for an active home, perhaps weeks for a dormant one, long past for one without WAN."""
    number, condition = installation.number, installation.condition
    if condition is not None and condition.kind == "MF2":
        return start - chance.between(200, 700, seed, "estate.contact", number) * DAY
    longest = 26 * HOUR if installation.active else 21 * DAY
    return start - chance.between(MINUTE, longest, seed, "estate.contact", number)


def believed_specs(installation: Installation, combination: Combination | None) -> tuple[DeviceSpec, ...]:
    """The devices as recorded: their truth, or the approved firmware where a device secretly runs another."""
    condition = installation.condition
    if condition is None or condition.detail != "firmware" or combination is None:
        return installation.devices
    approved = {kind: model.firmware for kind, model in combination.models()}
    return tuple(
        DeviceSpec(each.kind, each.model, each.serial, each.system_title, approved[each.kind], each.eui64)
        if each.kind is condition.device
        else each
        for each in installation.devices
    )


def believed_wiring(installation: Installation, recipe: Recipe, seed: int) -> Wiring | None:
    """The auxiliary wiring as recorded: another switching table than the meter's where the configuration is wrong."""
    wiring, condition = installation.wiring, installation.condition
    if wiring is None or condition is None or condition.detail != "configuration":
        return wiring
    others = sorted(set(recipe.five_terminal.tariffs) - {wiring.tariff})
    at = chance.draw(seed, "estate.wrong-tariff", installation.number)
    return Wiring(wiring.switches, others[int(at * len(others))]) if others else wiring


def believed_meter_points(installation: Installation, numbers: identity.Numbers, far: int) -> tuple[str, str | None]:
    """MPAN and MPRN as recorded: a number of no home here (that of home `far`) where they do not match."""
    condition = installation.condition
    if condition is None or condition.detail != "mpxn-mismatch":
        return installation.mpan, installation.mprn
    if condition.device is Party.GAS and installation.mprn is not None:
        return installation.mpan, numbers.mprn(far)
    return numbers.mpan(far, installation.mpan[:2]), installation.mprn


def smso_record(
    installation: Installation,
    specs: tuple[DeviceSpec, ...],
    keys: dict[Party, DeviceKeys],
    wiring: Wiring | None,
    points: tuple[str, str | None],
    seed: int,
    start: Instant,
) -> SmsoRecord:
    """Put a record together."""
    return SmsoRecord(
        installation.number,
        installation.supplier,
        tuple(
            SmsoDevice(spec, keys[spec.kind], next_counter(installation, spec.kind, seed))
            if spec.kind in KEYED
            else SmsoDevice(spec, None, 0)
            for spec in specs
        ),
        points[0],
        points[1],
        wiring,
        last_contact(installation, seed, start),
    )


def inventory_record(installation: Installation, numbers: identity.Numbers, far: int) -> InventoryRecord:
    """The home in the inventory and the registration data, with the mistakes that are theirs."""
    condition = installation.condition
    hub = installation.devices[0].eui64
    missing = condition.device if condition is not None and condition.detail == "unknown-device" else None
    elsewhere = condition.device if condition is not None and condition.detail == "inventory-conflict" else None
    devices = []
    for spec in installation.devices:
        if spec.kind is missing:
            continue
        if spec.kind is elsewhere:
            other = numbers.eui64(far, Party.HUB)
            devices.append(InventoryDevice(spec.kind, spec.eui64, spec.model, "Commissioned", other))
        else:
            devices.append(InventoryDevice(spec.kind, spec.eui64, spec.model, "Pending", hub))
    return InventoryRecord(installation.number, tuple(devices), installation.mpan, installation.mprn)


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Validation:
    """The Common Validation step: a record against the inventory and the EPCL of one estate."""

    def __init__(self, recipe: Recipe, start: Instant) -> None:
        self._start = start
        self._listed: dict[tuple[str | None, ...], Instant] = {}
        self._models: dict[tuple[str | None, ...], Instant] = {}
        since = recipe.listed_from()
        for each in recipe.combinations:
            if each.name in since:
                keyed = dict(each.models())
                exact: list[str | None] = []
                models: list[str | None] = []
                for kind in KEYED:
                    model = keyed.get(kind)
                    exact += (model.model, model.firmware) if model else (None, None)
                    models.append(model.model if model else None)
                for table, key in ((self._listed, tuple(exact)), (self._models, tuple(models))):
                    table[key] = min(since[each.name], table.get(key, since[each.name]))

    def silent(self, record: SmsoRecord) -> bool:
        """Was the home out of contact long before the campaign?"""
        return record.last_contact < self._start - SILENT_US

    def check(self, record: SmsoRecord, inventory: InventoryRecord, now: Instant) -> Condition | None:
        """The first objection, or None: unknown device, inventory conflict, MPxN mismatch, not on the EPCL."""
        known = {device.eui64: device for device in inventory.devices}
        hub = record.devices[0].spec.eui64
        for device in record.devices:
            found = known.get(device.spec.eui64)
            if found is None:
                return Condition("MF9", device.spec.kind, "unknown-device")
            if found.hub != hub or found.status != "Pending" or found.model != device.spec.model:
                return Condition("MF9", device.spec.kind, "inventory-conflict")
        if record.mpan != inventory.mpan:
            return Condition("MF9", Party.ELECTRICITY, "mpxn-mismatch")
        if record.mprn != inventory.mprn:
            return Condition("MF9", Party.GAS, "mpxn-mismatch")
        if self._since(record) > now:
            return Condition("MF9", None, "not-on-epcl")
        return None

    def _since(self, record: SmsoRecord) -> Instant:
        """From when the record's combination is on the list; far away when it never is."""
        never = 1 << 62
        specs = {device.spec.kind: device.spec for device in record.devices}
        if self.silent(record):
            models = tuple(specs[kind].model if kind in specs else None for kind in KEYED)
            return self._models.get(models, never)
        exact: list[str | None] = []
        for kind in KEYED:
            spec = specs.get(kind)
            exact += (spec.model, spec.firmware) if spec else (None, None)
        return self._listed.get(tuple(exact), never)
