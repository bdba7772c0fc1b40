"""`smets1 scenario`: what it prints and how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from emulator.cli import main
from emulator.cli.scenario import command
from emulator.errors import InputError
from emulator.scenario import reading

NEVER = str(Path(__file__).parent / "fault-never-fired.toml")
SMALL = 'name = "small"\n[estate]\nsource = "demo-street"\nonly = [0]\n'


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


@pytest.fixture
def small(tmp_path: Path) -> str:
    file = tmp_path / "small.toml"
    file.write_text(SMALL, "utf-8")
    return str(file)


def test_list_names_every_scenario_with_its_title() -> None:
    lines = cli("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == reading.names()
    assert all(len(line.split()) > 2 for line in lines)
    assert {each["name"] for each in json.loads(cli("list", "--json").stdout)} == set(reading.names())


def test_validate_says_what_a_scenario_holds() -> None:
    found = cli("validate", "master-key-lost")
    assert found.exit_code == 0
    assert "master-key-lost: sound; 24 homes of thousand" in found.stdout
    assert "healing" in json.loads(cli("validate", "--schema").stdout)["$defs"]["Scenario"]["properties"]


def test_a_run_prints_seed_and_digest_and_ends_well(small: str) -> None:
    found = cli("run", small, "--seed", "5", "--workers", "1")
    assert found.exit_code == 0, found.output
    assert "small, seed 5: passed; 1 migrated" in found.stdout
    assert len(found.stdout.split("digest ")[1].split()[0]) == 64


def test_a_run_under_many_seeds(small: str) -> None:
    found = cli("run", small, "--seeds", "1-3,7", "--workers", "1")
    assert found.exit_code == 0
    assert "4 of 4 seeds passed" in found.stdout
    runs = [json.loads(line) for line in cli("run", small, "--seeds", "1-2", "--json").stdout.splitlines()]
    assert [run["seed"] for run in runs] == [1, 2]
    assert runs[0]["digest"] != runs[1]["digest"]


def test_a_check_that_fails_ends_with_1() -> None:
    found = cli("run", NEVER, "--workers", "1")
    assert found.exit_code == 1
    assert "FAILED the fault half-applied-keys was asked for and never struck" in found.stdout
    assert "fault half-applied-keys: struck 0 times" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "claen"], "did you mean 'clean'?"),
        (["run", "clean", "--seeds", "3-1"], "no range"),
        (["run", "clean", "--seeds", "x"], "write 1-20"),
        (["run", "clean", "--seed", "1", "--seeds", "1-2"], "give one of the two"),
        (["run", "clean", "--journal", "/nowhere/j.jsonl"], "its folder does not exist"),
        (["run", "clean", "--live", "--journal", "j"], "only for one run in virtual time"),
        (["validate"], "name a scenario or a file"),
        (["shrink", "warm-evening", "--workers", "1"], "it does not fail under seed 1"),
    ],
)
def test_what_is_wrong_ends_with_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["scenario", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_bad_file_ends_with_2_and_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(SMALL + "\n[[faults]]\nfault = 'gprs-los'\n", "utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["scenario", "run", str(file)])
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert "bad.toml" in text
    assert "faults[0]" in text
    assert "Traceback" not in text


def test_the_journal_is_written(small: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    assert cli("run", small, "--workers", "1", "--journal", str(journal)).exit_code == 0
    kinds = {json.loads(line)["kind"] for line in journal.read_text("utf-8").splitlines()}
    assert "takeover.ended" in kinds


def test_a_capture_is_written_and_changes_nothing(tmp_path: Path) -> None:
    """Of a scenario in which a gateway dies: the run is the one without it, and only a run with packets has one."""
    name, file = "six-seconds-peer-death", tmp_path / "run.pcapng"
    without, found = (cli("run", name, "--workers", "1", *more) for more in ((), ("--pcap", str(file))))
    assert found.exit_code == 0, found.output
    assert "packets in" in found.stderr
    assert without.stdout == found.stdout
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run.pcapng", "run.pcapng.keys"]
    tables = (tmp_path / "run.pcapng.keys" / "ikev2_decryption_table").read_text("utf-8").splitlines()
    assert len(tables) >= 2
    piped = tmp_path / "piped.toml"
    piped.write_text(SMALL + "\n[link.core]\nfidelity = 'pipe'\n", "utf-8")
    refused = cli("run", str(piped), "--pcap", str(file))
    assert isinstance(refused.exception, InputError)
    assert "no packets to capture" in str(refused.exception)


def test_shrink_writes_a_scenario_and_a_test(tmp_path: Path) -> None:
    out, test = tmp_path / "small.toml", tmp_path / "test_small.py"
    found = cli("shrink", NEVER, "--workers", "1", "--out", str(out), "--pytest", str(test))
    assert found.exit_code == 0, found.output
    assert "run 1:" in found.stderr
    assert "# Shrunk from 3 homes" in out.read_text("utf-8")
    assert cli("run", str(out), "--workers", "1").exit_code == 1
    compile(test.read_text("utf-8"), "test_small.py", "exec")
