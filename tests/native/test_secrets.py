"""No time and no address depends on a secret, no byte outside a buffer is touched: secrets.c, watched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIERS = ("portable", "aesni", "avx2")
pytestmark = pytest.mark.slow


def built(folder: Path, *flags: str) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here")
    target = folder / "secrets"
    sources = sorted(str(path) for path in (ROOT / "native" / "src").glob("*.c"))
    command = ["gcc", "-std=c11", *flags, f"-I{ROOT / 'native' / 'include'}", "-o", target]
    done = subprocess.run([*command, ROOT / "tests" / "native" / "secrets.c", *sources], capture_output=True, text=True)
    if "valgrind/memcheck.h" in done.stderr or "cannot find -lasan" in done.stderr:
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stderr
    return target


def watched(*command: object, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | settings
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
    if "sm_select" in done.stderr:
        pytest.skip("this CPU has not every tier")
    return done


@pytest.mark.parametrize("level", ["-O2", "-O3"])
def test_nothing_depends_on_a_secret(tmp_path, level) -> None:
    """Valgrind reports a branch or an address made from undefined bytes; keys and texts are undefined."""
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind here")
    program = built(tmp_path, level, "-g", "-DSM_CHECK_SECRETS")
    valgrind = ("valgrind", "--quiet", "--error-exitcode=9", program)
    for tier in TIERS:
        done = watched(*valgrind, tier)
        assert done.returncode == 0, done.stderr[:4000]
    assert watched(*valgrind, "portable", "leak").returncode == 9


def test_nothing_outside_a_buffer_is_touched(tmp_path) -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer over the same calls, every buffer exactly as long as allowed."""
    program = built(
        tmp_path, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"
    )
    for tier in TIERS:
        done = watched(program, tier, ASAN_OPTIONS="detect_leaks=0")
        assert done.returncode == 0, done.stderr[:4000]
