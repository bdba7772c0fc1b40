"""`smets1 estate`: import a list of homes, validate and show estates.

Everything is computed in `emulator.fleet`; here it becomes lines for people or JSON for programs. Keys are never shown:
of a device with keys it is said which it has.
"""

import json
import re
import stat
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from emulator.errors import InputError
from emulator.fleet import exporter, importer, listing, recipe_reading
from emulator.fleet.estate import Estate, locate, open_estate
from emulator.fleet.installation import Condition, Installation, SmsoRecord
from emulator.kernel.machine import Party
from emulator.kernel.time import text


@click.group(name="estate")
def command() -> None:
    """Import, validate and show estates: named ones, recipes in TOML, imported lists."""


@command.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Estate file to write  [default: FILE with .jsonl]")
@click.option("--name", help="Name of the estate  [default: from FILE]")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default="2020-03-02",
    show_default="2020-03-02",
    help="Day 0 of the campaign, midnight GMT.",
)
@click.option("--force", is_flag=True, help="Replace the estate file if there is one.")
@click.option("--mistakes", type=click.IntRange(1), default=100, show_default=True, help="How many to show at most.")
def import_command(file: Path, out: Path | None, name: str | None, start: datetime, force: bool, mistakes: int) -> None:
    """Turn a CSV list of homes into an estate file for --estate.

    Every mistake is told with its line and column, and nothing is written while there is one. The file may hold test
    keys and is readable for you alone. `smets1 estate example-csv` prints a list to start from.
    """
    target = out or file.with_suffix(".jsonl")
    if target.exists() and not force:
        raise InputError(f"{target}: exists; give another --out, or --force to replace it")
    chosen = name or re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:48].strip("-") or "imported"
    if not re.match(r"[a-z0-9][a-z0-9-]{0,47}\Z", chosen):
        raise InputError(f"--name {chosen!r}: give 1 to 48 small letters, digits and dashes")
    imported = importer.read(file, chosen, start.replace(tzinfo=UTC), mistakes)
    listing.write(target, imported.recipe, imported.lines, len(imported.lines))
    estate = open_estate(str(target))
    click.echo(f"{target}: {_size(estate)}, {_count(len(estate.recipe.combinations), 'device model combination')}")
    click.echo(f"test keys listed for {_count(imported.keys_listed, 'device')}, derived for the others")
    if imported.masters_missing:
        click.echo(f"{_count(imported.masters_missing, 'device')} without a master key: expect MF1 there")


