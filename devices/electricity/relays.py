"""What goes wrong with auxiliary switches, and why each movement of a contact came about.

A meter with a fifth terminal asks the mischief in force at the moments of `emulator.faults.auxiliary.Moment` and writes
what comes of it as a change of law into its ledger: a relay that does not obey, a hold that ends at another time. A
relay's fault counts from the instant it came into force, however late the meter is next used; nothing was read in
between, so nothing that was read changes.

Movements have no event of their own, because a switch is a function of time. `causes` computes them when asked, with
the cause of each; `EVIDENCE` names the notes that a journal must hold for a cause that is an event.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from devices.common import timeline
from devices.common.circuits import Contact
from devices.common.event_log import Event
from devices.common.ledger import FOREVER, Hold, Ledger
from devices.electricity.meter import Meter
from emulator.faults.auxiliary import (
    CalendarAgainstAdHoc,
    Moment,
    Occasion,
    RelayFault,
    SwitchFault,
    SwitchMappingDropped,
    TimerNotRestored,
    WrongStateAfterPowerUp,
)
from emulator.faults.fault import Point
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import MINUTE

if TYPE_CHECKING:
    from devices.electricity.model import ElectricityMeter

EVIDENCE: Final[Mapping[str, tuple[str, ...]]] = {
    "schedule": (),
    "hold-ended": ("auxiliary.held", "auxiliary.reset"),
    "command": ("auxiliary.held", "auxiliary.reset"),
    "boost": ("auxiliary.held",),
    "tariff": ("tariff.changed",),
    "mapping": ("auxiliary.follows",),
    "calendar": ("auxiliary.calendar-changed",),
    "offset": ("auxiliary.offset-limited",),
    "power": ("device.power-cut",),
    "clock": (),
    "fault": ("fault.fired",),
}
"""Cause of a movement to the notes of which the journal holds one (empty: it is no event). `clock` has none, for a
clock that is set moves a switch only by what it was wrong."""


def _relays(ledger: Ledger) -> tuple[int, ...]:
    regime = ledger.regimes[-1]
    return tuple(int(ledger.contact(regime, place)) for place in range(len(ledger.circuits)))


def _struck(own: Meter, moment: Moment, now: Instant, switch: int = 0) -> list[Any]:
    """The strikes of a moment, noted."""
    mischief = own.mischief
    assert mischief is not None
    if not mischief.watches(Point.SWITCH) or not own.ledger.circuits:
        return []
    occasion = Occasion(moment, switch, _relays(own.ledger))
    found = mischief.strikes(Point.SWITCH, own.installation, Party.ELECTRICITY, now, occasion)
    for strike in found:
        own.note(strike.note.kind, *strike.note.detail)
    return found


def used(own: Meter, now: Instant, moment: Moment = Moment.USED) -> None:
    """The meter is used, or has just been migrated: let relays fail that are due to."""
    for strike in _struck(own, moment, now):
        fault = strike.fault
        assert isinstance(fault, RelayFault)
        ledger = own.ledger
        since = now if moment is Moment.MIGRATED else min(strike.armed.since, now)
        at = max(own.shown(now) - (now - since), ledger.regimes[-1].since)
        regime = ledger.regimes[-1]
        contacts = [ledger.contact(regime, place) for place in range(len(ledger.circuits))]
        for switch in fault.concerned(len(contacts)):
            if not fault.done(contacts[switch - 1]):
                contacts[switch - 1] = Contact(fault.becomes(ledger.closed(switch, at)))
                own.note("auxiliary.relay", switch, contacts[switch - 1].name.lower())
        ledger.change(at, at, contacts=tuple(contacts))


def held(own: Meter, switch: int, on: bool, until: Instant, now: Instant) -> Instant:
    """A command holds a switch until an instant of the meter's clock; until when it really will."""
    for strike in _struck(own, Moment.HELD, now, switch):
        fault = strike.fault
        assert isinstance(fault, CalendarAgainstAdHoc)
        if fault.wins == "ad-hoc":
            until = FOREVER
        else:
            until = min(until, own.ledger.next_edge(switch, own.shown(now)))
    return until


