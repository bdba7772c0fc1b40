"""GET, SET and ACTION in every form: results, lists, blocks out and in, access rights, and the right refusals."""

import pytest
from dlms_bench_meter import (
    CLOCK,
    CURRENT,
    ENERGY,
    LOAD_PROFILE,
    LONG_TEXT,
    NAME,
    NOW,
    PASSWORD,
    PUBLIC_SAP,
    READER_SAP,
    SETTING,
    SLOW,
    SUPPLY,
    SUPPLY_SCRIPTS,
    Meter,
    profile,
)

from emulator.codecs.acse import Context, Mechanism
from emulator.codecs.action import (
    ACTION_REQUEST,
    ACTION_RESPONSE,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestList,
    ActionRequestListFirstBlock,
    ActionRequestNext,
    MethodRef,
)
from emulator.codecs.axdr import (
    DATA,
    array,
    double_long_unsigned,
    integer,
    long_unsigned,
    null,
    octet_string,
    structure,
    unsigned,
    visible_string,
)
from emulator.codecs.exception import EXCEPTION_RESPONSE
from emulator.codecs.get import (
    GET_REQUEST,
    GET_RESPONSE,
    AttributeRef,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponseBlock,
    SelectiveAccess,
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
)
from emulator.dlms.client import PUBLIC, Answer, Profile, Refused
from emulator.dlms.server import DEFAULT_CONFORMANCE

READER = Profile(Mechanism.LLS, Context.LN, PASSWORD)
SMALL = Profile(Mechanism.LLS, Context.LN, PASSWORD, max_pdu=64)
REF = AttributeRef(1, NAME, 2)


@pytest.fixture
def reader(meter):
    return meter.client(READER_SAP, READER).open()


def codec_for(apdu: bytes):
    return {0xC4: GET_RESPONSE, 0xC5: SET_RESPONSE, 0xC7: ACTION_RESPONSE, 0xD8: EXCEPTION_RESPONSE}[apdu[0]]


def say(client, request):
    """Build a request, send it as it is, parse the answer."""
    codec = {"Get": GET_REQUEST, "Set": SET_REQUEST, "Act": ACTION_REQUEST}[type(request).__name__[:3]]
    answer = client.say(codec.build(request))
    return None if answer is None else codec_for(answer).parse(answer)


# Results


@pytest.mark.parametrize(
    ("ref", "result"),
    [
        (AttributeRef(1, bytes(6), 2), 4),
        (AttributeRef(3, NAME, 2), 9),
        (AttributeRef(1, NAME, 3), 4),
        (AttributeRef(1, NAME, 0), 4),
        (AttributeRef(1, NAME, -1), 4),
        (AttributeRef(1, NAME, 2, SelectiveAccess(1, null())), 13),
        (AttributeRef(9999, NAME, 2), 9),
    ],
)
def test_a_read_that_cannot_be_has_the_right_result(reader, ref, result):
    """Unknown object 4, other class 9, unknown attribute 4, attribute 0 and below 4, no selective access here 13."""
    assert reader.ask(reader.client.get(ref)) == Refused("access", result)


@pytest.mark.parametrize(
    ("ref", "data", "result"),
    [
        (AttributeRef(1, SETTING, 2), unsigned(5), 0),
        (AttributeRef(1, SETTING, 2), octet_string(b"5"), 12),
        (AttributeRef(1, SETTING, 1), octet_string(bytes(6)), 3),
        (AttributeRef(1, NAME, 2), octet_string(b"x"), 3),
        (AttributeRef(1, SETTING, 9), unsigned(5), 4),
        (AttributeRef(3, SLOW, 2), double_long_unsigned(5), 3),
        (AttributeRef(1, bytes(6), 2), unsigned(5), 4),
        (AttributeRef(1, SETTING, 2, SelectiveAccess(1, null())), unsigned(5), 13),
    ],
)
def test_a_write_has_the_right_result(meter, reader, ref, data, result):
    """Written 0; wrong type 12; a name, a constant, a right not given 3; unknown 4; a part of an attribute 13."""
    outcome = reader.ask(reader.client.set(ref, data))
    assert outcome == (Answer(None) if result == 0 else Refused("access", result))
    assert len(meter.deviations) == (1 if result == 0 else 0)


