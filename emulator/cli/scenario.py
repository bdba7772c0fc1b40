"""`smets1 scenario`: list, check, run and shrink scenarios.

A run prints its seed and digest. Exit status 0: every check held; 1: one did not; 2: the file is wrong.
"""

import json
import os
import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from emulator.errors import InputError
from emulator.files import write_text

if TYPE_CHECKING:
    from emulator.scenario.reading import Read
    from emulator.scenario.report import Report

_SEEDS: Final = re.compile(r"(\d+)(?:-(\d+))?\Z")
_SEEDS_MOST: Final = 10_000


@click.group(name="scenario")
def command() -> None:
    """Run scenarios: trouble on an estate, what is done meanwhile, what must come of it, and the healing."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_command(as_json: bool) -> None:
    """List the scenarios that come with the project."""
    from emulator.scenario import reading

    every = [reading.read(name).scenario for name in reading.names()]
    if as_json:
        click.echo(json.dumps([{"name": each.name, "title": each.title, "about": each.about} for each in every]))
        return
    width = max((len(each.name) for each in every), default=0)
    for each in every:
        click.echo(f"{each.name:<{width}}  {each.title}")


@command.command()
@click.argument("scenario", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a scenario, for editors, and do nothing else.")
def validate(scenario: str | None, schema: bool) -> None:
    """Check SCENARIO, a name or a file: every key, every value, every fault and check."""
    from emulator.scenario import reading

    if schema:
        click.echo(json.dumps(reading.schema(), indent=2))
        return
    if scenario is None:
        raise InputError("scenario validate: name a scenario or a file, or ask for --schema")
    read = reading.read(scenario)
    estate = read.estate()
    homes = len(read.scenario.estate.only or range(estate.installations))
    click.echo(
        f"{read.scenario.name}: sound; {homes:,} homes of {estate.name}, campaigns {len(read.scenario.campaigns)}, "
        f"faults {len(read.faults)}, checks {len(read.scenario.checks)}"
    )


@command.command()
@click.argument("scenario")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of everything.  [default: the scenario's]")
@click.option("--seeds", metavar="A-B", help="Run under each of these seeds: 1-20, or 3,5,8-12.")
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Processes; the outcome is the same.")
@click.option("--live", is_flag=True, help="On a served estate, over HTTP, instead of in virtual time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run and nothing else.")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="Write every note, as JSON lines.")
@click.option("--pcap", type=click.Path(dir_okay=False, path_type=Path), help="Write a capture, its keys beside it.")
def run(
    scenario: str,
    seed: int | None,
    seeds: str | None,
    workers: int | None,
    live: bool,
    as_json: bool,
    journal: Path | None,
    pcap: Path | None,
) -> None:
    """Run SCENARIO, a name or a file, and check what came of it."""
    from emulator.scenario import reading

    read = reading.read(scenario)
    if seeds is not None and seed is not None:
        raise InputError("--seed and --seeds: give one of the two")
    chosen = _seeds(seeds) if seeds is not None else [seed]
    for option, file in (("--journal", journal), ("--pcap", pcap)):
        if file is not None and (live or len(chosen) > 1):
            raise InputError(f"{option}: only for one run in virtual time")
    failed = 0
    for each in chosen:
        report = _live(read, each) if live else _virtual(read, each, workers, journal, pcap, quiet=as_json)
        failed += not report.passed
        if as_json:
            click.echo(json.dumps(report.as_object()))
        else:
            show(report)
    if len(chosen) > 1 and not as_json:
        click.echo(f"{len(chosen) - failed} of {len(chosen)} seeds passed")
    if failed:
        sys.exit(1)


def _virtual(
    read: "Read", seed: int | None, workers: int | None, journal: Path | None, pcap: Path | None, *, quiet: bool
) -> "Report":
    from emulator.fleet import journal_file
    from emulator.link import tap
    from emulator.scenario import virtual

    with ExitStack() as stack:
        if pcap is not None:
            estate = read.estate(seed)
            options = virtual.host_options(read, estate, None)
            if options.profile.fidelity == "pipe":
                raise InputError("--pcap: a pipe has no packets to capture; take fidelity wire")
            stack.callback(tap.abandon, pcap, range(estate.cells))  # whatever an interrupted run leaves behind
        parts = None
        if journal is not None:
            if not journal.absolute().parent.is_dir():
                raise InputError(f"{journal}: its folder does not exist; make it first")
            parts = stack.enter_context(tempfile.TemporaryDirectory(prefix="smets1-journal-"))
        report = virtual.run(
            read,
            seed,
            workers=workers or os.cpu_count() or 1,
            journal=parts,
            capture=None if pcap is None else str(pcap),
            progress=None if quiet else _progress,
        )
        if pcap is not None:
            packets = tap.finish(pcap, options.link, estate.seed, range(estate.cells), options.profile)
            click.echo(f"{packets:,} packets in {pcap}; {tap.opening(pcap)}", err=True)
        if journal is not None and parts is not None:
            try:
                journal_file.merge(parts, journal)
            except OSError as error:
                raise InputError(f"{journal}: {error.strerror}; name a file that can be written") from error
    return report


def _live(read: "Read", seed: int | None) -> "Report":
    from emulator.served.scenario import run_live

    with tempfile.TemporaryDirectory(prefix="smets1-scenario-") as folder:
        return run_live(read, seed, folder=Path(folder))


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"{what} ...", err=True)


def show(report: "Report") -> None:
    """A report for people."""
    click.echo(report.told())
    for name, count in report.fired.items():
        click.echo(f"  fault {name}: struck {count} time{'s' * (count != 1)}")
    for cause, count in report.causes.items():
        click.echo(f"  {cause}: {count}")
    for failure in report.failures:
        click.echo(f"  FAILED {failure}")


def _seeds(text: str) -> list[int]:
    """The seeds of a list of ranges. Raises InputError."""
    found: list[int] = []
    for part in text.split(","):
        match = _SEEDS.match(part.strip())
        if match is None:
            raise InputError(f"--seeds {text!r}: write 1-20, or 3,5,8-12")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first or last - first >= _SEEDS_MOST or last >= 1 << 63:
            raise InputError(f"--seeds {text!r}: {part} is no range of at most {_SEEDS_MOST:,} seeds")
        found += range(first, last + 1)
    return found


@command.command()
@click.argument("scenario")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of everything.  [default: the scenario's]")
@click.option("--home", type=click.IntRange(0), help="The home whose trouble it is.  [default: the first to blame]")
@click.option("--runs", type=click.IntRange(1, 10_000), default=200, show_default=True, help="Runs at most.")
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Processes; the outcome is the same.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the scenario here, not to stdout.")
@click.option("--pytest", "test", type=click.Path(dir_okay=False, path_type=Path), help="Write a pytest test here.")
def shrink(
    scenario: str,
    seed: int | None,
    home: int | None,
    runs: int,
    workers: int | None,
    out: Path | None,
    test: Path | None,
) -> None:
    """Shrink SCENARIO, which fails, to the fewest homes and faults and the shortest time that fail the same way."""
    from emulator.scenario import emit, reading
    from emulator.scenario import shrink as shrinking

    def progress(text: str) -> None:
        click.echo(text, err=True)

    found = shrinking.shrink(
        reading.read(scenario),
        seed,
        runs=runs,
        home=home,
        workers=workers or os.cpu_count() or 1,
        progress=progress,
    )
    remarks: tuple[str, ...] = (found.told(),)
    text = emit.toml(found.read.scenario, remarks)
    if out is not None:
        write_text(out, text)
    else:
        click.echo(text, nl=False)
    if test is not None:
        write_text(test, emit.pytest_module(found.read.scenario, found.seed, found.failure.text, remarks))
