"""`smets1 diagnose`: the story of a lost meter, or of one that was saved, in one line of a shell."""

import json

import pytest
from click.testing import CliRunner, Result

from emulator.cli.diagnose import command
from emulator.errors import InputError

LOST_ANSWER = "key-change-answer-lost keys=kek times=1"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def test_a_healthy_home() -> None:
    """Every keyed device on a line of its own; all well."""
    told = run("--installation", "3")
    assert told.exit_code == 0, told.output
    assert told.output.splitlines() == [
        f"installation 3 {device}: healthy (R1): EK, AK and master key all match"
        for device in ("hub", "electricity", "gas")
    ]


def test_broken_told_and_healed() -> None:
    """The way in numbered steps, then the proof."""
    told = run("--installation", "3", "--device", "electricity", "--fault", LOST_ANSWER, "--heal")
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert "recoverable (R4)" in lines[0]
    assert lines[1].startswith("  1. associate")
    assert lines[2].startswith("  2. send EK and AK")
    assert lines[3] == "  healed, and shown to be"
    assert "healthy" in lines[4]


def test_without_healing_it_stays_broken() -> None:
    """Told, and exit code 1."""
    told = run("--installation", "3", "--device", "electricity", "--fault", LOST_ANSWER)
    assert told.exit_code == 1
    assert "healed" not in told.output


def test_a_lost_meter_as_json() -> None:
    """For programs: the verdict, why, and what an engineer must do."""
    told = run(
        "--installation", "3", "--device", "gas", "--json", "--heal", "--fault", "wrong-master-key device=gas"
    )  # fmt: skip
    assert told.exit_code == 1
    (found,) = json.loads(told.output)
    assert found["diagnosis"]["verdict"] == "reads-only"
    assert found["diagnosis"]["holds"]["kek"] == "foreign"
    assert found["diagnosis"]["steps"] == []
    assert "after" not in found, "there is nothing to be carried out"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--installation", "99"), "no installation 99"),
        (("--installation", "1", "--device", "gas"), "installation 1 has no gas"),
        (("--installation", "1", "--fault", "no-such-fault"), "no-such-fault"),
        (("--installation", "1", "--estate", "nowhere"), "nowhere"),
        (("--installation", "1", "--state", "/nowhere/at/all"), "/nowhere/at/all"),
        (("--installation", "1", "--state", "x", "--heal"), "only looked at"),
        (("--installation", "1", "--fault", "wrong-master-key installation=2"), "never struck"),
    ],
)
def test_what_cannot_be_asked(arguments: tuple[str, ...], words: str) -> None:
    """What is wrong, and what to do about it."""
    told = run(*arguments)
    assert isinstance(told.exception, InputError), told.output
    assert words in str(told.exception)
