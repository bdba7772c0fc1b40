"""A change of keys on devices with other habits: silent ones, ones that count anew, ones that refuse, ones that tear.

What a device does with a message it cannot open differs from maker to maker, and each habit hides another state of the
keys from the head end. The claim is the same for all of them: nothing that was sent is ever given up while the device
may hold it.
"""

from collections.abc import Callable
from typing import Any

import pytest
from journey_kit import CALM, attempt, custody, heal, nonces, truth, with_habits

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data
from emulator.dlms.classes import SecuritySetup
from emulator.dlms.cosem import ActionRefused, Device
from emulator.headend.keeper import Stage
from emulator.headend.session import RefusedError
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.scenario.playground import Home, Playground

E = Party.ELECTRICITY
METER = "elster_as300p"


def a_home() -> tuple[Playground, Home]:
    world = Playground("demo-street", link="plain", air=CALM)
    return world, world.home(0)


def assert_sound(world: Playground, home: Home, tap: Any) -> None:
    found = truth(world, home, E)
    assert found.sound, found
    spent = nonces(world, home, tap.seen)
    assert spent.again == []
    assert spent.closed == []


@pytest.mark.parametrize(
    "habits",
    [
        {"bad_tag": "silence", "bad_counter": "silence"},
        {"bad_tag": "close", "bad_counter": "close"},
        {"bad_tag": "plain-exception", "bad_counter": "plain-exception"},
        {"counter_reset": True},
        {"counter_reset": True, "bad_tag": "silence", "bad_counter": "silence"},
        {"policy": 0},
    ],
    ids=lambda habits: ", ".join(f"{key} {value}" for key, value in habits.items()),
)
def test_every_habit_is_healed_after_every_loss(monkeypatch: pytest.MonkeyPatch, tap: Any, habits: Any) -> None:
    """Each frame from the association on is lost once; counters of a device that resets them are never spent twice."""
    with_habits(monkeypatch, METER, **habits)
    world, home = a_home()
    home.electricity.rotate_keys()
    ways = len(tap.seen)
    assert_sound(world, home, tap)
    for lost in range(14, ways):
        tap.clear()
        world, home = a_home()
        tap.lose = lambda number, seen, lost=lost: number == lost
        heal(home.electricity)
        assert_sound(world, home, tap)
    home.electricity.rotate_keys()
    assert home.electricity.read("clock")
    assert_sound(world, home, tap)


def refuse(monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool], result: ActionResult) -> list[int]:
    """Let key transfers be refused for a reason of the device's own; the list counts them."""
    counted: list[int] = []
    true = SecuritySetup._checked

    def checked(self: SecuritySetup, data: Data) -> Any:
        counted.append(len(counted))
        if when(counted[-1]):
            raise ActionRefused(result, "not now")
        return true(self, data)

    monkeypatch.setattr(SecuritySetup, "_checked", checked)
    return counted


@pytest.mark.parametrize("result", [ActionResult.TEMPORARY_FAILURE, ActionResult.OTHER_REASON])
@pytest.mark.parametrize("lost_first", [False, True])
@pytest.mark.parametrize("refused", [{0}, {1}, {2}, {1, 2}, {2, 3}, {1, 2, 3}, {1, 3, 5}], ids=str)
def test_a_refused_transfer_gives_nothing_up(
    monkeypatch: pytest.MonkeyPatch, tap: Any, refused: set[int], lost_first: bool, result: ActionResult
) -> None:
    """Transfers are refused although they were in order, before and after the answer to the new master key was lost.

    A head end that took such a refusal for a proof would forget a master key that the device holds, and with it the
    device."""
    world, home = a_home()
    counted = refuse(monkeypatch, lambda number: number in refused, result)
    if lost_first:
        transfers: list[int] = []

        def lose(number: int, seen: Any) -> bool:
            if seen.way == "han down" and seen.frame[8:9] == b"\xcb":
                transfers.append(number)
            # The answer to the second action after the association's own: the master key's.
            return seen.way == "han up" and len(transfers) == 2

        tap.lose = lose
        attempt(home.electricity.rotate_keys)
        tap.lose = lambda number, seen: False
    while len(counted) <= max(refused):
        attempt(home.electricity.rotate_keys)
    heal(home.electricity, tries=2)
    assert_sound(world, home, tap)


