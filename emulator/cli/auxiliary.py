"""`smets1 auxiliary`: which homes have auxiliary load, who went cold after a migration, and switching a whole cohort.

Everything is computed in `emulator.dcc`; here it becomes lines for people or one JSON object for programs.
"""

import json
import os
from typing import Any, get_args

import click

from emulator.cli.core_release import auxiliary_settings, core_release_options
from emulator.errors import InputError

_ESTATE = click.option("--estate", "source", default="thousand", show_default=True, help="Name or file of an estate.")
_HOMES = click.option("--installations", type=click.IntRange(1), help="Take so many homes of it: the same mixture.")
_SEED = click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of everything.  [default: the estate's]")
_WORKERS = click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Processes. The outcome does not depend on it.  [default: one a core]",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
_FAULT = click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar='"NAME FIELD=VALUE ..."',
    help="A fault in force from the start; may be given several times.",
)


@click.group(name="auxiliary")
def command() -> None:
    """Auxiliary load, the fifth terminal: data categories, harm after a migration, an evening of switching."""


@command.command()
@_ESTATE
@_HOMES
@_SEED
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@click.option("--rules", type=click.Path(), help="Another table of rules than fixtures/categories.toml.")
@click.option("--installation", metavar="ID", help="Sort one home and say why.")
@_JSON
def categories(
    source: str,
    installations: int | None,
    seed: int | None,
    workers: int,
    rules: str | None,
    installation: str | None,
    as_json: bool,
) -> None:
    """Sort every home into the five data categories, from the old operator's list and the registration data."""
    from emulator.dcc import auxiliary_categories
    from emulator.fleet.estate import open_estate

    table = auxiliary_categories.read(rules)
    estate = open_estate(source, seed, installations)
    if installation is not None:
        number = estate.find(installation)
        found = auxiliary_categories.sort(estate, estate.installation(number), table)
        category = table.categories[found.category]
        body = {
            "installation": number,
            "category": found.category,
            "title": category.title,
            "risk": category.risk,
            "action": category.action,
            "smso": found.smso,
            "registration": found.registration,
            "profile_class": found.registered.profile_class,
            "ssc": found.registered.ssc,
            "tprs": list(found.registered.tprs),
        }
        lines = (f"{key:>14}: {each}" for key, each in body.items())
        click.echo(json.dumps(body, indent=2) if as_json else "\n".join(lines))
        return
    census = auxiliary_categories.census(estate, rules, workers)
    rows = [
        {
            "category": name,
            "homes": census.homes[name],
            "truly_auxiliary": census.auxiliary[name],
            "title": category.title,
            "risk": category.risk,
            "action": category.action,
        }
        for name, category in table.categories.items()
    ]
    if as_json:
        sayings = [
            {"smso": smso, "registration": registration, "homes": count}
            for (smso, registration), count in sorted(census.by_saying.items())
        ]
        found_object = {
            "estate": estate.name,
            "seed": estate.seed,
            "installations": estate.installations,
            "categories": rows,
            "sayings": sayings,
            "elapsed_s": round(census.elapsed_s, 3),
        }
        click.echo(json.dumps(found_object, indent=2))
        return
    click.echo(f"{estate.name}: {estate.installations:,} homes, seed {estate.seed}, {census.elapsed_s:.1f} s")
    click.echo(f"{'':2} {'homes':>9} {'truly aux.':>10}  category")
    for row in rows:
        said = f"{row['title']} ({row['risk']}: {row['action']})"
        click.echo(f"{row['category']:2} {row['homes']:9,} {row['truly_auxiliary']:10,}  {said}")


@command.command()
@_ESTATE
@_HOMES
@_SEED
@_WORKERS
@core_release_options
@_FAULT
@click.option("--days", type=click.FloatRange(0.1, 365), default=7.0, show_default=True, help="Days after a migration.")
@_JSON
def harm(
    source: str,
    installations: int | None,
    seed: int | None,
    workers: int | None,
    core_release: str,
    hypothesis: str | None,
    reset_to: str,
    faults: tuple[str, ...],
    days: float,
    as_json: bool,
) -> None:
    """Migrate the five-terminal homes, and tell how many hours of heating each lost or gained in the days after."""
    from emulator.dcc import campaign
    from emulator.dcc.casework import CampaignSettings
    from emulator.dcc.host import HostOptions
    from emulator.dcc.takeover import TakeoverSettings
    from emulator.fleet.estate import open_estate

    settings = auxiliary_settings(core_release, hypothesis, reset_to)
    estate = open_estate(source, seed, installations)
    five = frozenset(n for n in range(estate.installations) if estate.installation(n).wiring is not None)
    if not five:
        raise InputError(f"{estate.name} has no home with auxiliary load; choose another estate, or more homes")
    options = HostOptions(
        link=estate.recipe.link.kind,
        profile=_profile(estate),
        settings=CampaignSettings(takeover=TakeoverSettings(auxiliary=settings)),
        faults=_faults(faults),
        only=five,
        harm_days=days,
    )
    result = campaign.run(estate, options, workers=workers or os.cpu_count() or 1)
    assert result.harm is not None
    if as_json:
        body = {
            "estate": estate.name,
            "seed": estate.seed,
            "digest": result.digest,
            "core_release": settings.core_release,
            "hypothesis": settings.acting,
            "days": days,
            "migrated": result.totals.migrated,
            "failed": result.totals.failed,
            "by_cause": result.totals.by_cause,
            "harm": result.harm.as_object(),
            "elapsed_s": round(result.elapsed_s, 3),
        }
        click.echo(json.dumps(body, indent=2))
    else:
        under = f"core release {settings.core_release}" + (f", {settings.acting}" if settings.acting else "")
        click.echo(f"{estate.name}, seed {estate.seed}, {under}: {len(five):,} homes with auxiliary load")
        click.echo(f"migrated {result.totals.migrated:,}, failed {result.totals.failed:,}; digest {result.digest[:16]}")
        _show_harm(result.harm, f"in {days:g} days after its migration")
    _unfired(faults, result.fired)


