"""Faults of those who keep the keys, in a whole world: what they lose, what is still done, and what nobody sends."""

from typing import Any

import pytest

from emulator.codecs.axdr import long_unsigned
from emulator.errors import EmulatorError
from emulator.faults.fault import Point
from emulator.faults.keeper import FAULTS, KeeperFault, Question
from emulator.fleet import registry
from emulator.headend import custody_ledger, services
from emulator.headend.custody import DeviceCustody
from emulator.headend.keeper import Hierarchy
from emulator.headend.policy import CustodySettings, DualControlSettings
from emulator.headend.session import RefusedError
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.link.air import AirProfile
from emulator.scenario.playground import Home, Playground

CALM = AirProfile(loss=0.0, sms_loss=0.0)
DATA, MASTER = Hierarchy.DATA, Hierarchy.MASTER
E = Party.ELECTRICITY


def a_world(fault: str = "", custody: CustodySettings | None = None, **settings: Any) -> tuple[Playground, Home]:
    world = Playground("demo-street", link="plain", air=CALM, custody=custody)
    if fault:
        world.inject(fault, **settings)
    return world, world.home(0)


def custody_of(world: Playground, home: Home) -> DeviceCustody:
    """As somebody who comes anew finds it."""
    targets = world.cell(home.number).keyring.targets(world.estate.smso(home.installation))
    return next(target.custody for target in targets if target.party is E)


def rotated(home: Home) -> str:
    """Change the electricity meter's keys; "" or why not."""
    try:
        home.electricity.rotate_keys()
    except RefusedError as error:
        return f"{error.reason}: {error.detail}"
    return ""


def switch_off(home: Home) -> None:
    script = registry.model(home.installation.device(E).model).profile.supply.disable  # type: ignore[union-attr]
    home.electricity.visit(lambda target: target.session.action(services.SUPPLY_SCRIPTS, long_unsigned(script)))


def transfers(world: Playground) -> int:
    """Transfers of keys that reached the device."""
    return len(world.notes("keys.installed")) + len(world.notes("keys.refused"))


# The DCO


@pytest.mark.parametrize(
    ("fault", "settings", "reason"),
    [
        ("dco-refuses", {"reason": "policy"}, "policy"),
        ("dco-refuses", {"reason": "rate"}, "rate"),
        ("dco-refuses", {"reason": "wrong-device", "service": "keys"}, "wrong-device"),
        ("dco-silent", {"asked": "countersign"}, "silent"),
        ("dco-silent", {"asked": "acknowledge"}, "silent"),
    ],
)
def test_without_the_dco_no_key_leaves(fault: str, settings: Any, reason: str) -> None:
    """It stops before the meter, is noted, leaves nothing in doubt, and goes well when the DCO is itself again."""
    world, home = a_world(fault, times=1, **settings)
    before = world.instant
    assert rotated(home) == f"dual-control: {reason}"
    assert transfers(world) == 0
    noted = world.notes("dual-control.refused")
    assert [entry.detail[2] for entry in noted] == [reason]
    if reason == "silent":
        assert world.instant - before > 30 * SECOND  # it was waited for
    held = custody_of(world, home)
    assert not held.data.in_doubt
    assert not held.master.in_doubt
    assert rotated(home) == ""
    assert home.electricity.generations() == (1, 1)  # the candidate that was recorded, and no other


def test_a_refused_switch_is_not_thrown() -> None:
    """The supply is as it was, and what is not supply goes on."""
    world, home = a_world("dco-refuses", service="supply")
    assert home.electricity.read("clock")
    assert rotated(home) == ""
    with pytest.raises(RefusedError, match="dual-control"):
        switch_off(home)
    assert world.notes("relay.") == []
    assert home.electricity.read(services.SUPPLY) == 1
    world.faults[0].clear()
    switch_off(home)
    assert home.electricity.read(services.SUPPLY) == 0


def test_the_dcos_own_policy_and_rate_need_no_fault() -> None:
    """Settings of a head end, not mischief: here no supply is ever switched, and one transfer a minute is allowed."""
    control = DualControlSettings(refused=frozenset({"supply"}), most=1, window_s=60)
    world, home = a_world(custody=CustodySettings(control=control))
    with pytest.raises(RefusedError, match="policy"):
        switch_off(home)
    assert rotated(home) == "dual-control: rate"  # the master key was one, the data keys would be two
    held = custody_of(world, home)
    assert (held.master.in_doubt, held.data.in_doubt) == (True, False)


def test_a_silent_dco_stops_what_needs_its_share() -> None:
    """Under the keys handed over the S1SP talks alone; under later ones not a read goes out."""
    world, home = a_world("dco-silent", asked="tell")
    assert home.electricity.read("clock")
    assert rotated(home) == ""
    down = world.cell(0).cell.chain.log.ways[0].offered
    with pytest.raises(RefusedError, match="silent"):
        home.electricity.read("clock")
    assert world.notes("dual-control.refused")[-1].detail == (int(E), "share", "silent")
    assert world.cell(0).cell.chain.log.ways[0].offered - down <= 6  # public questions at most
    world.faults[0].clear()
    assert home.electricity.read("clock")


def test_a_silent_s1sp_says_nothing_to_anybody() -> None:
    """Not even under the keys handed over; when it is back nothing is amiss."""
    world, home = a_world("s1sp-silent", times=1)
    with pytest.raises(RefusedError, match="silent"):
        home.electricity.read("clock")
    assert world.notes("dual-control.refused")[-1].detail == (int(E), "share", "silent")
    assert home.electricity.read("clock")
    assert rotated(home) == ""


