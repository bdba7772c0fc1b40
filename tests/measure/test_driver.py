"""The C loop: every engine held to the core's answers before it is timed, and a core that errs found out."""

import ctypes
from collections.abc import Iterator

import pytest

from emulator.errors import EmulatorError, InputError, UsageError
from emulator.measure import driver as loop
from emulator.measure import peers
from emulator.measure.driver import Driver, Engine, NoDriverError, Op
from emulator.measure.peers import Peers

native = pytest.importorskip("emulator.crypto.native")
NOBODY = Peers(None, None, None)
SEAL_AT = list(loop._CALLS).index("sm_seal_batch")
SEAL = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_void_p] * 3, ctypes.c_size_t, *[ctypes.c_void_p] * 3,
    ctypes.c_size_t, *[ctypes.c_void_p] * 3,
)  # fmt: skip


def made(keys: int = 500, of: Peers = NOBODY) -> Driver:
    try:
        return Driver(keys, of)
    except NoDriverError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    made_here = made(of=peers.find())
    yield made_here
    made_here.close()


@pytest.mark.parametrize("opening", [Op.OPEN, Op.UNWRAP, Op.ESP_OPEN])
@pytest.mark.parametrize("engine", Engine)
def test_every_engine_answers_as_the_core_does(driver, engine, opening) -> None:
    """The same bytes sealed, the core's opened, changed ones refused; at each length that is measured."""
    if not driver.has(engine, opening):
        pytest.skip(f"{engine.name} is not here, or does not do that")
    for size in (16, 64, 0, 100, 1024):
        driver.check(engine, opening, size, one=engine >= Engine.KEPT_A, seed=size, count=200)


@pytest.mark.parametrize("fault", ["text", "tag"])
def test_a_core_that_seals_wrongly_is_not_measured(monkeypatch, fault) -> None:
    """One bit wrong in the fifth message of a batch: the check says so."""
    addresses = loop.core_addresses()
    real = SEAL(addresses[SEAL_AT])

    def bent(*arguments):
        good = real(*arguments)
        out, places = arguments[8], ctypes.cast(arguments[10], ctypes.POINTER(ctypes.c_uint32))
        length = ctypes.cast(arguments[7], ctypes.POINTER(ctypes.c_uint32))[4]
        at = out + places[4] + (3 if fault == "text" else length + 2)
        ctypes.cast(at, ctypes.POINTER(ctypes.c_uint8))[0] ^= 4
        return good

    stub = SEAL(bent)
    addresses[SEAL_AT] = ctypes.cast(stub, ctypes.c_void_p).value or 0
    monkeypatch.setattr(loop, "core_addresses", lambda: addresses)
    wrong = made()
    with pytest.raises(EmulatorError, match="not measured"):
        wrong.check(Engine.CORE, Op.OPEN, 64, one=False, seed=3, count=64)
    wrong.close()


def test_messages_are_used_once(driver) -> None:
    """Opened again they are replays, and a figure of refusals would mean nothing."""
    driver.prepare(Op.OPEN, 64, one=False, seed=5, count=100)
    assert driver.timed(Engine.CORE) > 0
    with pytest.raises(EmulatorError, match="mean nothing"):
        driver.timed(Engine.CORE)


def test_more_than_there_is_room_for_is_refused(driver) -> None:
    """Messages, lengths and keys have their bounds."""
    for size, count in ((loop.TEXT_MAX + 1, 1), (16, loop.MESSAGES + 1)):
        with pytest.raises(UsageError):
            driver.prepare(Op.SEAL, size, one=False, seed=1, count=count)
    for keys in (0, -1, (1 << 24) + 1):
        with pytest.raises(UsageError):
            Driver(keys, NOBODY)


def test_the_longest_messages_fit(driver) -> None:
    """A whole batch of them, each way."""
    for op in Op:
        driver.prepare(op, loop.TEXT_MAX, one=False, seed=2)
        assert driver.timed(Engine.CORE) > 0


def test_a_core_with_other_calls_is_refused_in_words(monkeypatch) -> None:
    """Its functions are called by address: a moved one would be called wrongly."""
    calls = dict(loop._CALLS)
    calls["sm_seal_batch"] = calls["sm_seal_batch"].replace("size_t", "int", 1)
    monkeypatch.setattr(loop, "_CALLS", calls)
    with pytest.raises(EmulatorError, match=r"sm_seal_batch is .* written for"):
        Driver(10, NOBODY)


def test_no_compiler_is_said(monkeypatch, tmp_path) -> None:
    """In words, and as an error that means absence."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoDriverError, match="no C compiler"):
        Driver(10, NOBODY)


@pytest.mark.parametrize(("script", "words"), [("echo it broke >&2; exit 1", "it broke"), ("true", "cannot be")])
def test_a_compiler_that_fails_is_said(monkeypatch, tmp_path, script, words) -> None:
    """With what it said; and one that leaves nothing behind."""
    compiler = tmp_path / "mycc"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(NoDriverError, match=words):
        Driver(10, NOBODY)


def test_absent_libraries_are_absent() -> None:
    """Nothing found, nothing said to be here; a file that is no library neither."""
    for of in (NOBODY, Peers("/nowhere/libcrypto.so", __file__, "/nowhere/libIPSec_MB.so")):
        alone = made(10, of)
        assert set(alone.versions().values()) == {None}
        for op in Op:
            assert [engine for engine in Engine if alone.has(engine, op)] == [Engine.CORE]
        alone.close()


def test_a_named_libcrypto_has_to_be_one(monkeypatch) -> None:
    """And new enough."""
    monkeypatch.setenv(peers.VARIABLE, __file__)
    with pytest.raises(InputError, match=peers.VARIABLE):
        peers.find()
    system = peers.ctypes.util.find_library("crypto")
    if system and (peers.openssl_version(system) or (9, 9)) < peers.NEWER:
        monkeypatch.setenv(peers.VARIABLE, system)
        with pytest.raises(InputError, match=r"3\.5"):
            peers.find()


def test_the_calibration_is_a_number_of_this_machine(driver) -> None:
    """A fraction of a nanosecond to a few, and latency above throughput."""
    found = driver.calibrate()
    assert 0.01 < found.integer < 50
    assert 0.5 < found.line < 5000
    if found.aesenc is not None and found.aesenc_latency is not None:
        assert 0.01 < found.aesenc < found.aesenc_latency * 1.5 < 500
