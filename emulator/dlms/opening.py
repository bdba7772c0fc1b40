"""Opening and closing associations on the server's side: AARQ and RLRQ judged (DLMS UA 1000-2 9.3.2, 9.4.4).

How an AARQ is judged, in this order: application context, mechanism, the InitiateRequest (opened first when it is
ciphered), version, conformance, sizes, and then who is asking. A refusal says the first thing that is wrong. Wrong
keys and replayed counters are not judged here but thrown on: the profile says how a device reacts to those.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from emulator.codecs.acse import (
    AARE,
    AARE_FRAME,
    AARQ,
    AARQ_FRAME,
    RLRE,
    RLRE_FRAME,
    RLRQ_FRAME,
    AssociationResult,
    Context,
    Diagnostic,
    DiagnosticSource,
    Mechanism,
)
from emulator.codecs.exception import CONFIRMED_SERVICE_ERROR, ConfirmedServiceError
from emulator.codecs.initiate import (
    INITIATE_REQUEST,
    INITIATE_RESPONSE,
    Conformance,
    InitiateRequest,
    InitiateResponse,
)
from emulator.dlms import security
from emulator.dlms.association import ASSOCIATED, DLMS_VERSION, GLO_INITIATE_REQUEST, Association, ClientProfile
from emulator.dlms.classes.association_ln import AssociationLN
from emulator.dlms.cosem import Device
from emulator.errors import CryptoError, FrameError

VAA_LOGICAL_NAMES: Final = 0x0007

# Looked up once: on CPython 3.11 a member found through its `Enum` costs a call in Python.
_LN_CIPHERED: Final = Context.LN_CIPHERED
_NO_MECHANISM: Final = Mechanism.NONE
_LLS: Final = Mechanism.LLS
_NULL: Final = Diagnostic.NULL
_AUTHENTICATION_REQUIRED: Final = Diagnostic.AUTHENTICATION_REQUIRED
_ACCEPTED: Final = AssociationResult.ACCEPTED
_USER: Final = DiagnosticSource.USER

_INITIATE_ERROR: Final = 1
_INITIATE: Final = 6
_VERSION_TOO_LOW: Final = 1
_INCOMPATIBLE_CONFORMANCE: Final = 2
_PDU_TOO_SHORT: Final = 3
_SMALLEST_PDU: Final = 12
_SMALLEST_CIPHERED_PDU: Final = 64
_SERVICES: Final = int(Conformance.GET | Conformance.SET | Conformance.ACTION)

_NO_KEY_INSIDE: Final = b"\x01\x00"
"""How an InitiateRequest without a dedicated key begins."""
_read_initiate: Final = lru_cache(maxsize=256)(lambda information: INITIATE_REQUEST.parse(information))


def _initiate(information: bytes) -> InitiateRequest:
    """An InitiateRequest. All that a head end sends are alike, so the last ones are kept, but never one with a key in
    it."""
    if information[:2] == _NO_KEY_INSIDE:
        return _read_initiate(information)
    return INITIATE_REQUEST.parse(information)


@lru_cache(maxsize=256)
def _agreed(quality: int | None, conformance: int, max_pdu: int) -> bytes:
    """The InitiateResponse; one for all devices of a model."""
    return INITIATE_RESPONSE.build(InitiateResponse(quality, DLMS_VERSION, conformance, max_pdu, VAA_LOGICAL_NAMES))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a server offers to every client: conformance (24 bits), the longest APDU it takes, whether it takes a
    client's word for its system title, whether an unprotected release ends a protected association."""

    conformance: int
    max_pdu: int
    learns_titles: bool = True
    plain_release: bool = True


def _rejected(context: int, diagnostic: int, information: bytes | None = None) -> bytes:
    return AARE_FRAME.build(
        AARE(
            context,
            AssociationResult.REJECTED_PERMANENT,
            DiagnosticSource.USER,
            diagnostic,
            user_information=information,
        )
    )


def _initiate_error(value: int) -> bytes:
    return CONFIRMED_SERVICE_ERROR.build(ConfirmedServiceError(_INITIATE_ERROR, _INITIATE, value))


def associate(
    device: Device, terms: Terms, client: ClientProfile, apdu: bytes
) -> tuple[bytes | None, Association | None]:
    """Judge an AARQ: (the AARE, the association that came of it).

    Raises CryptoError when a ciphered InitiateRequest does not open (`ReplayError`, `TagError`, `NoKeyError`).
    """
    own = client.association
    try:
        request = AARQ_FRAME.parse(apdu)
    except FrameError as error:
        device.note("dlms.malformed", error.codec, error.reason, error.offset)
        return _rejected(own.context, Diagnostic.NO_REASON), None
    diagnostic = _unacceptable(own, request)
    index = device.contexts.get(own.client_sap, -1)
    if diagnostic is None and own.needs_keys and (index < 0 or not device.store.loaded(index)):
        diagnostic = Diagnostic.AUTHENTICATION_FAILURE
    if diagnostic is None and not request.user_information:
        diagnostic = Diagnostic.NO_REASON
    if diagnostic is not None:
        return _refuse(device, own, diagnostic)
    association = Association(client, index)
    try:
        answer = _judged(device, terms, association, request)
    except FrameError as error:
        device.note("dlms.malformed", error.codec, error.reason, error.offset)
        answer = _Refused(Diagnostic.NO_REASON)
    except CryptoError:
        association.forget_title(device)
        raise
    if isinstance(answer, _Refused):
        association.forget_title(device)
        return _refuse(device, own, answer.diagnostic, answer.information)
    return answer, association


