"""The handlers for alerts: rates, storms, and what was said."""

from dataclasses import dataclass

from emulator.commands import Alerts as AskAlerts
from emulator.commands import AlertStorm, EndStorms, SetAlertRate
from emulator.control.alarms import AlertsView
from emulator.control.desk import Desk
from emulator.control.errors import NoSuchThingError
from emulator.control.registry import handles
from emulator.control.ring import text
from emulator.kernel.time import SECOND


@dataclass(frozen=True, slots=True)
class StormView:
    """A storm that has begun: over how many installations, until when."""

    cause: str
    installations: int
    until: int
    time: str


@dataclass(frozen=True, slots=True)
class StormsEnded:
    """In how many cells a storm was ended."""

    ended: int


@handles(SetAlertRate)
def set_rate(desk: Desk, wish: SetAlertRate) -> AlertsView:
    """From now on."""
    desk.live.set_alert_rate(wish.per_day)
    desk.pace.poke()
    return desk.alarms.view(0)


@handles(AlertStorm)
def storm(desk: Desk, wish: AlertStorm) -> StormView:
    """From now on."""
    for number in wish.installations or ():
        desk.check(number)
    live = desk.live
    homes = live.storm(wish)
    if not homes:
        raise NoSuchThingError("this share of the cohort is nobody", "share", "give a larger one")
    desk.pace.poke()
    until = live.now + round(wish.seconds * SECOND)
    return StormView(live.causes.name(wish.code), homes, until, text(until))


@handles(EndStorms)
def end_storms(desk: Desk, wish: EndStorms) -> StormsEnded:
    """All of them."""
    return StormsEnded(desk.live.end_storms())


@handles(AskAlerts)
def figures(desk: Desk, wish: AskAlerts) -> AlertsView:
    """What was said."""
    return desk.alarms.view(wish.newest)
