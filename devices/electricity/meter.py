"""What the parts of an electricity meter may ask of the whole: the words between contacts, objects and the machine.

The objects are told which device is meant each time, and that device is always one of ours. This protocol says so
without tying the parts to the machine that puts them together.
"""

from typing import Protocol, cast

from devices.common.event_log import Log
from devices.common.ledger import Ledger
from devices.common.model import Spec
from devices.common.tariff import SwitchingTable
from emulator.dlms.cosem import Device
from emulator.kernel.effects import Instant


class Meter(Device, Protocol):
    """An electricity meter."""

    spec: Spec
    table: SwitchingTable

    @property
    def ledger(self) -> Ledger: ...
    @property
    def born(self) -> Instant: ...
    def shown(self, now: Instant) -> Instant: ...
    def write_log(self, log: Log, code: int, now: Instant | None = None) -> None: ...
    def total(self, now: Instant) -> int: ...
    def rate_total(self, rate: int, now: Instant) -> int: ...
    def half_hour(self, now: Instant) -> int: ...
    def power(self, now: Instant) -> int: ...
    def decivolts(self, now: Instant) -> int: ...
    def active_rate(self, now: Instant) -> int: ...
    def load_calendar(self, now: Instant) -> None: ...
    def follow(self, now: Instant) -> None: ...


def meter(device: Device) -> Meter:
    """The device as an electricity meter."""
    return cast(Meter, device)
