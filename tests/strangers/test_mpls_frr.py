"""Our LDP against FRR's ldpd, over real UDP and TCP: found, agreed, labels both ways and in the guest kernel's tables.

ldpd runs in a guest kernel. Our speaker has sockets of a network namespace, whose wire is joined to the guest's, packet
by packet. Everything here that is not the speaker is in `Station`: sockets in, effects out.
"""

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest
from frr_kit import Frr
from namespace_kit import Lab, Namespace
from uml_kit import Guest
from wire_kit import Wire

from emulator.codecs.ldp import PORT
from emulator.kernel.effects import Note
from emulator.kernel.time import SECOND
from emulator.link.mpls.encapsulation import Ethernet
from emulator.link.mpls.ldp.effects import Dial, HangUp, LdpEffect, Multicast, Say
from emulator.link.mpls.ldp.settings import Settings
from emulator.link.mpls.ldp.speaker import Speaker
from emulator.link.mpls.lsr import Interface, Lsr
from emulator.link.mpls.tables import Towards

pytestmark = [pytest.mark.stranger, pytest.mark.slow]

ITS, ITS_LOOPBACK = "192.0.2.2", "10.9.0.1"
EVERYBODY = "224.0.0.2"
OWN, BEYOND = ("10.5.0.1", 32), ("10.6.0.0", 16)


def number(address: str) -> int:
    return int(IPv4Address(address))


def fec(prefix: tuple[str, int]) -> tuple[int, int]:
    return number(prefix[0]), prefix[1]


@pytest.fixture(scope="module")
def frr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frr]:
    with Guest(tmp_path_factory.mktemp("uml")) as guest:
        guest.ip(f"addr add {ITS}/24 dev vec0", f"addr add {ITS_LOOPBACK}/32 dev lo")
        yield Frr(guest, ITS)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as found:
        yield found


class Bridge:
    """Two wires joined."""

    def __init__(self, one: Wire, other: Wire) -> None:
        self._wires = one, other
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        one, other = self._wires
        while not self._stop.is_set():
            ready = select.select([one, other], [], [], 0.1)[0]
            for near, far in ((one, other), (other, one)):
                if near in ready and (packet := near.receive(0.0)) is not None:
                    far.send(packet)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)


