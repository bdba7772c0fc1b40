"""Services 7.1 to 7.4: the supply relay of an electricity meter, the valve of a gas meter.

Scripts of table 0-0:10.0.106 switch it; which number means what is the profile's (that 33h, 34h and 36h are enable,
disable and arm is ASSUMED). The state is attribute 3 of class 70: disconnected, connected, ready for reconnection.
"""

from typing import Final

from emulator.codecs.axdr import long_unsigned
from emulator.headend import services
from emulator.headend.session import Steps
from emulator.headend.steps.course import Course, Nothing, Payload

STATES: Final = {0: "Disabled", 1: "Enabled", 2: "Armed"}
"""Control state in the words of DUIS (SupplyState)."""


def _switch(course: Course, script: int, state: int) -> Steps[Payload]:
    found = yield from course.done(
        services.SUPPLY_SCRIPTS,
        long_unsigned(script),
        services.SUPPLY,
        lambda data: int(data.value) == state,
        f"the supply is not {STATES[state].lower()}",
    )
    return {"supply": STATES[int(found.value)]}


def enable(course: Course, asked: Nothing) -> Steps[Payload]:
    """7.1: let flow, whatever the control mode."""
    return (yield from _switch(course, course.profile.supply.enable, 1))


def disable(course: Course, asked: Nothing) -> Steps[Payload]:
    """7.2: let nothing flow."""
    return (yield from _switch(course, course.profile.supply.disable, 0))


def arm(course: Course, asked: Nothing) -> Steps[Payload]:
    """7.3: ready; the customer's button lets flow. A meter whose supply is on refuses."""
    return (yield from _switch(course, course.profile.supply.arm, 2))


def read(course: Course, asked: Nothing) -> Steps[Payload]:
    """7.4: how it stands."""
    found = yield from course.get(services.SUPPLY)
    return {"supply": STATES.get(int(found.value), f"state {found.value}")}
