"""Keys over the air: all of an array or nothing, the reply under the old key, and every way to be refused."""

import pytest
from dlms_bench_meter import AK, CTOS, EK, KEK, NAME, PLAIN_HLS_SAP, PUBLIC_SAP, SECURITY, SECURITY_V1, Meter

from emulator.codecs.acse import Context, Mechanism
from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import array, enum, octet_string, structure, unsigned
from emulator.codecs.glo import GLO
from emulator.crypto import keywrap
from emulator.dlms.classes import SecuritySetup
from emulator.dlms.client import PUBLIC, Answer, Profile, Refused
from emulator.dlms.cosem import ActionRefused
from emulator.errors import NoKeyError

NEW_EK, NEW_AK, NEW_KEK, NEW_BK = (bytes([n]) * 16 for n in (0xE1, 0xA1, 0x41, 0xB1))
EK_ID, BK_ID, AK_ID, KEK_ID = 0, 1, 2, 3


def keys(*items: tuple[int, bytes], kek: bytes = KEK):
    return array(structure((enum(key_id), octet_string(keywrap.wrap(kek, key)))) for key_id, key in items)


def transfer(client, data):
    return client.act(64, SECURITY, 2, data)


def test_both_working_keys_change_at_once_and_the_reply_is_under_the_old_ones(meter, head_end):
    """EK and AK in one array: the answer opens under the old keys, the next request only under the new."""
    old = meter.store.export(8)
    assert transfer(head_end, keys((EK_ID, NEW_EK), (AK_ID, NEW_AK))) == Answer(None)
    assert meter.installed == [(1, 0), (1, 2)]
    assert head_end.get(1, NAME, 2) == Refused("exception", 5)
    meter.store.install(8, ek=NEW_EK, ak=NEW_AK)
    assert isinstance(head_end.get(1, NAME, 2), Answer)
    assert isinstance(head_end.ask(head_end.client.associate(CTOS)), Answer)
    meter.store.restore(8, old)
    meter.store.set_counters(8, tx=1_000)
    assert head_end.ask(head_end.client.associate(CTOS)) == Refused("exception", 5)


@pytest.mark.parametrize("order", [(EK_ID, AK_ID, KEK_ID, BK_ID), (KEK_ID, BK_ID, AK_ID, EK_ID)])
def test_all_four_key_ids_are_taken_in_any_order(meter, head_end, order):
    """Unicast, broadcast, authentication and master key in one array, all unwrapped under the old master key."""
    new = {EK_ID: NEW_EK, AK_ID: NEW_AK, KEK_ID: NEW_KEK, BK_ID: NEW_BK}
    assert transfer(head_end, keys(*((key_id, new[key_id]) for key_id in order))) == Answer(None)
    assert meter.installed == [(1, 0), (1, 1), (1, 2), (1, 3)]
    meter.store.install(8, ek=NEW_EK, ak=NEW_AK)
    assert bytes(meter.store.unwrap(0, keywrap.wrap(NEW_KEK, bytes(16)))) == bytes(16)
    kept = meter.deviations[(64, SECURITY, -1)].value
    assert keywrap.unwrap(NEW_KEK, kept) == NEW_BK
    assert transfer(head_end, keys((EK_ID, EK))) == Refused("action", 250)
    assert transfer(head_end, keys((EK_ID, EK), kek=NEW_KEK)) == Answer(None)


def test_a_broadcast_key_survives_a_later_change_of_the_master_key(meter, head_end):
    """It is kept wrapped, and rewrapped under the new master key."""
    transfer(head_end, keys((BK_ID, NEW_BK)))
    assert keywrap.unwrap(KEK, meter.deviations[(64, SECURITY, -1)].value) == NEW_BK
    transfer(head_end, keys((KEK_ID, NEW_KEK)))
    assert keywrap.unwrap(NEW_KEK, meter.deviations[(64, SECURITY, -1)].value) == NEW_BK


