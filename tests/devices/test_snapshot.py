"""Rows: a device put into its row and built again is the same device, whatever was done to it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devices.common import nvm, tariff
from emulator.codecs.axdr import (
    Data,
    array,
    date_time,
    enum,
    integer,
    long_unsigned,
    octet_string,
    structure,
    unsigned,
)
from emulator.commands import PowerCut, PressBoost, PressReconnect, RaiseAlert
from emulator.dlms import moment
from emulator.dlms.cosem import AccessRefused, ActionRefused, obis
from emulator.errors import InputError
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND

LONG = ("half-hours", "days")  # functions of what else is compared, and thousands of rows


def readable(device: Any, now: int, profiles: bool = False) -> dict[Any, Any]:
    """Every attribute that can be read, by object and attribute."""
    found: dict[Any, Any] = {}
    for key, item in device.objects.items():
        for attribute in range(1, item.attribute_count + 1):
            if item.name in LONG and attribute in (2, 7) and not profiles:
                continue
            try:
                found[*key, attribute] = item.read(device, attribute, now)
            except AccessRefused as refusal:
                found[*key, attribute] = refusal.result
    return found


WISHES: list[tuple[str, Callable[[Any, int], Any]]] = [
    ("script off", lambda d, now: d.objects[9, obis("0-0:10.0.106")].act(d, 1, long_unsigned(0x34), now)),
    ("script arm", lambda d, now: d.objects[9, obis("0-0:10.0.106")].act(d, 1, long_unsigned(0x36), now)),
    ("script on", lambda d, now: d.objects[9, obis("0-0:10.0.106")].act(d, 1, long_unsigned(0x33), now)),
    ("activate", lambda d, now: d.objects[9, obis("0-0:10.0.103")].act(d, 1, long_unsigned(0x1111), now)),
    ("deactivate", lambda d, now: d.objects[9, obis("0-0:10.0.103")].act(d, 1, long_unsigned(0x0212), now)),
    ("reset", lambda d, now: d.objects[9, obis("0-0:10.0.103")].act(d, 1, long_unsigned(0x0120), now)),
    ("duration", lambda d, now: d.objects[1, obis("0-0:94.44.117.1")].set(d, 2, long_unsigned(0), now)),
    ("follows", lambda d, now: d.objects[1, obis("0-1:94.44.10")].set(d, 2, array((unsigned(1),)), now)),
    (
        "clock",
        lambda d, now: d.objects[8, obis("0-0:1.0.0")].set(d, 2, date_time(moment.encode(now + 90 * SECOND)), now),
    ),
    ("days", lambda d, now: d.objects[20, obis("0-0:13.0.0")].set(d, 5, days(((0, 2), (3_600, 1))), now)),
    ("passive", lambda d, now: d.objects[20, obis("0-0:13.0.0")].set(d, 9, days(((0, 2),)), now)),
    (
        "planned",
        lambda d, now: d.objects[20, obis("0-0:13.0.0")].set(d, 10, octet_string(moment.encode(now + 2 * HOUR)), now),
    ),
    ("destination", lambda d, now: d.objects[40, obis("0-0:25.9.0")].set(d, 3, destination(), now)),
    ("image", lambda d, now: d.objects[18, obis("0-0:44.0.0")].act(d, 1, image_start(), now)),
    ("block", lambda d, now: d.objects[18, obis("0-0:44.0.0")].act(d, 2, image_block(), now)),
    ("policy", lambda d, now: d.objects[64, obis("0-0:43.0.0")].act(d, 1, enum(3), now)),
    ("disconnect timer", lambda d, now: d.objects[22, obis("0-0:15.0.1")].set(d, 4, timer(now + 3 * HOUR), now)),
    ("valve", lambda d, now: d.objects[70, obis("0-0:96.3.10")].act(d, 1, integer(0), now)),
    ("boost", lambda d, now: d.command(PressBoost(1, 20), now)),
    ("button", lambda d, now: d.command(PressReconnect(), now)),
    ("power", lambda d, now: d.command(PowerCut(300), now)),
    ("alert", lambda d, now: d.command(RaiseAlert(0x8F1D, "x"), now)),
    ("message", lambda d, now: d.receive("sms", b"SMETS1 WAKE 10.0.0.1:4061 t", now)),
    ("woken", lambda d, now: d.wake(now)),
]


def days(spans: tuple[tuple[int, int], ...]) -> Data:
    return array((tariff.day_type(1, spans),))


def destination() -> Data:
    return structure((enum(1), octet_string(b"10.0.0.1:4061"), enum(0)))


def image_start() -> Data:
    return structure((octet_string(b"03.25:0011223344556677"), Data(6, 300)))


def image_block() -> Data:
    return structure((Data(6, 0), octet_string(bytes(128))))


def timer(at: int) -> Data:
    stamp = moment.encode(at)
    return array((structure((octet_string(stamp[5:9]), octet_string(stamp[:5]))),))


def do(device: Any, wish: Callable[[Any, int], Any], now: int) -> None:
    """Carry out a wish as far as this kind of device knows it."""
    device._begin(now)
    if now >= device._power_back and device._armed:
        device._catch_up(now)
    try:
        wish(device, now)
    except (AccessRefused, ActionRefused, KeyError):
        return
    finally:
        device._outbox.clear()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("party", [Party.HUB, Party.ELECTRICITY, Party.GAS])
@given(
    wishes=st.lists(st.tuples(st.integers(0, len(WISHES) - 1), st.integers(1, 20 * 3_600)), max_size=8),
    later=st.integers(0, 3 * 86_400),
)
@example(wishes=[(20, 1), (0, 1)], later=0)  # a law that lasts no time: a script in the second after a power cut
@example(wishes=[(20, 1), (17, 1)], later=3_600)
def test_a_device_built_from_its_row_reads_the_same(
    bench: Callable[..., Any], party: Party, wishes: list[tuple[int, int]], later: int
) -> None:
    """Every readable attribute of every object is the same before and after a row, at once and days later."""
    home = bench(tariff="economy7", switches=2)
    device, now = home.machines[party], home.now
    for number, seconds in wishes:
        now += seconds * SECOND
        do(device, WISHES[number][1], now)
    restored = home.build(party, device.snapshot())
    assert restored.snapshot() == device.snapshot()
    for at in (now, now + later * SECOND):
        for each in (device, restored):
            each.wake(at)
        assert readable(restored, at) == readable(device, at)
    assert home.build(party, restored.snapshot()).snapshot() == device.snapshot()


@pytest.mark.parametrize("party", [Party.HUB, Party.ELECTRICITY, Party.GAS])
def test_profiles_too_read_the_same(bench: Callable[..., Any], party: Party) -> None:
    """Every row of every profile and log agrees after a row, over a clock that was set and a contact that was moved."""
    home = bench(tariff="economy10", switches=5)
    device, now = home.machines[party], home.now
    for number in range(len(WISHES)):
        now += 7 * MINUTE
        do(device, WISHES[number][1], now)
    now += DAY
    restored = home.build(party, device.snapshot())
    for item in device.objects.values():
        if item.class_id == 7:
            item.set(device, 8, Data(6, 200), now) if item.writable(8) and item.name == "half-hours" else None
    restored = home.build(party, device.snapshot())
    for each in (device, restored):
        each.wake(now)
    assert readable(restored, now, profiles=True) == readable(device, now, profiles=True)


@pytest.mark.parametrize("party", [Party.HUB, Party.ELECTRICITY, Party.GAS, Party.IHD])
def test_a_device_on_which_nothing_happened_has_no_row(bench: Callable[..., Any], party: Party) -> None:
    """As found, and after being read and left alone, a device keeps no bytes at all."""
    home = bench(tariff="economy7")
    device = home.machines[party]
    assert device.snapshot() == b""
    if party is not Party.IHD:
        device.wake(home.now)
        readable(device, home.now)
        assert device.snapshot() == b""


def test_a_home_after_its_migration_fits_its_row(bench: Callable[..., Any]) -> None:
    """A destination, a set clock and three key changes on each device: well below 1 kB for the whole home."""
    home = bench(tariff="economy7", switches=2)
    total = 0
    for party in (Party.HUB, Party.ELECTRICITY, Party.GAS):
        device = home.machines[party]
        do(device, dict(WISHES)["destination"], home.now)
        do(device, dict(WISHES)["clock"], home.now)
        for key_id in (0, 2, 3):
            device.key_installed(1, key_id, home.now)
        total += len(device.snapshot())
    assert 0 < total < 700


@pytest.mark.parametrize(
    "state", [b"\x00", b"\x90", b"\x91\x02", b"\x91\xa1x", bytes(40), b"\x93\x01\x91\x94\x01\x01\x01\x01"]
)
def test_a_damaged_row_is_one_clear_error(bench: Callable[..., Any], state: bytes) -> None:
    """Bytes that no device wrote are refused with what to do, and never half taken."""
    if state == b"\x90":  # an empty row is a row: nothing deviates
        assert nvm.unpack(state).deviations == []
        return
    with pytest.raises(InputError, match="state"):
        bench().build(Party.ELECTRICITY, state)
