"""Bytes that others published, field by field: the definitions read what the standard's neighbours wrote."""

from typing import Any

import pytest

from emulator.codecs.acse import (
    AARE,
    AARE_FRAME,
    AARQ,
    AARQ_FRAME,
    RLRE,
    RLRE_FRAME,
    RLRQ,
    RLRQ_FRAME,
    Context,
    Diagnostic,
    DiagnosticSource,
    Mechanism,
)
from emulator.codecs.action import ACTION_REQUEST, ACTION_RESPONSE, ActionRequest, ActionResponse, MethodRef
from emulator.codecs.axdr import octet_string
from emulator.codecs.catalogue import CATALOGUE
from emulator.codecs.exception import CONFIRMED_SERVICE_ERROR, ConfirmedServiceError
from emulator.codecs.get import GET_REQUEST, AttributeRef, GetRequest
from emulator.codecs.glo import GLO, PLAIN, Ciphered
from emulator.codecs.hdlc import HDLC, HDLC_FRAME, LLC_REQUEST, LLC_RESPONSE, SNRM, UA, address, address_numbers, crc
from emulator.codecs.initiate import (
    INITIATE_REQUEST,
    INITIATE_RESPONSE,
    Conformance,
    InitiateRequest,
    InitiateResponse,
)
from emulator.codecs.wrapper import WRAPPER


def published(frame: str, name: str) -> bytes:
    """A sample that was not made here."""
    (sample,) = [sample for sample in CATALOGUE[frame].samples if sample.name == name]
    assert sample.source != "made here"
    return sample.data


INITIATE = bytes.fromhex("01000000065F1F0400007E1F04B0")
INITIATED = bytes.fromhex("0800065F1F040000501F01F40007")
TITLE = bytes.fromhex("4D4D4D0000BC614E")
DEDICATED = bytes.fromhex("00112233445566778899AABBCCDDEEFF")


@pytest.mark.parametrize(
    ("frame", "name", "value"),
    [
        ("aarq", "no security", AARQ(Context.LN, None, None, None, INITIATE)),
        ("aarq", 'LLS "12345678"', AARQ(Context.LN, None, Mechanism.LLS, b"12345678", INITIATE)),
        ("aarq", 'HLS-GMAC "K56iVagY"', AARQ(Context.LN, None, Mechanism.HLS_GMAC, b"K56iVagY", INITIATE)),
        (
            "aare",
            "accepted",
            AARE(Context.LN, 0, DiagnosticSource.USER, 0, None, None, None, INITIATED),
        ),
        (
            "aare",
            "context refused",
            AARE(
                Context.LN,
                1,
                DiagnosticSource.USER,
                Diagnostic.APPLICATION_CONTEXT_NOT_SUPPORTED,
                None,
                None,
                None,
                INITIATED,
            ),
        ),
        (
            "aare",
            "bad DLMS version",
            AARE(
                Context.LN,
                1,
                DiagnosticSource.USER,
                Diagnostic.NO_REASON,
                None,
                None,
                None,
                bytes.fromhex("0E010601"),
            ),
        ),
        (
            "aare",
            'HLS challenge "P6wRJ21F"',
            AARE(
                Context.LN,
                0,
                DiagnosticSource.USER,
                Diagnostic.AUTHENTICATION_REQUIRED,
                None,
                Mechanism.HLS_GMAC,
                b"P6wRJ21F",
                INITIATED,
            ),
        ),
        ("rlrq", "normal", RLRQ(0, None)),
        ("rlre", "normal", RLRE(0, None)),
        ("initiate-request", "dedicated key", InitiateRequest(DEDICATED, True, None, 6, 0x007E1F, 1200)),
        ("initiate-response", "1024 bytes", InitiateResponse(None, 6, 0x007C1F, 1024, 7)),
        ("get-request", "clock", GetRequest(0, AttributeRef(8, bytes.fromhex("0000010000FF"), 2))),
        (
            "glo",
            "get, encrypted",
            Ciphered(0xC8, 0x20, 0x01234567, bytes.fromhex("411312FF935A47566827C467BC")),
        ),
        (
            "action-request",
            "reply to HLS",
            ActionRequest(
                0xC0,
                MethodRef(15, bytes.fromhex("0000280000FF"), 1),
                octet_string(bytes.fromhex("1000001A90E6D2221FA2FD85EED61ACC22")),
            ),
        ),
        (
            "action-response",
            "reply to HLS",
            ActionResponse(0xC0, 0, octet_string(bytes.fromhex("1000001AFDE8857B728A3499106AA665D1"))),
        ),
        ("confirmed-service-error", "DLMS version too low", ConfirmedServiceError(1, 6, 1)),
    ],
)
def test_published_bytes_mean_what_they_were_published_for(frame: str, name: str, value: Any) -> None:
    """Published bytes become the value their publisher gives, and the value becomes the bytes again."""
    data = published(frame, name)
    codec = CATALOGUE[frame].codec
    assert codec.parse(data) == value
    assert codec.build(value) == data


