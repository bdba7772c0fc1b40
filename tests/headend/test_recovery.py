"""The order in which a way in is looked for, and each step of a rescue by itself, over a device of three keys."""

from itertools import product, repeat
from typing import Any

import pytest
from rotation_kit import HANDED, OK, REFUSED, REQUEST_LOST, Device, Line, attempt, carry_out

from emulator.errors import UsageError
from emulator.fleet.installation import DeviceKeys
from emulator.headend.custody import DeviceCustody, Office
from emulator.headend.keeper import Hierarchy, Keeper
from emulator.headend.policy import CustodySettings, RecoveryPolicy
from emulator.headend.recovery import (
    TRANSITIONS,
    Answer,
    Phase,
    associate,
    issue,
    probe_master,
    promote,
    transfer,
    try_pair,
)
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.machine import Party

DATA, MASTER = Hierarchy.DATA, Hierarchy.MASTER


def custody_after(changes: int, **recovery: Any) -> tuple[Device, DeviceCustody, Line]:
    """A device whose keys were changed so often, well."""
    office = Office(CustodySettings(recovery=RecoveryPolicy(**recovery)))
    keeper = Keeper(b"secret of a test", 0, 1)
    device, custody = Device(), DeviceCustody(keeper, 0, Party.ELECTRICITY, HANDED, office)
    line = Line(device, repeat(OK))
    for _ in range(changes):
        assert attempt(line, custody) is None
    line.asked.clear()
    return device, custody, line


def hold(device: Device, custody: DeviceCustody, ek: int, ak: int) -> None:
    device.ek, device.ak = custody.data_keys(ek).ek, custody.data_keys(ak).ak


def result(script: Any) -> Any:
    """Run a part of a script; its value."""
    while True:
        try:
            next(script)
        except StopIteration as stop:
            return stop.value


# The table


def test_every_search_ends_and_every_phase_is_reached() -> None:
    """From either beginning the table leads on to an end, never back."""
    order = list(Phase)
    for (phase, answer), after in TRANSITIONS.items():
        assert order.index(after) > order.index(phase), (phase, answer)
    assert {phase for phase, _ in TRANSITIONS} == set(Phase) - {Phase.IN, Phase.OUT}
    for phase in set(Phase) - {Phase.IN, Phase.OUT}:
        assert TRANSITIONS[phase, Answer.STANDS] is Phase.IN
        assert (phase, Answer.FAILS) in TRANSITIONS


@pytest.mark.parametrize(("ek", "ak"), list(product(range(4), repeat=2)))
def test_any_pair_of_generations_still_known_is_found(ek: int, ak: int) -> None:
    """Live, earlier and handed over, and every mixture of them. A whole pair is believed; a mixture waits for the next
    change."""
    device, custody, line = custody_after(3)
    assert custody.known(DATA) == (3, 2, 1, 0)
    hold(device, custody, ek, ak)
    assert carry_out(associate(line, custody)) is None  # type: ignore[arg-type]
    assert line.keys is not None
    assert (line.keys.ek, line.keys.ak) == (device.ek, device.ak)
    assert custody.data.custody.live == (ek if ek == ak else 3)
    assert attempt(line, custody) is None
    assert not custody.data.in_doubt
    live = custody.data_keys(custody.data.custody.live)
    assert (device.ek, device.ak) == (live.ek, live.ak)


@pytest.mark.parametrize("generation", range(4))
def test_any_master_key_still_known_is_found(generation: int) -> None:
    """It is asked for when a transfer under the live one is refused, and then the change goes on."""
    device, custody, line = custody_after(3)
    device.kek = custody.master_key(generation)
    assert attempt(line, custody) is None
    assert device.kek == custody.master_key(custody.master.custody.live)
    assert not custody.master.in_doubt


def test_without_the_will_to_try_earlier_ones_they_are_not_tried() -> None:
    """Settings of a less thorough head end."""
    for recovery, (ek, ak), asked in (
        ({"earlier": False}, (2, 2), 1),
        ({"mixed": False}, (3, 2), 4),
        ({"earlier": False, "mixed": False}, (0, 1), 1),
    ):
        device, custody, line = custody_after(3, **recovery)
        hold(device, custody, ek, ak)
        assert isinstance(carry_out(associate(line, custody)), RefusedError)  # type: ignore[arg-type]
        assert line.asked == ["open"] * asked
        assert line.keys == custody.data_keys(3)  # back where it was