@pytest.mark.parametrize(
    ("ref", "data", "result"),
    [
        (MethodRef(70, SUPPLY, 1), integer(0), 0),
        (MethodRef(70, SUPPLY, 2), integer(0), 3),
        (MethodRef(70, SUPPLY, 3), integer(0), 4),
        (MethodRef(70, SUPPLY, 0), integer(0), 4),
        (MethodRef(70, bytes(6), 1), integer(0), 4),
        (MethodRef(71, SUPPLY, 1), integer(0), 9),
        (MethodRef(70, SUPPLY, 1), octet_string(b""), 12),
        (MethodRef(70, SUPPLY, 1), None, 12),
    ],
)
def test_a_method_has_the_right_result(meter, reader, ref, data, result):
    """Done 0; no right 3; unknown method 4; unknown object 4; other class 9; wrong parameters 12: and nothing moved."""
    outcome = reader.ask(reader.client.action(ref, data))
    assert outcome == (Answer(None) if result == 0 else Refused("action", result))
    assert meter.moves == ([(0, "remote")] if result == 0 else [])


def test_writing_the_default_again_forgets_the_deviation(meter, reader):
    """A device that deviates in nothing has nothing to keep."""
    reader.set(1, SETTING, 2, unsigned(5))
    assert reader.value(1, SETTING, 2) == unsigned(5)
    reader.set(1, SETTING, 2, unsigned(30))
    assert meter.deviations == {}
    assert reader.value(1, SETTING, 2) == unsigned(30)


def test_unconfirmed_services_act_and_are_not_answered(meter, reader):
    """Bit 6 of the invoke byte clear: a SET and an ACTION are carried out in silence."""
    assert say(reader, SetRequest(0x01, AttributeRef(1, SETTING, 2), unsigned(9))) is None
    assert say(reader, ActionRequest(0x02, MethodRef(70, SUPPLY, 1), integer(0))) is None
    assert reader.value(1, SETTING, 2) == unsigned(9)
    assert meter.moves == [(0, "remote")]


def test_the_invoke_byte_is_echoed(reader):
    """Whatever invoke-id and priority a request has, the answer has the same."""
    for invoke in (0x40, 0x4F, 0xC1, 0xFF):
        assert say(reader, GetRequest(invoke, REF)).invoke == invoke


# Lists


def test_a_list_is_answered_item_by_item(reader):
    """GET, SET and ACTION with lists: a refusal in the middle does not stop the others."""
    got = say(reader, GetRequestList(0xC1, (REF, AttributeRef(1, bytes(6), 2), AttributeRef(3, ENERGY, 2))))
    assert got.results == (octet_string(b"ELS0000000012345"), 4, double_long_unsigned(576_000))
    refs = (AttributeRef(1, SETTING, 2), REF, AttributeRef(1, LONG_TEXT, 2))
    written = say(reader, SetRequestList(0xC1, refs, (unsigned(1), unsigned(2), visible_string("hello"))))
    assert written.results == (0, 3, 0)
    methods = (MethodRef(70, SUPPLY, 2), MethodRef(70, SUPPLY, 1), MethodRef(70, SUPPLY, 9))
    acted = say(reader, ActionRequestList(0xC1, methods, (integer(0),) * 3))
    assert acted.results == ((3, None), (0, None), (4, None))
    assert reader.client.receive(reader.say(reader.client.get_list((REF, REF)))) == Answer(
        (octet_string(b"ELS0000000012345"),) * 2
    )
    assert reader.ask(reader.client.set_list(refs[:1], (unsigned(4),))) == Answer((0,))


def test_a_list_and_its_values_must_be_as_many(meter, reader):
    """Two attributes and one value, two methods and one parameter: every item refused (250), nothing done."""
    raw = SET_REQUEST.build(SetRequestList(0xC1, (AttributeRef(1, SETTING, 2),) * 2, (unsigned(1), unsigned(2))))
    cut = raw[:-5] + b"\x01\x11\x01"
    assert SET_RESPONSE.parse(reader.say(cut)).results == (250, 250)
    raw = ACTION_REQUEST.build(ActionRequestList(0xC1, (MethodRef(70, SUPPLY, 1),) * 2, (integer(0), integer(0))))
    assert ACTION_RESPONSE.parse(reader.say(raw[:-5] + b"\x01\x0f\x00")).results == ((250, None), (250, None))
    assert meter.deviations == {}
    assert meter.moves == []