def test_a_ciphered_aarq_carries_a_ciphered_initiate() -> None:
    """The ciphered AARQ names the caller and holds the glo-InitiateRequest whose plain text has the dedicated key."""
    aarq = AARQ_FRAME.parse(published("aarq", "LN ciphered, LLS"))
    assert (aarq.context, aarq.calling_title, aarq.mechanism) == (Context.LN_CIPHERED, TITLE, Mechanism.LLS)
    assert aarq.user_information == published("glo", "initiate request")
    inner = GLO.parse(aarq.user_information)
    assert (inner.tag, inner.security_control, inner.invocation_counter) == (0x21, 0x30, 0x01234567)
    assert len(inner.text) == len(published("initiate-request", "dedicated key")) + 12
    assert PLAIN[inner.tag] == 0x01


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (
            0x007E1F,
            "PRIORITY ATTRIBUTE_0_WITH_GET BLOCK_TRANSFER_WITH_GET BLOCK_TRANSFER_WITH_SET BLOCK_TRANSFER_WITH_ACTION "
            "MULTIPLE_REFERENCES GET SET SELECTIVE_ACCESS EVENT_NOTIFICATION ACTION",
        ),
        (
            0x007C1F,
            "PRIORITY ATTRIBUTE_0_WITH_GET BLOCK_TRANSFER_WITH_GET BLOCK_TRANSFER_WITH_SET BLOCK_TRANSFER_WITH_ACTION "
            "GET SET SELECTIVE_ACCESS EVENT_NOTIFICATION ACTION",
        ),
        (0x00501F, "PRIORITY BLOCK_TRANSFER_WITH_GET GET SET SELECTIVE_ACCESS EVENT_NOTIFICATION ACTION"),
        (
            0x001E1D,
            "BLOCK_TRANSFER_WITH_GET BLOCK_TRANSFER_WITH_SET BLOCK_TRANSFER_WITH_ACTION MULTIPLE_REFERENCES GET SET "
            "SELECTIVE_ACCESS ACTION",
        ),
    ],
)
def test_conformance_bits(bits: int, names: str) -> None:
    """The conformance values that occur have the bits their publishers decode."""
    assert {flag.name for flag in Conformance(bits)} == set(names.split())


@pytest.mark.parametrize(
    ("name", "destination", "source", "control"),
    [
        ("SNRM", (1, 17), (16, None), SNRM),
        ("UA with parameters", (16, None), (1, 17), UA),
        ("I-frame, AARQ", (1, 17), (16, None), 0x10),
        ("I-frame, AARE", (16, None), (1, 17), 0x30),
    ],
)
def test_hdlc_addresses_and_control(
    name: str, destination: tuple[int, int | None], source: tuple[int, int | None], control: int
) -> None:
    """Published HDLC frames: length, both check sequences, addresses (logical 1, physical 17; client 16)."""
    frame = HDLC_FRAME.parse(published("hdlc", name))
    assert address_numbers(frame.destination) == destination
    assert address_numbers(frame.source) == source
    assert frame.control == control
    assert not frame.segmented
    assert address(*destination) == frame.destination


def test_apdus_inside_hdlc_are_the_published_ones() -> None:
    """Behind the LLC header of the published I-frames stand an AARQ and an AARE."""
    question = HDLC_FRAME.parse(published("hdlc", "I-frame, AARQ")).information
    answer = HDLC_FRAME.parse(published("hdlc", "I-frame, AARE")).information
    assert question.startswith(LLC_REQUEST)
    assert answer.startswith(LLC_RESPONSE)
    request = AARQ_FRAME.parse(question[3:])
    assert request.user_information is not None
    assert INITIATE_REQUEST.parse(request.user_information).max_pdu == 65_535
    response = AARE_FRAME.parse(answer[3:])
    assert response.user_information is not None
    assert INITIATE_RESPONSE.parse(response.user_information).max_pdu == 1224


def test_crc_check_value() -> None:
    """CRC-16/X.25 of "123456789" is 906E, the value its catalogue entry gives."""
    assert crc(b"123456789") == 0x906E


def test_four_byte_addresses() -> None:
    """The four-byte form carries 14 bits a part."""
    wire = address(0x1234, 0x2345, size=4)
    assert len(wire) == 4
    assert address_numbers(wire) == (0x1234, 0x2345)
    frame = HDLC(wire, address(16), 0x93, True, b"abc")
    assert HDLC_FRAME.parse(HDLC_FRAME.build(frame)) == frame


def test_wrapper_header() -> None:
    """The published header: version 1, from 1 to 1, 70 bytes."""
    frame = WRAPPER.parse(published("wrapper", "header of 70 bytes"))
    assert (frame.source, frame.destination, len(frame.payload)) == (1, 1, 70)
    assert WRAPPER.build(frame)[:8] == bytes.fromhex("0001000100010046")


def test_other_clients_optional_fields_are_stepped_over() -> None:
    """Called titles, invocation ids and implementation information change nothing in what is read."""
    (sample,) = [sample for sample in CATALOGUE["aarq"].samples if not sample.canonical]
    assert AARQ_FRAME.parse(sample.data) == AARQ(Context.LN)


def test_apdu_codecs_in_use() -> None:
    """Release, confirmed error and get round trip through the codecs others import, not only through the catalogue."""
    assert RLRQ_FRAME.build(RLRQ(0)) == bytes.fromhex("6203800100")
    assert RLRE_FRAME.build(RLRE(0)) == bytes.fromhex("6303800100")
    assert CONFIRMED_SERVICE_ERROR.build(ConfirmedServiceError(1, 6, 2)) == bytes.fromhex("0E010602")
    assert GET_REQUEST.build(GetRequest(0xC1, AttributeRef(1, bytes(6), 2)))[2] == 0xC1
    assert ACTION_REQUEST.parse(published("action-request", "reply to HLS")) != ACTION_RESPONSE.parse(
        published("action-response", "reply to HLS")
    )
