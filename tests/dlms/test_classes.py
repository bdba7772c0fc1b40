"""Every interface class: what the table says of it, and that its methods act."""

import pytest
from dlms_bench_meter import (
    BAD_FIRMWARE,
    BLOCK_SIZE,
    BORN,
    CURRENT,
    DEMAND,
    ENERGY,
    FIRMWARE,
    IMAGE,
    ITEMS,
    NAME,
    NOW,
    PASSWORD,
    PUSH,
    READER_SAP,
    SAPS,
    SETTING,
    SHA_SAP,
    SLOW,
    SUPPLY,
    SUPPLY_SCRIPTS,
    TARIFF_REGISTERS,
    TREE,
    Meter,
)

from emulator.codecs.acse import Context, Mechanism
from emulator.codecs.axdr import (
    DATA,
    Data,
    array,
    bit_string,
    boolean,
    double_long_unsigned,
    enum,
    integer,
    long_unsigned,
    null,
    octet_string,
    structure,
    unsigned,
)
from emulator.codecs.get import SelectiveAccess
from emulator.dlms.access import EVERYTHING, NOTHING, AccessTable, Rule
from emulator.dlms.classes import CLASSES, AssociationLN, DataObject, DisconnectControl, PushSetup, Register
from emulator.dlms.classes.disconnect_control import CONNECTED, DISCONNECTED, READY, Cause
from emulator.dlms.classes.push_setup import Column, Destination
from emulator.dlms.client import Answer, Profile, Refused
from emulator.dlms.cosem import (
    AccessRefused,
    ActionRefused,
    computed,
    constant,
    obis,
    obis_text,
    same_shape,
    stored,
)
from emulator.dlms.tree import ObjectTree
from emulator.errors import UsageError
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND

# (class: version, attributes, methods) as the Blue Book numbers them
PUBLISHED = {
    1: (0, 2, 0), 3: (0, 3, 1), 4: (0, 5, 1), 6: (0, 4, 3), 7: (1, 8, 2), 8: (0, 9, 6), 9: (0, 2, 1), 10: (0, 2, 3),
    11: (0, 2, 2), 15: (1, 9, 2), 17: (0, 2, 1), 18: (0, 7, 4), 20: (0, 10, 1), 22: (0, 4, 0), 40: (0, 7, 1),
    64: (0, 5, 2), 70: (0, 4, 2),
}  # fmt: skip


# Class-wide


def test_the_table_of_classes_is_the_published_one():
    """Ids, versions, attribute and method counts of the seventeen classes; the model has each of them."""
    assert sorted(CLASSES) == sorted(PUBLISHED)
    for class_id, numbers in PUBLISHED.items():
        item = next(item for item in ITEMS if item.class_id == class_id)
        assert type(item) is CLASSES[class_id]
        assert (item.version, item.attribute_count, item.method_count) == numbers, item


@pytest.mark.parametrize("item", ITEMS, ids=repr)
def test_every_attribute_of_every_object_reads_and_can_be_said_in_bytes(meter, head_end, item):
    """Attribute 1 is the logical name; every other is a datum that goes through the codec unchanged, or is
    unavailable."""
    meter.association = meter.server.association(1)
    assert item.read(meter, 1, NOW) == octet_string(item.logical_name)
    for attribute in range(1, item.attribute_count + 1):
        if (item.class_id, attribute) == (15, 5) and item.client_sap != 1:  # of the association it is asked in only
            with pytest.raises(AccessRefused):
                item.read(meter, attribute, NOW)
            continue
        data = item.read(meter, attribute, NOW)
        assert DATA.parse(DATA.build(data)) == data


@pytest.mark.parametrize("item", ITEMS, ids=repr)
def test_no_object_has_attributes_or_methods_beyond_its_class(meter, item):
    """Unknown attributes are undefined for reading and writing, unknown methods undefined; the logical name is
    fixed."""
    for attribute in (-1, 0, item.attribute_count + 1, 127):
        with pytest.raises(AccessRefused) as refused:
            item.get(meter, attribute, None, NOW)
        assert refused.value.result == 4
        with pytest.raises(AccessRefused) as refused:
            item.set(meter, attribute, null(), NOW)
        assert refused.value.result == 4
    with pytest.raises(AccessRefused) as refused:
        item.set(meter, 1, octet_string(bytes(6)), NOW)
    assert refused.value.result == 3
    for method in (0, -1, 127, max(item.method_ids, default=0) + 1):
        with pytest.raises(ActionRefused) as denied:
            item.act(meter, method, None, NOW)
        assert denied.value.result == 4
    assert meter.deviations == {}


