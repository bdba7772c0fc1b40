"""Tools, and the core's sources compiled with them as they stand.

A proof is over native/src as it is now, not over the extension that happens to be installed. Objects are made once per
compiler and flags, side by side on all processors, in a folder that lasts as long as the workshop. A tool that is
not here is `Missing`: a word, or a failure where SMETS1_REQUIRE_NATIVE=1 says that the machine has it.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
NATIVE: Final = ROOT / "native"
DRIVERS: Final = Path(__file__).resolve().parent / "drivers"
INCLUDE: Final = f"-I{NATIVE / 'include'}"
SANITIZE: Final = (
    "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer",
)  # fmt: skip


class Missing(Exception):
    """A tool this machine has not; the text names it and the Debian package that brings it."""


class Failed(Exception):
    """A proof that does not hold. The text says which message, which tier, what was expected and what came."""


def demand(truth: bool, *words: object) -> None:
    """Raise Failed with these words unless `truth`."""
    if not truth:
        raise Failed(" ".join(str(word) for word in words))


def named_tiers() -> list[str]:
    """Names of all tiers the sources know, whatever this CPU can do, the fastest last."""
    text = (NATIVE / "src" / "dispatch.c").read_text()
    return list(dict.fromkeys(re.findall(r'\.name = "(\w+)"', text)))


def declarations() -> str:
    """The cffi declarations in sm_api.h, cut out as native/build.py does."""
    text = (NATIVE / "include" / "sm_api.h").read_text()
    begins, ends = "/* cdef begins */", "/* cdef ends */"
    return text[text.index(begins) + len(begins) : text.index(ends)]


class Workshop:
    """Builds in `folder`, which must exist; two builds with the same compiler and flags are one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._objects: dict[tuple[str, ...], list[Path]] = {}

    def tool(self, name: str, package: str) -> str:
        """Path of a program. Raises Missing."""
        path = shutil.which(name)
        if path is None:
            raise Missing(f"no {name} here (Debian: {package})")
        return path

    def run(
        self, *command: object, timeout: float = 900, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The finished process, both its outputs as text; `settings` are added to the environment."""
        words = [str(word) for word in command]
        return subprocess.run(
            words, env=os.environ | dict(settings or {}), capture_output=True, text=True, errors="replace",
            timeout=timeout, check=False, cwd=self.folder,
        )  # fmt: skip

    def objects(self, compiler: str, flags: Sequence[str]) -> list[Path]:
        """Every source of the core as an object file. Raises Missing, or Failed with what the compiler said."""
        key = (compiler, *flags)
        if key not in self._objects:
            program = self.tool(compiler, compiler)
            place = self.folder / hashlib.sha256(repr(key).encode()).hexdigest()[:12]
            place.mkdir()
            sources = sorted((NATIVE / "src").glob("*.c"), key=lambda path: -path.stat().st_size)
            made = [place / f"{path.stem}.o" for path in sources]

            def one(source: Path, target: Path) -> None:
                done = self.run(program, "-std=c11", *flags, INCLUDE, "-c", source, "-o", target)
                self._judge(done, compiler)

            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                list(pool.map(one, sources, made))
            self._objects[key] = made
        return self._objects[key]

    def program(self, name: str, compiler: str, flags: Sequence[str], *drivers: Path, last: Sequence[str] = ()) -> Path:
        """A program (or library) of driver files and the core. `last` is for the linker and the drivers alone."""
        target = self.folder / f"{name}-{compiler}"
        objects = self.objects(compiler, flags)
        command = (compiler, "-std=c11", *flags, *last, INCLUDE, f"-I{DRIVERS}", "-o", target, *drivers, *objects)
        self._judge(self.run(*command), compiler)
        return target

    def library(self, compiler: str = "gcc", level: str = "-O2") -> Path:
        """The core alone as a shared library, with the flags the extension is built with."""
        return self.program("core.so", compiler, (level, "-g0", "-fPIC"), last=("-shared",))

    @staticmethod
    def _judge(done: subprocess.CompletedProcess[str], compiler: str) -> None:
        said = done.stderr
        if done.returncode == 0:
            return
        if "valgrind/memcheck.h" in said:
            raise Missing("no valgrind headers here (Debian: valgrind)")
        if re.search(r"(No such file|cannot find).*(libclang_rt|-lasan|-lubsan|libasan)", said):
            raise Missing(f"no sanitizers for {compiler} here (Debian: libclang-rt-14-dev, or libasan8 with gcc)")
        raise Failed(f"{compiler}: {said[:3000]}")
