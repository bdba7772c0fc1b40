"""`smets1 what-rate`: which settings lose one meter in a thousand."""

import json
import os

import click


@click.command(short_help="which settings lose so many meters to a change of keys")
@click.option("--rate", type=float, default=0.001, show_default=True, help="Share of meters that are lost.")
@click.option("--estate", "source", default="thousand", show_default=True, help="Name or file of an estate's recipe.")
@click.option("--maker", default="itron", show_default=True, help="Whose electricity meter every home has.")
@click.option("--installations", type=click.IntRange(1), default=4_000, show_default=True, help="Homes in the cohort.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of everything.  [default: the estate's]")
@click.option(
    "--link",
    type=click.Choice(["plain", "ipsec", "mpls", "mpls-l3vpn", "ipsec-standby", "mpls-standby"]),
    default="ipsec",
    show_default=True,
    help="Kind of link.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Processes.  [default: one a core]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    rate: float,
    source: str,
    maker: str,
    installations: int,
    seed: int | None,
    link: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Find the settings under which a change of master keys loses so many meters.

    No rate is set anywhere in the emulator: meters are lost when a transfer is sent again, by a head end that does not
    wait, while a meter is still writing its master key. Outages and losses, the time of writing and the policy of the
    retry make the rate; each is moved alone until it is the one asked for.
    """
    from rich.console import Console
    from rich.table import Table

    from emulator.dcc.what_rate import Measured, what_rate

    console = Console(stderr=True, quiet=as_json)
    answer = what_rate(
        rate,
        source=source,
        maker=maker,
        installations=installations,
        seed=seed,
        link=link,
        workers=workers or os.cpu_count() or 1,
        heard=lambda text: console.print(f"{text} ..."),
    )
    if as_json:
        click.echo(json.dumps(answer.object(), indent=2))
        return

    def cells(measured: Measured) -> tuple[str, ...]:
        return f"{measured.rate.count}", measured.rate.told()

    out = Console()
    title = f"{answer.homes:,} homes of {answer.estate}, meters of {answer.maker}, seed {answer.seed}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("retry", "window", "air loss", "outages/day", "lost", "share (Wilson, 95%)"):
        table.add_column(name, no_wrap=True)
    for row in answer.table:
        setting = row.setting
        retry = "patient" if setting.retry == "patient" else f"impatient, {setting.retry_after_s:g} s"
        told = (retry, f"{setting.window_s:g} s", f"{setting.loss:.2%}", f"{setting.outages:g}")
        table.add_row(*told, *cells(row))
    out.print(table)
    out.print()
    title = f"What gives {answer.target:g}, each moved alone from the second line"
    found = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("moved", "to", "lost", "share (Wilson, 95%)"):
        found.add_column(name, no_wrap=True)
    for each in answer.found:
        value = f"{each.value:g} {each.unit}"
        found.add_row(each.knob, value if each.reached else f"{value} is too little", *cells(each.measured))
    out.print(found)
    out.print(
        f"{answer.runs} runs, {answer.looked_at:,} homes looked at: to the others nothing happened", soft_wrap=True
    )