class Station:
    """A speaker on real sockets and the real clock. `notes` is what it said."""

    def __init__(self, place: Namespace, address: str, **settings: Any) -> None:
        self.address = address
        self.lsr = Lsr("ours", [Interface("wire", Ethernet(bytes(6), bytes(6)))])
        self.speaker = Speaker(self.lsr, Settings(number(address), **settings), {"wire": number(address)})
        self.notes: list[Note] = []
        self._place = place
        self._udp = place.open_socket()
        self._udp.bind(("", PORT))
        group = socket.inet_aton(EVERYBODY) + socket.inet_aton(address)
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self._listener = place.open_socket(socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, PORT))
        self._listener.listen()
        self._streams: dict[int, socket.socket] = {}

    @property
    def now(self) -> int:
        return time.monotonic_ns() // 1_000

    def do(self, effects: list[LdpEffect]) -> None:
        for effect in effects:
            match effect:
                case Multicast(_, datagram):
                    self._udp.sendto(datagram, (EVERYBODY, PORT))
                case Dial(address):
                    self._dial(address)
                case Say(address, data):
                    self._streams[address].sendall(data)
                case HangUp(address) if address in self._streams:
                    self._streams.pop(address).close()
                case Note():
                    self.notes.append(effect)

    def _dial(self, address: int) -> None:
        stream = self._place.open_socket(socket.SOCK_STREAM)
        stream.bind((self.address, 0))
        stream.settimeout(10)
        try:
            stream.connect((str(IPv4Address(address)), PORT))
        except OSError:
            stream.close()
            self.do(self.speaker.closed(address, self.now))
        else:
            self._streams[address] = stream
            self.do(self.speaker.connected(address, self.now))

    def run(self, until: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
        """Live until something is true."""
        end = time.monotonic() + timeout
        asked = 0.0
        while True:
            if time.monotonic() - asked > 0.5:  # asking a stranger takes its time, and keepalives are due meanwhile
                if until():
                    break
                asked = time.monotonic()
            assert time.monotonic() < end, f"no {what}: {self.notes}"
            wait = min(0.2, max(0.0, (self.speaker.next_timer() - self.now) / SECOND))
            ready = select.select([self._udp, self._listener, *self._streams.values()], [], [], wait)[0]
            if self._udp in ready:
                datagram, (source, _) = self._udp.recvfrom(65_535)
                self.do(self.speaker.hello(datagram, number(source), "wire", self.now))
            if self._listener in ready:
                stream, (source, _) = self._listener.accept()
                self._streams[number(source)] = stream
                self.do(self.speaker.connected(number(source), self.now))
            for address, stream in list(self._streams.items()):
                if stream in ready:
                    self._read(address, stream)
            self.do(self.speaker.tick(self.now))

    def _read(self, address: int, stream: socket.socket) -> None:
        try:
            data = stream.recv(65_535)
        except ConnectionError:
            data = b""
        if data:
            self.do(self.speaker.received(address, data, self.now))
        else:
            self._streams.pop(address).close()
            self.do(self.speaker.closed(address, self.now))

    def live(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.run(lambda: time.monotonic() >= end, "end", seconds + 60)

    def close(self) -> None:
        # A reset tells ldpd at once that this neighbour is gone.
        for stream in self._streams.values():
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for each in (self._udp, self._listener, *self._streams.values()):
            each.close()


@pytest.fixture(params=["192.0.2.1", "192.0.2.9"], ids=["passive", "active"])
def station(request: pytest.FixtureRequest, lab: Lab, frr: Frr) -> Iterator[Station]:
    """Below its address ldpd calls us, above we call ldpd."""
    address = request.param
    place = lab.add(f"ldp{address[-1]}")
    bridge = Bridge(place.wire(address), frr._guest.wires[0])
    found = Station(place, address, keepalive=15)
    frr._guest.ip(f"route replace 10.5.0.1/32 via {address}", f"route replace 10.6.0.0/16 via {address}")
    yield found
    found.do(found.speaker.stop(found.now))
    found.close()
    bridge.close()


def covers(found: tuple[str, str], wanted: tuple[str, str]) -> bool:
    """The label is that, and the kernel's words begin so (its protocol and flags follow)."""
    return found[0] == wanted[0] and found[1].startswith(wanted[1])


def test_frr_is_a_neighbour(station: Station, frr: Frr) -> None:
    """Both call it operational; it knows our labels and pops or swaps by them in its kernel; we know and use its own;
    a label withdrawn is gone there; keepalives hold the session for longer than its hold time of 15 s (seen where ldpd
    called); and when it is cleared there, it comes back."""
    speaker, us = station.speaker, number(station.address)
    station.do(speaker.route(fec(OWN), None, station.now))
    ours = speaker.bindings.route(fec(BEYOND), ("wire", number("192.0.2.77")))
    station.do(speaker.route((number(ITS_LOOPBACK), 32), ("wire", number(ITS)), station.now))
    station.do(speaker.start(station.now))

    def operational() -> bool:
        return number(ITS) in speaker.sessions and speaker.sessions[number(ITS)].state == "operational"

    station.run(operational, "session")
    assert speaker.sessions[number(ITS)].active == (us > number(ITS))
    assert speaker.sessions[number(ITS)].keepalive == 15
    theirs = speaker.bindings.remote[number(ITS)]
    station.run(lambda: (number(ITS_LOOPBACK), 32) in theirs, "label for its loopback")
    assert theirs[(number(ITS_LOOPBACK), 32)] == 3, "its own: pop before it"
    assert speaker.bindings.addresses[number(ITS)] >= {number(ITS)}
    assert station.lsr.labels[speaker.bindings.local[(number(ITS_LOOPBACK), 32)]] == Towards("wire", (), number(ITS))

    def bound(prefix: str) -> tuple[str, str]:
        """(the label that ldpd has from us, what its kernel does with its own), as far as there is any."""
        rows = [row for row in frr.bindings() if row["prefix"] == prefix and row["neighborId"] == station.address]
        told = {name: str(value) for row in rows for name, value in row.items()}
        local = told.get("localLabel", "")
        return told.get("remoteLabel", "-"), frr.kernel_labels().get(int(local), "") if local.isdigit() else ""

    # ldpd learns of routes in its own time, and its kernel of labels in zebra's.
    swap = str(ours), f"as to {ours} via inet {station.address} dev vec0"
    station.run(lambda: covers(bound("10.6.0.0/16"), swap), "swap to our label")
    pop = "imp-null", f"via inet {station.address} dev vec0"
    station.run(lambda: covers(bound("10.5.0.1/32"), pop), "pop before us")

    def known() -> bool:
        return (station.address, "OPERATIONAL") in {(row["neighborId"], row["state"]) for row in frr.neighbours()}

    station.run(known, "neighbour in ldpd's own list")
    station.do(speaker.unroute(fec(BEYOND), station.now))
    station.run(lambda: bound("10.6.0.0/16")[0] == "-", "withdrawal")
    if not speaker.sessions[number(ITS)].active:  # by now the roles are the same: once is enough
        station.live(17)
    assert operational()
    assert [note.kind for note in station.notes if note.kind in ("ldp.up", "ldp.down")] == ["ldp.up"]
    assert "ldp.told" not in [note.kind for note in station.notes], "it complained about nothing"

    frr.vtysh("clear mpls ldp neighbor")
    station.run(lambda: any(note.kind == "ldp.down" for note in station.notes), "end of the session")
    station.run(lambda: [note.kind for note in station.notes].count("ldp.up") == 2, "second session")
    station.run(lambda: (number(ITS_LOOPBACK), 32) in speaker.bindings.remote[number(ITS)], "label again")
