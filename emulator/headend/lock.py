"""One change of keys at a time for each device, whoever makes it.

Two head ends that change one meter's keys at once lose it between them (a fault of the field: OSGP platform PR 735). So
whoever changes keys takes the device's lock first, and a lock is held for a limited time only: a holder that died must
not shut everybody out for ever. Locks are volatile; what must outlive a restart stands in the keepers' memory.
"""

from dataclasses import dataclass
from typing import TypeAlias

from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party

Device: TypeAlias = tuple[int, Party]


@dataclass(slots=True)
class Held:
    """Who holds a device, and until when (µs)."""

    holder: str
    until: Instant


class DeviceLock:
    """The locks of a cell's devices, and when a key was last sent to each."""

    __slots__ = ("_held", "_sent")

    def __init__(self) -> None:
        self._held: dict[Device, Held] = {}
        self._sent: dict[Device, Instant] = {}

    def take(self, device: Device, holder: str, now: Instant, lasts_us: int) -> bool:
        """Take a device, or go on holding it; False while another one has it."""
        held = self._held.get(device)
        if held is not None and held.holder != holder and now < held.until:
            return False
        self._held[device] = Held(holder, now + lasts_us)
        return True

    def release(self, device: Device, holder: str) -> None:
        """Let a device go; harmless for whoever does not hold it."""
        held = self._held.get(device)
        if held is not None and held.holder == holder:
            del self._held[device]

    def holder(self, device: Device, now: Instant) -> str | None:
        """Who holds a device now."""
        held = self._held.get(device)
        return held.holder if held is not None and now < held.until else None

    def sent(self, device: Device, now: Instant) -> None:
        """Keys went out to a device and nobody knows yet what became of them."""
        self._sent[device] = now

    def settled(self, device: Device) -> None:
        """It is known what became of them."""
        self._sent.pop(device, None)

    def last_sent(self, device: Device) -> Instant | None:
        """When keys went out whose fate is not known."""
        return self._sent.get(device)
