"""The electricity meter as a machine: what it is loaded with, what its contacts do to its registers.

The loads of a home are here: what is plugged in, and what hangs on each wired auxiliary switch. Registers are a
`Ledger`, made when first asked for; every event that changes a law (a table written, the clock set, a contact moved,
the mains lost) closes the law in force first.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

from devices.common import consumption, contact, frames, timeline
from devices.common.circuits import Span
from devices.common.device import CosemDevice
from devices.common.event_log import Event, Log
from devices.common.kit import Kit, assemble
from devices.common.ledger import FOREVER, SLOT, Circuit, Hold, Ledger, Loads, Regime
from devices.common.model import DeviceModel, Home, Spec
from devices.common.profile import Electricity, Profile, needed
from devices.common.tariff import BadTableError, Calendar, SwitchingTable, calendar, named
from devices.electricity import auxiliary, objects, relay, relays, snapshot, switch_calendar
from emulator.codecs.axdr import array
from emulator.commands import Command, PressBoost, PressReconnect
from emulator.crypto.keys import ContextStore
from emulator.dlms.cosem import ActionRefused
from emulator.faults.auxiliary import Moment
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
    habits = profile.auxiliary
    own = switch_calendar.found(habits) if habits.calendar == "own" and habits.switches else None
    return tuple(Circuit(switch, table.switched, own) for switch in range(1, habits.switches + 1))


def _offsets(seed: int, installation: int, switches: int, most_s: int) -> tuple[int, ...]:
    """The randomised offset of each switch in seconds: a part of the limit, keyed by home and switch."""
    return tuple(
        chance.bits(seed, "auxiliary.offset", installation, switch) % 65_536 * (most_s + 1) // 65_536
        for switch in range(1, switches + 1)
    )


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
            regimes = snapshot.unpack(self._kept, self.table.calendar, self.model.profile.auxiliary)
        loads = partial(_loads, self.model.profile, self.home, self.seed)  # a method of ours would close a circle
        circuits, habits = _circuits(self.model.profile, self.table), self.model.profile.auxiliary
        if habits.offset_most_s:
            offsets = _offsets(self.seed, self.installation, habits.switches, habits.offset_most_s)
            circuits = tuple(
                Circuit(each.switch, each.follows, each.own, offset)
                for each, offset in zip(circuits, offsets, strict=True)
            )
        return Ledger(loads, circuits, regimes)

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
        if loaded is not None and self.mischief is not None and relays.tariff_loaded(self, now):
            for circuit in ledger.circuits:
                self.deviations[1, auxiliary.follows_name(circuit.switch), 2] = array(())
            self.follow(now)

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

    def load_switch_calendar(self, now: Instant) -> None:
        """The switches' own calendar, or its special days, was written."""
        objects_, habits = self.objects, self.model.profile.auxiliary
        entries = objects_[10, switch_calendar.CALENDAR].read(self, 2, now)
        special = objects_[11, switch_calendar.SPECIAL].read(self, 2, now)
        shown = self.shown(now)
        self.ledger.change(shown, shown, own=switch_calendar.compiled(habits, entries, special))
        self.write_log(Log.EVENT, Event.TARIFF_CHANGED, now)
        self.note("auxiliary.calendar-changed")

    def limit_offset(self, most_s: int, now: Instant) -> None:
        """The randomised offset limit was written."""
        shown = self.shown(now)
        offsets = _offsets(self.seed, self.installation, self.model.profile.auxiliary.switches, most_s)
        self.ledger.change(shown, shown, offsets=offsets)
        self.note("auxiliary.offset-limited", most_s)

    def key_installed(self, client_sap: int, key_id: int, now: Instant) -> None:
        super().key_installed(client_sap, key_id, now)
        if self.mischief is not None and key_id == 0:
            relays.used(self, now, Moment.MIGRATED)

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
        before = ledger.regimes[-1]
        flowing, holds = before.flowing, before.holds
        ledger.change(shown, shown, flowing=False, dark=True)
        habit = profile.auxiliary.after_power_up
        if habit != "keep":
            holds = ()
        if habit == "off":
            holds = tuple(Hold(each.switch, False, ledger.next_edge(each.switch, back)) for each in ledger.circuits)
        if self.mischief is not None:
            holds = relays.power_up(self, tuple(hold for hold in holds if hold.until > back), back, now)
        ledger.change(back, back, flowing=flowing, holds=holds, dark=False)
        relay.after_power_up(self, profile.supply, now + max(1, seconds) * SECOND)

    # Ways in besides COSEM

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects:
        if frame == frames.POLL:
            return self._report(port, now)
        return super().receive(port, frame, now)

    def serve(self, client_sap: int, apdu: bytes, now: Instant) -> bytes | None:
        if self.mischief is not None:
            if self._armed:
                self._catch_up(now)  # what fell due before changed its laws before
            relays.used(self, now)
        return super().serve(client_sap, apdu, now)

    def obey(self, command: Command, now: Instant) -> None:
        if self.mischief is not None:
            relays.used(self, now)
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
        """Whether current can flow through auxiliary switch 1 to 5: its contact, whatever the meter believes."""
        if self.mischief is not None:
            relays.used(self, now)
        return self.ledger.closed(switch, self.shown(now))

    def auxiliary_spans(self, switch: int, since: Instant, until: Instant, now: Instant) -> list[Span]:
        """How a switch stood from `since` to `until` of true time, as far back as laws are kept; without gaps."""
        if self.mischief is not None:
            relays.used(self, now)
        return list(timeline.spans(self.ledger, switch, now, self.shown(now), since, until))

    def auxiliary_offset_s(self, switch: int) -> int:
        """The randomised offset of a switch: so many seconds late."""
        place = self.ledger.place(switch)
        return 0 if place is None else self.ledger.offset_s(self.ledger.regimes[-1], place)

    def auxiliary_causes(self, since: Instant, until: Instant, now: Instant) -> list[tuple[Instant, int, bool, str]]:
        """Every movement of a contact in [since, until): (instant, switch, closed, cause). See `relays.causes`."""
        if self.mischief is not None:
            relays.used(self, now)
        return relays.causes(self, since, until, now)

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
