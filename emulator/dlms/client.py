"""The client: what a head end asks one logical device, sans-IO.

Every request method returns the APDU to send; `receive` takes the APDU that came back and says what it means. Between
the two the client remembers what it asked and nothing else: a fleet has one client for every device in conversation,
so it is small, and its keys and counters are in the context store under `context`.

    client.associate(challenge) -> send -> receive: More(pass 3) -> send -> receive: Answer
    client.get(ref)             -> send -> receive: Answer(datum) | More(next block) | Refused

An answer is believed when its protection holds. What does not open, or comes unprotected where protection was agreed,
is `Refused` with a reason of ours ("tag", "counter", "title", "unprotected", "malformed", "unexpected") and leaves
the question open: the true answer may still come. What the device says (an access result, an exception) closes it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from mypy_extensions import mypyc_attr

from emulator.codecs.acse import (
    AARE_FRAME,
    AARQ,
    AARQ_FRAME,
    RLRE_FRAME,
    RLRQ,
    RLRQ_FRAME,
    AssociationResult,
    Context,
    Diagnostic,
    Mechanism,
)
from emulator.codecs.action import (
    ACTION_REQUEST,
    ACTION_RESPONSE,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestNext,
    ActionResponse,
    ActionResponseBlock,
    ActionResponseNext,
    MethodRef,
)
from emulator.codecs.axdr import DATA, Data, Tag, octet_string
from emulator.codecs.exception import (
    CONFIRMED_SERVICE_ERROR,
    EXCEPTION_RESPONSE,
    ServiceError,
)
from emulator.codecs.get import (
    GET_REQUEST,
    GET_RESPONSE,
    AttributeRef,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
)
from emulator.codecs.glo import GENERAL_GLO, GLO, Ciphered, GeneralCiphered
from emulator.codecs.initiate import (
    INITIATE_REQUEST,
    INITIATE_RESPONSE,
    InitiateRequest,
    InitiateResponse,
)
from emulator.codecs.set import (
    SET_REQUEST,
    SET_RESPONSE,
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestList,
    SetResponse,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseList,
)
from emulator.crypto.keys import ContextStore
from emulator.dlms import security
from emulator.dlms.association import DLMS_VERSION
from emulator.dlms.classes.association_ln import CURRENT
from emulator.dlms.outcome import MANAGEMENT, PUBLIC, Answer, More, Outcome, Profile, Refused
from emulator.errors import CryptoError, FrameError, NoKeyError, ReplayError, UsageError

__all__ = ["MANAGEMENT", "PUBLIC", "Answer", "Client", "More", "Outcome", "Profile", "Refused"]

_IDLE: Final = 0
_ASSOCIATING: Final = 1
_PROVING: Final = 2
_GETTING: Final = 3
_SETTING: Final = 4
_ACTING: Final = 5
_RELEASING: Final = 6

# Looked up once: on CPython 3.11 a member found through its `Enum` costs a call in Python.
_LN_CIPHERED: Final = Context.LN_CIPHERED
_NO_MECHANISM: Final = Mechanism.NONE
_LLS: Final = Mechanism.LLS
_HLS_GMAC: Final = Mechanism.HLS_GMAC
_ACCEPTED: Final = AssociationResult.ACCEPTED
_AUTHENTICATION_REQUIRED: Final = Diagnostic.AUTHENTICATION_REQUIRED

_NO_KEYS: Final = "this client has no keys"
_CONFIRMED: Final = 0xC0
"""Confirmed service, high priority; the invoke id is in the low four bits."""
_REQUEST_HEADER: Final = 40
"""Bytes of a first-datablock request around its piece, with the name and the length field at their longest."""
_MAX_ANSWER: Final = 4 * 1024 * 1024


@lru_cache(maxsize=64)
def _initiate(conformance: int, max_pdu: int) -> bytes:
    """The InitiateRequest of a profile. Every association of a profile begins and ends with the same one, so it is
    built once and not 0.4 times an exchange."""
    return INITIATE_REQUEST.build(InitiateRequest(None, True, None, DLMS_VERSION, conformance, max_pdu))


_negotiated: Final = lru_cache(maxsize=256)(lambda information: INITIATE_RESPONSE.parse(information))
"""What a server agrees to: one answer for all devices of a model, and it holds no secret."""


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Client:
    """One client of one server. `store` and `context` hold its keys; both None for a client without any."""

    __slots__ = (
        "_asked",
        "_ctos",
        "_invoke",
        "_listing",
        "_number",
        "_raw",
        "_rest",
        "_title",
        "associated",
        "context",
        "negotiated",
        "profile",
        "store",
    )

    def __init__(
        self, store: ContextStore | None = None, context: int | None = None, profile: Profile = PUBLIC
    ) -> None:
        self.store = store
        self.context = context
        self.profile = profile
        self.associated = False
        self.negotiated: InitiateResponse | None = None
        self._asked = _IDLE
        self._invoke = 0
        self._listing = False
        self._number = 0
        self._raw = b""
        self._rest = b""
        self._ctos = b""
        self._title = b""

    # Requests

    def associate(self, challenge: bytes = b"") -> bytes:
        """The AARQ. `challenge` is the client's, 8 to 64 fresh bytes, for HLS. Raises NoKeyError,
        CounterExhaustedError."""
        profile = self.profile
        information = _initiate(profile.conformance, profile.max_pdu)
        authentication: bytes | None = None
        mechanism: int | None = profile.mechanism
        title: bytes | None = None
        if profile.mechanism == _NO_MECHANISM:
            mechanism = None
        elif profile.mechanism == _LLS:
            authentication = profile.password
        else:
            if len(challenge) not in security.CHALLENGE_LENGTHS:
                raise UsageError("an HLS challenge has 8 to 64 bytes")
            self._ctos = authentication = challenge
        if profile.context == _LN_CIPHERED or profile.mechanism == _HLS_GMAC:
            store, context = self._keys()
            title = store.state(context).title
        if profile.context == _LN_CIPHERED:
            information = self._sealed(0x21, information)
        self.associated = False
        self.negotiated = None
        self._asked = _ASSOCIATING
        return AARQ_FRAME.build(AARQ(profile.context, title, mechanism, authentication, information))

    def get(self, ref: AttributeRef) -> bytes:
        """GET of one attribute."""
        self._begin(_GETTING)
        return self._protected(0xC8, GET_REQUEST.build(GetRequest(self._invoke, ref)))

    def get_list(self, refs: tuple[AttributeRef, ...]) -> bytes:
        """GET of several attributes at once."""
        self._begin(_GETTING)
        self._listing = True
        return self._protected(0xC8, GET_REQUEST.build(GetRequestList(self._invoke, refs)))

    def set(self, ref: AttributeRef, data: Data) -> bytes:
        """SET of one attribute, in blocks when the server cannot take it whole."""
        self._begin(_SETTING)
        apdu = SET_REQUEST.build(SetRequest(self._invoke, ref, data))
        if len(apdu) > self._server_room():
            piece = self._cut(DATA.build(data))
            apdu = SET_REQUEST.build(SetRequestFirstBlock(self._invoke, ref, False, 1, piece))
        return self._protected(0xC9, apdu)

    def set_list(self, refs: tuple[AttributeRef, ...], values: tuple[Data, ...]) -> bytes:
        """SET of several attributes at once."""
        self._begin(_SETTING)
        return self._protected(0xC9, SET_REQUEST.build(SetRequestList(self._invoke, refs, values)))

    def action(self, ref: MethodRef, data: Data | None = None) -> bytes:
        """ACTION of one method, its parameters in blocks when the server cannot take them whole."""
        self._begin(_ACTING)
        apdu = ACTION_REQUEST.build(ActionRequest(self._invoke, ref, data))
        if data is not None and len(apdu) > self._server_room():
            piece = self._cut(DATA.build(data))
            apdu = ACTION_REQUEST.build(ActionRequestFirstBlock(self._invoke, ref, False, 1, piece))
        return self._protected(0xCB, apdu)

    def release(self) -> bytes:
        """The RLRQ, protected as the association was."""
        information: bytes | None = None
        profile = self.profile
        if profile.context == _LN_CIPHERED:
            information = self._sealed(0x21, _initiate(profile.conformance, profile.max_pdu))
        self._asked = _RELEASING
        return RLRQ_FRAME.build(RLRQ(0, information))

    # Answers

    def receive(self, apdu: bytes) -> Outcome:
        """What an answer means. Raises nothing, whatever the bytes."""
        asked = self._asked
        try:
            if not apdu or asked == _IDLE:
                return Refused("unexpected", apdu[:1].hex())
            if apdu[0] == _GLO_ANSWER.get(asked):
                frame = GLO.parse(apdu)
                return self._opened(frame.security_control, frame.invocation_counter, frame.text)
            return self._received(asked, apdu)
        except ReplayError as replay:
            return Refused("counter", replay.expected)
        except CryptoError as wrong:
            return Refused("tag", str(wrong))
        except FrameError as error:
            return Refused("malformed", str(error))

    def _received(self, asked: int, apdu: bytes) -> Outcome:
        """Anything but an answer in glo-ciphering."""
        tag = apdu[0]
        if asked in _ANSWER:
            if tag == _ANSWER[asked]:
                return Refused("unprotected") if self._protects() else _UNDERSTOOD[asked](self, apdu)
            if tag == 0xDB:
                general = GENERAL_GLO.parse(apdu)
                if general.system_title not in (b"", self._title):
                    return Refused("title", general.system_title.hex())
                return self._opened(general.security_control, general.invocation_counter, general.text)
        elif asked == _ASSOCIATING and tag == 0x61:
            return self._welcomed(apdu)
        elif asked == _RELEASING and tag == 0x63:
            return self._released(apdu)
        if tag == 0xD8:
            return self._excepted(apdu)
        if tag == 0x0E:
            error = CONFIRMED_SERVICE_ERROR.parse(apdu)
            self._asked = _IDLE
            return Refused("initiate", error.value)
        return Refused("unexpected", f"{tag:02X}")

    def _opened(self, control: int, counter: int, text: bytes) -> Outcome:
        wanted, asked = self.profile.control, self._asked
        if control not in security.ACCEPTABLE or control & wanted != wanted:
            return Refused("unprotected", control)
        store, context = self.store, self.context
        if store is None or context is None:  # as `_keys`, without its call, in what every request does
            raise NoKeyError(_NO_KEYS)
        plain = store.open(context, control, counter, text)
        if not plain or plain[0] != _ANSWER[asked]:
            return Refused("unexpected", plain[:1].hex())
        return _UNDERSTOOD[asked](self, plain)

    # GET

    def _got(self, apdu: bytes) -> Outcome:
        answer = GET_RESPONSE.parse(apdu)
        if answer.invoke & 0x0F != self._invoke & 0x0F:
            return Refused("unexpected", "another invoke id")
        if type(answer) is GetResponse:
            self._asked = _IDLE
            result = answer.result
            return Answer(result) if type(result) is Data else Refused("access", int(result))  # type: ignore[arg-type]
        if type(answer) is GetResponseList:
            self._asked = _IDLE
            return Answer(answer.results)
        assert type(answer) is GetResponseBlock
        if isinstance(answer.result, int):
            self._asked = _IDLE
            return Refused("access", answer.result)
        refused = self._block(answer.block, answer.result)
        if refused is not None:
            return refused
        if not answer.last:
            return More(self._protected(0xC8, GET_REQUEST.build(GetRequestNext(self._invoke, answer.block))))
        self._asked = _IDLE
        raw, self._raw = self._raw, b""
        return self._whole_get(raw)

    def _whole_get(self, raw: bytes) -> Outcome:
        if not self._listing:
            return Answer(DATA.parse(raw))
        listed = GET_RESPONSE.parse(bytes((0xC4, 3, self._invoke)) + raw)
        assert type(listed) is GetResponseList
        return Answer(listed.results)

    def _block(self, number: int, piece: bytes) -> Refused | None:
        if number != self._number + 1 or len(self._raw) + len(piece) > _MAX_ANSWER:
            return Refused("unexpected", f"block {number} after {self._number}")
        self._number = number
        self._raw += piece
        return None

    # SET

    def _was_set(self, apdu: bytes) -> Outcome:
        answer = SET_RESPONSE.parse(apdu)
        if answer.invoke & 0x0F != self._invoke & 0x0F:
            return Refused("unexpected", "another invoke id")
        if type(answer) is SetResponseBlock:
            if answer.block != self._number or not self._rest:
                return Refused("unexpected", f"acknowledgement of block {answer.block}")
            piece = self._cut(self._rest)
            block = SetRequestBlock(self._invoke, not self._rest, self._number, piece)
            return More(self._protected(0xC9, SET_REQUEST.build(block)))
        self._asked = _IDLE
        if type(answer) is SetResponse or type(answer) is SetResponseLastBlock:
            return Answer(None) if answer.result == 0 else Refused("access", answer.result)
        assert type(answer) is SetResponseList
        return Answer(answer.results)

    # ACTION

    def _acted(self, apdu: bytes) -> Outcome:
        answer = ACTION_RESPONSE.parse(apdu)
        if answer.invoke & 0x0F != self._invoke & 0x0F:
            return Refused("unexpected", "another invoke id")
        if type(answer) is ActionResponse:
            if self._asked == _PROVING:
                return self._proven(answer)
            self._asked = _IDLE
            if answer.result:
                return Refused("action", answer.result)
            if isinstance(answer.data, int):
                return Refused("access", answer.data)
            return Answer(answer.data)
        if type(answer) is ActionResponseNext:
            if answer.block != self._number or not self._rest:
                return Refused("unexpected", f"acknowledgement of block {answer.block}")
            piece = self._cut(self._rest)
            block = ActionRequestBlock(self._invoke, not self._rest, self._number, piece)
            return More(self._protected(0xCB, ACTION_REQUEST.build(block)))
        if type(answer) is not ActionResponseBlock or self._asked == _PROVING:
            return Refused("unexpected", "not an answer to one method")
        if answer.block == 1:
            self._number = 0
        refused = self._block(answer.block, answer.raw)
        if refused is not None:
            return refused
        if not answer.last:
            return More(self._protected(0xCB, ACTION_REQUEST.build(ActionRequestNext(self._invoke, answer.block))))
        self._asked = _IDLE
        raw, self._raw = self._raw, b""
        return Answer(DATA.parse(raw))

    # Association

    def _welcomed(self, apdu: bytes) -> Outcome:
        answer = AARE_FRAME.parse(apdu)
        profile = self.profile
        information = answer.user_information
        if answer.result != _ACCEPTED:
            self._asked = _IDLE
            if information is not None and information[:1] == b"\x0e":
                return Refused("initiate", CONFIRMED_SERVICE_ERROR.parse(information).value)
            return Refused("association", answer.diagnostic)
        if answer.context != profile.context or information is None:
            return Refused("unexpected", "another application context")
        if profile.context == _LN_CIPHERED or profile.mechanism == _HLS_GMAC:
            store, context = self._keys()
            self._title = store.state(context).peer
            if answer.responding_title != self._title:
                return Refused("title", (answer.responding_title or b"").hex())
        if profile.context == _LN_CIPHERED:
            frame = GLO.parse(information)
            control = frame.security_control
            if frame.tag != 0x28 or control not in security.ACCEPTABLE or control & profile.control != profile.control:
                return Refused("unprotected")
            information = store.open(context, control, frame.invocation_counter, frame.text)
        negotiated = _negotiated(information)
        if negotiated.version != DLMS_VERSION:
            self._asked = _IDLE
            return Refused("initiate", 1)
        self.negotiated = negotiated
        if profile.mechanism <= _LLS:
            self.associated = True
            self._asked = _IDLE
            return Answer(negotiated)
        return self._prove(answer.diagnostic, answer.mechanism, answer.authentication)

    def _prove(self, diagnostic: int, mechanism: int | None, stoc: bytes | None) -> Outcome:
        """Pass 3: f(StoC), through the reply method of the current association."""
        if diagnostic != _AUTHENTICATION_REQUIRED or mechanism != self.profile.mechanism:
            return Refused("unexpected", "no authentication is asked for")
        if stoc is None or len(stoc) not in security.CHALLENGE_LENGTHS or security.same(stoc, self._ctos):
            return Refused("authentication", "not a challenge of the server's own")
        store, context = self._keys()
        reply = octet_string(security.gmac_reply(*store.gmac(context, stoc)))
        self._begin(_PROVING)
        request = ActionRequest(self._invoke, MethodRef(15, CURRENT, 1), reply)
        return More(self._protected(0xCB, ACTION_REQUEST.build(request)))

    def _proven(self, answer: ActionResponse) -> Outcome:
        """Pass 4: f(CtoS) proves that the server has the keys."""
        self._asked = _IDLE
        if answer.result:
            return Refused("action", answer.result)
        data = answer.data
        parts = None
        if isinstance(data, Data) and data.tag == Tag.OCTET_STRING:
            parts = security.parse_gmac_reply(data.value)
        if parts is None:
            return Refused("authentication", "not a GMAC reply")
        store, context = self._keys()
        try:
            store.check_gmac(context, *parts, self._ctos)
        except CryptoError as error:
            return Refused("authentication", str(error))
        self.associated = True
        return Answer(self.negotiated)

    def _released(self, apdu: bytes) -> Outcome:
        answer = RLRE_FRAME.parse(apdu)
        if self.profile.context == _LN_CIPHERED and answer.user_information is not None:
            frame = GLO.parse(answer.user_information)
            if frame.security_control not in security.ACCEPTABLE:
                return Refused("unprotected", frame.security_control)
            store, context = self._keys()
            store.open(context, frame.security_control, frame.invocation_counter, frame.text)
        self.associated = False
        self._asked = _IDLE
        return Answer(None)

    def _excepted(self, apdu: bytes) -> Outcome:
        """An exception response: never protected, so it is what somebody says; it ends the question all the same."""
        answer = EXCEPTION_RESPONSE.parse(apdu)
        self._asked = _IDLE
        if answer.service_error == ServiceError.INVOCATION_COUNTER_ERROR:
            return Refused("invocation-counter", answer.invocation_counter)
        return Refused("exception", answer.service_error)

    # Inside

    def _begin(self, asked: int) -> None:
        """A new question: a new invoke id, and no blocks of an older one."""
        self._asked = asked
        self._invoke = _CONFIRMED | (self._invoke + 1 & 0x0F)
        self._number = 0
        self._raw = self._rest = b""
        self._listing = False

    def _protects(self) -> bool:
        return self.profile.context == _LN_CIPHERED

    def _keys(self) -> tuple[ContextStore, int]:
        if self.store is None or self.context is None:
            raise NoKeyError(_NO_KEYS)
        return self.store, self.context

    def _sealed(self, tag: int, apdu: bytes) -> bytes:
        store, context = self.store, self.context
        if store is None or context is None:
            raise NoKeyError(_NO_KEYS)
        control = self.profile.control
        counter, text = store.seal(context, control, apdu)
        return GLO.build(Ciphered(tag, control, counter, text))

    def _protected(self, tag: int, apdu: bytes) -> bytes:
        profile = self.profile
        if profile.context != _LN_CIPHERED:
            return apdu
        store, context = self.store, self.context
        if store is None or context is None:  # as `_keys`, without its call, in what every request does
            raise NoKeyError(_NO_KEYS)
        control = profile.control
        counter, text = store.seal(context, control, apdu)
        if not profile.general:
            return GLO.build(Ciphered(tag, control, counter, text))
        return GENERAL_GLO.build(GeneralCiphered(store.state(context).title, control, counter, text))

    def _server_room(self) -> int:
        """Bytes a request may have before it is protected."""
        limit = self.negotiated.max_pdu if self.negotiated is not None else 0
        form = security.PLAIN
        if self._protects():
            form = security.GENERAL if self.profile.general else security.GLO
        return (limit or 0xFFFF) - security.OVERHEAD[form]

    def _cut(self, raw: bytes) -> bytes:
        """The next piece of a long value; the rest is kept."""
        size = max(self._server_room() - _REQUEST_HEADER, 1)
        self._number += 1
        self._rest = raw[size:]
        return raw[:size]


_ANSWER: Final = {_PROVING: 0xC7, _GETTING: 0xC4, _SETTING: 0xC5, _ACTING: 0xC7}
_GLO_ANSWER: Final = {_PROVING: 0xCF, _GETTING: 0xCC, _SETTING: 0xCD, _ACTING: 0xCF}
_UNDERSTOOD: Final[dict[int, Callable[[Client, bytes], Outcome]]] = {
    _PROVING: Client._acted,
    _GETTING: Client._got,
    _SETTING: Client._was_set,
    _ACTING: Client._acted,
}
"""What is asked -> who reads an answer whose protection holds."""
