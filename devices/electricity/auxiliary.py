"""Auxiliary load switches: up to five contacts beside the supply, for storage heaters and hot water (the fifth
terminal).

On SMETS1 a switch has no calendar of its own. It is on while a rate it *follows* applies in the tariff that is loaded,
so any tariff write moves the heating times; that is the risk this emulator exists to show. A model may have a calendar
of its own instead (`switch_calendar`). Over the calendar lies a *hold*: on or off until an instant. Holds come from
three commands, each a duration object (0-0:94.44.117/119/121.n, minutes) and a script of 0-0:10.0.103: activate,
deactivate, reset to the calendar. The state is a function of time: the hold while it lasts, else the calendar's answer.
No timer runs.

Duration 0 of activate and deactivate holds until reset. The duration of reset says how long the hold in force may still
last (0: ends at once). Class 70 on 0-n:96.3.10 shows each switch and takes the same wishes through its methods.
What a switch follows can be read and written at 0-n:94.44.10, the randomised offset limit in seconds at 0-0:94.44.11,
a switch's own offset read at 0-n:94.44.11 and its hold at 0-n:94.44.12 (the emulator's own names, ASSUMED).

What is read over the air is what the meter *believes*; whether current flows is the contact's business
(`devices.common.circuits`), and faults see to it that the two differ (`relays`).
"""

from collections.abc import Iterable
from typing import Final

from devices.common.circuits import OFFSET_MOST_S
from devices.common.event_log import Event, Log
from devices.common.ledger import FOREVER, Hold
from devices.common.profile import Auxiliary
from devices.common.tariff import RATES_MOST
from devices.electricity import relays, switch_calendar
from devices.electricity.meter import Meter, meter
from devices.electricity.switch_calendar import CALENDAR, SCRIPTS
from emulator.codecs.axdr import (
    Data,
    Tag,
    array,
    bit_string,
    boolean,
    enum,
    long_unsigned,
    octet_string,
    structure,
    unsigned,
)
from emulator.dlms.classes import DataObject, DisconnectControl, ScriptTable
from emulator.dlms.classes.disconnect_control import CONNECTED, DISCONNECTED, Cause
from emulator.dlms.classes.schedule import Entry
from emulator.dlms.classes.script_table import Script
from emulator.dlms.cosem import CosemObject, Device, computed, obis, octets, stored
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, MINUTE

_LABEL_MOST: Final = 20
UNTIL_RESET: Final = 0xFFFF
"""Minutes left of a hold without an end."""


def switch_name(switch: int) -> bytes:
    """The logical name of a switch's class 70 object."""
    return obis(f"0-{switch}:96.3.10")


def duration_name(group: int, switch: int) -> bytes:
    """The logical name of a duration object, `group` being 117, 119 or 121 in the GB set."""
    return obis(f"0-0:94.44.{group}.{switch}")


def follows_name(switch: int) -> bytes:
    """The logical name of the rates a switch follows."""
    return obis(f"0-{switch}:94.44.10")


def offset_name(switch: int) -> bytes:
    """The logical name of a switch's randomised offset; of the limit for switch 0."""
    return obis(f"0-{switch}:94.44.11")


def hold_name(switch: int) -> bytes:
    """The logical name of the hold that a switch is under."""
    return obis(f"0-{switch}:94.44.12")


# Wishes


def hold(own: Meter, switch: int, on: bool, minutes: int, now: Instant) -> None:
    """Hold a switch on or off for `minutes` of the meter's clock; 0 holds it until reset."""
    shown = own.shown(now)
    until = shown + minutes * MINUTE if minutes else FOREVER
    if own.mischief is not None:
        until = relays.held(own, switch, on, until, now)
    others = (each for each in own.ledger.regimes[-1].holds if each.switch != switch)
    own.ledger.change(shown, shown, holds=(*others, Hold(switch, on, until)))
    own.write_log(Log.AUXILIARY, (Event.AUXILIARY_ON if on else Event.AUXILIARY_OFF) + switch, now)
    own.note("auxiliary.held", switch, on, minutes)


