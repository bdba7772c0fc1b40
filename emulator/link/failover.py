"""Which path carries, from when, with which keys: the course of a link over time.

A link has carriers: the one its kind names, a standby if the kind has one, and the one it is cut over to. Each has two
ends either way (`Gateways`) and outages of its own. What changes is a short list of appointments in time order: a
renewal of keys, a switch of a direction from one carrier to another, a gateway's death, an outage, a cut-over.
`next_at` is the nearest; the chain asks nothing else of the course while `now` is before it.

Policies, all of them data (`Kind.standby`, `LinkProfile`):

* *One link.* Its outages and its gateways' deaths are the service's. A planned outage is exactly six seconds. A death
  lasts as long as the other end needs to notice it and to set the tunnel up again. "Five to six seconds" counts the
  noticing, as that is what the timers decide: what is left of `dpd_delay` (up to 1 s), and five times 1 s in which a
  question is not answered. It is 5 to 6 s from the death to the tunnel being given up, less or more by one trip at
  most (a question that was under way when the peer died, or an answer). The set-up comes beside it and depends on
  the way and not on the timers: two exchanges, four trips, 80 ms on the shipped link; nothing on strongSwan's bench,
  where 5.69 to 5.84 s were measured from end to end. Both figures stand in `status`: given up, carries again.
* *Standby.* Traffic is moved away ahead of a planned outage (make before break, nothing lost), and after any other
  failure as soon as it is noticed: lost is what was sent until then. It goes back once the first path is whole.
* *Cut-over on a date*: from an instant on another carrier, for good; made before broken unless the profile says else.

The receiving end takes whatever comes on a carrier that stands, so a switch loses and doubles nothing, and as a switch
changes no propagation it keeps the order. ASSUMED: the operator's end switches one propagation after the data centre's,
on whose traffic it sees the change; a failure of the standby itself is met by nothing.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

from emulator.errors import InputError
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY
from emulator.link.carrier import Carrier
from emulator.link.esp_spec import SaSpec
from emulator.link.kinds import kind as kind_named
from emulator.link.outages import Outages
from emulator.link.profile import CutOver, Direction, LinkProfile, Outage, PeerDeath
from emulator.link.stage import Leg
from emulator.link.tunnel_control import FOREVER, Agreed, Recovery, TunnelControl, Witness

What: TypeAlias = Literal["renewal", "keys", "send", "death", "outage", "day", "cut", "close"]
Keys: TypeAlias = Callable[[int, SaSpec], None]
_FIRST: Final = 0


class Course:
    """One cell's link over time."""

    def __init__(
        self,
        kind: str,
        cell: int,
        seed: int,
        profile: LinkProfile,
        lean: bool,
        keys: Keys,
        witness: Witness | None = None,
    ) -> None:
        """`keys` is told every association there is to be, `witness` what the gateways say. InputError: no such kind,
        or a cut-over to one that cannot be told apart from it on the wire."""
        self.kind = kind_named(kind)
        self.profile = profile
        self._seed = seed
        self._cell = cell
        self._lean = lean
        self._control: TunnelControl | None = None
        self._generation = -1
        self._agenda: list[tuple[Instant, int, What, Any]] = []
        self._made = 0
        self._final = False
        self._keys = keys
        self._witness = witness if profile.keying == "ike" else None
        self.carriers: list[Carrier] = [self._carrier(kind, first=True)]
        self.sending = [_FIRST, _FIRST]
        """By direction: which carrier the sending gateway uses."""
        self.told: list[tuple[Instant, str]] = []
        """What happened, for people: failures, recoveries and switches, with their instants."""
        if self.kind.standby is not None:
            self.carriers.append(self._carrier(self.kind.standby))
            self._enter(0, "day", None)
        if profile.cut_over is not None:
            self.cut_over(profile.cut_over)
        for death in profile.peer_deaths:
            self.die(death)

    # What the chain asks

    @property
    def next_at(self) -> Instant:
        """When `turn` is next to be called; far in the future when never."""
        return self._agenda[0][0] if self._agenda else FOREVER

    @property
    def open(self) -> Sequence[Carrier]:
        """The carriers whose receiving ends stand."""
        return [one for one in self.carriers if one.standing]

    def status(self, now: Instant) -> dict[str, Any]:
        """Plain facts for people; no secrets."""
        paths = [
            {
                "kind": one.name,
                "standing": one.standing,
                "black": one.outages.strikes(now, now),
                "spis": [f"{spec.spi:08x}" for spec in map(one.spec, (0, 1)) if spec is not None],
            }
            for one in self.carriers
        ]
        down, up = (self.carriers[number].name for number in self.sending)
        told = [{"at": at, "what": what} for at, what in sorted(self.told) if at <= now]
        return {"kind": self.kind.name, "down": down, "up": up, "paths": paths, "told": told}

    def turn(self, now: Instant, heard: Instant) -> None:
        """Keep every appointment up to `now`. `heard`: when the last packet of the operator's arrived; negative: none
        has."""
        while self._agenda and self._agenda[0][0] <= now:
            at, _, what, about = heapq.heappop(self._agenda)
            if what == "renewal":
                self._renew(now)
            elif what == "keys":
                self._key(*about)
            elif what == "send":
                self._send(at, *about)
            elif what == "death":
                self._died(about, heard)
            elif what == "outage":
                self._met(about, heard)
            elif what == "day":
                self._look_ahead(max(at, now // DAY * DAY))
            elif what == "cut":
                self._cut(about)
            else:
                self._close(about)

    # What is wished, at the start or by somebody's hand

    def die(self, death: PeerDeath) -> None:
        """A gateway of the tunnel dies. InputError: this link has no tunnel."""
        if not any(one.tunnels for one in self.carriers):
            raise InputError(f"a link of kind {self.kind.name} has no IPsec gateway that could die; choose ipsec")
        self._enter(death.at - self.profile.propagation_us, "death", death)

    def cut_over(self, cut: CutOver) -> None:
        """Carry everything by another kind from an instant on. InputError: its packets cannot be told apart."""
        found = [number for number, one in enumerate(self.carriers) if one.name == cut.to]
        if not found:
            made = self._carrier(cut.to)
            if any(one.mark in (None, made.mark) for one in self.carriers) or made.mark is None:
                others = "ipsec to mpls or mpls-l3vpn, or one of these to ipsec"
                raise InputError(f"a {self.kind.name} link cannot be cut over to {cut.to}: {others}")
            made.standing = False
            self.carriers.append(made)
            found = [len(self.carriers) - 1]
        self._enter(cut.at, "cut", (cut, found[0]))

    # Appointments

    def _enter(self, at: Instant, what: What, about: Any) -> None:
        self._made += 1
        heapq.heappush(self._agenda, (at, self._made, what, about))

    def _renew(self, now: Instant) -> None:
        """The newest generation of keys that is due, if none is in the way; skipped ones are never made."""
        control = self._control
        tunnel = self._tunnel()
        if control is None or tunnel is None:
            return
        failures = [at for at, _, what, _ in self._agenda if what in ("death", "outage")]
        generation = control.generation(min([now, *failures]))
        if generation > self._generation >= 0:
            trips = 4 * self.profile.propagation_us
            begin = tunnel.outages.clear_after(control.due(generation), trips)
            if begin > now:
                self._enter(begin, "renewal", None)
                return
            self._agree(control.renew(generation, begin))
        self._generation = generation
        self._enter(control.due(generation + 1), "renewal", None)

    def _agree(self, agreed: Agreed) -> None:
        for direction in (0, 1):
            self._enter(agreed.at[direction], "keys", (direction, agreed))

    def _key(self, direction: int, agreed: Agreed) -> None:
        tunnel = self._tunnel()
        if tunnel is not None:
            tunnel.rekey(direction, agreed.specs[direction])
            self._keys(direction, agreed.specs[direction])

    def _send(self, at: Instant, direction: int, carrier: int) -> None:
        if self.sending[direction] != carrier and self.carriers[carrier].standing:
            self.sending[direction] = carrier
            self.told.append((at, f"{'up' if direction else 'down'} by {self.carriers[carrier].name}"))

    def _switch(self, at: Instant, carrier: int) -> None:
        """The data centre's end at `at`, the operator's on seeing it."""
        self._enter(at, "send", (0, carrier))
        self._enter(at + self.profile.propagation_us, "send", (1, carrier))

    def _died(self, death: PeerDeath, heard: Instant) -> None:
        tunnel = self._tunnel()
        if tunnel is None:
            return  # nothing is left of it
        self.told.append((death.at, f"the gateway of the {death.end} dies"))
        self._recover(self._controls().die(death, min(heard, death.at)), death.at, tunnel)

    def _met(self, outage: Outage, heard: Instant) -> None:
        """An outage nobody announced, on the first of two paths."""
        carrier = self.carriers[_FIRST]
        if not carrier.standing:
            return
        if carrier.tunnels:
            recovery = self._controls().black(outage.start, outage.end, min(heard, outage.start))
        else:
            seen = outage.start + self.profile.detect_us
            noticed = seen if seen < outage.end else None
            recovery = Recovery(noticed, outage.end if noticed is None else outage.end + self.profile.detect_us, None)
        self.told.append((outage.start, f"{carrier.name} is black"))
        self._recover(recovery, outage.start, carrier)

    def _recover(self, recovery: Recovery, since: Instant, carrier: Carrier) -> None:
        """What follows a failure of a carrier: black until it is restored, and meanwhile the other one."""
        if carrier.tunnels:
            carrier.outages.fail(since, recovery.restored)
        if recovery.agreed is not None:
            self._agree(recovery.agreed)
        if recovery.noticed is not None:
            self.told.append((recovery.noticed, f"{carrier.name} is given up"))
        self.told.append((recovery.restored, f"{carrier.name} carries again"))
        if self.kind.standby is None or self._final:
            return
        if recovery.noticed is not None and carrier is self.carriers[_FIRST]:
            self._switch(recovery.noticed, 1)
            if self.profile.revert:
                self._switch(recovery.restored, _FIRST)

    def _look_ahead(self, start: Instant) -> None:
        """The first path's outages of a day: planned ones are avoided, the others are met when they come."""
        lead = self.profile.lead_us + self.profile.propagation_us
        planned = set(self.profile.outages)
        for outage in self.carriers[_FIRST].outages.between(start + lead, start + DAY + lead):
            if outage not in planned:
                self._enter(outage.start - self.profile.propagation_us, "outage", outage)
                continue
            self._switch(outage.start - lead, 1)
            if self.profile.revert:
                self._switch(outage.end, _FIRST)
        self._enter(start + DAY, "day", None)

    def _cut(self, about: tuple[CutOver, int]) -> None:
        cut, number = about
        self.carriers[number].standing = True
        if cut.black_us:
            self.carriers[number].outages.fail(cut.at, cut.at + cut.black_us)
        self.told.append((cut.at, f"cut over to {cut.to}"))
        for direction in (0, 1):
            self._send(cut.at, direction, number)
        self._final = True
        self._agenda = [one for one in self._agenda if one[2] not in ("send", "outage", "day")]
        heapq.heapify(self._agenda)
        if self.carriers[number].tunnels:
            self._generation = -1
            self._enter(cut.at, "renewal", None)
        for other, one in enumerate(self.carriers):
            if other != number and one.standing:
                self._enter(cut.at + (0 if cut.black_us else cut.overlap_us), "close", one)

    def _close(self, carrier: Carrier) -> None:
        if all(self.carriers[number] is not carrier for number in self.sending):
            carrier.standing = False

    # Inside

    def _tunnel(self) -> Carrier | None:
        return next((one for one in self.carriers if one.tunnels and one.standing), None)

    def _controls(self) -> TunnelControl:
        if self._control is None:
            self._control = TunnelControl(self._seed, self._cell, self.profile, self._witness)
        return self._control

    def _carrier(self, name: str, first: bool = False) -> Carrier:
        kind, profile = kind_named(name), self.profile
        planned: tuple[Outage, ...] = profile.outages if first else ()
        if kind.standby is not None and self.kind is not kind:
            raise InputError(f"{name} has a standby of its own and is no part of another link; choose ipsec or mpls")
        rate = profile.outages_per_day
        if rate is None or not first:  # what a profile says of outages is about the first path
            rate = kind.outages_per_day
        outages = Outages(self._seed, self._cell, planned, rate, profile.outage_seconds)
        carrier = Carrier(kind, Leg(self._seed, self._cell, Direction.DOWN, profile), outages, self._lean)
        if carrier.tunnels and profile.keying == "ike" and profile.fidelity != "pipe":
            carrier.install(self._controls().first.specs)
            if profile.ike.rekey_child:
                self._enter(0, "renewal", None)
        for direction in (0, 1):
            spec = carrier.spec(direction)
            if spec is not None:
                self._keys(direction, spec)
        return carrier
