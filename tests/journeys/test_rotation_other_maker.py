"""A change of keys on the other maker's meters, each frame of it lost once: what patience heals and haste does not."""

from pathlib import Path
from typing import Any

import pytest
from journey_kit import CALM, attempt, nonces, truth

from devices.common.key_slots import Slot
from emulator import resources
from emulator.headend.policy import CustodySettings, RotationPolicy
from emulator.kernel.machine import Party
from emulator.scenario.playground import Home, Playground

HASTY = CustodySettings(rotation=RotationPolicy(retry="impatient", again=2, retry_after_s=1))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo street with the other maker's meters: a combination names its models."""
    text = resources.fixture("estates/demo-street.toml").read_text("utf-8")
    for old, new in (("elster_as300p", "itron_e"), ("itron_e_5t", "elster_as300p_5t"), ("elster_bk_g4", "itron_g")):
        text = text.replace(old, new)
    file: Path = tmp_path_factory.mktemp("estates") / "other-street.toml"
    file.write_text(text.replace('"demo-street"', '"other-street"'))
    return str(file)


def a_home(street: str, custody: CustodySettings | None = None) -> tuple[Playground, Home]:
    world = Playground(street, link="plain", air=CALM, custody=custody)
    return world, world.home(0)


def kek(world: Playground, party: Party) -> Slot:
    machine: Any = world.cell(0).cell.machine(0, party)
    slot: Slot = machine.key_memory(world.instant).kek
    return slot


def frames(street: str, tap: Any, party: Party) -> int:
    """How many frames one undisturbed change has."""
    _, home = a_home(street)
    home.device(party).rotate_keys()
    count = len(tap.seen)
    tap.clear()
    return count


@pytest.mark.parametrize("party", [Party.ELECTRICITY, Party.GAS], ids=lambda party: party.name.lower())
def test_patience_heals_the_loss_of_any_frame(street: str, tap: Any, party: Party) -> None:
    """Whichever is lost, within three tries everything is proven, no slot is lost and no counter was spent twice."""
    for lost in range(frames(street, tap, party)):
        tap.clear()
        world, home = a_home(street)
        tap.lose = lambda number, seen, lost=lost: number == lost
        tries = 1
        while attempt(home.device(party).rotate_keys) is not None:
            tries += 1
            assert tries <= 3, lost
        found = truth(world, home, party)
        assert found.sound, (lost, found)
        assert kek(world, party) is Slot.OK
        assert nonces(world, home, tap.seen).again == []


def test_haste_loses_a_master_key_to_the_loss_of_one_frame_and_not_to_that_of_most(street: str, tap: Any) -> None:
    """The same losses, and a head end that sends again what was not answered: the answer to the new master key must be
    lost for it, or the transfer that comes next, on one of the two legs each way."""
    ended: list[int] = []
    count = frames(street, tap, Party.ELECTRICITY)
    for lost in range(count):
        tap.clear()
        world, home = a_home(street, HASTY)
        tap.lose = lambda number, seen, lost=lost: number == lost
        for _ in range(3):
            if attempt(home.electricity.rotate_keys) is None:
                break
        if kek(world, Party.ELECTRICITY) is Slot.CORRUPT:
            ended.append(lost)
            assert world.notes("keys.writer-overrun")
            assert home.electricity.read("clock")
    assert 2 <= len(ended) <= 8 < count // 2, ended
