"""`smets1 golden`: the golden table, played, compared with the one that is kept, or written anew.

Exit code 0 when nothing differs (or it was written), 1 when something does, 2 for wrong input.
"""

import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from emulator import __version__
from emulator.errors import InputError

TABLE = "golden/service_requests.csv"


@click.command(short_help="what every service request comes to under every fault")
@click.option("--check", "check", is_flag=True, help="Compare with the table that is kept; tell what differs.")
@click.option("--write", "write", is_flag=True, help="Keep what was played as the table from now on.")
@click.option("--service", "services", multiple=True, help="Only this service (7.5); may be given several times.")
@click.option("--fault", "faults", multiple=True, help='Only this fault ("none": without); several times.')
@click.option(
    "--file", "file", type=click.Path(dir_okay=False, path_type=Path), help="The table.  [default: the one shipped]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    check: bool,
    write: bool,
    services: tuple[str, ...],
    faults: tuple[str, ...],
    file: Path | None,
    as_json: bool,
) -> None:
    """Play service requests, each under every fault, in virtual time: verdict and virtual latency.

    The whole table takes some seconds. Without --check or --write it is printed.
    """
    from emulator.scenario import golden

    if check and write:
        raise InputError("--check and --write: give one of them")
    if write and (services or faults):
        raise InputError("--write with --service or --fault would keep a part for the whole; leave them out")
    cases = _chosen(golden, services)
    columns = _columns(golden, faults)
    kept = _path(file, must_exist=check)
    wanted = golden.read(_text(kept), str(kept)) if check else {}
    begun = time.perf_counter()
    cells = list(golden.table(cases, columns))
    took = time.perf_counter() - begun
    differences = golden.differences(wanted, cells) if check else []
    if check and not (services or faults):
        here = {cell.place for cell in cells}
        differences += [f"{' '.join(place)}: in the table, and played no more" for place in wanted if place not in here]
    if write:
        _keep(kept, golden.written(cells, __version__))
    sums = Counter(cell.verdict for cell in cells)
    if as_json:
        shown: dict[str, Any] = {
            "estate": golden.ESTATE,
            "home": golden.HOME,
            "seed": golden.SEED,
            "seconds": round(took, 2),
            "verdicts": dict(sums),
        }
        if check:
            shown["differences"] = differences
        else:
            shown["cells"] = [asdict(cell) for cell in cells]
        click.echo(json.dumps(shown, indent=2))
    else:
        if not check and not write:
            _show(cells)
        for line in differences:
            click.echo(line)
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(sums.items()))
        told = told.replace(f" {golden.NOT_TRIED}", " cannot apply")
        where = f"; kept in {kept}" if write else ""
        click.echo(f"{len(cells)} cells in {took:.1f} s, seed {golden.SEED}: {told}{where}")
    if differences:
        click.echo(f"smets1: {len(differences)} cells differ from {kept}", err=True)
        raise SystemExit(1)


def _chosen(golden: Any, services: tuple[str, ...]) -> list[Any]:
    known = {case.ask.service for case in golden.CASES}
    for each in services:
        if each not in known:
            raise InputError(f"--service {each}: it has no row; there are {', '.join(sorted(known))}")
    return [case for case in golden.CASES if not services or case.ask.service in services]


def _columns(golden: Any, faults: tuple[str, ...]) -> tuple[str, ...]:
    from emulator.faults import catalogue

    for each in faults:
        if each != golden.NONE:
            catalogue.kind(each, "--fault")
    return tuple(column for column in golden.faults() if not faults or column in faults)


def _path(file: Path | None, *, must_exist: bool) -> Path:
    from emulator import resources

    path = file if file is not None else resources.root().joinpath(*TABLE.split("/"))
    if must_exist and not path.is_file():
        raise InputError(f"{path}: there is no table; write one with `smets1 golden --write`")
    return path


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; write it anew with `smets1 golden --write`") from error


def _keep(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; name another with --file") from error


def _show(cells: list[Any]) -> None:
    """A line a cell, for people."""
    for cell in cells:
        why = f"({cell.reason})" if cell.reason else ""
        took = f"{cell.seconds:>10} s" if cell.seconds else ""
        struck = f"  struck {cell.struck}" if cell.struck else ""
        relay = f"  relay {cell.relay}" if cell.relay else ""
        name = f"{cell.service}/{cell.device}"
        click.echo(f"{name:18} {cell.fault:28} {cell.verdict + why:26}{took}{struck}{relay}")
