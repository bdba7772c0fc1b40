"""No branch and no address depends on a secret, on any tier.

Valgrind tracks which bits are undefined and reports a branch or an address made from one. Keys and texts are declared
undefined and every call is made: with given keys and for one message (tests/native/secrets.c), in batches of all
suites and for packets (drivers/secret_batches.c). At -O2 and -O3, because a compiler may turn a selection into a
branch. That the watch is awake is shown behind every operation of every tier: what comes out must still bear its
mark, and a branch on it must be reported. Valgrind does not know AVX-512, so clang's MemorySanitizer, which watches
the same from inside, goes through the tiers again, that one among them.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from proof.setting import Counts, Setting
from proof.watchmen import SECRETS, tiers_flag
from proof.workshop import DRIVERS, Workshop, demand, named_tiers

LEAKS: Final = ("key", "seal", "open", "gmac", "wrap", "unwrap", "esp")
REPORTED: Final = 9
NO_TIER: Final = 3


def _watched(shop: Workshop, program: Path, *arguments: str) -> tuple[int, str]:
    valgrind = (
        shop.tool("valgrind", "valgrind"),
        "--quiet",
        f"--error-exitcode={REPORTED}",
        "--exit-on-first-error=yes",
    )
    done = shop.run(*valgrind, program, *arguments)
    return done.returncode, done.stderr


def constant_time(setting: Setting) -> Counts:
    """Both drivers on every tier at both levels, and every planted leak on every tier."""
    shop = setting.workshop
    shop.tool("valgrind", "valgrind")
    counts = {"runs": 0, "leaks caught": 0, "tiers": 0}
    for level in ("-O2", "-O3"):
        flags = (level, "-g", "-DSM_CHECK_SECRETS")
        one, many = (
            shop.program(f"secrets-{name}{level}", "gcc", flags, source, last=(tiers_flag(),))
            for name, source in SECRETS.items()
        )
        tiers = [tier for tier in named_tiers() if _watched(shop, many, tier)[0] != NO_TIER]
        demand("portable" in tiers, "not even the portable tier can be watched")
        runs: list[Sequence[str | Path]] = [(program, tier) for tier in tiers for program in (one, many)]
        with ThreadPoolExecutor(2) as pool:
            for run, (status, said) in zip(runs, pool.map(lambda run: _watched(shop, *run), runs), strict=True):
                demand(status == 0, f"{level}, {run[1]}:", said[:4000])
                counts["runs"] += 1
            planted = [(many, tier, "leak", where) for tier in tiers for where in LEAKS] if level == "-O2" else []
            for leak, (status, _) in zip(planted, pool.map(lambda run: _watched(shop, *run), planted), strict=True):
                demand(status == REPORTED, f"the leak planted behind {leak[3]} on {leak[1]} was not reported")
                counts["leaks caught"] += 1
        counts["tiers"] = len(tiers)
    return counts


def constant_time_inside(setting: Setting) -> Counts:
    """MemorySanitizer: batches and packets on every tier this CPU has, and every planted leak."""
    shop, counts = setting.workshop, {"runs": 0, "leaks caught": 0}
    known = DRIVERS / "known_to_msan.h"
    flags = ("-std=gnu11", "-O1", "-g1", "-fsanitize=memory", "-DSM_CHECK_SECRETS", "-include", str(known))
    many = shop.program("secrets-inside", "clang", flags, SECRETS["many"], last=(tiers_flag(),))
    options = {"MSAN_OPTIONS": f"exit_code={REPORTED}"}
    for tier in setting.core.tiers:
        done = shop.run(many, tier, settings=options)
        demand(done.returncode == 0, f"{tier}:", done.stderr[:4000])
        counts["runs"] += 1
        for where in LEAKS:
            status = shop.run(many, tier, "leak", where, settings=options).returncode
            demand(status == REPORTED, f"the leak planted behind {where} on {tier} was not reported")
            counts["leaks caught"] += 1
    return counts
