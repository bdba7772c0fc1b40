"""Refusals that no ordinary talk meets: each has its answer, and none changes anything."""

import pytest
from dlms_bench_meter import (
    AK,
    CALENDAR,
    CLIENT_TITLE,
    CLOCK,
    CTOS,
    EK,
    ENERGY,
    IMAGE,
    LOAD_PROFILE,
    METER_TITLE,
    NAME,
    NOW,
    PASSWORD,
    PLAIN_HLS_SAP,
    PUBLIC_SAP,
    READER_SAP,
    SAPS,
    SECURITY_V1,
    SETTING,
    SUPPLY,
    SUPPLY_SCRIPTS,
    TARIFF_REGISTERS,
    TARIFF_SCRIPTS,
    TREE,
    Meter,
    at_noon,
    profile,
)

from emulator.codecs.acse import AARE, AARE_FRAME, AARQ, AARQ_FRAME, RLRQ, RLRQ_FRAME, Context, Mechanism
from emulator.codecs.action import (
    ACTION_REQUEST,
    ACTION_RESPONSE,
    ActionRequest,
    ActionRequestList,
    ActionResponse,
    MethodRef,
)
from emulator.codecs.axdr import (
    Data,
    array,
    double_long_unsigned,
    enum,
    integer,
    long_unsigned,
    null,
    octet_string,
    structure,
    unsigned,
)
from emulator.codecs.exception import EXCEPTION_RESPONSE
from emulator.codecs.get import GET_REQUEST, AttributeRef, GetRequest, GetRequestList, SelectiveAccess
from emulator.codecs.glo import GLO, Ciphered
from emulator.codecs.initiate import INITIATE_REQUEST, INITIATE_RESPONSE, InitiateRequest, InitiateResponse
from emulator.codecs.set import SET_RESPONSE, SetResponseBlock
from emulator.crypto.keys import ContextStore
from emulator.dlms.classes import ActivityCalendar, ImageTransfer, ProfileGeneric, SapAssignment, ScriptTable
from emulator.dlms.classes.activity_calendar import Calendar
from emulator.dlms.classes.image_transfer import ImageInfo
from emulator.dlms.classes.push_setup import Column
from emulator.dlms.classes.script_table import WRITE, Script, ScriptAction
from emulator.dlms.client import MANAGEMENT, Answer, Client, More, Profile, Refused
from emulator.dlms.cosem import DEDICATED, AccessRefused, ActionRefused, as_action_result, is_tag
from emulator.dlms.server import DEFAULT_CONFORMANCE
from emulator.dlms.tree import ObjectTree
from emulator.errors import NoKeyError, UsageError
from emulator.kernel.time import DAY, HOUR

INITIATE = INITIATE_REQUEST.build(InitiateRequest(None, True, None, 6, DEFAULT_CONFORMANCE, 1024))
READER = Profile(Mechanism.LLS, Context.LN, PASSWORD)
PLAIN = Profile(Mechanism.HLS_GMAC, Context.LN)


# Server


def test_an_initiate_of_another_suite_or_with_less_protection_is_refused(meter):
    """glo-initiate with a suite of its own: deciphering error; authenticated only under policy 3: diagnostic 13.
    Neither moves a counter."""
    before = meter.store.counters(0)
    for control, first in ((0x31, b"\xd8"), (0x10, b"\x61")):
        counter, text = meter.store.seal(8, control & 0xF0, INITIATE)
        inner = GLO.build(Ciphered(0x21, control, counter, text))
        request = AARQ(Context.LN_CIPHERED, CLIENT_TITLE, Mechanism.HLS_GMAC, CTOS, inner)
        assert meter.server.receive(1, AARQ_FRAME.build(request), NOW)[:1] == first
    assert meter.store.counters(0) == before


def test_a_release_with_less_protection_than_asked_for_is_refused(meter, head_end):
    """RLRQ whose glo-initiate is authenticated only, under policy 3: not allowed, the association stands."""
    weak = GLO.build(Ciphered(0x21, 0x10, *meter.store.seal(8, 0x10, INITIATE)))
    assert EXCEPTION_RESPONSE.parse(head_end.say(RLRQ_FRAME.build(RLRQ(0, weak)))).service_error == 1
    assert head_end.value(1, NAME, 2)


