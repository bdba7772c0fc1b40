"""The hub: waking, sleeping, forwarding unchanged, answering for what is lost, and showing the gas meter."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from devices.common import profile as profiles
from devices.common.event_log import Event
from devices.common.model import DeviceModel
from devices.hub.model import CommunicationsHub
from emulator.codecs.axdr import date_time, integer, long_unsigned
from emulator.codecs.data_notification import DATA_NOTIFICATION
from emulator.codecs.exception import EXCEPTION_RESPONSE
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import PowerCut, RaiseAlert
from emulator.dlms import moment
from emulator.dlms.client import Answer, Refused
from emulator.fleet.installation import Condition
from emulator.han.join import JoinState
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MILLISECOND, MINUTE, SECOND

MF5 = Condition("MF5", Party.GAS, "GT01")


@pytest.fixture
def home(bench: Callable[..., Any]) -> Any:
    return bench()


# Waking


def test_asleep_it_hears_nothing_but_short_messages(home: Any) -> None:
    """A frame sent to a sleeping hub is lost and noted; nothing is forwarded."""
    assert home.ask(1, 2, b"\xc0", patience=MINUTE) is None
    assert home.kinds(Party.HUB) == ["hub.not-attached"]


def test_a_short_message_wakes_it_and_it_calls_back(home: Any) -> None:
    """Attached between 0.5 and 5 seconds later, it tells the named address, plainly, who it is and the token it was
    given."""
    begun = home.now
    home.sms()
    while not home.alerts:
        assert home.step(begun + 10 * SECOND)
    assert 500 * MILLISECOND <= home.now - 40 * MILLISECOND - begun <= 5 * SECOND
    [(target, frame)] = home.alerts
    assert target == bytes((10, 0, 0, 1)) + (4_061).to_bytes(2, "big")
    heard = WRAPPER.parse(frame)
    assert (heard.source, heard.destination) == (1, 103)
    body = DATA_NOTIFICATION.parse(heard.payload).body
    assert [item.value for item in body.value] == [b"ELS" + home.installation.device(Party.HUB).serial.encode(), "t1"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SMETS1 WAKE",
        b"SMETS1 WAKE 10.0.0.1",
        b"SMETS1 WAKE 10.0.0:1",
        b"SMETS1 WAKE 10.0.0.1:0",
        b"SMETS1 WAKE 10.0.0.1:99999",
        b"SMETS1 SLEEP 10.0.0.1:1",
        b"SMETS1 WAKE 10.0.0.1:4061 a b",
        b"\xff\xfe",
        b"SMETS1 WAKE 10.0.0.1:4061 " + b"x" * 200,
    ],
)
def test_a_message_that_is_none_is_ignored_and_noted(home: Any, text: bytes) -> None:
    """Neither a wrong word nor a wrong address wakes a hub, and none of them breaks it."""
    home.sms(text)
    home.run(10 * SECOND)
    assert home.alerts == []
    assert home.kinds(Party.HUB) == ["hub.sms-ignored"]


def two_message_hub(home: Any) -> None:
    own = home.hub.model.profile
    made = DeviceModel(replace_hub(own, sms_count=2, sms_window_s=60), CommunicationsHub)
    spec = home.installation.device(Party.HUB)
    home.machines[Party.HUB] = made.create(
        home.installation, spec, store=home.store, contexts={1: int(Party.HUB)}, seed=home.seed
    )


def replace_hub(own: profiles.Profile, **changes: Any) -> profiles.Profile:
    assert own.hub is not None
    return msgspec.structs.replace(own, hub=msgspec.structs.replace(own.hub, **changes))


def test_a_model_may_need_two_messages_within_its_window(home: Any) -> None:
    """One message, or two too far apart, do not wake it; two within the window do. The half-heard state survives a
    row."""
    two_message_hub(home)
    home.rouse()
    home.run(2 * MINUTE)
    home.sms()
    home.run(10 * SECOND)
    assert home.alerts == []
    kept = home.hub.snapshot()
    model = home.hub.model
    spec = home.installation.device(Party.HUB)
    home.machines[Party.HUB] = model.create(
        home.installation, spec, store=home.store, contexts={1: int(Party.HUB)}, seed=home.seed, state=kept
    )
    home.rouse()
    assert len(home.alerts) == 1


def test_an_awake_hub_calls_back_again(home: Any) -> None:
    """A second message to a hub that is there already brings a second call: the first may have been lost."""
    home.rouse()
    home.rouse()
    assert len(home.alerts) == 2


def test_it_sleeps_when_nothing_is_said_and_forgets_associations(home: Any) -> None:
    """After its idle time without a frame it is asleep; awake again, the old association is refused."""
    home.rouse()
    talk = home.talk(Party.HUB)
    talk.open()
    home.run(599 * SECOND)
    assert isinstance(talk.read(1, "0-0:42.0.0"), bytes)
    home.run(9 * MINUTE)
    assert isinstance(talk.read(1, "0-0:42.0.0"), bytes)
    home.run(11 * MINUTE)
    assert home.kinds(Party.HUB)[-1] == "hub.asleep"
    home.rouse()
    assert isinstance(talk.read(1, "0-0:42.0.0"), Refused)


def test_a_frame_for_the_sleepy_gas_meter_keeps_it_awake(home: Any) -> None:
    """A question to the gas meter waits for its poll, far beyond the idle time, and its answer still gets out."""
    home.rouse()
    begun = home.now
    talk = home.talk(Party.GAS)
    assert isinstance(talk.open(), Answer)
    assert home.now - begun > 10 * SECOND
    poll = home.gas.model.sleepy(home.seed, home.installation.number)
    assert home.now - begun < poll.poll_us + 2 * SECOND
    quick = home.now
    talk.read(1, "0-0:42.0.0")
    assert home.now - quick < SECOND  # it stays awake for a while
    home.run(30 * MINUTE)
    assert home.kinds(Party.HUB)[-1] == "hub.asleep"


def test_a_power_cut_ends_everything_and_a_message_wakes_it_later(home: Any) -> None:
    """Without mains it hears no message; after they are back it does."""
    home.rouse()
    home.command(Party.HUB, PowerCut(60))
    home.alerts.clear()
    home.sms()
    home.run(50 * SECOND)
    assert home.alerts == []
    home.run(20 * SECOND)
    home.rouse()
    assert len(home.alerts) == 1


# Forwarding


def test_frames_are_forwarded_unchanged_both_ways(home: Any) -> None:
    """What the meter gets is the byte string of the WAN, what the WAN gets is the byte string of the meter."""
    home.rouse()
    frame = WRAPPER.build(Wrapper(16, 2, b"\xc0\x01\x02\x03"))
    [sent] = [effect for effect in home.hub.receive("wan", frame, home.now) if hasattr(effect, "frame")]
    assert (sent.port, sent.frame) == ("han.electricity", frame)
    answer = WRAPPER.build(Wrapper(2, 16, b"\xd8\x01\x01"))
    [back] = [effect for effect in home.hub.receive("han.electricity", answer, home.now) if hasattr(effect, "frame")]
    assert (back.port, back.frame) == ("wan", answer)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00\x01",
        b"\x00\x02\x00\x01\x00\x01\x00\x00",
        b"\x00\x01\x00\x01\x00\x02\x00\x05\xc0",
        b"\x00\x01\x00\x01\x00\x02\x00\x01\xc0\xc0",
        b"\x00\x01\x00\x01\x00\x63\x00\x01\xc0",
        b"\x00\x01\x00\x01\x00\x02\x0b\xb8" + bytes(3_000),
    ],
)
def test_bad_frames_are_noted_and_dropped(home: Any, frame: bytes) -> None:
    """Cut, bent, oversized, or for a device that is not there: a note, no answer, and the hub goes on working."""
    home.rouse()
    home.notes.clear()
    home.carry_out(Party.HUB, home.hub.receive("wan", frame, home.now))
    home.run(5 * SECOND)
    assert home.wan == []
    assert len(home.notes) == 1
    assert home.notes[0][1] in ("hub.bad-frame", "hub.no-such-device", "hub.overrun")
    assert isinstance(home.talk(Party.HUB, secured=False).open(), Answer)


@pytest.mark.parametrize(
    "frame", [b"", b"\x00\x01\x00", b"Z!", b"Z!\x00\x00", b"\x0a\x00\x00\x01\x0f\xdd\x00\x02", bytes(40)]
)
def test_bad_frames_from_the_home_are_noted_and_dropped(home: Any, frame: bytes) -> None:
    """A HAN frame that is neither answer, alert nor report goes nowhere."""
    home.rouse()
    home.notes.clear()
    for port in ("han.electricity", "han.gas", "han.ihd", "han.toaster"):
        effects = home.hub.receive(port, frame, home.now)
        assert [type(effect).__name__ for effect in effects] == ["Note"]


def test_a_meters_alert_wakes_the_hub_by_itself(home: Any) -> None:
    """An alert that arrives while the hub sleeps makes it attach and goes out then, without a call to anybody."""
    home.command(Party.ELECTRICITY, RaiseAlert(0x8F1D))
    home.run(10 * SECOND)
    assert [WRAPPER.parse(frame).source for _, frame in home.alerts] == [2]
    home.alerts.clear()
    home.command(Party.HUB, RaiseAlert(0x8F1E))
    home.run(2 * SECOND)
    assert [WRAPPER.parse(frame).source for _, frame in home.alerts] == [1]


# What is lost


def test_a_lost_gas_meter_is_answered_for_and_named(bench: Callable[..., Any]) -> None:
    """MF5: every request to the gas meter gets an exception in its name, and the hub shows GT01; electricity works."""
    home = bench(condition=MF5)
    home.rouse()
    answer = home.ask(16, 3, b"\x60\x00", patience=MINUTE)
    assert EXCEPTION_RESPONSE.parse(answer).service_error == 1
    assert home.talk(Party.GAS, secured=False).open() == Refused("exception", 1)
    hub = home.talk(Party.HUB)
    hub.open()
    assert hub.read(1, "0-0:97.97.0") == b"GT01"
    log = {row.value[1].value: (row.value[2].value, row.value[3].value) for row in hub.read(1, "0-0:94.44.40")}
    assert log == {2: (1, b""), 3: (0, b"GT01"), 4: (1, b"")}
    assert [row.value[1].value for row in hub.read(7, "0-0:99.98.0")] == [Event.INSTALLED, Event.HAN_LOST]
    assert isinstance(home.talk(Party.ELECTRICITY).open(), Answer)


def test_what_the_radio_says_counts(home: Any) -> None:
    """With the radio's word, a device is lost while it is lost: refused at once, then reachable again and logged."""
    link = home.links[Party.ELECTRICITY]
    home.hub.watch = lambda party, now: home.links[party].state(now)
    home.rouse()
    link.lose()
    assert home.talk(Party.ELECTRICITY, secured=False).open() == Refused("exception", 1)
    hub = home.talk(Party.HUB)
    hub.open()
    assert hub.read(1, "0-0:97.97.0") == b"ET01"
    link.rejoin()
    assert isinstance(home.talk(Party.ELECTRICITY).open(), Answer)
    assert hub.read(1, "0-0:97.97.0") == b""
    codes = [row.value[1].value for row in hub.read(7, "0-0:99.98.0")]
    assert codes[1:] == [Event.HAN_LOST, Event.HAN_JOINED]
    assert home.hub.joined(home.now)[1].state == 2  # the gas meter sleeps
    assert link.state(home.now) is JoinState.JOINED


