"""A contact that lets something flow: the supply relay of an electricity meter, the valve of a gas meter.

Two ways lead to it, as in the field. Class 70 on 0-0:96.3.10 has methods to disconnect and to reconnect, whose meaning
depends on the control mode. Script table 0-0:10.0.106 has three scripts of its own, which DUIS needs and the methods
cannot express: enable (on, whatever the mode), disable (off), arm (ready; the customer closes it with a button). Arming
a contact that is on is refused: it would say "ready" of something that flows.

What moving it means is physics and belongs to the device (`contact_moves`); this module knows states, scripts and the
log.
"""

from typing import Final

from devices.common.event_log import Event, Log
from devices.common.objects import of
from devices.common.profile import Supply
from emulator.codecs.action import ActionResult
from emulator.dlms.classes import DisconnectControl, ScriptTable
from emulator.dlms.classes.disconnect_control import CONNECTED, DISCONNECTED, READY, Cause
from emulator.dlms.classes.script_table import Script
from emulator.dlms.cosem import ActionRefused, CosemObject, Device, obis
from emulator.kernel.effects import Instant

SUPPLY: Final = obis("0-0:96.3.10")
SCRIPTS: Final = obis("0-0:10.0.106")

_EVENTS: Final = {DISCONNECTED: Event.SUPPLY_OFF, CONNECTED: Event.SUPPLY_ON, READY: Event.SUPPLY_READY}


def _move(device: Device, state: int, cause: Cause, now: Instant) -> None:
    """Drive the contact: physics first, then the log."""
    own = of(device)
    own.contact_moves(state == CONNECTED, now)
    own.write_log(Log.EVENT, _EVENTS[state], now)


def objects(supply: Supply) -> list[CosemObject]:
    """The contact and its scripts."""
    contact = DisconnectControl(SUPPLY, mode=supply.mode, move=_move, name="supply")

    def executed(device: Device, number: int, now: Instant) -> None:
        if number == supply.enable:
            contact.force(device, CONNECTED, Cause.REMOTE, now)
        elif number == supply.disable:
            contact.force(device, DISCONNECTED, Cause.REMOTE, now)
        elif number == supply.arm:
            if contact.state(device, now) == CONNECTED:
                raise ActionRefused(ActionResult.OTHER_REASON, "it is on; only an open contact is armed")
            contact.force(device, READY, Cause.REMOTE, now)

    scripts = ScriptTable(
        SCRIPTS,
        [Script(number, ()) for number in (supply.enable, supply.disable, supply.arm)],
        executed=executed,
        name="supply.scripts",
    )
    return [contact, scripts]


def contact(device: Device) -> DisconnectControl:
    """The supply switch of a device."""
    found = device.objects.named("supply")
    assert isinstance(found, DisconnectControl)
    return found


def state(device: Device, now: Instant) -> int:
    """0 off, 1 on, 2 ready."""
    return contact(device).state(device, now)


def press(device: Device, now: Instant) -> None:
    """The customer presses the button: an armed contact closes. Raises `ActionRefused` for one that is not."""
    contact(device).reconnect(device, Cause.MANUAL, now)
