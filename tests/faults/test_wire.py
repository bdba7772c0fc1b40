"""What each fault on a wire makes of a frame: the algebra alone."""

from dataclasses import replace
from typing import Any

import pytest

from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.errors import FrameError
from emulator.faults.fault import Point
from emulator.faults.link import OutOfCoverage
from emulator.faults.mischief import FOREVER, UNTIL_ATTACHED
from emulator.faults.wire import (
    Crossing,
    GprsCoalesce,
    GprsCorrupt,
    GprsDuplicate,
    GprsFlap,
    GprsLoss,
    GprsReorder,
    GprsSplit,
    GprsTruncate,
    HalfOpen,
    SmsLost,
    WireFault,
    read_stream,
)
from emulator.kernel.time import DAY, MILLISECOND, SECOND

FRAME = WRAPPER.build(Wrapper(1, 2, bytes(range(40))))
OTHER = WRAPPER.build(Wrapper(1, 2, b"next"))
LUCK = (0, 1, 7, 0x0123456789ABCDEF, (1 << 64) - 1)


def crossing(luck: int = 0, now: int = 0, until: int = FOREVER, **memory: Any) -> Crossing:
    return Crossing(Point.WAN_UP, now, until, luck, memory)


def test_loss_a_duplicate_and_a_delay() -> None:
    assert GprsLoss().bend(FRAME, crossing()) == SmsLost().bend(FRAME, crossing()) == []
    assert GprsDuplicate(copies=2, lag_ms=40).bend(FRAME, crossing()) == [
        (0, FRAME),
        (40 * MILLISECOND, FRAME),
        (80 * MILLISECOND, FRAME),
    ]
    assert GprsReorder(hold_ms=1_500).bend(FRAME, crossing()) == [(1_500 * MILLISECOND, FRAME)]


@pytest.mark.parametrize("luck", LUCK)
@pytest.mark.parametrize("frame", [b"", b"x", FRAME])
def test_a_truncated_frame_is_a_beginning_that_no_reader_takes(luck: int, frame: bytes) -> None:
    [(delay, cut)] = GprsTruncate().bend(frame, crossing(luck))
    assert delay == 0
    assert frame.startswith(cut)
    assert len(cut) < len(frame) or not frame
    with pytest.raises(FrameError):
        WRAPPER.parse(cut)
    assert GprsTruncate(keep=12).bend(FRAME, crossing(luck)) == [(0, FRAME[:12])]


@pytest.mark.parametrize("luck", LUCK)
@pytest.mark.parametrize(("bits", "first"), [(1, 0), (3, 8), (64, 8), (1_024, 40)])
def test_corruption_flips_exactly_so_many_bits_where_it_may(luck: int, bits: int, first: int) -> None:
    [(_, bent)] = GprsCorrupt(bits=bits, first=first).bend(FRAME, crossing(luck))
    assert len(bent) == len(FRAME)
    assert bent[:first] == FRAME[:first]
    flipped = sum((a ^ b).bit_count() for a, b in zip(bent, FRAME, strict=True))
    assert flipped == min(bits, 8 * (len(FRAME) - first))


def test_there_may_be_nothing_to_corrupt() -> None:
    assert GprsCorrupt(first=100).bend(FRAME, crossing(3)) == [(0, FRAME)]
    assert GprsCorrupt().bend(b"", crossing(3)) == [(0, b"")]


@pytest.mark.parametrize("luck", LUCK)
def test_a_split_frame_is_whole_for_a_reader_of_streams_and_no_frame_for_one_of_datagrams(luck: int) -> None:
    fault = GprsSplit(gap_ms=300)
    assert fault.bend(FRAME, crossing(luck)) == [(300 * MILLISECOND, FRAME)]
    (early, head), (late, tail) = replace(fault, transport="datagram").bend(FRAME, crossing(luck))
    assert (early, late) == (0, 300 * MILLISECOND)
    assert head + tail == FRAME
    assert head != FRAME
    assert tail != FRAME
    for piece in (head, tail):
        with pytest.raises(FrameError):
            WRAPPER.parse(piece)


