"""A hub under mischief, at its own ports: what its mirror of the gas meter withholds and what it no longer learns."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.codecs.axdr import integer
from emulator.codecs.get import DataAccessResult
from emulator.dlms.client import Answer, Refused
from emulator.faults.home_network import ObjectUnavailable, StaleMirror
from emulator.faults.mischief import Mischief
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR


@pytest.fixture
def home(bench: Callable[..., Any]) -> Any:
    return bench()


UNAVAILABLE = Refused("access", DataAccessResult.OBJECT_UNAVAILABLE)
STATE = (70, "0-0:96.3.10", 3)


def test_the_mirror_withholds_its_objects_and_gives_them_again(home: Any) -> None:
    """Association and release go through; two reads are refused as unavailable, the third is served."""
    mischief = home.hub.mischief = Mischief(home.seed)
    home.rouse()
    mischief.arm(ObjectUnavailable(times=2), home.now)
    talk = home.talk("mirror")
    assert isinstance(talk.open(), Answer)
    volume = (3, "7-0:3.0.0")
    assert [talk.read(*volume) for _ in range(2)] == [UNAVAILABLE, UNAVAILABLE]
    assert talk.read(*volume) == home.hub.mirror.total(home.now)
    assert isinstance(talk.close(), Answer)
    assert mischief.fired == {1: 2}


def test_a_stale_mirror_does_not_learn_of_a_closed_valve(home: Any) -> None:
    """The meter reports, the hub does not listen; through a row and back, until the fault has ended."""
    mischief = home.hub.mischief = Mischief(home.seed)
    number = mischief.arm(StaleMirror(), home.now)
    home.rouse()
    assert home.hub.mirror.state() == 1
    stood = home.hub.mirror.heard_at(home.now)
    talk = home.talk(Party.GAS)
    talk.open()
    assert isinstance(talk.act(70, "0-0:96.3.10", 1, integer(0)), Answer)
    assert talk.read(*STATE) == 0
    for _ in range(2):
        home.run(3 * HOUR)
        home.rouse()
        assert home.hub.mirror.state() == 1
        assert home.hub.mirror.heard_at(home.now) == stood
        home.restart(Party.HUB)
        home.hub.mischief = mischief
    mischief.disarm(number)
    home.run(DAY)
    assert home.now - home.hub.mirror.heard_at(home.now) < DAY
