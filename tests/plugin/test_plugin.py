"""The pytest plugin, tested as its users meet it: in a test run of its own."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _elsewhere(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers\n")


def test_a_home_is_read_rekeyed_and_switched(pytester: pytest.Pytester) -> None:
    """The README's example, and what it claims, all the way over the air."""
    pytester.makepyfile(
        """
        from datetime import timedelta
        import pytest

        @pytest.mark.smets1(home=6)
        def test_boost_ends(smets1_world, smets1_home):
            home = smets1_home
            assert abs(home.electricity.read("clock") - smets1_world.now) < timedelta(minutes=1)
            home.electricity.rotate_keys()
            assert home.electricity.generations() == (1, 1)
            before = home.auxiliary(1).closed
            if before:
                home.auxiliary(1).deactivate(minutes=30)
            else:
                home.auxiliary(1).activate(minutes=30)
            assert home.auxiliary(1).closed is not before
            assert home.auxiliary(1).physically_closed is not before
            smets1_world.run_for(minutes=31)
            assert home.auxiliary(1).closed is before
        """
    )
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=1)


def test_a_failing_test_says_how_to_repeat_it(pytester: pytest.Pytester) -> None:
    """Estate, seed, virtual time and the command stand in the report of a failure, and the command repeats it."""
    pytester.makepyfile(
        """
        def test_fails(smets1_world):
            smets1_world.home(1).hub.read("clock")
            assert smets1_world.digest() == "x"
        """
    )
    first = pytester.runpytest_subprocess("-q", "--smets1-seed=77")
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines(
        ["*estate demo-street, seed 77, link ipsec*", "repeat: pytest '*test_fails' --smets1-seed=77"]
    )
    digests = {line for line in first.outlines if "seed 77, link" in line}
    again = pytester.runpytest_subprocess("-q", "--smets1-seed=77")
    assert {line for line in again.outlines if "seed 77, link" in line} == digests != set()


def test_the_marker_chooses_estate_seed_link_and_home(pytester: pytest.Pytester) -> None:
    """Settings of the marker reach the world; a later world is made by hand."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.smets1(estate="thousand", seed=5, installations=30, link="mpls", home=12)
        def test_marked(smets1_world, smets1_home, smets1_estate):
            assert (smets1_world.estate.name, smets1_world.seed, smets1_world.link) == ("thousand", 5, "mpls")
            assert smets1_world.estate.installations == 30
            assert smets1_home.number == 12
            other = smets1_estate("demo-street", seed=9)
            assert other.seed == 9
            assert other.home(0).installation != smets1_home.installation
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_a_wrong_marker_is_refused_in_words(pytester: pytest.Pytester) -> None:
    """A setting that does not exist is named, with those that do."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.smets1(sede=5)
        def test_marked(smets1_world):
            pass
        """
    )
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*takes *estate, home, *seed* by name; it was given 'sede'*"])


def test_an_unknown_estate_or_home_is_one_line(pytester: pytest.Pytester) -> None:
    """Names that do not exist end in the project's own error, saying what there is."""
    pytester.makepyfile(
        """
        import pytest
        from emulator.errors import InputError

        def test_names(smets1_estate):
            with pytest.raises(InputError, match="no estate is called 'nowhere'.*demo-street"):
                smets1_estate("nowhere")
            with pytest.raises(InputError, match="has no installation 99"):
                smets1_estate("demo-street").home(99)
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_nothing_heavy_is_imported_before_a_fixture_is_used() -> None:
    """Loading the plugin costs its users no numpy, no construct, no cryptography and no compiled core."""
    code = (
        "import sys, emulator.pytest_plugin\n"
        "heavy = {'numpy', 'construct', 'cryptography', 'msgspec', 'click', 'rich', 'emulator._native', 'devices',"
        " 'emulator.kernel', 'emulator.served', 'http.client'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_homes_of_one_world_do_not_disturb_each_other(pytester: pytest.Pytester) -> None:
    """A key change in one home leaves its neighbour's keys, and what was read before, as they were."""
    pytester.makepyfile(
        """
        def test_neighbours(smets1_world):
            one, other = smets1_world.home(0), smets1_world.home(1)
            one.hub.rotate_keys()
            assert one.hub.generations() == (1, 1)
            assert other.hub.generations() == (0, 0)
            assert other.hub.read("device-name").endswith(other.installation.devices[0].serial.encode())
            assert [entry.installation for entry in smets1_world.notes("rotation.confirmed")] == [0]
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