def test_a_release_may_carry_a_plain_initiate_and_must_carry_a_good_one(meter):
    """Plain association: user information is read; bytes that are no InitiateRequest are malformed."""
    client = meter.client(READER_SAP, READER).open()
    assert client.say(RLRQ_FRAME.build(RLRQ(0, b"\x01\x00")))[0] == 0xD8
    assert client.say(RLRQ_FRAME.build(RLRQ(0, INITIATE)))[0] == 0x63


def test_a_reply_that_is_none_fails_the_authentication(meter):
    """Pass 3 of a wrong length or a wrong security control byte: 250, association gone."""
    for reply in (bytes(17), bytes(16), b""):
        client = meter.client(PLAIN_HLS_SAP, PLAIN, 9)
        client.say(client.client.associate(CTOS))
        request = ActionRequest(0xC1, MethodRef(15, bytes((0, 0, 40, 0, 0, 255)), 1), octet_string(reply))
        assert ACTION_RESPONSE.parse(client.say(ACTION_REQUEST.build(request))).result == 250
        assert meter.server.association(PLAIN_HLS_SAP) is None


def test_a_device_that_lends_no_context_takes_no_dedicated_key(meter):
    """The association opens all the same; ded- services are not supported in it."""
    del meter.contexts[DEDICATED]
    inner = INITIATE_REQUEST.build(InitiateRequest(bytes(16), True, None, 6, DEFAULT_CONFORMANCE, 1024))
    glo = GLO.build(Ciphered(0x21, 0x30, *meter.store.seal(8, 0x30, inner)))
    request = AARQ(Context.LN_CIPHERED, CLIENT_TITLE, Mechanism.HLS_GMAC, CTOS, glo)
    assert AARE_FRAME.parse(meter.server.receive(1, AARQ_FRAME.build(request), NOW)).result == 0
    ded = GLO.build(Ciphered(0xD0, 0x30, 0, bytes(30)))
    assert EXCEPTION_RESPONSE.parse(meter.server.receive(1, ded, NOW)).service_error == 2


def test_a_policy_for_answers_protects_them_and_asks_for_protected_requests(meter):
    """Version 1, 20h + 40h: an authenticated request is answered authenticated and encrypted; a plain one is
    refused."""
    client = meter.client(PLAIN_HLS_SAP, PLAIN, 9).open()
    activate = ACTION_REQUEST.build(ActionRequest(0xC1, MethodRef(64, SECURITY_V1, 1), enum(0x60)))
    client.say(GLO.build(Ciphered(0xCB, 0x10, *meter.store.seal(9, 0x10, activate))))
    assert client.get(1, NAME, 2) == Refused("exception", 1)
    get = GET_REQUEST.build(GetRequest(0xC1, AttributeRef(1, NAME, 2)))
    answer = GLO.parse(client.say(GLO.build(Ciphered(0xC8, 0x10, *meter.store.seal(9, 0x10, get)))))
    assert answer.security_control == 0x30
    assert meter.store.open(9, 0x30, answer.invocation_counter, answer.text)[:4] == b"\xc4\x01\xc1\x00"


def test_keys_that_cannot_be_taken_into_use_are_noted(meter, head_end):
    """A context that was erased between the answer and the key: a note, no exception."""
    meter.pending.append(lambda: meter.store.install(6, ek=EK))
    assert head_end.value(1, NAME, 2)
    assert meter.noted("dlms.not-settled") == 1


def test_unbuildable_values_in_lists_and_answers_are_other_reason(meter, monkeypatch):
    """A value beyond its type costs its own place in a list 250, and an action its result; the rest is served."""
    energy, supply = TREE[3, ENERGY], TREE[70, SUPPLY]
    reads = list(energy._reads)
    reads[2] = lambda device, now: double_long_unsigned(1 << 40)
    monkeypatch.setattr(energy, "_reads", tuple(reads))
    monkeypatch.setitem(supply._acts, 1, lambda device, data, now: unsigned(999))
    client = meter.client(READER_SAP, READER).open()
    refs = (AttributeRef(1, NAME, 2), AttributeRef(3, ENERGY, 2))
    assert client.ask(client.client.get_list(refs)).value[1:] == (250,)
    assert client.act(70, SUPPLY, 1, null()) == Refused("action", 250)
    methods = (MethodRef(70, SUPPLY, 1), MethodRef(70, SUPPLY, 2))
    answer = client.say(ACTION_REQUEST.build(ActionRequestList(0xC1, methods, (null(), null()))))
    assert ACTION_RESPONSE.parse(answer).results == ((250, None), (3, None))
    assert meter.noted("dlms.unbuildable") == 3


