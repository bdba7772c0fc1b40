"""The hosts behind a tunnel, packet by packet: what a user's operating system would see of them."""

import asyncio
import io
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from emulator.codecs import icmp, tcp, udp
from emulator.codecs.icmp import ICMP, ICMP_FRAME
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.tcp import TCP, TCP_FRAME
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.dlms.client import Client
from emulator.errors import InputError
from emulator.fleet.estate import open_estate
from emulator.link.profile import LinkProfile
from emulator.shell import inner_tcp
from emulator.shell.gate import STANDARD, Gate, Log
from emulator.shell.inner import HubAddresses, InnerHosts
from emulator.shell.inner_tcp import ACK, FIN, PSH, RST, SYN
from emulator.shell.live import LiveEstate

USER, HOME = 0x0A000001, 0x0A800000
ASK = WRAPPER.build(Wrapper(16, 2, Client().associate(b"")))
PORT = 4059


class Scene:
    """Homes, and what they sent towards users."""

    def __init__(self) -> None:
        self.live = LiveEstate(open_estate("demo-street", None, None))
        self.gate = Gate(STANDARD, Log(io.StringIO()), lambda: None)
        self.sent: list[bytes] = []
        self.hosts = InnerHosts(self.live, self.gate, self.sent.append)

    def put(self, protocol: int, payload: bytes, home: int = 0, **fields: Any) -> None:
        self.hosts.receive(IPV4_FRAME.build(IPv4(USER, HOME + home, protocol, 7, 60, payload, **fields)))

    def ask(self, frame: bytes = ASK, port: int = PORT, home: int = 0, checksum: int | None = None) -> bytes:
        """The UDP packet that was put in."""
        if checksum is None:
            checksum = udp.checksum(USER, HOME + home, 5000, port, frame)
        return UDP_FRAME.build(UDP(5000, port, checksum, frame))

    def settle(self) -> None:
        """Let in what came, and let the answers out."""
        while self.gate.feed(100):
            pass
        self.live.advance(self.live.now)
        self.live.commit()

    def told(self) -> list[IPv4]:
        """What was sent since somebody last asked."""
        found, self.sent[:] = [IPV4_FRAME.parse(packet) for packet in self.sent], []
        return found


