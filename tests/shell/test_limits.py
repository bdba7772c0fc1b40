"""What a client may make a served estate keep, and for how long: with limits small enough to reach."""

import asyncio
import contextlib
import io
import json
import random
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import served_kit as kit

from emulator.codecs.get import AttributeRef
from emulator.codecs.hdlc import DM, HDLC, HDLC_FRAME, LLC_REQUEST, SNRM, UA, address
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.dlms.client import Client
from emulator.dlms.cosem import obis
from emulator.errors import InputError
from emulator.fleet.estate import open_estate
from emulator.fleet.store import NotSavedError
from emulator.headend import services
from emulator.shell.addresses import Addresses, network
from emulator.shell.gate import Gate, Limits, Log
from emulator.shell.serving import Options, Serving

ELECTRICITY = 2
PUBLIC = WRAPPER.build(Wrapper(16, ELECTRICITY, Client().associate(b"")))
OBJECTS = AttributeRef(15, obis("0-0:40.0.0"), 2)
LIST = WRAPPER.build(Wrapper(16, ELECTRICITY, Client().get(OBJECTS)))
HOME = "127.1.0.1"


class Inside:
    """An estate served in this process, and connections to it."""

    def __init__(self, limits: Limits, *, installations: int | None = None, **options: Any) -> None:
        self.log = io.StringIO()
        settings = Options(port=0, limits=limits, **options)
        estate = open_estate("demo-street" if installations is None else "thousand", installations=installations)
        self.serving = Serving(estate, settings, Log(self.log))

    async def call(self, host: str = HOME, port: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(host, port or self.serving.port)

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]


def run(limits: Limits, body: Callable[[Inside], Awaitable[None]], **options: Any) -> Inside:
    """Serve, do `body`, stop; thirty seconds at most."""

    async def go() -> Inside:
        found = Inside(limits, **options)
        await found.serving.start()
        try:
            await body(found)
        finally:
            await found.serving.stop()
        return found

    return asyncio.run(asyncio.wait_for(go(), 30))


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other side closes."""
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""


async def answer(reader: asyncio.StreamReader) -> Wrapper:
    head = await asyncio.wait_for(reader.readexactly(8), 5)
    return WRAPPER.parse(head + await reader.readexactly(int.from_bytes(head[6:], "big")))


def test_idle_and_unfinished_connections_are_closed() -> None:
    """Nothing said, or half a frame and no more: closed, each for its own reason and time."""

    async def body(found: Inside) -> None:
        silent, silent_writer = await found.call()
        half, half_writer = await found.call()
        half_writer.write(PUBLIC[:9])
        assert await ended(half) == b""
        assert found.serving.gate.guests
        assert await ended(silent) == b""
        for writer in (silent_writer, half_writer):
            writer.close()

    found = run(Limits(idle_s=0.5, frame_s=0.1), body)
    assert found.serving.gate.counts["idle"] == 2
    assert "shell.idle" in found.events()


def test_connections_are_bounded_for_each_home_and_in_total() -> None:
    """Two a home, three in all: the next is closed at once, and a place that falls free is given away again."""

    async def body(found: Inside) -> None:
        first = [await found.call() for _ in range(2)]
        third, _ = await found.call()
        assert await ended(third) == b""
        other = await found.call("127.1.0.2")
        fifth, _ = await found.call("127.1.0.5")
        assert await ended(fifth) == b""
        first[0][1].close()
        while len(found.serving.gate.guests) > 2:
            await asyncio.sleep(0.01)
        reader, writer = await found.call()
        writer.write(PUBLIC)
        assert (await answer(reader)).payload[:1] == b"\x61"
        for _, each in (*first, other, (reader, writer)):
            each.close()

    found = run(Limits(connections=3, connections_each=2), body)
    assert found.serving.gate.counts["too-many"] == 2


def test_a_client_that_does_not_take_its_answers_is_no_burden() -> None:
    """It asks without end and reads nothing: nothing more is let in once its answers pile up, and in the end it is
    closed; what was kept for it stays below a bound."""
    kept: list[int] = []

    async def look(found: Inside) -> None:
        while True:
            guests: Any = found.serving.gate.guests
            kept.extend(guest.transport.get_write_buffer_size() + guest._filled for guest in guests)
            await asyncio.sleep(0.01)

    async def body(found: Inside) -> None:
        loop = asyncio.get_running_loop()
        looking = asyncio.create_task(look(found))
        with socket.socket() as glutton:
            glutton.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            glutton.setblocking(False)
            await loop.sock_connect(glutton, (HOME, found.serving.port))
            await loop.sock_sendall(glutton, PUBLIC)
            with pytest.raises(ConnectionError):
                async with asyncio.timeout(8):
                    while True:
                        await loop.sock_sendall(glutton, LIST * 50)
        looking.cancel()

    found = run(Limits(frame_s=0.5), body)
    assert found.serving.gate.counts["not-taken"] == 1
    assert 0 < max(kept) < 100_000


def test_a_link_on_an_optical_head_ends_after_silence() -> None:
    """SNRM, then nothing: the next request meets a station that is not connected."""

    async def body(found: Inside) -> None:
        reader, writer = await found.call(port=found.serving.hdlc_port)
        frames = []
        for control in (SNRM, 0x11):
            writer.write(HDLC_FRAME.build(HDLC(address(ELECTRICITY, 17), address(16), control, False, b"")))
            raw = await asyncio.wait_for(reader.read(4_096), 5)
            frames.append(HDLC_FRAME.parse(raw).control)
            await asyncio.sleep(0.4)
        assert frames == [UA, DM]
        writer.close()

    run(Limits(hdlc_idle_s=0.2), body)


def test_udp_peers_are_remembered_up_to_a_bound() -> None:
    """Of five peers the last two are known; the homes of the others are let go."""

    async def body(found: Inside) -> None:
        loop = asyncio.get_running_loop()
        peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
        for number, peer in enumerate(peers):
            peer.setblocking(False)
            await loop.sock_connect(peer, (f"127.1.0.{number + 5}", found.serving.port))
            await loop.sock_sendall(peer, PUBLIC)
            assert (await asyncio.wait_for(loop.sock_recv(peer, 4_096), 5))[8] == 0x61
        datagrams = found.serving._datagrams
        assert datagrams is not None
        assert len(datagrams) == 2
        assert len(found.serving.live.switchboard) == 2
        for peer in peers:
            peer.close()

    run(Limits(udp_peers=2), body)


def test_a_full_disk_holds_answers_back_and_nothing_else(tmp_path: Path) -> None:
    """While nothing can be saved no answer comes and one line says so; when there is room again it comes, unasked."""

    async def body(found: Inside) -> None:
        store = found.serving.live.store
        assert store is not None
        save, full = store.save, True

        def saving(batch: Any, now: int = 0) -> None:
            if full:
                raise NotSavedError("the disk is full; make room")
            save(batch, now)

        store.save = saving  # type: ignore[method-assign]
        reader, writer = await found.call()
        writer.write(PUBLIC)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        full = False
        found.serving.pace.poke()
        assert (await answer(reader)).payload[:1] == b"\x61"
        writer.close()

    found = run(Limits(), body, state=str(tmp_path / "state"))
    assert [event for event in found.events() if "saved" in event] == ["shell.not-saved", "shell.saved-again"]


def own_address() -> str | None:
    """An address of this machine that is not loopback; None where it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if found.startswith("127.") else found