def test_an_answer_too_long_for_a_client_without_action_blocks_is_refused(meter, monkeypatch):
    """ACTION with 300 bytes to return and no block transfer negotiated: 250."""
    monkeypatch.setitem(TREE[70, SUPPLY]._acts, 1, lambda device, data, now: octet_string(bytes(300)))
    without = Profile(Mechanism.LLS, Context.LN, PASSWORD, max_pdu=100, conformance=0x1D)
    client = meter.client(READER_SAP, without).open()
    assert client.act(70, SUPPLY, 1, null()) == Refused("action", 250)


def test_a_list_of_more_than_127_comes_with_a_long_count(meter):
    """150 attributes in one request: 150 results, in blocks."""
    client = meter.client(1, Profile(Mechanism.HLS_GMAC, Context.LN_CIPHERED, max_pdu=0)).open()
    refs = (AttributeRef(1, SETTING, 2),) * 80
    assert client.ask(client.client.get_list(refs)) == Answer((unsigned(30),) * 80)
    big = Meter(profile(max_pdu=4_000))
    public = big.client(PUBLIC_SAP, Profile(max_pdu=200)).open()
    request = GetRequestList(0xC1, (AttributeRef(1, NAME, 2),) * 150)
    public.client.get_list(request.attributes)
    outcome = public.ask(GET_REQUEST.build(request))
    assert outcome == Answer((octet_string(b"ELS0000000012345"),) * 150)


# Client


def test_a_client_without_keys_or_challenge_says_so(meter):
    """Misuse by the caller is an exception: no store, no challenge."""
    with pytest.raises(NoKeyError):
        Client(None, None, MANAGEMENT).associate(CTOS)
    with pytest.raises(UsageError):
        Client(meter.store, 8, MANAGEMENT).associate(b"short")


def accepted(meter, **changes):
    """A good AARE of a ciphered HLS association, with changes."""
    initiate = INITIATE_RESPONSE.build(InitiateResponse(None, changes.pop("version", 6), 0x1D, 1024, 7))
    control = changes.pop("control", 0x30)
    inner = GLO.build(Ciphered(0x28, control, *meter.store.seal(0, control, initiate)))
    fields = {
        "context": Context.LN_CIPHERED, "result": 0, "diagnostic_source": 1, "diagnostic": 14,
        "responding_title": METER_TITLE, "mechanism": Mechanism.HLS_GMAC, "authentication": bytes(16),
        "user_information": inner,
    }  # fmt: skip
    return AARE_FRAME.build(AARE(**{**fields, **changes}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"context": Context.LN}, "unexpected"),
        ({"user_information": None}, "unexpected"),
        ({"control": 0x10}, "unprotected"),
        ({"version": 5}, "initiate"),
        ({"diagnostic": 0}, "unexpected"),
        ({"mechanism": Mechanism.HLS}, "unexpected"),
        ({"authentication": b"short"}, "authentication"),
        ({"authentication": CTOS}, "authentication"),
        ({"result": 1, "diagnostic": 13}, "association"),
        ({"responding_title": None}, "title"),
    ],
)
def test_an_aare_that_is_not_what_was_agreed_is_refused(meter, changes, reason):
    """Context, initiate, protection, version, diagnostic, mechanism, challenge, title: each with its reason."""
    client = meter.client().client
    client.associate(CTOS)
    outcome = client.receive(accepted(meter, **changes))
    assert isinstance(outcome, More) if reason is None else outcome.reason == reason


