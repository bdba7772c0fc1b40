"""`smets1 bench`: what parts of the emulator cost on this machine, beside what else there is."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(short_help="measure parts of the emulator on this machine: crypto")
def command() -> None:
    """Measure parts of the emulator on this machine. A figure stands beside the state the machine was in."""


@command.command(short_help="the crypto core beside OpenSSL, ipsec-mb and cryptography")
@click.option("--json", "json_file", type=_FILE, help="Write all figures to this file.")
@click.option("--plot", "plot_file", type=_FILE, help="Draw them into this file, as SVG.")
@click.option("--quick", is_flag=True, help="Fewer lengths and rounds: about 10 seconds instead of 30.")
@click.option("--rounds", type=click.IntRange(5, 1000), help="Medians of so many rounds (32; with --quick 15).")
def crypto(json_file: Path | None, plot_file: Path | None, quick: bool, rounds: int | None) -> None:
    """Seal, open, wrap and unwrap under a different key each, and ESP; ours and what else is here, in turn.

    Peers that are not here are named so. OpenSSL 3.5 or newer may be named by SMETS1_BENCH_LIBCRYPTO; ipsec-mb wants
    its header; both want a C compiler.
    """
    from emulator.files import check, replace_text
    from emulator.measure import plot
    from emulator.measure.crypto import measure
    from emulator.measure.table import LINE, Shown

    for file in (json_file, plot_file):
        if file is not None:
            check(file)
    with Console(stderr=True).status("measuring") as status:
        report: dict[str, Any] = measure(quick=quick, rounds=rounds, say=status.update)
    terminal = Console()
    Console(width=max(terminal.width, LINE)).print(Shown(report), highlight=False)
    if json_file is not None:
        replace_text(json_file, json.dumps(report, indent=2) + "\n")
    if plot_file is not None:
        replace_text(plot_file, plot.draw(report))