def power_up(own: Meter, holds: tuple[Hold, ...], back: Instant, now: Instant) -> tuple[Hold, ...]:
    """The mains are back at `back` of the meter's clock with these holds; those there really are."""
    ledger = own.ledger
    for strike in _struck(own, Moment.POWER_UP, now):
        fault = strike.fault
        assert isinstance(fault, SwitchFault)
        switches = fault.concerned(len(ledger.circuits))
        if isinstance(fault, TimerNotRestored):
            kept = (each for each in holds if each.switch not in switches or fault.hold != "lost")
            holds = tuple(replace(each, until=FOREVER) if each.switch in switches else each for each in kept)
        elif isinstance(fault, WrongStateAfterPowerUp):
            for switch in switches:
                hold = next((each for each in holds if each.switch == switch), None)
                on = fault.comes_back(hold.on if hold is not None else ledger.follows_schedule(switch, back))
                until = FOREVER if fault.until == "reset" else ledger.next_edge(switch, back)
                holds = (*(each for each in holds if each.switch != switch), Hold(switch, on, until))
                own.note("auxiliary.came-back", switch, on)
    return holds


def tariff_loaded(own: Meter, now: Instant) -> bool:
    """Another tariff was loaded: whether that drops what the switches follow."""
    ledger = own.ledger
    regime = ledger.regimes[-1]
    if not any(ledger.follows(regime, place) for place in range(len(ledger.circuits))):
        return False  # there is nothing left to drop
    return any(isinstance(strike.fault, SwitchMappingDropped) for strike in _struck(own, Moment.TARIFF, now))


Movement: TypeAlias = tuple[Instant, int, bool, str]
"""(instant, switch, closed, cause)."""


def causes(device: "ElectricityMeter", since: Instant, until: Instant, now: Instant) -> list[Movement]:
    """Every movement of the device's auxiliary contacts in [since, until) of true time: (instant, switch, closed,
    cause), by instant. Causes are the keys of `EVIDENCE`.

    `now` is the present; the future is told as it will be if nothing happens. Not further back than regimes are kept.
    """
    ledger = device.ledger
    found = []
    for circuit in ledger.circuits:
        before = None
        for span in timeline.spans(ledger, circuit.switch, now, device.shown(now), since, until):
            if before is not None and span.closed != before.closed:
                if span.regime == before.regime:
                    cause = "hold-ended" if before.held else "schedule"
                else:
                    cause = _why(ledger, before.regime, span.regime)
                if cause == "command" and _boosted(device, circuit.switch, span.since):
                    cause = "boost"
                found.append((span.since, circuit.switch, span.closed, cause))
            before = span
    return sorted(found)


def _boosted(device: "ElectricityMeter", switch: int, at: Instant) -> bool:
    """Whether the button of a switch was pressed at an instant, as far back as the log goes. Instants worked out from
    laws by the meter's clock are out by what it drifts between two settings."""
    code = Event.AUXILIARY_BOOST + switch
    return any(found == code and abs(instant - at) < MINUTE for _, instant, found, _ in device.log.entries)


def _why(ledger: Ledger, before: int, after: int) -> str:
    """The cause of a movement at the beginning of a regime: in which law it differs from the one before."""
    for number in range(before + 1, after + 1):
        old, new = ledger.regimes[number - 1], ledger.regimes[number]
        if old.dark != new.dark:
            return "power"
        if old.contacts != new.contacts:
            return "fault"
        if {hold for hold in old.holds if hold.until > new.since} != set(new.holds):
            return "command"
        if old.calendar is not new.calendar:
            return "tariff"
        if old.follows != new.follows:
            return "mapping"
        if old.own is not new.own:
            return "calendar"
        if old.offsets != new.offsets:
            return "offset"
        if old.until != new.since:
            return "clock"
    return "schedule"
