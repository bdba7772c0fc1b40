"""Each violation, committed by a client from outside over the whole way; and the care that commits none."""

from typing import Any

import pytest
from watch_outsider import Bench, Outsider, action

from emulator.codecs.acse import AARQ, AARQ_FRAME, Context
from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data, Tag, array, enum, long_unsigned, octet_string, structure
from emulator.codecs.get import GET_REQUEST, GetRequest
from emulator.codecs.initiate import INITIATE_REQUEST, Conformance, InitiateRequest
from emulator.dlms import moment
from emulator.dlms.client import PUBLIC, Client, Refused
from emulator.dlms.cosem import obis
from emulator.errors import InputError
from emulator.headend import services
from emulator.headend.services import CALENDAR, CLOCK, DEVICE_NAME, KEY_TRANSFER
from emulator.kernel import chance
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.watch.settings import WatchSettings
from emulator.watch.violation import KEPT_MOST, KINDS, Register, kinds

NEW_EK, NEW_AK = bytes(range(16)), bytes(range(16, 32))
SUPPLY_OFF = (MethodRef(9, obis("0-0:10.0.106"), 1), long_unsigned(0x34))
FIVE_TERMINALS = 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


# Care


def test_a_careful_client_commits_nothing(bench: Bench) -> None:
    for party in (Party.HUB, Party.ELECTRICITY):
        bench.approve(0, party, "keys")
        bench.approve(0, party, "supply")
        client = Outsider(bench, 0, party).open()
        client.read()
        client.transfer([(0, NEW_EK), (2, NEW_AK)])
        assert client.read() is not None
        if party is Party.ELECTRICITY:
            client.ask(client.client.action(*SUPPLY_OFF))
        client.close()
    public = Outsider(bench)
    public.client = Client(None, None, PUBLIC)
    public.addressing = _as_public(public)
    public.ask(public.client.associate())
    assert public.read(services.INVOCATION_COUNTER) is not None
    assert bench.kinds() == []


def _as_public(outsider: Outsider) -> Any:
    class Addressing:
        sap = outsider.addressing.sap
        management = outsider.addressing.public

    return Addressing


def test_a_client_behind_the_device_is_told_and_does_nothing_wrong(bench: Bench) -> None:
    """Who was handed an old record uses a counter below the device's, hears which one is wanted, and goes on."""
    client = Outsider(bench, tx=0)
    assert client.say(client.client.associate(b"0123456789abcdef"))[:1] == b"\xd8"  # type: ignore[index]
    lowest = bench.estate.counters(bench.estate.installation(0), Party.ELECTRICITY)[1]
    client.store.set_counters(0, tx=lowest)
    client.open()
    assert bench.kinds() == []


# Counters and nonces


def test_a_message_sent_again(bench: Bench) -> None:
    client = Outsider(bench).open()
    apdu = client.client.get(DEVICE_NAME)
    client.ask(apdu)
    client.say(apdu)
    (found,) = bench.violations()
    assert (found.kind, found.installation, found.device, found.severity) == (
        "bad-counter",
        0,
        "electricity",
        "serious",
    )
    assert "sent again" in found.what
    assert client.store.state(0).title.hex() in found.where
    assert found.clause == KINDS["bad-counter"].clause
    assert bench.live.cell(0).journal.counts["watch.violation"] == 1


def test_a_counter_that_begins_anew_after_a_restart(bench: Bench) -> None:
    lowest = bench.estate.counters(bench.estate.installation(0), Party.ELECTRICITY)[1]
    first = Outsider(bench, tx=lowest + 50).open()
    first.read()
    again = Outsider(bench, tx=lowest)
    again.say(again.client.associate(b"0123456789abcdef"))
    assert bench.kinds() == ["bad-counter"]
    assert "does not rise" in bench.violations()[0].what


def test_damage_is_nobodys_violation(bench: Bench) -> None:
    """A counter that no longer rises in a message whose tag does not hold says nothing of the client."""
    client = Outsider(bench).open()
    apdu = bytearray(client.client.get(DEVICE_NAME))
    client.ask(bytes(apdu))
    apdu[-1] ^= 1
    client.say(bytes(apdu))
    assert bench.kinds() == []


def test_a_counter_that_jumps() -> None:
    bench = Bench(WatchSettings(gap_most=1_000))
    client = Outsider(bench).open()
    client.store.set_counters(0, tx=client.store.counters(0)[0] + 1_000)
    client.read()
    assert bench.kinds() == []
    client.store.set_counters(0, tx=client.store.counters(0)[0] + 1_001)
    client.read()
    assert bench.kinds() == ["bad-counter"]
    assert "jumped by 1001" in bench.violations()[0].what


