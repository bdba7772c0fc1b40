"""`smets1 faults` and `smets1 migrate --fault`."""

import json
import tomllib
from typing import Any

import pytest
from click.testing import CliRunner

from emulator.cli import group, main
from emulator.faults import catalogue, texts


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(group, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_list_is_every_fault() -> None:
    """For people with its row and a sentence; for programs with all there is to know."""
    listed = run("faults")
    for name, kind in catalogue.KINDS.items():
        assert f"{kind.row:<4} {name}" in listed, name
    objects = json.loads(run("faults", "--json"))
    assert [each["fault"] for each in objects] == list(catalogue.KINDS)
    for each in objects:
        fault = catalogue.make(each["fault"], each["example"])
        assert texts.parse(each["line"]) == fault
        assert catalogue.read_table(tomllib.loads(each["toml"])["faults"]) == [fault]
        assert {field["name"] for field in each["fields"]} >= {"installation", "share", "seconds", "times", "chance"}


def test_one_fault_is_shown_with_its_fields_and_how_it_is_asked_for() -> None:
    shown = run("faults", "gprs-split")
    for told in (
        "gap_ms", "milliseconds of virtual time", "200", "one of datagram, stream", "[[faults]]", "at = 5",
        'smets1 migrate --fault "gprs-split at=5 gap_ms=800 chance=0.2"', "smets1 ask inject-fault --fault gprs-split",
        '@pytest.mark.smets1_fault("gprs-split", at=5, gap_ms=800, chance=0.2)',
    ):  # fmt: skip
        assert told in shown
    [only] = json.loads(run("faults", "gprs-split", "--json"))
    assert only["row"] == "F14"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["faults", "gprs-spilt"], "did you mean gprs-split"),
        (["migrate", "--fault", "gprs-spilt"], "did you mean gprs-split"),
        (["migrate", "--fault", "gprs-loss chance=2"], "--fault gprs-loss, field chance"),
        (["migrate", "--fault", ""], "it names no fault"),
        (["migrate", "--estate", "demo-street", "--fault", "gprs-loss installation=16"], "no installation 16"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    heard = capsys.readouterr()
    assert caught.value.code == 2
    assert told in heard.err
    assert heard.err.count("\n") == 1
    assert heard.out == ""


def test_a_migration_under_faults_tells_how_often_they_struck() -> None:
    arguments = ["migrate", "--estate", "demo-street", "--workers", "1", "--seed", "2"]
    faults = ["--fault", "sms-lost times=1", "--fault", "gprs-split chance=0.1 gap_ms=50"]
    found = json.loads(run(*arguments, "--json", *faults))
    assert [(each["fault"], each["settings"]) for each in found["faults"]] == [
        ("sms-lost", {"times": 1}),
        ("gprs-split", {"chance": 0.1, "gap_ms": 50}),
    ]
    assert all(each["fired"] > 5 for each in found["faults"])
    assert "faults" not in json.loads(run(*arguments, "--json"))
    assert "sms-lost times=1" in run(*arguments, *faults)


def test_a_fault_that_never_struck_is_told_and_is_a_failure() -> None:
    """The others' are not told as quiet."""
    done = CliRunner().invoke(
        group,
        ["migrate", "--estate", "demo-street", "--workers", "1", "--json", "--fault", "sms-lost times=1"]
        + ["--fault", "link-outage after_s=9000000"],
    )
    assert done.exit_code == 1
    assert done.stderr == "smets1: asked for and never fired: link-outage after_s=9000000.0\n"
