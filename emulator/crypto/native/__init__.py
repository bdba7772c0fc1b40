"""The compiled core, typed. Each module here has a twin of the same name in `fallback/`.

SMETS1_NATIVE_TIER chooses how blocks are computed: `avx2`, `aesni`, `portable`, or unset for the best this CPU has.
"""

import os

from emulator._native import ffi, lib
from emulator.crypto.layout import OK
from emulator.errors import InputError


def select(tier: str) -> None:
    """Use `tier` ("" for the best here) for all that comes. Raises InputError for one this machine has not."""
    if lib.sm_select(tier.encode()) != OK:
        raise InputError(f"SMETS1_NATIVE_TIER is {tier!r}; give 'portable', or what this CPU has of 'aesni' and 'avx2'")


def selected() -> str:
    """The tier in use."""
    return ffi.string(lib.sm_selected()).decode()


select(os.environ.get("SMETS1_NATIVE_TIER", ""))