JUNK = [
    null(), boolean(True), integer(-5), unsigned(250), long_unsigned(0xFFFF), double_long_unsigned(0), enum(200),
    octet_string(b""), octet_string(bytes(12)), octet_string(b"\xff" * 12), bit_string("101"), array(()), structure(()),
    array((integer(1), unsigned(1))), structure((long_unsigned(1), octet_string(bytes(6)))), array((structure(()),)),
    structure((octet_string(bytes(4)), octet_string(bytes(5)))), Data(25, bytes(12)), Data(23, 1.5),
    structure((double_long_unsigned(1), octet_string(b"x"))), structure((octet_string(b"x"), double_long_unsigned(9))),
    structure((long_unsigned(1),) * 4), structure((unsigned(1), array((structure(()),)))),
]  # fmt: skip


@pytest.mark.parametrize("item", ITEMS, ids=repr)
def test_junk_written_or_passed_anywhere_is_refused_or_acted_on_and_never_raises(item):
    """Every attribute written and every method invoked with a bag of wrong types: refusals only, and the object is
    still whole afterwards."""
    meter = Meter()
    meter.client().open()
    meter.association = meter.server.association(1)
    refusals: list[int] = []
    for data in JUNK:
        for attribute in range(2, item.attribute_count + 1):
            try:
                item.set(meter, attribute, data, NOW)
            except AccessRefused as refusal:
                refusals.append(refusal.result)
        for method in item.method_ids:
            try:
                item.act(meter, method, data, NOW)
            except ActionRefused as refusal:
                refusals.append(refusal.result)
    assert refusals
    assert 0 not in refusals
    meter.pending.clear()
    for attribute in range(1, item.attribute_count + 1):
        if (item.class_id, attribute) != (15, 5):  # tells of the association it is asked in, and of no other
            DATA.build(item.read(meter, attribute, NOW + HOUR))
    meter.objects.run_due(meter, NOW, NOW + DAY)


# The ground: bindings, the tree, rights


def test_logical_names_are_written_as_people_write_them():
    """With dashes or dots, with or without the last part; anything else is misuse."""
    assert obis("0-0:1.0.0.255") == obis("0.0.1.0.0") == bytes((0, 0, 1, 0, 0, 255))
    assert obis_text(obis("1-0:1.8.0")) == "1-0:1.8.0.255"
    for wrong in ("1-0", "a.b.c.d.e.f", "0-0:1.0.0.256", "", "1.2.3.4.5.6.7"):
        with pytest.raises(UsageError):
            obis(wrong)


def test_the_tree_knows_objects_by_key_by_name_and_by_what_is_missing():
    """Twice the same key or name is misuse; a wrong class is told from an unknown name."""
    assert TREE.named("clock") is TREE[8, obis("0-0:1.0.0")]
    assert TREE.has_name("supply")
    assert not TREE.has_name("nothing")
    assert TREE.at(NAME) == [TREE[1, NAME]]
    assert TREE.at(bytes(6)) == []
    assert (TREE.missing(NAME), TREE.missing(bytes(6))) == (9, 4)
    with pytest.raises(UsageError, match="no object named"):
        TREE.named("nothing")
    one = DataObject(NAME, constant(null()), name="a")
    for other in (DataObject(NAME, constant(null())), DataObject(SETTING, constant(null()), name="a")):
        with pytest.raises(UsageError, match="two objects"):
            ObjectTree([one, other])
    with pytest.raises(UsageError):
        DataObject(b"short", constant(null()))


def test_shapes():
    """The same tag; members in a structure one by one; elements of an array like the first; octets for a date-time."""
    pair = structure((unsigned(1), octet_string(b"a")))
    assert same_shape(structure((unsigned(9), octet_string(b""))), pair)
    assert not same_shape(structure((unsigned(9),)), pair)
    assert not same_shape(structure((octet_string(b""), unsigned(9))), pair)
    assert same_shape(array((unsigned(1), unsigned(2))), array((unsigned(0),)))
    assert not same_shape(array((unsigned(1), integer(2))), array((unsigned(0),)))
    assert same_shape(array(()), array((unsigned(0),)))
    assert same_shape(array((integer(1), integer(2))), array(()))
    assert not same_shape(array((integer(1), unsigned(2))), array(()))
    assert same_shape(octet_string(bytes(12)), Data(25, bytes(12)))
    assert not same_shape(octet_string(bytes(11)), Data(25, bytes(12)))


