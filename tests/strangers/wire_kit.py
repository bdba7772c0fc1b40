"""One end of a real kernel's wire, held by a test: IPv4 packets in and out, over a TUN descriptor or Ethernet frames.

No address of the test machine is used: who holds the wire *is* every host beyond it. So tests need no privilege on
the machine's own network, cannot collide with each other, and see every byte.
"""

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME

IPV4, ARP, MPLS = 0x0800, 0x0806, 0x8847
OUR_MAC = bytes.fromhex("020000000001")
PATIENCE = 10.0
"""Seconds that a stranger on a loaded machine may take for an answer."""


Rule = Callable[[int, bytes], list[bytes]]
"""What a `Bridge` does with a packet from one side (0 or 1): what goes on in its place."""


class Wire(Protocol):
    """Whole IPv4 packets. `receive` gives None when nothing came within `timeout` seconds."""

    def send(self, packet: bytes) -> None: ...
    def receive(self, timeout: float = PATIENCE) -> bytes | None: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Tun:
    """The wire behind a TUN device."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, packet: bytes) -> None:
        os.write(self._descriptor, packet)

    def receive(self, timeout: float = PATIENCE) -> bytes | None:
        """The next IPv4 packet; others (a kernel's IPv6 router solicitations) are passed over."""
        for packet in _until(self._descriptor, timeout, lambda: os.read(self._descriptor, 65_535)):
            if packet[0] >> 4 == 4:
                return packet
        return None

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


class Ethernet:
    """A wire of Ethernet frames. ARP is answered for every address that is not the asker's own."""

    def __init__(self, frames: socket.socket, peer: bytes, ours: bytes = OUR_MAC) -> None:
        self.frames, self.peer, self.ours = frames, peer, ours
        frames.setblocking(False)

    def send(self, packet: bytes, kind: int = IPV4) -> None:
        """A packet of this Ethernet type, MPLS for a label stack."""
        frame = self.peer + self.ours + kind.to_bytes(2, "big") + packet
        # The guest reads from a bounded queue: wait for room rather than lose what a test counts.
        select.select([], [self.frames], [], PATIENCE)
        self.frames.send(frame)

    def receive(self, timeout: float = PATIENCE) -> bytes | None:
        """The next IPv4 packet, without Ethernet's padding."""
        return self.receive_kind(IPV4, timeout)

    def receive_kind(self, kind: int, timeout: float = PATIENCE) -> bytes | None:
        """What the next frame of this Ethernet type carries; other types are passed over."""
        end = time.monotonic() + timeout
        while (frame := self.receive_any(max(0.0, end - time.monotonic()))) is not None:
            if frame[0] == kind:
                return frame[1]
        return None

    def receive_any(self, timeout: float = PATIENCE) -> tuple[int, bytes] | None:
        """(Ethernet type, what it carries) of the next frame of IPv4 or MPLS."""
        for frame in _until(self.frames.fileno(), timeout, lambda: self.frames.recv(65_535)):
            kind, body = int.from_bytes(frame[12:14], "big"), frame[14:]
            if kind == ARP:
                self._resolve(body)
            elif kind in (IPV4, MPLS):
                return kind, body[: int.from_bytes(body[2:4], "big")] if kind == IPV4 else body
        return None

    def fileno(self) -> int:
        return self.frames.fileno()

    def close(self) -> None:
        self.frames.close()

    def _resolve(self, body: bytes) -> None:
        asker, sender, target = body[8:14], body[14:18], body[24:28]
        if body[6:8] == b"\0\1" and sender != target:
            self.send(body[:6] + b"\0\2" + self.ours + target + asker + sender, ARP)


class Datagram(NamedTuple):
    """A UDP datagram. Addresses are dotted strings."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    payload: bytes


class Udp:
    """UDP over a wire, for a core that wants datagrams: `send` any, `receive` the next one."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._identification = 0

    def send(self, source: str, source_port: int, destination: str, destination_port: int, payload: bytes) -> None:
        ends = int(IPv4Address(source)), int(IPv4Address(destination))
        checksum = udp.checksum(*ends, source_port, destination_port, payload)
        datagram = UDP_FRAME.build(UDP(source_port, destination_port, checksum, payload))
        self._identification = (self._identification + 1) & 0xFFFF
        self.wire.send(IPV4_FRAME.build(IPv4(*ends, udp.PROTOCOL, self._identification, 64, datagram)))

    def receive(self, timeout: float = PATIENCE) -> Datagram | None:
        """The next UDP datagram within `timeout` seconds, or None. Its checksum is 0 or right."""
        end = time.monotonic() + timeout
        while (packet := self.wire.receive(max(0.0, end - time.monotonic()))) is not None:
            if packet[0] != 0x45 or packet[9] != udp.PROTOCOL:  # options (IGMP has some) are not for our codec
                continue
            outside = IPV4_FRAME.parse(packet)
            inside = UDP_FRAME.parse(outside.payload)
            ends, ports = (outside.source, outside.destination), (inside.source_port, inside.destination_port)
            assert inside.checksum in (0, udp.checksum(*ends, *ports, inside.payload)), "a wrong UDP checksum"
            source, destination = map(str, map(IPv4Address, ends))
            return Datagram(source, ports[0], destination, ports[1], inside.payload)
        return None


def _until(descriptor: int, timeout: float, read: Callable[[], bytes]) -> Iterator[bytes]:
    """What can be read until `timeout` seconds have passed; a timeout of 0 still gives what is waiting."""
    end = time.monotonic() + timeout
    while select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
        try:
            yield read()
        except BlockingIOError:
            continue


class Bridge:
    """Carries packets between two wires until closed; `seen` has them all, with the side they came from (0 or 1).

    `rule` says for each what goes on in its place, in order: nothing, itself (where there is no rule), something else.
    """

    def __init__(self, one: Wire, other: Wire, rule: Rule | None = None) -> None:
        self._wires = one, other
        self._rule = rule or (lambda side, packet: [packet])
        self._ending = threading.Event()
        self.seen: list[tuple[int, bytes]] = []
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        while not self._ending.is_set():
            ready = select.select(self._wires, [], [], 0.1)[0]
            for side, wire in enumerate(self._wires):
                packet = wire.receive(0.0) if wire in ready else None
                if packet is not None:
                    self.seen.append((side, packet))
                    for each in self._rule(side, packet):
                        self._wires[1 - side].send(each)

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