def test_a_split_has_its_place_and_leaves_what_cannot_be_cut() -> None:
    fault = GprsSplit(at=5, transport="datagram")
    assert [piece for _, piece in fault.bend(FRAME, crossing())] == [FRAME[:5], FRAME[5:]]
    assert [piece for _, piece in replace(fault, at=9_999).bend(FRAME, crossing())] == [FRAME[:-1], FRAME[-1:]]
    assert fault.bend(b"x", crossing()) == [(0, b"x")]


def test_two_that_come_at_once_are_two_for_a_reader_of_streams() -> None:
    assert GprsCoalesce().join(FRAME, OTHER) == [(0, FRAME), (0, OTHER)]
    assert GprsCoalesce(transport="datagram").join(FRAME, OTHER) == [(0, FRAME + OTHER)]
    assert GprsCoalesce(hold_ms=70).bend(FRAME, crossing()) == [(70 * MILLISECOND, FRAME)]


def test_a_stream_is_read_by_its_lengths() -> None:
    """Whatever the pieces are: each PDU comes with its last byte; a rest that lacks bytes never does."""
    whole = FRAME + OTHER + FRAME
    assert read_stream([(at, whole[at : at + 1]) for at in range(len(whole))]) == [
        (len(FRAME) - 1, FRAME),
        (len(FRAME) + len(OTHER) - 1, OTHER),
        (len(whole) - 1, FRAME),
    ]
    assert read_stream([(0, FRAME + OTHER[:7])]) == [(0, FRAME)]
    assert read_stream([]) == read_stream([(0, b"")]) == []


def test_a_bearer_that_dropped_takes_both_ways_for_its_time() -> None:
    memory: dict[str, Any] = {}
    fault = GprsFlap(down_s=20)
    assert not fault.dead(crossing())
    assert fault.bend(FRAME, Crossing(Point.WAN_UP, 5 * SECOND, FOREVER, 0, memory)) == []
    for point in (Point.WAN_UP, Point.WAN_DOWN):
        assert fault.dead(Crossing(point, 25 * SECOND - 1, FOREVER, 0, memory))
        assert not fault.dead(Crossing(point, 25 * SECOND, FOREVER, 0, memory))


@pytest.mark.parametrize(("way", "up", "down"), [("up", True, False), ("down", False, True), ("both", True, True)])
def test_a_half_open_way_is_dead_until_the_hub_attaches(way: Any, up: bool, down: bool) -> None:
    memory: dict[str, Any] = {}
    fault = HalfOpen(way=way)
    assert fault.bend(FRAME, Crossing(Point.WAN_UP, 0, FOREVER, 0, memory)) == []
    assert fault.dead(Crossing(Point.WAN_UP, DAY, FOREVER, 0, memory)) is up
    assert fault.dead(Crossing(Point.WAN_DOWN, DAY, FOREVER, 0, memory)) is down
    del memory[UNTIL_ATTACHED]
    assert not fault.dead(Crossing(Point.WAN_UP, DAY, FOREVER, 0, memory))


def test_out_of_coverage_frames_are_lost_and_messages_wait_for_a_day_at_most() -> None:
    fault = OutOfCoverage()
    assert fault.bend(FRAME, crossing(until=60)) == []
    sms = Crossing(Point.SMS, 10, 60, 0, {})
    assert fault.bend(b"text", sms) == [(50, b"text")]
    assert fault.bend(b"text", replace(sms, until=10 + DAY)) == [(DAY, b"text")]
    assert fault.bend(b"text", replace(sms, until=11 + DAY)) == []
    assert fault.bend(b"text", replace(sms, until=FOREVER)) == []


@pytest.mark.parametrize("fault", [GprsLoss(), HalfOpen(), OutOfCoverage()])
def test_a_fault_strikes_on_its_own_way_only(fault: WireFault) -> None:
    for way, point in (("up", Point.WAN_UP), ("down", Point.WAN_DOWN)):
        chosen = replace(fault, way=way)  # type: ignore[arg-type]
        assert [chosen.wants(each, b"") for each in (Point.WAN_UP, Point.WAN_DOWN)] == [
            each is point for each in (Point.WAN_UP, Point.WAN_DOWN)
        ]
    assert OutOfCoverage(way="up").wants(Point.SMS, b"")
