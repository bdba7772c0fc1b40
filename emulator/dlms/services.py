"""GET, SET and ACTION on the server's side: from an unprotected request to an unprotected answer.

Every function here takes bytes that were opened and authorised as a message, finds the object, asks the access table
whether this client may, lets the object act, and makes the answer, in blocks where it is longer than the client
takes. What an object refuses becomes the result in the answer; a request that is no request becomes `FrameError` or
`ServiceRefused` and the server's business.
"""

from collections.abc import Callable, Sequence
from typing import Final

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
    ActionResult,
    MethodRef,
)
from emulator.codecs.axdr import DATA, Data
from emulator.codecs.exception import ServiceError
from emulator.codecs.get import (
    GET_REQUEST,
    GET_RESPONSE,
    AttributeRef,
    DataAccessResult,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
)
from emulator.codecs.initiate import Conformance
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
from emulator.dlms.access import may_act, may_read, may_write
from emulator.dlms.association import ASSOCIATED, Association
from emulator.dlms.blocks import ACTION_HEADER, GET_HEADER, Incoming, Outgoing, chunk
from emulator.dlms.classes.association_ln import CURRENT
from emulator.dlms.cosem import AccessRefused, ActionRefused, CosemObject, Device, as_action_result
from emulator.dlms.security import not_allowed
from emulator.errors import FrameError
from emulator.kernel.effects import Instant

_CONFIRMED: Final = 0x40
_GET: Final = 0xC4
_WITH_LIST: Final = 3
_SET: Final = 0xC1
_ACTION_ANSWER: Final = 0xC7
_ACTION: Final = 0xC3
_REPLY_TO_HLS: Final = 1
_ASSOCIATION: Final = 15
_READ_OR_WRITTEN: Final = DataAccessResult.SUCCESS.value
_DONE: Final = ActionResult.SUCCESS.value
_BLOCK_TRANSFER_WITH_ACTION: Final = Conformance.BLOCK_TRANSFER_WITH_ACTION.value
_BLOCK_TRANSFER_WITH_GET: Final = Conformance.BLOCK_TRANSFER_WITH_GET.value
_BLOCK_TRANSFER_WITH_SET: Final = Conformance.BLOCK_TRANSFER_WITH_SET.value
_MULTIPLE_REFERENCES: Final = Conformance.MULTIPLE_REFERENCES.value
_SELECTIVE_ACCESS: Final = Conformance.SELECTIVE_ACCESS.value


def _current(association: Association, ref: AttributeRef | MethodRef) -> CosemObject | None:
    """For a name that no object has: the client's own association, if that is meant by it."""
    if ref.class_id == _ASSOCIATION and ref.logical_name == CURRENT:
        return association.client.association
    return None


def _offered(association: Association, bit: int, what: str) -> None:
    if not association.conformance & bit:
        raise not_allowed(f"{what} was not negotiated", ServiceError.SERVICE_NOT_SUPPORTED)


# One attribute, one method


def _read(device: Device, association: Association, ref: AttributeRef, now: Instant) -> Data | int:
    item = device.objects.find((ref.class_id, ref.logical_name)) or _current(association, ref)
    if item is None:
        return device.objects.missing(ref.logical_name).value
    modes = association.client.association.rights.modes(item)[0]
    number = ref.attribute
    if not 0 < number < len(modes):
        return DataAccessResult.OBJECT_UNDEFINED.value
    if not may_read(modes[number], association.authenticated):
        return DataAccessResult.READ_WRITE_DENIED.value
    if ref.access is not None and not association.conformance & _SELECTIVE_ACCESS:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED.value
    try:
        return item.get(device, number, ref.access, now)
    except AccessRefused as refusal:
        return refusal.result.value


def _write(device: Device, association: Association, ref: AttributeRef, data: Data, now: Instant) -> int:
    item = device.objects.find((ref.class_id, ref.logical_name)) or _current(association, ref)
    if item is None:
        return device.objects.missing(ref.logical_name).value
    modes = association.client.association.rights.modes(item)[0]
    number = ref.attribute
    if not 0 < number < len(modes):
        return DataAccessResult.OBJECT_UNDEFINED.value
    if not may_write(modes[number], association.authenticated):
        return DataAccessResult.READ_WRITE_DENIED.value
    if ref.access is not None:  # no class here can be written in part
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED.value
    try:
        item.set(device, number, data, now)
    except AccessRefused as refusal:
        device.note("dlms.write-refused", ref.class_id, ref.logical_name, number, refusal.result.value, refusal.reason)
        return refusal.result.value
    return _READ_OR_WRITTEN


