"""What is left of a change of keys that the mains cut at any write: for every layout, every set of keys, every cut."""

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.common import profile as profiles
from devices.common.key_slots import KEY_IDS, PHASES, Fate, fates, ordered, plan
from devices.common.profile import Keys
from emulator import resources
from emulator.errors import InputError

SETS = [
    tuple(KEY_IDS[name] for name in names)
    for names in chain.from_iterable(combinations(("ek", "broadcast", "ak", "kek"), size) for size in range(1, 5))
]
LAYOUTS = [
    Keys(slots=slots, commit=commit, order=order, checksum=checksum, on_corrupt=on_corrupt)
    for slots in (1, 2)
    for commit in ("item", "array")
    for order in (("ek", "broadcast", "ak", "kek"), ("kek", "ak", "ek", "broadcast"))
    for checksum in (True, False)
    for on_corrupt in ("missing", "locked", "other-slot")
    if not (slots == 1 and (commit == "array" or on_corrupt == "other-slot"))
]
GOOD = {Fate.OLD, Fate.NEW}

keys_of = st.sampled_from(SETS)
layouts = st.sampled_from(LAYOUTS)


def every_cut(keys: Keys, key_ids: tuple[int, ...]) -> list[tuple[int, str, dict[int, Fate]]]:
    return [(at, phase, fates(keys, key_ids, at, phase)) for at in range(len(plan(keys, key_ids))) for phase in PHASES]


@given(layouts, keys_of)
def test_a_cut_leaves_new_keys_then_at_most_one_lost_then_old_ones(keys: Keys, key_ids: tuple[int, ...]) -> None:
    """In the order of writing; before the first write all is old, after the last all is new."""
    cuts = every_cut(keys, key_ids)
    assert set(cuts[0][2].values()) == {Fate.OLD}
    assert set(cuts[-1][2].values()) == {Fate.NEW}
    for at, phase, found in cuts:
        in_order = [found[key_id] for key_id in ordered(keys, key_ids)]
        assert len(in_order) == len(key_ids)
        first_bad = next((n for n, fate in enumerate(in_order) if fate is not Fate.NEW), len(in_order))
        rest = in_order[first_bad:]
        if plan(keys, key_ids)[at].name == "flip":
            assert len(set(in_order)) == 1, (at, phase)
        else:
            assert all(fate is Fate.OLD for fate in rest[1:]), (at, phase, in_order)


@given(layouts, keys_of)
def test_after_one_write_is_before_the_next(keys: Keys, key_ids: tuple[int, ...]) -> None:
    """The two names of one moment have one outcome."""
    for at in range(1, len(plan(keys, key_ids))):
        assert fates(keys, key_ids, at, "before") == fates(keys, key_ids, at - 1, "after")


@given(layouts.filter(lambda keys: keys.slots == 2 and keys.on_corrupt == "other-slot"), keys_of, st.integers(0, 3))
def test_with_a_spare_slot_no_key_is_ever_lost(keys: Keys, key_ids: tuple[int, ...], luck: int) -> None:
    """Two slots and a fallback: old or new; and with one flip for all, all of a transfer or none of it."""
    for at in range(len(plan(keys, key_ids))):
        for phase in PHASES:
            found = fates(keys, key_ids, at, phase, luck)
            assert set(found.values()) <= GOOD
            if keys.commit == "array":
                assert len(set(found.values())) == 1


def test_one_slot_loses_its_key_from_the_erasure_to_the_checksum() -> None:
    """The window of a single slot, write by write; with a checksum the device knows, without one it does not."""
    kek = (KEY_IDS["kek"],)
    checked = Keys(slots=1, commit="item", on_corrupt="missing")
    assert [write.name for write in plan(checked, kek)] == ["kek.erase", "kek.write", "kek.checksum"]
    found = [next(iter(each.values())) for _, _, each in every_cut(checked, kek)]
    lost = [Fate.CORRUPT] * 7
    assert found == [Fate.OLD, *lost, Fate.NEW]
    unchecked = Keys(slots=1, commit="item", on_corrupt="missing", checksum=False)
    found = [next(iter(each.values())) for _, _, each in every_cut(unchecked, kek)]
    assert found == [Fate.OLD, *[Fate.NOISE] * 4, Fate.NEW]


def test_a_torn_pointer_is_read_as_the_model_reads_it() -> None:
    """Falls back to the slot written last; locks; or, where nothing is checked, points wherever luck has it."""
    ek_ak = (KEY_IDS["ek"], KEY_IDS["ak"])
    names = [write.name for write in plan(Keys(), ek_ak)]
    assert names == [f"{key}.spare.{act}" for key in ("ek", "ak") for act in ("erase", "write", "checksum")] + ["flip"]
    flip = len(names) - 1
    assert set(fates(Keys(), ek_ak, flip, "during").values()) == {Fate.NEW}
    assert set(fates(Keys(on_corrupt="locked"), ek_ak, flip, "during").values()) == {Fate.CORRUPT}
    unchecked = Keys(checksum=False)
    flip = len(plan(unchecked, ek_ak)) - 1
    outcomes = {tuple(fates(unchecked, ek_ak, flip, "during", luck).values()) for luck in range(4)}
    assert outcomes == {(Fate.OLD, Fate.OLD), (Fate.NEW, Fate.NEW)}


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('slots = 1\ncommit = "array"', "spare slots"),
        ('slots = 1\ncommit = "item"\non_corrupt = "other-slot"', "needs keys.slots = 2"),
        ('order = ["ek", "ak", "kek"]', "each of ek, broadcast, ak and kek once"),
        ('order = ["ek", "ek", "ak", "kek"]', "each of"),
        ("slots = 3", "keys.slots"),
        ('transfer = "some"', "keys.transfer"),
        ("write_ms = -1", "keys.write_ms"),
        ("write_ms = 5\nwrite_idle_ms = 6", "part of keys.write_ms"),
        ("writes = 5", "writes"),
    ],
)
def test_a_key_memory_that_cannot_be_is_refused(section: str, told: str) -> None:
    """One clear error that names file and field."""
    text = resources.fixture("profiles/elster_as300p.toml").read_text("utf-8")
    begin, end = text.index("[keys]"), text.index("[sizes]")
    with pytest.raises(InputError, match=told) as caught:
        profiles.parse(f"{text[:begin]}[keys]\n{section}\n{text[end:]}", "my.toml")
    assert str(caught.value).startswith("my.toml: ")
