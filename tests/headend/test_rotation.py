"""The written state machine of a change of keys, and everything a device and a channel can do to it.

The device here is an oracle: three keys, and rules as simple as a device's can be. The channel loses requests and
answers, the device refuses and tears, in any order hypothesis can think of; the head end's own scripts run unchanged.
"""

from collections.abc import Iterable
from itertools import chain, product, repeat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rotation_kit import (
    ANSWER_LOST,
    FATES,
    HANDED,
    OK,
    REFUSED,
    REQUEST_LOST,
    TORN,
    Device,
    Line,
    attempt,
    carry_out,
)

from emulator.errors import UsageError
from emulator.fleet.installation import DeviceKeys
from emulator.headend.keeper import Hierarchy, Keeper, Stage
from emulator.headend.policy import CustodySettings, RotationPolicy
from emulator.headend.recovery import associate
from emulator.headend.rotation import TRANSITIONS, Change, DeviceCustody, Event, Office, rotate
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.machine import Party

# The table


def change_at(stage: Stage) -> Change:
    """A change brought to a stage by its own moves."""
    change = Change(Keeper(b"secret of a test", 0, 1).custody(0, Party.GAS, Hierarchy.DATA))
    path = {
        Stage.HELD: (),
        Stage.RECORDED: (Event.RECORD,),
        Stage.ACKNOWLEDGED: (Event.RECORD, Event.ACKNOWLEDGE),
        Stage.SENT: (Event.RECORD, Event.ACKNOWLEDGE, Event.SEND),
        Stage.CONFIRMED: (Event.RECORD, Event.ACKNOWLEDGE, Event.SEND, Event.PROVEN),
    }[stage]
    for event in path:
        change.move(event)
    assert change.custody.stage is stage
    return change


@pytest.mark.parametrize(("stage", "event"), TRANSITIONS)
def test_every_move_of_the_table_is_taken(stage: Stage, event: Event) -> None:
    """A move leads where the table says, and does to the candidate what its name says."""
    change = change_at(stage)
    before = change.custody.candidate
    change.move(event)
    custody = change.custody
    assert custody.stage is TRANSITIONS[stage, event]
    if event is Event.PROMOTE:
        assert (custody.live, custody.candidate) == (before, 0)
    elif event is Event.DISPROVEN:
        assert (custody.live, custody.candidate) == (0, 0)
        assert custody.kept == (before,)  # it can still be tried
    elif event is Event.DROP:
        assert (custody.live, custody.candidate, custody.kept) == (0, 0, ())
    elif event is Event.FOUND:
        assert (custody.live, custody.candidate) == (0, 0)
    else:
        assert custody.live == 0
        assert custody.candidate == (before or 1)
    assert change.in_doubt == (custody.stage is Stage.SENT)


@pytest.mark.parametrize(
    ("stage", "event"), [pair for pair in product(Stage, Event) if pair not in TRANSITIONS], ids=str
)
def test_every_other_move_is_refused_and_changes_nothing(stage: Stage, event: Event) -> None:
    """Whatever is not in the table is a fault of ours, told as such."""
    change = change_at(stage)
    before = (change.custody.live, change.custody.candidate, change.custody.stage)
    with pytest.raises(UsageError, match=f"{stage.name} cannot take {event.name}"):
        change.move(event)
    assert (change.custody.live, change.custody.candidate, change.custody.stage) == before


# The oracle


def fresh() -> DeviceCustody:
    return DeviceCustody(Keeper(b"secret of a test", 0, 1), 0, Party.ELECTRICITY, HANDED)


def assert_nothing_lost(device: Device, custody: DeviceCustody) -> None:
    """Every key in the device is one the keeper can still make, and what is in no doubt is right."""
    data, master = custody.data.custody, custody.master.custody
    pairs = [custody.data_keys(each) for each in {data.live, data.candidate or data.live}]
    assert device.ek in [pair.ek for pair in pairs]
    assert device.ak in [pair.ak for pair in pairs]
    assert device.kek in [custody.master_key(each) for each in {master.live, master.candidate or master.live}]
    assert data.stage in (Stage.HELD, Stage.SENT)
    assert master.stage in (Stage.HELD, Stage.SENT)


def assert_heals(fates: Iterable[str], silent: bool) -> None:
    """After any attempts under any fates the keeper holds every key of the device; two clean attempts heal it."""
    device, custody = Device(silent=silent), fresh()
    line = Line(device, iter(fates))
    for _ in range(8):
        error = attempt(line, custody)
        assert_nothing_lost(device, custody)
        if error is None:
            assert not custody.data.in_doubt
            assert not custody.master.in_doubt
    line.fates = repeat(OK)
    for _ in range(2):
        error = attempt(line, custody)
        assert_nothing_lost(device, custody)
        if error is None:
            break
    assert error is None
    data, master = custody.data.custody, custody.master.custody
    assert (data.candidate, master.candidate) == (0, 0)
    live = custody.data_keys(data.live)
    assert (device.ek, device.ak, device.kek) == (live.ek, live.ak, custody.master_key(master.live))


