"""Which core works: the compiled one, or the same answers from `cryptography`.

Decided once per process, at the first import that needs it. Environment: SMETS1_BACKEND is `native` or `cryptography`;
SMETS1_REQUIRE_NATIVE=1 turns a missing compiled core into an error, for machines built to have one. Otherwise a
missing core is said once, by the first process (its workers stay quiet), and the run goes on.
"""

import logging
import os
from functools import cache
from importlib import import_module
from typing import Final, Literal, TypeAlias

from emulator.errors import InputError

Backend: TypeAlias = Literal["native", "cryptography"]

INTERFACE: Final = 3
"""The number the compiled core must answer to; another number is an extension left over from older sources."""

_CURE: Final = "install a C compiler and the Python headers, then install this package again"


def native_fault() -> str | None:
    """Why the compiled core cannot be used, or None."""
    try:
        native = import_module("emulator._native")
    except ImportError as error:
        return f"the compiled crypto core is missing ({error})"
    if native.lib.sm_interface() != INTERFACE:
        return "the compiled crypto core was built from other sources"
    return None


@cache
def backend() -> Backend:
    """The core in use: "native" or "cryptography".

    Raises InputError when the environment asks for a core that is not there, or for one that does not exist.
    """
    asked = os.environ.get("SMETS1_BACKEND", "")
    if asked not in ("", "native", "cryptography"):
        raise InputError(f"SMETS1_BACKEND is {asked!r}; it can be 'native' or 'cryptography'")
    if asked == "cryptography":
        return "cryptography"
    fault = native_fault()
    if fault is None:
        return "native"
    if asked == "native" or os.environ.get("SMETS1_REQUIRE_NATIVE", "") not in ("", "0"):
        raise InputError(f"{fault}; {_CURE}")
    from multiprocessing import current_process  # only here: this module is imported by everything

    # A spawned worker has its name before it is given its work; it has no parent process yet.
    if current_process().name == "MainProcess":
        logging.getLogger("emulator.crypto").warning("%s; using `cryptography`, slower. To mend: %s", fault, _CURE)
    return "cryptography"
