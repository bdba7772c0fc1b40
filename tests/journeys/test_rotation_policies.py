"""Changes of keys as different head ends make them, patient and careless, with the link falling away in between.

The claim for every policy that keeps its candidates: wherever one frame is lost, what is in the device can still be
made by the keepers, and the next attempts heal it. The careless ones show what they are careless of.
"""

from typing import Any

import pytest
from journey_kit import CALM, attempt, custody, heal, nonces, truth, with_habits

from emulator.headend.keeper import Hierarchy, Stage
from emulator.headend.policy import CustodySettings, RotationPolicy
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.scenario.playground import Home, Playground

E = Party.ELECTRICITY
DATA, MASTER = Hierarchy.DATA, Hierarchy.MASTER
METER = "elster_as300p"

KEEPING = [
    RotationPolicy(arrays="ek-first"),
    RotationPolicy(arrays="ak-first"),
    RotationPolicy(master="last"),
    RotationPolicy(master="never"),
    RotationPolicy(arrays="ak-first", master="last"),
    RotationPolicy(retry="impatient"),
    RotationPolicy(arrays="ek-first", master="last", retry="impatient"),
]


def named(policy: RotationPolicy) -> str:
    return " ".join(
        str(getattr(policy, field))
        for field in RotationPolicy.__dataclass_fields__
        if getattr(policy, field) != getattr(RotationPolicy(), field)
    )


def a_home(policy: RotationPolicy) -> tuple[Playground, Home]:
    world = Playground("demo-street", link="plain", air=CALM, custody=CustodySettings(rotation=policy))
    return world, world.home(0)


def frames(tap: Any, policy: RotationPolicy) -> int:
    """How many frames an undisturbed change takes."""
    a_home(policy)[1].electricity.rotate_keys()
    count = len(tap.seen)
    tap.clear()
    return count


def is_transfer(seen: Any) -> bool:
    """A request of ours under keys that is long enough to carry a wrapped key."""
    return bool(seen.frame[8:9] == b"\xcb" and len(seen.frame) > 70)


def lose_answer(tap: Any, which: int, until: int = 1) -> None:
    """Lose the answers to the transfers of keys from number `which` (0 is the first) on, so many of them."""
    seen: list[int] = []
    pending: list[int] = []

    def lose(number: int, frame: Any) -> bool:
        if frame.way == "han down" and is_transfer(frame):
            seen.append(number)
            if which < len(seen) <= which + until:
                pending.append(number)
        if frame.way == "han up" and pending:
            pending.pop()
            return True
        return False

    tap.lose = lose


@pytest.mark.parametrize("policy", KEEPING, ids=named)
def test_the_loss_of_any_frame_is_healed_by_whoever_keeps_candidates(tap: Any, policy: RotationPolicy) -> None:
    """Each frame from the association on is lost once. Nothing in the device is ever unknown to the keepers."""
    ways = frames(tap, policy)
    for lost in range(14, ways):
        world, home = a_home(policy)
        tap.clear()
        tap.lose = lambda number, seen, lost=lost: number == lost
        attempt(home.electricity.rotate_keys)
        held, found = custody(world, home, E), truth(world, home, E)
        assert set(found.data) <= set(held.known(DATA)), lost
        assert set(found.master) <= set(held.known(MASTER)), lost
        heal(home.electricity, tries=3)
        found = truth(world, home, E)
        assert found.sound, (lost, found)
        assert found.master == [0] if policy.master == "never" else found.master[0] >= 1
        spent = nonces(world, home, tap.seen)
        assert spent.again == []
        assert spent.closed == []


@pytest.mark.parametrize("arrays", ["ek-first", "ak-first"])
def test_one_by_one_leaves_a_mixed_pair_that_is_found(tap: Any, arrays: Any) -> None:
    """The link goes for good after the first of the two keys; two by two the mixture is found, and made whole."""
    world, home = a_home(RotationPolicy(arrays=arrays))
    wanted: list[int] = []

    def lose(number: int, seen: Any) -> bool:
        if seen.way == "han down" and is_transfer(seen):
            wanted.append(number)
        return len(wanted) >= 3  # the master key, the first key, and no more

    tap.lose = lose
    assert isinstance(attempt(home.electricity.rotate_keys), NoAnswerError)
    tap.lose = lambda number, seen: False
    assert truth(world, home, E).data == []  # neither pair is whole
    assert custody(world, home, E).data.custody.stage is Stage.SENT
    assert heal(home.electricity, tries=1) == 1
    assert world.notes("recovery.mixed")
    assert truth(world, home, E).data == [1]  # the same candidate, and no other