@given(st.lists(st.sampled_from(FATES), max_size=40), st.booleans())
@example([OK, OK, OK, ANSWER_LOST, ANSWER_LOST], False)  # the pair is taken, and nobody hears of it twice
@example([OK, OK, REFUSED], False)  # the new master key is held, and the next transfer refused
@example([OK, OK, TORN, OK, OK, OK, OK, REFUSED], False)  # torn, and what would mend it is refused
@example([OK, OK, REQUEST_LOST, REQUEST_LOST, OK, OK], True)  # nothing arrived, at a device that says nothing
def test_no_key_is_ever_given_up_that_the_device_may_hold(fates: list[str], silent: bool) -> None:
    """Any row of fates, over as many attempts as it lasts, is healed."""
    assert_heals(fates, silent)


@pytest.mark.parametrize("length", [1, 2, 3, pytest.param(6, marks=pytest.mark.slow)])
def test_every_row_of_fates_is_healed(length: int) -> None:
    """All rows of a length, one after the other; nothing is left to luck."""
    for fates in product(FATES, repeat=length):
        for silent in (False, True):
            assert_heals(fates, silent)


def test_a_healthy_change_asks_four_times() -> None:
    """Associate, the master key, the pair, a read under the new pair; nothing more."""
    device, custody = Device(), fresh()
    line = Line(device, repeat(OK))
    assert attempt(line, custody) is None
    assert line.asked == ["open", "transfer", "transfer", "get"]
    assert (custody.data.custody.live, custody.master.custody.live) == (1, 1)


def test_a_torn_device_is_mended_in_the_next_attempt() -> None:
    """Asking for the master key under a mixture of keys leaves the mixture alone, so one attempt is enough."""
    device, custody = Device(), fresh()
    line = Line(device, chain([OK, OK, TORN], repeat(OK)))
    assert attempt(line, custody) is not None
    assert attempt(line, custody) is None
    assert_nothing_lost(device, custody)
    assert custody.data.custody.live == 1  # the same candidate, not another


def test_a_torn_device_that_refuses_to_be_mended_keeps_its_candidate() -> None:
    """Half of the candidate is in the device: a refusal of the whole does not disprove it."""
    device, custody = Device(), fresh()
    # associate three ways into the mixture, settle the master key, send the next, and be refused the pair
    line = Line(device, chain([OK, OK, TORN, REFUSED], [OK, OK, OK, OK, OK, OK, REFUSED], repeat(OK)))
    assert attempt(line, custody) is not None
    assert_nothing_lost(device, custody)
    second = attempt(line, custody)
    assert isinstance(second, RefusedError)
    assert custody.data.custody.candidate == 1
    assert_nothing_lost(device, custody)
    assert attempt(line, custody) is None
    assert_nothing_lost(device, custody)


def in_doubt(silent: bool) -> tuple[Device, DeviceCustody]:
    """A device and its custody with the pair in doubt and the device on the old one."""
    device, custody = Device(silent=silent), fresh()
    line = Line(device, iter([OK, OK, REQUEST_LOST, REQUEST_LOST]))
    assert attempt(line, custody) is not None
    assert custody.data.in_doubt
    return device, custody


@pytest.mark.parametrize(
    ("fates", "raised"),
    [
        ([REQUEST_LOST, REQUEST_LOST], NoAnswerError),
        ([OK, REQUEST_LOST], NoAnswerError),
    ],
)
def test_silence_leaves_the_doubt(fates: list[str], raised: type[Exception]) -> None:
    """When the old pair is not heard either, nobody knows anything more than before."""
    device, custody = in_doubt(silent=False)
    line = Line(device, iter(fates))
    assert isinstance(carry_out(associate(line, custody)), raised)  # type: ignore[arg-type]
    assert custody.data.in_doubt
    assert line.keys == custody.data_keys(0)


def test_the_old_pair_disproves_the_candidate_by_answering() -> None:
    """An association under it ends the doubt; the generation is not issued again for another change."""
    device, custody = in_doubt(silent=False)
    line = Line(device, repeat(OK))
    assert carry_out(associate(line, custody)) is None  # type: ignore[arg-type]
    assert line.asked == ["open"] * 2
    assert custody.data.custody.stage is Stage.HELD
    assert custody.data.custody.candidate == 0
    assert carry_out(rotate(line, custody)) is None  # type: ignore[arg-type]
    assert custody.data.custody.live == 2


def test_silence_under_the_candidate_and_a_refusal_under_the_old_pair_is_no_refusal() -> None:
    """The candidate may be the true pair and its answer lost, so the end is silence: try again, do not despair."""
    device, custody = in_doubt(silent=False)
    candidate = custody.data_keys(1)
    device.ek, device.ak = candidate.ek, candidate.ak  # it had arrived after all
    line = Line(device, iter([REQUEST_LOST, OK]))
    assert isinstance(carry_out(associate(line, custody)), NoAnswerError)  # type: ignore[arg-type]
    assert custody.data.in_doubt
    line.fates = repeat(OK)
    assert carry_out(associate(line, custody)) is None  # type: ignore[arg-type]
    assert custody.data.custody.live == 1


