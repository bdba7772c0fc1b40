"""Recipes: the shipped ones are sound, and every mistake is told with file, key and cure."""

import json
import re
from pathlib import Path

import pytest

from emulator.errors import InputError
from emulator.fleet import estate as estates
from emulator.fleet import recipe_reading
from emulator.fleet.installation import KINDS
from emulator.fleet.recipe import DETAILS, condition_parts
from emulator.kernel.time import DAY, text

THOUSAND = estates.locate("thousand").read_text("utf-8")
STREET = estates.locate("demo-street").read_text("utf-8")


def bent(tmp_path: Path, before: str, after: str, source: str = THOUSAND) -> Path:
    """A recipe with one place changed."""
    assert source.count(before) >= 1, before
    file = tmp_path / "bent.toml"
    file.write_text(source.replace(before, after, 1), "utf-8")
    return file


@pytest.mark.parametrize("name", estates.names())
def test_the_shipped_recipes_are_sound(name: str) -> None:
    """Each passes its own checks and says who it is."""
    recipe = recipe_reading.read(estates.locate(name))
    assert recipe.name == name
    assert text(estates.open_estate(name).start) == "2020-03-02T00:00:00.000Z"


@pytest.mark.parametrize(
    ("before", "after", "key", "cure"),
    [
        ("active = 695", "activ = 695", "activ", "did you mean 'active'"),
        ("active = 695", "active = -1", "active", "correct its value"),
        ("active = 695", "active = 0.5", "active", "correct its value"),
        ("active = 695\ndormant = 305", "active = 0\ndormant = 0", "active", "above 0"),
        ("cell = 250", "cell = 5000", "cell", "correct its value"),
        ('name = "thousand"', 'name = "Thousand!"', "name", "correct its value"),
        ('name = "thousand"', "", "name", "add it"),
        ("start = 2020-03-02T00:00:00Z", "start = 2020-03-02T00:00:00", "start", "write 2020-03-02T00:00:00Z"),
        ("start = 2020-03-02T00:00:00Z", "start = 2020-03-02T06:00:00Z", "start", "midnight"),
        ("london = 9", "atlantis = 9", "regions.atlantis", "one of eastern"),
        ("weight = 62", "weight = -1", "combinations", "correct its value"),
        ("share = 0.06", "share = 0.6", "five_terminal.share", "lower the share"),
        ("share = 0.06", "share = 6", "five_terminal.share", "correct its value"),
        ("economy7 = 58", "economy8 = 58", "five_terminal.tariffs.economy8", "one of single-rate"),
        ("economy7 = 58", "single-rate = 58", "five_terminal.tariffs.single-rate", "switches nothing"),
        ("5 = 1\n", "6 = 1\n", "five_terminal.switches", "correct its value"),
        ('combination = "elster-dual"', 'combination = "elster-duel"', "epcl[0].combination", "one of elster-dual"),
        ("listed = 2020-02-28", 'listed = "soon"', "epcl", "correct its value"),
        ("mpxn-mismatch = 4", "mismatch = 4", "conditions.MF9.details.mismatch", "one of unknown-device"),
        ("[conditions.MF5]", "[conditions.MF4]", "conditions.MF4", "no such key"),
        ('elster_bk_g4 = "01.05"', "", "outdated.elster_bk_g4", "older version"),
        ('elster_bk_g4 = "01.05"', 'elster_bk_g4 = "01.09"', "outdated.elster_bk_g4", "another version"),
        ('elster_hub = "02.08"', "", "outdated.elster_hub", "older version"),
        ("after_s = [1, 9]", "after_s = [9, 1]", "wan_loss.after_s", "low <= high"),
        ("per_day = 1000", "per_day = 0", "pacing.per_day", "correct its value"),
        ('kind = "ipsec"', 'kind = "carrier-pigeon"', "link.kind", "correct its value"),
        ("at = 00:02:30", 'at = "noon"', "link.outages", "correct its value"),
        ('model = "elster_as300p_5t"', 'model = "elster_as301p"', "combinations elster-five-terminal", "one of"),
        (
            'model = "elster_as300p_5t"',
            'model = "elster_hub"',
            "combinations elster-five-terminal",
            "no electricity model",
        ),
        ('model = "elster_as300p_5t"', 'model = "elster_as300p"', "combinations elster-five-terminal", "no switches"),
        ("listed = 2020-06-25", "listed = 2020-02-25", "conditions.MF9.details.not-on-epcl", "leave one out"),
        ('name = "elster-dual-no-display"', 'name = "elster-dual"', "combinations", "unique"),
        ("5 = 1\n", "5 = 1\n[five_terminal.extra]\n", "five_terminal.extra", "remove it"),
        ("active = 0.002", "active = 0.99", "conditions", "one condition at most"),
    ],
)
def test_a_mistake_is_told_with_key_and_cure(tmp_path: Path, before: str, after: str, key: str, cure: str) -> None:
    """One InputError, naming the file, the key and what to do."""
    file = bent(tmp_path, before, after)
    with pytest.raises(InputError) as caught:
        recipe_reading.read(file)
    told = str(caught.value)
    assert str(file) in told
    assert key in told
    assert cure in told


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('condition = "MF5:GT01"', 'condition = "MF5:GT02"', "one of MF1:no-master-key"),
        ('condition = "MF5:GT01"', 'condition = "MF5:GT01:electricity"', "no condition"),
        ('combination = "elster-electricity"\ncondition = "MF3:wan-lost"', 'combination = "x"', "no combination 'x'"),
        ('"elster-five-terminal"\nswitches = 2', '"elster-dual"\nswitches = 2', "needs a fifth terminal"),
        ('"elster-dual-next"\ncondition', '"elster-dual"\ncondition', "is on the EPCL; name"),
        ("switches = 3\ntariff = \"economy7-late\"", "switches = 0", "give 1 to 5"),
        ("economy7 = 1\neconomy10 = 1", "economy7-late = 1", "could be recorded"),
        ('tariff = "economy7"', 'tariff = "economy"', "no switching table"),
        ('switches = 2\ntariff', "tariff", "no switches"),
        ("active = 12\ndormant = 4", "active = 16\ndormant = 0", "raise active or dormant"),
        ('combination = "elster-electricity"\ncondition = "MF3:wan-lost"',
         'combination = "elster-electricity"\ncondition = "MF10:counter:gas"', "concerns gas"),
    ],
)  # fmt: skip
def test_a_spelled_out_home_is_checked(tmp_path: Path, before: str, after: str, told: str) -> None:
    """A home that cannot be is refused, by its place in the list."""
    with pytest.raises(InputError, match="homes") as caught:
        recipe_reading.read(bent(tmp_path, before, after, STREET))
    assert told in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """What types cannot say is collected: one look is enough."""
    file = tmp_path / "bent.toml"
    file.write_text(THOUSAND.replace("london = 9", "atlantis = 9").replace("after_s = [1, 9]", "after_s = [0, 0]"))
    with pytest.raises(InputError, match="2 mistakes") as caught:
        recipe_reading.read(file)
    assert "atlantis" in str(caught.value)
    assert "after_s" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"a = ",
        b"\x00",
        b"x" * (1 << 21),
        b"[[homes]]",
        b"a = " + b"[" * 99_999,
        b"a = " + b"9" * 9_999,
    ],
    ids=["empty", "utf-16", "cut", "nul", "huge", "homes", "nested", "number"],
)
def test_rubbish_is_refused_in_one_message(tmp_path: Path, content: bytes) -> None:
    """Empty, wrongly encoded, cut, huge: an InputError that names the file."""
    file = tmp_path / "rubbish.toml"
    file.write_bytes(content)
    with pytest.raises(InputError, match="rubbish"):
        recipe_reading.read(file)


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    """Nor is what does not exist."""
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(InputError):
            recipe_reading.read(path)