def test_a_stored_value_may_depend_on_the_device_and_tell_of_its_change(meter):
    """The default is made from the device; `before` may refuse; `changed` is told; the default again is forgotten."""
    told: list[Data] = []

    def before(device, data, now):
        if data.value == 13:
            raise AccessRefused(3)

    item = DataObject(
        SETTING,
        stored(
            lambda device: unsigned(device.installation),
            before=before,
            changed=lambda device, data, now: told.append(data),
        ),
    )
    assert item.read(meter, 2, NOW) == unsigned(7)
    item.set(meter, 2, unsigned(8), NOW)
    with pytest.raises(AccessRefused):
        item.set(meter, 2, unsigned(13), NOW)
    assert item.read(meter, 2, NOW) == unsigned(8)
    item.set(meter, 2, unsigned(7), NOW)
    assert (meter.deviations, told) == ({}, [unsigned(8), unsigned(7)])


def test_rights_come_from_the_object_its_class_or_the_default():
    """The most particular rule wins; attributes that take no writes are never shown as writable."""
    name, setting = TREE[1, NAME], TREE[1, SETTING]
    table = AccessTable(NOTHING, {(1, SETTING): EVERYTHING}, {1: Rule(read=frozenset({2}), write=None, act=None)})
    assert table.modes(name) == (bytes((0, 0, 1)), {})
    assert table.modes(setting) == (bytes((0, 1, 3)), {})
    assert table.modes(TREE[70, SUPPLY]) == (bytes(5), {1: 0, 2: 0})
    assert not table.visible(TREE[70, SUPPLY])
    authenticated = AccessTable(Rule(None, None, None, authenticated=True))
    assert authenticated.modes(setting) == (bytes((0, 4, 6)), {})
    assert authenticated.modes(TREE[9, SUPPLY_SCRIPTS]) == (bytes((0, 4, 6)), {1: 2})


# Register, extended register, register activation


def test_a_register_is_reset_when_that_can_be_done(meter, head_end):
    """A stored value returns to its default, a hook is called, and a computed value without one is denied."""
    head_end.set(3, SLOW, 2, double_long_unsigned(77))
    assert head_end.act(3, SLOW, 1, integer(0)) == Answer(None)
    assert head_end.value(3, SLOW, 2) == double_long_unsigned(5)
    assert head_end.act(4, DEMAND, 1, integer(0)) == Answer(None)
    assert meter.moves == [("reset", NOW)]
    assert head_end.act(3, ENERGY, 1, integer(0)) == Refused("action", 3)
    assert head_end.act(3, SLOW, 1, octet_string(b"")) == Refused("action", 12)
    assert head_end.value(3, SLOW, 3) == structure((integer(-1), enum(27)))


def test_register_activation_keeps_masks_and_says_what_counts(meter, head_end):
    """Add a register, add a mask over it, activate it, and the registers that count are those; refusals leave all as
    is."""
    item = TREE[6, TARIFF_REGISTERS]
    assert item.active(meter, NOW) == ((3, ENERGY),)
    third = structure((long_unsigned(4), octet_string(DEMAND)))
    mask = structure((octet_string(b"night"), array((unsigned(3), unsigned(1)))))
    assert head_end.act(6, TARIFF_REGISTERS, 2, mask) == Refused("action", 250)
    assert head_end.act(6, TARIFF_REGISTERS, 1, third) == Answer(None)
    assert head_end.act(6, TARIFF_REGISTERS, 2, mask) == Answer(None)
    assert head_end.set(6, TARIFF_REGISTERS, 4, octet_string(b"nowhere")) == Refused("access", 250)
    assert head_end.set(6, TARIFF_REGISTERS, 4, octet_string(b"night")) == Answer(None)
    assert item.active(meter, NOW) == ((4, DEMAND), (3, ENERGY))
    assert head_end.act(6, TARIFF_REGISTERS, 3, octet_string(b"night")) == Refused("action", 250)
    assert head_end.act(6, TARIFF_REGISTERS, 3, octet_string(b"day")) == Answer(None)
    assert head_end.act(6, TARIFF_REGISTERS, 3, octet_string(b"day")) == Refused("action", 250)
    assert head_end.act(6, TARIFF_REGISTERS, 1, unsigned(1)) == Refused("action", 12)
    assert [mask.value[0].value for mask in head_end.value(6, TARIFF_REGISTERS, 3).value] == [b"both", b"night"]


