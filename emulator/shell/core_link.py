"""The core link of a live estate: which kind carries now, what will happen to it, and the tunnels that lead to it from
outside.

Gateways die and links are cut over by somebody's hand (`kill_gateway`, `cut_over`) or by the recipe's appointments. The
cells' own chains know of an event as soon as it is made, and meet it at its instant by themselves; a tunnel from
outside runs in real time, and is told here when the estate's clock reaches that instant.
"""

from bisect import insort
from collections.abc import Callable, Iterable
from typing import Any, Literal

from emulator.errors import InputError
from emulator.fleet import core_link
from emulator.fleet.estate import Estate
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND
from emulator.link.chain import Chain
from emulator.link.kinds import kind as kind_named
from emulator.link.profile import CutOver, PeerDeath


class LiveLink:
    """`kind` is the one that carries; `now` tells virtual time in µs, `chains` the links of the cells made so far."""

    def __init__(
        self, estate: Estate, kind: str, now: Callable[[], Instant], chains: Callable[[], Iterable[Chain]]
    ) -> None:
        self.kind = kind or estate.recipe.link.kind
        self.ways_in: dict[str, Callable[[], dict[str, Any]]] = {}
        """Tunnels that lead here from outside, by the kind of link they belong to: how each stands."""
        self.on_cut_over: list[Callable[[str], None]] = []
        """Called with the new kind when the link is cut over, while the old one still carries."""
        self.on_death: list[Callable[[float], None]] = []
        """Gateways of tunnels from outside: each dies when it is called, for so many seconds."""
        self._now = now
        self._chains = chains
        self._events: list[PeerDeath | CutOver] = []
        """What is going to happen, the next first."""
        self._estate = estate

    def plan(self, *, deaths: bool) -> None:
        """Expect what the recipe says will happen; with `deaths` also those of its gateways."""
        link = core_link.of_kind(self._estate.recipe.link, self.kind)
        profile = core_link.profile_of(link, self._estate.start)
        if deaths:
            now = self._now()
            self._events += sorted((each for each in profile.peer_deaths if each.at > now), key=lambda d: d.at)
        if profile.cut_over is not None:
            self._expect(profile.cut_over)

    def kill_gateway(
        self, seconds: float, after_s: float = 0, end: Literal["operator", "data-centre"] = "operator"
    ) -> None:
        """A gateway dies `after_s` from now, and is back after `seconds`. Raises InputError: the link has none."""
        if not self.kind.startswith("ipsec"):
            raise InputError(f"a link of kind {self.kind} has no IPsec gateway that could die")
        death = PeerDeath(self._now() + round(after_s * SECOND), end, round(seconds * SECOND))
        if not self._outside(death):
            for chain in self._chains():
                chain.peer_dies(death)
        self._expect(death)

    def cut_over(self, kind: str, after_s: float = 0, black_s: float = 0) -> None:
        """Have everything cross another kind of link, `after_s` from now. Raises InputError: there is no such kind, or
        packets of the two cannot be told apart."""
        kind_named(kind)
        cut = CutOver(self._now() + round(after_s * SECOND), kind, black_us=round(black_s * SECOND))
        for chain in self._chains():
            chain.cut_over(cut)
        self._expect(cut)

    def acquaint(self, chain: Chain) -> None:
        """Tell a new cell's chain what will happen by somebody's hand; the recipe's events are in its own profile."""
        for event in self._events:
            if isinstance(event, CutOver) and event != chain.profile.cut_over:
                chain.cut_over(event)
            elif isinstance(event, PeerDeath) and not (event in chain.profile.peer_deaths or self._outside(event)):
                chain.peer_dies(event)

    def reach(self, instant: Instant) -> None:
        """The clock has come to `instant`: what was due happens."""
        while self._events and self._events[0].at <= instant:
            self._happen(self._events.pop(0))

    def _outside(self, event: PeerDeath) -> bool:
        """Whether it is gateways of tunnels from outside that die, and not the emulated ones."""
        return event.end == "operator" and bool(self.on_death)

    def _expect(self, event: PeerDeath | CutOver) -> None:
        if event.at <= self._now():
            self._happen(event)
        else:
            insort(self._events, event, key=lambda each: each.at)

    def _happen(self, event: PeerDeath | CutOver) -> None:
        """Tell the tunnels from outside; the cells' own links know."""
        if isinstance(event, CutOver):
            for told in self.on_cut_over:
                told(event.to)
            self.kind = event.to
        elif event.end == "operator":
            for dies in self.on_death:
                dies(event.restart_us / SECOND)
