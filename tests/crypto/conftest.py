"""Every crypto test runs on every core this machine has: each tier of the compiled one, and `cryptography`."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from emulator.crypto.choice import native_fault
from emulator.errors import InputError

TIERS = ("aarch64",) if platform.machine() == "aarch64" else ("vaes", "avx2", "aesni")
CORES = (*TIERS, "portable", "cryptography")


@dataclass(frozen=True)
class Core:
    """One core: the four modules every core has."""

    name: str
    gcm: ModuleType
    keywrap: ModuleType
    store: ModuleType
    esp_sa: ModuleType

    def context_store(self, capacity: int = 4) -> Any:
        return self.store.ContextStore(capacity)


def _core(name: str) -> Core:
    package = "fallback" if name == "cryptography" else "native"
    return Core(name, *(import_module(f"emulator.crypto.{package}.{m}") for m in ("gcm", "keywrap", "store", "esp_sa")))


def _native_or_skip() -> Any:
    fault = native_fault()
    if fault is not None:
        if os.environ.get("SMETS1_REQUIRE_NATIVE", "") not in ("", "0"):
            pytest.fail(fault)
        pytest.skip(fault)
    return import_module("emulator.crypto.native")


@pytest.fixture(params=CORES)
def core(request: pytest.FixtureRequest) -> Iterator[Core]:
    """Each core in turn; the tier in use before is put back."""
    if request.param == "cryptography":
        yield _core("cryptography")
        return
    native = _native_or_skip()
    before = native.selected()
    try:
        native.select(request.param)
    except InputError as error:
        pytest.skip(str(error))
    yield _core(request.param)
    native.select(before)


@pytest.fixture
def native_core() -> Core:
    """The compiled core on its best tier."""
    _native_or_skip()
    return _core("native")


@pytest.fixture
def fallback_core() -> Core:
    return _core("cryptography")
