"""What to ask: the attributes and methods a head end uses, by name.

A SMETS1 meter knows no service requests; the S1SP turns each into *equivalent steps*, and these are the objects such
steps address. Logical names are those of the GB object set (Blue Book names; GB use as decoded from public GBCS
messages). A model that differs says so in its own profile.
"""

from typing import Final

from emulator.codecs.action import MethodRef
from emulator.codecs.get import AttributeRef
from emulator.dlms.cosem import obis

DEVICE_NAME: Final = AttributeRef(1, obis("0-0:42.0.0"), 2)
"""COSEM logical device name."""

INVOCATION_COUNTER: Final = AttributeRef(1, obis("0-0:43.1.0"), 2)
"""The lowest counter the device accepts from the management client; readable without security."""

FIRMWARE: Final = AttributeRef(1, obis("1-0:0.2.0"), 2)
CLOCK: Final = AttributeRef(8, obis("0-0:1.0.0"), 2)
CALENDAR: Final = AttributeRef(20, obis("0-0:13.0.0"), 5)
"""Day profile table of the active calendar."""

SUPPLY: Final = AttributeRef(70, obis("0-0:96.3.10"), 3)
"""Control state of the supply switch or the gas valve: 0 disconnected, 1 connected, 2 ready for reconnection."""

SUPPLY_SCRIPTS: Final = MethodRef(9, obis("0-0:10.0.106"), 1)
"""Execute: the profile says which script enables, disables and arms."""

PUSH_DESTINATION: Final = AttributeRef(40, obis("0-0:25.9.0"), 3)
PUSH: Final = MethodRef(40, obis("0-0:25.9.0"), 1)
KEY_TRANSFER: Final = MethodRef(64, obis("0-0:43.0.0"), 2)

AUXILIARY_SCRIPTS: Final = MethodRef(9, obis("0-0:10.0.103"), 1)
AUXILIARY_CALENDAR: Final = AttributeRef(10, obis("0-0:12.0.2"), 2)
"""When switches move by their calendar: entries of class 10."""
HAN_ERROR: Final = AttributeRef(1, obis("0-0:97.97.0"), 2)
"""On the hub: the error code of the HAN, empty when there is none (the standard's error object, Blue Book 6.2.45)."""

FIRST_READ: Final = DEVICE_NAME
"""What is read to see whether keys work: short, and never secret."""


def auxiliary_hold(switch: int) -> AttributeRef:
    """What switch 1 to 5 is held by command: structure of 0 nothing, 1 off, 2 on, and minutes left (FFFFh: until
    reset)."""
    return AttributeRef(1, obis(f"0-{switch}:94.44.12"), 2)


def auxiliary(switch: int) -> AttributeRef:
    """Output state of auxiliary switch 1 to 5 (class 70 on channel `switch`)."""
    return AttributeRef(70, obis(f"0-{switch}:96.3.10"), 2)
