"""Both gateways of a cell's tunnel, agreeing on its keys: IKEv2 as it is, asked only when something depends on it.

While all is well nothing happens but questions whether the peer lives, and renewals at known times. Neither is played
out in advance, and neither costs an event:

* *Dead-peer detection* of a sound, silent tunnel is a cycle: a question after `dpd_delay` of silence, its answer a
  round trip later. When the peer was last heard is a remainder (`last_heard`), asked for only before a gateway dies.
* *Renewals* fall due at fixed instants, the multiples of their age less a keyed part (`Timers.rekey_spread`). Which
  generation of keys is in force at an instant is a division. What an undisturbed exchange comes to is known: two
  nonces, two SPIs, and the key schedule over them, from chance that is keyed by the generation's number. So the keys
  are those that both state machines would have agreed on, to the bit, and a generation in which nothing crossed is
  never made. The IKE SA's own renewals, which are few, make each its keys from the last one's, and are run.

Somebody who watches (`Witness`, a capture) sees the messages of the set-up, of renewals and of recoveries with the
secrets of their IKE SAs; for that renewals are played out too, which makes the same keys. Questions of a sound tunnel
are not.

What goes wrong is played out with every datagram and timer, by the same two state machines, from the last sign of life
until the tunnel stands again: `die` (a gateway loses all it knew), `black` (the path carries nothing).

ASSUMED: the data centre's gateway sets the tunnel up, renews it, and asks whether the other one lives, which answers
and asks nothing (strongSwan's default for a responder). During an outage of stated length both hold on to what they
have (FACT: six seconds), and a renewal that is due waits for its end.
"""

from dataclasses import replace
from typing import Final, NamedTuple, Protocol

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.crypto import derive
from emulator.errors import InputError
from emulator.kernel.chance import draw
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, SECOND
from emulator.link.esp_spec import SaSpec, of_negotiated, spec_of
from emulator.link.ike.chance import Chance
from emulator.link.ike.effects import ChildUp, IkeDown, Transmit
from emulator.link.ike.keylog import KeyLog
from emulator.link.ike.keys import child_keys
from emulator.link.ike.memory import Memory
from emulator.link.ike.pair import CONNECTION, DATA_CENTRE, OPERATOR, gateways
from emulator.link.ike.peer import IkePeer
from emulator.link.profile import Direction, LinkProfile, PeerDeath

FOREVER: Final = 1 << 62
_ENDS: Final = (DATA_CENTRE, OPERATOR)
_TRIPS: Final = 4
"""One-way trips of a renewal: question, answer, the old one's deletion, its answer. A set-up takes as many."""
_NONCE: Final = 32
_LEAST_SPI: Final = 256


class Agreed(NamedTuple):
    """Keys of one generation. `at`: from when each direction is sealed with them (down, up)."""

    at: tuple[Instant, Instant]
    specs: tuple[SaSpec, SaSpec]


class Recovery(NamedTuple):
    """What a failure came to. `noticed`: when the data centre's gateway gave the tunnel up, None: it never did.
    `restored`: from when it carries again, which is when that gateway has its new keys (or, never given up, when the
    path is whole). `agreed`: the new keys, None: the old ones."""

    noticed: Instant | None
    restored: Instant
    agreed: Agreed | None


class Witness(Protocol):
    """Who watches the gateways talk."""

    keylog: KeyLog

    def exchanged(self, direction: Direction, packet: bytes, at: Instant, remark: str) -> None:
        """A message of theirs, as an IPv4 packet, leaves at an instant; not in the order of instants."""
        ...


