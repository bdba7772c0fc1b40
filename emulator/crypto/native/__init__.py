"""The compiled core, typed. Each module here has a twin of the same name in `fallback/`.

SMETS1_NATIVE_TIER chooses how blocks are computed: `vaes`, `avx2` or `aesni` (x86-64), `aarch64` (AArch64), `portable`,
or unset for the best this CPU has.
"""

import os
from typing import Final

from emulator._native import ffi, lib
from emulator.crypto.layout import OK
from emulator.errors import InputError

TIERS: Final = ("vaes", "avx2", "aesni", "aarch64", "portable")
"""Every way of computing blocks, best first; a machine has some of them."""


def select(tier: str) -> None:
    """Use `tier` ("" for the best here) for all that comes. Raises InputError for one this machine has not."""
    if lib.sm_select(tier.encode()) != OK:
        here = ", ".join(TIERS[:-1])
        raise InputError(f"SMETS1_NATIVE_TIER is {tier!r}; give 'portable', or what this CPU has of {here}")


def selected() -> str:
    """The tier in use."""
    return ffi.string(lib.sm_selected()).decode()


select(os.environ.get("SMETS1_NATIVE_TIER", ""))
