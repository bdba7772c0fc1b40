"""Faults of wires, hubs and home networks, the whole way: what the head end meets, what is noted, and the end of it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from emulator.errors import InputError, UsageError
from emulator.faults.hub import SlowAttach
from emulator.fleet.faulty_wires import FaultySms, FaultyWan
from emulator.fleet.wires import ShortMessage, WanDown, WanUp
from emulator.headend.session import HubSilentError, NoAnswerError, RefusedError
from emulator.kernel.effects import ALERTS, SMS, WAN
from emulator.kernel.machine import Party
from emulator.kernel.time import HOUR, SECOND
from emulator.link.air import AirProfile
from emulator.scenario.playground import Playground

SOUND = AirProfile(loss=0.0, sms_loss=0.0)


@pytest.fixture
def world() -> Playground:
    """Demo street without losses of its own."""
    return Playground("demo-street", seed=3, link="plain", air=SOUND)


def took(world: Playground, errand: Callable[[], Any]) -> float:
    """Seconds of virtual time that an errand took, which may fail."""
    before = world.instant
    with suppress(NoAnswerError, RefusedError, HubSilentError):
        errand()
    return (world.instant - before) / SECOND


def noted(world: Playground, kind: str, home: int = 0) -> list[Any]:
    return [entry.detail for entry in world.notes(kind, home)]


# The ground


def test_a_home_that_no_fault_is_about_lives_as_without_it() -> None:
    """Byte for byte: the same notes at the same instants, whatever befalls its neighbour on the same wires."""
    lives = []
    for faults in ([], ["gprs-loss", "gprs-duplicate", "sms-lost", "low-lqi", "hub-reboot"]):
        here = Playground("demo-street", seed=3)
        for fault in faults:
            here.inject(
                fault, installation=1 if fault != "link-outage" else None, after_s=0 if fault != "link-outage" else 1e6
            )
        here.run_for(hours=1)
        here.home(0).electricity.rotate_keys()
        here.home(0).gas.read("clock")
        with suppress(NoAnswerError, HubSilentError, RefusedError):
            here.home(1).electricity.read("clock")
        assert bool(here.notes("fault.fired", 1)) is bool(faults)
        lives.append([entry for entry in here.entries if entry.installation == 0])
    assert lives[0] == lives[1]


def test_wires_are_wrapped_only_while_a_fault_may_strike_there(world: Playground) -> None:
    """Also where it is put in force before its cell is made; cleared, the bare wires are back."""
    faults = [world.inject("gprs-loss", way="up", chance=0.0), world.inject("sms-lost", installation=9)]
    cell = world.cell(0).cell
    kinds = {key: type(cell.wires[key]) for key in ((0, WAN), (1, WAN), (1, ALERTS), (0, SMS))}
    assert kinds == {(0, WAN): FaultyWan, (1, WAN): FaultyWan, (1, ALERTS): FaultyWan, (0, SMS): FaultySms}
    faults[0].clear()
    assert [type(cell.wires[key]) for key in kinds] == [WanDown, WanUp, WanUp, FaultySms]
    faults[1].clear()
    assert [type(cell.wires[key]) for key in kinds] == [WanDown, WanUp, WanUp, ShortMessage]


def test_a_fault_strikes_homes_that_are_awake_at_once(world: Playground) -> None:
    """The hub is up when the fault is put in force, and takes no further frame."""
    world.home(0).electricity.read("clock")
    cell = world.cell(0).cell
    assert cell.awake
    fault = world.inject("receive-buffer-overrun", room=0, installation=0)
    cell.world.send(0, Party.HEADEND, WAN, bytes(30))
    world.run_for(seconds=10)
    assert fault.fired == 1
    assert noted(world, "hub.overrun") == [(30,)]


def test_what_was_injected_is_told_and_refused_in_words(world: Playground) -> None:
    fault = world.inject("gprs-loss", chance=0.0, installation=2)
    assert repr(fault) == "<fault 1 gprs-loss installation=2 chance=0.0, struck 0 times>"
    assert world.quiet_faults == [fault]
    assert world.inject(SlowAttach(extra_s=1), may_stay_quiet=True).settings == {"extra_s": 1}
    assert world.quiet_faults == [fault]
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("gprs-loss", {"installation": 16}, "there is no installation 16"),
        ("gprs-los", {}, "did you mean gprs-loss"),
        ("gprs-loss", {"chance": 2}, "give a number from 0 to 1"),
    ]
    for name, settings, told in wrong:
        with pytest.raises(InputError, match=told):
            world.inject(name, **settings)
    with pytest.raises(UsageError, match="a fault that is made has its own"):
        world.inject(SlowAttach(), times=1)
    assert len(world.faults) == 2


# GPRS


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gprs-loss", {"times": 2}),
        ("gprs-flap", {"times": 1, "down_s": 15}),
        ("gprs-truncate", {"times": 2}),
        ("gprs-split", {"times": 3, "gap_ms": 900}),
        ("gprs-split", {"times": 1, "transport": "datagram"}),
        ("gprs-coalesce", {"times": 2, "hold_ms": 3_000}),
        ("gprs-coalesce", {"times": 1, "hold_ms": 60_000}),
        ("gprs-reorder", {"times": 2, "hold_ms": 5_000}),
        ("gprs-duplicate", {"way": "up"}),
        ("link-outage", {"seconds": 90}),
        ("half-open", {"times": 1, "way": "up"}),
    ],
)
@pytest.mark.parametrize("link", ["plain", "ipsec"])
def test_a_change_of_keys_outlives_what_gprs_does_to_it(name: str, settings: dict[str, Any], link: str) -> None:
    """It strikes and is noted; afterwards both sides agree on the keys."""
    world = Playground("demo-street", seed=3, link=link, air=SOUND)
    fault = world.inject(name, installation=0, **settings)
    meter = world.home(0).electricity
    for _ in range(3):
        try:
            meter.rotate_keys()
            break
        except (NoAnswerError, RefusedError, HubSilentError):
            world.run_for(hours=1)
    assert fault.fired
    assert len(noted(world, "fault.fired")) == fault.fired
    assert meter.generations() == (1, 1)
    assert meter.read("clock")


def test_a_split_frame_is_late_on_a_stream_and_refused_as_a_datagram(world: Playground) -> None:
    """A hub that reads a stream has the request with its last piece; one that takes datagrams notes both pieces."""
    clean = took(world, lambda: world.home(0).electricity.read("clock"))
    world.run_for(hours=1)
    stream = world.inject("gprs-split", way="down", gap_ms=2_000, installation=0)
    assert clean < took(world, lambda: world.home(0).electricity.read("clock"))
    assert not noted(world, "hub.bad-frame")
    stream.clear()
    world.inject("gprs-split", way="down", transport="datagram", times=1, installation=0)
    world.run_for(hours=1)
    world.home(0).electricity.read("clock")
    assert len(noted(world, "hub.bad-frame")) == 2


def test_a_damaged_frame_is_noted_by_whoever_gets_it(world: Playground) -> None:
    """Down by the hub, up by the head end; nobody falls over it."""
    for way, kind in (("down", "hub.bad-frame"), ("up", "headend.bad-frame")):
        # Behind the call after waking, which comes on the way of alerts.
        fault = world.inject("gprs-truncate", way=way, keep=9, skip=1 if way == "up" else 0, times=1, installation=0)
        world.home(0).electricity.read("clock")
        assert (fault.fired, len(noted(world, kind))) == (1, 1)
        fault.clear()
        world.run_for(hours=1)


def test_two_requests_that_wait_for_each_other_both_arrive(world: Playground) -> None:
    """The first is held back and comes with its repetition: at one instant, and each once."""
    fault = world.inject("gprs-coalesce", way="down", hold_ms=80_000, times=1, installation=0)
    assert world.home(0).electricity.read("clock")
    assert fault.fired == 1
    assert not noted(world, "hub.bad-frame")
    joined = world.inject("gprs-coalesce", way="down", hold_ms=80_000, times=1, transport="datagram", installation=0)
    fault.clear()
    world.run_for(hours=1)
    world.home(0).electricity.read("clock")
    assert joined.fired == len(noted(world, "hub.bad-frame")) == 1


def test_each_way_holds_its_own_frames(world: Playground) -> None:
    """Requests wait for requests, answers for answers and alerts for alerts: none turns round."""
    fault = world.inject("gprs-coalesce", hold_ms=4_000, installation=0)
    world.home(0).electricity.rotate_keys()
    assert fault.fired > 8
    for kind in ("hub.no-such-device", "hub.bad-frame", "headend.bad-frame", "headend.alert-refused"):
        assert not noted(world, kind), kind


def test_a_frame_that_nothing_follows_is_only_late(world: Playground) -> None:
    """Held for less than the head end's patience: no request is repeated."""
    down = world.cell(0).cell.chain.log.ways[0]
    world.home(0).electricity.read("clock")
    clean = down.offered
    world.run_for(hours=1)
    fault = world.inject("gprs-coalesce", way="down", hold_ms=1_500, installation=0)
    world.home(0).electricity.read("clock")
    assert down.offered == 2 * clean
    assert fault.fired == clean
    assert not noted(world, "hub.bad-frame")


