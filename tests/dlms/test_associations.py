"""Opening and closing: who gets in, who does not, and what is said to them."""

import pytest
from dlms_bench_meter import (
    AK,
    CLIENT_TITLE,
    CLOCK,
    CTOS,
    EK,
    KEK,
    METER_TITLE,
    NAME,
    PASSWORD,
    PLAIN_HLS_SAP,
    PUBLIC_SAP,
    READER_SAP,
    SHA_SAP,
    Meter,
    profile,
)

from emulator.codecs.acse import AARE_FRAME, AARQ, AARQ_FRAME, RLRE_FRAME, RLRQ, RLRQ_FRAME, Context, Mechanism
from emulator.codecs.action import ACTION_REQUEST, ACTION_RESPONSE, ActionRequest, MethodRef
from emulator.codecs.axdr import octet_string
from emulator.codecs.exception import EXCEPTION_RESPONSE
from emulator.codecs.glo import GLO, Ciphered
from emulator.codecs.initiate import INITIATE_REQUEST, INITIATE_RESPONSE, Conformance, InitiateRequest
from emulator.dlms.client import PUBLIC, Answer, Client, Profile, Refused
from emulator.dlms.security import sha256_reply
from emulator.dlms.server import DEFAULT_CONFORMANCE

LLS = Profile(Mechanism.LLS, Context.LN, PASSWORD)
PLAIN_HLS = Profile(Mechanism.HLS_GMAC, Context.LN)
NOW = 0


def initiate(version: int = 6, conformance: int = DEFAULT_CONFORMANCE, max_pdu: int = 1024, key: bytes | None = None):
    return INITIATE_REQUEST.build(InitiateRequest(key, True, None, version, conformance, max_pdu))


def aare(meter: Meter, sap: int, request: AARQ):
    answer = meter.server.receive(sap, AARQ_FRAME.build(request), NOW)
    assert answer is not None
    return AARE_FRAME.parse(answer)


def ciphered(meter: Meter, apdu: bytes, control: int = 0x30, context: int = 8) -> bytes:
    counter, text = meter.store.seal(context, control, apdu)
    return GLO.build(Ciphered(0x21, control, counter, text))


def test_the_public_client_needs_no_key_and_may_read_a_few_objects(meter):
    """A client without any keys associates and reads what it may; the rest is denied (result 3)."""
    public = meter.client(PUBLIC_SAP, PUBLIC).open()
    assert public.value(1, NAME, 2) == octet_string(b"ELS0000000012345")
    assert public.value(8, CLOCK, 2).value[:4] == bytes((0x07, 0xE4, 3, 2))
    assert public.get(70, bytes((0, 0, 96, 3, 10, 255)), 3) == Refused("access", 3)


def test_the_low_level_password_opens_and_a_wrong_one_does_not(meter):
    """LLS: the right password associates; a wrong, an empty and a longer one are refused with diagnostic 13."""
    assert meter.client(READER_SAP, LLS).open().value(1, NAME, 2)
    for wrong in (b"12345679", b"", b"123456789"):
        client = meter.client(READER_SAP, Profile(Mechanism.LLS, Context.LN, wrong))
        assert client.ask(client.client.associate()) == Refused("association", 13)
    assert meter.noted("dlms.association-refused") == 3


def test_hls_gmac_in_a_ciphered_context_takes_four_passes(meter):
    """AARQ, AARE with our challenge, f(StoC), f(CtoS): two exchanges, and only then the association stands."""
    client = meter.client()
    first = client.client.associate(CTOS)
    answer = client.say(first)
    assert AARE_FRAME.parse(answer).diagnostic == 14
    association = meter.server.association(1)
    assert not association.established
    third = client.client.receive(answer)
    assert isinstance(client.client.receive(client.say(third.apdu)), Answer)
    assert association.established
    assert client.client.associated
    assert client.client.negotiated.conformance == DEFAULT_CONFORMANCE
    assert meter.noted("dlms.associated") == 1


