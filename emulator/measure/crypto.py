"""The report on the crypto core: interleaved rounds in one process, medians, ratios of one round, a calibration line.

Shape of a report (what `--json` writes):

`calibration`  ns a turn of known kernels, each {min, median, max} over the rounds; `state`, `cpu_share`, the machine
`versions`     of the peers; null where absent
`absent`       for what is null, why
`engines`      engine -> regime -> operation -> size -> median ns a message; null for an absent peer
`quartiles`    the same tree with [first, third]
`quiet`        `engines` and `ratios` of those rounds alone in which the kernels ran nearly at their best, and the
               share of all rounds that they are (`rounds`)
`ratios`       how many times faster we are (or, for `threads2_vs_1`, two threads than one; `keys450k_vs_150k`: how many
               times slower with three times the keys; `bytes_per_context`: bytes); null where a side is absent
"""

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from emulator.crypto import backend, layout
from emulator.crypto.keys import ContextStore
from emulator.errors import UsageError
from emulator.measure import from_python, natively, peers
from emulator.measure.driver import MESSAGES, Driver, NoDriverError
from emulator.measure.natively import ASSOCIATION, KEYS, MANY_KEYS, MORE_KEYS, RANDOM, Case

ROUNDS: Final = 32
QUICK_ROUNDS: Final = 15
PASSES: Final = 5
"""Rounds of a row follow one another, as batches do when work is waiting, and all rows are gone through so often: what
else the machine does for a second then falls on a fifth of a figure's rounds."""
FEWEST: Final = 3
"""So many rounds at least must have had two cores, or nothing is said of threads."""
ENOUGH: Final = 15
PATIENCE, SHORT_PATIENCE = 10.0, 1.0
"""Seconds after the rounds in which a machine full of others may still give two cores at once, so many times."""
_PYTHON_TURNS: Final = 5_000
_STEADY: Final = ("integer_ns", "aesenc_ns")
"""Kernels that tell whether somebody else has the other half of the core; a line of memory varies by itself."""
QUIET, UNEVEN, HALF = 1.1, 1.3, 0.5
"""Third quartile over the best of a calibration kernel: below the first the machine counts as quiet."""



def _python_case(way: tuple[str, str]) -> Case:
    return Case(way[0], RANDOM, way[1], str(from_python.SIZE))


def _pairs(best: str) -> dict[str, tuple[Case, Case]]:
    """Of each ratio, the peer and us (its value is the first over the second)."""

    def against(peer: str, operation: str, size: str, regime: str = RANDOM) -> tuple[Case, Case]:
        return Case(peer, regime, operation, size), Case(best, regime, operation, size)

    def python(peer: tuple[str, str], us: tuple[str, str]) -> tuple[Case, Case]:
        return _python_case(peer), _python_case(us)

    pairs = {}
    for size in ("16", "64", "1024"):
        for operation in ("seal", "open"):
            pairs[f"{operation}{size}_vs_openssl_rekey"] = against("openssl", operation, size)
            pairs[f"{operation}{size}_vs_openssl35_rekey"] = against("openssl35", operation, size)
            pairs[f"{operation}{size}_vs_ipsec_mb"] = against("ipsec_mb", operation, size)
            pairs[f"{operation}{size}_vs_ipsec_mb_prefetch"] = against("ipsec_mb_prefetch", operation, size)
    pairs |= {
        "mixed_vs_openssl_rekey": against("openssl", "seal", "mixed"),
        "mixed_open_vs_openssl_rekey": against("openssl", "open", "mixed"),
        "mixed_vs_ipsec_mb_prefetch": against("ipsec_mb_prefetch", "seal", "mixed"),
        "wrap_vs_openssl": against("openssl", "wrap", "16"),
        "unwrap_vs_openssl": against("openssl", "unwrap", "16"),
        "wrap_vs_openssl35": against("openssl35", "wrap", "16"),
        "unwrap_vs_openssl35": against("openssl35", "unwrap", "16"),
        "esp1024_vs_ipsec_mb_precomputed": against("ipsec_mb_precomputed", "esp_seal", "1024", ASSOCIATION),
        "esp1024_open_vs_ipsec_mb_precomputed": against("ipsec_mb_precomputed", "esp_open", "1024", ASSOCIATION),
        "keys450k_vs_150k": (Case(best, MORE_KEYS, "seal", "64"), Case(best, RANDOM, "seal", "64")),
        "python_buffers_vs_aesgcm": python(from_python.AESGCM_SEAL, from_python.BUFFERS_SEAL),
        "python_lists_vs_aesgcm": python(from_python.AESGCM_SEAL, from_python.LISTS_SEAL),
        "python_one_vs_aesgcm": python(from_python.AESGCM_SEAL, from_python.ONE_SEAL),
        "python_open_buffers_vs_cipher": python(from_python.CIPHER_OPEN, from_python.BUFFERS_OPEN),
        "python_open_lists_vs_cipher": python(from_python.CIPHER_OPEN, from_python.LISTS_OPEN),
    }
    return pairs


