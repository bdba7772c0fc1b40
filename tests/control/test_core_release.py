"""A served estate under a core release without auxiliary load: what is refused, and what a migration leaves behind."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.commands import Migrate, ServiceRequest, SetAuxiliary
from emulator.control.errors import NotNowError
from emulator.dcc.auxiliary_release import AuxiliarySettings
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY

HOME = 6  # five terminals, Economy 10
SWITCH = {"switch": 1, "minutes": 30}


def served(bench: Callable[..., Any], **settings: Any) -> Any:
    here = bench()
    here.live.release(AuxiliarySettings(**settings))
    return here


@pytest.mark.parametrize(("hypothesis", "code"), [("H1", "N55"), ("H3", "E11")])
def test_requests_are_refused_and_the_supply_s_are_not(bench: Callable[..., Any], hypothesis: str, code: str) -> None:
    """7.5 fails at once by its own code; 7.4 goes through."""
    here = served(bench, core_release="1.0", hypothesis=hypothesis)
    answer = here.ask(ServiceRequest("7.5", SWITCH), HOME)
    assert (answer.verdict, answer.code, answer.reason) == ("failed", code, "not-capable")
    with pytest.raises(NotNowError, match="refuses"):
        here.ask(SetAuxiliary(1, "on", 30), HOME, Party.ELECTRICITY)
    assert here.live.cell(HOME).desk.exchanges == 0
    assert here.ask(ServiceRequest("7.4"), HOME).success


@pytest.mark.parametrize(("hypothesis", "cold"), [(None, False), ("H2", True), ("H4", True)])
def test_a_live_migration_may_leave_a_home_cold(bench: Callable[..., Any], hypothesis: Any, cold: bool) -> None:
    """Migrated in every case; in the day after it the contact closes as it should, or never."""
    release = "1.1" if hypothesis is None else "1.0"
    here = served(bench, core_release=release, hypothesis=hypothesis)
    assert here.ask(Migrate([HOME])).migrated == 1
    now = here.live.now
    spans = here.desk.look_at(HOME, Party.ELECTRICITY, lambda meter: meter.auxiliary_spans(1, now, now + DAY, now))
    assert any(span.closed for span in spans) is not cold
