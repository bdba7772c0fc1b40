"""The home network as the hub knows it: who belongs to it, by which logical device, and who has dropped out.

What is known of a loss comes from the radio (`watch`) or, where nobody lends it, from the condition the home was found
in. A loss is remembered from the moment a request ran into it, so that it is logged once, and forgotten when the device
is heard again.
"""

from collections.abc import Callable, Collection
from typing import Any, Final

from devices.common.model import Home, Spec
from devices.common.profile import Profile, needed
from devices.hub.objects import Joined
from emulator.han.join import JoinState
from emulator.han.link_state import ERRORS
from emulator.kernel import chance
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY

Watch = Callable[[Party, Instant], JoinState]

FORWARDED: Final = (Party.ELECTRICITY, Party.GAS)
"""The HAN devices that a frame from the WAN can be for."""

_ORDER: Final = (Party.GAS, Party.ELECTRICITY, Party.IHD)
_LOST: Final = JoinState.LOST  # looked up once: slow on CPython 3.11
_STATES: Final = {JoinState.LOST: 0, JoinState.JOINED: 1, JoinState.ASLEEP: 2}


class Network:
    """One home's. `saps` finds the device behind a logical device; `watch(party, now)` may be set; `lost` holds since
    when a device is known to be gone; `barred` are devices that were struck off the list of those that may be in it."""

    __slots__ = ("_home", "_profile", "_seed", "barred", "lost", "saps", "watch")

    def __init__(self, home: Home, profile: Profile, seed: int) -> None:
        habits = needed(profile.hub)
        self._home = home
        self._profile = profile
        self._seed = seed
        self.watch: Watch | None = None
        self.lost: dict[int, Instant] = {}
        self.barred: frozenset[Party] = frozenset()
        self.saps: dict[int, Party] = {
            habits.gas_sap if each.kind is Party.GAS else habits.electricity_sap: each.kind
            for each in home.devices
            if each.kind in FORWARDED
        }

    def spec(self, party: Party) -> Spec | None:
        """The device of this kind, or None."""
        for each in self._home.devices:
            if each.kind is party:
                return each
        return None

    def is_lost(self, party: Party, now: Instant) -> bool:
        """Whether a device has dropped out, or may not be in the network."""
        if self.barred and party in self.barred:
            return True
        watch = self.watch
        return self._found_lost(party) if watch is None else watch(party, now) is _LOST

    def _found_lost(self, party: Party) -> bool:
        condition = self._home.condition
        return condition is not None and condition.kind == "MF5" and condition.device is party

    def gone_since(self, party: Party) -> Instant | None:
        """When a lost device was last heard: for one that the home was found without, some weeks before."""
        if self._found_lost(party):
            found = self._profile.clock.last_set_at
            return found - chance.bits(self._seed, "han.lost-since", self._home.number, party) % (60 * DAY)
        return self.lost.get(int(party))

    def joined(self, now: Instant) -> list[Joined]:
        """The device log: every device that ever joined and was not struck off."""
        found = []
        for each in self._home.devices:
            if each.kind is Party.HUB or each.kind in self.barred:
                continue
            if self.is_lost(each.kind, now):
                state = JoinState.LOST
            else:
                state = JoinState.JOINED if self.watch is None else self.watch(each.kind, now)
            error = ERRORS[each.kind] if state is JoinState.LOST else ""
            found.append(Joined(each.eui64, int(each.kind), _STATES[state], error))
        return found

    @property
    def members(self) -> list[bytes]:
        """The EUI-64 of every device that the home was found with, the hub's left out."""
        return [each.eui64 for each in self._home.devices if each.kind is not Party.HUB]

    def allow(self, listed: Collection[bytes]) -> None:
        """Only the devices of these EUI-64 may be in the network."""
        self.barred = frozenset(
            each.kind for each in self._home.devices if each.kind is not Party.HUB and each.eui64 not in listed
        )

    def join(self, eui64: bytes, now: Instant) -> Party | None:
        """A listed device is let in: who it is, or None when nobody of this EUI-64 answers on the radio."""
        for each in self._home.devices:
            if each.eui64 == eui64 and each.kind is not Party.HUB and not self.is_lost(each.kind, now):
                self.lost.pop(int(each.kind), None)
                return each.kind
        return None

    def error(self, now: Instant) -> str:
        """The code of the device that is lost, the gas meter's first; empty while none is."""
        for party in _ORDER:
            if self.spec(party) is not None and self.is_lost(party, now):
                return ERRORS[party]
        return ""

    def pack(self) -> list[Any]:
        """For a row."""
        return [part for item in sorted(self.lost.items()) for part in item]

    def unpack(self, kept: list[Any]) -> None:
        self.lost = dict(zip(kept[::2], kept[1::2], strict=True))
