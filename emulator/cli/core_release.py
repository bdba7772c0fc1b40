"""The options that choose a core release: what it can do with auxiliary load, and why not."""

from collections.abc import Callable
from typing import Any

import click

from emulator.errors import InputError

_OPTIONS = (
    click.option(
        "--core-release",
        type=click.Choice(["1.0", "1.1"]),
        default="1.1",
        show_default=True,
        help="1.0 lacks the capability for auxiliary load, 1.1 has it.",
    ),
    click.option(
        "--hypothesis",
        type=click.Choice(["H1", "H2", "H3", "H4", "H5"]),
        help="Why release 1.0 lacks it: S1SP refuses; mapping dropped; inventory flag; tariff reset; not enacted.",
    ),
    click.option("--reset-to", default="single-rate", show_default=True, help="The table that H4 loads."),
)


def core_release_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options `core_release`, `hypothesis` and `reset_to`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def auxiliary_settings(core_release: str, hypothesis: str | None, reset_to: str) -> Any:
    """The settings that the options ask for. Raises InputError."""
    from emulator.dcc import auxiliary_release

    chosen: Any = (core_release, hypothesis)
    settings = auxiliary_release.AuxiliarySettings(chosen[0], chosen[1], reset_to)
    wrong = auxiliary_release.check(settings)
    if wrong:
        raise InputError(wrong)
    return settings