# Script table


def test_scripts_write_and_invoke(meter, head_end):
    """Script 3 writes an attribute and then fails at its second action with that action's result; what was written
    stays; scripts 1 and 2 open and close."""
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, long_unsigned(1)) == Answer(None)
    assert meter.contact is False
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, long_unsigned(2)) == Answer(None)
    assert meter.contact is True
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, long_unsigned(3)) == Refused("action", 4)
    assert head_end.value(1, SETTING, 2) == unsigned(7)
    assert meter.noted("script.executed") == 2


def test_scripts_that_cannot_run_say_why(meter, head_end):
    """No such script 4; wrong parameter 12; a script that starts itself 250; an object that is not here 4."""
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, long_unsigned(99)) == Refused("action", 4)
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, integer(1)) == Refused("action", 12)
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, long_unsigned(4)) == Refused("action", 250)
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, long_unsigned(5)) == Refused("action", 4)
    meter.welded = True
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, long_unsigned(1)) == Refused("action", 1)
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, long_unsigned(4)) == Refused("action", 250)


def test_a_script_table_can_be_rewritten_with_scripts_only(meter, head_end):
    """A new script is executed; numbers must differ and services be 1 or 2."""
    action = structure((enum(1), long_unsigned(1), octet_string(SETTING), integer(2), unsigned(55)))
    script = structure((long_unsigned(8), array((action,))))
    assert head_end.set(9, SUPPLY_SCRIPTS, 2, array((script, script))) == Refused("access", 12)
    bad = structure((enum(3), *action.value[1:]))
    assert head_end.set(9, SUPPLY_SCRIPTS, 2, array((structure((long_unsigned(8), array((bad,)))),))) == Refused(
        "access", 12
    )
    assert head_end.set(9, SUPPLY_SCRIPTS, 2, array((script,))) == Answer(None)
    assert head_end.act(9, SUPPLY_SCRIPTS, 1, long_unsigned(8)) == Answer(None)
    assert head_end.value(1, SETTING, 2) == unsigned(55)


# Association LN and SAP assignment


def test_the_object_list_shows_what_the_server_obeys(meter):
    """Every object a client may touch, with class, version, name and its rights; nothing else."""
    reader = meter.client(READER_SAP, Profile(Mechanism.LLS, Context.LN, PASSWORD)).open()
    listed = reader.value(15, CURRENT, 2).value
    assert len(listed) == len(ITEMS)
    entry = next(item for item in listed if item.value[2].value == SUPPLY)
    class_id, version, _, rights = entry.value
    assert (class_id.value, version.value) == (70, 0)
    assert [item.value[1].value for item in rights.value[0].value] == [1, 1, 1, 1]
    assert [(item.value[0].value, item.value[1].value) for item in rights.value[1].value] == [(1, 1), (2, 0)]
    public = TREE.named("public")
    assert {item.value[2].value for item in public.read(meter, 2, NOW).value} == {
        NAME, obis("0-0:1.0.0"), obis("0-0:43.1.0"), obis("0-0:40.0.1")
    }  # fmt: skip


def test_the_object_list_in_part(head_end):
    """Selectors: 1 without rights, 2 by class, 3 by objects, 4 one object; unknown ones and wrong shapes are
    refused."""

    def part(selector: int, parameters: Data):
        return head_end.get(15, CURRENT, 2, SelectiveAccess(selector, parameters))

    assert all(len(item.value) == 3 for item in part(1, null()).value.value)
    assert len(part(1, null()).value.value) == len(ITEMS)
    assert {item.value[0].value for item in part(2, array((long_unsigned(9), long_unsigned(70)))).value.value} == {
        9,
        70,
    }
    name = structure((long_unsigned(70), octet_string(SUPPLY)))
    assert [item.value[2].value for item in part(3, array((name,))).value.value] == [SUPPLY]
    assert part(4, name).value.value[2].value == SUPPLY
    assert part(4, structure((long_unsigned(70), octet_string(NAME)))) == Refused("access", 4)
    assert part(4, null()) == Refused("access", 12)
    assert part(3, array((null(),))) == Refused("access", 12)
    assert part(9, null()) == Refused("access", 12)