def test_a_candidate_that_was_not_kept_is_a_meter_lost(tap: Any) -> None:
    """The answer to the new master key is lost once. The patient head end heals; the careless one never will."""
    ends = {}
    for candidates in ("kept", "not-kept"):
        world, home = a_home(RotationPolicy(candidates=candidates))  # type: ignore[arg-type]
        lose_answer(tap, 0)
        attempt(home.electricity.rotate_keys)
        tap.clear()
        errors = [attempt(home.electricity.rotate_keys) for _ in range(3)]
        ends[candidates] = errors[-1]
        held, found = custody(world, home, E), truth(world, home, E)
        assert bool(set(found.master) & set(held.known(MASTER))) == (candidates == "kept")
        assert home.electricity.read("clock")
    assert ends["kept"] is None
    assert isinstance(ends["not-kept"], RefusedError)
    assert ends["not-kept"].reason == "no-master-key"


def test_an_impatient_head_end_disproves_wrongly_and_finds_it_again(tap: Any) -> None:
    """Its second transfer is refused, as the first was taken; it gives the candidate up. Among those it still knows the
    probe finds the true one."""
    world, home = a_home(RotationPolicy(retry="impatient", retry_after_s=1))
    lose_answer(tap, 0)
    attempt(home.electricity.rotate_keys)
    tap.clear()
    assert world.notes("rotation.sent-again")
    assert world.notes("custody.given-up")
    assert world.notes("rotation.master-found")
    heal(home.electricity, tries=2)
    assert truth(world, home, E).sound


@pytest.mark.parametrize("quiet_s", [0, 90])
def test_a_patient_head_end_waits_before_it_sends_again(tap: Any, quiet_s: int) -> None:
    """Asked to try again at once, it lets the device come to rest before it sends it keys."""
    world, home = a_home(RotationPolicy(quiet_s=quiet_s))
    lose_answer(tap, 0)
    assert attempt(home.electricity.rotate_keys) is not None
    failed = world.instant
    tap.clear()
    heal(home.electricity, tries=2)
    sent = [seen.at for seen in tap.seen if seen.way == "han down" and is_transfer(seen)]
    assert (sent[0] - failed >= 90 * SECOND) == bool(quiet_s)
    assert truth(world, home, E).sound


@pytest.mark.parametrize("resets", [True, False], ids=["the device counts anew", "the device goes on counting"])
def test_a_counter_that_begins_anew_must_begin_on_both_sides(
    monkeypatch: pytest.MonkeyPatch, tap: Any, resets: bool
) -> None:
    """After a new EK the head end lowers its counter. A device that does the same goes on; one that does not refuses,
    and is asked for its counter at the next visit. No counter is spent twice under one key either way."""
    with_habits(monkeypatch, METER, counter_reset=resets)
    world, home = a_home(RotationPolicy(counter_after=250))
    error = attempt(home.electricity.rotate_keys)
    if resets:
        assert error is None
        keyring = world.cell(0).keyring
        assert keyring.store.counters(keyring.context(0, E))[0] < 300
    else:
        assert isinstance(error, RefusedError)
        assert error.reason == "invocation-counter"
    assert home.electricity.read("clock")
    assert custody(world, home, E).data.custody.live == 1
    spent = nonces(world, home, tap.seen)
    assert spent.again == []


def test_nobody_else_changes_keys_while_we_do(tap: Any) -> None:
    """A device that another holds is left alone, until he lets go or his time is over."""
    world, home = a_home(RotationPolicy())
    office = world.cell(0).keyring.office
    assert office.locks.take((0, E), "somebody", world.instant, 3_600 * SECOND)
    error = attempt(home.electricity.rotate_keys)
    assert isinstance(error, RefusedError)
    assert (error.reason, error.detail) == ("locked", "somebody")
    home.gas.rotate_keys()  # another device is free
    world.run_for(hours=2)
    home.electricity.rotate_keys()
    assert truth(world, home, E).sound