def test_half_open_ends_when_the_hub_attaches_anew(world: Playground) -> None:
    """The hub goes on hearing requests and answers in vain until it has slept and been woken."""
    fault = world.inject("half-open", way="up", skip=1, times=1, installation=0)
    with pytest.raises(NoAnswerError):
        world.home(0).electricity.read("clock")
    assert {detail[1] for detail in noted(world, "wire.dead")} == {"half-open"}
    assert fault.fired == 1
    world.run_for(hours=1)
    assert noted(world, "hub.asleep")
    assert world.home(0).electricity.read("clock")


def test_a_fault_of_one_device_spares_the_frames_of_the_others(world: Playground) -> None:
    fault = world.inject("gprs-loss", installation=0, device="gas")
    assert world.home(0).electricity.read("clock")
    assert world.home(0).hub.read("clock")
    assert fault.fired == 0
    with pytest.raises(NoAnswerError):
        world.home(0).gas.read("clock")
    assert fault.fired > 0


def test_a_link_outage_of_one_home_is_that_of_its_whole_cell(world: Playground) -> None:
    """They share a tunnel. What is lost is counted by the link as an outage, and short messages are not of it."""
    fault = world.inject("link-outage", installation=1, seconds=3_600)
    assert world.cell(0).cell.black(world.instant)
    with pytest.raises(HubSilentError):
        world.home(0).electricity.read("clock")
    lost = world.cell(0).cell.chain.log.ways[1].lost_by["outage"]
    assert lost == fault.fired == len(noted(world, "fault.fired"))
    assert noted(world, "hub.awake")
    world.run_for(hours=2)
    assert not world.cell(0).cell.black(world.instant)
    assert world.home(0).electricity.read("clock")