def test_one_counter_for_two_messages(bench: Bench) -> None:
    client = Outsider(bench).open()
    counter = client.store.counters(0)[0]
    client.ask(client.client.get(DEVICE_NAME))
    twin = Outsider(bench, tx=counter)
    twin.say(twin.sealed(0x30, GET_REQUEST.build(GetRequest(0xC1, CLOCK))))
    assert bench.kinds() == ["reused-nonce"]
    assert bench.violations()[0].severity == "grave"


def test_a_challenge_answered_under_the_messages_own_counter(bench: Bench) -> None:
    """The reply to the challenge is sealed too: whoever gives it and its message one counter uses a nonce twice."""
    client = Outsider(bench)
    aare = client.say(client.client.associate(b"0123456789abcdef"))
    assert aare is not None
    counter = client.store.counters(0)[0]
    outcome = client.client.receive(aare)
    twin = Outsider(bench, tx=counter)  # the reply's own tag used `counter`; its message is sealed under it again
    inside = _reply_of(client, outcome.apdu)  # type: ignore[union-attr]
    client.say(twin.sealed(0x30, inside))
    assert bench.kinds() == ["reused-nonce"]
    assert "challenge reply" in bench.violations()[0].where


def _reply_of(client: Outsider, apdu: bytes) -> bytes:
    """The plain request inside the client's last message, opened as the device would."""
    from emulator.codecs.glo import GLO
    from emulator.crypto.keys import ContextStore

    frame = GLO.parse(apdu)
    store = ContextStore(1)
    state = client.store.state(0)
    store.load(0, ek=client.keys.ek, ak=client.keys.ak, title=state.peer, peer=state.title)
    return bytes(store.open(0, frame.security_control, frame.invocation_counter, frame.text))


# Keys in clear


@pytest.mark.parametrize("which", ["ek", "ak", "kek"])
def test_a_key_outside_of_encryption(bench: Bench, which: str) -> None:
    client = Outsider(bench)
    key = getattr(client.keys, which)
    client.say(action(KEY_TRANSFER, array([structure([enum(0), octet_string(key)])])))
    found = bench.violations()
    assert [each.kind for each in found if each.kind == "key-in-clear"] == ["key-in-clear"]
    assert which.upper() in found[0].what
    for each in found:  # and nobody tells it further
        assert key.hex() not in each.told()


def test_the_key_it_was_handed_over_with_counts_after_a_change(bench: Bench) -> None:
    bench.approve(0, Party.ELECTRICITY, "keys")
    client = Outsider(bench).open()
    client.transfer([(0, NEW_EK), (2, NEW_AK)])
    client.read()
    client.say(b"\xc1\x01\xc1" + client.keys.ek, client.addressing.public)
    assert bench.kinds() == ["key-in-clear"]
    assert "handed over" in bench.violations()[0].what


def test_a_new_key_that_is_not_wrapped(bench: Bench) -> None:
    bench.approve(0, Party.ELECTRICITY, "keys")
    client = Outsider(bench).open()
    data = array([structure([enum(2), octet_string(NEW_AK)])])
    assert isinstance(client.ask(client.client.action(KEY_TRANSFER, data)), Refused)
    assert bench.kinds() == ["key-in-clear"]
    assert "new AK" in bench.violations()[0].what


def test_a_dedicated_key_outside_of_encryption(bench: Bench) -> None:
    client = Outsider(bench)
    inner = INITIATE_REQUEST.build(InitiateRequest(NEW_EK, True, None, 6, int(Conformance.GET), 1024))
    client.say(AARQ_FRAME.build(AARQ(Context.LN_CIPHERED, b"OWN\0\0\0\0\x07", None, None, inner)))
    assert bench.kinds() == ["key-in-clear"]


# Commands


def test_a_supply_command_with_less_protection_than_wanted() -> None:
    """Authentication alone: whether the device takes it or not, it was sent."""
    bench = Bench()
    bench.approve(0, Party.ELECTRICITY, "supply")
    client = Outsider(bench).open()
    client.say(client.sealed(0x10, action(*SUPPLY_OFF)))
    assert bench.kinds() == ["weak-protection"]


def test_a_plain_supply_command(bench: Bench) -> None:
    client = Outsider(bench).open()
    client.say(action(*SUPPLY_OFF))
    assert bench.kinds() == ["weak-protection"]
    assert "0-0:10.0.106" in bench.violations()[0].where


