"""How many alerts a second go through, and how that compares with what is needed.

    python bench/alerts.py [--homes N] [--hours H] [--alerts N] [--seconds S] [--broker URL] [--json FILE]

Three ways are measured. *Whole path*, in virtual time: a meter notices something, wakes its hub, and the frame goes
sealed over radio, air and link to a head end that opens, counts and throttles it; once with homes that sleep between
two alerts, once in a storm. *Pipeline*, without a broker: frames that devices sealed beforehand come to the head end
and leave it encoded for a broker, a message an alert or a hundred a message. *Broker*, where mosquitto is on the PATH
(or one is named): the control room's publisher, until the broker has acknowledged everything.

What is needed: SMETS1's 180,000 alerts a day, SMETS2's 50 million, and a hundred times each. Every way is given as a
multiple of its peer in the same run: of what a client library needs to open and read the same notification
(dlms-cosem), and of a plain aiomqtt or paho client that publishes the same alerts one by one. The calibration line says
what the machine was like, as in `bench/cohort.py`.
"""

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import msgspec
from cohort import calibration

from emulator.codecs.axdr import long_unsigned, octet_string, structure
from emulator.codecs.data_notification import DATA_NOTIFICATION, DataNotification
from emulator.codecs.glo import GENERAL_GLO, GeneralCiphered
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.control.alarms import Alarms
from emulator.control.mqtt_streams import Stream, alarm_place
from emulator.crypto import backend, derive
from emulator.dlms import moment
from emulator.fleet import alert_causes
from emulator.fleet.alert_causes import PER_DAY
from emulator.fleet.cell import Cell
from emulator.fleet.estate import Estate, open_estate
from emulator.headend.alert_desk import AlertDesk
from emulator.headend.keyring import Keyring, Patience
from emulator.headend.throttle import AlertRecord
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile
from emulator.shell.live import LiveEstate

NEEDED = {"smets1": 180_000, "smets2": 50_000_000, "100 x smets1": 18_000_000, "100 x smets2": 5_000_000_000}
"""Alerts a day."""

OLD_OPERATOR = 0x0AFF0001
"""Where devices as found send their alerts: the head end of this bench has that address, so it hears them."""

BATCH = 100
Way = tuple[str, float, float | None]
"""(name, alerts a second, the peer's)."""


class Nobody:
    """A caseworker without cases."""

    def begin(self, installation: int, now: int) -> None:
        return None


def head_end(estate: Estate, cell: Cell) -> AlertDesk:
    """An alert desk for a cell, told of everything that comes."""
    keyring = Keyring(derive.key(b"head end", "bench", estate.seed), cell.members, Patience())
    causes = alert_causes.read(estate.recipe.alerts.causes)
    desk = AlertDesk(keyring, lambda number: estate.smso(estate.installation(number)), causes)
    cell.desk.hear_alert = desk.hear
    return desk


def make(estate: Estate) -> tuple[Cell, AlertDesk]:
    """The first cell of an estate whose devices report here."""
    profile = LinkProfile(head_end=OLD_OPERATOR)
    cell = Cell(estate, 0, Nobody(), link="ipsec", profile=profile, air=AirProfile())  # type: ignore[arg-type]
    return cell, head_end(estate, cell)


def whole_path(estate: Estate, hours: float) -> dict[str, Any]:
    """The usual rate over some hours, then a storm."""
    cell, desk = make(estate)
    source = cell.alert(alert_causes.read(estate.recipe.alerts.causes), PER_DAY)
    begin, virtual = perf_counter(), cell.world.now
    cell.world.run_until(virtual + round(hours * HOUR))
    calm_s, calm = perf_counter() - begin, desk.tally.total
    raised = sum(source.raised.values())
    now = cell.world.now
    source.set_rate(0, now)
    # Ten alerts a minute and home: nobody falls asleep.
    source.storm(0x8F57, 10 * DAY / MINUTE / PER_DAY, now + 5 * MINUTE, now, installations=list(cell.members)[:500])
    begin = perf_counter()
    cell.world.run_until(now + 20 * MINUTE)
    storm_s, storm = perf_counter() - begin, desk.tally.total - calm
    return {
        "homes": len(cell.members),
        "alerts_a_day_and_home": round(raised / len(cell.members) / hours * 24, 2),
        "noticed": raised,
        "heard": calm,
        "refused": desk.refused + desk.strangers,
        "times_real_time": round(hours * 3_600 / calm_s),
        "asleep": calm / calm_s,
        "storm": storm / storm_s,
    }