@command.command()
@click.argument("estate", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a recipe, for editors, and do nothing else.")
def validate(estate: str | None, schema: bool) -> None:
    """Check ESTATE, a name or a file: every key, every value, every line."""
    if schema:
        click.echo(json.dumps(recipe_reading.schema(), indent=2))
        return
    if estate is None:
        raise InputError("estate validate: name an estate or a file, or ask for --schema")
    opened = open_estate(estate)
    click.echo(f"{opened.name}: sound; {_size(opened)}")
    file = locate(estate)
    if listing.is_listing(file) and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        click.echo(f"{file}: others may read it, and it may hold test keys; chmod 600 {file}", err=True)


@command.command()
@click.argument("estate")
@click.option("--installation", metavar="ID", help="Show one home in full.")
@click.option("--installations", type=click.IntRange(1), help="Take that many homes.")
@click.option("--seed", type=click.IntRange(0), help="Another seed than the estate's own.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show(estate: str, installation: str | None, installations: int | None, seed: int | None, as_json: bool) -> None:
    """Show what ESTATE, a name or a file, is made of; or one home of it."""
    opened = open_estate(estate, seed, installations)
    if installation is None:
        body = summary(opened)
    else:
        body = one(opened, opened.find(installation))
    if as_json:
        click.echo(json.dumps(body, indent=2))
    else:
        for line in _lines(body):
            click.echo(line)


@command.command(name="example-csv")
@click.option("--estate", default="demo-street", show_default=True, help="Whose homes to list.")
@click.option("--homes", type=click.IntRange(1), default=4, show_default=True, help="How many.")
@click.option("--keys/--no-keys", default=True, show_default=True, help="With test keys.")
def example_csv(estate: str, homes: int, keys: bool) -> None:
    """Print a list that `estate import` accepts."""
    opened = open_estate(estate)
    click.echo(exporter.to_csv(opened, range(min(homes, opened.installations)), keys), nl=False)


def summary(estate: Estate) -> dict[str, Any]:
    """What an estate is made of, counted home by home."""
    combinations: Counter[str] = Counter()
    conditions: Counter[str] = Counter()
    tables: Counter[str] = Counter()
    switches: Counter[str] = Counter()
    suppliers: Counter[str] = Counter()
    regions: Counter[str] = Counter()
    for number in range(estate.installations):
        home = estate.installation(number)
        combinations[home.dmc] += 1
        suppliers[home.supplier] += 1
        regions[home.region] += 1
        if home.condition is not None:
            conditions[f"{home.condition.kind}:{home.condition.detail}"] += 1
        if home.wiring is not None:
            tables[home.wiring.tariff] += 1
            switches[str(home.wiring.switches)] += 1
    recipe = estate.recipe
    return {
        "name": estate.name,
        "title": estate.title,
        "seed": estate.seed,
        "start": text(estate.start),
        "installations": estate.installations,
        "active": estate.active,
        "dormant": estate.installations - estate.active,
        "cells": estate.cells,
        "homes_a_cell": recipe.cell,
        "link": recipe.link.kind,
        "outages": [[text(begin), text(end)] for begin, end in recipe.link.windows(estate.start)],
        "pacing": {
            "first_per_day": recipe.pacing.first_per_day,
            "first_days": recipe.pacing.first_days,
            "per_day": recipe.pacing.per_day,
        },
        "combinations": _sorted(combinations),
        "five_terminal": {
            "homes": sum(tables.values()),
            "by_tariff": _sorted(tables),
            "by_switches": dict(sorted(switches.items())),
        },
        "conditions": _sorted(conditions),
        "suppliers": _sorted(suppliers),
        "regions": _sorted(regions),
    }


def one(estate: Estate, number: int) -> dict[str, Any]:
    """One home in full: the truth, the old operator's record, the inventory, and what validation says at the start."""
    home = estate.installation(number)
    record = estate.smso(home)
    inventory = estate.inventory(home)
    refused = estate.validate(home, record, estate.start)
    return {
        "number": number,
        "id": estate.label(number),
        "cell": estate.cell_of(number),
        "active": home.active,
        "combination": home.dmc,
        "supplier": home.supplier,
        "region": home.region,
        "mpan": home.mpan,
        "mprn": home.mprn,
        "wiring": asdict(home.wiring) if home.wiring else None,
        "condition": _condition(home.condition),
        "devices": [_device(estate, home, spec.kind) for spec in home.devices],
        "record": _record(record),
        "inventory": {
            "mpan": inventory.mpan,
            "mprn": inventory.mprn,
            "devices": [
                {
                    "kind": each.kind.name.lower(),
                    "eui64": each.eui64.hex("-"),
                    "model": each.model,
                    "status": each.status,
                    "hub": each.hub.hex("-"),
                }
                for each in inventory.devices
            ],
        },
        "validation": _condition(refused),
    }


def _device(estate: Estate, home: Installation, kind: Party) -> dict[str, Any]:
    spec = home.device(kind)
    assert spec is not None
    shown: dict[str, Any] = {
        "kind": kind.name.lower(),
        "model": spec.model,
        "serial": spec.serial,
        "system_title": spec.system_title.hex(),
        "eui64": spec.eui64.hex("-"),
        "firmware": spec.firmware,
    }
    if kind is not Party.IHD:
        shown["lowest_counter"] = estate.counters(home, kind)[1]
    return shown


def _record(record: SmsoRecord) -> dict[str, Any]:
    return {
        "mpan": record.mpan,
        "mprn": record.mprn,
        "last_contact": text(record.last_contact),
        "wiring": asdict(record.wiring) if record.wiring else None,
        "devices": [
            {
                "kind": each.spec.kind.name.lower(),
                "model": each.spec.model,
                "serial": each.spec.serial,
                "firmware": each.spec.firmware,
                "counter": each.counter,
                "keys": "none" if each.keys is None else "EK AK" if each.keys.kek is None else "EK AK KEK",
            }
            for each in record.devices
        ],
    }


def _condition(condition: Condition | None) -> str | None:
    if condition is None:
        return None
    where = f" ({condition.device.name.lower()})" if condition.device is not None else ""
    return f"{condition.kind}:{condition.detail}{where}"


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _size(estate: Estate) -> str:
    dormant = estate.installations - estate.active
    return (
        f"{_count(estate.installations, 'home')} ({estate.active:,} active, {dormant:,} dormant) "
        f"in {_count(estate.cells, 'cell')}"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _lines(body: Any, indent: int = 0) -> list[str]:
    """Nested plain data as indented lines."""
    pad = "  " * indent
    lines: list[str] = []
    if isinstance(body, dict):
        width = max((len(str(key)) for key in body), default=0)
        for key, value in body.items():
            if isinstance(value, dict | list) and value:
                lines.append(f"{pad}{key}")
                lines += _lines(value, indent + 1)
            else:
                lines.append(f"{pad}{key:<{width}}  {_plain(value)}")
    else:
        for value in body:
            if isinstance(value, dict):
                lines.append(pad + "  ".join(str(each) for each in value.values()))
            else:
                lines.append(pad + " to ".join(str(each) for each in value))
    return lines


def _plain(value: Any) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
