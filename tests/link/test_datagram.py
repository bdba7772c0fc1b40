"""UDP in IPv4: the twin against the codecs."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import FrameError
from emulator.link.datagram import build_lean, build_through_codecs, parse_lean, parse_through_codecs
from emulator.link.stage import Refused

ADDRESS = st.integers(0, 2**32 - 1)
SHORT = st.integers(0, 2**16 - 1)
FIELDS = st.tuples(ADDRESS, ADDRESS, SHORT, SHORT, st.binary(max_size=300), SHORT, st.integers(0, 255))


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """A value, or what kind of refusal and why."""
    try:
        return function(*arguments)
    except FrameError as error:
        return "FrameError", error.codec, error.reason
    except Refused as error:
        return "Refused", error.reason, error.detail


@given(FIELDS)
def test_twin_and_codecs_build_the_same_bytes_and_read_them_back(fields: tuple[Any, ...]) -> None:
    """For any fields both make one packet, and both find in it what was put in."""
    packet = build_lean(*fields)
    assert packet == build_through_codecs(*fields)
    assert parse_lean(packet) == parse_through_codecs(packet) == fields[:5]


@given(FIELDS, st.data())
def test_twin_and_codecs_agree_on_damage(fields: tuple[Any, ...], data: st.DataObject) -> None:
    """A packet bent in up to three bytes, cut or lengthened is read or refused alike, reasons included."""
    packet = bytearray(build_lean(*fields))
    for _ in range(data.draw(st.integers(1, 3))):
        packet[data.draw(st.integers(0, min(len(packet), 40) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(packet)))
    for damaged in (bytes(packet), bytes(packet[:cut]), bytes(packet) + b"\0"):
        assert outcome(parse_lean, damaged) == outcome(parse_through_codecs, damaged)


@given(st.binary(max_size=80))
def test_twin_and_codecs_agree_on_noise(noise: bytes) -> None:
    """Any bytes at all are read or refused alike."""
    assert outcome(parse_lean, noise) == outcome(parse_through_codecs, noise)


@pytest.mark.parametrize(
    "fields",
    [
        (2**32, 0, 1, 1, b"", 0, 64),
        (0, -1, 1, 1, b"", 0, 64),
        (0, 0, 65_536, 1, b"", 0, 64),
        (0, 0, 1, 1, bytes(65_508), 0, 64),
        (0, 0, 1, 1, b"", 65_536, 64),
        (0, 0, 1, 1, b"", 0, 256),
    ],
)
def test_what_does_not_fit_a_field_is_refused_by_both(fields: tuple[Any, ...]) -> None:
    """A field out of its range makes no packet, on either rung."""
    assert outcome(build_lean, *fields) == outcome(build_through_codecs, *fields)
    assert outcome(build_lean, *fields)[0] == "FrameError"


def test_a_checksum_of_zero_is_sent_as_all_ones_and_none_is_accepted() -> None:
    """RFC 768: a sum that comes out as zero is sent as FFFF; zero on the wire says that the sender made none."""
    # Everything else zero, one word of frame that completes the sum 17 + 2 * 10 to FFFF.
    frame = (0xFFFF - 17 - 2 * 10).to_bytes(2, "big")
    packet = build_lean(0, 0, 0, 0, frame, 0, 64)
    assert packet[26:28] == b"\xff\xff"
    unchecked = packet[:26] + b"\0\0" + b"\x12\x34"
    assert parse_lean(unchecked) == parse_through_codecs(unchecked) == (0, 0, 0, 0, b"\x12\x34")


def test_known_header() -> None:
    """A datagram summed by hand: 10.0.0.1:4059 to 10.128.0.5:4059, "ab", both checksums as RFC 1071 gives them."""
    packet = build_lean(0x0A000001, 0x0A800005, 4059, 4059, b"ab", 7, 63)
    words = [int.from_bytes(packet[at : at + 2], "big") for at in range(0, 20, 2)]
    assert sum(words) % 0xFFFF == 0
    ip = 0x4500 + 30 + 7 + 0x4000 + 0x3F11 + 0x0A00 + 0x0001 + 0x0A80 + 0x0005
    udp = 0x0A00 + 0x0001 + 0x0A80 + 0x0005 + 17 + 10 + 4059 + 4059 + 10 + 0x6162
    assert words[5] == 0xFFFF - (ip & 0xFFFF) - (ip >> 16)
    assert int.from_bytes(packet[26:28], "big") == 0xFFFF - (udp & 0xFFFF) - (udp >> 16)
