"""The secondary station of an HDLC link, spoken to frame by frame."""

from typing import Any

import pytest

from emulator.codecs.hdlc import (
    DISC,
    DM,
    FRMR,
    HDLC,
    HDLC_FRAME,
    LLC_REQUEST,
    LLC_RESPONSE,
    SNRM,
    UA,
    address,
)
from emulator.shell.hdlc_station import POLL, Station

SERVER, CLIENT = address(2, 17), address(1)
RR, REJ, RNR = 0x01, 0x09, 0x05


class Link:
    """A primary station that counts by hand."""

    def __init__(self, apdu_most: int = 4_096) -> None:
        self.delivered: list[bytes] = []
        self.station = Station(SERVER, CLIENT, self.delivered.append, apdu_most)

    def send(self, control: int, information: bytes = b"", *, segmented: bool = False) -> list[HDLC]:
        return self.parse(self.station.receive(HDLC(SERVER, CLIENT, control, segmented, information)))

    def answer(self, apdu: bytes) -> list[HDLC]:
        return self.parse(self.station.answer(apdu))

    def parse(self, frames: list[bytes]) -> list[HDLC]:
        found = [HDLC_FRAME.parse(frame) for frame in frames]
        assert all((frame.destination, frame.source) == (CLIENT, SERVER) for frame in found)
        return found

    def connected(self, information: bytes = b"") -> "Link":
        (frame,) = self.send(SNRM, information)
        assert frame.control == UA
        return self


def i(sent: int, heard: int, *, poll: bool = True) -> int:
    return heard << 5 | (POLL if poll else 0) | sent << 1


def rr(heard: int, kind: int = RR, *, poll: bool = True) -> int:
    return heard << 5 | (POLL if poll else 0) | kind


def parameters(sent: int, heard: int, window_sent: int = 1, window_heard: int = 1) -> bytes:
    body = b"".join(
        bytes((name, size)) + value.to_bytes(size, "big")
        for name, size, value in ((5, 2, sent), (6, 2, heard), (7, 4, window_sent), (8, 4, window_heard))
    )
    return b"\x81\x80" + bytes((len(body),)) + body


def test_before_snrm_everything_is_answered_with_dm() -> None:
    """An I-frame, an RR and a DISC find nobody connected; what asks for no answer gets none."""
    link = Link()
    assert [link.send(each)[0].control for each in (i(0, 0), rr(0), DISC)] == [DM] * 3
    assert link.send(rr(0, poll=False)) == []
    assert link.delivered == []


def test_sizes_and_windows_are_agreed() -> None:
    """The smaller of what both sides can: the client sends 300 and takes 200, in windows of 3 and 9."""
    (frame,) = Link().send(SNRM, parameters(300, 200, 3, 9))
    assert frame.information == parameters(200, 300, 7, 3)


def test_without_parameters_the_defaults_hold() -> None:
    """An empty SNRM: segments of at most 128 bytes, one at a time."""
    link = Link().connected()
    link.send(i(0, 0), LLC_REQUEST + b"x")
    (first,) = link.answer(b"y" * 300)
    assert len(first.information) == 128
    assert first.segmented


@pytest.mark.parametrize("broken", [b"\x81\x80", b"\x81\x80\x04\x05\x09\x00\x00", b"\x00" * 9, parameters(0, 0, 0, 0)])
def test_nonsense_in_an_snrm_does_no_harm(broken: bytes) -> None:
    """What is not understood is left at its default."""
    link = Link().connected(broken)
    link.send(i(0, 0), LLC_REQUEST + b"x")
    assert link.delivered == [b"x"]


def test_a_request_in_segments_is_put_together_and_its_answer_cut() -> None:
    """Three segments in, each one acknowledged; 300 bytes out in three, the next one when it is polled."""
    link = Link().connected()
    assert link.send(i(0, 0), LLC_REQUEST + b"ab", segmented=True)[0].control == rr(1)
    assert link.send(i(1, 0), b"cd", segmented=True)[0].control == rr(2)
    assert link.delivered == []
    assert link.send(i(2, 0), b"ef") == []
    assert link.delivered == [b"abcdef"]
    text = bytes(range(256)) + b"z" * 44
    frames = link.answer(text)
    for heard in (1, 2):
        assert len(frames) == heard
        frames += link.send(rr(heard))
    assert [frame.segmented for frame in frames] == [True, True, False]
    assert [frame.control for frame in frames] == [i(0, 3), i(1, 3), i(2, 3)]
    assert b"".join(frame.information for frame in frames) == LLC_RESPONSE + text
    assert link.send(rr(3))[0].control == rr(3)


