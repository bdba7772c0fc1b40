"""`smets1 faults`: every fault there is, with its fields, units, defaults and an example. Made from the classes."""

import json
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from emulator.faults import catalogue, texts
from emulator.faults.fault import Fault


@click.command(short_help="list the faults that can be put in force, with their fields")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def command(name: str | None, as_json: bool) -> None:
    """List the faults, or show the one called NAME with its fields and how it is written in each door."""
    kinds = catalogue.KINDS if name is None else {name: catalogue.kind(name, "smets1 faults")}
    if as_json:
        click.echo(json.dumps([_object(kind) for kind in kinds.values()], indent=2))
    elif name is None:
        _list(Console())
    else:
        _show(kinds[name], Console())


def _object(kind: type[Fault]) -> dict[str, Any]:
    example = dict(kind.example)
    return {
        "fault": kind.name,
        "row": kind.row,
        "about": catalogue.about(kind),
        "points": sorted(point.value for point in kind.points),
        "fields": [asdict(each) for each in catalogue.described(kind)],
        "example": example,
        "toml": texts.toml(kind.name, example),
        "line": texts.line(kind.name, example),
    }


def _list(console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("row")
    table.add_column("fault", no_wrap=True)
    table.add_column("what it does")
    for kind in sorted(catalogue.KINDS.values(), key=_place):
        first = catalogue.about(kind).split(". ")[0].rstrip(".")
        table.add_row(kind.row, kind.name, Text(first))
    console.print(table)
    console.print("\nsmets1 faults NAME shows its fields, and how it is asked for.", highlight=False)


def _place(kind: type[Fault]) -> tuple[str, int, str]:
    return kind.row[:1], int(kind.row[1:]), kind.name


def _show(kind: type[Fault], console: Console) -> None:
    console.print(f"[bold]{kind.name}[/] ({kind.row})", highlight=False)
    console.print(Text(catalogue.about(kind)))
    settings = catalogue.described(kind)
    for title, own in (("its own fields", True), ("fields of every fault", False)):
        rows = [each for each in settings if each.own is own]
        if not rows:
            continue
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in ("field", "takes", "unit or meaning", "default"):
            table.add_column(column)
        for each in rows:
            default = "required" if each.required else "none" if each.default is None else str(each.default)
            table.add_row(each.name, Text(each.takes), Text(each.about), Text(default))
        console.print()
        console.print(table)
    example = dict(kind.example)
    marker = ", ".join([f'"{kind.name}"', *(f"{field}={value!r}" for field, value in example.items())])
    console.print()
    for told in (
        texts.toml(kind.name, example),
        f'smets1 migrate --fault "{texts.line(kind.name, example)}"',
        f"smets1 ask inject-fault --fault {kind.name} --settings '{json.dumps(example)}'",
        f"@pytest.mark.smets1_fault({marker})",
    ):
        console.print(Text(told), soft_wrap=True)