def test_the_schema_is_json_and_its_patterns_are_portable() -> None:
    """It names every top key of the shipped recipes, and uses no pattern that only Python reads."""
    schema = recipe_reading.schema()
    words = json.dumps(schema)
    assert "\\\\Z" not in words
    properties = schema["$defs"]["Recipe"]["properties"]
    assert {"name", "active", "combinations", "epcl", "five_terminal", "conditions", "pacing", "link"} <= set(
        properties
    )
    assert schema["$defs"]["Recipe"]["additionalProperties"] is False
    assert re.search(properties["name"]["pattern"], "thousand")
    assert not re.search(properties["name"]["pattern"], "thousand\n")


def test_outages_are_instants() -> None:
    """A planned outage falls on its day and time, for its seconds."""
    recipe = recipe_reading.read(estates.locate("mds-cohort"))
    start = 18_323 * DAY
    windows = recipe.link.windows(start)
    assert [text(begin) for begin, _ in windows] == [
        "2020-03-02T00:02:30.000Z",
        "2020-03-05T10:15:00.000Z",
        "2020-03-11T14:40:20.000Z",
    ]
    assert {until - begin for begin, until in windows} == {6_000_000}


def test_condition_words() -> None:
    """Every family and detail is understood with and without each of its devices; nothing else is."""
    for kind in KINDS:
        for detail, devices in DETAILS[kind].items():
            assert condition_parts(f"{kind}:{detail}") == (kind, detail, "")
            for device in devices:
                if device:
                    assert condition_parts(f"{kind}:{detail}:{device}") == (kind, detail, device)
    for other in ("", "MF1", "MF1:", ":no-wan", "MF2:no-wan:ihd", "MF2:no-wan:hub:x", "mf2:no-wan"):
        assert condition_parts(other) is None
