"""The catalogue holds every fault there is to be, and every fault tells enough of itself to be asked for."""

import dataclasses
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import emulator.faults
from emulator.errors import InputError
from emulator.faults import catalogue, texts
from emulator.faults.fault import Fault, Point

ROWS = {f"F{number}" for number in (*range(1, 12), 13, 14, 16, 18)} | {f"K{number}" for number in range(1, 8)}
KINDS = list(catalogue.KINDS.values())


def every_name() -> set[str]:
    """The names of every fault class that any module of the room defines."""
    for module in pkgutil.iter_modules(emulator.faults.__path__):
        importlib.import_module(f"emulator.faults.{module.name}")
    found: set[str] = set()
    waiting: list[type[Fault]] = [Fault]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            if kind.name and kind.__module__.startswith("emulator.faults."):
                found.add(kind.name)
    return found


def test_every_row_that_was_to_be_is_there_and_no_other() -> None:
    """F12, F15, F17, F19 and F20 are not faults that can be put in force."""
    assert {kind.row for kind in KINDS} == ROWS


def test_no_fault_is_left_out_of_the_catalogue() -> None:
    """A class with a name in the room stands in its module's tuple, and the module in the catalogue."""
    assert every_name() == set(catalogue.KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_fault_tells_of_itself(kind: type[Fault]) -> None:
    """A paragraph of its own, points, an example that makes one, a unit or range for each number, a name as words."""
    assert kind.__doc__ != Fault.__doc__
    assert len(catalogue.about(kind)) > 40
    assert not catalogue.about(kind).startswith(kind.__name__ + "(")  # what dataclasses write by themselves
    assert kind.points <= set(Point)
    assert kind.points
    assert kind.name == kind.name.lower().strip("-").replace("_", "-")
    fault = catalogue.make(kind.name, kind.example)
    assert catalogue.settings(fault).items() <= {**kind.example}.items()
    for each in catalogue.described(kind):
        assert each.takes, each.name
        if each.takes.startswith("a number") or each.takes.startswith("a whole number"):
            assert each.about, f"{each.name} says neither unit nor meaning"
            assert " from " in each.takes, f"{each.name} has no range"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_fault_is_the_same_from_every_form(kind: type[Fault]) -> None:
    """From its settings, from a line and from a TOML table."""
    import tomllib

    fault = catalogue.make(kind.name, kind.example)
    assert texts.parse(texts.line(kind.name, kind.example)) == fault
    assert texts.parse(texts.line(kind.name, catalogue.settings(fault))) == fault
    table = tomllib.loads(texts.toml(kind.name, kind.example))["faults"]
    assert catalogue.read_table(table) == [fault]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_fault_travels_to_other_processes(kind: type[Fault]) -> None:
    """Frozen, equal by value, and the same after pickling."""
    import pickle

    fault = catalogue.make(kind.name, kind.example)
    assert pickle.loads(pickle.dumps(fault)) == fault
    with pytest.raises(dataclasses.FrozenInstanceError):
        fault.share = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("gprs-los", {}, "there is no fault 'gprs-los'; did you mean gprs-loss"),
        ("earthquake", {}, "give one of"),
        ("gprs-loss", {"rate": 0.1}, "there is no field 'rate'; give after_s"),
        ("gprs-loss", {"chance": 1.5}, "field chance: expected float <= 1.0; give a number from 0 to 1"),
        ("gprs-loss", {"chance": "often"}, "field chance"),
        ("gprs-loss", {"way": "sideways"}, "field way: invalid enum value 'sideways'; give one of both, down, up"),
        ("han-lost", {"device": "hub"}, "give one of electricity, gas, ihd"),
        ("gprs-corrupt", {"bits": 0}, "give a whole number from 1 to 1 024"),
        ("gprs-loss", {"installation": -1}, "field installation"),
        ("gprs-loss", {"installation": True}, "field installation"),
    ],
)
def test_what_cannot_be_made_is_refused_with_its_cure(name: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        catalogue.make(name, settings)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ([{"chance": 1}], "[[faults]] 1: it does not say which"),
        ([{"fault": 7}], "[[faults]] 1: it does not say which"),
        ([{"fault": "sms-lost"}, {"fault": "sms-lost", "times": -1}], "[[faults]] 2 (sms-lost), field times"),
        (["sms-lost"], "[[faults]] 1: this is no table"),
    ],
)
def test_a_table_names_the_entry_that_is_wrong(table: list[Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        catalogue.read_table(table)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "it names no fault"),
        ("gprs-loss chance", "'chance' is no setting; write field=value"),
        ("gprs-loss =1", "'=1' is no setting"),
        ("gprs-loss chance=1 chance=0.5", "chance is given twice"),
        ("gprs-loss 'chance=1", "close the quotes"),
        ("gprs-loss chance=much", "field chance"),
    ],
)
def test_a_line_that_says_nothing_clear_is_refused(line: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        texts.parse(line)
    assert told in str(caught.value)


def test_a_line_takes_nothing_for_an_answer() -> None:
    """`none` empties a field that may be empty."""
    assert texts.parse("gprs-truncate keep=none") == catalogue.make("gprs-truncate", {"keep": None})


def test_no_fault_is_named_in_a_second_place() -> None:
    """The list is made from the code: no module beside the room spells out a table of names."""
    root = Path(emulator.faults.__path__[0]).parent
    names = list(catalogue.KINDS)
    for path in root.rglob("*.py"):
        if "faults" in path.parts or path.name == "faults.py":
            continue
        spelled = [name for name in names if f'"{name}"' in path.read_text("utf-8")]
        assert len(spelled) < 5, f"{path} spells out {spelled}"
