"""The cellular leg between the mobile operator's gateway and a hub.

It says when what is put on it comes out, or that it never does; it does not look into what it carries. Latency and loss
are keyed chance, one draw a packet. Order is kept per installation and direction: a radio bearer is a queue, and a late
packet holds up the ones behind it. A hub without coverage hears nothing: a packet that would be in the air at any
moment of a gap is lost, as nothing below UDP repeats it. A short message is different: the network stores it and tries
again when the hub is back, until its validity ends.

What is remembered between packets is only the last arrival per installation and direction, and only while it lies
ahead, so a cell's memory of the air is the size of its traffic and not of its estate.
"""

from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from emulator.kernel.chance import mix, place_key
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, MILLISECOND, SECOND

_SWEEP: Final = 512
_HALF: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where the radio reaches a hub in time. `gaps` are windows [from, to) without coverage; `never`: no coverage."""

    gaps: tuple[tuple[Instant, Instant], ...] = ()
    never: bool = False

    def reaches(self, start: Instant, end: Instant) -> bool:
        """Is there coverage all through [start, end]?"""
        return not self.never and all(end < gap_start or start >= gap_end for gap_start, gap_end in self.gaps)

    def back_at(self, now: Instant) -> Instant | None:
        """The first instant at `now` or later with coverage; None: never."""
        if self.never:
            return None
        at = now
        for start, end in sorted(self.gaps):
            if start <= at < end:
                at = end
        return at


COVERED: Final = Coverage()
"""Coverage at all times."""

UNCOVERED: Final = Coverage(never=True)
"""No coverage at any time: a home the network never reaches."""


@mypyc_attr(native_class=False)
@dataclass(frozen=True, slots=True)
class AirProfile:
    """The mobile network.

    ASSUMED, all defaults: figures of a lightly loaded 2G/GPRS bearer; nothing about this network is published.
    FACT: the wake-up is by SMS and one read can need two of them (SEC MP312), so short messages do get lost.

    Latencies and delays in µs, both ends included; losses in [0, 1]; `sms_validity_us`: how long the network goes on
    trying to deliver a message to a hub it does not reach.
    """

    latency_us_min: int = 200 * MILLISECOND
    latency_us_max: int = 600 * MILLISECOND
    loss: float = 0.001
    sms_delay_us_min: int = 2 * SECOND
    sms_delay_us_max: int = 30 * SECOND
    sms_loss: float = 0.02
    sms_validity_us: int = DAY


class Air:
    """The air over one cell. All three ways return the delay in µs in a list, or an empty list for loss.

    `number` keys the chance: the same question asked twice has the same answer. Times never go back.
    """

    __slots__ = ("_down", "_sms", "_sms_loss", "_sms_lost", "_up", "down", "profile", "seed", "up")

    def __init__(self, seed: int, profile: AirProfile) -> None:
        self.seed = seed
        self.profile = profile
        self._sms_loss = round(profile.sms_loss * _HALF)
        self._down = _Bearer(place_key(seed, "air.down"), profile)
        self._up = _Bearer(place_key(seed, "air.up"), profile)
        self._sms = _Order()
        self._sms_lost = 0
        self.down = self._down.fly
        """Operator's gateway to hub: `down(installation, now, number, coverage=COVERED)`."""
        self.up = self._up.fly
        """Hub to operator's gateway, likewise."""

    @property
    def lost(self) -> int:
        """How much the air has swallowed."""
        return self._down.lost + self._up.lost + self._sms_lost

    def sms(self, installation: int, now: Instant, number: int, coverage: Coverage = COVERED) -> list[int]:
        """A short message to the hub; out of coverage it waits in the network."""
        luck = mix(place_key(self.seed, "air.sms"), installation, number)
        profile = self.profile
        if (luck >> 32) < self._sms_loss:
            self._sms_lost += 1
            return []
        span = profile.sms_delay_us_max - profile.sms_delay_us_min + 1
        sent = now + profile.sms_delay_us_min + (luck & 0xFFFF_FFFF) % span
        arrival = coverage.back_at(sent)
        if arrival is None or arrival - now > max(profile.sms_validity_us, profile.sms_delay_us_max):
            self._sms_lost += 1
            return []
        return [self._sms.delay(installation, now, arrival)]


class _Order:
    """Who may not be overtaken: the last arrival per installation, forgotten once it is past."""

    __slots__ = ("_lasts", "_limit")

    def __init__(self) -> None:
        self._lasts: dict[int, Instant] = {}
        self._limit = _SWEEP

    def delay(self, installation: int, now: Instant, arrival: Instant) -> int:
        """The delay of a packet offered at `now` that would be there at `arrival` if it were alone."""
        lasts = self._lasts
        last = lasts.get(installation)
        if last is not None and last >= arrival:
            arrival = last + 1
        elif len(lasts) >= self._limit:
            for key in [key for key, at in lasts.items() if at <= now]:
                del lasts[key]
            # Twice what is left, so that a sweep is paid for by the packets since the last one.
            self._limit = max(_SWEEP, 2 * len(lasts))
        lasts[installation] = arrival
        return arrival - now

    def __len__(self) -> int:
        return len(self._lasts)


class _Bearer(_Order):
    """One direction of the radio bearer. A packet is one call and one draw: two cross it in every exchange."""

    __slots__ = ("_key", "_loss", "_low", "_span", "lost")

    def __init__(self, key: int, profile: AirProfile) -> None:
        super().__init__()
        self._key = key
        self._loss = round(profile.loss * _HALF)
        self._low = profile.latency_us_min
        self._span = profile.latency_us_max - profile.latency_us_min + 1
        self.lost = 0

    def fly(self, installation: int, now: Instant, number: int, coverage: Coverage = COVERED) -> list[int]:
        luck = mix(self._key, installation, number)
        if (luck >> 32) < self._loss:
            self.lost += 1
            return []
        arrival = now + self._low + (luck & 0xFFFF_FFFF) % self._span
        if coverage is not COVERED and not coverage.reaches(now, arrival):
            self.lost += 1
            return []
        lasts = self._lasts
        if lasts.get(installation, now) < arrival and len(lasts) < self._limit:  # nobody to wait for, nothing to sweep
            lasts[installation] = arrival
            return [arrival - now]
        return [self.delay(installation, now, arrival)]
