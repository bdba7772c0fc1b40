"""Five data categories: the rule table, the sources, and an estate sorted."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emulator.dcc import auxiliary_categories as categories
from emulator.errors import InputError
from emulator.fleet.drawn import DrawnHomes
from emulator.fleet.estate import Estate, open_estate
from emulator.fleet.recipe import Registration
from emulator.fleet.registration import Registered, registered, registration_says, smso_says
from emulator.resources import fixture

TEXT = fixture("categories.toml").read_text("utf-8")
CLEAN = Registration(
    missing=0, contradictory=0, unregistered=0, overstated=0, smso_missing=0, smso_contradictory=0, smso_unlisted=0
)


def estate_with(**rates: float) -> Estate:
    """The thousand homes with other gaps in the data; what is not named has none."""
    estate = open_estate("thousand")
    recipe = msgspec.structs.replace(estate.recipe, registration=msgspec.structs.replace(CLEAN, **rates))
    return Estate(DrawnHomes(recipe, estate.seed), estate.seed)


@pytest.mark.parametrize(
    ("smso", "registration", "category"),
    [
        ("auxiliary", "auxiliary", "1"),
        ("auxiliary", "none", "2"),
        ("none", "auxiliary", "3"),
        ("none", "none", "4"),
        ("missing", "auxiliary", "5"),
        ("contradictory", "none", "5"),
        ("none", "missing", "5"),
        ("auxiliary", "contradictory", "5"),
    ],
)
def test_the_shipped_rules(smso: str, registration: str, category: str) -> None:
    """The proposal of the five categories, both sources in every way they can be."""
    assert categories.read().sorted[smso, registration] == category


def test_clean_data_sorts_by_the_truth() -> None:
    """Without gaps homes with auxiliary load are category 1 and all others 4."""
    estate = estate_with()
    found = categories.census(estate)
    truly = sum(estate.installation(n).wiring is not None for n in range(estate.installations))
    assert found.homes == {"1": truly, "2": 0, "3": 0, "4": 1_000 - truly, "5": 0}
    assert found.auxiliary == {"1": truly, "2": 0, "3": 0, "4": 0, "5": 0}


@pytest.mark.parametrize(
    ("rates", "moved", "to"),
    [
        ({"unregistered": 1.0}, "1", "2"),
        ({"smso_unlisted": 1.0}, "1", "3"),
        ({"smso_unlisted": 1.0, "unregistered": 1.0}, "1", "4"),
        ({"overstated": 1.0}, "4", "3"),
        ({"missing": 1.0}, "4", "5"),
        ({"contradictory": 1.0}, "1", "5"),
        ({"smso_missing": 1.0}, "4", "5"),
        ({"smso_contradictory": 1.0}, "1", "5"),
    ],
)
def test_each_gap_moves_homes_where_it_should(rates: dict[str, float], moved: str, to: str) -> None:
    """A gap that every home has empties the category they were in, into the one it leads to."""
    found = categories.census(estate_with(**rates))
    assert found.homes[moved] == 0
    assert found.homes[to] > 0


def test_rates_are_met_and_each_gap_is_drawn_by_itself() -> None:
    """The shares found are those asked for, within what chance allows; another rate moves no other home."""
    found = categories.census(estate_with(missing=0.1))
    assert found.homes["5"] == pytest.approx(100, abs=30)
    both = categories.census(estate_with(missing=0.1, overstated=0.2))
    assert both.homes["5"] == found.homes["5"]


def test_workers_have_no_say() -> None:
    """Two processes, smaller cells: the same counts."""
    estate = open_estate("thousand")
    recipe = msgspec.structs.replace(estate.recipe, cell=300)
    cut = Estate(DrawnHomes(recipe, estate.seed), estate.seed)
    one, two, whole = categories.census(cut), categories.census(cut, None, 2), categories.census(estate)
    assert (one.homes, one.by_saying) == (two.homes, two.by_saying) == (whole.homes, whole.by_saying)
    assert sum(whole.homes.values()) == 1_000


def test_what_an_entry_says() -> None:
    """An SSC with its own time patterns says what it means; with others, or another class, it contradicts itself."""
    rules = categories.read()
    says = [
        registration_says(entry, rules.by_ssc)
        for entry in (
            Registered(2, "0151", ("00043", "00210")),
            Registered(1, "0393", ("00001",)),
            Registered(1, "0151", ("00043", "00210")),
            Registered(2, "0151", ("00001",)),
            Registered(2, None, ()),
            Registered(2, "7777", ("00001",)),
        )
    ]
    assert says == ["auxiliary", "none", "contradictory", "contradictory", "missing", "missing"]


def test_a_home_is_registered_by_its_own_table() -> None:
    """Four windows of Economy 10 are SSC 0938 with 00376 and 00377, and both sources agree in clean data."""
    estate, rules = estate_with(), categories.read()
    seen: Counter[str] = Counter()
    for number in range(estate.installations):
        home = estate.installation(number)
        if home.wiring is None:
            continue
        entry = registered(estate, home, rules.by_table)
        seen[home.wiring.tariff] += 1
        if home.wiring.tariff == "economy10-four":
            assert (entry.ssc, entry.tprs) == ("0938", ("00376", "00377"))
        assert registration_says(entry, rules.by_ssc) == smso_says(estate, home) == "auxiliary"
    assert len(seen) >= 5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace('category = "5"', 'category = "6"', 1), "rules[1]: no category '6'"),
        (lambda text: text.replace('smso = ["none"]\nregistration = ["none"]', 'smso = ["none"]\nregistration = []')
            .replace('category = "2"\nsmso', 'category = "2"\nsmso_', 1), "unknown field"),
        (lambda text: text.split("[[rules]]")[0] + '[[rules]]\ncategory = "1"\nsmso = ["none"]\n'
            + text[text.index("[[settlement]]"):], "no rule sorts"),
        (lambda text: text.replace('"auxiliary"]', '"maybe"]', 1), "maybe"),
        (lambda text: text.replace('tables = ["single-rate"]', "tables = []"), "single-rate"),
        (lambda text: text.replace('ssc = "9901"', 'ssc = "0151"'), "0151"),
        (lambda text: text.replace('tables = ["economy10"]', 'tables = ["economy7"]'), "another SSC"),
        (lambda text: text + "[", "categories.toml"),
    ],
)  # fmt: skip
def test_a_bad_table_is_told_with_place_and_cure(change: Any, told: str) -> None:
    """Unknown categories, fields and words, holes, doubles, no TOML: one InputError that names them."""
    with pytest.raises(InputError) as error:
        categories.parse(change(TEXT), "categories.toml")
    assert told in str(error.value)


def test_another_table_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    """A user's rules, with categories of his own; a file that is not there is told."""
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[categories]\nall = { title = "all", risk = "none", action = "migrate" }\n[[rules]]\ncategory = "all"\n'
        + TEXT[TEXT.index("[[settlement]]") :]
    )
    estate = open_estate("demo-street")
    assert categories.census(estate, str(mine)).homes == {"all": estate.installations}
    with pytest.raises(InputError, match="name a readable TOML file"):
        categories.read(str(tmp_path / "none.toml"))