def _invoke(
    device: Device, association: Association, ref: MethodRef, data: Data | None, now: Instant
) -> tuple[int, Data | int | None]:
    item = device.objects.find((ref.class_id, ref.logical_name)) or _current(association, ref)
    own = association.client.association
    if association.state != ASSOCIATED and (item is not own or ref.method != _REPLY_TO_HLS):
        raise not_allowed("the association is not open yet")
    if item is None:
        return as_action_result(device.objects.missing(ref.logical_name)).value, None
    mode = own.rights.modes(item)[1].get(ref.method)
    if mode is None:
        return ActionResult.OBJECT_UNDEFINED.value, None
    # The reply to the challenge is how a client gets its rights, so it needs none.
    if not may_act(mode, association.authenticated) and (item is not own or ref.method != _REPLY_TO_HLS):
        return ActionResult.READ_WRITE_DENIED.value, None
    try:
        return _DONE, item.act(device, ref.method, data, now)
    except ActionRefused as refusal:
        device.note("dlms.action-refused", ref.class_id, ref.logical_name, ref.method, refusal.result.value,
                    refusal.reason)  # fmt: skip
        return refusal.result.value, None


# GET


def _get(device: Device, association: Association, apdu: bytes, now: Instant) -> bytes | None:
    request = GET_REQUEST.parse(apdu)
    if type(request) is GetRequest:
        result = _read(device, association, request.attribute, now)
        try:
            answer = GET_RESPONSE.build(GetResponse(request.invoke, result))
            if len(answer) <= association.room():
                return answer
        except FrameError:  # longer than an APDU may be, or a value that no bytes can say
            assert isinstance(result, Data)
        return _send_datum(device, association, request.invoke, result)
    if type(request) is GetRequestNext:
        return _next_get(association, request)
    assert type(request) is GetRequestList
    _offered(association, _MULTIPLE_REFERENCES, "a list")
    results = [_read(device, association, ref, now) for ref in request.attributes]
    raw = _listed([_encoded(device, result) for result in results])
    if len(raw) + 3 <= association.room():
        return bytes((_GET, _WITH_LIST, request.invoke)) + raw
    return _send_blocks(association, request.invoke, raw)


def _encoded(device: Device, result: Data | int) -> bytes:
    """One Get-Data-Result."""
    if isinstance(result, Data):
        try:
            return b"\x00" + DATA.build(result)
        except FrameError as error:
            device.note("dlms.unbuildable", error.reason)
            result = DataAccessResult.OTHER_REASON.value
    return bytes((1, result))


def _listed(parts: Sequence[bytes]) -> bytes:
    """A SEQUENCE OF: the count, then the parts. A list in a request has at most as many as fit an APDU."""
    count = len(parts)
    if count < 0x80:
        return bytes((count,)) + b"".join(parts)
    size = (count.bit_length() + 7) // 8
    return bytes((0x80 | size,)) + count.to_bytes(size, "big") + b"".join(parts)


def _send_datum(device: Device, association: Association, invoke: int, result: Data | int) -> bytes:
    """A single datum that does not fit one answer."""
    try:
        assert isinstance(result, Data)
        return _send_blocks(association, invoke, DATA.build(result))
    except FrameError as error:
        device.note("dlms.unbuildable", error.reason)
        return GET_RESPONSE.build(GetResponse(invoke, DataAccessResult.OTHER_REASON.value))


def _send_blocks(association: Association, invoke: int, raw: bytes) -> bytes:
    if not association.conformance & _BLOCK_TRANSFER_WITH_GET:
        return GET_RESPONSE.build(GetResponse(invoke, DataAccessResult.OTHER_REASON.value))
    outgoing = association.outgoing = Outgoing(_GET, invoke, raw, chunk(association.room(), GET_HEADER))
    return _get_block(association, outgoing)


def _get_block(association: Association, outgoing: Outgoing) -> bytes:
    last, piece = outgoing.piece()
    return GET_RESPONSE.build(GetResponseBlock(outgoing.invoke, last, outgoing.number, piece))


def _next_get(association: Association, request: GetRequestNext) -> bytes:
    outgoing = association.outgoing
    if outgoing is None or outgoing.service != _GET or outgoing.invoke & 0x0F != request.invoke & 0x0F:
        result = DataAccessResult.NO_LONG_GET_IN_PROGRESS
    elif not outgoing.advance(request.block):
        association.outgoing = None
        result = DataAccessResult.DATA_BLOCK_NUMBER_INVALID
    else:
        return _get_block(association, outgoing)
    return GET_RESPONSE.build(GetResponseBlock(request.invoke, True, request.block, result.value))


# SET


