"""What others believe of a home, and what validation makes of it: each condition is exactly its own difference."""

from functools import cache

import pytest

from emulator.fleet import estate as estates
from emulator.fleet.estate import Estate
from emulator.fleet.identity import is_mpan, is_mprn
from emulator.fleet.installation import KEYED, Installation
from emulator.kernel.time import DAY


@cache
def estate() -> Estate:
    return estates.open_estate("thousand", seed=5)


@cache
def homes() -> list[Installation]:
    return [estate().installation(number) for number in range(estate().installations)]


def with_cause(cause: str) -> list[Installation]:
    found = [each for each in homes() if each.condition and f"{each.condition.kind}:{each.condition.detail}" == cause]
    assert found, f"no home with {cause}"
    return found


def differences(home: Installation) -> set[str]:
    """In what the record differs from the truth."""
    record = estate().smso(home)
    found = set()
    assert [each.spec.kind for each in record.devices] == [spec.kind for spec in home.devices]
    for believed, spec in zip(record.devices, home.devices, strict=True):
        if believed.spec != spec:
            found.add("firmware" if believed.spec.firmware != spec.firmware else "device")
        if spec.kind not in KEYED:
            assert believed.keys is None
            continue
        truth = estate().keys(home, spec.kind)
        assert believed.keys is not None
        if believed.keys.kek is None:
            found.add("no master key")
        elif believed.keys.kek != truth.kek:
            found.add("master key")
        if (believed.keys.ek, believed.keys.ak) != (truth.ek, truth.ak):
            found.add("data keys")
        if not 0 <= believed.counter - estate().counters(home, spec.kind)[1] < 16:
            found.add("counter")
    if record.wiring != home.wiring:
        found.add("wiring")
    if (record.mpan, record.mprn) != (home.mpan, home.mprn):
        found.add("meter point")
    if estate().silent(record):
        found.add("silence")
    return found


@pytest.mark.parametrize(
    ("cause", "difference"),
    [
        ("MF1:no-master-key", {"no master key"}),
        ("MF2:no-wan", {"silence"}),
        ("MF3:wan-lost", set()),
        ("MF5:GT01", set()),
        ("MF9:unknown-device", set()),
        ("MF9:mpxn-mismatch", {"meter point"}),
        ("MF9:not-on-epcl", set()),
        ("MF9:inventory-conflict", set()),
        ("MF10:wrong-key", {"data keys"}),
        ("MF10:counter", {"counter"}),
        ("MF10:firmware", {"firmware"}),
        ("MF10:configuration", {"wiring"}),
    ],
)
def test_a_condition_is_one_difference(cause: str, difference: set[str]) -> None:
    """The record differs from the truth in what the condition says, and in nothing else."""
    for home in with_cause(cause):
        assert differences(home) == difference


def test_a_sound_home_is_as_recorded() -> None:
    """Without a condition, record and truth agree in everything."""
    assert {frozenset(differences(home)) for home in homes() if home.condition is None} == {frozenset()}


def test_validation_finds_the_mf9_homes_and_no_others() -> None:
    """Comparing papers alone, validation refuses exactly the homes whose papers are wrong, and names what is."""
    for home in homes():
        refused = estate().validate(home, estate().smso(home), estate().start)
        expected = home.condition if home.condition is not None and home.condition.kind == "MF9" else None
        assert refused == expected


def test_a_combination_is_accepted_from_its_date_on() -> None:
    """A home off the list when the campaign begins is on it once its combination is listed."""
    for home in with_cause("MF9:not-on-epcl"):
        record = estate().smso(home)
        assert estate().validate(home, record, estate().start) is not None
        assert estate().validate(home, record, estate().start + 200 * DAY) is None


def test_a_wrong_meter_point_is_a_good_number_of_nobody() -> None:
    """A mismatched MPAN or MPRN has its check digits and belongs to no home of the estate."""
    mpans, mprns = {home.mpan for home in homes()}, {home.mprn for home in homes()}
    for home in with_cause("MF9:mpxn-mismatch"):
        record = estate().smso(home)
        assert is_mpan(record.mpan)
        assert record.mprn is None or is_mprn(record.mprn)
        assert record.mpan not in mpans or record.mprn not in mprns


def test_old_firmware_is_old() -> None:
    """A home out of contact runs, and is recorded with, firmware that no listed combination has."""
    outdated = set(estate().recipe.outdated.values())
    for home in with_cause("MF2:no-wan"):
        assert {spec.firmware for spec in home.devices} <= outdated


def test_no_key_shows_in_a_record() -> None:
    """The repr of a record, which may end up in a log, holds no key."""
    home = homes()[0]
    record = estate().smso(home)
    keys = record.devices[0].keys
    assert keys is not None
    assert keys.ek.hex() not in repr(record)
    assert repr(keys.ek) not in repr(record)
