"""A gateway on real sockets: our own initiator as the peer, in the same event loop."""

import asyncio
import importlib.util
import io
import random
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import FailLink, HealLink, KillGateway
from emulator.control.desk import Desk
from emulator.control.dispatch import Order, carry_out
from emulator.dlms.client import Client
from emulator.errors import InputError
from emulator.fleet.estate import open_estate
from emulator.link.esp_end import EspEnd, EspSettings
from emulator.link.ike.effects import Address, ChildDown, ChildUp, Effects, Transmit
from emulator.link.ike.peer import IkePeer
from emulator.link.ike.settings import Child, Connection, Identity, Secret, Trust, network
from emulator.shell import outer
from emulator.shell.gate import STANDARD, Gate, Log
from emulator.shell.ipsec_udp import IpsecGateway, IpsecSettings
from emulator.shell.live import LiveEstate
from emulator.shell.mpls_udp import MplsEdge, MplsSettings, label_pairs
from emulator.shell.pace import Pace
from emulator.shell.proofs import read_secret, read_trust
from emulator.shell.tun import TunDoor

if "certificate_kit" not in sys.modules:
    _path = Path(__file__).parents[1] / "strangers" / "certificate_kit.py"
    _spec = importlib.util.spec_from_file_location("certificate_kit", _path)
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["certificate_kit"] = _module
    _spec.loader.exec_module(_module)

certificates: Any = sys.modules["certificate_kit"]

KEY = Secret(b"correct horse battery staple")
HOME = 0x0A800000
ASK = WRAPPER.build(Wrapper(16, 2, Client().associate(b"")))
PATIENCE = 20.0
"""Seconds that a busy machine may take."""


class Scene:
    """A live estate whose clock goes with the event loop, and its gateway on loopback."""

    def __init__(self, **settings: Any) -> None:
        self.live = LiveEstate(open_estate("demo-street", None, None), link="ipsec")
        self.said = io.StringIO()
        self.pace = Pace(self.live)
        self.gate = Gate(STANDARD, Log(self.said), self.pace.poke)
        self.pace.feed = self.gate.feed
        self.pace.start()
        wish = IpsecSettings(**{"secret": KEY, "ike_port": 0, "natt_port": 0, **settings})
        here = outer.place(wish.address, False)
        self.gateway = IpsecGateway(
            self.live, self.gate, wish, here, outer.carries(self.live, "ipsec", self.pace.target)
        )

    def stop(self) -> None:
        self.gateway.stop()
        self.pace.stop()
        assert KEY.key.decode() not in self.said.getvalue()