def test_a_command_nobody_approved(bench: Bench) -> None:
    client = Outsider(bench).open()
    client.ask(client.client.action(*SUPPLY_OFF))
    (found,) = bench.violations()
    assert found.kind == "command-without-dual-control"
    assert "'supply'" in found.what
    bench.approve(0, Party.ELECTRICITY, "supply")
    client.ask(client.client.action(*SUPPLY_OFF))
    assert len(bench.violations()) == 1


def test_an_approval_is_for_one_device_one_service_and_a_time(bench: Bench) -> None:
    bench.approve(0, Party.GAS, "supply")
    bench.approve(0, Party.ELECTRICITY, "keys")
    bench.approvals.grant(0, Party.ELECTRICITY, "supply", bench.live.now - 100 * SECOND, 60)
    client = Outsider(bench).open()
    client.ask(client.client.action(*SUPPLY_OFF))
    assert bench.kinds() == ["command-without-dual-control"]


# Heating


def _day(*rows: tuple[int, int, int]) -> Data:
    """A day profile table of one day type: (hour, minute, rate)."""
    actions = [
        structure([octet_string(bytes((hour, minute, 0, 0))), octet_string(obis("0-0:10.0.100")), long_unsigned(rate)])
        for hour, minute, rate in rows
    ]
    return array([structure([Data(Tag.UNSIGNED, 1), array(actions)])])


def test_a_tariff_write_that_moves_heating(bench: Bench) -> None:
    client = Outsider(bench, FIVE_TERMINALS).open()
    before = client.read(CALENDAR)
    assert bench.kinds() == []
    client.ask(client.client.set(CALENDAR, before))  # the same again moves nothing
    assert bench.kinds() == []
    rows = before.value[0].value[1].value
    later = array(
        [
            structure(
                [
                    day.value[0],
                    array(
                        structure(
                            [
                                octet_string(bytes(((each.value[0].value[0] + 2) % 24, *each.value[0].value[1:]))),
                                *each.value[1:],
                            ]
                        )
                        for each in day.value[1].value
                    ),
                ]
            )
            for day in before.value
        ]
    )
    assert rows
    assert not isinstance(client.ask(client.client.set(CALENDAR, later)), Refused)
    found = bench.violations()
    assert {each.kind for each in found} == {"heating-times-moved"}
    assert "switch 1" in found[0].what
    assert " before, on " in found[0].what
    assert "20/0-0:13.0.0.255 attribute 5" in found[0].where


def test_a_home_without_auxiliary_load_has_no_heating_to_move(bench: Bench) -> None:
    client = Outsider(bench, 0).open()
    client.ask(client.client.set(CALENDAR, _day((0, 0, 1), (6, 0, 2))))
    assert bench.kinds() == []


def test_a_clock_set_wrong_moves_heating_and_one_set_right_does_not(bench: Bench) -> None:
    client = Outsider(bench, FIVE_TERMINALS).open()
    now = bench.live.now
    client.ask(client.client.set(CLOCK, Data(Tag.DATE_TIME, moment.encode(now + 3_600 * SECOND))))
    assert bench.kinds() == ["heating-times-moved"]
    assert "the clock" in bench.violations()[0].what
    client.ask(client.client.set(CLOCK, Data(Tag.DATE_TIME, moment.encode(bench.live.now))))
    assert len(bench.violations()) == 1


# Changes of keys


def test_two_head_ends(bench: Bench) -> None:
    bench.approve(0, Party.ELECTRICITY, "keys")
    first = Outsider(bench).open()
    first.transfer([(0, NEW_EK)])
    other = Outsider(bench, title=b"OTHER\0\0\1", tx=first.store.counters(0)[0])
    other.store.install(0, ek=NEW_EK)
    other.open()
    other.transfer([(2, NEW_AK)])
    other.read()
    assert bench.kinds() == ["two-head-ends"]


def test_the_same_head_end_may_go_on(bench: Bench) -> None:
    bench.approve(0, Party.ELECTRICITY, "keys")
    client = Outsider(bench).open()
    client.transfer([(0, NEW_EK)])
    client.transfer([(2, NEW_AK)])
    client.read()
    assert bench.kinds() == []