class Caller:
    """A user's TCP by hand. `at` is its next sequence number, `heard` the next of the home's."""

    def __init__(self, scene: Scene, port: int = 40_000, home: int = 0) -> None:
        self.scene, self.port, self.home = scene, port, home
        self.at, self.heard, self.data = 1000, 0, b""
        self.window = 64_000

    def put(self, flags: int, data: bytes = b"", *, ahead: int = 0, options: bytes = b"") -> None:
        """A segment, `ahead` of where the stream stands; it is for the caller to move `at`."""
        words = (5 + len(options) // 4, flags, self.window)
        plain = TCP(self.port, PORT, self.at + ahead, self.heard, *words, 0, 0, options + data)
        total = tcp.checksum(USER, HOME + self.home, TCP_FRAME.build(plain))
        bent = TCP(self.port, PORT, self.at + ahead, self.heard, *words, total, 0, options + data)
        self.scene.put(tcp.PROTOCOL, TCP_FRAME.build(bent), self.home)

    def hear(self) -> list[TCP]:
        """The home's segments; data that comes in order is kept."""
        found = []
        for packet in self.scene.told():
            assert packet.protocol == tcp.PROTOCOL
            assert tcp.checksum(packet.source, packet.destination, packet.payload) == 0
            segment = TCP_FRAME.parse(packet.payload)
            found.append(segment)
            data = segment.payload[segment.offset * 4 - 20 :]
            if data and segment.sequence == self.heard:
                self.data += data
                self.heard += len(data)
        return found

    def greet(self, options: bytes = b"") -> TCP:
        self.put(SYN, options=options)
        (answer,) = self.hear()
        assert answer.flags == SYN | ACK
        assert answer.acknowledgement == self.at + 1
        self.at, self.heard = self.at + 1, answer.sequence + 1
        self.put(ACK)
        assert self.hear() == []
        return answer

    def say(self, data: bytes, flags: int = ACK | PSH) -> None:
        self.put(flags, data)
        self.at += len(data) + bool(flags & FIN)


def played(scene: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    """A scene in an event loop of its own."""

    async def run() -> None:
        made = Scene()
        try:
            await scene(made)
        finally:
            made.hosts.close()

    asyncio.run(run())


def test_an_echo_is_answered_and_a_bent_one_is_not() -> None:
    async def scene(here: Scene) -> None:
        for home in (0, 15):
            sum_ = icmp.checksum(8, 0, 0x00010002, b"ping")
            here.put(icmp.PROTOCOL, ICMP_FRAME.build(ICMP(8, 0, sum_, 0x00010002, b"ping")), home)
            (answer,) = here.told()
            assert (answer.source, answer.destination) == (HOME + home, USER)
            echo = ICMP_FRAME.parse(answer.payload)
            assert (echo.kind, echo.rest, echo.payload) == (0, 0x00010002, b"ping")
            assert echo.checksum == icmp.checksum(0, 0, echo.rest, b"ping")
        here.put(icmp.PROTOCOL, ICMP_FRAME.build(ICMP(8, 0, sum_ ^ 1, 0x00010002, b"ping")))
        assert here.told() == []

    played(scene)


def test_a_datagram_is_answered_by_the_home_that_was_called() -> None:
    async def scene(here: Scene) -> None:
        for home in (0, 6):
            here.put(udp.PROTOCOL, here.ask(home=home), home)
            here.settle()
            (answer,) = here.told()
            assert (answer.source, answer.destination) == (HOME + home, USER)
            inside = UDP_FRAME.parse(answer.payload)
            assert (inside.source_port, inside.destination_port) == (PORT, 5000)
            assert inside.checksum == udp.checksum(HOME + home, USER, PORT, 5000, inside.payload)
            assert WRAPPER.parse(inside.payload).payload[0] == 0x61, "an association response"
        here.put(udp.PROTOCOL, here.ask(checksum=1))
        here.put(udp.PROTOCOL, here.ask(b"no wrapper frame"))
        here.settle()
        assert here.told() == []
        assert here.gate.counts["malformed"] == here.gate.counts["inner-malformed"] == 1

    played(scene)


def test_a_datagram_in_pieces_is_one_in_any_order() -> None:
    async def scene(here: Scene) -> None:
        whole = here.ask()
        here.put(udp.PROTOCOL, whole[24:], flags=0, fragment_offset=3)
        here.settle()
        assert here.told() == []
        here.put(udp.PROTOCOL, whole[:24], flags=1)
        here.settle()
        assert len(here.told()) == 1

    played(scene)


def test_where_nobody_listens_that_is_said() -> None:
    """No home, no port, no protocol: unreachable, with the head of what could not be delivered."""

    async def scene(here: Scene) -> None:
        for code, protocol, payload, home in (
            (1, 17, bytes(8), 16),
            (3, 17, here.ask(port=53), 0),
            (2, 132, bytes(8), 0),
        ):
            here.put(protocol, payload, home)
            (answer,) = here.told()
            message = ICMP_FRAME.parse(answer.payload)
            assert (message.kind, message.code) == (3, code)
            assert message.payload[16:] == (HOME + home).to_bytes(4, "big") + payload[:8]
        error = ICMP_FRAME.build(ICMP(3, 3, icmp.checksum(3, 3, 0, b""), 0, b""))
        here.put(icmp.PROTOCOL, error, 16)
        assert here.told() == [], "nobody answers an error with an error"

    played(scene)


def test_a_stream_carries_a_frame_in_pieces_and_its_answer() -> None:
    """Out of order is asked for again, what comes twice is taken once, and both ends finish."""

    async def scene(here: Scene) -> None:
        user = Caller(here)
        answer = user.greet(b"\x02\x04\x02\x18")
        assert answer.payload[:4] == b"\x02\x04\x05\x50", "1,360 bytes fit the tunnel"
        user.put(ACK, ASK[9:], ahead=9)
        assert [each.acknowledgement for each in user.hear()] == [user.at]
        user.put(ACK, ASK[:9])
        user.put(ACK, ASK[:9])
        assert [each.acknowledgement for each in user.hear()] == [user.at + 9] * 2
        user.put(ACK | PSH, ASK[4:], ahead=4)
        user.at += len(ASK)
        here.settle()
        user.hear()
        assert WRAPPER.parse(user.data).payload[0] == 0x61
        user.say(ASK)
        here.settle()
        user.hear()
        assert len(user.data) % 2 == 0
        assert user.data[: len(user.data) // 2] == user.data[len(user.data) // 2 :]
        assert len(here.gate.guests) == len(here.hosts.streams) == 1
        user.say(b"", FIN | ACK)
        finished = user.hear()
        assert finished[0].acknowledgement == user.at
        assert finished[-1].flags & FIN
        user.heard += 1
        user.put(ACK)
        await asyncio.sleep(0)
        assert len(here.gate.guests) == len(here.hosts.streams) == 0

    played(scene)


def test_an_answer_longer_than_a_segment_is_cut_to_the_users_size() -> None:
    async def scene(here: Scene) -> None:
        user = Caller(here)
        user.greet(b"\x01\x01\x01\x01\x02\x04\x00\x10")
        user.say(ASK)
        here.settle()
        sizes = [len(each.payload) for each in user.hear() if each.payload]
        assert len(sizes) > 1
        assert max(sizes) == 16
        user.put(ACK)
        user.hear()
        assert WRAPPER.parse(user.data).payload[0] == 0x61

    played(scene)


def test_what_nobody_confirms_is_sent_again_until_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner_tcp, "_FIRST_WAIT_S", 0.005)

    async def scene(here: Scene) -> None:
        user = Caller(here)
        user.greet()
        user.say(ASK)
        here.settle()
        first = [each for each in user.hear() if each.payload]
        await asyncio.sleep(0.02)
        again = [each for each in user.hear() if each.payload]
        assert again
        assert all(each.sequence == first[0].sequence for each in again)
        await asyncio.sleep(1.0)
        assert user.hear()[-1].flags & RST
        await asyncio.sleep(0)
        assert len(here.gate.guests) == len(here.hosts.streams) == here.hosts.streams.half_open == 0

    played(scene)


def test_a_shut_window_is_probed_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner_tcp, "_FIRST_WAIT_S", 0.005)

    async def scene(here: Scene) -> None:
        user = Caller(here)
        user.window = 0
        user.greet()
        user.say(ASK)
        here.settle()
        assert [each for each in user.hear() if each.payload] == []
        await asyncio.sleep(0.02)
        probes = [each for each in user.hear() if each.payload]
        assert probes
        assert len(probes[0].payload) == 1
        user.window = 64_000
        user.put(ACK)
        user.hear()
        user.put(ACK)
        user.hear()
        assert WRAPPER.parse(user.data).payload[0] == 0x61

    played(scene)


def test_only_the_exact_reset_ends_a_stream() -> None:
    """RFC 5961: a number in the window is challenged, one outside is passed over."""

    async def scene(here: Scene) -> None:
        user = Caller(here)
        user.greet()
        user.put(RST, ahead=5)
        (challenge,) = user.hear()
        assert (challenge.flags, challenge.acknowledgement) == (ACK, user.at)
        user.put(RST, ahead=1 << 20)
        assert user.hear() == []
        user.put(SYN)
        assert [each.flags for each in user.hear()] == [ACK]
        user.put(RST)
        await asyncio.sleep(0)
        assert len(here.hosts.streams) == len(here.gate.guests) == 0
        user.put(ACK, b"too late")
        (refusal,) = user.hear()
        assert (refusal.flags, refusal.sequence) == (RST, user.heard)

    played(scene)


def test_what_nobody_serves_is_reset_and_half_open_streams_are_bounded() -> None:
    async def scene(here: Scene) -> None:
        segment = TCP(40_000, 22, 1, 0, 5, SYN, 1024, 0, 0, b"")
        total = tcp.checksum(USER, HOME, TCP_FRAME.build(segment))
        here.put(tcp.PROTOCOL, TCP_FRAME.build(TCP(40_000, 22, 1, 0, 5, SYN, 1024, total, 0, b"")))
        (refusal,) = [TCP_FRAME.parse(each.payload) for each in here.told()]
        assert (refusal.flags, refusal.acknowledgement) == (RST | ACK, 2)
        for port in range(10_000, 10_300):
            Caller(here, port).put(SYN)
        assert len(here.told()) == len(here.hosts.streams) == here.hosts.streams.half_open == 256
        assert here.gate.counts["too-many"] == 44
        assert len(here.gate.guests) == 0, "who has not answered is no guest"

    played(scene)


def test_a_frame_that_is_none_ends_the_stream() -> None:
    async def scene(here: Scene) -> None:
        user = Caller(here)
        user.greet()
        user.say(b"GET / HTTP/1.1\r\n")
        assert user.hear()[-1].flags & RST
        await asyncio.sleep(0)
        assert len(here.gate.guests) == 0
        assert here.gate.counts["malformed"] == 1

    played(scene)


def test_no_bytes_do_harm() -> None:
    """Bent packets of every kind: nothing escapes, and homes still answer."""

    async def scene(here: Scene) -> None:
        user = Caller(here)
        user.greet()
        luck = random.Random(4059)
        segment = TCP_FRAME.build(TCP(40_000, PORT, user.at, user.heard, 5, ACK, 64_000, 0, 0, ASK))
        for _ in range(4_000):
            protocol, sample = luck.choice([(17, here.ask()), (6, segment), (1, bytes((8, 0, 0, 0, 0, 1, 0, 1)))])
            bent = bytearray(sample)
            for _ in range(luck.randrange(4)):
                bent[luck.randrange(len(bent))] ^= 1 << luck.randrange(8)
            payload = bytes(bent[: luck.randrange(len(bent) + 1)] if luck.random() < 0.3 else bent)
            if protocol == tcp.PROTOCOL and len(payload) >= 20:  # right sums, so that more than sums are tried
                plain = payload[:16] + b"\0\0" + payload[18:]
                payload = payload[:16] + tcp.checksum(USER, HOME, plain).to_bytes(2, "big") + payload[18:]
            packet = bytearray(
                IPV4_FRAME.build(IPv4(USER, HOME, protocol, 7, 60, payload, flags=luck.choice((0, 1, 2))))
            )
            if luck.random() < 0.1:
                packet[luck.randrange(len(packet))] ^= 1 << luck.randrange(8)
            here.hosts.receive(bytes(packet))
        here.settle()
        here.told()
        here.put(udp.PROTOCOL, here.ask(home=6), 6)
        here.settle()
        assert any(packet.source == HOME + 6 for packet in here.told())

    played(scene)


def test_addresses_follow_the_profile() -> None:
    homes = HubAddresses(1000)
    assert (homes.of(0), homes.of(999), str(homes.network)) == ("10.128.0.0", "10.128.3.231", "10.128.0.0/9")
    assert homes.find("10.128.3.231") == 999
    assert homes.find("10.128.3.232") is None
    assert homes.find("10.127.255.255") is None
    assert homes.find("here") is None
    with pytest.raises(InputError, match="256 addresses"):
        HubAddresses(257, LinkProfile(hub_span=256))