def _python_turn() -> float:
    began = time.thread_time_ns()
    for _ in range(_PYTHON_TURNS):
        pass
    return (time.thread_time_ns() - began) / _PYTHON_TURNS


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = {line.split(":")[0].strip(): line.partition(":")[2].strip() for line in reversed(lines) if ":" in line}
    name = named.get("model name") or platform.processor() or platform.machine()
    family, model = named.get("cpu family"), named.get("model")
    return f"{name}, family {family} model {model}" if family and model else name


class _Samples:
    """What the rounds gave, by name."""

    def __init__(self) -> None:
        self.cases: dict[Case, list[tuple[int, float]]] = {}
        """Of each case, (number of the calibration before it, ns a message)."""
        self.kernels: dict[str, list[float]] = {}
        self.threads: list[from_python.Threads] = []
        self._calibrations = 0

    def calibrate(self, driver: Driver | None) -> None:
        self._calibrations += 1
        self.kernels.setdefault("python_loop_ns", []).append(_python_turn())
        if driver is not None:
            for name, value in driver.calibrate()._asdict().items():
                if value is not None:
                    self.kernels.setdefault(f"{name}_ns", []).append(value)

    def add(self, found: dict[Case, float]) -> None:
        for case, value in found.items():
            self.cases.setdefault(case, []).append((self._calibrations - 1, value))

    def quiet(self) -> set[int]:
        """The calibrations in which every kernel of ours ran nearly as fast as it ever did."""
        kernels = [values for name, values in self.kernels.items() if name in _STEADY]
        kernels = kernels or list(self.kernels.values())
        limits = [(values, _best(values) * QUIET) for values in kernels]
        return {n for n in range(self._calibrations) if all(values[n] <= limit for values, limit in limits)}

    def figures(self, among: set[int] | None) -> dict[Case, list[float]]:
        """Of each case, ns a message in the rounds after these calibrations, or in all; none where they are too few."""
        chosen = {
            case: [value for number, value in values if among is None or number in among]
            for case, values in self.cases.items()
        }
        return {case: values for case, values in chosen.items() if len(values) >= FEWEST}

    def ratio(self, upper: Case, lower: Case, among: set[int] | None) -> float | None:
        """The median of the rounds' own ratios."""
        figures = self.figures(among)
        if upper not in figures or lower not in figures:
            return None
        return statistics.median(a / b for a, b in zip(figures[upper], figures[lower], strict=True))


def _state(kernels: dict[str, list[float]], cpu_share: float) -> str:
    """In a word, how alike the rounds found the machine, and whether others ran on its cores. A machine that was slow
    all the time looks quiet from inside: compare the figures with those of other runs."""
    steady = [kernels[name] for name in _STEADY if name in kernels] or list(kernels.values())
    spread = max(_quartile(values, 3) / _best(values) for values in steady)
    if spread < QUIET and cpu_share >= from_python.BUSY:
        return "quiet"
    return "uneven" if spread < UNEVEN and cpu_share >= HALF else "contended"


