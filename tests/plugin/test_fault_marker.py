"""Faults by marker and by `inject`, in both modes; one that never struck fails the test that asked for it."""

import pytest

from emulator.errors import InputError
from emulator.served.process import ServedEstate

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _elsewhere(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers\n")


HEAD = """
import pytest
from emulator.headend.session import NoAnswerError, RefusedError
"""


def test_markers_put_faults_in_force(pytester: pytest.Pytester) -> None:
    """Several, a class's first, numbered from top to bottom; the body finds its world under them."""
    pytester.makepyfile(
        HEAD
        + """
@pytest.mark.smets1_fault("sms-lost", times=1)
class TestMarked:
    @pytest.mark.smets1_fault("han-lost", installation=0, device="gas")
    @pytest.mark.smets1_fault("slow-attach", extra_s=9, may_stay_quiet=True)
    def test_lost(self, smets1_world, smets1_home):
        assert [each.name for each in smets1_world.faults] == ["sms-lost", "han-lost", "slow-attach"]
        with pytest.raises(RefusedError):
            smets1_home.gas.read("clock")
        lost, han, slow = smets1_world.faults
        assert (lost.fired, han.fired, slow.fired) == (1, 1, 1)
        han.clear()
        assert smets1_home.gas.read("clock")
"""
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_a_fault_that_never_struck_fails_the_test(pytester: pytest.Pytester) -> None:
    """By marker and by hand, whether it was cleared or not; not one that may stay quiet, and no second failure beside
    the body's own."""
    pytester.makepyfile(
        HEAD
        + """
@pytest.mark.smets1_fault("gprs-loss", installation=5)
def test_marked(smets1_home):
    assert smets1_home.electricity.read("clock")

def test_by_hand(smets1_world):
    smets1_world.inject("han-lost", installation=3, device="gas").clear()

def test_in_a_world_of_its_own(smets1_estate):
    smets1_estate("demo-street").inject("hub-reboot")

@pytest.mark.smets1_fault("gprs-loss", installation=5, may_stay_quiet=True)
def test_may(smets1_world):
    smets1_world.inject("sms-lost", may_stay_quiet=True)

@pytest.mark.smets1_fault("gprs-loss", installation=5)
def test_fails_by_itself(smets1_world):
    assert smets1_world is None
"""
    )
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(
        [
            "asked for and never fired:",
            "  <fault 1 gprs-loss installation=5, struck 0 times>",
            "*asked for and never fired:",
            "*<fault 1 han-lost installation=3*struck 0 times, ended>",
            "*<fault 1 hub-reboot, struck 0 times>",
            "*assert*is None*",
        ]
    )
    assert result.stdout.lines.count("asked for and never fired:") == 3


def test_a_marker_that_makes_no_fault_is_told_as_one(pytester: pytest.Pytester) -> None:
    """Each in one line, and so is one on a test that has no world."""
    wrong = {
        '"gprs-los"': "*did you mean gprs-loss*",
        '"gprs-loss", chance=3': "*field chance*give a number from 0 to 1*",
        '"gprs-loss", rate=3': "*there is no field 'rate'*",
        '"gprs-loss", installation=99': "*there is no installation 99*",
        "": "*takes a fault's name*no name*",
        '"gprs-loss", 0.1': "*takes a fault's name*0.1*",
    }
    tests = [
        f"@pytest.mark.smets1_fault({marker})\ndef test_{number}(smets1_world):\n    pass\n"
        for number, marker in enumerate(wrong)
    ]
    tests.append('@pytest.mark.smets1_fault("sms-lost")\ndef test_without():\n    pass\n')
    pytester.makepyfile("\n".join([HEAD, *tests]))
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(errors=len(wrong), failed=1)
    for told in (*wrong.values(), "*the test asks for none*"):
        result.stdout.fnmatch_lines([told])


def test_the_same_marker_and_the_same_body_in_both_modes(pytester: pytest.Pytester) -> None:
    """In virtual time and served; quiet ones fail there too, and the session's estate is put back between tests."""
    pytester.makepyfile(
        HEAD
        + """
@pytest.mark.smets1(mode="both", shared=True)
@pytest.mark.smets1_fault("han-lost", installation=0, device="gas")
def test_lost(smets1_world, smets1_home):
    [lost] = smets1_world.faults
    assert lost.fired == 0
    with pytest.raises(RefusedError):
        smets1_home.gas.read("clock")
    assert lost.fired == 1
    lost.clear()
    lost.clear()
    assert lost.fired == 1
    assert smets1_home.gas.read("clock")
    overrun = smets1_world.inject("receive-buffer-overrun", room=0)
    with pytest.raises(NoAnswerError):
        smets1_home.electricity.read("clock")
    assert overrun.fired > 0 and "receive-buffer-overrun" in repr(overrun)

@pytest.mark.smets1(mode="live", shared=True)
@pytest.mark.smets1_fault("han-lost", installation=2, device="gas")
def test_quiet(smets1_home, smets1_world):
    assert len(smets1_world.faults) == 1
    assert smets1_home.electricity.read("clock")
"""
    )
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["asked for and never fired:", "*han-lost*installation=2*"])


def test_a_served_world_refuses_in_the_same_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    with ServedEstate(tmp_path_factory.mktemp("served")) as served:
        world = served.world
        with pytest.raises(InputError, match="there is no fault"):
            world.inject("earthquake")
        with pytest.raises(InputError, match="chance"):
            world.inject("gprs-loss", chance=2)
        with pytest.raises(InputError, match="installation 16"):
            world.inject("gprs-loss", installation=16)
        assert world.faults == world.quiet_faults == []
        quiet = world.inject("gprs-loss", installation=1)
        assert world.quiet_faults == [quiet]
        served.reset()
        assert world.faults == served.ask("GET", "/v1/faults")["faults"] == []
