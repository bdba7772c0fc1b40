"""`smets1 migrate`: the whole way, once: an estate is migrated in virtual time and audited.

Exit code 0 only when ledger, audit and delivery log agree; 1 when they do not, 2 for wrong input.
"""

import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from emulator.errors import InputError


@click.command(short_help="migrate an estate in virtual time, and audit it")
@click.option("--estate", "source", default="thousand", show_default=True, help="Name or file of an estate.")
@click.option("--installations", type=click.IntRange(1), help="Take so many homes of it: the same mixture, scaled.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of everything.  [default: the estate's]")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=None,
    help="Processes. The outcome does not depend on it.  [default: one a core]",
)
@click.option(
    "--link",
    type=click.Choice(["plain", "ipsec", "mpls", "mpls-l3vpn", "ipsec-standby", "mpls-standby"]),
    help="Kind of link.  [default: the estate's]",
)
@click.option(
    "--fidelity",
    type=click.Choice(["wire", "pipe", "interop"]),
    help="Every byte of every layer; delays, losses and outages alone; or the bytes, through the host's loopback.  "
    "[default: the estate's]",
)
@click.option(
    "--fault",
    "wanted",
    multiple=True,
    metavar="'NAME FIELD=VALUE ...'",
    help="Put a fault in force from the start; `smets1 faults` lists them. May be given several times.",
)
@click.option("--check", "checked", is_flag=True, help="Watch the head end, and ask the standing checks at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="Write every note, as JSON lines.")
@click.option("--pcap", type=click.Path(dir_okay=False, path_type=Path), help="Write a capture, its keys beside it.")
@click.option("--profile", is_flag=True, help="Say where the time went.")
def command(
    source: str,
    installations: int | None,
    seed: int | None,
    workers: int | None,
    link: str | None,
    fidelity: str | None,
    wanted: tuple[str, ...],
    checked: bool,
    as_json: bool,
    journal: Path | None,
    pcap: Path | None,
    profile: bool,
) -> None:
    """Migrate an estate: wake every hub, test every device, change every key, prove it, commission; then audit.

    Prints the seed; the same seed gives the same digest on any number of workers. A fault that was asked for and never
    struck is told, and makes the exit code 1; so does what a standing check finds.
    """
    from emulator.dcc import campaign
    from emulator.dcc.host import HostOptions
    from emulator.faults import catalogue, texts
    from emulator.fleet import core_link, journal_file
    from emulator.fleet.estate import open_estate
    from emulator.link import tap

    estate = open_estate(source, seed, installations)
    faults = tuple(texts.parse(each) for each in wanted)
    for fault in faults:
        if fault.installation is not None and fault.installation >= estate.installations:
            raise InputError(
                f"--fault {fault.name}: there is no installation {fault.installation}; give 0 to "
                f"{estate.installations - 1}"
            )
    for path in (journal, pcap):
        if path is not None:
            _check_writable(path)
    with ExitStack() as stack:
        if pcap is not None:
            stack.callback(tap.abandon, pcap, range(estate.cells))  # whatever an interrupted run leaves behind
        parts = stack.enter_context(tempfile.TemporaryDirectory(prefix="smets1-journal-"))
        core = core_link.of_kind(estate.recipe.link, link)
        if fidelity is not None:
            core = core_link.with_core(core, {"fidelity": fidelity})
        options = HostOptions(
            link=core.kind,
            profile=core_link.profile_of(core, estate.start),
            air=core_link.air_of(core),
            journal=parts if journal else None,
            capture=str(pcap) if pcap else None,
            sample=profile,
            faults=faults,
            checks=() if checked else None,
        )
        if pcap is not None and options.profile.fidelity == "pipe":
            raise InputError("--pcap: a pipe has no packets to capture; take --fidelity wire")
        console = Console(stderr=True, quiet=as_json)
        console.print(
            f"estate [bold]{estate.name}[/], {estate.installations:,} installations in "
            f"{estate.cells} {'cell' if estate.cells == 1 else 'cells'}, "
            f"seed {estate.seed}, link {options.link}"
        )
        result = _run(campaign, estate, options, workers or os.cpu_count() or 1, console)
        try:
            if journal:
                journal_file.merge(parts, journal)
            if pcap:
                packets = tap.finish(pcap, options.link, estate.seed, range(estate.cells), options.profile)
                console.print(f"{packets:,} packets in {pcap}; {tap.opening(pcap)}")
        except OSError as error:
            where = error.filename or journal or pcap
            raise InputError(f"{where}: {error.strerror}; name a file that can be written") from error
    struck = [
        {
            "fault": fault.name,
            "settings": catalogue.settings(fault),
            "line": texts.line(fault.name, catalogue.settings(fault)),
            "fired": result.fired.get(number, 0),
        }
        for number, fault in enumerate(faults, 1)
    ]
    if as_json:
        click.echo(json.dumps({**_object(result), **({"faults": struck} if struck else {})}, indent=2))
    else:
        _show(result, Console(), source, profile, struck)
    quiet = [each["line"] for each in struck if not each["fired"]]
    objections = [*result.objections, *(f"asked for and never fired: {line}" for line in quiet)]
    objections += [each.told() for each in result.findings]
    for objection in objections:
        click.echo(f"smets1: {objection}", err=True)
    if objections:
        raise SystemExit(1)


def _check_writable(path: Path) -> None:
    """Raises InputError now rather than after the whole run. Files appear by being renamed, so that a device or a pipe
    of that name would be replaced by a file: neither will do."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"{path}: its folder does not exist; make it first")
    if not path.name or (path.exists() and not path.is_file()):
        raise InputError(f"{str(path)!r} is not an ordinary file; name one that is, or a new one")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; name a file that can be written") from error


def _run(campaign: Any, estate: Any, options: Any, workers: int, console: Console) -> Any:
    """The campaign with a progress bar."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=console.quiet or not console.is_terminal,
    )
    with bar:
        task = bar.add_task("migrating", total=estate.installations)

        def progress(at: Any) -> None:
            if at.phase == "migrating":
                bar.update(task, completed=at.ended, description=f"day {at.day:>3} {at.decision:<5} migrating")
            else:
                bar.update(task, description=f"day {at.day:>3}       auditing ")

        return campaign.run(estate, options, workers=workers, progress=progress)