def reset(own: Meter, switch: int, minutes: int, now: Instant) -> None:
    """Give a switch back to the calendar, at once or when `minutes` more have passed."""
    shown = own.shown(now)
    kept = []
    for each in own.ledger.regimes[-1].holds:
        if each.switch != switch:
            kept.append(each)
        elif minutes:
            kept.append(Hold(switch, each.on, min(each.until, shown + minutes * MINUTE)))
    own.ledger.change(shown, shown, holds=tuple(kept))
    own.write_log(Log.AUXILIARY, Event.AUXILIARY_RESET + switch, now)
    own.note("auxiliary.reset", switch, minutes)


def boost(own: Meter, switch: int, minutes: int, now: Instant) -> None:
    """The boost button: on for so long."""
    own.write_log(Log.AUXILIARY, Event.AUXILIARY_BOOST + switch, now)
    hold(own, switch, True, minutes, now)


def is_on(own: Meter, switch: int, now: Instant) -> bool:
    """Whether a switch is on at `now`, as its meter believes: held, else as its schedule says."""
    return own.ledger.switch_on(switch, own.shown(now))


# Objects


class DerivedSchedule(CosemObject):
    """Class 10 without methods: the switching times as they follow from the loaded tariff. Read only."""

    __slots__ = ()
    class_id = 10