@command.command()
@_ESTATE
@_HOMES
@_SEED
@_WORKERS
@click.option("--hour", type=click.FloatRange(0, 24), default=17.0, show_default=True, help="When it begins, GMT.")
@click.option("--spread", type=click.FloatRange(0.1, 24), default=4.0, show_default=True, help="Hours it takes.")
@click.option(
    "--wanted",
    type=click.Choice(["on", "off", "opposite"]),
    default="opposite",
    show_default=True,
    help="What each switch is held; opposite: so that every one has to move.",
)
@click.option("--minutes", type=click.IntRange(1, 1_440), default=60, show_default=True, help="For how long.")
@click.option("--off-hour", type=click.FloatRange(0, 47), help="A second round from then on: all are held off (7.6).")
@core_release_options
@_FAULT
@_JSON
def evening(
    source: str,
    installations: int | None,
    seed: int | None,
    workers: int | None,
    hour: float,
    spread: float,
    wanted: str,
    minutes: int,
    off_hour: float | None,
    core_release: str,
    hypothesis: str | None,
    reset_to: str,
    faults: tuple[str, ...],
    as_json: bool,
) -> None:
    """Switch every five-terminal home's auxiliary load in one virtual evening, and look at the contacts afterwards.

    Each switch is a service request (7.5 or 7.6) over the real path. Exit code 1 when a contact did not stand as its
    meter acknowledged, or when a fault that was asked for never fired.
    """
    from emulator.dcc import evening as evenings
    from emulator.dcc.service_requests import FrontSettings
    from emulator.fleet.estate import open_estate

    settings = auxiliary_settings(core_release, hypothesis, reset_to)
    estate = open_estate(source, seed, installations)
    rounds = [evenings.Round(hour, _wanted(wanted), minutes, spread)]
    if off_hour is not None:
        if off_hour <= hour:
            raise InputError(f"--off-hour {off_hour:g} is not after --hour {hour:g}; give a later one")
        rounds.append(evenings.Round(off_hour, "off", minutes, spread))
    options = evenings.EveningOptions(
        rounds=tuple(rounds),
        link=estate.recipe.link.kind,
        profile=_profile(estate),
        front=FrontSettings(auxiliary=settings),
        faults=_faults(faults),
    )
    result = evenings.run(estate, options, workers=workers or os.cpu_count() or 1)
    if as_json:
        click.echo(json.dumps(result.as_object(), indent=2))
    else:
        click.echo(f"{estate.name}, seed {estate.seed}: {result.homes:,} homes, {result.switches:,} switches")
        click.echo(
            f"{result.requests:,} requests: {result.confirmed:,} confirmed, "
            f"{result.requests - result.confirmed:,} failed; {result.homes_confirmed:,} homes confirmed all"
        )
        for cause, count in sorted(result.causes.items(), key=lambda item: (-item[1], item[0])):
            click.echo(f"  {count:9,}  {cause}")
        click.echo(f"at the contact: {result.verified:,} as acknowledged, {len(result.astray):,} otherwise")
        _show_harm(result.harm, "in the 24 hours from the evening's beginning")
        click.echo(
            f"{result.elapsed_s:.1f} s, {result.homes_a_second:.0f} homes/s, {result.exchanges:,} exchanges, "
            f"{result.peak_rss_bytes / 1e6:.0f} MB; digest {result.digest[:16]}"
        )
    for number, switch in result.astray[:10]:
        click.echo(f"smets1: home {number}: switch {switch} did not stand as its meter acknowledged", err=True)
    _unfired(faults, result.fired)
    if result.astray:
        raise SystemExit(1)


def _wanted(text: str) -> Any:
    from emulator.dcc.evening import Wanted

    assert text in get_args(Wanted)
    return text


def _profile(estate: Any) -> Any:
    from emulator.fleet import core_link

    return core_link.profile_of(estate.recipe.link, estate.start)


def _faults(written: tuple[str, ...]) -> tuple[Any, ...]:
    """Faults as written on a command line. Raises InputError."""
    from emulator.faults import texts

    return tuple(texts.parse(each) for each in written)


def _unfired(texts: tuple[str, ...], fired: dict[int, int]) -> None:
    """A fault that was asked for and never fired fails the run."""
    quiet = [text for number, text in enumerate(texts, 1) if not fired.get(number)]
    for text in quiet:
        click.echo(f"smets1: fault {text!r} never fired", err=True)
    if quiet:
        raise SystemExit(1)


def _show_harm(report: Any, when: str) -> None:
    click.echo(
        f"heating {when}: {report.harmed:,} of {report.homes:,} homes off their times, {report.cold:,} cold "
        f"(at least {report.cold_h:g} h lost); {report.lost_h:,.1f} switch-hours lost, {report.gained_h:,.1f} gained"
    )
    for name, count in report.distribution.items():
        if count:
            click.echo(f"  {count:9,}  lost {name}")
    for number, lost, gained in report.worst[:5]:
        click.echo(f"  home {number}: {lost:.1f} h lost, {gained:.1f} h gained")
