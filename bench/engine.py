"""Which engine a benchmark runs on, and how to run it on the compiled one.

The emulator's sources are run by the interpreter, or its hot modules are what mypyc made of them; see
native/compile.py. Digests are the same, so the figures of both can be held beside each other.
"""

import os
import subprocess
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Final

from emulator import errors

ROOT: Final = Path(__file__).resolve().parents[1]
COMPILED: Final = ROOT / ".compiled"


def engine() -> str:
    """What runs here: "compiled" or "interpreted"."""
    return "compiled" if isinstance(errors.__loader__, ExtensionFileLoader) else "interpreted"


def run_compiled() -> None:
    """Make sure of a fresh compiled engine, and go on as this same program on it; workers that it spawns are too."""
    if engine() == "compiled":
        return
    made = subprocess.run([sys.executable, ROOT / "native" / "compile.py"], check=False)
    if made.returncode:
        sys.exit(made.returncode)
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONPATH": str(COMPILED)})