def test_hls_gmac_in_a_plain_context_protects_nothing_but_the_proof(meter):
    """In context LN without ciphering the four passes are plain, and so are the services, while the policy is 0."""
    client = meter.client(PLAIN_HLS_SAP, PLAIN_HLS, 9).open()
    assert client.value(1, NAME, 2) == octet_string(b"ELS0000000012345")
    assert {apdu[0] for apdu in client.sent} == {0x60, 0xC3, 0xC0}


def test_mechanism_6_proves_a_shared_secret_with_sha256(meter):
    """HLS-SHA256: hash over secret, titles and both challenges, each way; a wrong hash drops the association."""
    request = AARQ(Context.LN, CLIENT_TITLE, Mechanism.HLS_SHA256, CTOS, initiate())
    stoc = aare(meter, SHA_SAP, request).authentication
    secret = b"a shared secret"

    def pass_three(reply: bytes):
        apdu = ACTION_REQUEST.build(
            ActionRequest(0xC1, MethodRef(15, bytes((0, 0, 40, 0, 0, 255)), 1), octet_string(reply))
        )
        return ACTION_RESPONSE.parse(meter.server.receive(SHA_SAP, apdu, NOW))

    good = pass_three(sha256_reply(secret, CLIENT_TITLE, METER_TITLE, stoc, CTOS))
    assert good.result == 0
    assert good.data.value == sha256_reply(secret, METER_TITLE, CLIENT_TITLE, CTOS, stoc)
    aare(meter, SHA_SAP, request)
    assert pass_three(bytes(32)).result == 250
    assert meter.server.association(SHA_SAP) is None


def test_an_unknown_client_hears_nothing(meter):
    """A SAP that no association object serves is left without an answer, and noted."""
    assert meter.server.receive(99, AARQ_FRAME.build(AARQ(1, user_information=initiate())), NOW) is None
    assert meter.noted("dlms.unknown-client") == 1


@pytest.mark.parametrize(
    ("sap", "request_", "diagnostic"),
    [
        (PUBLIC_SAP, AARQ(Context.LN_CIPHERED, user_information=initiate()), 2),
        (PUBLIC_SAP, AARQ(Context.SN, user_information=initiate()), 2),
        (READER_SAP, AARQ(Context.LN, user_information=initiate()), 12),
        (READER_SAP, AARQ(Context.LN, None, Mechanism.HLS_GMAC, b"12345678", initiate()), 11),
        (PUBLIC_SAP, AARQ(Context.LN, None, Mechanism.LLS, b"12345678", initiate()), 11),
        (PUBLIC_SAP, AARQ(Context.LN), 1),
        (PUBLIC_SAP, AARQ(Context.LN, user_information=b"\x01\x00"), 1),
        (PUBLIC_SAP, AARQ(Context.LN, user_information=b"\x21\x00"), 2),
        (PLAIN_HLS_SAP, AARQ(Context.LN, b"1234", Mechanism.HLS_GMAC, CTOS, initiate()), 3),
        (PLAIN_HLS_SAP, AARQ(Context.LN, CLIENT_TITLE, Mechanism.HLS_GMAC, b"short", initiate()), 13),
        (PLAIN_HLS_SAP, AARQ(Context.LN, CLIENT_TITLE, Mechanism.HLS_GMAC, bytes(65), initiate()), 13),
        (PLAIN_HLS_SAP, AARQ(Context.LN, CLIENT_TITLE, Mechanism.HLS_GMAC, None, initiate()), 13),
        (1, AARQ(Context.LN_CIPHERED, CLIENT_TITLE, Mechanism.HLS_GMAC, CTOS, initiate()), 13),
    ],
)
def test_a_wrong_request_is_rejected_with_its_diagnostic(meter, sap, request_, diagnostic):
    """Context, mechanism, title, challenge, missing or unprotected initiate: result 1 and the right diagnostic."""
    answer = aare(meter, sap, request_)
    assert (answer.result, answer.diagnostic) == (1, diagnostic)
    assert meter.server.association(sap) is None


