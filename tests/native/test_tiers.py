"""Every tier gives published values and the portable tier's bytes: tiers.c, run here and, for AArch64, under qemu."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wno-sign-conversion"]
ABSENT = 77


def missing(*tools: str) -> None:
    """Skip where one is not here, with its name; where strangers are required, fail."""
    for tool in tools:
        if shutil.which(tool) is None:
            assert os.environ.get("SMETS1_REQUIRE_STRANGERS") != "1", f"{tool} is required and not installed"
            pytest.skip(f"no {tool} here")


def built(folder: Path, compiler: str, *flags: str) -> Path:
    target = folder / "tiers"
    sources = [ROOT / "tests" / "native" / "tiers.c", *sorted((ROOT / "native" / "src").glob("*.c"))]
    command = [compiler, *FLAGS, *flags, f"-I{ROOT / 'native' / 'include'}", "-o", target, *sources]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    return target


def passed(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    if done.returncode == ABSENT:
        pytest.skip(f"this CPU has not what {command[-1]} needs")
    assert done.returncode == 0, done.stderr[:4000]
    assert int(done.stdout.split()[1]) > 10_000


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    missing("gcc")
    return built(tmp_path_factory.mktemp("tiers"), "gcc")


@pytest.mark.parametrize("tier", ["portable", "aesni", "avx2", "vaes"])
def test_a_tier_of_this_machine(program, tier) -> None:
    """Lanes are compared here with the path of one message at a time, since the portable tier has no other."""
    if tier != "portable" and platform.machine() != "x86_64":
        pytest.skip("another kind of CPU")
    passed(program, tier)


@pytest.mark.stranger
@pytest.mark.parametrize("tier", ["aarch64", "portable"])
def test_a_tier_of_aarch64(tmp_path, tier) -> None:
    """The same program for the other architecture; qemu-user says whether it is right, not how fast."""
    if platform.machine() == "aarch64":
        missing("gcc")
        passed(built(tmp_path, "gcc"), tier)
        return
    missing("aarch64-linux-gnu-gcc", "qemu-aarch64")
    passed("qemu-aarch64", built(tmp_path, "aarch64-linux-gnu-gcc", "-static"), tier)


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["portable", "avx2"])
def test_threads_do_not_race(tmp_path, tier) -> None:
    """threads.c under ThreadSanitizer: two seal and open, a third changes keys; nothing is touched by two at once."""
    missing("gcc")
    target = tmp_path / "threads"
    sources = [ROOT / "tests" / "native" / "threads.c", *sorted((ROOT / "native" / "src").glob("*.c"))]
    flags = ["-std=c11", "-O1", "-g", "-fsanitize=thread", f"-I{ROOT / 'native' / 'include'}"]
    done = subprocess.run(["gcc", *flags, "-o", target, *sources, "-lpthread"], capture_output=True, text=True)
    if "tsan" in done.stderr:
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stderr[:4000]
    done = subprocess.run([target, tier], capture_output=True, text=True, timeout=300)
    if done.returncode == ABSENT or "unexpected memory mapping" in done.stderr:
        pytest.skip(done.stderr or f"this CPU has not what {tier} needs")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[:4000]
