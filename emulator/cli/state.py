"""`smets1 state`: move the state of an estate as one file, and look at one.

A state is a folder that was given to `--state`, or a database at a `postgresql://` address. Looking and exporting work
while it is run. Keys are never shown; an exported file holds them in clear (they are test keys) and is readable for its
owner alone.
"""

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from emulator.errors import InputError
from emulator.fleet import state_file
from emulator.fleet.installation import KEYED
from emulator.fleet.saved import Saved
from emulator.fleet.store import StateStore, look
from emulator.kernel.machine import Party
from emulator.kernel.time import text

_ROW = msgspec.msgpack.Decoder(dict[int, bytes])


@click.group(name="state")
def command() -> None:
    """Export, import and show the state of an estate: a folder given to --state, or a postgresql:// address."""


@command.command()
@click.argument("state")
@click.argument("file", type=click.Path(path_type=Path))
def export(state: str, file: Path) -> None:
    """Write STATE as one FILE, whole or not at all, for your eyes alone. It holds test keys in clear."""
    store = look(state)
    try:
        count = state_file.write(store, file)
        click.echo(f"{file}: {_homes(count)} of estate {store.identity.estate}, {file.stat().st_size:,} bytes")
    finally:
        store.close()


@command.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("state")
@click.option(
    "--ahead",
    type=click.IntRange(0, 1 << 24),
    default=state_file.AHEAD,
    show_default=True,
    help="Send counters to give up in every device, so that none comes again that the original spent since the export. "
    "0 only for an original that was never run again.",
)
def import_command(file: Path, state: str, ahead: int) -> None:
    """Make STATE, a new folder or an empty database, from FILE. FILE is checked altogether first."""
    count, identity = state_file.load(file, state, ahead)
    click.echo(f"{_where(state)}: {_homes(count)} of estate {identity.estate}, seed {identity.seed}")


@command.command()
@click.argument("state")
@click.option("--installation", type=click.IntRange(0), help="Show one home.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show(state: str, installation: int | None, as_json: bool) -> None:
    """Show what STATE holds, without keys; or one home of it."""
    store = look(state)
    try:
        body = summary(store) if installation is None else one(store, installation)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(body, indent=2))
        return
    for name, value in body.items():
        if isinstance(value, list):
            for item in value:
                click.echo(f"{name}: " + ", ".join(f"{key} {_word(each)}" for key, each in item.items()))
        else:
            click.echo(f"{name}: {_word(value)}")


def summary(store: StateStore) -> dict[str, Any]:
    """A state as plain data."""
    facts = store.facts()
    return {
        "state": facts.where,
        "estate": facts.identity.estate,
        "seed": facts.identity.seed,
        "installations": facts.identity.installations,
        "recipe": facts.identity.recipe,
        "now": text(facts.now) if facts.now else None,
        "openings": facts.openings,
        "kept": sum(facts.homes.values()),
        "cells": [{"cell": cell, "homes": count} for cell, count in facts.homes.items()],
    }


def one(store: StateStore, installation: int) -> dict[str, Any]:
    """A home as plain data, without keys. Raises InputError outside the estate."""
    size = store.identity.installations
    if installation >= size:
        raise InputError(f"installation {installation}: the state has {size} homes, numbered from 0")
    for cell in store.facts().homes:
        saved = store.load_home(cell, installation)
        if saved is not None:
            return {"installation": installation, "kept": True, "cell": cell, "device": _devices(saved)}
    return {"installation": installation, "kept": False, "device": []}


def _devices(saved: Saved) -> list[dict[str, Any]]:
    try:
        row = _ROW.decode(saved.machines) if saved.machines else {}
    except msgspec.DecodeError as error:
        raise InputError(f"what the devices stored is not readable: {error}") from error
    contexts = dict(zip(KEYED, saved.states(), strict=False))
    found = []
    for party in (*KEYED, Party.IHD):
        context = contexts.get(party)
        if context is None and int(party) not in row:
            continue
        device: dict[str, Any] = {"device": party.name.lower(), "bytes": len(row.get(int(party), b""))}
        if context is not None:
            device |= {
                "system_title": context["title"].hex(),
                "peer": context["peer"].hex(),
                "sends_from": context["tx"],
                "accepts_from": context["rx"],
                "key_changes": context["epoch"],
                "master_key": context["master"],
            }
        found.append(device)
    return found


def _homes(count: int) -> str:
    return f"{count:,} home{'' if count == 1 else 's'}"


def _where(state: str) -> str:
    return state.partition("://")[0] if "://" in state else state


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "never" if value is None else str(value)
