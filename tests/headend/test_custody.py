"""Two keepers and what they can make together; the steps of a rescue; what the ledger reads out of a journal."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import InputError, UsageError
from emulator.fleet.installation import DeviceKeys
from emulator.headend import custody_ledger
from emulator.headend.custody import DeviceCustody, Event
from emulator.headend.keeper import SHARERS, Hierarchy, Keeper, KeeperName, KeeperSettings, Stage
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party

HANDED = DeviceKeys(b"e" * 16, b"a" * 16, b"k" * 16)
E = Party.ELECTRICITY
DATA, MASTER = Hierarchy.DATA, Hierarchy.MASTER


def fresh(builder: Any = "s1sp", **settings: Any) -> DeviceCustody:
    keeper = Keeper(b"secret of a test", 0, 1, KeeperSettings(builder, **settings))
    custody = DeviceCustody(keeper, 0, E, HANDED)
    for hierarchy in Hierarchy:
        assert custody.change(hierarchy).custody.receive() or settings
    return custody


def changed(custody: DeviceCustody, hierarchy: Hierarchy, missed: KeeperName | None = None) -> int:
    """One change that went well; its generation."""
    change = custody.change(hierarchy)
    for event in (Event.RECORD, Event.ACKNOWLEDGE, Event.SEND, Event.PROVEN):
        change.move(event)
    generation = change.custody.candidate
    change.move(Event.PROMOTE, missed=missed)
    return generation


# What two can make


@pytest.mark.parametrize("hierarchy", Hierarchy)
def test_known_is_live_then_candidate_then_earlier_then_handed_over(hierarchy: Hierarchy) -> None:
    """The order in which a way in is looked for; what has fallen out of the short memory is told as lost."""
    custody = fresh()
    assert custody.known(hierarchy) == (0,)
    for _ in range(4):
        changed(custody, hierarchy)
    change = custody.change(hierarchy)
    for event in (Event.RECORD, Event.ACKNOWLEDGE, Event.SEND):
        change.move(event)
    assert custody.known(hierarchy) == (4, 5, 3, 2, 0)
    assert custody.lost(hierarchy) == (1,)
    keys = [custody.key_of(hierarchy, each) for each in custody.known(hierarchy)]
    assert all(one != other for one, other in combinations(keys, 2))
    with pytest.raises(UsageError, match=r"generation 1 .* nobody"):
        custody.key_of(hierarchy, 1)


def test_a_candidate_given_up_can_still_be_made() -> None:
    """It may have been disproven wrongly. One that was never kept is gone."""
    custody = fresh()
    change = custody.data
    for event in (Event.RECORD, Event.ACKNOWLEDGE, Event.SEND, Event.DISPROVEN):
        change.move(event)
    assert custody.known(DATA) == (0, 1)
    for event in (Event.RECORD, Event.ACKNOWLEDGE, Event.SEND, Event.DROP):
        change.move(event)
    assert custody.known(DATA) == (0, 1)
    assert custody.lost(DATA) == (2,)


@pytest.mark.parametrize("keeper", SHARERS)
@pytest.mark.parametrize("hierarchy", Hierarchy)
def test_what_one_of_two_loses_nobody_can_make(keeper: KeeperName, hierarchy: Hierarchy) -> None:
    """The other's share is worth nothing alone, and what comes of an ordinary request is no true key."""
    custody = fresh()
    changed(custody, hierarchy)
    assert custody.known(hierarchy) == (1, 0)
    assert custody.change(hierarchy).custody.lose(keeper, 1)
    assert not custody.change(hierarchy).custody.lose(keeper, 1)  # it is gone already
    assert custody.known(hierarchy) == (0,)
    assert custody.lost(hierarchy) == (1,)
    other = SHARERS[1 - SHARERS.index(keeper)]
    assert custody.change(hierarchy).custody.knows(other, 1)
    if hierarchy is DATA:
        assert custody.built_pair(1) not in (custody.data_keys(0), custody.data_keys(1))
    else:
        assert custody.built_master(1) not in (custody.master_key(0), custody.master_key(1))
    assert changed(custody, hierarchy) == 2  # what was lost is never made anew


@pytest.mark.parametrize("builder", SHARERS)
@pytest.mark.parametrize("missed", SHARERS)
def test_a_keeper_that_missed_a_change_gives_the_share_of_another(builder: KeeperName, missed: KeeperName) -> None:
    """Asked in the ordinary way the two make a key no device holds, or the one before; asked by name, the true one."""
    custody = fresh(builder)
    changed(custody, DATA)
    assert changed(custody, DATA, missed) == 2
    data = custody.data.custody
    assert data.live == (1 if builder == missed else 2)
    assert not data.agreed
    assert custody.built_pair(data.live) != custody.data_keys(2)
    assert 2 in custody.known(DATA)
    custody.data.move(Event.FOUND, generation=2)
    assert data.agreed
    assert custody.built_pair(data.live) == custody.data_keys(2)