def test_an_association_object_tells_of_the_association_it_is_asked_in(meter, head_end):
    """Status 2 and the negotiated sizes in the client's own; status 0 and no information in another client's."""
    assert head_end.value(15, CURRENT, 8) == enum(2)
    conformance, receive, send, version, *_ = head_end.value(15, CURRENT, 5).value
    assert (conformance.tag, receive.value, send.value, version.value) == (4, 1024, 1024, 6)
    assert int(conformance.value, 2) == head_end.client.negotiated.conformance
    reader = obis("0-0:40.0.3")
    assert head_end.value(15, reader, 8) == enum(0)
    assert head_end.get(15, reader, 5) == Refused("access", 11)
    assert head_end.value(15, CURRENT, 4) == octet_string(bytes.fromhex("60857405080103"))
    assert head_end.value(15, CURRENT, 6) == octet_string(bytes.fromhex("60857405080205"))
    assert head_end.value(15, CURRENT, 9) == octet_string(obis("0-0:43.0.0"))


def test_a_secret_can_be_changed_and_then_opens(meter, head_end):
    """Writing attribute 7 changes the password; the old one is refused from then on."""
    reader = obis("0-0:40.0.3")
    assert head_end.set(15, reader, 7, octet_string(b"new password")) == Answer(None)
    old = meter.client(READER_SAP, Profile(Mechanism.LLS, Context.LN, PASSWORD))
    assert old.ask(old.client.associate()) == Refused("association", 13)
    assert meter.client(READER_SAP, Profile(Mechanism.LLS, Context.LN, b"new password")).open()
    assert head_end.set(15, reader, 7, octet_string(bytes(65))) == Refused("access", 12)


def test_change_hls_secret_acts_for_the_mechanism_that_has_one(meter, head_end):
    """Mechanism 6 takes a new secret; GMAC has none and denies; the method of another client's reply is refused."""
    sha = obis("0-0:40.0.5")
    assert head_end.act(15, sha, 2, octet_string(b"another secret")) == Answer(None)
    assert TREE.named("sha").secret_of(meter) == b"another secret"
    assert TREE.named("sha").client_sap == SHA_SAP
    assert head_end.act(15, sha, 2, unsigned(1)) == Refused("action", 12)
    assert head_end.act(15, CURRENT, 2, octet_string(b"x")) == Refused("action", 3)
    assert head_end.act(15, sha, 1, octet_string(bytes(17))) == Refused("action", 250)
    assert head_end.act(15, CURRENT, 1, null()) == Refused("action", 12)
    assert AssociationLN("0-0:40.0.9", 9, AccessTable()).secret_of(meter) == b""


def test_sap_assignment_connects_and_disconnects(meter, head_end):
    """A logical device moves to another SAP, to none (0), and not onto one that serves another."""

    def connect(sap: int, name: bytes):
        return head_end.act(17, SAPS, 1, structure((long_unsigned(sap), octet_string(name))))

    assert connect(9, b"MIRROR") == Answer(None)
    assert connect(1, b"MIRROR") == Refused("action", 250)
    assert connect(0, b"METER") == Answer(None)
    assert connect(5, b"NOBODY") == Refused("action", 4)
    assert head_end.act(17, SAPS, 1, null()) == Refused("action", 12)
    assert [(item.value[0].value, item.value[1].value) for item in head_end.value(17, SAPS, 2).value] == [
        (0, b"METER"),
        (9, b"MIRROR"),
    ]


# Image transfer


def blocks(image: bytes):
    return [image[start : start + BLOCK_SIZE] for start in range(0, len(image), BLOCK_SIZE)]


def initiate(client, image: bytes, name: bytes = b"fw-2"):
    return client.act(18, IMAGE, 1, structure((octet_string(name), double_long_unsigned(len(image)))))


def send(client, number: int, block: bytes):
    return client.act(18, IMAGE, 2, structure((double_long_unsigned(number), octet_string(block))))


