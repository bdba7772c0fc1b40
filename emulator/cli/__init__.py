"""The command `smets1`: one module per verb, loaded when the verb is used.

Every verb module exposes `command`, a click command. Errors of the project's own tree end as one line on stderr and
exit code 2 (`InputError`) or 1; so does a full disk. A fault of ours is one line too, exit code 70, and a traceback
only for who asks for it with SMETS1_TRACEBACK=1.
"""

import os
import sys
from importlib import import_module
from typing import Final

import click

from emulator import __version__
from emulator.errors import EmulatorError, InputError

VERBS: Final = {
    "migrate": "migrate an estate in virtual time, and audit it",
    "diagnose": "can a meter be saved, and by which commands",
    "what-rate": "which settings lose so many meters to a change of keys",
    "scenario": "list, check, run and shrink scenarios: trouble, then healing",
    "golden": "what every service request comes to under every fault",
    "auxiliary": "auxiliary load: data categories, who went cold, an evening of switching",
    "estate": "import, validate and show estates",
    "state": "export, import and show the state an estate was left in",
    "serve": "serve an estate on real sockets",
    "ask": "ask a running server: every command as a verb",
    "link": "the core link: what a real gateway loads; status, fail, heal, kill, cutover",
    "keys": "print the keys and addresses of an installation's devices",
    "faults": "list the faults that can be put in force, with their fields",
    "decode": "show any frame as a tree, decrypted when given keys",
    "bench": "measure parts of the emulator on this machine: crypto",
}


DEBUG_VARIABLE: Final = "SMETS1_TRACEBACK"
"""As in `fleet.shards`, which is not imported before a verb needs it."""


class Verbs(click.Group):
    """Imports a verb's module only when it is called: `smets1 --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = import_module(f"emulator.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs)
@click.version_option(__version__, prog_name="smets1")
def group() -> None:
    """Emulate SMETS1 meters, communications hubs and the link behind them."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point: turns the project's errors into one line and an exit code."""
    try:
        group.main(args=arguments, prog_name="smets1", standalone_mode=True)
    except InputError as error:
        click.echo(f"smets1: {error}", err=True)
        sys.exit(2)
    except (EmulatorError, OSError) as error:
        click.echo(f"smets1: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        click.echo(
            f"smets1: a fault of ours: {type(error).__name__}: {error} (set {DEBUG_VARIABLE}=1 to see where)", err=True
        )
        sys.exit(70)
