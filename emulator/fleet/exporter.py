"""Homes of an estate as the CSV that the importer reads: a sample to start from, and its round trip.

A list states what was recorded, so a device that secretly runs other firmware is listed with the recorded one; its
condition column says the rest. Keys are test keys, shown only when asked for.
"""

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Final

from emulator.fleet.estate import Estate
from emulator.fleet.importer import COLUMNS
from emulator.fleet.installation import KEYED
from emulator.fleet.recipe import DEVICE_NAMES

_NAMES: Final = {party: name for name, party in DEVICE_NAMES.items()}


def to_csv(estate: Estate, numbers: Iterable[int], keys: bool) -> str:
    """A CSV with a line of column names and one for each home; `keys` adds EK, AK and KEK of every keyed device."""
    out = StringIO()
    writer = csv.DictWriter(out, list(COLUMNS), restval="", lineterminator="\n")
    writer.writeheader()
    for number in numbers:
        writer.writerow(_row(estate, number, keys))
    return out.getvalue()


def _row(estate: Estate, number: int, keys: bool) -> dict[str, str]:
    home = estate.installation(number)
    record = estate.smso(home)
    row = {
        "installation": estate.label(number),
        "supplier": home.supplier,
        "active": "yes" if home.active else "no",
        "mpan": home.mpan,
        "mprn": home.mprn or "",
        "region": home.region,
    }
    for device in record.devices:
        spec, name = device.spec, _NAMES[device.spec.kind]
        row |= {
            f"{name}_model": spec.model,
            f"{name}_serial": spec.serial,
            f"{name}_system_title": spec.system_title.hex(),
            f"{name}_firmware": spec.firmware,
            f"{name}_eui64": spec.eui64.hex("-"),
        }
        if keys and spec.kind in KEYED:
            truth = estate.keys(home, spec.kind)
            assert device.keys is not None
            row |= {f"{name}_ek": truth.ek.hex(), f"{name}_ak": truth.ak.hex()}
            if device.keys.kek is not None:
                row[f"{name}_kek"] = device.keys.kek.hex()
    if home.wiring is not None:
        row |= {"switches": str(home.wiring.switches), "tariff": home.wiring.tariff}
    condition = home.condition
    if condition is not None:
        device_name = _NAMES[condition.device] if condition.device is not None else ""
        row["condition"] = f"{condition.kind}:{condition.detail}:{device_name}".rstrip(":")
    return row