def _set(device: Device, association: Association, apdu: bytes, now: Instant) -> bytes | None:
    request = SET_REQUEST.parse(apdu)
    answer: SetResponse | SetResponseList | SetResponseBlock | SetResponseLastBlock | SetResponseLastBlockList
    if type(request) is SetRequest:
        answer = SetResponse(request.invoke, _write(device, association, request.attribute, request.value, now))
    elif type(request) is SetRequestList:
        _offered(association, _MULTIPLE_REFERENCES, "a list")
        if len(request.attributes) != len(request.values):
            answer = SetResponseList(
                request.invoke, tuple(DataAccessResult.OTHER_REASON.value for _ in request.attributes)
            )
        else:
            answer = SetResponseList(
                request.invoke, _write_all(device, association, request.attributes, request.values, now)
            )
    elif type(request) is SetRequestFirstBlock:
        _offered(association, _BLOCK_TRANSFER_WITH_SET, "a value in blocks")
        association.incoming = Incoming(_SET, request.invoke, (request.attribute,), False)
        answer = _set_block(device, association, request.invoke, request.last, request.block, request.raw, now)
    elif type(request) is SetRequestListFirstBlock:
        _offered(association, _BLOCK_TRANSFER_WITH_SET, "a value in blocks")
        _offered(association, _MULTIPLE_REFERENCES, "a list")
        association.incoming = Incoming(_SET, request.invoke, request.attributes, True)
        answer = _set_block(device, association, request.invoke, request.last, request.block, request.raw, now)
    else:
        assert type(request) is SetRequestBlock
        answer = _set_block(device, association, request.invoke, request.last, request.block, request.raw, now)
    return SET_RESPONSE.build(answer) if request.invoke & _CONFIRMED else None


def _write_all(
    device: Device, association: Association, refs: Sequence[AttributeRef], values: Sequence[Data], now: Instant
) -> tuple[int, ...]:
    return tuple(_write(device, association, ref, value, now) for ref, value in zip(refs, values, strict=True))


def _set_block(
    device: Device, association: Association, invoke: int, last: bool, number: int, raw: bytes, now: Instant
) -> SetResponseBlock | SetResponseLastBlock | SetResponseLastBlockList:
    incoming = association.incoming
    if incoming is None or incoming.service != _SET or incoming.invoke & 0x0F != invoke & 0x0F:
        return SetResponseLastBlock(invoke, DataAccessResult.NO_LONG_SET_IN_PROGRESS.value, number)
    if number == incoming.number and not last:  # our acknowledgement was lost
        return SetResponseBlock(invoke, number)
    if not incoming.take(number, raw):
        association.incoming = None
        return SetResponseLastBlock(invoke, DataAccessResult.DATA_BLOCK_NUMBER_INVALID.value, number)
    if not last:
        return SetResponseBlock(invoke, number)
    association.incoming = None
    refs = tuple(ref for ref in incoming.targets if isinstance(ref, AttributeRef))
    try:
        datum = DATA.parse(incoming.whole())
    except FrameError as error:
        device.note("dlms.malformed", error.codec, error.reason, error.offset)
        return SetResponseLastBlock(invoke, DataAccessResult.TYPE_UNMATCHED.value, number)
    if not incoming.listed:
        return SetResponseLastBlock(invoke, _write(device, association, refs[0], datum, now), number)
    if len(datum.value) != len(refs):
        return SetResponseLastBlock(invoke, DataAccessResult.LONG_SET_ABORTED.value, number)
    return SetResponseLastBlockList(invoke, _write_all(device, association, refs, datum.value, now), number)


# ACTION


def _action(device: Device, association: Association, apdu: bytes, now: Instant) -> bytes | None:
    request = ACTION_REQUEST.parse(apdu)
    answer: bytes
    if type(request) is ActionRequest:
        answer = _act_one(device, association, request.invoke, request.method, request.parameters, now)
    elif type(request) is ActionRequestNext:
        return _next_action(association, request)
    elif type(request) is ActionRequestList:
        _offered(association, _MULTIPLE_REFERENCES, "a list")
        answer = _act_all(device, association, request.invoke, request.methods, request.parameters, now)
    elif type(request) is ActionRequestFirstBlock:
        _offered(association, _BLOCK_TRANSFER_WITH_ACTION, "parameters in blocks")
        association.incoming = Incoming(_ACTION, request.invoke, (request.method,), False)
        answer = _action_block(device, association, request.invoke, request.last, request.block, request.raw, now)
    elif type(request) is ActionRequestListFirstBlock:
        _offered(association, _BLOCK_TRANSFER_WITH_ACTION, "parameters in blocks")
        _offered(association, _MULTIPLE_REFERENCES, "a list")
        association.incoming = Incoming(_ACTION, request.invoke, request.methods, True)
        answer = _action_block(device, association, request.invoke, request.last, request.block, request.raw, now)
    else:
        assert type(request) is ActionRequestBlock
        answer = _action_block(device, association, request.invoke, request.last, request.block, request.raw, now)
    return answer if request.invoke & _CONFIRMED else None


