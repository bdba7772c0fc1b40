"""Names and checks of commands: made from the classes, the same at every door."""

import pytest

from emulator import commands
from emulator.commands import Migrate, PowerCut, PressBoost, SetAuxiliary, StepClock, Verify, WriteObject
from emulator.control import dispatch, names
from emulator.control.errors import NoSuchThingError, WrongFieldError
from emulator.control.registry import HANDLERS, answers


def test_every_command_has_one_handler_and_one_route() -> None:
    """A class in `commands.py` without a handler, or two commands on one route, cannot be."""
    assert dispatch.carry_out is not None
    assert set(names.COMMANDS.values()) == set(HANDLERS)
    routes = [(names.is_get(each), names.path(each)) for each in names.COMMANDS.values()]
    assert len(set(routes)) == len(routes) > 30
    for each in names.COMMANDS.values():
        assert answers(each)[0] is not type(None)


def test_no_door_leads_to_roots_or_to_the_machinery_s_own() -> None:
    """`ComeUp` and `HangUp` are the shell's; roots are no commands."""
    assert "come-up" not in names.COMMANDS
    assert "query" not in names.COMMANDS
    assert isinstance(commands.ComeUp(), commands.Command)


@pytest.mark.parametrize(
    ("command", "get", "path"),
    [
        (PressBoost, False, "/v1/installations/{installation}/{device}/press-boost"),
        (commands.WakeUp, False, "/v1/installations/{installation}/wake-up"),
        (commands.State, True, "/v1/installations/{installation}/state"),
        (StepClock, False, "/v1/step-clock"),
        (commands.Task, True, "/v1/task"),
        (Verify, False, "/v1/verify"),
    ],
)
def test_routes_follow_scope_and_fields(command: type[commands.Command], get: bool, path: str) -> None:
    """What a command is addressed to stands in its path; a question with a list in it is a POST."""
    assert (names.is_get(command), names.path(command)) == (get, path)


@pytest.mark.parametrize(
    ("command", "given", "where"),
    [
        (PressBoost, {"switch": 6}, "switch"),
        (PressBoost, {"switch": "1"}, "switch"),
        (PressBoost, {"switch": True}, "switch"),
        (PressBoost, {"watt": 1}, "watt"),
        (PowerCut, {"seconds": 0}, "seconds"),
        (SetAuxiliary, {"switch": 1}, "state"),
        (SetAuxiliary, {"switch": 1, "state": "ajar"}, "state"),
        (StepClock, {"seconds": float("nan")}, "seconds"),
        (StepClock, {"seconds": -1}, "seconds"),
        (WriteObject, {"what": ""}, "what"),
        (Migrate, {"installations": []}, "installations"),
        (Migrate, {"installations": [1, -1]}, "installations[1]"),
        (Verify, {"expect": [{"kind": "a", "at_least": -1}]}, "expect[0].at_least"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_takes(command: type, given: dict[str, object], where: str) -> None:
    """Each refusal says which field it is about and how to put it right."""
    with pytest.raises(WrongFieldError) as caught:
        names.make(command, given)
    assert caught.value.where == where
    assert caught.value.cure.startswith("give ")
    assert caught.value.problem


def test_text_of_a_query_becomes_values() -> None:
    """Parameters are strings; they are read by the field's type and range."""
    assert names.make(commands.Installations, {"first": "3", "count": "2"}, text=True) == commands.Installations(3, 2)
    assert names.make(commands.Journal, {"installation": "4"}, text=True).installation == 4
    with pytest.raises(WrongFieldError):
        names.make(commands.Installations, {"count": "1001"}, text=True)


def test_unknown_names_say_what_there_is() -> None:
    """A wrong verb or device is answered with the right ones."""
    with pytest.raises(NoSuchThingError, match="press-boost"):
        names.command_class("press-boots")
    with pytest.raises(NoSuchThingError, match="electricity"):
        names.party("water")
