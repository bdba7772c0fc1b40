"""What the fields of frames mean, by value type and field name: for the dissector.

A field without a line here is shown as its number or its bytes, which is never wrong.
"""

from collections.abc import Callable
from typing import Any, Final

from emulator.codecs import names
from emulator.codecs.acse import AARE, AARQ, AssociationResult, Context, Diagnostic, Mechanism
from emulator.codecs.action import ActionResponse, ActionResult, MethodRef
from emulator.codecs.exception import ExceptionResponse, ServiceError, StateError
from emulator.codecs.get import AttributeRef, DataAccessResult, GetResponse, GetResponseBlock, GetResponseList
from emulator.codecs.glo import Ciphered, GeneralCiphered
from emulator.codecs.hdlc import HDLC, address_numbers
from emulator.codecs.initiate import InitiateRequest, InitiateResponse
from emulator.codecs.ipv4 import IPv4
from emulator.codecs.ldp import FATAL, LDP, MESSAGES, STATUSES, Message
from emulator.codecs.ldp_tlvs import Status, TransportAddress
from emulator.codecs.set import SetResponse, SetResponseLastBlock, SetResponseLastBlockList, SetResponseList


def _result(value: Any) -> str:
    return names.enumerated(DataAccessResult, value) if isinstance(value, int) else ""


def _address(value: int) -> str:
    return ".".join(str(byte) for byte in value.to_bytes(4, "big"))


def _hdlc_address(value: bytes) -> str:
    upper, lower = address_numbers(value)
    return f"{upper}" if lower is None else f"logical {upper}, physical {lower}"


def _title(value: bytes | None) -> str:
    if value is not None and len(value) == 8 and value[:3].isalpha() and value[:3].isascii():
        return f"maker {value[:3].decode()}"
    return ""


def text_of(value: bytes | None) -> str:
    return repr(value.decode("ascii")) if value and value.isascii() and value.decode("ascii").isprintable() else ""


def _numbers(kind: Any) -> Callable[[Any], str]:
    return lambda value: "" if value is None else names.enumerated(kind, value)


def _diagnostic(value: int) -> str:
    return names.enumerated(Diagnostic, value)


def _status(code: int) -> str:
    meaning = STATUSES.get(code & 0x3FFF_FFFF, "")
    return f"{meaning}, fatal" if meaning and code & FATAL else meaning


MEANINGS: Final[dict[tuple[type, str], Callable[[Any], str]]] = {
    (AARQ, "context"): _numbers(Context),
    (AARQ, "mechanism"): _numbers(Mechanism),
    (AARQ, "calling_title"): _title,
    (AARQ, "authentication"): text_of,
    (AARE, "context"): _numbers(Context),
    (AARE, "result"): _numbers(AssociationResult),
    (AARE, "diagnostic_source"): lambda value: "service user" if value == 1 else "service provider",
    (AARE, "diagnostic"): _diagnostic,
    (AARE, "mechanism"): _numbers(Mechanism),
    (AARE, "responding_title"): _title,
    (AARE, "authentication"): text_of,
    (InitiateRequest, "conformance"): names.conformance,
    (InitiateResponse, "conformance"): names.conformance,
    (InitiateResponse, "vaa"): lambda value: "logical names" if value == 7 else "",
    (AttributeRef, "class_id"): lambda value: names.CLASSES.get(value, ""),
    (MethodRef, "class_id"): lambda value: names.CLASSES.get(value, ""),
    (AttributeRef, "logical_name"): names.obis,
    (MethodRef, "logical_name"): names.obis,
    (GetResponse, "result"): _result,
    (GetResponseBlock, "result"): _result,
    (GetResponseList, "results"): _result,
    (SetResponse, "result"): _result,
    (SetResponseLastBlock, "result"): _result,
    (SetResponseLastBlockList, "results"): _result,
    (SetResponseList, "results"): _result,
    (ActionResponse, "result"): _numbers(ActionResult),
    (ActionResponse, "data"): _result,
    (ExceptionResponse, "state_error"): _numbers(StateError),
    (ExceptionResponse, "service_error"): _numbers(ServiceError),
    (Ciphered, "tag"): names.ciphered,
    (Ciphered, "security_control"): names.security_control,
    (GeneralCiphered, "security_control"): names.security_control,
    (GeneralCiphered, "system_title"): _title,
    (LDP, "router"): _address,
    (Message, "kind"): lambda value: MESSAGES.get(value, ""),
    (Status, "code"): _status,
    (TransportAddress, "address"): _address,
    (IPv4, "source"): _address,
    (IPv4, "destination"): _address,
    (IPv4, "protocol"): lambda value: names.PROTOCOLS.get(value, ""),
    (HDLC, "destination"): _hdlc_address,
    (HDLC, "source"): _hdlc_address,
    (HDLC, "control"): names.hdlc_control,
}

HEX_WIDTHS: Final = {
    "invoke": 2,
    "security_control": 2,
    "tag": 2,
    "conformance": 6,
    "control": 2,
    "checksum": 4,
    "spi": 8,
}
"""Fields people write in hex, and how many digits."""
