"""COSEM values as JSON: what goes out tagged comes back the same; what is not a value is refused with its place."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.codecs.axdr import (
    Data,
    Tag,
    array,
    bit_string,
    boolean,
    date_time,
    enum,
    float64,
    long64,
    long_unsigned,
    null,
    octet_string,
    structure,
    visible_string,
)
from emulator.control import values
from emulator.control.errors import WrongFieldError

LEAVES = st.one_of(
    st.just(null()),
    st.booleans().map(boolean),
    st.integers(0, 0xFFFF).map(long_unsigned),
    st.integers(-(2**63), 2**63 - 1).map(long64),
    st.integers(0, 255).map(enum),
    st.binary(max_size=20).map(octet_string),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(visible_string),
    st.text("01", max_size=12).map(bit_string),
    st.floats(allow_nan=False, allow_infinity=False).map(float64),
    st.binary(min_size=12, max_size=12).map(date_time),
)
DATA = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=4).map(structure), st.lists(inner, max_size=3).map(array))
)


@settings(max_examples=150, deadline=None)
@given(DATA)
def test_tagged_json_comes_back_as_the_same_datum(data: Data) -> None:
    """Through real JSON text, every datum is itself again, and its plain form is JSON too."""
    assert values.datum(json.loads(json.dumps(values.tagged(data)))) == data
    json.dumps(values.plain(data))


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (30, "value"),
        ({"long-unsigned": 30, "enum": 1}, "value"),
        ({"longer": 1}, "value"),
        ({"long-unsigned": 65_536}, "value"),
        ({"long-unsigned": True}, "value.long-unsigned"),
        ({"octet-string": "0g"}, "value.octet-string"),
        ({"octet-string": 7}, "value.octet-string"),
        ({"structure": {"enum": 1}}, "value.structure"),
        ({"structure": [None, {"array": [{"boolean": 1}]}]}, "value.structure[1].array[0].boolean"),
        ({"compact-array": []}, "value"),
        ({"date-time": "00"}, "value"),
        ({"bit-string": "012"}, "value"),
    ],
)
def test_what_is_no_value_is_refused_where_it_stands(value: Any, where: str) -> None:
    """The refusal names the place inside the value."""
    with pytest.raises(WrongFieldError) as caught:
        values.datum(value)
    assert caught.value.where == where


def test_depth_is_bounded() -> None:
    """A value nested a thousand times is refused, not followed."""
    value: Any = None
    for _ in range(1_000):
        value = {"structure": [value]}
    with pytest.raises(WrongFieldError, match="deep"):
        values.datum(value)
    assert Tag.STRUCTURE == 2