# The mirror


def test_the_mirror_shows_the_gas_meter_as_at_its_last_poll(home: Any) -> None:
    """Read through the hub at any time, the mirrored volume is what the meter itself held at its last poll, exactly."""
    sleepy = home.gas.model.sleepy(home.seed, home.installation.number)
    for _ in range(4):
        home.run(47 * MINUTE)
        home.rouse()
        talk = home.talk("mirror")
        assert isinstance(talk.open(), Answer)
        shown = talk.read(3, "7-0:3.0.0")
        last = sleepy.next_poll(home.now) - sleepy.poll_us
        assert shown == home.gas.total(last)
        assert abs(moment.decode(talk.read(1, "0-0:94.44.42")) - last) < SECOND
        talk.close()


def test_the_mirror_follows_a_closed_valve_and_a_set_clock(home: Any) -> None:
    """The valve closed over the WAN: the mirror says so and stands still as the meter does, before and after a row."""
    home.rouse()
    talk = home.talk(Party.GAS)
    talk.open()
    assert talk.write(8, "0-0:1.0.0", 2, date_time(moment.encode(home.now + 90 * SECOND))) == Answer(None)
    assert isinstance(talk.act(9, "0-0:10.0.106", 1, long_unsigned(0x34)), Answer)
    assert talk.read(70, "0-0:96.3.10", 3) == 0
    stood = home.gas.total(home.now)
    home.run(3 * HOUR)
    for _ in range(2):
        mirror = home.hub.mirror
        assert (mirror.total(home.now), mirror.state(), mirror.flow(home.now)) == (stood, 0, 0)
        assert home.gas.total(home.now) == stood
        home.restart(Party.HUB)
        home.restart(Party.GAS)
    home.rouse()
    talk.open()
    assert isinstance(talk.act(70, "0-0:96.3.10", 2, integer(0)), Answer)
    home.run(5 * HOUR + 7 * MINUTE)
    sleepy = home.gas.model.sleepy(home.seed, home.installation.number)
    last = sleepy.next_poll(home.now) - sleepy.poll_us
    assert home.hub.mirror.total(home.now) == home.gas.total(last) > stood


