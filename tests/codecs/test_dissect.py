"""The dissector: every frame has a tree, every layer opens into the next, and broken parts say why."""

import json
from typing import Any

import pytest

from emulator.codecs import axdr, names
from emulator.codecs.catalogue import BY_TAG, CATALOGUE, Frame, Sample
from emulator.codecs.data_notification import DATA_NOTIFICATION, DataNotification
from emulator.codecs.dissect import Node, dissect, recognise
from emulator.codecs.get import GET_RESPONSE, GetResponse
from emulator.codecs.glo import PLAIN
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.errors import FrameError

FRAMES = list(CATALOGUE.values())
SAMPLES = [
    pytest.param(frame, sample, id=f"{frame.name}: {sample.name}") for frame in FRAMES for sample in frame.samples
]
GET = bytes.fromhex("C001C100030100010800FF0200")


def flat(node: Node) -> list[tuple[str, str, str]]:
    return [(node.name, node.value, node.meaning), *(line for child in node.children for line in flat(child))]


def find(node: Node, name: str) -> tuple[str, str]:
    """Value and meaning of the first node of that name."""
    for label, value, meaning in flat(node):
        if label == name:
            return value, meaning
    raise AssertionError(f"no {name} in {node}")


@pytest.mark.parametrize(("frame", "sample"), SAMPLES)
def test_every_sample_has_a_tree(frame: Frame, sample: Sample) -> None:
    """Each sample is shown under its own name, and as JSON; without being told, most are recognised."""
    node = dissect(sample.data, kind=frame.name)
    assert json.loads(json.dumps(node.as_json()))["name"] == node.name
    if frame.name != "data":
        assert node.name == frame.title
        assert node.children or len(sample.data) == 2  # an empty release has nothing to show
    if frame.name not in ("esp", "icmp", "tcp", "udp", "ike-payloads"):  # these have no mark of their own
        assert frame.name in recognise(sample.data) or frame.name == "mpls"


@pytest.mark.parametrize(("frame", "sample"), SAMPLES)
def test_damage_never_escapes(frame: Frame, sample: Sample) -> None:
    """Cut or bent bytes give a tree or a FrameError, whatever they are taken for."""
    for at in range(len(sample.data)):
        for data in (sample.data[:at], sample.data[:at] + bytes([sample.data[at] ^ 0xFF]) + sample.data[at + 1 :]):
            for kind in (None, frame.name):
                try:
                    dissect(data, kind=kind).as_json()
                except FrameError:
                    continue


def test_every_apdu_tag_is_known() -> None:
    """Each tag belongs to one frame, every ciphered tag among them."""
    assert sum(len(frame.tags) for frame in FRAMES) == len(BY_TAG)
    assert set(PLAIN) <= set(BY_TAG)
    assert all(names.ciphered(tag) for tag in PLAIN)
    assert names.ciphered(0xC8) == "glo-get-request"
    assert names.ciphered(0xD7) == "ded-action-response"
    assert names.ciphered(0x41) == "ded-initiate-request"


def layers() -> bytes:
    wrapped = WRAPPER.build(Wrapper(1, 16, GET))
    datagram = UDP_FRAME.build(UDP(4059, 4059, 0, wrapped))
    packet = IPV4_FRAME.build(IPv4(0x0A000001, 0x0A000002, 17, 1, 64, datagram))
    return MPLS_FRAME.build(MPLS((Label(100, 0, 64), Label(200, 0, 64)), packet))


def test_layers_open_into_one_another() -> None:
    """MPLS, IPv4, UDP, wrapper and GET stand inside one another, with the names people use."""
    node = dissect(layers())
    titles = [label for label, _, _ in flat(node)]
    order = [CATALOGUE[name].title for name in ("mpls", "ipv4", "udp", "wrapper", "get-request")]
    assert [title for title in titles if title in order] == order
    assert find(node, "class id") == ("3", "Register")
    assert find(node, "logical name") == ("0100010800FF", "1-0:1.8.0*255")
    assert find(node, "protocol") == ("17", "UDP")
    assert find(node, "destination") == ("167772162", "10.0.0.2")


