"""The cases of the C loop: which engines, which lengths, which keys; a round of those that are compared.

Regimes. `random`: 150,000 meters, each message another one's, which is what a head end sees; no library's cached
context fits the cache then, so peers expand the key for each message. `one key`: everything warm, where they may keep
it. `random 450,000`: three times the meters. `one association`: ESP, one key for a long time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from emulator.errors import InputError
from emulator.measure.driver import MESSAGES, Driver, Engine, Op

RANDOM, ONE_KEY, MORE_KEYS, ASSOCIATION = "random", "one key", "random 450,000", "one association"
KEYS: Final = 150_000
MANY_KEYS: Final = 450_000
MIXED: Final = 0
"""16 to 128 bytes, uniform."""
SIZES: Final = (16, 64, 128, 256, 1024, MIXED)
COMPARED: Final = 64
"""The length at which three times the keys run too."""
QUICK_SIZES: Final = (16, 64, MIXED)
TIERS: Final = ("avx512", "vaes", "avx2", "aesni", "aarch64", "portable")
"""Names a core may know; those it does not are left out."""
SLOW_MESSAGES: Final = 256
"""Messages of a sample where one costs microseconds."""

PEERS: Final = {
    Engine.OPENSSL_A: "openssl",
    Engine.OPENSSL_B: "openssl35",
    Engine.EXPAND: "ipsec_mb",
    Engine.EXPAND_FETCH: "ipsec_mb_prefetch",
    Engine.KEPT_A: "openssl_kept",
    Engine.KEPT_B: "openssl35_kept",
    Engine.PRECOMPUTED: "ipsec_mb_precomputed",
}
"""What the engines are called in a report. `kept`, `precomputed`: one key, expanded before the clock runs."""
_REKEYED: Final = (Engine.OPENSSL_A, Engine.OPENSSL_B, Engine.EXPAND, Engine.EXPAND_FETCH)
_KEPT: Final = (Engine.KEPT_A, Engine.KEPT_B, Engine.PRECOMPUTED)


class Case(NamedTuple):
    """One figure: `engine` as a report calls it, `operation` in small letters, `size` in bytes or "mixed"."""

    engine: str
    regime: str
    operation: str
    size: str


@dataclass(frozen=True)
class Run:
    """How a case is run."""

    case: Case
    driver: Driver
    engine: Engine
    op: Op
    size: int
    one: bool
    tier: str
    count: int


def native_name(tier: str) -> str:
    """What the core is called in a report."""
    return f"native {tier}"


def tiers(select: Callable[[str], None], selected: Callable[[], str]) -> list[str]:
    """The tiers of the core here, the one in use first; it is in use again afterwards."""
    best = selected()
    found = [best]
    for name in TIERS:
        if name == best:
            continue
        try:
            select(name)
        except InputError:
            continue
        found.append(name)
    select(best)
    return found


def _size_name(size: int) -> str:
    return str(size) if size else "mixed"


def _row(driver: Driver, regime: str, op: Op, size: int, here: Sequence[str], peers: Sequence[Engine]) -> Iterator[Run]:
    """Our tiers (the best first) and the peers that are here, for one op and size."""
    one = regime in (ONE_KEY, ASSOCIATION)
    for tier in here:
        case = Case(native_name(tier), regime, op.name.lower(), _size_name(size))
        slow = tier == "portable"
        yield Run(case, driver, Engine.CORE, op, size, one, tier, SLOW_MESSAGES if slow else MESSAGES)
    for engine in peers:
        if driver.has(engine, op):
            case = Case(PEERS[engine], regime, op.name.lower(), _size_name(size))
            yield Run(case, driver, engine, op, size, one, here[0], MESSAGES)


def plan(driver: Driver, many: Driver, here: Sequence[str], *, quick: bool) -> list[list[Run]]:
    """All cases; those of one list are run in turn and compared."""
    rows: list[list[Run]] = []
    best = here[:1]
    sizes = QUICK_SIZES if quick else SIZES
    for size in sizes:
        for op in (Op.SEAL, Op.OPEN):
            rows.append(list(_row(driver, RANDOM, op, size, best if quick else here, _REKEYED)))
            if size == COMPARED:
                rows[-1] += _row(many, MORE_KEYS, op, size, best, () if quick else _REKEYED)
            if not quick:
                rows.append(list(_row(driver, ONE_KEY, op, size, best, (*_REKEYED[:3], *_KEPT))))
    for op in (Op.WRAP, Op.UNWRAP):
        rows.append(list(_row(driver, RANDOM, op, 16, best if quick else here, _REKEYED)))
    if quick:
        rows.append(list(_row(driver, RANDOM, Op.SEAL, 1024, best, (Engine.EXPAND,))))
    for op in (Op.ESP_SEAL, Op.ESP_OPEN):
        rows.append(list(_row(driver, ASSOCIATION, op, 1024, best if quick else here, _KEPT)))
    return rows


def check(rows: Sequence[Sequence[Run]], select: Callable[[str], None]) -> int:
    """Hold every engine of a plan to the core's answers, at every size; how many checks. Raises EmulatorError."""
    opening = {Op.SEAL: Op.OPEN, Op.WRAP: Op.UNWRAP, Op.ESP_SEAL: Op.ESP_OPEN}
    done = 0
    for run in (run for row in rows for run in row if run.op in opening):
        select(run.tier)
        run.driver.check(run.engine, opening[run.op], run.size, one=run.one, seed=99, count=min(run.count, 512))
        done += 1
    return done


def one_round(row: Sequence[Run], seed: int, select: Callable[[str], None]) -> dict[Case, float]:
    """ns a message of every case of a row, each once. `seed` (0 to 2^32) draws keys, and who goes first."""
    found: dict[Case, float] = {}
    first = seed % len(row)
    for turn, run in enumerate([*row[first:], *row[:first]]):
        select(run.tier)
        run.driver.prepare(run.op, run.size, one=run.one, seed=seed * 64 + turn, count=run.count)
        found[run.case] = run.driver.timed(run.engine)
    return found
