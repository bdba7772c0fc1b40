"""`smets1 migrate` from the shell's side: what it prints, what it writes, how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from emulator.cli import DEBUG_VARIABLE, group, main
from emulator.dcc.verdict import CAUSES
from emulator.errors import UsageError
from emulator.fleet import shards
from emulator.resources import fixture

KEYS = {
    "seed", "digest", "link_digest", "installations", "migrated", "failed", "unrecoverable", "by_cause", "retried",
    "exchanges", "logged_exchanges", "link", "audited", "agrees", "days", "virtual_s", "elapsed_s", "peak_rss_bytes",
    "events", "bytes_per_sleeping_installation", "auxiliary", "rates", "migration_s", "migration_exchanges",
}  # fmt: skip
ASKED = {
    "seed", "digest", "installations", "migrated", "failed", "unrecoverable", "by_cause", "exchanges", "audited",
    "virtual_s", "elapsed_s", "peak_rss_bytes",
}  # fmt: skip


def shell(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from emulator.cli import main; main()", *arguments],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def here(*arguments: str) -> dict[str, Any]:
    """A run in this process that ends well, as its JSON."""
    done = CliRunner().invoke(group, ["migrate", "--workers", "1", "--json", *arguments])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one message of a run that ends with exit code 2 and has printed nothing else."""
    with pytest.raises(SystemExit) as caught:
        main(["migrate", "--workers", "1", *arguments])
    told = capsys.readouterr()
    assert caught.value.code == 2, told
    assert told.out == ""
    assert "Traceback" not in told.err
    return told.err


