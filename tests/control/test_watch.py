"""What clients do wrong, asked of a served estate: violations, approvals, standing checks."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import (
    ApproveCommand,
    Checks,
    ResetEstate,
    RotateKeys,
    SetSupply,
    Violations,
)
from emulator.control.errors import NoSuchThingError, NotNowError
from emulator.headend.dual_control import Approvals
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.watch.estate import EstateWatch
from emulator.watch.violation import KINDS


@pytest.fixture
def watched(bench: Callable[..., Any]) -> Any:
    made = bench()
    made.live.overlook(EstateWatch(approvals=Approvals()))
    return made


def test_our_own_head_end_commits_none_and_all_checks_hold(watched: Any) -> None:
    watched.ask(RotateKeys(), 0, Party.ELECTRICITY)
    watched.ask(SetSupply("off"), 0, Party.ELECTRICITY)
    view = watched.ask(Violations())
    assert (view.violations, view.last, view.counts) == ([], 0, {})
    found = watched.ask(Checks())
    assert (found.holds, found.findings) == (True, [])
    assert watched.ask(Checks(only=["no-violation"])).checked == ["no-violation"]


def test_violations_are_asked_for_by_number_kind_and_home(watched: Any) -> None:
    register = watched.live.watch.register
    for home, kind in ((1, "bad-counter"), (2, "reused-nonce"), (1, "reused-nonce")):
        register.add(watched.live.now, home, "hub", kind, "what", "where")
    view = watched.ask(Violations())
    assert [each.number for each in view.violations] == [1, 2, 3]
    assert view.counts == {"bad-counter": 1, "reused-nonce": 2}
    assert [each.number for each in watched.ask(Violations(since=1, kind="reused-nonce")).violations] == [2, 3]
    assert [each.number for each in watched.ask(Violations(installation=1, limit=1)).violations] == [1]
    assert watched.ask(Checks(only=["no-violation"])).holds is True  # no cell of theirs was ever made
    watched.ask(RotateKeys(), 0, Party.ELECTRICITY)
    assert watched.ask(Checks(only=["no-violation"])).holds is False
    watched.ask(ResetEstate())
    assert watched.ask(Violations()).violations == []
    assert watched.ask(Violations()).last == 3  # numbers go on


def test_the_second_party_approves_for_a_time(watched: Any) -> None:
    approved = watched.ask(ApproveCommand("supply", seconds=60), 3, Party.ELECTRICITY)
    now = watched.live.now
    assert (approved.installation, approved.device, approved.service) == (3, "electricity", "supply")
    assert approved.until == now + 60 * SECOND
    covers = watched.live.watch.approvals.covers
    assert covers(3, Party.ELECTRICITY, "supply", now)
    assert not covers(3, Party.ELECTRICITY, "supply", approved.until)
    assert not covers(3, Party.GAS, "supply", now)
    assert not covers(3, Party.ELECTRICITY, "keys", now)


def test_where_nobody_watches_it_says_so(bench: Callable[..., Any]) -> None:
    made = bench()
    for wish in (Violations(), Checks()):
        with pytest.raises(NotNowError, match="nobody watches"):
            made.ask(wish)
    with pytest.raises(NotNowError, match="nobody watches"):
        made.ask(ApproveCommand("keys"), 0, Party.HUB)


def test_what_there_is_not_is_refused(watched: Any) -> None:
    with pytest.raises(NoSuchThingError, match="no kind of violation") as refused:
        watched.ask(Violations(kind="nothing"))
    assert all(kind in refused.value.cure for kind in KINDS)
    with pytest.raises(NoSuchThingError, match="no standing check"):
        watched.ask(Checks(only=["nothing"]))


def test_a_watch_put_on_late_sees_homes_that_are_awake(bench: Callable[..., Any]) -> None:
    made = bench()
    line = made.live.line(0, lambda frame: None)  # keeps the home awake
    made.ask(RotateKeys(), 0, Party.ELECTRICITY)
    made.live.overlook(EstateWatch(approvals=Approvals()))
    made.ask(SetSupply("off"), 0, Party.ELECTRICITY)
    assert made.ask(Violations()).violations == []  # what our own second party countersigned is approved
    cell = made.live.cell(0)
    machine = cell.machine(0, Party.ELECTRICITY)
    addressing = machine.model.profile.addressing
    live_key = bytes(cell.store.export(cell.context(0, Party.ELECTRICITY))[:16])
    line.send(WRAPPER.build(Wrapper(addressing.public, addressing.sap, b"\xc0\x01\xc1" + live_key)))
    made.live.advance(made.live.now)
    assert made.ask(Violations()).counts == {"key-in-clear": 1}
    line.close()
