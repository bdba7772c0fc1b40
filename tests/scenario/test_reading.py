"""Reading scenarios: what is accepted, and that every mistake is told with its place and a cure."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import InputError
from emulator.resources import fixture
from emulator.scenario import emit, reading
from emulator.scenario.scenario import least, most

SMALL: dict[str, Any] = {"name": "small", "estate": {"source": "demo-street", "only": [0]}}


def wrong(**changes: Any) -> str:
    """What is said of a scenario with these changes."""
    with pytest.raises(InputError) as caught:
        reading.convert({**SMALL, **changes}, "street.toml")
    text = str(caught.value)
    assert text.startswith("street.toml")
    return text


def test_a_name_alone_is_a_scenario() -> None:
    """Everything has a default: the demo street, migrated."""
    read = reading.convert({"name": "bare"})
    assert read.estate().name == "demo-street"
    assert [type(step).__name__ for step in read.scenario.campaigns] == ["Migrate"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"campagins": []}, ["campagins", "did you mean 'campaigns'?"]),
        ({"estate": {"sorce": "x"}}, ["estate.sorce", "did you mean 'source'?"]),
        ({"name": "Not A Name"}, ["name", "correct its value"]),
        ({"estate": {"source": "nowhere"}}, ["no estate is called 'nowhere'"]),
        ({"estate": {"only": [16]}}, ["estate.only", "no installation 16", "numbered from 0"]),
        ({"estate": {"only": []}}, ["estate.only", "names no home"]),
        ({"campaigns": [{"kind": "migrat"}]}, ["campaigns[0].kind", "migrate", "rotate", "requests", "evening"]),
        ({"campaigns": [{"kind": "migrate", "settings": {"takover": {}}}]}, ["did you mean 'takeover'?"]),
        (
            {"campaigns": [{"kind": "migrate", "settings": {"takeover": {"auxiliary": {"hypothesis": "H9"}}}}]},
            ["campaigns[0].settings.takeover.auxiliary.hypothesis", "correct its value"],
        ),
        ({"campaigns": [{"kind": "rotate", "homes": [99]}]}, ["campaigns[0]", "no installation 99"]),
        ({"campaigns": [{"kind": "requests", "wishes": [{"home": 0}]}]}, ["wishes[0]", "nothing is wished"]),
        (
            {"campaigns": [{"kind": "requests", "wishes": [{"home": 0, "request": "7.99"}]}]},
            ["wishes[0]", "'7.99'", "there are 1.1.1"],
        ),
        (
            {"campaigns": [{"kind": "requests", "wishes": [{"home": 0, "device": "gas", "request": "7.5"}]}]},
            ["wishes[0]", "goes to electricity"],
        ),
        (
            {
                "campaigns": [
                    {"kind": "requests", "wishes": [{"home": 0, "command": "press-boost", "arguments": {"s": 1}}]}
                ]
            },
            ["arguments.s", "switch, minutes"],
        ),
        ({"faults": [{"seconds": 6}]}, ["faults[0].fault", "smets1 faults"]),
        ({"faults": [{"fault": "gprs-los"}]}, ["faults[0]", "gprs-loss"]),
        ({"faults": [{"fault": "gprs-loss", "chanse": 1}]}, ["faults[0]", "chanse"]),
        ({"faults": [{"fault": "gprs-loss", "chance": 2}]}, ["faults[0]", "chance"]),
        ({"faults": [{"fault": "gprs-loss", "campaign": 1}]}, ["faults[0].campaign", "from 0 to 0"]),
        ({"faults": [{"fault": "gprs-loss", "number": 1}, {"fault": "sms-lost", "number": 1}]}, ["faults[1].number"]),
        ({"faults": [{"fault": "gprs-loss", "installation": 77}]}, ["faults[0].installation", "the last is 15"]),
        ({"checks": [{"check": "verdict"}]}, ["checks[0].check", "verdicts"]),
        ({"checks": [{"check": "verdicts", "migrated": [5, 3]}]}, ["checks[0].migrated", "the least comes first"]),
        ({"checks": [{"check": "verdicts", "migrated": [5]}]}, ["checks[0].migrated"]),
        ({"checks": [{"check": "verdicts", "cause": "MF99"}]}, ["checks[0].cause", "MF13:keys-lost"]),
        ({"checks": [{"check": "fired", "fault": "gprs-loss", "count": 1}]}, ["checks[0].fault", "no fault"]),
        ({"checks": [{"check": "standing", "name": "nothing"}]}, ["checks[0].name", "ledger-balances"]),
        ({"healing": {"keep": ["gprs-loss"]}}, ["healing.keep", "no fault 'gprs-loss'"]),
        ({"healing": {"exempt": [{"cause": "MF99"}]}}, ["healing.exempt[0].cause"]),
        ({"link": {"air": {"los": 1}}}, ["link.air.los", "did you mean 'loss'?"]),
        ({"link": {"kind": "ppp"}}, ["link.kind"]),
    ],
)
def test_a_mistake_is_told_with_its_place_and_a_cure(changes: dict[str, Any], words: list[str]) -> None:
    text = wrong(**changes)
    for each in words:
        assert each in text, text


def test_several_mistakes_are_told_at_once() -> None:
    text = wrong(checks=[{"check": "standing", "name": "x"}, {"check": "verdicts", "migrated": [2, 1]}])
    assert "2 mistakes" in text


def test_files_that_are_no_scenarios(tmp_path: Path) -> None:
    """No file, no TOML, no UTF-8, too much: one line each, naming the file."""
    with pytest.raises(InputError, match="no such file"):
        reading.read(tmp_path / "none.toml")
    with pytest.raises(InputError, match="did you mean 'clean'"):
        reading.read("claen")
    for name, content in (
        ("a.toml", b"name = "),
        ("b.toml", b"name = '\xff'"),
        ("c.toml", b"#" * (reading.BYTES_MOST + 1)),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            reading.read(tmp_path / name)


def test_an_estate_s_file_is_looked_for_beside_the_scenario(tmp_path: Path) -> None:
    street = fixture("estates/demo-street.toml").read_text("utf-8").replace('"demo-street"', '"my-street"')
    (tmp_path / "street.toml").write_text(street, "utf-8")
    (tmp_path / "scenario.toml").write_text('name = "mine"\n[estate]\nsource = "street.toml"\n', "utf-8")
    assert reading.read(tmp_path / "scenario.toml").estate().name == "my-street"


def test_another_maker_s_combination_gets_its_share() -> None:
    """Attached to a quarter of the homes: about so many have it, and it is listed, so nobody is refused for it."""
    attach = {
        "name": "itron-dual",
        "share": 0.25,
        "hub": {"model": "elster_hub", "firmware": "02.11"},
        "electricity": {"model": "itron_e", "firmware": "4.02"},
    }
    estate = reading.convert({"name": "x", "estate": {"source": "thousand", "attach": [attach]}}).estate()
    count = sum(estate.installation(number).dmc == "itron-dual" for number in range(estate.installations))
    assert 200 <= count <= 300
    home = next(n for n in range(1000) if estate.installation(n).dmc == "itron-dual")
    assert estate.validate(estate.installation(home), estate.smso(estate.installation(home)), estate.start) is None


def test_conditions_can_be_left_out() -> None:
    plain = reading.convert({"name": "x", "estate": {"source": "demo-street", "conditions": False}}).estate()
    assert not any(plain.installation(number).condition for number in range(plain.installations))


@pytest.mark.parametrize("name", reading.names())
def test_what_is_written_down_reads_back_the_same(name: str) -> None:
    """Every scenario that ships survives being emitted, and what is emitted does not change any more."""
    scenario = reading.read(name).scenario
    text = emit.toml(scenario, ("a remark", "and another"))
    assert text.startswith("# a remark\n# and another\n")
    again = reading.convert(tomllib.loads(text)).scenario
    assert again == scenario
    assert emit.toml(again, ("a remark", "and another")) == text


@pytest.mark.parametrize("text", ['quo"te', "back\\slash", "two\nlines", 'three """ of\nthem\\', "tab\tand\x7f", "é"])
def test_texts_survive_toml(text: str) -> None:
    scenario = reading.convert({"name": "x", "about": text}).scenario
    assert reading.convert(tomllib.loads(emit.toml(scenario))).scenario.about == text


def test_overrides_are_laid_over_tables_and_replace_lists() -> None:
    read = reading.opened("clean", {"estate": {"installations": 12}, "checks": []})
    assert read.scenario.estate.installations == 12
    assert read.scenario.estate.conditions is False
    assert read.scenario.checks == ()


def test_counts() -> None:
    assert (least(3), most(3)) == (3, 3)
    assert (least((1, 4)), most((1, 4))) == (1, 4)


def test_the_schema_names_every_table() -> None:
    text = str(reading.schema())
    assert all(word in text for word in ("healing", "exempt", "wishes", "attach", "Verdicts", "outages"))
