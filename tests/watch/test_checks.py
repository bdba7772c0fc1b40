"""Standing checks: that a sound run passes them all, and that each sees what it is there for."""

import pickle
from contextlib import suppress
from typing import Any

import pytest

from emulator.commands import PowerCut
from emulator.dcc import campaign
from emulator.dcc.host import HostOptions
from emulator.dcc.verdict import Verdict
from emulator.errors import InputError, UsageError
from emulator.faults import catalogue
from emulator.fleet.estate import open_estate
from emulator.headend.keeper import Hierarchy
from emulator.headend.session import RefusedError
from emulator.kernel.effects import Note
from emulator.kernel.machine import Party
from emulator.kernel.time import MINUTE
from emulator.scenario.playground import Playground
from emulator.watch.checks import CHECKS, FOUND_MOST, OBSERVING, Context, Finding, check, names

FIVE_TERMINALS = 1


@pytest.fixture
def world() -> Playground:
    return Playground("demo-street", seed=7)


def _context(world: Playground, home: int = 0) -> Context:
    world.home(home).electricity.read("clock")
    assert world.watch is not None
    return world.watch.contexts()[0]


# A sound run


def test_a_campaign_passes_them_all() -> None:
    estate = open_estate("thousand", 1, 30)
    watched = campaign.run(estate, HostOptions(checks=()), workers=1)
    assert watched.findings == []
    assert watched.violations == []
    assert watched.totals.migrated
    bare = campaign.run(estate, HostOptions(), workers=1)
    assert bare.digest == watched.digest  # looking changes nothing


def _under(fault: str, **settings: Any) -> Any:
    estate = open_estate("thousand", 1, 25)
    options = HostOptions(checks=(), faults=(catalogue.make(fault, settings),))
    return campaign.run(estate, options, workers=1)


def test_a_doubt_that_the_head_end_keeps_is_no_violation() -> None:
    """The link keeps it from asking what became of a transfer; it knows that it does not know."""
    result = _under("gprs-corrupt", chance=0.05)
    assert result.fired[1]
    assert result.totals.failed > 5
    assert result.violations == []


def test_a_rival_is_seen_as_two_head_ends() -> None:
    result = _under("rival-head-end", tells=True)
    assert result.fired[1]
    assert {each.kind for each in result.violations} >= {"two-head-ends"}
    assert {each.check for each in result.findings} >= {"no-violation"}


def test_a_counter_that_falls_back_to_a_checkpoint_is_found(world: Playground) -> None:
    meter = world.home(0).electricity
    world.inject("counter-rollback", device="electricity", checkpoint_every=64)
    for _ in range(3):
        meter.read("clock")
    meter.press(PowerCut(5))
    world.run_for(minutes=5)
    with suppress(RefusedError):  # our own check of its answers refuses counters that were used before
        meter.read("clock")
    assert {each.check for each in world.check()} == {"counters-never-go-back"}
    assert world.violations == []  # the head end was told, and went on from there


@pytest.mark.slow
def test_findings_do_not_depend_on_workers() -> None:
    import msgspec

    from emulator.fleet import recipe_reading
    from emulator.fleet.estate import drawn, locate
    from emulator.watch.settings import WatchSettings

    recipe = msgspec.structs.replace(recipe_reading.read(locate("thousand")), cell=20)
    options = HostOptions(checks=("no-violation",), watch=WatchSettings(gap_most=1))
    one, two = (campaign.run(drawn(recipe, 1, 60), options, workers=workers) for workers in (1, 2))
    assert one.findings == two.findings
    assert one.findings
    assert one.violations == two.violations


def test_a_played_world_passes_them_all(world: Playground) -> None:
    home = world.home(FIVE_TERMINALS)
    home.electricity.rotate_keys()
    home.auxiliary(1).activate(minutes=30)
    home.auxiliary(1).boost()
    world.run_for(hours=30)
    home.auxiliary(1).reset()
    assert home.electricity.read("clock")
    assert world.violations == []
    assert world.check() == []


def test_a_world_that_nobody_watches_says_so() -> None:
    world = Playground("demo-street", watch=False)
    world.home(0).electricity.read("clock")
    for look in (lambda: world.violations, world.check):
        with pytest.raises(UsageError, match="watch=False"):
            look()


# What each sees


def _found(context: Context, name: str) -> list[Finding]:
    found = check(context, [name])
    assert all(each.check == name for each in found)
    return found


def test_a_devices_counter_that_goes_back(world: Playground) -> None:
    context = _context(world)
    assert _found(context, "counters-never-go-back") == []
    index = context.cell.context(0, Party.ELECTRICITY)
    context.cell.store.set_counters(index, rx=1)
    world.home(0).electricity.read("clock")
    (found,) = _found(context, "counters-never-go-back")
    assert (found.installation, found.device) == (0, "electricity")
    assert "device's rx fell" in found.what


def test_a_new_key_may_count_anew(world: Playground) -> None:
    context = _context(world)
    index, store = context.cell.context(0, Party.ELECTRICITY), context.cell.store
    store.install(index, ek=bytes(16), reset=True)
    machine: Any = world.home(0).electricity.physical
    assert context.watch is not None
    context.watch.levels.sample(machine, index, store.state(index))
    assert _found(context, "counters-never-go-back") == []


def test_a_head_end_that_counts_anew(world: Playground) -> None:
    context = _context(world)
    assert context.keyring is not None
    index, ours = context.cell.context(0, Party.ELECTRICITY), context.keyring.store
    assert context.watch is not None
    machine: Any = world.home(0).electricity.physical
    state = ours.state(index)
    ours.load(index, ek=bytes(16), ak=bytes(16), title=state.title, peer=state.peer, tx=0)
    context.watch.levels.sample(machine, index, context.cell.store.state(index))
    (found,) = _found(context, "counters-never-go-back")
    assert "head end's tx fell" in found.what


