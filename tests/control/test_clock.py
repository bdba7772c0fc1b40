"""The clock of a served estate runs whether or not anything falls due."""

from emulator.commands import Clock
from emulator.control.desk import Desk
from emulator.control.dispatch import Order, carry_out
from emulator.fleet.estate import open_estate
from emulator.kernel.time import HOUR, MINUTE
from emulator.shell.live import LiveEstate
from emulator.shell.pace import Pace


def test_a_wish_acts_now_and_not_when_something_last_fell_due() -> None:
    """With nothing due nobody ticks; a wish still finds the virtual time that the real clock says."""
    real = [100.0]
    live = LiveEstate(open_estate("demo-street"), link="plain", timing="instant")
    pace = Pace(live, speed=60.0, clock=lambda: real[0])
    desk = Desk(live, pace)
    begun = live.now
    real[0] += 5.0
    carry_out(desk, Order(Clock()))
    assert live.now == begun + 5 * MINUTE
    real[0] += 60.0
    carry_out(desk, Order(Clock()))
    assert live.now == begun + 5 * MINUTE + HOUR
