"""The table R1 to R9, as the oracle reads it: class, rows, shortest way, and what an engineer is told."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.oracle.search import results, search
from emulator.oracle.state import CORRUPT, FOREIGN, NEW, Habits, Keeper, State
from emulator.oracle.transitions import Command, Result, Verb, commands, step
from emulator.oracle.verdict import ROWS, Class, in_words, judge, keepers_at_odds, matters

TWO = {"s1sp_data": 3, "dco_data": 3, "s1sp_master": 3, "dco_master": 3}
RESETS = Habits(counter_reset=True)
V = Verb

TABLE: list[tuple[dict[str, Any], Habits, Class, set[str], list[Verb] | None]] = [
    ({}, Habits(), Class.HEALTHY, {"R1"}, []),
    ({"ek": 1, "ak": 1, "data_doubt": True}, Habits(), Class.RECOVERABLE, {"R2"}, [V.ASSOCIATE]),
    ({"data_doubt": True}, Habits(), Class.RECOVERABLE, {"R2"}, [V.ASSOCIATE]),
    ({"ek": 1}, Habits(), Class.RECOVERABLE, {"R3"}, [V.ASSOCIATE, V.TRANSFER_DATA, V.ASSOCIATE]),
    ({"ak": 1}, Habits(), Class.RECOVERABLE, {"R3"}, [V.ASSOCIATE, V.TRANSFER_DATA, V.ASSOCIATE]),
    ({"kek": 1, "master_doubt": True}, Habits(), Class.RECOVERABLE, {"R4"}, [V.ASSOCIATE, V.PROBE_MASTER]),
    ({"kek": 1}, Habits(), Class.RECOVERABLE, {"R4"}, [V.ASSOCIATE, V.PROBE_MASTER]),
    ({"kek": FOREIGN}, Habits(), Class.READS_ONLY, {"R5"}, None),
    ({"kek": FOREIGN, "ek": 1, "ak": 1}, Habits(), Class.READS_ONLY, {"R2", "R5"}, None),
    ({"ek": FOREIGN, "ak": FOREIGN, "kek": FOREIGN}, Habits(), Class.UNRECOVERABLE, {"R6"}, None),
    ({"ek": FOREIGN}, Habits(), Class.UNRECOVERABLE, {"R6"}, None),
    ({"ak": FOREIGN}, Habits(), Class.UNRECOVERABLE, {"R6"}, None),
    ({"room_in": 0}, Habits(), Class.UNRECOVERABLE, {"R7"}, None),
    ({"room_in": 0}, RESETS, Class.UNRECOVERABLE, {"R7"}, None),
    ({"room_in": 3}, RESETS, Class.READS_ONLY, {"R7"}, None),
    ({"room_in": 4}, RESETS, Class.RECOVERABLE, {"R7"}, [V.ASSOCIATE, V.TRANSFER_DATA, V.RESTART]),
    ({"room_in": 4}, Habits(), Class.READS_ONLY, {"R7"}, None),
    ({"room_out": 4}, RESETS, Class.RECOVERABLE, {"R7"}, [V.ASSOCIATE, V.TRANSFER_DATA, V.ASSOCIATE]),
    ({"room_out": 2}, Habits(), Class.UNRECOVERABLE, {"R7"}, None),
    ({"met": False}, Habits(), Class.UNRECOVERABLE, {"R8"}, None),
    ({"met": False, "ek": FOREIGN}, Habits(), Class.UNRECOVERABLE, {"R6", "R8"}, None),
    ({"ek": CORRUPT}, Habits(), Class.UNRECOVERABLE, {"R9"}, None),
    ({"ak": CORRUPT}, Habits(), Class.UNRECOVERABLE, {"R9"}, None),
    ({"kek": CORRUPT}, Habits(), Class.READS_ONLY, {"R9"}, None),
    ({"ahead": True}, Habits(), Class.RECOVERABLE, {"counter"}, [V.ASK_COUNTER]),
    ({"up": int(Keeper.S1SP), "ek": 1, "ak": 1}, Habits(), Class.RECOVERABLE, {"keeper", "R2"}, [V.WAIT, V.ASSOCIATE]),
    ({"up": int(Keeper.S1SP)}, Habits(), Class.HEALTHY, {"keeper"}, []),
    ({"dco_data": 1, "ek": 1, "ak": 1}, Habits(), Class.UNRECOVERABLE, {"R6"}, None),
    ({"dco_master": 1, "kek": 1}, Habits(), Class.READS_ONLY, {"R5"}, None),
    ({"kek": 1}, Habits(master_changes=False), Class.RECOVERABLE, {"R4"}, [V.ASSOCIATE, V.PROBE_MASTER]),
]


def named(value: object) -> str:
    return ",".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else ""


@pytest.mark.parametrize(("given", "habits", "kind", "rows", "verbs"), TABLE, ids=named)
def test_the_table(
    given: dict[str, Any], habits: Habits, kind: Class, rows: set[str], verbs: list[Verb] | None
) -> None:
    """Each row: the class, what is the matter, the way; and the engineer is sent exactly when there is none."""
    state = State(**{**TWO, **given})
    found = search(state, habits)
    said = judge(state, found)
    assert said.kind is kind
    assert set(said.rows) == rows
    assert (None if found.way is None else [command.verb for command in found.way]) == verbs
    assert bool(said.advice) == (kind in (Class.READS_ONLY, Class.UNRECOVERABLE))
    assert said.reason
    if found.way:
        at = state
        for command, promised in zip(found.way, results(state, found.way, habits), strict=True):
            result, at = step(at, command, habits)
            assert result is promised
        assert at.agrees()


def test_advice_fits_what_is_broken() -> None:
    """A corrupt slot, an unknown master key and a raised policy are told apart."""

    def advice(**given: Any) -> str:
        state = State(**{**TWO, **given})
        return judge(state, search(state, Habits())).advice

    assert "memory has lost a key" in advice(ek=CORRUPT)
    assert "never again be given keys" in advice(kek=FOREIGN)
    assert "policy is never lowered" in advice(met=False)
    assert "Nothing that can be sent to it will open" in advice(ek=FOREIGN)
    assert "counter does not start anew" in advice(room_in=0)


def test_a_lost_share_is_named() -> None:
    """A key that one keeper has and the other lost is told as such."""
    state = State(**{**TWO, "dco_data": 1, "ek": 1, "ak": 1})
    assert keepers_at_odds(state) == ["only the S1SP knows a generation of the data keys"]
    assert keepers_at_odds(State(**TWO)) == []


def test_every_row_has_words() -> None:
    """Whatever may be the matter can be said."""
    for given, *_ in TABLE:
        assert set(matters(State(**{**TWO, **given}))) <= set(ROWS)


def test_commands_in_words() -> None:
    """Generations are named, and never a position."""
    data, master = (4, 5, 0), (2, 0)
    assert in_words(Command(V.ASSOCIATE, ek=1, ak=0), data, master) == (
        "associate under EK of generation 5 with AK of generation 4"
    )
    assert in_words(Command(V.TRANSFER_DATA, 1, NEW, NEW), data, master) == (
        "transfer EK and AK of a new generation under master key of generation 0"
    )
    assert in_words(Command(V.TRANSFER_MASTER, 0, kek=NEW), data, master) == (
        "transfer master key of a new generation under master key of generation 2"
    )
    assert in_words(Command(V.TRANSFER_AK, 0, ak=2), data, master) == (
        "transfer AK of generation 0 under master key of generation 2"
    )
    assert in_words(Command(V.WAIT, keeper=Keeper.DCO)) == "wait until the DCO answers again"
    for command in commands(State(**TWO, associated=True, ahead=True)):
        assert in_words(command, data, master)


def test_nothing_is_sent_that_nobody_can_make() -> None:
    """With the DCO down, or without its share, a command is unsent and changes nothing."""
    down = State(**TWO, up=int(Keeper.S1SP))
    assert step(down, Command(V.ASSOCIATE), Habits()) == (Result.UNSENT, down)
    half = State(**{**TWO, "dco_master": 1}, associated=True)
    command = Command(V.TRANSFER_DATA, 1, 0, 0)
    assert step(half, command, Habits()) == (Result.UNSENT, half)


def test_no_way_is_longer_than_needed(on_bench: Callable[..., Any]) -> None:
    """Every state one command nearer has a way one command shorter."""
    state = on_bench(ek=1, kek=1).state
    found = search(state, Habits())
    assert found.way is not None
    for gone in range(1, len(found.way)):
        at = state
        for command in found.way[:gone]:
            _, at = step(at, command, Habits())
        assert not at.agrees()
