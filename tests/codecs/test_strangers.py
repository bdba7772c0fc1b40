"""Independent implementations read what we build and write what we read: dlms-cosem 21.3.2, Gurux and scapy.

Where a stranger is known not to implement a form, the form is not asked of it; what is asked must hold exactly.
"""

from importlib import import_module
from typing import Any

import pytest

from emulator.codecs import axdr
from emulator.codecs.axdr import DATA, TypeDescription
from emulator.codecs.catalogue import CATALOGUE
from emulator.codecs.esp import ESP, ESP_FRAME
from emulator.codecs.get import GET_REQUEST, AttributeRef, GetRequest, GetRequestList
from emulator.codecs.hdlc import HDLC, HDLC_FRAME, LLC_REQUEST, SNRM, UA, address
from emulator.codecs.initiate import INITIATE_REQUEST, Conformance, InitiateRequest
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.codecs.udp import UDP, UDP_FRAME, checksum

pytestmark = pytest.mark.stranger


def stranger(name: str) -> Any:
    """A module of someone else's; a skip where it is not installed (which `conftest` may turn into a failure)."""
    try:
        return import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


PWITAB = "dlms_cosem.protocol."


@pytest.mark.parametrize(
    ("frame", "theirs", "names"),
    [
        (
            "aarq",
            "acse:ApplicationAssociationRequest",
            ["no security", 'LLS "12345678"', 'HLS-GMAC "K56iVagY"', "LN ciphered, LLS"],
        ),
        (
            "aare",
            "acse:ApplicationAssociationResponse",
            [
                "accepted",
                "context refused",
                "bad DLMS version",
                'HLS challenge "P6wRJ21F"',
                "provider, responding title",
            ],
        ),
        ("rlrq", "acse:ReleaseRequest", ["normal"]),
        ("rlre", "acse:ReleaseResponse", ["normal"]),
        ("initiate-request", "xdlms:InitiateRequest", ["dedicated key", "plain"]),
        ("initiate-response", "xdlms:InitiateResponse", ["1024 bytes", "500 bytes"]),
        ("get-request", "xdlms:GetRequestFactory", ["clock", "signed attribute", "next", "empty list"]),
        (
            "get-response",
            "xdlms:GetResponseFactory",
            ["object undefined", "block", "empty last block", "block refused"],
        ),
        ("set-request", "xdlms:SetRequestFactory", ["boolean"]),
        ("set-response", "xdlms:SetResponseFactory", ["success", "other reason"]),
        (
            "action-request",
            "xdlms:ActionRequestFactory",
            ["reply to HLS", "no parameters, signed method", "execute script"],
        ),
        (
            "action-response",
            "xdlms:ActionResponseFactory",
            ["reply to HLS", "success", "denied", "data access result"],
        ),
        ("exception-response", "xdlms:ExceptionResponse", ["operation not possible", "deciphering error"]),
        (
            "confirmed-service-error",
            "xdlms:ConfirmedServiceError",
            ["DLMS version too low", "incompatible conformance"],
        ),
        ("data-notification", "xdlms:DataNotification", ["alert, no date-time"]),
        ("general-glo", "xdlms:GeneralGlobalCipher", ["eight-byte title"]),
        ("glo", "xdlms.initiate_request:GlobalCipherInitiateRequest", ["initiate request"]),
        ("glo", "xdlms.initiate_response:GlobalCipherInitiateResponse", ["initiate response"]),
        ("wrapper", "wrappers:WrapperProtocolDataUnit", ["header of 70 bytes", "empty", "a get request"]),
    ],
)
def test_dlms_cosem_reads_and_writes_our_apdus(frame: str, theirs: str, names: list[str]) -> None:
    """dlms-cosem parses what our codec builds, builds it again byte for byte, and our codec reads that."""
    module, name = theirs.split(":")
    kind = getattr(stranger(PWITAB + module), name)
    codec = CATALOGUE[frame].codec
    samples = {sample.name: sample.data for sample in CATALOGUE[frame].samples}
    for name in names:
        value = codec.parse(samples[name])
        written = kind.from_bytes(codec.build(value)).to_bytes()
        assert codec.parse(bytes(written)) == value, name
        assert bytes(written) == samples[name], name