def test_keys_that_nobody_proved_before_letting_go(bench: Bench) -> None:
    bench.approve(0, Party.ELECTRICITY, "keys")
    client = Outsider(bench).open()
    client.transfer([(0, NEW_EK), (2, NEW_AK)])
    client.close()
    assert bench.kinds() == ["key-transfer-without-read-back"]
    assert bench.kinds() == ["key-transfer-without-read-back"]  # told once


def test_keys_that_nobody_proved_in_time() -> None:
    bench = Bench(WatchSettings(proof_s=600))
    bench.approve(0, Party.ELECTRICITY, "keys")
    client = Outsider(bench).open()
    client.transfer([(0, NEW_EK), (2, NEW_AK)])
    assert bench.kinds() == []
    bench.live.advance(bench.live.now + 601 * SECOND)
    assert bench.kinds() == ["key-transfer-without-read-back"]


def test_a_new_association_proves_them(bench: Bench) -> None:
    bench.approve(0, Party.ELECTRICITY, "keys")
    client = Outsider(bench).open()
    client.transfer([(0, NEW_EK), (2, NEW_AK)])
    client.open()
    client.close()
    assert bench.kinds() == []


def test_a_refused_transfer_opens_no_change(bench: Bench) -> None:
    bench.approve(0, Party.ELECTRICITY, "keys")
    client = Outsider(bench).open()
    bad = array([structure([enum(0), octet_string(bytes(24))])])
    assert isinstance(client.ask(client.client.action(KEY_TRANSFER, bad)), Refused)
    client.close()
    assert bench.kinds() == []


def test_whatever_bytes_come_the_watch_breaks_nothing(bench: Bench) -> None:
    """Requests of every kind, cut and bent: nothing is raised, and no device ends one with a fault of ours."""
    client = Outsider(bench, FIVE_TERMINALS).open()
    client.read()
    sane = [
        client.client.associate(b"0123456789abcdef"),
        action(*SUPPLY_OFF),
        action(KEY_TRANSFER, array([structure([enum(0), octet_string(bytes(24))])])),
        client.client.get(DEVICE_NAME),
        client.client.set(CALENDAR, _day((0, 0, 1))),
        b"\xc1\x02\xc1" + bytes(40),
        b"\xdb\x08" + bytes(40),
        b"\x62\x00",
    ]
    for turn in range(600):
        apdu = bytearray(sane[turn % len(sane)])
        luck = chance.bits(1, "bent", turn)
        if luck & 1:
            apdu[luck % len(apdu)] ^= 1 << (luck >> 8) % 8
        if luck & 2:
            del apdu[luck % len(apdu) :]
        client.say(bytes(apdu), (1, 16, 99)[luck % 3])
    counts = bench.live.cell(FIVE_TERMINALS).journal.counts
    assert "dlms.fault" not in counts
    assert counts["dlms.malformed"]


# The register, and back to how it was


def test_a_home_put_back_begins_anew(bench: Bench) -> None:
    client = Outsider(bench).open()
    client.read()
    lowest = bench.estate.counters(bench.estate.installation(0), Party.ELECTRICITY)[1]
    bench.live.reset(0)
    again = Outsider(bench, tx=lowest).open()
    again.read()
    assert bench.kinds() == []


def test_the_register_numbers_counts_and_keeps_the_last() -> None:
    register = Register()
    for number in range(KEPT_MOST + 1):
        register.add(number, number % 3, "hub", "bad-counter", "what", "where")
    register.add(0, 7, "gas", "reused-nonce", "what", "where")
    assert register.total == KEPT_MOST + 2
    assert register.counts == {"bad-counter": KEPT_MOST + 1, "reused-nonce": 1}
    kept = register.all()
    assert kept[-1].number == register.total
    assert len(kept) <= KEPT_MOST
    assert [each.number for each in register.all(installation=7)] == [register.total]
    assert register.all(after=register.total - 1) == kept[-1:]
    register.clear()
    assert register.all() == []
    assert register.add(0, 0, "hub", "bad-counter", "", "").number == KEPT_MOST + 3


def test_kinds_by_name() -> None:
    assert kinds("all") == set(KINDS)
    assert kinds(["bad-counter"]) == kinds("bad-counter") == {"bad-counter"}
    for wrong in ("bad", ["bad-counter", "x"], 7):
        with pytest.raises(InputError, match="bad-counter"):
            kinds(wrong)


def test_all_values_are_plain() -> None:
    """A violation travels as JSON: nothing in it but numbers and texts."""
    found = Register().add(1, 2, "hub", "two-head-ends", "what", "where")
    assert all(isinstance(getattr(found, name), int | str) for name in found.__dataclass_fields__)
