"""The electricity meter as a machine: what it is loaded with, what its contacts do to its registers.

The loads of a home are here: what is plugged in, and what hangs on each wired auxiliary switch. Registers are a
`Ledger`, made when first asked for; every event that changes a law (a table written, the clock set, a contact moved,
the mains lost) closes the law in force first.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

from devices.common import consumption, contact, frames
from devices.common.device import CosemDevice
from devices.common.event_log import Event, Log
from devices.common.kit import Kit, assemble
from devices.common.ledger import FOREVER, SLOT, Circuit, Ledger, Loads, Regime
from devices.common.model import DeviceModel, Home, Spec
from devices.common.profile import Electricity, Profile, needed
from devices.common.tariff import BadTableError, Calendar, SwitchingTable, calendar, named
from devices.electricity import auxiliary, objects, relay, snapshot
from emulator.commands import Command, PressBoost, PressReconnect
from emulator.crypto.keys import ContextStore
from emulator.dlms.cosem import ActionRefused
from emulator.kernel import chance
from emulator.kernel.effects import Effects, Instant, Port, Send
from emulator.kernel.time import MINUTE, SECOND


@lru_cache(maxsize=256)
def _kit(profile: Profile, table: SwitchingTable) -> Kit:
    """What a model loaded with a table is made of."""
    return assemble(profile, objects.build(profile, table))


@lru_cache(maxsize=256)
def _circuits(profile: Profile, table: SwitchingTable) -> tuple[Circuit, ...]:
    """The switches of a model loaded with a table."""
    return tuple(Circuit(switch, table.switched) for switch in range(1, profile.auxiliary.switches + 1))


def _loads(profile: Profile, home: Home, seed: int) -> Loads:
    """What is plugged in, and what hangs on the switches that this home has wired."""
    habits, aux = needed(profile.electricity), profile.auxiliary
    wired = min(home.wiring.switches, aux.switches) if home.wiring is not None else 0
    number = home.number
    return [consumption.electricity(seed, number, habits.mean_day_wh)], [
        consumption.heating(seed, number, switch, aux.heater_w) if switch <= wired else None
        for switch in range(1, aux.switches + 1)
    ]


class ElectricityMeter(CosemDevice):
    """One meter."""

    __slots__ = ("_kept", "_ledger", "table")

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
        wiring = home.wiring
        profile = model.profile
        wired = wiring is not None and profile.auxiliary.switches
        self.table: SwitchingTable = named(
            wiring.tariff if wired and wiring is not None else needed(profile.electricity).tariff
        )
        self._ledger: Ledger | None = None
        self._kept: Any = None
        super().__init__(model, home, spec, store, contexts, seed, state)

    @property
    def habits(self) -> Electricity:
        """The electricity section of the profile."""
        return needed(self.model.profile.electricity)

    def made_of(self) -> Kit:
        return _kit(self.model.profile, self.table)

    # Registers

    @property
    def ledger(self) -> Ledger:
        """The registers."""
        found = self._ledger
        if found is None:
            found = self._ledger = self._make_ledger()
        return found

    def _make_ledger(self) -> Ledger:
        if self._kept is None:
            regimes = [Regime(self.born, FOREVER, {}, self.table.calendar)]
        else:
            regimes = snapshot.unpack(self._kept, self.table.calendar)
        loads = partial(_loads, self.model.profile, self.home, self.seed)  # a method of ours would close a circle
        return Ledger(loads, _circuits(self.model.profile, self.table), regimes)

    def physics(self) -> Any:
        return self._kept if self._ledger is None else snapshot.pack(self._ledger, self.table.calendar)

    def recall_physics(self, kept: Any) -> None:
        self._kept = kept

    def total(self, now: Instant) -> int:
        """Wh imported, as the total register shows it."""
        return self.ledger.total(self.shown(now))

    def rate_total(self, rate: int, now: Instant) -> int:
        """Wh imported in a rate."""
        return self.ledger.rate(rate, self.shown(now))

    def half_hour(self, now: Instant) -> int:
        """Wh of the last half-hour that was complete at `now`."""
        end = self.shown(now) // SLOT * SLOT
        before = self.ledger.total_at(end - SLOT)
        return self.ledger.total_at(end) - before

    def power(self, now: Instant) -> int:
        """Watts drawn now."""
        return consumption.power_w(self.ledger.flow(self.shown(now)))

    def decivolts(self, now: Instant) -> int:
        """Mains voltage in tenths of a volt: nominal, give or take 2.5 %, another every minute."""
        luck = chance.bits(self.seed, "mains.voltage", self.installation, now // MINUTE)
        nominal = self.habits.voltage_v * 10
        return nominal + luck % (nominal // 20) - nominal // 40

    def active_rate(self, now: Instant) -> int:
        """The tariff rate in force."""
        return self.ledger.regimes[-1].calendar.rate(self.shown(now))

    # What changes a law

    def load_calendar(self, now: Instant) -> None:
        """The tariff attributes were written or exchanged: go by them from now on, if they make a calendar together.

        Until they do (a week written whose day types are still to come) the old one stays in force.
        """
        loaded = self._loaded_calendar()
        ledger = self.ledger
        if loaded is None:
            self.note("tariff.incomplete")
        elif loaded is not ledger.regimes[-1].calendar:
            shown = self.shown(now)
            ledger.change(shown, shown, calendar=loaded)
            self.write_log(Log.EVENT, Event.TARIFF_CHANGED, now)
            self.note("tariff.changed")

    def _loaded_calendar(self) -> Calendar | None:
        table = self.table
        found = tuple(
            self.deviations.get(key, default)
            for key, default in zip(
                objects.TARIFF_KEYS, (table.seasons, table.weeks, table.days, table.special), strict=True
            )
        )
        if found == table.calendar.source:
            return table.calendar
        try:
            return calendar(*found)
        except BadTableError:
            return None

    def follow(self, now: Instant) -> None:
        """What the auxiliary switches follow was written."""
        shown = self.shown(now)
        follows = tuple(
            frozenset(
                item.value for item in self.objects[1, auxiliary.follows_name(circuit.switch)].read(self, 2, now).value
            )
            for circuit in self.ledger.circuits
        )
        self.ledger.change(shown, shown, follows=follows)
        self.note("auxiliary.follows", *(tuple(sorted(rates)) for rates in follows))

    def clock_moves(self, old: Instant, new: Instant, now: Instant) -> None:
        self.ledger.change(old, new)

    def contact_moves(self, closed: bool, now: Instant) -> None:
        shown = self.shown(now)
        if self.ledger.regimes[-1].flowing != closed:
            self.ledger.change(shown, shown, flowing=closed)

    def power_cut(self, seconds: int, now: Instant) -> None:
        """Nothing is drawn while the mains are gone; holds stay or go as the profile says."""
        super().power_cut(seconds, now)
        profile, ledger = self.model.profile, self.ledger
        shown = self.shown(now)
        back = shown + max(1, seconds) * SECOND
        flowing = ledger.regimes[-1].flowing
        ledger.change(shown, shown, flowing=False)
        ledger.change(back, back, flowing=flowing, holds=() if profile.auxiliary.after_power_up == "calendar" else None)
        relay.after_power_up(self, profile.supply, now + max(1, seconds) * SECOND)

    # Ways in besides COSEM

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects:
        if frame == frames.POLL:
            return self._report(port, now)
        return super().receive(port, frame, now)

    def obey(self, command: Command, now: Instant) -> None:
        if isinstance(command, PressReconnect):
            try:
                contact.press(self, now)
            except ActionRefused as refusal:
                self.note("relay.button-ignored", refusal.reason)
        elif isinstance(command, PressBoost):
            if 1 <= command.switch <= self.model.profile.auxiliary.switches and command.minutes > 0:
                auxiliary.boost(self, command.switch, command.minutes, now)
            else:
                self.note("auxiliary.no-such-switch", command.switch)
        else:
            super().obey(command, now)

    def auxiliary(self, switch: int, now: Instant) -> bool:
        """Whether auxiliary switch 1 to 5 is on."""
        return auxiliary.is_on(self, switch, now)

    def _report(self, port: Port, now: Instant) -> Effects:
        """What a display shows."""
        effects = self._begin(now)
        if now >= self._power_back:
            if self._armed:
                self._catch_up(now)
            shown = self.shown(now)
            grains = self.ledger.grains(shown)
            total = self.ledger.total(shown)
            report = frames.Report(
                int(self.spec.kind),
                shown,
                shown - now,
                total,
                sum(grains.values()) - total * consumption.GRAINS,
                self.power(now),
                contact.state(self, now),
                self.active_rate(now),
            )
            effects.append(Send(port, report.build()))
        return effects
