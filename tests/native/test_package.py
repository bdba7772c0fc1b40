"""What is installed: fixtures found by name, and one wheel that holds every package, every fixture and the core."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from emulator import resources
from emulator.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def test_fixtures_are_found_by_name() -> None:
    """A listed name can be read; the list is sorted and obeys the suffix."""
    names = resources.list_fixtures("profiles", ".toml")
    assert names == sorted(names)
    assert names
    for name in names:
        assert name.endswith(".toml")
        assert resources.fixture(name).read_bytes()
    assert resources.list_fixtures("profiles", ".nothing") == []


@pytest.mark.parametrize(
    "name", ["profiles/no_such_model.toml", "nowhere", "../pyproject.toml", "profiles/../../README.md"]
)
def test_a_name_that_is_no_fixture_is_refused_by_name(name) -> None:
    """The message holds the name; nothing outside the folder is reached."""
    with pytest.raises(InputError, match="no fixture"):
        resources.fixture(name)


@pytest.mark.slow
def test_the_wheel_holds_everything(tmp_path) -> None:
    """Built from a clean copy: one abi3 wheel, with all packages and fixtures of the tree and nothing of its tests."""
    setuptools = pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    keep_out = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info")
    for name in ("emulator", "devices", "fixtures", "native"):
        shutil.copytree(ROOT / name, source / name, ignore=keep_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path, source],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (setuptools.__version__, done.stderr)
    (wheel,) = tmp_path.glob("*.whl")
    assert "-cp311-abi3-" in wheel.name
    held = set(ZipFile(wheel).namelist())
    if shutil.which("gcc"):
        assert "emulator/_native.abi3.so" in held
    wanted = {
        path.relative_to(source).as_posix()
        for folder in ("emulator", "devices")
        for path in (source / folder).rglob("*")
        if path.suffix in (".py", ".pyi", ".typed", ".c") or path.parent.name == "static"
    } | {
        f"emulator/{path.relative_to(source).as_posix()}" for path in (source / "fixtures").rglob("*") if path.is_file()
    }
    pictures = {name for name in wanted if name.startswith("emulator/fixtures/pictures/")}
    assert wanted - pictures - held == set()
    assert pictures
    assert not pictures & held, "pictures are for the README; a wheel does without"
    assert {name.split("/")[0] for name in held if ".dist-info/" not in name} == {"emulator", "devices"}