@pytest.mark.parametrize(
    ("inner", "error"),
    [
        (initiate(version=5), 1),
        (initiate(conformance=int(Conformance.READ)), 2),
        (initiate(conformance=0), 2),
        (initiate(max_pdu=11), 3),
    ],
)
def test_an_initiate_that_cannot_be_met_gets_a_confirmed_service_error(meter, inner, error):
    """0E 01 06 n inside the AARE: version too low, incompatible conformance, PDU size too short."""
    answer = aare(meter, PUBLIC_SAP, AARQ(Context.LN, user_information=inner))
    assert answer.result == 1
    assert answer.user_information == bytes((0x0E, 1, 6, error))
    client = Client()
    client.associate()
    assert client.receive(AARE_FRAME.build(answer)) == Refused("initiate", error)


def test_conformance_is_what_both_have_and_sizes_are_told(meter):
    """The negotiated bits are the intersection; the server tells its own longest APDU and VAA name 7."""
    asked = int(Conformance.GET | Conformance.READ | Conformance.GENERAL_BLOCK_TRANSFER)
    answer = aare(meter, PUBLIC_SAP, AARQ(Context.LN, user_information=initiate(conformance=asked)))
    response = INITIATE_RESPONSE.parse(answer.user_information)
    assert (response.conformance, response.max_pdu, response.vaa) == (int(Conformance.GET), 1024, 7)
    set_request = bytes.fromhex("C101C1000100005E2C75FF02001101")
    assert EXCEPTION_RESPONSE.parse(meter.server.receive(PUBLIC_SAP, set_request, NOW)).service_error == 2


def test_bytes_that_are_no_aarq_are_rejected_and_noted(meter):
    """A cut AARQ is answered with result 1, no reason given; the note has codec and place."""
    answer = meter.server.receive(PUBLIC_SAP, AARQ_FRAME.build(AARQ(1, user_information=initiate()))[:-3], NOW)
    assert AARE_FRAME.parse(answer).result == 1
    assert meter.noted("dlms.malformed") == 1


def test_a_wrong_encryption_key_gets_a_deciphering_error_and_changes_nothing(meter):
    """An AARQ sealed under another EK: exception 5; the counter the meter accepts next has not moved."""
    meter.store.install(8, ek=bytes(16))
    before = meter.store.counters(0)
    client = meter.client()
    assert client.ask(client.client.associate(CTOS)) == Refused("exception", 5)
    assert meter.store.counters(0) == before
    assert meter.server.association(1) is None


def test_a_client_without_the_authentication_key_fails_pass_3(meter):
    """GMAC under a wrong AK in the plain context: action result 250, and no association is left."""
    meter.store.install(9, ak=bytes(16))
    client = meter.client(PLAIN_HLS_SAP, PLAIN_HLS, 9)
    assert client.ask(client.client.associate(CTOS)) == Refused("action", 250)
    assert meter.noted("dlms.authentication-failed") == 1
    assert meter.server.association(PLAIN_HLS_SAP) is None
    assert EXCEPTION_RESPONSE.parse(client.say(bytes.fromhex("C001C1000100002A0000FF0200"))).state_error == 1


def test_pass_3_is_good_once(meter):
    """The reply that opened an association is refused when it comes again: its challenge is used up."""
    client = meter.client(PLAIN_HLS_SAP, PLAIN_HLS, 9).open()
    assert ACTION_RESPONSE.parse(client.say(client.sent[1])).result == 250


def test_a_reply_to_an_older_challenge_is_refused(meter):
    """A recorded pass 3 does not answer a new challenge."""
    old = meter.client(PLAIN_HLS_SAP, PLAIN_HLS, 9).open()
    new = meter.client(PLAIN_HLS_SAP, PLAIN_HLS, 9)
    new.say(new.client.associate(CTOS))
    assert ACTION_RESPONSE.parse(new.say(old.sent[1])).result == 250


def test_a_server_that_reflects_the_challenge_is_not_answered(meter):
    """StoC equal to CtoS would make the client prove itself to its own question."""
    client = meter.client(PLAIN_HLS_SAP, PLAIN_HLS, 9)
    answer = AARE_FRAME.parse(client.say(client.client.associate(CTOS)))
    answer.authentication = CTOS
    assert client.client.receive(AARE_FRAME.build(answer)).reason == "authentication"