def test_a_case_without_a_verdict(world: Playground) -> None:
    context = _context(world)
    rows, now = context.cell.rows, context.cell.world.now
    rows.begin(3, now)
    assert [each.installation for each in _found(context, "one-verdict-each")] == [3]
    context.open = frozenset({3})
    assert _found(context, "one-verdict-each") == []
    context.open = frozenset()
    rows.finish(3, Verdict.FAILED, 1, 5, now)
    assert _found(context, "one-verdict-each") == []


def test_a_ledger_that_the_audit_does_not_confirm(world: Playground) -> None:
    context = _context(world)
    rows, now = context.cell.rows, context.cell.world.now
    rows.begin(3, now)
    rows.finish(3, Verdict.MIGRATED, 0, 5, now)
    assert _found(context, "ledger-balances") == []  # nobody said that this was a campaign
    context.campaign = True
    assert "never audited" in _found(context, "ledger-balances")[0].what
    rows.audit(3, False)
    assert "otherwise" in _found(context, "ledger-balances")[0].what
    rows.audit(3, True)
    assert _found(context, "ledger-balances") == []
    context.cell.desk.exchanges += 1
    assert "delivery log" in _found(context, "ledger-balances")[0].what


def test_a_supply_contact_that_moved_by_itself(world: Playground) -> None:
    context = _context(world)
    machine: Any = world.home(0).electricity.physical
    supply = machine.objects.named("supply")
    assert _found(context, "relay-never-moves-unasked") == []
    from emulator.codecs.axdr import enum

    supply.remember(machine, -1, enum(0))
    assert supply.state(machine, world.instant) == 0
    (found,) = _found(context, "relay-never-moves-unasked")
    assert (found.installation, found.device) == (0, "electricity")


def test_a_supply_contact_that_was_asked_to_move(world: Playground) -> None:
    context = _context(world)
    from emulator.codecs.axdr import long_unsigned

    world.home(0).electricity.act("supply.scripts", 1, long_unsigned(0x34))
    machine: Any = world.home(0).electricity.physical
    assert machine.objects.named("supply").state(machine, world.instant) == 0
    assert _found(context, "relay-never-moves-unasked") == []


def test_an_auxiliary_switch_that_nobody_moved(world: Playground) -> None:
    context = _context(world, FIVE_TERMINALS)
    world.run_for(hours=30)  # by its schedule
    assert world.home(FIVE_TERMINALS).electricity.read("clock")
    assert _found(context, "relay-never-moves-unasked") == []
    machine: Any = world.home(FIVE_TERMINALS).electricity.physical
    ledger, shown = machine.ledger, machine.shown(world.instant)
    on = ledger.switch_on(1, shown)
    hold = _hold(1, not on, shown + 60 * MINUTE)
    ledger.change(shown, shown, holds=(hold,))  # without a command, a button, a note
    world.home(FIVE_TERMINALS).electricity.read("clock")
    world.run_for(minutes=5)
    found = _found(context, "relay-never-moves-unasked")
    assert found
    assert "nobody noted" in found[0].what


def _hold(switch: int, on: bool, until: int) -> Any:
    from devices.common.ledger import Hold

    return Hold(switch, on, until)


def test_a_share_that_an_acknowledging_keeper_lost(world: Playground) -> None:
    world.home(0).electricity.rotate_keys()
    context = _context(world)
    assert _found(context, "no-key-lost-by-acknowledging-keeper") == []
    assert context.keyring is not None
    custody = context.keyring.keeper.custody(0, Party.ELECTRICITY, Hierarchy.MASTER)
    assert custody.lose("dco", custody.live)
    (found,) = _found(context, "no-key-lost-by-acknowledging-keeper")
    assert "dco lost generation 1 of the master keys" in found.what


def test_violations_are_findings(world: Playground) -> None:
    context = _context(world)
    assert world.watch is not None
    world.watch.register.add(0, 0, "hub", "bad-counter", "what", "where")
    world.watch.register.add(0, 10**9, "hub", "bad-counter", "of another cell", "where")
    assert [each.what for each in _found(context, "no-violation")] == ["bad-counter: what"]


def test_a_fault_of_ours(world: Playground) -> None:
    context = _context(world)
    cell = context.cell
    cell.journal.note(cell.world.now, 0, Party.HUB, Note("dlms.fault", ("TypeError", "")))
    assert "dlms.fault" in _found(context, "nothing-of-ours-broke")[0].what


# The table


def test_checks_are_named_and_told_what_there_is() -> None:
    assert names() == tuple(CHECKS)
    assert names(["no-violation", "one-verdict-each"]) == ("one-verdict-each", "no-violation")
    assert set(CHECKS) >= OBSERVING
    with pytest.raises(InputError, match="there are counters-never-go-back"):
        names(["nothing"])
    assert all(each.__doc__ for each in CHECKS.values())


def test_a_broken_check_does_not_fill_the_memory(world: Playground) -> None:
    context = _context(world)
    assert world.watch is not None
    for _ in range(FOUND_MOST + 5):
        world.watch.register.add(0, 0, "hub", "bad-counter", "what", "where")
    found = _found(context, "no-violation")
    assert len(found) == FOUND_MOST + 1
    assert "more than" in found[-1].what
    assert pickle.loads(pickle.dumps(found)) == found
