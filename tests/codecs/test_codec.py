"""The rungs: choosing one, binding late, and lowering."""

import pkgutil
from importlib import import_module
from typing import Any

import pytest
from construct import BitsInteger, BitStruct, Bytes, Const, Int8ub, Int16ub, Int24ub, Struct

import emulator.codecs
from emulator.codecs import catalogue, codec
from emulator.codecs.esp import ESP
from emulator.codecs.get import GET_REQUEST, NORMAL
from emulator.codecs.layout import Lowered, fixed
from emulator.codecs.parts import Octets, Placeholder, Record, Rest, Within
from emulator.codecs.udp import UDP, UDP_FRAME, checksum
from emulator.codecs.wrapper import WRAPPER, Wrapper, split
from emulator.errors import FrameError, UsageError


@pytest.fixture
def kept_rung() -> Any:
    """Whatever a test does to the rung is undone."""
    before = codec.current()
    yield
    codec.use(before)


def test_every_codec_is_in_the_catalogue() -> None:
    """A codec made anywhere in the room has its line, and a line has one codec."""
    for module in pkgutil.iter_modules(emulator.codecs.__path__, "emulator.codecs."):
        import_module(module.name)
    assert {made.name for made in codec.every()} == set(catalogue.CATALOGUE)
    assert len(codec.every()) == len(catalogue.CATALOGUE)


@pytest.mark.usefixtures("kept_rung")
def test_use_rebinds_every_codec() -> None:
    """After `use` a call runs on that rung: the definition's own method on one, something else on the other."""
    catalogue.use("construct")
    assert all(made.parse == made.parse_definition for made in codec.every())
    assert all(made.build == made.build_definition for made in codec.every())
    catalogue.use("fast")
    for frame in catalogue.CATALOGUE.values():
        assert (frame.codec.parse != frame.codec.parse_definition) == ("fast" in frame.rungs)


@pytest.mark.usefixtures("kept_rung")
def test_an_unknown_rung_is_misuse() -> None:
    """A word that is no rung changes nothing."""
    before = codec.current()
    with pytest.raises(UsageError, match="fast, construct"):
        catalogue.use("quick")
    assert codec.current() == before


def test_hot_frames_have_a_fast_rung() -> None:
    """Everything an exchange passes through has more than its definition."""
    hot = {"wrapper", "glo", "get-request", "get-response", "set-request", "action-request", "data", "ipv4", "udp"}
    hot |= {"esp", "mpls", "aarq", "aare", "initiate-request", "initiate-response", "general-glo"}
    assert all("fast" in catalogue.CATALOGUE[name].rungs for name in hot)


def test_a_layout_is_one_struct() -> None:
    """Fixed parts become one format; the normal get request is thirteen bytes of it."""
    parts = ("a" / Int8ub, Const(b"\x01\x02"), "b" / Octets(3), "c" / Within(Int16ub, 1, 9), Placeholder(2))
    assert fixed(Struct(*parts)).format == ">B2s3sH2s"
    assert NORMAL.size == 13
    assert fixed(BitStruct("x" / BitsInteger(20), "y" / BitsInteger(12))).format == ">L"


@pytest.mark.parametrize(
    "parts",
    [
        ("a" / Int24ub,),
        ("a" / Bytes(3),),
        ("a" / Rest(), "b" / Int8ub),
        (BitStruct("a" / BitsInteger(16), "b" / BitsInteger(8)),),
    ],
)
def test_what_cannot_be_lowered_says_so(parts: tuple[Any, ...]) -> None:
    """A part the lowering does not know is an error when it is lowered, never a check left out."""
    with pytest.raises(UsageError):
        fixed(*parts)


def test_a_record_must_name_all_its_fields() -> None:
    """A layout that leaves a field of its dataclass out cannot be lowered."""
    with pytest.raises(UsageError, match="ESP"):
        Lowered(Record(ESP, "spi" / Int16ub, "text" / Rest()))


def test_a_refusal_names_frame_place_and_reason() -> None:
    """The text of a refusal says what was wrong, and where."""
    with pytest.raises(FrameError, match="not a valid wrapper at byte 0: 1 must stand here") as refusal:
        WRAPPER.functions("fast")[0](bytes.fromhex("0002000100010000"))
    assert (refusal.value.codec, refusal.value.offset) == ("wrapper", 0)
    with pytest.raises(FrameError, match="cut after 5 bytes"):
        GET_REQUEST.functions("fast")[0](bytes.fromhex("C001C10008"))


def test_a_stream_is_cut_into_frames() -> None:
    """Whole frames come off the front; a begun one is left; a foreign header is refused."""
    frames = [WRAPPER.build(Wrapper(1, 16, bytes(n))) for n in (0, 1, 300)]
    stream = b"".join(frames)
    for at in range(len(stream) + 1):
        whole, rest = split(stream[:at])
        assert b"".join(whole) + rest == stream[:at]
        assert whole == frames[: len(whole)]
        more, rest = split(rest + stream[at:])
        assert whole + more == frames
        assert rest == b""
    with pytest.raises(FrameError, match="stream"):
        split(frames[1] + b"\x00\x02" + bytes(6))


@pytest.mark.parametrize("payload", [b"", b"a", b"ab", bytes(7), b"\xff" * 9, bytes(range(256))])
def test_udp_checksum_sums_to_all_ones(payload: bytes) -> None:
    """Pseudo-header, header and payload together sum to FFFF, by sixteen-bit addition (RFC 768)."""
    source, destination, ports = 0x0A000001, 0xC0A80102, (4059, 40_000)
    value = checksum(source, destination, *ports, payload)
    datagram = UDP_FRAME.build(UDP(*ports, value, payload))
    pseudo = (
        source.to_bytes(4, "big") + destination.to_bytes(4, "big") + bytes((0, 17)) + len(datagram).to_bytes(2, "big")
    )
    covered = pseudo + datagram + (b"\0" if len(datagram) % 2 else b"")
    total = 0
    for i in range(0, len(covered), 2):
        total += covered[i] << 8 | covered[i + 1]
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    assert value != 0
