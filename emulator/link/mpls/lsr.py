"""A label switching router (RFC 3031, RFC 3032): a packet goes in at an interface, packets come out of others.

Sans I/O: `forward` is a function of the packet, the tables and the instant (which only faults ask for). Labels are
looked up before the TTL, as the kernel does. A label is replaced (swap), taken off towards a neighbour (pop; at the
last router but one: penultimate hop popping) or taken off for a lookup here, of the label below or of an address in a
VRF. An address whose route has labels gets them (impose). TTLs follow RFC 3443; `Habits` says where routers differ.

What is dropped is dropped without a word to the sender while it is labelled: its sender is a customer whose addresses
this router may not know. In a VRF, and on the way in, the router does know, and says so by ICMP: TTL used up, or over
the MTU with DF set.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from emulator.codecs.mpls import MAX_LABELS
from emulator.errors import FrameError, UsageError
from emulator.kernel.effects import Instant, Send
from emulator.link.mpls.drops import Drop, Dropped, Reason
from emulator.link.mpls.encapsulation import Encapsulation
from emulator.link.mpls.faults import DOWN, PHP_OFF, WITHDRAWN, LsrFault
from emulator.link.mpls.habits import FIRST_FREE, IPV4_EXPLICIT_NULL, STANDARD, Habits
from emulator.link.mpls.ip import (
    FRAGMENTATION_NEEDED,
    TIME_EXCEEDED,
    UNREACHABLE,
    Head,
    fragments,
    head,
    icmp_error,
    with_ttl,
)
from emulator.link.mpls.tables import Action, Inside, Towards, Vrf

Forwarded: TypeAlias = list[Send] | Dropped
"""Frames and the interfaces they leave by (`Send.port`), or the reason why there are none."""

_BOTTOM: Final = 0x100
_GLOBAL: Final = Inside("")


@dataclass(frozen=True, slots=True)
class Interface:
    """A wire to one neighbour. `mtu`: bytes of the largest packet on it, its tunnel's headers included. `vrf`: whose
    table IP packets from it are looked up in. `address`: what ICMP errors come from; None: none are sent."""

    name: str
    encapsulation: Encapsulation
    mtu: int = 1500
    vrf: str = ""
    address: int | None = None

    @property
    def room(self) -> int:
        """Bytes that a packet with its labels may have."""
        return self.mtu - self.encapsulation.overhead


class Lsr:
    """One router. `labels` and `vrfs` are its tables, open to whoever fills them; `dropped` counts refusals."""

    __slots__ = ("dropped", "faults", "habits", "interfaces", "labels", "name", "vrfs")

    def __init__(self, name: str, interfaces: Iterable[Interface], habits: Habits = STANDARD) -> None:
        """UsageError: two interfaces of one name."""
        self.name = name
        self.habits = habits
        self.interfaces: dict[str, Interface] = {}
        for interface in interfaces:
            if interface.name in self.interfaces:
                raise UsageError(f"router {name} has two interfaces {interface.name}")
            self.interfaces[interface.name] = interface
        self.labels: dict[int, Action] = {}
        self.vrfs: dict[str, Vrf] = {"": Vrf()}
        for interface in self.interfaces.values():
            self.vrfs.setdefault(interface.vrf, Vrf())
        self.faults: tuple[LsrFault, ...] = ()
        self.dropped: dict[Reason, int] = {}

    def forward(self, packet: bytes, interface: str, now: Instant) -> Forwarded:
        """What becomes of a frame that comes in at an interface. UsageError: there is no such interface.

        No other exception, whatever the bytes are.
        """
        port = self.interfaces.get(interface)
        if port is None:
            raise UsageError(f"router {self.name} has no interface {interface!r}")
        try:
            labelled, inside = port.encapsulation.open(packet)
            if labelled:
                return self._labelled(inside, now)
            return self._routed(inside, port.vrf, True, now)
        except Drop as drop:
            return self._drop(drop.reason, drop.detail)
        except FrameError as error:
            return self._drop("malformed", str(error))

    def _drop(self, reason: Reason, detail: str) -> Dropped:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        return Dropped(reason, detail)

    def _active(self, now: Instant) -> Iterator[LsrFault]:
        return (fault for fault in self.faults if fault.holds(now))

    # Labels

    def _labelled(self, packet: bytes, now: Instant) -> list[Send]:
        habits = self.habits
        if habits.look_for_bottom and not _has_bottom(packet):
            raise Drop("malformed", "no entry of the stack is the bottom")
        if self.faults:
            for fault in self._active(now):
                if fault.kind in (WITHDRAWN, DOWN) and fault.means(int.from_bytes(packet[:4], "big") >> 12):
                    raise Drop("label" if fault.kind == WITHDRAWN else "down", f"a fault: {fault.kind}")
        above: int | None = None
        for _ in range(MAX_LABELS):
            if len(packet) < 4:
                raise Drop("malformed", "the stack is cut short")
            entry = int.from_bytes(packet[:4], "big")
            label, bottom, ttl = entry >> 12, entry & _BOTTOM, entry & 0xFF
            action = self._action(label)
            if above is not None:
                ttl = above
            if ttl <= 1:
                raise Drop("ttl", f"the TTL of label {label} is used up")
            if isinstance(action, Towards):
                return self._onward(label, action, entry >> 9 & 7, bottom, ttl - 1, packet[4:], now)
            packet = packet[4:]
            if bottom:
                return self._popped(packet, action.vrf, ttl, now)
            if action.vrf:
                raise Drop("label", f"label {label} of VRF {action.vrf} is not the last of its stack")
            above = ttl if habits.ttl == "uniform" and habits.inner_ttl else None
        raise Drop("malformed", f"more than {MAX_LABELS} labels")

    def _action(self, label: int) -> Action:
        action = self.labels.get(label)
        if action is not None:
            return action
        if label == IPV4_EXPLICIT_NULL:
            return _GLOBAL
        if label < FIRST_FREE:
            raise Drop("reserved", f"label {label} is reserved")
        raise Drop("label", f"label {label} is unknown")

    def _onward(
        self, label: int, action: Towards, traffic_class: int, bottom: int, ttl: int, rest: bytes, now: Instant
    ) -> list[Send]:
        """Swap, swap and push, or pop towards a neighbour. `ttl` is what the packet goes on with."""
        habits = self.habits
        labels = action.labels
        if self.faults and not labels:
            for fault in self._active(now):
                if fault.kind == PHP_OFF and fault.means(label):
                    labels = (label,)
        if labels:
            # A label over a label is the provider's own affair and shows every hop, in either model.
            stack = _stack(labels, traffic_class if habits.keep_traffic_class else 0, ttl, bottom)
            return [self._labelled_out(action.interface, stack + rest, now)]
        if not bottom:
            if habits.ttl == "uniform" and habits.inner_ttl and len(rest) >= 4:
                rest = rest[:3] + bytes((ttl,)) + rest[4:]
            return [self._labelled_out(action.interface, rest, now)]
        if len(rest) < 20 or rest[0] >> 4 != 4:
            raise Drop("protocol", "not an IPv4 packet under the stack")
        if habits.ttl == "uniform":
            rest = with_ttl(rest, ttl)
        elif habits.steps_are_hops:
            rest = with_ttl(rest, max(0, rest[8] - 1))
        return [self._out(action.interface, False, rest)]

    def _popped(self, packet: bytes, vrf: str, ttl: int, now: Instant) -> list[Send]:
        """The last label was for this router."""
        habits = self.habits
        if habits.ttl == "pipe" and not habits.steps_are_hops:
            return self._routed(packet, vrf, True, now)
        if len(packet) < 20 or packet[0] >> 4 != 4:
            raise Drop("protocol", "not an IPv4 packet under the stack")
        ttl = ttl - 1 if habits.ttl == "uniform" else max(0, packet[8] - 1)
        return self._routed(with_ttl(packet, ttl), vrf, habits.steps_are_hops and not vrf, now)

    # Addresses

    def _routed(self, packet: bytes, vrf: str, hop: bool, now: Instant) -> list[Send]:
        """Look up a packet's destination and send it on. `hop`: this takes one from its TTL."""
        about = head(packet)
        route = self.vrfs[vrf].find(about.destination)
        if route is None:
            raise Drop("no-route", f"{about.destination:#010x} is nowhere in {f'VRF {vrf}' if vrf else 'the table'}")
        if not hop:
            return self._imposed(packet, packet, about, route, about.ttl, vrf, now)
        if about.ttl <= 1:
            return self._error(packet, about, vrf, "ttl", TIME_EXCEEDED, 0, 0, now)
        return self._imposed(with_ttl(packet, about.ttl - 1), packet, about, route, about.ttl - 1, vrf, now)

    def _imposed(
        self, packet: bytes, came: bytes, about: Head, route: Towards, ttl: int, vrf: str, now: Instant
    ) -> list[Send]:
        """Send on, under the route's labels if it has some. `came`: the packet as an error has to quote it."""
        room = self._interface(route.interface).room - 4 * len(route.labels)
        pieces = [packet]
        if len(packet) > room:
            if not about.may_fragment:
                return self._error(came, about, vrf, "too-big", UNREACHABLE, FRAGMENTATION_NEEDED, room, now)
            pieces = fragments(packet, about, room)
        if not route.labels:
            return [self._out(route.interface, False, piece) for piece in pieces]
        habits = self.habits
        if habits.ttl == "pipe":
            ttl = habits.pipe_ttl
        stack = _stack(route.labels, about.service >> 5 if habits.keep_traffic_class else 0, ttl, _BOTTOM)
        for fault in self._active(now) if self.faults else ():
            if fault.kind == DOWN and fault.means(route.labels[0]):
                raise Drop("down", "a fault: the LSP is down")
        return [self._labelled_out(route.interface, stack + piece, now) for piece in pieces]

    def _error(
        self, packet: bytes, about: Head, vrf: str, reason: Reason, kind: int, code: int, mtu: int, now: Instant
    ) -> list[Send]:
        """Drop a packet and tell its sender, if that is possible."""
        detail = f"TTL {about.ttl}" if reason == "ttl" else f"{len(packet)} bytes, DF set, room for {mtu}"
        back = self.vrfs[vrf].find(about.source)
        address = None if back is None else self._interface(back.interface).address
        if back is None or address is None:
            raise Drop(reason, detail)
        answer = icmp_error(packet, about, address, kind, code, max(0, mtu))
        if answer is None:
            raise Drop(reason, detail)
        self._drop(reason, detail)
        return self._imposed(answer, answer, head(answer), back, answer[8], vrf, now)

    # Out

    def _interface(self, name: str) -> Interface:
        found = self.interfaces.get(name)
        if found is None:
            raise Drop("interface", f"there is no interface {name}")
        return found

    def _labelled_out(self, interface: str, packet: bytes, now: Instant) -> Send:
        for fault in self._active(now) if self.faults else ():
            packet = fault.struck(packet)
        return self._out(interface, True, packet)

    def _out(self, interface: str, labelled: bool, packet: bytes) -> Send:
        port = self._interface(interface)
        if len(packet) > port.room:
            raise Drop("too-big", f"{len(packet)} bytes, room for {port.room}")
        return Send(interface, port.encapsulation.close(labelled, packet))


def _stack(labels: tuple[int, ...], traffic_class: int, ttl: int, bottom: int) -> bytes:
    """Entries, outermost first; the last has the bottom bit if `bottom` is not 0."""
    rest = traffic_class << 9 | ttl
    entries = [label << 12 | rest for label in labels]
    entries[-1] |= bottom
    return b"".join(entry.to_bytes(4, "big") for entry in entries)


def _has_bottom(packet: bytes) -> bool:
    return any(packet[at] & 1 for at in range(2, min(len(packet) - 1, 4 * MAX_LABELS), 4))
