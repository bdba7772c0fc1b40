"""The cases of `bench/crypto.py` one by one under pytest-benchmark: `pytest bench/test_crypto_benchmark.py`.

Each round is a batch of 4,096 messages (`extra_info` holds ns a message and the machine's state), on thread CPU time.
pytest-benchmark runs one case after another, not in turn, so compare its figures within a quiet minute, or take the
ratios of `bench/crypto.py`.
"""

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from emulator.crypto.keys import PROTECTED
from emulator.measure import from_python, natively, peers
from emulator.measure.driver import MESSAGES, Driver, Engine, NoDriverError, Op

pytest.importorskip("pytest_benchmark")
pytestmark = pytest.mark.benchmark(timer=time.thread_time, disable_gc=False)
ROUNDS = 15
REKEYED = (Engine.CORE, Engine.OPENSSL_A, Engine.OPENSSL_B, Engine.EXPAND, Engine.EXPAND_FETCH)
KEPT = (Engine.CORE, Engine.KEPT_A, Engine.KEPT_B, Engine.PRECOMPUTED)


def name(engine: Engine) -> str:
    return natively.PEERS.get(engine, "native")


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    native = pytest.importorskip("emulator.crypto.native")
    assert native.selected()
    try:
        made = Driver(natively.KEYS, peers.find())
    except NoDriverError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture(scope="module")
def cases() -> Iterator[from_python.PythonCases]:
    made = from_python.PythonCases(natively.KEYS)
    made.check()
    yield made
    made.close()


def run(benchmark: Any, driver: Driver, engine: Engine, op: Op, size: int, *, one: bool) -> None:
    if not driver.has(engine, op):
        pytest.skip(f"{name(engine)} is not here")
    seeds = count()
    driver.check(engine, {Op.SEAL: Op.OPEN, Op.WRAP: Op.UNWRAP, Op.ESP_SEAL: Op.ESP_OPEN}.get(op, op), size, one=one,
                 seed=1)  # fmt: skip
    found: list[float] = []
    benchmark.extra_info["calibration"] = driver.calibrate()._asdict()
    benchmark.pedantic(
        lambda: found.append(driver.timed(engine)),
        setup=lambda: driver.prepare(op, size, one=one, seed=next(seeds)),
        rounds=ROUNDS,
    )
    benchmark.extra_info["ns_a_message"] = sorted(found)[len(found) // 2]
    benchmark.extra_info["messages"] = MESSAGES


@pytest.mark.parametrize("engine", REKEYED, ids=name)
@pytest.mark.parametrize("size", natively.SIZES, ids=lambda size: f"{size} B" if size else "mixed")
@pytest.mark.parametrize("op", [Op.SEAL, Op.OPEN], ids=lambda op: op.name.lower())
def test_messages_under_random_keys(benchmark: Any, driver: Driver, op: Op, size: int, engine: Engine) -> None:
    """AES-GCM, a different key each."""
    benchmark.group = f"{op.name.lower()} {size or 'mixed'}, random keys"
    run(benchmark, driver, engine, op, size, one=False)


@pytest.mark.parametrize("engine", REKEYED[:3], ids=name)
@pytest.mark.parametrize("op", [Op.WRAP, Op.UNWRAP], ids=lambda op: op.name.lower())
def test_key_wrap(benchmark: Any, driver: Driver, op: Op, engine: Engine) -> None:
    """RFC 3394, a different master key each."""
    benchmark.group = f"{op.name.lower()}, random keys"
    run(benchmark, driver, engine, op, 16, one=False)


@pytest.mark.parametrize("engine", KEPT, ids=name)
@pytest.mark.parametrize("op", [Op.ESP_SEAL, Op.ESP_OPEN], ids=lambda op: op.name.lower())
def test_esp(benchmark: Any, driver: Driver, op: Op, engine: Engine) -> None:
    """Packets of 1,024 bytes through one association."""
    benchmark.group = f"{op.name.lower()} 1024, one association"
    run(benchmark, driver, engine, op, 1024, one=True)


def test_python_buffers(benchmark: Any, cases: from_python.PythonCases) -> None:
    """A batch of 4,096 in buffers."""
    benchmark.group = "seal 64 from Python"
    assert benchmark.pedantic(cases.device.seal_buffers, args=(cases.sealing, MESSAGES), rounds=ROUNDS) == MESSAGES


def test_python_lists(benchmark: Any, cases: from_python.PythonCases) -> None:
    """A batch of 4,096 as lists."""
    benchmark.group = "seal 64 from Python"
    arguments = (cases.drawn(), PROTECTED, cases.texts)
    assert len(benchmark.pedantic(cases.device.seal_batch, args=arguments, rounds=ROUNDS)) == MESSAGES


@pytest.mark.parametrize("way", ["one call", "AESGCM(key)"])
def test_python_one_by_one(benchmark: Any, cases: from_python.PythonCases, way: str) -> None:
    """4,096 calls, ours and `cryptography`'s."""
    benchmark.group = "seal 64 from Python"
    seal = cases.seal_singly if way == "one call" else cases.seal_by_aesgcm
    arguments = (cases.drawn(),)
    assert len(benchmark.pedantic(seal, args=arguments, rounds=ROUNDS)) == MESSAGES
