"""The catalogue: every frame by name, with its codec, its value types, its rungs and sample bytes.

To add a frame, write its module, a line here and `fixtures/vectors/<standard>/<name>.toml`; the agreement test, the
mutation test and `--rung` cover it from then on. Samples show every form of a frame at least once. Those with a
published origin say so; those "made here" were built by the definition and say only that the form exists.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from construct import Construct

from emulator import resources
from emulator.codecs.acse import AARE, AARE_FRAME, AARQ, AARQ_FRAME, RLRE, RLRE_FRAME, RLRQ, RLRQ_FRAME
from emulator.codecs.action import (
    ACTION_REQUEST,
    ACTION_RESPONSE,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestList,
    ActionRequestListFirstBlock,
    ActionRequestNext,
    ActionResponse,
    ActionResponseBlock,
    ActionResponseList,
    ActionResponseNext,
)
from emulator.codecs.axdr import DATA, Data
from emulator.codecs.codec import Codec, Rung, current, use
from emulator.codecs.data_notification import DATA_NOTIFICATION, DataNotification
from emulator.codecs.esp import ESP, ESP_FRAME
from emulator.codecs.exception import (
    CONFIRMED_SERVICE_ERROR,
    EXCEPTION_RESPONSE,
    ConfirmedServiceError,
    ExceptionResponse,
)
from emulator.codecs.get import (
    GET_REQUEST,
    GET_RESPONSE,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
)
from emulator.codecs.glo import GENERAL_DED, GENERAL_GLO, GLO, TAGS, Ciphered, GeneralCiphered
from emulator.codecs.hdlc import HDLC, HDLC_FRAME
from emulator.codecs.icmp import ICMP, ICMP_FRAME
from emulator.codecs.ike import IKE, IKE_FRAME, IKE_PAYLOADS, Payloads
from emulator.codecs.initiate import INITIATE_REQUEST, INITIATE_RESPONSE, InitiateRequest, InitiateResponse
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.ldp import LDP, LDP_FRAME
from emulator.codecs.mpls import MPLS, MPLS_FRAME
from emulator.codecs.set import (
    SET_REQUEST,
    SET_RESPONSE,
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestList,
    SetRequestListFirstBlock,
    SetResponse,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseLastBlockList,
    SetResponseList,
)
from emulator.codecs.tcp import TCP, TCP_FRAME
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.codecs.wrapper import WRAPPER, Wrapper

__all__ = ["BY_TAG", "CATALOGUE", "Frame", "Sample", "current", "use"]


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes that are a frame. `source` is where they were published, or "made here". What is not canonical is read
    as the same value as other bytes, and written as those."""

    name: str
    data: bytes
    source: str
    canonical: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of the catalogue. `values` are the types a parse may return; `standard` is the folder of the samples;
    `tags` the first bytes by which an APDU of this kind is known."""

    codec: Codec[Any]
    title: str
    values: tuple[type, ...]
    standard: str = "dlms"
    tags: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        return self.codec.name

    @property
    def definition(self) -> Construct:
        return self.codec.definition

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs that are something of their own."""
        return ("construct",) if self.codec.fast is None else ("construct", "fast")

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Every form of this frame at least once."""
        return _samples(f"vectors/{self.standard}/{self.name}.toml")


@cache
def _samples(fixture: str) -> tuple[Sample, ...]:
    with resources.fixture(fixture).open("rb") as file:
        entries = tomllib.load(file)["sample"]
    return tuple(
        Sample(entry["name"], bytes.fromhex(entry["hex"]), entry["source"], entry.get("canonical", True))
        for entry in entries
    )


def _apdu(codec: Codec[Any], title: str, values: tuple[type, ...], *tags: int) -> Frame:
    return Frame(codec, title, values, "dlms", frozenset(tags))


_LINES: Final = (
    Frame(WRAPPER, "COSEM wrapper", (Wrapper,), "wrapper"),
    Frame(HDLC_FRAME, "HDLC frame, format type 3", (HDLC,), "hdlc"),
    _apdu(AARQ_FRAME, "association request", (AARQ,), 0x60),
    _apdu(AARE_FRAME, "association response", (AARE,), 0x61),
    _apdu(RLRQ_FRAME, "release request", (RLRQ,), 0x62),
    _apdu(RLRE_FRAME, "release response", (RLRE,), 0x63),
    _apdu(INITIATE_REQUEST, "initiate request", (InitiateRequest,), 0x01),
    _apdu(INITIATE_RESPONSE, "initiate response", (InitiateResponse,), 0x08),
    _apdu(GET_REQUEST, "get request", (GetRequest, GetRequestNext, GetRequestList), 0xC0),
    _apdu(GET_RESPONSE, "get response", (GetResponse, GetResponseBlock, GetResponseList), 0xC4),
    _apdu(
        SET_REQUEST,
        "set request",
        (SetRequest, SetRequestFirstBlock, SetRequestBlock, SetRequestList, SetRequestListFirstBlock),
        0xC1,
    ),
    _apdu(
        SET_RESPONSE,
        "set response",
        (SetResponse, SetResponseBlock, SetResponseLastBlock, SetResponseLastBlockList, SetResponseList),
        0xC5,
    ),
    _apdu(
        ACTION_REQUEST,
        "action request",
        (
            ActionRequest,
            ActionRequestNext,
            ActionRequestList,
            ActionRequestFirstBlock,
            ActionRequestListFirstBlock,
            ActionRequestBlock,
        ),
        0xC3,
    ),
    _apdu(
        ACTION_RESPONSE,
        "action response",
        (ActionResponse, ActionResponseBlock, ActionResponseList, ActionResponseNext),
        0xC7,
    ),
    _apdu(EXCEPTION_RESPONSE, "exception response", (ExceptionResponse,), 0xD8),
    _apdu(CONFIRMED_SERVICE_ERROR, "confirmed service error", (ConfirmedServiceError,), 0x0E),
    _apdu(DATA_NOTIFICATION, "data notification", (DataNotification,), 0x0F),
    _apdu(GLO, "ciphered APDU, glo- or ded-", (Ciphered,), *TAGS),
    _apdu(GENERAL_GLO, "general-glo-ciphering", (GeneralCiphered,), 0xDB),
    _apdu(GENERAL_DED, "general-ded-ciphering", (GeneralCiphered,), 0xDC),
    Frame(DATA, "A-XDR data", (Data,)),
    Frame(IPV4_FRAME, "IPv4 packet", (IPv4,), "internet"),
    Frame(UDP_FRAME, "UDP datagram", (UDP,), "internet"),
    Frame(ESP_FRAME, "ESP packet", (ESP,), "internet"),
    Frame(ICMP_FRAME, "ICMP message", (ICMP,), "internet"),
    Frame(TCP_FRAME, "TCP segment", (TCP,), "internet"),
    Frame(MPLS_FRAME, "MPLS packet", (MPLS,), "internet"),
    Frame(LDP_FRAME, "LDP PDU", (LDP,), "internet"),
    Frame(IKE_FRAME, "IKEv2 message", (IKE,), "ikev2"),
    Frame(IKE_PAYLOADS, "IKEv2 payloads, opened", (Payloads,), "ikev2"),
)

CATALOGUE: Final[dict[str, Frame]] = {line.name: line for line in _LINES}

BY_TAG: Final[dict[int, Frame]] = {tag: line for line in _LINES for tag in line.tags}
"""The frame of an APDU by its first byte."""