def snapshot(meter: Meter):
    """Everything a key transfer could have changed, the moving counters left out."""
    lines = []
    for index in range(4):
        if meter.store.loaded(index):
            state = meter.store.state(index)
            lines.append((state.epoch, state.has_master, state.title, state.peer))
    return lines, dict(meter.deviations), list(meter.installed), list(meter.pending)


def bad_arrays():
    good = structure((enum(EK_ID), octet_string(keywrap.wrap(KEK, NEW_EK))))
    other = structure((enum(AK_ID), octet_string(keywrap.wrap(KEK, NEW_AK))))
    wrapped = keywrap.wrap(KEK, NEW_AK)
    yield "wrong master key", keys((EK_ID, NEW_EK), kek=NEW_KEK), 250
    yield (
        "second under wrong key",
        array((good, structure((enum(AK_ID), octet_string(keywrap.wrap(NEW_KEK, NEW_AK)))))),
        250,
    )
    for bit in (0, 100, 191):
        bent = bytearray(wrapped)
        bent[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} bent", array((good, structure((enum(AK_ID), octet_string(bytes(bent)))))), 250
    for length in (0, 16, 23, 25, 40):
        yield f"{length} bytes", array((good, structure((enum(AK_ID), octet_string(bytes(length)))))), 12
    yield "unknown id", array((good, structure((enum(4), octet_string(wrapped))))), 250
    yield "id twice", array((good, other, good)), 250
    yield "empty", array(()), 12
    yield "no array", good, 12
    yield "id as unsigned", array((structure((unsigned(0), octet_string(wrapped))),)), 12
    yield "key missing", array((structure((enum(0),)),)), 12
    yield "not structures", array((enum(0),)), 12


@pytest.mark.parametrize(
    ("data", "result"), [pytest.param(data, result, id=name) for name, data, result in bad_arrays()]
)
def test_an_array_with_anything_wrong_in_it_changes_nothing(meter, head_end, data, result):
    """Wrong KEK, bent or short keys, unknown or repeated ids, wrong shapes: the right result and not one key touched,
    wherever in the array the bad one stands."""
    before = snapshot(meter)
    assert transfer(head_end, data) == Refused("action", result)
    assert snapshot(meter) == before
    assert isinstance(head_end.get(1, NAME, 2), Answer)


def test_without_a_master_key_a_transfer_is_unavailable(meter, head_end):
    """A device that never had a KEK: result 11, nothing changed."""
    meter.store.set_master(0, None)
    assert transfer(head_end, keys((EK_ID, NEW_EK))) == Refused("action", 11)


def test_a_master_key_that_is_fixed_is_not_changed(meter):
    """master_key_changes=False: an array with key id 3 is denied as a whole."""
    fixed = SecuritySetup(SECURITY, master_key_changes=False)
    with pytest.raises(ActionRefused) as refused:
        fixed.act(meter, 2, keys((EK_ID, NEW_EK), (KEK_ID, NEW_KEK)), 0)
    assert refused.value.result == ActionResult.READ_WRITE_DENIED
    assert meter.pending == []


def test_sending_a_live_key_again_proves_the_master_key(meter, head_end):
    """The safe probe: the EK that is live, wrapped under the candidate KEK; success says the KEK is right, and
    nothing is lost either way."""
    assert transfer(head_end, keys((EK_ID, EK), kek=NEW_KEK)) == Refused("action", 250)
    assert transfer(head_end, keys((EK_ID, EK))) == Answer(None)
    assert isinstance(head_end.get(1, NAME, 2), Answer)


def test_a_power_cut_between_the_keys_leaves_a_torn_pair(meter, head_end):
    """Keys are taken into use one by one after the reply; a device may stop half way, and then EK is new and AK is
    old."""
    meter.key_installed = lambda client_sap, key_id, now: meter.pending.clear()
    assert transfer(head_end, keys((EK_ID, NEW_EK), (AK_ID, NEW_AK))) == Answer(None)
    meter.store.install(8, ek=NEW_EK)
    assert isinstance(head_end.get(1, NAME, 2), Answer)


