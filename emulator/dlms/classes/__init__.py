"""The interface classes, one a file, and the table of them.

A class is here when its methods act; one that could only answer success has no place. `CLASSES` gives id -> class and
is what the class-wide tests and the documentation are made from, so the ids cannot disagree with the code.
"""

from typing import Final

from emulator.dlms.classes.activity_calendar import ActivityCalendar
from emulator.dlms.classes.association_ln import AssociationLN
from emulator.dlms.classes.clock import Clock
from emulator.dlms.classes.data import DataObject
from emulator.dlms.classes.disconnect_control import DisconnectControl
from emulator.dlms.classes.extended_register import ExtendedRegister
from emulator.dlms.classes.image_transfer import ImageTransfer
from emulator.dlms.classes.profile_generic import ProfileGeneric
from emulator.dlms.classes.push_setup import PushSetup
from emulator.dlms.classes.register import Register
from emulator.dlms.classes.register_activation import RegisterActivation
from emulator.dlms.classes.sap_assignment import SapAssignment
from emulator.dlms.classes.schedule import Schedule
from emulator.dlms.classes.script_table import ScriptTable
from emulator.dlms.classes.security_setup import SecuritySetup
from emulator.dlms.classes.single_action_schedule import SingleActionSchedule
from emulator.dlms.classes.special_days import SpecialDays
from emulator.dlms.cosem import CosemObject

CLASSES: Final[dict[int, type[CosemObject]]] = {
    item.class_id: item
    for item in (
        DataObject,
        Register,
        ExtendedRegister,
        RegisterActivation,
        ProfileGeneric,
        Clock,
        ScriptTable,
        Schedule,
        SpecialDays,
        AssociationLN,
        SapAssignment,
        ImageTransfer,
        ActivityCalendar,
        SingleActionSchedule,
        PushSetup,
        SecuritySetup,
        DisconnectControl,
    )
}

__all__ = [
    "CLASSES",
    "ActivityCalendar",
    "AssociationLN",
    "Clock",
    "DataObject",
    "DisconnectControl",
    "ExtendedRegister",
    "ImageTransfer",
    "ProfileGeneric",
    "PushSetup",
    "Register",
    "RegisterActivation",
    "SapAssignment",
    "Schedule",
    "ScriptTable",
    "SecuritySetup",
    "SingleActionSchedule",
    "SpecialDays",
]
