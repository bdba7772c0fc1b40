"""An ad-hoc command whose answer was lost, on a switch that stands so anyway: only the hold proves that it took."""

from collections.abc import Generator
from typing import Any

import pytest

from devices.common.profile import shipped
from emulator.codecs.axdr import Data, boolean, enum, long_unsigned, structure
from emulator.headend import services
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.headend.steps.auxiliary import Timed, deactivate
from emulator.headend.steps.course import NOT_EFFECTED, Course
from emulator.kernel.machine import Party
from emulator.scenario.playground import Playground

LOST = NoAnswerError("no answer from logical device 2")


class Told(Course):
    """A course whose device answers from a book; `doubt` is what becomes of the command."""

    def __init__(self, doubt: Any, on: bool, hold: Data | None) -> None:
        super().__init__(None, shipped("elster_as300p_5t"), {Party.HUB: b""}, lambda: 0)  # type: ignore[arg-type]
        self.doubt, self.on, self.hold = doubt, on, hold

    def set(self, reference: Any, data: Any) -> Generator[Any, Any, None]:
        yield from ()

    def tried(self, method: Any, data: Any = None) -> Generator[Any, Any, Any]:
        yield from ()
        return self.doubt

    def get(self, reference: Any) -> Generator[Any, Any, Any]:
        yield from ()
        if reference == services.auxiliary_hold(1):
            if self.hold is None:
                raise RefusedError("access", 4)
            return self.hold
        return boolean(self.on)


def outcome(course: Course) -> Any:
    steps = deactivate(course, Timed(1, 30))
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise AssertionError("nothing is sent here")


def held(state: int, minutes: int) -> Data:
    return structure((enum(state), long_unsigned(minutes)))


@pytest.mark.parametrize("hold", [held(1, 30), held(1, 26), held(1, 0xFFFF)])
def test_a_hold_of_that_kind_and_length_proves_it(hold: Data) -> None:
    """The answer was lost and the hold is there: success."""
    assert outcome(Told(LOST, False, hold)) == {"switch": 1, "on": False, "minutes": 30}


@pytest.mark.parametrize("hold", [held(0, 0), held(2, 30), held(1, 4), None])
def test_off_by_the_calendar_is_no_proof(hold: Data | None) -> None:
    """No hold, the contrary one, an old one that is about to end, a model that does not tell: nobody knows."""
    with pytest.raises(NoAnswerError):
        outcome(Told(LOST, False, hold))


def test_an_answered_command_needs_no_second_look() -> None:
    """With an answer the state decides, as before: right, or not effected."""
    assert outcome(Told(None, False, None))["on"] is False
    with pytest.raises(RefusedError) as error:
        outcome(Told(None, True, None))
    assert error.value.reason == NOT_EFFECTED


def test_a_meter_tells_its_hold_over_the_air() -> None:
    """Nothing, off with the minutes left, on until reset, nothing again."""
    home = Playground("demo-street").home(1)
    assert home.electricity.read("auxiliary.1.hold") == (0, 0)
    assert home.request("7.6", switch=1, minutes=30).success
    state, left = home.electricity.read("auxiliary.1.hold")
    assert state == 1
    assert 25 <= left <= 30
    assert home.request("7.5", switch=1, minutes=0).success
    assert home.electricity.read("auxiliary.1.hold") == (2, 0xFFFF)
    assert home.request("7.8", switch=1).success
    assert home.electricity.read("auxiliary.1.hold") == (0, 0)