def test_with_its_flag_it_serves_beyond_loopback() -> None:
    """One home at this machine's own address: there it answers, and no longer on loopback."""
    outside = own_address()
    if outside is None:
        pytest.skip("this machine has no address but loopback")

    async def body(found: Inside) -> None:
        reader, writer = await found.call(outside)
        writer.write(PUBLIC)
        assert (await answer(reader)).payload[:1] == b"\x61"
        writer.close()
        inside, _ = await found.call(HOME)
        assert await ended(inside) == b""

    run(Limits(), body, installations=1, host=f"{outside}/32", beyond_loopback=True)


def test_modelled_timing_keeps_a_sleeping_hub_silent_until_its_message() -> None:
    """Nobody woke it: silence. After a short message, at a hundred virtual seconds a second, the meter answers."""

    async def body(found: Inside) -> None:
        reader, writer = await found.call()
        writer.write(PUBLIC)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.2)
        for _ in range(3):
            found.serving.live.text(0, b"SMETS1 WAKE 10.0.0.1:4061 x")
        found.serving.pace.poke()
        for _ in range(50):
            await asyncio.sleep(0.05)
            writer.write(PUBLIC)
            with contextlib.suppress(TimeoutError):
                assert (await asyncio.wait_for(reader.readexactly(9), 0.05))[8] == 0x61
                break
        else:
            raise AssertionError("no answer")
        writer.close()

    run(Limits(), body, timing="modelled", speed=100.0)


def test_virtual_time_runs_at_its_speed() -> None:
    """At 600 virtual seconds a second the meter's clock runs minutes in a blink, also for who asks after a pause."""

    def read(found: Inside) -> list[int]:
        device = found.serving.live.keys(0, host=HOME, port=found.serving.port)[1]
        shown = []
        with kit.Caller(HOME, found.serving.port) as caller:
            client = caller.managed(device)
            for _ in range(2):
                text = bytes(caller.talk(client, 1, ELECTRICITY, client.get(services.CLOCK)).value)
                shown.append((text[5] * 60 + text[6]) * 60 + text[7])
                time.sleep(0.2)
        return shown

    async def body(found: Inside) -> None:
        first, second = await asyncio.to_thread(read, found)
        assert 100 <= second - first <= 3_600

    run(Limits(), body, speed=600.0)


