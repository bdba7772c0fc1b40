"""Estates drawn from recipes: the same everywhere, exact in their counts, complete in their troubles."""

import pickle
from collections import Counter
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.errors import InputError, UsageError
from emulator.fleet import estate as estates
from emulator.fleet import tariffs
from emulator.fleet.conditions import NEVER
from emulator.fleet.estate import Estate
from emulator.fleet.identity import is_mpan, is_mprn
from emulator.fleet.installation import COUNTER_MAX, KEYED, KINDS, Installation
from emulator.fleet.recipe import DETAILS, Recipe
from emulator.fleet.recipe_reading import read
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, SECOND

EVERY_DETAIL = {f"{kind}:{detail}" for kind in KINDS for detail in DETAILS[kind]}


@cache
def recipe(name: str) -> Recipe:
    return read(estates.locate(name))


@cache
def homes_of(name: str) -> tuple[Estate, list[Installation]]:
    estate = estates.open_estate(name)
    return estate, [estate.installation(number) for number in range(estate.installations)]


def causes(homes: list[Installation]) -> Counter[str]:
    return Counter(f"{home.condition.kind}:{home.condition.detail}" for home in homes if home.condition)


def test_the_estates_that_come_along() -> None:
    """Three estates, of the sizes promised."""
    assert estates.names() == ["demo-street", "mds-cohort", "thousand"]
    cohort = recipe("mds-cohort")
    assert (cohort.active, cohort.dormant, cohort.installations) == (98_218, 43_154, 141_372)
    assert recipe("thousand").installations == 1_000


@pytest.mark.parametrize("name", ["demo-street", "thousand"])
def test_every_condition_and_five_terminal_homes_occur(name: str) -> None:
    """Every family with every detail, and several switching tables."""
    _, homes = homes_of(name)
    assert set(causes(homes)) == EVERY_DETAIL
    assert len({home.wiring.tariff for home in homes if home.wiring}) >= 4


def test_the_demo_street_has_each_condition_once() -> None:
    """A demonstration shows each thing once."""
    assert set(causes(homes_of("demo-street")[1]).values()) == {1}


@settings(max_examples=20)
@given(st.integers(0, 2**63 - 1), st.integers(60, 300))
def test_nothing_is_missing_under_any_seed(seed: int, size: int) -> None:
    """However small the estate is made and whatever the seed: all details and all tables, and the exact counts."""
    estate = estates.drawn(recipe("thousand"), seed, size)
    homes = [estate.installation(number) for number in range(size)]
    assert set(causes(homes)) == EVERY_DETAIL
    assert {home.wiring.tariff for home in homes if home.wiring} == set(recipe("thousand").five_terminal.tariffs)
    assert sum(home.active for home in homes) == estate.active == round(size * 0.695)


@settings(max_examples=20)
@given(st.integers(0, 2**63 - 1), st.integers(1, 12))
def test_a_tiny_estate_works(seed: int, size: int) -> None:
    """From one home on an estate answers every question about every home."""
    estate = estates.drawn(recipe("thousand"), seed, size)
    for number in range(size):
        home = estate.installation(number)
        estate.validate(home, estate.smso(home), estate.start)
    assert estate.cells == 1


def test_a_spelled_out_street_can_be_cut_and_grown() -> None:
    """The first homes stay who they are when fewer or more are asked for."""
    whole, homes = homes_of("demo-street")
    few = estates.drawn(whole.recipe, None, 5)
    many = estates.drawn(whole.recipe, None, 40)
    assert [few.installation(number).condition for number in range(5)] == [home.condition for home in homes[:5]]
    assert [many.installation(number).mpan for number in range(16)] == [home.mpan for home in homes]
    assert sum(many.installation(number).active for number in range(40)) == many.active == 30


def test_rates_are_met() -> None:
    """Over 20,000 homes of the cohort shares lie within four standard deviations of what the recipe says."""
    estate = estates.open_estate("mds-cohort")
    homes = [estate.installation(number) for number in range(20_000)]
    total = len(homes)

    def near(count: int, share: float, of: int) -> bool:
        return abs(count - of * share) <= 4 * (of * share * (1 - share)) ** 0.5 + 2

    assert near(sum(home.wiring is not None for home in homes), 0.06, total)
    assert near(sum(home.mprn is not None for home in homes), 0.76, total)
    assert near(sum(home.active for home in homes), 98_218 / 141_372, total)
    dormant = [home for home in homes if not home.active]
    silent = sum(home.condition is not None and home.condition.kind == "MF2" for home in dormant)
    assert near(silent, 0.004, len(dormant))
    regions = Counter(home.region for home in homes)
    assert near(regions["london"], 0.09, total)


def test_the_whole_cohort_has_every_trouble() -> None:
    """The pins of the whole cohort alone cover every family, detail and table; no need to walk all homes."""
    estate = estates.open_estate("mds-cohort")
    drawn = estate._homes
    pinned = [estate.installation(number) for number in drawn._plan.pins]  # type: ignore[attr-defined]
    assert set(causes(pinned)) == EVERY_DETAIL
    assert {home.wiring.tariff for home in pinned if home.wiring} >= set(estate.recipe.five_terminal.tariffs)


@pytest.mark.slow
def test_the_whole_cohort_home_by_home() -> None:
    """All 141,372 homes: exact counts, unique numbers."""
    _, homes = homes_of("mds-cohort")
    assert sum(home.active for home in homes) == 98_218
    assert len({home.mpan for home in homes}) == 141_372
    titles = {spec.system_title for home in homes for spec in home.devices}
    assert len(titles) == sum(len(home.devices) for home in homes)