def test_lists_that_were_not_negotiated_are_not_supported(meter):
    """Without the multiple-references bit: exception, service not supported."""
    without = Profile(
        Mechanism.LLS, Context.LN, PASSWORD, conformance=DEFAULT_CONFORMANCE & ~int(Conformance.MULTIPLE_REFERENCES)
    )
    client = meter.client(READER_SAP, without).open()
    assert say(client, GetRequestList(0xC1, (REF,))).service_error == 2
    assert say(client, ActionRequestList(0xC1, (MethodRef(70, SUPPLY, 1),), (integer(0),))).service_error == 2
    assert meter.moves == []


def test_selective_access_that_was_not_negotiated_is_out_of_scope(meter):
    """Without the selective-access bit a selection is refused (13), the whole attribute is not."""
    without = Profile(
        Mechanism.LLS, Context.LN, PASSWORD, conformance=DEFAULT_CONFORMANCE & ~int(Conformance.SELECTIVE_ACCESS)
    )
    client = meter.client(READER_SAP, without).open()
    entry = structure((double_long_unsigned(1), double_long_unsigned(2), long_unsigned(1), long_unsigned(0)))
    assert client.get(7, LOAD_PROFILE, 2, SelectiveAccess(2, entry)) == Refused("access", 13)


# Blocks out


@pytest.mark.parametrize("max_pdu", [12, 30, 136, 137, 138, 139, 140, 267, 64, 65, 77, 100, 500, 1024, 0xFFFF, 0])
def test_a_long_answer_comes_in_blocks_that_the_client_takes(meter, max_pdu):
    """480 half-hours: every answering APDU is within the client's size, and together they are the profile."""
    whole = meter.client().open().value(7, LOAD_PROFILE, 2)
    plain = meter.client(READER_SAP, Profile(Mechanism.LLS, Context.LN, PASSWORD, max_pdu=max_pdu)).open()
    assert plain.value(7, LOAD_PROFILE, 2) == whole
    assert len(whole.value) == 480
    assert all(len(apdu) <= (max_pdu or 0xFFFF) for apdu in plain.heard[1:])


def test_ciphered_blocks_stay_within_the_size_too(meter):
    """The protection around a block counts: no ciphered answer is longer than the client takes."""
    for general in (False, True):
        small = Profile(Mechanism.HLS_GMAC, Context.LN_CIPHERED, max_pdu=90, general=general)
        client = meter.client(1, small).open()
        entries = structure((double_long_unsigned(1), double_long_unsigned(9), long_unsigned(1), long_unsigned(0)))
        assert len(client.value(7, LOAD_PROFILE, 2, SelectiveAccess(2, entries)).value) == 9
        assert len(client.heard) > 5
        assert all(len(apdu) <= 90 for apdu in client.heard[1:])


def first_block(client) -> GetResponseBlock:
    return say(client, GetRequest(0xC1, AttributeRef(7, LOAD_PROFILE, 2)))


def test_the_last_block_can_be_asked_for_again(meter):
    """The request for a block repeated (its answer was lost): the same block, and the transfer goes on."""
    client = meter.client(READER_SAP, SMALL).open()
    first_block(client)
    second = say(client, GetRequestNext(0xC1, 1))
    assert say(client, GetRequestNext(0xC1, 1)) == second
    assert say(client, GetRequestNext(0xC1, 2)).block == 3


@pytest.mark.parametrize("block", [0, 1, 4, 0xFFFF_FFFF])
def test_a_wrong_block_number_ends_the_transfer(meter, block):
    """Result 19, data-block-number-invalid; then there is no transfer any more: 16."""
    client = meter.client(READER_SAP, SMALL).open()
    first_block(client)
    say(client, GetRequestNext(0xC1, 1))
    say(client, GetRequestNext(0xC1, 2))
    answer = say(client, GetRequestNext(0xC1, block))
    assert (answer.last, answer.result) == (True, 19)
    assert say(client, GetRequestNext(0xC1, 2)).result == 16


