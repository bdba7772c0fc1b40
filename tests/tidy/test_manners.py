"""Types, lint and the manners of the tree, tested like anything else."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = {"emulator", "devices", "native", "fixtures", "tests", "bench", "pyproject.toml", "README.md", "LICENSE"}
MADE_BY_TOOLS = {"build", "dist"}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def test_ruff_is_content() -> None:
    """No lint anywhere."""
    pytest.importorskip("ruff")
    done = run(sys.executable, "-m", "ruff", "check", ".")
    assert done.returncode == 0, done.stdout


def test_mypy_strict_is_content() -> None:
    """`mypy --strict` over both packages."""
    pytest.importorskip("mypy")
    done = run(sys.executable, "-m", "mypy")
    assert done.returncode == 0, done.stdout


def test_nothing_else_stands_at_the_top() -> None:
    """Only the rooms named in the design stand beside dot-files and the licence."""
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert names - TOP - MADE_BY_TOOLS - {name for name in names if name.endswith(".egg-info")} == set()


def test_tests_are_no_packages() -> None:
    """Tests are collected by path: an `__init__.py` among them would shadow the packages they test."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
