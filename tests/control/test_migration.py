"""A migration of a live estate: to the end, with the ledger, the audit and the link agreeing."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.commands import (
    CancelTask,
    InjectFault,
    Ledger,
    Migrate,
    ReadObject,
    ResetEstate,
    ResetHome,
    RestoreSnapshot,
    RotateKeys,
    State,
    Status,
    TakeSnapshot,
    Task,
)
from emulator.control.errors import NoSuchThingError, NotNowError
from emulator.kernel.machine import Party

Make = Callable[..., Any]
CLOCK = ReadObject("clock")


@pytest.mark.parametrize("timing", ["instant", "modelled"])
def test_a_street_is_migrated_and_every_fault_in_it_is_found(bench: Make, timing: str) -> None:
    """Each condition of the demo street ends in its own cause, and the audit confirms every migrated home."""
    here = bench(timing=timing)
    done = here.ask(Migrate())
    lines = {each.installation: each for each in here.ask(Ledger()).lines}
    assert done.homes == 16
    assert done.migrated + done.failed + done.unrecoverable == 16
    assert (done.audited, done.astray, done.open, done.waiting) == (done.migrated, 0, 0, 0)
    wanted = {
        0: ("migrated", ""),
        2: ("failed", "MF1:no-master-key"),
        3: ("failed", "MF2:no-wan"),
        5: ("migrated", "MF5:GT01"),
        9: ("failed", "MF9:not-on-epcl"),
        11: ("failed", "MF10:wrong-key"),
        12: ("failed", "MF10:counter"),
        13: ("failed", "MF10:firmware"),
    }
    assert {number: (lines[number].verdict, lines[number].cause) for number in wanted} == wanted
    assert here.ask(State(), 0).devices[1].keys.data_generation == 1
    assert here.ask(CLOCK, 0, Party.ELECTRICITY)
    assert here.ask(Status()).exchanges > 300


def test_some_homes_a_few_abreast_and_the_rest_untouched(bench: Make) -> None:
    """Only the named homes are migrated, never more at a time than asked for; a second run leaves them alone."""
    here = bench()
    task = here.begin(Migrate([0, 4, 6, 0], abreast=2))
    assert (task.view().progress.homes, task.view().progress.waiting) == (3, 1)
    here.drive(task)
    assert task.answer.migrated == 3
    assert [each.verdict for each in here.ask(Ledger(1, 3)).lines] == ["pending"] * 3
    assert here.ask(Migrate([0, 4])).already == 2


def test_a_failed_home_is_tried_anew_once_its_cause_is_gone(bench: Make) -> None:
    """Out of coverage a home fails; with coverage back the next migration takes it over."""
    here = bench()
    fault = here.ask(InjectFault("out-of-coverage", {"installation": 0}))
    assert here.ask(Migrate([0], attempts=2, retry_s=60)).by_cause == {"MF3:wan-lost": 1}
    here.desk.faults.clear(fault.number)
    assert here.ask(Migrate([0])).migrated == 1
    assert here.ask(Ledger(0, 1)).lines[0].attempts == 1


def test_only_one_at_a_time_and_it_can_be_given_up(bench: Make) -> None:
    """A second one is refused while the first runs; cancelled, it begins nothing more and another may begin."""
    here = bench(timing="modelled")
    task = here.begin(Migrate(abreast=1))
    with pytest.raises(NotNowError, match="already"):
        here.begin(Migrate())
    here.ask(CancelTask(task.number))
    assert here.ask(Task(task.number)).state == "cancelled"
    assert task.view().progress.waiting == 0
    assert here.ask(Migrate([1])).homes == 1
    with pytest.raises(NoSuchThingError):
        here.begin(Migrate([16]))


def test_the_gate_stops_a_campaign_that_fails(bench: Make) -> None:
    """With nobody reachable, twenty failures are enough: nothing more is begun."""
    here = bench("thousand", installations=200)
    here.ask(InjectFault("link-outage", {"seconds": 0}))
    done = here.ask(Migrate(abreast=10, attempts=1, stop_share=0.5))
    assert "failed" in done.stopped
    assert done.migrated + done.failed + done.unrecoverable < 40


def test_a_home_that_is_put_back_leaves_the_campaign(bench: Make) -> None:
    """Resetting a home in the middle of its migration takes it out; the others come to their end."""
    here = bench(timing="modelled")
    task = here.begin(Migrate([0, 1, 4]))
    for _ in range(40):
        next(task.drive)
    here.ask(ResetHome(), 1)
    here.drive(task)
    assert task.answer.homes == 2
    assert here.ask(State(), 1).devices[1].keys.epoch == 0
    assert here.ask(CLOCK, 1, Party.ELECTRICITY)


def test_snapshots_and_resets_take_devices_and_beliefs_back_together(bench: Make) -> None:
    """After either, the head end still gets in: what it believes and what the devices hold went back as one."""
    here = bench()
    here.ask(RotateKeys(), 0, Party.ELECTRICITY)
    here.ask(TakeSnapshot("before"))
    here.ask(Migrate([0, 4]))
    assert here.ask(State(), 0).devices[1].keys.data_generation == 2
    counters = here.ask(State(), 0).devices[1].keys
    here.ask(RestoreSnapshot("before"))
    keys = here.ask(State(), 0).devices[1].keys
    assert (keys.data_generation, keys.tx >= counters.tx) == (1, True)
    assert here.ask(Ledger(0, 1)).lines[0].verdict == "pending"
    assert here.ask(CLOCK, 0, Party.ELECTRICITY)
    here.ask(ResetEstate())
    assert here.ask(State(), 0).devices[1].keys.data_generation == 0
    assert here.ask(CLOCK, 0, Party.ELECTRICITY)
    assert here.ask(Migrate([0, 4])).migrated == 2
    with pytest.raises(NoSuchThingError):
        here.ask(RestoreSnapshot("after"))
    for name in map(str, range(7)):
        here.ask(TakeSnapshot(name))
    with pytest.raises(NotNowError, match="8 snapshots"):
        here.ask(TakeSnapshot("one-more"))