def test_no_transfer_and_another_invoke_id_are_refused(meter):
    """next without a long answer, with another invoke id, or for an answer of another service: 16."""
    client = meter.client(READER_SAP, SMALL).open()
    assert say(client, GetRequestNext(0xC1, 1)).result == 16
    first_block(client)
    assert say(client, GetRequestNext(0xC2, 1)).result == 16
    assert say(client, ActionRequestNext(0xC1, 1)).result == 16


def test_a_long_answer_without_block_transfer_is_refused(meter):
    """A client that takes no blocks gets result 250 and not an APDU it cannot hold."""
    without = Profile(
        Mechanism.LLS,
        Context.LN,
        PASSWORD,
        max_pdu=64,
        conformance=DEFAULT_CONFORMANCE
        & ~int(Conformance.BLOCK_TRANSFER_WITH_GET | Conformance.BLOCK_TRANSFER_WITH_ACTION),
    )
    client = meter.client(READER_SAP, without).open()
    assert client.get(7, LOAD_PROFILE, 2) == Refused("access", 250)


def test_a_long_list_comes_in_blocks_and_is_put_together(meter):
    """The results of a list, cut into blocks, are the results of the list."""
    client = meter.client(READER_SAP, SMALL).open()
    refs = (REF, AttributeRef(1, bytes(6), 2), AttributeRef(8, CLOCK, 5), AttributeRef(8, CLOCK, 6), REF, REF)
    answer = client.ask(client.client.get_list(refs))
    assert [item if isinstance(item, int) else item.tag for item in answer.value] == [9, 4, 9, 9, 9, 9]
    assert len(client.heard) > 2


def test_a_long_return_parameter_comes_in_pblocks(meter, monkeypatch):
    """ACTION: the returned datum in blocks, asked for with next-pblock; repeats are served, wrong numbers abort
    (15)."""
    table = meter.objects.named("saps")
    monkeypatch.setitem(table._acts, 1, lambda device, data, now: octet_string(bytes(300)))
    client = meter.client(1, Profile(Mechanism.HLS_GMAC, Context.LN_CIPHERED, max_pdu=100)).open()
    assert client.act(17, bytes((0, 0, 41, 0, 0, 255)), 1, null()) == Answer(octet_string(bytes(300)))
    assert len(client.heard) > 6
    assert all(len(apdu) <= 100 for apdu in client.heard[1:])


def test_pblocks_repeat_and_abort(meter, monkeypatch):
    """next-pblock: the same number again gives the same block, another ends the transfer with 15, then 16."""
    disconnect = meter.objects.named("supply")
    monkeypatch.setitem(disconnect._acts, 1, lambda device, data, now: octet_string(bytes(300)))
    client = meter.client(READER_SAP, SMALL).open()
    assert say(client, ActionRequest(0xC1, MethodRef(70, SUPPLY, 1), null())).block == 1
    second = say(client, ActionRequestNext(0xC1, 1))
    assert say(client, ActionRequestNext(0xC1, 1)) == second
    assert say(client, ActionRequestNext(0xC1, 7)).result == 15
    assert say(client, ActionRequestNext(0xC1, 2)).result == 16
    methods = (MethodRef(70, SUPPLY, 1), MethodRef(70, SUPPLY, 2))
    blocks, answer = b"", say(client, ActionRequestList(0xC1, methods, (null(), null())))
    while not answer.last:
        blocks += answer.raw
        answer = say(client, ActionRequestNext(0xC1, answer.block))
    listed = ACTION_RESPONSE.parse(b"\xc7\x03\xc1" + blocks + answer.raw)
    assert listed.results == ((0, octet_string(bytes(300))), (3, None))


# Blocks in


def test_a_long_value_is_written_in_blocks(meter):
    """SET of 2,000 characters through a client whose server takes 200 bytes, plain and ciphered."""
    meter = Meter(profile(max_pdu=200))
    text = visible_string("x" * 2_000)
    for client in (meter.client(READER_SAP, READER).open(), meter.client().open()):
        assert client.set(1, LONG_TEXT, 2, text) == Answer(None)
        assert client.value(1, LONG_TEXT, 2) == text
        assert all(len(apdu) <= 200 for apdu in client.sent[1:])
        client.set(1, LONG_TEXT, 2, visible_string(""))


