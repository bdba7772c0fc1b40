"""The C loop around all engines: compiled here and now from driver.c, loaded, and typed.

Compiled at run time because it is wanted by those who measure and by nobody else, and because whether ipsec-mb's header
is here is known only now. The core is handed in as addresses of the extension's own functions; their types are compared
with what driver.c was written for, so a core that moved is refused in words instead of called wrongly.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
import weakref
from enum import IntEnum
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

from emulator.errors import EmulatorError, UsageError
from emulator.measure.peers import Peers

MESSAGES: Final = 4096
"""Most messages of a sample."""
TEXT_MAX: Final = 1024

_COLUMNS: Final = "uint8_t *, size_t, uint32_t *, uint32_t *, uint8_t *, size_t, uint32_t *"
_CALLS: Final = {
    "sm_store_new": "struct sm_store *(*)(uint32_t)",
    "sm_store_free": "void(*)(struct sm_store *)",
    "sm_context_load": "int(*)(struct sm_store *, uint32_t, uint8_t *, uint8_t *, uint8_t *, "
    "uint8_t *, uint32_t, uint32_t, uint8_t *)",
    "sm_seal_batch": "int64_t(*)(struct sm_store *, size_t, uint32_t *, uint8_t *, "
    f"{_COLUMNS}, uint32_t *, uint8_t *)",
    "sm_open_batch": "int64_t(*)(struct sm_store *, size_t, uint32_t *, uint8_t *, "
    f"{_COLUMNS}, uint32_t *, uint8_t *)",
    "sm_wrap_batch": f"int64_t(*)(struct sm_store *, size_t, uint32_t *, {_COLUMNS}, uint8_t *)",
    "sm_unwrap_batch": f"int64_t(*)(struct sm_store *, size_t, uint32_t *, {_COLUMNS}, uint8_t *)",
    "sm_sa_new": "struct sm_sa *(*)(uint32_t, uint8_t *, size_t, uint8_t *, uint64_t, uint32_t, uint64_t)",
    "sm_sa_free": "void(*)(struct sm_sa *)",
    "sm_esp_seal": "int64_t(*)(struct sm_sa *, uint8_t *, size_t, uint32_t, uint8_t *, size_t)",
    "sm_esp_open": "int64_t(*)(struct sm_sa *, uint8_t *, size_t, uint8_t *, size_t)",
}
"""The calls driver.c makes, in the order of its `core_calls`, with their types (cffi keeps no `const`)."""


class Op(IntEnum):
    """Operations; the numbers are driver.c's."""

    SEAL = 0
    OPEN = 1
    WRAP = 2
    UNWRAP = 3
    ESP_SEAL = 4
    ESP_OPEN = 5


class Engine(IntEnum):
    """Engines; the numbers are driver.c's. A: the system's OpenSSL, B: 3.5 or newer; the last three keep one key."""

    CORE = 0
    OPENSSL_A = 1
    OPENSSL_B = 2
    EXPAND = 3
    EXPAND_FETCH = 4
    KEPT_A = 5
    KEPT_B = 6
    PRECOMPUTED = 7


class Calibration(NamedTuple):
    """ns of thread CPU time: an operation of 4-wide integer code; `aesenc` one after another, and eight side by side; a
    line of memory out of the records, one after another."""

    integer: float
    aesenc_latency: float | None
    aesenc: float | None
    line: float


class NoDriverError(EmulatorError):
    """The C loop cannot be had here; the message says why."""


_FAULTS: Final = {
    1: "seals otherwise than the core",
    2: "does not open what the core sealed",
    3: "takes a message with a changed text",
    4: "takes a message with a changed tag",
    5: "was not asked: the core did not seal the messages",
}


def _compiler() -> str:
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return found
    raise NoDriverError("no C compiler (cc, gcc or clang)")