def sound(cell: Cell, most: int = 500) -> list[int]:
    """Homes with which nothing is wrong, so that every alert of theirs can be opened."""
    found = []
    for home in cell.members:
        if cell.estate.installation(home).condition is None:
            found.append(home)
        if len(found) == most:
            break
    return found


def sealed(cell: Cell, count: int, homes: list[int]) -> list[tuple[int, bytes, int]]:
    """So many alerts of the homes' electricity meters, sealed as they seal them: (home, frame, instant)."""
    causes = alert_causes.read("standard")
    codes = [(each.notice.code, each.notice.text) for each in causes.occurrences]
    found = []
    for number in range(count):
        home, at = homes[number % len(homes)], cell.world.now + number * SECOND // 100
        index = cell.context(home, Party.ELECTRICITY)
        if not cell.store.loaded(index):
            cell.machine(home, Party.ELECTRICITY)
            cell.sleep(home)
        state = cell.store.state(index)
        code, text = codes[number // len(homes) % len(codes)]
        stamp = moment.encode(at)
        body = structure((long_unsigned(code), octet_string(stamp), octet_string(text.encode())))
        apdu = DATA_NOTIFICATION.build(DataNotification(state.tx & 0xFF_FFFF, stamp, body))
        counter, sealed_text = cell.store.seal(index, 0x30, apdu)
        ciphered = GENERAL_GLO.build(GeneralCiphered(state.title, 0x30, counter, sealed_text))
        found.append((home, WRAPPER.build(Wrapper(2, 103, ciphered)), at))
    return found


def pipeline(estate: Estate, count: int, batch: int) -> float:
    """Alerts a second from the frame at the head end to the message in the publisher's queue."""
    cell, desk = make(estate)
    homes = sound(cell)
    frames = sealed(cell, count, homes)
    for home in homes:  # known to the head end, as they would be
        desk._keyring.targets(estate.smso(estate.installation(home)))
    queue: list[bytes] = []
    pending: list[AlertRecord] = []
    encode = msgspec.json.encode

    def told(record: AlertRecord) -> None:
        pending.append(record)
        if len(pending) >= batch:
            queue.append(encode(pending if batch > 1 else pending[0]))
            pending.clear()

    desk.sinks.append(told)
    hear = desk.hear
    begin = perf_counter()
    for home, frame, at in frames:
        hear(home, frame, at)
    desk.settle(1 << 60)
    if pending:
        queue.append(encode(pending))
    spent = perf_counter() - begin
    assert desk.tally.total == count, (desk.tally.total, desk.refused)
    return count / spent


def control_room(estate: Estate, count: int, batch: int) -> float:
    """The same through the served estate's alert desk and its stream to a broker, up to the encoded messages."""
    live = LiveEstate(estate)
    cell = live.cell(0)
    homes = sound(cell)
    frames = sealed(cell, count, homes)
    alarms = Alarms(live, most=2 * count)
    for home in homes:
        cell.hold(home)
        cell.machine(home, Party.HUB)  # where an alert has just left a home, the home is up
    stream = Stream("alarm", alarms, "bench", alarm_place, batch=batch if batch > 1 else 0)
    hear = live.on_alert
    assert hear is not None
    messages = 0
    begin = perf_counter()
    for turn, (home, frame, at) in enumerate(frames):
        hear(home, frame, at)
        if turn % 1_000 == 999:
            while stream.waiting >= batch:
                taken = stream.take()
                messages += len(taken.messages)
                stream.done(taken)
    alarms.settle(1 << 60)
    while stream.waiting:
        taken = stream.take()
        messages += len(taken.messages)
        stream.done(taken)
    spent = perf_counter() - begin
    assert alarms.tally.total == count, alarms.tally.total
    assert messages
    return count / spent


def library(estate: Estate, count: int) -> float | None:
    """Alerts a second that dlms-cosem opens and reads, a client library; nothing is counted or encoded. None where it
    is not installed."""
    try:
        from dlms_cosem import security
        from dlms_cosem.protocol import xdlms
    except ImportError:
        return None
    cell, _ = make(estate)
    homes = sound(cell, 1)
    frames = sealed(cell, count, homes)
    keys = estate.keys(estate.installation(homes[0]), Party.ELECTRICITY)
    begin = perf_counter()
    for _, frame, _ in frames:
        ciphered = xdlms.GeneralGlobalCipher.from_bytes(frame[8:])
        plain = security.decrypt(
            security_control=ciphered.security_control,
            system_title=ciphered.system_title,
            invocation_counter=ciphered.invocation_counter,
            key=keys.ek,
            cipher_text=ciphered.ciphered_text,
            auth_key=keys.ak,
        )
        xdlms.DataNotification.from_bytes(plain)
    return count / (perf_counter() - begin)


# Brokers


@contextmanager
def broker(url: str | None) -> Iterator[tuple[str, int] | None]:
    """A broker's host and port: the one named, or a mosquitto of our own; None where there is none."""
    if url is not None:
        host, _, port = url.removeprefix("mqtt://").partition(":")
        yield host, int(port or 1883)
        return
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
        settings.flush()
        process = subprocess.Popen([program, "-c", settings.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = perf_counter() + 10
            while perf_counter() < end:
                try:
                    socket.create_connection(("127.0.0.1", int(port)), 0.2).close()
                    break
                except OSError:
                    continue
            yield "127.0.0.1", int(port)
        finally:
            process.terminate()
            process.wait(10)


def some_alerts(count: int) -> list[AlertRecord]:
    return [
        AlertRecord(number, number % 500, Party.ELECTRICITY, 0x8F57, "power-interrupted", "", True)
        for number in range(count)
    ]


def plain_paho(host: str, port: int, seconds: float) -> float:
    """Alerts a second of a paho client that publishes them one by one and waits for each to be acknowledged."""
    import paho.mqtt.client as paho

    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect(host, port)
    client.loop_start()
    count, begin = 0, perf_counter()
    for alert in some_alerts(1_000_000):
        text = json.dumps(msgspec.to_builtins(alert))
        client.publish(f"bench/alarm/{alert.installation}", text, 1).wait_for_publish()
        count += 1
        if perf_counter() - begin > seconds:
            break
    spent = perf_counter() - begin
    client.loop_stop()
    client.disconnect()
    return count / spent


async def plain_aiomqtt(host: str, port: int, seconds: float) -> float:
    """The same with aiomqtt."""
    from aiomqtt import Client

    async with Client(host, port) as client:
        count, begin = 0, perf_counter()
        for alert in some_alerts(1_000_000):
            await client.publish(f"bench/alarm/{alert.installation}", json.dumps(msgspec.to_builtins(alert)), 1)
            count += 1
            if perf_counter() - begin > seconds:
                break
        return count / (perf_counter() - begin)


async def the_bus(estate: Estate, host: str, port: int, mode: str, count: int, *, opened: bool = False) -> float:
    """Alerts a second through the control room's publisher: from the frame at the head end until the broker has
    acknowledged the message that carries it. `opened`: from the record that a head end has made of it."""
    from emulator.control.desk import Desk
    from emulator.control.driver import Driver
    from emulator.control.mqtt import Bus
    from emulator.control.mqtt_address import BusOptions, address_of
    from emulator.shell.gate import Log
    from emulator.shell.pace import Pace

    live = LiveEstate(estate)
    cell = live.cell(0)
    homes = sound(cell)
    frames = [] if opened else sealed(cell, count, homes)
    records = some_alerts(count) if opened else []
    for home in homes:
        cell.hold(home)
        cell.machine(home, Party.HUB)
    options = BusOptions(f"mqtt://{host}:{port}", prefix="bench", journal="off", alerts="off", alarms=mode)  # type: ignore[arg-type]
    live.commit()
    bus = Bus(Driver(Desk(live, Pace(live, speed=0))), options, address_of(options, {}), Log(), {})
    await bus.start()
    while not bus.connected:
        await asyncio.sleep(0.01)
    stream = bus.streams[0]
    hear = live.on_alert
    assert hear is not None
    alarms = bus.driver.desk.alarms
    begin = perf_counter()
    for start in range(0, count, 500):
        if opened:
            alarms.tell(records[start : start + 500])
            for each in alarms.alerts.watch:
                each()
        else:
            for home, frame, at in frames[start : start + 500]:
                hear(home, frame, at)
        live.commit()
        while stream.waiting > 8_000:  # the ring keeps 20,000
            await asyncio.sleep(0.002)
        await asyncio.sleep(0)
    live.commit()
    alarms.settle(1 << 60)
    while stream.waiting:
        await asyncio.sleep(0.002)
    spent = perf_counter() - begin
    assert stream.dropped == 0
    assert alarms.last >= count if opened else alarms.tally.total == count
    await bus.stop()
    return count / spent


# The report


def best(measure: Callable[[], float], rounds: int) -> float:
    """The median of some rounds."""
    return median(measure() for _ in range(rounds))


def report(ways: list[Way]) -> list[dict[str, Any]]:
    """Print each way against what is needed and its peer; the same as data."""
    names = list(NEEDED)
    print(f"{'alerts a second':<44}{'achieved':>11}" + "".join(f"{name:>15}" for name in names) + f"{'peer':>10}")
    needed = "".join(f"{NEEDED[name] / 86_400:>13,.1f}/s" for name in names)
    print(f"{'  needed':<44}{'':>11}{needed}")
    found = []
    for name, rate, peer in ways:
        ratios = {each: rate * 86_400 / NEEDED[each] for each in names}
        against = "" if peer is None else f"{peer:>10,.0f}{rate / peer:>7.1f}x"
        print(f"{name:<44}{rate:>9,.0f}/s" + "".join(f"{_ratio(ratio):>15}" for ratio in ratios.values()) + against)
        found.append(
            {
                "way": name,
                "alerts_per_s": round(rate, 1),
                "of_needed": {each: round(ratio, 4) for each, ratio in ratios.items()},
                "peer_per_s": None if peer is None else round(peer, 1),
                "of_peer": None if peer is None else round(rate / peer, 2),
            }
        )
    return found


def _ratio(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.2f}x"


def main() -> None:
    parser = argparse.ArgumentParser(description="How many alerts a second go through.")
    parser.add_argument("--homes", type=int, default=2_000, help="homes of the whole path")
    parser.add_argument("--hours", type=float, default=12.0, help="virtual hours of the whole path")
    parser.add_argument("--alerts", type=int, default=40_000, help="alerts of the pipeline and of the bus")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each plain publisher runs")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the pipeline; the median counts")
    parser.add_argument("--broker", help="mqtt://host:port instead of a mosquitto of our own")
    parser.add_argument("--json", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    before = calibration()
    estate = open_estate("mds-cohort", None, options.homes)
    path = whole_path(estate, options.hours)
    peer = library(estate, 1_000)
    count, rounds = options.alerts, options.rounds
    ways: list[Way] = [
        ("whole path, homes asleep in between", path.pop("asleep"), None),
        ("whole path, in a storm", path.pop("storm"), None),
        ("head end, a message an alert", best(lambda: pipeline(estate, count, 1), rounds), peer),
        (f"head end, {BATCH} a message", best(lambda: pipeline(estate, count, BATCH), rounds), peer),
        ("control room, a message an alert", best(lambda: control_room(estate, count, 1), rounds), peer),
        (f"control room, {BATCH} a message", best(lambda: control_room(estate, count, BATCH), rounds), peer),
    ]
    with broker(options.broker) as found:
        if found is not None:
            plain = asyncio.run(plain_aiomqtt(*found, options.seconds))
            paho = plain_paho(*found, options.seconds)
            ways += [
                ("broker: plain aiomqtt, one by one", plain, None),
                ("broker: plain paho, one by one", paho, None),
                ("broker: bus, a message an alert", asyncio.run(the_bus(estate, *found, "one", count // 4)), plain),
                (f"broker: bus, {BATCH} a message", asyncio.run(the_bus(estate, *found, "batch", count)), plain),
                (
                    f"broker: bus, {BATCH} a message, opened",
                    asyncio.run(the_bus(estate, *found, "batch", count, opened=True)),
                    plain,
                ),
            ]
    after = calibration()
    figures: dict[str, Any] = {
        "crypto": backend(),
        "python": sys.version.split()[0],
        "calibration_us": [round(before), round(after)],
        "whole_path": path,
    }
    for name, value in figures.items():
        print(f"{name:<20}{value}")
    if found is None:
        print("no mosquitto here: nothing was published")
    figures["ways"] = report(ways)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
