"""The README does not rot: its commands run, its Python runs, and its first block is what it says."""

import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest
from click.testing import CliRunner

from emulator.cli import VERBS, group
from emulator.scenario.playground import Playground

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
FEW = "3"
ENDS = {"migrate", "estate", "decode", "faults", "diagnose", "scenario", "golden", "auxiliary"}
"""Verbs that come to an end by themselves; of any other only the options are looked up."""


def blocks(language: str) -> list[str]:
    """All fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Every `smets1 ...` of the shell blocks as words, comments and other commands left out; `>` stays a word."""
    found = []
    for block in blocks("sh"):
        for line in block.splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                if words and Path(words[0]).name == "smets1":
                    found.append(words[1:])
    return found


def small(words: list[str]) -> list[str]:
    """The same command, on a few homes and one worker."""
    if words[0] != "migrate":
        return words
    kept = list(words)
    if "--installations" in kept:
        kept[kept.index("--installations") + 1] = FEW
    else:
        kept += ["--installations", FEW]
    return [*kept, "--workers", "1"]


def test_the_first_block_is_two_commands_one_a_line() -> None:
    """The first makes its environment, installs and migrates the thousand; the second makes its own and tests."""
    first, second = blocks("sh")[0].strip().splitlines()
    for line in (first, second):
        assert re.match(r"python3 -m venv (\.\S+) && \1/bin/pip install -q ", line), line
        assert subprocess.run(["bash", "-n", "-c", line], check=False).returncode == 0
    assert first.endswith("/bin/smets1 migrate --estate thousand")
    assert second.endswith("/bin/python -m pytest -q")
    assert ".[test]" in second


def test_every_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the README's order and in an empty folder, as one may make what the next one reads; migrations made small."""
    monkeypatch.chdir(tmp_path)
    every = commands()
    assert len(every) >= 7
    assert {words[0] for words in every if not words[0].startswith("-")} <= set(VERBS)
    for words in every:
        target = None
        if ">" in words:
            at = words.index(">")
            target, words = Path(words[at + 1]), words[:at]
        if words[0] not in ENDS and words[:2] != ["link", "picture"]:
            path = takewhile(lambda word: not word.startswith("-"), words[:2])
            help_text = CliRunner().invoke(group, [*path, "--help"]).stdout
            assert all(word.partition("=")[0] in help_text for word in words if word.startswith("--")), words
            continue
        done = CliRunner().invoke(group, small(words))
        assert done.exit_code == 0, (words, done.output)
        assert done.stdout.strip() or "--out" in words, words
        if target is not None:
            target.write_text(done.stdout, "utf-8")
        for option in ("--pcap", "--journal", "--out"):
            if option in words:
                assert (tmp_path / words[words.index(option) + 1]).is_file(), (words, option)


def test_verbs_named_in_the_text_exist() -> None:
    """Whatever follows `smets1` in backticks is a verb or an option of it."""
    for verb in re.findall(r"`smets1 ([a-z-]+)", README):
        assert verb in {*VERBS, "--help"}, verb
    assert "`migrate`" in README


def test_the_python_example_passes_as_it_stands(pytester: pytest.Pytester) -> None:
    """Copied into a file of one's own, it is a test that passes."""
    examples = [block for block in blocks("python") if "def test_" in block]
    assert examples
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers\n")
    for number, example in enumerate(examples):
        pytester.makepyfile(**{f"test_example_{number}": example})
    pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider").assert_outcomes(
        passed=sum(example.count("def test_") for example in examples)
    )


def test_what_is_said_of_the_fixtures_holds() -> None:
    """The estates that the text makes are made like that."""
    made = re.findall(r'`smets1_estate\("([a-z0-9-]+)"(?:, installations=(\d+))?\)`', README)
    assert made
    for name, installations in made:
        world = Playground(name, installations=int(installations) if installations else None)
        assert not installations or world.estate.installations == int(installations)


@pytest.mark.parametrize("script", sorted(set(re.findall(r"python (bench/\S+\.py)", README))))
def test_the_benchmarks_named_are_there(script: str) -> None:
    """Each is a file that knows its own options."""
    done = subprocess.run(
        [sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout


def test_paths_named_in_the_text_exist() -> None:
    """Folders and files of the tree that the README points to."""
    for path in re.findall(r"`((?:fixtures|bench|devices|emulator|tests|native)/[\w./-]+)`", README):
        assert (ROOT / path).exists(), path