def test_an_image_arrives_with_gaps_and_is_activated(meter, head_end):
    """Blocks out of order, repeated, with one missing: the first gap is named; verified and activated only when
    whole."""
    assert initiate(head_end, FIRMWARE) == Answer(None)
    parts = blocks(FIRMWARE)
    for number in (7, 0, 1, 3, 3, 2, 5, 6):
        assert send(head_end, number, parts[number]) == Answer(None)
    assert head_end.value(18, IMAGE, 3) == bit_string("11110111")
    assert head_end.value(18, IMAGE, 4) == double_long_unsigned(4)
    assert head_end.act(18, IMAGE, 3, integer(0)) == Refused("action", 250)
    assert send(head_end, 4, parts[4]) == Answer(None)
    assert head_end.value(18, IMAGE, 4) == double_long_unsigned(8)
    assert head_end.act(18, IMAGE, 4, integer(0)) == Refused("action", 250)
    assert head_end.act(18, IMAGE, 3, integer(0)) == Answer(None)
    assert head_end.value(18, IMAGE, 6) == enum(3)
    info = head_end.value(18, IMAGE, 7).value[0]
    assert info == structure((double_long_unsigned(len(FIRMWARE)), octet_string(b"fw-2"), octet_string(b"signed")))
    assert head_end.act(18, IMAGE, 4, integer(0)) == Refused("action", 2)
    assert (head_end.value(18, IMAGE, 6), meter.running) == (enum(5), b"first firmware")
    assert head_end.act(18, IMAGE, 4, integer(0)) == Refused("action", 2)
    assert initiate(head_end, FIRMWARE) == Refused("action", 2)
    assert meter.wakes == [NOW + 20 * SECOND]
    assert meter.objects.run_due(meter, NOW, NOW + 30 * SECOND) is not None
    assert (head_end.value(18, IMAGE, 6), meter.running) == (enum(6), b"fw-2")
    assert head_end.value(18, IMAGE, 7) == array(())


def test_one_changed_byte_fails_the_verification(meter, head_end):
    """All blocks there, one byte wrong: status 4, result 250; the right image can be sent afterwards."""
    initiate(head_end, BAD_FIRMWARE)
    for number, block in enumerate(blocks(BAD_FIRMWARE)):
        send(head_end, number, block)
    assert head_end.act(18, IMAGE, 3, integer(0)) == Refused("action", 250)
    assert head_end.value(18, IMAGE, 6) == enum(4)
    assert head_end.act(18, IMAGE, 4, integer(0)) == Refused("action", 250)
    initiate(head_end, FIRMWARE)
    for number, block in enumerate(blocks(FIRMWARE)):
        send(head_end, number, block)
    assert head_end.act(18, IMAGE, 3, integer(0)) == Answer(None)
    assert head_end.act(18, IMAGE, 3, integer(0)) == Answer(None)


def test_blocks_that_do_not_belong_are_refused(meter, head_end):
    """Before initiation, beyond the end, of a wrong size, wrong types, no size at all, and while transfer is
    disabled."""
    assert send(head_end, 0, bytes(BLOCK_SIZE)) == Refused("action", 250)
    assert head_end.act(18, IMAGE, 1, structure((octet_string(b""), double_long_unsigned(0)))) == Refused("action", 250)
    huge = structure((octet_string(b""), double_long_unsigned(1 << 30)))
    assert head_end.act(18, IMAGE, 1, huge) == Refused("action", 250)
    initiate(head_end, FIRMWARE)
    for number, size in ((8, BLOCK_SIZE), (0, BLOCK_SIZE - 1), (0, BLOCK_SIZE + 1), (7, BLOCK_SIZE)):
        assert send(head_end, number, bytes(size)) == Refused("action", 250)
    assert head_end.act(18, IMAGE, 2, null()) == Refused("action", 12)
    assert head_end.value(18, IMAGE, 4) == double_long_unsigned(0)
    assert head_end.set(18, IMAGE, 5, boolean(False)) == Answer(None)
    for method, data in ((1, huge), (2, null()), (3, integer(0)), (4, integer(0))):
        assert head_end.act(18, IMAGE, method, data) == Refused("action", 3)


# Push setup


