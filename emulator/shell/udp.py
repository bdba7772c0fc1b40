"""COSEM wrapper frames over UDP: one datagram, one frame.

One socket hears for all homes. The kernel says with each datagram which address was called (IP_PKTINFO), and the answer
leaves from that address, or a client that has connected its socket would never hear it.

UDP has no connections, so a peer is whoever sent from one address and port to one home; it is remembered, and its
associations with it, until it has been silent for a while or too many others came after it. `Callers` keeps them for
any door that datagrams come through.
"""

import asyncio
import socket
import struct
from collections import OrderedDict, deque
from ipaddress import IPv4Address
from typing import Final

from emulator.codecs.wrapper import HEADER
from emulator.shell.addresses import Addresses
from emulator.shell.gate import Gate
from emulator.shell.live import LiveEstate
from emulator.shell.switchboard import Line

_IP_PKTINFO: Final[int] = getattr(socket, "IP_PKTINFO", 8)
_PKTINFO: Final = struct.Struct("=i4s4s")
_ANCILLARY: Final = socket.CMSG_SPACE(_PKTINFO.size)
_BURST: Final = 64
_SWEEP_S: Final = 10.0

Peer = tuple[str, int]


class _Caller:
    """One peer of one home."""

    __slots__ = ("_door", "called", "heard_at", "line", "peer", "queue")

    def __init__(self, door: "Callers", peer: Peer, called: bytes, installation: int) -> None:
        self._door = door
        self.peer = peer
        self.called = called
        self.heard_at = 0.0
        self.queue: deque[bytes] = deque()
        self.line: Line = door.live.line(installation, self.reply)

    def step(self) -> bool:
        if self.queue and not self.line.closed:
            self._door.gate.counts["frames"] += 1
            if not self.line.send(self.queue.popleft()):
                self._door.gate.turn_away("overrun", installation=self.line.installation)
        return bool(self.queue)

    def reply(self, frame: bytes) -> None:
        self._door.send(frame, self.called, self.peer)


class Callers:
    """The peers of one door. A door is a subclass whose `send` takes an answer back to where its peer came from."""

    def __init__(self, live: LiveEstate, gate: Gate) -> None:
        self.live = live
        self.gate = gate
        self._callers: OrderedDict[tuple[Peer, int], _Caller] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_SWEEP_S, self._sweep)

    def close(self) -> None:
        """Hear nobody any more."""
        self._timer.cancel()
        for caller in self._callers.values():
            caller.line.close()
        self._callers.clear()

    def __len__(self) -> int:
        return len(self._callers)

    def send(self, frame: bytes, called: bytes, peer: Peer) -> None:
        """One datagram from the address that was called."""
        raise NotImplementedError

    def take(self, peer: Peer, called: bytes, installation: int, frame: bytes) -> None:
        """A datagram for a home. What is no wrapper frame is turned away."""
        if not _is_frame(frame):
            self.gate.turn_away("malformed", installation=installation, length=len(frame))
            return
        key = (peer, installation)
        caller = self._callers.get(key)
        if caller is None:
            if len(self._callers) >= self.gate.limits.udp_peers:
                _, oldest = self._callers.popitem(last=False)
                oldest.line.close()
            caller = self._callers[key] = _Caller(self, peer, called, installation)
        else:
            self._callers.move_to_end(key)
        caller.heard_at = self._loop.time()
        if len(caller.queue) >= self.gate.limits.udp_queue:
            self.gate.turn_away("overrun", installation=installation)
            return
        caller.queue.append(frame)
        self.gate.ready(caller)

    def _sweep(self) -> None:
        """Forget the silent ones, oldest first."""
        self._timer = self._loop.call_later(_SWEEP_S, self._sweep)
        before = self._loop.time() - self.gate.limits.udp_idle_s
        while self._callers:
            key, caller = next(iter(self._callers.items()))
            if caller.heard_at > before:
                break
            del self._callers[key]
            caller.line.close()
            self.gate.poke()


class Datagrams(Callers):
    """The datagram socket of an estate. `sock` is bound and does not block."""

    def __init__(self, live: LiveEstate, gate: Gate, addresses: Addresses, sock: socket.socket) -> None:
        super().__init__(live, gate)
        self._addresses = addresses
        self._socket = sock
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._loop.add_reader(sock.fileno(), self._hear)

    def close(self) -> None:
        """Hear nobody any more."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        super().close()

    def send(self, frame: bytes, called: bytes, peer: Peer) -> None:
        """One datagram from the address that was called; lost when the kernel has no room, as datagrams are."""
        info = _PKTINFO.pack(0, called, bytes(4))
        try:
            self._socket.sendmsg([frame], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, peer)
            self.gate.counts["answers"] += 1
        except OSError:
            self.gate.counts["unsent"] += 1

    def _hear(self) -> None:
        most = self.gate.limits.frame
        for _ in range(_BURST):
            try:
                frame, ancillary, flags, peer = self._socket.recvmsg(most, _ANCILLARY)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # somebody's port was unreachable; not our business
                continue
            called = _called(ancillary)
            installation = None if called is None else self._addresses.find(str(IPv4Address(called)))
            if called is None or installation is None:
                self.gate.turn_away("not-ours", called="?" if called is None else str(IPv4Address(called)))
            elif flags & socket.MSG_TRUNC:
                self.gate.turn_away("malformed", installation=installation, length=len(frame))
            else:
                self.take(peer, called, installation, frame)


def _called(ancillary: list[tuple[int, int, bytes]]) -> bytes | None:
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(data) >= _PKTINFO.size:
            address: bytes = _PKTINFO.unpack_from(data)[2]
            return address
    return None


def _is_frame(frame: bytes) -> bool:
    return len(frame) > HEADER and frame[:2] == b"\0\1" and HEADER + (frame[6] << 8 | frame[7]) == len(frame)