def test_who_builds_decides_when_only_one_kept_the_new_key() -> None:
    """The one that has nothing but the old pair still makes that one; the other makes neither."""
    for builder, works in (("s1sp", False), ("dco", True)):
        custody = fresh(builder)
        changed(custody, DATA)
        changed(custody, DATA)
        custody.data.custody.lose("dco", 2)
        held = custody.data_keys(1)  # the change never reached the device
        assert custody.data.custody.live == (1 if builder == "dco" else 2)
        assert custody.key_of(DATA, 1) == held
        assert (custody.data.custody.live in custody.known(DATA)) == works


def test_a_restored_record_has_lost_its_last_change() -> None:
    """Live and candidate are those of the backup; a record that never changed has nothing to lose."""
    custody = fresh()
    data = custody.data.custody
    assert data.restore("dco") is None
    changed(custody, DATA)
    changed(custody, DATA)
    assert data.restore("dco") == 2
    assert data.record_of("dco") == (1, 0, ())
    assert data.record_of("s1sp") == (2, 0, (1,))
    assert custody.known(DATA) == (1, 0)


def test_the_old_operators_record_is_there_until_it_closes() -> None:
    """Who took it over has it for good; who did not never will."""
    keeper = Keeper(b"secret of a test", 0, 2, KeeperSettings(smso_closes=1_000))
    keeper.now = lambda: 999
    taken, late = (DeviceCustody(keeper, home, E, HANDED) for home in (0, 1))
    assert taken.data.custody.receive()
    assert late.known(DATA) == (0,)
    keeper.now = lambda: 1_000
    assert taken.known(DATA) == (0,)
    assert late.known(DATA) == ()
    assert not late.data.custody.receive()
    assert taken.data.custody.lose("s1sp", 0)
    assert taken.known(DATA) == ()


def test_a_master_key_that_was_never_handed_over_is_not_known() -> None:
    """No generation 0 of it, though the pair of generation 0 is there."""
    keeper = Keeper(b"secret of a test", 0, 1)
    custody = DeviceCustody(keeper, 0, E, DeviceKeys(HANDED.ek, HANDED.ak, None))
    assert custody.known(MASTER) == ()
    assert custody.known(DATA) == (0,)
    assert changed(custody, MASTER) == 1
    assert custody.known(MASTER) == (1,)


# Any order of things


MOVES = ("change", "given-up", "drop", "lose s1sp", "lose dco", "restore", "miss", "tell", "found")


@given(st.lists(st.sampled_from(MOVES), max_size=30), st.sampled_from(SHARERS))
def test_whatever_happens_the_record_stays_sound(moves: list[str], builder: KeeperName) -> None:
    """Known and lost part all that was issued; what is known both have; nothing is issued twice; bytes come back."""
    custody = fresh(builder)
    data = custody.data.custody
    issued: list[int] = []
    for move in moves:
        if move in ("change", "given-up", "drop", "miss"):
            for event in (Event.RECORD, Event.ACKNOWLEDGE, Event.SEND):
                custody.data.move(event)
            issued.append(data.candidate)
            if move == "given-up":
                custody.data.move(Event.DISPROVEN)
            elif move == "drop":
                custody.data.move(Event.DROP)
            else:
                custody.data.move(Event.PROVEN)
                custody.data.move(Event.PROMOTE, missed="dco" if move == "miss" else None)
        elif move.startswith("lose"):
            data.lose(move.split()[1], data.live)  # type: ignore[arg-type]
        elif move == "restore":
            data.restore("s1sp")
        elif move == "tell":
            issued.append(data.issue())
            data.tell(issued[-1])
        elif custody.known(DATA):
            custody.data.move(Event.FOUND, generation=custody.known(DATA)[-1])
        known, lost = custody.known(DATA), custody.lost(DATA)
        assert sorted((*known, *lost)) == list(range(data.issued + 1))
        assert all(data.knows(each, generation) for generation in known if generation for each in SHARERS)
        assert data.stage is Stage.HELD
    assert issued == list(range(1, len(issued) + 1))
    kept = custody.keeper.believed(0)
    other = Keeper(b"secret of a test", 0, 1, KeeperSettings(builder))
    other.recall(0, kept)
    again = DeviceCustody(other, 0, E, HANDED)
    assert again.known(DATA) == custody.known(DATA)
    assert [again.data_keys(each) for each in again.known(DATA)] == [
        custody.data_keys(each) for each in custody.known(DATA)
    ]