def test_answers_of_a_wrong_kind_are_unexpected(meter):
    """A service error, a block nobody asked for, an acknowledgement of another block, an access error in an ACTION."""
    client = meter.client(READER_SAP, READER).open().client
    client.get(AttributeRef(1, NAME, 2))
    assert client.receive(bytes((0x0E, 1, 6, 3))) == Refused("initiate", 3)
    assert client.receive(bytes((0x0E, 1, 6, 3))) == Refused("unexpected", "0e")
    client.get(AttributeRef(1, NAME, 2))
    assert client.receive(bytes((0xC4, 2, client._invoke, 1, 0, 0, 0, 1, 1, 19))) == Refused("access", 19)
    client.get(AttributeRef(1, NAME, 2))
    assert client.receive(bytes((0xC4, 2, client._invoke, 0, 0, 0, 0, 7, 0, 0))).reason == "unexpected"
    assert client.receive(b"\x77").reason == "unexpected"
    client.set(AttributeRef(1, SETTING, 2), unsigned(1))
    assert client.receive(SET_RESPONSE.build(SetResponseBlock(client._invoke, 1))).reason == "unexpected"
    client.action(MethodRef(70, SUPPLY, 1), integer(0))
    assert client.receive(bytes((0xC7, 4, client._invoke, 0, 0, 0, 1))).reason == "unexpected"
    assert client.receive(bytes((0xC7, 3, client._invoke, 0))).reason == "unexpected"
    assert client.receive(bytes((0xC7, 2, client._invoke, 0, 0, 0, 0, 2, 0))).reason == "unexpected"
    answer = ACTION_RESPONSE.build(ActionResponse(client._invoke, 0, 4))
    assert client.receive(answer) == Refused("access", 4)


def test_a_proof_that_is_no_proof_is_refused(meter):
    """Pass 4 without data, or with other data than a GMAC reply."""
    for data in (None, octet_string(b"x"), unsigned(1)):
        client = meter.client(PLAIN_HLS_SAP, PLAIN, 9)
        third = client.client.receive(client.say(client.client.associate(CTOS)))
        assert isinstance(third, More)
        answer = ACTION_RESPONSE.build(ActionResponse(client.client._invoke, 0, data))
        assert client.client.receive(answer).reason == "authentication"
        assert not client.client.associated


# Classes


def test_verification_takes_its_time_and_an_image_may_fail_to_start(meter):
    """verify_s: temporary failure, then verified; an `activate` that says no: status 7, tried again on request."""
    item = ImageTransfer(
        IMAGE,
        verify=lambda device, image, now: ImageInfo(image.size, image.identifier),
        activate=lambda device, image, now: False,
        block_size=10,
        verify_s=5,
    )
    item.act(meter, 1, structure((octet_string(b"i"), double_long_unsigned(4))), NOW)
    item.act(meter, 2, structure((double_long_unsigned(0), octet_string(b"1234"))), NOW)
    for later in (0, 1, 4):
        with pytest.raises(ActionRefused) as refused:
            item.act(meter, 3, integer(0), NOW + later * 1_000_000)
        assert refused.value.result == 2
    assert item.status(meter, NOW + 5_000_000) == 3
    for _ in range(2):
        with pytest.raises(ActionRefused) as refused:
            item.act(meter, 4, integer(0), NOW + 6_000_000)
        assert refused.value.result == 250
    assert item.status(meter, NOW + 6_000_000) == 7


def test_tables_of_register_activation_have_an_end(meter, head_end):
    """64 registers and masks; a mask in force that no table has any more lets nothing count."""
    definition = structure((long_unsigned(3), octet_string(ENERGY)))
    head_end.set(6, TARIFF_REGISTERS, 2, array((definition,) * 64))
    assert head_end.act(6, TARIFF_REGISTERS, 1, definition) == Refused("action", 250)
    masks = [structure((octet_string(bytes((n,))), array((unsigned(1),)))) for n in range(64)]
    head_end.set(6, TARIFF_REGISTERS, 3, array(masks))
    assert TREE[6, TARIFF_REGISTERS].active(meter, NOW) == ()
    assert head_end.act(6, TARIFF_REGISTERS, 2, structure((octet_string(b"new"), array(())))) == Refused("action", 250)