def test_dlms_cosem_means_the_same_fields() -> None:
    """Fields carry over by name and not only as bytes: class, name, attribute, invoke id, key, conformance, size."""
    xdlms = stranger("dlms_cosem.protocol.xdlms")
    reference = AttributeRef(3, bytes((1, 0, 1, 8, 0, 255)), 2)
    theirs = xdlms.GetRequestFactory.from_bytes(GET_REQUEST.build(GetRequest(0xC5, reference)))
    assert int(theirs.cosem_attribute.interface) == 3
    assert theirs.cosem_attribute.instance.to_bytes() == reference.logical_name
    assert theirs.cosem_attribute.attribute == 2
    priority = theirs.invoke_id_and_priority
    assert (priority.invoke_id, priority.confirmed, priority.high_priority) == (5, True, True)

    ours = InitiateRequest(bytes(range(16)), True, None, 6, Conformance.GET | Conformance.ACTION, 1200)
    initiate = xdlms.InitiateRequest.from_bytes(INITIATE_REQUEST.build(ours))
    assert initiate.dedicated_key == ours.dedicated_key
    assert initiate.client_max_receive_pdu_size == 1200
    assert initiate.proposed_conformance.get
    assert initiate.proposed_conformance.action
    assert not initiate.proposed_conformance.set


def test_dlms_cosem_builds_what_we_read() -> None:
    """Requests made with dlms-cosem's own objects become our values."""
    xdlms = stranger("dlms_cosem.protocol.xdlms")
    cosem = stranger("dlms_cosem.cosem")
    enumerations = stranger("dlms_cosem.enumerations")
    clock = cosem.CosemAttribute(
        interface=enumerations.CosemInterface.CLOCK, instance=cosem.Obis(0, 0, 1, 0, 0, 255), attribute=2
    )
    ours = AttributeRef(8, bytes((0, 0, 1, 0, 0, 255)), 2)
    assert GET_REQUEST.parse(bytes(xdlms.GetRequestNormal(cosem_attribute=clock).to_bytes())).attribute == ours  # type: ignore[union-attr]
    selection = stranger("dlms_cosem.cosem.attribute_with_selection").CosemAttributeWithSelection(clock, None)
    many = xdlms.GetRequestWithList(cosem_attributes_with_selection=[selection, selection])
    parsed = GET_REQUEST.parse(bytes(many.to_bytes()))
    assert isinstance(parsed, GetRequestList)
    assert parsed.attributes == (ours, ours)


def gurux_value(encoded: bytes) -> tuple[Any, int]:
    """What Gurux reads, and how far it reads."""
    gurux = stranger("gurux_dlms")
    common = stranger("gurux_dlms.internal._GXCommon")._GXCommon
    information = stranger("gurux_dlms.internal._GXDataInfo")._GXDataInfo()
    buffer = gurux.GXByteBuffer(encoded)
    value = common.getData(gurux.GXDLMSSettings(False, None), buffer, information)
    return value, buffer.position


