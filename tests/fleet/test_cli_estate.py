"""`smets1 estate` from the shell's side: output, files, exit codes, and never a traceback or a key."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from emulator.cli import group, main
from emulator.fleet.estate import names, open_estate
from emulator.kernel.machine import Party


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(group, ["estate", *arguments])
    assert result.exit_code == 0, result.output
    return result


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one message on stderr of a run that ends with exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(["estate", *arguments])
    assert caught.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err
    return told.err


@pytest.mark.parametrize("name", names())
def test_the_shipped_estates_validate(name: str) -> None:
    """Each is sound, and its size is told."""
    assert f"{name}: sound; " in run("validate", name).output


def test_the_sample_list_is_accepted(tmp_path: Path) -> None:
    """What example-csv prints, import takes, show shows and validate finds sound."""
    file = tmp_path / "My homes.csv"
    file.write_text(run("example-csv", "--homes", "16").output)
    said = run("import", str(file)).output
    estate = tmp_path / "My homes.jsonl"
    assert "16 homes (12 active, 4 dormant) in 1 cell" in said
    assert "1 device without a master key" in said
    assert stat.S_IMODE(estate.stat().st_mode) == 0o600
    assert "sound" in run("validate", str(estate)).output
    body = json.loads(run("show", str(estate), "--json").output)
    assert body["name"] == "my-homes"
    assert body["conditions"]["MF10:counter"] == 1


def test_import_replaces_nothing_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An estate file that is there stays, unless --force is given."""
    file, out = tmp_path / "a.csv", tmp_path / "a.jsonl"
    file.write_text(run("example-csv").output)
    out.write_text("precious")
    assert "--force" in refused(capsys, "import", str(file))
    assert out.read_text() == "precious"
    run("import", str(file), "--force")
    assert open_estate(str(out)).installations == 4


def test_mistakes_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad row: exit code 2, told by line, and no estate file."""
    file = tmp_path / "a.csv"
    file.write_text(run("example-csv").output.replace(",yes,", ",perhaps,", 1))
    assert "line 2, active: 'perhaps'; write yes or no" in refused(capsys, "import", str(file))
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output folder does not exist: one message."""
    file = tmp_path / "a.csv"
    file.write_text(run("example-csv").output)
    assert "can be written" in refused(capsys, "import", str(file), "--out", str(tmp_path / "no" / "a.jsonl"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nowhere"),
        ("show", "nowhere.toml"),
        ("validate",),
        ("validate", "nowhere"),
        ("import", "nowhere.csv"),
        ("show", "demo-street", "--installation", "16"),
        ("show", "demo-street", "--installation", "x"),
        ("import", "x.csv", "--name", "Not A Name"),
        ("example-csv", "--estate", "nowhere"),
    ],
)
def test_bad_arguments_are_one_message(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """What, where and what to do; exit code 2."""
    assert refused(capsys, *arguments).count("\n") == 1


def test_an_open_list_is_remarked_upon(tmp_path: Path) -> None:
    """Keys that others may read are worth a word."""
    file = tmp_path / "a.csv"
    file.write_text(run("example-csv").output)
    run("import", str(file))
    (tmp_path / "a.jsonl").chmod(0o644)
    assert "chmod 600" in run("validate", str(tmp_path / "a.jsonl")).stderr


def test_the_schema_is_printed() -> None:
    """JSON on stdout, without naming an estate."""
    assert "$defs" in json.loads(run("validate", "--schema").output)


def test_summary_in_json_and_in_lines() -> None:
    """Both say the same; every failure family is counted."""
    body = json.loads(run("show", "thousand", "--installations", "200", "--seed", "9", "--json").output)
    assert (body["installations"], body["seed"], body["cells"]) == (200, 9, 1)
    assert {cause.split(":")[0] for cause in body["conditions"]} == {"MF1", "MF2", "MF3", "MF5", "MF9", "MF10"}
    assert sum(body["combinations"].values()) == 200
    lines = run("show", "thousand", "--installations", "200", "--seed", "9").output
    assert all(cause in lines for cause in body["conditions"])


def test_no_key_is_ever_shown() -> None:
    """One home in full: which keys the record holds is said, no key is."""
    estate = open_estate("demo-street")
    home = estate.installation(2)
    for arguments in (("--json",), ()):
        said = run("show", "demo-street", "--installation", "2", *arguments).output.lower()
        assert home.mpan in said
        for kind in (Party.HUB, Party.ELECTRICITY, Party.GAS):
            keys = estate.keys(home, kind)
            assert keys.kek is not None
            assert all(key.hex() not in said for key in (keys.ek, keys.ak, keys.kek))
    body = json.loads(run("show", "demo-street", "--installation", "2", "--json").output)
    assert body["condition"] == "MF1:no-master-key (electricity)"
    assert [each["keys"] for each in body["record"]["devices"]] == ["EK AK KEK", "EK AK", "EK AK KEK", "none"]