def test_a_storm_of_bad_connections_is_counted_and_not_written_out() -> None:
    """Two hundred malformed headers: all in the counts at the end, a few lines a second in the log."""

    async def body(found: Inside) -> None:
        for _ in range(200):
            reader, writer = await found.call()
            writer.write(b"\xff" * 8)
            await ended(reader)
            writer.close()

    found = run(Limits(), body)
    events = found.events()
    assert found.serving.gate.counts["malformed"] == 200
    assert 0 < events.count("shell.malformed") < 200
    assert json.loads(found.log.getvalue().splitlines()[-1])["malformed"] == 200


def bent(luck: random.Random, frames: list[bytes]) -> bytes:
    """Frames one after another, some of them with bytes changed, cut, doubled or put between."""
    parts = []
    for _ in range(luck.randrange(1, 12)):
        frame = bytearray(luck.choice(frames))
        for _ in range(luck.choice((0, 0, 1, 3))):
            frame[luck.randrange(len(frame))] = luck.choice((0x7E, 0xA0, luck.randrange(256)))
        parts.append(bytes(frame[: luck.choice((len(frame), len(frame), luck.randrange(len(frame) + 1)))]))
        parts.append(luck.randbytes(luck.choice((0, 0, 5))))
    return b"".join(parts)


@pytest.mark.parametrize("head", [False, True], ids=["wrapper", "hdlc"])
def test_bent_frames_make_no_fault(head: bool) -> None:
    """Two hundred connections of valid frames bent at random: nothing of ours fails, and a good client is served."""
    luck = random.Random(20200302)
    controls = (SNRM, 0x53, 0x10, 0x12, 0x32, 0x11, 0x31, 0x15, 0x19, 0x97, 0x03)
    frames, good = [PUBLIC, LIST, PUBLIC + LIST], b""
    if head:
        to = address(ELECTRICITY, 17), address(16)
        good = HDLC_FRAME.build(HDLC(*to, SNRM, False, b""))
        good += HDLC_FRAME.build(HDLC(*to, 0x10, False, LLC_REQUEST + PUBLIC[8:]))
        frames = [
            HDLC_FRAME.build(HDLC(address(server, 17), address(client), control, cut, text))
            for server in (ELECTRICITY, 3, 1)
            for client in (16, 1)
            for control in controls
            for cut in (False, True)
            for text in (b"", LLC_REQUEST + PUBLIC[8:], bytes(200))
        ]

    async def body(found: Inside) -> None:
        port = found.serving.hdlc_port if head else found.serving.port
        for _ in range(200):
            _, writer = await found.call(port=port)
            writer.write(good + bent(luck, frames))
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()
        reader, writer = await found.call()
        writer.write(PUBLIC)
        assert (await answer(reader)).payload[:1] == b"\x61"
        writer.close()

    found = run(Limits(), body)
    assert "shell.fault" not in found.events()
    counts = found.serving.gate.counts
    assert counts["connections"] == 201
    assert counts["frames"] > 20
    assert counts["hdlc-noise" if head else "malformed"] > 20
    assert not found.serving.gate.guests
    assert len(found.serving.live.switchboard) == 0


def test_turns_go_round() -> None:
    """One visitor has a thousand frames, another has two: they take turns."""
    order: list[str] = []

    class Visitor:
        def __init__(self, name: str, frames: int) -> None:
            self.name, self.frames = name, frames

        def step(self) -> bool:
            order.append(self.name)
            self.frames -= 1
            return self.frames > 0

    gate = Gate(Limits(), Log(io.StringIO()), lambda: None)
    gate.ready(Visitor("flood", 1_000))
    gate.ready(Visitor("guest", 2))
    assert gate.feed(6)
    assert order == ["flood", "guest", "flood", "guest", "flood", "flood"]


def test_the_log_leaves_out_what_repeats() -> None:
    """Of a hundred lines in a second twenty are written, and the next second's first says how many were not."""
    stream, now = io.StringIO(), 1_000.0
    log = Log(stream, lambda: now)
    for _ in range(100):
        log.write("shell.malformed")
    now += 1
    log.write("shell.malformed")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 21
    assert lines[-1]["left_out"] == 80


@pytest.mark.parametrize(
    ("net", "number", "at"),
    [
        ("127.0.0.0/8", 0, "127.1.0.1"),
        ("127.0.0.0/8", 141_371, "127.3.40.60"),
        ("10.7.0.0/16", 0, "10.7.0.1"),
        ("192.0.2.9/32", 0, "192.0.2.9"),
    ],
)
def test_addresses(net: str, number: int, at: str) -> None:
    """A home's address, and back; its neighbours outside the estate are nobody's."""
    addresses = Addresses(network(net), number + 1)
    assert addresses.of(number) == at
    assert addresses.find(at) == number
    assert addresses.find("192.0.2.77") is None
    with pytest.raises(InputError):
        Addresses(network("127.0.0.0/8"), 1 << 24)
