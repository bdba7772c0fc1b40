"""The libraries the core is measured against, where they are installed; none of them is a dependency.

Two of OpenSSL's: the system's libcrypto, and one of 3.5 or newer, which is often inside a wheel (psycopg's, for
example) or named by SMETS1_BENCH_LIBCRYPTO. Intel's ipsec-mb, the fastest of its kind, also needs its header for the
driver.
"""

import ctypes
import ctypes.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.errors import InputError

VARIABLE: Final = "SMETS1_BENCH_LIBCRYPTO"
NEWER: Final = (3, 5)


@dataclass(frozen=True)
class Peers:
    """Paths or names for dlopen; None where there is none."""

    openssl: str | None
    openssl35: str | None
    ipsec_mb: str | None


def openssl_version(library: str) -> tuple[int, int] | None:
    """(major, minor) of a libcrypto, or None for what is none."""
    try:
        number = ctypes.CDLL(library).OpenSSL_version_num
    except (OSError, AttributeError):
        return None
    number.restype = ctypes.c_ulong
    value = number()
    return value >> 28, value >> 20 & 0xFF


def _candidates() -> list[str]:
    """Libraries that wheels brought along, then the system's."""
    found: list[str] = []
    for place in dict.fromkeys(sys.path):
        if place and Path(place).is_dir():
            found += sorted(str(path) for path in Path(place).glob("*.libs/libcrypto*.so*"))
    system = ctypes.util.find_library("crypto")
    return found + ([system] if system else [])


def _newest() -> str | None:
    """The newest libcrypto from NEWER on. Raises InputError for a named one that is none or too old."""
    named = os.environ.get(VARIABLE)
    if named:
        version = openssl_version(named)
        if version is None or version < NEWER:
            raise InputError(f"{VARIABLE} is {named!r}; name a libcrypto of OpenSSL 3.5 or newer")
        return named
    versions = [(version, name) for name in _candidates() if (version := openssl_version(name)) and version >= NEWER]
    return max(versions, key=lambda each: each[0])[1] if versions else None


def find() -> Peers:
    """What is here. Raises InputError as `SMETS1_BENCH_LIBCRYPTO` asks for what cannot be had."""
    return Peers(ctypes.util.find_library("crypto"), _newest(), ctypes.util.find_library("IPSec_MB"))