@pytest.mark.parametrize("party", [Party.HUB, Party.GAS], ids=lambda party: party.name.lower())
def test_a_silent_device_behind_a_sleeping_hub_is_healed(
    monkeypatch: pytest.MonkeyPatch, tap: Any, party: Party
) -> None:
    """Silence under the candidate lasts for three polls of a gas meter; the hub is still up for the old pair."""
    for model in ("elster_hub", "elster_bk_g4"):
        with_habits(monkeypatch, model, bad_tag="silence", bad_counter="silence")
    world, home = a_home()
    device = home.device(party)
    transfers: list[int] = []

    def lose(number: int, seen: Any) -> bool:
        if seen.way == "down" and seen.frame[8:9] == b"\xcb":
            transfers.append(number)
        return seen.way == "down" and len(transfers) >= 3  # the new pair never gets there, nor what is asked after it

    tap.lose = lose
    assert attempt(device.rotate_keys) is not None
    assert custody(world, home, party).data.in_doubt
    tap.lose = lambda number, seen: False
    assert heal(device, tries=1) == 1
    assert world.notes("recovery.candidate-disproven")
    found = truth(world, home, party)
    assert found.sound, found


def test_a_device_that_refuses_for_good_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, tap: Any) -> None:
    """A meter that takes no master key over the air keeps all its keys, and can still be read and tried again."""
    with_habits(monkeypatch, METER, master_key_changes=False)
    world, home = a_home()
    for _ in range(3):
        with pytest.raises(RefusedError) as refusal:
            home.electricity.rotate_keys()
        assert (refusal.value.reason, refusal.value.detail) == ("action", ActionResult.READ_WRITE_DENIED)
    found = truth(world, home, E)
    assert (found.data, found.master) == ([0], [0])
    assert found.sound
    assert home.electricity.read("clock")


def tear(monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    """Let the next transfer of a pair be interrupted after `keep` of its two keys were taken into use."""
    true = SecuritySetup._commitments
    torn: list[bool] = []

    def commitments(self: SecuritySetup, device: Device, index: int, keys: Any, now: Instant) -> Any:
        steps = true(self, device, index, keys, now)
        if len(keys) == 2 and not torn:
            torn.append(True)
            return steps[keep : keep + 1]
        return steps

    monkeypatch.setattr(SecuritySetup, "_commitments", commitments)


@pytest.mark.parametrize("keep", [0, 1], ids=["only EK taken", "only AK taken"])
@pytest.mark.parametrize("lose_also", [None, "settling", "the next change"])
@pytest.mark.parametrize("bad_tag", ["exception", "silence"])
def test_a_torn_pair_is_found_and_made_whole(
    monkeypatch: pytest.MonkeyPatch, tap: Any, keep: int, lose_also: str | None, bad_tag: str
) -> None:
    """A device left with one new and one old key is talked to under the mixture, and gets the same candidate again."""
    with_habits(monkeypatch, METER, bad_tag=bad_tag)
    world, home = a_home()
    tear(monkeypatch, keep)
    assert attempt(home.electricity.rotate_keys) is not None
    held = custody(world, home, E)
    assert held.data.custody.stage is Stage.SENT
    assert held.data.custody.candidate == 1
    found = truth(world, home, E)
    assert found.data == []  # neither pair is whole
    if lose_also is not None:
        transfers: list[int] = []
        wanted = 2 if lose_also == "settling" else 3

        def lose(number: int, seen: Any) -> bool:
            if seen.way == "han down" and seen.frame[8:9] == b"\xcb" and len(seen.frame) > 70:
                transfers.append(number)
            return seen.way == "han up" and len(transfers) == wanted

        tap.lose = lose
        attempt(home.electricity.rotate_keys)
        tap.lose = lambda number, seen: False
        assert transfers
    assert heal(home.electricity, tries=2) == 1
    assert world.notes("recovery.mixed")
    assert_sound(world, home, tap)
