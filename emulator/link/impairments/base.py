"""What an impairment is: a model of one fault, on one link, one way, that turns a packet into timed packets.

    carry(packet, now, number) -> [(delay in µs, packet), ...]      none: lost; two: a duplicate; another one: damage

`now` is when the packet gets to it (behind whatever stands before it), `number` names the packet: its ordinal on this
link, counted from 1 since the impairment is in force, and which copy of it (`ordinal`, `copy_of`). All chance is drawn
from (key, number), never from a generator: a packet that another impairment took does not move the luck of the next,
and a copy that another one made has luck of its own. An impairment with a memory that a packet moves (the state of a
burst, the last jitter) is told of the packets that never got to it by `missed`, so its memory moves with the traffic
and not with its neighbours' luck. Memory that only what truly passes can move (a queue, a budget) is not.

What it remembers is named in `STATE` and nothing else changes: `snapshot` and `restore` are all that it takes to go on
elsewhere.
"""

from copy import deepcopy
from math import cos, erfc, log, pi, sqrt
from typing import Any, ClassVar, Final, TypeAlias

from emulator.kernel.chance import mix, place_key
from emulator.kernel.effects import Instant

Carried: TypeAlias = list[tuple[int, bytes]]
"""(delay in µs, packet) for each that comes out; empty: lost."""

COPY_BITS: Final = 8
"""A packet's number holds its ordinal above so many bits, and which copy of it this is below."""

_SCALE: Final = 2.0**-53
_NORMAL_TURN: Final = 1 << 32


def ordinal(number: int) -> int:
    """Which packet of the link it is, from 1."""
    return number >> COPY_BITS


def numbered(packet_ordinal: int, copy: int = 0) -> int:
    """The number of the packet with this ordinal; copies beyond 255 share their luck with earlier ones."""
    return packet_ordinal << COPY_BITS | copy & (1 << COPY_BITS) - 1


class Luck:
    """The chance of one impairment: a function of (seed, place, link) and of the question."""

    __slots__ = ("key",)

    def __init__(self, seed: int, place: str, link: int = 0) -> None:
        """`place` names link, direction and fault; `link` is which of many links of that kind."""
        self.key = mix(place_key(seed, place), link, 0)

    def bits(self, number: int, turn: int = 0) -> int:
        """64 even bits for one question about a packet; `turn` tells questions apart."""
        return mix(self.key, turn, number)

    def draw(self, number: int, turn: int = 0) -> float:
        """A number in (0, 1), both ends excluded."""
        return ((mix(self.key, turn, number) >> 11) + 0.5) * _SCALE

    def normal(self, number: int, turn: int = 0) -> float:
        """A number of the standard normal distribution (Box and Muller)."""
        radius = sqrt(-2.0 * log(self.draw(number, turn)))
        return radius * cos(2.0 * pi * self.draw(number, turn + _NORMAL_TURN))


def below(z: float) -> float:
    """The probability that a standard normal number is below `z`."""
    return 0.5 * erfc(-z / sqrt(2.0))


class Impairment:
    """Root of the models; neutral. They are made by `models.make` from the settings of a fault of the same fields."""

    __slots__ = ()
    STATE: ClassVar[tuple[str, ...]] = ()

    def carry(self, packet: bytes, now: Instant, number: int) -> Carried:
        """What becomes of a packet that gets to it at `now`."""
        return [(0, packet)]

    def missed(self, now: Instant, number: int) -> None:
        """A packet was put on the link that never got here."""

    def returned(self) -> list[bytes]:
        """Packets that go back to the sender since the last question (ICMP); each is told once."""
        return []

    def snapshot(self) -> dict[str, Any]:
        """Everything it remembers."""
        return {name: deepcopy(getattr(self, name)) for name in self.STATE}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot of an impairment with the same settings."""
        for name in self.STATE:
            setattr(self, name, deepcopy(state[name]))


class Correlated(Impairment):
    """Root of those that draw one number a packet, like the one before it: a Gaussian AR(1) process of our own.

    z(n) = rho z(n-1) + sqrt(1 - rho^2) e(n), and the number drawn is where z stands in the normal distribution. So each
    number alone is as even as an independent one (a loss rate stays what it is), whatever the correlation; netem, which
    mixes uniform numbers instead, loses 0.1 % where 10 % at a correlation of 50 % were asked for. Copies of a packet
    share its number.
    """

    __slots__ = ("_luck", "_rest", "_rho", "at", "last")
    STATE: ClassVar[tuple[str, ...]] = ("at", "last")

    def __init__(self, luck: Luck, correlation: float) -> None:
        """`correlation`: of neighbours, in [0, 1)."""
        self._luck = luck
        self._rho = correlation
        self._rest = sqrt(1.0 - correlation * correlation)
        self.at = 0
        self.last = 0.0

    def even(self, number: int) -> float:
        """This packet's number, in (0, 1)."""
        return self._luck.draw(number) if not self._rho else below(self.normal(number))

    def normal(self, number: int) -> float:
        """The same, as a standard normal number."""
        if not self._rho:
            return self._luck.normal(number)
        packet = ordinal(number)
        if packet != self.at:
            fresh = self._luck.normal(numbered(packet))
            self.last = self._rho * self.last + self._rest * fresh if self.at else fresh
            self.at = packet
        return self.last

    def missed(self, now: Instant, number: int) -> None:
        if self._rho:
            self.normal(number)
