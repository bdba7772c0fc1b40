"""`smets1 auxiliary` from the shell's side: what it prints and how it ends."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from emulator.cli import group
from emulator.errors import InputError


def run(*arguments: str) -> Any:
    return CliRunner().invoke(group, ["auxiliary", *arguments])


def told(*arguments: str) -> Any:
    """The one JSON object of a command that succeeds."""
    found = run(*arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_categories_are_counted_and_explained() -> None:
    """Every home of an estate in one category; one home with what both sources say; people get lines."""
    body = told("categories", "--estate", "demo-street")
    assert sum(each["homes"] for each in body["categories"]) == body["installations"]
    assert sum(each["homes"] for each in body["sayings"]) == body["installations"]
    one = told("categories", "--estate", "demo-street", "--installation", "1")
    assert (one["installation"], one["category"], one["smso"]) == (1, "1", "auxiliary")
    lines = run("categories", "--estate", "demo-street").stdout.splitlines()
    assert lines[0].startswith("demo-street:")
    assert any("both say auxiliary load" in line for line in lines)


def test_harm_under_a_hypothesis() -> None:
    """The homes of the demo street after a tariff reset: all cold; under release 1.1 none is."""
    arguments = ("harm", "--estate", "demo-street", "--workers", "1", "--days", "2")
    cold = told(*arguments, "--core-release", "1.0", "--hypothesis", "H4")
    assert (cold["hypothesis"], cold["harm"]["cold"]) == ("H4", cold["migrated"])
    assert told(*arguments)["harm"]["harmed"] == 0
    assert "cold" in run(*arguments).stdout


def test_an_evening_and_its_exit_code() -> None:
    """0 when contacts did as acknowledged; 1, and which, when they did not; 1 for a fault that never fired."""
    arguments = ("evening", "--estate", "demo-street", "--workers", "1")
    body = told(*arguments, "--off-hour", "22")
    assert body["confirmed"] == body["verified"] == body["requests"] == 14
    stuck = run(*arguments, "--fault", "relay-stuck state=open installation=1", "--wanted", "on")
    assert stuck.exit_code == 1
    assert "home 1: switch 1 did not stand" in stuck.stderr
    quiet = run(*arguments, "--fault", "timer-not-restored")
    assert quiet.exit_code == 1
    assert "'timer-not-restored' never fired" in quiet.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("harm", "--hypothesis", "H4"), "core release 1.1"),
        (("harm", "--core-release", "1.0", "--hypothesis", "H4", "--reset-to", "economy8"), "no switching table"),
        (("evening", "--off-hour", "16"), "--off-hour"),
        (("evening", "--fault", "relay-stuk"), "relay-stuck"),
        (("categories", "--rules", "/nowhere.toml"), "readable TOML"),
        (("categories", "--estate", "demo-street", "--installation", "99"), "no installation"),
    ],
)
def test_wrong_input_is_told_with_its_cure(arguments: tuple[str, ...], words: str) -> None:
    """What is wrong, where, what to do; never a traceback."""
    found = run(*arguments)
    assert isinstance(found.exception, InputError)
    assert words in str(found.exception)
