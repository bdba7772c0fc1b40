"""One home, as plain values: what stands on its wall, and what the old operator believes stands there.

Two views of the same home are kept apart on purpose. An `Installation` with its `DeviceKeys` is the truth in the
devices; a `SmsoRecord` is what the old operator hands over. A migration works from the record and finds out the truth
over the air; a `Condition` says in which way the two differ, and only the test bench may look at it. No verdict may
be taken from `Installation.condition`: it would make the ledger agree with itself.

Values only: no behaviour beyond lookups, no chance, no I/O. Keys never show in a `repr`. They are structs because a
frozen dataclass takes 515 ns to make, a frozen struct 60, and a home that is visited is made several times.
"""

from typing import Final, Literal, TypeAlias

import msgspec

from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party

Kind: TypeAlias = Literal["MF1", "MF2", "MF3", "MF5", "MF9", "MF10"]
"""The failure families an estate may carry: no master key, no WAN before, no WAN during, gas link lost, refused by
validation, refused by the viability test."""

KINDS: Final[tuple[Kind, ...]] = ("MF1", "MF2", "MF3", "MF5", "MF9", "MF10")

KEYED: Final = (Party.HUB, Party.ELECTRICITY, Party.GAS)
"""The devices that hold keys of their own. A display holds none: it only listens on the HAN."""

COUNTER_MAX: Final = 0xFFFF_FFFF
"""The last invocation counter there is; a device whose lowest acceptable value this is refuses all before it."""


class DeviceSpec(msgspec.Struct, gc=False, frozen=True):
    """One device: `system_title` and `eui64` are 8 bytes each, `model` is a name the device registry knows."""

    kind: Party
    model: str
    serial: str
    system_title: bytes
    firmware: str
    eui64: bytes


class Wiring(msgspec.Struct, gc=False, frozen=True):
    """A five-terminal home: `switches` auxiliary switches (1 to 5) that follow the switching table named `tariff`."""

    switches: int
    tariff: str


class Condition(msgspec.Struct, gc=False, frozen=True):
    """What is wrong with a home: the family, the device concerned (None: the home as a whole) and the detail."""

    kind: Kind
    device: Party | None
    detail: str


class DeviceKeys(msgspec.Struct, gc=False, frozen=True):
    """16 bytes each: global unicast encryption key, authentication key, master key (None: not known)."""

    ek: bytes
    ak: bytes
    kek: bytes | None

    def __repr__(self) -> str:
        return "DeviceKeys()"


class Installation(msgspec.Struct, gc=False, frozen=True):
    """The truth about one home. `devices` stand in the order of `Party`; `mprn` is None without a gas meter."""

    number: int
    active: bool
    dmc: str
    supplier: str
    devices: tuple[DeviceSpec, ...]
    mpan: str
    mprn: str | None
    wiring: Wiring | None
    condition: Condition | None
    region: str

    def device(self, kind: Party) -> DeviceSpec | None:
        """The device of this kind, or None when the home has none."""
        for spec in self.devices:
            if spec.kind is kind:
                return spec
        return None


class SmsoDevice(msgspec.Struct, gc=False, frozen=True):
    """One device as the old operator knows it.

    `keys` is None for a device without keys; `keys.kek` is None where the master key is missing. `counter` is the
    invocation counter the next head end should begin with towards this device.
    """

    spec: DeviceSpec
    keys: DeviceKeys | None
    counter: int


class SmsoRecord(msgspec.Struct, gc=False, frozen=True):
    """What the old operator hands over for one home, right or wrong. `last_contact` is its last WAN contact."""

    number: int
    supplier: str
    devices: tuple[SmsoDevice, ...]
    mpan: str
    mprn: str | None
    wiring: Wiring | None
    last_contact: Instant

    def device(self, kind: Party) -> SmsoDevice | None:
        """The device of this kind, or None when the record has none."""
        for device in self.devices:
            if device.spec.kind is kind:
                return device
        return None
