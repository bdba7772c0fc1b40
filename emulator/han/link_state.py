"""One radio link between the hub and one device: state, quality, delay.

A link says when what is put on it comes out at the other end, and nothing else: `down` is hub to device, `up` device to
hub, and an empty list is loss. Latency is keyed chance, order is kept per direction (the tunnel above is a stream), a
sleepy device hears at its polls. ZigBee's own retries hide most single losses, so by default nothing is lost while the
link is good; below `lqi_poor` they no longer do, and loss grows as quality falls.

Quality is a function of the place (keyed per link) and of the hour (keyed per link and hour), not stored. A link may be
lost by plan (`lost` windows, from an estate's conditions) or by a call (`lose`), and then it names its error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from emulator.han.join import JoinState
from emulator.han.sleepy import Sleepy
from emulator.kernel.chance import between, bits, mix, place_key
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import HOUR

# Looked up once: on CPython 3.11 a member found through its `Enum` costs a call in Python.
_JOINED: Final = JoinState.JOINED
_LOST: Final = JoinState.LOST
_ASLEEP: Final = JoinState.ASLEEP

_HALF: Final = 2.0**32

FOREVER: Final[Instant] = 1 << 62
NEVER: Final[Instant] = -(1 << 62)

ERRORS: Final = MappingProxyType({Party.GAS: "GT01", Party.ELECTRICITY: "ET01", Party.IHD: "DT01"})
"""The error a lost link makes. FACT: GT01 is the published code of a gas leg that fails on the HAN (TMAD MF5). ASSUMED:
the other two, made in its shape."""


@dataclass(frozen=True, slots=True)
class HanProfile:
    """The radio. ASSUMED, all of it: no figures are published.

    Latencies in µs, each way, a request through the radio's own retries; `loss` in [0, 1] on a good link; LQI 0 to 255:
    a link's own level lies in [lqi_min, lqi_max] and wanders by `lqi_wander` from hour to hour.
    """

    latency_us_min: int = 30_000
    latency_us_max: int = 180_000
    loss: float = 0.0
    lqi_min: int = 120
    lqi_max: int = 250
    lqi_wander: int = 20
    lqi_poor: int = 60


STANDARD: Final = HanProfile()

_PLACES: Final = {
    party: (place, place + ".down", place + ".up") for party in ERRORS for place in [f"han.{party.name.lower()}"]
}


class HanLink:
    """The link of one device of one installation.

    `lost` holds windows [from, to) without a link (`FOREVER` as the end of one that nobody repairs); `sleepy` the
    rhythm of a battery device; `lqi` a level that replaces the keyed one. Times given to it never go back.
    """

    __slots__ = (
        "_awake_until",
        "_down_key",
        "_down_last",
        "_gone_until",
        "_level",
        "_lost",
        "_low",
        "_profile",
        "_risk",
        "_sleepy",
        "_span",
        "_up_key",
        "_up_last",
        "installation",
        "party",
        "place",
        "seed",
    )

    def __init__(
        self,
        seed: int,
        installation: int,
        party: Party,
        profile: HanProfile = STANDARD,
        *,
        lost: Sequence[tuple[Instant, Instant]] = (),
        sleepy: Sleepy | None = None,
        lqi: int | None = None,
    ) -> None:
        self.seed = seed
        self.installation = installation
        self.party = party
        self.place, down, up = _PLACES[party]
        self._down_key = place_key(seed, down)
        self._up_key = place_key(seed, up)
        self._profile = profile
        self._lost = tuple(lost)
        self._gone_until = NEVER
        self._sleepy = sleepy
        self._awake_until = NEVER
        self._down_last = NEVER
        self._up_last = NEVER
        if lqi is None:
            lqi = between(profile.lqi_min, profile.lqi_max, seed, self.place + ".lqi", installation)
        self._low = profile.latency_us_min
        self._span = profile.latency_us_max - profile.latency_us_min + 1
        self._level_at(lqi)

    def state(self, now: Instant) -> JoinState:
        """How the device stands to the network at `now`."""
        if (self._lost or now < self._gone_until) and self._is_lost(now):
            return _LOST
        if self._sleepy is not None and now > self._awake_until:
            return _ASLEEP
        return _JOINED

    def lqi(self, now: Instant) -> int:
        """Link quality, 0 (lost) to 255."""
        if self._is_lost(now):
            return 0
        wander = self._profile.lqi_wander
        step = bits(self.seed, self.place + ".lqi.hour", self.installation, now // HOUR) % (2 * wander + 1) - wander
        return max(1, min(255, self._level + step))

    def error(self, now: Instant) -> str | None:
        """The error code of a lost link, or None."""
        return ERRORS[self.party] if self._is_lost(now) else None

    def lose(self, until: Instant = FOREVER) -> None:
        """The device drops out of the network, until `rejoin` or an instant."""
        self._gone_until = until
        self._awake_until = NEVER

    def rejoin(self) -> None:
        """The device is back (planned windows still hold)."""
        self._gone_until = NEVER

    @property
    def rhythm(self) -> Sleepy | None:
        """When its device hears; None for one that always does."""
        return self._sleepy

    @property
    def level(self) -> int:
        """The level about which its quality wanders."""
        return self._level

    def stand(self, *, lost: bool, rhythm: Sleepy | None, level: int) -> None:
        """Stand otherwise from now on: gone or not (planned windows still hold), with another rhythm, another level."""
        if lost:
            self.lose()
        elif self._gone_until != NEVER:
            self.rejoin()
        if rhythm != self._sleepy:
            self._sleepy = rhythm
            self._awake_until = NEVER
        self._level_at(level)

    def _level_at(self, level: int) -> None:
        """Wander about this level. `_risk` is what the high half of a draw is held against: settled for a link that is
        never poor, negative for one that has to be asked each time."""
        profile = self._profile
        self._level = level
        self._risk = -1.0 if level < profile.lqi_poor + profile.lqi_wander else max(profile.loss, 0.0) * _HALF

    def down(self, now: Instant, number: int) -> list[int]:
        """Hub to device: the delay in µs until it hears, or nothing when it never will. `number` keys the chance."""
        start = now
        sleepy = self._sleepy
        if sleepy is not None and now > self._awake_until:
            start = sleepy.next_poll(now)
        if (self._lost or start < self._gone_until or now < self._gone_until) and (
            self._is_lost(now) or self._is_lost(start)
        ):
            return []
        flight = self._flight(self._down_key, start, number)
        if flight < 0:
            return []
        heard = start + flight
        if heard <= self._down_last:
            heard = self._down_last + 1
        self._down_last = heard
        if sleepy is not None:
            self._awake_until = sleepy.awake_after(heard, self._awake_until)
        return [heard - now]

    def up(self, now: Instant, number: int) -> list[int]:
        """Device to hub: the delay in µs, or nothing. A device that speaks is awake."""
        if (self._lost or now < self._gone_until) and self._is_lost(now):
            return []
        if self._sleepy is not None:
            self._awake_until = self._sleepy.awake_after(now, self._awake_until)
        flight = self._flight(self._up_key, now, number)
        if flight < 0:
            return []
        heard = now + flight
        if heard <= self._up_last:
            heard = self._up_last + 1
        self._up_last = heard
        return [heard - now]

    def _is_lost(self, now: Instant) -> bool:
        if self._lost:
            return now < self._gone_until or any(start <= now < end for start, end in self._lost)
        return now < self._gone_until

    def _flight(self, key: int, now: Instant, number: int) -> int:
        """Time in the air in µs, or -1: lost. One draw gives both: high half loss, low half latency."""
        luck = mix(key, self.installation, number)
        risk = self._risk
        if risk < 0.0:
            profile = self._profile
            risk = max(profile.loss, (profile.lqi_poor - self.lqi(now)) / profile.lqi_poor) * _HALF
        if luck >> 32 < risk:
            return -1
        return self._low + (luck & 0xFFFF_FFFF) % self._span
