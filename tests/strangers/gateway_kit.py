"""Our own gateway on a wire, by the real clock: the IKEv2 peer and the ESP end together, for strangers to meet.

Who stands behind it answers every ping. `Gateway.do("initiate", "link")` calls the peer; `wait(ChildUp)` its effects.
"""

import threading
import time
from ipaddress import IPv4Address
from typing import Any, TypeVar

from wire_kit import Udp, Wire

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP_FRAME
from emulator.link.esp_end import EspEnd, EspSettings
from emulator.link.ike.effects import Address, Transmit
from emulator.link.ike.peer import IkePeer

IKE, ICMP = 500, 1
_E = TypeVar("_E")


def now() -> int:
    """Microseconds of the real clock."""
    return time.time_ns() // 1000


class Gateway:
    """Runs in a thread of its own until closed. `said` has the peer's effects, `protocols` counts what came outside by
    its IP protocol (50 bare ESP, 17 UDP), `pings` those that were answered."""

    def __init__(self, peer: IkePeer, wire: Wire, ours: str, theirs: str, settings: EspSettings | None = None) -> None:
        self.peer, self.wire = peer, wire
        self.esp = EspEnd(int(IPv4Address(ours)), int(IPv4Address(theirs)), settings)
        self.said: list[Any] = []
        self.pings = 0
        self.protocols: dict[int, int] = {}
        self._udp = Udp(wire)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def do(self, wish: str, *words: Any) -> None:
        """A method of the peer, with these words and the time."""
        with self._lock:
            self._act(getattr(self.peer, wish)(*words, now()))

    def of(self, kind: type[_E]) -> list[_E]:
        """Its effects of a kind so far."""
        return [one for one in list(self.said) if isinstance(one, kind)]

    def wait(self, kind: type[_E], times: int = 1, timeout: float = 30.0) -> _E:
        """The `times`-th effect of a kind, waited for."""
        end = time.monotonic() + timeout
        while len(found := self.of(kind)) < times:
            assert self._thread.is_alive(), "our gateway's thread has died; its traceback is above"
            assert time.monotonic() < end, f"{len(found)} of {times} {kind.__name__}: {self.said}"
            time.sleep(0.01)
        return found[times - 1]

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ending.is_set():
            due = (self.peer.next_timer() - now()) / 1e6
            packet = self.wire.receive(min(max(due, 0.0), 0.05))
            with self._lock:
                if packet is not None and packet[0] == 0x45:
                    self._take(packet)
                if self.peer.next_timer() <= now():
                    self._act(self.peer.tick(now()))

    def _take(self, packet: bytes) -> None:
        outer = IPV4_FRAME.parse(packet)
        self.protocols[outer.protocol] = self.protocols.get(outer.protocol, 0) + 1
        if outer.protocol == udp.PROTOCOL:
            datagram = UDP_FRAME.parse(outer.payload)
            source = Address(outer.source, datagram.source_port)
            local = Address(outer.destination, datagram.destination_port)
            if local.port == IKE:
                self._act(self.peer.handle(datagram.payload, source, now(), local))
                return
        received = self.esp.receive(packet, now())
        if received.what == "ike":
            self._act(self.peer.handle(received.data, source, now(), local))
        elif received.what == "packet":
            self.peer.heard(received.spi, now())
            self._answer(IPV4_FRAME.parse(received.data))

    def _answer(self, inner: IPv4) -> None:
        """A ping is answered by whoever it was for (RFC 792: type 0 instead of 8, the checksum with it)."""
        if inner.protocol != ICMP or inner.payload[:1] != b"\x08":
            return
        total = int.from_bytes(inner.payload[2:4], "big") + 0x0800
        checksum = (total & 0xFFFF) + (total >> 16)
        message = bytes(2) + checksum.to_bytes(2, "big") + inner.payload[4:]
        back = IPv4(inner.destination, inner.source, ICMP, inner.identification, 64, message)
        for packet in self.esp.send(IPV4_FRAME.build(back), now()).packets:
            self.wire.send(packet)
        self.pings += 1

    def _act(self, effects: list[Any]) -> None:
        for one in effects:
            self.esp.apply(one)
            if isinstance(one, Transmit):
                source, to = one.source, one.destination
                self._udp.send(str(IPv4Address(source.ip)), source.port, str(IPv4Address(to.ip)), to.port, one.payload)
            else:
                self.said.append(one)
