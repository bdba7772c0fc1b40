"""`smets1 ask`: every command as a verb, spoken to a running server."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from emulator.cli.ask import command
from emulator.control import names
from emulator.errors import EmulatorError, InputError

Visit = Callable[..., None]


async def ask(here: Any, *words: str, token: str | None = None) -> Result:
    environment = {"SMETS1_URL": here.served.url, "SMETS1_TOKEN": token or here.token}
    return await asyncio.to_thread(CliRunner().invoke, command, list(words), env=environment)


def test_verbs_carry_out_what_routes_do(site: Visit, tmp_path: Path) -> None:
    """Read, write with JSON, press, step, verify, watch: answers are JSON on stdout."""

    async def body(here: Any) -> None:
        read = await ask(here, "read-object", "0", "electricity", "--what", "import")
        assert json.loads(read.stdout)["plain"] > 0
        value = '{"long-unsigned": 12}'
        written = await ask(here, "write-object", "1", "electricity", "--what", "1/0-0:94.44.117.1", "--value", value)
        assert (written.exit_code, json.loads(written.stdout)["attribute"]) == (0, 2)
        boost = await ask(here, "press-boost", "1", "electricity", "--switch", "2")
        assert json.loads(boost.stdout)["notes"][0]["detail"] == [2, True, 60]
        assert (await ask(here, "step-clock", "--seconds", "10.5")).exit_code == 0
        listed = await ask(here, "journal", "--installation", "1", "--kind", "auxiliary.")
        assert [each["installation"] for each in json.loads(listed.stdout)["entries"]] == [1]
        expect = '[{"kind": "auxiliary.held", "installation": 1}]'
        assert (await ask(here, "verify", "--expect", expect)).exit_code == 0
        assert (await ask(here, "verify", "--expect", expect.replace("held", "reset"))).exit_code == 1
        watched = await ask(here, "watch", "--since", "0", "--limit", "2")
        assert [json.loads(line)["number"] for line in watched.stdout.splitlines()] == [1, 2]
        migrated = await ask(here, "--wait", "20", "migrate", "--installations", "[0]", "--audit", "false")
        assert json.loads(migrated.stdout)["migrated"] == 1
        file = tmp_path / "token"
        file.write_text(here.token + "\n")
        words = ["--url", here.served.url, "--token-file", str(file), "clock"]
        clock = await asyncio.to_thread(CliRunner().invoke, command, words)
        assert json.loads(clock.stdout)["speed"] == 0

    site(body)


def test_problems_are_one_line_and_an_exit_code(site: Visit) -> None:
    """What was asked wrongly is an input error before it is sent; what cannot be done is told by the server."""

    async def body(here: Any) -> None:
        for words, kind, text in (
            (("press-boost", "1", "electricity", "--switch", "9"), InputError, "from 1 to 5"),
            (("press-boost", "1", "electricity", "--switch", "two"), InputError, "--switch"),
            (("state", "16"), InputError, "give 0 to 15"),
            (("read-object", "3", "hub", "--what", "clock"), EmulatorError, "did not call back"),
        ):
            result = await ask(here, *words)
            assert isinstance(result.exception, kind), (words, result.output)
            assert text in str(result.exception)
        wrong = await ask(here, "status", token="0123456789abcdef")
        assert isinstance(wrong.exception, InputError)

    site(body)


def test_every_command_is_a_verb_with_help() -> None:
    """Names, arguments and options are there for each, with their ranges."""
    for verb in names.COMMANDS:
        result = CliRunner().invoke(command, [verb, "--help"])
        assert result.exit_code == 0, result.output
    shown = " ".join(CliRunner().invoke(command, ["press-boost", "--help"]).output.split())
    assert "INSTALLATION {hub|electricity|gas|ihd}" in shown
    assert "a whole number from 1 to 5" in shown


def test_no_server_is_said_so() -> None:
    """Without an address, with a wrong one, and with nobody there."""
    nothing = CliRunner().invoke(command, ["status"], env={"SMETS1_URL": None, "SMETS1_TOKEN": None})
    assert "SMETS1_URL" in str(nothing.exception)
    for url in ("ftp://127.0.0.1", "127.0.0.1:80", "http://127.0.0.1:1"):
        result = CliRunner().invoke(command, ["--url", url, "--token", "x", "status"])
        assert isinstance(result.exception, EmulatorError)
        assert "http" in str(result.exception)
    with pytest.raises(InputError):
        names.make(names.COMMANDS["step-clock"], {})
