"""The compiled engine, as one command: `python native/compile.py [--check]`.

The hot modules of the emulator, named in compiled.toml beside this file, are compiled by mypyc; the whole of it is left
importable in .compiled/ at the top of the repository. The sources are the same and so are the digests: only the time
changes. `PYTHONPATH=.compiled` in front of a command runs it there. Nothing of this is in a wheel, which stays one for
all Pythons; who does not ask for it never meets it.

What was built carries a stamp of all that went in. With nothing changed since, this does nothing; `--check` only says
whether that is so, and ends with 1 when it is not.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from hashlib import blake2b
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / ".compiled"
LIST: Final = Path("native/compiled.toml")
PACKAGES: Final = ("emulator", "devices", "fixtures")
"""What is copied, and can be imported or read from there."""
INPUTS: Final = (*PACKAGES, "native", "pyproject.toml")
"""What a stamp is made of."""

_STAMP: Final = "stamp"
_LEVEL: Final = "2"
_MADE: Final = ("*.so", "*.o", "*.pyc", "__pycache__")


class CompileError(Exception):
    """There is no compiled engine. The text is one line, and says what to do."""


def modules(root: Path = ROOT) -> tuple[str, ...]:
    """The modules that are compiled, by their dotted names."""
    return tuple(tomllib.loads((root / LIST).read_text("utf-8"))["modules"])


def source(module: str) -> Path:
    """Where a module stands in the repository."""
    return Path(*module.split(".")).with_suffix(".py")


def stamp(root: Path = ROOT) -> str:
    """Of everything that a build is made of: sources, settings, this Python, this mypy."""
    try:
        mypy = metadata.version("mypy")
    except metadata.PackageNotFoundError:
        raise CompileError("mypy is not here; install it with: pip install '.[compile]'") from None
    total = blake2b(f"{sys.implementation.cache_tag} {sysconfig.get_platform()} mypy {mypy}\n".encode(), digest_size=16)
    for path in _inputs(root):
        content = blake2b(path.read_bytes(), digest_size=16).hexdigest()
        total.update(f"{path.relative_to(root)} {content}\n".encode())
    return total.hexdigest()


def _inputs(root: Path) -> Iterator[Path]:
    for name in INPUTS:
        place = root / name
        for path in sorted(place.rglob("*")) if place.is_dir() else (place,):
            if path.is_file() and not any(part.match(made) for made in _MADE for part in (path, path.parent)):
                yield path


def is_fresh(root: Path = ROOT, target: Path = TARGET) -> bool:
    """Whether what stands in `target` was made of the tree as it is now."""
    try:
        return (target / _STAMP).read_text("utf-8") == stamp(root)
    except FileNotFoundError:
        return False


def build(root: Path = ROOT, target: Path = TARGET) -> None:
    """Make `target` anew, beside its place, and put it there when it is whole. Raises CompileError."""
    compiler = shlex.split(os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "gcc"))
    if shutil.which(compiler[0]) is None:
        raise CompileError(f"the C compiler {compiler[0]} is not here; install gcc, or name another in CC")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise CompileError("Python.h is not here; install the headers of this Python (python3-dev)")
    made = stamp(root)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}-", dir=target.parent) as folder:
        new, scratch = Path(folder) / "new", Path(folder) / "scratch"
        for package in PACKAGES:
            shutil.copytree(root / package, new / package, ignore=shutil.ignore_patterns(*_MADE))
        _run_compiler(compiler, [_core(root), *_write_c(root, new, scratch)], new, scratch)
        (new / _STAMP).write_text(made, "utf-8")
        if target.exists():
            target.rename(Path(folder) / "old")
        new.rename(target)


@dataclass(frozen=True, slots=True)
class Library:
    """What the C compiler is to make: `path` of `sources`."""

    path: str
    sources: tuple[Path, ...]
    words: tuple[str, ...]


def _core(root: Path) -> Library:
    """The crypto core, as pyproject.toml describes it."""
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    (core,) = settings["ext-modules"]
    words = *(f"-I{root / folder}" for folder in core["include-dirs"]), *core["extra-compile-args"]
    return Library(core["name"].replace(".", "/") + ".abi3.so", tuple(root / path for path in core["sources"]), words)


def _write_c(root: Path, new: Path, scratch: Path) -> list[Library]:
    """C of all modules, written to `scratch`: a small library for each, and a large one with what they share."""
    try:
        from mypyc.build import mypycify
    except ImportError as error:
        raise CompileError(f"mypyc cannot be loaded ({error}); install it with: pip install '.[compile]'") from None
    options = [f"--config-file={root / 'pyproject.toml'}", f"--cache-dir={scratch / 'cache'}"]
    paths = [str(source(module)) for module in modules(root)]
    said = StringIO()
    try:
        with chdir(new), redirect_stdout(said):
            extensions = mypycify(
                [*options, *paths], opt_level=_LEVEL, debug_level="0", multi_file=True, target_dir=str(scratch)
            )
    except SystemExit as error:
        lines = [line for line in said.getvalue().splitlines() if "error:" in line] or [str(error)]
        raise CompileError(f"mypyc refuses {len(lines)} times, first {lines[0]}") from None
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    return [
        Library(
            each.name.replace(".", "/") + suffix,
            tuple(new / path for path in each.sources),
            ("-fwrapv", *(f"-I{folder}" for folder in each.include_dirs), *each.extra_compile_args),
        )
        for each in extensions
    ]


def _run_compiler(compiler: Sequence[str], libraries: Sequence[Library], new: Path, scratch: Path) -> None:
    """Compile and link, as many files at once as there are processors."""
    jobs = [(library, path) for library in libraries for path in library.sources]
    jobs.sort(key=lambda job: -job[1].stat().st_size)  # the largest first, so that none is waited for at last
    objects = {job: str(scratch / f"{number}.o") for number, job in enumerate(jobs)}

    python = f"-I{sysconfig.get_path('include')}"

    def compile_one(job: tuple[Library, Path]) -> None:
        library, path = job
        _run([*compiler, "-fPIC", "-DNDEBUG", python, *library.words, "-c", str(path), "-o", objects[job]])

    def link(library: Library) -> None:
        parts = [objects[library, path] for path in library.sources]
        _run([*compiler, "-shared", *parts, "-o", str(new / library.path)])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, jobs))
        list(pool.map(link, libraries))


def _run(words: Sequence[str]) -> None:
    """Run a program. Raises CompileError with the first line it complains in."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        complaint = next((line for line in done.stderr.splitlines() if "error" in line), f"exit code {done.returncode}")
        raise CompileError(f"{Path(words[0]).name} failed: {complaint}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 when there is a fresh engine, 1 when not."""
    parser = argparse.ArgumentParser(description="Compile the hot modules of the emulator into .compiled/.")
    parser.add_argument("--check", action="store_true", help="only say whether .compiled is fresh")
    options = parser.parse_args(arguments)
    try:
        if is_fresh():
            print(f"{TARGET.name} is fresh")
            return 0
        if options.check:
            print(f"{TARGET.name} is {'older than its sources' if TARGET.exists() else 'not there'}")
            return 1
        print(f"compiling {len(modules())} modules; this takes some minutes", flush=True)
        begin = time.monotonic()
        build()
    except (CompileError, OSError) as error:
        print(f"compile.py: {error}", file=sys.stderr)
        return 1
    print(f"{TARGET.name} is built, in {time.monotonic() - begin:.0f} s; PYTHONPATH={TARGET.name} runs a command on it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