def test_our_challenge_never_equals_the_clients(meter):
    """A client that guesses our next challenge gets another one."""
    guess = (1).to_bytes(16, "big")
    answer = aare(meter, PLAIN_HLS_SAP, AARQ(Context.LN, CLIENT_TITLE, Mechanism.HLS_GMAC, guess, initiate()))
    assert answer.authentication == (2).to_bytes(16, "big")
    meter.challenge = lambda: CTOS
    answer = aare(meter, PLAIN_HLS_SAP, AARQ(Context.LN, CLIENT_TITLE, Mechanism.HLS_GMAC, CTOS, initiate()))
    assert (answer.result, answer.diagnostic) == (1, 13)


def test_while_an_association_is_pending_only_the_reply_is_served(meter):
    """GET, SET and any other method before pass 3: service not allowed, and the association goes on waiting."""
    client = meter.client(PLAIN_HLS_SAP, PLAIN_HLS, 9)
    first = client.say(client.client.associate(CTOS))
    for early in ("C001C1000100002A0000FF0200", "C101C1000100005E2C75FF02001101", "C301C100460000600A00FF01010F00"):
        answer = EXCEPTION_RESPONSE.parse(client.say(bytes.fromhex(early)))
        assert (answer.state_error, answer.service_error) == (1, 1)
    assert isinstance(client.ask(client.client.receive(first).apdu), Answer)


def test_services_without_an_association_are_not_allowed(meter):
    """Plain, ciphered, general and release APDUs of a client that never opened: exception 1/1."""
    for tag in (0xC0, 0xC1, 0xC3, 0xC8, 0xD0, 0xDB, 0xDC, 0x62):
        answer = EXCEPTION_RESPONSE.parse(meter.server.receive(1, bytes((tag, 0, 0)), NOW))
        assert (answer.state_error, answer.service_error) == (1, 1)


def test_a_ciphered_release_is_answered_ciphered(head_end):
    """RLRQ with a glo-initiate: RLRE with one; afterwards the client must open again."""
    assert head_end.ask(head_end.client.release()) == Answer(None)
    assert RLRE_FRAME.parse(head_end.heard[-1]).user_information[0] == 0x28
    assert head_end.get(1, NAME, 2) == Refused("exception", 1)
    assert not head_end.client.associated


def test_a_plain_release_is_answered_plain_where_the_profile_allows_it(meter, head_end):
    """RLRQ without user information ends a ciphered association, unless the profile asks for more."""
    answer = RLRE_FRAME.parse(head_end.say(RLRQ_FRAME.build(RLRQ(0))))
    assert (answer.reason, answer.user_information) == (0, None)
    strict = Meter(profile(plain_release=False))
    other = strict.client().open()
    assert EXCEPTION_RESPONSE.parse(other.say(RLRQ_FRAME.build(RLRQ(0)))).state_error == 1
    assert other.value(1, NAME, 2)


def test_a_forged_release_does_not_end_an_association(head_end):
    """RLRQ whose glo-initiate does not open: exception, and the association stands."""
    forged = RLRQ_FRAME.build(RLRQ(0, GLO.build(Ciphered(0x21, 0x30, 500, bytes(30)))))
    assert EXCEPTION_RESPONSE.parse(head_end.say(forged)).service_error == 5
    assert head_end.value(1, NAME, 2)


def test_a_refused_aarq_leaves_the_open_association_alone(meter, head_end):
    """Anyone may send an AARQ; only one that is accepted replaces what stands."""
    assert meter.server.receive(1, head_end.sent[0], NOW)[0] == 0xD8  # a replay of the first one
    assert aare(meter, 1, AARQ(Context.LN, user_information=initiate())).result == 1
    assert head_end.value(1, NAME, 2)


def test_associations_of_two_clients_stand_side_by_side(meter, head_end):
    """One association a client SAP; neither disturbs the other."""
    public = meter.client(PUBLIC_SAP, PUBLIC).open()
    assert head_end.value(1, NAME, 2) == public.value(1, NAME, 2)