def test_out_of_coverage_a_message_waits_for_the_end_of_it(world: Playground) -> None:
    """The hub wakes by the message that was sent while nobody reached it."""
    world.inject("out-of-coverage", installation=0, seconds=1_800)
    assert not world.cell(0).cell.covered(0, world.instant)
    begun = world.instant
    with pytest.raises(HubSilentError):
        world.home(0).electricity.read("clock")
    assert not noted(world, "hub.awake")
    world.run_for(hours=1)
    [awake] = world.notes("hub.awake", 0)
    assert 1_800 <= (awake.at - begun) / SECOND < 1_900
    assert world.cell(0).cell.covered(0, world.instant)


# Hubs


def test_a_second_message_is_needed(world: Playground) -> None:
    """The first is counted and does not wake it; one that needs more than the head end sends stays silent."""
    fault = world.inject("second-sms-needed", installation=0)
    world.home(0).electricity.read("clock")
    assert noted(world, "hub.sms-counted") == [(1,)]
    fault.clear()
    world.run_for(hours=1)
    world.inject("second-sms-needed", installation=0, needed=10)
    with pytest.raises(HubSilentError):
        world.home(0).electricity.read("clock")


def test_a_lost_message_is_sent_again(world: Playground) -> None:
    fault = world.inject("sms-lost", installation=0, times=1)
    assert took(world, lambda: world.home(0).electricity.read("clock")) > 60
    assert fault.fired == 1


