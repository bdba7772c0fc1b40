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
from emulator.codecs.glo import GENERAL_DED, GENERAL_GLO, GLO, Ciphered, GeneralCiphered
from emulator.codecs.hdlc import HDLC, HDLC_FRAME
from emulator.codecs.initiate import INITIATE_REQUEST, INITIATE_RESPONSE, InitiateRequest, InitiateResponse
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
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
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.codecs.wrapper import WRAPPER, Wrapper

__all__ = ["CATALOGUE", "Frame", "Sample", "current", "use"]


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
    """One line of the catalogue. `values` are the types a parse may return; `standard` is the folder of the samples."""

    codec: Codec[Any]
    title: str
    values: tuple[type, ...]
    standard: str = "dlms"

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


_LINES: Final = (
    Frame(WRAPPER, "COSEM wrapper", (Wrapper,), "wrapper"),
    Frame(HDLC_FRAME, "HDLC frame, format type 3", (HDLC,), "hdlc"),
    Frame(AARQ_FRAME, "association request", (AARQ,)),
    Frame(AARE_FRAME, "association response", (AARE,)),
    Frame(RLRQ_FRAME, "release request", (RLRQ,)),
    Frame(RLRE_FRAME, "release response", (RLRE,)),
    Frame(INITIATE_REQUEST, "initiate request", (InitiateRequest,)),
    Frame(INITIATE_RESPONSE, "initiate response", (InitiateResponse,)),
    Frame(GET_REQUEST, "get request", (GetRequest, GetRequestNext, GetRequestList)),
    Frame(GET_RESPONSE, "get response", (GetResponse, GetResponseBlock, GetResponseList)),
    Frame(
        SET_REQUEST,
        "set request",
        (SetRequest, SetRequestFirstBlock, SetRequestBlock, SetRequestList, SetRequestListFirstBlock),
    ),
    Frame(
        SET_RESPONSE,
        "set response",
        (SetResponse, SetResponseBlock, SetResponseLastBlock, SetResponseLastBlockList, SetResponseList),
    ),
    Frame(
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
    ),
    Frame(
        ACTION_RESPONSE,
        "action response",
        (ActionResponse, ActionResponseBlock, ActionResponseList, ActionResponseNext),
    ),
    Frame(EXCEPTION_RESPONSE, "exception response", (ExceptionResponse,)),
    Frame(CONFIRMED_SERVICE_ERROR, "confirmed service error", (ConfirmedServiceError,)),
    Frame(DATA_NOTIFICATION, "data notification", (DataNotification,)),
    Frame(GLO, "ciphered APDU, glo- or ded-", (Ciphered,)),
    Frame(GENERAL_GLO, "general-glo-ciphering", (GeneralCiphered,)),
    Frame(GENERAL_DED, "general-ded-ciphering", (GeneralCiphered,)),
    Frame(DATA, "A-XDR data", (Data,)),
    Frame(IPV4_FRAME, "IPv4 packet", (IPv4,), "internet"),
    Frame(UDP_FRAME, "UDP datagram", (UDP,), "internet"),
    Frame(ESP_FRAME, "ESP packet", (ESP,), "internet"),
    Frame(MPLS_FRAME, "MPLS packet", (MPLS,), "internet"),
)

CATALOGUE: Final[dict[str, Frame]] = {line.name: line for line in _LINES}