def test_numbers_are_unique_and_valid() -> None:
    """In the thousand homes no MPAN, MPRN, serial, title or EUI-64 comes twice, and check digits hold."""
    _, homes = homes_of("thousand")
    specs = [spec for home in homes for spec in home.devices]
    for values in (
        [home.mpan for home in homes],
        [home.mprn for home in homes if home.mprn],
        [spec.serial for spec in specs],
        [spec.system_title for spec in specs],
        [spec.eui64 for spec in specs],
    ):
        assert len(set(values)) == len(values)
    assert all(is_mpan(home.mpan) and (home.mprn is None or is_mprn(home.mprn)) for home in homes)


def test_homes_hang_together() -> None:
    """A gas meter and an MPRN come together; a tariff that switches, and a fifth terminal; the hub comes first."""
    _, homes = homes_of("thousand")
    for home in homes:
        assert (home.device(Party.GAS) is None) == (home.mprn is None)
        assert [spec.kind for spec in home.devices] == sorted(spec.kind for spec in home.devices)
        assert home.devices[0].kind is Party.HUB
        if home.wiring:
            meter = home.device(Party.ELECTRICITY)
            assert meter is not None
            assert meter.model == "elster_as300p_5t"
            assert tariffs.tables()[home.wiring.tariff].switched
            assert 1 <= home.wiring.switches <= 5


def test_the_same_home_in_every_process() -> None:
    """A second opening, and a pickled copy, give the same homes, records and keys."""
    first, homes = homes_of("thousand")
    for other in (estates.open_estate("thousand"), pickle.loads(pickle.dumps(first))):
        for home in homes[::37]:
            assert other.installation(home.number) == home
            assert other.smso(home) == first.smso(home)
            assert all(other.keys(home, kind) == first.keys(home, kind) for kind in KEYED)
            assert other.counters(home, Party.HUB) == first.counters(home, Party.HUB)


def test_a_seed_changes_everything_but_the_size() -> None:
    """Under another seed other homes have the troubles, and all keys differ."""
    first, homes = homes_of("thousand")
    other = estates.open_estate("thousand", seed=2)
    assert other.installations == first.installations
    assert [other.installation(number).mpan for number in range(50)] != [home.mpan for home in homes[:50]]
    assert other.keys(homes[0], Party.HUB).ek != first.keys(homes[0], Party.HUB).ek


def test_keys_differ_between_devices_homes_and_kinds() -> None:
    """No two keys of the street are alike, and none shows in a repr."""
    estate, homes = homes_of("demo-street")
    keys = [estate.keys(home, spec.kind) for home in homes for spec in home.devices if spec.kind in KEYED]
    flat = [key for each in keys for key in (each.ek, each.ak, each.kek)]
    assert len(set(flat)) == len(flat) == 3 * len(keys)
    assert all(len(key) == 16 for key in flat if key is not None)
    assert repr(keys[0]) == "DeviceKeys()"


def test_cells_cover_the_estate() -> None:
    """Every home lies in the cell that counts it among its members, and in no other."""
    estate, _ = homes_of("thousand")
    assert estate.cells == 4
    assert [number for cell in range(estate.cells) for number in estate.members(cell)] == list(range(1_000))
    assert all(number in estate.members(estate.cell_of(number)) for number in range(1_000))
    with pytest.raises(UsageError):
        estate.members(4)


@pytest.mark.parametrize("number", [-1, 1_000])
def test_a_home_outside_is_refused(number: int) -> None:
    """Numbers from 0 to one less than the count, and no wrapping."""
    with pytest.raises(UsageError):
        homes_of("thousand")[0].installation(number)


@pytest.mark.parametrize("source", ["nowhere", "tariffs", "no/such.toml", "x.jsonl", "", ".", ".."])
def test_an_unknown_estate_is_refused(source: str) -> None:
    """One message that names what there is."""
    with pytest.raises(InputError, match="demo-street"):
        estates.open_estate(source)


@pytest.mark.parametrize("installations", [0, -3, 10**9])
def test_an_impossible_size_is_refused(installations: int) -> None:
    """From one home to the largest estate."""
    with pytest.raises(InputError, match="installations"):
        estates.open_estate("thousand", installations=installations)


def test_displays_have_no_keys() -> None:
    """Asking for a display's keys is a mistake of the caller."""
    estate, homes = homes_of("demo-street")
    with pytest.raises(UsageError):
        estate.keys(homes[0], Party.IHD)


def test_coverage_ends_where_the_condition_says() -> None:
    """MF2 never has WAN; MF3 loses it some seconds into its own migration, for longer than a campaign retries."""
    estate, homes = homes_of("thousand")
    begins = estate.start + 3 * DAY
    for home in homes:
        window = estate.outage(home, begins)
        kind = home.condition.kind if home.condition else None
        if kind == "MF2":
            assert window == (0, NEVER)
        elif kind == "MF3":
            assert window is not None
            assert begins + 1 * SECOND <= window[0] <= begins + 9 * SECOND
            assert window[1] - window[0] >= 30 * DAY
        else:
            assert window is None


def test_counters_in_the_device() -> None:
    """A device with the counter condition accepts none below the last; the others leave room for ages."""
    estate, homes = homes_of("thousand")
    for home in homes:
        for spec in home.devices:
            if spec.kind in KEYED:
                send, lowest = estate.counters(home, spec.kind)
                spent = home.condition is not None and home.condition.detail == "counter"
                assert (lowest == COUNTER_MAX) == (
                    spent and home.condition is not None and home.condition.device is spec.kind
                )
                assert 0 < send < 2**20
