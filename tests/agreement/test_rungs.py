"""The rungs of every frame in the catalogue, held together: in value, in bytes and in refusal.

Nothing here knows a frame by name. Damage is done to the samples of whatever stands in the catalogue.
"""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.codecs.catalogue import CATALOGUE, Frame, Sample
from emulator.codecs.value import field_names
from emulator.errors import FrameError

FRAMES = list(CATALOGUE.values())
SAMPLES = [
    pytest.param(frame, sample, id=f"{frame.name}: {sample.name}") for frame in FRAMES for sample in frame.samples
]
every_frame = pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.name)
every_sample = pytest.mark.parametrize(("frame", "sample"), SAMPLES)

Outcome = tuple[str, Any]


def parsed(frame: Frame, rung: Any, data: bytes) -> Outcome:
    """What one rung makes of bytes: a value, or a refusal in the frame's own name. Anything else escapes and fails."""
    parse, _ = frame.codec.functions(rung)
    try:
        value = parse(data)
    except FrameError as refusal:
        well_said = refusal.codec == frame.name and refusal.reason and -1 <= refusal.offset <= len(data)
        return ("refused" if well_said else str(refusal)), None
    assert type(value) in frame.values
    return "value", value


def built(frame: Frame, rung: Any, value: Any) -> Outcome:
    _, build = frame.codec.functions(rung)
    try:
        data = build(value)
    except FrameError as refusal:
        return ("refused" if refusal.codec == frame.name else str(refusal)), None
    assert type(data) is bytes
    return "bytes", data


def agree_on_bytes(frame: Frame, data: bytes) -> bool:
    """Both rungs say the same of these bytes; what they accept survives the way there and back. True when accepted."""
    kind, value = parsed(frame, "construct", data)
    other_kind, other = parsed(frame, "fast", data)
    assert (kind, repr(value)) == (other_kind, repr(other)), data.hex()
    if kind == "refused":
        return False
    again = built(frame, "construct", value)
    assert again == built(frame, "fast", value), data.hex()
    assert again[0] == "bytes", data.hex()
    for rung in ("construct", "fast"):
        assert repr(parsed(frame, rung, again[1])) == repr(("value", value)), data.hex()
    return True


@every_sample
def test_every_sample_is_read_and_written_the_same(frame: Frame, sample: Sample) -> None:
    """Each rung reads a sample as the same value and writes that value as the sample's bytes."""
    assert agree_on_bytes(frame, sample.data)
    if sample.canonical:
        value = parsed(frame, "construct", sample.data)[1]
        assert built(frame, "fast", value) == ("bytes", sample.data)


@every_frame
def test_samples_show_every_form(frame: Frame) -> None:
    """No value type of a frame is without a sample."""
    assert {type(parsed(frame, "fast", sample.data)[1]) for sample in frame.samples} == set(frame.values)


@every_sample
def test_cut_at_every_length(frame: Frame, sample: Sample) -> None:
    """A frame cut anywhere is judged alike by the rungs."""
    for length in range(len(sample.data)):
        agree_on_bytes(frame, sample.data[:length])


@every_sample
def test_bent_at_every_byte(frame: Frame, sample: Sample) -> None:
    """A frame with one byte changed is judged alike, byte by byte."""
    for at in range(len(sample.data)):
        old = sample.data[at]
        for new in {0, 1, 2, 0x7F, 0x80, 0x81, 0x84, 0xFF, old ^ 1, old ^ 0x80, (old + 1) & 0xFF} - {old}:
            agree_on_bytes(frame, sample.data[:at] + bytes([new]) + sample.data[at + 1 :])


@every_sample
def test_bytes_appended(frame: Frame, sample: Sample) -> None:
    """A frame with bytes behind it is judged alike."""
    for tail in (b"\0", b"\xff", b"\x7e", sample.data):
        agree_on_bytes(frame, sample.data + tail)


@every_frame
def test_oversized_is_refused(frame: Frame) -> None:
    """What is longer than a frame of its kind may be is refused on every rung, whatever it holds."""
    for data in (bytes(frame.codec.limit + 1), frame.samples[0].data + bytes(frame.codec.limit)):
        assert not agree_on_bytes(frame, data)