# The ledger


def entries(custody: DeviceCustody) -> list[Entry]:
    return [Entry(at, 0, int(Party.HEADEND), note.kind, note.detail) for at, note in enumerate(custody.told)]


@given(st.lists(st.sampled_from(("change", "given-up", "drop", "miss", "found")), max_size=12))
def test_the_ledger_says_who_has_what_as_the_keepers_do(moves: list[str]) -> None:
    """Read back from notes alone it comes to the same answer, at the end as well as at any point before."""
    custody = fresh()
    data = custody.data.custody
    told: list[tuple[int, set[int]]] = []
    for move in moves:
        if move == "found":
            custody.data.move(Event.FOUND, generation=custody.known(DATA)[-1])
        else:
            for event in (Event.RECORD, Event.ACKNOWLEDGE, Event.SEND):
                custody.data.move(event)
            if move in ("given-up", "drop"):
                custody.data.move(Event.DISPROVEN if move == "given-up" else Event.DROP)
            else:
                custody.data.move(Event.PROVEN)
                custody.data.move(Event.PROMOTE, missed="dco" if move == "miss" else None)
        told.append((len(custody.told) - 1, set(custody.known(DATA)) - {0}))
    ledger = custody_ledger.read(entries(custody))
    for at, known in told:
        assert ledger.known(0, E, DATA, at) == known
    for generation in range(1, data.issued + 1):
        holders = {each for each in SHARERS if data.knows(each, generation)}
        assert ledger.holders(0, E, DATA, generation) == holders


def test_the_ledger_tells_a_change_step_by_step() -> None:
    """Seven lines for a change that went well, each with who and what; other homes and notes are passed over."""
    custody = fresh()
    custody.tell("handed-over", DATA, 0, "s1sp")
    changed(custody, DATA)
    others = [Entry(0, 1, 0, "custody.lost", (2, 0, 1, "dco")), Entry(0, 0, 0, "relay.opened", ())]
    ledger = custody_ledger.read([*entries(custody), *others])
    assert [(line.what, line.keeper, line.generation) for line in ledger.timeline(0, E, DATA)] == [
        ("handed-over", "s1sp", 0),
        ("recorded", "s1sp", 1),
        ("acknowledged", "dco", 1),
        ("sent", "both", 1),
        ("confirmed", "both", 1),
        ("promoted", "both", 1),
    ]
    assert ledger.timeline(0, Party.GAS) == []
    assert ledger.holders(0, E, DATA, 0) == {"smso", "s1sp", "dco"}
    assert ledger.lost_after_acknowledgement() == []  # the other home never acknowledged anything


def test_the_ledger_finds_a_loss_of_what_was_acknowledged() -> None:
    """By the keeper that had it; a rival's keys were nobody's."""
    custody = fresh()
    changed(custody, DATA)
    custody.loses("dco", DATA, 1)
    custody.take_losses()
    custody.tell("lost", DATA, 2, "rival")
    ledger = custody_ledger.read(entries(custody))
    assert [(line.keeper, line.generation) for line in ledger.lost_after_acknowledgement()] == [("dco", 1)]
    assert ledger.holders(0, E, DATA, 1) == {"s1sp"}
    assert ledger.known(0, E, DATA) == set()


@pytest.mark.parametrize("detail", [(), (2, 0, 1), (9, 0, 1, "dco"), (2, 7, 1, "dco"), (2, 0, "x", "dco")])
def test_a_note_that_is_no_line_is_refused(detail: tuple[Any, ...]) -> None:
    """Whoever changed a journal's file is told which note is wrong."""
    with pytest.raises(InputError, match=r"custody.sent of installation 4"):
        custody_ledger.read([Entry(0, 4, 0, "custody.sent", detail)])


def test_no_key_is_shown_anywhere() -> None:
    """Neither in notes nor in what an object says of itself."""
    custody = fresh()
    changed(custody, DATA)
    changed(custody, MASTER)
    said = "".join(map(repr, (custody, custody.keeper, custody.told, custody.data.custody, custody.data_keys(1))))
    for secret in (custody.data_keys(1).ek, custody.data_keys(1).ak, custody.master_key(1), HANDED.ek):
        assert repr(secret)[2:-1] not in said
        assert secret.hex() not in said
