"""A-XDR data: every type both ways, and the bounds that keep a hostile datum small."""

import math
import struct

import pytest

from emulator.codecs import axdr
from emulator.codecs.axdr import DATA, MAX_BYTES, MAX_DEPTH, MAX_ITEMS, CompactArray, Data, Tag, TypeDescription
from emulator.errors import FrameError


@pytest.mark.parametrize(
    ("datum", "encoded"),
    [
        (axdr.null(), "00"),
        (axdr.array([axdr.unsigned(1), axdr.unsigned(2)]), "010211011102"),
        (axdr.structure([axdr.enum(3), axdr.null()]), "0202160300"),
        (axdr.boolean(True), "0301"),
        (axdr.bit_string("0101"), "040450"),
        (axdr.bit_string("110000001"), "0409C080"),
        (axdr.double_long(-2), "05FFFFFFFE"),
        (axdr.double_long_unsigned(0x01020304), "0601020304"),
        (axdr.octet_string(b"\x01\x02"), "09020102"),
        (axdr.octet_string(bytes(128)), "098180" + "00" * 128),
        (axdr.octet_string(bytes(300)), "0982012C" + "00" * 300),
        (axdr.visible_string("ELS"), "0A03454C53"),
        (axdr.utf8_string("\u00a3"), "0C02C2A3"),
        (axdr.bcd(-1), "0DFF"),
        (axdr.integer(-128), "0F80"),
        (axdr.long(-2), "10FFFE"),
        (axdr.unsigned(255), "11FF"),
        (axdr.long_unsigned(0x1234), "121234"),
        (axdr.long64(-1), "14FFFFFFFFFFFFFFFF"),
        (axdr.long64_unsigned(1), "150000000000000001"),
        (axdr.enum(200), "16C8"),
        (axdr.float32(1.5), "173FC00000"),
        (axdr.float64(-2.0), "18C000000000000000"),
        (axdr.date_time(bytes(range(12))), "19000102030405060708090A0B"),
        (axdr.date(bytes(range(5))), "1A0001020304"),
        (axdr.time(bytes(range(4))), "1B00010203"),
        (axdr.delta_integer(-1), "1CFF"),
        (axdr.delta_long(-1), "1DFFFF"),
        (axdr.delta_double_long(-1), "1EFFFFFFFF"),
        (axdr.delta_unsigned(1), "1F01"),
        (axdr.delta_long_unsigned(1), "200001"),
        (axdr.delta_double_long_unsigned(1), "2100000001"),
        (axdr.dont_care(), "FF"),
    ],
)
def test_each_type(datum: Data, encoded: str) -> None:
    """Each type is written as the standard lays it out, and read back."""
    assert DATA.build(datum).hex().upper() == encoded
    assert DATA.parse(bytes.fromhex(encoded)) == datum


def test_every_tag_has_a_maker_and_a_body() -> None:
    """No type of the standard's list is without a maker, and every maker's tag is in the list."""
    named = {name: getattr(axdr, name) for name in axdr.__all__ if name.islower()}
    assert set(named) == {tag.name.lower() for tag in Tag}


def test_a_compact_array_by_hand() -> None:
    """19, a structure of (long-unsigned, array of 2 unsigned), 8 bytes: two elements without tags."""
    data = bytes.fromhex("13" + "0202" + "12" + "01000211" + "08" + "000A0102" + "000B0304")
    description = TypeDescription(2, (TypeDescription(18), TypeDescription(1, (TypeDescription(17),), 2)))
    elements = tuple(
        axdr.structure([axdr.long_unsigned(n), axdr.array([axdr.unsigned(a), axdr.unsigned(b)])])
        for n, a, b in ((10, 1, 2), (11, 3, 4))
    )
    assert DATA.parse(data) == Data(19, CompactArray(description, elements))
    assert DATA.build(axdr.compact_array(description, elements)) == data


def test_an_unneeded_long_length_is_read_and_not_written() -> None:
    """Deployed meters write 82 00 02 for 2; it is understood and comes back short."""
    assert DATA.parse(bytes.fromhex("098200020102")) == axdr.octet_string(b"\x01\x02")
    assert DATA.build(DATA.parse(bytes.fromhex("098200020102"))) == bytes.fromhex("09020102")


