"""The supply relay: off, ready (armed) or on; nothing is drawn while it is open.

States, methods and scripts are those of any contact (`devices.common.contact`); what is the relay's own is the mains.
The state survives a power cut (FACT for the Secure Liberty 100, p. 44; ASSUMED here), unless the profile wants a supply
that was on to come back only ready.
"""

from devices.common.contact import contact, state
from devices.common.profile import Supply
from emulator.dlms.classes.disconnect_control import CONNECTED, READY, Cause
from emulator.dlms.cosem import Device
from emulator.kernel.effects import Instant


def after_power_up(device: Device, supply: Supply, now: Instant) -> None:
    """What becomes of the relay when the mains come back."""
    if supply.after_power_up == "ready" and state(device, now) == CONNECTED:
        contact(device).force(device, READY, Cause.LOCAL, now)