def _act_one(
    device: Device, association: Association, invoke: int, ref: MethodRef, data: Data | None, now: Instant
) -> bytes:
    result, returned = _invoke(device, association, ref, data, now)
    try:
        answer = ACTION_RESPONSE.build(ActionResponse(invoke, result, returned))
        if len(answer) <= association.room() or not isinstance(returned, Data):
            return answer
        raw = DATA.build(returned)
    except FrameError as error:
        device.note("dlms.unbuildable", error.reason)
        return ACTION_RESPONSE.build(ActionResponse(invoke, ActionResult.OTHER_REASON.value))
    return _send_action_blocks(association, invoke, raw)


def _act_all(
    device: Device,
    association: Association,
    invoke: int,
    refs: Sequence[MethodRef],
    parameters: Sequence[Data],
    now: Instant,
) -> bytes:
    if len(refs) != len(parameters):
        refused: tuple[int, Data | int | None] = ActionResult.OTHER_REASON.value, None
        return ACTION_RESPONSE.build(ActionResponseList(invoke, (refused,) * len(refs)))
    results = tuple(_invoke(device, association, ref, data, now) for ref, data in zip(refs, parameters, strict=True))
    try:
        answer = ACTION_RESPONSE.build(ActionResponseList(invoke, results))
    except FrameError as error:
        device.note("dlms.unbuildable", error.reason)
        results = tuple(
            outcome if _sayable(outcome[1]) else (ActionResult.OTHER_REASON.value, None) for outcome in results
        )
        answer = ACTION_RESPONSE.build(ActionResponseList(invoke, results))
    if len(answer) <= association.room():
        return answer
    return _send_action_blocks(association, invoke, answer[3:])


def _sayable(returned: Data | int | None) -> bool:
    try:
        return not isinstance(returned, Data) or bool(DATA.build(returned))
    except FrameError:
        return False


def _send_action_blocks(association: Association, invoke: int, raw: bytes) -> bytes:
    if not association.conformance & _BLOCK_TRANSFER_WITH_ACTION:
        return ACTION_RESPONSE.build(ActionResponse(invoke, ActionResult.OTHER_REASON.value))
    size = chunk(association.room(), ACTION_HEADER)
    outgoing = association.outgoing = Outgoing(_ACTION_ANSWER, invoke, raw, size)
    return _action_answer_block(outgoing)


def _action_answer_block(outgoing: Outgoing) -> bytes:
    last, piece = outgoing.piece()
    return ACTION_RESPONSE.build(ActionResponseBlock(outgoing.invoke, last, outgoing.number, piece))


def _next_action(association: Association, request: ActionRequestNext) -> bytes:
    outgoing = association.outgoing
    if outgoing is None or outgoing.service != _ACTION_ANSWER or outgoing.invoke & 0x0F != request.invoke & 0x0F:
        return ACTION_RESPONSE.build(ActionResponse(request.invoke, ActionResult.NO_LONG_ACTION_IN_PROGRESS.value))
    if not outgoing.advance(request.block):
        association.outgoing = None
        return ACTION_RESPONSE.build(ActionResponse(request.invoke, ActionResult.LONG_ACTION_ABORTED.value))
    return _action_answer_block(outgoing)


def _action_block(
    device: Device, association: Association, invoke: int, last: bool, number: int, raw: bytes, now: Instant
) -> bytes:
    def refused(result: ActionResult) -> bytes:
        association.incoming = None
        return ACTION_RESPONSE.build(ActionResponse(invoke, result.value))

    incoming = association.incoming
    if incoming is None or incoming.service != _ACTION or incoming.invoke & 0x0F != invoke & 0x0F:
        return refused(ActionResult.NO_LONG_ACTION_IN_PROGRESS)
    if number == incoming.number and not last:
        return ACTION_RESPONSE.build(ActionResponseNext(invoke, number))
    if not incoming.take(number, raw):
        return refused(ActionResult.LONG_ACTION_ABORTED)
    if not last:
        return ACTION_RESPONSE.build(ActionResponseNext(invoke, number))
    association.incoming = None
    refs = tuple(ref for ref in incoming.targets if isinstance(ref, MethodRef))
    try:
        datum = DATA.parse(incoming.whole())
    except FrameError as error:
        device.note("dlms.malformed", error.codec, error.reason, error.offset)
        return refused(ActionResult.TYPE_UNMATCHED)
    if incoming.listed:
        return _act_all(device, association, invoke, refs, datum.value, now)
    return _act_one(device, association, invoke, refs[0], datum, now)


Handler = Callable[[Device, Association, bytes, Instant], bytes | None]

HANDLERS: Final[dict[int, tuple[Handler, int]]] = {
    0xC0: (_get, Conformance.GET.value),
    0xC1: (_set, Conformance.SET.value),
    0xC3: (_action, Conformance.ACTION.value),
}
"""Tag of a request -> (who answers it, the conformance bit it needs)."""