def nested(depth: int) -> bytes:
    return b"\x01\x01" * depth + b"\x00"


def test_nesting_is_bounded() -> None:
    """The deepest datum allowed is read; one deeper is refused in both directions, as is a thousand deep."""
    datum = DATA.parse(nested(MAX_DEPTH))
    assert DATA.build(datum) == nested(MAX_DEPTH)
    with pytest.raises(FrameError, match="nested"):
        DATA.parse(nested(MAX_DEPTH + 1))
    with pytest.raises(FrameError, match="nested"):
        DATA.build(axdr.array([datum]))
    with pytest.raises(FrameError, match="nested"):
        DATA.parse(nested(100_000))
    with pytest.raises(FrameError):
        DATA.parse(b"\x13" + b"\x01\xff\xff" * 5_000)


def test_a_count_without_items_costs_nothing() -> None:
    """Four billion items announced in six bytes are refused before any is made."""
    with pytest.raises(FrameError, match="values in one datum"):
        DATA.parse(bytes.fromhex("0184FFFFFFFF"))


def test_items_are_bounded() -> None:
    """More values than allowed are refused, spread over nested arrays too; as many as allowed are read."""
    inner = b"\x01\x82\xff\xff" + bytes(65_535)
    with pytest.raises(FrameError, match="values in one datum"):
        DATA.parse(b"\x01\x05" + inner * 5)
    count = MAX_ITEMS - 1
    most = b"\x01\x83" + count.to_bytes(3, "big") + bytes(count)
    assert len(DATA.parse(most).value) == count
    with pytest.raises(FrameError, match="values in one datum"):
        DATA.build(axdr.array([axdr.null()] * MAX_ITEMS))


def test_a_compact_array_cannot_multiply() -> None:
    """65,535 x 65,535 nulls described in a few bytes are refused; so are elements that take no room."""
    bomb = bytes.fromhex("13" + "0202" + "11" + "01FFFF01FFFF00" + "01" + "00")
    with pytest.raises(FrameError, match="values in one datum"):
        DATA.parse(bomb)
    with pytest.raises(FrameError, match="no size"):
        DATA.parse(bytes.fromhex("130001AA"))


def test_size_is_bounded() -> None:
    """A datum longer than four mebibytes is refused in both directions."""
    with pytest.raises(FrameError, match="oversized"):
        DATA.parse(bytes(MAX_BYTES + 1))
    with pytest.raises(FrameError, match="oversized"):
        DATA.build(axdr.octet_string(bytes(MAX_BYTES)))


@pytest.mark.parametrize(
    "datum",
    [
        axdr.unsigned(256),
        axdr.unsigned(-1),
        axdr.integer(128),
        axdr.long_unsigned(65_536),
        axdr.double_long(1 << 31),
        axdr.long64_unsigned(1 << 64),
        axdr.float32(1e300),
        axdr.bit_string("012"),
        axdr.visible_string("\u00a3"),
        axdr.date_time(bytes(11)),
        axdr.date(bytes(6)),
        axdr.time(bytes(3)),
        Data(7, b"abcd"),
        Data(300, None),
        Data(-1, None),
        Data(0, 5),
        Data(3, "yes"),
    ],
)
def test_out_of_range_is_refused(datum: Data) -> None:
    """A value its type cannot hold is refused when it is written."""
    with pytest.raises(FrameError):
        DATA.build(datum)


@pytest.mark.parametrize("encoded", ["07", "0A0180", "0C01FF", "0B0100", "", "09", "0980", "098500", "0404", "0201"])
def test_bytes_that_are_no_datum(encoded: str) -> None:
    """Unknown tags, text that does not decode, lengths of no form, and cuts."""
    with pytest.raises(FrameError):
        DATA.parse(bytes.fromhex(encoded))


def test_floats_that_are_no_numbers() -> None:
    """Infinities and NaN pass."""
    assert DATA.parse(bytes.fromhex("17FF800000")).value == -math.inf
    assert math.isnan(DATA.parse(b"\x18" + struct.pack(">d", math.nan)).value)