def test_attaching_slowly_takes_so_much_longer(world: Playground) -> None:
    world.inject("slow-attach", installation=0, extra_s=40)
    world.home(0).electricity.read("clock")
    [(told,)] = noted(world, "hub.attaching")
    assert 40_000 < told <= 45_000
    [asked], [awake] = world.notes("hub.attaching", 0), world.notes("hub.awake", 0)
    assert 40 <= (awake.at - asked.at) / SECOND <= 45.001


def test_a_hub_comes_back_at_another_address_each_time(world: Playground) -> None:
    """The head end learns it from the call after waking; what goes to the old address before that reaches nobody."""
    fault = world.inject("new-address-after-wake", installation=0)
    chain = world.cell(0).cell.chain
    for turn in (1, 2):
        assert world.home(0).electricity.read("clock")
        [*_, (address,)] = noted(world, "hub.new-address")
        assert chain.moved is not None
        assert chain.moved.address(0) == chain.moved.believed(0) == address != chain.profile.hub_base
        assert fault.fired == turn
        world.run_for(hours=1)
    assert len({*noted(world, "hub.new-address")}) == 2
    chain.move(0)  # and nobody was told
    world.cell(0).cell.world.send(0, Party.HEADEND, WAN, bytes(20))
    world.run_for(minutes=1)
    assert [reason for reason, _ in noted(world, "link.refused")] == ["selector"]
    assert world.home(1).electricity.read("clock")
    assert world.home(0).electricity.read("clock")


def test_a_hub_that_restarts_is_dark_and_then_asleep(world: Playground) -> None:
    """The request in hand is lost and so is the attachment; the meters behind it noticed nothing."""
    fault = world.inject("hub-reboot", installation=0, skip=1, times=1, dark_s=20)
    with pytest.raises(NoAnswerError):
        world.home(0).electricity.read("clock")
    assert noted(world, "hub.reboot") == [(20,)]
    assert noted(world, "hub.dark")
    assert fault.fired == 1
    assert world.home(0).electricity.read("clock")
    assert not world.notes("device.power-cut", 0)


def test_frames_beyond_the_buffer_are_dropped_and_noted(world: Playground) -> None:
    """Short ones pass."""
    world.inject("receive-buffer-overrun", installation=0, room=70)
    with pytest.raises(NoAnswerError):
        world.home(0).electricity.read("clock")
    dropped = noted(world, "hub.overrun")
    assert dropped
    assert all(length > 70 for (length,) in dropped)


# The home network


def test_a_lost_device_is_answered_for_and_comes_back(world: Playground) -> None:
    """GT01 as long as it is lost, through the home's sleep; cleared it answers for itself."""
    fault = world.inject("han-lost", installation=0)
    for _ in range(2):
        with pytest.raises(RefusedError):
            world.home(0).gas.read("clock")
        world.run_for(hours=1)
    assert {detail[1] for detail in noted(world, "hub.han-lost")} == {"GT01"}
    assert fault.fired == 1
    assert world.home(0).electricity.read("clock")
    fault.clear()
    assert world.home(0).gas.read("clock")