def test_long_parameters_are_sent_in_blocks(meter):
    """ACTION with 700 bytes of parameters to a server that takes 200: block by block, then the result."""
    meter = Meter(profile(max_pdu=200))
    client = meter.client().open()
    image = bytes((0, 0, 44, 0, 0, 255))
    assert client.act(18, image, 1, structure((octet_string(b"i" * 700), double_long_unsigned(1_000)))) == Answer(None)
    assert len(client.sent) > 5
    assert client.act(18, image, 1, structure((octet_string(b"i" * 700), octet_string(b"")))) == Refused("action", 12)


def test_blocks_in_follow_their_numbers(meter, reader):
    """A block again is acknowledged again; a gap ends the transfer with 19; a block without a first one is 18."""
    ref, raw = AttributeRef(1, LONG_TEXT, 2), DATA.build(visible_string("y" * 30))
    assert say(reader, SetRequestBlock(0xC1, False, 2, b"")).result == 18
    assert say(reader, SetRequestFirstBlock(0xC1, ref, False, 1, raw[:10])).block == 1
    assert say(reader, SetRequestBlock(0xC1, False, 2, raw[10:20])).block == 2
    assert say(reader, SetRequestBlock(0xC1, False, 2, raw[10:20])).block == 2
    last = say(reader, SetRequestBlock(0xC1, True, 3, raw[20:]))
    assert (last.result, last.block) == (0, 3)
    assert reader.value(1, LONG_TEXT, 2) == visible_string("y" * 30)
    say(reader, SetRequestFirstBlock(0xC1, ref, False, 1, raw[:10]))
    assert say(reader, SetRequestBlock(0xC1, False, 3, raw[10:])).result == 19
    assert say(reader, SetRequestBlock(0xC1, True, 2, raw[10:])).result == 18
    say(reader, SetRequestFirstBlock(0xC1, ref, False, 1, raw[:10]))
    assert say(reader, SetRequestBlock(0xC2, True, 2, raw[10:])).result == 18


def test_blocks_that_are_no_value_are_refused(meter, reader):
    """Reassembled bytes that do not decode: 12, and a value of a wrong type: 12; nothing is written."""
    ref = AttributeRef(1, SETTING, 2)
    assert say(reader, SetRequestFirstBlock(0xC1, ref, True, 1, b"\xfe\xfe")).result == 12
    assert say(reader, SetRequestFirstBlock(0xC1, ref, True, 1, DATA.build(octet_string(b"")))).result == 12
    assert say(reader, SetRequestFirstBlock(0xC1, ref, True, 1, DATA.build(unsigned(3)))).result == 0
    method = MethodRef(70, SUPPLY, 1)
    assert say(reader, ActionRequestFirstBlock(0xC1, method, True, 1, b"\xfe")).result == 12
    assert meter.moves == []


def test_lists_in_blocks(meter, reader):
    """with-list-and-first-datablock for SET and ACTION: values in blocks, one result for each."""
    refs = (AttributeRef(1, SETTING, 2), AttributeRef(1, LONG_TEXT, 2))
    raw = DATA.build(array((unsigned(3), visible_string("z" * 20))))[1:]
    assert say(reader, SetRequestListFirstBlock(0xC1, refs, False, 1, raw[:5])).block == 1
    assert say(reader, SetRequestBlock(0xC1, True, 2, raw[5:])).results == (0, 0)
    assert reader.value(1, LONG_TEXT, 2) == visible_string("z" * 20)
    assert say(reader, SetRequestListFirstBlock(0xC1, refs, True, 1, b"\x01\x11\x05")).result == 17
    methods = (MethodRef(70, SUPPLY, 1), MethodRef(70, SUPPLY, 2))
    raw = DATA.build(array((integer(0), integer(0))))[1:]
    assert say(reader, ActionRequestListFirstBlock(0xC1, methods, False, 1, raw[:2])).block == 1
    assert say(reader, ActionRequestBlock(0xC1, False, 1, raw[:2])).block == 1
    assert say(reader, ActionRequestBlock(0xC1, True, 2, raw[2:])).results == ((0, None), (3, None))
    assert say(reader, ActionRequestBlock(0xC1, True, 3, b"")).result == 16
    say(reader, ActionRequestFirstBlock(0xC1, methods[0], False, 1, b"\x0f"))
    assert say(reader, ActionRequestBlock(0xC1, True, 5, b"\x00")).result == 15