# What is lost


@pytest.mark.parametrize("fault", ["dco-forgets", "s1sp-forgets"])
@pytest.mark.parametrize("when", ["acknowledged", "promoted"])
def test_a_lost_share_of_data_keys_is_a_lost_meter(fault: str, when: str) -> None:
    """The change itself goes well, as the key is in hand; afterwards nobody can make it, and the ledger says why."""
    world, home = a_world(fault, keys="data", when=when, times=1)
    assert rotated(home) == ""
    held = custody_of(world, home)
    assert held.known(DATA) == (0,)
    assert held.lost(DATA) == (1,)
    for _ in range(2):
        assert rotated(home).startswith("exception")
    ledger = custody_ledger.read(world.entries)
    keeper = fault.split("-")[0]
    assert [(line.keeper, line.generation) for line in ledger.lost_after_acknowledgement()] == [(keeper, 1)]
    assert keeper not in ledger.holders(0, E, DATA, 1)


@pytest.mark.parametrize("fault", ["dco-forgets", "s1sp-forgets"])
def test_a_lost_share_of_the_master_key_leaves_a_meter_that_only_reads(fault: str) -> None:
    """Reads go on; every transfer is refused, under every master key that is still known. No generation is used up over
    trying again."""
    world, home = a_world(fault, keys="master", when="promoted", times=1)
    assert rotated(home) == ""
    for _ in range(3):
        assert rotated(home).startswith("no-master-key")
        assert home.electricity.read("clock")
    held = custody_of(world, home)
    assert 1 in held.lost(MASTER)
    assert held.data.custody.live == 1
    assert held.master.custody.issued == 2


@pytest.mark.parametrize("keeper", ["s1sp", "dco"])
@pytest.mark.parametrize("keys", ["data", "master", "any"])
def test_a_missed_change_is_found_by_asking_for_it_by_name(keeper: str, keys: str) -> None:
    """The meter refuses what comes of two minds; the generation is still known, is found, and both agree again."""
    world, home = a_world("keeper-misses-change", keeper=keeper, keys=keys, times=1)
    assert rotated(home) == ""
    held = custody_of(world, home)
    astray = held.master if keys == "master" else held.data
    records = [astray.custody.record_of(each)[0] for each in ("s1sp", "dco")]
    assert sorted(records) == [0, 1]
    assert rotated(home) == ""
    assert world.notes("rotation.master-found" if keys == "master" else "recovery.earlier-live")
    held = custody_of(world, home)
    assert all(held.change(each).custody.agreed for each in Hierarchy)
    assert held.data.custody.live == 2


@pytest.mark.parametrize("keeper", ["s1sp", "dco"])
def test_an_older_record_has_lost_the_key_in_the_meter(keeper: str) -> None:
    """A backup from before the last change is no help after it; from before the first, what was handed over is."""
    world, home = a_world("keeper-restored-from-backup", keeper=keeper, skip=1, times=1, keys="data")
    assert rotated(home) == ""
    if keeper == "dco":  # it is asked for a share only from the first change on
        assert rotated(home) == ""
    assert rotated(home).startswith("exception")
    held = custody_of(world, home)
    assert held.data.custody.issued in held.lost(DATA)
    assert custody_ledger.read(world.entries).lost_after_acknowledgement()


def test_who_took_the_record_over_does_not_need_the_old_operator() -> None:
    """Closed after the first contact nothing is missing; closed before, nothing can begin and nothing is sent."""
    world, home = a_world("smso-closed", skip=1)
    assert home.electricity.read("clock")
    assert rotated(home) == ""
    assert 0 in custody_of(world, home).known(DATA)
    assert world.notes("custody.closed")
    late, other = a_world("smso-closed")
    assert rotated(other) == "custody: smso-closed"
    assert custody_of(late, other).known(DATA) == ()
    assert transfers(late) == 0
    settled = CustodySettings(smso_closes=world.estate.start)
    assert rotated(a_world(custody=settled)[1]) == "custody: smso-closed"


# All of them


def test_every_fault_of_a_keeper_strikes_and_comes_twice_alike() -> None:
    """Put in force as its example says, in the same world twice: the same notes in the same order."""
    for kind in FAULTS:
        digests = set()
        for _ in range(2):
            world, home = a_world(kind.name, **{**kind.example, "after_s": 0})
            for _ in range(3):
                rotated(home)
            assert world.faults[0].fired or kind.example.get("service") == "supply", kind.name
            digests.add(world.digest())
        assert len(digests) == 1


def test_a_fault_is_asked_only_about_what_concerns_it() -> None:
    """Occasions of another kind are not counted, and other homes and devices are left alone."""
    for kind in FAULTS:
        assert kind.points == {Point.KEEPER}
        fault = kind()
        assert isinstance(fault, KeeperFault)
        assert not fault.wants(Point.KEEPER, None)
        assert not fault.wants(Point.KEEPER, Question("tell", "nobody"))
    world, home = a_world("dco-refuses", installation=1)
    world.inject("dco-refuses", device="gas", may_stay_quiet=True)
    assert rotated(home) == ""
    with pytest.raises(EmulatorError, match="dual-control"):
        world.home(1).electricity.rotate_keys()


def test_a_world_in_which_nothing_strikes_has_the_digest_of_one_without_faults() -> None:
    """Faults that stay quiet cost no note and no luck."""
    digests = []
    for fault in ("", "dco-silent"):
        world, home = a_world(fault, **({"after_s": 86_400, "may_stay_quiet": True} if fault else {}))
        assert rotated(home) == ""
        digests.append(world.digest())
    assert digests[0] == digests[1]