def test_push_sends_the_listed_attributes_to_the_destination(meter, head_end):
    """Method 1 hands the device one structure of the columns; list and destination can be rewritten."""
    assert head_end.act(40, PUSH, 1, integer(0)) == Answer(None)
    body, code = meter.emitted.pop()
    assert (code, [item.tag for item in body.value]) == (0, [9, 6])
    gone = Column(1, bytes(6), 2)
    part = Column(3, SLOW, 3, 2)
    beyond = Column(3, SLOW, 3, 9)
    unreadable = Column(1, NAME, 9)
    head_end.set(40, PUSH, 2, array(column.data() for column in (gone, part, beyond, unreadable)))
    head_end.act(40, PUSH, 1, integer(0))
    assert meter.emitted.pop()[0] == structure((null(), enum(27), null(), null()))
    push = TREE.named("push")
    assert push.destination(meter, NOW).host_and_port() == (0x0A000009, 4061)
    assert head_end.set(40, PUSH, 3, Destination(1, b"192.168.1.2:99").data()) == Answer(None)
    assert push.destination(meter, NOW).host_and_port() == (0xC0A80102, 99)
    assert head_end.set(40, PUSH, 3, octet_string(b"192.168.1.2:99")) == Refused("access", 12)
    head_end.set(40, PUSH, 2, array(()))
    assert head_end.act(40, PUSH, 1, integer(0)) == Refused("action", 11)
    assert head_end.act(40, PUSH, 1, octet_string(b"")) == Refused("action", 12)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (b"1.2.3.4:80", (0x01020304, 80)),
        (bytes((1, 2, 3, 4, 0, 80)), (0x01020304, 80)),
        (b"1.2.3.4", None), (b"1.2.3:80", None), (b"1.2.3.4:0", None), (b"1.2.3.4:99999", None), (b"host:80", None),
        (b"\xff\xfe:80", None), (b"", None), (b"1.2.3.4:x", None),
    ],
)  # fmt: skip
def test_destinations_are_text_or_six_bytes(address, expected):
    """IPv4 address and port in either writing; anything else is no IPv4 destination."""
    assert Destination(1, address).host_and_port() == expected


def test_a_window_and_a_random_start_put_a_push_off(meter):
    """Outside its communication windows, or with a start delay, the push waits, asks to be woken, and is then sent."""
    daily = bytes.fromhex("FFFFFFFFFF02000000800000"), bytes.fromhex("FFFFFFFFFF03000000800000")
    push = PushSetup(PUSH, [Column(1, NAME, 2)], Destination(1, b"1.2.3.4:80"), windows=[daily])
    meter.objects = ObjectTree([push, TREE[1, NAME]])
    opening = NOW + 14 * HOUR
    push.act(meter, 1, integer(0), NOW)
    assert (meter.emitted, meter.wakes) == ([], [opening])
    assert meter.objects.run_due(meter, NOW, opening - 1) == opening
    assert meter.objects.run_due(meter, opening - 1, opening) is None
    assert len(meter.emitted) == 1
    push.act(meter, 1, integer(0), opening + 30 * MINUTE)
    assert len(meter.emitted) == 2
    push.set(meter, 4, array(()), NOW)
    push.set(meter, 5, long_unsigned(60), NOW)
    meter.luck = 25 * SECOND
    push.act(meter, 1, integer(0), NOW)
    assert meter.wakes[-1] == NOW + 25 * SECOND
    never = structure(
        (
            octet_string(bytes.fromhex("07E40101FF02000000800000")),
            octet_string(bytes.fromhex("07E40101FF03000000800000")),
        )
    )
    push.set(meter, 4, array((never,)), NOW)
    with pytest.raises(ActionRefused) as refused:
        push.act(meter, 1, integer(0), NOW)
    assert refused.value.result == 2


# Disconnect control


def switch(mode: int, state: int) -> DisconnectControl:
    return DisconnectControl(obis("0-1:96.3.10"), mode=mode, state=state)


R, M, L = Cause.REMOTE, Cause.MANUAL, Cause.LOCAL