def test_keys_that_are_all_refused_end_in_a_refusal_and_change_nothing() -> None:
    """A device under keys nobody knows: candidate, old pair and both mixtures were asked, and the doubt stays."""
    device, custody = in_doubt(silent=False)
    device.ek = b"?" * 16
    line = Line(device, repeat(OK))
    line.use(custody.data_keys(0))
    lowest = line.lowest
    assert isinstance(carry_out(associate(line, custody)), RefusedError)  # type: ignore[arg-type]
    assert line.asked == ["open"] * 4
    assert (line.keys, line.lowest) == (custody.data_keys(0), lowest)
    assert custody.data.in_doubt


def test_after_an_unanswered_proof_the_session_is_back_where_it_was() -> None:
    """The read under the candidate is lost: keys and lowest counter are those of the old pair again."""
    device, custody = Device(), fresh()
    line = Line(device, iter([OK, OK, OK, REQUEST_LOST]))
    assert attempt(line, custody) is not None
    assert line.keys == custody.data_keys(0)
    assert line.lowest == 7 + 3  # what was accepted under it before


def test_a_missing_master_key_is_a_refusal_and_nothing_is_sent() -> None:
    """Without the master key there is nothing to wrap under: the device hears of nothing."""
    lost = DeviceKeys(HANDED.ek, HANDED.ak, None)
    custody = DeviceCustody(Keeper(b"secret of a test", 0, 1), 0, Party.ELECTRICITY, lost)
    line = Line(Device(), repeat(OK))
    error = attempt(line, custody)
    assert isinstance(error, RefusedError)
    assert error.reason == "no-master-key"
    assert line.asked == ["open"]
    assert not custody.touched


# Other ways of going about it


KEEPING = [
    RotationPolicy(arrays=arrays, master=master, retry=retry)  # type: ignore[arg-type]
    for arrays in ("all", "ek-first", "ak-first")
    for master in ("first", "last", "never")
    for retry in ("patient", "impatient")
]


def under(policy: RotationPolicy) -> DeviceCustody:
    """A custody that changes keys as a policy says."""
    office = Office(CustodySettings(rotation=policy))
    return DeviceCustody(Keeper(b"secret of a test", 0, 1), 0, Party.ELECTRICITY, HANDED, office)


@given(st.lists(st.sampled_from(FATES), max_size=40), st.booleans(), st.sampled_from(KEEPING))
def test_no_policy_that_is_patient_loses_a_key(fates: list[str], silent: bool, policy: RotationPolicy) -> None:
    """Whatever is lost, refused or torn: every key in the device is one the keepers can still make, however they are
    changed. For an impatient head end that holds as long as its short memory of candidates given up does."""
    device, custody = Device(silent=silent), under(policy)
    line = Line(device, iter(fates))

    def makes_every_key() -> bool:
        pairs = [custody.data_keys(each) for each in custody.known(Hierarchy.DATA)]
        return (
            device.ek in [pair.ek for pair in pairs]
            and device.ak in [pair.ak for pair in pairs]
            and device.kek in [custody.master_key(each) for each in custody.known(Hierarchy.MASTER)]
        )

    for _ in range(8):
        error = attempt(line, custody)
        assert makes_every_key() or policy.retry == "impatient"
        if error is None:
            assert not custody.data.in_doubt
            assert not custody.master.in_doubt
    if not makes_every_key():
        return
    line.fates = repeat(OK)
    errors = [attempt(line, custody) for _ in range(3)]
    if policy.retry == "impatient" and not makes_every_key():
        return
    assert errors[-1] is None
    live = custody.data_keys(custody.data.custody.live)
    assert (device.ek, device.ak) == (live.ek, live.ak)
    assert device.kek == custody.master_key(custody.master.custody.live)


def test_an_impatient_head_end_forgets_the_key_in_the_meter() -> None:
    """It sends the same again unasked and takes the refusal for a disproof; two more given up, and the true one is out
    of its memory. The patient one asks, and heals from the same losses."""
    fates = [OK, OK, REFUSED, OK, OK, REQUEST_LOST, OK, OK, *[REQUEST_LOST] * 6]
    ends = {}
    for retry in ("impatient", "patient"):
        device, custody = Device(), under(RotationPolicy(retry=retry))  # type: ignore[arg-type]
        line = Line(device, iter(fates))
        for _ in range(10):
            ends[retry] = attempt(line, custody)
        assert (1 in custody.known(Hierarchy.MASTER)) == (retry == "patient")
    assert ends["patient"] is None
    assert isinstance(ends["impatient"], RefusedError)
    assert ends["impatient"].reason == "no-master-key"


def test_who_keeps_no_candidate_loses_the_key_with_the_answer() -> None:
    """The device has taken a key whose only other copy is gone."""
    device, custody = Device(), under(RotationPolicy(candidates="not-kept"))
    line = Line(device, chain([OK, ANSWER_LOST], repeat(OK)))
    assert attempt(line, custody) is not None
    assert custody.known(Hierarchy.MASTER) == (0,)
    assert custody.lost(Hierarchy.MASTER) == (1,)
    errors = [attempt(line, custody) for _ in range(3)]
    assert all(isinstance(error, RefusedError) and error.reason == "no-master-key" for error in errors)