def _entries(own: Meter, habits: Auxiliary, now: Instant) -> Iterable[Data]:
    """One entry for every time today at which a switch changes by the calendar."""
    regime = own.ledger.regimes[-1]
    plan = regime.calendar.plan(own.shown(now) // DAY)
    index = 0
    for place, circuit in enumerate(own.ledger.circuits):
        follows = own.ledger.follows(regime, place)
        live = plan.spans[-1][1] in follows
        for start, rate in plan.spans:
            if (rate in follows) == live:
                continue
            live = rate in follows
            index += 1
            number = (habits.activate if live else habits.deactivate) + circuit.switch * habits.step
            time = bytes((start // 3600, start // 60 % 60, start % 60, 0))
            entry = Entry(index, True, SCRIPTS, number, time).data().value
            yield structure((*entry[:6], bit_string("1111111"), bit_string(""), *entry[8:]))


def _rates(data: Data) -> bool:
    return data.tag == Tag.ARRAY and all(
        item.tag == Tag.UNSIGNED and 1 <= item.value <= RATES_MOST for item in data.value
    )


def _switch_objects(habits: Auxiliary, switch: int) -> list[CosemObject]:
    groups = (
        (habits.activate_duration, habits.activate_minutes, "activate"),
        (habits.deactivate_duration, habits.deactivate_minutes, "deactivate"),
        (habits.reset_duration, habits.reset_minutes, "reset"),
    )

    def fits(data: Data) -> bool:
        return data.tag == Tag.LONG_UNSIGNED and 0 <= data.value <= habits.duration_most

    def output(device: Device, now: Instant) -> Data:
        return boolean(is_on(meter(device), switch, now) != habits.inverted)

    def state(device: Device, now: Instant) -> Data:
        return enum(CONNECTED if is_on(meter(device), switch, now) else DISCONNECTED)

    def move(device: Device, wanted: int, cause: Cause, now: Instant) -> None:
        on = wanted == CONNECTED
        group = habits.activate_duration if on else habits.deactivate_duration
        hold(meter(device), switch, on, minutes(device, group, switch, now), now)

    def followed(device: Device) -> Data:
        return array(unsigned(rate) for rate in sorted(meter(device).table.switched))

    def rewired(device: Device, data: Data, now: Instant) -> None:
        meter(device).follow(now)

    return [
        DisconnectControl(
            switch_name(switch),
            output=computed(output),
            control_state=computed(state),
            move=move,
            name=f"auxiliary.{switch}",
        ),
        DataObject(follows_name(switch), stored(followed, _rates, changed=rewired), name=f"auxiliary.{switch}.follows"),
        DataObject(
            offset_name(switch),
            computed(lambda device, now: long_unsigned(_offset_s(meter(device), switch))),
            name=f"auxiliary.{switch}.offset",
        ),
        DataObject(
            hold_name(switch),
            computed(lambda device, now: _shown_hold(meter(device), switch, now)),
            name=f"auxiliary.{switch}.hold",
        ),
        *(
            DataObject(
                duration_name(group, switch),
                stored(long_unsigned(default), fits),
                name=f"auxiliary.{switch}.{what}.minutes",
            )
            for group, default, what in groups
        ),
        DataObject(
            f"0-0:94.44.0.{10 + switch}",
            stored(octet_string(b""), octets(0, _LABEL_MOST)),
            name=f"auxiliary.{switch}.label",
        ),
        DataObject(
            f"0-0:94.44.0.{20 + switch}",
            computed(lambda device, now: octet_string(meter(device).spec.eui64[:-1] + bytes((switch,)))),
            name=f"auxiliary.{switch}.id",
        ),
    ]


def _offset_s(own: Meter, switch: int) -> int:
    place = own.ledger.place(switch)
    return 0 if place is None else own.ledger.offset_s(own.ledger.regimes[-1], place)


def _shown_hold(own: Meter, switch: int, now: Instant) -> Data:
    """A structure: what a switch is held (0 nothing, 1 off, 2 on), and for how many minutes more, rounded up; FFFFh
    until reset."""
    shown = own.shown(now)
    for each in own.ledger.regimes[-1].holds:
        if each.switch == switch and shown < each.until:
            left = UNTIL_RESET if each.until == FOREVER else min(-((shown - each.until) // MINUTE), UNTIL_RESET - 1)
            return structure((enum(2 if each.on else 1), long_unsigned(left)))
    return structure((enum(0), long_unsigned(0)))


def minutes(device: Device, group: int, switch: int, now: Instant) -> int:
    """What a duration object holds."""
    return int(device.objects[1, duration_name(group, switch)].read(device, 2, now).value)


def objects(habits: Auxiliary) -> list[CosemObject]:
    """Everything the auxiliary switches show; nothing on a meter without them."""
    if not habits.switches:
        return []
    switches = range(1, habits.switches + 1)
    activate = {habits.activate + n * habits.step: n for n in switches}
    deactivate = {habits.deactivate + n * habits.step: n for n in switches}
    give_back = {habits.reset + n * habits.step: n for n in switches}

    def executed(device: Device, number: int, now: Instant) -> None:
        own = meter(device)
        if number in activate:
            n = activate[number]
            hold(own, n, True, minutes(device, habits.activate_duration, n, now), now)
        elif number in deactivate:
            n = deactivate[number]
            hold(own, n, False, minutes(device, habits.deactivate_duration, n, now), now)
        elif number in give_back:
            n = give_back[number]
            reset(own, n, minutes(device, habits.reset_duration, n, now), now)
        # Any other number is a script that somebody wrote into the table: its own actions have run.

    def entries(device: Device, now: Instant) -> Data:
        return array(_entries(meter(device), habits, now))

    def limit_fits(data: Data) -> bool:
        return data.tag == Tag.LONG_UNSIGNED and 0 <= data.value <= OFFSET_MOST_S

    def limited(device: Device, data: Data, now: Instant) -> None:
        meter(device).limit_offset(int(data.value), now)

    scripts = [Script(number, ()) for number in (*activate, *deactivate, *give_back)]
    found: list[CosemObject] = [
        ScriptTable(SCRIPTS, scripts, executed=executed, name="auxiliary.scripts"),
        DataObject(
            offset_name(0),
            stored(long_unsigned(habits.offset_most_s), limit_fits, changed=limited),
            name="auxiliary.offset-limit",
        ),
    ]
    if habits.calendar == "own":
        found += switch_calendar.objects(habits)
    else:
        found.append(DerivedSchedule(CALENDAR, (computed(entries),), name="auxiliary.calendar"))
    for switch in switches:
        found += _switch_objects(habits, switch)
    return found