def _best(values: Sequence[float]) -> float:
    """What a kernel takes at its best: exceeded by 19 of 20. The very fastest may be a clock that was set meanwhile."""
    return sorted(values)[len(values) // 20]


def _quartile(values: Sequence[float], which: int) -> float:
    return statistics.quantiles(values, n=4, method="inclusive")[which - 1]


def resident() -> int | None:
    """Bytes of memory this process has in use, or None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGESIZE")


def resident_per_context(contexts: int = MANY_KEYS) -> float | None:
    """Bytes a loaded context takes in fact, its master key among them."""
    gc.collect()
    before = resident()
    with ContextStore(contexts) as store:
        for index in range(contexts):
            store.load(index, ek=bytes(16), ak=bytes(16), title=bytes(8), peer=bytes(8), kek=bytes(16))
        after = resident()
    return None if before is None or after is None else (after - before) / contexts


def measure(
    *, quick: bool = False, rounds: int | None = None, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure and report (the shape is above); `say` hears what is going on.

    About 10 s when `quick`: fewer lengths and 15 rounds of them. Raises InputError, EmulatorError, MemoryError.
    """
    rounds = rounds or (QUICK_ROUNDS if quick else ROUNDS)
    if rounds < PASSES:
        raise UsageError(f"a run has at least {PASSES} rounds")
    absent: dict[str, str] = {}
    per_context = None if quick else resident_per_context()
    driver = many = None
    rows: list[list[natively.Run]] = []
    select: Callable[[str], None] = lambda _: None  # noqa: E731
    tiers: list[str] = [backend()]
    try:
        if backend() != "native":
            raise NoDriverError("the core in use is `cryptography`, not the compiled one")
        from emulator.crypto import native

        select, tiers = native.select, natively.tiers(native.select, native.selected)
        say(f"the core's tiers here: {', '.join(tiers)}; compiling the C loop")
        here = peers.find()
        driver, many = Driver(KEYS, here), Driver(MANY_KEYS, here, seed=2)
        rows = natively.plan(driver, many, tiers, quick=quick)
        say(f"{natively.check(rows, select)} engines and lengths checked against the core")
    except NoDriverError as error:
        absent["engines in C"] = str(error)
    best = natively.native_name(tiers[0])
    select(tiers[0])
    python = from_python.PythonCases(KEYS)
    say(f"{python.check()} messages of ours checked against `cryptography`")
    samples = _Samples()
    began, cpu = time.perf_counter(), time.process_time()
    for turn in range(PASSES):
        numbers = range(rounds * turn // PASSES, rounds * (turn + 1) // PASSES)
        for place, row in enumerate(rows):
            say(f"pass {turn + 1} of {PASSES}, {row[0].case.operation} {row[0].case.size}, {row[0].case.regime}")
            for number in numbers:
                samples.calibrate(driver)
                samples.add(natively.one_round(row, place * rounds + number, select))
        select(tiers[0])
        say(f"pass {turn + 1} of {PASSES}, from Python")
        for _ in numbers:
            samples.calibrate(driver)
            samples.add({_python_case(way): value for way, value in python.one_round().items()})
            samples.threads.append(python.threads())
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    until = time.perf_counter() + (SHORT_PATIENCE if quick else PATIENCE)
    while sum(each.busy for each in samples.threads) < ENOUGH and time.perf_counter() < until:
        samples.threads.append(python.threads())
    python.close()
    versions: dict[str, str | None] = {"openssl": None, "openssl35": None, "ipsec_mb": None}
    if driver is not None and many is not None:
        versions = driver.versions()
        absent |= _words(versions)
        driver.close()
        many.close()
    return {
        "calibration": _calibration(samples, seconds, cpu / seconds, rounds),
        "versions": versions | _own_versions(),
        "best": best,
        "keys": {RANDOM: KEYS, MORE_KEYS: MANY_KEYS},
        "messages": MESSAGES,
        "whole": not quick,
        "engines": _tree(samples.figures(None), statistics.median, versions),
        "quartiles": _tree(samples.figures(None), lambda v: [_quartile(v, 1), _quartile(v, 3)], versions),
        "ratios": _ratios(samples, best, absent),
        "quiet": _quiet(samples, best, versions),
        "resident_bytes_per_context": None if per_context is None else round(per_context, 1),
        "absent": absent,
    }


def _words(versions: dict[str, str | None]) -> dict[str, str]:
    cures = {
        "openssl": "no libcrypto on this system",
        "openssl35": f"no libcrypto of 3.5 or newer (psycopg-binary brings one; {peers.VARIABLE} names one)",
        "ipsec_mb": "no libipsec-mb with its header (Debian: libipsec-mb-dev)",
    }
    return {name: cure for name, cure in cures.items() if versions[name] is None}


def _own_versions() -> dict[str, str]:
    import cryptography
    from cryptography.hazmat.backends.openssl import backend as inside

    return {
        "cryptography": f"{cryptography.__version__} ({inside.openssl_version_text()})",
        "python": platform.python_version(),
    }


def _calibration(samples: _Samples, seconds: float, share: float, rounds: int) -> dict[str, Any]:
    kernels: dict[str, Any] = {"integer_ns": None, "aesenc_latency_ns": None, "aesenc_ns": None, "line_ns": None}
    for name, values in samples.kernels.items():
        kernels[name] = {
            "min": round(min(values), 4), "median": round(statistics.median(values), 4), "max": round(max(values), 4)
        }  # fmt: skip
    return kernels | {
        "state": _state(samples.kernels, share),
        "cpu_share": round(share, 3),
        "load_average": round(os.getloadavg()[0], 2),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "rounds": rounds,
        "seconds": round(seconds, 1),
    }


def _tree(
    cases: dict[Case, list[float]], figure: Callable[[list[float]], Any], versions: dict[str, str | None]
) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for case, values in cases.items():
        found = figure(values)
        rounded = [round(each, 2) for each in found] if isinstance(found, list) else round(found, 2)
        regimes = tree.setdefault(case.engine, {})
        regimes.setdefault(case.regime, {}).setdefault(case.operation, {})[case.size] = rounded
    for name in natively.PEERS.values():
        library = name.removesuffix("_kept").removesuffix("_prefetch").removesuffix("_precomputed")
        if versions[library] is None:
            tree.setdefault(name, None)
    return tree


def _compared(samples: _Samples, best: str, among: set[int] | None) -> dict[str, float | int | None]:
    found: dict[str, float | int | None] = {}
    for name, (upper, lower) in _pairs(best).items():
        ratio = samples.ratio(upper, lower, among)
        found[name] = None if ratio is None else round(ratio, 3)
    return found


def _quiet(samples: _Samples, best: str, versions: dict[str, str | None]) -> dict[str, Any]:
    among = samples.quiet()
    return {
        "rounds": round(len(among) / len(samples.kernels["python_loop_ns"]), 3),
        "engines": _tree(samples.figures(among), statistics.median, versions),
        "ratios": _compared(samples, best, among),
    }


def _ratios(samples: _Samples, best: str, absent: dict[str, str]) -> dict[str, float | int | None]:
    found = _compared(samples, best, None)
    fair = [each.ratio for each in samples.threads if each.busy]
    found["threads2_vs_1"] = round(statistics.median(fair), 3) if len(fair) >= FEWEST else None
    if len(fair) < FEWEST:
        absent["threads2_vs_1"] = f"two threads had a core each in only {len(fair)} of {len(samples.threads)} rounds"
    found["bytes_per_context"] = layout.LINE_BYTES
    return found