# Bad input


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--estate", "nowhere"], "no estate is called 'nowhere'; name a file, or one of"),
        (["--estate", "./nowhere.toml"], "./nowhere.toml: no such file"),
        (["--estate", "."], ".: no such file"),
        (["--estate", ""], "no such file"),
        (["--installations", "0"], "0 is not in the range"),
        (["--installations", "-3"], "-3 is not in the range"),
        (["--installations", "many"], "'many' is not a valid integer"),
        (["--installations", "99999999999"], "give 1 to 10,000,000"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--seed", str(1 << 63)], "is not in the range"),
        (["--workers", "0"], "0 is not in the range"),
        (["--workers", "257"], "257 is not in the range"),
        (["--link", "carrier-pigeon"], "is not one of 'plain', 'ipsec', 'mpls'"),
        (["--journal", "/nowhere/at/all.jsonl"], "its folder does not exist; make it first"),
        (["--pcap", "/nowhere/at/all.pcapng"], "its folder does not exist; make it first"),
        (["--journal", ""], "not an ordinary file"),
        (["--journal", "."], "is a directory"),
        (["--journal", "/proc/journal.jsonl"], "name a file that can be written"),
        (["--pcap", "/proc/run.pcapng"], "name a file that can be written"),
        (["stray"], "unexpected extra argument"),
        (["--colour"], "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_one_message(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    """It says what is wrong and what to do, before anything runs; exit code 2."""
    if "/proc/" in " ".join(arguments) and not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    message = refused(capsys, *arguments)
    assert told in message
    assert "estate thousand" not in message  # nothing was begun


@pytest.mark.parametrize("option", ["--journal", "--pcap"])
def test_what_is_no_ordinary_file_is_not_replaced_by_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str
) -> None:
    """A pipe or a device of that name is left alone, and the message says so."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "is not an ordinary file; name one that is" in refused(capsys, option, str(pipe))
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name = [", "not TOML"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"", "missing required field"),
        (b'name = "x"\nseed = "one"\n', "estate.toml: "),
        (b"x = " + b"[" * 5_000, "not TOML"),
    ],
)
def test_a_bad_estate_file_is_one_message(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, told: str
) -> None:
    """The file is named, and its mistake."""
    file = tmp_path / "estate.toml"
    file.write_bytes(content)
    message = refused(capsys, "--estate", str(file))
    assert "estate.toml" in message
    assert told in message
    assert message.count("\n") == 1


def test_a_fault_of_ours_is_one_line_and_a_trace_for_who_asks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 70, the kind of fault, and how to see more; 1 for the project's own errors and for a full disk."""
    from emulator.dcc import campaign

    def fail(error: Exception) -> Any:
        def run(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(campaign, "run", run)
        with pytest.raises(SystemExit) as caught:
            main(["migrate", "--estate", "demo-street", "--json"])
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1
        return caught.value.code, told.err

    assert fail(ZeroDivisionError("oh")) == (
        70, "smets1: a fault of ours: ZeroDivisionError: oh (set SMETS1_TRACEBACK=1 to see where)\n",
    )  # fmt: skip
    assert fail(UsageError("the campaign has no end")) == (1, "smets1: the campaign has no end\n")
    assert fail(shards.WorkerError("worker 1 died")) == (1, "smets1: worker 1 died\n")
    assert fail(OSError(28, "No space left on device")) == (1, "smets1: [Errno 28] No space left on device\n")
    assert shards.DEBUG_VARIABLE == DEBUG_VARIABLE
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError("oh"))


# A good run


@pytest.fixture(scope="module")
def street() -> dict[str, Any]:
    return here("--estate", "demo-street")


def test_what_a_standing_check_finds_makes_the_exit_code_1() -> None:
    """A keeper that loses what it acknowledged: told on stderr, and as findings."""
    lost = ("--estate", "demo-street", "--check", "--fault", "dco-forgets installation=6 device=gas keys=master")
    told = shell("migrate", *lost, "--json")
    assert told.returncode == 1
    findings = json.loads(told.stdout)["findings"]
    assert [(each["check"], each["installation"], each["device"]) for each in findings] == [
        ("no-key-lost-by-acknowledging-keeper", 6, "gas")
    ]
    assert "installation 6 gas: dco lost generation" in told.stderr
    assert shell("migrate", "--estate", "demo-street", "--check", "--json").returncode == 0


def test_rates_come_with_their_intervals(street: dict[str, Any]) -> None:
    failure = street["rates"]["failure"]
    assert failure["count"] == street["failed"] + street["unrecoverable"]
    assert failure["of"] == street["installations"]
    assert 0 < failure["low"] < failure["share"] < failure["high"] < 1
    assert set(street["rates"]["by_cause"]) == set(street["by_cause"])


def test_the_json_has_exactly_its_keys(street: dict[str, Any]) -> None:
    """What a program may rely on, and that the numbers are of a piece."""
    assert set(street) == KEYS > ASKED
    assert street["seed"] == 1
    assert re.fullmatch("[0-9a-f]{64}", street["digest"])
    assert re.fullmatch("[0-9a-f]{64}", street["link_digest"])
    assert street["migrated"] + street["failed"] + street["unrecoverable"] == street["installations"] == 16
    assert street["audited"] == street["migrated"] > 0
    assert street["exchanges"] == street["logged_exchanges"] > 0
    assert street["agrees"] is True
    assert set(street["by_cause"]) < set(CAUSES)
    assert all(isinstance(count, int) and count > 0 for count in street["by_cause"].values())
    assert street["failed"] == sum(count for cause, count in street["by_cause"].items() if cause[:3] in ("MF1", "MF2",
        "MF3", "MF9"))  # fmt: skip
    assert set(street["link"]) == {"down", "up"}
    for way in street["link"].values():
        assert set(way) == {"offered", "lost", "delivered", "refused"}
        assert way["offered"] == way["lost"] + way["delivered"] + way["refused"]
    assert sum(day["started"] for day in street["days"]) == 16
    assert [day["day"] for day in street["days"]] == list(range(len(street["days"])))
    assert street["virtual_s"] >= len(street["days"]) * 86_400
    assert street["peak_rss_bytes"] > 10_000_000
    assert 0 < street["bytes_per_sleeping_installation"] <= 1_024


def test_only_the_json_is_printed() -> None:
    """Nothing else on either stream, exit code 0; the same run again has the same digest, another seed another."""
    done = shell("migrate", "--estate", "demo-street", "--json", "--workers", "1")
    assert (done.returncode, done.stderr) == (0, "")
    again = json.loads(done.stdout)
    other = here("--estate", "demo-street", "--seed", "2")
    assert again["digest"] == here("--estate", "demo-street")["digest"] != other["digest"]
    assert (again["seed"], other["seed"]) == (1, 2)


def test_the_summary_for_people_says_what_the_json_says(street: dict[str, Any]) -> None:
    """Every number, every cause with its meaning, the digest, and that the witnesses agree."""
    done = CliRunner().invoke(group, ["migrate", "--estate", "demo-street", "--workers", "1", "--profile"])
    assert done.exit_code == 0
    for cause in street["by_cause"]:
        assert re.search(rf"{re.escape(cause)} +{street['by_cause'][cause]}\b", done.output), cause
    assert f"digest {street['digest']}" in done.output
    assert re.search(rf"exchanges +{street['exchanges']:,}\b", done.output)
    assert "ledger, audit and delivery log agree" in done.output
    assert re.search(r"time: \w+ \d+%", done.output)


def test_disagreement_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each objection is a line on stderr, and the result is printed all the same."""
    from emulator.dcc import campaign

    true = campaign.run

    def run(*arguments: Any, **options: Any) -> Any:
        result = true(*arguments, **options)
        result.logged_exchanges -= 1
        return result

    monkeypatch.setattr(campaign, "run", run)
    with pytest.raises(SystemExit) as caught:
        main(["migrate", "--estate", "demo-street", "--json", "--workers", "1"])
    told = capsys.readouterr()
    assert caught.value.code == 1
    assert json.loads(told.out)["agrees"] is False
    assert re.fullmatch(r"smets1: the head end counts \d+ exchanges, the link's delivery log \d+\n", told.err)


# The journal


def test_the_journal_is_in_time_order_and_the_same_for_any_workers(tmp_path: Path) -> None:
    """JSON lines; one worker or two write the same file, byte for byte; its notes are those of the run."""
    estate = tmp_path / "sixty.toml"
    text = Path(str(fixture("estates/thousand.toml"))).read_text("utf-8")
    estate.write_text(text.replace("cell = 250", "cell = 20"), "utf-8")
    files = [tmp_path / name for name in ("one.jsonl", "two.jsonl")]
    runs = []
    for workers, file in enumerate(files, 1):
        done = shell(
            "migrate", "--estate", str(estate), "--installations", "60", "--json",
            "--workers", str(workers), "--journal", str(file),
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        runs.append(json.loads(done.stdout))
    assert runs[0]["digest"] == runs[1]["digest"]
    assert files[0].read_bytes() == files[1].read_bytes()
    lines = [json.loads(line) for line in files[0].read_text("utf-8").splitlines()]
    assert all(set(line) == {"at", "installation", "party", "kind", "detail"} for line in lines)
    times = [datetime.fromisoformat(line["at"]) for line in lines]
    assert times == sorted(times)
    assert {line["party"] for line in lines} >= {"headend", "hub", "electricity", "gas"}
    ended = [line for line in lines if line["kind"] == "takeover.ended"]
    last = {line["installation"]: line["detail"] for line in ended}
    assert sum(detail[0] == "MIGRATED" for detail in last.values()) == runs[0]["migrated"]
    assert sorted(os.listdir(tmp_path)) == ["one.jsonl", "sixty.toml", "two.jsonl"]


def test_no_key_stands_in_the_journal(tmp_path: Path) -> None:
    """Neither a handed-over key nor a part of one is anywhere in it."""
    from emulator.fleet.estate import open_estate
    from emulator.fleet.installation import KEYED

    file = tmp_path / "run.jsonl"
    here("--estate", "demo-street", "--journal", str(file))
    text = file.read_text("utf-8")
    estate = open_estate("demo-street")
    for number in range(estate.installations):
        home = estate.installation(number)
        for spec in home.devices:
            if spec.kind in KEYED:
                keys = estate.keys(home, spec.kind)
                for key in (keys.ek, keys.ak, keys.kek or b""):
                    assert key[:8].hex() not in text


# Interrupts


@pytest.mark.parametrize("to_all", [False, True], ids=["the parent alone", "the whole group"])
def test_an_interrupt_ends_the_run_at_once(tmp_path: Path, to_all: bool) -> None:
    """One line, exit code 1, nobody left behind, no half-written file."""
    run = subprocess.Popen(
        [sys.executable, "-c", "from emulator.cli import main; main()", "migrate", "--estate", "mds-cohort",
         "--installations", "20000", "--workers", "2", "--pcap", str(tmp_path / "x.pcapng"),
         "--journal", str(tmp_path / "x.jsonl")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A shell's background jobs, and so tests run as one, hand down a SIGINT that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert run.stderr is not None
    assert "20,000 installations" in run.stderr.readline()
    for _ in range(200):  # until a worker writes
        if list(tmp_path.iterdir()) or run.poll() is not None:
            break
        time.sleep(0.05)
    began = time.monotonic()
    if to_all:
        os.killpg(run.pid, signal.SIGINT)
    else:
        run.send_signal(signal.SIGINT)
    try:
        out, rest = run.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        raise
    assert time.monotonic() - began < 5
    assert (run.returncode, out, rest.strip()) == (1, "", "Aborted!")
    assert list(tmp_path.iterdir()) == []
    for _ in range(100):  # a helper of the interpreter's goes when it sees us gone
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("somebody of the run is still there")
