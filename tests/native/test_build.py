"""The C core's house rules: committed is what the sources make, nothing is forgotten, two compilers are content."""

import importlib.util
import re
import resource
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wno-sign-conversion"]


def build_script():
    """native/build.py as a module."""
    spec = importlib.util.spec_from_file_location("native_build", NATIVE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def extension() -> dict[str, list[str]]:
    (only,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    return only


def after_cffis_own(text: str) -> str:
    """What follows the headers that cffi copies in whole: the part our declarations decide."""
    return text[text.index('#include "sm_api.h"') :]


def test_generated_file_is_fresh(capsys) -> None:
    """native/_native.c is what native/build.py writes from sm_api.h; byte for byte under the same cffi."""
    fresh, committed = build_script().generated(), (NATIVE / "_native.c").read_text()
    if fresh.splitlines()[0] == committed.splitlines()[0]:
        assert fresh == committed
    else:
        declared = re.compile(r"\bsm_\w+\b")
        assert set(declared.findall(after_cffis_own(fresh))) == set(declared.findall(after_cffis_own(committed)))


def test_the_build_names_every_source_and_header() -> None:
    """A file forgotten here would be missing from the sdist, or not trigger a rebuild."""
    only = extension()
    sources = {"native/_native.c", *(f"native/src/{path.name}" for path in (NATIVE / "src").glob("*.c"))}
    headers = {f"native/include/{path.name}" for path in (NATIVE / "include").glob("*.h")}
    assert set(only["sources"]) == sources
    assert set(only["depends"]) == headers


def test_the_stub_names_every_call_and_its_arguments() -> None:
    """emulator/_native.pyi has the calls of sm_api.h with as many arguments."""
    declared = {
        name: 0 if arguments.strip() == "void" else arguments.count(",") + 1
        for name, arguments in re.findall(r"\b(sm_\w+)\(([^)]*)\);", build_script().declarations())
    }
    stub = {
        name: len([word for word in arguments.split(",") if word.strip()]) - 1
        for name, arguments in re.findall(
            r"def (sm_\w+)\(([^)]*)\)", (ROOT / "emulator" / "_native.pyi").read_text(), re.DOTALL
        )
    }
    assert stub == declared
    assert len(stub) > 25


def compiled(compiler: str, folder: Path) -> list[Path]:
    """Object files of every source, warnings being errors."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    sources = sorted(str(path) for path in (NATIVE / "src").glob("*.c"))
    command = [compiler, *STRICT, "-O1", "-fno-pie", "-c", f"-I{NATIVE / 'include'}", *sources]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return sorted(folder.glob("*.o"))


def test_clang_has_nothing_to_say(tmp_path) -> None:
    """Conversions and shadowing among the warnings."""
    assert compiled("clang", tmp_path)


def test_gcc_has_nothing_to_say_and_sees_no_writable_global(tmp_path) -> None:
    """Nothing global but the dispatch choice: the one symbol in a writable section is that pointer."""
    objects = compiled("gcc", tmp_path)
    if shutil.which("nm") is None:
        pytest.skip("no nm here")
    done = subprocess.run(["nm", *objects], capture_output=True, text=True, check=True)
    assert set(re.findall(r" [bBdDC] (\w+)", done.stdout)) == {"chosen"}


def test_the_core_is_small_and_soon_built(tmp_path) -> None:
    """As it is shipped: at most 120 kB of code with cffi's part. The budget is 10 s of a quiet processor (it takes 5);
    three times that is too much on any."""
    if shutil.which("gcc") is None or shutil.which("size") is None:
        pytest.skip("no gcc or no size here")
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        pytest.skip("no Python.h here")
    flags = [flag for flag in extension()["extra-compile-args"] if flag != "-g0"]
    sources = [ROOT / source for source in extension()["sources"]]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        ["gcc", *flags, "-fPIC", "-DPy_LIMITED_API=0x030b0000", f"-I{headers}", f"-I{NATIVE / 'include'}", "-c",
         *sources], cwd=tmp_path, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(["size", "-A", *tmp_path.glob("*.o")], capture_output=True, text=True, check=True)
    assert 60_000 < sum(int(size) for size in re.findall(r"^\.text\S*\s+(\d+)", done.stdout, re.MULTILINE)) <= 120_000
    assert after.ru_utime - before.ru_utime <= 30
