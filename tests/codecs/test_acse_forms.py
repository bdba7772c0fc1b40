"""ACSE frames of a known form: packed and unpacked in one step as the walk over their fields has them."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emulator.codecs.acse import AARE, AARE_FRAME, AARQ, AARQ_FRAME, RLRE, RLRE_FRAME, RLRQ, RLRQ_FRAME
from emulator.codecs.codec import Codec
from emulator.errors import FrameError

_titles = st.sampled_from([b"", b"ELS\0\0\0\0\1", bytes(range(8))])
_strings = st.one_of(st.binary(max_size=24), st.binary(min_size=120, max_size=132))
_small = st.integers(0, 3)
_aarqs = st.builds(AARQ, _small, _titles, st.none() | _small, _strings, _strings)
_aares = st.builds(AARE, _small, _small, st.integers(1, 2), _small, _titles, st.none() | _small, _strings, _strings)
_releases = st.sampled_from([RLRQ, RLRE]).flatmap(lambda kind: st.builds(kind, st.none() | _small, _strings))
_CODECS: dict[type, Codec[Any]] = {AARQ: AARQ_FRAME, AARE: AARE_FRAME, RLRQ: RLRQ_FRAME, RLRE: RLRE_FRAME}


@given(
    value=st.one_of(_aarqs, _aares, _releases), bend=st.integers(0, 400), bit=st.integers(0, 7), cut=st.integers(0, 9)
)
@example(value=AARQ(3, b"ELS\0\0\0\0\1", 5, bytes(16), bytes(31)), bend=0, bit=0, cut=0)
def test_a_known_form_is_read_and_refused_as_the_definition_does(
    value: AARQ | AARE | RLRQ | RLRE, bend: int, bit: int, cut: int
) -> None:
    codec = _CODECS[type(value)]
    parse, build = codec.functions("fast")
    slow_parse, slow_build = codec.functions("construct")
    frame = slow_build(value)
    assert build(value) == frame  # its form is known from here on
    assert build(value) == frame
    assert parse(frame) == value
    bent = bytearray(frame)
    bent[bend % len(bent)] ^= 1 << bit
    for damaged in (bytes(bent), frame[: len(frame) - cut], frame + bytes(cut)):
        try:
            expected = slow_parse(damaged)
        except FrameError:
            with pytest.raises(FrameError):
                parse(damaged)
        else:
            assert parse(damaged) == expected


def test_forms_hold_no_string_and_end_somewhere() -> None:
    from emulator.codecs.fast import acse

    _, build = AARQ_FRAME.functions("fast")
    for length in range(200):
        build(AARQ(1, b"SECRETLY", 5, bytes([0xA5]) * length, b"\x5a" * 40))
    assert len(acse._AARQS.by_lengths) <= acse._FORMS_MOST
    pieces = b"".join(b"".join(each[1]) for each in acse._AARQS.by_lengths.values())
    assert b"SECRETLY" not in pieces
    assert b"\xa5\xa5" not in pieces
    assert b"\x5a\x5a" not in pieces