def test_a_power_cut_forgets_associations_but_no_counters(meter, head_end):
    """After `drop` the client is refused; the counters go on where they were."""
    counters = meter.store.counters(0)
    meter.server.drop()
    assert head_end.get(1, NAME, 2) == Refused("exception", 1)
    assert meter.store.counters(0) == counters
    assert isinstance(head_end.ask(head_end.client.associate(CTOS)), Answer)


def test_a_new_title_is_learnt_from_who_proves_itself(meter):
    """A head end under another title with the right keys is accepted, and its title is the client's from then on."""
    other = b"DCC\x00\x00\x00\x00\x01"
    meter.store.load(10, ek=EK, ak=AK, title=other, peer=METER_TITLE, kek=KEK, tx=50)
    assert isinstance(meter.client(context=10).open().get(1, NAME, 2), Answer)
    assert meter.store.state(0).peer == other


def test_a_new_title_is_forgotten_when_it_is_not_proven(meter):
    """Wrong keys under a new title (at once in the ciphered, at pass 3 in the plain context): the old title stays."""
    for sap, context, client_profile in ((1, 10, None), (PLAIN_HLS_SAP, 11, PLAIN_HLS)):
        meter.store.load(context, ek=bytes(16), ak=bytes(16), title=b"INTRUDER", peer=METER_TITLE)
        client = meter.client(
            sap, context=context, **({} if client_profile is None else {"client_profile": client_profile})
        )
        assert isinstance(client.ask(client.client.associate(CTOS)), Refused)
        assert meter.store.state(0 if sap == 1 else 1).peer == CLIENT_TITLE


def test_a_profile_may_know_its_clients_title_for_good():
    """learns_titles=False: another title is refused with diagnostic 3 before anything is opened."""
    meter = Meter(profile(learns_titles=False))
    meter.store.load(10, ek=EK, ak=AK, title=b"SOMEBODY", peer=METER_TITLE)
    client = meter.client(context=10)
    assert client.ask(client.client.associate(CTOS)) == Refused("association", 3)


def test_a_device_without_keys_refuses_to_authenticate(meter):
    """Contexts that were never loaded: diagnostic 13, no exception leaves the server."""
    meter.store.erase(0)
    client = meter.client()
    assert client.ask(client.client.associate(CTOS)) == Refused("association", 13)


def test_a_dedicated_key_serves_one_association_with_counters_of_its_own(meter):
    """ded-get under the key of the InitiateRequest opens and is answered ded-; its counters start at 0 each time."""
    for dedicated in (bytes(range(16, 32)), bytes(range(32, 48))):
        request = AARQ(
            Context.LN_CIPHERED, CLIENT_TITLE, Mechanism.HLS_GMAC, CTOS, ciphered(meter, initiate(key=dedicated))
        )
        client = meter.client()
        client.client.associate(CTOS)
        third = client.client.receive(AARE_FRAME.build(aare(meter, 1, request)))
        assert isinstance(client.ask(third.apdu), Answer)
        meter.store.load(12, ek=dedicated, ak=AK, title=CLIENT_TITLE, peer=METER_TITLE)
        counter, text = meter.store.seal(12, 0x30, bytes.fromhex("C001C1000100002A0000FF0200"))
        assert counter == 0
        answer = GLO.parse(client.say(GLO.build(Ciphered(0xD0, 0x30, counter, text))))
        assert (answer.tag, answer.invocation_counter) == (0xD4, 0)
        assert meter.store.open(12, 0x30, 0, answer.text).endswith(b"ELS0000000012345")


def test_ded_services_without_a_dedicated_key_are_not_supported(head_end):
    """No dedicated key was agreed: exception, service not supported."""
    assert EXCEPTION_RESPONSE.parse(head_end.say(GLO.build(Ciphered(0xD0, 0x30, 9, bytes(30))))).service_error == 2


def test_response_not_allowed_means_no_aare(meter):
    """An InitiateRequest that allows no response opens the association in silence."""
    inner = INITIATE_REQUEST.build(InitiateRequest(None, False, None, 6, DEFAULT_CONFORMANCE, 0))
    assert meter.server.receive(PUBLIC_SAP, AARQ_FRAME.build(AARQ(1, user_information=inner)), NOW) is None
    assert meter.server.association(PUBLIC_SAP).established