@dataclass(frozen=True, slots=True)
class _Refused:
    diagnostic: Diagnostic
    information: bytes | None = None


def _judged(device: Device, terms: Terms, association: Association, request: AARQ) -> bytes | _Refused | None:
    """What the request says inside, and who is asking."""
    own = association.client.association
    if own.needs_keys and not association.learn_title(device, request.calling_title, terms.learns_titles):
        return _Refused(Diagnostic.CALLING_TITLE_NOT_RECOGNIZED)
    inner = request.user_information
    assert inner is not None
    ciphered = inner[0] == GLO_INITIATE_REQUEST
    opened: bytes | None = inner
    if ciphered:
        if own.context != _LN_CIPHERED:
            return _Refused(Diagnostic.APPLICATION_CONTEXT_NOT_SUPPORTED)
        opened = association.open_initiate(device, inner)
    elif own.context == _LN_CIPHERED and association.client.required(device):
        opened = None
    if opened is None:
        return _Refused(Diagnostic.AUTHENTICATION_FAILURE)
    initiate = _initiate(opened)
    error = _incompatible(initiate, terms, ciphered)
    if error is not None:
        return _Refused(Diagnostic.NO_REASON, _initiate_error(error))
    association.conformance = initiate.conformance & terms.conformance
    # A device has one buffer for what it takes and what it sends; a longer answer goes in blocks.
    association.limit = min(initiate.max_pdu or terms.max_pdu, terms.max_pdu)
    association.server_max_pdu = terms.max_pdu
    return _welcome(device, terms, association, request, initiate, ciphered)


def _welcome(
    device: Device,
    terms: Terms,
    association: Association,
    request: AARQ,
    initiate: InitiateRequest,
    ciphered: bool,
) -> bytes | _Refused | None:
    """The last step: the password or the challenge, and the AARE."""
    own = association.client.association
    given = request.authentication or b""
    stoc: bytes | None = None
    diagnostic = _NULL
    if own.mechanism == _LLS:
        if not security.same(given, own.secret_of(device)):
            return _Refused(Diagnostic.AUTHENTICATION_FAILURE)
    elif own.mechanism != _NO_MECHANISM:
        if len(given) not in security.CHALLENGE_LENGTHS:
            return _Refused(Diagnostic.AUTHENTICATION_FAILURE)
        stoc = association.challenge(device, given)
        if stoc is None:
            return _Refused(Diagnostic.AUTHENTICATION_FAILURE)
        diagnostic = _AUTHENTICATION_REQUIRED
    if initiate.dedicated_key is not None and len(initiate.dedicated_key) == 16 and ciphered:
        association.use_dedicated(device, initiate.dedicated_key)
    if stoc is None:
        association.state = ASSOCIATED
        device.note("dlms.associated", association.client_sap, int(own.mechanism))
        if not initiate.response_allowed:
            return None
    information = _agreed(None, association.conformance, terms.max_pdu)
    answer = AARE(
        own.context,
        _ACCEPTED,
        _USER,
        diagnostic,
        association.server_title or None,
        None if stoc is None else own.mechanism,
        stoc,
        association.seal_initiate(device, information) if ciphered else information,
    )
    return AARE_FRAME.build(answer)


def _unacceptable(own: AssociationLN, request: AARQ) -> Diagnostic | None:
    if request.context != own.context:
        return Diagnostic.APPLICATION_CONTEXT_NOT_SUPPORTED
    asked = request.mechanism or Mechanism.NONE
    if asked != own.mechanism:
        return Diagnostic.MECHANISM_REQUIRED if asked == Mechanism.NONE else Diagnostic.MECHANISM_NOT_RECOGNIZED
    return None


def _incompatible(initiate: InitiateRequest, terms: Terms, ciphered: bool) -> int | None:
    """The initiate error of an InitiateRequest that cannot be met, or None."""
    if initiate.version < DLMS_VERSION:
        return _VERSION_TOO_LOW
    if not initiate.conformance & terms.conformance & _SERVICES:
        return _INCOMPATIBLE_CONFORMANCE
    if initiate.max_pdu and initiate.max_pdu < (_SMALLEST_CIPHERED_PDU if ciphered else _SMALLEST_PDU):
        return _PDU_TOO_SHORT
    return None


def _refuse(
    device: Device, own: AssociationLN, diagnostic: int, information: bytes | None = None
) -> tuple[bytes, None]:
    device.note("dlms.association-refused", own.client_sap, int(diagnostic))
    return _rejected(own.context, diagnostic, information), None


def release(device: Device, terms: Terms, association: Association, apdu: bytes) -> bytes | None:
    """Judge an RLRQ: the RLRE, or None when the request is not good enough to end the association.

    Raises FrameError and CryptoError.
    """
    request = RLRQ_FRAME.parse(apdu)
    information: bytes | None = None
    if request.user_information is not None and request.user_information[:1] == b"\x21":
        opened = association.open_initiate(device, request.user_information)
        if opened is None:
            return None
        answer = _agreed(_initiate(opened).quality, association.conformance, terms.max_pdu)
        information = association.seal_initiate(device, answer)
    elif association.client.required(device) and not terms.plain_release:
        return None
    elif request.user_information is not None:
        INITIATE_REQUEST.parse(request.user_information)
    device.note("dlms.released", association.client_sap)
    return RLRE_FRAME.build(RLRE(0, information))