def test_a_value_in_blocks_has_an_end(meter, reader):
    """More than 256 KiB in blocks is refused, not collected."""
    say(reader, SetRequestFirstBlock(0xC1, AttributeRef(1, LONG_TEXT, 2), False, 1, bytes(900)))
    for number in range(2, 400):
        answer = say(reader, SetRequestBlock(0xC1, False, number, bytes(900)))
        if not hasattr(answer, "block") or hasattr(answer, "result"):
            break
    assert answer.result == 19
    assert number * 900 < 300_000


# Whole requests


def test_a_request_longer_than_the_device_takes_is_refused(meter, reader):
    """More than max_pdu: exception, PDU too long."""
    answer = reader.say(SET_REQUEST.build(SetRequest(0xC1, AttributeRef(1, LONG_TEXT, 2), visible_string("x" * 1024))))
    assert EXCEPTION_RESPONSE.parse(answer).service_error == 4


@pytest.mark.parametrize(
    "apdu", [b"\x05\x01", b"\x0f\x00", b"\xd9\x00", b"\xe0\x00", b"\xff", b"\x00", b"\x61\x00", b"\xc4\x01"]
)
def test_services_that_do_not_exist_here_are_unknown(meter, reader, apdu):
    """Short-name, access, block-transfer and answers as requests: state 2, service not supported."""
    answer = EXCEPTION_RESPONSE.parse(reader.say(apdu))
    assert (answer.state_error, answer.service_error) == (2, 2)


def test_nothing_is_answered_as_something(meter, reader):
    """An empty APDU: an exception, and the association stands."""
    assert EXCEPTION_RESPONSE.parse(reader.say(b"")).state_error == 2
    assert reader.value(1, NAME, 2)


@pytest.mark.parametrize(
    "request_",
    [
        GET_REQUEST.build(GetRequest(0xC1, REF)),
        SET_REQUEST.build(SetRequest(0xC1, AttributeRef(1, SETTING, 2), unsigned(1))),
        ACTION_REQUEST.build(ActionRequest(0xC1, MethodRef(9, SUPPLY_SCRIPTS, 1), long_unsigned(1))),
    ],
)
def test_every_cut_and_every_overhang_is_malformed(meter, reader, request_):
    """Prefixes of a request and a request with a byte too many: state 2, other reason, noted; nothing is done."""
    for apdu in [request_[:length] for length in range(1, len(request_))] + [request_ + b"\x00"]:
        answer = EXCEPTION_RESPONSE.parse(reader.say(apdu))
        assert (answer.state_error, answer.service_error) == (2, 3)
    assert meter.noted("dlms.malformed") == len(request_)
    assert meter.deviations == {}
    assert meter.moves == []


def test_the_current_association_is_the_clients_own(meter, reader):
    """0-0:40.0.0 answers for each client with its own association object."""
    public = meter.client(PUBLIC_SAP, PUBLIC).open()
    assert public.value(15, bytes((0, 0, 40, 0, 1, 255)), 3) == structure((integer(16), long_unsigned(1)))
    assert reader.value(15, CURRENT, 3) == structure((integer(READER_SAP), long_unsigned(1)))


def test_a_bug_in_an_object_is_an_exception_and_a_note(meter, monkeypatch):
    """What should never happen does not leave the server: exception, other reason, and a note that names it."""
    energy = meter.objects.named("energy")
    reads = list(energy._reads)
    reads[2] = lambda device, now: 1 // 0
    monkeypatch.setattr(energy, "_reads", tuple(reads))
    client = meter.client().open()
    answer = meter.server.receive(1, client.client.get(AttributeRef(3, ENERGY, 2)), NOW)
    assert EXCEPTION_RESPONSE.parse(answer).service_error == 3
    assert meter.noted("dlms.fault") == 1


def test_a_value_that_no_bytes_can_say_is_other_reason(meter, monkeypatch):
    """A register beyond its type: 250 for it alone, and the rest of a list is served."""
    energy = meter.objects.named("energy")
    reads = list(energy._reads)
    reads[2] = lambda device, now: double_long_unsigned(1 << 40)
    monkeypatch.setattr(energy, "_reads", tuple(reads))
    client = meter.client(READER_SAP, READER).open()
    assert client.get(3, ENERGY, 2) == Refused("access", 250)
    assert meter.noted("dlms.unbuildable") == 1
