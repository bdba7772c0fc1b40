"""Service requests in a test that runs in virtual time and over HTTP: one body, the same verdicts."""

import pytest

pytest_plugins = ["pytester"]

BODY = '''
import pytest

from emulator.errors import InputError


@pytest.mark.smets1(home=6, mode="both")
def test_requests(smets1_world, smets1_home):
    held = smets1_home.request("7.6", switch=1, minutes=30)
    assert (held.verdict, held.code, held.payload["on"]) == ("success", "I0", False)
    assert not smets1_home.auxiliary(1).physically_closed
    assert held.latency_s > 0 and held.ended - held.asked == round(held.latency_s * 1_000_000)
    assert smets1_home.request("7.1", device="gas").code == "E11"
    assert smets1_home.request("7.3").reason == "other-reason"
    smets1_world.inject("dco-refuses", installation=6)
    assert smets1_home.request("7.2").reason == "dual-control-policy"
    assert smets1_home.request("7.4").payload == {"supply": "Enabled"}
    with pytest.raises(InputError, match="minuets"):
        smets1_home.request("7.5", switch=1, minuets=30)
    ended = [entry.detail[:3] for entry in smets1_world.notes("request.ended", 6)]
    wanted = ["7.6 success", "7.1 failed", "7.3 failed", "7.2 failed", "7.4 success"]
    assert [f"{service} {verdict}" for _, service, verdict in ended] == wanted
'''


def test_one_body_in_both_modes(pytester: pytest.Pytester) -> None:
    """Virtual time and a server of its own."""
    pytester.makepyfile(test_requests=BODY)
    done = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "--import-mode=importlib")
    done.assert_outcomes(passed=2)
