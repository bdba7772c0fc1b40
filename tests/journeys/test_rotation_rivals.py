"""Two head ends at one meter (row F9): the old operator, or another, changes the keys in the middle of our change.

Whatever the rival does is done to a real device over the real wires. The claims: with a lock that both honour nothing
happens; a rival that tells is recovered from; one that does not leaves what no key of ours opens, and we know it.
"""

from typing import Any

import pytest
from journey_kit import CALM, attempt, custody, heal, nonces, truth

from emulator.headend.keeper import Hierarchy
from emulator.headend.session import RefusedError
from emulator.kernel.machine import Party
from emulator.scenario.playground import Home, Playground

E = Party.ELECTRICITY
STEPS = ("before-transfer", "between-master-and-data", "after")


def a_home(**settings: Any) -> tuple[Playground, Home]:
    world = Playground("demo-street", link="plain", air=CALM)
    world.inject("rival-head-end", times=1, **settings)
    return world, world.home(0)


def assert_sound(world: Playground, home: Home, tap: Any) -> None:
    found = truth(world, home, E)
    assert found.sound, found


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("knows", ["handed-over", "live"])
def test_a_rival_that_honours_the_lock_is_shut_out(tap: Any, step: str, knows: str) -> None:
    """It sends nothing at all, and our change is as if it had not been there."""
    world, home = a_home(step=step, knows=knows, honours_lock=True)
    home.electricity.rotate_keys()
    assert world.notes("rival.locked-out")
    assert not world.notes("rival.began")
    assert_sound(world, home, tap)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("knows", ["handed-over", "live"])
@pytest.mark.parametrize("changes", ["data", "master", "both"])
def test_a_rival_that_tells_is_recovered_from(tap: Any, step: str, knows: str, changes: str) -> None:
    """Whatever it changed and wherever it cut in: with its keys told, the next attempts heal."""
    world, home = a_home(step=step, knows=knows, changes=changes, tells=True)
    attempt(home.electricity.rotate_keys)
    heal(home.electricity, tries=3)
    assert_sound(world, home, tap)
    assert home.electricity.read("clock")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("changes", ["data", "master", "both"])
def test_a_rival_that_keeps_its_keys_locks_us_out_where_its_transfer_was_taken(
    tap: Any, step: str, changes: str
) -> None:
    """What it could change is lost to us and stays told as lost; what it could not, we heal."""
    world, home = a_home(step=step, changes=changes)
    attempt(home.electricity.rotate_keys)
    errors = [attempt(home.electricity.rotate_keys) for _ in range(3)]
    held, found = custody(world, home, E), truth(world, home, E)
    live = {Hierarchy.DATA: found.data, Hierarchy.MASTER: found.master}
    astray = [each for each in Hierarchy if not set(live[each]) & set(held.known(each))]
    # Under the keys handed over it can still do something before ours are taken, and nothing afterwards.
    taken = {"data": [Hierarchy.DATA], "master": [Hierarchy.MASTER], "both": list(Hierarchy)}[changes]
    assert astray == (taken if step == "before-transfer" else [])
    for each in astray:
        assert set(live[each]) <= set(held.lost(each))  # the generation in the device is one nobody can make
    if not astray:
        assert errors[-1] is None
        assert_sound(world, home, tap)
        return
    reasons = {error.reason for error in errors if isinstance(error, RefusedError)}
    assert len(reasons) == 1
    if Hierarchy.DATA in astray:
        assert reasons == {"exception"}
    else:
        assert reasons == {"no-master-key"}
        assert home.electricity.read("clock")  # it is read, and can never be re-keyed
    assert world.notes("custody.lost")


def test_the_rival_has_counters_and_a_title_of_its_own(tap: Any) -> None:
    """Nothing of ours is spent twice though two talk under one key; what it sends is not sealed under our title."""
    world, home = a_home(step="before-transfer", knows="live", changes="data", tells=True)
    attempt(home.electricity.rotate_keys)
    heal(home.electricity, tries=3)
    spent = nonces(world, home, tap.seen)
    assert spent.again == []
    assert spent.opened > 20
    assert spent.closed  # the rival's requests open under no title of ours


def test_two_head_ends_are_seen_by_the_watch(tap: Any) -> None:
    """A transfer that nobody on our side countersigned is a violation, whoever sent it."""
    world, home = a_home(step="between-master-and-data", knows="handed-over")
    attempt(home.electricity.rotate_keys)
    assert "two-head-ends" in {violation.kind for violation in world.violations}
