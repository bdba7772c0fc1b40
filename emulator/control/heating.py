"""Who went cold, for whoever asks: what `dcc/auxiliary_harm` says of one installation."""

from dataclasses import dataclass

from emulator.commands import Heating
from emulator.control.desk import Desk
from emulator.control.errors import WrongFieldError
from emulator.control.registry import handles
from emulator.dcc.auxiliary_harm import of_home


@dataclass(frozen=True, slots=True)
class SwitchHeating:
    """One switch: µs it was open and should have been closed (`lost_us`), and the other way round (`gained_us`)."""

    switch: int
    lost_us: int
    gained_us: int


@dataclass(frozen=True, slots=True)
class HeatingView:
    """The switches of an installation from `since` to `until`, µs since 1970; none without auxiliary load."""

    installation: int
    since: int
    until: int
    switches: list[SwitchHeating]


@handles(Heating)
def heating(desk: Desk, wish: Heating, installation: int) -> HeatingView:
    """How the heating was. Raises NoSuchThingError, WrongFieldError."""
    home = desk.home(installation)
    now = desk.live.now
    since = desk.live.estate.start if wish.since is None else wish.since
    if since > now:
        raise WrongFieldError("that is yet to come", "since", f"give an instant up to now, {now}")
    cell = desk.live.cell(installation)
    awake = cell.world.under_way(installation)
    try:
        harms = of_home(cell, home, since, now)
    finally:
        if not awake:
            cell.sleep(installation)
    return HeatingView(
        installation, since, now, [SwitchHeating(each.switch, each.lost_us, each.gained_us) for each in harms]
    )
