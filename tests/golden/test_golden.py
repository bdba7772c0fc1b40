"""The golden table: what is kept is what is played, cell by cell; a part of it always, all of it when there is time."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from emulator import resources
from emulator.cli.golden import TABLE, command
from emulator.errors import InputError
from emulator.faults import catalogue
from emulator.headend.steps import SERVICES
from emulator.scenario import golden
from emulator.scenario.playground import Playground

KEPT = resources.fixture(TABLE)


@pytest.fixture(scope="module")
def kept() -> dict[Any, golden.Cell]:
    return golden.read(KEPT.read_text("utf-8"), str(KEPT))


def test_every_service_and_every_fault_has_its_cells(kept: dict[Any, golden.Cell]) -> None:
    """Nothing is left out of the rows or the columns, and nothing stands there that is not played."""
    places = {(case.ask.service, case.device, fault) for case in golden.CASES for fault in golden.faults()}
    assert set(kept) == places
    assert {case.ask.service for case in golden.CASES} == set(SERVICES)
    assert set(golden.faults()) == {"none", *catalogue.KINDS}


def test_without_a_fault_everything_works(kept: dict[Any, golden.Cell]) -> None:
    """Played anew: success everywhere, but for the calendar that a meter of the first generation does not have."""
    cells = list(golden.table(columns=[golden.NONE]))
    assert golden.differences(kept, cells) == []
    assert [cell.service for cell in cells if cell.verdict != "success"] == ["6.14.2"]


@pytest.mark.parametrize("case", golden.CASES, ids=lambda case: case.title)
def test_no_standing_check_objects_to_a_service(case: golden.Case) -> None:
    """Counters, dual control, relays, verdicts: our own head end does nothing that it would list in another's. But for
    the hazard itself: a tariff of other hours moves the heating, and that is told of whoever loads it."""
    allowed = {"heating-times-moved"} if case.ask.service == "1.1.1" else set()

    def look(world: Playground) -> None:
        assert {violation.kind for violation in world.violations} == allowed
        assert {finding.check for finding in world.check()} == ({"no-violation"} if allowed else set())

    golden.run(case, look=look)


@pytest.mark.parametrize("turn", range(3))
def test_a_sample_is_as_it_is_kept(kept: dict[Any, golden.Cell], turn: int) -> None:
    """Each service under a few faults, another few for each."""
    columns = golden.faults()
    cells = [golden.run(case, columns[(at * 7 + turn * 17) % len(columns)]) for at, case in enumerate(golden.CASES)]
    assert golden.differences(kept, cells) == []


@pytest.mark.slow
def test_the_whole_table_is_as_it_is_kept(kept: dict[Any, golden.Cell]) -> None:
    """All of it."""
    assert golden.differences(kept, golden.table()) == []


def test_the_table_tells_what_it_is_for(kept: dict[Any, golden.Cell]) -> None:
    """Some cells that must be so whatever else changes: a lie of a relay, a refusal before the meter, silence."""

    def cell(service: str, fault: str, device: str = "electricity") -> golden.Cell:
        return kept[service, device, fault]

    stuck = cell("7.5", "relay-stuck")
    assert (stuck.verdict, stuck.relay) == ("success", "open")
    assert cell("7.2", "dco-refuses").reason.startswith("dual-control")
    assert cell("7.4", "dco-refuses").verdict == "success"
    assert cell("7.4", "out-of-coverage").verdict == "timeout"
    assert cell("6.23", "out-of-coverage").verdict == golden.NOT_TRIED
    assert cell("7.2", "gas-asleep").verdict == golden.NOT_TRIED
    dropped = cell("1.1.1", "switch-mapping-dropped")
    assert (dropped.verdict, dropped.relay) == ("success", "open")


def test_two_plays_are_the_same_and_a_change_is_told(kept: dict[Any, golden.Cell]) -> None:
    """Deterministic; and one second more in one cell is a difference that names it."""
    case = golden.CASES[0]
    first, second = golden.run(case, "gprs-loss"), golden.run(case, "gprs-loss")
    assert first == second
    other = golden.Cell(*("7" if name == "seconds" else getattr(first, name) for name in first.__slots__))
    assert golden.differences(kept, [first]) == []
    (told,) = golden.differences(kept, [other])
    assert told.startswith(" ".join(first.place))
    stranger = golden.Cell("9.9", "hub", "none", "success", "I0", "", "1.0", "", "")
    assert golden.differences(kept, [stranger]) == ["9.9 hub none: not in the table"]


def test_a_written_table_reads_back(kept: dict[Any, golden.Cell]) -> None:
    """Text and cells say the same; the heading says seed and version."""
    text = golden.written(kept.values(), "1.2.3")
    assert golden.read(text, "here") == kept
    assert "seed 1" in text
    assert "1.2.3" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "columns"), ("service,fault\n", "columns"), ("{header}\n7.1,electricity,none\n", "row 1")],
)
def test_a_bent_table_is_refused(text: str, told: str) -> None:
    """The error names file and cure."""
    header = ",".join(golden.Cell.__slots__)
    with pytest.raises(InputError, match=f"here: .*{told}.*golden --write"):
        golden.read(text.format(header=header), "here")


# The command


def test_the_command_checks_a_part_and_exits_by_it(tmp_path: Path) -> None:
    """0 when nothing differs; 1 with a line a cell when something does."""
    part = ["--check", "--service", "7.4", "--fault", "none", "--fault", "sms-lost", "--file"]
    good = CliRunner().invoke(command, [*part, str(KEPT), "--json"])
    assert good.exit_code == 0
    told = json.loads(good.stdout)
    assert (told["seed"], told["differences"], told["verdicts"]) == (golden.SEED, [], {"success": 4})
    bent = tmp_path / "bent.csv"
    bent.write_text(KEPT.read_text("utf-8").replace("7.4,electricity,none,success", "7.4,electricity,none,failed"))
    bad = CliRunner().invoke(command, [*part, str(bent)])
    assert bad.exit_code == 1
    assert "7.4 electricity none: was failed" in bad.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--check", "--write"], "one of them"),
        (["--write", "--service", "7.4"], "a part for the whole"),
        (["--service", "2.2"], "has no row"),
        (["--fault", "sms-los"], "sms-lost"),
        (["--check", "--file", "nowhere.csv"], "golden --write"),
    ],
)
def test_wrong_options_say_what_to_do(arguments: list[str], told: str) -> None:
    """Nothing is played, nothing is written."""
    done = CliRunner().invoke(command, arguments)
    assert isinstance(done.exception, InputError)
    assert told in str(done.exception)
