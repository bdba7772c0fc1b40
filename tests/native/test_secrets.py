"""No time and no address depends on a secret, no byte outside a buffer is touched: secrets.c, watched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIERS = ("portable", "aesni", "avx2", "vaes")
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
        pytest.skip("this CPU (or valgrind, which knows no AVX-512) has not every tier")
    return done


@pytest.fixture(scope="module", params=["-O2", "-O3"])
def marked(request, tmp_path_factory) -> tuple[object, ...]:
    """The program with its secrets marked undefined, under valgrind."""
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind here")
    program = built(tmp_path_factory.mktemp("marked"), request.param, "-g", "-DSM_CHECK_SECRETS")
    return "valgrind", "--quiet", "--error-exitcode=9", program


@pytest.mark.parametrize("tier", TIERS)
def test_nothing_depends_on_a_secret(marked, tier) -> None:
    """Valgrind reports a branch or an address made from undefined bytes; keys and texts are undefined."""
    done = watched(*marked, tier)
    assert done.returncode == 0, done.stderr[:4000]


def test_a_branch_on_a_key_is_reported(marked) -> None:
    """The watchman is awake."""
    assert watched(*marked, "portable", "leak").returncode == 9


@pytest.fixture(scope="module")
def fenced(tmp_path_factory) -> Path:
    return built(
        tmp_path_factory.mktemp("fenced"),
        "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer",
    )  # fmt: skip


@pytest.mark.parametrize("tier", TIERS)
def test_nothing_outside_a_buffer_is_touched(fenced, tier) -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer over the same calls, every buffer exactly as long as allowed."""
    done = watched(fenced, tier, ASAN_OPTIONS="detect_leaks=0")
    assert done.returncode == 0, done.stderr[:4000]