def _library() -> ctypes.CDLL:
    """driver.c, compiled and loaded; nothing stays on the disk."""
    compiler = _compiler()
    with resources.as_file(resources.files("emulator.measure") / "driver.c") as source, tempfile.TemporaryDirectory(
        prefix="smets1-measure-"
    ) as folder:
        target = Path(folder) / "driver.so"
        command = [compiler, "-std=gnu11", "-O2", "-shared", "-fPIC", "-o", str(target), str(source), "-ldl"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            if done.returncode:
                raise NoDriverError(f"{compiler} does not compile the driver: {done.stderr.strip()[:300]}")
            return ctypes.CDLL(str(target))
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoDriverError(f"the driver cannot be compiled or loaded here ({error})") from error


def core_addresses() -> list[int]:
    """Where the core's functions stand, in the order of `_CALLS`. Raises NoDriverError where no core is compiled."""
    try:
        from emulator import _native
    except ImportError as error:
        raise NoDriverError(f"the compiled core is missing ({error})") from error
    ffi: Any = _native.ffi
    addresses = []
    for name, wanted in _CALLS.items():
        function = ffi.addressof(_native.lib, name)
        kind = ffi.typeof(function).cname
        if kind != wanted:
            raise EmulatorError(f"the core's {name} is {kind}, and the driver was written for {wanted}")
        addresses.append(int(ffi.cast("uintptr_t", function)))
    return addresses


class Driver:
    """Engines over `keys` meters (1 to 2^24), keys drawn from `seed`.

    Raises NoDriverError where there is no compiler, core or memory, EmulatorError for a core it was not written for.
    """

    def __init__(self, keys: int, peers: Peers, seed: int = 1) -> None:
        if not 0 < keys <= 1 << 24:
            raise UsageError("a driver has 1 to 2^24 keys")
        addresses = core_addresses()
        library = _library()
        pointer, words, double = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_double
        signatures: dict[str, tuple[Any, list[Any]]] = {
            "bench_new": (pointer, [pointer, words, words, words, ctypes.c_uint32, ctypes.c_uint64]),
            "bench_free": (None, [pointer]),
            "bench_has": (ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_int]),
            "bench_openssl_version": (words, [pointer, ctypes.c_int]),
            "bench_ipsec_mb_version": (words, [pointer]),
            "bench_prepare": (ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint64,
                                             ctypes.c_uint32]),
            "bench_timed": (double, [pointer, ctypes.c_int]),
            "bench_check": (ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_int, ctypes.c_uint32, ctypes.c_int,
                                           ctypes.c_uint64, ctypes.c_uint32]),
            "bench_calibrate": (None, [pointer, *[ctypes.POINTER(double)] * 4]),
        }  # fmt: skip
        for name, (result, arguments) in signatures.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._library = library
        self.keys = keys
        given = (None if name is None else name.encode() for name in (peers.openssl, peers.openssl35, peers.ipsec_mb))
        self._bench = library.bench_new((ctypes.c_void_p * len(addresses))(*addresses), *given, keys, seed)
        if not self._bench:
            raise NoDriverError(f"no memory for three stores of {keys} security contexts")
        self.close = weakref.finalize(self, library.bench_free, self._bench)
        """Give back everything."""

    def has(self, engine: Engine, op: Op) -> bool:
        """Whether an engine is here for an operation."""
        return bool(self._library.bench_has(self._bench, engine, op))

    def versions(self) -> dict[str, str | None]:
        """Of the peers, as they say themselves; None where absent."""
        found = {
            "openssl": self._library.bench_openssl_version(self._bench, 0),
            "openssl35": self._library.bench_openssl_version(self._bench, 1),
            "ipsec_mb": self._library.bench_ipsec_mb_version(self._bench),
        }
        return {name: version.decode() or None for name, version in found.items()}

    def prepare(self, op: Op, size: int, *, one: bool, seed: int, count: int = MESSAGES) -> None:
        """Draw `count` messages of `size` bytes (0: 16 to 128, uniform), under one key or random ones.

        Raises UsageError for more or longer ones than there is room for.
        """
        if self._library.bench_prepare(self._bench, op, size, one, seed, count):
            raise UsageError(f"the driver cannot make {count} messages of {size} bytes")

    def timed(self, engine: Engine) -> float:
        """ns a message of what was prepared; a message is used once. Raises EmulatorError when one did not go well."""
        found = self._library.bench_timed(self._bench, engine)
        if found < 0:
            raise EmulatorError(f"{engine.name} did not do all it was asked; its figure would mean nothing")
        return float(found)

    def check(self, engine: Engine, opening: Op, size: int, *, one: bool, seed: int, count: int = 512) -> None:
        """Hold an engine to the core's answers, and to refusing changed messages. Raises EmulatorError."""
        fault = self._library.bench_check(self._bench, engine, opening, size, one, seed, count)
        if fault:
            raise EmulatorError(f"{engine.name} at {size} bytes {_FAULTS[fault]}; it is not measured")

    def calibrate(self) -> Calibration:
        """The state of the machine just now."""
        values = [ctypes.c_double() for _ in range(4)]
        self._library.bench_calibrate(self._bench, *values)
        integer, latency, throughput, line = (value.value for value in values)
        return Calibration(integer, None if latency < 0 else latency, None if throughput < 0 else throughput, line)
