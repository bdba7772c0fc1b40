"""What a client of a served estate meets on its own socket when the way to the home is struck."""

import socket
import time
from collections.abc import Iterator

import pytest
from stream_kit import PUBLIC, call, whole

from emulator.codecs.wrapper import WRAPPER
from emulator.served.process import ServedEstate

SILENT_S = 0.6


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedEstate]:
    with ServedEstate(tmp_path_factory.mktemp("struck")) as served:
        yield served


@pytest.fixture
def served(estate: ServedEstate) -> ServedEstate:
    estate.reset()
    return estate


def silence(caller: socket.socket) -> bool:
    caller.settimeout(SILENT_S)
    try:
        return not caller.recv(4096)
    except TimeoutError:
        return True
    finally:
        caller.settimeout(20)


def test_an_answer_comes_in_two_pieces(served: ServedEstate) -> None:
    """Cut where the fault says, the rest after the gap; over UDP there are no pieces."""
    fault = served.world.inject("gprs-split", way="up", at=5, gap_ms=700, installation=0, times=2)
    with call(served) as caller:
        begun = time.monotonic()
        caller.sendall(PUBLIC)
        head = caller.recv(4096)
        assert len(head) == 5
        first = whole(caller, head)
        assert time.monotonic() - begun >= 0.65
        assert WRAPPER.parse(first).payload[:1] == b"\x61"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(20)
            datagrams.sendto(PUBLIC, (served.address(0), served.port))
            assert WRAPPER.parse(datagrams.recv(4096)).payload[:1] == b"\x61"
        assert fault.fired == 2
        caller.sendall(PUBLIC)
        assert WRAPPER.parse(caller.recv(4096)).payload[:1] == b"\x61"


def test_two_answers_behind_a_split_one_keep_their_order(served: ServedEstate) -> None:
    served.world.inject("gprs-split", way="up", at=3, gap_ms=400, installation=0, times=1)
    with call(served) as caller:
        caller.sendall(PUBLIC * 2)
        have = caller.recv(4096)
        assert len(have) == 3
        first = whole(caller, have)
        size = 8 + int.from_bytes(first[6:8], "big")
        second = whole(caller, first[size:])
        assert WRAPPER.parse(first[:size]).payload[:1] == WRAPPER.parse(second).payload[:1] == b"\x61"


def test_two_answers_come_at_once(served: ServedEstate) -> None:
    """The first waits for the second."""
    fault = served.world.inject("gprs-coalesce", way="up", hold_ms=600_000, installation=0, times=1)
    with call(served) as caller:
        caller.sendall(PUBLIC)
        assert silence(caller)
        caller.sendall(PUBLIC)
        have = whole(caller)
        size = 8 + int.from_bytes(have[6:8], "big")
        assert whole(caller, have[size:])
        assert fault.fired == 1


def test_a_truncated_answer_is_all_there_is(served: ServedEstate) -> None:
    served.world.inject("gprs-truncate", way="up", keep=9, installation=0, times=1)
    with call(served) as caller:
        caller.sendall(PUBLIC)
        assert len(caller.recv(4096)) == 9
        assert silence(caller)


def test_half_open_the_client_waits_in_vain(served: ServedEstate) -> None:
    """The hub hears and answers; cleared, it is heard again."""
    fault = served.world.inject("half-open", installation=0)
    with call(served) as caller, call(served, 1) as neighbour:
        caller.sendall(PUBLIC)
        assert silence(caller)
        assert fault.fired == 1
        neighbour.sendall(PUBLIC)
        assert whole(neighbour)
        fault.clear()
        caller.sendall(PUBLIC)
        assert whole(caller)
