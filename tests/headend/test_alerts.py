"""The ear on the alert port: what is vouched for, what is not, and what is refused without harm."""

import pytest

from emulator.codecs.axdr import octet_string
from emulator.codecs.data_notification import DATA_NOTIFICATION, DataNotification
from emulator.codecs.glo import GENERAL_GLO, GeneralCiphered
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.crypto.keys import ContextStore
from emulator.headend.alerts import Inbox

TITLE, OTHER, OURS = b"METER001", b"METER002", b"HEADEND0"
PLAIN = DATA_NOTIFICATION.build(DataNotification(1, b"", octet_string(b"power back")))


@pytest.fixture
def store() -> ContextStore:
    """Context 0 is ours towards the meter, 1 the meter's own."""
    made = ContextStore(2)
    made.load(0, ek=b"e" * 16, ak=b"a" * 16, title=OURS, peer=TITLE)
    made.load(1, ek=b"e" * 16, ak=b"a" * 16, title=TITLE, peer=OURS, tx=5)
    return made


def wrapped(apdu: bytes, source: int = 2) -> bytes:
    return WRAPPER.build(Wrapper(source, 103, apdu))


def sealed(store: ContextStore, title: bytes = TITLE, apdu: bytes = PLAIN) -> bytes:
    counter, text = store.seal(1, 0x30, apdu)
    return wrapped(GENERAL_GLO.build(GeneralCiphered(title, 0x30, counter, text)))


def test_a_plain_alert_is_heard_and_nobody_vouches_for_it(store: ContextStore) -> None:
    """Who wants a vouched alert does not get a plain one."""
    inbox = Inbox(store, {TITLE: 0})
    assert inbox.hear(wrapped(PLAIN), 7).kind == "headend.alert"
    assert inbox.take(2, vouched=True) is None
    assert inbox.take(1, vouched=False) is None  # another device's
    alert = inbox.take(2, vouched=False)
    assert alert is not None
    assert (alert.at, alert.source_sap, alert.system_title, alert.body.value) == (7, 2, None, b"power back")
    assert inbox.take(2, vouched=False) is None


def test_a_ciphered_alert_is_vouched_for_by_its_device(store: ContextStore) -> None:
    """It opens under the device's own keys, and moves the counter its answers share."""
    inbox = Inbox(store, {TITLE: 0})
    frame = sealed(store)
    note = inbox.hear(frame, 7)
    assert (note.kind, note.detail) == ("headend.alert", (2, TITLE))
    assert store.counters(0)[1] == 6
    again = inbox.hear(frame, 8)
    assert (again.kind, again.detail) == ("headend.alert-refused", ("ReplayError",))
    alert = inbox.take(2, vouched=True)
    assert alert is not None
    assert alert.system_title == TITLE
    assert inbox.alerts == []


def test_the_oldest_comes_first(store: ContextStore) -> None:
    """Alerts are taken in the order they came, each once."""
    inbox = Inbox(store, {TITLE: 0})
    for at in (1, 2, 3):
        inbox.hear(sealed(store) if at != 2 else wrapped(PLAIN), at)
    assert [alert.at for _ in range(2) if (alert := inbox.take(2, vouched=True))] == [1, 3]
    assert [alert.at for alert in inbox.alerts] == [2]


@pytest.mark.parametrize("cut", [0, 1, 8, 9, 20, -1])
def test_a_damaged_alert_changes_nothing(store: ContextStore, cut: int) -> None:
    """Cut anywhere, or with a bit turned: noted, and no counter moves."""
    inbox = Inbox(store, {TITLE: 0})
    frame = sealed(store)
    before = store.counters(0)
    assert inbox.hear(frame[:cut], 1).kind == "headend.alert-refused"
    for position in (8, 9, 14, 20, 30, len(frame) - 1):
        bent = bytearray(frame)
        bent[position] ^= 0x40
        assert inbox.hear(bytes(bent), 1).kind in ("headend.alert-refused", "headend.alert-stranger")
    assert inbox.alerts == []
    assert store.counters(0) == before
    assert inbox.hear(frame, 2).kind == "headend.alert"


def test_no_turned_bit_of_an_alert_makes_the_inbox_fail(store: ContextStore) -> None:
    """Each of its bits: noted, and only what nobody protects may change what is heard."""
    inbox = Inbox(store, {TITLE: 0})
    frame = sealed(store)
    for place in range(8 * len(frame)):
        bent = bytearray(frame)
        bent[place // 8] ^= 1 << place % 8
        kind = inbox.hear(bytes(bent), 1).kind
        assert kind.startswith("headend.alert"), place
        assert kind != "headend.alert" or place < 48  # the wrapper's version and addresses
        store.set_counters(0, rx=0)


def test_a_strangers_alert_is_said_to_be_one(store: ContextStore) -> None:
    """A title nobody knows here, and a title that is not the sealer's."""
    inbox = Inbox(store, {TITLE: 0, OURS: 0})
    assert inbox.hear(sealed(store, OTHER), 1).kind == "headend.alert-stranger"
    note = inbox.hear(wrapped(GENERAL_GLO.build(GeneralCiphered(OURS, 0x30, 9, b"x" * 30))), 1)
    assert (note.kind, note.detail) == ("headend.alert-refused", ("TagError",))
    assert inbox.alerts == []
