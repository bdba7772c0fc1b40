"""Homes as bytes, and send counters spoken for ahead of their use."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.crypto.keys import COUNTER_MAX, PROTECTED, ContextStore
from emulator.errors import InputError, UsageError
from emulator.fleet.saved import Reservations, Saved, pack, unpack

TITLE, PEER = b"ELS\0\0\0\0\7", b"DCC\0\0\0\0\1"


def loaded(tx: int = 0, rx: int = 0) -> ContextStore:
    store = ContextStore(2)
    store.load(0, ek=b"E" * 16, ak=b"A" * 16, title=TITLE, peer=PEER, tx=tx, rx=rx, kek=b"K" * 16)
    return store


def exports(store: ContextStore) -> list[bytearray | None]:
    return [store.export(index) if store.loaded(index) else None for index in range(2)]


def test_a_home_comes_back_from_its_bytes(saved: Callable[..., Saved]) -> None:
    """Row, contexts, reservations and the runner's own bytes are the same after pack and unpack."""
    home = saved(b"\x00" * 300, 5, 9)
    assert unpack(7, pack(7, home), "here") == home
    assert home.reserved_tx == (261, 0)
    assert [state and (state["tx"], state["rx"], state["title"], state["master"]) for state in home.states()] == [
        (261, 9, TITLE, True),
        None,
    ]


def test_keys_are_not_in_what_is_printed(saved: Callable[..., Saved]) -> None:
    """Neither repr nor the states show a key."""
    home = saved()
    for shown in (repr(home), repr(list(home.states()))):
        assert "EEEE" not in shown
        assert "KKKK" not in shown


def test_damage_is_found_wherever_it_is(saved: Callable[..., Saved]) -> None:
    """Every changed byte, every cut, and another home's bytes in this home's place are refused as InputError."""
    raw = pack(7, saved(b"row" * 9))
    for at in range(len(raw)):
        bent = bytearray(raw)
        bent[at] ^= 0x10
        with pytest.raises(InputError, match="installation 7"):
            unpack(7, bytes(bent), "here")
        with pytest.raises(InputError):
            unpack(7, raw[:at], "here")
    with pytest.raises(InputError):
        unpack(8, raw, "here")


def test_only_what_moves_more_than_a_reserved_counter_is_saved() -> None:
    """Sealing within the reservation needs no save; the frame that reaches it does, and so does any other change."""
    ledger = Reservations(4)
    with loaded(tx=10) as store:

        def due(row: bytes = b"row") -> Saved | None:
            return ledger.reserve(0, row, exports(store))

        first = due()
        assert first is not None
        assert first.reserved_tx == (14, 0)
        assert due() == first, "until it is durable it is asked for again"
        ledger.durable(0, first)
        for _ in range(4):
            store.seal(0, PROTECTED, b"x")
            assert due() is None
        store.seal(0, PROTECTED, b"x")
        second = due()
        assert second is not None
        assert second.reserved_tx == (19, 0)
        ledger.durable(0, second)
        assert due() is None
        assert due(b"other row") is not None
        store.set_counters(0, rx=5)
        third = due()
        assert third is not None
        assert third.reserved_tx == (19, 0), "a reservation that reaches far enough stands"
        ledger.durable(0, third)
        store.install(0, ek=b"F" * 16, reset=True)
        fourth = due()
        assert fourth is not None
        assert fourth.reserved_tx == (4, 0), "a new key begins anew"


def test_a_loaded_home_goes_on_from_its_reservation() -> None:
    """What was loaded is durable as it stands, until the first frame under it; and it cannot be wound back."""
    with loaded(tx=3) as store, ContextStore(2) as again:
        store.install(0, ek=b"F" * 16)
        home = Reservations(8).reserve(0, b"", exports(store))
        assert home is not None
        assert home.contexts[0] is not None
        again.restore(0, home.contexts[0])
        assert again.counters(0) == (11, 0)
        with pytest.raises(UsageError):
            again.set_counters(0, tx=3)
        ledger = Reservations(8)
        ledger.durable(0, home)
        assert ledger.reserve(0, b"", exports(again)) is None
        again.seal(0, PROTECTED, b"x")
        assert ledger.reserve(0, b"", exports(again)) is not None


def test_at_the_end_of_the_counters_nothing_overflows(saved: Callable[..., Saved]) -> None:
    """A reservation stops at the last counter, and what is given up too; then the key is spent."""
    home = saved(tx=COUNTER_MAX - 3)
    assert home.reserved_tx == (COUNTER_MAX, 0)
    assert saved(tx=5).ahead(1 << 32).reserved_tx == (COUNTER_MAX, 0)
    assert saved(tx=5).ahead(100).reserved_tx == (361, 0)


def test_a_context_of_another_size_is_refused() -> None:
    """Bytes that carry a right digest but no context are refused all the same."""
    with pytest.raises(InputError, match="not readable"):
        unpack(1, pack(1, Saved(b"", (b"short",), (0,))), "here")
    with pytest.raises(InputError, match="not readable"):
        unpack(1, pack(1, Saved(b"", (None,), (0, 0))), "here")


STEPS = st.lists(st.sampled_from(["seal", "save", "fail", "crash", "re-key", "re-key anew"]), max_size=60)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(1, 6))
def test_no_counter_leaves_twice_under_one_key(steps: list[str], block: int) -> None:
    """Whatever is sealed, saved, not saved and lost in whatever order: of all frames that were let out, no two share
    key and counter."""
    left: set[tuple[bytes, int]] = set()
    waiting: list[tuple[bytes, int]] = []
    kept: Saved | None = None
    keys = 0
    ledger, store = Reservations(block), loaded()
    for step in steps:
        if step == "seal":
            key = bytes(store.export(0)[:16])
            waiting.append((key, store.seal(0, PROTECTED, b"x")[0]))
        elif step.startswith("re-key"):
            keys += 1
            store.install(0, ek=keys.to_bytes(16, "big"), reset=step.endswith("anew"))
        elif step == "crash":
            waiting.clear()
            store.close()
            ledger, store = Reservations(block), loaded()
            if kept is not None:
                assert kept.contexts[0] is not None
                store.restore(0, kept.contexts[0])
                ledger.durable(0, kept)
        else:
            home = ledger.reserve(0, b"", exports(store))
            if home is not None:
                if step == "fail":
                    continue
                kept = home
                ledger.durable(0, home)
            assert not left.intersection(waiting)
            left.update(waiting)
            waiting.clear()
    store.close()
