"""Associations on the server's side: opening, the proof in four passes, closing (DLMS UA 1000-2 9.3.2, 9.4.4).

An `Association` is what a device knows of one client while they talk; there is one a client SAP and it is volatile: a
power cut forgets it. Counters and keys are not here. They belong to the client's security context and outlive every
association, which is why no counter is ever used twice however often a client comes and goes.

How an AARQ is judged, in this order: application context, mechanism, the InitiateRequest (opened first when it is
ciphered), version, conformance, sizes, and then who is asking. A refusal says the first thing that is wrong. Wrong
keys and replayed counters are not judged here but thrown on: the profile says how a device reacts to those.
"""

from dataclasses import dataclass
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
from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, bit_string, integer, long_unsigned, octet_string, structure, unsigned
from emulator.codecs.exception import CONFIRMED_SERVICE_ERROR, ConfirmedServiceError
from emulator.codecs.glo import GLO, Ciphered
from emulator.codecs.initiate import (
    INITIATE_REQUEST,
    INITIATE_RESPONSE,
    Conformance,
    InitiateRequest,
    InitiateResponse,
)
from emulator.dlms import security
from emulator.dlms.blocks import Incoming, Outgoing
from emulator.dlms.classes.association_ln import AssociationLN
from emulator.dlms.classes.security_setup import SecuritySetup, required, required_of_answers
from emulator.dlms.cosem import DEDICATED, ActionRefused, Device
from emulator.errors import CryptoError, FrameError, TagError

PENDING: Final = 1
ASSOCIATED: Final = 2

DLMS_VERSION: Final = 6
VAA_LOGICAL_NAMES: Final = 0x0007

_GLO_INITIATE_REQUEST: Final = 0x21
_GLO_INITIATE_RESPONSE: Final = 0x28
_INITIATE_ERROR: Final = 1
_INITIATE: Final = 6
_VERSION_TOO_LOW: Final = 1
_INCOMPATIBLE_CONFORMANCE: Final = 2
_PDU_TOO_SHORT: Final = 3
_CHALLENGE_TRIES: Final = 3
_SMALLEST_PDU: Final = 12
_SMALLEST_CIPHERED_PDU: Final = 64
_SERVICES: Final = Conformance.GET | Conformance.SET | Conformance.ACTION


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """How a device receives one client: its association object (mechanism, context, rights, secret) and, where it has
    keys, its security setup (policy)."""

    association: AssociationLN
    security: SecuritySetup | None = None

    def required(self, device: Device) -> int:
        """Security control bits every request of this client must carry."""
        setup = self.security
        return 0 if setup is None else required(setup.version, setup.policy(device))

    def required_of_answers(self, device: Device) -> int:
        """What every answer must carry beyond its request: version 1 policies say it apart, version 0 ones do not."""
        setup = self.security
        return 0 if setup is None or setup.version == 0 else required_of_answers(setup.policy(device))


