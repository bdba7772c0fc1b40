"""Writes native/_native.c, the C file between Python and the core, from the declarations in include/sm_api.h.

The file is committed, because setuptools alone cannot make it from pyproject.toml and a fresh machine should need a
compiler and nothing else. Run this after changing sm_api.h; a test regenerates the file and compares.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import cffi

HERE: Final = Path(__file__).resolve().parent
TARGET: Final = HERE / "_native.c"
MODULE: Final = "emulator._native"
_SMALL: Final = """#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")
#endif
"""
"""What cffi writes converts arguments and calls; small is as fast, and leaves room for the kernels."""

_BEGINS: Final = "/* cdef begins */"
_ENDS: Final = "/* cdef ends */"


def declarations() -> str:
    """The cffi declarations: what sm_api.h holds between its marks."""
    text = (HERE / "include" / "sm_api.h").read_text()
    return text[text.index(_BEGINS) + len(_BEGINS) : text.index(_ENDS)].strip() + "\n"


def generated() -> str:
    """The C file, beginning with the version of cffi that wrote it."""
    ffi = cffi.FFI()
    ffi.cdef(declarations())
    ffi.set_source(MODULE, _SMALL + '#include "sm_api.h"\n')
    with TemporaryDirectory() as folder:
        path = Path(folder) / "_native.c"
        ffi.emit_c_code(str(path))
        text = path.read_text()
    return f"/* Written by native/build.py with cffi {cffi.__version__}; do not edit. */\n{text}"


if __name__ == "__main__":
    TARGET.write_text(generated())
