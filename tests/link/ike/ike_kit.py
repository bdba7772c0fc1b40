"""Two gateways in memory, and what to ask of them afterwards."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emulator.kernel.effects import Instant, Note
from emulator.kernel.time import SECOND
from emulator.link.ike.effects import Address, ChildDown, ChildUp, IkeDown, IkeUp, Negotiated, Transmit
from emulator.link.ike.keylog import KeyLog
from emulator.link.ike.memory import Memory
from emulator.link.ike.peer import IkePeer
from emulator.link.ike.settings import Child, Connection, Identity, Limits, Secret, Timers, network

LEFT = Address(0xC0000201, 500)
RIGHT = Address(0xC0000202, 500)
QUIET = Timers(dpd_delay=0, rekey_child=0, rekey_ike=0)
"""Nothing happens by itself."""
HEAD = network("10.0.0.1")
HUBS = network("10.128.0.0/9")


def connection(end: int, **changes: Any) -> Connection:
    """`end` 0 sets up, 1 answers."""
    names = (Identity.of("left.example"), Identity.of("right.example"))
    places = (LEFT, RIGHT)
    ours, theirs = ((HEAD,), (HUBS,)) if end == 0 else ((HUBS,), (HEAD,))
    made = Connection(
        "core",
        names[end],
        (Child("hubs", ours, theirs, ("aes128gcm16-noesn",)),),
        names[1 - end],
        places[1 - end],
        Secret(b"a secret of both"),
        proposals=("aes128gcm16-prfsha256-x25519",),
        timers=QUIET,
    )
    return replace(made, **changes)


class Ends:
    """Left and right with a wire between."""

    def __init__(
        self,
        left: dict[str, Any] | None = None,
        right: dict[str, Any] | None = None,
        *,
        limits: Limits | None = None,
        delay: int = 10_000,
        path: Callable[[Transmit, Instant], list[tuple[int, bytes]]] | None = None,
        **both: Any,
    ) -> None:
        self.keylog = KeyLog()
        self.left = IkePeer("left", [connection(0, **both, **(left or {}))], b"left", LEFT, keylog=self.keylog)
        self.right = IkePeer(
            "right", [connection(1, **both, **(right or {}))], b"right", RIGHT, limits=limits, keylog=self.keylog
        )
        self.memory = Memory((self.left, self.right), delay=delay, path=path)

    def up(self) -> "Ends":
        """Set up, and no doubt about it."""
        self.do(self.left, "initiate", "core")
        assert self.agree(), self.said()
        return self

    def do(self, peer: IkePeer, wish: str, *words: Any, seconds: float = 1.0) -> None:
        """One wish, and time for it."""
        self.memory.do(peer, getattr(peer, wish)(*words, self.memory.now))
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        self.memory.run(self.memory.now + int(seconds * SECOND))

    def children(self, peer: IkePeer) -> list[Negotiated]:
        return list(self.memory.children[peer.name].values())

    def agree(self) -> int:
        """How many children stand, alike at both ends in keys, SPIs and traffic; 0 when they differ."""
        left = {one.spi_in: one for one in self.children(self.left)}
        right = {one.spi_out: one for one in self.children(self.right)}
        if left.keys() != right.keys():
            return 0
        for spi, one in left.items():
            other = right[spi]
            if (
                (one.inbound, one.outbound) != (other.outbound, other.inbound)
                or one.spi_out != other.spi_in
                or one.suite != other.suite
                or (one.local_selectors, one.remote_selectors) != (other.remote_selectors, other.local_selectors)
                or one.encap != other.encap
                or one.inbound == one.outbound
            ):
                return 0
        return len(left)

    def said(self, kind: type | None = None, peer: IkePeer | None = None) -> list[Any]:
        return [
            effect
            for _, name, effect in self.memory.said
            if (kind is None or type(effect) is kind) and (peer is None or name == peer.name)
        ]

    def notes(self, kind: str, peer: IkePeer | None = None) -> list[tuple[Any, ...]]:
        return [note.detail for note in self.said(Note, peer) if note.kind == kind]

    def reasons(self, peer: IkePeer) -> list[str]:
        """Why IKE SAs went down."""
        return [effect.reason for effect in self.said(IkeDown, peer)]

    def standing(self, peer: IkePeer) -> int:
        return len(self.said(IkeUp, peer)) - len(self.said(IkeDown, peer))


def states(peer: IkePeer) -> list[Any]:
    """Everything about a peer that a message could have changed; equal before and after means nothing moved."""
    found = []
    for sa in peer.sas.values():
        found.append(
            (
                sa.spi_i, sa.spi_r, sa.state, sa.next_id, sa.expected, tuple(sa.reply), sa.local, sa.remote, sa.heard,
                sa.nat_here, sa.nat_there, sa.mobike, sa.keys, sa.rekey_at, sa.expire_at, len(sa.queue),
                (sa.outstanding.message_id, sa.outstanding.sent, sa.outstanding.due) if sa.outstanding else None,
                tuple((child.spi_in, child.spi_out, child.state) for child in sa.children.values()),
                tuple((flag, id(pieces)) for flag, pieces in sa.pieces.items()),
            )
        )  # fmt: skip
    return [*found, sorted(peer._owner), dict(peer._again), len(peer.half_open)]


def downs(effects: list[Any]) -> list[ChildDown]:
    return [one for one in effects if type(one) is ChildDown]


def ups(effects: list[Any]) -> list[ChildUp]:
    return [one for one in effects if type(one) is ChildUp]