def _object(result: Any) -> dict[str, Any]:
    """The result as plain JSON."""
    from emulator.dcc.rates import rates
    from emulator.fleet.sampler import shares

    sums = result.totals
    found: dict[str, Any] = {
        "seed": result.seed,
        "digest": result.digest,
        "link_digest": result.link_digest,
        "installations": sums.installations,
        "migrated": sums.migrated,
        "failed": sums.failed,
        "unrecoverable": sums.unrecoverable,
        "by_cause": sums.by_cause,
        "retried": sums.retried,
        "auxiliary": sums.auxiliary,
        "exchanges": result.exchanges,
        "logged_exchanges": result.logged_exchanges,
        "link": result.ways,
        "audited": sums.audited,
        "agrees": not result.objections,
        "rates": rates(sums).object(),
        "days": [
            {
                "day": day.day,
                "decision": day.decision,
                "started": day.started,
                "migrated": day.migrated,
                "alerts": day.alerts,
            }
            for day in result.days
        ],
        "virtual_s": result.virtual_s,
        "elapsed_s": round(result.elapsed_s, 3),
        "migration_s": round(result.migration_s, 3),
        "migration_exchanges": result.migration_exchanges,
        "peak_rss_bytes": result.peak_rss_bytes,
        "events": result.events,
        "bytes_per_sleeping_installation": round(result.row_bytes, 1),
    }
    if result.samples:
        found["time_shares"] = {layer: round(share, 4) for layer, share in shares(result.samples).items()}
    if result.findings or result.violations:
        found["findings"] = [asdict(each) for each in result.findings]
        found["violations"] = [asdict(each) for each in result.violations]
    return found


def _show(result: Any, console: Console, source: str, profile: bool, struck: list[dict[str, Any]]) -> None:
    """The summary for people."""
    from emulator.dcc.rates import rates
    from emulator.dcc.verdict import CAUSES
    from emulator.fleet.sampler import shares

    sums = result.totals
    table = Table(title=f"Migration of {source}", title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    table.add_row("installations", f"{sums.installations:,}")
    table.add_row("migrated", f"{sums.migrated:,}", f"{sums.retried:,} took more than one attempt")
    table.add_row("  five-terminal", f"{sums.auxiliary:,}", "switches seen to follow their times under the new keys")
    table.add_row("failed", f"{sums.failed:,}")
    table.add_row("unrecoverable", f"{sums.unrecoverable:,}")
    for cause, count in sums.by_cause.items():
        table.add_row(f"  {cause}", f"{count:,}", CAUSES[cause])
    table.add_row("audited", f"{sums.audited:,}", "refused the old keys and accepted the new ones")
    for each in struck:
        table.add_row("fault struck", f"{each['fired']:,}", Text(str(each["line"])))
    table.add_row("exchanges", f"{result.exchanges:,}", f"link's own count {result.logged_exchanges:,}")
    table.add_row("virtual time", f"{result.virtual_s / 86_400:,.1f}", "days")
    table.add_row("elapsed", f"{result.elapsed_s:,.1f}", f"s, {sums.installations / result.elapsed_s:,.0f} homes/s")
    table.add_row("peak memory", f"{result.peak_rss_bytes / 2**20:,.0f}", "MiB, all processes")
    console.print(table)
    if profile:
        console.print("time: " + ", ".join(f"{layer} {share:.0%}" for layer, share in shares(result.samples).items()))
    console.print(f"rates: {rates(sums).told()}", soft_wrap=True)
    console.print(f"seed {result.seed}  digest {result.digest}", soft_wrap=True)
    if not result.objections:
        console.print("ledger, audit and delivery log agree")
