"""A change of keys with the link falling away at every point of it.

The claim: wherever it breaks, the next attempt heals it. Afterwards one pair of data keys and one master key are live
in the device, the keeper knows which, nothing is in doubt, and no counter was spent twice under one key by anybody.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journey_kit import CALM, Nonces, attempt, heal, nonces, truth

from emulator.kernel.machine import Party
from emulator.kernel.time import MILLISECOND, SECOND
from emulator.link.profile import LinkProfile, Outage
from emulator.scenario.playground import DeviceHandle, Home, Playground

DUAL = 0  # a home with hub, electricity and gas, and nothing wrong with it
DEVICES = (Party.HUB, Party.ELECTRICITY, Party.GAS)


def a_home(link: str = "plain", profile: LinkProfile | None = None) -> tuple[Playground, Home]:
    world = Playground("demo-street", link=link, profile=profile, air=CALM)
    return world, world.home(DUAL)


def assert_healed(world: Playground, home: Home, device: DeviceHandle, tap: Any) -> None:
    """The end every story here must have."""
    found = truth(world, home, device.party)
    assert found.sound, found
    assert found.data[0] >= 1
    assert found.master[0] >= 1
    assert device.read("1/0-0:42.0.0").startswith(b"ELS")
    spent = nonces(world, home, tap.seen)
    assert_spent_once(spent)


def assert_spent_once(spent: Nonces) -> None:
    assert spent.again == []
    assert spent.closed == []  # every frame opens under a key that somebody ought to have
    assert spent.opened > 10


def frames_of_a_rotation(tap: Any, party: Party) -> list[str]:
    """The ways of all frames of one undisturbed change."""
    _, home = a_home()
    home.device(party).rotate_keys()
    ways = [each.way for each in tap.seen]
    tap.clear()
    return ways


@pytest.mark.parametrize("party", DEVICES, ids=lambda party: party.name.lower())
def test_the_loss_of_any_single_frame_is_healed(tap: Any, party: Party) -> None:
    """Each frame of the whole change, down, up, over the HAN and the short message, is lost once."""
    ways = frames_of_a_rotation(tap, party)
    assert len(ways) >= 20
    assert {"down", "up", "sms"} <= set(ways)
    ended = {"at once": 0, "later": 0}
    for lost in range(len(ways)):
        world, home = a_home()
        tap.clear()
        tap.lose = lambda number, seen, lost=lost: number == lost
        device = home.device(party)
        ended["at once" if heal(device) == 1 else "later"] += 1
        assert_healed(world, home, device, tap)
    # Most losses are made good within the attempt; those of the two transfers of keys are not.
    assert ended["later"] >= 2
    assert ended["at once"] > ended["later"]


def test_an_outage_at_any_moment_of_a_change_is_healed(tap: Any) -> None:
    """Six seconds of black link from every quarter of a second of the change on, over IPsec."""
    world, home = a_home("ipsec")
    begins = world.instant
    home.electricity.rotate_keys()
    lasts = world.instant - begins
    assert lasts < 60 * SECOND
    disturbed = 0
    for start in range(begins - 6 * SECOND, begins + lasts, 250 * MILLISECOND):
        tap.clear()
        profile = LinkProfile(outages=(Outage(start),), outages_per_day=0)
        world, home = a_home("ipsec", profile)
        disturbed += heal(home.electricity) > 1
        assert world.cell(DUAL).cell.chain.log.ways[0].refused == 0
        assert_healed(world, home, home.electricity, tap)
    assert disturbed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 120), max_size=14), st.sampled_from(DEVICES))
def test_any_losses_over_several_attempts_are_healed(tap: Any, lost: set[int], party: Party) -> None:
    """Any frames at all are lost over up to four attempts; the first undisturbed attempt after them heals."""
    tap.clear()
    world, home = a_home()
    tap.lose = lambda number, seen: number in lost
    device = home.device(party)
    for _ in range(4):
        attempt(device.rotate_keys)
    tap.lose = lambda number, seen: False
    assert heal(device, tries=1) == 1
    assert_healed(world, home, device, tap)


@pytest.mark.slow
def test_the_loss_of_any_two_frames_is_healed(tap: Any) -> None:
    """Every pair of frames of a change, the second possibly in the attempt that follows."""
    ways = frames_of_a_rotation(tap, Party.ELECTRICITY)
    for first in range(len(ways)):
        for second in range(first + 1, len(ways) + 20):
            tap.clear()
            world, home = a_home()
            tap.lose = lambda number, seen, pair=(first, second): number in pair
            heal(home.electricity, tries=3)
            assert_healed(world, home, home.electricity, tap)
