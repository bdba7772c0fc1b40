"""`smets1 ask`: every command of a running server, as a verb.

Verbs, arguments and options are made from the command classes: `smets1 ask press-boost 3 electricity --switch 2`. What
comes back is printed as JSON; a problem is one line on stderr and exit code 2 (what was asked is wrong) or 1 (it could
not be done). The server's address and token come from the options, the environment (SMETS1_URL, SMETS1_TOKEN), or a
token file.
"""

import json
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from emulator.commands import Command
from emulator.control import names
from emulator.errors import InputError
from emulator.served.client import Server

_JSON: Final = ("array", "object", "")


def _arguments(command: type[Command]) -> list[click.Parameter]:
    found: list[click.Parameter] = []
    if command.scope != "estate":
        found.append(click.Argument(["installation"], type=click.IntRange(0)))
    if command.scope == "device":
        found.append(click.Argument(["device"], type=click.Choice(list(names.DEVICES))))
    properties = names.schema(command)["properties"]
    for each in fields(command):
        required = each.default is MISSING and each.default_factory is MISSING
        schema = properties[each.name]
        option = "--" + each.name.replace("_", "-")
        about = names.in_words(schema) if not _is_json(schema) else f"{names.in_words(schema)}, as JSON"
        found.append(click.Option([option, each.name], required=required, help=about, default=None))
    return found


def _is_json(schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return any(_is_json(part) for part in schema["anyOf"])
    return "$ref" in schema or ("enum" not in schema and schema.get("type", "") in _JSON)


def _value(schema: dict[str, Any], text: str, name: str) -> Any:
    """A field of a body from what was typed."""
    kinds = [schema, *schema.get("anyOf", [])]
    if any(each.get("type") == "string" or "enum" in each for each in kinds) and not _is_json(schema):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise InputError(f"--{name.replace('_', '-')}: {text!r} is not {names.in_words(schema)}") from None


class Ask(click.Group):
    """A verb for every command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*names.COMMANDS, "watch"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "watch":
            return watch
        kind = names.COMMANDS.get(cmd_name)
        if kind is None:
            return None
        doc = " ".join((kind.__doc__ or "").split())

        def callback(**given: Any) -> None:
            path = names.path(kind)
            for name in ("installation", "device"):
                if f"{{{name}}}" in path:
                    path = path.replace(f"{{{name}}}", quote(str(given.pop(name))))
            carry_out(click.get_current_context().obj, kind, path, given)

        short = doc.partition(". ")[0].rstrip(".")
        return click.Command(cmd_name, callback=callback, params=_arguments(kind), help=doc, short_help=short)


def carry_out(context: dict[str, Any], kind: type[Command], path: str, given: dict[str, str | None]) -> None:
    """Have a running server carry a command out, and print its answer. `given` is what was typed, field by field; None
    was not. Raises InputError for what is no such value, and for what the server refuses."""
    server = _server(context)
    properties = names.schema(kind)["properties"]
    said = {name: text for name, text in given.items() if text is not None}
    if names.is_get(kind):
        answer = server.ask("GET", f"{path}?{urlencode(said)}" if said else path)
    else:
        body = {name: _value(properties[name], text, name) for name, text in said.items()}
        names.make(kind, body)  # what is wrong here need not be asked there
        wait = context["wait"]
        answer = server.ask("POST", path if wait is None else f"{path}?{urlencode({'wait': wait})}", body)
    click.echo(json.dumps(answer, indent=2))
    if isinstance(answer, dict) and answer.get("fulfilled") is False:
        sys.exit(1)


def _server(context: dict[str, Any]) -> Server:
    token, file = context["token"], context["token_file"]
    if token is None and file is not None:
        from emulator.web.auth import read_token

        token = read_token(file)
    if context["url"] is None or token is None:
        raise InputError(
            "no server is named; give --url and --token (or --token-file), or set SMETS1_URL and SMETS1_TOKEN: "
            "both stand in the ready line of `smets1 serve`"
        )
    return Server(context["url"], token)


@click.command(short_help="print the journal as it is written, as JSON lines")
@click.option("--since", type=click.IntRange(0), help="Begin after this entry.  [default: only new ones]")
@click.option("--limit", type=click.IntRange(1), help="End after so many.")
@click.option("--kind", help='Only this kind; "relay." takes all that begin so.')
@click.option("--installation", type=click.IntRange(0), help="Only this installation.")
@click.pass_obj
def watch(context: dict[str, Any], /, **given: Any) -> None:
    """The journal, one JSON object a line, until interrupted."""
    said = {name: value for name, value in given.items() if value is not None}
    path = "/v1/journal/events" + (f"?{urlencode(said)}" if said else "")
    for event, data in _server(context).stream(path):
        click.echo(json.dumps(data if event == "entry" else {event: data}))
        sys.stdout.flush()


@click.command(cls=Ask, short_help="ask a running server: every command as a verb")
@click.option("--url", envvar="SMETS1_URL", help="Where the server is: http://127.0.0.1:PORT. (SMETS1_URL)")
@click.option("--token", envvar="SMETS1_TOKEN", help="Its token; in SMETS1_TOKEN no process list shows it.")
@click.option(
    "--token-file",
    envvar="SMETS1_TOKEN_FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that holds the token. (SMETS1_TOKEN_FILE)",
)
@click.option("--wait", type=click.FloatRange(0, 600), help="Real seconds to wait for what takes virtual time.")
@click.pass_context
def command(
    ctx: click.Context, url: str | None, token: str | None, token_file: Path | None, wait: float | None
) -> None:
    """Ask a running server (`smets1 serve`). Answers are JSON on stdout.

    Commands to a device take its installation and its name: smets1 ask read-object 3 electricity --what clock
    """
    ctx.obj = {"url": url, "token": token, "token_file": token_file, "wait": wait}