class TunnelControl:
    """One cell's pair of gateways. The times given to its methods never go back."""

    def __init__(self, seed: int, cell: int, profile: LinkProfile, witness: Witness | None = None) -> None:
        """Sets the tunnel up; `first` holds its keys, in force from the beginning. `witness` is told what they say.

        InputError: an answer takes longer than the gateways wait for one.
        """
        if 2 * profile.propagation_us >= profile.ike.patience:
            raise InputError(
                f"an answer takes {2 * profile.propagation_us} us, the gateways wait {profile.ike.patience} us for it; "
                "lower propagation_us, or raise retransmit or tries of the link's ike settings"
            )
        self.seed = seed
        self.cell = cell
        self.profile = profile
        self.deaths = 0
        self._witness = witness
        self._memory = Memory(self._pair(), delay=0)
        if witness is not None:
            self._memory.seen = self._seen
        down = self._memory.peers[0]
        self._memory.do(down, down.initiate(CONNECTION, 0))
        self._memory.run(0)
        self._memory.delay = profile.propagation_us
        self._settled: Instant = 0
        self._ike = 0
        self._begun = False
        self.first = Agreed((0, 0), self._specs())

    # While all is well

    def generation(self, now: Instant) -> int:
        """Which keys are in force, counted from 1970 as they fall due; 0 where they never do."""
        return self._count("link.ike.child", self.profile.ike.rekey_child, now)

    def due(self, generation: int) -> Instant:
        """When the exchange that makes a generation begins."""
        return self._due("link.ike.child", self.profile.ike.rekey_child, generation)

    def last_heard(self, heard: Instant, now: Instant) -> Instant:
        """When the data centre's gateway last heard of a sound peer, at `now`; `heard`: the last packet of its."""
        delay = self.profile.ike.dpd_delay
        heard = max(heard, 0)
        if not delay or now <= heard:
            return min(heard, now)
        cycle = delay + 2 * self.profile.propagation_us
        return heard + (now - heard) // cycle * cycle

    def renew(self, generation: int, begin: Instant) -> Agreed:
        """A generation's keys, for an exchange that begins at `begin` and meets a sound path.

        The data centre seals with them when the answer is there, the operator when the old ones are deleted.
        """
        self._renew_ike(begin)
        ike = next(sa for sa in self._memory.peers[0].sas.values() if sa.state == "up")
        assert ike.suite is not None
        assert ike.keys is not None
        nonces, spis = b"", []
        for name in _ENDS:
            chance = self._chance(name, f"child {generation}")
            nonces += chance.take(_NONCE)
            spis.append(chance.number(4))
            while spis[-1] < _LEAST_SPI:
                spis[-1] = chance.number(4)
        suite = next(iter(ike.children.values())).negotiated.suite
        down, up = child_keys(ike.suite, ike.keys.d, b"", nonces, suite)
        if self._witness is not None:
            self._play_renewal(generation, begin)
        at = begin + 2 * self.profile.propagation_us, begin + 3 * self.profile.propagation_us
        return Agreed(at, (spec_of(spis[1], suite, down), spec_of(spis[0], suite, up)))

    # When it is not

    def die(self, death: PeerDeath, heard: Instant) -> Recovery:
        """A gateway dies; both are played out until the tunnel stands again. `heard`: see `last_heard`."""
        back = death.at + death.restart_us
        end = 1 if death.end == "operator" else 0
        memory, _ = self._quiet(self._last(heard, death.at), f"death {self.deaths}")
        gone = memory.peers[end].address.ip

        def path(sent: Transmit, now: Instant) -> list[tuple[int, bytes]]:
            arrival = now + memory.delay
            lost = sent.destination.ip == gone and death.at <= arrival < back
            return [] if lost else [(memory.delay, sent.payload)]

        memory.path = path
        memory.run(death.at - 1)
        self.deaths += 1
        fresh = self._pair(f"life {self.deaths}")[end]  # chance of its own: the other end's goes by deaths
        memory.peers[end] = fresh
        memory.moved(fresh)
        memory.children[_ENDS[end]].clear()
        memory.said.clear()
        if not end:
            self._until(back)
            memory.do(fresh, fresh.initiate(CONNECTION, back))
        return self._recovered(None if end else death.at, back)

    def black(self, start: Instant, stop: Instant, heard: Instant) -> Recovery:
        """The path carries nothing from `start` until `stop`, and nobody was told."""
        memory, _ = self._quiet(self._last(heard, start), f"black {start}")

        def path(sent: Transmit, now: Instant) -> list[tuple[int, bytes]]:
            arrival = now + memory.delay
            return [] if now < stop and (arrival > start or now >= start) else [(memory.delay, sent.payload)]

        memory.path = path
        memory.said.clear()
        memory.run(stop + self.profile.ike.patience + 2 * memory.delay)
        if not any(type(effect) is IkeDown and name == DATA_CENTRE for _, name, effect in memory.said):
            memory.path = None
            self._settled = memory.now
            return Recovery(None, stop, None)
        return self._recovered(None, stop)

    # Inside

    def _play_renewal(self, generation: int, begin: Instant) -> None:
        """The messages of a renewal, for who watches."""
        memory, down = self._quiet(begin, f"child {generation}")
        memory.do(down, down.rekey_child(list(memory.children[DATA_CENTRE])[-1], begin))
        memory.run(begin + _TRIPS * memory.delay)
        memory.said.clear()

    def _seen(self, sent: Transmit, at: Instant, arrives: bool) -> None:
        assert self._witness is not None
        source, destination = sent.source, sent.destination
        ports = source.port, destination.port
        checksum = udp.checksum(source.ip, destination.ip, *ports, sent.payload)
        datagram = UDP_FRAME.build(UDP(*ports, checksum, sent.payload))
        packet = IPV4_FRAME.build(IPv4(source.ip, destination.ip, udp.PROTOCOL, 0, self.profile.outer_ttl, datagram))
        direction = Direction.DOWN if source.ip == self.profile.gateway_down + self.cell else Direction.UP
        self._witness.exchanged(direction, packet, at, "" if arrives else "lost on the way")

    def _pair(self, life: str = "") -> tuple[IkePeer, IkePeer]:
        """Two gateways that know nothing of each other but who they are."""
        timers = replace(self.profile.ike, rekey_child=0, rekey_ike=0, keepalive=0)
        esp, encap = (self.profile.esp,), self.profile.encap
        keylog = None if self._witness is None else self._witness.keylog
        pair = gateways(self.seed, self.cell, self.profile, timers=timers, esp=esp, encap=encap, keylog=keylog)
        up = pair[1]
        up.connections[CONNECTION] = replace(up.connections[CONNECTION], timers=replace(timers, dpd_delay=0))
        if life:
            self._fresh(pair, life)
        return pair

    def _fresh(self, peers: "tuple[IkePeer, ...] | list[IkePeer]", occasion: str) -> None:
        """Chance of an occasion's own."""
        for peer, name in zip(peers, _ENDS, strict=True):
            peer.chance = self._chance(name, occasion)

    def _chance(self, name: str, occasion: str) -> Chance:
        secret = str(self.seed).encode()
        stream = derive.keys(secret, 2, "link.ike.occasion", self.cell, f"{name} {occasion}")
        return Chance(b"".join(stream), name)

    def _last(self, heard: Instant, failing: Instant) -> Instant:
        """From when to play a failure: when the gateways believe that they last heard each other."""
        last = self.last_heard(heard, failing)
        if last == heard:
            last -= last % self.profile.clock_us  # a packet: remembered by a coarser clock than an answer
        return max(last, self._settled)

    def _quiet(self, at: Instant, occasion: str) -> tuple[Memory, IkePeer]:
        """Nothing was wrong up to `at`: both heard each other just now."""
        memory = self._memory
        memory.now = max(memory.now, at)
        for peer in memory.peers:
            for spi in memory.children[peer.name]:
                peer.heard(spi, at)
        self._fresh(memory.peers, occasion)
        return memory, memory.peers[0]

    def _renew_ike(self, until: Instant) -> None:
        """The renewals of the IKE SA itself that fell due by `until`: each makes keys from the last one's."""
        now = self._count("link.ike.ike", self.profile.ike.rekey_ike, until)
        if not self._begun:
            self._begun, self._ike = True, now  # what stands was made in this one
        while self._ike < now:
            self._ike += 1
            begin = max(self._due("link.ike.ike", self.profile.ike.rekey_ike, self._ike), self._settled)
            if begin + _TRIPS * self._memory.delay > until:
                break
            memory, down = self._quiet(begin, f"ike {self._ike}")
            memory.do(down, down.rekey_ike(CONNECTION, begin))
            memory.run(begin + _TRIPS * memory.delay)
            self._settled = memory.now
        self._memory.said.clear()

    def _until(self, at: Instant) -> None:
        self._memory.run(max(at, self._memory.now))

    def _recovered(self, noticed: Instant | None, back: Instant) -> Recovery:
        """Play on until the data centre's gateway has a tunnel again."""
        memory = self._memory
        latest = back + DAY
        while not any(type(effect) is ChildUp and name == DATA_CENTRE for _, name, effect in memory.said):
            assert memory.now <= latest, "a path that answers within the gateways' patience brings them up again"
            memory.run(memory.now + SECOND)
        restored = self._at(ChildUp, DATA_CENTRE)
        if noticed is None:
            noticed = next(
                (at for at, name, effect in memory.said if type(effect) is IkeDown and name == DATA_CENTRE), restored
            )
        memory.run(restored + memory.delay)
        memory.path = None
        memory.said.clear()
        self._settled = memory.now
        return Recovery(noticed, restored, Agreed((restored, restored), self._specs()))

    def _at(self, kind: type, name: str) -> Instant:
        return next(at for at, who, effect in self._memory.said if type(effect) is kind and who == name)

    def _specs(self) -> tuple[SaSpec, SaSpec]:
        """What each direction is sealed with, by the newest child of the data centre's gateway."""
        down, up = of_negotiated(list(self._memory.children[DATA_CENTRE].values())[-1])
        return down, up

    def _due(self, place: str, age: int, number: int) -> Instant:
        share = draw(self.seed, place, self.cell, number)
        return number * age - int(age * self.profile.ike.rekey_spread * share)

    def _count(self, place: str, age: int, now: Instant) -> int:
        if not age:
            return 0
        number = now // age
        return number + (now >= self._due(place, age, number + 1))