def test_the_mirror_of_a_lost_meter_stands_still(bench: Callable[..., Any]) -> None:
    """A gas meter lost weeks ago is shown as it was then, today and tomorrow, and its last contact says when."""
    home = bench(condition=MF5)
    mirror = home.hub.mirror
    assert mirror.total(home.now) == mirror.total(home.now + 9 * DAY)
    assert mirror.heard_at(home.now) < home.now - DAY
    assert mirror.total(home.now) < home.gas.total(home.now)


def test_the_mirror_cannot_be_written_or_moved(home: Any) -> None:
    """The valve behind the mirror has no methods, its values take no writes, and the public client sees no volume."""
    home.rouse()
    talk = home.talk("mirror")
    talk.open()
    assert isinstance(talk.act(70, "0-0:96.3.10", 1, integer(0)), Refused)
    assert isinstance(talk.write(3, "7-0:3.0.0", 2, long_unsigned(0)), Refused)
    assert talk.read(1, "0-0:42.0.0") == b"ELSMG00000007"


def test_a_home_without_gas_has_no_mirror(bench: Callable[..., Any]) -> None:
    """Port 4 of a hub without a gas meter is nobody."""
    home = bench(gas=False)
    home.rouse()
    assert home.ask(1, 4, b"\x60\x00", patience=MINUTE) is None
    assert home.ask(1, 3, b"\x60\x00", patience=MINUTE) is None
    assert home.hub.saps() == [(1, b"ELSH00000007"), (2, b"ELSE00000007")]


def test_the_signal_is_the_homes_own_and_wanders(bench: Callable[..., Any]) -> None:
    """Received signal differs from home to home and from hour to hour, within what a modem reports."""
    seen = set()
    for number in range(20):
        hub = bench(gas=False, number=number).hub
        levels = {hub.signal_dbm(hour * HOUR) for hour in range(48)}
        assert 1 < len(levels) <= 9
        assert all(-113 <= level <= -51 for level in levels)
        seen.add(min(levels))
    assert len(seen) > 5