@pytest.mark.parametrize("how", ["silence", "reachable", "on_silence"])
def test_silence_is_no_refusal_unless_it_answers_otherwise(how: str) -> None:
    """A device that says nothing may be unreachable. One that is known to answer does not hold the pair."""
    device, custody, line = custody_after(2, on_silence=how == "on_silence")
    hold(device, custody, 1, 1)
    device.silent = True
    error = carry_out(associate(line, custody, reachable=how == "reachable"))  # type: ignore[arg-type]
    assert isinstance(error, NoAnswerError) if how == "silence" else error is None
    assert custody.data.custody.live == (2 if how == "silence" else 1)


def test_a_device_with_nothing_but_what_was_handed_over_is_asked_once() -> None:
    """There is nothing else to try, and nothing is believed."""
    device, custody, line = custody_after(0)
    device.ek = b"?" * 16
    assert isinstance(carry_out(associate(line, custody)), RefusedError)  # type: ignore[arg-type]
    assert line.asked == ["open"]


# Step by step


def test_a_rescue_by_hand() -> None:
    """A mixed pair and an earlier master key: found, probed, made whole and believed, each by its own step."""
    device, custody, line = custody_after(2)
    session: Any = line
    hold(device, custody, 1, 2)
    device.kek = custody.master_key(1)
    assert [pair for pair in product((2, 1, 0), repeat=2) if result(try_pair(session, custody, *pair))] == [(1, 2)]
    assert result(try_pair(session, custody, 1, 2))
    assert [each for each in custody.known(MASTER) if result(probe_master(session, custody, each))] == [1]
    assert (custody.data.custody.live, custody.master.custody.live) == (2, 2)  # nothing was written down yet
    result(promote(custody, MASTER, 1))
    generation = result(issue(custody, DATA))
    assert result(issue(custody, DATA)) == generation == 3  # the one in doubt, and no other
    result(transfer(session, custody, under=1, keys={"ek": generation, "ak": generation}))
    assert result(try_pair(session, custody, generation, generation))
    result(promote(custody, DATA, generation))
    assert (custody.data.custody.live, custody.master.custody.live) == (3, 1)
    assert not custody.data.in_doubt
    assert attempt(line, custody) is None


def test_a_step_that_fails_leaves_everything_as_it_was() -> None:
    """Refused or met with silence: the session is on the pair it had, and nothing is believed."""
    device, custody, line = custody_after(1)
    session: Any = line
    line.use(custody.data_keys(1))
    before = custody.keeper.believed(0)
    assert not result(try_pair(session, custody, 0, 1))
    assert line.keys == custody.data_keys(1)
    line.fates = iter([REQUEST_LOST])
    with pytest.raises(NoAnswerError):
        result(try_pair(session, custody, 1, 0))
    assert line.keys == custody.data_keys(1)
    line.fates = iter([REFUSED])
    with pytest.raises(RefusedError):
        result(transfer(session, custody, under=1, keys={"kek": 0}))
    assert custody.keeper.believed(0) == before
    assert device.kek == custody.master_key(1)


def test_a_single_key_can_be_sent_by_itself() -> None:
    """EK, AK and KEK of any known generations, in one array or several."""
    device, custody, line = custody_after(2)
    session: Any = line
    result(transfer(session, custody, under=2, keys={"ak": 1}))
    assert (device.ek, device.ak) == (custody.data_keys(2).ek, custody.data_keys(1).ak)
    line.use(DeviceKeys(device.ek, device.ak, None))
    result(transfer(session, custody, under=2, keys={"kek": 0, "ek": 1}))
    assert (device.ek, device.kek) == (custody.data_keys(1).ek, HANDED.kek)


def test_nobody_is_given_a_key_that_cannot_be_made() -> None:
    """What one of the two has lost is refused before anything is sent."""
    _, custody, line = custody_after(1)
    session: Any = line
    custody.data.custody.lose("dco", 1)
    custody.master.custody.lose("s1sp", 1)
    for script in (
        try_pair(session, custody, 0, 1),
        probe_master(session, custody, 1),
        transfer(session, custody, under=0, keys={"ek": 1}),
        transfer(session, custody, under=1, keys={"ek": 0}),
        transfer(session, custody, under=0, keys={}),
        promote(custody, DATA, 1),
    ):
        with pytest.raises(UsageError):
            result(script)
    assert line.asked == []