@pytest.mark.parametrize(
    ("datum", "value"),
    [
        (axdr.null(), None),
        (axdr.boolean(True), True),
        (axdr.double_long(-5), -5),
        (axdr.double_long_unsigned(4_000_000_000), 4_000_000_000),
        (axdr.octet_string(bytes(200)), bytes(200)),
        (axdr.visible_string("ELS5000001"), "ELS5000001"),
        (axdr.bcd(5), 5),
        (axdr.integer(-3), -3),
        (axdr.long(-300), -300),
        (axdr.unsigned(200), 200),
        (axdr.long_unsigned(60_000), 60_000),
        (axdr.long64(-1), -1),
        (axdr.long64_unsigned(1 << 63), 1 << 63),
        (axdr.enum(7), 7),
        (axdr.float32(1.5), 1.5),
        (axdr.float64(-0.1), -0.1),
        (axdr.structure([axdr.enum(3), axdr.array([axdr.long(-2), axdr.long(4)])]), [3, [-2, 4]]),
        (axdr.compact_array(TypeDescription(18), [axdr.long_unsigned(1), axdr.long_unsigned(2)]), [1, 2]),
        (
            axdr.compact_array(
                TypeDescription(2, (TypeDescription(18), TypeDescription(17))),
                [axdr.structure([axdr.long_unsigned(n), axdr.unsigned(3)]) for n in (1, 2)],
            ),
            [[1, 3], [2, 3]],
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_gurux_reads_our_data(datum: axdr.Data, value: Any) -> None:
    """Gurux reads each of our data as the same value and to the same end, compact arrays among them."""
    encoded = DATA.build(datum)
    assert gurux_value(encoded) == (value, len(encoded))


@pytest.mark.parametrize(
    ("kind", "value", "datum"),
    [
        ("UINT8", 7, axdr.unsigned(7)),
        ("INT8", -3, axdr.integer(-3)),
        ("UINT16", 9, axdr.long_unsigned(9)),
        ("INT16", -9, axdr.long(-9)),
        ("UINT32", 1, axdr.double_long_unsigned(1)),
        ("INT32", -5, axdr.double_long(-5)),
        ("UINT64", 1 << 63, axdr.long64_unsigned(1 << 63)),
        ("INT64", -7, axdr.long64(-7)),
        ("FLOAT32", 1.5, axdr.float32(1.5)),
        ("FLOAT64", 2.5, axdr.float64(2.5)),
        ("BITSTRING", "0101", axdr.bit_string("0101")),
        ("OCTET_STRING", b"abc", axdr.octet_string(b"abc")),
        ("STRING", "ELS", axdr.visible_string("ELS")),
        ("STRING_UTF8", "\u00a3", axdr.utf8_string("\u00a3")),
        ("BOOLEAN", True, axdr.boolean(True)),
        ("ENUM", 3, axdr.enum(3)),
        ("NONE", None, axdr.null()),
    ],
)
def test_we_read_gurux_data(kind: str, value: Any, datum: axdr.Data) -> None:
    """What Gurux writes for a value is the datum our makers make."""
    gurux = stranger("gurux_dlms")
    common = stranger("gurux_dlms.internal._GXCommon")._GXCommon
    kinds = stranger("gurux_dlms.enums").DataType
    buffer = gurux.GXByteBuffer()
    common.setData(gurux.GXDLMSSettings(False, None), buffer, getattr(kinds, kind), value)
    assert DATA.parse(bytes(buffer.array())) == datum
    assert DATA.build(datum) == bytes(buffer.array())


@pytest.mark.parametrize(
    ("frame", "names"),
    [
        ("get-request", ["range descriptor", "signed attribute", "next"]),
        ("get-response", ["number", "object undefined", "half-hours", "block", "empty last block"]),
        ("set-request", ["first block", "later block", "list"]),
        ("set-response", ["success", "other reason", "block"]),
        ("action-request", ["no parameters, signed method", "execute script"]),
        ("action-response", ["data access result"]),
        ("data-notification", ["alert, no date-time"]),
        ("exception-response", ["operation not possible"]),
        ("aare", ["bad DLMS version"]),
    ],
)
def test_gurux_translates_our_apdus_and_back(frame: str, names: list[str]) -> None:
    """Gurux turns our APDUs into its XML and that into the same bytes: blocks, lists, ranges, results."""
    gurux = stranger("gurux_dlms")
    samples = {sample.name: sample.data for sample in CATALOGUE[frame].samples}
    codec = CATALOGUE[frame].codec
    for name in names:
        ours = codec.build(codec.parse(samples[name]))
        translator = gurux.GXDLMSTranslator()
        text = translator.pduToXml(gurux.GXByteBuffer(ours))
        assert bytes.fromhex(translator.xmlToHexPdu(text)) == ours, name


def test_gurux_speaks_hdlc_with_us() -> None:
    """A Gurux client's SNRM and AARQ frames are read; it takes our UA, and we build its frames byte for byte."""
    gurux = stranger("gurux_dlms")
    interface = stranger("gurux_dlms.enums").InterfaceType
    client = gurux.GXDLMSClient(True, 16, 1, 0, None, interface.HDLC)
    client.serverAddress = gurux.GXDLMSClient.getServerAddress(1, 17)
    meter, head_end = address(1, 17), address(16)

    snrm = bytes(client.snrmRequest())
    assert HDLC_FRAME.parse(snrm) == HDLC(meter, head_end, SNRM, False, b"")
    assert HDLC_FRAME.build(HDLC(meter, head_end, SNRM, False, b"")) == snrm

    parameters = bytes.fromhex("81801205019A06019A070400000001080400000001")
    reply = gurux.GXReplyData()
    ua = HDLC_FRAME.build(HDLC(head_end, meter, UA, False, parameters))
    assert client.getData(gurux.GXByteBuffer(ua), reply)
    client.parseUAResponse(reply.data)
    assert client.hdlcSettings.maxInfoRX == 154

    (sent,) = [bytes(message) for message in client.aarqRequest()]
    frame = HDLC_FRAME.parse(sent)
    assert frame.information.startswith(LLC_REQUEST)
    assert CATALOGUE["aarq"].codec.parse(frame.information[3:]).context == 1
    assert HDLC_FRAME.build(frame) == sent


ADDRESSES = (0x0A000001, 0xC0A80102)
DOTTED = ("10.0.0.1", "192.168.1.2")


@pytest.mark.parametrize("payload", [b"", b"a", bytes(37), bytes(range(256))])
def test_scapy_reads_and_writes_our_udp_over_ipv4(payload: bytes) -> None:
    """Checksums, lengths and fields of IPv4 and UDP are scapy's, in both directions."""
    inet = stranger("scapy.layers.inet")
    datagram = UDP_FRAME.build(UDP(4059, 40_000, checksum(*ADDRESSES, 4059, 40_000, payload), payload))
    packet = IPV4_FRAME.build(IPv4(*ADDRESSES, 17, 0xBEEF, 63, datagram, service=0xB8, flags=2, fragment_offset=0))
    theirs = inet.IP(src=DOTTED[0], dst=DOTTED[1], id=0xBEEF, ttl=63, tos=0xB8, flags="DF") / inet.UDP(
        sport=4059, dport=40_000
    )
    assert bytes(theirs / payload) == packet
    read = inet.IP(packet)
    assert (read.src, read.dst, read.proto, read.len) == (*DOTTED, 17, len(packet))
    assert bytes(read[inet.UDP].payload) == payload
    again = IPV4_FRAME.parse(bytes(theirs / payload))
    assert UDP_FRAME.parse(again.payload).payload == payload


def test_scapy_reads_our_fragment_fields() -> None:
    """Flags and fragment offset stand where scapy looks for them."""
    inet = stranger("scapy.layers.inet")
    read = inet.IP(IPV4_FRAME.build(IPv4(*ADDRESSES, 50, 7, 64, bytes(8), flags=1, fragment_offset=185)))
    assert (str(read.flags), read.frag, read.proto) == ("MF", 185, 50)


def test_scapy_reads_and_writes_our_esp_header() -> None:
    """SPI and sequence number stand where scapy has them; IV and text are the rest."""
    ipsec = stranger("scapy.layers.ipsec")
    packet = ESP_FRAME.build(ESP(0x12345678, 9, b"IVIVIVIV", b"ciphertext and icv"))
    read = ipsec.ESP(packet)
    assert (read.spi, read.seq, read.data) == (0x12345678, 9, b"IVIVIVIVciphertext and icv")
    theirs = bytes(ipsec.ESP(spi=5, seq=6, data=bytes(8) + b"rest"))
    assert ESP_FRAME.parse(theirs) == ESP(5, 6, bytes(8), b"rest")


def test_scapy_reads_and_writes_our_mpls_stack() -> None:
    """Two labels, the bottom bit on the second alone, then IPv4."""
    mpls = stranger("scapy.contrib.mpls")
    inet = stranger("scapy.layers.inet")
    inside = IPV4_FRAME.build(IPv4(*ADDRESSES, 17, 1, 64, bytes(8)))
    ours = MPLS_FRAME.build(MPLS((Label(1000, 5, 64), Label(16, 0, 63)), inside))
    read = mpls.MPLS(ours)
    assert (read.label, read.cos, read.s, read.ttl) == (1000, 5, 0, 64)
    assert (read.payload.label, read.payload.s, read.payload.ttl) == (16, 1, 63)
    assert read[inet.IP].src == DOTTED[0]
    theirs = bytes(mpls.MPLS(label=1000, cos=5, s=0, ttl=64) / mpls.MPLS(label=16, s=1, ttl=63) / inside)
    assert theirs == ours
    assert MPLS_FRAME.parse(theirs).payload == inside
