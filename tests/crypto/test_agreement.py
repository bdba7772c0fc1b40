"""The compiled core and `cryptography` give one answer: value for value, refusal for refusal, row for row."""

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.crypto.esp_sa_base import SaState
from emulator.errors import EmulatorError, ReplayError

KEYS = [bytes([n]) * 16 for n in range(1, 4)]
TITLES = [b"ELS\0\0\0\0\1", b"SMS\0\0\0\0\2"]

index = st.sampled_from([0, 0, 1, 1, 2, 3])  # 2 stays empty at first, 3 is outside
key = st.sampled_from(KEYS)
title = st.sampled_from(TITLES)
counter = st.sampled_from([0, 1, 2, 3, 5, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF])
control = st.sampled_from([0x30, 0x30, 0x10, 0x20, 0x00, 0x31, 0x70, 0x80])
text = st.binary(max_size=40)

steps = st.one_of(
    st.tuples(st.just("load"), index, st.fixed_dictionaries(
        {"ek": key, "ak": key, "title": title, "peer": title, "tx": counter, "rx": counter},
        optional={"kek": key})),
    st.tuples(st.just("install"), index, st.fixed_dictionaries(
        {"reset": st.booleans()}, optional={"ek": key, "ak": key})),
    st.tuples(st.just("set_counters"), index, st.fixed_dictionaries({}, optional={"tx": counter, "rx": counter})),
    st.tuples(st.just("set_master"), index, st.one_of(st.none(), key)),
    st.tuples(st.just("set_peer"), index, title),
    st.tuples(st.just("seal"), index, control, text),
    st.tuples(st.just("open"), index, control, counter, text),
    st.tuples(st.just("send"), index, index, control, text, st.integers(-1, 60)),
    st.tuples(st.just("gmac"), index, text),
    st.tuples(st.just("check_gmac"), index, counter, st.binary(max_size=13), text),
    st.tuples(st.just("wrap"), index, st.binary(min_size=15, max_size=17)),
    st.tuples(st.just("unwrap"), index, st.binary(min_size=23, max_size=25)),
    st.tuples(st.just("export"), index),
    st.tuples(st.just("erase"), index),
    st.tuples(st.just("loaded"), index),
    st.tuples(st.just("state"), index),
)  # fmt: skip


def answer(call: Any, *arguments: Any, **named: Any) -> Any:
    """What a call gives, an error being an answer too."""
    try:
        return call(*arguments, **named)
    except ReplayError as error:
        return ReplayError, error.expected
    except EmulatorError as error:
        return type(error)


def play(store: Any, step: tuple[Any, ...]) -> Any:
    name, at, *rest = step
    if name == "send":  # sealed by one context, one byte perhaps bent, opened by another
        to, mode, plain, bend = rest
        sealed = answer(store.seal, at, mode, plain)
        if not isinstance(sealed, tuple) or not isinstance(sealed[0], int):
            return sealed
        number, body = sealed
        if 0 <= bend < len(body):
            body = body[:bend] + bytes([body[bend] ^ 0x10]) + body[bend + 1 :]
        return sealed, answer(store.open, to, mode, number, body)
    if rest and isinstance(rest[0], dict):
        return answer(getattr(store, name), at, **rest[0])
    return answer(getattr(store, name), at, *rest)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=4, max_size=25))
def test_any_history_leads_both_to_the_same_answers_and_rows(native_core, fallback_core, history) -> None:
    """Random lives of three contexts, including every refusal the contract names."""
    with native_core.context_store(3) as native, fallback_core.context_store(3) as fallback:
        for store in (native, fallback):
            store.load(0, ek=KEYS[0], ak=KEYS[1], title=TITLES[0], peer=TITLES[1], kek=KEYS[2])
            store.load(1, ek=KEYS[0], ak=KEYS[1], title=TITLES[1], peer=TITLES[0], kek=KEYS[2])
        for step in history:
            assert play(native, step) == play(fallback, step), step
        for place in range(3):
            assert answer(native.export, place) == answer(fallback.export, place)


@pytest.mark.parametrize("mode", [0x10, 0x20, 0x30])
def test_every_length_is_sealed_alike(native_core, fallback_core, mode) -> None:
    """0 to 300 bytes and the edges above: the same text under the same counter."""
    chance = Random(mode)
    with native_core.context_store(1) as native, fallback_core.context_store(1) as fallback:
        for store in (native, fallback):
            store.load(0, ek=KEYS[0], ak=KEYS[1], title=TITLES[0], peer=TITLES[0])
        for length in [*range(301), 511, 512, 513, 1024, 2047, 2048, 4084, 4085, 4096, 65535]:
            plain = chance.randbytes(length)
            sealed = native.seal(0, mode, plain)
            assert sealed == fallback.seal(0, mode, plain)
            assert native.open(0, mode, *sealed) == fallback.open(0, mode, *sealed) == plain


def test_one_core_continues_the_others_row(native_core, fallback_core) -> None:
    """A row written by either is taken by the other."""
    with native_core.context_store(1) as native, fallback_core.context_store(1) as fallback:
        native.load(
            0, ek=KEYS[0], ak=KEYS[1], title=TITLES[0], peer=TITLES[1], tx=0x01020304, rx=0x0A0B0C0D, kek=KEYS[2]
        )
        native.install(0, ak=KEYS[2])
        fallback.restore(0, native.export(0))
        assert fallback.state(0) == native.state(0)
        assert fallback.export(0) == native.export(0)


packet_change = st.tuples(st.integers(0, 60), st.sampled_from([0, 1, 0x80]))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.lists(st.tuples(st.integers(1, 200), packet_change, st.integers(0, 3)), min_size=1, max_size=40),
    start=st.sampled_from([SaState(1, 0, 0), SaState(1, 100, 0b1011), SaState(5, 0xFFFFFFF0, 1)]),
)
def test_associations_agree_on_every_packet(native_core, fallback_core, order, start) -> None:
    """Sequence numbers in any order, some packets bent or cut: same answer, same window after each."""
    sender = fallback_core.esp_sa.Sa(9, KEYS[0], b"salt")
    packets = [sender.seal(bytes(n % 23), 4) for n in range(1, 201)]
    native = native_core.esp_sa.Sa(9, KEYS[0], b"salt", state=start)
    fallback = fallback_core.esp_sa.Sa(9, KEYS[0], b"salt", state=start)
    for number, (at, change), cut in order:
        packet = packets[number - 1]
        if at < len(packet):
            packet = packet[:at] + bytes([packet[at] ^ change]) + packet[at + 1 :]
        packet = packet[: len(packet) - cut * 2]
        assert answer(native.open, packet) == answer(fallback.open, packet)
        assert native.state() == fallback.state()
    native.close()