def test_saps_may_be_made_from_the_device_and_tell_of_a_change(meter):
    """Logical device names with the installation's number; the hook may refuse."""
    told = []

    def connected(device, sap, name, now):
        if sap == 13:
            raise ActionRefused(1)
        told.append((sap, name))

    item = SapAssignment(lambda device: [(1, b"M%d" % device.installation)], connected=connected)
    assert item.read(meter, 2, NOW).value[0].value[1].value == b"M7"
    item.act(meter, 1, structure((long_unsigned(4), octet_string(b"M7"))), NOW)
    with pytest.raises(ActionRefused):
        item.act(meter, 1, structure((long_unsigned(13), octet_string(b"M7"))), NOW)
    assert told == [(4, b"M7")]
    assert item.logical_name == SAPS


def test_a_script_that_ran_is_told_of(meter):
    """The `executed` hook after the last action, not after a refusal."""
    told = []
    table = ScriptTable(
        SUPPLY_SCRIPTS,
        [
            Script(1, (ScriptAction(WRITE, 1, SETTING, 2, unsigned(2)),)),
            Script(2, (ScriptAction(WRITE, 1, NAME, 2, null()),)),
        ],
        executed=lambda device, number, now: told.append(number),
    )
    table.act(meter, 1, long_unsigned(1), NOW)
    with pytest.raises(ActionRefused):
        table.act(meter, 1, long_unsigned(2), NOW)
    assert told == [1]


def test_a_profile_without_a_clock_takes_bounds_of_true_time(meter):
    """Range bounds decode without a clock object; what is no date is refused; a selection must be an array of
    objects."""
    hourly = ProfileGeneric(LOAD_PROFILE, [Column(8, CLOCK, 2)], entries=5, period_s=3600)

    def by(first: Data, wanted: Data):
        return SelectiveAccess(1, structure((Column(8, CLOCK, 2).data(), first, null(), wanted)))

    assert len(hourly.select(meter, 2, by(octet_string(at_noon(-2)), array(())), NOW).value) == 3
    for access in (by(octet_string(b"\x07\xe4\x0d" + bytes(9)), array(())), by(octet_string(at_noon(0)), null())):
        with pytest.raises(AccessRefused) as refused:
            hourly.select(meter, 2, access, NOW)
        assert refused.value.result == 12


def test_seasons_without_a_month_or_with_an_impossible_one(meter):
    """A season open in month and day begins with the year; one that names only a day, or the 30th of February,
    never."""
    days = ((1, ((bytes(4), TARIFF_SCRIPTS, 1),)), (2, ((bytes(4), TARIFF_SCRIPTS, 2),)))
    weeks = ((b"one", (1,) * 7), (b"two", (2,) * 7))
    for start, expected in (("07E4FFFFFF", 1), ("07E4FF05FF", 2), ("07E4021EFF", 2)):
        seasons = (
            (b"a", bytes.fromhex("07E30101FF000000FF800000"), b"two"),
            (b"b", bytes.fromhex(start + "000000FF800000"), b"one"),
        )
        calendar = ActivityCalendar(CALENDAR, Calendar(b"", seasons, weeks, days))
        assert calendar.rate_at(meter, NOW) == (TARIFF_SCRIPTS, expected)


def test_a_calendar_plan_far_away_does_not_hide_the_next_switch(meter):
    """A planned activation is the next switch only when nothing switches before it."""
    calendar = TREE[20, CALENDAR]
    calendar.set(meter, 10, octet_string(at_noon(24 * 30)), NOW)
    assert calendar.next_switch(meter, NOW) == NOW + 12 * HOUR
    calendar.set(meter, 3, array(()), NOW)
    calendar.set(meter, 4, array(()), NOW)
    assert calendar.rate_at(meter, NOW) is None
    assert calendar.next_switch(meter, NOW) == NOW + 30 * DAY


def test_small_words_of_the_ground():
    """Results that only attributes have become "other reason" for a method; a check by tag; an empty tree has no
    due."""
    assert as_action_result(17) == 250
    assert is_tag(17, 18)(unsigned(1))
    assert not is_tag(17, 18)(integer(1))
    assert ObjectTree([]).next_due(Meter(), NOW) is None
    assert TREE.next_due(Meter(), NOW) == NOW + HOUR
    store = ContextStore(1)
    store.load(0, ek=EK, ak=AK, title=CLIENT_TITLE, peer=METER_TITLE)
    assert Client(store, 0, MANAGEMENT).associate(CTOS)[0] == 0x60
