"""A provider edge on UDP port 6635: labelled packets in UDP (RFC 7510), so that another router reaches the estate.

The peer's packets come under the labels of the way down (cell 0's of `link.mpls.stage`), the transport label popped or
not, as the last but one router may do either. Answers go out under the VPN label of the way up alone: this router is
the peer's neighbour, and so the last but one itself (RFC 3031 3.16). There is no one to prove anything: MPLS trusts its
neighbours, so packets are taken from the one peer's address alone (RFC 7510 section 5 asks for a network that is
closed). The answer goes to the port RFC 7510 names, whatever port a packet came from.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Final

from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.errors import FrameError
from emulator.link.mpls.encapsulation import SOURCE_PORT, UDP_PORT
from emulator.link.mpls.stage import labels
from emulator.link.profile import STANDARD, Direction, LinkProfile
from emulator.link.stage import Leg
from emulator.shell.gate import Gate
from emulator.shell.inner import InnerHosts
from emulator.shell.live import LiveEstate
from emulator.shell.outer import BURST, LONGEST, bound

_TTL: Final = 64


@dataclass(frozen=True, slots=True)
class MplsSettings:
    """An edge router. `address`: where it listens; port 0 means any that is free. `peer`: the only address that
    labelled packets are taken from, and `peer_port` where answers go. ASSUMED: the labels; no provider's are known."""

    address: str = "127.0.0.1"
    port: int = UDP_PORT
    peer: str = "127.0.0.1"
    peer_port: int = UDP_PORT


def label_pairs(profile: LinkProfile = STANDARD) -> tuple[tuple[int, int], tuple[int, int]]:
    """(transport label, VPN label) of what comes in, and of what goes out."""
    return labels(Leg(0, 0, Direction.DOWN, profile)), labels(Leg(0, 0, Direction.UP, profile))


class MplsEdge:
    """The operator's edge router of a live estate, in the running event loop. `carries()` says whether the link does.

    Raises InputError where the port is taken."""

    def __init__(
        self,
        live: LiveEstate,
        gate: Gate,
        settings: MplsSettings,
        address: IPv4Address,
        carries: Callable[[], bool],
        *,
        profile: LinkProfile = STANDARD,
    ) -> None:
        self.settings = settings
        self.gate = gate
        self.counts: Counter[str] = Counter()
        self._carries = carries
        self._inbound, outbound = label_pairs(profile)
        self._stack = (Label(outbound[-1], 0, _TTL),)
        self._loop = asyncio.get_running_loop()
        self._socket = bound(address, settings.port, "MPLS in UDP")
        self.address, self.port = str(address), self._socket.getsockname()[1]
        self.hosts = InnerHosts(live, gate, self._out, profile=profile)
        self._loop.add_reader(self._socket.fileno(), self._hear)

    def stop(self) -> None:
        """Hear nobody any more."""
        self._loop.remove_reader(self._socket.fileno())
        self.hosts.close()
        self._socket.close()

    def facts(self) -> dict[str, Any]:
        """What the peer's administrator has to know."""
        return {
            "address": self.address,
            "port": self.port,
            "peer": f"{self.settings.peer}:{self.settings.peer_port}",
            "labels_in": list(self._inbound),
            "labels_out": [label.label for label in self._stack],
            "source_port": SOURCE_PORT,
            "hubs": str(self.hosts.addresses.network),
            "home_0": self.hosts.addresses.of(0),
        }

    def status(self) -> dict[str, Any]:
        """How it stands."""
        return {
            **self.facts(),
            "carries": self._carries(),
            "streams": len(self.hosts.streams),
            "counts": dict(sorted(self.counts.items())),
        }

    def _hear(self) -> None:
        for _ in range(BURST):
            try:
                payload, (host, _) = self._socket.recvfrom(LONGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # somebody's port was unreachable; not our business
                continue
            if not self._carries():
                self.counts["black"] += 1
            elif host != self.settings.peer:
                self.counts["not-ours"] += 1
                self.gate.log.write("link.refused", remote=host, reason="not-ours", detail="not the neighbour")
            else:
                self._take(payload)

    def _take(self, payload: bytes) -> None:
        try:
            packet = MPLS_FRAME.parse(payload)
        except FrameError as error:
            self.counts["malformed"] += 1
            self.gate.log.write("link.refused", reason="malformed", detail=str(error))
            return
        values = tuple(label.label for label in packet.labels)
        if values not in (self._inbound, self._inbound[1:]):
            self.counts["label"] += 1
            self.gate.log.write("link.refused", reason="label", detail=f"label stack {values}")
        elif packet.labels[0].ttl <= 1:
            self.counts["ttl"] += 1
        else:
            self.counts["packet"] += 1
            self.hosts.receive(packet.payload)

    def _out(self, packet: bytes) -> None:
        if not self._carries():
            self.counts["black"] += 1
            return
        try:
            frame = MPLS_FRAME.build(MPLS(self._stack, packet))
            self._socket.sendto(frame, (self.settings.peer, self.settings.peer_port))
            self.counts["sent"] += 1
        except (OSError, FrameError):
            self.counts["unsent"] += 1
