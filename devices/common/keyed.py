"""What a device offers about its keys besides serving with them: to its security setup, to faults, to test benches."""

from collections.abc import Iterable, Mapping
from typing import Final

from devices.common import victim
from devices.common.event_log import Event, Log
from devices.common.key_slots import KEY_IDS, KEY_NAMES, KeyMemory, plan
from devices.common.key_writer import KeyWriter, writer
from devices.common.model import DeviceModel
from emulator.crypto.keys import ContextStore
from emulator.dlms.classes.security_setup import SecuritySetup
from emulator.dlms.security import Reaction
from emulator.dlms.tree import ObjectTree
from emulator.faults.mischief import Mischief
from emulator.faults.occasions import KeyName
from emulator.kernel.effects import Instant

_KEY_EVENTS: Final = (Event.KEY_EK, Event.KEY_BROADCAST, Event.KEY_AK, Event.KEY_MASTER)


class Keyed:
    """A part of `CosemDevice`, which holds all that is named here."""

    __slots__ = ()

    contexts: Mapping[int, int]
    mischief: Mischief | None
    model: DeviceModel
    objects: ObjectTree
    store: ContextStore
    written: list[KeyName]

    @property
    def security(self) -> SecuritySetup:
        """The security setup of the management client."""
        found = self.objects.named("security")
        assert isinstance(found, SecuritySetup)
        return found

    @property
    def key_writer(self) -> KeyWriter:
        """How this model keeps and writes its keys."""
        return writer(self.model.profile)

    @property
    def key_context(self) -> int:
        """The index of the management client's context; -1 where that has no keys."""
        index = self.contexts.get(self.model.profile.addressing.management, -1)
        return index if index >= 0 and self.store.loaded(index) else -1

    def key_memory(self, now: Instant) -> KeyMemory:
        """The truth about the slots of its keys, for test benches. Asking does what is due: a master key that nobody
        confirmed in time has lapsed afterwards."""
        return self.key_writer.memory(self.security, self, self.key_context, now)  # type: ignore[arg-type]

    def key_plan(self, keys: Iterable[KeyName]) -> tuple[str, ...]:
        """The names of the writes by which this model replaces these keys, in order."""
        return tuple(write.name for write in plan(self.model.profile.keys, (KEY_IDS[name] for name in keys)))

    def key_installed(self, client_sap: int, key_id: int, now: Instant) -> None:
        self.write_log(Log.SECURITY, _KEY_EVENTS[key_id])
        if self.mischief is not None:
            self.written.append(KEY_NAMES[key_id])

    def write_log(self, log: Log, code: int, now: Instant | None = None) -> None:
        """Write an event down."""
        raise NotImplementedError

    def lose_volatile_keys(self, now: Instant) -> None:
        """The mains go: keys that are in RAM alone go with them."""
        index = self.key_context
        if index >= 0:
            self.key_writer.goes_dark(self.security, self, index, now)  # type: ignore[arg-type]

    def overrule(self, counter: bool, usual: Reaction) -> Reaction:
        """How it reacts to a request that does not open, when a fault has a say."""
        return victim.reaction(self, counter, usual)  # type: ignore[arg-type]
