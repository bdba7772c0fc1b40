"""The core under watch: AddressSanitizer and UndefinedBehaviorSanitizer with random cases, libFuzzer with guided ones.

Two targets in drivers/. `batches`: any batch descriptor, against the calls for one message. `gcm`: every tier against a
reference of its own, written from the standards. Both are built with the core in them, every buffer exactly as long
as it is said to be. A target that is told to lie about a buffer by one byte must be caught, or the watch sleeps.
"""

import platform
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from proof.setting import Counts, Setting
from proof.workshop import DRIVERS, ROOT, SANITIZE, Workshop, demand, named_tiers

TARGETS: Final = {
    "batches": (DRIVERS / "batches.c",),
    "gcm": (DRIVERS / "gcm.c", DRIVERS / "reference.c"),
}
GUIDED: Final = ("-O1", "-g1", "-fsanitize=address,fuzzer-no-link")
"""For libFuzzer. Undefined behaviour is gcc's to watch: clang's watch over it takes two minutes to build and runs at a
hundredth of the speed."""
SECRETS: Final = {"one": ROOT / "tests" / "native" / "secrets.c", "many": DRIVERS / "secret_batches.c"}
"""Every call once over, exact buffers again; `constant_time` watches them for another reason."""
CASES: Final = {"batches": 20_000, "gcm": 4_000}
_QUIET: Final[dict[str, str]] = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def tiers_flag() -> str:
    """SM_TIERS for the drivers."""
    return "-DSM_TIERS=" + ",".join(f'"{name}"' for name in named_tiers())


def sanitizers(setting: Setting) -> Counts:
    """Random cases of both targets (every status must have come up), each call over secrets, and the planted fault."""
    shop, counts = setting.workshop, {"cases": 0}
    for name, sources in TARGETS.items():
        target = shop.program(name, "gcc", SANITIZE, *sources, DRIVERS / "chance.c", last=(tiers_flag(),))
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(lambda seed, target=target, name=name: _run(shop, target, seed, CASES[name]), (1, 2)))
        for said in runs:
            cases, *statuses = (int(word) for word in re.findall(r"\d+", said))
            demand(cases == CASES[name] and all(statuses), "not every status came up:", said)
            counts["cases"] += cases
            counts["messages"] = counts.get("messages", 0) + sum(statuses)
    for name, source in SECRETS.items():
        target = shop.program(f"secrets-{name}", "gcc", SANITIZE, source, last=(tiers_flag(),))
        for tier in setting.core.tiers:
            demand((done := shop.run(target, tier, settings=_QUIET)).returncode == 0, name, tier, done.stderr[:3000])
            counts["cases"] += 1
    done = shop.run(shop.folder / "batches-gcc", 1, 100, "planted", settings=_QUIET)
    demand("heap-buffer-overflow" in done.stderr, "AddressSanitizer did not see the planted fault:", done.stderr[:500])
    return counts


def _run(shop: Workshop, target: Path, seed: int, cases: int) -> str:
    done = shop.run(target, seed, cases, settings=_QUIET)
    demand(done.returncode == 0, f"{target.name} {seed} {cases}:", done.stderr[:3000])
    return done.stdout


def aarch64(setting: Setting) -> Counts:
    """Random cases of both targets on the other architecture, under qemu-user where this machine is not one."""
    shop, counts = setting.workshop, {"cases": 0}
    native = platform.machine() == "aarch64"
    compiler = "gcc" if native else shop.tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
    before = () if native else (shop.tool("qemu-aarch64", "qemu-user"),)
    for name, sources in TARGETS.items():
        last = (tiers_flag(), *(() if native else ("-static",)))
        driver = DRIVERS / "chance.c"
        target = shop.program(f"aarch64-{name}", Path(compiler).name, ("-O2", "-g1"), *sources, driver, last=last)
        done = shop.run(*before, target, 3, CASES[name] // 2)
        demand(done.returncode == 0, f"{name} on aarch64:", done.stderr[:3000])
        counts["cases"] += CASES[name] // 2
    return counts


def fuzzers(setting: Setting) -> Counts:
    """libFuzzer on both targets, side by side, for `seconds` each."""
    shop = setting.workshop
    shop.tool("clang", "clang")
    built = [
        shop.program(f"fuzz-{name}", "clang", GUIDED, *sources, last=("-fsanitize=fuzzer", tiers_flag()))
        for name, sources in TARGETS.items()
    ]
    with ThreadPoolExecutor(len(built)) as pool:
        runs = pool.map(lambda target: _fuzz(shop, target, setting.seconds), built)
        return {f"cases of {name}": count for name, count in zip(TARGETS, runs, strict=True)}


def _fuzz(shop: Workshop, target: Path, seconds: int) -> int:
    corpus = shop.folder / f"{target.name}-corpus"
    corpus.mkdir()
    done = shop.run(
        target, f"-max_total_time={seconds}", "-max_len=1024", "-len_control=0", "-print_final_stats=1", "-seed=1",
        f"-artifact_prefix={corpus}/found-", corpus, timeout=seconds + 300, settings=_QUIET,
    )  # fmt: skip
    found = [path.read_bytes().hex() for path in corpus.glob("found-*")]
    where = "\n".join(line for line in done.stderr.splitlines() if "ERROR" in line or ".c:" in line)
    demand(done.returncode == 0 and not found, f"{target.name} fails:", where[:2000] or done.stderr[-2000:], *found)
    executed = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    demand(executed is not None, "libFuzzer said nothing:", done.stderr[-500:])
    assert executed is not None
    return int(executed[1])
