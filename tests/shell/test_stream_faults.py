"""What a client of a served estate meets on its own TCP connection under `link-stream`."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from stream_kit import PUBLIC, call, whole

from emulator.codecs.wrapper import WRAPPER
from emulator.errors import InputError
from emulator.faults import catalogue
from emulator.scenario.playground import Playground
from emulator.served.process import ServedEstate

SLACK_S = 0.05


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedEstate]:
    with ServedEstate(tmp_path_factory.mktemp("streams")) as served:
        yield served


@pytest.fixture
def served(estate: ServedEstate) -> ServedEstate:
    estate.reset()
    return estate


def test_answers_come_in_slices(served: ServedEstate) -> None:
    """The first three bytes first, and no faster than the gaps allow; what is asked at once is answered whole."""
    fault = served.world.inject("link-stream", slice_bytes=3, slice_gap_ms=20, installation=0)
    with call(served) as caller:
        caller.sendall(PUBLIC)
        head = caller.recv(4096)
        begun = time.monotonic()
        assert len(head) == 3
        answer = whole(caller, head)
        slices = -(-len(answer) // 3)
        assert time.monotonic() - begun >= (slices - 1) * 0.02 - SLACK_S
        assert WRAPPER.parse(answer).payload[:1] == b"\x61"
        caller.sendall(PUBLIC)
        caller.shutdown(socket.SHUT_WR)  # half closed: the rest still comes
        assert WRAPPER.parse(whole(caller)).payload[:1] == b"\x61"
        assert caller.recv(4096) == b""
    assert fault.fired == 1


@pytest.mark.parametrize("after", [0, 10])
def test_a_connection_is_reset(served: ServedEstate, after: int) -> None:
    """At once, or in the middle of an answer; the next one is made, and struck no more."""
    served.world.inject("link-stream", reset_after_bytes=after, times=1, installation=0)
    got = b""
    with pytest.raises(ConnectionResetError), call(served) as caller:  # at once may be before the client has connected
        caller.sendall(PUBLIC)
        while piece := caller.recv(4096):
            got += piece
        raise AssertionError("closed in good order")
    assert len(got) <= after
    with call(served) as caller:
        caller.sendall(PUBLIC)
        assert WRAPPER.parse(whole(caller)).payload[:1] == b"\x61"


def test_a_connection_opens_and_closes_late(served: ServedEstate) -> None:
    """Nothing is read for a while; and the end of the client's side is answered late."""
    with call(served) as caller:  # so that the hub is awake
        caller.sendall(PUBLIC)
        whole(caller)
        usual = time.monotonic()
        caller.sendall(PUBLIC)
        whole(caller)
        usual = time.monotonic() - usual
    served.world.inject("link-stream", open_ms=700, close_ms=600, installation=0)
    begun = time.monotonic()
    with call(served) as caller:
        caller.sendall(PUBLIC)
        whole(caller)
        assert time.monotonic() - begun >= 0.7 - SLACK_S
        begun = time.monotonic()
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(4096) == b""
        assert time.monotonic() - begun >= 0.6 - SLACK_S
    assert usual < 5


def test_other_homes_are_left_alone_and_nobody_speaks_tcp_in_virtual_time(served: ServedEstate) -> None:
    fault = served.world.inject("link-stream", reset_after_bytes=0, installation=1, may_stay_quiet=True)
    with call(served) as caller:
        caller.sendall(PUBLIC)
        assert WRAPPER.parse(whole(caller)).payload[:1] == b"\x61"
    assert fault.fired == 0
    world = Playground("demo-street", seed=3)
    quiet = world.inject("link-stream", reset_after_bytes=0, may_stay_quiet=True)
    assert world.home(0).electricity.read("clock")
    assert quiet.fired == 0


@pytest.mark.parametrize("settings", [{"open_ms": 60_001}, {"slice_bytes": -1}, {"device": "gas"}])
def test_what_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        catalogue.make("link-stream", settings)
