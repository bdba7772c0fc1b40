"""Changes of keys as a device sees them: who opened one, and whether it was proven before anything else.

A change is open from the transfer that the device accepted until it is proven: data keys by something read, or an
association made, under the new ones; a master key by a transfer wrapped under it. While one is open, keys transferred
by a client of another title are the work of a second head end. A change that its client leaves unproven when it
releases the association, or for `proof_s`, is one whose outcome nobody knows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from emulator.dlms.cosem import Device
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND
from emulator.watch.settings import WatchSettings

Report = Callable[[str, str, str], None]
_KEK = 3


@dataclass(slots=True)
class Open:
    """A change that nobody proved yet."""

    device: str
    at: Instant
    title: bytes
    client_sap: int
    epoch: int
    data: bool
    """Whether EK or AK were among its keys; else it is the master key's alone."""
    told: bool = False


class Changes:
    """The open changes of one cell, by context."""

    def __init__(self, settings: WatchSettings) -> None:
        self._lock = settings.lock_s * SECOND
        self._proof = settings.proof_s * SECOND
        self._open: dict[tuple[int, int], Open] = {}

    def forget(self, installation: int) -> None:
        """A home was put back: nothing is open there."""
        for key in [key for key in self._open if key[0] == installation]:
            del self._open[key]

    def transfer_asked(self, device: Device, index: int, title: bytes, now: Instant, report: Report) -> None:
        """A client is about to hand keys over."""
        found = self._open.get((device.installation, index))
        if found is None or found.title == title or now > found.at + self._lock:
            return
        since = (now - found.at) // SECOND
        report(
            "two-head-ends",
            f"keys are transferred {since} s after client {found.title.hex()} did so, whose change is not proven",
            f"client title {title.hex()}",
        )

    def transferred(
        self,
        device: Device,
        name: str,
        index: int,
        title: bytes,
        client_sap: int,
        key_ids: frozenset[int],
        now: Instant,
    ) -> None:
        """The device has taken keys over. A transfer that follows a master key's proves that one."""
        epoch = device.store.state(index).epoch
        data = bool(key_ids - {_KEK}) or not key_ids
        self._open[device.installation, index] = Open(name, now, title, client_sap, epoch, data)

    def used(self, installation: int, index: int, title: bytes, epoch: int) -> None:
        """Something was read, or an association opened, under the keys in use: that proves data keys."""
        if not self._open:
            return
        found = self._open.get((installation, index))
        if found is not None and found.data and found.title == title and found.epoch == epoch:
            del self._open[installation, index]

    def released(self, device: Device, index: int, now: Instant, report: Report) -> None:
        """A client is about to let its association go."""
        found = self._open.get((device.installation, index))
        if found is not None and found.data and not found.told:
            found.told = True
            report(
                "key-transfer-without-read-back",
                "the association is released and nothing was read under the new keys",
                f"client title {found.title.hex()}",
            )

    def overdue(self, now: Instant, excused: Callable[[int, int], bool]) -> Iterator[tuple[int, Open]]:
        """(installation, change) of those that nobody proved in time, each once. `excused(installation, context)` says
        of whose change it is known that its head end keeps the question open."""
        for (installation, index), found in self._open.items():
            if not found.told and now > found.at + self._proof and not excused(installation, index):
                found.told = True
                yield installation, found