def test_a_sleepier_gas_meter_answers_late(world: Playground) -> None:
    """A request waits in the hub for its poll; whoever is less patient than that gives up."""
    clean = took(world, lambda: world.home(0).gas.read("clock"))
    world.run_for(hours=1)
    fault = world.inject("gas-asleep", installation=0, poll_s=43_200)
    assert took(world, lambda: world.home(0).gas.read("clock")) > clean + 600
    fault.clear()
    world.run_for(hours=13)
    assert took(world, lambda: world.home(0).gas.read("clock")) < clean + 1_900


def test_a_poor_radio_loses_frames(world: Playground) -> None:
    world.inject("low-lqi", installation=0, device="electricity", lqi=3)
    with pytest.raises(NoAnswerError):
        world.home(0).electricity.read("clock")
    assert noted(world, "han.lost")
    assert world.cell(0).cell.look(0, Party.ELECTRICITY).lqi(world.instant) <= 23
    assert world.cell(0).cell.look(0, Party.GAS).lqi(world.instant) > 60


def test_a_hub_may_refuse_for_a_meter_that_is_there(world: Playground) -> None:
    """So often, and then it forwards again; the electricity meter is another matter."""
    fault = world.inject("object-unavailable", installation=0, times=1)
    with pytest.raises(RefusedError):
        world.home(0).gas.read("clock")
    assert noted(world, "hub.object-unavailable") == [(int(Party.GAS),)]
    assert world.home(0).electricity.read("clock")
    assert world.home(0).gas.read("clock")
    assert fault.fired == 1


def test_a_stale_mirror_stands_still_while_the_meter_goes_on(world: Playground) -> None:
    """What the hub shows of the gas meter is of the moment the fault was first met, less its age."""
    hub = world.home(0).hub
    hub.read("clock")
    mirror = hub.physical.mirror
    assert world.instant - mirror.heard_at(world.instant) < 2 * HOUR
    fault = world.inject("stale-mirror", installation=0, age_s=86_400)
    hub.read("clock")
    stood = hub.physical.mirror.heard_at(world.instant)
    assert fault.fired == 1
    assert world.instant - stood >= 24 * HOUR
    total = hub.physical.mirror.total(world.instant)
    world.run_for(days=5)
    hub.read("clock")
    assert hub.physical.mirror.heard_at(world.instant) == stood
    assert hub.physical.mirror.total(world.instant) == total
    fault.clear()
    assert hub.physical.mirror.total(world.instant) > total


# Keys


@pytest.mark.parametrize("keys", ["ek", "ak", "both"])
def test_forced_keys_lock_out_and_are_given_back(world: Playground, keys: str) -> None:
    """Whether the home slept or is awake when they are forced; counters do not fall."""
    meter = world.home(0).electricity
    for awake in (False, True):
        fault = world.inject("forced-wrong-key", installation=0, keys=keys)
        with pytest.raises((RefusedError, NoAnswerError)):
            meter.read("clock")
        assert fault.fired == 1
        store, index = world.cell(0).cell.store, world.cell(0).cell.context(0, Party.ELECTRICITY)
        before = store.counters(index)
        fault.clear()
        assert store.counters(index) >= before
        assert meter.read("clock")
        if not awake:
            continue
        world.run_for(hours=1)
    assert "16" not in repr(world.faults[0].fault)


def test_keys_changed_under_the_forced_ones_stay(world: Playground) -> None:
    """Clearing gives nothing back over a change that came after."""
    fault = world.inject("forced-wrong-key", installation=0)
    with pytest.raises((RefusedError, NoAnswerError)):
        world.home(0).electricity.read("clock")
    store, index = world.cell(0).cell.store, world.cell(0).cell.context(0, Party.ELECTRICITY)
    store.install(index, ek=bytes(16))
    epoch = store.state(index).epoch
    fault.clear()
    assert store.state(index).epoch == epoch
