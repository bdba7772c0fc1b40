"""A device model, and the words in which a home is described to it.

`DeviceModel` is what the catalogue holds: a profile and the kind's way of building a machine. Its COSEM objects are
built once for each (model, switching table) and shared by all devices that have both; a device built from it is one
slotted object.

Homes come from the floor above, which this room may not import. What is needed of them is written down here as
protocols; the estate's own values fit them as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from devices.common.profile import Profile, announce
from emulator.crypto.keys import ContextStore
from emulator.han.sleepy import Sleepy
from emulator.kernel.machine import Machine, Party


class Spec(Protocol):
    """One device: serial and firmware as text, system title and EUI-64 of 8 bytes each."""

    @property
    def kind(self) -> Party: ...
    @property
    def model(self) -> str: ...
    @property
    def serial(self) -> str: ...
    @property
    def system_title(self) -> bytes: ...
    @property
    def firmware(self) -> str: ...
    @property
    def eui64(self) -> bytes: ...


class Wiring(Protocol):
    """Auxiliary switches 1..`switches` are wired, and the meter is loaded with the table named `tariff`."""

    @property
    def switches(self) -> int: ...
    @property
    def tariff(self) -> str: ...


class Trouble(Protocol):
    """What is wrong with a home. A device looks at nothing but the loss of its own HAN link (MF5)."""

    @property
    def kind(self) -> str: ...
    @property
    def device(self) -> Party | None: ...


class Home(Protocol):
    """One installation."""

    @property
    def number(self) -> int: ...
    @property
    def devices(self) -> tuple[Spec, ...]: ...
    @property
    def wiring(self) -> Wiring | None: ...
    @property
    def condition(self) -> Trouble | None: ...


class StoredMachine(Machine, Protocol):
    """A machine that can be put back into a row."""

    def snapshot(self) -> bytes:
        """Everything that deviates from the model; b"" when nothing does. Keys and counters are not in it."""
        ...


Builder = Callable[["DeviceModel", Home, Spec, ContextStore, Mapping[int, int], int, bytes], StoredMachine]


@dataclass(frozen=True, slots=True, eq=False)
class DeviceModel:
    """One model. `build` is the kind's class. Making a model announces its profile: a hub asks how its gas meter
    sleeps."""

    profile: Profile
    build: Builder

    def __post_init__(self) -> None:
        announce(self.profile)

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def party(self) -> Party:
        return self.profile.party

    def create(
        self,
        installation: Home,
        spec: Spec,
        *,
        store: ContextStore,
        contexts: Mapping[int, int],
        seed: int,
        state: bytes | None = None,
    ) -> StoredMachine:
        """A device of this model in a home.

        `contexts` maps client SAPs to context indices in `store`; `state` is what `snapshot` gave (None or b"": as
        found). Raises InputError for a damaged state.
        """
        return self.build(self, installation, spec, store, contexts, seed, state or b"")

    def sleepy(self, seed: int, installation: int) -> Sleepy | None:
        """When a device of this model hears; None for one that always does. The HAN's wiring asks."""
        gas = self.profile.gas
        return None if gas is None else Sleepy.keyed(seed, installation, self.party, gas.poll_s, gas.awake_s)
