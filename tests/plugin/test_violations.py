"""The marker that fails a test which commits a violation."""

import pytest

pytest_plugins = ["pytester"]

BODY = """
import pytest

from emulator.codecs.axdr import long_unsigned

@pytest.mark.smets1(violations="fail")
def test_careful(smets1_home):
    smets1_home.electricity.rotate_keys()

def _careless(world):
    world.home(0).electricity.read("clock")
    world.watch.register.add(world.instant, 0, "electricity", "bad-counter", "it fell", "client SAP 1")

@pytest.mark.smets1(violations="fail")
def test_fails(smets1_world):
    _careless(smets1_world)

@pytest.mark.smets1(violations=["bad-counter"])
def test_fails_by_kind(smets1_world):
    _careless(smets1_world)

@pytest.mark.smets1(violations=["reused-nonce"])
def test_another_kind(smets1_world):
    _careless(smets1_world)

@pytest.mark.smets1
def test_unmarked(smets1_world):
    _careless(smets1_world)
    assert len(smets1_world.violations) == 1

@pytest.mark.smets1(violations="sometimes")
def test_wrong_marker(smets1_world):
    pass
"""


def test_a_violation_fails_the_test_that_asks_for_care(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers\n")
    pytester.makepyfile(BODY)
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=3, failed=3)
    result.stdout.fnmatch_lines(
        ["*1 violations were committed*", "*bad-counter (serious), installation 0 electricity*"]
    )
    result.stdout.fnmatch_lines(["*violations='sometimes'*say 'fail', or kinds*"])
    assert result.stdout.str().count("it fell") >= 2
