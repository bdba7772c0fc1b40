"""The gas meter as a machine.

It differs from the electricity meter in what it lacks: no mains (a power cut means somebody changed the battery), no
tariff, no display worth the name. And in one duty: the hub shows its values while it sleeps. Values change by
themselves, so the meter does not send them; it sends a report when the *law* changes by which they grow (valve moved,
clock set), and the hub computes the rest (see `devices.hub.mirror`).
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

from devices.common import consumption, contact, frames
from devices.common.device import CosemDevice
from devices.common.kit import Kit, assemble
from devices.common.ledger import FOREVER, SLOT, Ledger, Loads, Regime
from devices.common.model import DeviceModel, Home, Spec
from devices.common.profile import Gas, Profile, needed
from devices.common.tariff import FLAT
from devices.gas import objects, snapshot
from emulator.commands import Command, PressReconnect
from emulator.crypto.keys import ContextStore
from emulator.dlms.cosem import ActionRefused
from emulator.kernel.effects import HAN, Effects, Instant, Port, Send
from emulator.kernel.time import DAY


@lru_cache(maxsize=64)
def _kit(profile: Profile) -> Kit:
    return assemble(profile, objects.build(profile))


def _loads(habits: Gas, number: int, seed: int) -> Loads:
    return [consumption.gas(seed, number, habits.mean_day_dm3)], ()


class GasMeter(CosemDevice):
    """One meter. Volumes are in dm3 (litres)."""

    __slots__ = ("_kept", "_law_changed", "_ledger")

    def __init__(
        self,
        model: DeviceModel,
        home: Home,
        spec: Spec,
        store: ContextStore,
        contexts: Mapping[int, int],
        seed: int,
        state: bytes,
    ) -> None:
        self._ledger: Ledger | None = None
        self._kept: Any = None
        self._law_changed = False
        super().__init__(model, home, spec, store, contexts, seed, state)

    @property
    def habits(self) -> Gas:
        """The gas section of the profile."""
        return needed(self.model.profile.gas)

    def made_of(self) -> Kit:
        return _kit(self.model.profile)

    @property
    def ledger(self) -> Ledger:
        """The register."""
        found = self._ledger
        if found is None:
            if self._kept is None:
                regimes = [Regime(self.born, FOREVER, {}, FLAT.calendar)]
            else:
                regimes = snapshot.unpack(self._kept)
            found = self._ledger = Ledger(partial(_loads, self.habits, self.installation, self.seed), (), regimes)
        return found

    def physics(self) -> Any:
        return self._kept if self._ledger is None else snapshot.pack(self._ledger)

    def recall_physics(self, kept: Any) -> None:
        self._kept = kept

    def total(self, now: Instant) -> int:
        """dm3 delivered."""
        return self.ledger.total(self.shown(now))

    def half_hour(self, now: Instant) -> int:
        """dm3 of the last half-hour that was complete at `now`."""
        end = self.shown(now) // SLOT * SLOT
        before = self.ledger.total_at(end - SLOT)
        return self.ledger.total_at(end) - before

    def flow(self, now: Instant) -> int:
        """dm3 per hour now."""
        return consumption.power_w(self.ledger.flow(self.shown(now)))

    def battery_days(self, now: Instant) -> int:
        """Days of battery left, as the meter estimates them: a whole life from the day it was put up."""
        return max(0, self.habits.battery_years * 365 - (now - self.born) // DAY)

    def clock_moves(self, old: Instant, new: Instant, now: Instant) -> None:
        self.ledger.change(old, new)
        self._law_changed = True

    def contact_moves(self, closed: bool, now: Instant) -> None:
        shown = self.shown(now)
        if self.ledger.regimes[-1].flowing != closed:
            self.ledger.change(shown, shown, flowing=closed)
        self._law_changed = True

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects:
        return self._told(super().receive(port, frame, now), now)

    def wake(self, now: Instant) -> Effects:
        return self._told(super().wake(now), now)

    def command(self, command: Command, now: Instant) -> Effects:
        return self._told(super().command(command, now), now)

    def obey(self, command: Command, now: Instant) -> None:
        if isinstance(command, PressReconnect):
            try:
                contact.press(self, now)
            except ActionRefused as refusal:
                self.note("valve.button-ignored", refusal.reason)
        else:
            super().obey(command, now)

    def _told(self, effects: Effects, now: Instant) -> Effects:
        """The effects, and a report to the hub when the law has changed."""
        if not self._law_changed:
            return effects
        self._law_changed = False
        return [*effects, Send(HAN, self.report(now).build())]

    def report(self, now: Instant) -> frames.Report:
        """Where the register stands and by which law it moves on."""
        shown = self.shown(now)
        grains = self.ledger.grains(shown).get(1, 0)
        return frames.Report(
            int(self.spec.kind),
            shown,
            shown - now,
            grains // consumption.GRAINS,
            grains % consumption.GRAINS,
            self.flow(now),
            contact.state(self, now),
            1,
        )
