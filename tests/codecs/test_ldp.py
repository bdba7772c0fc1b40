"""LDP's corners that samples and damage do not show: streams, prefixes, and what the dissector says of it."""

import pytest

from emulator.codecs.catalogue import CATALOGUE
from emulator.codecs.dissect import Node, dissect, recognise
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.ldp import FATAL, LABEL_MAPPING, LDP, LDP_FRAME, NOTIFICATION, Message, split
from emulator.codecs.ldp_tlvs import FEC, GenericLabel, OtherElement, Prefix, Status, UnknownTLV, Wildcard
from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.errors import FrameError

ROUTER = 0x0A000001
PDUS = [sample.data for sample in CATALOGUE["ldp"].samples]


def pdu(*parts: object, kind: int = LABEL_MAPPING) -> bytes:
    return LDP_FRAME.build(LDP(ROUTER, 0, (Message(kind, 1, parts),)))


@pytest.mark.parametrize("piece", [1, 3, 17, 1000])
def test_a_stream_is_cut_into_its_pdus(piece: int) -> None:
    """Whatever pieces TCP brings it in."""
    stream, found, rest = b"".join(PDUS), [], b""
    for at in range(0, len(stream), piece):
        whole, rest = split(rest + stream[at : at + piece])
        found += whole
    assert (found, rest) == (PDUS, b"")


@pytest.mark.parametrize(
    ("stream", "why"),
    [(b"\0\2\0\6", "version 2"), (b"\0\1\0\5", "a PDU of 9 bytes"), (b"\0\1\x10\x01", "a PDU of 4101 bytes")],
)
def test_a_stream_that_cannot_go_on_is_refused_at_once(stream: bytes, why: str) -> None:
    """As soon as the first four bytes of a PDU say so, after those that were whole."""
    with pytest.raises(FrameError, match=why) as refused:
        split(PDUS[0] + stream, 4100)
    assert refused.value.offset >= len(PDUS[0])


@pytest.mark.parametrize(
    ("length", "wire"), [(0, ""), (1, "80"), (8, "0A"), (9, "0A80"), (24, "0A0102"), (32, "0A010203")]
)
def test_a_prefix_takes_the_bytes_that_it_needs(length: int, wire: str) -> None:
    address = int.from_bytes(bytes.fromhex(wire).ljust(4, b"\0"), "big")
    data = pdu(FEC((Prefix(1, length, address),)), GenericLabel(16))
    assert bytes.fromhex(f"020001{length:02X}{wire}02000004") in data
    assert LDP_FRAME.parse(data).messages[0].parts[0] == FEC((Prefix(1, length, address),))


@pytest.mark.parametrize(
    "elements",
    [
        (), (Prefix(1, 33, 0),), (Prefix(3, 8, 0),), (Prefix(1, 8, 0x0A010000),), (Prefix(1, 32, 1 << 32),),
        (OtherElement(128, b""), Wildcard()), (OtherElement(2, b""),), (OtherElement(256, b""),), (None,),
    ],
)  # fmt: skip
def test_a_fec_that_cannot_be_is_not_written(elements: tuple[object, ...]) -> None:
    with pytest.raises(FrameError):
        pdu(FEC(elements))


def test_unknown_tlvs_keep_their_bits_and_cannot_pose_as_known() -> None:
    for silent in (False, True):
        for forward in (False, True):
            part = UnknownTLV(0x1234, silent, forward, b"x")
            assert LDP_FRAME.parse(pdu(part)).messages[0].parts == (part,)
    with pytest.raises(FrameError):
        pdu(UnknownTLV(0x0200, True, False, bytes(4)))


def texts(node: Node) -> list[str]:
    return [
        f"{node.name} {node.value} {node.meaning}".strip(),
        *(line for each in node.children for line in texts(each)),
    ]


def test_the_dissector_names_messages_and_statuses() -> None:
    shown = texts(dissect(pdu(Status(FATAL | 0x14, 2, 0x0200), kind=NOTIFICATION)))
    assert "router 167772161 10.0.0.1" in shown
    assert "kind 1 notification" in shown
    assert f"code {FATAL | 0x14} keepalive timer expired, fatal" in shown
    assert any(line.endswith("Status") for line in shown)


def test_pdus_and_wrapper_frames_are_told_apart() -> None:
    """They begin alike: the length that is true decides, and the wrapper wins where both are."""
    for data in PDUS:
        assert recognise(data)[0] == "ldp"
        assert dissect(data).name == "LDP PDU"
    assert dissect(WRAPPER.build(Wrapper(1, 16, bytes.fromhex("C001C100080000010000FF0200")))).name == "COSEM wrapper"
    both = WRAPPER.build(Wrapper(17, 16, bytes(13)))
    assert recognise(both)[:2] == ["wrapper", "ldp"]


def test_labels_and_ldp_are_found_inside_udp_and_ip() -> None:
    """Ports 6635 and 646, protocol 137."""
    inner = IPV4_FRAME.build(IPv4(1, 2, 17, 0, 64, UDP_FRAME.build(UDP(4059, 4059, 0, b""))))
    stack = MPLS_FRAME.build(MPLS((Label(100, 0, 64), Label(200, 0, 64)), inner))
    for protocol, payload in (
        (137, stack),
        (17, UDP_FRAME.build(UDP(49_152, 6635, 0, stack))),
        (17, UDP_FRAME.build(UDP(646, 646, 0, PDUS[0]))),
    ):
        names = [
            line.split(" ", 1)[0] for line in texts(dissect(IPV4_FRAME.build(IPv4(1, 2, protocol, 0, 64, payload))))
        ]
        assert ("MPLS" in names) is (payload is not None and stack in payload)
        assert ("LDP" in names) is (PDUS[0] in payload)