# mode -> {(wish, cause, from): to}; what is missing must be refused. Blue Book 4.5.8, transitions a to i.
_REMOTE_OFF = {
    ("off", R, 1): 0,
    ("off", R, 2): 0,
    ("off", R, 0): 0,
    ("off", L, 1): 2,
    ("off", L, 0): 0,
    ("off", L, 2): 2,
    ("off", M, 0): 0,
    ("off", M, 2): 2,
    ("on", M, 1): 1,
    ("on", L, 1): 1,
    ("on", R, 1): 1,
    ("on", M, 2): 1,
}
TRANSITIONS = {
    1: {**_REMOTE_OFF, ("off", M, 1): 2, ("on", R, 0): 2, ("on", R, 2): 2},
    2: {**_REMOTE_OFF, ("off", M, 1): 2, ("on", R, 0): 1},
    3: {**_REMOTE_OFF, ("on", R, 0): 2, ("on", R, 2): 2},
    4: {**_REMOTE_OFF, ("on", R, 0): 1},
    5: {**_REMOTE_OFF, ("off", M, 1): 2, ("on", R, 0): 2, ("on", R, 2): 2, ("on", L, 2): 1},
    6: {**_REMOTE_OFF, ("on", R, 0): 2, ("on", R, 2): 2, ("on", L, 2): 1},
    7: {**_REMOTE_OFF, ("on", R, 0): 1, ("on", R, 2): 1, ("on", L, 2): 1},
}


@pytest.mark.parametrize("mode", range(1, 8))
@pytest.mark.parametrize("state", [DISCONNECTED, CONNECTED, READY])
def test_the_modes_have_exactly_their_transitions(meter, mode, state):
    """Every wish, cause and state of modes 1 to 7: the new state, or a refusal that changes nothing. Asking for what is
    already so is granted."""
    for wish in ("off", "on"):
        for cause in Cause:
            meter.deviations.clear()
            item = switch(mode, state)
            act = item.disconnect if wish == "off" else item.reconnect
            expected = TRANSITIONS[mode].get((wish, cause, state))
            if expected is None:
                with pytest.raises(ActionRefused):
                    act(meter, cause, NOW)
                assert item.state(meter, NOW) == state
            else:
                act(meter, cause, NOW)
                assert item.state(meter, NOW) == expected
                assert item.read(meter, 2, NOW) == boolean(expected == CONNECTED)


def test_mode_0_is_always_connected(meter):
    """No method opens it; going to mode 0 closes it first."""
    item = switch(0, CONNECTED)
    with pytest.raises(ActionRefused) as refused:
        item.act(meter, 1, integer(0), NOW)
    assert refused.value.result == 3
    item.act(meter, 2, integer(0), NOW)
    item.set(meter, 4, enum(4), NOW)
    item.act(meter, 1, integer(0), NOW)
    assert item.state(meter, NOW) == DISCONNECTED
    item.set(meter, 4, enum(0), NOW)
    assert item.state(meter, NOW) == CONNECTED
    with pytest.raises(AccessRefused):
        item.set(meter, 4, enum(8), NOW)


def test_the_supply_follows_its_methods_and_a_welded_contact_refuses(meter, head_end):
    """Methods 1 and 2 move the contact; with the contact welded the result is hardware fault and the state stays."""
    assert head_end.act(70, SUPPLY, 1, integer(0)) == Answer(None)
    assert (head_end.value(70, SUPPLY, 2), head_end.value(70, SUPPLY, 3), meter.contact) == (
        boolean(False),
        enum(0),
        False,
    )
    meter.welded = True
    assert head_end.act(70, SUPPLY, 2, integer(0)) == Refused("action", 1)
    assert head_end.value(70, SUPPLY, 3) == enum(0)
    assert head_end.set(70, SUPPLY, 4, enum(0)) == Refused("access", 1)
    assert head_end.value(70, SUPPLY, 4) == enum(4)
    meter.welded = False
    assert head_end.act(70, SUPPLY, 2, integer(0)) == Answer(None)
    assert meter.deviations == {}


def test_a_state_kept_elsewhere_is_read_from_there(meter):
    """With `control_state` bound, attribute 3 is physics' business: the move hook makes it true."""
    where = {"state": 1}

    def move(device, state, cause, now):
        where["state"] = state

    item = DisconnectControl(
        SUPPLY,
        control_state=computed(lambda device, now: enum(where["state"])),
        move=move,
        output=constant(boolean(True)),
    )
    item.act(meter, 1, integer(0), NOW)
    assert where["state"] == item.state(meter, NOW) == 0
    item.force(meter, READY, Cause.REMOTE, NOW)
    assert item.state(meter, NOW) == 2
    assert meter.deviations == {}


def test_registers_made_of_physics_follow_time(meter):
    """A computed register is what physics says at the instant asked for."""
    energy = TREE[3, ENERGY]
    assert energy.read(meter, 2, BORN + 90 * MINUTE) == double_long_unsigned(90)
    assert isinstance(energy, Register)
