"""The plugin's served estates: as their users meet them, in a test run of its own, and as processes."""

import os
import re
import shlex
import socket
from pathlib import Path

import pytest

from emulator.errors import InputError, UsageError
from emulator.served.process import ServedEstate
from emulator.served.world import ServedWorld

pytest_plugins = ["pytester"]

PATIENCE_S = 120
BODY = '''
from datetime import timedelta
from pathlib import Path
import os
import socket

import pytest

from emulator.commands import PressBoost
from emulator.errors import InputError, UsageError
from emulator.headend.session import RefusedError


@pytest.mark.smets1(home=6, mode="both", shared=True)
def test_boost_ends(smets1_world, smets1_home, smets1_mode):
    home, meter = smets1_home, smets1_home.electricity
    assert hasattr(smets1_world, "served") is (smets1_mode == "live")
    smets1_world.run_for(hours=12)  # away from the times at which calendars switch
    assert abs(meter.read("clock") - smets1_world.now) < timedelta(minutes=1)
    meter.rotate_keys()
    assert meter.generations() == (1, 1)
    before = home.auxiliary(1).closed
    (home.auxiliary(1).deactivate if before else home.auxiliary(1).activate)(minutes=30)
    assert home.auxiliary(1).closed is home.auxiliary(1).physically_closed is not before
    begun = smets1_world.now
    smets1_world.run_for(minutes=31)
    assert smets1_world.now - begun == timedelta(minutes=31)
    assert home.auxiliary(1).closed is before
    meter.press(PressBoost(1, 15))
    assert home.auxiliary(1).physically_closed
    assert home.hub.read("device-name").endswith(home.installation.devices[0].serial.encode())
    assert [(entry.installation, entry.detail) for entry in smets1_world.notes("auxiliary.held")] == [
        (6, (1, not before, 30)),
        (6, (1, True, 15)),
    ]
    with pytest.raises(RefusedError):
        meter.read("8/0-0:1.0.1")
    with pytest.raises(UsageError, match="nothing-such"):
        meter.read("nothing-such")
    with pytest.raises(InputError, match="has no installation 99"):
        smets1_world.home(99)
    assert home.notes("nothing") == []


@pytest.mark.smets1(shared=True, home=1)
@pytest.mark.parametrize("again", [False, True])
def test_it_is_put_back(smets1_live, smets1_home, again):
    """Whatever the test before did: keys, faults, snapshots and speed are as at first."""
    device = smets1_live.keys(1)["electricity"]
    assert device["host"] == smets1_home.address == smets1_live.address(1)
    assert smets1_home.electricity.generations() == (0, 0)
    assert smets1_live.world.entries == []
    assert smets1_live.ask("GET", "/v1/clock")["speed"] == 0
    assert smets1_live.ask("GET", "/v1/faults")["faults"] == smets1_live.ask("GET", "/v1/snapshots")["snapshots"] == []
    smets1_home.electricity.rotate_keys()
    assert smets1_live.keys(smets1_home)["electricity"]["ek"] != device["ek"]
    for verb, body in (("take-snapshot", {"name": "x"}), ("fail-link", {"seconds": 60}), ("set-speed", {"speed": 9})):
        smets1_live.ask("POST", "/v1/" + verb, body)
    if again:
        smets1_live.reset()
        assert smets1_live.keys(1)["electricity"]["ek"] == device["ek"]


@pytest.mark.smets1(shared=True)
@pytest.mark.parametrize("turn", range(2))
def test_sockets_and_ports(smets1_live, smets1_live_session, turn):
    """Sockets are heard, the session's estate is the test's, and its ports are written down for the run's judge."""
    assert smets1_live is smets1_live_session
    for port in (smets1_live.port, smets1_live.hdlc_port):
        socket.create_connection((smets1_live.address(2), port), timeout=10).close()
    worker = os.environ["PYTEST_XDIST_WORKER"]
    Path(f"{worker}.ports").write_text(f"{smets1_live.process.pid} {smets1_live.port} {smets1_live.http}")


@pytest.mark.smets1(home=0)
def test_fails(smets1_live, smets1_home):
    smets1_home.hub.read("clock")
    assert smets1_live.process.pid < 0
'''


@pytest.fixture(autouse=True)
def _elsewhere(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers\n")


def test_one_body_runs_virtual_and_live_on_two_workers(pytester: pytest.Pytester) -> None:
    """The same body passes in both modes; the session's estate is put back between tests; each worker serves its own;
    a failure tells where and how to repeat it, and the command it tells repeats it to the last note; nothing runs on.
    """
    pytest.importorskip("xdist")
    pytester.makepyfile(BODY)
    run = pytester.runpytest_subprocess("-q", "-n2", "--dist=load", "--smets1-seed=77", timeout=PATIENCE_S)
    run.assert_outcomes(passed=6, failed=1)
    run.stdout.fnmatch_lines(
        [
            "*estate demo-street, seed 77, link ipsec, served at 127.1.0.1:* and http://127.0.0.1:*, digest *",
            "repeat: pytest '*::test_fails' --smets1-seed=77",
        ]
    )
    pids, *ports = zip(*(path.read_text().split() for path in Path().glob("*.ports")), strict=True)
    assert all(len(set(each)) == len(each) for each in (pids, *ports))
    told = digest(run)
    command = next(line for line in run.outlines if line.startswith("repeat: pytest "))
    again = pytester.runpytest_subprocess("-q", *shlex.split(command)[2:], timeout=PATIENCE_S)
    again.assert_outcomes(failed=1)
    assert digest(again) == told
    for pid in map(int, pids):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def digest(run: pytest.RunResult) -> str:
    found = re.search(r"virtual time .*, digest [0-9a-f]{64}", run.stdout.str())
    assert found is not None
    return found[0]


def test_a_wrong_mode_is_refused_in_words(pytester: pytest.Pytester) -> None:
    """A mode that does not exist is named, with those that do; `--smets1-mode` is for tests that do not say theirs."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.smets1(mode="real")
        def test_wrong(smets1_world):
            pass

        @pytest.mark.smets1(mode="virtual")
        def test_marked(smets1_world, smets1_mode):
            assert smets1_mode == "virtual"

        def test_unmarked(smets1_mode):
            assert smets1_mode == "live"
        """
    )
    run = pytester.runpytest_inprocess("-q", "--smets1-mode=live", "-p", "no:cacheprovider")
    run.assert_outcomes(errors=1, passed=2)
    run.stdout.fnmatch_lines(["*mode='real'): there are 'virtual', 'live', 'both'*"])


def test_a_served_estate_ends_with_its_holder(tmp_path: Path) -> None:
    """When whoever started it dies, and the pipe with it, the server ends by itself and cleanly; what was held of it
    says what became of it, and starting without a clean start is refused in words."""
    with ServedEstate(tmp_path, seed=5) as estate:
        world = estate.world
        assert type(world) is ServedWorld
        home = world.home(1)
        with pytest.raises(UsageError, match="state"):
            _ = home.electricity.physical
        assert home.hub.state["kind"] == "hub"
        assert "virtual time 20" in estate.told()
        assert estate.process.stdin is not None
        estate.process.stdin.close()
        assert estate.process.wait(30) == 0
        assert "shell.stopped" in estate.last_words()[-1]
        assert "ended with 0" in estate.told()
        assert estate.token not in estate.told() + estate.log.read_text()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((estate.address(1), estate.port), timeout=5)
        port = estate.port
    with socket.socket() as holder:
        holder.bind(("", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}.* in use"):
            ServedEstate(tmp_path, seed=5, arguments=("--control-port", str(port)))
