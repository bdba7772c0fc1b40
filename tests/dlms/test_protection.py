"""Ciphered services under damage, replay and rollback; the policy; the published vectors, through server and client."""

import pytest
from dlms_bench_meter import (
    AK,
    CLIENT_TITLE,
    CTOS,
    ENERGY,
    METER_TITLE,
    NAME,
    NOW,
    PLAIN_HLS_SAP,
    SECURITY,
    SECURITY_V1,
    Meter,
    profile,
)

from emulator.codecs.acse import AARE, AARE_FRAME, Context, Mechanism
from emulator.codecs.action import ACTION_REQUEST, ActionRequest, MethodRef
from emulator.codecs.axdr import DATA, enum, octet_string, visible_string
from emulator.codecs.data_notification import DATA_NOTIFICATION
from emulator.codecs.exception import EXCEPTION_RESPONSE
from emulator.codecs.get import GET_REQUEST, GET_RESPONSE, AttributeRef, GetRequest
from emulator.codecs.glo import GENERAL_GLO, GLO, Ciphered, GeneralCiphered
from emulator.codecs.initiate import INITIATE_REQUEST
from emulator.dlms.client import MANAGEMENT, Answer, Client, More, Profile, Refused
from emulator.dlms.security import Reaction
from emulator.errors import CounterExhaustedError

GET_NAME = GET_REQUEST.build(GetRequest(0xC1, AttributeRef(1, NAME, 2)))
NAME_VALUE = octet_string(b"ELS0000000012345")
GENERAL = Profile(Mechanism.HLS_GMAC, Context.LN_CIPHERED, general=True)


def sealed(meter: Meter, apdu: bytes = GET_NAME, control: int = 0x30, tag: int = 0xC8) -> bytes:
    counter, text = meter.store.seal(8, control, apdu)
    return GLO.build(Ciphered(tag, control, counter, text))


def exception(answer: bytes) -> tuple[int, int, int | None]:
    parsed = EXCEPTION_RESPONSE.parse(answer)
    return parsed.state_error, parsed.service_error, parsed.invocation_counter


# Damage


def test_every_cut_of_a_ciphered_request_is_answered_and_none_opens(meter, head_end):
    """All prefixes of a glo-get: an exception response each time, nothing read, no counter moved."""
    apdu, before = sealed(meter), meter.store.counters(0)
    for length in range(len(apdu)):
        assert head_end.say(apdu[:length])[0] == 0xD8
    assert meter.store.counters(0) == before
    assert head_end.say(apdu)[0] == 0xCC