def test_a_broken_part_says_why_and_the_rest_stands() -> None:
    """A payload that is no frame is shown as bytes with the reason."""
    node = dissect(WRAPPER.build(Wrapper(1, 16, GET[:-1])))
    assert find(node, "source") == ("1", "")
    value, meaning = find(node, "APDU")
    assert value == GET[:-1].hex().upper()
    assert "not a valid get-request" in meaning
    assert "begins with 99" in find(dissect(WRAPPER.build(Wrapper(1, 16, b"\x99"))), "APDU")[1]


def test_a_stream_of_wrapper_frames() -> None:
    """Coalesced frames are shown one by one, and what is left of a cut one after them."""
    one = WRAPPER.build(Wrapper(1, 16, GET))
    node = dissect(one + one + one[:9])
    assert [child.name for child in node.children] == ["COSEM wrapper", "COSEM wrapper", "rest"]
    assert node.children[2].value == one[:9].hex().upper()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no bytes"),
        (bytes.fromhex("7EA02C"), "not a valid hdlc"),
        (bytes.fromhex("0001000100010005AA"), "not a valid wrapper"),
        (bytes.fromhex("C0010000080000"), "not a valid get-request"),
        (b"\x99\x99", "99 begins none that is known"),
    ],
)
def test_what_is_no_frame(data: bytes, text: str) -> None:
    """Bytes that are nothing known are refused in the name of what they look like."""
    with pytest.raises(FrameError, match=text):
        dissect(data)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (GetResponse(0xC1, 4), ("4", "object undefined")),
        (
            GetResponse(0xC1, axdr.octet_string(bytes.fromhex("0000010000FF"))),
            ("0000010000FF", "octet-string, 0-0:1.0.0*255"),
        ),
        (
            GetResponse(0xC1, axdr.octet_string(bytes.fromhex("07E407010300000000FFC400"))),
            ("07E407010300000000FFC400", "octet-string, 2020-07-01 00:00:00 UTC+01:00"),
        ),
        (GetResponse(0xC1, axdr.visible_string("ELS")), ("'ELS'", "visible-string")),
        (GetResponse(0xC1, axdr.bit_string("01")), ("01", "bit-string")),
    ],
)
def test_results_and_data_have_names(value: Any, text: tuple[str, str]) -> None:
    """Data-access results by name, octet strings as what they may well be."""
    assert find(dissect(GET_RESPONSE.build(value)), "result") == text


def test_nested_data() -> None:
    """Arrays and structures become branches with their sizes."""
    body = axdr.structure([axdr.long_unsigned(0x8F1D), axdr.array([axdr.null()] * 3)])
    node = dissect(DATA_NOTIFICATION.build(DataNotification(1, b"", body)))
    branch = next(child for child in node.children if child.name == "body")
    assert branch.meaning == "structure of 2"
    assert [child.meaning for child in branch.children] == ["long-unsigned", "array of 3"]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("07E40302010C1E0F00000000", "2020-03-02 12:30:15 UTC"),
        ("07E40302010C1E0F32800081", "2020-03-02 12:30:15.50, clock status 81"),
        ("FFFFFFFFFFFF0000FF8000FF", "****-**-** **:00:00"),
        ("07E40D02010C1E0F00000000", ""),
        ("000000000000000000000000", ""),
    ],
)
def test_date_times(moment: str, text: str) -> None:
    """COSEM moments as text, unspecified parts as stars; what cannot be one stays bytes."""
    assert names.date_time(bytes.fromhex(moment)) == text


@pytest.mark.parametrize(
    ("control", "text"),
    [
        (0x93, "SNRM"),
        (0x10, "I, send 0, receive 0, final"),
        (0x51, "RR, receive 2"),
        (0x32, "I, send 1, receive 1, final"),
    ],
)
def test_hdlc_controls(control: int, text: str) -> None:
    """Supervisory and information frames show their numbers."""
    assert names.hdlc_control(control) == text