class Association:
    """One client, from its AARQ on. `limit` is the longest APDU it takes; `kind`, `control` and `authenticated`
    describe the request being answered."""

    __slots__ = (
        "_ctos",
        "_peer_before",
        "_stoc",
        "authenticated",
        "client",
        "client_sap",
        "client_title",
        "conformance",
        "control",
        "dedicated",
        "incoming",
        "index",
        "kind",
        "limit",
        "outgoing",
        "server_max_pdu",
        "server_title",
        "state",
    )

    def __init__(self, client: ClientProfile, index: int) -> None:
        self.client = client
        self.client_sap = client.association.client_sap
        self.index = index
        self.state = PENDING
        self.conformance = 0
        self.limit = 0
        self.server_max_pdu = 0
        self.client_title = b""
        self.server_title = b""
        self.dedicated = -1
        self.kind = security.PLAIN
        self.control = 0
        self.authenticated = False
        self.outgoing: Outgoing | None = None
        self.incoming: Incoming | None = None
        self._ctos = b""
        self._stoc = b""
        self._peer_before: bytes | None = None

    @property
    def established(self) -> bool:
        return self.state == ASSOCIATED

    def status(self) -> int:
        return self.state

    def room(self) -> int:
        """Bytes that an answer may have before it is protected."""
        return self.limit - security.OVERHEAD[self.kind]

    def context_info(self) -> Data:
        """Attribute 5 of Association LN: conformance, sizes, version, quality, cyphering info."""
        return structure(
            (
                bit_string(f"{self.conformance:024b}"),
                long_unsigned(self.server_max_pdu),
                long_unsigned(self.limit if self.limit < 0xFFFF else 0),
                unsigned(DLMS_VERSION),
                integer(0),
                octet_string(b""),
            )
        )

    def challenge(self, device: Device, ctos: bytes) -> bytes | None:
        """Keep the client's challenge and make our own; None where only the client's own comes out."""
        self._ctos = ctos
        for _ in range(_CHALLENGE_TRIES):
            stoc = device.challenge()
            if stoc != ctos:  # a reflected challenge would let a client answer with our own reply
                self._stoc = stoc
                return stoc
        return None

    def check_reply(self, device: Device, reply: bytes) -> bytes:
        """Pass 3: f(StoC) against our challenge. Returns f(CtoS), pass 4. Raises `ActionRefused`; the association is
        then to be dropped."""
        if self.state != PENDING or not self._stoc:
            raise ActionRefused(ActionResult.OTHER_REASON, "no authentication is under way")
        stoc, self._stoc = self._stoc, b""  # one try
        try:
            answer = self._checked(device, reply, stoc)
        except CryptoError as error:
            self.forget_title(device)
            device.note("dlms.authentication-failed", self.client_sap)
            raise ActionRefused(ActionResult.OTHER_REASON, "authentication failed") from error
        self.state = ASSOCIATED
        self._peer_before = None
        device.note("dlms.associated", self.client_sap, int(self.client.association.mechanism))
        return answer

    def _checked(self, device: Device, reply: bytes, stoc: bytes) -> bytes:
        if self.client.association.mechanism == Mechanism.HLS_GMAC:
            parts = security.parse_gmac_reply(reply)
            if parts is None:
                raise TagError("not a GMAC reply")
            counter, tag = parts
            device.store.check_gmac(self.index, counter, tag, stoc)
            return security.gmac_reply(*device.store.gmac(self.index, self._ctos))
        secret = self.client.association.secret_of(device)
        titles = self.client_title, self.server_title
        if not security.same(reply, security.sha256_reply(secret, *titles, stoc, self._ctos)):
            raise TagError("not the reply to this challenge")
        return security.sha256_reply(secret, *titles[::-1], self._ctos, stoc)

    def learn_title(self, device: Device, title: bytes | None, learns: bool) -> bool:
        """The client calls itself `title` (None: not said). Taken as its title until it fails to prove itself; False
        where the device knows another one and does not learn."""
        state = device.store.state(self.index)
        self.server_title = state.title
        self.client_title = state.peer if title is None else title
        if self.client_title == state.peer:
            return True
        if not learns or len(self.client_title) != 8:
            return False
        self._peer_before = state.peer
        device.store.set_peer(self.index, self.client_title)
        return True

    def forget_title(self, device: Device) -> None:
        """The client did not prove itself: its context has the title it had."""
        if self._peer_before is not None:
            device.store.set_peer(self.index, self._peer_before)
            self._peer_before = None

    def open_initiate(self, device: Device, apdu: bytes) -> bytes | None:
        """The InitiateRequest inside a glo-InitiateRequest; None when it carries less protection than the policy asks
        for, which is judged first: what has no tag must not move a counter. Raises FrameError, CryptoError."""
        frame = GLO.parse(apdu)
        if frame.tag != _GLO_INITIATE_REQUEST or not security.acceptable_control(frame.security_control):
            raise TagError("not a glo-initiate-request of suite 0")
        required = self.client.required(device)
        if frame.security_control & required != required:
            return None
        plain = device.store.open(self.index, frame.security_control, frame.invocation_counter, frame.text)
        self.control = frame.security_control
        self._peer_before = None  # whoever has the keys is who it says
        return plain

    def seal_initiate(self, device: Device, apdu: bytes) -> bytes:
        """A glo-InitiateResponse, as strong as the request was."""
        counter, text = device.store.seal(self.index, self.control, apdu)
        return GLO.build(Ciphered(_GLO_INITIATE_RESPONSE, self.control, counter, text))

    def use_dedicated(self, device: Device, key: bytes) -> None:
        """Take a dedicated key into use, where the device has a context to lend: counters from 0, EK replaced."""
        spare = device.contexts.get(DEDICATED)
        if spare is None:
            return
        exported = device.store.export(self.index)
        device.store.restore(spare, exported)
        exported[:] = bytes(len(exported))
        device.store.install(spare, ek=key, reset=True)
        self.dedicated = spare


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
    if diagnostic is None and _needs_keys(own) and (index < 0 or not device.store.loaded(index)):
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
    if _needs_keys(own) and not association.learn_title(device, request.calling_title, terms.learns_titles):
        return _Refused(Diagnostic.CALLING_TITLE_NOT_RECOGNIZED)
    inner = request.user_information
    assert inner is not None
    ciphered = inner[0] == _GLO_INITIATE_REQUEST
    opened: bytes | None = inner
    if ciphered:
        if own.context != Context.LN_CIPHERED:
            return _Refused(Diagnostic.APPLICATION_CONTEXT_NOT_SUPPORTED)
        opened = association.open_initiate(device, inner)
    elif own.context == Context.LN_CIPHERED and association.client.required(device):
        opened = None
    if opened is None:
        return _Refused(Diagnostic.AUTHENTICATION_FAILURE)
    initiate = INITIATE_REQUEST.parse(opened)
    error = _incompatible(initiate, terms, ciphered)
    if error is not None:
        return _Refused(Diagnostic.NO_REASON, _initiate_error(error))
    association.conformance = initiate.conformance & terms.conformance
    association.limit = initiate.max_pdu or 0xFFFF
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
    diagnostic = Diagnostic.NULL
    if own.mechanism == Mechanism.LLS:
        if not security.same(given, own.secret_of(device)):
            return _Refused(Diagnostic.AUTHENTICATION_FAILURE)
    elif own.mechanism != Mechanism.NONE:
        if len(given) not in security.CHALLENGE_LENGTHS:
            return _Refused(Diagnostic.AUTHENTICATION_FAILURE)
        stoc = association.challenge(device, given)
        if stoc is None:
            return _Refused(Diagnostic.AUTHENTICATION_FAILURE)
        diagnostic = Diagnostic.AUTHENTICATION_REQUIRED
    if initiate.dedicated_key is not None and len(initiate.dedicated_key) == 16 and ciphered:
        association.use_dedicated(device, initiate.dedicated_key)
    if stoc is None:
        association.state = ASSOCIATED
        device.note("dlms.associated", association.client_sap, int(own.mechanism))
        if not initiate.response_allowed:
            return None
    information = INITIATE_RESPONSE.build(
        InitiateResponse(None, DLMS_VERSION, association.conformance, terms.max_pdu, VAA_LOGICAL_NAMES)
    )
    answer = AARE(
        own.context,
        AssociationResult.ACCEPTED,
        DiagnosticSource.USER,
        diagnostic,
        association.server_title or None,
        None if stoc is None else own.mechanism,
        stoc,
        association.seal_initiate(device, information) if ciphered else information,
    )
    return AARE_FRAME.build(answer)


def _needs_keys(own: AssociationLN) -> bool:
    return own.context == Context.LN_CIPHERED or own.mechanism in (Mechanism.HLS_GMAC, Mechanism.HLS_SHA256)


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
        inner = INITIATE_REQUEST.parse(opened)
        answer = InitiateResponse(
            inner.quality, DLMS_VERSION, association.conformance, terms.max_pdu, VAA_LOGICAL_NAMES
        )
        information = association.seal_initiate(device, INITIATE_RESPONSE.build(answer))
    elif association.client.required(device) and not terms.plain_release:
        return None
    elif request.user_information is not None:
        INITIATE_REQUEST.parse(request.user_information)
    device.note("dlms.released", association.client_sap)
    return RLRE_FRAME.build(RLRE(0, information))
