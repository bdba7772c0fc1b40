"""Which core is chosen, what is said about it, and when a missing one is an error. Each case in a fresh interpreter."""

import os
import subprocess
import sys

import pytest

ASK = "from emulator.crypto import backend; print(backend()); import emulator.crypto.keys, emulator.crypto.gcm"
WITHOUT = "import sys; sys.modules['emulator._native'] = None; " + ASK
SETTINGS = ("SMETS1_BACKEND", "SMETS1_REQUIRE_NATIVE", "SMETS1_NATIVE_TIER")


def run(program: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment | settings, capture_output=True, text=True, timeout=60
    )


def test_without_the_compiled_core_it_works_and_says_so_once() -> None:
    """One line on stderr that names the cure; the answers come from `cryptography`."""
    done = run(WITHOUT)
    assert done.returncode == 0
    assert done.stdout == "cryptography\n"
    assert len(done.stderr.splitlines()) == 1
    assert "compiler" in done.stderr


def test_workers_do_not_repeat_it() -> None:
    """The first process has said it."""
    program = (
        "import multiprocessing, sys; sys.modules['emulator._native'] = None; "
        "multiprocessing.current_process().name = 'SpawnProcess-1'; "
        "import emulator.crypto.choice as c; print(c.backend())"
    )
    done = run(program)
    assert (done.stdout, done.stderr) == ("cryptography\n", "")


def test_where_it_is_required_a_missing_core_is_an_error() -> None:
    """A machine meant to have the core does not quietly test the other one."""
    for settings in ({"SMETS1_REQUIRE_NATIVE": "1"}, {"SMETS1_BACKEND": "native"}):
        done = run(WITHOUT, **settings)
        assert done.returncode == 1
        assert "InputError: the compiled crypto core is missing" in done.stderr
    assert run(WITHOUT, SMETS1_REQUIRE_NATIVE="0").returncode == 0


def test_the_fallback_can_be_asked_for() -> None:
    """Silently: who asks knows."""
    done = run(ASK, SMETS1_BACKEND="cryptography", SMETS1_REQUIRE_NATIVE="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "cryptography\n", "")


def test_a_core_of_other_sources_is_not_used() -> None:
    """An extension left over from before an update answers to another number."""
    program = (
        "import sys, types; stale = types.ModuleType('emulator._native'); "
        "stale.lib = types.SimpleNamespace(sm_interface=lambda: 0); sys.modules['emulator._native'] = stale; " + ASK
    )
    done = run(program)
    assert done.stdout == "cryptography\n"
    assert "other sources" in done.stderr


def test_nonsense_is_refused_by_name() -> None:
    """The message holds the variable and what it can be."""
    done = run(ASK, SMETS1_BACKEND="openssl")
    assert done.returncode == 1
    assert "SMETS1_BACKEND is 'openssl'; it can be 'native' or 'cryptography'" in done.stderr


@pytest.mark.parametrize("tier", ["portable", "aarch64", "aesni", "avx2", "vaes"])
def test_a_tier_can_be_forced(native_core, tier) -> None:
    """So that every tier is tested on one machine."""
    program = "from emulator.crypto.native import selected; print(selected())"
    done = run(program, SMETS1_NATIVE_TIER=tier)
    if tier != "portable" and done.returncode:
        assert f"SMETS1_NATIVE_TIER is {tier!r}" in done.stderr
        pytest.skip(f"this CPU has not what {tier} needs")
    assert done.stdout == f"{tier}\n"
    done = run(program, SMETS1_NATIVE_TIER="sse2")
    assert done.returncode == 1
    assert "SMETS1_NATIVE_TIER is 'sse2'" in done.stderr
