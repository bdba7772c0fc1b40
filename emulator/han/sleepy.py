"""When a battery device hears.

A sleepy device has its receiver off. Every `poll_us` it asks its parent whether something waits; a frame for it stays
in the hub until then. Having heard or said something it keeps asking quickly, which from outside looks like staying
awake until `awake_us` after the last frame. So one instant, `awake_until`, is all the state there is; the rest is a
function of time: no timer runs for a meter nobody talks to.
"""

from dataclasses import dataclass

from emulator.kernel.chance import bits
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND


@dataclass(frozen=True, slots=True)
class Sleepy:
    """The rhythm of one device. Polls fall on the instants that leave `phase_us` when divided by `poll_us`."""

    poll_us: int
    awake_us: int
    phase_us: int

    @classmethod
    def keyed(cls, seed: int, installation: int, party: int, poll_s: int, awake_s: int) -> "Sleepy":
        """A rhythm of one poll in `poll_s` seconds (at least 1), at a phase of this device's own."""
        poll_us = poll_s * SECOND
        return cls(poll_us, awake_s * SECOND, bits(seed, "han.sleepy.phase", installation, party) % poll_us)

    def next_poll(self, now: Instant) -> Instant:
        """The first poll at `now` or later."""
        return now + (self.phase_us - now) % self.poll_us

    def hears_at(self, now: Instant, awake_until: Instant) -> Instant:
        """When a frame handed to the hub at `now` is fetched: at once while awake, else at the next poll."""
        return now if now <= awake_until else self.next_poll(now)

    def awake_after(self, frame_at: Instant, awake_until: Instant) -> Instant:
        """`awake_until` once a frame was heard or sent at `frame_at`."""
        return max(awake_until, frame_at + self.awake_us)