class Peer:
    """The users' gateway, and a user behind it."""

    def __init__(
        self,
        scene: Scene,
        name: str,
        user: str,
        key: Secret | None = KEY,
        at: str = "127.0.0.2",
        trust: Trust | None = None,
    ) -> None:
        self.user = int(IPv4Address(user))
        self.loop = asyncio.get_running_loop()
        self.sock = self._bound(at)
        port = self.sock.getsockname()[1]
        there = Address(int(IPv4Address(scene.gateway.address)), scene.gateway.natt_port)
        child = Child("hubs", (network(user),), (network("10.128.0.0/9"),))
        connection = Connection(
            "smets1", Identity.of(name), (child,), remote=there, secret=key, remote_natt_port=there.port,
            force_encap=True, trust=trust,
        )  # fmt: skip
        here = Address(int(IPv4Address(at)), port)
        self.ike = IkePeer(name, (connection,), name.encode().ljust(32), here, natt_port=port)
        self.esp = EspEnd(here.ip, there.ip, EspSettings(port=port), remote_port=there.port)
        self.there = (scene.gateway.address, there.port)
        self.heard: asyncio.Queue[IPv4] = asyncio.Queue()
        self.up = asyncio.Event()
        self.downs: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def _bound(self, at: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((at, 0))
        self.loop.add_reader(sock.fileno(), self._hear, sock)
        return sock

    def rebind(self, at: str) -> None:
        """As a NAT in front of it does that has forgotten: the same peer from another address and port."""
        self.loop.remove_reader(self.sock.fileno())
        self.sock.close()
        self.sock = self._bound(at)

    def now(self) -> int:
        return time.time_ns() // 1_000

    async def connect(self) -> None:
        self._do(self.ike.initiate("smets1", self.now()))
        async with asyncio.timeout(PATIENCE):
            await self.up.wait()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.loop.remove_reader(self.sock.fileno())
        self.sock.close()

    def _hear(self, sock: socket.socket) -> None:
        payload, (host, port) = sock.recvfrom(65_535)
        came = self.esp.receive_udp(payload, int(IPv4Address(host)), port)
        if came.what == "packet":
            self.heard.put_nowait(IPV4_FRAME.parse(came.data))
        elif came.what == "ike":
            here = Address(self.ike.address.ip, self.ike.natt_port)
            self._do(self.ike.handle(payload, Address(int(IPv4Address(host)), port), self.now(), here))

    def _do(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Transmit):
                self.sock.sendto(effect.payload, self.there)
                continue
            self.esp.apply(effect)
            if isinstance(effect, ChildUp):
                self.up.set()
            elif isinstance(effect, ChildDown):
                self.downs.append(effect.reason)
        if self._timer is not None:
            self._timer.cancel()
        wait = (self.ike.next_timer() - self.now()) / 1_000_000
        self._timer = self.loop.call_later(min(max(wait, 0), 100), lambda: self._do(self.ike.tick(self.now())))

    def put(self, packet: bytes) -> None:
        for sealed in self.esp.send(packet, self.now()).packets:
            self.sock.sendto(sealed[28:], self.there)

    def ask(self, home: int = 0, frame: bytes = ASK) -> None:
        to = HOME + home
        datagram = UDP_FRAME.build(UDP(5000, 4059, udp.checksum(self.user, to, 5000, 4059, frame), frame))
        self.put(IPV4_FRAME.build(IPv4(self.user, to, udp.PROTOCOL, 1, 64, datagram)))

    async def answer(self, patience_s: float = PATIENCE) -> IPv4:
        async with asyncio.timeout(patience_s):
            return await self.heard.get()


def played(scene: Callable[[Scene], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def run() -> None:
        made = Scene(**settings)
        try:
            await scene(made)
        finally:
            made.stop()

    asyncio.run(run())


@contextmanager
def peer(*arguments: Any, **settings: Any) -> Iterator[Peer]:
    made = Peer(*arguments, **settings)
    try:
        yield made
    finally:
        made.stop()


def test_users_of_two_gateways_each_get_their_own_answers() -> None:
    """Two tunnels at once, with overlapping wishes: what is asked on one is answered on that one."""

    async def scene(here: Scene) -> None:
        with peer(here, "one.example", "10.0.0.1") as one, peer(here, "two.example", "10.0.0.2") as two:
            await one.connect()
            await two.connect()
            for each, home in ((one, 0), (two, 15), (one, 6)):
                each.ask(home)
                answer = await each.answer()
                assert (answer.source, answer.destination) == (HOME + home, each.user)
                inside = UDP_FRAME.parse(answer.payload)
                assert WRAPPER.parse(inside.payload).payload[0] == 0x61, "an association response"
            assert one.heard.empty()
            assert two.heard.empty()
            status = here.gateway.status()
            assert [sa["state"] for sa in status["tunnels"]] == ["up", "up"]
            assert {sa["remote_id"] for sa in status["tunnels"]} == {"one.example", "two.example"}
            assert status["users"] == 2
            assert status["counts"]["packet"] == 3
            assert KEY.key.decode() not in repr(status)

    played(scene)


def test_rekeys_and_a_nat_that_forgets_lose_nothing() -> None:
    """Both SAs are renewed, then the peer's packets come from another address: answers follow it."""

    async def scene(here: Scene) -> None:
        with peer(here, "one.example", "10.0.0.1") as one:
            await one.connect()
            (spi,) = one.esp.spis
            one._do(one.ike.rekey_child(spi, one.now()))
            one._do(one.ike.rekey_ike("smets1", one.now()))
            async with asyncio.timeout(PATIENCE):
                while one.esp.spis == (spi,) or spi in one.esp.spis:
                    await asyncio.sleep(0.01)
            one.ask()
            await one.answer()
            one.rebind("127.0.0.3")
            one.ask()
            assert (await one.answer()).source == HOME
            assert "link.moved" in here.said.getvalue()

    played(scene)


def test_who_has_another_key_or_name_is_refused() -> None:
    async def scene(here: Scene) -> None:
        wrong = Secret(b"something else altogether")
        for name, key in (("one.example", wrong), ("stranger.example", KEY)):
            with peer(here, name, "10.0.0.1", key) as one:
                with pytest.raises(TimeoutError):
                    one._do(one.ike.initiate("smets1", one.now()))
                    async with asyncio.timeout(0.5):
                        await one.up.wait()
                assert here.gateway.status()["tunnels"] == []
        assert wrong.key.decode() not in here.said.getvalue()
        assert "AUTHENTICATION_FAILED" in here.said.getvalue() or "unproved" in here.said.getvalue()

    played(scene, remote_id="one.example")


def test_certificates_are_proof_at_this_very_moment(tmp_path: Path) -> None:
    """Both ends sign. Who has the name from another authority is not let in."""
    authority, other = certificates.Authority(), certificates.Authority("another")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)

    def trust(name: str, signer: Any = authority) -> Trust | None:
        return read_trust(*signer.end(name).write(tmp_path, f"{len(list(tmp_path.iterdir()))}"), tmp_path / "ca.pem")

    async def scene(here: Scene) -> None:
        with peer(here, "one.example", "10.0.0.1", None, trust=trust("one.example")) as one:
            await one.connect()
            one.ask()
            assert (await one.answer()).source == HOME
        for key, theirs in ((KEY, None), (None, trust("two.example", other))):
            with peer(here, "two.example", "10.0.0.2", key, trust=theirs) as two:
                two._do(two.ike.initiate("smets1", two.now()))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await two.up.wait()
        assert [sa["remote_id"] for sa in here.gateway.peer.status()] == ["one.example"]

    played(scene, secret=None, trust=trust("hubs.operator.example"))


def test_a_black_link_is_silent_and_so_is_its_gateway() -> None:
    """By the commands every door has: nothing is heard or sent until the failure is healed."""

    async def scene(here: Scene) -> None:
        desk = Desk(here.live, here.pace)
        with peer(here, "one.example", "10.0.0.1") as one:
            await one.connect()
            carry_out(desk, Order(FailLink(seconds=3600)))
            before = here.gateway.counts["sent"]
            one.ask()
            with pytest.raises(TimeoutError):
                await one.answer(0.3)
            assert here.gateway.counts["black"] > 0
            assert here.gateway.counts["sent"] == before
            assert not here.gateway.status()["carries"]
            carry_out(desk, Order(HealLink()))
            one.ask()
            assert (await one.answer()).source == HOME

    played(scene)


def test_a_failure_that_is_over_is_over() -> None:
    async def scene(here: Scene) -> None:
        desk = Desk(here.live, here.pace)
        carry_out(desk, Order(FailLink(seconds=6)))
        assert here.live.black(here.pace.target())
        here.pace.step_to(here.live.now + 6_000_000)
        assert not here.live.black(here.pace.target())

    played(scene)


def test_a_gateway_that_died_knows_nothing_and_its_peer_finds_out() -> None:
    """It says no word; the peer asks, is not answered, gives up in its own time, and may come again."""

    async def scene(here: Scene) -> None:
        with peer(here, "one.example", "10.0.0.1") as one, peer(here, "two.example", "10.0.0.2") as two:
            await one.connect()
            here.live.link.on_death.append(here.gateway.die)
            carry_out(Desk(here.live, here.pace), Order(KillGateway(seconds=0.2)))
            assert here.gateway.status()["tunnels"] == []
            one.ask()
            with pytest.raises(TimeoutError):
                await one.answer(0.25)
            assert one.downs == []
            await two.connect()
            two.ask()
            await two.answer()

    played(scene)


def test_the_end_is_told_to_the_peers() -> None:
    async def scene(here: Scene) -> None:
        with peer(here, "one.example", "10.0.0.1") as one:
            await one.connect()
            here.gateway.end()
            async with asyncio.timeout(PATIENCE):
                while not one.downs:
                    await asyncio.sleep(0.01)
            assert one.esp.spis == ()

    played(scene)


def test_bent_datagrams_move_nothing() -> None:
    """Thousands of them on both ports; the tunnel stands and its users are answered."""

    async def scene(here: Scene) -> None:
        with peer(here, "one.example", "10.0.0.1") as one:
            await one.connect()
            luck = random.Random(500)
            seen: list[bytes] = []
            one.sock.sendto(b"\xff", one.there)
            sample = one.esp.send(
                IPV4_FRAME.build(IPv4(one.user, HOME, udp.PROTOCOL, 1, 64, b"x" * 40)), one.now()
            ).packets[0][28:]
            init = bytes(4) + bytes(range(8)) + bytes(8) + bytes.fromhex("21202208000000000000001c")
            seen += [sample, init, init[4:], b"", bytes(200)]
            states = [sa["spis"] for sa in here.gateway.peer.status()]
            for number in range(3_000):
                bent = bytearray(luck.choice(seen) or b"\0")
                for _ in range(1 + luck.randrange(4)):
                    bent[luck.randrange(len(bent))] ^= 1 << luck.randrange(8)
                port = luck.choice((here.gateway.ike_port, here.gateway.natt_port))
                one.sock.sendto(bytes(bent), (here.gateway.address, port))
                if number % 50 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            assert [sa["spis"] for sa in here.gateway.peer.status() if sa["state"] == "up"] == states
            one.ask()
            assert (await one.answer()).source == HOME
            assert len(here.said.getvalue().splitlines()) < 500, "the log does not grow with the flood"

    played(scene)


# Labels


def test_an_edge_router_takes_its_neighbours_labels_and_no_others() -> None:
    async def scene(here: Scene) -> None:
        here.live.link.kind = "mpls"
        neighbour = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        neighbour.bind(("127.0.0.2", 0))
        neighbour.setblocking(False)
        settings = MplsSettings("127.0.0.1", 0, "127.0.0.2", neighbour.getsockname()[1])
        carries = outer.carries(here.live, "mpls", here.pace.target)
        edge = MplsEdge(here.live, here.gate, settings, outer.place("127.0.0.1", False), carries)
        loop, there = asyncio.get_running_loop(), ("127.0.0.1", edge.port)
        user = int(IPv4Address("10.0.0.1"))
        datagram = UDP_FRAME.build(UDP(5000, 4059, 0, ASK))
        packet = IPV4_FRAME.build(IPv4(user, HOME, udp.PROTOCOL, 1, 64, datagram))
        inbound, outbound = label_pairs()
        try:
            for stack in (inbound, inbound[1:]):
                labels = tuple(Label(value, 0, 20) for value in stack)
                neighbour.sendto(MPLS_FRAME.build(MPLS(labels, packet)), there)
                async with asyncio.timeout(PATIENCE):
                    answer = MPLS_FRAME.parse(await loop.sock_recv(neighbour, 2000))
                assert [label.label for label in answer.labels] == [outbound[1]]
                assert IPV4_FRAME.parse(answer.payload).source == HOME
            for labels in ((Label(inbound[1], 0, 1),), (Label(inbound[1] + 2, 0, 9),)):
                neighbour.sendto(MPLS_FRAME.build(MPLS(labels, packet)), there)
            neighbour.sendto(b"\0\0", there)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind(("127.0.0.3", 0))
                stranger.sendto(MPLS_FRAME.build(MPLS((Label(inbound[1], 0, 9),), packet)), there)
            async with asyncio.timeout(PATIENCE):
                while sum(edge.counts[why] for why in ("ttl", "label", "malformed", "not-ours")) < 4:
                    await asyncio.sleep(0.01)
            assert edge.counts["packet"] == 2
            here.live.link.kind = "ipsec"
            neighbour.sendto(MPLS_FRAME.build(MPLS((Label(inbound[1], 0, 9),), packet)), there)
            async with asyncio.timeout(PATIENCE):
                while not edge.counts["black"]:
                    await asyncio.sleep(0.01)
        finally:
            edge.stop()
            neighbour.close()

    played(scene)


# What is wrong is said


def test_a_secret_is_read_only_from_a_safe_file(tmp_path: Path) -> None:
    file = tmp_path / "psk"
    with pytest.raises(InputError, match="name a file"):
        read_secret(file)
    file.write_bytes(b"horse\r\n")
    file.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        read_secret(file)
    file.chmod(0o600)
    assert read_secret(file).key == b"horse"
    for wrong in (b"", b"\n", b"one\ntwo\n", b"x" * 1025):
        file.write_bytes(wrong)
        with pytest.raises(InputError, match="on one line") as told:
            read_secret(file)
        assert "xxx" not in str(told.value)
    with pytest.raises(InputError):
        read_secret(tmp_path)
    assert "horse" not in repr(IpsecSettings(Secret(b"horse")))


def test_certificates_are_read_only_with_a_key_that_is_theirs_and_safe(tmp_path: Path) -> None:
    authority = certificates.Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    (mine, key), (_, other) = (authority.end(name).write(tmp_path, name) for name in ("one", "two"))
    found = read_trust(mine, key, tmp_path / "ca.pem")
    assert found is not None
    assert len(found.authorities) == 1
    assert found.own is not None
    assert key.read_text().splitlines()[1] not in repr(found)
    assert read_trust(None, None, None) is None
    for words, cure in (
        ((mine, None, None), "--key-file"),
        ((mine, other, None), "does not belong"),
        ((key, key, None), "is not PEM"),
        ((mine, mine, None), "chmod 600"),
        ((tmp_path / "no.pem", key, None), "name a file"),
        ((None, None, key), "not PEM certificates"),
    ):
        mine.chmod(0o644)
        with pytest.raises(InputError, match=cure):
            read_trust(*words)


@pytest.mark.parametrize("text", ["0.0.0.0", "224.0.0.1", "192.0.2.1", "here", "127.0.0.0/8"])
def test_a_gateway_stands_at_one_address_of_loopback_unless_told_otherwise(text: str) -> None:
    with pytest.raises(InputError):
        outer.place(text, False)
    assert outer.place("192.0.2.1", True) == IPv4Address("192.0.2.1")


def test_a_taken_port_is_said_and_nothing_is_left_open() -> None:
    async def scene(here: Scene) -> None:
        wish = IpsecSettings(KEY, ike_port=0, natt_port=here.gateway.natt_port)
        with pytest.raises(InputError, match=f"UDP port {here.gateway.natt_port} of 127.0.0.1 is in use"):
            IpsecGateway(here.live, here.gate, wish, outer.place("127.0.0.1", False), lambda: True)
        with pytest.raises(InputError, match="no name of a device"):
            TunDoor(here.live, here.gate, "a b", lambda: True)

    played(scene)


def test_ike_says_when_it_is_up() -> None:
    """The log has the events and the peers, and no secret."""

    async def scene(here: Scene) -> None:
        with peer(here, "one.example", "10.0.0.1") as one:
            await one.connect()
            text = here.said.getvalue()
            assert '"link.ike-up"' in text
            assert '"link.child-up"' in text
            assert "127.0.0.2" in text

    played(scene)