def test_counters_stay_or_start_again_as_the_profile_says(meter):
    """By default a new EK keeps both counters; with reset_counters both begin at 0 under it."""
    for reset, expected in ((False, (9, 9)), (True, (0, 0))):
        device = Meter()
        device.store.set_counters(0, tx=9, rx=9)
        setup = SecuritySetup(SECURITY, reset_counters=reset)
        setup.act(device, 2, keys((EK_ID, NEW_EK)), 0)
        assert device.store.counters(0) == (9, 9)
        while device.pending:
            device.pending.pop(0)()
        assert device.store.counters(0) == expected


def test_the_reply_counter_is_not_used_again_under_the_old_key(meter, head_end):
    """Refused transfers, good ones and reads: the server's counters only rise."""
    for data in (keys((EK_ID, NEW_EK), kek=NEW_KEK), keys((AK_ID, AK)), keys((EK_ID, NEW_EK), kek=NEW_KEK)):
        transfer(head_end, data)
        head_end.get(1, NAME, 2)
    counters = [GLO.parse(apdu).invocation_counter for apdu in head_end.heard if apdu[0] in (0xCC, 0xCF)]
    assert counters == sorted(set(counters))


def test_keys_are_for_the_client_they_name(meter, head_end):
    """Another client's security setup changes that client's context alone."""
    assert head_end.act(64, SECURITY_V1, 2, keys((EK_ID, NEW_EK))) == Answer(None)
    assert meter.installed == [(PLAIN_HLS_SAP, 0)]
    assert isinstance(head_end.get(1, NAME, 2), Answer)


def test_a_client_without_rights_transfers_nothing(meter):
    """The public client may not invoke the method, and the client whose rights want authentication not without it."""
    public = meter.client(PUBLIC_SAP, PUBLIC).open()
    assert transfer(public, keys((EK_ID, NEW_EK))) == Refused("action", 3)
    plain = meter.client(PLAIN_HLS_SAP, Profile(Mechanism.HLS_GMAC, Context.LN), 9).open()
    assert transfer(plain, keys((EK_ID, NEW_EK))) == Refused("action", 3)
    assert meter.installed == []


def test_titles_are_read_and_the_clients_is_written_after_the_answer(meter, head_end):
    """Attributes 4 and 5; a new client title takes effect once the answer for the old one is made."""
    assert head_end.value(64, SECURITY, 4).value == meter.store.state(8).title
    assert head_end.value(64, SECURITY, 5).value == meter.store.state(8).peer
    assert head_end.set(64, SECURITY, 5, octet_string(bytes(8))) == Refused("access", 3)
    assert head_end.set(64, SECURITY, 4, octet_string(bytes(7))) == Refused("access", 12)
    assert head_end.set(64, SECURITY, 4, octet_string(b"NEWTITLE")) == Answer(None)
    assert meter.store.state(0).peer == b"NEWTITLE"
    assert head_end.get(1, NAME, 2) == Refused("exception", 5)
    assert head_end.get(64, SECURITY, 9) == Refused("exception", 5)


def test_a_security_setup_of_a_client_without_keys_is_unavailable(meter, head_end):
    """No context or an empty one: 11 for titles and for the transfer; version 1 shows an empty certificate list."""
    meter.store.erase(1)
    assert head_end.get(64, SECURITY_V1, 5) == Refused("access", 11)
    assert head_end.act(64, SECURITY_V1, 2, keys((EK_ID, NEW_EK))) == Refused("action", 11)
    assert head_end.value(64, SECURITY_V1, 6) == array(())
    assert head_end.get(64, SECURITY, 6) == Refused("access", 4)
    with pytest.raises(NoKeyError):
        meter.store.state(1)
