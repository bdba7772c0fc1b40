"""The table of causes: that users can replace it, and that every mistake is named."""

from pathlib import Path

import pytest

from emulator.errors import InputError
from emulator.fleet import alert_causes
from emulator.fleet.estate import open_estate
from emulator.kernel.machine import Party
from emulator.resources import fixture

GOOD = """
[[causes]]
name = "lid"
code = 0x9001
weight = 3
devices = { electricity = 1, gas = 3 }
log = "security"

[[causes]]
name = "gone"
code = 0x9002
weight = 1
devices = { hub = 1 }
then = "back"
after_s = [10, 20]

[[causes]]
name = "back"
code = 0x9003

[[causes]]
name = "hum"
code = 0x9004
weight = 4
devices = { hub = 1 }

[throttle]
window_s = 60
excluded = [0x9002]
"""


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "causes.toml"
    file.write_text(text, "utf-8")
    return str(file)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    """Its shares, its pairs and its throttle are taken as they stand."""
    table = alert_causes.read(written(tmp_path, GOOD))
    names = [(each.name, each.party) for each in table.occurrences]
    assert names == [
        ("lid", Party.ELECTRICITY), ("lid", Party.GAS), ("gone", Party.HUB), ("hum", Party.HUB), ("back", Party.HUB),
    ]  # fmt: skip
    assert [share / 2**53 for share in table.shares] == pytest.approx([0.75 / 8, 3 / 8, 4 / 8, 1])
    assert table.incident == pytest.approx(1 + 1 / 8)
    assert (table.occurrences[2].then, table.occurrences[2].after) == (4, (10_000_000, 20_000_000))
    lid = table.occurrences[0].notice
    assert (lid.code, lid.text, lid.log, lid.event) == (0x9001, "lid", "security", 0x9001)
    assert (table.throttling.window_s, table.throttling.excluded) == (60, (0x9002,))
    assert (table.name(0x9004), table.name(0x9999)) == ("hum", "0x9999")


def test_who_stands_in_for_a_device_that_is_not_there(tmp_path: Path) -> None:
    """Only causes of hub and electricity without a follower, by their shares, for every luck there is."""
    table = alert_causes.read(written(tmp_path, GOOD))
    found = [table.elsewhere(luck).name for luck in range(2_048)]
    assert set(found) == {"lid", "hum"}
    assert found.count("lid") / 2_048 == pytest.approx(0.75 / 4.75, abs=0.01)
    assert all(table.elsewhere(luck).party is not Party.GAS for luck in range(2_048))


def test_what_a_storm_is_made_of(tmp_path: Path) -> None:
    """The devices of its code, or of that device alone; a code nobody knows comes from the electricity meter."""
    table = alert_causes.read(written(tmp_path, GOOD))
    both, shares = table.of_code(0x9001)
    assert [each.party for each in both] == [Party.ELECTRICITY, Party.GAS]
    assert [share / 2**53 for share in shares] == pytest.approx([0.25, 1.0])
    assert [each.party for each in table.of_code(0x9001, "gas")[0]] == [Party.GAS]
    assert [each.party for each in table.of_code(0x9001, "hub")[0]] == [Party.HUB]
    unknown = table.of_code(0xABCD)[0]
    assert [(each.party, each.notice.code) for each in unknown] == [(Party.ELECTRICITY, 0xABCD)]
    assert all(each.then == -1 for each in table.of_code(0x9002)[0])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("weight = 3", "weigth = 3", "weigth"),
        ("weight = 3", "weight = -1", "weight"),
        ("code = 0x9001", "code = 0x19001", "code"),
        ('name = "hum"', 'name = "lid"', "'lid' stands twice"),
        ('then = "back"', 'then = "beck"', "no cause 'beck'"),
        ("devices = { hub = 1 }\nthen", "devices = { gas = 1 }\nthen", "only alerts of hub and electricity"),
        ("[10, 20]", "[20, 10]", "exchange them"),
        ("{ electricity = 1, gas = 3 }", "{ gas = 0 }", "no device has a weight"),
        ("{ electricity = 1, gas = 3 }", "{ ihd = 1 }", "ihd"),
        ("[[causes]]", "[[causes]", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    """One clear message, with the file in it."""
    file = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(InputError, match=says) as caught:
        alert_causes.read(file)
    assert file in str(caught.value)


def test_a_table_needs_a_cause_that_any_home_can_have(tmp_path: Path) -> None:
    """Or nobody could stand in where there is no gas; and some cause must have a weight."""
    only_gas = '[[causes]]\nname = "a"\ncode = 1\nweight = 1\ndevices = { gas = 1 }\n'
    with pytest.raises(InputError, match="stands alone"):
        alert_causes.read(written(tmp_path, only_gas))
    with pytest.raises(InputError, match="every weight is 0"):
        alert_causes.table((alert_causes.Cause(name="a", code=1),), alert_causes.Throttling(), "here")


def test_an_estate_names_its_table(tmp_path: Path) -> None:
    """A recipe's mistake about its table is found before anything runs; what it leaves out changes no digest."""
    text = fixture("estates/demo-street.toml").read_text("utf-8")
    file = tmp_path / "street.toml"
    file.write_text(f'{text}\n[alerts]\nper_day = 5\ncauses = "nowhere"\n', "utf-8")
    with pytest.raises(InputError, match="no table of alert causes is called 'nowhere'"):
        open_estate(str(file))
    causes = written(tmp_path, GOOD)
    file.write_text(f'{text}\n[alerts]\nper_day = 5\ncauses = "{causes}"\n', "utf-8")
    estate = open_estate(str(file))
    assert (estate.recipe.alerts.per_day, estate.recipe.alerts.causes) == (5, causes)
    plain = open_estate("demo-street")
    assert plain.recipe.alerts.per_day is None
    file.write_text(f'{text}\n[alerts]\ncauses = "standard"\n', "utf-8")
    assert open_estate(str(file)).digest() == plain.digest() != estate.digest()