def test_a_window_of_three_leaves_at_once() -> None:
    """Only the last frame of a window gives the turn back; the acknowledged ones do not come again."""
    link = Link().connected(parameters(128, 128, 1, 3))
    link.send(i(0, 0), LLC_REQUEST + b"x")
    frames = link.answer(b"y" * 600)
    assert [frame.control for frame in frames] == [i(0, 1, poll=False), i(1, 1, poll=False), i(2, 1)]
    again = link.send(rr(2))
    assert [frame.control >> 1 & 7 for frame in again] == [2]
    rest = link.send(rr(3))
    assert [frame.control >> 1 & 7 for frame in rest] == [3, 4]
    assert not rest[-1].segmented


def test_a_repeated_request_is_answered_again_and_not_delivered_again() -> None:
    """The answer was lost, the client sends the same frame: the same answer, and one delivery."""
    link = Link().connected()
    link.send(i(0, 0), LLC_REQUEST + b"x")
    first = link.answer(b"y")
    assert link.send(i(0, 0), LLC_REQUEST + b"x") == first
    assert link.send(rr(0, REJ)) == first
    assert link.delivered == [b"x"]


def test_a_client_that_is_not_ready_gets_nothing() -> None:
    """RNR holds the next segment back; RR fetches it."""
    link = Link().connected()
    link.send(i(0, 0), LLC_REQUEST + b"x")
    link.answer(b"y" * 200)
    assert link.send(rr(1, RNR))[0].control == rr(1)
    assert link.send(rr(1))[0].control == i(1, 1)


def test_a_silent_device_is_polled_in_vain() -> None:
    """No answer from the application: an RR says that the link lives."""
    link = Link().connected()
    assert link.send(i(0, 0), LLC_REQUEST + b"x") == []
    assert link.send(rr(0))[0].control == rr(1)


@pytest.mark.parametrize(
    ("control", "information", "why"),
    [
        (0xFF & ~0x10 | 0x10, b"", 1),
        (i(0, 0), b"x" * 129, 4),
        (i(0, 5), b"x", 8),
        (rr(3), b"", 8),
    ],
    ids=["unknown control", "too long", "impossible acknowledgement", "impossible RR"],
)
def test_what_may_not_be_is_rejected_until_the_link_is_set_up_anew(control: int, information: bytes, why: int) -> None:
    """FRMR with the control field and the reason, again for whatever follows, and gone after SNRM."""
    link = Link().connected()
    (frame,) = link.send(control, information)
    assert (frame.control, frame.information[0], frame.information[2]) == (FRMR, control, why)
    assert link.send(i(0, 0), LLC_REQUEST + b"x")[0].control == FRMR
    link.connected()
    link.send(i(0, 0), LLC_REQUEST + b"x")
    assert link.delivered == [b"x"]


def test_an_endless_request_is_cut_off() -> None:
    """Segments beyond the longest APDU are refused: memory is bounded."""
    link = Link(apdu_most=256).connected()
    controls: list[Any] = []
    for number in range(4):
        frames = link.send(i(number, 0), b"x" * 100, segmented=True)
        controls.append(frames[0].control)
    assert controls == [rr(1), rr(2), FRMR, FRMR]


def test_disc_ends_the_link() -> None:
    """UA once, DM after it, and what was under way is forgotten."""
    link = Link().connected()
    link.send(i(0, 0), LLC_REQUEST + b"x")
    link.answer(b"y" * 500)
    assert link.send(DISC)[0].control == UA
    assert not link.station.connected
    assert link.send(DISC)[0].control == DM
    assert link.answer(b"late") == []
    link.connected()
    assert link.send(rr(0))[0].control == rr(0)


def test_an_apdu_without_llc_is_not_delivered() -> None:
    """Information that is no LLC frame goes nowhere; the link goes on."""
    link = Link().connected()
    assert link.send(i(0, 0), b"\xc0\x01")[0].control == rr(1)
    link.send(i(1, 0), LLC_REQUEST + b"x")
    assert link.delivered == [b"x"]
