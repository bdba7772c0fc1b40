"""Asking a running estate whether a device can be saved, and having it healed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from emulator.cli.diagnose import command
from emulator.commands import ClearFaults, Diagnose, Heal, InjectFault, RotateKeys
from emulator.control.errors import DeviceRefusedError, NoAnswerInTimeError, WishError
from emulator.kernel.machine import Party

ELECTRICITY, GAS, IHD = Party.ELECTRICITY, Party.GAS, Party.IHD
Make = Callable[..., Any]


def struck(here: Any, fault: str, **settings: Any) -> None:
    """A change of keys of home 0's electricity meter while a fault is in force, which then ends."""
    here.ask(InjectFault(fault, {"installation": 0, "device": "electricity", **settings}))
    with pytest.raises((NoAnswerInTimeError, DeviceRefusedError)):
        here.ask(RotateKeys(), 0, ELECTRICITY)
    here.ask(ClearFaults())


@pytest.mark.parametrize("timing", ["instant", "modelled"])
def test_a_meter_is_diagnosed_and_healed(bench: Make, timing: str) -> None:
    """Recoverable with a way in words; healed over the air; then healthy, and its keys can be changed."""
    here = bench(timing=timing)
    assert here.ask(Diagnose(), 0, ELECTRICITY).verdict == "healthy"
    struck(here, "key-change-answer-lost", keys="kek", times=1)
    found = here.ask(Diagnose(), 0, ELECTRICITY)
    assert found.verdict == "recoverable"
    assert [each.row for each in found.matters] == ["R4"]
    assert found.holds == {"ek": "generation 0", "ak": "generation 0", "kek": "generation 1"}
    assert (found.believed_data, found.believed_master) == (0, 0)
    assert len(found.steps) == 2
    assert not found.advice
    healed = here.ask(Heal(), 0, ELECTRICITY)
    assert healed.steps == found.steps
    assert healed.diagnosis.verdict == "healthy"
    assert here.ask(RotateKeys(), 0, ELECTRICITY).data == 1
    assert here.ask(Diagnose(), 0, ELECTRICITY).verdict == "healthy"


def test_a_lost_meter_is_told_and_not_healed(bench: Make) -> None:
    """Reads only: why, and what an engineer must do; asking to heal it says so, and its neighbour is none the worse."""
    here = bench()
    struck(here, "wrong-master-key")
    found = here.ask(Diagnose(), 0, ELECTRICITY)
    assert found.verdict == "reads-only"
    assert found.holds["kek"] == "foreign"
    assert "exchange" in found.advice
    assert found.steps == []
    with pytest.raises(DeviceRefusedError, match="no way back"):
        here.ask(Heal(), 0, ELECTRICITY)
    assert here.ask(Diagnose(), 0, GAS).verdict == "healthy"
    assert here.ask(Diagnose(), 1, ELECTRICITY).verdict == "healthy"


def test_what_has_no_keys_is_not_diagnosed(bench: Make) -> None:
    """A display, a device that is not there, an installation that is not there."""
    here = bench()
    for installation, party in ((0, IHD), (1, GAS), (10_000, ELECTRICITY)):
        with pytest.raises(WishError):
            here.ask(Diagnose(), installation, party)


def test_a_kept_state_can_be_diagnosed(bench: Make, tmp_path: Path) -> None:
    """After the server has gone: what devices hold and what keepers believe are read from the state, which stays as it
    is."""
    here = bench(store=str(tmp_path))
    struck(here, "key-change-answer-lost", keys="kek", times=1)
    here.live.close()
    arguments = ["--installation", "0", "--device", "electricity", "--state", str(tmp_path)]
    told = CliRunner().invoke(command, [*arguments, "--json"])
    assert told.exit_code == 1, told.output or told.exception
    (found,) = json.loads(told.output)
    assert found["diagnosis"]["verdict"] == "recoverable"
    assert found["diagnosis"]["holds"]["kek"] == "generation 1"
    again = bench(store=str(tmp_path))
    assert again.ask(Heal(), 0, ELECTRICITY).diagnosis.verdict == "healthy"
    again.live.close()
    assert CliRunner().invoke(command, arguments).exit_code == 0