@every_frame
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_damage(frame: Frame, data: st.DataObject) -> None:
    """Cuts, insertions, changes and foreign pieces in any mixture are judged alike."""
    pieces = [sample.data for sample in frame.samples]
    body = bytearray(data.draw(st.sampled_from(pieces)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        match data.draw(st.sampled_from(["change", "cut", "insert", "drop", "graft"])):
            case "change" if at < len(body):
                body[at] = data.draw(st.integers(0, 255))
            case "cut":
                del body[at:]
            case "insert":
                body[at:at] = data.draw(st.binary(max_size=4))
            case "drop":
                del body[at : at + data.draw(st.integers(1, 8))]
            case "graft":
                other = data.draw(st.sampled_from(pieces))
                body[at:] = other[min(at, len(other)) :]
    agree_on_bytes(frame, bytes(body))


@every_frame
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(noise=st.binary(max_size=64))
def test_noise(frame: Frame, noise: bytes) -> None:
    """Noise, and noise behind a true beginning, is judged alike."""
    agree_on_bytes(frame, noise)
    for sample in frame.samples[:2]:
        agree_on_bytes(frame, sample.data[:3] + noise)


@pytest.mark.slow
@every_frame
def test_a_great_deal_of_damage(frame: Frame) -> None:
    """Twenty thousand damaged frames of each kind, from a fixed seed."""
    chance = random.Random(f"damage|{frame.name}")
    pieces = [sample.data for sample in frame.samples]
    for _ in range(20_000):
        body = bytearray(chance.choice(pieces))
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(body) + 1)
            kind = chance.randrange(4)
            if kind == 0 and at < len(body):
                body[at] = chance.choice((0, 1, 2, 6, 9, 19, 0x7F, 0x80, 0x81, 0x82, 0xFF, chance.randrange(256)))
            elif kind == 1:
                del body[at : at + chance.randint(1, 9)]
            elif kind == 2:
                body[at:at] = chance.randbytes(chance.randint(1, 5))
            elif kind == 3:
                other = chance.choice(pieces)
                body[at:] = other[min(at, len(other)) :]
        agree_on_bytes(frame, bytes(body))


ODD: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 127, 128, 255, 256, 65_535, 65_536, (1 << 24), (1 << 32) - 1, 1 << 32, 1 << 64, -129, -(1 << 70)),
    *(
        None,
        True,
        1.5,
        float("inf"),
        "",
        "x",
        "02",
        "\N{SNOWMAN}",
        "\ud800",
        b"",
        b"x",
        bytes(6),
        bytes(12),
        bytes(70_000),
    ),
    *((), (None,), [], object()),
)


def bent_values(value: Any) -> Iterator[Any]:
    """The value with one part of it replaced by something odd, for every part and every oddity."""
    if isinstance(value, msgspec.Struct):
        for name in field_names(type(value)):
            for part in bent_values(getattr(value, name)):
                yield msgspec.structs.replace(value, **{name: part})
        return
    if isinstance(value, tuple):
        for i, item in enumerate(value):
            for part in bent_values(item):
                changed = (*value[:i], part, *value[i + 1 :])
                yield type(value)(*changed) if hasattr(value, "_fields") else changed
    yield from ODD


@every_sample
def test_values_out_of_range_are_refused_alike(frame: Frame, sample: Sample) -> None:
    """A value with one part out of range or of the wrong type is written alike or refused alike, never worse."""
    value = parsed(frame, "construct", sample.data)[1]
    for n, bent in enumerate(bent_values(value)):
        if n >= 6_000:
            break
        outcome = built(frame, "construct", bent)
        assert outcome == built(frame, "fast", bent), repr(bent)[:400]
        if outcome[0] == "bytes":
            assert parsed(frame, "construct", outcome[1])[0] == "value", repr(bent)[:400]


@every_frame
def test_a_foreign_value_is_refused(frame: Frame) -> None:
    """A codec given something that is no value of its frame refuses it on every rung."""
    for value in (None, 5, b"bytes", "text", object(), (), frame):
        for rung in ("construct", "fast"):
            assert built(frame, rung, value) == ("refused", None)