def bent_at(apdu: bytes, bit: int) -> bytes:
    bent = bytearray(apdu)
    bent[bit // 8] ^= 1 << bit % 8
    return bytes(bent)


def test_every_bent_bit_of_a_ciphered_request_is_refused(meter, head_end):
    """Each single flipped bit of length, security control, counter, text and authentication tag: an exception, and
    nothing has changed; the request itself is still good afterwards."""
    apdu, before = sealed(meter), meter.store.counters(0)
    for bit in range(8, len(apdu) * 8):
        assert head_end.say(bent_at(apdu, bit))[0] == 0xD8
    assert meter.store.counters(0) == before
    assert head_end.say(apdu)[0] == 0xCC


def test_a_bent_apdu_tag_is_refused_though_no_seal_covers_it(meter, head_end):
    """The outer tag is not authenticated: a message under another tag opens at most to be refused for what it is."""
    for bit in range(8):
        assert head_end.say(bent_at(sealed(meter), bit))[0] == 0xD8
    assert head_end.value(1, NAME, 2) == NAME_VALUE


def test_a_repeated_request_is_refused_with_the_expected_counter_and_noted(meter, head_end):
    """A byte-identical replay: exception 6 with received + 1; and again when it comes a third time."""
    apdu = sealed(meter)
    counter = GLO.parse(apdu).invocation_counter
    assert head_end.say(apdu)[0] == 0xCC
    for _ in range(2):
        assert exception(head_end.say(apdu)) == (1, 6, counter + 1)
    assert meter.noted("dlms.replay") == 2


def test_requests_out_of_order_lose_the_older_one(meter, head_end):
    """Two requests swapped on the way: the younger is served, the older is refused from then on."""
    older, younger = sealed(meter), sealed(meter)
    assert head_end.say(younger)[0] == 0xCC
    assert exception(head_end.say(older))[1] == 6


def test_a_gap_in_the_counters_is_accepted_and_a_rollback_is_not(meter, head_end):
    """The lowest acceptable counter is received + 1: a jump forward is served, a step back is not, not even by one."""
    meter.store.set_counters(8, tx=1_000)
    assert head_end.get(1, NAME, 2) == Answer(NAME_VALUE)
    assert meter.store.counters(0)[1] == 1_001
    rolled = Meter()
    rolled.client().open()
    rolled.store.set_counters(0, rx=5_000)
    assert rolled.client().ask(sealed(rolled)) == Refused("unexpected", "d8")
    assert rolled.noted("dlms.replay") == 1


def test_a_counter_of_zero_is_checked_as_any_other(meter):
    """A fresh context expects 0; after 0 was used it is refused, though some stacks skip the check there."""
    first = meter.client()
    apdu = first.client.associate(CTOS)
    assert first.say(apdu)[0] == 0x61
    assert exception(first.say(apdu)) == (1, 6, 1)


def test_counters_outlive_associations_on_both_sides(meter):
    """Five associations: no counter of either side comes twice, and none starts again."""
    seen: dict[str, list[int]] = {"client": [], "server": []}
    for _ in range(5):
        client = meter.client().open()
        client.get(1, NAME, 2)
        client.ask(client.client.release())
        for side, apdus in (("client", client.sent), ("server", client.heard)):
            seen[side] += [GLO.parse(apdu).invocation_counter for apdu in apdus if apdu[0] in (0xC8, 0xCB, 0xCC, 0xCF)]
    for counters in seen.values():
        assert counters == sorted(set(counters))


def test_a_request_of_one_client_does_not_open_under_another(meter, head_end):
    """Keys and counters are per client: what management sealed means nothing at another SAP."""
    other = meter.client(PLAIN_HLS_SAP, Profile(Mechanism.HLS_GMAC, Context.LN), 9).open()
    meter.store.install(1, ek=bytes(16))
    assert exception(other.say(sealed(meter)))[:2] == (1, 5)


@pytest.mark.parametrize(
    ("reaction", "counter_answer", "tag_answer", "stands"),
    [
        (Reaction.EXCEPTION, (1, 6), (1, 5), True),
        (Reaction.PLAIN_EXCEPTION, (1, 1), (1, 1), True),
        (Reaction.SILENCE, None, None, True),
        (Reaction.CLOSE, None, None, False),
    ],
)
def test_the_profile_says_what_becomes_of_bad_counters_and_tags(reaction, counter_answer, tag_answer, stands):
    """Exception 6 or 5, a bare exception, silence, or a closed association; noted in every case."""
    for bad, expected in (("counter", counter_answer), ("tag", tag_answer)):
        meter = Meter(profile(bad_counter=reaction, bad_tag=reaction))
        client = meter.client().open()
        apdu = sealed(meter)
        if bad == "counter":
            client.say(apdu)
        else:
            apdu = apdu[:-1] + bytes((apdu[-1] ^ 1,))
        answer = client.say(apdu)
        assert (None if answer is None else exception(answer)[:2]) == expected
        assert meter.noted("dlms.replay" if bad == "counter" else "dlms.not-opened") == 1
        assert (meter.server.association(1) is not None) is stands


# Policy and forms


@pytest.mark.parametrize("control", [0x10, 0x20])
def test_less_protection_than_the_policy_asks_for_is_refused(meter, head_end, control):
    """Policy 3 takes authenticated and encrypted requests only."""
    assert exception(head_end.say(sealed(meter, control=control)))[:2] == (1, 1)
    assert exception(head_end.say(GET_NAME))[:2] == (1, 1)


@pytest.mark.parametrize("control", [0x00, 0x31, 0x32, 0x70, 0xB0, 0x3F])
def test_other_suites_keys_and_compression_cannot_be_opened(meter, head_end, control):
    """A security control byte beyond suite 0 with the unicast key: deciphering error."""
    counter, text = meter.store.seal(8, 0x30, GET_NAME)
    assert exception(head_end.say(GLO.build(Ciphered(0xC8, control, counter, text))))[:2] == (1, 5)


def test_the_outer_tag_must_say_what_is_inside(meter, head_end):
    """A SET inside a glo-get, an AARQ inside, nothing inside: refused, though the seal is good."""
    for inner in (b"\xc1" + GET_NAME[1:], b"\x60\x00", b""):
        assert head_end.say(sealed(meter, inner))[0] == 0xD8
    assert meter.noted("dlms.malformed") == 3


def test_general_glo_is_accepted_and_mirrored(meter):
    """A request in general-glo-ciphering is answered in general-glo-ciphering under the meter's title."""
    client = meter.client(1, GENERAL).open()
    assert client.get(1, NAME, 2) == Answer(NAME_VALUE)
    assert client.sent[-1][0] == client.heard[-1][0] == 0xDB
    assert GENERAL_GLO.parse(client.heard[-1]).system_title == METER_TITLE
    counter, text = meter.store.seal(8, 0x30, GET_NAME)
    alien = GENERAL_GLO.build(GeneralCiphered(b"SOMEBODY", 0x30, counter, text))
    assert exception(client.say(alien))[:2] == (1, 5)
    unnamed = GENERAL_GLO.build(GeneralCiphered(b"", 0x30, *meter.store.seal(8, 0x30, GET_NAME)))
    assert client.say(unnamed)[0] == 0xDB
    assert client.say(GENERAL_GLO.build(GeneralCiphered(b"", 0x30, *meter.store.seal(8, 0x30, b"\x60"))))[0] == 0xD8
    assert exception(client.say(b"\xdc" + client.sent[-2][1:]))[:2] == (1, 2)


def test_an_answer_is_protected_as_its_request_was(meter):
    """Under a policy that leaves the choice, authenticated, encrypted and full protection are mirrored."""
    client = meter.client(PLAIN_HLS_SAP, Profile(Mechanism.HLS_GMAC, Context.LN), 9).open()
    for control in (0x10, 0x20, 0x30):
        counter, text = meter.store.seal(9, control, GET_NAME)
        answer = GLO.parse(client.say(GLO.build(Ciphered(0xC8, control, counter, text))))
        assert answer.security_control == control
        assert meter.store.open(9, control, answer.invocation_counter, answer.text)[4:] == DATA.build(NAME_VALUE)


def test_security_activate_only_strengthens(meter, head_end):
    """Version 0: 3 -> 1 is denied (result 3), 3 -> 3 granted, 9 unknown; an enum is wanted."""
    assert head_end.act(64, SECURITY, 1, enum(1)) == Refused("action", 3)
    assert head_end.act(64, SECURITY, 1, enum(3)) == Answer(None)
    assert head_end.act(64, SECURITY, 1, enum(9)) == Refused("action", 250)
    assert head_end.act(64, SECURITY, 1, octet_string(b"")) == Refused("action", 12)
    assert head_end.value(64, SECURITY, 2) == enum(3)
    assert meter.deviations == {}


def test_version_1_policies_are_bits_and_bind_at_once(meter):
    """04h + 08h strengthens to authenticated and encrypted requests; a plain one is refused from then on."""
    plain = Profile(Mechanism.HLS_GMAC, Context.LN)
    client = meter.client(PLAIN_HLS_SAP, plain, 9).open()

    def activate(policy: int) -> bytes:
        apdu = ACTION_REQUEST.build(ActionRequest(0xC1, MethodRef(64, SECURITY_V1, 1), enum(policy)))
        counter, text = meter.store.seal(9, 0x30, apdu)
        answer = GLO.parse(client.say(GLO.build(Ciphered(0xCB, 0x30, counter, text))))
        return meter.store.open(9, 0x30, answer.invocation_counter, answer.text)

    assert client.value(1, NAME, 2) == NAME_VALUE
    assert activate(0x10)[3] == 250  # signing belongs to other suites
    assert activate(0x0C)[3] == 0
    assert client.get(1, NAME, 2) == Refused("exception", 1)
    assert activate(0x04)[3] == 3
    assert activate(0x0C)[3] == 0
    assert meter.noted("security.policy") == 1


def test_authenticated_access_wants_an_authenticated_request(meter):
    """An attribute of mode "authenticated read" is denied to a plain and to an encrypted request alone."""
    client = meter.client(PLAIN_HLS_SAP, Profile(Mechanism.HLS_GMAC, Context.LN), 9).open()
    request = GET_REQUEST.build(GetRequest(0xC1, AttributeRef(3, ENERGY, 2)))
    assert client.get(3, ENERGY, 2) == Refused("access", 3)
    for control, result in ((0x20, 3), (0x10, None), (0x30, None)):
        counter, text = meter.store.seal(9, control, request)
        answer = GLO.parse(client.say(GLO.build(Ciphered(0xC8, control, counter, text))))
        plain = GET_RESPONSE.parse(meter.store.open(9, control, answer.invocation_counter, answer.text))
        assert (plain.result if isinstance(plain.result, int) else None) == result


def test_the_last_counter_ends_ciphered_talk(meter, head_end):
    """Send counter at its maximum: the request is served no answer but an exception, and that is noted."""
    meter.store.set_counters(0, tx=0xFFFF_FFFF)
    assert exception(head_end.say(sealed(meter)))[:2] == (1, 3)
    assert meter.noted("dlms.counter-exhausted") == 1
    with pytest.raises(CounterExhaustedError):
        meter.server.notify(octet_string(b""), NOW)


# Notifications


def test_a_notification_travels_in_general_glo_under_the_management_keys(meter):
    """`notify`: the meter's title, its own counter shared with answers, the device's time, the body."""
    before = meter.store.counters(0)[0]
    frame = GENERAL_GLO.parse(meter.server.notify(visible_string("alert"), NOW))
    assert (frame.system_title, frame.security_control, frame.invocation_counter) == (METER_TITLE, 0x30, before)
    plain = meter.store.open(8, 0x30, frame.invocation_counter, frame.text)
    notification = DATA_NOTIFICATION.parse(plain)
    assert notification.body == visible_string("alert")
    assert notification.date_time.hex() == "07e40302010c000000000000"


def test_a_device_without_keys_notifies_in_the_clear(meter):
    """No management context: a plain DataNotification."""
    meter.store.erase(0)
    assert DATA_NOTIFICATION.parse(meter.server.notify(visible_string("x"), NOW)).body == visible_string("x")


# The client's side


def test_the_client_refuses_damaged_replayed_and_foreign_answers(meter, head_end):
    """A bent tag, an older answer, an unprotected one, another title: refused each with its reason, the question
    open."""
    apdu = head_end.client.get(AttributeRef(1, NAME, 2))
    answer = head_end.say(apdu)
    assert head_end.client.receive(answer[:-1] + bytes((answer[-1] ^ 1,))).reason == "tag"
    assert head_end.client.receive(answer[:9]).reason == "malformed"
    assert (
        head_end.client.receive(GET_RESPONSE.build(GET_RESPONSE.parse(b"\xc4\x01\xc2\x00\x11\x05"))).reason
        == "unprotected"
    )
    assert head_end.client.receive(b"").reason == "unexpected"
    assert head_end.client.receive(answer) == Answer(NAME_VALUE)
    again = head_end.client.get(AttributeRef(1, NAME, 2))
    assert again != apdu
    assert head_end.client.receive(answer) == Refused("counter", meter.store.counters(8)[1])
    alien = GENERAL_GLO.build(GeneralCiphered(b"SOMEBODY", 0x30, 9, bytes(20)))
    assert head_end.client.receive(alien) == Refused("title", b"SOMEBODY".hex())
    weak = GLO.build(Ciphered(0xCC, 0x10, *meter.store.seal(0, 0x10, b"\xc4\x01\xc3\x00\x11\x05")))
    assert head_end.client.receive(weak).reason == "unprotected"
    other_kind = GLO.build(Ciphered(0xCC, 0x30, *meter.store.seal(0, 0x30, b"\xc5\x01\xc3\x00")))
    assert head_end.client.receive(other_kind).reason == "unexpected"
    other_invoke = GLO.build(Ciphered(0xCC, 0x30, *meter.store.seal(0, 0x30, b"\xc4\x01\xc1\x00\x11\x05")))
    assert head_end.client.receive(other_invoke).reason == "unexpected"


def test_the_client_detects_a_server_that_is_not_the_one_it_knows(meter):
    """A wrong responding title, an unprotected initiate, a wrong f(CtoS): no association."""
    client = meter.client()
    answer = AARE_FRAME.parse(client.say(client.client.associate(CTOS)))
    title, inner = answer.responding_title, answer.user_information
    answer.responding_title = b"SOMEBODY"
    assert client.client.receive(AARE_FRAME.build(answer)) == Refused("title", b"SOMEBODY".hex())
    answer.responding_title, answer.user_information = title, bytes.fromhex("0800065F1F040000501F01F40007")
    assert client.client.receive(AARE_FRAME.build(answer)).reason == "malformed"
    answer.user_information = inner
    third = client.client.receive(AARE_FRAME.build(answer))
    assert isinstance(third, More)
    # The server answers with a proof of something else.
    meter.server.association(1)._ctos = b"not the one"
    assert client.client.receive(client.say(third.apdu)).reason == "authentication"
    assert not client.client.associated


def test_an_exception_tells_the_client_what_counter_to_use(meter, head_end):
    """Exception 6: the client learns the expected counter, so that a lost count can be taken up again."""
    meter.store.set_counters(0, rx=700)
    assert head_end.get(1, NAME, 2) == Refused("invocation-counter", 700)
    meter.store.set_counters(8, tx=700)
    assert head_end.get(1, NAME, 2) == Answer(NAME_VALUE)


# Published bytes (vectors of the Green Book's examples): EK, AK, titles and counter of those examples.


def vector_server() -> Meter:
    """A meter that has the examples' keys and hears the title 4D4D4D0000BC614E, whose messages they are."""
    meter = Meter()
    for index in (0, 1):
        meter.store.load(index, ek=bytes(range(16)), ak=AK, title=CLIENT_TITLE, peer=METER_TITLE)
    return meter


def test_the_published_glo_initiate_request_opens():
    """glo-InitiateRequest of the examples, through the server's own AARQ path: version 6, PDU 1200 (our bench
    meter has room for 1024), a dedicated key."""
    glo = bytes.fromhex(
        "21303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D39EE6FDB8E356855"
    )
    meter = vector_server()
    from emulator.codecs.acse import AARQ, AARQ_FRAME

    aarq = AARQ_FRAME.build(AARQ(Context.LN_CIPHERED, METER_TITLE, Mechanism.HLS_GMAC, CTOS, glo))
    answer = AARE_FRAME.parse(meter.server.receive(1, aarq, NOW))
    assert (answer.result, answer.diagnostic) == (0, 14)
    assert meter.server.association(1).limit == 1024
    assert meter.store.counters(0)[1] == 0x01234568
    assert INITIATE_REQUEST.parse(bytes.fromhex("01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0"))


@pytest.mark.parametrize(
    "published",
    [
        "C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B",
        "C81E1001234567C0010000080000010000FF020006725D910F9221D263877516",
        "C8122001234567411312FF935A47566827C467BC",
    ],
)
def test_the_published_glo_gets_are_served(published):
    """GET clock, authenticated and encrypted, authenticated only, encrypted only: the server reads the clock for
    each."""
    from emulator.codecs.acse import AARQ, AARQ_FRAME
    from emulator.codecs.initiate import InitiateRequest
    from emulator.dlms.server import DEFAULT_CONFORMANCE

    meter = vector_server()
    inner = INITIATE_REQUEST.build(InitiateRequest(None, True, None, 6, DEFAULT_CONFORMANCE, 1024))
    aarq = AARQ_FRAME.build(AARQ(Context.LN, METER_TITLE, Mechanism.HLS_GMAC, CTOS, inner))
    meter.server.receive(PLAIN_HLS_SAP, aarq, NOW)
    meter.server.association(PLAIN_HLS_SAP).state = 2  # the examples are not one dialogue
    # its rights ask for authentication; the encrypted-only request is refused for that, and only for that
    answer = GLO.parse(meter.server.receive(PLAIN_HLS_SAP, bytes.fromhex(published), NOW))
    assert (answer.tag, answer.security_control) == (0xCC, int(published[4:6], 16))
    meter.store.load(9, ek=bytes(range(16)), ak=AK, title=METER_TITLE, peer=CLIENT_TITLE)
    plain = meter.store.open(9, answer.security_control, answer.invocation_counter, answer.text)
    value = GET_RESPONSE.parse(plain)
    assert value.invoke == 0x00
    assert (value.result == 3) if published.startswith("C812") else value.result.value[:4] == bytes((7, 0xE4, 3, 2))
    bent = bytearray(bytes.fromhex(published))
    bent[6] ^= 1  # the counter
    assert meter.server.receive(PLAIN_HLS_SAP, bytes(bent), NOW)[0] == 0xD8


def test_the_published_f_of_stoc_and_ctos_are_made_and_accepted():
    """f(StoC) 10 00000001 1A52... and f(CtoS) 10 01234567 FE14...: both come out of the two ends and satisfy them."""
    f_stoc, f_ctos = (
        bytes.fromhex("10000000011A52FE7DD3E72748973C1E28"),
        bytes.fromhex("1001234567FE1466AFB3DBCD4F9389E2B7"),
    )
    meter = Meter()
    meter.challenge = lambda: b"P6wRJ21F"
    client = meter.client(PLAIN_HLS_SAP, Profile(Mechanism.HLS_GMAC, Context.LN), 9)
    meter.store.load(9, ek=bytes(range(16)), ak=AK, title=CLIENT_TITLE, peer=METER_TITLE, tx=1)
    meter.store.load(1, ek=bytes(range(16)), ak=AK, title=METER_TITLE, peer=CLIENT_TITLE, tx=0x01234567)
    assert isinstance(client.ask(client.client.associate(CTOS)), Answer)
    assert f_stoc in client.sent[-1]
    assert f_ctos in client.heard[-1]


def test_the_published_glo_initiate_response_opens_at_the_client():
    """glo-InitiateResponse of the examples, inside an AARE: the client reads conformance 007C1F and PDU 1024."""
    from emulator.crypto.keys import ContextStore

    store = ContextStore(1)
    store.load(0, ek=bytes(range(16)), ak=AK, title=CLIENT_TITLE, peer=METER_TITLE)
    client = Client(store, 0, MANAGEMENT)
    client.associate(CTOS)
    glo = bytes.fromhex("281F3001234567891214A0845E475714383F65BC19745CA235906525E4F3E1C893")
    aare = AARE_FRAME.build(AARE(Context.LN_CIPHERED, 0, 1, 14, METER_TITLE, Mechanism.HLS_GMAC, b"P6wRJ21F", glo))
    assert isinstance(client.receive(aare), More)
    assert (client.negotiated.conformance, client.negotiated.max_pdu) == (0x007C1F, 0x0400)
